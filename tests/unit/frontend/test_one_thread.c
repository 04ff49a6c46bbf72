/* Clients, frontend and mock workers in one thread on a fake clock, from a seed: every accepted request ends exactly
 * once, nothing is left anywhere, and what a client reads is what the mock says. */
#include "base/rng.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

/* The long run asks for more with STATOR_WORLDS; STATOR_WORLD=SEED repeats one. */
enum { CLIENTS = 12, SEEDS = 1000 };

static uint64_t seed_running;
static void seed_say(void)
{
	if (seed_running)
		fprintf(stderr, "it was world %llu (STATOR_WORLD=%llu repeats it)\n", (unsigned long long)seed_running,
			(unsigned long long)seed_running);
}

static struct world_config config;
static struct world w;

static void start(uint64_t seed)
{
	world_config_default(&config, seed);
	world_init(&w, &config);
	world_wait_workers(&w, config.workers);
}

static void finish(void)
{
	world_wait_idle(&w);
	world_done(&w);
}

static void a_streamed_completion_is_what_the_mock_says(void **state)
{
	(void)state;
	struct world_client c;
	struct world_stream s;
	struct buf want;

	start(1);
	buf_init(&want, 1 << 20);
	const char *reason = world_reference_text(&w, "Once upon a time", true, 42, 30, &want);
	world_post(&w, &c, "/v1/completions",
		"{\"model\":\"mock\",\"prompt\":\"Once upon a time\",\"max_tokens\":30,\"seed\":42,\"stream\":true,"
		"\"stream_options\":{\"include_usage\":true}}");
	world_finish(&c);
	assert_int_equal(c.status, 200);
	assert_true(c.whole);
	assert_string_equal(world_header(&c, "content-type"), "text/event-stream");
	assert_non_null(world_header(&c, "x-request-id"));
	assert_non_null(world_header(&c, "x-stator-worker"));
	world_stream_read(&s, &c);
	assert_string_equal(buf_str(&s.text[0]), buf_str(&want));
	assert_string_equal(s.finish[0], reason);
	assert_int_equal(s.dones, 1);
	assert_int_equal(s.usages, 1);
	assert_true(s.prompt_tokens >= 16);
	world_stream_done(&s);
	world_client_done(&c);
	buf_done(&want);
	finish();
}

static void a_step_that_does_not_end_ends_its_requests_and_its_worker(void **state)
{
	(void)state;
	struct world_client hung, other;
	struct world_stream s;

	world_config_default(&config, 1);
	config.workers = 1;
	config.mock.fault = MOCK_FAULT_HANG;
	config.mock.fault_after = 3;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	world_post(&w, &hung, "/v1/completions",
		"{\"model\":\"mock\",\"prompt\":\"Once\",\"max_tokens\":30,\"ignore_eos\":true,\"stream\":true}");
	world_finish(&hung);
	world_stream_read(&s, &hung);
	assert_int_equal(s.errors, 1);
	assert_non_null(strstr(s.error, "a step of its engine has not ended for 4"));
	assert_true(env_now_us(w.env) < 60 * 1000000ull);
	world_stream_done(&s);
	world_client_done(&hung);
	/* Nothing more goes there, and in the end its process gives up. */
	world_wait_workers(&w, 0);
	world_post(&w, &other, "/v1/completions", "{\"model\":\"mock\",\"prompt\":\"Twice\",\"max_tokens\":3}");
	world_finish(&other);
	assert_int_equal(other.status, 503);
	world_client_done(&other);
	assert_false(w.workers[0].failed);
	sim_run_for(w.sim, 11 * 60 * 1000000ull);
	assert_true(w.workers[0].failed);
	world_worker_kill(&w, 0);
	w.mock.fault = MOCK_FAULT_NONE;
	world_worker_start(&w, 0);
	world_wait_workers(&w, 1);
	finish();
}

/* A model that is far too large for its cores, say: its first prompt takes a minute. */
static void a_worker_whose_step_ends_after_all_is_used_again(void **state)
{
	(void)state;
	struct world_client slow, next;

	world_config_default(&config, 1);
	config.workers = 1;
	config.mock.timing.prefill_token_us = 2000000;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	world_post(&w, &slow, "/v1/completions",
		"{\"model\":\"mock\",\"prompt\":\"thirty bytes, a minute in all ..\",\"max_tokens\":3}");
	world_finish(&slow);
	assert_int_equal(slow.status, 500);
	assert_non_null(strstr(buf_str(&slow.body), "has not ended for"));
	world_client_done(&slow);
	world_wait_workers(&w, 0);
	sim_run_for(w.sim, 30 * 1000000ull);
	world_wait_workers(&w, 1);
	assert_false(w.workers[0].failed);
	world_post(&w, &next, "/v1/completions", "{\"model\":\"mock\",\"prompt\":\"Hi\",\"max_tokens\":3}");
	world_finish(&next);
	assert_int_equal(next.status, 200);
	world_client_done(&next);
	finish();
}

/* Whatever it last said is long ago; its first step takes longer than any look at it. */
static void a_worker_that_was_idle_is_as_good_as_any(void **state)
{
	static const uint64_t pauses_s[] = {1, 59, 61, 3600, 86400, 7 * 86400};
	struct world_client client;

	(void)state;
	world_config_default(&config, 3);
	config.workers = 1;
	config.mock.timing.base_us = 1500000;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	for (uint32_t i = 0; i < ARRAY_LEN(pauses_s) * 4; i++) {
		/* The watch looks once a second; each pause ends at four places between two looks. */
		sim_run_for(w.sim, pauses_s[i / 4] * 1000000 + (i % 4) * 250000);
		world_post(&w, &client, "/v1/completions",
			"{\"model\":\"mock\",\"prompt\":\"Anyone there?\",\"max_tokens\":2,\"ignore_eos\":true}");
		world_finish(&client);
		assert_int_equal(client.status, 200);
		world_client_done(&client);
	}
	finish();
}

/* Of 40 s, twice: a long prompt on few cores. Its worker answers that it is there, and nothing ends early. */
static void a_long_step_is_not_silence(void **state)
{
	(void)state;
	struct world_client client;

	world_config_default(&config, 3);
	config.workers = 1;
	config.mock.timing.base_us = 40 * 1000000;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	sim_run_for(w.sim, 3600 * 1000000ull);
	world_post(&w, &client, "/v1/completions",
		"{\"model\":\"mock\",\"prompt\":\"Long\",\"max_tokens\":1,\"ignore_eos\":true}");
	world_finish(&client);
	assert_int_equal(client.status, 200);
	world_client_done(&client);
	finish();
}

/* Stopped in the middle of a step and let go on after an hour, with all that was due by then. */
static void a_process_that_was_stopped_goes_on(void **state)
{
	(void)state;
	struct world_client client;

	world_config_default(&config, 3);
	config.mock.timing.base_us = 30 * 1000000;
	world_init(&w, &config);
	world_wait_workers(&w, 2);
	world_post(&w, &client, "/v1/completions",
		"{\"model\":\"mock\",\"prompt\":\"Stop\",\"max_tokens\":1,\"ignore_eos\":true}");
	sim_run_for(w.sim, 12 * 1000000);
	assert_false(client.ended);
	sim_jump(w.sim, 3600 * 1000000ull);
	world_finish(&client);
	assert_int_equal(client.status, 200);
	world_client_done(&client);
	assert_false(w.workers[0].failed || w.workers[1].failed);
	finish();
}

struct plan {
	struct world_client client;
	char prompt[200];
	uint32_t max_tokens, n;
	uint64_t seed;
	bool sampled, stream, left, slow;
};

static void plan_make(struct plan *p, struct rng *r)
{
	char body[1024];

	*p = (struct plan){
		.max_tokens = 1 + (uint32_t)rng_below(r, 60),
		.n = rng_below(r, 4) ? 1 : 1 + (uint32_t)rng_below(r, 4),
		.seed = rng_below(r, 1000),
		.sampled = rng_below(r, 2),
		.stream = rng_below(r, 4) > 0,
		.slow = rng_below(r, 4) == 0,
	};
	/* Few beginnings, so that prefixes are shared. */
	snprintf(p->prompt, sizeof p->prompt, "%s number %u of this world",
		rng_below(r, 2)
			? "The quick brown fox jumps over the lazy dog, and it does so with the greatest of ease,"
			: "It was the best of times, it was the worst of times, it was the age of wisdom,",
		(unsigned)rng_below(r, 5));
	snprintf(body, sizeof body,
		"{\"model\":\"mock\",\"prompt\":\"%s\",\"max_tokens\":%u,\"n\":%u,\"seed\":%u,\"temperature\":%d,"
		"\"stream\":%s}",
		p->prompt, p->max_tokens, p->n, (unsigned)p->seed, p->sampled, p->stream ? "true" : "false");
	world_post(&w, &p->client, "/v1/completions", body);
}

static void check_text(const struct plan *p, uint32_t choice, const char *text, const char *finish, bool whole)
{
	struct buf want;

	buf_init(&want, 1 << 20);
	uint64_t seed = choice ? rng_keyed_u64(p->seed, choice) : p->seed;
	const char *reason = world_reference_text(&w, p->prompt, p->sampled, seed, p->max_tokens, &want);
	if (whole) {
		assert_string_equal(text, buf_str(&want));
		assert_string_equal(finish, reason);
	} else {
		assert_memory_equal(text, buf_str(&want), strlen(text));
	}
	buf_done(&want);
}

static void check_whole(const struct plan *p)
{
	json_t *root = json_loads(buf_str(&p->client.body), JSON_ALLOW_NUL, NULL);
	json_t *choices = json_object_get(root, "choices");
	uint64_t tokens = 0;

	assert_int_equal(json_array_size(choices), p->n);
	for (uint32_t i = 0; i < p->n; i++) {
		const json_t *choice = json_array_get(choices, i);
		const char *text = json_string_value(json_object_get(choice, "text")),
			   *finish = json_string_value(json_object_get(choice, "finish_reason"));
		check_text(p, i, text, finish, true);
		tokens += strcmp(finish, "length") ? 0 : p->max_tokens;
	}
	/* However often it was begun again, tokens of an answer count once. */
	json_int_t counted = json_integer_value(json_object_get(json_object_get(root, "usage"), "completion_tokens"));
	assert_in_range(counted, tokens, (uint64_t)p->n * p->max_tokens);
	json_decref(root);
}

static uint32_t comments; /* of all worlds */

/* Whole, or ended by an error that says so; what text there is, is right. Returns true when whole. */
static bool plan_check(struct plan *p)
{
	struct world_stream s;
	bool whole;

	if (p->left)
		return false;
	world_finish(&p->client);
	assert_true(p->client.whole);
	if (p->client.status != 200) {
		assert_true(p->client.status == 503 || p->client.status == 429);
		assert_non_null(strstr(buf_str(&p->client.body), "\"type\":\""));
		assert_non_null(world_header(&p->client, "retry-after"));
		return false;
	}
	if (!p->stream) {
		check_whole(p);
		return true;
	}
	world_stream_read(&s, &p->client);
	whole = s.dones == 1;
	comments += s.comments;
	assert_int_equal(s.dones + s.errors, 1);
	for (uint32_t i = 0; i < p->n; i++) {
		assert_int_equal(s.finishes[i], whole ? 1 : s.finishes[i]);
		check_text(p, i, buf_str(&s.text[i]), s.finish[i], whole);
	}
	world_stream_done(&s);
	return whole;
}

static void random_faults(struct rng *r, struct plan *plans)
{
	for (int i = 0; i < 30; i++) {
		uint32_t k = (uint32_t)rng_below(r, config.workers);
		struct plan *p = &plans[rng_below(r, CLIENTS)];
		switch (rng_below(r, 6)) {
		case 0:
			if (w.workers[k].worker)
				world_worker_kill(&w, k);
			break;
		case 1:
			if (!w.workers[k].worker)
				world_worker_start(&w, k);
			break;
		case 2:
			sim_cut_addr(w.sim, w.workers[k].addr);
			break;
		case 3:
			if (!p->client.ended)
				p->left = true;
			if (p->left)
				world_leave(&p->client);
			break;
		case 4:
			if (p->client.conn && p->slow)
				env_conn_pause(w.env, p->client.conn, rng_below(r, 2));
			break;
		default:
			break;
		}
		sim_run_for(w.sim, rng_below(r, 8000));
	}
}

/* What honest workers report is possible, whatever happened to them. */
static void nobody_lied(void)
{
	struct world_client client;

	world_send(&w, &client, "GET", "/metrics", NULL, NULL);
	world_finish(&client);
	const char *at = strstr(buf_str(&client.body), "\nstator_worker_bad_reports_total{");
	assert_non_null(at);
	for (; at; at = strstr(at + 1, "\nstator_worker_bad_reports_total{"))
		assert_memory_equal(strstr(at, "} "), "} 0\n", 4);
	world_client_done(&client);
}

static void every_request_ends_exactly_once_whatever_fails(void **state)
{
	(void)state;
	static struct plan plans[CLIENTS];
	uint32_t whole = 0, failed = 0;
	const char *one = getenv("STATOR_WORLD"), *many = getenv("STATOR_WORLDS");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one    ? first
								   : many ? strtoull(many, NULL, 10)
									  : SEEDS;

	atexit(seed_say);
	for (uint64_t seed = first; seed <= last; seed++) {
		seed_running = seed;
		struct rng r;
		rng_init(&r, seed);
		world_config_default(&config, seed);
		config.sim.socket_bytes = rng_below(&r, 2) ? 2048 : 65536;
		config.workers = 1 + (uint32_t)rng_below(&r, 3);
		config.frontend.wait_ms_max = 2000;
		config.frontend.waiting_max = 6;
		/* Some prompts take long enough for signs of life. */
		if (rng_below(&r, 8) == 0) {
			config.mock.timing.prefill_token_us = 3000;
			config.frontend.ping_ms = 200;
		}
		world_init(&w, &config);
		if (rng_below(&r, 4))
			world_wait_workers(&w, config.workers);
		for (int i = 0; i < CLIENTS; i++) {
			/* An idle hour before it, now and then: everything said then is old. */
			if (rng_below(&r, 100) == 0)
				sim_run_for(w.sim, rng_below(&r, 7200) * 1000000);
			plan_make(&plans[i], &r);
			sim_run_for(w.sim, rng_below(&r, 5000));
		}
		random_faults(&r, plans);
		/* Faults are over: all is well again and everything ends. */
		for (uint32_t i = 0; i < config.workers; i++)
			if (!w.workers[i].worker)
				world_worker_start(&w, i);
		for (int i = 0; i < CLIENTS; i++)
			if (plans[i].client.conn)
				env_conn_pause(w.env, plans[i].client.conn, false);
		for (int i = 0; i < CLIENTS; i++) {
			bool ok = plan_check(&plans[i]);
			whole += ok;
			failed += !ok;
		}
		world_wait_idle(&w);
		for (int i = 0; i < CLIENTS; i++)
			world_client_done(&plans[i].client);
		world_wait_workers(&w, config.workers);
		nobody_lied();
		world_done(&w);
	}
	seed_running = 0;
	/* Both happen, or nothing was tried. */
	assert_true(one || whole > (last - first) * CLIENTS / 4);
	assert_true(one || failed > last - first);
	assert_true(one || comments > (last - first) / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_streamed_completion_is_what_the_mock_says),
		cmocka_unit_test(a_step_that_does_not_end_ends_its_requests_and_its_worker),
		cmocka_unit_test(a_worker_whose_step_ends_after_all_is_used_again),
		cmocka_unit_test(a_worker_that_was_idle_is_as_good_as_any),
		cmocka_unit_test(a_long_step_is_not_silence),
		cmocka_unit_test(a_process_that_was_stopped_goes_on),
		cmocka_unit_test(every_request_ends_exactly_once_whatever_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
