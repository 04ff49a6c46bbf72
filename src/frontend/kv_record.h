/* kv_record.h - which prefix blocks one worker says it holds: a set of hashes with the count and the order-free digest
 * that its step reports carry too, so that drift shows at the next step, in O(1).
 *
 *   absent --first snapshot chunk--> filling --snapshot_end, digest equal--> synced --report differs--> absent
 *
 * Thread: one owner. Memory: 17 bytes a slot of a table at most three quarters full; at most blocks_max hashes. */
#ifndef STATOR_FRONTEND_KV_RECORD_H
#define STATOR_FRONTEND_KV_RECORD_H

#include "base/map.h"
#include "wire/msg.h"

enum kv_sync { KV_ABSENT, KV_FILLING, KV_SYNCED };

struct kv_record {
	struct map blocks; /* hash -> 1 */
	uint64_t digest;
	uint32_t blocks_max;
	enum kv_sync sync;
	uint64_t mismatches, snapshots;
};

void kv_record_init(struct kv_record *r, uint32_t blocks_max);
void kv_record_done(struct kv_record *r);
/* Forget all (a new connection). Counters stay. */
void kv_record_reset(struct kv_record *r);
/* Take one frame of changes. 0; 1: the record differs from what the worker says, ask for a new snapshot (counted, the
 * record is absent until it comes); -ENOSPC: more blocks than blocks_max; -ENOMEM. */
int kv_record_apply(struct kv_record *r, const struct msg_kv *kv) MUST_USE;
/* Compare with a step report. 0 or 1 as above. */
int kv_record_check(struct kv_record *r, uint64_t digest, uint32_t blocks_held) MUST_USE;
bool kv_record_has(const struct kv_record *r, uint64_t hash);

#endif
