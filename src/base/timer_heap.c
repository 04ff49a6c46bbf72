#include "base/env.h"

#include <string.h>

/* heap_pos is the index in v, 1-based, so that a zeroed timer is one that is not set. */

static bool is_before(const struct timer_heap *h, uint32_t a, uint32_t b)
{
	if (h->v[a]->at_us != h->v[b]->at_us)
		return h->v[a]->at_us < h->v[b]->at_us;
	return h->order[a] < h->order[b];
}

static void swap(struct timer_heap *h, uint32_t a, uint32_t b)
{
	struct env_timer *t = h->v[a];
	uint64_t order = h->order[a];

	h->v[a] = h->v[b];
	h->order[a] = h->order[b];
	h->v[b] = t;
	h->order[b] = order;
	h->v[a]->heap_pos = a;
	h->v[b]->heap_pos = b;
}

static void sift_up(struct timer_heap *h, uint32_t i)
{
	for (; i > 1 && is_before(h, i, i / 2); i /= 2)
		swap(h, i, i / 2);
}

static void sift_down(struct timer_heap *h, uint32_t i)
{
	for (;;) {
		uint32_t least = i, left = 2 * i, right = left + 1;
		if (left <= h->len && is_before(h, left, least))
			least = left;
		if (right <= h->len && is_before(h, right, least))
			least = right;
		if (least == i)
			return;
		swap(h, i, least);
		i = least;
	}
}

static int grow(struct timer_heap *h)
{
	uint32_t cap = h->cap ? h->cap * 2 : 64;
	struct env_timer **v = realloc(h->v, sizeof *v * (cap + 1));
	if (!v)
		return -ENOMEM;
	h->v = v;
	uint64_t *order = realloc(h->order, sizeof *order * (cap + 1));
	if (!order)
		return -ENOMEM;
	h->order = order;
	h->cap = cap;
	return 0;
}

void timer_heap_done(struct timer_heap *h)
{
	for (uint32_t i = 1; i <= h->len; i++)
		h->v[i]->heap_pos = 0;
	free(h->v);
	free(h->order);
	*h = (struct timer_heap){0};
}

int timer_heap_set(struct timer_heap *h, struct env_timer *t, uint64_t at_us)
{
	if (!t->heap_pos) {
		if (h->len == h->cap && grow(h) < 0)
			return -ENOMEM;
		h->v[++h->len] = t;
		t->heap_pos = h->len;
	}
	ASSERT(h->v[t->heap_pos] == t);
	t->at_us = at_us;
	h->order[t->heap_pos] = h->next_order++;
	sift_up(h, t->heap_pos);
	sift_down(h, t->heap_pos);
	return 0;
}

void timer_heap_cancel(struct timer_heap *h, struct env_timer *t)
{
	uint32_t i = t->heap_pos;
	if (!i)
		return;
	ASSERT(h->v[i] == t);
	if (i != h->len)
		swap(h, i, h->len);
	h->len--;
	t->heap_pos = 0;
	if (i <= h->len) {
		sift_up(h, i);
		sift_down(h, i);
	}
}

uint64_t timer_heap_next_us(const struct timer_heap *h)
{
	return h->len ? h->v[1]->at_us : UINT64_MAX;
}

struct env_timer *timer_heap_pop(struct timer_heap *h, uint64_t now_us)
{
	if (timer_heap_next_us(h) > now_us)
		return NULL;
	struct env_timer *t = h->v[1];
	timer_heap_cancel(h, t);
	return t;
}
