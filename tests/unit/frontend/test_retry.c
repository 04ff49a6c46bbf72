/* A request of which nothing was sent goes to another worker when its own is lost, and is then as any other. */
#include "base/rng.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

static struct world_config config;
static struct world w;

static void start(uint32_t workers, void (*change)(struct world_config *))
{
	world_config_default(&config, 11);
	config.workers = workers;
	config.frontend.policy = "round-robin";
	if (change)
		change(&config);
	world_init(&w, &config);
	world_wait_workers(&w, workers);
}

static void finish(void)
{
	world_wait_idle(&w);
	world_done(&w);
}

static uint64_t metric(const char *name, const char *labels)
{
	struct world_client c;
	char line[160];

	world_send(&w, &c, "GET", "/metrics", NULL, NULL);
	world_finish(&c);
	snprintf(line, sizeof line, "\n%s{%s} ", name, labels);
	const char *at = strstr(buf_str(&c.body), line);
	uint64_t value = at ? strtoull(at + strlen(line), NULL, 10) : 0;
	world_client_done(&c);
	return value;
}

static uint32_t flights(void)
{
	struct frontend_counts counts;
	frontend_counts(w.fe, &counts);
	return counts.flights;
}

/* The worker that has requests; there is one. */
static uint32_t busy_worker(void)
{
	uint32_t found = 99;
	for (uint32_t i = 0; i < config.workers; i++)
		if (w.workers[i].worker && worker_counts(w.workers[i].worker).requests) {
			assert_int_equal(found, 99);
			found = i;
		}
	assert_true(found < config.workers);
	return found;
}

static void slow_prompts(struct world_config *c)
{
	c->mock.timing.prefill_token_us = 20000;
}

static json_t *choices_of(const struct world_client *c, json_t **ret_root)
{
	json_t *root = *ret_root = json_loads(buf_str(&c->body), JSON_ALLOW_NUL, NULL);
	assert_non_null(root);
	return json_object_get(root, "choices");
}

static uint64_t usage_of(json_t *root, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(root, "usage"), key));
}

static void expect_text(const char *prompt, uint64_t seed, uint32_t max_tokens, const char *text, const char *finish)
{
	struct buf want;

	buf_init(&want, 1 << 16);
	const char *reason = world_reference_text(&w, prompt, true, seed, max_tokens, &want);
	assert_string_equal(text, buf_str(&want));
	assert_string_equal(finish, reason);
	buf_done(&want);
}

static void a_prompt_that_is_lost_is_computed_elsewhere(void **state)
{
	struct world_client c[2];
	struct world_stream s;
	json_t *root;

	(void)state;
	for (uint32_t kind = 0; kind < 3; kind++) {
		char body[256], first[64];
		start(2, slow_prompts);
		snprintf(body, sizeof body,
			"{\"prompt\":\"Ask them again\",\"max_tokens\":9,\"seed\":3,\"temperature\":1,\"stream\":%s}",
			kind ? "true" : "false");
		world_post(&w, &c[0], "/v1/completions", body);
		sim_run_for(w.sim, kind == 2 ? 230000 : 40000); /* 0.1 s after dispatch the stream has its headers */
		uint32_t k = busy_worker();
		snprintf(first, sizeof first, "%s", w.workers[k].name);
		world_worker_kill(&w, k);
		world_finish(&c[0]);
		assert_int_equal(c[0].status, 200);
		assert_string_equal(world_header(&c[0], "x-stator-worker"), kind == 2 ? first : w.workers[!k].name);
		if (kind) {
			world_stream_read(&s, &c[0]);
			assert_int_equal(s.dones, 1);
			assert_int_equal(s.errors, 0);
			expect_text("Ask them again", 3, 9, buf_str(&s.text[0]), s.finish[0]);
			world_stream_done(&s);
		} else {
			const json_t *choice = json_array_get(choices_of(&c[0], &root), 0);
			expect_text("Ask them again", 3, 9, json_string_value(json_object_get(choice, "text")),
				json_string_value(json_object_get(choice, "finish_reason")));
			json_decref(root);
		}
		world_client_done(&c[0]);
		assert_int_equal(metric("stator_retried_total", "model=\"mock\""), 1);
		assert_int_equal(
			metric("stator_requests_total", "model=\"mock\",endpoint=\"completions\",status=\"200\""), 1);
		finish();
	}
}

/* Everything a client reads is as if nothing had happened, but for when. */
static void a_whole_answer_is_done_again_after_tokens(void **state)
{
	static const char request[] = "{\"prompt\":\"Twice, and once "
				      "only\",\"max_tokens\":40,\"n\":3,\"seed\":8,\"temperature\":1,\"logprobs\":2,"
				      "\"stop\":[\"e\",\"zz\"],\"ignore_eos\":false,\"echo\":false}";
	struct world_client c;
	json_t *root, *undisturbed = NULL;
	uint64_t tokens = 0;

	(void)state;
	for (int disturbed = 0; disturbed < 2; disturbed++) {
		start(2, NULL);
		world_post(&w, &c, "/v1/completions", request);
		if (disturbed) {
			sim_run_for(w.sim, 8000);
			uint32_t k = busy_worker();
			assert_true(metric("stator_generated_tokens_total", "model=\"mock\"") > 3);
			assert_false(c.ended);
			world_worker_kill(&w, k);
		}
		world_finish(&c);
		assert_int_equal(c.status, 200);
		json_t *choices = choices_of(&c, &root);
		assert_int_equal(json_array_size(choices), 3);
		assert_int_equal(usage_of(root, "prompt_tokens"), 20);
		if (!disturbed) {
			undisturbed = json_incref(choices);
			tokens = usage_of(root, "completion_tokens");
			assert_true(tokens > 3);
		} else {
			assert_true(json_equal(choices, undisturbed));
			assert_int_equal(usage_of(root, "completion_tokens"), tokens);
			assert_in_range(metric("stator_retried_total", "model=\"mock\""), 1, 3); /* those not ended */
		}
		json_decref(root);
		world_client_done(&c);
		finish();
	}
	json_decref(undisturbed);
}

static void several_prompts_go_on_where_theirs_are(void **state)
{
	static const char request[] =
		"{\"prompt\":[\"first of them\",\"second of them\",\"third of them\",\"fourth of them\"],"
		"\"max_tokens\":30,\"n\":2,\"seed\":5,\"temperature\":1,\"ignore_eos\":true}";
	struct world_client c;
	json_t *root, *undisturbed = NULL;

	(void)state;
	for (int disturbed = 0; disturbed < 2; disturbed++) {
		start(3, NULL);
		world_post(&w, &c, "/v1/completions", request);
		if (disturbed) {
			sim_run_for(w.sim, 10000);
			world_worker_kill(&w, 1);
			sim_run_for(w.sim, 5000);
			world_worker_kill(&w, 2);
		}
		world_finish(&c);
		assert_int_equal(c.status, 200);
		json_t *choices = choices_of(&c, &root);
		assert_int_equal(json_array_size(choices), 8);
		assert_int_equal(usage_of(root, "completion_tokens"), 240);
		if (!disturbed)
			undisturbed = json_incref(choices);
		else
			assert_true(json_equal(choices, undisturbed));
		json_decref(root);
		world_client_done(&c);
		finish();
	}
	json_decref(undisturbed);
}

static void broken_engines(struct world_config *c)
{
	c->mock.fault = MOCK_FAULT_ERROR;
	c->mock.fault_after = 1;
}

/* As one that kills every engine it meets. */
static void a_poisonous_prompt_is_sent_three_times_at_most(void **state)
{
	struct world_client c;
	uint32_t failed = 0;

	(void)state;
	start(4, broken_engines);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"poison\",\"max_tokens\":4}");
	world_finish(&c);
	assert_int_equal(c.status, 500);
	assert_non_null(strstr(buf_str(&c.body), "\"worker_error\""));
	for (uint32_t i = 0; i < 4; i++)
		failed += w.workers[i].failed;
	assert_int_equal(failed, 3);
	assert_int_equal(metric("stator_retried_total", "model=\"mock\""), 2);
	world_client_done(&c);
	finish();
	/* Where there are no three, the same worker has it twice at most. */
	start(1, broken_engines);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"poison\",\"max_tokens\":4}");
	world_finish(&c);
	assert_int_equal(c.status, 500);
	assert_int_equal(metric("stator_worker_dispatched_total", "model=\"mock\",worker=\"mock-0\""), 2);
	world_client_done(&c);
	finish();
	start(2, broken_engines);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"poison\",\"max_tokens\":4}");
	world_finish(&c);
	assert_int_equal(c.status, 500);
	assert_int_equal(metric("stator_retried_total", "model=\"mock\""), 2);
	world_client_done(&c);
	finish();
}

static void the_only_worker_is_waited_for(void **state)
{
	struct world_client c;

	(void)state;
	start(1, slow_prompts);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"are you back?\",\"max_tokens\":4}");
	sim_run_for(w.sim, 30000);
	world_worker_kill(&w, 0);
	sim_run_for(w.sim, 5000000);
	assert_false(c.ended);
	world_worker_start(&w, 0);
	world_finish(&c);
	assert_int_equal(c.status, 200);
	world_client_done(&c);
	/* And not for longer than a request may wait. */
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"and this time?\",\"max_tokens\":4}");
	sim_run_for(w.sim, 30000);
	world_worker_kill(&w, 0);
	world_finish(&c);
	assert_int_equal(c.status, 503);
	assert_non_null(strstr(buf_str(&c.body), "was lost while it answered"));
	assert_non_null(strstr(buf_str(&c.body), "no other took it in time"));
	assert_non_null(strstr(buf_str(&c.body), "\"worker_lost\""));
	assert_non_null(world_header(&c, "retry-after"));
	world_client_done(&c);
	finish();
}

static void a_deadline_holds_over_all_attempts(void **state)
{
	struct world_client c;
	uint64_t begun_us;

	(void)state;
	start(1, slow_prompts);
	begun_us = env_now_us(w.env);
	world_send(&w, &c, "POST", "/v1/completions", "x-stator-deadline-ms: 700\r\n",
		"{\"prompt\":\"in time or not\",\"max_tokens\":4}");
	sim_run_for(w.sim, 30000);
	world_worker_kill(&w, 0);
	world_finish(&c);
	assert_int_equal(c.status, 504);
	assert_in_range(env_now_us(w.env) - begun_us, 690000, 710000);
	world_client_done(&c);
	finish();
}

/* The request and the word that the worker drains meet on their ways. */
static void what_was_sent_to_a_worker_that_drains_goes_elsewhere(void **state)
{
	struct world_client c;
	uint64_t retried = 0;

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		start(2, NULL);
		/* The first goes to either; the second time it is the other's turn. */
		for (uint32_t k = 0; k < 2; k++) {
			world_post(&w, &c, "/v1/completions",
				"{\"prompt\":\"on my way\",\"max_tokens\":4,\"ignore_eos\":true}");
			while (!flights())
				sim_step(w.sim);
			sim_run_for(w.sim, i);
			if (k == i % 2)
				worker_drain(w.workers[0].worker, 1000);
			world_finish(&c);
			assert_int_equal(c.status, 200);
			world_client_done(&c);
		}
		retried += metric("stator_retried_total", "model=\"mock\"");
		finish();
	}
	assert_true(retried > 3);
}

/* It leaves while nobody has its request: between a lost worker and the next. */
static void a_client_that_leaves_in_between_leaves_nothing(void **state)
{
	struct world_client c;

	(void)state;
	for (uint64_t us = 0; us < 3000; us += 37) {
		start(2, slow_prompts);
		world_post(&w, &c, "/v1/completions", "{\"prompt\":\"leaving\",\"n\":2,\"max_tokens\":4}");
		sim_run_for(w.sim, 20000);
		world_worker_kill(&w, busy_worker());
		sim_run_for(w.sim, us);
		world_leave(&c);
		world_client_done(&c);
		finish();
	}
}

static void a_stream_that_has_begun_to_speak_is_not_begun_again(void **state)
{
	struct world_client c;
	struct world_stream s;

	(void)state;
	start(2, NULL);
	world_post(
		&w, &c, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":200,\"ignore_eos\":true,\"stream\":true}");
	sim_run_for(w.sim, 30000);
	world_worker_kill(&w, busy_worker());
	world_finish(&c);
	world_stream_read(&s, &c);
	assert_int_equal(s.errors, 1);
	assert_non_null(strstr(s.error, "was lost while it answered"));
	world_stream_done(&s);
	world_client_done(&c);
	assert_int_equal(metric("stator_retried_total", "model=\"mock\""), 0);
	finish();
}

/* Workers die and come back under load, one at a time: nobody who waits for a whole answer hears of it. */
static void whole_answers_survive_workers_that_die_one_after_another(void **state)
{
	enum { CLIENTS = 24, SEEDS = 60 };
	static struct world_client c[CLIENTS];
	uint64_t retried = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct rng r;
		rng_init(&r, seed);
		start(3, NULL);
		char prompt[CLIENTS][64];
		for (uint32_t i = 0; i < CLIENTS; i++) {
			char body[2048];
			snprintf(prompt[i], sizeof prompt[i], "client %u of world %u", i, (unsigned)seed);
			snprintf(body, sizeof body,
				"{\"prompt\":\"%s\",\"max_tokens\":40,\"seed\":%u,\"temperature\":1,\"stream\":false}",
				prompt[i], i);
			world_post(&w, &c[i], "/v1/completions", body);
			sim_run_for(w.sim, rng_below(&r, 3000));
		}
		/* At most two deaths in the time of one answer, so nobody is lost three times. */
		for (uint32_t k = 0; k < 2; k++) {
			world_worker_kill(&w, k);
			sim_run_for(w.sim, 1000 + rng_below(&r, 20000));
			world_worker_start(&w, k);
			sim_run_for(w.sim, 200000);
		}
		for (uint32_t i = 0; i < CLIENTS; i++) {
			json_t *root;
			world_finish(&c[i]);
			assert_int_equal(c[i].status, 200);
			const json_t *choice = json_array_get(choices_of(&c[i], &root), 0);
			expect_text(prompt[i], i, 40, json_string_value(json_object_get(choice, "text")),
				json_string_value(json_object_get(choice, "finish_reason")));
			json_decref(root);
			world_client_done(&c[i]);
		}
		retried += metric("stator_retried_total", "model=\"mock\"");
		finish();
	}
	assert_true(retried > SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prompt_that_is_lost_is_computed_elsewhere),
		cmocka_unit_test(a_whole_answer_is_done_again_after_tokens),
		cmocka_unit_test(several_prompts_go_on_where_theirs_are),
		cmocka_unit_test(a_poisonous_prompt_is_sent_three_times_at_most),
		cmocka_unit_test(the_only_worker_is_waited_for),
		cmocka_unit_test(a_deadline_holds_over_all_attempts),
		cmocka_unit_test(what_was_sent_to_a_worker_that_drains_goes_elsewhere),
		cmocka_unit_test(a_client_that_leaves_in_between_leaves_nothing),
		cmocka_unit_test(a_stream_that_has_begun_to_speak_is_not_begun_again),
		cmocka_unit_test(whole_answers_survive_workers_that_die_one_after_another),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
