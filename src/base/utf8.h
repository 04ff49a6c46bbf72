/* utf8.h - strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. And what of a stranger's text may
 * be shown to people.
 *
 * Text of strangers (names in files, in workers' cards, in requests, lines of other programs) may be shown when it is valid and has
 * no control (C0, DEL, C1: U+009B begins a terminal command as ESC [ does) and nothing that changes how other text is
 * shown or read: line and paragraph separators, bidi marks, embeddings, overrides and isolates, interlinear marks, tags. */
#ifndef STATOR_BASE_UTF8_H
#define STATOR_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the valid sequence at s (1 to 4), 0 when the bytes can never become one, -1 when they are the beginning
 * of one that is cut at len. len > 0. */
int utf8_step(const char *s, size_t len);
/* The code point of the valid sequence of n bytes at s. */
uint32_t utf8_code(const char *s, size_t n);
/* Offset of the first byte that is not valid UTF-8; len when all is well. A cut sequence at the end counts as bad. */
size_t utf8_check(const char *s, size_t len);
static inline bool utf8_valid(const char *s, size_t len)
{
	return utf8_check(s, len) == len;
}

/* Length of the character at s (1 to 4) when it may be shown, 0 when not. len > 0. */
size_t utf8_shown(const char *s, size_t len);
/* May all of it be shown? On one line: no tab and no line feed either. */
bool utf8_is_plain(const char *s, size_t len);
/* How many bytes from s on are printable ASCII. */
size_t utf8_ascii_run(const char *s, size_t len);
/* Make s fit to be shown on one line, in place: a tab becomes a blank, every other character that may not be shown, and
 * every byte that is no UTF-8, a '?'. Returns s. */
char *utf8_plain(char *s);
/* The same with tabs and line feeds kept, for text of several lines. Returns the new length; no NUL is written. */
size_t utf8_plain_text(char *s, size_t len);
/* Copy as much of s as fits into ret, made fit for one line as above, never half a character. Returns its length. cap > 0. */
size_t utf8_plain_copy(char *ret, size_t cap, const char *s, size_t len);

#endif
