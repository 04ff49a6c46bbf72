/* tar.h - a tar archive as it comes, its plain files one after the other (POSIX ustar and pax, GNU's long names).
 *
 *   tar_init -> tar_feed ... -> tar_end
 *
 * Folders, links and devices are passed over: nothing of an archive is ever created. A name is what the archive says, for
 * people to read, cut at TAR_NAME_BYTES.
 * Thread: one owner. Memory: the struct. */
#ifndef STATOR_PLAN_TAR_H
#define STATOR_PLAN_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAR_BLOCK_BYTES = 512, TAR_NAME_BYTES = 512 };

struct tar_ops {
	/* A file begins; false: it is passed over. */
	bool (*begin)(void *ctx, const char *name, uint64_t size);
	void (*data)(void *ctx, const char *data, size_t len);
	/* whole: false when the archive ends before the file does. */
	void (*end)(void *ctx, bool whole);
};

enum tar_member { TAR_NONE, TAR_FILE, TAR_SKIPPED, TAR_LONG_NAME, TAR_PAX };

struct tar {
	const struct tar_ops *ops;
	void *ctx;
	char block[TAR_BLOCK_BYTES]; /* a header that is not whole */
	size_t block_len;
	enum tar_member member; /* whose data comes */
	uint64_t left, padding; /* bytes of it, and behind it */
	char name[TAR_NAME_BYTES]; /* a long one, for the next file */
	size_t name_len;
	char pax[2 * TAR_NAME_BYTES]; /* records of a pax header, as far as they are kept */
	size_t pax_len;
	uint32_t zeros; /* empty blocks: two of them end an archive */
	bool ended, damaged;
};

/* Is this the beginning of a tar archive? Pure. */
bool tar_is(const char *head, size_t len);
/* Borrows ops and ctx. */
void tar_init(struct tar *t, const struct tar_ops *ops, void *ctx);
/* More of it, cut anywhere. */
void tar_feed(struct tar *t, const char *data, size_t len);
/* It has ended: true when it was whole. */
bool tar_end(struct tar *t);

#endif
