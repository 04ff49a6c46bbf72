#include "kv/cells.h"

int kv_cells_init(struct kv_cells *c, uint32_t cells, uint32_t seqs)
{
	*c = (struct kv_cells){.cells = cells, .seqs = seqs, .free_count = cells};
	c->refs = calloc(cells, sizeof *c->refs);
	c->active_refs = calloc(cells, sizeof *c->active_refs);
	c->free = malloc(sizeof *c->free * cells);
	c->seq = calloc(seqs, sizeof *c->seq);
	if (!c->refs || !c->active_refs || !c->free || !c->seq) {
		kv_cells_done(c);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < cells; i++)
		c->free[i] = cells - 1 - i;
	return 0;
}

void kv_cells_done(struct kv_cells *c)
{
	for (uint32_t i = 0; c->seq && i < c->seqs; i++)
		vec_done(&c->seq[i].cells);
	free(c->refs);
	free(c->active_refs);
	free(c->free);
	free(c->seq);
	*c = (struct kv_cells){0};
}

int kv_cells_reserve(struct kv_cells *c, uint32_t seq, uint32_t len)
{
	struct kv_cells_seq *s = &c->seq[seq];

	return len > s->cells.len ? vec_reserve(&s->cells, len - s->cells.len) : 0;
}

static void hold(struct kv_cells *c, uint32_t cell, bool active)
{
	c->refs[cell]++;
	if (active && c->active_refs[cell]++ == 0)
		c->active_count++;
}

static void let_go(struct kv_cells *c, uint32_t cell, bool active)
{
	if (active && --c->active_refs[cell] == 0)
		c->active_count--;
	if (--c->refs[cell] == 0)
		c->free[c->free_count++] = cell;
}

int kv_cells_append(struct kv_cells *c, uint32_t seq, uint32_t count)
{
	struct kv_cells_seq *s = &c->seq[seq];

	if (count > c->free_count)
		return -ENOSPC;
	if (vec_reserve(&s->cells, count) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t cell = c->free[--c->free_count];
		hold(c, cell, s->active);
		s->cells.v[s->cells.len++] = cell;
	}
	return 0;
}

int kv_cells_copy(struct kv_cells *c, uint32_t src, uint32_t dst, uint32_t count)
{
	const struct kv_cells_seq *from = &c->seq[src];
	struct kv_cells_seq *to = &c->seq[dst];

	ASSERT(src != dst && to->cells.len == 0 && count <= from->cells.len);
	if (vec_reserve(&to->cells, count) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		hold(c, from->cells.v[i], to->active);
		to->cells.v[i] = from->cells.v[i];
	}
	to->cells.len = count;
	return 0;
}

void kv_cells_trim(struct kv_cells *c, uint32_t seq, uint32_t count)
{
	struct kv_cells_seq *s = &c->seq[seq];

	while (s->cells.len > count)
		let_go(c, s->cells.v[--s->cells.len], s->active);
}

void kv_cells_set_active(struct kv_cells *c, uint32_t seq, bool active)
{
	struct kv_cells_seq *s = &c->seq[seq];

	if (s->active == active)
		return;
	s->active = active;
	for (uint32_t i = 0; i < s->cells.len; i++) {
		uint32_t cell = s->cells.v[i];
		if (active)
			c->active_count += c->active_refs[cell]++ == 0;
		else
			c->active_count -= --c->active_refs[cell] == 0;
	}
}

/* The first position below len whose cell has at most limit references; len when none has. */
static uint32_t first_below(const uint16_t *refs, uint16_t limit, const uint32_t *cells, uint32_t len)
{
	uint32_t low = 0, high = len;

	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (refs[cells[mid]] > limit)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint32_t kv_cells_own(const struct kv_cells *c, uint32_t seq)
{
	const struct kv_cells_seq *s = &c->seq[seq];

	return s->cells.len - first_below(c->refs, 1, s->cells.v, s->cells.len);
}

uint32_t kv_cells_inactive(const struct kv_cells *c, uint32_t seq, uint32_t count)
{
	const struct kv_cells_seq *s = &c->seq[seq];

	return count - first_below(c->active_refs, 0, s->cells.v, count);
}
