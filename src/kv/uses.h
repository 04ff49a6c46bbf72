/* uses.h - how many different requests used a block: a bounded directory of prefix hashes, counting to KV_USES_MAX.
 *
 * The router sees every prompt, a worker only its own share; so the router counts, and tells the worker with each
 * request (one byte a block), whose cache evicts by age divided by uses. Counts are advice: a forgotten block starts
 * again at 1, and two hashes may (once in 2^50) share a count.
 *
 * Room: 8 bytes a block. Blocks fall in sets of 8 (one cache line); in a full set the longest unused one is forgotten,
 * so of the whole the longest unused go first, nearly. Thread: one owner. Nothing allocates after create. */
#ifndef STATOR_KV_USES_H
#define STATOR_KV_USES_H

#include "base/err.h"
#include <stdint.h>

enum { KV_USES_MAX = 9, KV_USES_BLOCKS_MIN = 64 };

struct kv_uses;

/* blocks_max is rounded up to a power of two. 0; -EINVAL: under KV_USES_BLOCKS_MIN or over 2^31; -ENOMEM. */
int kv_uses_create(struct kv_uses **ret, uint32_t blocks_max, struct err *err) MUST_USE;
void kv_uses_destroy(struct kv_uses *u);
DEFINE_CLEANUP(kv_uses_destroy, struct kv_uses)

/* One more request uses these blocks: count them and, where ret_uses is not NULL, write each one's count with this
 * request in it (1: new; saturates at KV_USES_MAX). Once a request: not again when it is sent anew. Borrows hashes. Cost: one
 * prefetched cache line a block. */
void kv_uses_note(struct kv_uses *u, const uint64_t *hashes, uint32_t count, uint8_t *ret_uses);
/* The count of one block; 0: not known. */
uint32_t kv_uses_get(const struct kv_uses *u, uint64_t hash);

#endif
