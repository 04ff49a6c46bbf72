/* records.h - catalogues as plain text: one record an entry, a name and then key=value pairs.
 *
 *   T4 nvml="Tesla T4" capability=7.5 memory=15360MiB
 *      source="T4 datasheet"        an indented line continues the record; # starts a comment
 * A value is a word, or anything between double quotes (no escapes; it ends in its line). Every mistake of a file is
 * told in one pass, with its place and "did you mean".
 * Thread: any. Memory: nothing is kept but what the caller's arena holds. */
#ifndef STATOR_CONFIG_RECORDS_H
#define STATOR_CONFIG_RECORDS_H

#include "base/file.h"
#include "config/diag.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { RECORD_PAIRS_MAX = 64, RECORDS_BYTES_MAX = 16 * 1024 * 1024 }; /* of one record; of one file */

struct record_pair {
	const char *key, *value;
	struct config_pos pos; /* of the key */
};

struct record {
	const char *name;
	struct config_pos pos;
	struct record_pair pairs[RECORD_PAIRS_MAX];
	uint32_t len;
};

/* Call each(ctx, record) for every record of text, in order. Strings are in arena, and file must live as long as diags.
 * each returns 0, or a negative code to stop with. Mistakes go to diags and their record is left out. Returns 0,
 * -EINVAL when there were mistakes (those that each told of too), -ENOMEM, or what each gave. */
int records_parse(const char *file, const char *text, size_t len, struct arena *arena, struct diags *diags,
	int (*each)(void *ctx, const struct record *r), void *ctx);
/* Read a file of records, at most RECORDS_BYTES_MAX, NUL-terminated. Returns owned. */
int records_read(const char *path, enum file_from from, char **ret, size_t *ret_len, struct err *err);
/* Read a user's file and hand it to a catalogue's add, which returns what records_parse gave. err says what went wrong. */
int records_add_file(const char *path, struct diags *diags,
	int (*add)(const char *file, const char *text, size_t len, struct diags *diags), struct err *err);

enum record_kind {
	RECORD_TEXT, /* const char *, into the arena of the parse */
	RECORD_U32,
	RECORD_U64,
	RECORD_BYTES, /* uint64_t: "15360MiB" */
	RECORD_F64, /* not negative */
	RECORD_BOOL, /* yes, no */
	RECORD_TENTHS, /* uint32_t: "7.5" is 75 */
	RECORD_WORD, /* uint32_t: index of one of words */
};

struct record_field {
	const char *key;
	enum record_kind kind;
	uint32_t offset;
	bool required;
	const char *const *words; /* of RECORD_WORD, NULL at the end */
	const char *help;
};

/* Fill ret's fields from the pairs; what is not given stays. False: something was wrong (told). */
bool record_fill(
	const struct record *r, const struct record_field *fields, uint32_t count, void *ret, struct diags *diags);

/* A catalogue: rows of one kind in the caller's array, which callers hold pointers to, so they stay where they are. */
struct record_rows {
	void *rows;
	size_t row_bytes;
	uint32_t len, max;
	const char *what; /* "cards": for "more than 1024 cards" */
	struct arena arena; /* of the rows' texts, for the process's life */
	pthread_mutex_t lock; /* of the first use */
	bool loaded;
};
/* The built-in text, at the first use: what is built in is right, or the tests fail. each as records_parse has it, with the
 * struct diags as ctx. -ENOMEM: nothing is there, and the next use tries again. Thread: any. */
int record_rows_load(struct record_rows *c, const char *file, const char *text, size_t len,
	int (*each)(void *ctx, const struct record *r));
/* row instead of old, or behind the others when old is NULL. When there is no room, diags is told. */
void record_rows_put(struct record_rows *c, void *old, const void *row, const struct record *r, struct diags *d);

#endif
