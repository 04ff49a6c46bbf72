/* Text work of one request must not hurt others: order, limits, and that what nobody waits for ends. On a fake clock, where
 * a job takes what its estimate says. */
#include "frontend/keys.h"
#include "frontend/request.h"
#include "frontend/text_work.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

enum { GIANTS = 8, GIANT_BYTES = 1024 * 1024, TEXT_MS = 400, MS = 1000 };

static struct world_config config;
static struct world w;
static struct world_client giants[GIANTS], c;
static char giant[GIANT_BYTES + 256];

/* One text thread and the lane; a giant takes some 130 ms: 20 to be parsed, 110 to become tokens. */
static int setup(void **state)
{
	(void)state;
	world_config_default(&config, 7);
	config.workers = 1;
	config.sim.text_threads = 1;
	config.frontend.text_threads = 1;
	config.frontend.allow_tenant = true;
	config.frontend.text_ms_max = TEXT_MS;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	int n = sprintf(giant, "{\"model\":\"mock\",\"prompt\":\"");
	memset(giant + n, 'a', GIANT_BYTES);
	strcpy(giant + n + GIANT_BYTES, "\"}");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_wait_idle(&w);
	world_client_done(&c);
	for (uint32_t i = 0; i < GIANTS; i++)
		world_client_done(&giants[i]);
	world_done(&w);
	memset(giants, 0, sizeof giants);
	return 0;
}

static uint32_t jobs_wanted;
static bool has_jobs(void *ctx)
{
	struct frontend_counts counts;

	(void)ctx;
	frontend_counts(w.fe, &counts);
	return counts.jobs == jobs_wanted;
}

static void wait_jobs(uint32_t count, uint64_t within_us)
{
	jobs_wanted = count;
	assert_true(sim_run_cond(w.sim, has_jobs, NULL, env_now_us(w.env) + within_us));
}

static void send_giants(uint32_t from, uint32_t count, const char *path, const char *headers)
{
	for (uint32_t i = from; i < from + count; i++)
		world_send(&w, &giants[i], "POST", path, headers, giant);
	wait_jobs(from + count, 10000 * MS);
}

static int64_t metric(const char *series)
{
	struct world_client m;

	world_send(&w, &m, "GET", "/metrics", NULL, NULL);
	world_finish(&m);
	const char *at = strstr(buf_str(&m.body), series);
	int64_t value = at ? atoll(at + strlen(series)) : -1;
	world_client_done(&m);
	return value;
}

static void a_short_prompt_is_answered_while_long_ones_wait(void **state)
{
	(void)state;
	static const char *const paths[] = {"/v1/completions", "/tokenize", "/v1/completions", "/tokenize"};

	for (uint32_t i = 0; i < 4; i++)
		send_giants(i, 1, paths[i], NULL);
	assert_int_equal(metric("\nstator_text_running "), 1);
	assert_int_equal(metric("\nstator_text_waiting "), 3);
	uint64_t from_us = env_now_us(w.env);
	world_post(&w, &c, "/v1/chat/completions",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":1}");
	world_finish(&c);
	assert_int_equal(c.status, 200);
	assert_true(env_now_us(w.env) - from_us < 10 * MS);
	for (uint32_t i = 0; i < 4; i++)
		assert_false(giants[i].ended);
	for (uint32_t i = 0; i < 4; i++) {
		world_finish(&giants[i]);
		assert_int_equal(giants[i].status, i % 2 ? 200 : 400);
	}
}

/* Six requests of one tenant are there; the other's one is next. */
static void tenants_take_turns(void **state)
{
	(void)state;

	config.frontend.text_ms_max = 10000;
	world_done(&w);
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	send_giants(0, 6, "/tokenize", "x-stator-tenant: greedy\r\n");
	world_send(&w, &giants[6], "POST", "/tokenize", "x-stator-tenant: modest\r\n", giant);
	world_finish(&giants[6]);
	uint32_t ended = 0;
	for (uint32_t i = 0; i < 6; i++)
		ended += giants[i].ended;
	assert_true(ended <= 2);
	assert_int_equal(giants[6].status, 200);
	for (uint32_t i = 0; i < 6; i++) {
		world_finish(&giants[i]);
		assert_int_equal(giants[i].status, 200);
	}
}

/* One key is one, with however many blanks it is sent: who found six spellings would have six turns. */
static void a_key_takes_its_turn_however_it_is_spelled(void **state)
{
	(void)state;
	static const char text[] = "greedy\nmodest\n", *const spelled[] = {"authorization: Bearer greedy\r\n",
							       "authorization: bearer greedy\r\n",
							       "authorization: Bearer  greedy\r\n",
							       "authorization: BEARER   greedy\r\n",
							       "x-api-key: greedy\r\n",
							       "authorization: bEARER  greedy\r\n"};
	struct api_keys *keys;

	assert_int_equal(api_keys_parse(&keys, text, strlen(text), NULL), 0);
	config.frontend.text_ms_max = 10000;
	config.frontend.keys = keys;
	world_done(&w);
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	for (uint32_t i = 0; i < ARRAY_LEN(spelled); i++)
		send_giants(i, 1, "/tokenize", spelled[i]);
	world_send(&w, &giants[6], "POST", "/tokenize", "x-api-key: modest\r\n", giant);
	world_finish(&giants[6]);
	uint32_t ended = 0;
	for (uint32_t i = 0; i < ARRAY_LEN(spelled); i++)
		ended += giants[i].ended;
	assert_true(ended <= 2);
	assert_int_equal(giants[6].status, 200);
	for (uint32_t i = 0; i < ARRAY_LEN(spelled); i++) {
		world_finish(&giants[i]);
		assert_int_equal(giants[i].status, 200);
	}
	teardown(NULL);
	api_keys_destroy(keys);
	setup(NULL);
}

/* A model whose text costs much is no reason to let its short requests wait for long ones. */
static void a_few_words_have_the_lane_whatever_they_cost(void **state)
{
	(void)state;

	for (uint32_t kind = 0; kind < TEXT_KINDS; kind++)
		for (uint32_t items = 0; items < 9; items++) {
			struct text_size s = {.kind = kind, .bytes = 4096, .items = items};
			assert_int_equal(text_is_long(&s, 1000000), items > 8);
			s.bytes = 32768;
			assert_false(text_is_long(&s, 2000));
			assert_true(text_is_long(&s, 2001));
			s.bytes = 32769;
			assert_true(text_is_long(&s, 1));
		}
	assert_true(text_is_long(&(struct text_size){.bytes = 100, .items = 65}, 1));
}

static void a_client_that_leaves_ends_its_text_work(void **state)
{
	(void)state;
	static const char *const paths[] = {"/v1/completions", "/tokenize"};

	for (uint32_t i = 0; i < 4; i++)
		send_giants(i, 1, paths[i % 2], NULL);
	for (uint32_t i = 0; i < 4; i++)
		world_leave(&giants[i]);
	wait_jobs(0, 40 * MS);
	assert_int_equal(metric("stator_text_cancelled_total{why=\"client left\"} "), 4);
	assert_int_equal(metric("\nstator_text_ahead_seconds "), 0);
}

static void a_deadline_holds_while_text_waits(void **state)
{
	(void)state;
	static const char *const paths[] = {"/v1/completions", "/tokenize"};

	for (uint32_t i = 0; i < 2; i++) {
		send_giants(0, 2, paths[i], NULL);
		uint64_t from_us = env_now_us(w.env);
		world_send(&w, &giants[2], "POST", paths[i], "x-stator-deadline-ms: 60\r\n", giant);
		world_finish(&giants[2]);
		assert_int_equal(giants[2].status, 504);
		assert_non_null(strstr(buf_str(&giants[2].body), "deadline_exceeded"));
		assert_in_range(env_now_us(w.env) - from_us, 60 * MS, 70 * MS);
		wait_jobs(2, 15 * MS); /* the heap may be trimmed meanwhile */
		for (uint32_t k = 0; k < 3; k++) {
			if (k < 2)
				world_finish(&giants[k]);
			world_client_done(&giants[k]);
		}
	}
	assert_int_equal(metric("stator_text_cancelled_total{why=\"deadline\"} "), 2);
}

static void a_deadline_holds_while_text_is_worked_on(void **state)
{
	(void)state;
	uint64_t from_us = env_now_us(w.env);

	world_send(&w, &c, "POST", "/v1/completions", "x-stator-deadline-ms: 90\r\n", giant);
	world_finish(&c);
	assert_int_equal(c.status, 504);
	assert_in_range(env_now_us(w.env) - from_us, 90 * MS, 100 * MS);
	wait_jobs(0, MS);
}

/* Two giants run for 260 ms; of what follows, some are refused at once, some wait in vain, and they are told when to come back. */
static void text_that_would_wait_too_long_is_refused_and_told_when(void **state)
{
	(void)state;
	uint32_t refused = 0, served = 0, late = 0;

	for (uint32_t i = 0; i < GIANTS; i++)
		world_send(&w, &giants[i], "POST", "/tokenize", NULL, giant);
	uint64_t from_us = env_now_us(w.env);
	for (uint32_t i = 0; i < GIANTS; i++) {
		world_finish(&giants[i]);
		served += giants[i].status == 200;
		refused += giants[i].status == 429;
		late += giants[i].status == 503;
		if (giants[i].status == 200)
			continue;
		assert_true(atoi(world_header(&giants[i], "retry-after")) >= 1);
		assert_non_null(
			strstr(buf_str(&giants[i].body), giants[i].status == 429 ? "text_queue_full" : "text_timeout"));
	}
	assert_int_equal(served + refused + late, GIANTS);
	assert_true(served >= 2 && refused + late >= 2);
	assert_true(env_now_us(w.env) - from_us < 1000 * MS);
}

/* What cannot be done within the limit by itself is not to be tried again. */
static void text_that_takes_too_long_is_refused_for_good(void **state)
{
	(void)state;

	config.frontend.text_ms_max = 50;
	world_done(&w);
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	world_post(&w, &c, "/tokenize", giant);
	world_finish(&c);
	assert_int_equal(c.status, 400);
	assert_non_null(strstr(buf_str(&c.body), "text_too_slow"));
	assert_null(world_header(&c, "retry-after"));
	wait_jobs(0, MS);
}

/* The answer is ready before the tree is freed: not on the loop. */
static void a_tree_of_many_values_is_freed_by_a_job(void **state)
{
	(void)state;
	static const char *const ends[] = {"\"\"],\"prompt\":\"x\",\"model\":\"other\"}", "\"\"],\"prompt\":7}"};
	static const char *const paths[] = {"/v1/completions", "/tokenize"};
	struct frontend_counts counts;

	for (uint32_t i = 0; i < 4; i++) {
		struct buf body;
		buf_init(&body, 1 << 20);
		buf_add_str(&body, "{\"x\":[");
		for (uint32_t k = 0; k < 100000; k++)
			buf_add_str(&body, "\"\",");
		buf_add_str(&body, ends[i / 2]);
		world_client_done(&c);
		world_post(&w, &c, paths[i % 2], buf_str(&body));
		world_finish(&c);
		assert_int_equal(c.status, i / 2 ? 400 : 404);
		frontend_counts(w.fe, &counts);
		/* A wrong field was found in the job that made the tree. */
		assert_int_equal(counts.jobs, i / 2 ? 0 : 1);
		wait_jobs(0, 40 * MS);
		buf_done(&body);
	}
}

static void decisions_are_printed_by_a_job(void **state)
{
	(void)state;

	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1}");
	world_finish(&c);
	world_client_done(&c);
	world_send(&w, &c, "GET", "/stator/requests", NULL, NULL);
	wait_jobs(1, 10 * MS);
	world_leave(&c);
	wait_jobs(0, 10 * MS);
	world_client_done(&c);
	world_send(&w, &c, "GET", "/stator/requests", NULL, NULL);
	world_finish(&c);
	assert_int_equal(c.status, 200);
	assert_non_null(strstr(buf_str(&c.body), "{\"requests\":[{\"id\":"));
}

static void an_object_with_too_many_members_is_refused_with_its_place(void **state)
{
	(void)state;
	struct buf body;

	buf_init(&body, 1 << 22);
	buf_add_str(&body, "{\"prompt\":\"x\",\n\"x\":{");
	for (uint32_t k = 0; k < 65537; k++)
		buf_printf(&body, "\"%u\":1,", k);
	buf_add_str(&body, "\"\":1}}");
	world_post(&w, &c, "/v1/completions", buf_str(&body));
	world_finish(&c);
	assert_int_equal(c.status, 400);
	assert_non_null(strstr(buf_str(&c.body), "line 2, column "));
	assert_non_null(strstr(buf_str(&c.body), "an object with more than 65536 members"));
	buf_done(&body);
}

static void only_what_is_cheap_is_parsed_on_the_loop(void **state)
{
	(void)state;
	struct buf body;

	buf_init(&body, 1 << 20);
	buf_add_str(&body, "{\"x\":[");
	for (uint32_t i = 0; i < 1000; i++)
		buf_add_str(&body, "0,");
	assert_true(api_json_is_cheap(body.data, body.len));
	for (uint32_t i = 0; i < 30; i++)
		buf_add_str(&body, "[],");
	assert_false(api_json_is_cheap(body.data, body.len));
	buf_reset(&body);
	for (uint32_t i = 0; i < 16384; i++)
		buf_add_byte(&body, 'x');
	assert_true(api_json_is_cheap(body.data, body.len));
	assert_false(api_json_is_cheap(body.data, body.len + 1));
	buf_done(&body);
}

/* estimates */

static uint64_t predict(const struct text_rates *r, enum text_kind kind, size_t bytes, uint32_t items)
{
	const struct text_size s = {.kind = kind, .bytes = bytes, .items = items};
	return text_rates_predict_us(r, &s);
}

static void learn(struct text_rates *r, size_t bytes, uint32_t items, uint64_t us, bool whole)
{
	const struct text_size s = {.kind = TEXT_CHAT, .bytes = bytes, .items = items};
	text_rates_learn(r, &s, us, whole);
}

static void what_many_messages_cost_says_nothing_of_few(void **state)
{
	(void)state;
	static struct text_rates r;

	for (uint32_t i = 0; i < 20; i++) {
		learn(&r, 14000, 400, 900000, true);
		learn(&r, 14000, 2, 1500, true);
	}
	assert_in_range(predict(&r, TEXT_CHAT, 14000, 400), 700000, 1100000);
	assert_in_range(predict(&r, TEXT_CHAT, 14000, 2), 1000, 2000);
	assert_true(predict(&r, TEXT_PROMPT, 14000, 2) < 3000);
}

static void a_thread_that_was_set_aside_once_is_soon_forgotten(void **state)
{
	(void)state;
	static struct text_rates r;

	for (uint32_t i = 0; i < 20; i++)
		learn(&r, 200, 1, 100, true);
	learn(&r, 200, 1, 500000, true);
	assert_true(predict(&r, TEXT_CHAT, 200, 1) < 500);
	for (uint32_t i = 0; i < 10; i++)
		learn(&r, 200, 1, 100, true);
	assert_true(predict(&r, TEXT_CHAT, 200, 1) < 150);
}

static void a_slow_kind_of_text_is_soon_known_as_slow(void **state)
{
	(void)state;
	static struct text_rates r;
	uint32_t n = 0;

	for (uint32_t i = 0; i < 100; i++)
		learn(&r, 1000, 1, 50, true);
	while (predict(&r, TEXT_CHAT, 1000, 1) < 50000 && n++ < 100)
		learn(&r, 1000, 1, 100000, true);
	assert_true(n < 10);
}

static void work_that_was_cut_off_only_says_at_least(void **state)
{
	(void)state;
	static struct text_rates r;

	learn(&r, 1000000, 1, 2000000, true);
	learn(&r, 1000000, 1, 1, false);
	assert_in_range(predict(&r, TEXT_CHAT, 1000000, 1), 1900000, 2100000);
	learn(&r, 1000000, 1, 6000000, false);
	assert_true(predict(&r, TEXT_CHAT, 1000000, 1) > 2500000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_short_prompt_is_answered_while_long_ones_wait),
		TEST(tenants_take_turns),
		TEST(a_key_takes_its_turn_however_it_is_spelled),
		cmocka_unit_test(a_few_words_have_the_lane_whatever_they_cost),
		TEST(a_client_that_leaves_ends_its_text_work),
		TEST(a_deadline_holds_while_text_waits),
		TEST(a_deadline_holds_while_text_is_worked_on),
		TEST(text_that_would_wait_too_long_is_refused_and_told_when),
		TEST(text_that_takes_too_long_is_refused_for_good),
		TEST(a_tree_of_many_values_is_freed_by_a_job),
		TEST(decisions_are_printed_by_a_job),
		TEST(an_object_with_too_many_members_is_refused_with_its_place),
		cmocka_unit_test(only_what_is_cheap_is_parsed_on_the_loop),
		cmocka_unit_test(what_many_messages_cost_says_nothing_of_few),
		cmocka_unit_test(a_thread_that_was_set_aside_once_is_soon_forgotten),
		cmocka_unit_test(a_slow_kind_of_text_is_soon_known_as_slow),
		cmocka_unit_test(work_that_was_cut_off_only_says_at_least),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
