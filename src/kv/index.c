/* index.c - workers, events and the account of them; the table is in index_table.c, look-ups in index_match.c. */
#include "kv/index_internal.h"

#include <sys/mman.h>

enum {
	TEND_BLOCKS = 32, /* stored between two calls of kv_table_tend */
	AHEAD = 16, /* look-ups prefetched */
	WIDE_SHARE = 16, /* of the budget, a sixteenth is for larger sets */
	NONE = KV_INDEX_WORKERS_MAX,
	PENDING_MAX = KV_INDEX_WORKERS_MAX / 4, /* the rest is for workers that come */
};

int kv_index_create(struct kv_index **ret, const struct kv_index_config *config, struct err *err)
{
	uint64_t bytes = config->bytes_max ? config->bytes_max : KV_INDEX_BYTES_DEFAULT;
	struct kv_index *ix;

	if (bytes < KV_INDEX_BYTES_MIN)
		return err_set(err, -EINVAL, "cannot make a prefix index of %llu bytes: it takes %d at least",
			(unsigned long long)bytes, KV_INDEX_BYTES_MIN);
	bytes &= ~4095ull;
	ix = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ix == MAP_FAILED)
		return err_set_errno(
			err, -errno, "could not reserve %llu bytes for the prefix index", (unsigned long long)bytes);
	(void)madvise(ix, bytes, MADV_HUGEPAGE); /* random look-ups: fewer TLB misses. A hint */
	ix->bytes_max = bytes;
	ix->xor = config->secret[0];
	ix->times = config->secret[1] ? config->secret[1] | 1 : 0x9fb21c651e98df25ull;
	ix->slots = (struct kv_slot *)(((uintptr_t)(ix + 1) + 63) & ~63ull);
	ix->wide_end = (struct kv_bits *)((char *)ix + bytes);
	ix->slots_max = ((uint64_t)((char *)ix->wide_end - (char *)ix->slots) - bytes / WIDE_SHARE) / sizeof *ix->slots;
	ix->cap = ix->grown = ix->border = KV_FIRST_CAP;
	ix->words = 1;
	for (uint32_t i = 0; i < KV_INDEX_WORKERS_MAX; i++)
		ix->inner_of[i] = NONE;
	*ret = ix;
	return 0;
}

void kv_index_destroy(struct kv_index *ix)
{
	if (ix)
		munmap(ix, ix->bytes_max);
}

/* ---- workers ---- */

static uint32_t inner_free(const struct kv_index *ix)
{
	for (uint32_t i = 0; i < KV_INDEX_WORKERS_MAX; i++)
		if (ix->inner[i].state == KV_FREE)
			return i;
	return NONE;
}

/* A free number. All may be taken by workers that left and are not swept yet: then, rarely, sweep here and now. */
static uint32_t inner_sweep(struct kv_index *ix)
{
	uint32_t i;

	while ((i = inner_free(ix)) == NONE)
		kv_table_clean(ix, KV_INDEX_SCRUB_SLOTS);
	return i;
}

static void inner_give(struct kv_index *ix, uint32_t worker, uint32_t i)
{
	ix->inner[i] = (struct kv_inner){.outer = (uint16_t)worker, .state = KV_LIVE};
	ix->live.w[i / 64] |= 1ull << (i % 64);
	ix->words = MAX(ix->words, i / 64 + 1);
	ix->inner_of[worker] = (uint16_t)i;
}

static void inner_leave(struct kv_index *ix, uint32_t worker)
{
	uint32_t i = ix->inner_of[worker];

	ASSERT(worker < KV_INDEX_WORKERS_MAX && i != NONE);
	ix->inner_of[worker] = NONE;
	ix->live.w[i / 64] &= ~(1ull << (i % 64));
	ix->inner[i].state = ix->inner[i].held ? KV_DEAD : KV_FREE;
	ix->sweep_more |= ix->inner[i].state == KV_DEAD;
	ix->pending += ix->inner[i].state == KV_DEAD;
}

int kv_index_worker_add(struct kv_index *ix, uint32_t *ret_worker)
{
	uint32_t worker = 0;

	while (worker < KV_INDEX_WORKERS_MAX && ix->inner_of[worker] != NONE)
		worker++;
	if (worker == KV_INDEX_WORKERS_MAX)
		return -ENOSPC;
	inner_give(ix, worker, inner_sweep(ix));
	ix->workers++;
	*ret_worker = worker;
	return 0;
}

void kv_index_worker_remove(struct kv_index *ix, uint32_t worker)
{
	inner_leave(ix, worker);
	ix->workers--;
}

/* Without a free number and nothing to be swept all are at work: then, as when a worker comes, here and now. */
bool kv_index_clear(struct kv_index *ix, uint32_t worker)
{
	uint32_t own = ix->inner_of[worker], i = ix->inner[own].held ? inner_free(ix) : own;

	if (i != own && (ix->pending >= PENDING_MAX || (i == NONE && ix->pending)))
		return false;
	inner_leave(ix, worker);
	inner_give(ix, worker, i == NONE ? inner_sweep(ix) : i);
	return true;
}

bool kv_index_scrub(struct kv_index *ix, uint32_t slots_max)
{
	return kv_table_clean(ix, slots_max);
}

/* ---- events ---- */

/* Record that inner holds the block of key, whose slot s is (or where it would go). False: no room. */
static bool record(struct kv_index *ix, struct kv_slot *s, uint64_t key, uint32_t inner)
{
	if (!kv_keeps(ix, key))
		return false;
	return s->set ? kv_set_add(ix, s, inner) : kv_table_insert(ix, kv_slot_of(key, inner));
}

static int store_one(struct kv_index *ix, uint32_t inner, uint64_t tier_hash, uint64_t key)
{
	struct kv_inner *w = &ix->inner[inner];
	struct kv_slot *s = kv_find(ix, key);

	if (s->set && kv_set_has(ix, s, inner)) {
		ix->doubled++;
		return 0;
	}
	w->digest = kv_digest_add(w->digest, tier_hash);
	w->held++;
	if (record(ix, s, key, inner))
		return 0;
	w->forgotten++;
	ix->forgotten++;
	return -ENOSPC;
}

/* The keys of a batch of blocks, their slots prefetched; made one batch ahead. */
static uint32_t keys_make(
	const struct kv_index *ix, enum kv_tier tier, const uint64_t *hashes, uint32_t count, uint64_t *ret)
{
	uint32_t n = MIN(count, (uint32_t)AHEAD);

	for (uint32_t i = 0; i < n; i++) {
		ret[i] = kv_key(ix, tier, hashes[i]);
		kv_prefetch(ix, ret[i]);
	}
	return n;
}

int kv_index_store(struct kv_index *ix, uint32_t worker, enum kv_tier tier, const uint64_t *hashes, uint32_t count)
{
	uint64_t keys[2][AHEAD];
	uint32_t inner = ix->inner_of[worker], n = keys_make(ix, tier, hashes, count, keys[0]), next;
	uint64_t resets = ix->resets;
	int ret = 0;

	ASSERT(inner != NONE);
	for (uint32_t at = 0, turn = 0; at < count; at += n, n = next, turn ^= 1) {
		if (at % TEND_BLOCKS == 0)
			kv_table_tend(ix);
		if (UNLIKELY(ix->resets != resets)) { /* another secret */
			keys_make(ix, tier, hashes + at, n, keys[turn]);
			resets = ix->resets;
		}
		next = keys_make(ix, tier, hashes + at + n, count - at - n, keys[!turn]);
		for (uint32_t i = 0; i < n; i++)
			if (store_one(ix, inner, kv_index_tier_hash(tier, hashes[at + i]), keys[turn][i]) < 0)
				ret = -ENOSPC;
	}
	return ret;
}

static void account_drop(struct kv_inner *w, uint64_t tier_hash)
{
	w->digest = kv_digest_remove(w->digest, tier_hash);
	w->held--;
}

static void drop_one(struct kv_index *ix, uint32_t inner, uint64_t tier_hash, uint64_t key)
{
	struct kv_inner *w = &ix->inner[inner];
	struct kv_slot *s = kv_find(ix, key);

	if (s->set && kv_set_has(ix, s, inner)) {
		account_drop(w, tier_hash); /* first: a deletion may forget all */
		kv_set_remove(ix, s, inner);
		if (!s->set)
			kv_table_delete(ix, s);
	} else if (w->forgotten) {
		account_drop(w, tier_hash);
		w->forgotten--;
	} else {
		ix->late++;
	}
}

void kv_index_drop(struct kv_index *ix, uint32_t worker, enum kv_tier tier, const uint64_t *hashes, uint32_t count)
{
	uint32_t inner = ix->inner_of[worker];

	ASSERT(inner != NONE);
	for (uint32_t i = 0; i < count; i++) {
		if (i + AHEAD < count)
			kv_prefetch(ix, kv_key(ix, tier, hashes[i + AHEAD]));
		drop_one(ix, inner, kv_index_tier_hash(tier, hashes[i]), kv_key(ix, tier, hashes[i]));
	}
}

/* ---- what is known ---- */

static const struct kv_inner *inner_at(const struct kv_index *ix, uint32_t worker)
{
	ASSERT(worker < KV_INDEX_WORKERS_MAX && ix->inner_of[worker] != NONE);
	return &ix->inner[ix->inner_of[worker]];
}

uint64_t kv_index_digest(const struct kv_index *ix, uint32_t worker)
{
	return inner_at(ix, worker)->digest;
}
uint32_t kv_index_held(const struct kv_index *ix, uint32_t worker)
{
	return inner_at(ix, worker)->held;
}
uint32_t kv_index_forgotten(const struct kv_index *ix, uint32_t worker)
{
	return inner_at(ix, worker)->forgotten;
}

bool kv_index_has(const struct kv_index *ix, uint32_t worker, enum kv_tier tier, uint64_t hash)
{
	const struct kv_slot *s = kv_find(ix, kv_key(ix, tier, hash));

	return s->set && kv_set_has(ix, s, ix->inner_of[worker]);
}

bool kv_index_keeps(const struct kv_index *ix, enum kv_tier tier, uint64_t hash)
{
	return kv_keeps(ix, kv_key(ix, tier, hash));
}

uint64_t kv_index_count(const struct kv_index *ix, uint32_t worker)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < ix->grown + KV_SLACK; i++)
		count += ix->slots[i].set && kv_set_has(ix, &ix->slots[i], ix->inner_of[worker]);
	return count;
}

void kv_index_stats(const struct kv_index *ix, struct kv_index_stats *ret)
{
	*ret = (struct kv_index_stats){
		.blocks = ix->len,
		.slots = ix->grown,
		.bytes = (uint64_t)((const char *)(ix->slots + ix->grown + KV_SLACK) - (const char *)ix) +
			 ix->wide_top * sizeof *ix->wide_end,
		.workers = ix->workers,
		.wide_sets = ix->wide_used,
		.keep_log2 = ix->keep_log2,
		.doubled = ix->doubled,
		.late = ix->late,
		.forgotten = ix->forgotten,
		.resets = ix->resets,
		.growing = kv_growing(ix),
		.scrubbing = ix->sweeping || ix->sweep_more,
	};
}
