/* Policies are pure: a table of situations and what each must choose. */
#include "base/compiler.h"
#include "base/rng.h"
#include "route/policy.h"

#include "../lib/cmocka_all.h"
#include <math.h>
#include <stdio.h>

enum { BLOCK = 512 };
static struct latency model;
static struct route_knobs knobs;

/* 5 ms a step, 0.1 ms a prompt token. */
static int setup(void **state)
{
	(void)state;
	struct rng r;

	rng_init(&r, 1);
	latency_init(&model, 100 * 1000);
	for (int i = 0; i < 400; i++) {
		struct latency_step s = {
			.decodes = (uint32_t)rng_below(&r, 20), .prefill = (uint32_t)rng_below(&r, 4000)};
		s.context = s.decodes * rng_below(&r, 3000);
		latency_learn(&model, &s, 5000 + 100ull * s.prefill + (s.decodes ? s.context / 10 : 0));
	}
	knobs = route_knobs_default;
	return 0;
}

static struct route_candidate worker(uint32_t number)
{
	return (struct route_candidate){.worker = number,
		.slots = 16,
		.cells = 100000,
		.latency = &model,
		.pace = 1,
		.speed = 1,
		.speed_damped = 1,
		.trust = 1,
		.batch_tokens = 4096};
}

static uint32_t pick_for(const struct route_policy *p, const struct route_request *request, struct route_candidate *v,
	uint32_t len, uint64_t random, struct route_choice *ret)
{
	struct route_snapshot s = {.v = v,
		.len = len,
		.random = random,
		.block_size = BLOCK,
		.answer_tokens = 100,
		.fleet = &model,
		.knobs = &knobs};
	return route_pick(p, &s, request, ret);
}

static uint32_t pick(const struct route_policy *p, struct route_candidate *v, uint32_t len, uint64_t random,
	struct route_choice *ret)
{
	const struct route_request request = {.prompt_tokens = 4096, .max_tokens = 100, .choices = 1};
	return pick_for(p, &request, v, len, random, ret);
}

static void round_robin_is_fair_when_candidates_are_missing(void **state)
{
	(void)state;
	struct route_candidate v[3] = {worker(7), worker(8), worker(9)};
	struct route_choice choice;
	uint32_t counts[3] = {0};

	for (uint64_t i = 1; i <= 999; i++) {
		/* The third is full now and then. */
		uint32_t at = pick(&route_round_robin, v, i % 10 < 3 ? 2 : 3, 0, &choice);
		assert_int_equal(choice.worker, 7 + at);
		v[at].last_turn = i;
		counts[at]++;
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(counts[i], 300, 360);
}

static void random_spreads(void **state)
{
	(void)state;
	struct route_candidate v[5] = {worker(0), worker(1), worker(2), worker(3), worker(4)};
	struct route_choice choice;
	struct rng r;
	uint32_t counts[5] = {0};

	rng_init(&r, 5);
	for (int i = 0; i < 5000; i++)
		counts[pick(&route_random, v, 5, rng_u64(&r), &choice)]++;
	for (int i = 0; i < 5; i++)
		assert_in_range(counts[i], 850, 1150);
}

static void least_loaded_prefers_the_emptier_for_its_size_and_counts_queued_prompts(void **state)
{
	(void)state;
	struct route_candidate v[2] = {worker(0), worker(1)};
	struct route_choice choice;

	v[0].outstanding = 4;
	v[1].outstanding = 6, v[1].slots = 64;
	for (uint64_t r = 0; r < 8; r++)
		assert_int_equal(pick(&route_least_loaded, v, 2, r << 61, &choice), 1);
	v[1].queued_tokens = 40000;
	assert_int_equal(pick(&route_least_loaded, v, 2, 0, &choice), 0);
}

static void near_ties_are_broken_by_chance(void **state)
{
	(void)state;
	static const struct route_policy *const by_load[] = {&route_least_loaded, &route_finish_time, &route_dynamo_kv};

	for (uint32_t p = 0; p < ARRAY_LEN(by_load); p++) {
		struct route_candidate v[3] = {worker(0), worker(1), worker(2)};
		struct route_choice choice;
		struct rng r;
		uint32_t counts[3] = {0};
		v[1].outstanding = 8, v[1].queued_tokens = v[1].charged_tokens = 30000, v[1].queued = 8;
		rng_init(&r, 6);
		for (int i = 0; i < 1000; i++)
			counts[pick(by_load[p], v, 3, rng_u64(&r), &choice)]++;
		assert_int_equal(counts[1], 0);
		assert_in_range(counts[0], 400, 600);
	}
}

static void p2c_never_takes_the_busiest_of_many(void **state)
{
	(void)state;
	struct route_candidate v[4] = {worker(0), worker(1), worker(2), worker(3)};
	struct route_choice choice;
	struct rng r;
	uint32_t counts[4] = {0};

	for (uint32_t i = 0; i < 4; i++)
		v[i].outstanding = i;
	rng_init(&r, 7);
	for (int i = 0; i < 6000; i++)
		counts[pick(&route_p2c, v, 4, rng_u64(&r), &choice)]++;
	assert_int_equal(counts[3], 0);
	assert_in_range(counts[0], 2800, 3200); /* half of all pairs hold it */
	assert_in_range(counts[2], 850, 1150);
}

static void prefix_takes_the_longest_overlap_however_busy(void **state)
{
	(void)state;
	struct route_candidate v[3] = {worker(0), worker(1), worker(2)};
	struct route_choice choice;

	v[1].overlap_soon = 3, v[1].outstanding = 500;
	v[2].overlap_soon = 2;
	assert_int_equal(pick(&route_prefix, v, 3, 0, &choice), 1);
	v[0].overlap_soon = 3;
	assert_int_equal(pick(&route_prefix, v, 3, 0, &choice), 0);
}

static void finish_time_weighs_the_cache_against_the_queue(void **state)
{
	(void)state;
	struct route_candidate v[2] = {worker(0), worker(1)};
	struct route_choice choice;

	v[1].overlap_soon = 6; /* saves 3,072 tokens: 307 ms */
	v[1].remaining_us = 100e3;
	assert_int_equal(pick(&route_finish_time, v, 2, 0, &choice), 1);
	assert_true(fabs(choice.predicted_us - (100e3 + 102e3)) < 40e3);
	assert_int_equal(choice.overlap_blocks, 6);
	v[1].remaining_us = 900e3;
	assert_int_equal(pick(&route_finish_time, v, 2, 0, &choice), 0);
	assert_int_equal(choice.considered_len, 2);
	assert_true(choice.considered[0].total <= choice.considered[1].total);
	v[1].remaining_us = 0;
	v[1].queued_tokens = 12000, v[1].queued = 3;
	assert_int_equal(pick(&route_finish_time, v, 2, 0, &choice), 0);
}

static void finish_time_spares_those_that_decode(void **state)
{
	(void)state;
	struct route_candidate v[2] = {worker(0), worker(1)};
	struct route_choice choice;

	v[0].decoding = 10, v[0].context = 30000, v[0].cells_promised = 30000;
	v[1].decoding = 1, v[1].context = 3000, v[1].cells_promised = 3000;
	for (uint64_t r = 0; r < 8; r++)
		assert_int_equal(pick(&route_finish_time, v, 2, r << 61, &choice), 1);
	assert_true(choice.considered[1].others_us > choice.considered[0].others_us);
}

static void finish_time_copies_a_prefix_whose_worker_is_always_the_busiest(void **state)
{
	(void)state;
	struct route_candidate v[4] = {worker(0), worker(1), worker(2), worker(3)};
	struct route_choice choice;

	v[0].overlap_soon = 7; /* all but 512 tokens */
	for (int i = 0; i < 4; i++)
		v[i].decoding = 4, v[i].context = 12000, v[i].load = 4;
	v[0].decoding = 12;
	assert_int_equal(pick(&route_finish_time, v, 4, 0, &choice), 0); /* for the moment only */
	v[0].load = 40;
	assert_int_not_equal(pick(&route_finish_time, v, 4, 0, &choice), 0);
}

static void finish_time_does_not_believe_who_was_wrong(void **state)
{
	(void)state;
	struct route_candidate v[2] = {worker(0), worker(1)};
	struct route_choice choice;

	v[0].trust = 0.3;
	v[1].remaining_us = 50e3;
	assert_int_equal(pick(&route_finish_time, v, 2, 0, &choice), 1);
}

static void finish_time_holds_for_a_step_a_full_batch_and_full_cells(void **state)
{
	(void)state;
	const struct route_request request = {.prompt_tokens = 1000, .choices = 1};
	struct route_candidate v[1] = {worker(0)};
	const struct route_snapshot s = {.v = v, .len = 1, .block_size = BLOCK, .fleet = &model, .knobs = &knobs};

	assert_false(route_finish_time.hold(&s, 0, &request));
	v[0].remaining_us = 2 * ROUTE_HOLD_US, v[0].margin_us = ROUTE_HOLD_US;
	assert_true(route_finish_time.hold(&s, 0, &request));
	v[0].remaining_us = 0;
	v[0].queued_tokens = 5000, v[0].queued = 1;
	assert_true(route_finish_time.hold(&s, 0, &request));
	v[0].queued_tokens = 0, v[0].queued = 0;
	v[0].decoding = 3, v[0].cells_promised = 99500;
	assert_true(route_finish_time.hold(&s, 0, &request));
	v[0].decoding = 0; /* nobody there will give room back: it must be tried */
	assert_false(route_finish_time.hold(&s, 0, &request));
}

static void finish_time_copies_a_prefix_when_the_rent_has_paid_for_it(void **state)
{
	(void)state;
	const struct route_request request = {.prompt_tokens = 2 * BLOCK, .choices = 1, .max_tokens = 10};
	struct route_candidate v[2] = {worker(0), worker(1)};
	struct route_snapshot s = {
		.v = v, .len = 2, .block_size = BLOCK, .answer_tokens = 10, .fleet = &model, .knobs = &knobs};
	struct route_choice choice;

	/* 51 ms more there, which count twice. */
	v[0].overlap_soon = s.held_most = 1;
	assert_int_equal(route_pick(&route_finish_time, &s, &request, &choice), 0);
	s.rent_us = 30e3;
	assert_int_equal(route_pick(&route_finish_time, &s, &request, &choice), 0);
	s.rent_us = 40e3;
	assert_int_equal(route_pick(&route_finish_time, &s, &request, &choice), 1);
	v[1].overlap_soon = 1; /* both have it: nothing to be gained by rent */
	v[1].remaining_us = 1e3;
	assert_int_equal(route_pick(&route_finish_time, &s, &request, &choice), 0);
}

static void finish_time_counts_only_those_who_wait_for_the_same_step(void **state)
{
	(void)state;
	const struct route_request request = {.prompt_tokens = 100, .choices = 1};
	struct route_candidate v[1] = {worker(0)};
	const struct route_snapshot s = {.v = v, .len = 1, .block_size = BLOCK, .fleet = &model, .knobs = &knobs};

	/* 10 ms for this prompt; the step after takes 5 ms: two who wait may not be made to, for that. */
	v[0].queued = 2, v[0].queued_tokens = 1000, v[0].step_tokens = 500;
	v[0].remaining_us = 2000, v[0].margin_us = ROUTE_HOLD_US;
	assert_true(route_finish_time.hold(&s, 0, &request));
	/* But those whose prompts are done with the running step do not wait for the next. */
	v[0].finishing = 2;
	assert_false(route_finish_time.hold(&s, 0, &request));
	/* And with many that decode the step after is long: sharing is right for all. */
	v[0].finishing = 0, v[0].queued = 1, v[0].decoding = 20, v[0].context = 60000;
	assert_false(route_finish_time.hold(&s, 0, &request));
}

static void dynamo_kv_computes_the_example_of_dynamos_documents(void **state)
{
	(void)state;
	/* Raw prefill 10 blocks each; overlaps 2, 5, 8; decode blocks 10, 5, 9: costs 18, 10, 11. */
	const struct route_request request = {.prompt_tokens = 10 * BLOCK, .choices = 1};
	static const uint32_t overlaps[] = {2, 5, 8}, decode[] = {10, 5, 9};
	struct route_candidate v[3] = {worker(0), worker(1), worker(2)};
	struct route_choice choice;

	for (int i = 0; i < 3; i++) {
		v[i].overlap[0] = overlaps[i];
		v[i].decode_blocks = decode[i];
	}
	assert_int_equal(pick_for(&route_dynamo_kv, &request, v, 3, 0, &choice), 1);
	assert_true(choice.score == 10);
	assert_true(choice.considered[1].total == 11 && choice.considered[2].total == 18);
}

static void dynamo_kv_has_dynamos_knobs(void **state)
{
	(void)state;
	struct route_knobs k;
	struct err err;

	assert_ptr_equal(route_policy_parse("dynamo-kv:prefill_load_scale=16,overlap_score_credit=1.3,"
					    "router_queue_threshold=0.25,wspt",
				 &k, &err),
		&route_dynamo_kv);
	assert_true(k.prefill_load_scale == 16 && k.overlap_score_credit == 1.3 && k.queue_threshold == 0.25 && k.wspt);
	assert_ptr_equal(route_policy_parse("dynamo-kv", &k, &err), &route_dynamo_kv);
	assert_true(k.prefill_load_scale == 1 && k.queue_threshold < 0 && !k.wspt);
	assert_null(route_policy_parse("dynamo-kv:prefill_load_scale=x", &k, &err));
	assert_string_equal(err.msg, "prefill_load_scale takes a number from 0 to 1e+06, not \"x\"");
	assert_null(route_policy_parse("dynamo-kv:speed=1", &k, &err));
	assert_non_null(strstr(err.msg, "unknown setting \"speed=1\""));
	assert_null(route_policy_parse("fastest", &k, &err));
}

static void dynamo_kv_draws_by_temperature_and_holds_by_threshold(void **state)
{
	(void)state;
	const struct route_request request = {.prompt_tokens = 1000, .choices = 1};
	struct route_candidate v[2] = {worker(0), worker(1)};
	struct route_choice choice;
	struct rng r;
	uint32_t counts[2] = {0};

	v[1].charged_tokens = 8000;
	rng_init(&r, 8);
	knobs.temperature = 1;
	for (int i = 0; i < 2000; i++)
		counts[pick(&route_dynamo_kv, v, 2, rng_u64(&r), &choice)]++;
	assert_in_range(counts[1], 440, 640); /* 1 / (1 + e) = 0.27 */
	const struct route_snapshot s = {.v = v, .len = 2, .block_size = BLOCK, .knobs = &knobs};
	assert_false(route_dynamo_kv.hold(&s, 0, &request));
	knobs.queue_threshold = 0.5;
	assert_false(route_dynamo_kv.hold(&s, 0, &request));
	v[0].charged_tokens = 3000;
	assert_true(route_dynamo_kv.hold(&s, 0, &request));
	knobs = route_knobs_default;
}

static void a_session_stays_until_its_worker_is_much_busier(void **state)
{
	(void)state;
	struct route_candidate v[5];
	struct route_choice choice;
	uint32_t counts[5] = {0};
	char name[8];

	for (uint32_t i = 0; i < 5; i++) {
		v[i] = worker(i);
		snprintf(name, sizeof name, "w%u", i);
		v[i].name_hash = route_name_hash(name);
	}
	for (uint64_t session = 1; session <= 1000; session++) {
		struct route_request request = {.prompt_tokens = 100, .choices = 1, .session = session};
		uint32_t home = pick_for(&route_session, &request, v, 5, session << 60, &choice);
		counts[home]++;
		for (uint32_t i = 0; i < 5; i++)
			v[i].outstanding = i == home ? 5 : 2;
		assert_int_equal(pick_for(&route_session, &request, v, 5, 0, &choice), home);
		v[home].outstanding = 30;
		assert_int_not_equal(pick_for(&route_session, &request, v, 5, 0, &choice), home);
		/* One worker less moves only its own sessions. */
		v[home].outstanding = 2;
		uint32_t without = pick_for(&route_session, &request, v, 4, 0, &choice);
		assert_true(home == 4 || without == home);
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(counts[i], 150, 250);
}

static void direct_takes_the_worker_named(void **state)
{
	(void)state;
	const struct route_request request = {.prompt_tokens = 100, .choices = 1, .direct = "b"};
	struct route_candidate v[2] = {worker(0), worker(1)};
	struct route_choice choice;

	v[0].name_hash = route_name_hash("a");
	v[1].name_hash = route_name_hash("b");
	v[1].outstanding = 99;
	assert_int_equal(pick_for(&route_direct, &request, v, 2, 0, &choice), 1);
}

static void every_policy_of_the_table_is_found_by_name_and_names_a_candidate(void **state)
{
	(void)state;
	struct rng r;

	rng_init(&r, 12);
	for (uint32_t i = 0; route_policy_at(i); i++) {
		const struct route_policy *p = route_policy_at(i);
		assert_ptr_equal(route_policy_find(p->name), p);
		for (int k = 0; k < 300; k++) {
			struct route_candidate v[9];
			struct route_choice choice;
			uint32_t len = 1 + (uint32_t)rng_below(&r, 9);
			for (uint32_t n = 0; n < len; n++) {
				v[n] = worker(n);
				v[n].outstanding = (uint32_t)rng_below(&r, 30);
				v[n].queued_tokens = rng_below(&r, 100000);
				v[n].step_tokens = rng_below(&r, v[n].queued_tokens + 1);
				v[n].overlap_soon = (uint32_t)rng_below(&r, 12);
				v[n].decoding = (uint32_t)rng_below(&r, 30);
				v[n].context = rng_below(&r, 100000);
				v[n].cells_promised = rng_below(&r, 200000);
				v[n].batch_tokens = rng_below(&r, 2) ? 0 : 2048;
			}
			uint32_t at = pick(p, v, len, rng_u64(&r), &choice);
			assert_true(at < len);
			assert_string_equal(choice.policy, p->name);
			assert_true(choice.reason[0]);
			assert_true(isfinite(choice.score) && isfinite(choice.predicted_us));
		}
	}
	assert_ptr_equal(route_policy_find("kv"), &route_finish_time);
	assert_null(route_policy_find("fastest"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_is_fair_when_candidates_are_missing),
		cmocka_unit_test(random_spreads),
		cmocka_unit_test(least_loaded_prefers_the_emptier_for_its_size_and_counts_queued_prompts),
		cmocka_unit_test(near_ties_are_broken_by_chance),
		cmocka_unit_test(p2c_never_takes_the_busiest_of_many),
		cmocka_unit_test(prefix_takes_the_longest_overlap_however_busy),
		cmocka_unit_test(finish_time_weighs_the_cache_against_the_queue),
		cmocka_unit_test(finish_time_spares_those_that_decode),
		cmocka_unit_test(finish_time_copies_a_prefix_whose_worker_is_always_the_busiest),
		cmocka_unit_test(finish_time_does_not_believe_who_was_wrong),
		cmocka_unit_test(finish_time_copies_a_prefix_when_the_rent_has_paid_for_it),
		cmocka_unit_test(finish_time_counts_only_those_who_wait_for_the_same_step),
		cmocka_unit_test(finish_time_holds_for_a_step_a_full_batch_and_full_cells),
		cmocka_unit_test(dynamo_kv_computes_the_example_of_dynamos_documents),
		cmocka_unit_test(dynamo_kv_has_dynamos_knobs),
		cmocka_unit_test(dynamo_kv_draws_by_temperature_and_holds_by_threshold),
		cmocka_unit_test(a_session_stays_until_its_worker_is_much_busier),
		cmocka_unit_test(direct_takes_the_worker_named),
		cmocka_unit_test(every_policy_of_the_table_is_found_by_name_and_names_a_candidate),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
