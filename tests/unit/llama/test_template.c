#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "oracle.h"
#include "base/buf.h"
#include "base/limits.h"

#include <glob.h>
#include <string.h>

static struct ll_message message(const char *role, const char *content)
{
	return (struct ll_message){.role = role, .content = content, .content_len = strlen(content)};
}

static struct ll_template *template_of(const char *source)
{
	struct ll_template *t = NULL;
	struct err err = {0};
	if (ll_template_create(&t, source, strlen(source), &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

/* The whole text; input, when not NULL, gets what is marked as the caller's. */
static int render(
	const struct ll_template *t, const struct ll_render *in, struct buf *ret, struct buf *input, struct err *err)
{
	struct ll_parts parts = {0};
	int code = ll_template_render(t, in, &parts, err);
	for (uint32_t i = 0; i < parts.len; i++) {
		buf_add(ret, parts.v[i].text, parts.v[i].len);
		if (input && parts.v[i].is_input)
			buf_add(input, parts.v[i].text, parts.v[i].len);
	}
	ll_parts_done(&parts);
	return code;
}

/* --- Equality with llama.cpp's own entry ------------------------------------------------------------------------ */

struct tally {
	uint32_t equal, refused_by_both, different;
};

/* llama.cpp takes a begin token off the front and an end token off the end when the model adds them itself; without a model
 * it does not know and leaves them. */
static void compare(const char *path, const struct ll_message *messages, uint32_t count, struct tally *tally)
{
	CLEANUP(free_p) char *source = file_text(path, NULL);
	CLEANUP(free_p) char *want = oracle_apply(source, messages, count, true);
	struct ll_template *t = template_of(source);
	struct buf got;
	buf_init(&got, 1 << 20);
	struct ll_render in = {.messages = messages,
		.message_count = count,
		.bos = "<BOS>",
		.eos = "<EOS>",
		.add_generation_prompt = true,
		.enable_thinking = true,
		.bytes_max = 1 << 20};
	int code = render(t, &in, &got, NULL, NULL);
	bool equal = code == 0 && want && strcmp(buf_str(&got), want) == 0;
	tally->equal += equal;
	tally->refused_by_both += code < 0 && !want;
	tally->different += !equal && (code == 0 || want);
	if (!equal && (code == 0 || want) && getenv("VERBOSE"))
		print_message("%s:\n--- ours (%d)\n%s\n--- theirs\n%s\n", strrchr(path, '/') + 1, code, buf_str(&got),
			want ? want : "(refused)");
	buf_done(&got);
	ll_template_destroy(t);
}

static void compare_all(const struct ll_message *messages, uint32_t count, struct tally *tally)
{
	glob_t found;
	assert_int_equal(glob(llama_data("templates/*.jinja"), 0, NULL, &found), 0);
	assert_in_range(found.gl_pathc, 60, 200);
	for (size_t i = 0; i < found.gl_pathc; i++)
		compare(found.gl_pathv[i], messages, count, tally);
	globfree(&found);
}

static void prompts_equal_llama_cpps_own(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("system", "Be kind."), message("user", "Hello, \xe4\xb8\x96\xe7\x95\x8c!"),
		message("assistant", "<think>\nhm\n</think>\n\nHi."), message("user", " And {{ now }}?\n")};
	struct tally tally = {0};
	compare_all(turns, 4, &tally);
	compare_all(turns + 1, 1, &tally);
	assert_int_equal(tally.different, 0);
	assert_in_range(tally.equal, 120, 1000);
}

/* --- Parts ------------------------------------------------------------------------------------------------------ */

static const char chatml[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
			     "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static struct ll_render request(const struct ll_message *messages, uint32_t count)
{
	return (struct ll_render){.messages = messages,
		.message_count = count,
		.bos = "",
		.eos = "",
		.add_generation_prompt = true,
		.bytes_max = 1 << 20};
}

static void parts_tell_the_callers_text_apart(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("user", "one"), message("assistant", "two")};
	struct ll_template *t = template_of(chatml);
	struct ll_render in = request(turns, 2);
	struct buf text, input;
	buf_init(&text, 1000);
	buf_init(&input, 1000);
	assert_int_equal(render(t, &in, &text, &input, NULL), 0);
	assert_string_equal(buf_str(&text), "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n"
					    "<|im_start|>assistant\n");
	assert_string_equal(buf_str(&input), "useroneassistanttwo");
	buf_done(&text);
	buf_done(&input);
	ll_template_destroy(t);
}

static int shout(void *ctx, const char *text, size_t len, struct buf *ret)
{
	(void)ctx;
	if (len != 3 || memcmp(text, "one", 3) != 0)
		return 0;
	buf_add_str(ret, "ONE!");
	return 1;
}

static void the_guard_sees_every_text_of_the_caller(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("one", "one")};
	turns[0].extra_json = "{\"name\": \"one\", \"one\": [\"one\"]}";
	struct ll_template *t = template_of("{% for m in messages %}{{ m.role ~ m.content ~ m.name ~ m['ONE!'][0] }}"
					    "{{ tools[0].function.name }}{{ k }}{% endfor %}");
	struct ll_render in = request(turns, 1);
	struct buf text;
	in.guard = shout;
	in.tools_json = "[{\"type\": \"function\", \"function\": {\"name\": \"one\"}}]";
	in.kwargs_json = "{\"k\": \"one\"}";
	buf_init(&text, 1000);
	assert_int_equal(render(t, &in, &text, NULL, NULL), 0);
	assert_string_equal(buf_str(&text), "ONE!ONE!ONE!ONE!ONE!ONE!");
	buf_done(&text);
	ll_template_destroy(t);
}

static void tool_calls_reach_the_template_as_objects(void **state)
{
	(void)state;
	CLEANUP(free_p) char *source = file_text(llama_data("templates/Qwen-Qwen3-0.6B.jinja"), NULL);
	struct ll_template *t = template_of(source);
	struct ll_message turns[] = {message("user", "weather?"), {.role = "assistant"}, message("tool", "rain")};
	turns[1].extra_json = "{\"tool_calls\": [{\"id\": \"1\", \"type\": \"function\", \"function\": "
			      "{\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": \\\"Bonn\\\"}\"}}]}";
	struct ll_render in = request(turns, 3);
	struct buf text;
	in.tools_json = "[{\"type\": \"function\", \"function\": {\"name\": \"weather\"}}]";
	buf_init(&text, 100000);
	assert_int_equal(render(t, &in, &text, NULL, NULL), 0);
	assert_non_null(strstr(buf_str(&text), "<tools>"));
	assert_non_null(strstr(buf_str(&text), "\"city\": \"Bonn\""));
	assert_non_null(strstr(buf_str(&text), "<tool_response>\nrain"));
	buf_done(&text);
	ll_template_destroy(t);
}

/* --- JSON of the caller is bounded before it is parsed ------------------------------------------------------------- */

/* A template that takes arguments as an object and prints them. */
static const char tool_source[] =
	"{% for m in messages %}{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}"
	"{% for k, v in c.function.arguments.items() %}{{ k ~ '=' ~ v | tojson }}{% endfor %}{% endfor %}{% endif %}"
	"{% endfor %}";

/* What rendering a tool call with these arguments gives; the text of arguments stands in JSON as it is. */
static int render_call(const char *arguments, struct buf *ret, struct err *err)
{
	struct buf extra;
	struct ll_message turns[] = {message("user", "x"), {.role = "assistant"}};
	struct ll_template *t = template_of(tool_source);
	buf_init(&extra, 64 << 20);
	buf_add_str(&extra, "{\"tool_calls\": [{\"id\": \"1\", \"type\": \"function\", \"function\": {\"name\": \"f\", "
			    "\"arguments\": \"");
	buf_add_str(&extra, arguments);
	buf_add_str(&extra, "\"}}]}");
	turns[1].extra_json = buf_str(&extra);
	struct ll_render in = request(turns, 2);
	int code = render(t, &in, ret, NULL, err);
	buf_done(&extra);
	ll_template_destroy(t);
	return code;
}

static void expect_call_refused(const struct buf *arguments, const char *words)
{
	struct buf text;
	struct err err = {0};
	buf_init(&text, 1 << 20);
	assert_int_equal(render_call(buf_str(arguments), &text, &err), -EINVAL);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
	buf_done(&text);
}

static void nest(struct buf *ret, const char *open, const char *close, int levels)
{
	buf_reset(ret);
	buf_add_str(ret, "{\\\"a\\\":");
	for (int i = 1; i < levels; i++)
		buf_add_str(ret, open);
	buf_add_str(ret, "1");
	for (int i = 1; i < levels; i++)
		buf_add_str(ret, close);
	buf_add_str(ret, "}");
}

static void arguments_of_a_tool_call_nest_as_deep_as_a_body_and_no_deeper(void **state)
{
	(void)state;
	struct buf arguments, text;
	buf_init(&arguments, 16 << 20);
	buf_init(&text, 1 << 20);
	nest(&arguments, "[", "]", 64);
	assert_int_equal(render_call(buf_str(&arguments), &text, NULL), 0);
	assert_non_null(strstr(buf_str(&text), "fa=[[[["));
	for (int levels = 65; levels < 600000; levels *= 9) {
		nest(&arguments, "[", "]", levels);
		expect_call_refused(&arguments, "the arguments of a tool call: nested more than 64 levels deep");
		nest(&arguments, "{\\\"b\\\":", "}", levels);
		expect_call_refused(&arguments, "nested more than 64 levels deep");
	}
	buf_done(&text);
	buf_done(&arguments);
}

static void the_values_of_one_request_are_counted_together(void **state)
{
	(void)state;
	enum { CALLS = 8 };
	struct buf extra, text;
	struct err err = {0};
	struct ll_message turns[] = {message("user", "x"), {.role = "assistant"}};
	struct ll_template *t = template_of(tool_source);
	buf_init(&extra, 64 << 20);
	buf_init(&text, 1 << 20);
	buf_add_str(&extra, "{\"tool_calls\": [");
	for (int call = 0; call < CALLS; call++) {
		buf_printf(
			&extra, "%s{\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"a\\\":[1", call ? "," : "");
		for (int i = 0; i < TEMPLATE_VALUES_MAX / CALLS; i++)
			buf_add_str(&extra, ",1");
		buf_add_str(&extra, "]}\"}}");
	}
	buf_add_str(&extra, "]}");
	turns[1].extra_json = buf_str(&extra);
	struct ll_render in = request(turns, 2);
	assert_int_equal(render(t, &in, &text, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "more than 262144 values"));
	buf_done(&text);
	buf_done(&extra);
	ll_template_destroy(t);
}

static void every_json_text_of_a_request_is_bounded(void **state)
{
	(void)state;
	struct buf deep, extra;
	struct ll_message turns[] = {message("user", "x")};
	struct ll_template *t = template_of("{{ messages | tojson }}{{ tools | tojson }}{{ k | tojson }}");
	buf_init(&deep, 1 << 20);
	buf_init(&extra, 1 << 20);
	for (int i = 0; i < 100000; i++)
		buf_add_str(&deep, "[");
	buf_printf(&extra, "{\"k\":%s", buf_str(&deep));
	for (int which = 0; which < 3; which++) {
		struct ll_render in = request(turns, 1);
		struct buf text;
		struct err err = {0};
		turns[0].extra_json = which == 0 ? buf_str(&extra) : NULL;
		in.tools_json = which == 1 ? buf_str(&deep) : NULL;
		in.kwargs_json = which == 2 ? buf_str(&extra) : NULL;
		buf_init(&text, 1 << 20);
		assert_int_equal(render(t, &in, &text, NULL, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "nested more than 64 levels deep"));
		buf_done(&text);
	}
	buf_done(&deep);
	buf_done(&extra);
	ll_template_destroy(t);
}

static void keyword_arguments_replace_nothing_of_ours(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("user", "x")};
	struct ll_template *t = template_of("{{ bos_token }}{{ messages[0].content }}{{ own }}");
	struct ll_render in = request(turns, 1);
	struct err err = {0};
	struct buf text;
	buf_init(&text, 1000);
	in.kwargs_json = "{\"own\": \"o\", \"bos_token\": \"y\"}";
	assert_int_equal(render(t, &in, &text, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "chat_template_kwargs cannot replace \"bos_token\""));
	in.kwargs_json = "{\"own\": \"o\"}";
	assert_int_equal(render(t, &in, &text, NULL, &err), 0);
	assert_string_equal(buf_str(&text), "xo");
	buf_done(&text);
	ll_template_destroy(t);
}

static void a_given_date_is_the_templates_today(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("user", "x")};
	struct ll_template *t = template_of("{{ date_string }}|{{ strftime_now('%Y-%m-%d') }}");
	struct ll_render in = request(turns, 1);
	struct buf text;
	in.date = "26 Jul 2024";
	buf_init(&text, 1000);
	assert_int_equal(render(t, &in, &text, NULL, NULL), 0);
	assert_string_equal(buf_str(&text), "26 Jul 2024|2024-07-26");
	buf_done(&text);
	ll_template_destroy(t);
}

/* --- Refusals --------------------------------------------------------------------------------------------------- */

static void expect_refused(const char *source, const char *words)
{
	struct ll_template *t = NULL;
	struct err err = {0};
	assert_true(ll_template_create(&t, source, strlen(source), &err) < 0);
	assert_null(t);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void broken_and_hostile_templates_are_refused(void **state)
{
	(void)state;
	struct buf deep;
	buf_init(&deep, 1 << 20);
	buf_add_str(&deep, "{{ ");
	for (int i = 0; i < 20000; i++)
		buf_add_str(&deep, "(");
	expect_refused(buf_str(&deep), "nested");
	buf_reset(&deep);
	buf_add_str(&deep, "{{ ");
	for (int i = 0; i < 20000; i++)
		buf_add_str(&deep, "not ");
	expect_refused(buf_str(&deep), "operators");
	buf_reset(&deep);
	for (int i = 0; i < 20000; i++)
		buf_add_str(&deep, "{% if x %}");
	expect_refused(buf_str(&deep), "nested");
	buf_reset(&deep);
	while (deep.len <= LL_TEMPLATE_BYTES_MAX)
		buf_add_str(&deep, "0123456789");
	expect_refused(buf_str(&deep), "bytes");
	buf_done(&deep);
	expect_refused("{% for x in %}", "could not read the chat template");
	expect_refused("{{ 'abc", "could not read the chat template");
}

static void a_templates_own_refusal_is_told(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("user", "x")};
	struct ll_template *t = template_of("{{ raise_exception('roles must alternate') }}");
	struct ll_render in = request(turns, 1);
	struct err err = {0};
	struct buf text;
	buf_init(&text, 1000);
	assert_int_equal(render(t, &in, &text, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "roles must alternate"));
	in.tools_json = "{nonsense";
	assert_int_equal(render(t, &in, &text, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "list of tools is not valid JSON"));
	buf_done(&text);
	ll_template_destroy(t);
}

static void a_result_past_its_bound_is_refused(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("user", "0123456789")};
	struct ll_template *t = template_of(chatml);
	struct ll_render in = request(turns, 1);
	struct err err = {0};
	struct buf text;
	in.bytes_max = 20;
	buf_init(&text, 1000);
	assert_int_equal(render(t, &in, &text, NULL, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "20 are possible"));
	buf_done(&text);
	ll_template_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prompts_equal_llama_cpps_own),
		cmocka_unit_test(parts_tell_the_callers_text_apart),
		cmocka_unit_test(the_guard_sees_every_text_of_the_caller),
		cmocka_unit_test(tool_calls_reach_the_template_as_objects),
		cmocka_unit_test(arguments_of_a_tool_call_nest_as_deep_as_a_body_and_no_deeper),
		cmocka_unit_test(the_values_of_one_request_are_counted_together),
		cmocka_unit_test(every_json_text_of_a_request_is_bounded),
		cmocka_unit_test(keyword_arguments_replace_nothing_of_ours),
		cmocka_unit_test(a_given_date_is_the_templates_today),
		cmocka_unit_test(broken_and_hostile_templates_are_refused),
		cmocka_unit_test(a_templates_own_refusal_is_told),
		cmocka_unit_test(a_result_past_its_bound_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
