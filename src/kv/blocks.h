/* blocks.h - the worker's account of the prefix hashes it holds, and of what changed since it last told anyone.
 *
 * A hash is held while at least one sequence holds its block. Changes are net: what came and went between two drains is
 * not reported, so the order within a report does not matter. A snapshot is taken in chunks: hash for hash it says what
 * has been *reported* up to now, so chunks and reports may be sent in turn and the reader ends with the right set.
 * Thread: one owner. Memory: about 32 bytes a hash held, 8 a change not yet drained, 8 a hash for each open snapshot. */
#ifndef STATOR_KV_BLOCKS_H
#define STATOR_KV_BLOCKS_H

#include "base/map.h"
#include "base/vec.h"

struct kv_blocks {
	struct map map; /* hash -> references, and whether the last report had it; private */
	VEC(uint64_t) changed;
	uint64_t digest; /* kv_digest over the hashes held now */
	uint32_t held; /* distinct hashes held now */
};
/* What a drain found. Owned by its holder; reused by the next drain into it. */
struct kv_changes {
	VEC(uint64_t) stored;
	VEC(uint64_t) removed;
};
struct kv_snapshot {
	uint64_t *hashes;
	uint32_t count, pos;
};

/* A zeroed struct kv_blocks is a valid empty one. */
void kv_blocks_done(struct kv_blocks *b);
/* One more sequence holds the block. 0 or -ENOMEM (nothing changed). */
int kv_blocks_ref(struct kv_blocks *b, uint64_t hash) MUST_USE;
/* One sequence less. It was referenced. 0 or -ENOMEM (nothing changed). */
int kv_blocks_unref(struct kv_blocks *b, uint64_t hash) MUST_USE;
/* Sequences that hold it. */
uint32_t kv_blocks_refs(const struct kv_blocks *b, uint64_t hash);
/* True when a drain would report something (it may still find nothing: changes are net). */
static inline bool kv_blocks_changed(const struct kv_blocks *b)
{
	return b->changed.len > 0;
}
/* Replace ret's content by what changed since the last drain. 0 or -ENOMEM (nothing changed, try again). */
int kv_blocks_drain(struct kv_blocks *b, struct kv_changes *ret) MUST_USE;
void kv_changes_done(struct kv_changes *c);

/* Begin to read out everything reported so far (drain first). 0 or -ENOMEM. O(held). */
int kv_snapshot_begin(struct kv_snapshot *s, const struct kv_blocks *b) MUST_USE;
/* Fill ret with the next hashes, at most cap. *ret_end: that was all. Leaves out what was reported as removed since. */
uint32_t kv_snapshot_next(struct kv_snapshot *s, const struct kv_blocks *b, uint64_t *ret, uint32_t cap, bool *ret_end);
void kv_snapshot_done(struct kv_snapshot *s);

#endif
