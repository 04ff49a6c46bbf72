/* diagnose_log.h - one log as it is read: which signatures were met where, and which unknown lines are worth showing.
 * For diagnose.c; others use diagnose.h. Thread and memory: as there. */
#ifndef STATOR_PLAN_DIAGNOSE_LOG_H
#define STATOR_PLAN_DIAGNOSE_LOG_H

#include "plan/diagnose.h"

/* The first line of a signature in this log. */
struct log_hit {
	uint64_t line; /* from 1 */
	uint64_t count; /* lines that match, counted up to some thousands */
	uint64_t time_ms; /* what the line says of its time, in a scale of its own kind; 0: nothing */
	char *text; /* without escape sequences, cut at DIAGNOSE_LINE_BYTES_MAX */
};
/* Weights of telling lines above those of words: how a traceback ends, the first one most. */
enum { LOG_LINE_EXCEPTION = 4, LOG_LINE_FIRST_EXCEPTION = 5 };
struct log_line {
	uint64_t number;
	uint32_t weight;
	char *text;
};

struct diagnosed_log *diagnosed_log_create(const struct catalogue *catalogue, const char *name);
void diagnosed_log_destroy(struct diagnosed_log *log);
const char *diagnosed_log_name(const struct diagnosed_log *log);
/* NULL: not met. Borrowed until more is fed. */
const struct log_hit *diagnosed_log_hit(const struct diagnosed_log *log, uint32_t signature);
/* Telling line i in the order of the log, NULL behind the last. */
const struct log_line *diagnosed_log_telling(const struct diagnosed_log *log, uint32_t i);

/* A line as it can be shown: escape sequences of terminals and control characters left out, cut to cap. Returns its length.
 * Pure. */
size_t log_line_clean(const char *line, size_t len, char *ret, size_t cap);
/* The time a line begins with ("2026-11-27T10:30:16.123", "11-27 10:30:16"), in milliseconds from some day on; 0: none.
 * Comparable with other lines of the same form. Pure. */
uint64_t log_line_time_ms(const char *line, size_t len);

#endif
