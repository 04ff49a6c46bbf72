/* index_table.c - the open-addressing table of the prefix index: insert, delete, growth in place, the sweep. */
#include "kv/index_internal.h"

#include <sys/mman.h>

const struct kv_slot kv_nowhere;

enum {
	FULL_PERCENT = 70, /* grow, or keep fewer blocks, from here on */
	REFUSE_PERCENT = 80, /* while a sweep makes room no entry is added above this */
	GROW_SLOTS = 256, /* moved for each KV_TEND_BLOCKS blocks stored: done after cap / 8 of them */
	SWEEP_SLOTS = 1024,
	BACK_SLOTS = 512 * 1024, /* 8 MiB: less than a millisecond */
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
	struct kv_slot *s = &ix->slots[kv_home(ix, entry.key)], *end = s + KV_REACH;

	while (s->set)
		if (UNLIKELY(++s == end))
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
	struct kv_slot *gap = s, *end = s + KV_RUN_MAX;

	for (struct kv_slot *next = s + 1; next->set; next++) {
		if (UNLIKELY(next == end)) {
			kv_table_reset(ix);
			return;
		}
		if (&ix->slots[kv_home(ix, next->key)] <= gap) {
			note_move(ix, gap, next);
			*gap = *next;
			gap = next;
		}
	}
	*gap = (struct kv_slot){0};
	ix->len--;
}

/* Pages that were never touched, or given back, read as zeros: empty slots. */
static void give_back(struct kv_slot *first, const void *end)
{
	const uintptr_t page = 4096;
	uintptr_t from = ((uintptr_t)first + page - 1) & ~(page - 1), to = (uintptr_t)end & ~(page - 1);

	if (from < to)
		(void)madvise(
			(void *)from, to - from, MADV_DONTNEED); /* they are zeros already, or we live with them */
}

void kv_table_reset(struct kv_index *ix)
{
	for (uint32_t i = 0; i < ix->words * 64; i++) {
		struct kv_inner *w = &ix->inner[i];
		if (w->state == KV_LIVE)
			w->forgotten = w->held;
		else
			w->state = KV_FREE;
	}
	memset(&ix->swept, 0, sizeof ix->swept);
	ix->sweeping = ix->sweep_more = false;
	ix->pending = ix->keep_log2 = 0;
	ix->forgotten += ix->len;
	ix->resets++;
	ix->xor = kv_digest_mix(ix->xor ^ix->times);
	ix->times = kv_digest_mix(ix->times ^ ix->xor) | 1;
	memset(ix->slots, 0, (ix->grown + KV_SLACK) * sizeof *ix->slots);
	ix->cap = ix->grown = ix->border = KV_FIRST_CAP;
	ix->len = ix->cursor = 0;
	ix->wide_top = ix->wide_free = ix->wide_used = 0;
}

/* The last block has gone, with whoever held it: so does the memory of a table that had grown. Its slots are empty: it is small
 * from now on, and what lies above goes back piece by piece, as long as it does not grow again. */
static void shrink(struct kv_index *ix)
{
	if (ix->cap <= KV_FIRST_CAP || kv_growing(ix))
		return;
	ix->back_from = KV_FIRST_CAP + KV_SLACK;
	ix->back_to = ix->cap + KV_SLACK;
	ix->cap = ix->grown = ix->border = KV_FIRST_CAP;
}

/* True: there is more. */
static bool go_on_giving_back(struct kv_index *ix)
{
	uint64_t from = ix->back_to - MIN(ix->back_to - ix->back_from, (uint64_t)BACK_SLOTS);

	if (ix->back_to == ix->back_from)
		return false;
	if (ix->grown != KV_FIRST_CAP) {
		ix->back_to = ix->back_from;
		return false;
	}
	give_back(ix->slots + from, ix->slots + ix->back_to);
	ix->back_to = from;
	return from > ix->back_from;
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
	{
		ix->inner[i].state = KV_FREE;
		ix->pending--;
	}
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
	if (!ix->len && !ix->sweeping)
		shrink(ix);
	return go_on_giving_back(ix) || ix->sweeping || ix->sweep_more;
}
