/* Bodies to requests: what a field takes, what it means, and what is said of a value it does not take. */
#include "base/limits.h"
#include "frontend/request.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

static struct api_request r;
static struct api_error e;
static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

/* Read a request that has fields, "\"n\":2", besides what it must have. */
static int with(enum api_kind kind, const char *fields)
{
	char body[4096];

	snprintf(body, sizeof body, "{%s%s%s}",
		kind == API_CHAT ? "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]" : "\"prompt\":\"x\"",
		*fields ? "," : "", fields);
	e = (struct api_error){0};
	return api_request_parse(&r, kind, body, strlen(body), &arena, &e);
}

static void chat(const char *fields)
{
	if (with(API_CHAT, fields) < 0)
		fail_msg("%s: %s", fields, e.message);
}

static void completion(const char *fields)
{
	if (with(API_COMPLETION, fields) < 0)
		fail_msg("%s: %s", fields, e.message);
}

/* Refused with 400, and the message holds all of words. */
static void refused(enum api_kind kind, const char *fields, const char *param, const char *words)
{
	if (with(kind, fields) == 0)
		fail_msg("taken: %s", fields);
	assert_int_equal(e.status, 400);
	assert_string_equal(e.param, param);
	if (!strstr(e.message, words))
		fail_msg("%s: \"%s\" is not in \"%s\"", fields, words, e.message);
}

static void a_whole_number_may_have_a_point_in_every_field(void **state)
{
	(void)state;
	static const char fields[] =
		"\"max_tokens\":9.0,\"min_tokens\":2e0,\"n\":3.0,\"best_of\":3.0,\"top_k\":4e1,\"seed\":7.0,"
		"\"stop_token_ids\":[5.0,6],\"logit_bias\":{\"8.0\":1,\"9\":-2.0},\"logprobs\":2.0,\"temperature\":1";

	completion(fields);
	assert_true(r.has_max_tokens && r.max_tokens == 9);
	assert_int_equal(r.min_tokens, 2);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.sampling.top_k, 40);
	assert_true(r.has_seed && r.sampling.seed == 7);
	assert_int_equal(r.stop_tokens.len, 2);
	assert_int_equal(r.stop_tokens.v[0], 5);
	assert_int_equal(r.sampling.bias_tokens.v[0] + r.sampling.bias_tokens.v[1], 17);
	assert_int_equal(r.top_logprobs, 2);
	static const char ids[] = "{\"prompt\":[[1.0,2],[3e1]]}";
	assert_int_equal(api_request_parse(&r, API_COMPLETION, ids, sizeof ids - 1, &arena, &e), 0);
	assert_int_equal(r.prompts[0].tokens.v[0], 1);
	assert_int_equal(r.prompts[1].tokens.v[0], 30);
	chat("\"logprobs\":true,\"top_logprobs\":3.0,\"max_completion_tokens\":5.0,\"top_k\":-1.0");
	assert_int_equal(r.top_logprobs, 3);
	assert_int_equal(r.max_tokens, 5);
	assert_int_equal(r.sampling.top_k, 0);
}

static void a_fraction_is_no_whole_number_in_any_field(void **state)
{
	(void)state;
	static const char *const names[] = {"max_tokens", "max_completion_tokens", "max_new_tokens", "n_predict",
		"min_tokens", "min_new_tokens", "n", "top_k", "seed", "best_of", "logprobs"};
	char field[64];

	for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(field, sizeof field, "\"%s\":2.5", names[i]);
		refused(API_COMPLETION, field, names[i], "must be an integer, not a number with a fraction");
		snprintf(field, sizeof field, "\"%s\":\"2\"", names[i]);
		refused(API_COMPLETION, field, names[i], "must be an integer, not a string");
	}
	refused(API_COMPLETION, "\"stop_token_ids\":[1.5]", "stop_token_ids", "item 0 must be a token id");
	refused(API_COMPLETION, "\"logit_bias\":{\"1.5\":1}", "logit_bias", "no token id");
}

static void the_limit_of_an_answer_has_four_names_and_no_largest_value(void **state)
{
	(void)state;
	static const char *const names[] = {"n_predict", "max_new_tokens", "max_tokens", "max_completion_tokens"};
	static const char *const large[] = {"-1", "-1.0", "2097153", "2147483647", "2147483648", "4294967295",
		"1000000000000", "9223372036854775807", "1e300"};
	char field[96];

	for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
		for (uint32_t k = 0; k < ARRAY_LEN(large); k++) {
			snprintf(field, sizeof field, "\"%s\":%s,\"min_tokens\":3", names[i], large[k]);
			chat(field);
			assert_true(r.has_max_tokens);
			assert_int_equal(r.max_tokens, TOKENS_MAX);
		}
		snprintf(field, sizeof field, "\"%s\":-2", names[i]);
		refused(API_CHAT, field, names[i], "must be 1 or more, or -1 for no limit, not -2");
	}
	chat("");
	assert_false(r.has_max_tokens);
	chat("\"max_completion_tokens\":6,\"max_tokens\":5,\"max_new_tokens\":4,\"n_predict\":3");
	assert_int_equal(r.max_tokens, 6);
	chat("\"n_predict\":3,\"max_tokens\":5");
	assert_int_equal(r.max_tokens, 5);
	chat("\"min_new_tokens\":4294967296");
	assert_int_equal(r.min_tokens, TOKENS_MAX);
	refused(API_CHAT, "\"min_tokens\":6,\"max_tokens\":5", "min_tokens", "is 6 and \"max_tokens\" only 5");
	refused(API_CHAT, "\"min_tokens\":6,\"n_predict\":5", "min_tokens", "is 6 and \"n_predict\" only 5");
}

static void no_token_at_all_is_for_echo_alone(void **state)
{
	(void)state;
	completion("\"max_tokens\":0,\"echo\":true");
	assert_true(r.has_max_tokens && r.max_tokens == 0);
	refused(API_COMPLETION, "\"max_tokens\":0", "max_tokens", "0 is taken by /v1/completions with \"echo\"");
	refused(API_CHAT, "\"max_tokens\":0.0", "max_tokens", "must be 1 or more, or -1 for no limit");
	refused(API_CHAT, "\"max_completion_tokens\":0", "max_completion_tokens",
		"\"max_completion_tokens\" must be 1");
	refused(API_COMPLETION, "\"max_new_tokens\":0,\"n_predict\":5", "max_new_tokens",
		"\"max_new_tokens\" must be 1");
}

static void a_byte_order_mark_is_no_text(void **state)
{
	(void)state;
	static const char body[] = "\xef\xbb\xbf{\"prompt\":\"x\",\"seed\":18446744073709551615}",
			  twice[] = "\xef\xbb\xbf\xef\xbb\xbf{\"prompt\":\"x\"}", none[] = "\xef\xbb\xbf",
			  wrong[] = "\xef\xbb\xbf{\"prompt\" 5}";

	assert_int_equal(api_request_parse(&r, API_COMPLETION, body, sizeof body - 1, &arena, &e), 0);
	assert_true(r.sampling.seed == UINT64_MAX);
	assert_int_equal(api_request_parse(&r, API_COMPLETION, twice, sizeof twice - 1, &arena, &e), -EINVAL);
	assert_int_equal(api_request_parse(&r, API_COMPLETION, none, sizeof none - 1, &arena, &e), -EINVAL);
	assert_non_null(strstr(e.message, "has no body"));
	assert_int_equal(api_request_parse(&r, API_COMPLETION, wrong, sizeof wrong - 1, &arena, &e), -EINVAL);
	assert_non_null(strstr(e.message, "line 1, column 11"));
}

static void numbers_of_any_size_are_json(void **state)
{
	(void)state;
	chat("\"metadata\":{\"id\":36893488147419103233},\"user\":98765432109876543210987,\"x\":[-1e4000]");
	completion("\"store\":100000000000000000000000000000");
	refused(API_CHAT, "\"n\":18446744073709551617", "n", "between 1 and 16, not 18446744073709551616");
	refused(API_CHAT, "\"temperature\":3e333", "temperature", "between 0 and 2, not");
	refused(API_COMPLETION, "\"seed\":36893488147419103233", "seed", "18446744073709551615, not 3689348814741910");
	refused(API_COMPLETION, "\"logit_bias\":{\"5\":1e999}", "logit_bias", "between -100 and 100");
}

static void a_nul_does_not_end_a_name(void **state)
{
	(void)state;
	refused(API_CHAT, "\"model\":\"mock\\u0000x\"", "model", "NUL");
	refused(API_CHAT, "\"response_format\":{\"type\":\"text\\u0000\"}", "response_format", "not supported");
	refused(API_CHAT, "\"messages\":[{\"role\":\"user\\u0000y\",\"content\":\"x\"}]", "messages[0]", "NUL");
	chat("\"user\":\"a\\u0000b\"");
	uint64_t session = r.session;
	chat("\"user\":\"a\\u0000c\"");
	assert_true(session && r.session && session != r.session);
	chat("\"metadata\":{\"a\\u0000b\":1}");
	refused(API_CHAT, "\"tool_choice\":\"required\\u0000\"", "tool_choice", "NUL");
	refused(API_CHAT, "\"reasoning_effort\":\"low\\u0000\"", "reasoning_effort", "NUL");
}

static void seeds_have_64_bits_signed_or_not_and_minus_one_is_none(void **state)
{
	(void)state;
	chat("\"seed\":9223372036854775807");
	assert_true(r.has_seed && r.sampling.seed == INT64_MAX);
	chat("\"seed\":-9223372036854775808");
	assert_true(r.has_seed && r.sampling.seed == (uint64_t)INT64_MIN);
	chat("\"seed\":-2");
	assert_true(r.has_seed && r.sampling.seed == UINT64_MAX - 1);
	chat("\"seed\":1e19");
	assert_true(r.has_seed && r.sampling.seed == 10000000000000000000u);
	chat("\"seed\":18446744073709551615");
	assert_true(r.has_seed && r.sampling.seed == UINT64_MAX);
	completion("\"seed\":9223372036854775809,\"x\":1e999");
	assert_true(r.has_seed && r.sampling.seed == 0x8000000000000001u);
	chat("\"seed\":-1");
	assert_false(r.has_seed);
	chat("\"seed\":-1.0");
	assert_false(r.has_seed);
	chat("\"seed\":0");
	assert_true(r.has_seed && r.sampling.seed == 0);
	refused(API_CHAT, "\"seed\":2e19", "seed", "between -9223372036854775808 and 18446744073709551615, not 2");
	refused(API_CHAT, "\"seed\":18446744073709551616", "seed", "between -9223372036854775808 and");
	refused(API_CHAT, "\"seed\":18446744073709551616.0", "seed", "between -9223372036854775808 and");
	refused(API_CHAT, "\"seed\":-9223372036854775809", "seed", "between -9223372036854775808 and");
}

static void numbers_out_of_range_are_shown_as_they_were_sent(void **state)
{
	(void)state;
	refused(API_CHAT, "\"n\":2147483647", "n", "must be between 1 and 16, not 2147483647");
	refused(API_CHAT, "\"n\":4294967297.0", "n", "must be between 1 and 16, not 4294967297");
	refused(API_CHAT, "\"n\":0", "n", "must be between 1 and 16, not 0");
	refused(API_CHAT, "\"min_tokens\":-1", "min_tokens", "must be 0 or more, not -1");
	refused(API_CHAT, "\"top_k\":-2", "top_k", "must be 0 or more, or -1 for off, not -2");
	refused(API_CHAT, "\"temperature\":2.5", "temperature", "must be between 0 and 2, not 2.5");
	refused(API_COMPLETION, "\"logprobs\":21", "logprobs", "must be between 0 and 20, not 21");
	refused(API_COMPLETION, "\"stop_token_ids\":[4294967296]", "stop_token_ids",
		"item 0 is 4294967296, which is no");
	chat("\"top_k\":2147483648");
	assert_int_equal(r.sampling.top_k, INT32_MAX);
}

/* The text of the one message that has this content; NULL when it is refused. */
static const char *content(const char *json)
{
	char body[1024];

	snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":%s}]}", json);
	e = (struct api_error){0};
	if (api_request_parse(&r, API_CHAT, body, strlen(body), &arena, &e) < 0)
		return NULL;
	assert_int_equal(strlen(r.messages[0].content), r.messages[0].content_len);
	return r.messages[0].content;
}

static void all_parts_that_are_text_are_text(void **state)
{
	(void)state;
	assert_string_equal(content("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"input_text\",\"text\":\"b\"},"
				    "{\"type\":\"output_text\",\"text\":\"c\",\"annotations\":[]},\"d\","
				    "{\"type\":\"refusal\",\"refusal\":\"e\"}]"),
		"abcde");
	assert_string_equal(content("[\"alone\"]"), "alone");
	assert_string_equal(content("[]"), "");
	static const struct {
		const char *json, *words;
	} wrong[] = {
		{"[{\"type\":\"input_image\"}]", "is of type \"input_image\"; this server takes text only"},
		{"[{\"type\":\"text\\u0000\",\"text\":\"a\"}]", "this server takes text only"},
		{"[{\"type\":\"input_text\"}]", "is of type \"input_text\" and needs a string \"text\""},
		{"[{\"type\":\"refusal\",\"text\":\"a\"}]", "needs a string \"refusal\""},
		{"[{\"text\":\"a\"}]", "has no \"type\", such as \"text\""},
		{"[7]", "must be an object or a string, not an integer"},
	};
	for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_null(content(wrong[i].json));
		assert_string_equal(e.param, "messages[0].content[0]");
		if (!strstr(e.message, wrong[i].words))
			fail_msg("%s: %s", wrong[i].json, e.message);
	}
}

/* The i-th message as the template gets it: "role: content extra". */
static const char *message(uint32_t i)
{
	static char text[512];
	const struct ll_message *m = &r.messages[i];

	snprintf(text, sizeof text, "%s: %.*s %s", m->role, (int)m->content_len, m->content ? m->content : "",
		m->extra_json ? m->extra_json : "");
	return text;
}

static void histories_of_older_clients_lose_nothing(void **state)
{
	(void)state;
	static const char body[] =
		"{\"messages\":[{\"role\":\"function\",\"name\":\"f\",\"content\":\"0\"},{\"role\":\"assistant\","
		"\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
		"{\"role\":\"function\",\"name\":\"f\",\"content\":\"5\"},"
		"{\"role\":\"assistant\",\"content\":null,\"refusal\":\"I cannot\"},"
		"{\"role\":\"assistant\",\"content\":\"yes\",\"refusal\":null,\"reasoning\":\"hm\"},"
		"{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"x\",\"reasoning_content\":\"y\"},"
		"{\"role\":\"assistant\",\"content\":\"b\",\"reasoning\":{\"z\":1}},"
		"{\"role\":\"assistant\",\"content\":\"c\",\"function_call\":null},"
		"{\"role\":\"assistant\",\"content\":\"d\",\"function_call\":{}},"
		"{\"role\":\"user\",\"content\":\"e\",\"function_call\":{\"name\":\"g\"}},"
		"{\"role\":\"function\",\"tool_call_id\":\"t\",\"content\":\"6\"},"
		"{\"role\":\"assistant\",\"tool_calls\":[]},{\"role\":\"assistant\",\"function_call\":{\"name\":\"h\"}},"
		"{\"role\":\"function\",\"content\":\"7\"}]}";
	static const char *const right[] = {"function: 0 {\"name\":\"f\"}",
		("assistant:  {\"tool_calls\":[{\"id\":\"call00001\",\"type\":\"function\",\"function\":{\"name\":\"f\","
		 "\"arguments\":\"{}\"}}]}"),
		"tool: 5 {\"name\":\"f\",\"tool_call_id\":\"call00001\"}", "assistant: I cannot ",
		"assistant: yes {\"reasoning_content\":\"hm\"}", "assistant: a {\"reasoning_content\":\"y\"}",
		"assistant: b ", "assistant: c ", "assistant: d ", "user: e ", "tool: 6 {\"tool_call_id\":\"t\"}",
		"assistant:  {\"tool_calls\":[]}",
		"assistant:  {\"tool_calls\":[{\"id\":\"call00012\",\"type\":\"function\",\"function\":{\"name\":\"h\"}}]}",
		"tool: 7 {\"tool_call_id\":\"call00012\"}"};

	if (api_request_parse(&r, API_CHAT, body, sizeof body - 1, &arena, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(r.messages_len, ARRAY_LEN(right));
	for (uint32_t i = 0; i < ARRAY_LEN(right); i++)
		assert_string_equal(message(i), right[i]);
}

static void what_asks_for_another_answer_is_refused_by_name(void **state)
{
	(void)state;
	static const struct {
		const char *field, *param; /* NULL: taken */
	} tries[] = {
		{"\"web_search_options\":{}", "web_search_options"},
		{"\"web_search_options\":null", NULL},
		{"\"best_of\":2", "best_of"},
		{"\"best_of\":2,\"n\":2", NULL},
		{"\"echo\":true", "echo"},
		{"\"echo\":false", NULL},
		{"\"chat_template\":\"{{ 1 }}\"", "chat_template"},
		{"\"chat_template\":\"\"", NULL},
		{"\"skip_special_tokens\":false", "skip_special_tokens"},
		{"\"skip_special_tokens\":true", NULL},
		{"\"return_token_ids\":true", "return_token_ids"},
		{"\"return_token_ids\":false", NULL},
		{"\"prompt_embeds\":\"AAAA\"", "prompt_embeds"},
		{"\"logits_processors\":[\"x\"]", "logits_processors"},
		{"\"custom_logit_processor\":\"x\"", "custom_logit_processor"},
		{"\"mirostat\":2", "mirostat"},
		{"\"mirostat\":0", NULL},
		{"\"tfs_z\":0.5", "tfs_z"},
		{"\"tfs_z\":1.0", NULL},
		{"\"top_n_sigma\":-1", NULL},
		{"\"dry_multiplier\":0.8", "dry_multiplier"},
		{"\"xtc_probability\":0,\"xtc_threshold\":0.1", NULL},
		{"\"thinking_token_budget\":100", "thinking_token_budget"},
		{"\"thinking_token_budget\":-1", NULL},
		{"\"lora\":[{\"id\":0}]", "lora"},
		{"\"lora\":[]", NULL},
		{"\"priority\":0", NULL},
		{"\"priority\":5", "priority"},
		{"\"modalities\":[\"text\"]", NULL},
		{"\"modalities\":[\"text\",\"audio\"]", "modalities"},
		{"\"format\":\"json\"", "format"},
		{"\"response_format\":{\"type\":\"text\\u0000\"}", "response_format"},
		{"\"nvext\":{\"guided_choice\":[\"a\"]}", "nvext.guided_choice"},
		{"\"nvext\":{\"use_raw_prompt\":true}", "nvext.use_raw_prompt"},
		{"\"nvext\":{\"annotations\":[\"token_ids\"]}", NULL},
		{"\"nvext\":7", "nvext"},
		{"\"stream_options\":{\"include_usage\":true}", "stream_options"},
		{"\"stream_options\":{}", "stream_options"},
		{"\"stream_options\":null", NULL},
		{"\"stream_options\":{},\"stream\":true", NULL},
		{"\"made_up\":1", NULL},
		{"\"model\":\"m\\u0000x\"", "model"},
	};

	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		if (tries[i].param)
			refused(API_CHAT, tries[i].field, tries[i].param, "\"");
		else
			chat(tries[i].field);
	}
	completion("\"echo\":true,\"chat_template\":\"x\"");
}

static void samplers_of_nvext_are_obeyed_where_the_body_has_none(void **state)
{
	(void)state;
	chat("\"nvext\":{\"ignore_eos\":true,\"top_k\":5.0,\"repetition_penalty\":1.5}");
	assert_true(r.ignore_eos && r.sampling.top_k == 5 && r.sampling.repetition_penalty == 1.5f);
	chat("\"top_k\":7,\"nvext\":{\"top_k\":5,\"greed_sampling\":true},\"ignore_eos\":false,\"temperature\":1");
	assert_true(!r.ignore_eos && r.sampling.top_k == 7 && r.sampling.temperature == 0);
	refused(API_CHAT, "\"nvext\":{\"top_k\":1.5}", "top_k", "must be an integer");
}

static void what_may_be_cached_and_equal_is_asked_for_by_field(void **state)
{
	(void)state;
	char field[CACHE_SALT_BYTES_MAX + 40], salt[CACHE_SALT_BYTES_MAX + 2];

	chat("\"x\":1");
	assert_true(r.cache_prompt && !r.deterministic && !r.cache_salt.len);
	chat("\"cache_prompt\":false,\"deterministic\":true,\"cache_salt\":\"a\\u0000b\"");
	assert_true(!r.cache_prompt && r.deterministic);
	assert_int_equal(r.cache_salt.len, 3); /* a NUL does not end it: \"a\" is another salt */
	assert_memory_equal(r.cache_salt.data, "a\0b", 3);
	chat("\"cache_prompt\":null,\"cache_salt\":null,\"nvext\":{\"cache_salt\":\"dynamo\"}");
	assert_true(r.cache_prompt);
	assert_int_equal(r.cache_salt.len, 6);
	chat("\"cache_salt\":\"own\",\"nvext\":{\"cache_salt\":\"dynamo\"}");
	assert_int_equal(r.cache_salt.len, 3);
	for (uint32_t len = CACHE_SALT_BYTES_MAX; len <= CACHE_SALT_BYTES_MAX + 1; len++) {
		memset(salt, 'x', len);
		salt[len] = '\0';
		snprintf(field, sizeof field, "\"cache_salt\":\"%s\"", salt);
		if (len > CACHE_SALT_BYTES_MAX)
			refused(API_CHAT, field, "cache_salt", "1 to 256 are taken");
		else
			chat(field);
	}
	refused(API_CHAT, "\"cache_salt\":\"\"", "cache_salt", "1 to 256 are taken");
	refused(API_CHAT, "\"cache_salt\":7", "cache_salt", "must be a string");
	refused(API_CHAT, "\"cache_prompt\":\"no\"", "cache_prompt", "must be");
	refused(API_CHAT, "\"deterministic\":1", "deterministic", "must be");
}

static void a_choice_of_tools_is_what_it_can_be(void **state)
{
	(void)state;
#define TOOL "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
	static const struct {
		const char *field, *param, *words;
	} wrong[] = {
		{TOOL, "tools", "leave it out, or set \"tool_choice\" to \"none\""},
		{TOOL ",\"tool_choice\":\"auto\"", "tools", "not supported yet"},
		{TOOL ",\"tool_choice\":\"required\"", "tool_choice", "not supported yet"},
		{"\"tool_choice\":\"required\"", "tool_choice", "not supported yet"},
		{"\"tool_choice\":\"banana\"", "tool_choice", "which is none of \"none\", \"auto\", \"required\""},
		{"\"tool_choice\":\"requierd\"", "tool_choice", "did you mean \"required\"?"},
		{"\"tool_choice\":\"none\\u0000\"", "tool_choice", "NUL"},
		{"\"tool_choice\":7", "tool_choice", "a string or an object, not an integer"},
		{"\"tool_choice\":[]", "tool_choice", "a string or an object, not an array"},
		{"\"tool_choice\":{}", "tool_choice", "names no tool"},
		{"\"tool_choice\":{\"type\":\"banana\",\"function\":{\"name\":\"f\"}}", "tool_choice", "names no tool"},
		{"\"tool_choice\":{\"type\":\"function\",\"function\":{}}", "tool_choice", "names no tool"},
		{"\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", "tool_choice",
			"not supported"},
		{"\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}", "tool_choice", "not supported"},
		{"\"tool_choice\":{\"type\":\"allowed_tools\"}", "tool_choice", "not supported"},
		{"\"function_call\":{\"name\":\"f\"}", "function_call", "not supported"},
		{"\"function_call\":{}", "function_call", "names no tool; as an object it is {\"name\""},
		{"\"function_call\":\"required\"", "function_call", "which is none of \"none\", \"auto\""},
		{"\"functions\":[{\"name\":\"f\"}]", "functions", "or set \"function_call\" to \"none\""},
		{"\"tools\":{\"a\":1},\"tool_choice\":\"none\"", "tools", "must be an array, not an object"},
		{"\"tools\":[7],\"tool_choice\":\"none\"", "tools[0]", "is no function; it needs {\"type\""},
		{"\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"none\"", "tools[0]", "is no function"},
	};

	for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++)
		refused(API_CHAT, wrong[i].field, wrong[i].param, wrong[i].words);
	static const char *const taken[] = {"\"tool_choice\":\"none\"", "\"tool_choice\":\"auto\"",
		"\"tool_choice\":null", "\"tools\":[]", "\"tools\":[],\"tool_choice\":\"auto\"",
		"\"function_call\":\"auto\""};
	for (uint32_t i = 0; i < ARRAY_LEN(taken); i++) {
		chat(taken[i]);
		assert_null(r.tools_json);
	}
	/* Not to be called: shown to the template. */
	chat(TOOL ",\"tool_choice\":\"none\"");
	assert_string_equal(r.tools_json, "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]");
	chat("\"functions\":[{\"name\":\"g\"}],\"function_call\":\"none\"");
	assert_string_equal(r.tools_json, "[{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]");
	refused(API_COMPLETION, TOOL ",\"tool_choice\":\"none\"", "tools", "not supported yet; leave it out");
}

static void variables_of_the_template_reach_it(void **state)
{
	(void)state;
	chat("\"reasoning_effort\":\"low\",\"documents\":[{\"text\":\"a\"}],\"enable_thinking\":true");
	assert_string_equal(r.kwargs_json,
		"{\"documents\":[{\"text\":\"a\"}],\"reasoning_effort\":\"low\",\"enable_thinking\":true}");
	chat("\"reasoning_effort\":\"none\"");
	assert_string_equal(r.kwargs_json, "{\"reasoning_effort\":\"none\",\"enable_thinking\":false}");
	chat("\"reasoning_effort\":\"low\",\"chat_template_kwargs\":{\"reasoning_effort\":7,\"x\":1}");
	assert_string_equal(r.kwargs_json, "{\"reasoning_effort\":7,\"x\":1}");
	chat("\"reasoning_effort\":null");
	assert_null(r.kwargs_json);
	refused(API_CHAT, "\"reasoning_effort\":\"banana\"", "reasoning_effort",
		"which is none of \"none\", \"minimal\"");
	refused(API_CHAT, "\"reasoning_effort\":\"hihg\"", "reasoning_effort", "did you mean \"high\"?");
	refused(API_CHAT, "\"reasoning\":{\"effort\":\"lo\"}", "reasoning.effort", "did you mean \"low\"?");
	refused(API_CHAT, "\"reasoning\":\"low\"", "reasoning", "must be an object, not a string");
	refused(API_CHAT, "\"documents\":\"x\"", "documents", "must be an array, not a string");
	refused(API_CHAT, "\"enable_thinking\":1", "enable_thinking", "must be true or false, not an integer");
}

static void a_role_that_is_nearly_one_is_a_mistake_and_others_are_the_template_s(void **state)
{
	(void)state;
	static const struct {
		const char *role, *meant; /* NULL: taken */
	} roles[] = {{"user", NULL}, {"developer", NULL}, {"tool", NULL}, {"function", NULL}, {"ipython", NULL},
		{"my-custom-role", NULL}, {"model", NULL}, {"bot", NULL}, {"human", NULL}, {"User", "user"},
		{"assitant", "assistant"}, {"sytem", "system"}, {"tools", "tool"}, {"ASSISTANT", "assistant"}};
	char body[256];

	for (uint32_t i = 0; i < ARRAY_LEN(roles); i++) {
		snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"%s\",\"content\":\"x\"}]}", roles[i].role);
		e = (struct api_error){0};
		int code = api_request_parse(&r, API_CHAT, body, strlen(body), &arena, &e);
		if ((code == 0) != !roles[i].meant)
			fail_msg("%s: %d %s", roles[i].role, code, e.message);
		assert_true(!roles[i].meant || strstr(strstr(e.message, "did you mean"), roles[i].meant));
	}
	static const char nul[] = "{\"messages\":[{\"role\":\"user\\u0000\",\"content\":\"x\"}]}";
	assert_int_equal(api_request_parse(&r, API_CHAT, nul, sizeof nul - 1, &arena, &e), -EINVAL);
	assert_non_null(strstr(e.message, "NUL"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_whole_number_may_have_a_point_in_every_field),
		TEST(a_fraction_is_no_whole_number_in_any_field),
		TEST(the_limit_of_an_answer_has_four_names_and_no_largest_value),
		TEST(no_token_at_all_is_for_echo_alone),
		TEST(a_byte_order_mark_is_no_text),
		TEST(numbers_of_any_size_are_json),
		TEST(a_nul_does_not_end_a_name),
		TEST(seeds_have_64_bits_signed_or_not_and_minus_one_is_none),
		TEST(all_parts_that_are_text_are_text),
		TEST(histories_of_older_clients_lose_nothing),
		TEST(what_asks_for_another_answer_is_refused_by_name),
		TEST(samplers_of_nvext_are_obeyed_where_the_body_has_none),
		TEST(what_may_be_cached_and_equal_is_asked_for_by_field),
		TEST(a_choice_of_tools_is_what_it_can_be),
		TEST(variables_of_the_template_reach_it),
		TEST(a_role_that_is_nearly_one_is_a_mistake_and_others_are_the_template_s),
		TEST(numbers_out_of_range_are_shown_as_they_were_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
