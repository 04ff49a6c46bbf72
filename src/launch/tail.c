/* tail.c - a ring of the last lines; see tail.h. */
#include "launch/tail.h"
#include "base/compiler.h"

#include <stdio.h>

void tail_add(struct tail *t, const char *line)
{
	snprintf(t->lines[t->next], sizeof t->lines[0], "%.*s", TAIL_LINE_BYTES - 1, line);
	t->next = (t->next + 1) % TAIL_LINES;
	t->count = MIN(t->count + 1, (uint32_t)TAIL_LINES);
}

void tail_reset(struct tail *t)
{
	t->next = t->count = 0;
}

const char *tail_line(const struct tail *t, uint32_t i)
{
	ASSERT(i < t->count);
	return t->lines[(t->next + TAIL_LINES - t->count + i) % TAIL_LINES];
}
