/* template.cpp - Jinja templates by llama.cpp's engine, without its entry that analyses the template on every call.
 *
 * The values a template sees are built straight from the caller's arrays. What llama.cpp's own entry does to messages
 * first (its "workarounds", common/chat.cpp) is done here too, so that the text is the same; a test compares them. */
#include "llama/template.h"
#include "base/limits.h"
#include "config/json_parse.h"
#include "llama/edge.hpp"
#include "llama/template.hpp"

#include <jinja/caps.h>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>

struct ll_template {
	std::string source;
	jinja::program program;
	jinja::caps caps;
	struct ll_template_caps facts = {};
	bool trims_answers = false, knows_developer = false;
};

/* --- Analysis --------------------------------------------------------------------------------------------------- */

namespace
{
/* Depth of brackets and blocks, roughly: strings are not told apart, which only makes the bound stricter by what a
 * real template's strings hold. The parser and the runtime recurse once or more a level. */
uint32_t nesting_of(const std::string &s)
{
	uint32_t depth = 0, most = 0;
	for (size_t i = 0; i < s.size(); i++) {
		bool opens = strchr("([{", s[i]) != nullptr && s[i];
		bool closes = strchr(")]}", s[i]) != nullptr && s[i];
		if (s[i] == '%' && i > 0 && s[i - 1] == '{') {
			size_t word = s.find_first_not_of("-+ \t\n", i + 1);
			if (word != std::string::npos &&
				(s.compare(word, 2, "if") == 0 || s.compare(word, 3, "for") == 0))
				depth++;
			if (word != std::string::npos && s.compare(word, 3, "end") == 0 && depth > 0)
				depth--;
		}
		depth += opens;
		if (closes && depth > 0)
			depth--;
		most = depth > most ? depth : most;
	}
	return most;
}

/* Chains that recurse without brackets: "not not not x", "a ~ b ~ c", "x|f|f|f", ternaries. Counted as the most
 * operators between two statement borders. */
uint32_t chain_of(const std::string &s)
{
	uint32_t count = 0, most = 0;
	for (size_t i = 0; i + 1 < s.size(); i++) {
		if (s[i] == '{' && (s[i + 1] == '{' || s[i + 1] == '%'))
			count = 0;
		bool word =
			(s.compare(i, 4, "not ") == 0 || s.compare(i, 5, "else ") == 0) && (i == 0 || s[i - 1] == ' ');
		count += word || strchr("+-~*/|.%", s[i]) != nullptr;
		most = count > most ? count : most;
	}
	return most;
}

constexpr uint32_t CHAIN_MAX = 4096;
/* The analysis renders a message or two, some times. */
constexpr uint32_t ANALYSIS_BYTES_MAX = 16 * 1024 * 1024, ANALYSIS_CPU_MS_MAX = 2000;
constexpr int64_t ANALYSIS_HELD_BYTES_MAX = 64 * 1024 * 1024;

int check_source(const std::string &source, struct err *err)
{
	if (source.size() > LL_TEMPLATE_BYTES_MAX)
		return err_set(
			err, -E2BIG, "a template of %zu bytes, %d are possible", source.size(), LL_TEMPLATE_BYTES_MAX);
	uint32_t nesting = nesting_of(source);
	if (nesting > LL_TEMPLATE_NESTING_MAX)
		return err_set(err, -E2BIG, "its brackets and blocks are nested %u deep, %d are possible", nesting,
			LL_TEMPLATE_NESTING_MAX);
	if (chain_of(source) > CHAIN_MAX)
		return err_set(err, -E2BIG, "an expression has more than %u operators", CHAIN_MAX);
	return 0;
}

/* The engine's messages are a page of source with a caret: keep the first line, which has the cause. */
std::string first_line(const char *what)
{
	std::string text(what);
	size_t begin = text.find_first_not_of("\n ");
	if (begin == std::string::npos)
		return "the template engine gave no reason";
	size_t end = text.find('\n', begin);
	return text.substr(begin, end == std::string::npos ? end : end - begin);
}

void analyse(struct ll_template *t)
{
	jinja::lexer lexer;
	jinja::lexer_result tokens = lexer.tokenize(t->source);
	t->program = jinja::parse_from_tokens(tokens);
	nodes::wrap(t->program);
	meter::state state;
	state.bytes_max = ANALYSIS_BYTES_MAX;
	state.held_max = ANALYSIS_HELD_BYTES_MAX;
	state.stack_end = static_cast<const char *>(__builtin_frame_address(0)) - LL_TEMPLATE_STACK_BYTES;
	budget_begin(&state.budget, ANALYSIS_CPU_MS_MAX);
	meter::scope scope(&state);
	t->caps = jinja::caps_get(t->program);
	if (state.budget.code < 0) /* the analysis takes it for a template that cannot do something */
		throw std::runtime_error("it takes too long, or writes too much");
	t->facts.tools = t->caps.supports_tools;
	t->facts.tool_calls = t->caps.supports_tool_calls;
	t->facts.parallel_tool_calls = t->caps.supports_parallel_tool_calls;
	t->facts.system_role = t->caps.supports_system_role;
	t->facts.thinking = t->source.find("enable_thinking") != std::string::npos ||
			    t->source.find("<think>") != std::string::npos;
	/* StepFun: blanks that were left around its own words send it into loops of reasoning, so llama.cpp trims all messages.
	 * What others wrote is theirs: it stays as the template has it. */
	t->trims_answers =
		t->source.find("You have access to the following functions in JSONSchema format") != std::string::npos;
	t->knows_developer = t->source.find("<|channel|>") != std::string::npos;
}
} // namespace

int ll_template_create(struct ll_template **ret, const char *source, size_t len, struct err *err)
{
	int code = edge::guard(err, [&] {
		auto t = std::make_unique<ll_template>();
		t->source.assign(source, len);
		int bad = check_source(t->source, err);
		if (bad < 0)
			return bad;
		try {
			analyse(t.get());
		} catch (const std::bad_alloc &) {
			throw;
		} catch (const std::exception &e) {
			return err_set(err, -EINVAL, "%s", first_line(e.what()).c_str());
		}
		*ret = t.release();
		return 0;
	});
	return code < 0 ? err_wrap(err, "could not read the chat template") : 0;
}

void ll_template_destroy(struct ll_template *t)
{
	delete t;
}

const struct ll_template_caps *ll_template_caps(const struct ll_template *t)
{
	return &t->facts;
}

bool ll_template_sets(const char *name)
{
	/* What put_globals sets, the engine's own functions and constants, and "loop", which loops set. */
	static const char *const names[] = {"messages", "tools", "bos_token", "eos_token", "add_generation_prompt",
		"date_string", "datetime", "loop", "true", "True", "false", "False", "none", "None"};
	for (const char *own : names)
		if (strcmp(name, own) == 0)
			return true;
	return jinja::global_builtins().count(name) > 0;
}

/* --- Values ----------------------------------------------------------------------------------------------------- */

namespace
{
struct refused : std::runtime_error {
	using std::runtime_error::runtime_error;
};

/* A JSON tree that is gone with its holder. */
struct tree {
	json_t *root;
	explicit tree(json_t *root) : root(root)
	{
	}
	tree(const tree &) = delete;
	tree &operator=(const tree &) = delete;
	~tree()
	{
		json_decref(root);
	}
};

/* The values of a request while they are made, with the copies on the way. Their number is bounded and takes half of it; the rest
 * is for texts. */
constexpr int64_t VALUES_HELD_BYTES_MAX = 512 * 1024 * 1024;
constexpr struct json_bounds BOUNDS = {JSON_DEPTH_MAX, JSON_CONTAINERS_MAX, TEMPLATE_VALUES_MAX, 0, JSON_MEMBERS_MAX};

/* Makes the values of one request; every string that came from the caller passes guard and is marked. left bounds all JSON
 * text of the request together, also what lies as text inside other JSON. */
struct maker {
	const struct ll_render *in;
	struct json_bounds left = BOUNDS;

	jinja::value input(const char *text, size_t len) const
	{
		std::string s(text, len);
		meter::spend(4 + len / 32);
		if (in->guard) {
			struct buf changed;
			buf_init(&changed, len * 64 + 64);
			int code = in->guard(in->guard_ctx, text, len, &changed);
			if (code > 0)
				s.assign(buf_str(&changed), changed.len);
			buf_done(&changed);
			if (code < 0)
				throw std::bad_alloc();
		}
		auto value = jinja::mk_val<jinja::value_string>();
		value->val_str.parts.push_back({true, std::move(s)});
		return value;
	}
	std::string guarded(const char *key) const
	{
		return input(key, strlen(key))->as_string().str();
	}
	/* Returns owned. what is for messages: "the list of tools". */
	json_t *parse(const char *text, size_t len, const char *what)
	{
		struct err err = {};
		size_t offset = 0;
		if (json_bounds_check(&left, &BOUNDS, text, len, &offset, &err) < 0)
			throw refused(std::string(what) + ": " + err.msg);
		json_error_t error;
		json_t *root = json_parse_wide(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
		if (!root && json_is_no_memory(&error))
			throw std::bad_alloc();
		if (!root)
			throw refused(std::string(what) + " is not valid JSON");
		return root;
	}
	/* Recurses a level of nesting: parse has bounded it. */
	jinja::value from_json(const json_t *j) const
	{
		switch (json_typeof(j)) {
		case JSON_STRING:
			return input(json_string_value(j), json_string_length(j));
		case JSON_ARRAY: {
			auto list = jinja::mk_val<jinja::value_array>();
			for (size_t i = 0; i < json_array_size(j); i++)
				list->push_back(from_json(json_array_get(j, i)));
			return list;
		}
		case JSON_OBJECT: {
			auto object = jinja::mk_val<jinja::value_object>();
			const char *key;
			json_t *item;
			json_object_foreach(const_cast<json_t *>(j), key, item)
			{
				/* Keys can be chosen so that the engine's table finds them one behind the other. */
				meter::spend(256);
				object->insert(guarded(key), from_json(item));
			}
			return object;
		}
		case JSON_TRUE:
		case JSON_FALSE:
			return jinja::mk_val<jinja::value_bool>(json_is_true(j));
		case JSON_INTEGER:
			return jinja::mk_val<jinja::value_int>(json_integer_value(j));
		case JSON_REAL:
			return jinja::mk_val<jinja::value_float>(json_real_value(j));
		default:
			return jinja::mk_val<jinja::value_none>();
		}
	}
};

std::string trimmed(const char *text, size_t len)
{
	std::string s(text, len);
	size_t begin = s.find_first_not_of(" \t\r\n"), end = s.find_last_not_of(" \t\r\n");
	return begin == std::string::npos ? "" : s.substr(begin, end - begin + 1);
}

/* Arguments of tool calls come as JSON text; some templates want the object. */
void parse_arguments(maker &make, json_t *calls)
{
	for (size_t i = 0; i < json_array_size(calls); i++) {
		json_t *function = json_object_get(json_array_get(calls, i), "function");
		json_t *arguments = json_object_get(function, "arguments");
		if (!json_is_string(arguments))
			continue;
		json_t *parsed = make.parse(
			json_string_value(arguments), json_string_length(arguments), "the arguments of a tool call");
		if (json_object_set_new(function, "arguments", parsed) < 0)
			throw std::bad_alloc();
	}
}

jinja::value content_value(const struct ll_template *t, const maker &make, const std::string &text)
{
	jinja::value content = make.input(text.data(), text.size());
	if (t->caps.supports_string_content || !t->caps.supports_typed_content)
		return content;
	auto part = jinja::mk_val<jinja::value_object>();
	part->insert("type", jinja::mk_val<jinja::value_string>(std::string("text")));
	part->insert("text", content);
	auto list = jinja::mk_val<jinja::value_array>();
	list->push_back(part);
	return list;
}

/* before: text put in front of the content (a system message the template has no place for). */
jinja::value message_value(
	const struct ll_template *t, maker &make, const struct ll_message &m, const std::string &before)
{
	auto object = jinja::mk_val<jinja::value_object>();
	bool developer = strcmp(m.role, "developer") == 0 && !t->knows_developer;
	const char *role = developer ? "system" : m.role;
	object->insert("role", make.input(role, strlen(role)));
	bool trims = t->trims_answers && strcmp(m.role, "assistant") == 0;
	const char *json = m.extra_json ? m.extra_json : "{}";
	tree extra(make.parse(json, strlen(json), "a message's extra fields"));
	if (!json_is_object(extra.root))
		throw refused("a message's extra fields are not an object");
	json_t *calls = json_object_get(extra.root, "tool_calls");
	if (t->caps.supports_object_arguments)
		parse_arguments(make, calls);
	if (m.content || !before.empty()) {
		std::string text = m.content ? std::string(m.content, m.content_len) : "";
		text = trims ? trimmed(text.data(), text.size()) : text;
		object->insert("content", content_value(t, make, before + text));
	} else if (t->caps.supports_tool_calls && calls) {
		object->insert("content", make.input("", 0)); /* templates that add to it would fail on null */
	} else {
		object->insert("content", jinja::mk_val<jinja::value_none>());
	}
	const char *key;
	json_t *item;
	json_object_foreach(extra.root, key, item)
	{
		if (strcmp(key, "role") == 0 || strcmp(key, "content") == 0)
			continue;
		if (trims && strcmp(key, "reasoning_content") == 0 && json_is_string(item)) {
			std::string text = trimmed(json_string_value(item), json_string_length(item));
			object->insert(make.guarded(key), make.input(text.data(), text.size()));
			continue;
		}
		object->insert(make.guarded(key), make.from_json(item));
	}
	return object;
}

jinja::value messages_value(const struct ll_template *t, maker &make)
{
	const struct ll_render *in = make.in;
	auto list = jinja::mk_val<jinja::value_array>();
	uint32_t first = 0;
	std::string before;
	if (!t->caps.supports_system_role && in->message_count > 0 &&
		(strcmp(in->messages[0].role, "system") == 0 || strcmp(in->messages[0].role, "developer") == 0)) {
		first = 1;
		if (in->message_count > 1 && in->messages[0].content)
			before = std::string(in->messages[0].content, in->messages[0].content_len) + "\n";
	}
	for (uint32_t i = first; i < in->message_count; i++)
		list->push_back(message_value(t, make, in->messages[i], i == first ? before : std::string()));
	return list;
}

void put_text(jinja::context &ctx, const char *name, const std::string &text)
{
	ctx.set_val(name, jinja::mk_val<jinja::value_string>(text));
}

void put_dates(jinja::context &ctx, const struct ll_render *in)
{
	struct tm now = {};
	char date[64], month_first[64];
	if (!in->date || !strptime(in->date, "%d %b %Y", &now)) {
		std::time_t t = ctx.current_time;
		localtime_r(&t, &now);
	} else {
		now.tm_hour = 12; /* away from midnight, whatever the time zone */
		now.tm_isdst = -1;
		ctx.current_time = mktime(&now);
	}
	strftime(date, sizeof date, "%d %b %Y", &now);
	strftime(month_first, sizeof month_first, "%b %d %Y", &now);
	put_text(ctx, "date_string", date);
	put_text(ctx, "datetime", month_first);
}

void put_kwargs(jinja::context &ctx, maker &make)
{
	const char *json = make.in->kwargs_json;
	tree kwargs(make.parse(json, strlen(json), "chat_template_kwargs"));
	if (!json_is_object(kwargs.root))
		throw refused("chat_template_kwargs is not an object");
	const char *key;
	json_t *item;
	json_object_foreach(kwargs.root, key, item)
	{
		if (ll_template_sets(key))
			throw refused("chat_template_kwargs cannot replace \"" + std::string(key) + "\"");
		ctx.set_val(key, make.from_json(item));
	}
}

void put_globals(jinja::context &ctx, const struct ll_template *t, maker &make)
{
	const struct ll_render *in = make.in;
	put_dates(ctx, in);
	ctx.set_val("messages", messages_value(t, make));
	put_text(ctx, "bos_token", in->bos ? in->bos : "");
	put_text(ctx, "eos_token", in->eos ? in->eos : "");
	ctx.set_val("enable_thinking", jinja::mk_val<jinja::value_bool>(in->enable_thinking));
	if (in->add_generation_prompt)
		ctx.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(true));
	if (in->tools_json) {
		tree tools(make.parse(in->tools_json, strlen(in->tools_json), "the list of tools"));
		if (!json_is_array(tools.root))
			throw refused("the list of tools is not an array");
		ctx.set_val("tools", make.from_json(tools.root));
	}
	if (in->kwargs_json)
		put_kwargs(ctx, make);
}

struct result {
	jinja::string text; /* owns the bytes */
	std::vector<struct ll_part> parts;
};

int render(const struct ll_template *t, const struct ll_render *in, struct ll_parts *ret)
{
	meter::state state;
	state.budget.cancelled = in->cancelled;
	state.bytes_max = in->bytes_max;
	state.held_max = VALUES_HELD_BYTES_MAX;
	state.stack_end = static_cast<const char *>(__builtin_frame_address(0)) - LL_TEMPLATE_STACK_BYTES;
	budget_begin(&state.budget, in->cpu_ms_max);
	meter::scope scope(&state);
	/* No source for the context: it serves long error messages only, and copying it costs more than rendering. */
	jinja::context ctx;
	maker make{in};
	put_globals(ctx, t, make);
	state.held_max = std::max<int64_t>(LL_TEMPLATE_HELD_BYTES_MAX, state.held + LL_TEMPLATE_HELD_BYTES_MAX / 2);
	nodes::text text;
	for (const auto &s : t->program.body)
		text.add(s->execute(ctx));
	auto out = std::make_unique<result>();
	out->text = std::move(text.made);
	for (const auto &part : out->text.parts)
		out->parts.push_back({part.val.data(), part.val.size(), part.is_input});
	ret->v = out->parts.data();
	ret->len = (uint32_t)out->parts.size();
	ret->owner = out.release();
	return 0;
}
} // namespace

int ll_template_render(const struct ll_template *t, const struct ll_render *in, struct ll_parts *ret, struct err *err)
{
	return edge::guard(err, [&] {
		try {
			return render(t, in, ret);
		} catch (const std::bad_alloc &) {
			throw;
		} catch (const refused &e) {
			return err_set(err, -EINVAL, "%s", e.what());
		} catch (const meter::exhausted &e) {
			return err_set(err, e.code == -ELOOP || e.code == -ENOBUFS ? -EINVAL : e.code, "%s", e.what());
		} catch (const std::exception &e) {
			return err_set(err, -EINVAL, "the chat template refuses these messages: %s",
				first_line(e.what()).c_str());
		}
	});
}

void ll_parts_done(struct ll_parts *p)
{
	delete static_cast<result *>(p->owner);
	*p = {};
}
