/* diagnose_level.h - what stands before a message in a log: who wrote the line, what carried it, and how loud it is.
 *
 * Thread: pure. Memory: none. Lines without their line feed. */
#ifndef STATOR_PLAN_DIAGNOSE_LEVEL_H
#define STATOR_PLAN_DIAGNOSE_LEVEL_H

#include "plan/diagnose_text.h"

/* How loud a line is, from its own severity ("ERROR", "level=warn", "[ERR]", klog's "E0123", syslog's PRIORITY). INFO stands apart
 * from what is mild on purpose: what passes on the output of another program logs all of it so. */
enum line_level {
	LEVEL_UNKNOWN,
	LEVEL_DEBUG,
	LEVEL_MILD,
	LEVEL_INFO,
	LEVEL_ERROR,
	LEVEL_FATAL /* its program ends with it */
};
enum line_level line_level(const char *line, size_t len);
/* The same of a line of which low is what is looked at, and whose program's own part begins at from (line_carried_from). */
enum line_level line_level_of(const char *line, size_t len, const struct text_low *low, size_t from);
/* Who wrote it, where several processes share a log: the length of "name | " or "[pod/name/container] " it begins with. */
size_t line_stream(const char *line, size_t len);
/* What carries a line puts before it: "name | ", a time, CRI's "stderr F ", syslog's "host program[12]: ". Returns where the line of
 * the program itself begins. */
size_t line_carried_from(const char *line, size_t len);

#endif
