/* request_template.c - what a chat request has for the template besides messages: its variables, and tools that are shown and
 * not to be called. */
#include "base/limits.h"
#include "config/json_parse.h"
#include "frontend/request_priv.h"
#include "llama/template.h"

static int add_text(const char *text, size_t len, void *ctx)
{
	return buf_add(ctx, text, len);
}

/* Not by json_dumps: when its memory ends inside a key, jansson 2.14 leaves the key out and says nothing. */
const char *request_keep_json(const json_t *value, struct arena *arena)
{
	struct buf text;

	buf_init(&text, REQUEST_ARENA_BYTES_MAX);
	bool failed = json_dump_callback(value, add_text, &text, JSON_COMPACT) < 0 || text.failed;
	const char *kept = failed ? NULL : arena_strndup(arena, buf_str(&text), text.len);
	buf_done(&text);
	return kept;
}

/* ---- variables ---- */

/* Fields of the body that are variables of templates under this name, as vLLM, SGLang and llama-server pass them. */
static const struct variable {
	const char *field, *name;
	json_type type;
	const char *what; /* it must be */
} variables[] = {
	{"documents", "documents", JSON_ARRAY, "an array"},
	{"reasoning_effort", "reasoning_effort", JSON_STRING, "a string"},
	{"enable_thinking", "enable_thinking", JSON_TRUE, "true or false"},
	{"think", "enable_thinking", JSON_TRUE, "true or false"}, /* Ollama's name */
};
/* "reasoning": {"effort": "low"}, as the Responses API and routers of many providers have it. */
static const struct variable reasoning_effort = {"reasoning.effort", "reasoning_effort", JSON_STRING, "a string"};

static const char *const efforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

static bool has_type(const json_t *v, json_type type)
{
	return json_typeof(v) == type || (type == JSON_TRUE && json_is_false(v));
}

static int check_size(const json_t *v, const char *name, struct api_error *e)
{
	size_t len = json_dumpb(v, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!len)
		return out_of_memory(e);
	if (len <= TEMPLATE_KWARGS_BYTES_MAX)
		return 0;
	return api_error_set(
		e, 400, NULL, name, "\"%s\" has %zu bytes; at most %d are taken", name, len, TEMPLATE_KWARGS_BYTES_MAX);
}

static int read_variable(json_t *vars, const struct variable *var, json_t *v, struct api_error *e)
{
	uint32_t effort;

	if (!has_type(v, var->type))
		return json_in_wrong_type(e, var->field, var->what, v);
	if (check_size(v, var->field, e) < 0)
		return -EINVAL;
	if (var->type == JSON_STRING && request_read_word(v, var->field, efforts, ARRAY_LEN(efforts), &effort, e) < 0)
		return -EINVAL;
	if (json_object_set(vars, var->name, v) < 0)
		return out_of_memory(e);
	/* To most templates thinking is on or off. */
	if (var->type == JSON_STRING && !effort && json_object_set_new(vars, "enable_thinking", json_false()) < 0)
		return out_of_memory(e);
	return 0;
}

static int read_kwargs(json_t *vars, json_t *kwargs, struct api_error *e)
{
	static const char name[] = "chat_template_kwargs";

	if (!json_is_object(kwargs))
		return json_in_wrong_type(e, name, "an object", kwargs);
	for (void *it = json_object_iter(kwargs); it; it = json_object_iter_next(kwargs, it)) {
		const char *key = json_object_iter_key(it);
		if (ll_template_sets(key))
			return api_error_set(e, 400, NULL, name,
				"\"%s\" has \"%.64s\", which the server sets itself; leave it out", name, key);
	}
	if (check_size(kwargs, name, e) < 0)
		return -EINVAL;
	return json_object_update(vars, kwargs) < 0 ? out_of_memory(e) : 0;
}

/* chat_template_kwargs last: who names a variable there means the template's own. */
static int fill_variables(json_t *vars, const json_t *root, struct api_error *e)
{
	json_t *kwargs = json_in_get(root, "chat_template_kwargs");

	for (uint32_t i = 0; i < ARRAY_LEN(variables); i++) {
		json_t *v = json_in_get(root, variables[i].field);
		if (v && read_variable(vars, &variables[i], v, e) < 0)
			return -EINVAL;
	}
	json_t *reasoning = json_in_get(root, "reasoning"), *effort = json_in_get(reasoning, "effort");
	if (reasoning && !json_is_object(reasoning))
		return json_in_wrong_type(e, "reasoning", "an object", reasoning);
	if (effort && read_variable(vars, &reasoning_effort, effort, e) < 0)
		return -EINVAL;
	return kwargs ? read_kwargs(vars, kwargs, e) : 0;
}

static int read_variables(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	bool any = json_in_get(root, "chat_template_kwargs") || json_in_get(root, "reasoning");

	for (uint32_t i = 0; i < ARRAY_LEN(variables); i++)
		any |= json_in_get(root, variables[i].field) != NULL;
	json_t *vars = any ? json_object() : NULL;
	if (!any)
		return 0;
	if (!vars)
		return out_of_memory(e);
	int code = fill_variables(vars, root, e);
	if (code == 0 && json_object_size(vars)) {
		r->kwargs_json = request_keep_json(vars, arena);
		code = r->kwargs_json ? 0 : out_of_memory(e);
	}
	json_decref(vars);
	return code;
}

/* ---- tools ---- */

static int check_tool(const json_t *tool, const char *list, size_t i, bool wrapped, struct api_error *e)
{
	char param[API_PARAM_BYTES_MAX];
	const json_t *function = wrapped ? json_in_get(tool, "function") : tool;

	if (json_string_length(json_in_get(function, "name")) &&
		(!wrapped || json_in_is(json_in_get(tool, "type"), "function")))
		return 0;
	snprintf(param, sizeof param, "%s[%zu]", list, i);
	return api_error_set(e, 400, NULL, param, "\"%s\" is no function; it needs %s", param,
		wrapped ? "{\"type\": \"function\", \"function\": {\"name\": \"...\"}}" : "{\"name\": \"...\"}");
}

/* The newer form of the older list. Returns owned; NULL: out of memory. */
static json_t *wrap_functions(json_t *functions)
{
	json_t *tools = json_array(), *function;
	bool ok = tools != NULL;
	size_t i;

	json_array_foreach(functions, i, function)
	{
		json_t *tool = json_object();
		ok = ok && tool && json_object_set_new(tool, "type", json_string("function")) == 0 &&
		     json_object_set(tool, "function", function) == 0 && json_array_append(tools, tool) == 0;
		json_decref(tool);
	}
	if (!ok)
		json_decref(tools);
	return ok ? tools : NULL;
}

/* Tools that may be called have been refused; what is left is to be seen by the model only. */
static int read_tools(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	json_t *tools = json_in_get(root, "tools"), *functions = json_in_get(root, "functions");
	bool wrapped = tools && (!json_is_array(tools) || json_array_size(tools));
	json_t *list = wrapped ? tools : functions;
	const char *name = wrapped ? "tools" : "functions";

	if (!list || (json_is_array(list) && !json_array_size(list)))
		return 0;
	if (!json_is_array(list))
		return json_in_wrong_type(e, name, "an array", list);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (check_tool(json_array_get(list, i), name, i, wrapped, e) < 0)
			return -EINVAL;
	json_t *shown = wrapped ? json_incref(list) : wrap_functions(list);
	r->tools_json = shown ? request_keep_json(shown, arena) : NULL;
	json_decref(shown);
	return r->tools_json ? 0 : out_of_memory(e);
}

int request_read_template(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *prompt = json_in_get(root, "add_generation_prompt");

	if (prompt && !json_is_boolean(prompt))
		return json_in_wrong_type(e, "add_generation_prompt", "true or false", prompt);
	r->no_generation_prompt = json_is_false(prompt);
	if (json_is_true(json_in_get(root, "parse_special")))
		return api_error_set(e, 400, "unsupported_parameter", "parse_special",
			"\"parse_special\" is for the prompts of /v1/completions; text of a message never becomes a "
			"control token");
	return read_variables(r, root, arena, e) < 0 ? -EINVAL : read_tools(r, root, arena, e);
}
