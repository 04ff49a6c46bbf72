/* index_table.c - the open-addressing table of the prefix index: insert, delete, growth in place, the sweep. */
#include "kv/index_internal.h"

enum {
	FULL_PERCENT = 70, /* grow, or keep fewer blocks, from here on */
	REFUSE_PERCENT = 80, /* while a sweep makes room no entry is added above this */
	GROW_SLOTS = 256, /* moved for each KV_TEND_BLOCKS blocks stored: done after cap / 8 of them */
	SWEEP_SLOTS = 1024,
};

/* The entry is given up: its workers hold a block that the index does not record. */
static void forget(struct kv_index *ix, struct kv_slot *s)
{
	struct kv_bits b;

	kv_set_load(ix, s, &b);
	KV_BITS_EACH(i, &b, ix->words)
	ix->inner[i].forgotten += ix->inner[i].state == KV_LIVE;
	ix->forgotten++;
	kv_set_release(ix, s);
}

static bool place(struct kv_index *ix, struct kv_slot entry)
{
	struct kv_slot *home = &ix->slots[kv_home(ix, entry.key)], *s = home;

	while (s->set)
		s++;
	if (s - home >= KV_REACH)
		return false;
	*s = entry;
	return true;
}

bool kv_table_insert(struct kv_index *ix, struct kv_slot entry)
{
	if (ix->len >= kv_room(ix, REFUSE_PERCENT) || !place(ix, entry))
		return false;
	ix->len++;
	return true;
}

/* An entry that the sweep has not seen yet may move to where it has been; then the sweep steps back. */
static void note_move(struct kv_index *ix, const struct kv_slot *to, const struct kv_slot *from)
{
	if (ix->sweeping && from >= ix->slots + ix->cursor && to < ix->slots + ix->cursor)
		ix->cursor = (uint64_t)(to - ix->slots);
}

/* Entries behind the gap that may lie nearer to their homes move up, so that no search stops too early. */
void kv_table_delete(struct kv_index *ix, struct kv_slot *s)
{
	struct kv_slot *gap = s;

	for (struct kv_slot *next = s + 1; next->set; next++)
		if (&ix->slots[kv_home(ix, next->key)] <= gap) {
			note_move(ix, gap, next);
			*gap = *next;
			gap = next;
		}
	*gap = (struct kv_slot){0};
	ix->len--;
}

/* Move all entries of slots [first, end) to the new layout. They are the highest of the old one. */
static void move_up(struct kv_index *ix, uint64_t first, uint64_t end)
{
	uint32_t n = 0;

	for (uint64_t i = end; i-- > first; ix->slots[i] = (struct kv_slot){0}) {
		if (!ix->slots[i].set)
			continue;
		if (n < KV_CARRY) {
			ix->carry[n++] = ix->slots[i];
			continue;
		}
		forget(ix, &ix->slots[i]); /* a run of thousands of full slots: not by chance */
		ix->len--;
	}
	ix->border = first;
	for (uint32_t i = 0; i < n; i++)
		if (!place(ix, ix->carry[i])) {
			forget(ix, &ix->carry[i]);
			ix->len--;
		}
}

static void grow_finish(struct kv_index *ix)
{
	uint64_t end = ix->border;

	while (ix->slots[end].set)
		end++;
	move_up(ix, 0, end);
	ix->cap = ix->border = ix->grown;
}

void kv_table_grow_step(struct kv_index *ix, uint32_t slots_max)
{
	uint64_t floor = ix->border > slots_max ? ix->border - slots_max : 0;

	while (kv_growing(ix) && (ix->border > floor || ix->border <= KV_FINISH)) {
		uint64_t first = ix->border, end = ix->border;
		if (ix->border <= KV_FINISH) {
			grow_finish(ix);
			return;
		}
		while (ix->slots[end].set) /* entries that did not fit below the border */
			end++;
		while (first > 0 && ix->slots[first - 1].set)
			first--;
		if (first == end)
			ix->border--;
		else
			move_up(ix, first, end);
	}
}

static bool grow_begin(struct kv_index *ix)
{
	uint64_t most = ix->slots_max - KV_SLACK, next = MIN(ix->cap * 2, most);

	if (next < ix->cap + ix->cap / 4)
		return false;
	ix->grown = next;
	ix->border = ix->cap;
	return true;
}

void kv_sweep_begin(struct kv_index *ix)
{
	for (uint32_t i = 0; i < ix->words * 64; i++)
		if (ix->inner[i].state == KV_DEAD) {
			ix->inner[i].state = KV_SWEPT;
			ix->swept.w[i / 64] |= 1ull << (i % 64);
		}
	ix->sweeping = true;
	ix->sweep_more = false;
	ix->cursor = 0;
}

static void sweep_end(struct kv_index *ix)
{
	KV_BITS_EACH(i, &ix->swept, ix->words)
	ix->inner[i].state = KV_FREE;
	memset(&ix->swept, 0, sizeof ix->swept);
	ix->sweeping = false;
}

static void sweep_slot(struct kv_index *ix, struct kv_slot *s)
{
	kv_set_subtract(ix, s, &ix->swept);
	if (s->set && !kv_keeps(ix, s->key))
		forget(ix, s);
	if (s->set)
		ix->cursor++;
	else
		kv_table_delete(ix, s);
}

void kv_sweep_step(struct kv_index *ix, uint32_t slots_max)
{
	uint64_t end = ix->cap + KV_SLACK;

	ASSERT(!kv_growing(ix));
	for (uint32_t i = 0; i < slots_max && ix->sweeping; i++) {
		if (ix->cursor >= end)
			sweep_end(ix);
		else if (ix->slots[ix->cursor].set)
			sweep_slot(ix, &ix->slots[ix->cursor]);
		else
			ix->cursor++;
	}
}

/* Growth moves entries about, so it does not start within a sweep, and a sweep waits for its end. */
void kv_table_tend(struct kv_index *ix)
{
	if (kv_growing(ix)) {
		kv_table_grow_step(ix, GROW_SLOTS);
	} else if (ix->sweeping) {
		kv_sweep_step(ix, SWEEP_SLOTS);
	} else if (ix->len >= kv_room(ix, FULL_PERCENT) && !grow_begin(ix)) {
		ix->keep_log2++;
		kv_sweep_begin(ix);
	}
	if (!ix->len && !ix->sweeping)
		ix->keep_log2 = 0;
}

bool kv_table_clean(struct kv_index *ix, uint32_t slots_max)
{
	if (kv_growing(ix)) {
		kv_table_grow_step(ix, slots_max);
		return kv_growing(ix) || ix->sweep_more;
	}
	if (!ix->sweeping && ix->sweep_more)
		kv_sweep_begin(ix);
	if (ix->sweeping)
		kv_sweep_step(ix, slots_max);
	return ix->sweeping || ix->sweep_more;
}
