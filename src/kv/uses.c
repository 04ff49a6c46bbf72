/* uses.c - sets of eight entries of eight bytes:
 *
 *     bits 63..20 tag (hash bits that do not choose the set)   19..4 time of last use, in ticks   3..0 count; 0: free
 *
 * A tick passes every sets / 4 blocks noted, so 65,536 of them are two thousand times the directory's size: an entry
 * that old is long gone from a set in use. */
#include "kv/uses.h"
#include "kv/hash.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

enum { WAYS = 8, TICK_BITS = 16, COUNT_BITS = 4, TAG_SHIFT = TICK_BITS + COUNT_BITS, AHEAD = 16 };
static const uint64_t COUNT_MASK = (1 << COUNT_BITS) - 1, TICK_MASK = (1 << TICK_BITS) - 1;

struct kv_uses {
	uint64_t (*sets)[WAYS];
	uint64_t mask; /* of set numbers */
	uint64_t noted;
	uint32_t tick_shift;
};

int kv_uses_create(struct kv_uses **ret, uint32_t blocks_max, struct err *err)
{
	struct kv_uses *u;
	uint64_t sets = KV_USES_BLOCKS_MIN / WAYS;
	uint32_t shift = 3;

	if (blocks_max < KV_USES_BLOCKS_MIN || blocks_max > 1u << 31)
		return err_set(err, -EINVAL, "cannot count the uses of %u blocks: the range is %d to %u", blocks_max,
			KV_USES_BLOCKS_MIN, 1u << 31);
	for (; sets * WAYS < blocks_max; shift++)
		sets *= 2;
	u = calloc(1, sizeof *u);
	if (!u)
		return err_set(err, -ENOMEM, "out of memory");
	u->sets = mmap(NULL, sets * sizeof *u->sets, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (u->sets == MAP_FAILED) {
		free(u);
		return err_set(err, -ENOMEM, "out of memory");
	}
	u->mask = sets - 1;
	u->tick_shift = shift - 2;
	*ret = u;
	return 0;
}

void kv_uses_destroy(struct kv_uses *u)
{
	if (!u)
		return;
	munmap(u->sets, (u->mask + 1) * sizeof *u->sets);
	free(u);
}

static uint64_t tick(const struct kv_uses *u)
{
	return u->noted >> u->tick_shift & TICK_MASK;
}
static uint64_t age(const struct kv_uses *u, uint64_t entry)
{
	return (tick(u) - (entry >> COUNT_BITS)) & TICK_MASK;
}

static bool is_of(uint64_t entry, uint64_t mixed)
{
	return entry & COUNT_MASK && entry >> TAG_SHIFT == mixed >> TAG_SHIFT;
}

/* The entry of the block, or the one to use for it: a free one, else the longest unused. */
static uint64_t *entry_of(const struct kv_uses *u, uint64_t mixed)
{
	uint64_t *set = u->sets[mixed & u->mask], *worst = set;

	for (uint32_t i = 0; i < WAYS; i++) {
		if (is_of(set[i], mixed))
			return &set[i];
		if (!(*worst & COUNT_MASK))
			continue;
		if (!(set[i] & COUNT_MASK) || age(u, set[i]) > age(u, *worst))
			worst = &set[i];
	}
	return worst;
}

void kv_uses_note(struct kv_uses *u, const uint64_t *hashes, uint32_t count, uint8_t *ret_uses)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t mixed = kv_digest_mix(hashes[i]), uses = 1;
		if (i + AHEAD < count)
			__builtin_prefetch(u->sets[kv_digest_mix(hashes[i + AHEAD]) & u->mask], 1, 3);
		uint64_t *e = entry_of(u, mixed);
		if (is_of(*e, mixed))
			uses = MIN((*e & COUNT_MASK) + 1, (uint64_t)KV_USES_MAX);
		*e = (mixed >> TAG_SHIFT) << TAG_SHIFT | tick(u) << COUNT_BITS | uses;
		u->noted++;
		if (ret_uses)
			ret_uses[i] = (uint8_t)uses;
	}
}

uint32_t kv_uses_get(const struct kv_uses *u, uint64_t hash)
{
	uint64_t mixed = kv_digest_mix(hash), e = *entry_of(u, mixed);

	return is_of(e, mixed) ? (uint32_t)(e & COUNT_MASK) : 0;
}
