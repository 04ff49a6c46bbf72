#include "frontend/kv_record.h"
#include "kv/hash.h"

#include <errno.h>

void kv_record_init(struct kv_record *r, uint32_t blocks_max)
{
	*r = (struct kv_record){.blocks_max = blocks_max};
}

void kv_record_done(struct kv_record *r)
{
	map_done(&r->blocks);
}

static void clear(struct kv_record *r)
{
	map_done(&r->blocks);
	r->blocks = (struct map){0};
	r->digest = 0;
}

void kv_record_reset(struct kv_record *r)
{
	clear(r);
	r->sync = KV_ABSENT;
}

static int add(struct kv_record *r, uint64_t hash)
{
	if (map_get(&r->blocks, hash, NULL))
		return 0;
	if (r->blocks.len >= r->blocks_max)
		return -ENOSPC;
	r->digest = kv_digest_add(r->digest, hash);
	return map_put(&r->blocks, hash, 1);
}

static void remove_one(struct kv_record *r, uint64_t hash)
{
	if (map_del(&r->blocks, hash))
		r->digest = kv_digest_remove(r->digest, hash);
}

static int differs(struct kv_record *r)
{
	r->mismatches++;
	kv_record_reset(r);
	return 1;
}

int kv_record_check(struct kv_record *r, uint64_t digest, uint32_t blocks_held)
{
	if (r->sync != KV_SYNCED || (digest == r->digest && blocks_held == r->blocks.len))
		return 0;
	return differs(r);
}

int kv_record_apply(struct kv_record *r, const struct msg_kv *kv)
{
	if (kv->snapshot && r->sync != KV_FILLING) {
		clear(r);
		r->sync = KV_FILLING;
	}
	if (r->sync == KV_ABSENT)
		return 0; /* changes of a state we do not have; the snapshot will hold them */
	if (kv->cleared)
		clear(r);
	for (uint32_t i = 0; i < kv->removed.len; i++)
		remove_one(r, kv->removed.v[i]);
	for (uint32_t i = 0; i < kv->stored.len; i++) {
		int err = add(r, kv->stored.v[i]);
		if (err < 0)
			return err;
	}
	if (kv->snapshot_end) {
		r->sync = KV_SYNCED;
		r->snapshots++;
	}
	return kv_record_check(r, kv->digest, kv->blocks_held);
}

bool kv_record_has(const struct kv_record *r, uint64_t hash)
{
	return map_get(&r->blocks, hash, NULL);
}
