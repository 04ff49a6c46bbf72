/* evict.h - which cached block is given up first: the policies, and the lists that make each of them O(1).
 *
 * Every block that nobody uses now waits in a list. The victim is the one with the largest
 *
 *     (now - when it was released last + 1 ms) / weight
 *
 *     lru        weight 1
 *     age-uses   weight 1 + min(uses - 1, 8): uses counts the different requests that used the block, as the router saw
 *                them (it sends the counts along). What several requests shared is kept several times as long.
 *
 * A weight is a class, a class is one list in order of release, so the victim is among nine heads.
 *
 * Deepest first, by itself: release the blocks of a request from the last to the first, and each with at most its parent's
 * uses. Who uses a block uses its parent too, so a parent is released no earlier and counts no less, and its turn comes
 * only after its children's: what is held stays closed under prefixes, and no list needs to know what is a leaf. (A count
 * that came down, from another router or one that forgot, would break this: an entry keeps the largest it was told.)
 *
 * The entry sits in the caller's own block, in its device or its host tier: one set of lists a tier.
 * Thread: one owner. Memory: 32 bytes a block; nothing is allocated, nothing fails. */
#ifndef STATOR_KV_EVICT_H
#define STATOR_KV_EVICT_H

#include "base/list.h"
#include <stdint.h>

enum { KV_EVICT_CLASSES = 9, KV_EVICT_AGE_FLOOR_US = 1000 };

struct kv_evict_policy {
	const char *name;
	uint32_t weight_max; /* weight of a block: min(uses, weight_max); at most KV_EVICT_CLASSES */
	const char *help; /* one line for people */
};
extern const struct kv_evict_policy kv_evict_lru, kv_evict_age_uses;
/* Every policy, NULL behind the last. */
extern const struct kv_evict_policy *const kv_evict_policies[];
/* NULL when there is no policy of that name. */
const struct kv_evict_policy *kv_evict_find(const char *name);

/* A zeroed one is valid: in no list, used by nobody yet. */
struct kv_evict_entry {
	struct list link; /* private */
	uint64_t released_us;
	uint8_t uses; /* the most it was told; 0 counts as 1 */
};
struct kv_evict {
	const struct kv_evict_policy *policy;
	struct list lists[KV_EVICT_CLASSES]; /* of weight 1, 2, ...; each in order of release */
	uint64_t last_us; /* of the last release: time never goes back in the lists */
	uint32_t count; /* entries in them */
};

/* Borrows the policy. The lists may not be moved in memory afterwards. */
void kv_evict_init(struct kv_evict *e, const struct kv_evict_policy *policy);
/* Nobody uses the block any more. It is in no list. */
void kv_evict_release(struct kv_evict *e, struct kv_evict_entry *b, uint64_t now_us, uint8_t uses);
/* It is used again, or gone. Nothing happens when it is in no list. */
void kv_evict_take(struct kv_evict *e, struct kv_evict_entry *b);
/* The one to give up first; NULL when nothing waits. It stays in its list. */
struct kv_evict_entry *kv_evict_victim(const struct kv_evict *e, uint64_t now_us);
/* True when a goes before b, by the policy and nothing else: never for two that are equal. */
bool kv_evict_before(const struct kv_evict_policy *p, const struct kv_evict_entry *a, const struct kv_evict_entry *b,
	uint64_t now_us);
static inline bool kv_evict_waits(const struct kv_evict_entry *b)
{
	return b->link.next && !list_empty(&b->link);
}

#endif
