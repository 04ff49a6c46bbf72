/* diagnose_shape.h - what a line of a log says by its form alone, whoever wrote it: an exception with its message, the death of
 * a process, an error that was logged. For lines that no signature knows.
 *
 * Thread: pure. Memory: none. */
#ifndef STATOR_PLAN_DIAGNOSE_SHAPE_H
#define STATOR_PLAN_DIAGNOSE_SHAPE_H

#include "plan/diagnose_level.h"
#include "plan/diagnose_text.h"
#include "plan/finding.h"

/* The more it explains, the smaller. */
enum line_shape {
	SHAPE_EXCEPTION, /* says why: an exception of Python, "prog: error: ...", a panic of Rust or Go, what() of C++ */
	SHAPE_ERROR, /* logged as an error, by its severity or its first words */
	SHAPE_DEATH, /* a process ended: a signal, abort, an exit status that is not 0 */
	SHAPE_NONE,
};

/* A line without its line feed, made ready to be asked about. */
struct line_look {
	const char *line; /* borrowed */
	size_t len;
	size_t from; /* where its program's own part begins */
	enum line_level level;
	struct text_low low; /* what of it is looked at */
};
void line_look(struct line_look *ret, const char *line, size_t len);

/* ret_at: where what it says begins (the exception's name, the program's). */
enum line_shape line_shape(const struct line_look *l, size_t *ret_at);
/* Is this an exception that no process lives on after: a failed assertion, a panic, terminate? Then it does not matter whether it
 * served before. */
bool line_is_final(const struct line_look *l);
/* Is the message of this exception continued in the lines behind it: "... because of the following error:", or the mistakes that
 * a validation found? Returns how many lines belong to it, 0: none. */
uint32_t line_details(const char *text, size_t len);
/* Is this the line that ends a traceback, name and message, from at on? Asked-for ends (Ctrl-C, a cancelled task) are none. */
bool line_ends_traceback(const char *line, size_t len, size_t at);
/* A traceback within one line, as JSON logs have it: where its exception begins behind at, and how long that is. False: there
 * is none. */
bool line_inner_exception(const char *line, size_t len, size_t at, size_t *ret_at, size_t *ret_len);
/* May this line, which has none of the shapes, tell of a failure: by its words, when its logger does not call it milder? strict:
 * only by what no server that serves says in passing. */
bool line_may_fail(const struct line_look *l, bool strict);
/* Does the last line of a log tell of a failure? A warning does there, and a shell's word for a killed program in any language. */
bool last_line_may_fail(const char *line, size_t len, bool strict);
/* Does a shell say in it that there is no such program? A script may go on after that; not when it is the last line. */
bool last_line_is_missing_program(const char *line, size_t len);
/* Did its logger call it an error? */
bool last_line_is_error(const char *line, size_t len);
/* Does Python say that it ignores the exception that follows? */
bool line_ignores_exception(const struct line_look *l);
/* The class of a failure, from the name of its exception and its words. */
enum finding_class line_failure_class(const char *text);

#endif
