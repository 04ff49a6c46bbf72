#include "config/suggest.h"

#include "base/compiler.h"
#include "base/coverage.h"
#include <string.h>

/* ASCII only: keys and flags are. */
static NO_COVERAGE char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '_' ? '-' : c;
}

bool config_name_equal(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

NO_COVERAGE uint32_t suggest_distance(const char *a, const char *b, uint32_t limit)
{
	/* Three rows of the usual table: this one, the one above, and the one above that for swaps. */
	uint32_t rows[3][SUGGEST_BYTES_MAX + 1], *two = rows[0], *one = rows[1], *row = rows[2];
	size_t alen = strnlen(a, SUGGEST_BYTES_MAX + 1), blen = strnlen(b, SUGGEST_BYTES_MAX + 1);

	if (alen > SUGGEST_BYTES_MAX || blen > SUGGEST_BYTES_MAX)
		return limit + 1;
	if ((alen > blen ? alen - blen : blen - alen) > limit)
		return limit + 1;
	for (uint32_t j = 0; j <= blen; j++)
		one[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		/* Farther from the diagonal than limit nothing is near enough. */
		size_t from = i > limit ? i - limit : 1, to = MIN(blen, i + limit);
		uint32_t least = row[from - 1] = from == 1 ? (uint32_t)i : limit + 1;

		for (size_t j = from; j <= to; j++) {
			uint32_t replace = one[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
			row[j] = MIN(replace, MIN(one[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
				row[j] = MIN(row[j], two[j - 2] + 1);
			least = MIN(least, row[j]);
		}
		if (to < blen)
			row[to + 1] = limit + 1;
		if (least > limit + 1) /* a swap may come from the row above: one more than what this one shows */
			return limit + 1;
		uint32_t *spare = two;
		two = one;
		one = row;
		row = spare;
	}
	return MIN(one[blen], limit + 1);
}

void suggest_init(struct suggest *s, const char *word)
{
	size_t len = strnlen(word, SUGGEST_BYTES_MAX + 1);

	*s = (struct suggest){.word = word, .limit = (uint32_t)MIN(MAX(len / 3, 1), 3)};
	s->distance = s->limit + 1;
}

void suggest_offer(struct suggest *s, const char *candidate)
{
	/* Only a nearer one than the best so far counts. */
	uint32_t d = s->distance > 0 ? suggest_distance(s->word, candidate, s->distance - 1) : 1;

	if (d < s->distance) {
		s->distance = d;
		s->best = candidate;
	}
}

const char *suggest_best(const struct suggest *s)
{
	/* One letter is near every other: say nothing rather than something silly. */
	return strlen(s->word) < 2 ? NULL : s->best;
}
