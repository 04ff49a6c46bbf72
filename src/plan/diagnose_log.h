/* diagnose_log.h - one log as it is read: which signatures were met where, and which unknown lines are worth showing.
 * For diagnose.c; others use diagnose.h. Thread and memory: as there. */
#ifndef STATOR_PLAN_DIAGNOSE_LOG_H
#define STATOR_PLAN_DIAGNOSE_LOG_H

#include "plan/diagnose.h"
#include "plan/diagnose_shape.h"

/* The first line of a signature in this log. */
struct log_hit {
	uint64_t line; /* from 1 */
	uint64_t count; /* lines that match, counted up to some thousands */
	uint64_t time_ms; /* what the line says of its time, in a scale of its own kind; 0: nothing */
	char *text; /* without escape sequences, cut at DIAGNOSE_LINE_BYTES_MAX */
	bool survived; /* the process served afterwards, and the line did not come again */
	bool listed; /* among those of diagnosed_log_met */
};
/* What the log shows of a failure by the form of its lines, without a signature. */
struct log_failure {
	uint64_t line, time_ms;
	char *text; /* from the exception's name on, cut as above; the line as a whole is in evidence */
	char *evidence;
	char *before; /* of a death: what was printed last before it, when that may be why; else NULL */
	enum line_shape shape;
	bool serving; /* it served before that */
	bool doubt; /* only its words may tell of a failure (line_may_fail) */
	bool final; /* no process lives on after that (line_is_final) */
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
/* What is fed next stands in this line of the file. Numbers do not fall; what was fed of a line is one. */
void diagnosed_log_seek(struct diagnosed_log *log, uint64_t number);
/* A line of somebody else's making about what stands in this line of the file. Several may have the same number. */
void diagnosed_log_line(struct diagnosed_log *log, uint64_t number, const char *line, size_t len);
/* The signatures that have been met, in their order; some may have been forgotten since. Borrowed until more is fed. */
uint32_t diagnosed_log_met(const struct diagnosed_log *log, const uint32_t **ret);
/* NULL: not met. Borrowed until more is fed. */
const struct log_hit *diagnosed_log_hit(const struct diagnosed_log *log, uint32_t signature);
/* The line that best tells why the process failed; NULL: nothing failed, or it served afterwards. ret_died: it is sure that
 * the process ended; else it may only have logged an error. */
const struct log_failure *diagnosed_log_failure(const struct diagnosed_log *log, bool *ret_died);
/* The line that best tells why the process died in this line; NULL: none before it. */
const struct log_failure *diagnosed_log_reason(const struct diagnosed_log *log, uint64_t line);
/* A failure of the start-up, after which it served; NULL: none. */
const struct log_failure *diagnosed_log_survived(const struct diagnosed_log *log);
/* Has a server said that it serves, since the log began? */
bool diagnosed_log_serves(const struct diagnosed_log *log);
/* What it was read from ends before its end. */
void diagnosed_log_cut(struct diagnosed_log *log);
/* Does it end within a traceback, or was it cut? */
bool diagnosed_log_is_cut(const struct diagnosed_log *log);
/* Does it end while an engine starts? */
bool diagnosed_log_starts(const struct diagnosed_log *log);
/* Is its last line an error, by its logger's word, that no signature knows? */
bool diagnosed_log_ends_in_error(const struct diagnosed_log *log);
/* Telling line i in the order of the log, NULL behind the last. */
const struct log_line *diagnosed_log_telling(const struct diagnosed_log *log, uint32_t i);

/* A line as it can be shown: escape sequences of terminals and control characters left out, cut to cap. Returns its length.
 * Pure. */
size_t log_line_clean(const char *line, size_t len, char *ret, size_t cap);
/* The time a line begins with ("2026-11-27T10:30:16.123", "11-27 10:30:16"), in milliseconds from some day on; 0: none.
 * Comparable with other lines of the same form. Pure. */
uint64_t log_line_time_ms(const char *line, size_t len);

#endif
