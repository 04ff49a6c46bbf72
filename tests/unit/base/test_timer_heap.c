/* Timers fire in order of time, ties in the order they were set, checked against a naive search. */
#include "base/env.h"
#include "base/rng.h"

#include "../lib/cmocka_all.h"

enum { TIMERS = 100, OPS = 50000 };

static void random_operations_agree_with_a_naive_search(void **state)
{
	(void)state;
	struct timer_heap h = {0};
	struct env_timer t[TIMERS] = {0};
	uint64_t set_no[TIMERS] = {0}, no = 0, now = 0;
	struct rng r;

	rng_init(&r, 5);
	for (int op = 0; op < OPS; op++) {
		uint64_t i = rng_below(&r, TIMERS);
		switch (rng_below(&r, 4)) {
		case 0:
		case 1:
			assert_int_equal(timer_heap_set(&h, &t[i], now + rng_below(&r, 50)), 0);
			set_no[i] = ++no;
			break;
		case 2:
			timer_heap_cancel(&h, &t[i]);
			assert_false(env_timer_is_set(&t[i]));
			break;
		default:
			now += rng_below(&r, 10);
			struct env_timer *want = NULL;
			for (int k = 0; k < TIMERS; k++) {
				if (!env_timer_is_set(&t[k]) || t[k].at_us > now)
					continue;
				if (!want || t[k].at_us < want->at_us ||
					(t[k].at_us == want->at_us && set_no[k] < set_no[want - t]))
					want = &t[k];
			}
			assert_ptr_equal(timer_heap_pop(&h, now), want);
		}
	}
	timer_heap_done(&h);
	for (int k = 0; k < TIMERS; k++)
		assert_false(env_timer_is_set(&t[k]));
}

static void keyed_draws_depend_on_seed_and_position_alone(void **state)
{
	(void)state;
	double sum = 0;

	assert_true(rng_keyed_u64(1, 2) == rng_keyed_u64(1, 2));
	assert_true(rng_keyed_u64(1, 2) != rng_keyed_u64(2, 1));
	for (uint64_t p = 0; p < 10000; p++) {
		double u = rng_keyed_unit(42, p);
		assert_true(u >= 0 && u < 1);
		sum += u;
	}
	assert_true(sum > 4800 && sum < 5200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_a_naive_search),
		cmocka_unit_test(keyed_draws_depend_on_seed_and_position_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
