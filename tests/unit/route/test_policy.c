/* Policies are pure functions of a snapshot. */
#include "base/compiler.h"
#include "base/rng.h"
#include "route/policy.h"

#include "../lib/cmocka_all.h"

static const struct route_request request = {.prompt_tokens = 100, .max_tokens = 10, .choices = 1};

static uint32_t pick(const struct route_policy *p, struct route_candidate *v, uint32_t len, uint64_t random,
	struct route_choice *ret)
{
	struct route_snapshot s = {.v = v, .len = len, .random = random};
	return route_pick(p, &s, &request, ret);
}

static void round_robin_takes_each_in_turn_also_when_one_was_away(void **state)
{
	(void)state;
	struct route_candidate v[3] = {{.worker = 7, .slots = 1}, {.worker = 8, .slots = 1}, {.worker = 9, .slots = 1}};
	struct route_choice choice;
	uint32_t counts[3] = {0};
	uint64_t turn = 0;

	for (int i = 0; i < 300; i++) {
		uint32_t at = pick(&route_round_robin, v, i % 10 < 3 ? 2 : 3, 0, &choice);
		v[at].last_turn = ++turn;
		counts[at]++;
		assert_int_equal(choice.worker, 7 + at);
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(counts[i], 80, 120);
}

static void random_reaches_all_alike(void **state)
{
	(void)state;
	struct route_candidate v[5] = {{.slots = 1}, {.slots = 1}, {.slots = 1}, {.slots = 1}, {.slots = 1}};
	struct route_choice choice;
	struct rng r;
	uint32_t counts[5] = {0};

	rng_init(&r, 2);
	for (int i = 0; i < 10000; i++)
		counts[pick(&route_random, v, 5, rng_u64(&r), &choice)]++;
	for (int i = 0; i < 5; i++)
		assert_in_range(counts[i], 1850, 2150);
}

static void least_loaded_counts_requests_relative_to_slots(void **state)
{
	(void)state;
	struct route_candidate v[2] = {
		{.worker = 1, .slots = 4, .outstanding = 3}, {.worker = 2, .slots = 64, .outstanding = 20}};
	struct route_choice choice;

	for (uint64_t r = 0; r < 8; r++)
		assert_int_equal(pick(&route_least_loaded, v, 2, r << 61, &choice), 1);
	assert_true(choice.score < choice.score_second);
	assert_string_equal(choice.reason, "least loaded");
	assert_string_equal(choice.policy, "least-loaded");
	assert_int_equal(choice.outstanding, 20);
	v[1].others = 60;
	assert_int_equal(pick(&route_least_loaded, v, 2, 0, &choice), 0);
}

static void least_loaded_sees_queued_prompts_by_the_time_they_take(void **state)
{
	(void)state;
	struct route_candidate v[2] = {{.slots = 8, .outstanding = 2, .queued_tokens = 5000, .step_us_per_token = 10},
		{.slots = 8, .outstanding = 2, .queued_tokens = 3000, .step_us_per_token = 1000}};
	struct route_choice choice;

	assert_int_equal(pick(&route_least_loaded, v, 2, 0, &choice), 0);
	v[0].step_us_per_token = v[1].step_us_per_token = 0;
	assert_int_equal(pick(&route_least_loaded, v, 2, 0, &choice), 1);
}

static void least_loaded_breaks_ties_by_chance(void **state)
{
	(void)state;
	struct route_candidate v[3] = {{.slots = 8}, {.slots = 8, .outstanding = 1}, {.slots = 8}};
	struct route_choice choice;
	struct rng r;
	uint32_t counts[3] = {0};

	rng_init(&r, 3);
	for (int i = 0; i < 1000; i++)
		counts[pick(&route_least_loaded, v, 3, rng_u64(&r), &choice)]++;
	assert_int_equal(counts[1], 0);
	assert_in_range(counts[0], 400, 600);
}

static void names_find_policies_and_kv_says_what_it_means(void **state)
{
	(void)state;
	const char *notice;

	for (uint32_t i = 0; route_policy_at(i); i++) {
		assert_ptr_equal(route_policy_find(route_policy_at(i)->name, &notice), route_policy_at(i));
		assert_null(notice);
	}
	assert_ptr_equal(route_policy_find("kv", &notice), &route_least_loaded);
	assert_non_null(notice);
	assert_null(route_policy_find("fastest", &notice));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_takes_each_in_turn_also_when_one_was_away),
		cmocka_unit_test(random_reaches_all_alike),
		cmocka_unit_test(least_loaded_counts_requests_relative_to_slots),
		cmocka_unit_test(least_loaded_sees_queued_prompts_by_the_time_they_take),
		cmocka_unit_test(least_loaded_breaks_ties_by_chance),
		cmocka_unit_test(names_find_policies_and_kv_says_what_it_means),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
