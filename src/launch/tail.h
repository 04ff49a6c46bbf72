/* tail.h - the last lines a process wrote, to be shown when it dies.
 * Thread: one owner. Memory: fixed, TAIL_LINES x TAIL_LINE_BYTES; longer lines are cut. Zero it before first use. */
#ifndef STATOR_LAUNCH_TAIL_H
#define STATOR_LAUNCH_TAIL_H

#include <stdint.h>

/* 20 lines: the cause stands many lines above the end in some logs, but more than a screen hides the rest. */
enum { TAIL_LINES = 20, TAIL_LINE_BYTES = 512 };

struct tail {
	char lines[TAIL_LINES][TAIL_LINE_BYTES];
	uint32_t next, count;
};

/* Copies line. */
void tail_add(struct tail *t, const char *line);
void tail_reset(struct tail *t);
/* Line i, oldest first, i < t->count. Borrowed until the next change. */
const char *tail_line(const struct tail *t, uint32_t i);

#endif
