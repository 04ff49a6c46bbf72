/* stops.h - find stop strings in text that comes in pieces, across their borders.
 *
 * The first to end wins; of several that end together, the longest. Text before it is passed on, the stop string is
 * not. Held back is only what may still become a stop string, at most the longest one less a byte. Thread: a set is
 * constant after create and may be shared; a scan has one owner. Memory: 3 bytes a byte of stop strings; a scan is its
 * struct. Cost: a few operations a byte and stop string. */
#ifndef STATOR_TEXT_STOPS_H
#define STATOR_TEXT_STOPS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

struct stops;
struct stop_string {
	const char *text;
	size_t len;
};
/* Copies. -EINVAL for an empty string, one longer than STOP_BYTES_MAX, or more than STOPS_MAX. count 0 is fine. */
int stops_create(struct stops **ret, const struct stop_string *strings, uint32_t count, struct err *err) MUST_USE;
void stops_destroy(struct stops *s);
/* The stop string of an index that stop_scan_push returned; borrowed from the set. */
struct stop_string stops_get(const struct stops *s, int index);

struct stop_scan {
	const struct stops *stops;
	uint16_t matched[STOPS_MAX]; /* bytes of each stop string that the text ends with */
	char held[STOP_BYTES_MAX]; /* the end of the text that was not passed on */
	uint32_t held_len;
	uint64_t pos; /* bytes of text seen */
};
/* Borrows the set; NULL: nothing stops, everything passes. */
void stop_scan_init(struct stop_scan *s, const struct stops *stops);
enum { STOP_NONE = -1 };
/* Take text, append what is safe to ret. Returns the index of the stop string that was found, else STOP_NONE; after a
 * find *ret_pos (may be NULL) is where in the whole text it begins, and no more may be pushed. A failed append shows in
 * ret->failed. */
int stop_scan_push(struct stop_scan *s, const char *text, size_t len, struct buf *ret, uint64_t *ret_pos);
/* The text ended without a stop: append what was held back. */
void stop_scan_finish(struct stop_scan *s, struct buf *ret);

#endif
