/* index_match.c - the overlap of a prompt with every worker, by a jump search.
 *
 * Sets only shrink with depth (holdings are closed under prefixes), so where two positions have the same set, all
 * between have it too. Begin with a coarse grid of positions; then, round by round, look between neighbours whose sets
 * differ until each pair is adjacent. All look-ups of a round are prefetched together: a round costs one memory latency,
 * however many distinct depths there are.
 *
 * Where holdings are not closed (a foreign engine's events were lost) the search still ends, and a worker counts up to
 * the first position looked at that does not have it: too little, never more than that. */
#include "kv/index_internal.h"

enum { GRID = 30, ROUND_PROBES = 64, BETWEEN_MAX = 31 };

static const struct kv_slot NOBODY;

struct search {
	const struct kv_index *ix;
	const uint64_t *hashes;
	enum kv_tier tier;
	struct kv_probe *known, *next; /* by ascending position */
	uint32_t len;
};

static uint64_t key_at(const struct search *q, uint32_t pos)
{
	return kv_key(q->ix, q->tier, q->hashes[pos]);
}

/* The last position in (low, pos] that the index keeps; low when there is none. */
static uint32_t kept_down(const struct search *q, uint32_t pos, uint32_t low)
{
	while (pos > low && !kv_keeps(q->ix, key_at(q, pos)))
		pos--;
	return pos;
}

static bool same(const struct kv_index *ix, const struct kv_slot *a, const struct kv_slot *b)
{
	struct kv_bits x, y;
	uint64_t differs = 0;

	if (!((a->key | b->key) & 1))
		return !((a->set ^ b->set) & ix->live.w[0]);
	kv_set_load(ix, a, &x);
	kv_set_load(ix, b, &y);
	for (uint32_t i = 0; i < ix->words; i++)
		differs |= (x.w[i] ^ y.w[i]) & ix->live.w[i];
	return !differs;
}

static void probe_add(struct search *q, uint32_t *len, uint32_t pos)
{
	uint64_t key = key_at(q, pos);

	q->next[(*len)++] = (struct kv_probe){.pos = pos, .key = key};
	kv_prefetch(q->ix, key);
}

/* Up to between new positions inside (low, high), evenly spread; one at least where the index keeps one. */
static void probes_between(struct search *q, uint32_t *len, uint32_t low, uint32_t high, uint32_t between)
{
	uint32_t last = low;

	between = MIN(between, high - low - 1);
	for (uint32_t k = 1; k <= between; k++) {
		uint32_t pos = low + (uint32_t)((uint64_t)(high - low) * k / (between + 1));
		pos = kept_down(q, pos, last);
		if (pos > last)
			probe_add(q, len, pos);
		last = pos;
	}
	if (last == low && kept_down(q, high - 1, low) > low)
		probe_add(q, len, kept_down(q, high - 1, low));
}

/* Look up what is new in next, keep the ends of each stretch of equal sets, and make it the known list. */
static void settle(struct search *q, uint32_t len)
{
	struct kv_probe *p = q->next;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < len; i++)
		if (!p[i].slot) {
			const struct kv_slot *s = kv_find(q->ix, p[i].key);
			p[i].slot = s->set ? s : &NOBODY;
		}
	for (uint32_t i = 0; i < len; i++) {
		bool inside = i > 0 && i + 1 < len && same(q->ix, p[i].slot, p[i + 1].slot) &&
			      same(q->ix, q->known[kept - 1].slot, p[i].slot);
		if (!inside)
			q->known[kept++] = p[i];
	}
	q->len = kept;
}

static bool is_open(const struct search *q, uint32_t i)
{
	const struct kv_probe *a = &q->known[i], *b = a + 1;

	return b->pos - a->pos > 1 && !same(q->ix, a->slot, b->slot) && kept_down(q, b->pos - 1, a->pos) > a->pos;
}

/* One round. False: nothing is left to look at (or, with holdings far from closed, no room to look further). */
static bool refine(struct search *q)
{
	uint32_t open = 0, len = 0;

	for (uint32_t i = 0; i + 1 < q->len; i++)
		open += is_open(q, i);
	if (!open)
		return false;
	uint32_t between = MIN(MAX(ROUND_PROBES / open, 1u), (uint32_t)BETWEEN_MAX);
	if (q->len + open * between > KV_PROBES_MAX)
		return false;
	for (uint32_t i = 0; i < q->len; i++) {
		q->next[len++] = q->known[i];
		if (i + 1 < q->len && is_open(q, i))
			probes_between(q, &len, q->known[i].pos, q->known[i + 1].pos, between);
	}
	settle(q, len);
	return true;
}

/* The first grid: first and last position kept, and some between. False: the index keeps none of them. */
static bool grid(struct search *q, uint32_t count)
{
	uint32_t first = 0, len = 0, last;

	while (first < count && !kv_keeps(q->ix, key_at(q, first)))
		first++;
	if (first == count)
		return false;
	last = kept_down(q, count - 1, first);
	probe_add(q, &len, first);
	if (last > first) {
		probes_between(q, &len, first, last, GRID);
		probe_add(q, &len, last);
	}
	settle(q, len);
	return true;
}

static uint32_t leave(
	const struct kv_index *ix, struct kv_overlap *out, uint32_t n, const struct kv_bits *gone, uint32_t blocks)
{
	KV_BITS_EACH(i, gone, ix->words)
	out[n++] = (struct kv_overlap){ix->inner[i].outer, blocks};
	return n;
}

/* Walk down: who is there at one position and not at the next has the blocks up to the first of the two. */
static uint32_t overlaps(const struct search *q, struct kv_overlap *out)
{
	const struct kv_index *ix = q->ix;
	struct kv_bits here, next, gone;
	uint32_t n = 0;

	kv_set_load(ix, q->known[0].slot, &here);
	for (uint32_t w = 0; w < ix->words; w++)
		here.w[w] &= ix->live.w[w];
	for (uint32_t i = 0; i < q->len; i++) {
		kv_set_load(ix, i + 1 < q->len ? q->known[i + 1].slot : &NOBODY, &next);
		for (uint32_t w = 0; w < ix->words; w++) {
			gone.w[w] = here.w[w] & ~next.w[w];
			here.w[w] &= next.w[w];
		}
		n = leave(ix, out, n, &gone, q->known[i].pos + 1);
	}
	return n;
}

uint32_t kv_index_match(const struct kv_index *ix, enum kv_tier tier, const uint64_t *hashes, uint32_t count,
	struct kv_overlap *ret, uint32_t cap)
{
	struct kv_index *scratch = (struct kv_index *)(uintptr_t)ix; /* one owner: see the header */
	struct search q = {ix, hashes, tier, scratch->probes[0], scratch->probes[1], 0};
	uint32_t n;

	if (!count || !ix->len || !grid(&q, count))
		return 0;
	while (refine(&q))
		;
	n = overlaps(&q, scratch->overlaps);
	cap = MIN(cap, n);
	for (uint32_t i = 0; i < cap; i++)
		ret[i] = scratch->overlaps[n - 1 - i];
	return cap;
}
