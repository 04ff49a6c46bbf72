/* What clients read, byte by byte where it matters, over HTTP on a fake clock. */
#include "base/rng.h"
#include "base/utf8.h"
#include "frontend/expect.h"
#include "frontend/keys.h"
#include "text/template.h"
#include "wire/msg.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

static struct world_config config;
static struct world w;
static struct world_client c;

static void start_with(void (*change)(struct world_config *))
{
	world_config_default(&config, 7);
	config.workers = 1;
	if (change)
		change(&config);
	world_init(&w, &config);
	world_wait_workers(&w, config.workers);
}

static int setup(void **state)
{
	(void)state;
	start_with(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_wait_idle(&w);
	world_client_done(&c);
	world_done(&w);
	return 0;
}

static const char *post(const char *path, const char *body)
{
	world_client_done(&c);
	world_post(&w, &c, path, body);
	world_finish(&c);
	assert_true(c.whole);
	return buf_str(&c.body);
}

static const char *get(const char *path)
{
	world_client_done(&c);
	world_send(&w, &c, "GET", path, NULL, NULL);
	world_finish(&c);
	return buf_str(&c.body);
}

/* The answer's JSON, checked to be some; the caller drops it. */
static json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *root = json_loads(text, JSON_ALLOW_NUL, &error);
	if (!root)
		fail_msg("no JSON: %s", text);
	return root;
}

static void replace_id(const char *body, const char *kind, char *ret, size_t cap)
{
	char prefix[32];
	snprintf(prefix, sizeof prefix, "\"id\":\"%s-", kind);
	const char *at = strstr(body, prefix);
	assert_non_null(at);
	at += strlen(prefix);
	snprintf(ret, cap, "%.*s", (int)strcspn(at, "\""), at);
}

static void a_chat_stream_has_openai_s_events_byte_for_byte(void **state)
{
	(void)state;
	char id[64], want[4096];

	struct ll_message messages[] = {{.role = "user", .content = "Hi", .content_len = 2}};
	struct chat_template *t;
	struct tokens prompt = {0};
	struct buf text;
	assert_int_equal(chat_template_load(&t, w.tokenizer, NULL, NULL), 0);
	assert_int_equal(
		chat_render(t, &(struct chat_request){.messages = messages, .message_count = 1, .tokens_max = 999},
			&prompt, NULL),
		0);
	buf_init(&text, 1000);
	assert_string_equal(world_reference(&w, prompt.v, prompt.len, false, 0, 3, false, &text), "length");
	const char *body = post("/v1/chat/completions",
		"{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"temperature\":0,"
		"\"max_completion_tokens\":3,\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	replace_id(body, "chatcmpl", id, sizeof id);
#define HEAD                                                                                                           \
	"data: {\"id\":\"chatcmpl-%s\",\"object\":\"chat.completion.chunk\",\"created\":1767225601,"                   \
	"\"model\":\"mock\",\"choices\":["
#define MIDDLE "},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
	snprintf(want, sizeof want,
		HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"" MIDDLE HEAD
		     "{\"index\":0,\"delta\":{\"content\":\"%c\"" MIDDLE HEAD
		     "{\"index\":0,\"delta\":{\"content\":\"%c\"" MIDDLE HEAD
		     "{\"index\":0,\"delta\":{\"content\":\"%c\"},\"logprobs\":null,\"finish_reason\":\"length\"}],"
		     "\"usage\":null}"
		     "\n\n" HEAD "],\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":3,\"total_tokens\":%u,"
		     "\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\ndata: [DONE]\n\n",
		id, id, text.data[0], id, text.data[1], id, text.data[2], id, prompt.len, prompt.len + 3);
	assert_string_equal(body, want);
	assert_string_equal(world_header(&c, "content-type"), "text/event-stream");
	vec_done(&prompt);
	buf_done(&text);
	chat_template_destroy(t);
}

static void a_chat_answer_is_openai_s_object(void **state)
{
	(void)state;
	json_t *root = json_of(post("/v1/chat/completions", "{\"model\":\"mock\",\"messages\":[{\"role\":\"system\","
							    "\"content\":[{\"type\":\"text\",\"text\":\"Be \"},"
							    "{\"type\":\"text\",\"text\":\"good\"}]},{\"role\":"
							    "\"user\",\"content\":\"Hi\"}],\"seed\":5,\"user\":\"u\","
							    "\"made_up_field\":{\"x\":[1]}}"));
	const char *object, *role, *content, *finish;
	json_int_t prompt, completion, total;

	assert_int_equal(c.status, 200);
	assert_int_equal(json_unpack(root, "{s:s,s:[{s:{s:s,s:s},s:s}],s:{s:I,s:I,s:I}}", "object", &object, "choices",
				 "message", "role", &role, "content", &content, "finish_reason", &finish, "usage",
				 "prompt_tokens", &prompt, "completion_tokens", &completion, "total_tokens", &total),
		0);
	assert_string_equal(object, "chat.completion");
	assert_string_equal(role, "assistant");
	assert_string_equal(finish, "stop");
	assert_int_equal(total, prompt + completion);
	assert_int_equal(completion, strlen(content) + 1); /* bytes, and the end token */
	json_decref(root);
}

static void n_choices_are_those_of_their_seeds(void **state)
{
	(void)state;
	struct buf want;

	json_t *root = json_of(post("/v1/completions",
		"{\"model\":\"mock\",\"prompt\":\"Tell me\",\"n\":3,\"seed\":11,\"max_tokens\":20}"));
	json_t *choices = json_object_get(root, "choices");
	assert_int_equal(json_array_size(choices), 3);
	for (uint32_t i = 0; i < 3; i++) {
		const json_t *choice = json_array_get(choices, i);
		buf_init(&want, 1000);
		const char *finish =
			world_reference_text(&w, "Tell me", true, i ? rng_keyed_u64(11, i) : 11, 20, &want);
		assert_int_equal(json_integer_value(json_object_get(choice, "index")), i);
		assert_string_equal(json_string_value(json_object_get(choice, "text")), buf_str(&want));
		assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")), finish);
		buf_done(&want);
	}
	json_decref(root);
}

static void several_prompts_are_several_choices_and_echo_repeats_them(void **state)
{
	(void)state;
	static const char *const prompts[] = {"One", "Two"};
	struct buf want;

	json_t *root = json_of(post("/v1/completions",
		"{\"model\":\"mock\",\"prompt\":[\"One\",\"Two\"],\"echo\":true,\"temperature\":0,\"max_tokens\":9}"));
	for (uint32_t i = 0; i < 2; i++) {
		buf_init(&want, 1000);
		buf_add_str(&want, prompts[i]);
		world_reference_text(&w, prompts[i], false, 0, 9, &want);
		const json_t *choice = json_array_get(json_object_get(root, "choices"), i);
		assert_string_equal(json_string_value(json_object_get(choice, "text")), buf_str(&want));
		buf_done(&want);
	}
	json_decref(root);
	root = json_of(post("/v1/completions", "{\"model\":\"mock\",\"prompt\":[[72,105],[72]],\"temperature\":0}"));
	assert_int_equal(json_array_size(json_object_get(root, "choices")), 2);
	json_t *usage = json_object_get(root, "usage");
	assert_int_equal(json_integer_value(json_object_get(usage, "prompt_tokens")), 3);
	json_decref(root);
}

/* The text of a completion's choice; the caller's root owns it. */
static const char *text_of_choice(json_t *root, size_t i)
{
	json_t *choice = json_array_get(json_object_get(root, "choices"), i);

	return json_string_value(json_object_get(choice, "text"));
}

static void equal_prompts_are_different_samples_unless_a_seed_is_given(void **state)
{
	(void)state;
	json_t *root = json_of(
		post("/v1/completions", "{\"prompt\":[\"Tell\",\"Tell\"],\"max_tokens\":20,\"ignore_eos\":true}"));
	assert_string_not_equal(text_of_choice(root, 0), text_of_choice(root, 1));
	json_decref(root);
	root = json_of(post("/v1/completions",
		"{\"prompt\":[\"Tell\",\"Tell\"],\"max_tokens\":20,\"ignore_eos\":true,\"seed\":4}"));
	assert_string_equal(text_of_choice(root, 0), text_of_choice(root, 1));
	json_decref(root);
}

static void default_max_tokens_are_sixteen_for_completions(void **state)
{
	(void)state;
	json_t *root = json_of(post("/v1/completions", "{\"prompt\":\"x\",\"ignore_eos\":true}"));
	json_int_t n = json_integer_value(json_object_get(json_object_get(root, "usage"), "completion_tokens"));
	assert_int_equal(n, 16);
	json_decref(root);
}

static void a_stop_string_ends_the_text_before_it_in_streams_and_answers(void **state)
{
	(void)state;
	struct buf text;
	char body[512], stop[8];
	struct world_stream s;

	buf_init(&text, 1000);
	world_reference_text(&w, "Stop me", true, 3, 40, &text);
	assert_true(text.len > 12);
	memcpy(stop, text.data + 6, 4);
	stop[4] = '\0';
	const char *at = strstr(text.data, stop);
	snprintf(body, sizeof body,
		"{\"model\":\"mock\",\"prompt\":\"Stop me\",\"seed\":3,\"max_tokens\":40,\"stop\":[\"zzz\",\"%s\"]}",
		stop);
	json_t *root = json_of(post("/v1/completions", body));
	const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
	const char *got = json_string_value(json_object_get(choice, "text"));
	assert_int_equal(strlen(got), at - text.data);
	assert_memory_equal(got, text.data, strlen(got));
	assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")), "stop");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "usage"), "completion_tokens")),
		at - text.data + 4);
	json_decref(root);
	snprintf(body, sizeof body,
		"{\"model\":\"mock\",\"prompt\":\"Stop "
		"me\",\"seed\":3,\"max_tokens\":40,\"stop\":\"%s\",\"stream\":true}",
		stop);
	post("/v1/completions", body);
	world_stream_read(&s, &c);
	assert_int_equal(s.text[0].len, at - text.data);
	assert_string_equal(s.finish[0], "stop");
	assert_int_equal(s.dones, 1);
	world_stream_done(&s);
	buf_done(&text);
}

static void the_stop_string_is_part_of_the_text_when_that_is_asked_for(void **state)
{
	(void)state;
	struct buf text;
	char body[512], stop[8];

	buf_init(&text, 1000);
	world_reference_text(&w, "Stop me", true, 3, 40, &text);
	memcpy(stop, text.data + 6, 4);
	stop[4] = '\0';
	snprintf(body, sizeof body,
		"{\"prompt\":\"Stop "
		"me\",\"seed\":3,\"max_tokens\":40,\"stop\":\"%s\",\"include_stop_str_in_output\":true}",
		stop);
	json_t *root = json_of(post("/v1/completions", body));
	const char *got = text_of_choice(root, 0);
	assert_int_equal(strlen(got), strstr(text.data, stop) - text.data + 4);
	assert_string_equal(got + strlen(got) - 4, stop);
	json_decref(root);
	buf_done(&text);
}

static void a_stop_token_ends_the_answer_as_the_end_token_does(void **state)
{
	(void)state;
	struct buf text;
	char body[512];

	/* The mock's tokens are bytes. */
	buf_init(&text, 1000);
	world_reference_text(&w, "Stop me", true, 3, 40, &text);
	unsigned token = (unsigned char)text.data[7];
	size_t at = (size_t)(strchr(text.data, (char)token) - text.data);
	snprintf(body, sizeof body,
		"{\"prompt\":\"Stop me\",\"seed\":3,\"max_tokens\":40,\"logprobs\":0,\"stop_token_ids\":[259,%u]}",
		token);
	json_t *root = json_of(post("/v1/completions", body));
	json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
	assert_int_equal(strlen(text_of_choice(root, 0)), at);
	assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")), "stop");
	assert_int_equal(json_array_size(json_object_get(json_object_get(choice, "logprobs"), "tokens")), at);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(root, "usage"), "completion_tokens")), at + 1);
	json_decref(root);
	/* Not before min_tokens. */
	snprintf(body, sizeof body,
		"{\"prompt\":\"Stop me\",\"seed\":3,\"max_tokens\":40,\"min_tokens\":%zu,\"stop_token_ids\":[%u]}",
		at + 1, token);
	root = json_of(post("/v1/completions", body));
	assert_true(strlen(text_of_choice(root, 0)) > at);
	json_decref(root);
	buf_done(&text);
}

static void chat_logprobs_have_token_bytes_and_top(void **state)
{
	(void)state;
	json_t *root = json_of(post("/v1/chat/completions", "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\","
							    "\"content\":\"Hi\"}],\"max_tokens\":4,\"logprobs\":true,"
							    "\"top_logprobs\":2,\"temperature\":0}"));
	json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
	const char *text = json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
	json_t *content = json_object_get(json_object_get(choice, "logprobs"), "content");

	assert_int_equal(json_array_size(content), 4);
	for (uint32_t i = 0; i < 4; i++) {
		json_t *e = json_array_get(content, i), *top = json_object_get(e, "top_logprobs");
		assert_int_equal(json_string_value(json_object_get(e, "token"))[0], text[i]);
		assert_true(json_is_number(json_object_get(e, "logprob")));
		assert_true(json_number_value(json_object_get(e, "logprob")) <= 0);
		assert_int_equal(json_integer_value(json_array_get(json_object_get(e, "bytes"), 0)), text[i]);
		assert_int_equal(json_array_size(top), 2);
		assert_non_null(json_object_get(json_array_get(top, 0), "token"));
	}
	json_decref(root);
}

static void completion_logprobs_are_four_lists(void **state)
{
	(void)state;
	json_t *root = json_of(
		post("/v1/completions", "{\"prompt\":\"Hi\",\"max_tokens\":4,\"logprobs\":1,\"temperature\":0}"));
	json_t *choice = json_array_get(json_object_get(root, "choices"), 0), *lp = json_object_get(choice, "logprobs");
	static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};

	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(json_array_size(json_object_get(lp, names[i])), 4);
	assert_int_equal(json_object_size(json_array_get(json_object_get(lp, "top_logprobs"), 0)), 1);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(json_integer_value(json_array_get(json_object_get(lp, "text_offset"), i)), i);
	json_decref(root);
	/* In a stream each event has its own, and offsets go on. */
	const char *body = post("/v1/completions",
		"{\"prompt\":\"Hi\",\"max_tokens\":2,\"logprobs\":0,\"temperature\":0,\"stream\":true}");
	assert_non_null(strstr(body, "}],\"text_offset\":[0]"));
	assert_non_null(strstr(body, "}],\"text_offset\":[1]"));
}

static void a_prompt_seen_before_is_reported_as_cached(void **state)
{
	(void)state;
	static const char body[] = "{\"prompt\":\"The same long prompt is sent two times over, "
				   "and the second time most of it is there already.\",\"max_tokens\":2}";
	json_int_t cached;

	post("/v1/completions", body);
	json_t *root = json_of(post("/v1/completions", body));
	assert_int_equal(
		json_unpack(root, "{s:{s:{s:I}}}", "usage", "prompt_tokens_details", "cached_tokens", &cached), 0);
	assert_true(cached >= 64);
	json_decref(root);
}

/* Each refused with this status, and a message that has these words. */
static const struct {
	const char *path, *body;
	int status;
	const char *words;
} refusals[] = {
	{"/v1/completions", "", 400, "no body"},
	{"/v1/completions", "[]", 400, "must be a JSON object, not an array"},
	{"/v1/completions", "{\n  \"prompt\": \"x\",\n  \"n\": }", 400, "line 3, column 8"},
	{"/v1/completions", "{\"prompt\":\"a\xff\"}", 400, "invalid UTF-8 at byte offset 12 (byte 0xff)"},
	{"/v1/completions", "{\"prompt\":\"x\",\"model\":\"gpt\"}", 404,
		"the model \\\"gpt\\\" does not exist; there is \\\"mock\\\""},
	{"/v1/completions", "{}", 400, "\\\"prompt\\\" is missing"},
	{"/v1/completions", "{\"messages\":[]}", 400, "go to /v1/chat/completions"},
	{"/v1/completions", "{\"prompt\":[]}", 400, "\\\"prompt\\\" is empty"},
	{"/v1/completions", "{\"prompt\":7}", 400,
		"must be a string, an array of strings, or an array (of arrays) of token ids, not an integer"},
	{"/v1/completions", "{\"prompt\":[\"a\",null]}", 400, "\\\"prompt[1]\\\" must be"},
	{"/v1/completions", "{\"prompt\":[1,2.5]}", 400, "item 1 must be a token id, not a number with a fraction"},
	{"/v1/completions", "{\"prompt\":[1,-2]}", 400, "item 1 is -2, which is no token id"},
	{"/v1/completions", "{\"prompt\":[70000]}", 400, "token id 70000 at place 0; the model has 260 tokens"},
	{"/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":\"5\"}", 400,
		"\\\"max_tokens\\\" must be an integer, not a string"},
	{"/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":0}", 400,
		"\\\"max_tokens\\\" must be 1 or more, or -1 for no limit; 0 is taken"},
	{"/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":-5}", 400, "or -1 for no limit, not -5"},
	{"/v1/completions", "{\"prompt\":\"x\",\"temperature\":3}", 400,
		"\\\"temperature\\\" must be between 0 and 2, not 3"},
	{"/v1/completions", "{\"prompt\":\"x\",\"temperature\":true}", 400,
		"\\\"temperature\\\" must be a number, not true"},
	{"/v1/completions", "{\"prompt\":\"x\",\"n\":17}", 400, "\\\"n\\\" must be between 1 and 16"},
	{"/v1/completions", "{\"prompt\":\"x\",\"stream\":1}", 400,
		"\\\"stream\\\" must be true or false, not an integer"},
	{"/v1/completions", "{\"prompt\":\"x\",\"seed\":1.5}", 400, "\\\"seed\\\" must be an integer"},
	{"/v1/completions", "{\"prompt\":\"x\",\"stop\":5}", 400,
		"\\\"stop\\\" must be a string or an array of strings"},
	{"/v1/completions", "{\"prompt\":\"x\",\"stop\":[\"\"]}", 400, "empty string"},
	{"/v1/completions", "{\"prompt\":\"x\",\"logit_bias\":{\"a\":1}}", 400,
		"the key \\\"a\\\", which is no token id"},
	{"/v1/completions", "{\"prompt\":\"x\",\"logit_bias\":{\"5\":101}}", 400,
		"token 5 must be a number between -100 and 100"},
	{"/v1/completions", "{\"prompt\":\"x\",\"logit_bias\":{\"999\":1}}", 400,
		"the token id 999; the model has 260 tokens"},
	{"/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":3,\"min_tokens\":4}", 400,
		"\\\"min_tokens\\\" is 4 and \\\"max_tokens\\\" only 3"},
	{"/v1/completions", "{\"prompt\":\"x\",\"logprobs\":21}", 400, "\\\"logprobs\\\" must be between 0 and 20"},
	{"/v1/completions", "{\"prompt\":\"x\",\"best_of\":4}", 400, "best_of"},
	{"/v1/completions", "{\"prompt\":\"x\",\"suffix\":\"y\"}", 400, "suffix"},
	{"/v1/completions", "{\"prompt\":\"x\",\"echo\":true,\"logprobs\":1}", 400, "echo"},
	{"/v1/completions", "{\"prompt\":\"x\",\"top_k\":-2}", 400, "\\\"top_k\\\" must be 0 or more, or -1"},
	{"/v1/completions", "{\"prompt\":\"x\",\"guided_choice\":[\"a\",\"b\"]}", 400,
		"\\\"guided_choice\\\" is not supported yet"},
	{"/v1/completions", "{\"prompt\":\"x\",\"structured_outputs\":{\"regex\":\"a*\"}}", 400,
		"\\\"structured_outputs\\\" is not"},
	{"/v1/completions", "{\"prompt\":\"x\",\"prompt_logprobs\":0}", 400, "\\\"prompt_logprobs\\\" is not"},
	{"/v1/completions", "{\"prompt\":\"x\",\"tool_choice\":\"required\"}", 400, "tools are not supported yet"},
	{"/v1/completions", "{\"prompt\":\"x\",\"stop_token_ids\":5}", 400,
		"must be an array of token ids, not an integer"},
	{"/v1/completions", "{\"prompt\":\"x\",\"stop_token_ids\":[\"a\"]}", 400,
		"item 0 must be a token id, not a string"},
	{"/v1/completions", "{\"prompt\":\"x\",\"add_special_tokens\":1}", 400, "must be true or false"},
	{"/v1/completions", "{\"prompt\":\"x\",\"response_format\":{\"type\":\"json_object\"}}", 400,
		"\\\"json_object\\\" is not supported yet"},
	{"/v1/chat/completions", "{\"prompt\":\"x\"}", 400, "a \\\"prompt\\\" goes to /v1/completions"},
	{"/v1/chat/completions", "{\"messages\":[]}", 400, "\\\"messages\\\" is empty"},
	{"/v1/chat/completions", "{\"messages\":\"x\"}", 400, "\\\"messages\\\" must be an array, not a string"},
	{"/v1/chat/completions", "{\"messages\":[5]}", 400, "\\\"messages[0]\\\" must be an object"},
	{"/v1/chat/completions", "{\"messages\":[{\"content\":\"x\"}]}", 400,
		"\\\"messages[0]\\\" needs a \\\"role\\\""},
	{"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\"}]}", 400,
		"\\\"messages[0]\\\" needs a \\\"content\\\""},
	{"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":5}]}", 400,
		"\\\"messages[0].content\\\" must be a string or an array"},
	{"/v1/chat/completions",
		"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_"
		"url\"}]}]}",
		400, "\\\"messages[0].content[1]\\\" is of type \\\"image_url\\\"; this server takes text only"},
	{"/v1/chat/completions",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":\"function\"}]}", 400,
		"\\\"tools\\\" is not supported yet"},
	{"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"top_logprobs\":2}", 400,
		"needs \\\"logprobs\\\""},
	{"/tokenize", "{}", 400, "nothing to tokenize"},
	{"/tokenize", "{\"content\":\"b\",\"prompt\":\"a\"}", 400, "\\\"prompt\\\" and \\\"content\\\" are both given"},
	{"/tokenize", "{\"prompt\":\"\",\"content\":\"\"}", 400, "leave the other out"},
	{"/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"content\":\"y\"}", 400,
		"\\\"content\\\" and \\\"messages\\\" are both given"},
	{"/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"prompt\":\"y\"}", 400,
		"\\\"prompt\\\" and \\\"messages\\\" are both given"},
	{"/tokenize", "{\"messages\":5,\"prompt\":{}}", 400, "are both given"},
	{"/detokenize", "{\"tokens\":\"x\"}", 400, "\\\"tokens\\\" must be an array of token ids, not a string"},
	{"/v1/chat/completion", "{}", 404, "did you mean /v1/chat/completions?"},
	{"/chat/completions", "{}", 404, "did you mean /v1/chat/completions?"},
	{"/v1/v1/completions", "{}", 404, "did you mean /v1/completions?"},
	{"/nothing/like/it", "{}", 404, "the API is at"},
	{"/v1/models", "{}", 405, "/v1/models takes GET, not POST"},
};

static void every_mistake_is_named(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(refusals); i++) {
		const char *body = post(refusals[i].path, refusals[i].body);
		if (c.status != refusals[i].status || !strstr(body, refusals[i].words))
			fail_msg("%s %s\n  got %d %s", refusals[i].path, refusals[i].body, c.status, body);
		json_t *root = json_of(body), *error = json_object_get(root, "error");
		assert_string_equal(json_string_value(json_object_get(error, "type")), "invalid_request_error");
		assert_non_null(json_object_get(error, "param"));
		assert_non_null(json_object_get(error, "code"));
		json_decref(root);
	}
}

static void nesting_past_the_limit_is_refused_with_its_place(void **state)
{
	(void)state;
	char body[300] = "{\"x\":";
	memset(body + 5, '[', 80);
	assert_non_null(strstr(post("/v1/completions", body), "line 1, column 69: nested more than 64 levels deep"));
	assert_int_equal(c.status, 400);
	/* The last that is taken is refused for something else. */
	strcpy(body, "{\"x\":");
	for (size_t i = 0; i < 63; i++)
		body[5 + i] = '[', body[68 + i] = ']';
	strcpy(body + 131, "}");
	assert_null(strstr(post("/v1/completions", body), "nested"));
	strcpy(body + 131, ",\"y\":[]}");
	assert_null(strstr(post("/v1/completions", body), "nested"));
}

static void a_prompt_longer_than_the_context_names_both_numbers(void **state)
{
	(void)state;
	static char body[3000];

	sprintf(body, "{\"prompt\":\"%0*d\"}", 2500, 7);
	const char *answer = post("/v1/completions", body);
	assert_int_equal(c.status, 400);
	if (!strstr(answer,
		    "\"This model's maximum context length is 2048 tokens. However, you requested 2501 tokens (2500 in "
		    "the messages, 1 in the completion). Please reduce the length of the messages or completion.\"") ||
		!strstr(answer, "\"param\":\"prompt\"") || !strstr(answer, "\"code\":\"context_length_exceeded\""))
		fail_msg("%s", answer);
	sprintf(body, "{\"prompt\":[\"a\",\"%0*d\"],\"max_tokens\":700}", 2500, 7);
	answer = post("/v1/completions", body);
	if (!strstr(answer, "you requested 3200 tokens (2500 in the messages, 700 in the completion)") ||
		!strstr(answer, "\"param\":\"prompt[1]\""))
		fail_msg("%s", answer);
	sprintf(body, "{\"messages\":[{\"role\":\"user\",\"content\":\"%0*d\"}],\"max_tokens\":-1}", 2100, 7);
	answer = post("/v1/chat/completions", body);
	if (!strstr(answer, "This model's maximum context length is 2048 tokens. However, you requested 21") ||
		!strstr(answer, ", 1 in the completion)") || !strstr(answer, "\"param\":\"messages\""))
		fail_msg("%s", answer);
}

static void a_chat_far_longer_than_the_context_is_not_counted_to_its_end(void **state)
{
	(void)state;
	static char body[20000];

	sprintf(body, "{\"messages\":[{\"role\":\"user\",\"content\":\"%0*d\"}]}", 9000, 7);
	const char *answer = post("/v1/chat/completions", body);
	assert_int_equal(c.status, 400);
	if (!strstr(answer,
		    "However, you requested at least 4098 tokens (4097 in the messages, 1 in the completion)") ||
		!strstr(answer, "\"code\":\"context_length_exceeded\""))
		fail_msg("%s", answer);
}

static void max_tokens_past_the_context_are_what_is_left(void **state)
{
	(void)state;
	json_t *root = json_of(post("/v1/completions",
		"{\"prompt\":[65,66,67],\"max_tokens\":100000,\"ignore_eos\":true,\"temperature\":0}"));
	json_t *usage = json_object_get(root, "usage");
	assert_int_equal(json_integer_value(json_object_get(usage, "total_tokens")), 2048);
	json_decref(root);
}

static void no_limit_is_what_is_left_of_the_context(void **state)
{
	(void)state;
	static const char *const limits[] = {"-1", "-1.0", "4294967295", "1000000000"};
	char body[200];

	for (uint32_t i = 0; i < ARRAY_LEN(limits); i++) {
		snprintf(body, sizeof body, "{\"prompt\":[65,66.0],\"max_tokens\":%s,\"ignore_eos\":true}", limits[i]);
		json_t *root = json_of(post("/v1/completions", body));
		json_t *usage = json_object_get(root, "usage");
		assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")), 2046);
		json_decref(root);
	}
}

static void no_token_with_echo_is_the_prompt_alone(void **state)
{
	(void)state;
	struct world_stream s;
	static const char fields[] = "{\"prompt\":[\"One\",\"Two\"],\"n\":2,\"echo\":true,\"max_tokens\":0%s}";
	char body[256];

	snprintf(body, sizeof body, fields, "");
	json_t *root = json_of(post("/v1/completions", body));
	assert_int_equal(c.status, 200);
	for (uint32_t i = 0; i < 4; i++) {
		json_t *choice = json_array_get(json_object_get(root, "choices"), i);
		assert_string_equal(json_string_value(json_object_get(choice, "text")), i < 2 ? "One" : "Two");
		assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")), "length");
	}
	json_t *usage = json_object_get(root, "usage");
	assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")), 0);
	assert_true(json_integer_value(json_object_get(usage, "prompt_tokens")) >= 6);
	json_decref(root);
	snprintf(body, sizeof body, fields, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
	post("/v1/completions", body);
	world_stream_read(&s, &c);
	assert_string_equal(buf_str(&s.text[3]), "Two");
	assert_string_equal(s.finish[3], "length");
	assert_int_equal(s.dones, 1);
	assert_int_equal(s.usages, 1);
	world_stream_done(&s);
}

static void large_bodies_are_parsed_off_the_loop_all_the_same(void **state)
{
	(void)state;
	static char body[200000];

	sprintf(body, "{\"prompt\":\"%0*d\",\"n\":}", 150000, 7);
	assert_non_null(strstr(post("/v1/completions", body), "line 1, column 1500"));
	sprintf(body, "{\"prompt\":\"%0*d\"}", 150000, 7);
	assert_non_null(strstr(post("/v1/completions", body), "context_length_exceeded"));
	/* And a client that leaves meanwhile harms nobody. */
	for (uint64_t us = 0; us < 1500; us += 50) {
		world_client_done(&c);
		world_post(&w, &c, "/v1/completions", body);
		sim_run_for(w.sim, us);
		world_leave(&c);
		sim_run_for(w.sim, 10000);
	}
}

static void what_echo_repeats_is_a_json_string_whatever_is_in_it(void **state)
{
	(void)state;
	static const char *const prompts[] = {"\"q\\\"\\\\ \\n\\u0001 \xc3\xbc\"", "[113,34,92,10,1,195,188]"};
	static const char *const texts[] = {"q\"\\ \n\x01 \xc3\xbc", "q\"\\\n\x01\xc3\xbc"};
	char body[200];

	for (uint32_t i = 0; i < 2; i++) {
		struct world_stream s;
		snprintf(body, sizeof body, "{\"prompt\":%s,\"echo\":true,\"max_tokens\":0}", prompts[i]);
		json_t *a = json_of(post("/v1/completions", body));
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(json_object_get(a, "choices"), 0), "text")),
			texts[i]);
		json_decref(a);
		snprintf(body, sizeof body, "{\"prompt\":%s,\"echo\":true,\"max_tokens\":1,\"stream\":true}",
			prompts[i]);
		post("/v1/completions", body);
		world_stream_read(&s, &c);
		assert_memory_equal(buf_str(&s.text[0]), texts[i], strlen(texts[i]));
		world_stream_done(&s);
	}
}

static void request_ids_are_echoed_when_they_are_harmless(void **state)
{
	(void)state;
	world_send(&w, &c, "POST", "/v1/completions", "x-request-id: my-id-7\r\n", "{\"prompt\":\"x\"}");
	world_finish(&c);
	assert_string_equal(world_header(&c, "x-request-id"), "my-id-7");
	world_client_done(&c);
	world_send(&w, &c, "POST", "/v1/completions", "x-request-id: two words\r\n", "{\"prompt\":\"x\"}");
	world_finish(&c);
	assert_memory_equal(world_header(&c, "x-request-id"), "req-", 4);
}

static void models_are_listed_and_found(void **state)
{
	(void)state;
	json_t *root = json_of(get("/v1/models"));
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(json_object_get(root, "data"), 0), "id")), "mock");
	json_decref(root);
	root = json_of(get("/v1/models/mock"));
	assert_int_equal(json_integer_value(json_object_get(root, "max_model_len")), 2048);
	assert_string_equal(json_string_value(json_object_get(root, "root")), "mock");
	json_decref(root);
	get("/v1/models/other");
	assert_int_equal(c.status, 404);
}

static void text_goes_to_tokens_and_back(void **state)
{
	(void)state;
	assert_string_equal(post("/tokenize", "{\"prompt\":\"Hi\",\"add_special_tokens\":false}"),
		"{\"tokens\":[72,105],\"count\":2,\"max_model_len\":2048,\"token_strs\":null}");
	assert_string_equal(
		post("/detokenize", "{\"tokens\":[72,195,182,105]}"), "{\"prompt\":\"Höi\",\"content\":\"Höi\"}");
	assert_non_null(strstr(post("/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"), "258"));
	assert_string_equal(
		post("/tokenize", "{\"prompt\":\"H\xc3\xb6\",\"add_special_tokens\":false,\"return_token_strs\":true}"),
		"{\"tokens\":[72,195,182],\"count\":3,\"max_model_len\":2048,\"token_strs\":[\"H\",\"\xef\xbf\xbd\","
		"\"\xef\xbf\xbd\"]}");
	/* Control tokens have their names, and break a character off. */
	assert_string_equal(post("/detokenize", "{\"tokens\":[72,195,257,182]}"),
		"{\"prompt\":\"H\xef\xbf\xbd<|eos|>\xef\xbf\xbd\",\"content\":\"H\xef\xbf\xbd<|eos|>\xef\xbf\xbd\"}");
}

/* A worker that shakes hands and then says nothing, as one whose process was stopped; or no more than that it is there. */
static struct mute {
	struct env_listener *listener;
	struct env_conn *conn;
	bool pongs, answers;
	uint32_t pings;
	const char *model; /* NULL: "mock" */
	uint64_t tokenizer_hash; /* 0: that of the tokenizer it names */
	enum msg_type says; /* to a request: MSG_DONE or MSG_REFUSE with these; 0: nothing */
	struct msg_done done;
	struct msg_refuse refuse;
} mute;

static void mute_closed(void *ctx, int code)
{
	(void)ctx, (void)code;
	mute.conn = NULL;
}

static void mute_says(const struct frame *request)
{
	struct arena a;
	struct msg_request m;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, 4096);
	assert_int_equal(msg_decode(request, &a, &m, NULL), 0);
	mute.done.id = m.id;
	assert_int_equal(msg_encode(&out, mute.says,
				 mute.says == MSG_DONE ? (const void *)&mute.done : (const void *)&mute.refuse),
		0);
	env_conn_write(w.env, mute.conn, out.data, out.len);
	buf_done(&out);
	arena_done(&a);
}

static void mute_data(void *ctx, const uint8_t *data, size_t len)
{
	const struct msg_pong pong = {0};
	struct frame f;
	struct buf out;

	(void)ctx;
	/* Frames come whole here, but for a request that does not matter. */
	if (frame_next(data, len, &f, NULL) <= 0)
		return;
	if (f.type == MSG_REQUEST && mute.says)
		mute_says(&f);
	if (f.type != MSG_PING)
		return;
	mute.pings++;
	buf_init(&out, 64);
	assert_int_equal(msg_encode(&out, MSG_PONG, &pong), 0);
	if (mute.answers)
		env_conn_write(w.env, mute.conn, out.data, out.len);
	buf_done(&out);
}

static void mute_accept(void *ctx, struct env_conn *conn)
{
	static const struct env_conn_ops ops = {.on_data = mute_data, .on_closed = mute_closed};
	const struct msg_hello hello = {
		.major = WIRE_MAJOR, .minor = WIRE_MINOR, .software = msg_str("mute"), .role = msg_str("worker")};
	const struct msg_card card = {.worker = msg_str("mute"),
		.model = msg_str(mute.model ? mute.model : "mock"),
		.tokenizer = msg_str("byte"),
		.tokenizer_hash = mute.tokenizer_hash ? mute.tokenizer_hash : 0x62797465,
		.block_size = 16,
		.blocks = 100,
		.seqs_max = 8,
		.context_max = 2048,
		.pongs = mute.pongs};
	struct buf out;

	(void)ctx;
	mute.conn = conn;
	env_conn_attach(w.env, conn, &ops, NULL);
	buf_init(&out, 4096);
	assert_int_equal(msg_encode(&out, MSG_HELLO, &hello) | msg_encode(&out, MSG_CARD, &card), 0);
	env_conn_write(w.env, conn, out.data, out.len);
	buf_done(&out);
}

static void mute_listen(const char *addr)
{
	static const struct env_listener_ops ops = {.on_accept = mute_accept};

	assert_int_equal(env_listen(w.env, addr, &ops, NULL, &mute.listener, NULL), 0);
}

static void mute_done(void)
{
	env_listener_close(w.env, mute.listener);
	if (mute.conn)
		env_conn_close(w.env, mute.conn);
}

static uint32_t prompt_tokens_of(const char *body)
{
	json_t *root = json_of(post("/v1/completions", body));
	assert_int_equal(c.status, 200);
	json_int_t n = json_integer_value(json_object_get(json_object_get(root, "usage"), "prompt_tokens"));
	json_decref(root);
	return (uint32_t)n;
}

static void control_tokens_of_a_raw_prompt_are_tokens_unless_it_says_no(void **state)
{
	(void)state;
	static const char prompt[] = "<|im_start|>user\\nHi<|im_end|>";
	char body[256];

	snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"max_tokens\":1}", prompt);
	assert_int_equal(prompt_tokens_of(body), 1 + 5 + 2 + 1);
	snprintf(body, sizeof body, "{\"prompt\":[\"a\",\"%s\"],\"max_tokens\":1,\"parse_special\":true}", prompt);
	assert_int_equal(prompt_tokens_of(body), 1 + 1 + 5 + 2 + 1);
	snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"max_tokens\":1,\"parse_special\":false}", prompt);
	assert_int_equal(prompt_tokens_of(body), 12 + 5 + 2 + 10);
	/* The same tokens as when they are sent as ids. */
	json_t *a = json_of(post("/v1/completions", "{\"prompt\":\"<|im_end|>Hi\",\"temperature\":0,\"max_tokens\":9,"
						    "\"ignore_eos\":true}"));
	json_t *b = json_of(post("/v1/completions", "{\"prompt\":[259,72,105],\"temperature\":0,\"max_tokens\":9,"
						    "\"ignore_eos\":true}"));
	assert_string_equal(text_of_choice(a, 0), text_of_choice(b, 0));
	json_decref(a);
	json_decref(b);
	a = json_of(post("/v1/completions", "{\"prompt\":\"<|im_end|>Hi\",\"echo\":true,\"max_tokens\":0}"));
	assert_string_equal(text_of_choice(a, 0), "<|im_end|>Hi");
	json_decref(a);
	assert_non_null(strstr(post("/v1/completions", "{\"prompt\":\"x\",\"parse_special\":1}"),
		"\\\"parse_special\\\" must be true or false"));
}

static void a_message_never_names_a_control_token(void **state)
{
	(void)state;
	static const char *const bodies[] = {
		"{\"messages\":[{\"role\":\"user\",\"content\":\"<|im_end|>\"}]%s}",
		"{\"messages\":[{\"role\":\"user\",\"content\":[\"<|im\",{\"type\":\"text\",\"text\":\"_end|>\"}]}]%s}",
		"{\"messages\":[{\"role\":\"<|im_end|>\",\"content\":\"x\"}]%s}",
	};
	char body[256];

	for (uint32_t i = 0; i < ARRAY_LEN(bodies); i++) {
		for (uint32_t k = 0; k < 2; k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(body, sizeof body, bodies[i], k ? ",\"parse_special\":true" : "");
#pragma GCC diagnostic pop
			const char *tokens = post("/tokenize", body);
			if (k) /* that is not ignored in silence */
				assert_int_equal(c.status, 400);
			else if (c.status == 200 && strstr(strstr(tokens, "259") + 3, "259"))
				fail_msg("%s: %s", body, tokens); /* one <|im_end|> is the template's */
		}
	}
}

static void no_raw_specials(struct world_config *config_)
{
	config_->frontend.raw_specials = false;
}

static void an_operator_can_keep_control_tokens_out_of_raw_prompts(void **state)
{
	(void)state;
	start_with(no_raw_specials);
	assert_int_equal(prompt_tokens_of("{\"prompt\":\"<|im_end|>\",\"max_tokens\":1}"), 10);
	assert_int_equal(prompt_tokens_of("{\"prompt\":\"<|im_end|>\",\"max_tokens\":1,\"parse_special\":false}"), 10);
	assert_non_null(strstr(post("/v1/completions", "{\"prompt\":\"x\",\"parse_special\":true}"),
		"its operator can allow them with raw-control-tokens"));
	assert_int_equal(c.status, 400);
	assert_non_null(strstr(post("/tokenize", "{\"content\":\"<|im_end|>\"}"), "\"count\":10,"));
}

#define TAIL "\"max_model_len\":2048,\"token_strs\":null}"

static void text_is_tokenized_in_the_form_it_is_asked_for(void **state)
{
	(void)state;
	static const struct {
		const char *body, *want;
	} tries[] = {
		{"{\"content\":\"a<|eos|>\"}", "{\"tokens\":[97,257],\"count\":2," TAIL},
		{"{\"prompt\":\"a<|eos|>\"}", "{\"tokens\":[97,257],\"count\":2," TAIL},
		{"{\"content\":\"<|\",\"parse_special\":false,\"add_special\":true}",
			"{\"tokens\":[60,124],\"count\":2," TAIL},
		{"{\"content\":\"\xc3\xb6<|eos|>\",\"with_pieces\":true}",
			"{\"tokens\":[{\"id\":195,\"piece\":[195]},{\"id\":182,\"piece\":[182]},{\"id\":257,\"piece\":"
			"\"<|eos|>\"}],\"count\":3," TAIL},
		{"{\"prompt\":\"\"}", "{\"tokens\":[],\"count\":0," TAIL},
		{"{\"prompt\":null,\"content\":\"k\",\"messages\":null}", "{\"tokens\":[107],\"count\":1," TAIL},
		{"{\"content\":\"\",\"with_pieces\":true,\"return_token_strs\":true}",
			"{\"tokens\":[],\"count\":0,\"max_model_len\":2048,\"token_strs\":[]}"},
	};

	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++)
		assert_string_equal(post("/tokenize", tries[i].body), tries[i].want);
	assert_non_null(strstr(post("/tokenize", "{\"content\":\"<|eos|>\",\"parse_special\":false}"), "\"count\":7,"));
	assert_non_null(strstr(post("/tokenize", "{\"content\":\"x\",\"add_special\":\"no\"}"),
		"\\\"add_special\\\" must be true or false, not a string"));
	assert_non_null(strstr(post("/detokenize", "{\"tokens\":[72.0,105]}"), "\"prompt\":\"Hi\""));
	assert_non_null(strstr(post("/detokenize", "{\"tokens\":[72,99999999]}"),
		"the token id 99999999 at place 1; the model has 260 tokens"));
	assert_int_equal(c.status, 400);
}

static void health_says_what_is_missing(void **state)
{
	(void)state;
	assert_non_null(strstr(get("/health"), "\"status\":\"ok\""));
	assert_int_equal(c.status, 200);
	world_worker_kill(&w, 0);
	world_wait_workers(&w, 0);
	assert_non_null(strstr(get("/ready"), "\"status\":\"waiting for workers\""));
	assert_int_equal(c.status, 503);
	get("/live");
	assert_int_equal(c.status, 200);
	world_worker_start(&w, 0);
	world_wait_workers(&w, 1);
	get("/health");
	assert_int_equal(c.status, 200);
}

static void count_ready(void *ctx)
{
	(*(int *)ctx)++;
}

static char hopeless_why[512];
static void note_hopeless(void *ctx, const char *why)
{
	(*(int *)ctx)++;
	snprintf(hopeless_why, sizeof hopeless_why, "%s", why);
}

/* The first worker is up, others are to come: small needs two, large one. */
static void expect_start(const char *const *expect, uint32_t len)
{
	world_config_default(&config, 7);
	config.workers = 4;
	config.frontend.expect = expect;
	config.frontend.expect_len = len;
	world_init(&w, &config);
	for (uint32_t i = 0; i < 4; i++)
		world_worker_kill(&w, i);
	w.model = "small";
	world_worker_start(&w, 0);
	world_wait_workers(&w, 1);
}

static void ready_means_every_model_that_is_expected(void **state)
{
	static const char *const expect[] = {"small=1", "large=1", "small=1", "spare=0"};
	int ready = 0;

	(void)state;
	expect_start(expect, 4);
	frontend_when_ready(w.fe, 1, count_ready, &ready);
	assert_non_null(strstr(get("/ready"), "\"missing\":[\"small\",\"large\"]"));
	assert_int_equal(c.status, 503);
	assert_non_null(world_header(&c, "retry-after"));
	/* Not 404: it is to come, and clients that are told so come again. */
	assert_non_null(strstr(post("/v1/completions", "{\"model\":\"large\",\"prompt\":\"x\"}"), "up yet"));
	assert_int_equal(c.status, 503);
	assert_non_null(world_header(&c, "retry-after"));
	post("/tokenize", "{\"model\":\"large\",\"prompt\":\"x\"}");
	assert_int_equal(c.status, 503);
	get("/v1/models/large");
	assert_int_equal(c.status, 503);
	post("/v1/completions", "{\"model\":\"spare\",\"prompt\":\"x\"}");
	assert_int_equal(c.status, 503);
	post("/v1/completions", "{\"model\":\"tiny\",\"prompt\":\"x\"}");
	assert_int_equal(c.status, 404);
	/* The one that is there is not meant by a request without a name. */
	assert_non_null(strstr(post("/v1/completions", "{\"prompt\":\"x\"}"), "\\\"large\\\""));
	assert_int_equal(c.status, 400);
	post("/v1/completions", "{\"model\":\"small\",\"prompt\":\"x\"}");
	assert_int_equal(c.status, 200);
	w.model = "large";
	world_worker_start(&w, 1);
	world_wait_workers(&w, 2);
	assert_non_null(strstr(get("/health"), "\"missing\":[\"small\"]"));
	assert_int_equal(c.status, 503);
	assert_int_equal(ready, 0);
	w.model = "small";
	world_worker_start(&w, 2);
	world_wait_workers(&w, 3);
	assert_non_null(strstr(get("/ready"), "\"status\":\"ok\",\"requests\":0,\"missing\":[]"));
	assert_int_equal(c.status, 200);
	assert_int_equal(ready, 1);
	/* Once ready it takes a model's last worker to make it say no. */
	world_worker_kill(&w, 0);
	world_wait_workers(&w, 2);
	assert_non_null(strstr(get("/ready"), "\"missing\":[\"small\"]"));
	assert_int_equal(c.status, 200);
	world_worker_kill(&w, 1);
	world_wait_workers(&w, 1);
	get("/ready");
	assert_int_equal(c.status, 503);
	w.model = "large";
	world_worker_start(&w, 1);
	world_wait_workers(&w, 2);
	get("/ready");
	assert_int_equal(c.status, 200);
	assert_int_equal(ready, 1);
}

static void a_worker_that_can_never_be_used_is_told_before_it_is_waited_for(void **state)
{
	static const char *const expect[] = {"small=2"}, *const anyone[] = {"small=0"};
	int hopeless = 0;

	(void)state;
	expect_start(expect, 1);
	frontend_when_hopeless(w.fe, note_hopeless, &hopeless);
	sim_run_for(w.sim, 1000000);
	assert_int_equal(hopeless, 0);
	mute = (struct mute){.model = "small", .tokenizer_hash = 4711};
	mute_listen(w.workers[1].addr);
	sim_run_for(w.sim, 5000000);
	assert_int_equal(hopeless, 1);
	assert_non_null(strstr(hopeless_why, "the worker \"mute\" cannot be used: its tokenizer differs"));
	mute_done();
	world_done(&w);
	/* Where others are to be served without it, nobody is told to give up. */
	expect_start(anyone, 1);
	frontend_when_hopeless(w.fe, note_hopeless, &hopeless);
	mute = (struct mute){.model = "small", .tokenizer_hash = 4711};
	mute_listen(w.workers[1].addr);
	sim_run_for(w.sim, 5000000);
	assert_int_equal(hopeless, 1);
	mute_done();
}

static void expectations_that_are_none_are_refused(void **state)
{
	static const char *const wrong[] = {
		"", "small", "=2", "small=", "small=-1", "small=1025", "small=two", "a=1 ", "a= 1"};
	static const char *const right[] = {"a=b=2", "a,b=0", "x=1024"};
	struct expect e;
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(expect_init(&e, &wrong[i], 1, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "NAME=COUNT"));
	}
	assert_int_equal(expect_init(&e, right, ARRAY_LEN(right), &err), 0);
	assert_int_equal(expect_find(&e, "a=b")->workers, 2);
	assert_int_equal(expect_find(&e, "a,b")->workers, 0);
	assert_null(expect_find(&e, "a"));
	expect_done(&e);
	world_config_default(&config, 7);
	config.frontend.expect = wrong;
	config.frontend.expect_len = 2;
	assert_true(world_try_init(&w, &config, &err) < 0);
	assert_non_null(strstr(err.msg, "could not read the expected models"));
	start_with(NULL);
}

static void metrics_count_what_happened(void **state)
{
	(void)state;
	post("/v1/completions", "{\"prompt\":[1,2,3],\"max_tokens\":5,\"ignore_eos\":true}");
	post("/v1/completions", "{\"prompt\":4}");
	const char *text = get("/metrics");
	static const char *const lines[] = {
		"stator_requests_total{model=\"mock\",endpoint=\"completions\",status=\"200\"} 1\n",
		"stator_requests_total{model=\"\",endpoint=\"completions\",status=\"400\"} 1\n",
		"stator_requests_running 0\n",
		"stator_prompt_tokens_total{model=\"mock\"} 3\n",
		"stator_generated_tokens_total{model=\"mock\"} 5\n",
		"stator_ttft_seconds_count{model=\"mock\"} 1\n",
		"stator_worker_up{model=\"mock\",worker=\"mock-0\"} 1\n",
		"stator_worker_dispatched_total{model=\"mock\",worker=\"mock-0\"} 1\n",
		"stator_kv_cells{model=\"mock\",worker=\"mock-0\"} 4096\n",
	};
	for (uint32_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!strstr(text, lines[i]))
			fail_msg("missing: %s\n%s", lines[i], text);
	assert_string_equal(world_header(&c, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
	/* Counters exist from the first event on, so a worker that never drifted has none. */
	const char *drift = strstr(text, "stator_kv_mismatches_total{");
	assert_true(!drift || strstr(drift, "} 0\n"));
}

static void a_lost_worker_ends_a_stream_with_an_error_event(void **state)
{
	(void)state;
	struct world_stream s;

	world_post(&w, &c, "/v1/completions",
		"{\"prompt\":\"x\",\"max_tokens\":1000,\"ignore_eos\":true,\"stream\":true}");
	sim_run_for(w.sim, 50000);
	world_worker_kill(&w, 0);
	world_finish(&c);
	assert_true(c.whole);
	world_stream_read(&s, &c);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.dones, 0);
	assert_true(s.text[0].len > 5);
	assert_non_null(strstr(s.error, "the worker \"mock-0\" was lost while it answered"));
	assert_non_null(strstr(buf_str(&c.body), "\"type\":\"server_error\""));
	world_stream_done(&s);
	/* And one that has said nothing yet ends with a status. */
	world_worker_start(&w, 0);
	world_wait_workers(&w, 1);
	world_client_done(&c);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1000,\"ignore_eos\":true}");
	sim_run_for(w.sim, 50000);
	world_worker_kill(&w, 0);
	world_finish(&c);
	assert_int_equal(c.status, 503);
	assert_string_equal(world_header(&c, "retry-after"), "1");
}

static void a_slow_reader_never_stops_the_worker(void **state)
{
	(void)state;
	struct frontend_counts counts;
	struct world_stream s;

	world_post(&w, &c, "/v1/completions",
		"{\"prompt\":[65],\"max_tokens\":2000,\"ignore_eos\":true,\"stream\":true,\"temperature\":0}");
	sim_run_for(w.sim, 3000);
	env_conn_pause(w.env, c.conn, true);
	sim_run_for(w.sim, 10000000);
	/* The worker has long been done; only the reader holds things up, with what its sockets hold and no more text. */
	frontend_counts(w.fe, &counts);
	assert_int_equal(counts.flights, 0);
	assert_int_equal(counts.requests, 1);
	env_conn_pause(w.env, c.conn, false);
	world_finish(&c);
	world_stream_read(&s, &c);
	assert_int_equal(s.text[0].len, 2000);
	assert_int_equal(s.dones, 1);
	world_stream_done(&s);
}

#define MANY_LOGPROBS                                                                                                  \
	"{\"prompt\":[65],\"max_tokens\":2000,\"ignore_eos\":true,\"stream\":true,\"temperature\":0,\"logprobs\":20}"
static void what_a_reader_that_does_not_read_holds_is_bounded(void **state)
{
	(void)state;
	struct frontend_counts counts;
	struct world_stream s;

	world_config_default(&config, 7);
	config.workers = 1;
	config.frontend.http.unread_bytes_max = 256 * 1024;
	config.sim.socket_bytes = 16 * 1024;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	/* 2,000 tokens with 20 log-probabilities each are 336 KB. */
	world_post(&w, &c, "/v1/completions", MANY_LOGPROBS);
	sim_run_for(w.sim, 3000);
	env_conn_pause(w.env, c.conn, true);
	sim_run_for(w.sim, 10000000);
	frontend_counts(w.fe, &counts);
	assert_int_equal(counts.requests, 0);
	assert_int_equal(worker_counts(w.workers[0].worker).requests, 0);
	env_conn_pause(w.env, c.conn, false);
	world_finish(&c);
	assert_true(c.whole);
	world_stream_read(&s, &c);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.dones, 0);
	assert_non_null(strstr(buf_str(&c.body), "\"client_too_slow\""));
	assert_true(s.text[0].len > 0);
	world_stream_done(&s);
	/* One that reads, slower than tokens come but always on, has all of it: what was rendered makes room. */
	world_client_done(&c);
	world_post(&w, &c, "/v1/completions", MANY_LOGPROBS);
	while (c.conn) {
		env_conn_pause(w.env, c.conn, true);
		sim_run_for(w.sim, 120000);
		if (c.conn)
			env_conn_pause(w.env, c.conn, false);
		sim_run_for(w.sim, 500);
	}
	world_finish(&c);
	world_stream_read(&s, &c);
	assert_int_equal(s.text[0].len, 2000);
	assert_int_equal(s.dones, 1);
	world_stream_done(&s);
}

/* Many, of which each is within its bound: the largest end, the small ones go on, and whole answers count too. */
static void all_unread_answers_have_one_bound(void **state)
{
	(void)state;
	enum { CLIENTS = 10 };
	struct world_client many[CLIENTS] = {0};
	struct frontend_counts counts;
	uint32_t small = 0, large = 0;

	world_config_default(&config, 7);
	config.workers = 1;
	config.mock.cells = 65536;
	config.frontend.http.unread_total_max = 1024 * 1024;
	world_init(&w, &config);
	world_wait_workers(&w, 1);
	for (int i = 0; i < CLIENTS; i++) {
		world_post(&w, &many[i], "/v1/completions",
			i % 2 ? MANY_LOGPROBS
			      : "{\"prompt\":[65],\"max_tokens\":1900,\"ignore_eos\":true,\"stream\":true,"
				"\"temperature\":0}");
		sim_run_for(w.sim, 2000);
		env_conn_pause(w.env, many[i].conn, true);
	}
	sim_run_for(w.sim, 20000000);
	frontend_counts(w.fe, &counts);
	for (int i = 0; i < CLIENTS; i++) {
		struct world_stream s;
		env_conn_pause(w.env, many[i].conn, false);
		world_finish(&many[i]);
		world_stream_read(&s, &many[i]);
		small += i % 2 == 0 && s.dones && s.text[0].len == 1900;
		large += i % 2 && s.dones;
		assert_int_equal(s.dones + s.errors, 1);
		world_stream_done(&s);
		world_client_done(&many[i]);
	}
	assert_int_equal(small, CLIENTS / 2);
	assert_in_range(large, 1, CLIENTS / 2 - 1);
	/* An answer that is collected whole: 16 choices of 2,000 tokens are 5 MB. */
	post("/v1/completions", "{\"prompt\":[65],\"max_tokens\":2000,\"ignore_eos\":true,\"n\":16,\"logprobs\":20}");
	assert_int_equal(c.status, 503);
	assert_non_null(strstr(buf_str(&c.body), "\"answer_too_large\""));
}

#define LARGE_WHOLE "{\"prompt\":[65],\"max_tokens\":400,\"ignore_eos\":true,\"n\":8,\"logprobs\":20,\"temperature\":0}"

/* Was the answer made by a job, with nothing left at the worker? Its client stays, or leaves in the middle of that job. */
static bool made_in_a_job(bool leaves)
{
	struct frontend_counts counts = {.requests = 1};
	bool flew = false, seen = false;

	world_post(&w, &c, "/v1/completions", LARGE_WHOLE);
	for (int i = 0; i < 2000000 && (counts.requests || !flew); i++) {
		sim_step(w.sim);
		frontend_counts(w.fe, &counts);
		flew |= counts.flights > 0;
		seen |= flew && !counts.flights && counts.requests && counts.jobs;
		if (seen && leaves)
			break;
	}
	return seen;
}

static void a_large_whole_answer_is_made_on_a_text_thread(void **state)
{
	(void)state;
	assert_true(made_in_a_job(false));
	world_finish(&c);
	assert_int_equal(c.status, 200);
	json_t *root = json_loads(buf_str(&c.body), 0, NULL);
	json_t *choices = json_object_get(root, "choices");
	assert_int_equal(json_array_size(choices), 8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(json_array_size(json_object_get(
					 json_object_get(json_array_get(choices, i), "logprobs"), "tokens")),
			400);
	json_decref(root);
	world_client_done(&c);
	assert_true(made_in_a_job(true));
	world_leave(&c);
	world_wait_idle(&w);
}

static void a_client_that_leaves_frees_the_worker_at_once(void **state)
{
	(void)state;
	struct frontend_counts counts;

	world_post(&w, &c, "/v1/completions",
		"{\"prompt\":\"x\",\"max_tokens\":2000,\"ignore_eos\":true,\"stream\":true}");
	sim_run_for(w.sim, 20000);
	frontend_counts(w.fe, &counts);
	assert_int_equal(counts.flights, 1);
	world_leave(&c);
	sim_run_for(w.sim, 5000); /* some steps of about a millisecond */
	frontend_counts(w.fe, &counts);
	assert_int_equal(counts.flights + counts.requests, 0);
	assert_int_equal(worker_counts(w.workers[0].worker).requests, 0);
}

static void no_worker_at_all_is_503_with_retry_after(void **state)
{
	(void)state;
	world_config_default(&config, 1);
	config.workers = 0;
	world_init(&w, &config);
	assert_non_null(
		strstr(post("/v1/completions", "{\"prompt\":\"x\",\"model\":\"m\"}"), "no worker has connected yet"));
	assert_int_equal(c.status, 503);
	assert_string_equal(world_header(&c, "retry-after"), "1");
	assert_string_equal(get("/v1/models"), "{\"object\":\"list\",\"data\":[]}");
}

static void keys_are_asked_for_where_they_must_be(void **state)
{
	(void)state;
	struct api_keys *keys;

	static const char text[] = "# ours\n\n  key-one \r\nkey-two";
	assert_int_equal(api_keys_parse(&keys, text, strlen(text), NULL), 0);
	world_config_default(&config, 1);
	config.frontend.keys = keys;
	world_init(&w, &config);
	world_wait_workers(&w, 2);
	get("/v1/models");
	assert_int_equal(c.status, 401);
	assert_non_null(strstr(buf_str(&c.body), "invalid_api_key"));
	get("/health");
	assert_int_equal(c.status, 200);
	static const struct {
		const char *header;
		int status;
	} tries[] = {{"authorization: Bearer key-one\r\n", 200}, {"authorization: bearer key-two\r\n", 200},
		{"authorization: Bearer key-tw\r\n", 401}, {"authorization: Bearer key-two2\r\n", 401},
		{"authorization: Bearer # ours\r\n", 401}, {"authorization: Bearer \r\n", 401},
		{"authorization: key-one\r\n", 401}, {"x-api-key: key-one\r\n", 200}, {"X-Api-Key: key-two\r\n", 200},
		{"x-api-key: Bearer key-one\r\n", 401}, {"x-api-key: \r\n", 401}, {"x-api-key: key-tw\r\n", 401},
		/* The header of HTTP decides where both are there. */
		{"authorization: Bearer key-one\r\nx-api-key: nobody\r\n", 200},
		{"authorization: Bearer nobody\r\nx-api-key: key-one\r\n", 401}};
	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		world_client_done(&c);
		world_send(&w, &c, "GET", "/v1/models", tries[i].header, NULL);
		world_finish(&c);
		assert_int_equal(c.status, tries[i].status);
	}
	teardown(NULL);
	api_keys_destroy(keys);
}

static void send_from(const char *method, const char *headers)
{
	world_client_done(&c);
	world_send(&w, &c, method, "/v1/models", headers, NULL);
	world_finish(&c);
}

static void pages_of_other_origins_read_answers_only_where_that_is_allowed(void **state)
{
	(void)state;
	static const char ask[] = "origin: http://b\r\naccess-control-request-method: POST\r\n"
				  "access-control-request-headers: authorization, content-type\r\n";
	world_config_default(&config, 1);
	config.frontend.allow_origin = "http://a, http://b";
	world_init(&w, &config);
	world_wait_workers(&w, 2);
	send_from("GET", "origin: http://b\r\n");
	assert_int_equal(c.status, 200);
	assert_string_equal(world_header(&c, "access-control-allow-origin"), "http://b");
	assert_string_equal(world_header(&c, "vary"), "origin");
	send_from("OPTIONS", ask);
	assert_int_equal(c.status, 204);
	assert_string_equal(world_header(&c, "access-control-allow-methods"), "GET, POST");
	assert_string_equal(world_header(&c, "access-control-allow-headers"), "authorization, content-type");
	send_from("GET", "origin: http://\r\n");
	assert_null(world_header(&c, "access-control-allow-origin"));
	assert_int_equal(c.status, 403);
	send_from("OPTIONS", NULL);
	assert_int_equal(c.status, 405);
	teardown(NULL);
	start_with(NULL);
	send_from("OPTIONS", ask);
	assert_int_equal(c.status, 403);
	assert_non_null(strstr(buf_str(&c.body), "allow-origin"));
	assert_null(world_header(&c, "access-control-allow-origin"));
	teardown(NULL);
	world_config_default(&config, 1);
	config.frontend.allow_origin = "*";
	world_init(&w, &config);
	send_from("GET", "origin: null\r\n");
	assert_string_equal(world_header(&c, "access-control-allow-origin"), "*");
	assert_int_equal(c.status, 200);
}

struct stranger {
	const char *headers;
	int status;
};

static void try_strangers(const struct stranger *tries, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		send_from("GET", tries[i].headers);
		if (c.status != tries[i].status)
			fail_msg("%s: %d, not %d: %s", tries[i].headers, c.status, tries[i].status, buf_str(&c.body));
	}
}

static void on_a_loopback_address_only_local_names_are_answered(void **state)
{
	(void)state;
	static const struct stranger tries[] = {{"host: localhost:8000\r\n", 200}, {"host: LOCALHOST\r\n", 200},
		{"host: localhost.:80\r\n", 200}, {"host: box\r\n", 200}, {"host: api:8000\r\n", 200},
		{"host: 127.0.0.1\r\n", 200}, {"host: 127.9.8.7:1\r\n", 200}, {"host: 127.0.0.1.\r\n", 200},
		{"host: [::1]:8000\r\n", 200}, {"host: [0:0::1]\r\n", 200}, {"host: [::ffff:127.0.0.1]\r\n", 200},
		{"host:\r\n", 200}, {"host: rebound.example\r\n", 403}, {"host: rebound.example.:8000\r\n", 403},
		{"host: localhost.example\r\n", 403}, {"host: 127.0.0.1.example\r\n", 403}, {"host: 127.1\r\n", 403},
		{"host: 128.0.0.1\r\n", 403}, {"host: [::2]\r\n", 403}, {"host: [fe80::1]:8000\r\n", 403},
		{"host: 0.0.0.0\r\n", 403}, {"host: me@localhost\r\n", 400}, {"host: localhost/x\r\n", 400},
		{"host: localhost:80:80\r\n", 400}, {"host: [::1\r\n", 400}, {"host: local host\r\n", 400},
		{"host: localhost:x\r\n", 400}};
	try_strangers(tries, ARRAY_LEN(tries));
	send_from("GET", "host: rebound.example\r\n");
	assert_non_null(strstr(buf_str(&c.body), "allow-host"));
	assert_non_null(strstr(buf_str(&c.body), "\"host_not_allowed\""));
}

static void names_of_ones_own_are_listed_or_bound(void **state)
{
	(void)state;
	static const struct stranger tries[] = {{"host: llm.example\r\n", 200}, {"host: LLM.example.:9\r\n", 200},
		{"host: only.example:81\r\n", 200}, {"host: only.example:82\r\n", 403},
		{"host: [2001:db8::1]:5\r\n", 200}, {"host: box\r\n", 200}, {"host: xllm.example\r\n", 403},
		{"host: localhost\r\n", 200}};
	world_config_default(&config, 1);
	config.frontend.allow_host = "llm.example, only.example:81,2001:DB8::1";
	config.frontend.listen_name = "box";
	world_init(&w, &config);
	try_strangers(tries, ARRAY_LEN(tries));
}

/* Pages of this server's own, of the same machine's other ports, and links; against images, scripts and posts from elsewhere. */
static void pages_of_strangers_are_refused_and_programs_are_not(void **state)
{
	(void)state;
	static const struct stranger tries[] = {{"host: localhost:80\r\norigin: http://localhost\r\n", 200},
		{"host: localhost\r\norigin: https://localhost:443\r\n", 200},
		{"host: localhost:8000\r\norigin: http://LOCALHOST:8000\r\n", 200},
		{"host: [::1]:8000\r\norigin: http://[0::1]:8000\r\n", 200},
		{"host: localhost:8000\r\norigin: http://localhost:3000\r\n", 403},
		{"host: localhost:8000\r\norigin: http://localhost\r\n", 403}, {"origin: null\r\n", 403},
		{"origin:\r\n", 403}, {"origin: chrome-extension://localhost\r\n", 403},
		{"origin: http://localhost\r\norigin: http://elsewhere.example\r\n", 403},
		{"origin: http://elsewhere.example\r\n", 403}, {"sec-fetch-site: cross-site\r\n", 403},
		{"sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n", 403},
		{"sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\n", 200},
		{"sec-fetch-site: same-origin\r\n", 200},
		{"sec-fetch-site: none\r\nsec-fetch-mode: navigate\r\n", 200}};
	try_strangers(tries, ARRAY_LEN(tries));
}

static void a_body_that_is_not_said_to_be_json_is_refused(void **state)
{
	(void)state;
	static const struct stranger tries[] = {{"content-type: application/json; charset=utf-8\r\n", 200},
		{"content-type: Application/JSON\r\n", 200}, {"content-type: application/vnd.api+json\r\n", 200},
		{"content-type:\r\n", 200}, {"content-type: application/x-www-form-urlencoded\r\n", 200},
		{"content-type: application/x-www-form-urlencoded\r\nsec-fetch-site: same-origin\r\n", 415},
		{"content-type: application/x-www-form-urlencoded\r\norigin: http://localhost\r\n", 415},
		{"content-type: text/plain\r\n", 415}, {"content-type: text/plain;application/json\r\n", 415},
		{"content-type: multipart/form-data; boundary=x\r\n", 415},
		{"content-type: application/jsonx\r\n", 415},
		{"content-type: application/json\r\ncontent-type: text/plain\r\n", 415}};
	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		world_client_done(&c);
		world_send(&w, &c, "POST", "/tokenize", tries[i].headers, "{\"prompt\":\"x\"}");
		world_finish(&c);
		if (c.status != tries[i].status)
			fail_msg("%s: %d: %s", tries[i].headers, c.status, buf_str(&c.body));
		if (c.status == 415)
			assert_non_null(strstr(buf_str(&c.body), "application/json"));
	}
}

static void with_keys_any_name_is_answered(void **state)
{
	(void)state;
	struct api_keys *keys;

	assert_int_equal(api_keys_parse(&keys, "k", 1, NULL), 0);
	world_config_default(&config, 1);
	config.frontend.keys = keys;
	world_init(&w, &config);
	send_from("GET", "host: api.example\r\nauthorization: Bearer k\r\n");
	assert_int_equal(c.status, 200);
	send_from("GET", "host: api.example\r\norigin: https://api.example\r\nauthorization: Bearer k\r\n");
	assert_int_equal(c.status, 200);
	send_from("GET", "host: api.example\r\norigin: https://other.example\r\nauthorization: Bearer k\r\n");
	assert_int_equal(c.status, 403);
	teardown(NULL);
	api_keys_destroy(keys);
}

/* What the headers decide is said before the body is asked for. */
static void refusals_come_before_the_body_is_read(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path, *header, *status;
	} tries[] = {{"POST", "/nowhere", "x: y", " 404 "}, {"PUT", "/tokenize", "x: y", " 405 "},
		{"POST", "/tokenize", "content-encoding: gzip", " 415 "},
		{"POST", "/tokenize", "content-type: text/plain", " 415 "},
		{"POST", "/tokenize", "origin: http://elsewhere.example", " 403 "},
		{"POST", "/tokenize", "x: y", " 100 "}};
	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		char head[512];
		world_client_done(&c);
		snprintf(head, sizeof head, "%s\r\nexpect: 100-continue\r\ncontent-length: 30000000\r\n",
			tries[i].header);
		world_send(&w, &c, tries[i].method, tries[i].path, head, NULL);
		sim_run_for(w.sim, 1000000);
		if (!strstr(buf_str(&c.raw), tries[i].status) ||
			!strncmp(buf_str(&c.raw), "HTTP/1.1 100", 12) != (i == 5))
			fail_msg("%s: %s", tries[i].path, buf_str(&c.raw));
		world_leave(&c);
	}
}

static void two_models_are_two_pools(void **state)
{
	(void)state;
	world_config_default(&config, 3);
	world_init(&w, &config);
	world_wait_workers(&w, 2);
	world_worker_kill(&w, 1);
	world_wait_workers(&w, 1);
	w.model = "other";
	world_worker_start(&w, 1);
	world_wait_workers(&w, 2);
	post("/v1/completions", "{\"prompt\":\"x\",\"model\":\"mock\"}");
	assert_string_equal(world_header(&c, "x-stator-worker"), "mock-0");
	post("/v1/completions", "{\"prompt\":\"x\",\"model\":\"other\"}");
	assert_string_equal(world_header(&c, "x-stator-worker"), "mock-1");
	assert_non_null(strstr(post("/v1/completions", "{\"prompt\":\"x\",\"model\":\"third\"}"),
		"there are \\\"mock\\\", \\\"other\\\""));
	assert_non_null(strstr(post("/v1/completions", "{\"prompt\":\"x\"}"), "\\\"model\\\" is missing"));
}

/* It is the only worker, and has been idle for so long when it is asked. */
static void mute_start(bool pongs, bool answers, uint64_t idle_s)
{
	mute = (struct mute){.pongs = pongs, .answers = answers};
	world_config_default(&config, 1);
	config.sim.segment_bytes_max = 0;
	config.workers = 1;
	world_init(&w, &config);
	world_worker_kill(&w, 0);
	mute_listen(w.workers[0].addr);
	world_wait_workers(&w, 1);
	sim_run_for(w.sim, idle_s * 1000000);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"x\"}");
}

static bool was_lost(int times)
{
	struct world_client other;
	char line[96];

	world_send(&w, &other, "GET", "/metrics", NULL, NULL);
	world_finish(&other);
	snprintf(line, sizeof line, "stator_worker_lost_total{model=\"mock\",worker=\"mute\"} %d\n", times);
	bool found = strstr(buf_str(&other.body), line);
	world_client_done(&other);
	return found;
}

/* It is given up after more than least_s and not much later, as often as its request is sent to it. */
static void mute_is_given_up_after(uint64_t least_s, int times, const char *why)
{
	for (int i = 0; i < times; i++) {
		sim_run_for(w.sim, (least_s - (i ? 3 : 0)) * 1000000);
		assert_false(c.ended || was_lost(i + 1));
		sim_run_for(w.sim, 3000000);
		assert_true(was_lost(i + 1));
	}
	assert_true(c.ended);
	world_finish(&c);
	assert_int_equal(c.status, 503);
	assert_non_null(strstr(buf_str(&c.body), why));
	world_wait_workers(&w, 1); /* and is tried again */
	mute_done();
}

/* The answer's words may be shown on a terminal, and have want in them. */
static void assert_fit_to_be_shown(const char *want)
{
	json_t *root = json_of(buf_str(&c.body)), *error = json_object_get(root, "error");
	const char *message = json_string_value(json_object_get(error, "message")),
		   *param = json_string_value(json_object_get(error, "param"));

	if (!strstr(message, want) || !utf8_is_plain(message, strlen(message)) ||
		(param && !utf8_is_plain(param, strlen(param))))
		fail_msg("%s has no %s, or what may not be shown", buf_str(&c.body), want);
	json_decref(root);
}

#define HOSTILE                                                                                                        \
	"gpu\xc2\x9b"                                                                                                  \
	"31m \xe2\x80\xaeoff\xe2\x81\xa6 \xc3\xa9\x1b[2J\x7f"
#define HARMLESS "gpu?31m ?off? \xc3\xa9?[2J?"

static void words_of_workers_are_fit_to_be_shown_in_answers(void **state)
{
	static const struct {
		enum msg_type says;
		enum msg_reason reason;
		int code, status;
		const char *want;
	} tries[] = {
		{MSG_DONE, MSG_REASON_REFUSED, -EINVAL, 400, "the worker refused the request: " HARMLESS},
		{MSG_DONE, MSG_REASON_REFUSED, -ENOTSUP, 400, "the worker refused the request: " HARMLESS},
		{MSG_DONE, MSG_REASON_REFUSED, -E2BIG, 400, "exceeded at the worker: " HARMLESS},
		{MSG_DONE, MSG_REASON_REFUSED, -EBUSY, 503, "the worker refused the request: " HARMLESS},
		{MSG_DONE, MSG_REASON_FAILED, -EIO, 500, "the worker failed: " HARMLESS},
		{MSG_DONE, MSG_REASON_FAILED, -ETIMEDOUT, 500, "the worker failed: " HARMLESS},
		{MSG_REFUSE, 0, -EPERM, 503, "it refused us: " HARMLESS},
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		mute_start(false, false, 0);
		mute.says = tries[i].says;
		mute.done =
			(struct msg_done){.reason = tries[i].reason, .code = tries[i].code, .error = msg_str(HOSTILE)};
		mute.refuse = (struct msg_refuse){.code = tries[i].code, .why = msg_str(HOSTILE)};
		world_finish(&c);
		assert_int_equal(c.status, tries[i].status);
		assert_fit_to_be_shown(tries[i].want);
		mute_done();
		if (i + 1 < ARRAY_LEN(tries))
			assert_int_equal(teardown(state), 0);
	}
}

static void words_of_requests_are_fit_to_be_shown_in_answers(void **state)
{
	static const struct {
		const char *body, *want;
	} tries[] = {
		{"{\"prompt\":\"x\",\"model\":\"m\\u009b2J\\u202e\\u001b]0;z\\u0007\"}", "\"m?2J??]0;z?\""},
		{"{\"prompt\":\"x\",\"model\":\"\\u202dm\xc2\x85\xe4\xb8\xad\"}", "\"?m?\xe4\xb8\xad\""},
		{"{\"prompt\":\"x\",\"logit_bias\":{\"\\u2067k\\u009c\":1}}", "\"?k?\""},
		{"{\"prompt\":\"x\",\"response_format\":{\"type\":\"j\\u2028s\\udb40\\udc41\"}}", "\"j?s?\""},
	};

	(void)state;
	start_with(NULL);
	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		post("/v1/completions", tries[i].body);
		assert_in_range(c.status, 400, 404);
		assert_fit_to_be_shown(tries[i].want);
	}
	get("/v1/models/p%C2%9B1m%E2%80%AE");
	assert_int_equal(c.status, 404);
	assert_fit_to_be_shown("");
}

static void a_worker_that_falls_silent_is_given_up(void **state)
{
	(void)state;
	mute_start(false, false, 0);
	mute_is_given_up_after(60, 2, "it has been silent for too long");
	assert_int_equal(mute.pings, 0); /* it would not know what that is */
}

static void idle_hours_are_not_silence(void **state)
{
	(void)state;
	mute_start(false, false, 86400);
	mute_is_given_up_after(60, 2, "it has been silent for too long");
}

static void a_worker_that_does_not_answer_is_given_up_soon(void **state)
{
	(void)state;
	mute_start(true, false, 3601);
	mute_is_given_up_after(10, 2, "it has been silent for too long");
	assert_true(mute.pings >= 5);
}

static void a_worker_that_answers_may_take_its_time_and_not_for_ever(void **state)
{
	(void)state;
	mute_start(true, true, 120);
	mute_is_given_up_after(15ull * 60, 1, "it has done nothing for too long");
}

/* What came meanwhile has not been read yet when the watch looks. */
static void time_in_which_the_frontend_was_stopped_is_not_silence(void **state)
{
	(void)state;
	start_with(NULL);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"Once upon\",\"max_tokens\":40,\"ignore_eos\":true}");
	sim_run_for(w.sim, 20 * 1000);
	assert_false(c.ended);
	sim_jump(w.sim, 300 * 1000000ull);
	world_finish(&c);
	assert_int_equal(c.status, 200);
}

static void the_context_is_that_of_the_smallest_worker_there_is(void **state)
{
	(void)state;
	world_config_default(&config, 5);
	world_init(&w, &config);
	world_wait_workers(&w, 2);
	world_worker_kill(&w, 1);
	w.mock.context_max = 512;
	world_worker_start(&w, 1);
	sim_run_for(w.sim, 2000000);
	world_wait_workers(&w, 2);
	assert_non_null(strstr(get("/v1/models"), "\"max_model_len\":512"));
	world_worker_kill(&w, 1);
	sim_run_for(w.sim, 2000000);
	assert_non_null(strstr(get("/v1/models"), "\"max_model_len\":2048"));
}

static void touch(const char *path)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

static void a_worker_that_leaves_the_folder_is_kept_while_it_lives(void **state)
{
	(void)state;
	static char dir[] = "/tmp/stator-fe-XXXXXX";

	assert_non_null(mkdtemp(dir));
	world_config_default(&config, 1);
	config.workers = 0;
	config.frontend.discovery = "directory";
	config.frontend.discovery_arg = dir;
	world_init(&w, &config);
	w.workers_len = 1;
	snprintf(w.workers[0].name, sizeof w.workers[0].name, "w0");
	snprintf(w.workers[0].addr, sizeof w.workers[0].addr, "unix:%s/w0.sock", dir);
	world_worker_start(&w, 0);
	touch(w.workers[0].addr + 5);
	world_wait_workers(&w, 1);
	remove(w.workers[0].addr + 5);
	sim_run_for(w.sim, 2000000);
	world_wait_workers(&w, 1);
	post("/v1/completions", "{\"prompt\":\"x\"}");
	assert_int_equal(c.status, 200);
	world_worker_kill(&w, 0);
	world_wait_workers(&w, 0);
	world_worker_start(&w, 0); /* nobody is told of it */
	sim_run_for(w.sim, 3000000);
	world_wait_workers(&w, 0);
	touch(w.workers[0].addr + 5);
	world_wait_workers(&w, 1);
	remove(w.workers[0].addr + 5);
	remove(dir);
}

static void note(void *ctx)
{
	(*(uint32_t *)ctx)++;
}

static void draining_ends_what_runs_and_then_says_so(void **state)
{
	(void)state;
	uint32_t drained = 0;
	struct world_stream s;

	world_post(
		&w, &c, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":100,\"ignore_eos\":true,\"stream\":true}");
	sim_run_for(w.sim, 20000);
	frontend_drain(w.fe, 60000000, note, &drained);
	sim_run_for(w.sim, 1000);
	assert_int_equal(drained, 0);
	world_finish(&c);
	world_stream_read(&s, &c);
	assert_int_equal(s.text[0].len, 100);
	world_stream_done(&s);
	sim_run_for(w.sim, 10000);
	assert_int_equal(drained, 1);
}

static void a_model_is_found_by_its_other_names(void **state)
{
	(void)state;
	world_config_default(&config, 3);
	config.frontend.model_aliases = "gpt-x=mock, lost=gone, fast=other";
	world_init(&w, &config);
	world_wait_workers(&w, 2);
	json_t *root = json_of(post("/v1/completions", "{\"prompt\":\"x\",\"model\":\"gpt-x\",\"max_tokens\":1}"));
	assert_int_equal(c.status, 200);
	assert_string_equal(json_string_value(json_object_get(root, "model")), "mock");
	json_decref(root);
	assert_non_null(strstr(post("/tokenize", "{\"prompt\":\"x\",\"model\":\"gpt-x\"}"), "\"tokens\""));
	/* What it means is not there: said by the name it means. */
	assert_non_null(strstr(post("/v1/completions", "{\"prompt\":\"x\",\"model\":\"lost\"}"), "\\\"gone\\\""));
	assert_int_equal(c.status, 404);
	root = json_of(get("/v1/models"));
	const json_t *data = json_object_get(root, "data");
	assert_int_equal(json_array_size(data), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(data, 0), "id")), "mock");
	assert_string_equal(json_string_value(json_object_get(json_array_get(data, 1), "id")), "gpt-x");
	assert_string_equal(json_string_value(json_object_get(json_array_get(data, 1), "root")), "mock");
	json_decref(root);
	assert_non_null(strstr(get("/v1/models/gpt-x"), "\"id\":\"gpt-x\",\"root\":\"mock\""));
	assert_int_equal(c.status, 200);
	/* Without a name there is still one model. */
	post("/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":1}");
	assert_int_equal(c.status, 200);
}

static void version_and_ping_are_vllm_s(void **state)
{
	(void)state;
	assert_string_equal(get("/version"), "{\"version\":\"" STATOR_VERSION "\"}");
	get("/ping");
	assert_int_equal(c.status, 200);
	post("/ping", "");
	assert_int_equal(c.status, 200);
}

/* While a stream goes on: probes and metrics answer, everything else is told, on connections old and new. */
static void draining_tells_whoever_comes(void **state)
{
	(void)state;
	uint32_t drained = 0;
	struct world_client stream = {0};
	struct world_stream s;

	world_post(&w, &stream, "/v1/completions",
		"{\"prompt\":\"x\",\"max_tokens\":1500,\"ignore_eos\":true,\"stream\":true}");
	sim_run_for(w.sim, 20000);
	frontend_drain(w.fe, 60000000, note, &drained);
	static const struct {
		const char *method, *path;
		int status;
	} tries[] = {{"GET", "/live", 200}, {"GET", "/metrics", 200}, {"GET", "/ready", 503}, {"GET", "/health", 503},
		{"GET", "/v1/models", 503}, {"POST", "/v1/chat/completions", 503}, {"POST", "/tokenize", 503},
		{"GET", "/nowhere", 404}};
	for (uint32_t i = 0; i < ARRAY_LEN(tries); i++) {
		world_client_done(&c);
		world_send(&w, &c, tries[i].method, tries[i].path, NULL, "{}");
		world_finish(&c);
		if (c.status != tries[i].status || strcmp(world_header(&c, "connection"), "close") != 0)
			fail_msg("%s: %d: %s", tries[i].path, c.status, buf_str(&c.body));
		if (!strncmp(tries[i].path, "/v1/", 4)) {
			assert_non_null(strstr(buf_str(&c.body), "\"server_stopping\""));
			assert_string_equal(world_header(&c, "retry-after"), "5");
		}
	}
	assert_non_null(strstr(get("/ready"), "draining"));
	assert_int_equal(drained, 0);
	world_finish(&stream);
	world_stream_read(&s, &stream);
	assert_int_equal(s.text[0].len, 1500);
	assert_int_equal(s.dones, 1);
	world_stream_done(&s);
	world_client_done(&stream);
	sim_run_for(w.sim, 10000);
	assert_int_equal(drained, 1);
}

/* Streams get an event, whole answers a status, and nothing just breaks. */
static void draining_ends_what_runs_past_the_deadline_with_an_error(void **state)
{
	(void)state;
	uint32_t drained = 0;
	struct world_client whole = {0};
	struct world_stream s;

	world_post(&w, &c, "/v1/completions",
		"{\"prompt\":\"x\",\"max_tokens\":2000,\"ignore_eos\":true,\"stream\":true}");
	world_post(&w, &whole, "/v1/completions", "{\"prompt\":\"y\",\"max_tokens\":2000,\"ignore_eos\":true}");
	sim_run_for(w.sim, 20000);
	frontend_drain(w.fe, 100000, note, &drained);
	world_finish(&c);
	assert_true(c.whole);
	world_stream_read(&s, &c);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.dones, 0);
	assert_non_null(strstr(buf_str(&c.body), "\"server_stopping\""));
	world_stream_done(&s);
	world_finish(&whole);
	assert_true(whole.whole);
	assert_int_equal(whole.status, 503);
	assert_string_equal(world_header(&whole, "retry-after"), "5");
	world_client_done(&whole);
	sim_run_for(w.sim, 20000);
	assert_int_equal(drained, 1);
}

/* Others serve there: the address must not lead here any more. */
static void a_shared_port_is_given_up_at_once(void **state)
{
	(void)state;
	uint32_t drained = 0;
	struct env_conn *conn;

	world_config_default(&config, 1);
	config.frontend.shares_port = true;
	world_init(&w, &config);
	world_wait_workers(&w, 2);
	world_post(
		&w, &c, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":100,\"ignore_eos\":true,\"stream\":true}");
	sim_run_for(w.sim, 20000);
	frontend_drain(w.fe, 60000000, note, &drained);
	struct world_client late = {.world = &w};
	buf_init(&late.raw, 1000);
	if (env_connect(w.env, frontend_addr(w.fe), &world_client_ops, &late, &conn, NULL) == 0)
		sim_run_for(w.sim, 1000000);
	else
		late.ended = true;
	assert_true(late.ended);
	world_finish(&c);
	assert_non_null(strstr(buf_str(&c.body), "[DONE]"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define ALONE(fn) cmocka_unit_test_teardown(fn, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_chat_stream_has_openai_s_events_byte_for_byte),
		TEST(a_chat_answer_is_openai_s_object),
		TEST(n_choices_are_those_of_their_seeds),
		TEST(several_prompts_are_several_choices_and_echo_repeats_them),
		TEST(equal_prompts_are_different_samples_unless_a_seed_is_given),
		TEST(default_max_tokens_are_sixteen_for_completions),
		TEST(a_stop_string_ends_the_text_before_it_in_streams_and_answers),
		TEST(the_stop_string_is_part_of_the_text_when_that_is_asked_for),
		TEST(a_stop_token_ends_the_answer_as_the_end_token_does),
		TEST(chat_logprobs_have_token_bytes_and_top),
		TEST(completion_logprobs_are_four_lists),
		TEST(a_prompt_seen_before_is_reported_as_cached),
		TEST(every_mistake_is_named),
		TEST(nesting_past_the_limit_is_refused_with_its_place),
		TEST(a_prompt_longer_than_the_context_names_both_numbers),
		TEST(a_chat_far_longer_than_the_context_is_not_counted_to_its_end),
		TEST(max_tokens_past_the_context_are_what_is_left),
		TEST(no_limit_is_what_is_left_of_the_context),
		TEST(no_token_with_echo_is_the_prompt_alone),
		TEST(large_bodies_are_parsed_off_the_loop_all_the_same),
		TEST(what_echo_repeats_is_a_json_string_whatever_is_in_it),
		TEST(request_ids_are_echoed_when_they_are_harmless),
		TEST(models_are_listed_and_found),
		TEST(text_goes_to_tokens_and_back),
		TEST(control_tokens_of_a_raw_prompt_are_tokens_unless_it_says_no),
		TEST(a_message_never_names_a_control_token),
		ALONE(an_operator_can_keep_control_tokens_out_of_raw_prompts),
		TEST(text_is_tokenized_in_the_form_it_is_asked_for),
		TEST(health_says_what_is_missing),
		TEST(metrics_count_what_happened),
		TEST(a_lost_worker_ends_a_stream_with_an_error_event),
		TEST(a_slow_reader_never_stops_the_worker),
		ALONE(what_a_reader_that_does_not_read_holds_is_bounded),
		ALONE(all_unread_answers_have_one_bound),
		TEST(a_large_whole_answer_is_made_on_a_text_thread),
		TEST(a_client_that_leaves_frees_the_worker_at_once),
		ALONE(no_worker_at_all_is_503_with_retry_after),
		cmocka_unit_test(keys_are_asked_for_where_they_must_be),
		ALONE(pages_of_other_origins_read_answers_only_where_that_is_allowed),
		TEST(on_a_loopback_address_only_local_names_are_answered),
		ALONE(names_of_ones_own_are_listed_or_bound),
		TEST(pages_of_strangers_are_refused_and_programs_are_not),
		TEST(a_body_that_is_not_said_to_be_json_is_refused),
		cmocka_unit_test(with_keys_any_name_is_answered),
		TEST(refusals_come_before_the_body_is_read),
		ALONE(two_models_are_two_pools),
		ALONE(the_context_is_that_of_the_smallest_worker_there_is),
		ALONE(ready_means_every_model_that_is_expected),
		ALONE(a_worker_that_can_never_be_used_is_told_before_it_is_waited_for),
		ALONE(expectations_that_are_none_are_refused),
		ALONE(words_of_workers_are_fit_to_be_shown_in_answers),
		ALONE(words_of_requests_are_fit_to_be_shown_in_answers),
		ALONE(a_worker_that_falls_silent_is_given_up),
		ALONE(idle_hours_are_not_silence),
		ALONE(a_worker_that_does_not_answer_is_given_up_soon),
		ALONE(a_worker_that_answers_may_take_its_time_and_not_for_ever),
		ALONE(time_in_which_the_frontend_was_stopped_is_not_silence),
		ALONE(a_worker_that_leaves_the_folder_is_kept_while_it_lives),
		TEST(draining_ends_what_runs_and_then_says_so),
		ALONE(a_model_is_found_by_its_other_names),
		TEST(version_and_ping_are_vllm_s),
		TEST(draining_tells_whoever_comes),
		TEST(draining_ends_what_runs_past_the_deadline_with_an_error),
		ALONE(a_shared_port_is_given_up_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
