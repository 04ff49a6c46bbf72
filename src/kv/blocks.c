#include "kv/blocks.h"
#include "kv/hash.h"

/* A map value: references << 2 | REPORTED | CHANGED. An entry without references stays until its removal is drained. */
enum { REPORTED = 1, CHANGED = 2, REF_ONE = 4 };

void kv_blocks_done(struct kv_blocks *b)
{
	map_done(&b->map);
	vec_done(&b->changed);
	*b = (struct kv_blocks){0};
}

/* Store a new reference count; note a change when it crosses zero. */
static int set_refs(struct kv_blocks *b, uint64_t hash, uint64_t value, bool crossed)
{
	if (crossed && !(value & CHANGED)) {
		if (vec_reserve(&b->changed, 1) < 0)
			return -ENOMEM;
		value |= CHANGED;
		if (map_put(&b->map, hash, value) < 0)
			return -ENOMEM;
		b->changed.v[b->changed.len++] = hash;
		return 0;
	}
	return map_put(&b->map, hash, value);
}

int kv_blocks_ref(struct kv_blocks *b, uint64_t hash)
{
	uint64_t value = 0;

	map_get(&b->map, hash, &value);
	bool first = value < REF_ONE;
	int r = set_refs(b, hash, value + REF_ONE, first);
	if (r < 0)
		return r;
	if (first) {
		b->digest = kv_digest_add(b->digest, hash);
		b->held++;
	}
	return 0;
}

int kv_blocks_unref(struct kv_blocks *b, uint64_t hash)
{
	uint64_t value = 0;

	map_get(&b->map, hash, &value);
	ASSERT(value >= REF_ONE);
	bool last = value < 2 * REF_ONE;
	int r = set_refs(b, hash, value - REF_ONE, last);
	if (r < 0)
		return r;
	if (last) {
		b->digest = kv_digest_remove(b->digest, hash);
		b->held--;
	}
	return 0;
}

uint32_t kv_blocks_refs(const struct kv_blocks *b, uint64_t hash)
{
	uint64_t value = 0;

	map_get(&b->map, hash, &value);
	return (uint32_t)(value / REF_ONE);
}

int kv_blocks_drain(struct kv_blocks *b, struct kv_changes *ret)
{
	ret->stored.len = ret->removed.len = 0;
	if (!b->changed.len)
		return 0;
	if (vec_reserve(&ret->stored, b->changed.len) < 0 || vec_reserve(&ret->removed, b->changed.len) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->changed.len; i++) {
		uint64_t hash = b->changed.v[i], value = 0;
		map_get(&b->map, hash, &value);
		bool held = value >= REF_ONE, reported = value & REPORTED;
		if (held && !reported)
			ret->stored.v[ret->stored.len++] = hash;
		if (!held && reported)
			ret->removed.v[ret->removed.len++] = hash;
		if (!held) {
			map_del(&b->map, hash);
			continue;
		}
		/* Replaces an entry that is there: cannot run out of memory. */
		int r = map_put(&b->map, hash, (value & ~(uint64_t)CHANGED) | REPORTED);
		ASSERT(r == 0);
	}
	b->changed.len = 0;
	return 0;
}

void kv_changes_done(struct kv_changes *c)
{
	vec_done(&c->stored);
	vec_done(&c->removed);
}

int kv_snapshot_begin(struct kv_snapshot *s, const struct kv_blocks *b)
{
	uint32_t pos = 0;
	uint64_t hash, value;

	*s = (struct kv_snapshot){.hashes = malloc(sizeof *s->hashes * MAX(b->map.len, 1u))};
	if (!s->hashes)
		return -ENOMEM;
	while (map_next(&b->map, &pos, &hash, &value))
		if (value & REPORTED)
			s->hashes[s->count++] = hash;
	return 0;
}

uint32_t kv_snapshot_next(struct kv_snapshot *s, const struct kv_blocks *b, uint64_t *ret, uint32_t cap, bool *ret_end)
{
	uint32_t filled = 0;

	while (s->pos < s->count && filled < cap) {
		uint64_t hash = s->hashes[s->pos++], value = 0;
		if (map_get(&b->map, hash, &value) && (value & REPORTED))
			ret[filled++] = hash;
	}
	*ret_end = s->pos == s->count;
	return filled;
}

void kv_snapshot_done(struct kv_snapshot *s)
{
	free(s->hashes);
	*s = (struct kv_snapshot){0};
}
