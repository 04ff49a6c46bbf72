/* err.h - errors as values: a code and a sentence for a stranger.
 *
 * A function that can fail returns 0 or a negative code (an errno value, negated) and fills a struct err when the
 * caller gave one. Each level that knows more about what was being done puts its words in front:
 *   could not load model "qwen3": could not open "/m/q.gguf": No such file or directory
 * Lower case, no full stop; user text quoted with its kind; "could not" may work later, "cannot" never will.
 * Fixed size, no allocation: works when memory is gone. Any thread; a struct err belongs to its caller. */
#ifndef STATOR_BASE_ERR_H
#define STATOR_BASE_ERR_H

#include "base/compiler.h"
#include <errno.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ERR_MSG_BYTES_MAX = 1024 };

struct err {
	int code; /* 0 or a negative errno value */
	char msg[ERR_MSG_BYTES_MAX];
};

/* Write a cause. Returns code (must be negative), so that "return err_set(...)" reads well. err may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Like err_set with the system's words for the negative errno value appended: "could not open \"x\": No such file...".
 */
int err_set_errno(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Put "what we were doing: " in front of the cause already there. Returns the code that is there. err may be NULL;
 * then -EIO is returned, for want of a better one. When both do not fit, the cause's end is cut, with "...". */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Append a second sentence that says what to do: msg + "; hint". */
int err_hint(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void err_clear(struct err *err)
{
	if (err) {
		err->code = 0;
		err->msg[0] = '\0';
	}
}

#ifdef __cplusplus
}
#endif
#endif
