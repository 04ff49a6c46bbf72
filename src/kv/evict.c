#include "kv/evict.h"
#include "base/compiler.h"

#include <string.h>

const struct kv_evict_policy kv_evict_lru = {
	.name = "lru",
	.weight_max = 1,
	.help = "the longest unused first",
};
const struct kv_evict_policy kv_evict_age_uses = {
	.name = "age-uses",
	.weight_max = KV_EVICT_CLASSES,
	.help = "the longest unused first, where what more requests shared ages more slowly",
};
const struct kv_evict_policy *const kv_evict_policies[] = {&kv_evict_lru, &kv_evict_age_uses, NULL};

const struct kv_evict_policy *kv_evict_find(const char *name)
{
	for (const struct kv_evict_policy *const *p = kv_evict_policies; *p; p++)
		if (!strcmp((*p)->name, name))
			return *p;
	return NULL;
}

static uint32_t weight_of(const struct kv_evict_policy *p, const struct kv_evict_entry *b)
{
	return MIN(MAX((uint32_t)b->uses, 1u), p->weight_max);
}

void kv_evict_init(struct kv_evict *e, const struct kv_evict_policy *policy)
{
	*e = (struct kv_evict){.policy = policy};
	for (uint32_t i = 0; i < KV_EVICT_CLASSES; i++)
		list_init(&e->lists[i]);
}

void kv_evict_release(struct kv_evict *e, struct kv_evict_entry *b, uint64_t now_us, uint8_t uses)
{
	ASSERT(!kv_evict_waits(b));
	e->last_us = MAX(e->last_us, now_us);
	b->released_us = e->last_us;
	b->uses = MAX(b->uses, uses);
	list_init(&b->link);
	list_add_tail(&e->lists[weight_of(e->policy, b) - 1], &b->link);
	e->count++;
}

void kv_evict_take(struct kv_evict *e, struct kv_evict_entry *b)
{
	if (!kv_evict_waits(b))
		return;
	list_del(&b->link);
	e->count--;
}

bool kv_evict_before(const struct kv_evict_policy *p, const struct kv_evict_entry *a, const struct kv_evict_entry *b,
	uint64_t now_us)
{
	uint64_t age_a = now_us - MIN(a->released_us, now_us) + KV_EVICT_AGE_FLOOR_US;
	uint64_t age_b = now_us - MIN(b->released_us, now_us) + KV_EVICT_AGE_FLOOR_US;

	/* age_a / weight_a > age_b / weight_b */
	return age_a * weight_of(p, b) > age_b * weight_of(p, a);
}

struct kv_evict_entry *kv_evict_victim(const struct kv_evict *e, uint64_t now_us)
{
	struct kv_evict_entry *best = NULL;

	for (uint32_t i = 0; i < e->policy->weight_max; i++) {
		if (list_empty(&e->lists[i]))
			continue;
		struct kv_evict_entry *head = list_first(&e->lists[i], struct kv_evict_entry, link);
		if (!best || kv_evict_before(e->policy, head, best, now_us))
			best = head;
	}
	return best;
}
