/* reuse.h - how much of the prompts' prefixes could have been cached: an estimate on line, in bounded memory.
 *
 *     seen       blocks that some earlier prompt had             what the workload allows, with a cache without end
 *     resident   blocks that one LRU cache would still hold      what a cache of so many blocks allows, if all workers
 *                                                                could use all of it
 *
 * Method: spatial sampling (SHARDS, Waldspurger et al., FAST 2015): only blocks whose mixed hash is below a threshold are
 * looked at, a share `rate` of all; each stands for 1 / rate blocks. With more than KV_REUSE_SAMPLES distinct ones the
 * threshold is halved and those above it are forgotten. The LRU cache is simulated in miniature (Waldspurger et al.,
 * USENIX ATC 2017): cache_blocks * rate entries, fed with the sampled blocks, the deepest of a prompt first, as workers
 * evict. Error: about 1 % of the ratio with some thousand samples of a steady load; a few hot blocks that are sampled (or
 * not) can shift it more, so it is for people, not for decisions.
 *
 * Thread: one owner. Memory: KV_REUSE_SAMPLES * 40 bytes. */
#ifndef STATOR_KV_REUSE_H
#define STATOR_KV_REUSE_H

#include "base/err.h"
#include <stdint.h>

enum { KV_REUSE_SAMPLES = 16384 };

struct kv_reuse;
struct kv_reuse_counts {
	double asked, seen, resident; /* blocks, since create */
};

int kv_reuse_create(struct kv_reuse **ret, struct err *err) MUST_USE;
void kv_reuse_destroy(struct kv_reuse *r);
DEFINE_CLEANUP(kv_reuse_destroy, struct kv_reuse)

/* Blocks that all workers hold together. */
void kv_reuse_cache(struct kv_reuse *r, uint64_t cache_blocks);
/* A prompt with these prefix hashes. Borrows. O(sampled blocks), and a mix of each hash. */
void kv_reuse_note(struct kv_reuse *r, const uint64_t *hashes, uint32_t count);
void kv_reuse_counts(const struct kv_reuse *r, struct kv_reuse_counts *ret);

#endif
