#include "kv/reuse.h"
#include "base/list.h"
#include "base/map.h"
#include "kv/hash.h"

#include <errno.h>

struct entry {
	struct list link; /* in lru, or in free */
	uint64_t mixed;
	bool used, resident; /* resident: in lru */
};

struct kv_reuse {
	struct map map; /* mixed hash -> entry */
	struct list lru; /* oldest first: those in the cache */
	struct list free;
	uint64_t threshold;
	uint64_t cache_blocks, resident; /* resident: entries of lru */
	struct kv_reuse_counts counts;
	struct entry entries[KV_REUSE_SAMPLES];
};

int kv_reuse_create(struct kv_reuse **ret, struct err *err)
{
	struct kv_reuse *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->threshold = UINT64_MAX;
	list_init(&r->lru);
	list_init(&r->free);
	for (uint32_t i = 0; i < KV_REUSE_SAMPLES; i++)
		list_add_tail(&r->free, &r->entries[i].link);
	*ret = r;
	return 0;
}

void kv_reuse_destroy(struct kv_reuse *r)
{
	if (!r)
		return;
	map_done(&r->map);
	free(r);
}

static double weight(const struct kv_reuse *r)
{
	return 18446744073709551615.0 / (double)r->threshold;
}

static void evict(struct kv_reuse *r)
{
	while (r->resident > (double)r->cache_blocks / weight(r)) {
		struct entry *e = list_first(&r->lru, struct entry, link);
		list_del(&e->link);
		e->resident = false;
		r->resident--;
	}
}

void kv_reuse_cache(struct kv_reuse *r, uint64_t cache_blocks)
{
	r->cache_blocks = cache_blocks;
	evict(r);
}

/* Half of the blocks that were looked at are not any more. */
static void thin(struct kv_reuse *r)
{
	r->threshold /= 2;
	for (uint32_t i = 0; i < KV_REUSE_SAMPLES; i++) {
		struct entry *e = &r->entries[i];
		if (!e->used || e->mixed <= r->threshold)
			continue;
		map_del(&r->map, e->mixed);
		r->resident -= e->resident;
		e->used = e->resident = false;
		list_del(&e->link);
		list_add_tail(&r->free, &e->link);
	}
	evict(r);
}

static struct entry *take(struct kv_reuse *r, uint64_t mixed)
{
	if (list_empty(&r->free))
		thin(r);
	if (list_empty(&r->free) || mixed > r->threshold)
		return NULL;
	struct entry *e = list_first(&r->free, struct entry, link);
	if (map_put_ptr(&r->map, mixed, e) < 0)
		return NULL;
	list_del(&e->link);
	e->mixed = mixed;
	e->used = true;
	return e;
}

static void note(struct kv_reuse *r, uint64_t mixed)
{
	struct entry *e = map_get_ptr(&r->map, mixed);

	r->counts.asked += weight(r);
	r->counts.seen += e ? weight(r) : 0;
	r->counts.resident += e && e->resident ? weight(r) : 0;
	if (!e && !(e = take(r, mixed)))
		return;
	list_del(&e->link);
	list_add_tail(&r->lru, &e->link);
	r->resident += !e->resident;
	e->resident = true;
	evict(r);
}

void kv_reuse_note(struct kv_reuse *r, const uint64_t *hashes, uint32_t count)
{
	for (uint32_t i = count; i-- > 0;) {
		/* Other bits than the index's choice of blocks to keep, and the directory's of sets. */
		uint64_t mixed = kv_digest_mix(hashes[i] ^ 0x5851f42d4c957f2dull);
		if (mixed <= r->threshold)
			note(r, mixed);
	}
}

void kv_reuse_counts(const struct kv_reuse *r, struct kv_reuse_counts *ret)
{
	*ret = r->counts;
}
