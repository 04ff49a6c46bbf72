/* diagnose_pattern.h - how a log message reads, with what is to be taken out of it.
 *
 *   Tried to allocate {size} GiB. GPU {gpu:number} has a total capacity of {total:number} GiB
 *
 * Text is compared without regard to case (ASCII). {name} takes as little as lets the rest follow, {name:number} digits with
 * points between them, {name:positive} such a number that is not 0, {name:word} what has no blank in it, {name:xid_memory} the number of an Xid of that kind (xid.h), whose
 * meaning is then {meaning}; a capture at the end takes the rest of the line, {} keeps
 * nothing. It begins with text, and text stands between two captures. It matches anywhere in a line.
 *
 * Thread: constant once made. Memory: the caller's arena. */
#ifndef STATOR_PLAN_DIAGNOSE_PATTERN_H
#define STATOR_PLAN_DIAGNOSE_PATTERN_H

#include "base/arena.h"
#include "base/err.h"
#include "plan/xid.h"
#include <stdbool.h>
#include <stdint.h>

/* A key of fewer characters would be looked up all the time. */
enum { PATTERN_PIECES_MAX = 24, PATTERN_KEY_BYTES_MIN = 4, CAPTURES_MAX = 10, PATTERN_BYTES_MAX = 512 };

enum pattern_piece_kind { PATTERN_TEXT, PATTERN_NUMBER, PATTERN_POSITIVE, PATTERN_XID, PATTERN_WORD, PATTERN_ANY };
struct pattern_piece {
	enum pattern_piece_kind kind;
	enum xid_kind xid;
	const char *text; /* lower case text, or the capture's name ("" keeps nothing) */
	uint32_t len;
};
struct pattern {
	struct pattern_piece *pieces;
	uint32_t count;
	const char *key; /* the longest text of it: a line without this cannot match */
	uint32_t key_len;
};

struct capture {
	const char *name; /* the pattern's */
	const char *text; /* in the line */
	uint32_t len;
};
struct captures {
	struct capture items[CAPTURES_MAX];
	uint32_t count;
};

/* Read it. -EINVAL with what is wrong with it. */
int pattern_parse(struct pattern *ret, const char *text, struct arena *arena, struct err *err);
/* Does line hold it? Fills ret, which may be NULL. O(length of line x length of pattern). Borrows line for ret. */
bool pattern_match(const struct pattern *p, const char *line, size_t len, struct captures *ret);
/* NULL when there is none of that name. */
const struct capture *captures_find(const struct captures *c, const char *name, size_t name_len);
/* Fill a sentence: {name} becomes what was captured. A part in [square brackets] is left out when it names what was not
 * captured; outside of them an unknown name becomes "?". "[[" and "{{" are the signs themselves. */
void captures_fill(const struct captures *c, const char *sentence, char *ret, size_t cap);

#endif
