/* buf.h - a growable byte buffer with a maximum at birth.
 *
 * Thread: one owner. Memory: at most len_max bytes + 1 (a NUL always follows the data, so data reads as a string).
 * Appends either happen whole or not at all; a failed one also sets failed, so a writer may check once at the end. */
#ifndef STATOR_BASE_BUF_H
#define STATOR_BASE_BUF_H

#include "base/compiler.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct buf {
	char *data; /* NULL until the first append */
	size_t len, cap, len_max;
	bool failed; /* an append did not fit or memory was gone */
};

void buf_init(struct buf *b, size_t len_max);
void buf_done(struct buf *b);
/* Forget the content, keep the capacity, clear failed. */
void buf_reset(struct buf *b);
/* Make room for extra more bytes. 0, -ENOBUFS (past len_max) or -ENOMEM. */
int buf_reserve(struct buf *b, size_t extra);
int buf_add_slow(struct buf *b, const void *data, size_t len);
static inline int buf_add(struct buf *b, const void *data, size_t len)
{
	/* Most appends fit; the rest makes room, or says why not. */
	if (!b->data || len > b->cap - b->len)
		return buf_add_slow(b, data, len);
	if (len) {
		ASSERT(data);
		memcpy(b->data + b->len, data, len);
	}
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}
static inline int buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}
int buf_add_byte(struct buf *b, uint8_t c);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Remove n bytes at the front (moves the rest). */
void buf_consume(struct buf *b, size_t n);
/* The content as a C string, "" when empty. Borrowed until the next change. */
static inline const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

#ifdef __cplusplus
}
#endif
#endif
