/* index_internal.h - the parts of the prefix index. Only for src/kv/index*.c.
 *
 * One reservation of bytes_max:
 *
 *     | struct kv_index | slots, growing upwards --> .... <-- larger sets, growing downwards |
 *
 * A slot is 16 bytes, open addressing with linear probing and no wrap-around (SLACK slots stand behind the last home):
 *
 *     key   bits 63..1  the hash, mixed with a secret (a bijection): home = key * capacity >> 64, so homes ascend with keys
 *           bit  0      0: set is a word, bit i = worker i (of the first 64)     1: set is wide
 *     set   0           the slot is empty
 *           wide, bit 63 = 0: up to six worker numbers of 10 bits, ascending, the last one repeated
 *           wide, bit 63 = 1: number of a larger set of 1,024 bits
 *
 * So identity is 63 bits of hash. A worker's number here is an inner one: clearing a worker gives it a new inner number
 * and leaves the old one to the sweep, which makes it O(1).
 *
 * Growth is in place and piecemeal, from the top down: with homes ascending, a cluster (a run of full slots) moves to
 * higher slots only. Keys whose old home is at or above `border` live in the new layout. Every entry lies within
 * REACH slots of its home, and the gap between the two layouts is never smaller than that.
 *
 * Bounds. A search ends after REACH slots. A deletion moves up what lies behind it, at most RUN_MAX slots: a run that long does not
 * come by chance at 80 % (its length falls by e every dozen slots), so somebody knows the secret; then all entries are
 * forgotten and a new secret is drawn from the old one. */
#ifndef STATOR_KV_INDEX_INTERNAL_H
#define STATOR_KV_INDEX_INTERNAL_H

#include "kv/hash.h"
#include "kv/index.h"

#include <string.h>

enum {
	KV_WORDS = KV_INDEX_WORKERS_MAX / 64,
	KV_LIST_MAX = 6,
	KV_REACH = 512,
	KV_RUN_MAX = 16 * 1024,
	KV_SLACK = 1024,
	KV_FINISH = 4096, /* slots that growth moves in one go at the end */
	KV_CARRY = KV_FINISH + KV_SLACK,
	KV_FIRST_CAP = 1024,
	KV_PROBES_MAX = 4 * KV_INDEX_WORKERS_MAX,
};
_Static_assert(KV_FINISH / 4 > KV_REACH, "growth is by a quarter at least: the gap at the border");

struct kv_slot {
	uint64_t key, set;
};
struct kv_bits {
	uint64_t w[KV_WORDS];
};
struct kv_probe {
	uint32_t pos;
	uint64_t key;
	const struct kv_slot *slot; /* NULL: not looked up yet */
};
enum kv_inner_state { KV_FREE, KV_LIVE, KV_DEAD, KV_SWEPT };
struct kv_inner {
	uint64_t digest;
	uint32_t held, forgotten;
	uint16_t outer;
	uint8_t state;
};

struct kv_index {
	uint64_t bytes_max;
	uint64_t xor, times; /* the secret: times is odd */
	struct kv_slot *slots;
	uint64_t cap; /* homes */
	uint64_t grown; /* capacity being grown to; cap otherwise */
	uint64_t border; /* old homes from here on are in the new layout; cap when not growing */
	uint64_t len;
	uint64_t slots_max; /* most that may ever be, SLACK included */

	struct kv_bits *wide_end; /* larger sets are wide_end[-1 - number] */
	uint32_t wide_top, wide_free, wide_used; /* wide_free: 1 + number of the first free one */
	uint32_t words; /* of 64 inner numbers, in use so far */

	bool sweeping, sweep_more;
	uint64_t cursor;
	struct kv_bits swept; /* inner numbers being swept */
	uint32_t pending; /* inner numbers that wait for their sweep, or are in it */
	uint64_t back_from, back_to; /* slots whose memory is being given back; equal: none */
	struct kv_bits live;
	uint32_t keep_log2;
	uint64_t doubled, late, forgotten, resets;

	uint32_t workers;
	uint16_t inner_of[KV_INDEX_WORKERS_MAX]; /* outer -> inner; KV_INDEX_WORKERS_MAX: none */
	struct kv_inner inner[KV_INDEX_WORKERS_MAX];
	/* Scratch. */
	struct kv_slot carry[KV_CARRY];
	struct kv_probe probes[2][KV_PROBES_MAX];
	struct kv_overlap overlaps[KV_INDEX_WORKERS_MAX];
};

/* Two rounds: after one, arithmetic progressions of hashes stay progressions. */
static inline uint64_t kv_key(const struct kv_index *ix, enum kv_tier tier, uint64_t hash)
{
	uint64_t x = (kv_index_tier_hash(tier, hash) ^ ix->xor) * 0xd6e8feb86659fd93ull;

	return ((x ^ x >> 32) * ix->times) & ~1ull;
}
extern const struct kv_slot kv_nowhere; /* an empty slot of no table */
static inline uint64_t kv_home_in(uint64_t key, uint64_t cap)
{
	return (uint64_t)(((unsigned __int128)(key & ~1ull) * cap) >> 64);
}
static inline uint64_t kv_home(const struct kv_index *ix, uint64_t key)
{
	uint64_t home = kv_home_in(key, ix->cap);
	return LIKELY(home < ix->border) ? home : kv_home_in(key, ix->grown);
}
static inline void kv_prefetch(const struct kv_index *ix, uint64_t key)
{
	__builtin_prefetch(&ix->slots[kv_home(ix, key)], 0, 3);
}
/* The slot of key, or an empty one: where it would go, unless that is too far away. Not to be written to then. */
static inline struct kv_slot *kv_find(const struct kv_index *ix, uint64_t key)
{
	struct kv_slot *s = &ix->slots[kv_home(ix, key)];

	if (LIKELY(!s->set || (s->key ^ key) <= 1))
		return s;
	for (const struct kv_slot *end = s + KV_REACH; ++s < end;)
		if (!s->set || (s->key ^ key) <= 1)
			return s;
	return (struct kv_slot *)(uintptr_t)&kv_nowhere;
}
/* Is the block kept, now that only every 2^keep_log2-th is? By the key, which is all that a slot knows. */
static inline bool kv_keeps(const struct kv_index *ix, uint64_t key)
{
	return LIKELY(!ix->keep_log2) || !(kv_digest_mix(key & ~1ull) & ((1ull << ix->keep_log2) - 1));
}

/* index_table.c */
/* A new entry. False: no room, or it would lie too far from its home. */
bool kv_table_insert(struct kv_index *ix, struct kv_slot entry);
void kv_table_delete(struct kv_index *ix, struct kv_slot *s);
/* Forget every entry, and draw a new secret. O(1) but for the pages, which go back to the system. */
void kv_table_reset(struct kv_index *ix);
/* Make room for a few more entries: begin or go on with growth, thinning, sweeping. */
void kv_table_tend(struct kv_index *ix);
void kv_table_grow_step(struct kv_index *ix, uint32_t slots_max);
void kv_sweep_begin(struct kv_index *ix);
void kv_sweep_step(struct kv_index *ix, uint32_t slots_max);
/* Go on with growth or sweeping. True: there is more to do. */
bool kv_table_clean(struct kv_index *ix, uint32_t slots_max);
static inline bool kv_growing(const struct kv_index *ix)
{
	return ix->grown != ix->cap;
}
static inline uint64_t kv_room(const struct kv_index *ix, uint32_t percent)
{
	return ix->grown / 100 * percent;
}

/* index_set.c: the set of one slot. */
/* A slot whose set is this one worker. */
struct kv_slot kv_slot_of(uint64_t key, uint32_t inner);
/* Copy the set to ret->w[0 .. ix->words). */
void kv_set_load(const struct kv_index *ix, const struct kv_slot *s, struct kv_bits *ret);
bool kv_set_has(const struct kv_index *ix, const struct kv_slot *s, uint32_t inner);
/* False: no room for a larger set; nothing changed. */
bool kv_set_add(struct kv_index *ix, struct kv_slot *s, uint32_t inner);
/* An empty set leaves s->set == 0: delete the slot then. */
void kv_set_remove(struct kv_index *ix, struct kv_slot *s, uint32_t inner);
/* Remove all of gone. */
void kv_set_subtract(struct kv_index *ix, struct kv_slot *s, const struct kv_bits *gone);
/* Free what a slot refers to, before it is deleted for other reasons. */
void kv_set_release(struct kv_index *ix, struct kv_slot *s);

static inline uint32_t kv_bits_next(const struct kv_bits *b, uint32_t words, uint32_t from)
{
	for (uint32_t i = from / 64; i < words; i++) {
		uint64_t w = b->w[i] & (i == from / 64 ? ~0ull << (from % 64) : ~0ull);
		if (w)
			return i * 64 + (uint32_t)__builtin_ctzll(w);
	}
	return UINT32_MAX;
}
#define KV_BITS_EACH(var, bits, words)                                                                                 \
	for (uint32_t var = kv_bits_next(bits, words, 0); var != UINT32_MAX; var = kv_bits_next(bits, words, var + 1))

#endif
