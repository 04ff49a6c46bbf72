/* idle.h - when each cached block was used last and by how many requests: what an eviction policy sees of it.
 *
 * Counts for each block (prefix hash) the active sequences that hold it, and keeps the entry of kv/evict.h. The lists of that
 * header are not used: only the ends of retained sequences can go, and there are at most a few hundred.
 * Thread: one owner. Memory: about 80 bytes a block held. */
#ifndef STATOR_WORKER_IDLE_H
#define STATOR_WORKER_IDLE_H

#include "base/map.h"
#include "kv/evict.h"

struct idle_block {
	struct kv_evict_entry entry; /* of the last release; in no list */
	uint32_t active; /* sequences of running requests that hold it */
};
struct idle_blocks {
	struct map map; /* hash -> struct idle_block */
};

/* A zeroed struct idle_blocks is a valid empty one. */
void idle_done(struct idle_blocks *b);
/* One more active sequence holds the block. 0 or -ENOMEM (nothing changed). */
int idle_use(struct idle_blocks *b, uint64_t hash) MUST_USE;
/* One active sequence less. uses: of the request that ended; the largest it was told counts. */
void idle_release(struct idle_blocks *b, uint64_t hash, uint64_t now_us, uint8_t uses);
/* No sequence holds it any more. */
void idle_forget(struct idle_blocks *b, uint64_t hash);
/* NULL: no sequence holds it. */
const struct idle_block *idle_find(const struct idle_blocks *b, uint64_t hash);

#endif
