/* index_set.c - the set of workers of one slot: a word, a list of six, or a larger set (drawn in index_internal.h). */
#include "kv/index_internal.h"

static const uint64_t HANDLE = 1ull << 63;
enum { ID_BITS = 10, ID_MASK = (1 << ID_BITS) - 1 };

static struct kv_bits *wide_at(const struct kv_index *ix, uint32_t number)
{
	return ix->wide_end - 1 - number;
}

/* The number of a free larger set, or UINT32_MAX. A free one holds in its first word 1 + the number of the next. */
static uint32_t wide_take(struct kv_index *ix)
{
	uint32_t number = ix->wide_free;
	const char *floor = (const char *)(ix->slots + ix->slots_max);

	if (number) {
		ix->wide_free = (uint32_t)wide_at(ix, number - 1)->w[0];
		ix->wide_used++;
		return number - 1;
	}
	if ((const char *)wide_at(ix, ix->wide_top) < floor)
		return UINT32_MAX;
	ix->wide_used++;
	return ix->wide_top++;
}

static void wide_give(struct kv_index *ix, uint32_t number)
{
	wide_at(ix, number)->w[0] = ix->wide_free;
	ix->wide_free = number + 1;
	ix->wide_used--;
}

static bool is_wide(const struct kv_slot *s)
{
	return s->key & 1;
}
static bool is_handle(const struct kv_slot *s)
{
	return is_wide(s) && (s->set & HANDLE);
}

void kv_set_load(const struct kv_index *ix, const struct kv_slot *s, struct kv_bits *ret)
{
	if (is_handle(s)) {
		memcpy(ret->w, wide_at(ix, (uint32_t)s->set)->w, ix->words * sizeof *ret->w);
		return;
	}
	memset(ret->w, 0, ix->words * sizeof *ret->w);
	if (!is_wide(s)) {
		ret->w[0] = s->set;
		return;
	}
	for (uint32_t i = 0; i < KV_LIST_MAX; i++) {
		uint32_t id = s->set >> (i * ID_BITS) & ID_MASK;
		ret->w[id / 64] |= 1ull << (id % 64);
	}
}

static uint64_t list_of(const struct kv_bits *b, uint32_t words)
{
	uint64_t list = 0, id = 0;
	uint32_t n = 0;

	KV_BITS_EACH(i, b, words)
	{
		id = i;
		list |= id << (n++ * ID_BITS);
	}
	for (; n < KV_LIST_MAX; n++)
		list |= id << (n * ID_BITS);
	return list;
}

/* Write the set back in its smallest form. False: it needs a larger set and there is no room for one. */
static bool set_put(struct kv_index *ix, struct kv_slot *s, const struct kv_bits *b)
{
	uint32_t members = 0, above = 0;

	for (uint32_t i = 0; i < ix->words; i++) {
		members += (uint32_t)__builtin_popcountll(b->w[i]);
		above |= i && b->w[i];
	}
	if (above && members > KV_LIST_MAX) {
		uint32_t number = is_handle(s) ? (uint32_t)s->set : wide_take(ix);
		if (number == UINT32_MAX)
			return false;
		struct kv_bits *w = wide_at(ix, number);
		memcpy(w->w, b->w, ix->words * sizeof *w->w);
		memset(w->w + ix->words, 0, (KV_WORDS - ix->words) * sizeof *w->w);
		s->key |= 1;
		s->set = HANDLE | number;
		return true;
	}
	kv_set_release(ix, s);
	s->key = (s->key & ~1ull) | above;
	s->set = above ? list_of(b, ix->words) : b->w[0];
	return true;
}

struct kv_slot kv_slot_of(uint64_t key, uint32_t inner)
{
	struct kv_slot s = {key, inner < 64 ? 1ull << inner : 0};

	if (inner >= 64) {
		s.key |= 1;
		for (uint32_t i = 0; i < KV_LIST_MAX; i++)
			s.set |= (uint64_t)inner << (i * ID_BITS);
	}
	return s;
}

bool kv_set_has(const struct kv_index *ix, const struct kv_slot *s, uint32_t inner)
{
	struct kv_bits b;

	if (!is_wide(s))
		return inner < 64 && s->set >> inner & 1;
	kv_set_load(ix, s, &b);
	return b.w[inner / 64] >> (inner % 64) & 1;
}

bool kv_set_add(struct kv_index *ix, struct kv_slot *s, uint32_t inner)
{
	struct kv_bits b;

	if (!is_wide(s) && inner < 64) {
		s->set |= 1ull << inner;
		return true;
	}
	if (is_handle(s)) {
		wide_at(ix, (uint32_t)s->set)->w[inner / 64] |= 1ull << (inner % 64);
		return true;
	}
	kv_set_load(ix, s, &b);
	b.w[inner / 64] |= 1ull << (inner % 64);
	return set_put(ix, s, &b);
}

void kv_set_remove(struct kv_index *ix, struct kv_slot *s, uint32_t inner)
{
	struct kv_bits b;

	if (!is_wide(s)) {
		if (inner < 64)
			s->set &= ~(1ull << inner);
		return;
	}
	kv_set_load(ix, s, &b);
	b.w[inner / 64] &= ~(1ull << (inner % 64));
	ASSERT(set_put(ix, s, &b)); /* smaller sets always fit */
}

void kv_set_subtract(struct kv_index *ix, struct kv_slot *s, const struct kv_bits *gone)
{
	struct kv_bits b;
	bool touched = false;

	if (!is_wide(s)) {
		s->set &= ~gone->w[0];
		return;
	}
	kv_set_load(ix, s, &b);
	for (uint32_t i = 0; i < ix->words; i++) {
		touched |= (b.w[i] & gone->w[i]) != 0;
		b.w[i] &= ~gone->w[i];
	}
	if (touched)
		ASSERT(set_put(ix, s, &b));
}

void kv_set_release(struct kv_index *ix, struct kv_slot *s)
{
	if (is_handle(s))
		wide_give(ix, (uint32_t)s->set);
	s->key &= ~1ull;
	s->set = 0;
}
