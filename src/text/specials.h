/* specials.h - find the texts of special tokens in one pass: a trie over their bytes, entered by first byte.
 * Thread: constant after create. Memory: about 16 bytes a byte of all their texts. Cost of a search: one look-up a byte
 * of text, and one more for each byte a special token begins to match. */
#ifndef STATOR_TEXT_SPECIALS_H
#define STATOR_TEXT_SPECIALS_H

#include "base/map.h"
#include "base/vec.h"
#include <stdbool.h>
#include <stddef.h>

struct special {
	uint32_t id;
	uint32_t len;
	bool strip_left, strip_right; /* eats the white space before, after it */
};
struct specials {
	VEC(struct special) v; /* in order of rank: an earlier one is found before a later one */
	struct map edges; /* node << 8 | byte -> node */
	struct map ends; /* node -> rank */
	uint32_t nodes;
	uint32_t first[256]; /* node after a first byte, 0: none */
	uint32_t firsts; /* of them that are set */
	uint8_t lone; /* the one, where firsts is 1, as in most vocabularies (<) */
};
struct special_match {
	size_t pos;
	uint32_t rank; /* index in specials.v */
};
struct special_matches {
	struct special_match *v;
	uint32_t len, cap;
};

void specials_done(struct specials *s);
/* Add the next in rank. Texts are copied into the trie; an empty one is ignored. 0 or -ENOMEM. */
int specials_add(struct specials *s, const struct special *special, const char *text) MUST_USE;
/* The longest one that begins at text; -1 when none does. */
int32_t specials_longest(const struct specials *s, const char *text, size_t len);
/* Append every match in text[0, len), by position; overlapping ones too. Positions count from base. 0 or -ENOMEM. */
int specials_find(
	const struct specials *s, const char *text, size_t len, size_t base, struct special_matches *ret) MUST_USE;

#endif
