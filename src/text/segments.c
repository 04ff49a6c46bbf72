/* segments.c - see segments.h. */
#include "text/segments.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* All matches by rank, then position; one stands when nothing before it took its bytes. */
static int compare_matches(const void *a, const void *b)
{
	const struct special_match *x = a, *y = b;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static int compare_positions(const void *a, const void *b)
{
	const struct special_match *x = a, *y = b;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

/* Mark the bytes of [begin, end) as taken; false when one already is. */
static bool take_bytes(uint8_t *taken, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		if (taken[i])
			return false;
	memset(taken + begin, 1, end - begin);
	return true;
}

/* Take also the white space a token eats around it. */
static void take_spaces(uint8_t *taken, const struct special *s, const char *text, size_t len, size_t pos)
{
	for (size_t i = pos; s->strip_left && i > 0 && !taken[i - 1] && isspace((unsigned char)text[i - 1]); i--)
		taken[i - 1] = 1;
	for (size_t i = pos + s->len; s->strip_right && i < len && !taken[i] && isspace((unsigned char)text[i]); i++)
		taken[i] = 1;
}

/* Keep of m those that stand, in order of position, and tell in taken which bytes are not plain text. */
static void settle_matches(
	const struct specials *all, const char *text, size_t len, struct special_matches *m, uint8_t *taken)
{
	qsort(m->v, m->len, sizeof *m->v, compare_matches);
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->len; i++) {
		const struct special *s = &all->v.v[m->v[i].rank];
		if (!take_bytes(taken, m->v[i].pos, m->v[i].pos + s->len))
			continue;
		take_spaces(taken, s, text, len, m->v[i].pos);
		m->v[n++] = m->v[i];
	}
	m->len = n;
	qsort(m->v, m->len, sizeof *m->v, compare_positions);
}

static int add_plain(const char *text, const uint8_t *taken, size_t begin, size_t end, struct text_segments *ret)
{
	while (begin < end && taken[begin])
		begin++;
	while (end > begin && taken[end - 1])
		end--;
	if (begin == end)
		return 0;
	return vec_push(ret, ((struct text_segment){text + begin, end - begin, TOKEN_NONE}));
}

static int cut(
	const struct specials *all, const char *text, size_t len, struct special_matches *m, struct text_segments *ret)
{
	uint8_t *taken = calloc(len, 1);
	if (!taken)
		return -ENOMEM;
	settle_matches(all, text, len, m, taken);
	size_t pos = 0;
	int code = 0;
	for (uint32_t i = 0; i < m->len && code == 0; i++) {
		const struct special *s = &all->v.v[m->v[i].rank];
		code = add_plain(text, taken, pos, m->v[i].pos, ret);
		if (code == 0)
			code = vec_push(ret, ((struct text_segment){NULL, 0, s->id}));
		pos = m->v[i].pos + s->len;
	}
	if (code == 0)
		code = add_plain(text, taken, pos, len, ret);
	free(taken);
	return code;
}

int segments_cut(const struct specials *s, const char *text, size_t len, const struct text_ranges *within,
	struct text_segments *ret)
{
	struct special_matches m = {0};
	int code = 0;
	if (!within)
		code = specials_find(s, text, len, 0, &m);
	for (uint32_t i = 0; within && i < within->len && code == 0; i++) {
		struct text_range r = within->v[i];
		code = specials_find(s, text + r.begin, r.end - r.begin, r.begin, &m);
	}
	if (code == 0 && m.len == 0)
		code = len > 0 ? vec_push(ret, ((struct text_segment){text, len, TOKEN_NONE})) : 0;
	else if (code == 0)
		code = cut(s, text, len, &m, ret);
	vec_done(&m);
	return code;
}
