#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void assert_fail(const char *cond, const char *file, int line, const char *func)
{
	fprintf(stderr, "stator: bug: %s is false in %s (%s:%d). Please report this line.\n", cond, func, file, line);
	abort();
}

/* Mark a message that was cut, so that nobody takes the cut end for the whole cause. */
static void mark_cut(struct err *err, size_t wanted)
{
	if (wanted >= sizeof err->msg)
		memcpy(err->msg + sizeof err->msg - 4, "...", 4);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	ASSERT(code < 0);
	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
	va_end(ap);
	mark_cut(err, n < 0 ? 0 : (size_t)n);
	return code;
}

int err_set_errno(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	ASSERT(code < 0);
	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
	va_end(ap);
	size_t used = n < 0 ? 0 : (size_t)n;
	if (used < sizeof err->msg)
		used += (size_t)snprintf(err->msg + used, sizeof err->msg - used, ": %s", strerror(-code));
	mark_cut(err, used);
	return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char cause[ERR_MSG_BYTES_MAX];
	va_list ap;

	if (!err)
		return -EIO;
	memcpy(cause, err->msg, sizeof cause);
	va_start(ap, fmt);
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
	va_end(ap);
	size_t used = n < 0 ? 0 : (size_t)n;
	if (used < sizeof err->msg)
		used += (size_t)snprintf(err->msg + used, sizeof err->msg - used, ": %s", cause);
	mark_cut(err, used);
	return err->code < 0 ? err->code : -EIO;
}

int err_hint(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -EIO;
	size_t used = strlen(err->msg);
	if (used + 3 < sizeof err->msg) {
		memcpy(err->msg + used, "; ", 3);
		used += 2;
		va_start(ap, fmt);
		int n = vsnprintf(err->msg + used, sizeof err->msg - used, fmt, ap);
		va_end(ap);
		used += n < 0 ? 0 : (size_t)n;
	}
	mark_cut(err, used);
	return err->code < 0 ? err->code : -EIO;
}
