/* diagnose_detail.h - the lines behind an exception that belong to its message: what a validation found, what stands behind a
 * colon that ends the line, and the chain of causes that Rust's errors print. For diagnose_log.c.
 *
 *   detail_begin(&d, line, len, at)        the exception's text begins at this place of its line
 *   while (detail_is_open(&d)) detail_line(&d, line, len, ...)       each line behind it, in order
 *
 * Thread: one owner. Memory: flat. */
#ifndef STATOR_PLAN_DIAGNOSE_DETAIL_H
#define STATOR_PLAN_DIAGNOSE_DETAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DETAIL_PREFIX_MAX = 160 };

/* Zeroed: closed. */
struct detail {
	uint32_t left; /* lines to look at */
	uint32_t take; /* of them, lines that are taken whatever they hold */
	bool caused; /* "Caused by:" has come */
	uint32_t prefix_len;
	char prefix[DETAIL_PREFIX_MAX]; /* what stood before the exception */
};

void detail_begin(struct detail *d, const char *line, size_t len, size_t at);
static inline bool detail_is_open(const struct detail *d)
{
	return d->left > 0;
}
/* Reads one line. True: it belongs to the message; ret_at and ret_len: what of it. */
bool detail_line(struct detail *d, const char *line, size_t len, size_t *ret_at, size_t *ret_len);
/* Does line begin as another did, but for the digits of a clock? */
bool same_but_digits(const char *line, size_t len, const char *prefix, size_t prefix_len);

#endif
