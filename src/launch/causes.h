/* causes.h - why a process died, from what it logged: the diagnoser (plan/diagnose.h) reads along.
 *
 * Its catalogue is read at the first line that is no information of our own programs, so a deployment where all is well
 * never pays for it. Thread: the supervisor's. Memory: some 150 KB a process that had such a line. */
#ifndef STATOR_LAUNCH_CAUSES_H
#define STATOR_LAUNCH_CAUSES_H

#include "plan/finding.h"

struct causes;
/* For processes 0 .. count - 1. NULL: no memory. */
struct causes *causes_create(uint32_t count);
void causes_destroy(struct causes *c);
/* Process i, of this name, logged a line (without its line feed). */
void causes_line(struct causes *c, uint32_t i, const char *name, const char *line);
/* It starts again: what it said before is another story. */
void causes_reset(struct causes *c, uint32_t i);
/* The root cause of process i, when its log holds one. The strings are valid until the next call for any process. */
const struct finding *causes_find(struct causes *c, uint32_t i);
/* Is it a line such as "2026-11-23T12:00:00.123Z info ..." of our own programs? Pure. */
bool causes_is_chatter(const char *line);

#endif
