/* unpack.h - packed logs as they come: gzip, xz, zstd and bzip2 by the libraries of those formats, several streams behind each
 * other as "cat a.gz b.gz" makes them. What a cut or damaged file still holds is given on.
 *
 *   unpack_create -> unpack_feed ... -> unpack_end -> unpack_destroy
 *
 * Thread: one owner. Memory: the format's window, at most UNPACK_MEMORY_MAX, and a buffer. */
#ifndef STATOR_PLAN_UNPACK_H
#define STATOR_PLAN_UNPACK_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { UNPACK_MEMORY_MAX = 256 * 1024 * 1024 }; /* a file that asks for a larger window is damaged, or means us harm */

enum unpack_format { UNPACK_GZIP, UNPACK_XZ, UNPACK_ZSTD, UNPACK_BZIP2 };
enum unpack_state {
	UNPACK_WHOLE, /* it ended where its format says */
	UNPACK_CUT, /* the file ends before its format does */
	UNPACK_DAMAGED, /* what stands in it is not what was packed; the rest is not read */
};

struct unpack;
/* What was unpacked; false: no more is wanted. */
typedef bool unpack_take(void *ctx, const char *data, size_t len);

/* Borrows ctx. -ENOMEM. */
int unpack_create(struct unpack **ret, enum unpack_format format, unpack_take *take, void *ctx, struct err *err);
void unpack_destroy(struct unpack *u);
DEFINE_CLEANUP(unpack_destroy, struct unpack)
/* More of the file, cut anywhere. False: nothing further is of use (damaged, or take wants no more). */
bool unpack_feed(struct unpack *u, const char *data, size_t len);
/* The file has ended. */
enum unpack_state unpack_end(const struct unpack *u);

#endif
