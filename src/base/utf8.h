/* utf8.h - strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef STATOR_BASE_UTF8_H
#define STATOR_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the valid sequence at s (1 to 4), 0 when the bytes can never become one, -1 when they are the beginning
 * of one that is cut at len. len > 0. */
int utf8_step(const char *s, size_t len);
/* Offset of the first byte that is not valid UTF-8; len when all is well. A cut sequence at the end counts as bad. */
size_t utf8_check(const char *s, size_t len);
static inline bool utf8_valid(const char *s, size_t len)
{
	return utf8_check(s, len) == len;
}

#endif
