/* index.h - which worker holds which prefix blocks: prefix hash -> set of workers, one set a tier. The router's memory.
 *
 * A hint: a block may be gone when the worker is asked. It may forget (for want of room) but never invents: what it says
 * somebody told it and nobody took back. It relies on holdings being closed under prefixes (who holds a block holds all
 * blocks before it), which lets a match jump over stretches that all holders share.
 *
 * Events may come doubled or late: a second store or drop of the same block changes nothing (both are counted). For each
 * worker the index keeps the count and the order-free digest (kv/hash.h) of what it was told, so that a difference to
 * what the worker itself reports is seen in O(1); repair is kv_index_clear and a fresh snapshot.
 *
 * Room. The table grows inside one reservation of bytes_max, which is a hard limit; memory is touched as it is needed,
 * about 23 to 46 bytes a block. When it is full, the index goes over to every 2nd block, then every 4th, 8th, ...,
 * chosen by hash: each prefix stays known, its length only to within so many blocks, always rounded down. (Forgetting
 * the deepest blocks first would need each block's depth, which events do not carry, and would cut long conversations
 * short instead.) It comes back to every block when it has been empty. What is forgotten still counts in the worker's
 * digest and count, so the comparison goes on; while blocks are forgotten a doubled event of one of them is not noticed.
 *
 * What workers say is not trusted: where a block lies depends on a secret of this process, so that nobody can choose hashes that
 * lie together, and every search and every removal looks at a bounded number of slots. Blocks for which that is too few are
 * forgotten, as for want of room.
 *
 * Thread: one owner. Nothing here allocates after create, not even growth; each call does a bounded piece of growth and
 * cleaning. Layout: index_internal.h. */
#ifndef STATOR_KV_INDEX_H
#define STATOR_KV_INDEX_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	KV_INDEX_WORKERS_MAX = 1024,
	KV_INDEX_BYTES_MIN = 1024 * 1024,
	KV_INDEX_SCRUB_SLOTS = 4096, /* a good slots_max for kv_index_scrub: some ten microseconds */
};
/* The numbers of enum msg_tier (wire/msg.h). */
enum kv_tier { KV_TIER_DEVICE, KV_TIER_HOST, KV_TIER_DISK, KV_TIER_COUNT };

struct kv_index;
struct kv_index_config {
	uint64_t bytes_max; /* 0: KV_INDEX_BYTES_DEFAULT */
	uint64_t secret[2]; /* random, of this process; zeros where nobody is to be feared */
};
static const uint64_t KV_INDEX_BYTES_DEFAULT = 1ull << 30; /* 23 to 46 million blocks */

/* A worker holds the first `blocks` blocks of what was asked. */
struct kv_overlap {
	uint32_t worker, blocks;
};
struct kv_index_stats {
	uint64_t blocks; /* entries: (hash, tier) pairs held by somebody */
	uint64_t slots; /* of the table */
	uint64_t bytes; /* of the budget in use: table, larger sets, fixed part */
	uint32_t workers, wide_sets, keep_log2; /* keep_log2: every 2^k-th block is kept */
	uint64_t doubled, late; /* stores of what was held, drops of what was not: ignored */
	uint64_t forgotten; /* stores not kept for want of room, and entries given up */
	uint64_t resets; /* how often all was forgotten, because a run of slots was longer than chance makes it */
	bool growing, scrubbing;
};

/* 0; -EINVAL: bytes_max under KV_INDEX_BYTES_MIN; -ENOMEM. */
int kv_index_create(struct kv_index **ret, const struct kv_index_config *config, struct err *err) MUST_USE;
void kv_index_destroy(struct kv_index *ix);
DEFINE_CLEANUP(kv_index_destroy, struct kv_index)

/* A slot for one more worker, the lowest free one. 0; -ENOSPC: KV_INDEX_WORKERS_MAX are there. */
int kv_index_worker_add(struct kv_index *ix, uint32_t *ret_worker) MUST_USE;
/* Forget the worker: matches do not name it from now on, its slot may be used again at once. O(1); what it held is
 * cleaned up by kv_index_scrub. */
void kv_index_worker_remove(struct kv_index *ix, uint32_t worker);
/* Forget all blocks of the worker (it cleared its cache, or a snapshot begins). O(1), as above. False: it cannot be done now,
 * because too many holdings wait to be cleaned up (a worker that clears its cache again and again); nothing has changed. */
bool kv_index_clear(struct kv_index *ix, uint32_t worker) MUST_USE;
/* Clean up after workers that left, and finish growth: look at no more than slots_max slots. True: there is more to do;
 * call it again in a later turn of the loop. */
bool kv_index_scrub(struct kv_index *ix, uint32_t slots_max);

/* The worker holds these blocks, or no longer does. Borrow hashes. store: 0, or -ENOSPC when some could not be kept. */
int kv_index_store(struct kv_index *ix, uint32_t worker, enum kv_tier tier, const uint64_t *hashes, uint32_t count);
void kv_index_drop(struct kv_index *ix, uint32_t worker, enum kv_tier tier, const uint64_t *hashes, uint32_t count);

/* Fill ret with the workers that hold a prefix of hashes in that tier, longest first, at most cap. Returns how many (0:
 * none known). Borrows hashes. Cannot fail, allocates nothing. Look-ups: some 32, and about 6 rounds of prefetched ones
 * for each distinct depth. Not reentrant (one owner: it works in the index's own scratch space). */
uint32_t kv_index_match(const struct kv_index *ix, enum kv_tier tier, const uint64_t *hashes, uint32_t count,
	struct kv_overlap *ret, uint32_t cap);
/* Is this very block recorded for the worker? For checks; false also for what was forgotten. */
bool kv_index_has(const struct kv_index *ix, uint32_t worker, enum kv_tier tier, uint64_t hash);
/* Would the block be kept at all (false: thinned out for want of room)? */
bool kv_index_keeps(const struct kv_index *ix, enum kv_tier tier, uint64_t hash);
/* Entries recorded for the worker in all tiers, counted by a look at every slot: for checks. Milliseconds a million. */
uint64_t kv_index_count(const struct kv_index *ix, uint32_t worker);

/* What the worker was told to hold in all tiers: digest, and how many. A block of another tier than the device enters
 * the digest as kv_index_tier_hash(tier, hash). O(1). */
uint64_t kv_index_digest(const struct kv_index *ix, uint32_t worker);
uint32_t kv_index_held(const struct kv_index *ix, uint32_t worker);
/* How many of them the index itself does not record. */
uint32_t kv_index_forgotten(const struct kv_index *ix, uint32_t worker);
static inline uint64_t kv_index_tier_hash(enum kv_tier tier, uint64_t hash)
{
	return hash ^ ((uint64_t)tier * 0x9e3779b97f4a7c15ull);
}
void kv_index_stats(const struct kv_index *ix, struct kv_index_stats *ret);

#endif
