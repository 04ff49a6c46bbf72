/* Reading a streamed answer: which events bring text, what usage and errors say. */
#include "load/answer.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

static struct answer a;
static struct hist gaps;

static int setup(void **state)
{
	(void)state;
	gaps = (struct hist){0};
	answer_init(&a);
	answer_begin(&a, true, &gaps);
	answer_head(&a, 200, "text/event-stream; charset=utf-8");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	answer_done(&a);
	return 0;
}

static void push(uint64_t now_us, const char *json)
{
	char event[2048];
	int n = snprintf(event, sizeof event, "data: %s\n\n", json);

	answer_body(&a, now_us, event, (size_t)n);
}

static void events_with_text_are_pieces_and_others_are_not(void **state)
{
	(void)state;
	push(10, "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"index\":0}],\"usage\":null}");
	push(20, "{\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"index\":0}],\"usage\":null}");
	push(50, "{\"choices\": [{\"delta\": {\"content\": \" you\"}, \"index\": 0}]}");
	push(60, "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"index\":0}]}");
	push(70, "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12,"
		 "\"prompt_tokens_details\":{\"cached_tokens\":4}}}");
	push(80, "[DONE]");
	assert_int_equal(answer_judge(&a, 0, ""), 0);
	assert_int_equal(a.pieces, 2);
	assert_int_equal(a.first_us, 20);
	assert_int_equal(a.last_us, 50);
	assert_int_equal(gaps.count, 1);
	assert_int_equal(gaps.max, 30);
	assert_int_equal(answer_tokens(&a), 3);
	assert_int_equal(a.prompt_tokens, 9);
	assert_int_equal(a.cached_tokens, 4);
	assert_string_equal(buf_str(&a.text), "Hello you");
}

static void text_that_looks_like_a_key_is_no_usage(void **state)
{
	(void)state;
	push(5, "{\"choices\":[{\"text\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":77}\",\"index\":0}]}");
	push(6, "[DONE]");
	assert_int_equal(answer_judge(&a, 0, ""), 0);
	assert_int_equal(a.pieces, 1);
	assert_false(a.has_usage);
	assert_int_equal(answer_tokens(&a), 1);
}

static void an_error_inside_a_stream_is_what_went_wrong(void **state)
{
	(void)state;
	push(5, "{\"error\":{\"message\":\"the worker was lost\",\"type\":\"server_error\"}}");
	push(6, "[DONE]");
	assert_true(answer_judge(&a, 0, "") < 0);
	assert_string_equal(a.err.msg, "the worker was lost");
}

static void a_stream_without_its_end_broke_off(void **state)
{
	(void)state;
	push(5, "{\"choices\":[{\"text\":\"x\"}]}");
	assert_true(answer_judge(&a, 0, "") < 0);
	assert_non_null(strstr(a.err.msg, "broke off"));
}

static void a_refusal_carries_status_and_message(void **state)
{
	(void)state;
	const char *body = "{\"error\":{\"message\":\"too many requests\"}}";

	answer_head(&a, 429, "application/json");
	answer_body(&a, 1, body, 10);
	answer_body(&a, 1, body + 10, strlen(body) - 10);
	assert_true(answer_judge(&a, 0, "") < 0);
	assert_string_equal(a.err.msg, "status 429: too many requests");
	answer_begin(&a, false, NULL);
	answer_head(&a, 502, "text/html");
	answer_body(&a, 1, "<html>", 6);
	assert_true(answer_judge(&a, 0, "") < 0);
	assert_string_equal(a.err.msg, "status 502");
}

static void a_broken_event_is_said_to_be_one(void **state)
{
	(void)state;
	push(5, "{\"choices\":[{\"text\":\"x\"");
	assert_true(answer_judge(&a, 0, "") < 0);
	assert_non_null(strstr(a.err.msg, "no JSON"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(events_with_text_are_pieces_and_others_are_not, setup, teardown),
		cmocka_unit_test_setup_teardown(text_that_looks_like_a_key_is_no_usage, setup, teardown),
		cmocka_unit_test_setup_teardown(an_error_inside_a_stream_is_what_went_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stream_without_its_end_broke_off, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refusal_carries_status_and_message, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broken_event_is_said_to_be_one, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
