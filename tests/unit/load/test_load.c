/* The load generator against a frontend with mock workers, in one thread on a fake clock. */
#include "load/load.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

static struct world w;
static struct load *load;
static bool over;
static uint32_t workers = 2; /* of the next run */

static void on_done(void *ctx)
{
	(void)ctx;
	over = true;
}

static bool is_over(void *ctx)
{
	(void)ctx;
	return over;
}

static struct load_config config_default(void)
{
	struct load_config c = {.clients = 4,
		.requests_max = 40,
		.timeout_ms = 60000,
		.workload = {.model = "mock",
			.prompt_min = 5,
			.prompt_max = 20,
			.output_min = 8,
			.output_max = 8,
			.prefix_groups = 1,
			.turns = 1,
			.ignore_eos = true,
			.seed = 7}};
	snprintf(c.url.addr, sizeof c.url.addr, "%s", "web");
	snprintf(c.url.host, sizeof c.url.host, "%s", "web");
	return c;
}

static const struct stats *run(const struct load_config *c)
{
	struct world_config config;

	world_config_default(&config, 3);
	config.workers = workers;
	config.frontend.listen = "web";
	world_init(&w, &config);
	world_wait_workers(&w, config.workers);
	over = false;
	assert_int_equal(load_create(&load, w.env, c, on_done, NULL, NULL), 0);
	load_start(load);
	assert_true(sim_run_cond(w.sim, is_over, NULL, env_now_us(w.env) + 600 * 1000000ull));
	assert_int_equal(load_running(load), 0);
	return load_stats(load);
}

static void finish(void)
{
	load_destroy(load);
	world_wait_idle(&w);
	world_done(&w);
}

static void a_closed_loop_asks_as_often_as_told_and_every_answer_counts(void **state)
{
	(void)state;
	struct load_config c = config_default();
	const struct stats *s = run(&c);

	assert_int_equal(s->sent, 40);
	assert_int_equal(s->completed, 40);
	assert_int_equal(s->failed, 0);
	assert_int_equal(s->tokens, 40 * 8);
	for (uint32_t i = 0; i < s->records.len; i++) {
		const struct stats_record *r = &s->records.v[i];
		assert_true(r->ttft_us > 0 && r->ttft_us <= r->e2e_us);
		assert_int_equal(r->tokens, 8);
		assert_true(r->tpot_us >= 900); /* the mock's step takes a millisecond */
		assert_true(r->late_us == 0);
	}
	assert_int_equal(s->gaps.count, s->pieces - s->completed);
	finish();
}

static void a_conversation_carries_its_answers_and_finds_its_beginning_cached(void **state)
{
	(void)state;
	struct load_config c = config_default();

	c.clients = 1;
	c.workload.turns = 4;
	c.workload.prompt_min = c.workload.prompt_max = 40;
	c.requests_max = 4;
	const struct stats *s = run(&c);
	assert_int_equal(s->completed, 4);
	for (uint32_t i = 1; i < 4; i++)
		assert_true(s->records.v[i].prompt_tokens > s->records.v[i - 1].prompt_tokens + 40);
	assert_true(s->cached_tokens > 0);
	finish();
}

static void think_time_lies_between_an_answer_and_the_next_question(void **state)
{
	(void)state;
	struct load_config c = config_default();

	c.clients = 1;
	c.requests_max = 20;
	c.think_us = 1000 * 1000;
	const struct stats *s = run(&c);
	assert_int_equal(s->completed, 20);
	assert_true(stats_seconds(s) > 5); /* 19 pauses of a second on average */
	finish();
}

static void an_open_loop_begins_at_the_rate_asked(void **state)
{
	(void)state;
	struct load_config c = config_default();

	c.rate = 50;
	c.clients = 64;
	c.requests_max = 0;
	c.duration_us = 20 * 1000000;
	const struct stats *s = run(&c);
	assert_int_equal(s->sent, s->completed);
	assert_in_range(s->sent, 850, 1150); /* 1,000 +- 32, from a seed */
	finish();
}

static void what_waits_for_a_connection_counts_from_when_it_was_due(void **state)
{
	(void)state;
	struct load_config c = config_default();
	struct stats_figure late, ttft;

	c.rate = 400;
	c.clients = 2;
	c.requests_max = 200;
	const struct stats *s = run(&c);
	assert_int_equal(s->completed, 200);
	assert_int_equal(stats_figure(s, STATS_LATE, &late), 0);
	assert_int_equal(stats_figure(s, STATS_TTFT, &ttft), 0);
	assert_true(late.max > 100);
	assert_true(ttft.max > late.max);
	finish();
}

static void rows_of_a_trace_are_sent_at_their_times_and_share_their_blocks(void **state)
{
	(void)state;
	static const uint64_t hashes[] = {11, 12, 13};
	static const struct workload_row rows[] = {
		{0, hashes, 2, 220, 8}, {2000000, hashes, 2, 210, 8}, {4000000, hashes + 2, 1, 150, 4}};
	struct load_config c = config_default();

	c.rows = rows;
	c.rows_count = ARRAY_LEN(rows);
	c.requests_max = 0;
	c.speed = 2;
	c.workload.block_tokens = 100;
	workers = 1;
	c.workload.endpoint = WORKLOAD_COMPLETIONS;
	const struct stats *s = run(&c);
	assert_int_equal(s->completed, 3);
	assert_int_equal(s->records.v[2].due_us - s->records.v[0].due_us, 2000000);
	assert_int_equal(s->records.v[0].cached_tokens, 0);
	assert_in_range(s->records.v[1].cached_tokens, 600, 900); /* 200 of 210 words, a byte a token */
	assert_in_range(s->records.v[2].cached_tokens, 0, 64); /* the chat template's beginning at most */
	workers = 2;
	assert_int_equal(s->records.v[2].tokens, 4);
	finish();
}

static void what_the_warm_up_asks_is_not_counted(void **state)
{
	(void)state;
	struct load_config c = config_default();

	c.requests_max = 0;
	c.warmup_us = 500 * 1000;
	c.duration_us = 1000 * 1000;
	const struct stats *s = run(&c);
	assert_true(s->completed > 0);
	assert_true(s->records.v[0].due_us >= s->first_due_us);
	assert_true(stats_seconds(s) < 0.6);
	finish();
}

static void a_refusal_is_counted_with_what_the_server_said(void **state)
{
	(void)state;
	struct load_config c = config_default();

	c.workload.model = "nope";
	c.requests_max = 10;
	const struct stats *s = run(&c);
	assert_int_equal(s->failed, 10);
	assert_int_equal(s->completed, 0);
	assert_int_equal(s->errors_count, 1);
	assert_int_equal(s->errors[0].count, 10);
	assert_non_null(strstr(s->errors[0].text, "status 404"));
	assert_non_null(strstr(s->errors[0].text, "nope"));
	finish();
}

static void a_server_that_is_not_there_fails_each_request_and_ends(void **state)
{
	(void)state;
	struct load_config c = config_default();

	snprintf(c.url.addr, sizeof c.url.addr, "%s", "elsewhere");
	c.requests_max = 6;
	const struct stats *s = run(&c);
	assert_int_equal(s->failed, 6);
	assert_non_null(strstr(s->errors[0].text, "could not connect"));
	finish();
}

static void stopping_lets_answers_end_and_aborting_does_not(void **state)
{
	(void)state;
	struct load_config c = config_default();
	struct world_config config;

	c.requests_max = 0;
	c.workload.output_min = c.workload.output_max = 40;
	for (int abort = 0; abort < 2; abort++) {
		world_config_default(&config, 5);
		config.frontend.listen = "web";
		world_init(&w, &config);
		world_wait_workers(&w, config.workers);
		over = false;
		assert_int_equal(load_create(&load, w.env, &c, on_done, NULL, NULL), 0);
		load_start(load);
		sim_run_for(w.sim, 10 * 1000);
		assert_int_equal(load_running(load), 4);
		(abort ? load_abort : load_stop)(load);
		assert_true(sim_run_cond(w.sim, is_over, NULL, env_now_us(w.env) + 60 * 1000000ull));
		assert_int_equal(load_stats(load)->completed, abort ? 0 : 4);
		assert_int_equal(load_stats(load)->failed, abort ? 4 : 0);
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closed_loop_asks_as_often_as_told_and_every_answer_counts),
		cmocka_unit_test(a_conversation_carries_its_answers_and_finds_its_beginning_cached),
		cmocka_unit_test(think_time_lies_between_an_answer_and_the_next_question),
		cmocka_unit_test(an_open_loop_begins_at_the_rate_asked),
		cmocka_unit_test(what_waits_for_a_connection_counts_from_when_it_was_due),
		cmocka_unit_test(rows_of_a_trace_are_sent_at_their_times_and_share_their_blocks),
		cmocka_unit_test(what_the_warm_up_asks_is_not_counted),
		cmocka_unit_test(a_refusal_is_counted_with_what_the_server_said),
		cmocka_unit_test(a_server_that_is_not_there_fails_each_request_and_ends),
		cmocka_unit_test(stopping_lets_answers_end_and_aborting_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
