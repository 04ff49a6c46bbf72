/* The whole life of a request, from bytes to tokens and back, and each allocation on its way fails in turn: it is answered,
 * refused in OpenAI's form or cut off; nobody hangs or crashes, nothing is left, and the next request is answered. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "frontend/request.h"

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"
#include "../lib/world.h"

enum { SECOND_US = 1000000, POINTS_MAX = 20000 };

static struct world_config config;
static struct world w;

/* How the requests of one scenario ended, over all points of failure. */
struct tally {
	uint32_t whole, refused, broken, cut;
};

struct scenario {
	const char *path, *headers, *body;
	bool get;
	uint32_t choices;
};

static const struct scenario scenarios[] = {
	{"/v1/completions", NULL, "{\"model\":\"mock\",\"prompt\":\"Once upon a time\",\"max_tokens\":12,\"seed\":4}",
		false, 1},
	{"/v1/completions",
		"x-request-id: mine\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
		"{\"model\":\"mock\",\"prompt\":\"Once upon a time\",\"max_tokens\":12,\"seed\":4,\"stream\":true,"
		"\"stream_options\":{\"include_usage\":true}}",
		false, 1},
	{"/v1/completions", NULL,
		"{\"prompt\":[\"one\",\"two\"],\"max_tokens\":6,\"n\":2,\"stop\":[\"qq\",\"zz\"],\"logprobs\":2,"
		"\"logit_bias\":{\"65\":-1}}",
		false, 4},
	{"/v1/completions", NULL,
		"{\"prompt\":[[72,105],[72,111]],\"max_tokens\":6,\"n\":2,\"stop\":\"q\",\"logprobs\":1,\"stream\":"
		"true}",
		false, 4},
	{"/v1/chat/completions", NULL,
		"{\"model\":\"mock\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\","
		"\"content\":[{\"type\":\"text\",\"text\":\"Hello\"},{\"type\":\"text\",\"text\":\"there\"}]}],"
		"\"max_tokens\":8,\"n\":2,\"logprobs\":true,\"top_logprobs\":2,\"stop\":[\"xyz\"]}",
		false, 2},
	{"/v1/chat/completions", "x-stator-timeout-ms: 5000\r\n",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"max_tokens\":8,\"stream\":true,"
		"\"logprobs\":true,"
		"\"temperature\":0}",
		false, 1},
	{"/v1/models", NULL, NULL, true, 0},
	{"/v1/models/mock", NULL, NULL, true, 0},
	{"/metrics", NULL, NULL, true, 0},
	{"/health", NULL, NULL, true, 0},
	{"/tokenize", NULL, "{\"model\":\"mock\",\"prompt\":\"Hello\",\"return_token_strs\":true}", false, 0},
	{"/detokenize", NULL, "{\"model\":\"mock\",\"tokens\":[72,101,108]}", false, 0},
	{"/stator/requests", NULL, NULL, true, 0},
	{"/stator/index-check", NULL, NULL, true, 0},
};

/* Which point it was, when a test fails. */
static struct {
	const char *path;
	uint64_t n;
} running;
static void say_running(void)
{
	if (running.n)
		fprintf(stderr, "it was point %llu of %s\n", (unsigned long long)running.n, running.path);
}
static int forget_running(void **state)
{
	(void)state;
	say_running();
	running.n = 0;
	return 0;
}

static void config_make(uint64_t seed)
{
	world_config_default(&config, seed);
	config.fail_nth = true;
	config.frontend.kv_secret = "secret";
	config.frontend.kv_secret_len = 6;
}

static void send(const struct scenario *s, struct world_client *c)
{
	world_send(&w, c, s->get ? "GET" : "POST", s->path, s->headers, s->body);
}

/* An error of ours says what it is, in the form clients know. */
static void check_error(const struct world_client *c)
{
	json_error_t error;
	json_t *root = json_loadb(buf_str(&c->body), c->body.len, 0, &error);
	const json_t *e = json_object_get(root, "error");

	if (!json_is_string(json_object_get(e, "message")) || !json_is_string(json_object_get(e, "type")))
		fail_msg("status %d, and the body is not an error: %s", c->status, buf_str(&c->body));
	json_decref(root);
}

static void check_stream(const struct scenario *s, struct world_client *c, struct tally *t)
{
	struct world_stream st;

	world_stream_read(&st, c);
	if (st.dones) {
		for (uint32_t i = 0; i < s->choices; i++)
			assert_int_equal(st.finishes[i], 1);
		t->whole++;
	} else {
		assert_int_equal(st.errors, 1);
		assert_true(strlen(st.error) > 0);
		t->broken++;
	}
	world_stream_done(&st);
}

static void check_answer(const struct scenario *s, struct world_client *c, struct tally *t)
{
	if (!c->whole) {
		t->cut++; /* no memory to say anything with: the connection ends, and the client sees that it is no end */
		return;
	}
	if (c->status != 200) {
		if (c->status < 500 || c->status > 503)
			fail_msg("status %d: %s", c->status, buf_str(&c->body));
		check_error(c);
		t->refused++;
	} else if (s->body && strstr(s->body, "\"stream\":true")) {
		check_stream(s, c, t);
	} else {
		assert_true(c->body.len > 0);
		t->whole++;
	}
}

/* Workers whose process would have ended are started again, as the supervisor does; then all are up. */
static void all_is_well(void)
{
	sim_run_for(w.sim, SECOND_US / 10);
	for (uint32_t i = 0; i < config.workers; i++)
		if (w.workers[i].failed) {
			world_worker_kill(&w, i);
			world_worker_start(&w, i);
		}
	world_wait_workers(&w, config.workers);
}

static void the_next_is_answered(const struct scenario *s)
{
	struct world_client c = {0};
	struct tally t = {0};

	send(s, &c);
	world_finish(&c);
	check_answer(s, &c, &t);
	if (!t.whole)
		fail_msg("the next request has status %d: %s", c.status, buf_str(&c.body));
	world_client_done(&c);
}

/* One run with a failure at the n-th point. False: there was no such point. */
static bool run(const struct scenario *s, uint64_t n, uint64_t more, struct tally *t)
{
	struct world_client c = {0};

	running.path = s->path;
	running.n = n;
	world_init(&w, &config);
	world_wait_workers(&w, config.workers);
	fail_nth_arm(n, more);
	send(s, &c);
	world_finish(&c);
	bool failed = fail_nth_disarm();
	check_answer(s, &c, t);
	if (!failed)
		assert_true(c.whole && c.status == 200);
	world_client_done(&c);
	all_is_well();
	the_next_is_answered(s);
	world_wait_idle(&w);
	world_done(&w);
	running.n = 0;
	return failed;
}

static void a_request_ends(void **state)
{
	uint64_t more = (uint64_t)(uintptr_t)*state, n;

	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
		const struct scenario *s = &scenarios[i];
		struct tally t = {0};
		config_make(7);
		for (n = 1; n < POINTS_MAX && run(s, n, more, &t); n++)
			continue;
		if (getenv("FAIL_NTH_SAY"))
			printf("%s %zu: %llu points, %u whole, %u refused, %u broken off, %u cut\n", s->path, i,
				(unsigned long long)n - 1, t.whole, t.refused, t.broken, t.cut);
		assert_true(n > 2 && n < POINTS_MAX);
		assert_true(t.refused > 0);
	}
}

/* jansson would read past the end of a string whose closing quote it had no memory for; here memory ends for good, too. */
static void a_body_is_parsed_or_there_is_no_memory(void **state)
{
	(void)state;
	static const char body[] =
		"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a text of more than "
		"sixteen bytes\"}],"
		"\"name\":\"n\"}],\"stop\":[\"a\"],\"seed\":12345678901234567,\"temperature\":1.000000000000000000e0,"
		"\"logit_bias\":{\"7\":1},\"chat_template_kwargs\":{\"a\":[1,2,{}]},\"reasoning_effort\":\"none\","
		"\"documents\":[{\"text\":\"a\"}],\"function_call\":\"none\",\"functions\":[{\"name\":\"f\"}]}";
	static const uint64_t more[] = {0, 1, 7, UINT64_MAX / 2};

	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		bool failed = true;
		uint32_t refused = 0;
		for (uint64_t n = 1; failed && n < POINTS_MAX; n++) {
			struct api_request r;
			struct api_error e = {0};
			struct arena arena;
			arena_init(&arena, 1 << 20);
			fail_nth_arm(n, more[i]);
			fail_nth_begin();
			int result = api_request_parse(&r, API_CHAT, body, sizeof body - 1, &arena, &e);
			fail_nth_end();
			failed = fail_nth_disarm();
			assert_int_equal(result < 0, failed);
			assert_int_equal(e.status, failed ? 500 : 0);
			refused += failed;
			arena_done(&arena);
		}
		assert_true(refused > 50);
	}
}

/* While everything starts: it does not, and says why, or it does in the end. */
static void a_frontend_starts_or_says_why(void **state)
{
	(void)state;
	uint64_t n = 1;
	uint32_t refused = 0;

	config_make(3);
	for (bool failed = true; failed && n < POINTS_MAX; n++) {
		struct err err = {0};
		running.path = "the start";
		running.n = n;
		fail_nth_arm(n, 0);
		int r = world_try_init(&w, &config, &err);
		if (r < 0) {
			failed = fail_nth_disarm();
			assert_true(failed);
			assert_int_equal(r, -ENOMEM);
			assert_true(strlen(err.msg) > 0);
			refused++;
			continue;
		}
		sim_run_for(w.sim, SECOND_US);
		failed = fail_nth_disarm();
		all_is_well();
		the_next_is_answered(&scenarios[0]);
		the_next_is_answered(&scenarios[4]);
		world_wait_idle(&w);
		world_done(&w);
	}
	running.n = 0;
	assert_true(n < POINTS_MAX);
	assert_true(refused > 20);
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_parsed_or_there_is_no_memory),
		{"a_frontend_starts_or_says_why", a_frontend_starts_or_says_why, NULL, forget_running, NULL},
		{"a_request_ends_whichever_allocation_fails", a_request_ends, NULL, forget_running, (void *)0},
		{"a_request_ends_when_four_allocations_in_a_row_fail", a_request_ends, NULL, forget_running, (void *)3},
	};
	atexit(say_running);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
