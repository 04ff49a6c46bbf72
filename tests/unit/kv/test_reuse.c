/* kv/reuse.h against exact counts: an unbounded set, and an LRU cache of the full size. */
#include "base/map.h"
#include "base/rng.h"
#include "kv/reuse.h"

#include "../lib/cmocka_all.h"
#include <math.h>

enum { PROMPT = 40, SESSIONS = 8000, TURNS = 60000, CACHE = 60000 };

/* An exact LRU cache: hash -> time of last use; the oldest goes. */
struct exact {
	struct map seen, at; /* at: hash -> place in queue */
	uint64_t *queue; /* of uses; one is stale when its block was used again */
	uint64_t head, tail;
	double asked, hits, resident;
};

static void exact_note(struct exact *x, uint64_t hash)
{
	uint64_t at;

	x->asked++;
	x->hits += map_get(&x->seen, hash, NULL);
	x->resident += map_get(&x->at, hash, NULL);
	assert_int_equal(map_put(&x->seen, hash, 1), 0);
	assert_int_equal(map_put(&x->at, hash, x->tail), 0);
	x->queue[x->tail++] = hash;
	while (x->at.len > CACHE) {
		uint64_t oldest = x->queue[x->head];
		if (map_get(&x->at, oldest, &at) && at == x->head)
			map_del(&x->at, oldest);
		x->head++;
	}
}

/* Sessions that come back with a longer prompt, some often, most rarely: a working set four times the cache. */
static void estimates_what_workload_and_cache_allow(void **state)
{
	(void)state;
	struct err err;
	struct kv_reuse *r;
	struct kv_reuse_counts c;
	struct rng rng;
	struct exact x = {.queue = malloc(sizeof(uint64_t) * TURNS * PROMPT)};
	static uint32_t turns[SESSIONS];

	assert_non_null(x.queue);
	rng_init(&rng, 3);
	assert_int_equal(kv_reuse_create(&r, &err), 0);
	kv_reuse_cache(r, CACHE);
	for (uint32_t i = 0; i < TURNS; i++) {
		uint64_t hashes[PROMPT], u = rng_below(&rng, SESSIONS), session = u * u / SESSIONS;
		uint32_t len = MIN(5 + 5 * turns[session]++, (uint32_t)PROMPT);
		for (uint32_t k = 0; k < len; k++)
			hashes[k] = rng_keyed_u64(session, k);
		kv_reuse_note(r, hashes, len);
		for (uint32_t k = len; k-- > 0;)
			exact_note(&x, hashes[k]);
	}
	kv_reuse_counts(r, &c);
	assert_true(x.seen.len > 2 * CACHE && x.resident < 0.9 * x.hits);
	assert_true(fabs(c.asked / x.asked - 1) < 0.05);
	assert_true(fabs(c.seen / c.asked - x.hits / x.asked) < 0.02);
	assert_true(fabs(c.resident / c.asked - x.resident / x.asked) < 0.03);
	kv_reuse_destroy(r);
	map_done(&x.seen);
	map_done(&x.at);
	free(x.queue);
}

/* As long as all blocks fit its memory it looks at every one, so it is exact. */
static void is_exact_while_it_can_look_at_all(void **state)
{
	(void)state;
	struct err err;
	struct kv_reuse *r;
	struct kv_reuse_counts c;
	uint64_t hashes[100];

	assert_int_equal(kv_reuse_create(&r, &err), 0);
	kv_reuse_cache(r, 50);
	for (uint64_t i = 0; i < 100; i++)
		hashes[i] = rng_keyed_u64(1, i);
	kv_reuse_note(r, hashes, 100);
	kv_reuse_counts(r, &c);
	assert_true(c.asked == 100 && c.seen == 0 && c.resident == 0);
	/* The cache kept the shallow half: the deepest go first. */
	kv_reuse_note(r, hashes, 40);
	kv_reuse_counts(r, &c);
	assert_true(c.asked == 140 && c.seen == 40 && c.resident == 40);
	kv_reuse_note(r, hashes + 60, 40);
	kv_reuse_counts(r, &c);
	assert_true(c.seen == 80 && c.resident == 40);
	kv_reuse_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(estimates_what_workload_and_cache_allow),
		cmocka_unit_test(is_exact_while_it_can_look_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
