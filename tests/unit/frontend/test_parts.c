/* The small parts of the frontend: keys, the metrics page, and requests one by one. */
#include "base/rng.h"
#include "frontend/keys.h"
#include "frontend/metrics.h"
#include "frontend/request.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

static int keys_of(struct api_keys **ret, const char *text, struct err *err)
{
	return api_keys_parse(ret, text, strlen(text), err);
}

static void a_key_file_without_keys_opens_no_door(void **state)
{
	(void)state;
	static const char *const none[] = {"", "\n\n", "# none\n\n", "  # none", "\t\r\n #", "\xef\xbb\xbf# none\n"};
	struct api_keys *keys;
	struct err err;

	for (uint32_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_int_equal(keys_of(&keys, none[i], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "it holds no key"));
	}
	assert_int_equal(keys_of(&keys, "# none\n\nk", &err), 0);
	assert_true(api_keys_find(keys, "Bearer k", NULL));
	assert_false(api_keys_find(keys, NULL, NULL));
	api_keys_destroy(keys);
	const char *text = "one\n admin:root \n#admin:no\nadmin:\n";
	struct api_caller one, root;
	assert_int_equal(api_keys_parse(&keys, text, strlen(text), &err), 0);
	assert_true(api_keys_find(keys, "Bearer one", &one) && !one.admin);
	assert_true(api_keys_find(keys, "Bearer root", &root) && root.admin);
	assert_memory_not_equal(one.digest, root.digest, sizeof one.digest);
	assert_false(api_keys_find(keys, "Bearer admin:root", NULL));
	assert_false(api_keys_find(keys, "Bearer no", NULL));
	assert_false(api_keys_find(keys, "Bearer ", NULL));
	assert_true(api_keys_find(keys, "Bearer admin:", NULL)); /* nothing follows: a key like any other */
	api_keys_destroy(keys);
}

static void a_comment_begins_behind_a_blank_and_not_inside_a_key(void **state)
{
	(void)state;
	static const char text[] = "\xef\xbb\xbf"
				   "first\nsk-def # mine\n\tsk-tab\t#mine\r\nsk#hash\nsk-end#\n#sk-off\n  #sk-off2\n";
	static const char *const good[] = {"first", "sk-def", "sk-tab", "sk#hash", "sk-end#"}, *const bad[] = {
												       "sk-def # mine",
												       "sk", "#sk-off",
												       "sk-off", "mine",
												       "sk-off2", ""};
	struct api_keys *keys;
	struct err err;
	char header[64];

	assert_int_equal(keys_of(&keys, text, &err), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(good); i++) {
		snprintf(header, sizeof header, "Bearer %s", good[i]);
		if (!api_keys_find(keys, header, NULL))
			fail_msg("%s is not allowed", good[i]);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(header, sizeof header, "Bearer %s", bad[i]);
		if (api_keys_find(keys, header, NULL))
			fail_msg("%s is allowed", bad[i]);
	}
	api_keys_destroy(keys);
	assert_int_equal(keys_of(&keys, "one\n\ntwo three\n", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "line 3"));
	assert_int_equal(keys_of(&keys,
				 "a\x01"
				 "b",
				 &err),
		-EINVAL);
}

static void the_metrics_page_is_what_the_table_prints(void **state)
{
	(void)state;
	static char page[65536];
	struct buf out;
	FILE *f = fopen("docs/reference/metrics.md", "r");

	assert_non_null(f);
	size_t n = fread(page, 1, sizeof page - 1, f);
	fclose(f);
	page[n] = '\0';
	buf_init(&out, sizeof page);
	frontend_metrics_reference(&out);
	if (getenv("STATOR_WRITE_REFERENCE")) {
		f = fopen("docs/reference/metrics.md", "w");
		fputs(buf_str(&out), f);
		fclose(f);
	} else {
		assert_string_equal(page, buf_str(&out));
	}
	buf_done(&out);
}

static void a_request_with_everything_is_read_whole(void **state)
{
	(void)state;
	static const char body[] =
		"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\"}"
		"]},"
		"{\"role\":\"tool\",\"content\":\"4\",\"tool_call_id\":\"1\"}],\"max_tokens\":5,\"max_completion_"
		"tokens\":6,"
		"\"min_tokens\":2,\"n\":3,\"seed\":-3,\"temperature\":0.5,\"top_p\":0,\"top_k\":40,\"min_p\":0.1,"
		"\"typical_p\":0.9,"
		"\"repeat_penalty\":1.1,\"presence_penalty\":-2,\"frequency_penalty\":2,\"logit_bias\":{\"7\":-100,"
		"\"9\":1.5},"
		"\"stop\":[\"a\",\"b\\u0000c\"],\"stream\":true,\"stream_options\":{\"include_usage\":true},\"ignore_"
		"eos\":true,"
		"\"logprobs\":true,\"top_logprobs\":20,\"tools\":[],\"response_format\":{\"type\":\"text\"},"
		"\"chat_template_kwargs\":{\"enable_thinking\":false},\"add_generation_prompt\":false}";
	struct api_request r;
	struct api_error e = {0};
	struct arena arena;

	arena_init(&arena, 1 << 20);
	if (api_request_parse(&r, API_CHAT, body, sizeof body - 1, &arena, &e) < 0)
		fail_msg("%s", e.message);
	assert_string_equal(r.model, "m");
	assert_int_equal(r.messages_len, 2);
	assert_null(r.messages[0].content);
	assert_string_equal(r.messages[0].extra_json, "{\"tool_calls\":[{\"id\":\"1\"}]}");
	assert_int_equal(r.max_tokens, 6);
	assert_int_equal(r.min_tokens, 2);
	assert_int_equal(r.n, 3);
	assert_true(r.has_seed && r.sampling.seed == UINT64_MAX - 2);
	assert_true(r.sampling.top_p > 0 && r.sampling.top_p < 1e-5f);
	assert_int_equal(r.sampling.top_k, 40);
	assert_true(r.sampling.repetition_penalty == 1.1f);
	assert_true(r.sampling.presence_penalty == -2 && r.sampling.frequency_penalty == 2);
	assert_int_equal(r.sampling.bias_tokens.len, 2);
	assert_int_equal(r.stops_len, 2);
	assert_int_equal(r.stops[1].len, 3);
	assert_true(r.stream && r.include_usage && r.ignore_eos && r.logprobs && r.no_generation_prompt);
	assert_int_equal(r.top_logprobs, 20);
	assert_string_equal(r.kwargs_json, "{\"enable_thinking\":false}");
	arena_done(&arena);
}

static int parse_once(const char *body, size_t arena_bytes, struct api_error *e)
{
	struct api_request r;
	struct arena arena;

	*e = (struct api_error){0};
	arena_init(&arena, arena_bytes);
	int result = api_request_parse(&r, API_CHAT, body, strlen(body), &arena, e);
	arena_done(&arena);
	return result;
}

static void keyword_arguments_cannot_take_the_place_of_what_the_server_sets(void **state)
{
	(void)state;
	static const char *const refused[] = {"messages", "tools", "bos_token", "eos_token", "add_generation_prompt",
		"date_string", "datetime", "strftime_now", "raise_exception", "namespace", "range", "loop", "true"};
	static const char *const taken[] = {
		"enable_thinking", "reasoning_effort", "documents", "messages2", "Messages"};
	char body[256], named[64];
	struct api_error e;

	for (uint32_t i = 0; i < ARRAY_LEN(refused); i++) {
		snprintf(body, sizeof body,
			"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template_kwargs\":{\"x\":1,\"%"
			"s\":\"y\"}}",
			refused[i]);
		snprintf(named, sizeof named, "has \"%s\"", refused[i]);
		assert_int_equal(parse_once(body, 1 << 20, &e), -EINVAL);
		assert_int_equal(e.status, 400);
		assert_string_equal(e.param, "chat_template_kwargs");
		assert_non_null(strstr(e.message, named));
	}
	for (uint32_t i = 0; i < ARRAY_LEN(taken); i++) {
		snprintf(body, sizeof body,
			"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template_kwargs\":{\"%s\":\"y\"}"
			"}",
			taken[i]);
		assert_int_equal(parse_once(body, 1 << 20, &e), 0);
	}
}

static void keyword_arguments_are_small(void **state)
{
	(void)state;
	char *body = malloc(70000);
	struct api_error e;

	assert_non_null(body);
	for (int bytes = 65000; bytes <= 66000; bytes += 1000) {
		sprintf(body,
			"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template_kwargs\":{\"x\":\"%0*"
			"d\"}}",
			bytes, 1);
		assert_int_equal(parse_once(body, 1 << 20, &e), bytes < 65536 ? 0 : -EINVAL);
	}
	assert_string_equal(e.param, "chat_template_kwargs");
	assert_non_null(strstr(e.message, "66008 bytes; at most 65536"));
	free(body);
}

static void the_end_of_the_arena_is_met_at_every_allocation(void **state)
{
	(void)state;
	static const char body[] =
		"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}],\"name\":\"n\"}],"
		"\"stop\":[\"a\"],\"logit_bias\":{\"7\":1},\"chat_template_kwargs\":{\"a\":[1,2,{}]}}";
	struct api_error e;
	uint32_t failed = 0;

	for (size_t bytes = 0; parse_once(body, bytes, &e) < 0; bytes += 8, failed++)
		assert_int_equal(e.status, 500);
	assert_true(failed > 10);
}

static void a_request_without_anything_has_openai_s_defaults(void **state)
{
	(void)state;
	static const char body[] = "{\"prompt\":\"x\",\"seed\":null,\"stop\":null,\"logprobs\":null,\"top_k\":-1}";
	struct api_request r;
	struct api_error e = {0};
	struct arena arena;

	arena_init(&arena, 1 << 20);
	assert_int_equal(api_request_parse(&r, API_COMPLETION, body, sizeof body - 1, &arena, &e), 0);
	assert_true(r.sampling.temperature == 1 && r.sampling.top_p == 1);
	assert_int_equal(r.n, 1);
	assert_false(r.has_seed || r.stream || r.logprobs || r.echo || r.stops_len || r.sampling.top_k || r.max_tokens);
	arena_done(&arena);
}

static void every_cut_of_a_body_is_an_error_and_nothing_worse(void **state)
{
	(void)state;
	static const char whole[] =
		"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\xc3\xb6\\u00f6\"}]}],"
		"\"logit_bias\":{\"1\":2},\"stop\":[\"x\"]}";
	char body[sizeof whole];

	for (size_t len = 0; len < sizeof whole - 1; len++) {
		struct api_request r;
		struct api_error e = {0};
		struct arena arena;
		memcpy(body, whole, len);
		body[len] = '\0';
		arena_init(&arena, 1 << 20);
		assert_int_equal(api_request_parse(&r, API_CHAT, body, len, &arena, &e), -EINVAL);
		assert_int_equal(e.status, 400);
		assert_true(strlen(e.message) > 10);
		arena_done(&arena);
	}
}

static void a_body_of_empty_lists_is_stopped_by_its_count(void **state)
{
	(void)state;
	size_t len = 3 * 200000;
	char *body = malloc(len + 1);
	struct api_request r;
	struct api_error e = {0};
	struct arena arena;

	assert_non_null(body);
	for (size_t i = 0; i < len; i += 3)
		memcpy(body + i, "[],", 3);
	body[0] = '[';
	body[len] = '\0';
	arena_init(&arena, 1 << 20);
	assert_int_equal(api_request_parse(&r, API_COMPLETION, body, len, &arena, &e), -EINVAL);
	assert_non_null(strstr(e.message, "more than 131072 lists and objects"));
	arena_done(&arena);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_comment_begins_behind_a_blank_and_not_inside_a_key),
		cmocka_unit_test(a_key_file_without_keys_opens_no_door),
		cmocka_unit_test(the_metrics_page_is_what_the_table_prints),
		cmocka_unit_test(a_request_with_everything_is_read_whole),
		cmocka_unit_test(keyword_arguments_cannot_take_the_place_of_what_the_server_sets),
		cmocka_unit_test(keyword_arguments_are_small),
		cmocka_unit_test(the_end_of_the_arena_is_met_at_every_allocation),
		cmocka_unit_test(a_request_without_anything_has_openai_s_defaults),
		cmocka_unit_test(every_cut_of_a_body_is_an_error_and_nothing_worse),
		cmocka_unit_test(a_body_of_empty_lists_is_stopped_by_its_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
