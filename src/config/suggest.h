/* suggest.h - "did you mean": the nearest of some words, by edits (insert, drop, replace, swap of two neighbours;
 * Damerau-Levenshtein in its optimal string alignment form). Case, and hyphen against underscore, count nothing.
 * Any thread; no allocation. Words longer than SUGGEST_BYTES_MAX are never near anything. */
#ifndef STATOR_CONFIG_SUGGEST_H
#define STATOR_CONFIG_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SUGGEST_BYTES_MAX = 63 };

struct suggest {
	const char *word, *best;
	uint32_t distance, limit;
};

/* Borrows word until the last call. */
void suggest_init(struct suggest *s, const char *word);
/* Offer a candidate; borrows. The first of equally near ones wins. */
void suggest_offer(struct suggest *s, const char *candidate);
/* The nearest candidate when it is near enough to be worth saying (a third of the word's length, at least 1, at most
 * 3 edits), else NULL. */
const char *suggest_best(const struct suggest *s);
/* Edits between a and b, or limit + 1 when there are more than limit. */
uint32_t suggest_distance(const char *a, const char *b, uint32_t limit);
/* True when a and b are one key: equal up to hyphen against underscore (case counts). */
bool config_name_equal(const char *a, const char *b);

#endif
