/* diagnose_text.h - looking for words in a line that ends in no character of its own. For diagnose_level.c and diagnose_shape.c.
 * Thread: pure. Memory: none. */
#ifndef STATOR_PLAN_DIAGNOSE_TEXT_H
#define STATOR_PLAN_DIAGNOSE_TEXT_H

#include "base/compiler.h"
#include "base/coverage.h"
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { LINE_LOOK_BYTES = 1024 }; /* of a line, what its form is read from */

static inline bool text_has_at(const char *line, size_t len, size_t at, const char *word)
{
	size_t n = strlen(word);

	return at <= len && n <= len - at && (n == 0 || (line[at] | 0x20) == (*word | 0x20)) &&
	       strncasecmp(line + at, word, n) == 0;
}

/* Words in lower case, in a text that is: what each line with a word is looked at for has to be quick. */
static inline size_t text_find(const char *low, size_t len, size_t at, const char *word)
{
	const char *found = at < len ? memmem(low + at, len - at, word, strlen(word)) : NULL;

	return found ? (size_t)(found - low) : len;
}

/* A text in lower case, and which pairs of characters it has: a word with another pair is not in it, which tells for nearly all of the
 * hundreds of words that a line is looked through for. */
enum { TEXT_PAIRS = 2048 };
struct text_low {
	size_t len;
	uint64_t pairs[TEXT_PAIRS / 64];
	char text[LINE_LOOK_BYTES];
};

/* Where word, in lower case, is from at on; len: nowhere. */
size_t low_find(const struct text_low *t, size_t at, const char *word);

static inline bool low_has(const struct text_low *t, const char *word)
{
	return low_find(t, 0, word) < t->len;
}

static inline bool low_has_any(const struct text_low *t, const char *const *words)
{
	for (; *words; words++)
		if (low_has(t, *words))
			return true;
	return false;
}

/* ASCII, cut at LINE_LOOK_BYTES. */
void text_low_make(struct text_low *ret, const char *line, size_t len);

static inline NO_COVERAGE bool text_is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* How many characters from at on are of this set. A line ends in no character of its own. */
static inline NO_COVERAGE size_t text_span(const char *line, size_t len, size_t at, const char *set)
{
	size_t n = 0;

	while (at + n < len && line[at + n] && strchr(set, line[at + n]))
		n++;
	return n;
}

#endif
