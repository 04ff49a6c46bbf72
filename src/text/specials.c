/* specials.c - a trie over the texts of special tokens. Node 0 means "none"; nodes count from 1. */
#include "text/specials.h"

#include <string.h>

void specials_done(struct specials *s)
{
	vec_done(&s->v);
	map_done(&s->edges);
	map_done(&s->ends);
	*s = (struct specials){0};
}

static uint64_t edge_key(uint32_t node, char c)
{
	return (uint64_t)node << 8 | (uint8_t)c;
}

static uint32_t step(const struct specials *s, uint32_t node, char c)
{
	uint64_t next = 0;
	return map_get(&s->edges, edge_key(node, c), &next) ? (uint32_t)next : 0;
}

static int grow(struct specials *s, uint32_t node, char c, uint32_t *ret)
{
	uint32_t next = node ? step(s, node, c) : s->first[(uint8_t)c];
	if (!next) {
		next = ++s->nodes;
		if (!node) {
			s->first[(uint8_t)c] = next;
			s->firsts++;
			s->lone = (uint8_t)c;
		} else if (map_put(&s->edges, edge_key(node, c), next) < 0) {
			return -ENOMEM;
		}
	}
	*ret = next;
	return 0;
}

int specials_add(struct specials *s, const struct special *special, const char *text)
{
	if (special->len == 0)
		return 0;
	uint32_t node = 0;
	for (uint32_t i = 0; i < special->len; i++)
		if (grow(s, node, text[i], &node) < 0)
			return -ENOMEM;
	/* Of two with one text the first in rank is the one that is found. */
	if (!map_get(&s->ends, node, NULL) && map_put(&s->ends, node, s->v.len) < 0)
		return -ENOMEM;
	return vec_push(&s->v, *special);
}

int32_t specials_longest(const struct specials *s, const char *text, size_t len)
{
	int32_t found = -1;
	uint64_t rank;
	uint32_t node = len > 0 ? s->first[(uint8_t)text[0]] : 0;
	for (size_t i = 1; node; i++) {
		if (map_get(&s->ends, node, &rank))
			found = (int32_t)rank;
		node = i < len ? step(s, node, text[i]) : 0;
	}
	return found;
}

/* Where the next may begin. */
static size_t next_first(const struct specials *s, const char *text, size_t len, size_t i)
{
	if (i < len && s->firsts == 1) {
		const char *at = memchr(text + i, s->lone, len - i);
		return at ? (size_t)(at - text) : len;
	}
	while (i < len && !s->first[(uint8_t)text[i]])
		i++;
	return i;
}

int specials_find(const struct specials *s, const char *text, size_t len, size_t base, struct special_matches *ret)
{
	for (size_t i = next_first(s, text, len, 0); i < len; i = next_first(s, text, len, i + 1)) {
		uint64_t rank;
		uint32_t node = s->first[(uint8_t)text[i]];
		for (size_t j = i + 1; node; j++) {
			if (map_get(&s->ends, node, &rank) &&
				vec_push(ret, ((struct special_match){base + i, (uint32_t)rank})) < 0)
				return -ENOMEM;
			node = j < len ? step(s, node, text[j]) : 0;
		}
	}
	return 0;
}
