/* Signs of life of streams that have nothing to say yet, on a fake clock. */
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

enum { SECOND_US = 1000000, MS_US = 1000 };

static struct world_config config;
static struct world w;
static struct world_client c, other;

static int setup(void **state)
{
	(void)state;
	world_config_default(&config, 11);
	config.workers = 1;
	return 0;
}

static void start(void)
{
	world_init(&w, &config);
	world_wait_workers(&w, 1);
}

static int teardown(void **state)
{
	(void)state;
	world_wait_idle(&w);
	world_client_done(&c);
	world_client_done(&other);
	world_done(&w);
	return 0;
}

/* A prompt of so many bytes, which are the mock's tokens. */
static void post_stream(struct world_client *client, int prompt_len, const char *headers, const char *fields)
{
	static char body[4096];

	snprintf(body, sizeof body, "{\"prompt\":\"%0*d\",\"ignore_eos\":true,\"stream\":true%s}", prompt_len, 7,
		fields);
	world_send(&w, client, "POST", "/v1/completions", headers, body);
}

static bool has(const struct world_client *client, const char *text)
{
	return strstr(buf_str(&client->raw), text) != NULL;
}

/* Run until the answer has ended. The longest time without a byte, the wait for the first one included. */
static uint64_t longest_silence_us(struct world_client *client)
{
	uint64_t last_us = env_now_us(w.env), longest_us = 0;

	for (size_t len = client->raw.len; !client->ended; len = client->raw.len) {
		sim_run_for(w.sim, 50 * MS_US);
		uint64_t now_us = env_now_us(w.env);
		longest_us = MAX(longest_us, now_us - last_us);
		assert_true(now_us < 600ull * SECOND_US);
		if (client->raw.len != len)
			last_us = now_us;
	}
	return longest_us;
}

static void a_long_prompt_has_headers_at_once_and_then_comments(void **state)
{
	(void)state;
	struct world_stream s;
	struct buf want;

	config.mock.timing.prefill_token_us = 13000; /* 26 s, in four steps */
	start();
	post_stream(&c, 2000, NULL, ",\"max_tokens\":5,\"temperature\":0");
	sim_run_for(w.sim, 250 * MS_US);
	assert_true(has(&c, "HTTP/1.1 200 OK\r\n"));
	assert_true(has(&c, "\r\nx-stator-worker: mock-0\r\n"));
	assert_true(has(&c, "\r\nx-stator-route: "));
	assert_true(has(&c, "\n: computing a prompt of 2000 tokens"));
	uint64_t silence_us = longest_silence_us(&c);
	assert_in_range(silence_us, 3 * SECOND_US, 5 * SECOND_US + 100 * MS_US);
	world_finish(&c);
	assert_true(c.whole);
	world_stream_read(&s, &c);
	assert_in_range(s.comments, 5, 9);
	assert_int_equal(s.dones, 1);
	buf_init(&want, 100);
	char prompt[2001];
	snprintf(prompt, sizeof prompt, "%0*d", 2000, 7);
	struct tokens tokens = {0};
	assert_int_equal(tokenizer_encode(w.tokenizer, prompt, 2000, TOKENIZE_BOS_EOS, 9999, &tokens, NULL), 0);
	world_reference(&w, tokens.v, tokens.len, false, 0, 5, true, &want);
	assert_string_equal(buf_str(&s.text[0]), buf_str(&want));
	vec_done(&tokens);
	buf_done(&want);
	world_stream_done(&s);
}

static void long_gaps_between_tokens_are_filled_too(void **state)
{
	(void)state;
	struct world_stream s;

	config.mock.timing.decode_seq_us = 17 * SECOND_US;
	start();
	post_stream(&c, 20, NULL, ",\"max_tokens\":3,\"n\":1");
	assert_true(longest_silence_us(&c) <= 5 * SECOND_US + 100 * MS_US);
	world_finish(&c);
	assert_true(has(&c, "\n: waiting for the next token\n\n"));
	world_stream_read(&s, &c);
	assert_int_equal(s.text[0].len, 3);
	assert_true(s.comments >= 6);
	world_stream_done(&s);
}

static void a_stream_that_begins_at_once_has_no_comment(void **state)
{
	(void)state;
	struct world_stream s;

	start();
	post_stream(&c, 20, NULL, ",\"max_tokens\":500");
	world_finish(&c);
	world_stream_read(&s, &c);
	assert_int_equal(s.comments, 0);
	assert_int_equal(s.text[0].len, 500);
	world_stream_done(&s);
}

/* One sequence at a time, so that a second request waits. */
static void occupy(int tokens)
{
	char fields[64];

	config.mock.seqs = 1;
	config.mock.timing.decode_seq_us = 100 * MS_US;
	start();
	snprintf(fields, sizeof fields, ",\"max_tokens\":%d", tokens);
	post_stream(&other, 20, NULL, fields);
	sim_run_for(w.sim, 50 * MS_US);
}

static void a_stream_in_the_queue_has_headers_after_a_second(void **state)
{
	(void)state;
	struct world_stream s;

	occupy(150);
	post_stream(&c, 20, NULL, ",\"max_tokens\":3");
	/* It may wait here or at the worker; either way nothing but a sign of life can have come. */
	sim_run_for(w.sim, 1250 * MS_US);
	assert_true(has(&c, "HTTP/1.1 200 OK\r\n"));
	assert_true(has(&c, "\n: "));
	assert_false(has(&c, "data:"));
	assert_true(longest_silence_us(&c) <= 5 * SECOND_US + 100 * MS_US);
	world_finish(&c);
	world_stream_read(&s, &c);
	assert_int_equal(s.dones, 1);
	assert_int_equal(s.text[0].len, 3);
	world_stream_done(&s);
	world_finish(&other);
}

static void what_fails_after_the_headers_is_an_error_event(void **state)
{
	(void)state;
	struct world_stream s;

	config.mock.timing.prefill_token_us = 13000;
	start();
	post_stream(&c, 2000, "x-stator-deadline-ms: 3000.0\r\n", ",\"max_tokens\":5");
	world_finish(&c);
	assert_int_equal(c.status, 200);
	world_stream_read(&s, &c);
	assert_true(s.comments >= 1);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.dones, 0);
	assert_non_null(strstr(buf_str(&c.body), "\"code\":\"deadline_exceeded\""));
	world_stream_done(&s);
}

static void what_fails_at_once_is_a_status(void **state)
{
	(void)state;

	config.frontend.waiting_max = 1;
	occupy(150);
	static struct world_client waits[8];
	uint32_t full = 0;
	for (uint32_t i = 0; i < ARRAY_LEN(waits); i++)
		post_stream(&waits[i], 20, NULL, ",\"max_tokens\":3");
	sim_run_for(w.sim, 500 * MS_US);
	for (uint32_t i = 0; i < ARRAY_LEN(waits); i++) {
		full += waits[i].ended && has(&waits[i], "HTTP/1.1 429 ");
		world_client_done(&waits[i]);
	}
	assert_true(full > 0);
	post_stream(&c, 3000, NULL, "");
	world_finish(&c);
	assert_int_equal(c.status, 400);
	world_finish(&other);
}

static void whole_answers_have_none(void **state)
{
	(void)state;
	static char body[3000];

	config.mock.timing.prefill_token_us = 13000;
	start();
	snprintf(body, sizeof body, "{\"prompt\":\"%0*d\",\"max_tokens\":2}", 1000, 7);
	world_post(&w, &c, "/v1/completions", body);
	sim_run_for(w.sim, 10 * SECOND_US);
	assert_int_equal(c.raw.len, 0);
	world_finish(&c);
	assert_int_equal(c.status, 200);
	assert_string_equal(world_header(&c, "x-stator-worker"), "mock-0");
}

static void an_operator_can_turn_them_off(void **state)
{
	(void)state;

	config.mock.timing.prefill_token_us = 13000;
	config.frontend.ping_ms = 0;
	start();
	post_stream(&c, 1000, NULL, ",\"max_tokens\":5");
	sim_run_for(w.sim, 12 * SECOND_US);
	assert_int_equal(c.raw.len, 0);
	world_finish(&c);
	assert_int_equal(c.status, 200);
	assert_false(has(&c, "\n: "));
}

static void a_client_that_leaves_while_it_waits_leaves_nothing(void **state)
{
	(void)state;
	config.mock.timing.prefill_token_us = 13000;
	start();
	for (uint64_t us = 1000; us < 8 * SECOND_US; us += 790 * MS_US) {
		post_stream(&c, 1000, NULL, ",\"max_tokens\":5");
		sim_run_for(w.sim, us);
		world_client_done(&c);
		world_wait_idle(&w);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_long_prompt_has_headers_at_once_and_then_comments),
		TEST(long_gaps_between_tokens_are_filled_too),
		TEST(a_stream_that_begins_at_once_has_no_comment),
		TEST(a_stream_in_the_queue_has_headers_after_a_second),
		TEST(what_fails_after_the_headers_is_an_error_event),
		TEST(what_fails_at_once_is_a_status),
		TEST(whole_answers_have_none),
		TEST(an_operator_can_turn_them_off),
		TEST(a_client_that_leaves_while_it_waits_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
