/* kv/evict.h against a naive model: a forest of blocks, requests along random paths, victims picked by looking at every leaf. */
#include "base/compiler.h"
#include "base/rng.h"
#include "kv/evict.h"

#include "../lib/cmocka_all.h"
#include <string.h>

enum { BLOCKS = 200, ROOTS = 4, DEPTH_MAX = 24, OPS = 40000, RUNNING_MAX = 6 };

struct block {
	struct kv_evict_entry entry;
	uint32_t parent; /* BLOCKS: none */
	uint32_t active; /* requests that use it now */
	bool resident;
	/* What the model knows of it. */
	uint64_t released_us;
	uint32_t uses;
};
struct world {
	struct kv_evict lists;
	struct block b[BLOCKS];
	uint32_t running[RUNNING_MAX][DEPTH_MAX], running_len[RUNNING_MAX], running_count;
	uint64_t now_us;
	struct rng r;
	uint32_t uses_up_to; /* a router that counts wrongly says anything up to this; 0: it counts right */
};

static void world_init(struct world *w, const struct kv_evict_policy *policy, uint64_t seed)
{
	memset(w, 0, sizeof *w);
	kv_evict_init(&w->lists, policy);
	rng_init(&w->r, seed);
	for (uint32_t i = 0; i < BLOCKS; i++)
		w->b[i].parent = i < ROOTS ? BLOCKS : (uint32_t)rng_below(&w->r, i);
}

/* A request uses the path from a root to a random block; what is missing comes. */
static void start(struct world *w)
{
	uint32_t path[DEPTH_MAX], len = 0, slot = w->running_count;

	for (uint32_t at = (uint32_t)rng_below(&w->r, BLOCKS); at < BLOCKS && len < DEPTH_MAX; at = w->b[at].parent)
		path[len++] = at;
	if (w->b[path[len - 1]].parent != BLOCKS)
		return; /* too deep to hold */
	for (uint32_t i = 0; i < len; i++) {
		struct block *b = &w->b[path[len - 1 - i]];
		w->running[slot][i] = path[len - 1 - i];
		if (!b->resident) {
			b->resident = true;
			b->entry = (struct kv_evict_entry){0};
			b->uses = 0;
		}
		b->active++;
		kv_evict_take(&w->lists, &b->entry);
	}
	w->running_len[slot] = len;
	w->running_count++;
}

static void finish(struct world *w)
{
	uint32_t slot = (uint32_t)rng_below(&w->r, w->running_count), *path = w->running[slot], told = UINT8_MAX;
	uint8_t uses[DEPTH_MAX];

	for (uint32_t i = 0; i < w->running_len[slot]; i++) {
		uint32_t said = w->uses_up_to ? (uint32_t)rng_below(&w->r, w->uses_up_to) : w->b[path[i]].uses + 1;
		told = MIN(told, MAX(said, 1u)); /* as the header asks: no more than the parent's */
		uses[i] = (uint8_t)told;
	}
	for (uint32_t i = w->running_len[slot]; i-- > 0;) {
		struct block *b = &w->b[path[i]];
		b->uses = MAX(b->uses, uses[i]);
		if (--b->active)
			continue;
		b->released_us = w->now_us;
		kv_evict_release(&w->lists, &b->entry, w->now_us, (uint8_t)b->uses);
	}
	w->running_len[slot] = w->running_len[--w->running_count];
	memcpy(path, w->running[w->running_count], sizeof w->running[0]);
}

static bool is_leaf(const struct world *w, uint32_t i)
{
	for (uint32_t k = 0; k < BLOCKS; k++)
		if (w->b[k].resident && w->b[k].parent == i)
			return false;
	return true;
}

static double score(const struct world *w, const struct block *b)
{
	double age_ms = (double)(w->now_us - b->released_us) / 1000 + 1;
	double weight = w->lists.policy == &kv_evict_lru ? 1 : 1 + MIN(MAX(b->uses, 1u) - 1, 8u);

	return age_ms / weight;
}

static void evict(struct world *w)
{
	struct kv_evict_entry *e = kv_evict_victim(&w->lists, w->now_us);
	double most = -1;
	uint32_t waiting = 0;

	for (uint32_t i = 0; i < BLOCKS; i++) {
		const struct block *b = &w->b[i];
		waiting += b->resident && !b->active;
		if (b->resident && !b->active && is_leaf(w, i) && score(w, b) > most)
			most = score(w, b);
	}
	assert_int_equal(w->lists.count, waiting);
	assert_int_equal(e != NULL, waiting > 0);
	if (!e)
		return;
	struct block *victim = CONTAINER_OF(e, struct block, entry);
	assert_true(victim->resident && !victim->active);
	assert_true(is_leaf(w, (uint32_t)(victim - w->b)));
	assert_true(score(w, victim) > most * (1 - 1e-9));
	kv_evict_take(&w->lists, e);
	victim->resident = false;
}

static void run_random(const struct kv_evict_policy *policy, uint32_t uses_up_to, uint64_t seed)
{
	struct world *w = test_calloc(1, sizeof *w);

	world_init(w, policy, seed);
	w->uses_up_to = uses_up_to;
	for (uint32_t i = 0; i < OPS; i++) {
		uint64_t what = rng_below(&w->r, 10);
		if (what < 4 && w->running_count < RUNNING_MAX)
			start(w);
		else if (what < 8 && w->running_count)
			finish(w);
		else
			evict(w);
		if (rng_below(&w->r, 3) == 0)
			w->now_us += rng_below(&w->r, 20000);
	}
	while (w->running_count)
		finish(w);
	while (w->lists.count)
		evict(w);
	test_free(w);
}

static void lru_gives_up_the_longest_unused_leaf(void **state)
{
	(void)state;
	run_random(&kv_evict_lru, 0, 1);
}

static void age_uses_gives_up_the_leaf_with_the_largest_age_for_its_uses(void **state)
{
	(void)state;
	run_random(&kv_evict_age_uses, 0, 2);
}

static void counts_that_come_down_never_make_a_parent_go_before_its_child(void **state)
{
	(void)state;
	run_random(&kv_evict_age_uses, 20, 3);
}

static void a_block_of_eight_requests_outlives_one_of_a_single_request_eight_times(void **state)
{
	(void)state;
	struct kv_evict e;
	struct kv_evict_entry shared = {0}, single = {0};

	kv_evict_init(&e, &kv_evict_age_uses);
	kv_evict_release(&e, &shared, 1000, 8);
	kv_evict_release(&e, &single, 701000, 1);
	/* At 800 ms one weighs 800 / 8, the other 100: equal. */
	assert_ptr_equal(kv_evict_victim(&e, 799000), &shared);
	assert_ptr_equal(kv_evict_victim(&e, 802000), &single);
	assert_true(kv_evict_before(&kv_evict_age_uses, &single, &shared, 802000));
	assert_true(kv_evict_before(&kv_evict_lru, &shared, &single, 802000));
	kv_evict_take(&e, &single);
	kv_evict_take(&e, &single);
	assert_int_equal(e.count, 1);
	assert_ptr_equal(kv_evict_victim(&e, 802000), &shared);
}

static void policies_are_found_by_name(void **state)
{
	(void)state;
	assert_ptr_equal(kv_evict_find("lru"), &kv_evict_lru);
	assert_ptr_equal(kv_evict_find("age-uses"), &kv_evict_age_uses);
	assert_null(kv_evict_find("arc"));
	for (const struct kv_evict_policy *const *p = kv_evict_policies; *p; p++)
		assert_true((*p)->weight_max >= 1 && (*p)->weight_max <= KV_EVICT_CLASSES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lru_gives_up_the_longest_unused_leaf),
		cmocka_unit_test(age_uses_gives_up_the_leaf_with_the_largest_age_for_its_uses),
		cmocka_unit_test(counts_that_come_down_never_make_a_parent_go_before_its_child),
		cmocka_unit_test(a_block_of_eight_requests_outlives_one_of_a_single_request_eight_times),
		cmocka_unit_test(policies_are_found_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
