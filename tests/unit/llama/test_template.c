#include "../lib/cmocka_all.h"
#include "../lib/busy.h"
#include "../lib/llama_data.h"
#include "oracle.h"
#include "base/buf.h"
#include "base/limits.h"

#include <glob.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

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
		if (!strstr(found.gl_pathv[i], "StepFun")) /* llama.cpp trims all messages for it */
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

static void blanks_around_what_others_wrote_stay(void **state)
{
	(void)state;
	CLEANUP(free_p) char *source = file_text(llama_data("templates/StepFun3.5-Flash.jinja"), NULL);
	struct ll_template *t = template_of(source);
	struct ll_message turns[] = {
		message("user", "  a\n "), message("assistant", "\n b \n"), message("user", " c\n")};
	struct ll_render in = {.messages = turns, .message_count = 3, .bos = "", .eos = "", .bytes_max = 1 << 20};
	struct buf text;
	buf_init(&text, 10000);
	assert_int_equal(render(t, &in, &text, NULL, NULL), 0);
	assert_non_null(strstr(buf_str(&text), "user\n  a\n <|im_end|>"));
	assert_non_null(strstr(buf_str(&text), "assistant\nb<|im_end|>"));
	assert_non_null(strstr(buf_str(&text), "user\n c\n<|im_end|>"));
	buf_done(&text);
	ll_template_destroy(t);
}

/* --- Our nodes do what the engine's do --------------------------------------------------------------------------- */

#define HEAD "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_generation_prompt\":true,\"messages\":["
static const char *const conversations[] = {
	HEAD "{\"role\":\"user\",\"content\":\"Hi\"}]}",
	HEAD
	"{\"role\":\"system\",\"content\":\" Be good. \"},{\"role\":\"user\",\"content\":\"a </think> b\"},"
	"{\"role\":\"assistant\",\"content\":\"<think>\\nx\\n</think>\\n\\ny\"},{\"role\":\"user\",\"content\":\"\"}]}",
	HEAD
	"{\"role\":\"user\",\"content\":\"w\"},{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\","
	"\"tool_calls\":[{\"id\":\"call_0001\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"z\":"
	"[1,2.5,"
	"{\"k\":null,\"t\":true}],\"a\":\"it's\"}}},{\"id\":\"call_0002\",\"type\":\"function\",\"function\":{\"name\":"
	"\"g\","
	"\"arguments\":{}}}]},{\"role\":\"tool\",\"content\":\"r1\",\"tool_call_id\":\"call_0001\",\"name\":\"f\"},"
	"{\"role\":\"tool\",\"content\":\"r2\",\"tool_call_id\":\"call_0002\",\"name\":\"g\"},"
	"{\"role\":\"assistant\",\"content\":\"done\"},{\"role\":\"user\",\"content\":\"and\\nnow? \"}],\"tools\":["
	"{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\","
	"\"required\":[\"a\"],\"properties\":{\"z\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}},\"a\":{"
	"\"type\":"
	"[\"string\",\"null\"],\"enum\":[\"x\",\"y\"],\"description\":\"q\"}}}}},{\"type\":\"function\",\"function\":"
	"{\"name\":\"g\",\"description\":\"\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}],"
	"\"enable_thinking\":true,\"date_string\":\"26 Jul 2024\"}",
	HEAD "{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
	     "\"p1\"},"
	     "{\"type\":\"text\",\"text\":\"p2\"}]},{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"assistant\","
	     "\"content\":"
	     "\"b\"},{\"role\":\"user\",\"content\":\"c\"}],\"enable_thinking\":false,\"documents\":[{\"title\":\"t\","
	     "\"text\":\"x\"}],"
	     "\"reasoning_effort\":\"high\"}",
};

/* Small templates for what the large ones seldom do. */
static const char *const corners[] = {
	"{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ loop.previtem.role }}{% else "
	"%}none{% endfor %}",
	"{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% if loop.index == 3 %}{% "
	"break %}{% endif %}"
	"{% else %}E{% endfor %}",
	"{% set ns = namespace(n=none) %}{% for m in messages %}{% if not ns.n %}{% if m.role == 'assistant' %}{% set "
	"ns.n = loop.index %}"
	"{% endif %}{% endif %}{% endfor %}{{ ns.n }}",
	"{% set ns = namespace(s=false) %}{% for i in range(9) %}{% if ns.s %}{% elif i == 4 %}{% set ns.s = true %}{% "
	"else %}{{ i }}"
	"{% endif %}{% endfor %}{{ i }}",
	"{% for i in range(5, 0, -2) %}{{ i }},{% endfor %}{% for i in range(3, 3) %}x{% else %}empty{% endfor %}{% "
	"for i in range(2, 9, 3) %}"
	"{{ loop.revindex0 }}{{ i }};{% endfor %}",
	"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k ~ v }}{% endfor %}{% for k in {'x': 1} %}{{ k }}{% endfor %}",
	"{% macro f(x, y='d') %}[{{ x }}{{ y }}{{ loop.index }}]{% endmacro %}{% for m in messages %}{{ f(m.role) }}{% "
	"endfor %}{{ f('q', y=2) }}",
	"{{ 'a,b,,c'.split(',') }}{{ 'a,b,,c'.split(',', 1) }}{{ 'a,b,,c'.rsplit(',', 2) }}{{ 'aXbX'.rsplit('X') }}{{ "
	"',a'.split(',')[0] }}|",
	"{{ 'banana'.replace('an', 'o') }}{{ 'ab' | replace('', '-') }}{{ messages[0].content | replace('i', '<') }}{{ "
	"'x' | replace('x', 'x') }}",
	"{{ [3, 1, 2] | sort }}{{ ['b', 'a'] | sort(reverse=true) }}{{ messages | sort(attribute='role') | "
	"map(attribute='role') | join(',') }}"
	"{{ {'b': 1, 'a': 2} | dictsort }}{{ {'b': 1, 'a': 2} | dictsort(by='value') }}",
	"{{ 'ab' * 3 }}{{ 2 * 'x' }}{{ 'q' * -1 }}{{ 2 * 3 }}{{ 2 * 1.5 }}{{ 7 is divisibleby(7) }}{{ 7 is not "
	"divisibleby(2) }}",
	"{{ messages[-1].role }}{{ messages[99] }}{{ 'abc'[1] }}{{ 'abc'[::-1] }}{{ messages[1:] | length }}{{ "
	"'abc'[:2] }}{{ none.x }}{{ x.y }}",
	"{% set x %} a {{ messages[0].content }} {% endset %}{{ x | trim }}{% set a, b = [1, 2] %}{{ b ~ a }}{% filter "
	"upper %}q{{ 1 }}{% endfilter %}",
	"{% macro outer() %}<{{ caller() }}>{% endmacro %}{% call outer() %}{{ messages[0].role }}{% endcall %}",
	"{{ [1, [2, ['x']]] }}{{ {'a': [1]} }}{{ {'a': [1]} | tojson(indent=2) }}{{ 'x\ny' | indent(3, true) }}{{ '{} "
	"{}'.format('a', 1) }}",
	"{{ messages[0].content.upper().title() | capitalize }}{{ 12 | string }}{{ 1.50 }}{{ true }}{{ none }}{{ "
	"[none] }}{{ 'a' in 'cat' }}{{ 1 in [1] }}",
	"{{ namespace(a=1).a }}{{ dict(b=2)['b'] }}{{ range(3) }}{{ messages | selectattr('role', 'equalto', 'user') | "
	"list | length }}",
	"{{ raise_exception('no') }}",
	"{{ 'a' * 'b' }}",
	"{{ messages.nothing() }}",
	"{{ 3 | nofilter }}",
	"{% for a, b in messages %}x{% endfor %}",
};

/* 1: equal texts; 0: both refuse. */
static int compare_engine(const char *name, const char *source, const char *json)
{
	CLEANUP(free_p) char *want = oracle_engine(source, json, false), *got = oracle_engine(source, json, true);
	if (!want != !got || (want && strcmp(want, got) != 0))
		fail_msg("%s\n%s\n--- ours\n%s\n--- the engine\n%s", name, json, got ? got : "(refused)",
			want ? want : "(refused)");
	return want != NULL;
}

static void nodes_of_ours_render_as_the_engines_own(void **state)
{
	(void)state;
	glob_t found;
	uint32_t rendered = 0;
	assert_int_equal(glob(llama_data("templates/*.jinja"), 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		CLEANUP(free_p) char *source = file_text(found.gl_pathv[i], NULL);
		for (uint32_t c = 0; c < ARRAY_LEN(conversations); c++)
			rendered += (uint32_t)compare_engine(found.gl_pathv[i], source, conversations[c]);
	}
	globfree(&found);
	assert_in_range(rendered, 150, 1000);
	rendered = 0;
	for (uint32_t i = 0; i < ARRAY_LEN(corners); i++)
		for (uint32_t c = 0; c < ARRAY_LEN(conversations); c++)
			rendered += (uint32_t)compare_engine(corners[i], corners[i], conversations[c]);
	assert_in_range(rendered, 60, 1000);
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

static void expect_refused(const char *source, const char *words)
{
	struct ll_template *t = NULL;
	struct err err = {0};
	assert_true(ll_template_create(&t, source, strlen(source), &err) < 0);
	assert_null(t);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

/* --- What a render may cost ------------------------------------------------------------------------------------------ */

struct costly {
	const char *source;
	int code;
	const char *words;
};

/* content: of the one message. */
static void expect_costly(const struct costly *x, const char *content)
{
	struct ll_message turns[] = {message("user", content)};
	struct ll_render in = request(turns, 1);
	struct err err = {0};
	struct buf text, source;
	buf_init(&source, 10000); /* the analysis has no "zero" */
	buf_printf(&source, "{%% if zero is defined %%}%s{%% endif %%}", x->source);
	struct ll_template *t = template_of(buf_str(&source));
	buf_done(&source);
	in.cpu_ms_max = x->code == -ETIME ? 200 : 60000; /* what ends for another cause ends so on any machine */
	in.kwargs_json =
		"{\"kilo\": \"0123456789012345678901234567890123456789\", \"mixed\": [\"b\", 1, 2.5, \"a\", true, "
		"null, [1], {\"x\": 2}, \"10\", 9, \"9\", -1e300, false, \"\"], \"zero\": 0, \"huge\": "
		"9007199254740993}";
	buf_init(&text, 64 << 20);
	int code = render(t, &in, &text, NULL, &err);
	if (code != x->code || (code < 0 && !strstr(err.msg, x->words)))
		fail_msg("%s: %d %s", x->source, code, err.msg);
	buf_done(&text);
	ll_template_destroy(t);
}

#define NS "{% set ns = namespace(x=[], s='ab') %}"
static void a_costly_template_ends_with_a_sentence(void **state)
{
	(void)state;
	static const struct costly list[] = {
		/* time */
		{"{% for i in range(999999999) %}{% for j in range(999999999) %}{% endfor %}{% endfor %}", -ETIME,
			"took too long"},
		{"{% for i in range(huge) %}{% if i == -1 %}x{% endif %}{% endfor %}", -ETIME, "took too long"},
		{NS "{% for i in range(huge) %}{% set ns.x = ns.x + [i] %}{% endfor %}", -ETIME, "took too long"},
		{NS "{% for i in range(huge) %}{% set ns.y = messages[0].content + '' %}{% endfor %}", -ETIME,
			"took too long"},
		{"{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
			-ETIME, "took too long"},
		/* text */
		{"{% for i in range(huge) %}{{ kilo }}{% endfor %}", -E2BIG, "more than 1048576 bytes"},
		{NS "{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", -E2BIG,
			"more than 1048576 bytes"},
		{NS "{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}", -E2BIG, "bytes"},
		{"{{ kilo * huge }}", -E2BIG, "more than 1048576 bytes"},
		{"{{ huge * kilo }}", -E2BIG, "more than 1048576 bytes"},
		{NS "{% for i in range(5) %}{% set ns.s = ns.s | replace('', kilo) %}{% endfor %}", -E2BIG, "bytes"},
		{NS "{% for i in range(5) %}{% set ns.s = ns.s | replace('a', kilo ~ 'aaaa' ~ kilo) | replace('0', "
		    "'aaaa') %}{% endfor %}",
			-E2BIG, "bytes"},
		{"{{ range(100000) | join(kilo) }}", -E2BIG, "bytes"},
		{NS "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}", -E2BIG,
			"bytes"},
		{NS "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}", -E2BIG, "bytes"},
		{NS "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x ~ '' }}", -E2BIG,
			"bytes"},
		{NS "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | string }}", -E2BIG,
			"bytes"},
		{NS "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | upper }}", -E2BIG,
			"bytes"},
		{"{{ messages | tojson(indent=999999999) }}", -EINVAL, "indentation"},
		{"{{ kilo | indent(huge) }}", -EINVAL, "indentation"},
		{"{{ range(huge) | length }}", -EINVAL, "1048576 numbers"},
		{"{% for i in range(0, huge) | list %}{% endfor %}", -EINVAL, "1048576 numbers"},
		/* depth */
		{NS "{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}", -EINVAL,
			"nests too deep"},
		{NS "{% for i in range(100000) %}{% set ns.x = (ns.x, 1) %}{% endfor %}", -EINVAL, "nests too deep"},
		{NS "{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}", -EINVAL, "nests too deep"},
		{NS "{% for i in range(100000) %}{% set ns.x = dict(a=ns.x) %}{% endfor %}", -EINVAL, "nests too deep"},
		{NS "{% for i in range(100000) %}{% set ns.x = namespace(a=ns.x) %}{% endfor %}", -EINVAL,
			"nests too deep"},
		{NS "{% for i in range(100000) %}{% set y = [] %}{% set z = y.append(ns.x) %}{% set ns.x = y %}{% "
		    "endfor %}",
			-EINVAL, "nests too deep"},
		{NS "{% for i in range(100000) %}{% set y = namespace() %}{% set y.a = ns.x %}{% set ns.x = y %}{% "
		    "endfor %}",
			-EINVAL, "nests too deep"},
		{NS "{% set ns.end = ns.x %}{% for i in range(100000) %}{% set y = [] %}{% set z = ns.end.append(y) "
		    "%}{% set ns.end = y %}"
		    "{% endfor %}",
			-EINVAL, "nests too deep"},
		{"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", -EINVAL, "nests too deep"},
		{"{% macro f(x) %}{% call f(x) %}{% endcall %}{% endmacro %}{{ f(1) }}", -EINVAL, "nests too deep"},
		{NS "{% set ns.x = ns %}", -EINVAL, "hold itself"},
		{NS "{% set ns.x = [ns] %}", -EINVAL, "hold itself"},
		{"{% set l = [] %}{% set m = [l] %}{% set x = l.append(m) %}", -EINVAL, "hold itself"},
		{NS "{% set ns.f = ns.x.append %}", -EINVAL, "cannot hold a function"},
		{"{% macro f() %}{% endmacro %}{% set l = [f] %}", -EINVAL, "cannot hold a function"},
		/* what the processor or the library fails on */
		{"{{ 7 is divisibleby(zero) }}", -EINVAL, "divisibleby"},
		{"{{ [7] | select('divisibleby', zero) | list }}", -EINVAL, "divisibleby"},
		{"{{ mixed | sort | length }}{{ mixed | sort(reverse=true) | length }}", 0, ""},
		{"{{ {'b': mixed, 'a': 1, 'c': 'x'} | dictsort(by='value') | length }}", 0, ""},
		{"{{ (messages[0].content * 90000).split('x') | length }}", 0, ""},
		{"{{ (messages[0].content * 90000).rsplit('x') | length }}", 0, ""},
		{"{{ (messages[0].content * 40000) | replace('x', 'yyy') | length }}", 0, ""},
	};
	for (uint32_t i = 0; i < ARRAY_LEN(list); i++)
		expect_costly(&list[i], "xaxbxcx");
}

/* In MiB: what /proc/self/status says under name. */
static long memory(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long ret = -1;
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, name, strlen(name)) == 0)
			ret = strtol(line + strlen(name), NULL, 10) / 1024;
	assert_int_equal(fclose(f), 0);
	assert_true(ret >= 0);
	return ret;
}

/* How far the process grew at most while source was rendered, in MiB. The template's analysis has no "zero". */
static long grown(const char *source, const struct ll_message *m, bool is_bounded)
{
	struct ll_render in = request(m, 1);
	struct err err = {0};
	struct ll_parts parts = {0};
	struct buf gated;
	buf_init(&gated, 10000);
	buf_printf(&gated, "{%% if zero is defined %%}%s{%% endif %%}", source);
	struct ll_template *t = template_of(buf_str(&gated));
	buf_done(&gated);
	in.kwargs_json = "{\"zero\": 0}";
	in.bytes_max = 2 * HTTP_BODY_BYTES_MAX;
	malloc_trim(0);
	FILE *f = fopen("/proc/self/clear_refs", "w");
	assert_non_null(f);
	fputs("5", f); /* the peak starts again */
	assert_int_equal(fclose(f), 0);
	long before = memory("VmRSS:");
	int code = ll_template_render(t, &in, &parts, &err);
	bool is_told = (code == -E2BIG && strstr(err.msg, "the prompt has more than 67108864 bytes")) ||
		       (code == -EINVAL && strstr(err.msg, "MiB of memory for these messages"));
	if (is_bounded ? !is_told : code != 0)
		fail_msg("%s: %d %s", source, code, err.msg);
	ll_parts_done(&parts);
	ll_template_destroy(t);
	return memory("VmHWM:") - before;
}

#define KEEP "{% set ns = namespace(x=messages[0].content, l=[]) %}"
static void what_a_render_holds_is_bounded(void **state)
{
	(void)state;
	static const char *const list[] = {
		KEEP "{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", /* parts */
		KEEP "{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
		KEEP "{% set ns.x = 'a' %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
		KEEP "{% for i in range(9999) %}{% set _ = ns.l.append(ns.x | upper) %}{% endfor %}", /* texts kept */
		KEEP "{% for i in range(9999) %}{% set _ = ns.l.append(ns.x | upper | trim) %}{% endfor %}",
		KEEP "{% for i in range(9999) %}{% set ns.l = [ns.l, ns.x | lower] %}{% endfor %}",
		KEEP
		"{% for i in range(60) %}{% set _ = ns.l.append(range(1000000) | list) %}{% endfor %}", /* values */
		KEEP "{% for i in range(9999) %}{% set ns.l = ns.l + range(100000) | list %}{% endfor %}",
		KEEP "{{ ns.x.split('a') | length }}",
		KEEP "{{ range(1000000) | map(attribute='x', default='y') | list | length }}",
		KEEP "{% macro f(x) %}{{ f(x ~ 'b') }}{% endmacro %}{{ f(ns.x) }}", /* stack of calls */
	};
	struct buf content;
	buf_init(&content, 2 << 20);
	for (int i = 0; i < 1 << 20; i++)
		assert_int_equal(buf_add(&content, "a", 1), 0);
	struct ll_message m = message("user", buf_str(&content));
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		long mib = grown(list[i], &m, true);
#ifndef __SANITIZE_ADDRESS__ /* it keeps what is freed, and writes beside it */
		if (getenv("VERBOSE"))
			print_message("%ld MiB: %s\n", mib, list[i]);
		if (mib > 600) /* 224, and a text of 64 twice as long, with its copies, before it is looked at */
			fail_msg("%s: %ld MiB", list[i], mib);
#else
		(void)mib;
#endif
	}
	buf_done(&content);
}

static void a_prompt_of_a_whole_body_is_rendered(void **state)
{
	(void)state;
	struct buf content;
	buf_init(&content, HTTP_BODY_BYTES_MAX);
	for (uint32_t i = 0; i < HTTP_BODY_BYTES_MAX / 8 - 1; i++)
		assert_int_equal(buf_add(&content, "so many ", 8), 0);
	struct ll_message m = message("user", buf_str(&content));
	/* The ways of templates: pieces joined, a text kept, a macro, blanks taken off. */
	grown("{% for m in messages %}{{ '<|' + m['role'] + '|>' + (m['content'] | trim) + '<|end|>' }}{% endfor %}",
		&m, false);
	grown("{% macro f(c) %}{{ c | trim }}{% endmacro %}{% for m in messages %}{% set c = f(m.content) %}"
	      "{{ '<|' ~ m.role ~ '|>' }}{{ c }}{% endfor %}",
		&m, false);
	buf_done(&content);
}

static void a_template_that_is_costly_to_analyse_is_refused(void **state)
{
	(void)state;
	expect_refused(
		"{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}", "too long");
}

/* Grows with the square when a turn of the inner loop costs something. */
static void looking_back_over_a_long_conversation_is_cheap(void **state)
{
	(void)state;
	enum { TURNS = 8000 };
	CLEANUP(free_p) char *source = file_text(llama_data("templates/google-gemma-4-31B-it.jinja"), NULL);
	CLEANUP(free_p) struct ll_message *turns = calloc(TURNS, sizeof *turns);
	struct ll_template *t = template_of(source);
	struct ll_render in = request(turns, TURNS);
	struct buf text;
	assert_non_null(turns);
	for (int i = 0; i < TURNS; i++)
		turns[i] = message(i % 2 ? "assistant" : "user", "Hello, what about it?");
	in.bytes_max = 4 << 20;
	in.cpu_ms_max = 10000; /* some 400 ms; with the engine's own loops 6 minutes */
	buf_init(&text, 4 << 20);
	assert_int_equal(render(t, &in, &text, NULL, NULL), 0);
	assert_non_null(strstr(buf_str(&text), "<|turn>model\nHello, what about it?<turn|>\n<|turn>user\n"));
	buf_done(&text);
	ll_template_destroy(t);
}

/* Each turn with a namespace that takes a list later, as Kimi's template makes them: what is gone counts no more. Something else
 * is kept in its place, so that each has another address. */
static void turns_may_each_have_a_list_in_a_namespace(void **state)
{
	(void)state;
	enum { TURNS = 6000 };
	struct ll_template *t =
		template_of("{% set all = [] %}{% for m in messages %}{% set run = namespace(l=[]) %}"
			    "{% set run.l = run.l + [m] %}{{ run.l[0].content }}{% endfor %}"
			    "{% for m in messages %}{% set run = namespace(l=[]) %}{% set run.l = run.l + [m] %}"
			    "{% set run = none %}{% set _ = all.append(namespace(x=1)) %}{% endfor %}");
	CLEANUP(free_p) struct ll_message *turns = calloc(TURNS, sizeof *turns);
	struct ll_render in = request(turns, TURNS);
	struct err err = {0};
	struct buf text;
	assert_non_null(turns);
	for (int i = 0; i < TURNS; i++)
		turns[i] = message(i % 2 ? "assistant" : "user", "Hello");
	in.bytes_max = 1 << 20;
	in.cpu_ms_max = 60000;
	buf_init(&text, 1 << 20);
	if (render(t, &in, &text, NULL, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(text.len, TURNS * 5);
	buf_done(&text);
	ll_template_destroy(t);
}

static atomic_bool unwanted;

static void a_render_ends_when_nobody_wants_it(void **state)
{
	(void)state;
	struct ll_message turns[] = {message("user", "x")};
	struct ll_template *t =
		template_of("{% if messages[0].content == 'x' %}{% for i in range(99999999) %}{% for j in range(i) %}"
			    "{% if j == -1 %}{% endif %}{% endfor %}{% endfor %}{% endif %}");
	struct ll_render in = request(turns, 1);
	struct err err = {0};
	struct buf text;
	struct busy busy;
	in.cancelled = &unwanted;
	buf_init(&text, 1000);
	busy_cancel_begin(&busy, &unwanted, 20 * 1000);
	assert_int_equal(render(t, &in, &text, NULL, &err), -ECANCELED);
	busy_cancel_end(&busy);
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
	assert_non_null(strstr(err.msg, "more than 20 bytes"));
	buf_done(&text);
	ll_template_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prompts_equal_llama_cpps_own),
		cmocka_unit_test(blanks_around_what_others_wrote_stay),
		cmocka_unit_test(nodes_of_ours_render_as_the_engines_own),
		cmocka_unit_test(parts_tell_the_callers_text_apart),
		cmocka_unit_test(the_guard_sees_every_text_of_the_caller),
		cmocka_unit_test(tool_calls_reach_the_template_as_objects),
		cmocka_unit_test(arguments_of_a_tool_call_nest_as_deep_as_a_body_and_no_deeper),
		cmocka_unit_test(the_values_of_one_request_are_counted_together),
		cmocka_unit_test(every_json_text_of_a_request_is_bounded),
		cmocka_unit_test(keyword_arguments_replace_nothing_of_ours),
		cmocka_unit_test(a_costly_template_ends_with_a_sentence),
		cmocka_unit_test(what_a_render_holds_is_bounded),
		cmocka_unit_test(a_prompt_of_a_whole_body_is_rendered),
		cmocka_unit_test(a_template_that_is_costly_to_analyse_is_refused),
		cmocka_unit_test(looking_back_over_a_long_conversation_is_cheap),
		cmocka_unit_test(turns_may_each_have_a_list_in_a_namespace),
		cmocka_unit_test(a_render_ends_when_nobody_wants_it),
		cmocka_unit_test(a_given_date_is_the_templates_today),
		cmocka_unit_test(broken_and_hostile_templates_are_refused),
		cmocka_unit_test(a_templates_own_refusal_is_told),
		cmocka_unit_test(a_result_past_its_bound_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
