/* request_unsupported.c - what is refused, since a client would believe it was done if it were ignored: a constraint on
 * the answer, another sampler or prompt, or another answer altogether. What only asks for more comfort (metadata, store,
 * service_tier) is ignored, and so is what has the value that does nothing: clients send those. */
#include "config/suggest.h"
#include "frontend/request_priv.h"

/* The value of a field that asks for nothing, besides null. */
enum off {
	OFF_EMPTY, /* false, or an empty list, object or text */
	OFF_NUMBER, /* the same, or the number beside it */
	OFF_TO_ZERO, /* the same, or a number that is not above 0 */
	OFF_TRUE, /* true */
	OFF_NEVER,
};
enum { CHAT = 1, COMPLETION = 2, BOTH = CHAT | COMPLETION };

/* Named by OpenAI, vLLM, SGLang, llama-server, Ollama and Dynamo. */
static const struct unsupported {
	const char *name;
	enum off off;
	unsigned kinds;
	double number;
} unsupported[] = {
	{"audio", OFF_EMPTY, BOTH, 0},
	{"web_search_options", OFF_NEVER, BOTH, 0}, /* {} turns it on */
	/* constraints */
	{"structured_outputs", OFF_EMPTY, BOTH, 0},
	{"guided_json", OFF_EMPTY, BOTH, 0},
	{"guided_regex", OFF_EMPTY, BOTH, 0},
	{"guided_choice", OFF_EMPTY, BOTH, 0},
	{"guided_grammar", OFF_EMPTY, BOTH, 0},
	{"grammar", OFF_EMPTY, BOTH, 0},
	{"json_schema", OFF_EMPTY, BOTH, 0},
	{"regex", OFF_EMPTY, BOTH, 0},
	{"ebnf", OFF_EMPTY, BOTH, 0},
	{"structural_tag", OFF_EMPTY, BOTH, 0},
	{"format", OFF_EMPTY, BOTH, 0},
	{"stop_regex", OFF_EMPTY, BOTH, 0},
	{"bad_words", OFF_EMPTY, BOTH, 0},
	{"allowed_token_ids", OFF_EMPTY, BOTH, 0},
	{"logits_processors", OFF_EMPTY, BOTH, 0},
	{"custom_logit_processor", OFF_EMPTY, BOTH, 0},
	{"t_max_predict_ms", OFF_TO_ZERO, BOTH, 0},
	{"thinking_token_budget", OFF_NUMBER, BOTH, -1},
	{"reasoning_budget", OFF_NUMBER, BOTH, -1},
	/* other samplers */
	{"use_beam_search", OFF_EMPTY, BOTH, 0},
	{"mirostat", OFF_TO_ZERO, BOTH, 0},
	{"mirostat_mode", OFF_TO_ZERO, BOTH, 0},
	{"tfs_z", OFF_NUMBER, BOTH, 1},
	{"tfs", OFF_NUMBER, BOTH, 1},
	{"top_a", OFF_TO_ZERO, BOTH, 0},
	{"top_n_sigma", OFF_TO_ZERO, BOTH, 0},
	{"dynatemp_range", OFF_TO_ZERO, BOTH, 0},
	{"smoothing_factor", OFF_TO_ZERO, BOTH, 0},
	{"xtc_probability", OFF_TO_ZERO, BOTH, 0},
	{"dry_multiplier", OFF_TO_ZERO, BOTH, 0},
	{"options", OFF_EMPTY, BOTH, 0}, /* Ollama's samplers */
	/* other prompts and models */
	{"continue_final_message", OFF_EMPTY, BOTH, 0},
	{"truncate_prompt_tokens", OFF_EMPTY, BOTH, 0},
	{"prompt_embeds", OFF_EMPTY, BOTH, 0},
	{"input_embeds", OFF_EMPTY, BOTH, 0},
	{"chat_template", OFF_EMPTY, CHAT, 0},
	{"lora", OFF_EMPTY, BOTH, 0},
	{"lora_path", OFF_EMPTY, BOTH, 0},
	{"kv_transfer_params", OFF_EMPTY, BOTH, 0},
	{"session_params", OFF_EMPTY, BOTH, 0},
	{"vllm_xargs", OFF_EMPTY, BOTH, 0},
	/* other answers */
	{"prompt_logprobs", OFF_EMPTY, BOTH, 0},
	{"n_probs", OFF_TO_ZERO, BOTH, 0},
	{"logprob_token_ids", OFF_EMPTY, BOTH, 0},
	{"return_token_ids", OFF_EMPTY, BOTH, 0},
	{"return_hidden_states", OFF_EMPTY, BOTH, 0},
	{"return_prompt_text", OFF_EMPTY, BOTH, 0},
	{"response_fields", OFF_EMPTY, BOTH, 0},
	{"skip_special_tokens", OFF_TRUE, BOTH, 0},
	{"no_stop_trim", OFF_EMPTY, BOTH, 0},
	{"echo", OFF_EMPTY, CHAT, 0},
};

/* Members of Dynamo's "nvext". Its samplers are obeyed (request.c), its annotations and hints ask for comfort. */
static const struct unsupported nvext_unsupported[] = {
	{"guided_json", OFF_EMPTY, BOTH, 0},
	{"guided_regex", OFF_EMPTY, BOTH, 0},
	{"guided_choice", OFF_EMPTY, BOTH, 0},
	{"guided_grammar", OFF_EMPTY, BOTH, 0},
	{"token_data", OFF_EMPTY, BOTH, 0},
	{"use_raw_prompt", OFF_EMPTY, BOTH, 0},
	{"max_thinking_tokens", OFF_NUMBER, BOTH, -1},
	{"backend_instance_id", OFF_EMPTY, BOTH, 0},
	{"decode_worker_id", OFF_EMPTY, BOTH, 0},
	{"prefill_worker_id", OFF_EMPTY, BOTH, 0},
	{"routing_constraints", OFF_EMPTY, BOTH, 0},
};

/* Nothing is asked for: null, false, an empty list, object or text. */
static bool is_empty(const json_t *v)
{
	return !v || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
	       (json_is_object(v) && !json_object_size(v)) || (json_is_string(v) && !json_string_length(v));
}

static bool is_off(const struct unsupported *u, const json_t *v)
{
	switch (u->off) {
	case OFF_NUMBER:
		return is_empty(v) || (json_is_number(v) && json_number_value(v) == u->number);
	case OFF_TO_ZERO:
		return is_empty(v) || (json_is_number(v) && json_number_value(v) <= 0);
	case OFF_TRUE:
		return json_is_true(v);
	case OFF_NEVER:
		return false;
	default:
		return is_empty(v);
	}
}

static const struct unsupported *find_unsupported(const struct unsupported *list, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].name[0] == name[0] && !strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

/* By what was sent, which is little, not by what could be. prefix: "nvext.", or "". */
static int refuse_members(const json_t *object, const char *prefix, const struct unsupported *list, uint32_t count,
	enum api_kind kind, struct api_error *e)
{
	char name[API_PARAM_BYTES_MAX];
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		const struct unsupported *u = json_is_null(v) ? NULL : find_unsupported(list, count, key);
		if (!u || !(u->kinds & (kind == API_CHAT ? CHAT : COMPLETION)) || is_off(u, v))
			continue;
		snprintf(name, sizeof name, "%s%s", prefix, u->name);
		return api_error_set(e, 400, "unsupported_parameter", name,
			u->off == OFF_TRUE ? "\"%s\" is not supported yet unless it is true; leave it out"
					   : "\"%s\" is not supported yet; leave it out",
			name);
	}
	return 0;
}

/* tools */

static int not_one_of(
	const char *given, const char *name, const char *const *words, uint32_t count, struct api_error *e)
{
	struct suggest s;
	char list[128] = "";

	suggest_init(&s, given);
	for (uint32_t i = 0; i < count; i++) {
		size_t len = strlen(list);
		snprintf(list + len, sizeof list - len, "%s\"%s\"", i ? ", " : "", words[i]);
		suggest_offer(&s, words[i]);
	}
	const char *best = suggest_best(&s);
	return api_error_set(e, 400, NULL, name, "\"%s\" is \"%.32s\", which is none of %s%s%s%s", name, given, list,
		best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

int request_read_word(
	const json_t *v, const char *name, const char *const *words, uint32_t count, uint32_t *ret, struct api_error *e)
{
	const char *given;

	if (json_in_name(v, name, &given, e) < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(given, words[i])) {
			*ret = i;
			return 0;
		}
	return not_one_of(given, name, words, count, e);
}

static bool has_name(const json_t *object)
{
	return json_string_length(json_in_get(object, "name")) > 0;
}

/* {"type": "function", "function": {"name": "f"}} and its kin, {"name": "f"} of function_call. */
static bool names_a_tool(const json_t *choice, bool is_function_call)
{
	if (is_function_call)
		return has_name(choice);
	if (json_in_is(json_in_get(choice, "type"), "allowed_tools"))
		return true;
	return json_in_is(json_in_get(choice, "type"), "function") &&
	       (has_name(choice) || has_name(json_in_get(choice, "function")));
}

/* "tool_choice", or "function_call" of the older form. *ret_none: no tool is to be called. */
static int check_choice(const json_t *root, const char *name, bool *ret_none, struct api_error *e)
{
	enum { NONE, AUTO, REQUIRED };
	static const char *const words[] = {"none", "auto", "required"};
	const json_t *v = json_in_get(root, name);
	bool is_function_call = !strcmp(name, "function_call");
	uint32_t word = AUTO;

	if (v && !json_is_string(v) && !json_is_object(v))
		return json_in_wrong_type(e, name, "a string or an object", v);
	if (json_is_string(v) && request_read_word(v, name, words, is_function_call ? 2 : 3, &word, e) < 0)
		return -EINVAL;
	if (json_is_object(v) && !names_a_tool(v, is_function_call))
		return api_error_set(e, 400, NULL, name, "\"%s\" names no tool; as an object it is %s", name,
			is_function_call ? "{\"name\": \"...\"}"
					 : "{\"type\": \"function\", \"function\": {\"name\": \"...\"}}");
	if (json_is_object(v) || word == REQUIRED)
		return api_error_set(e, 400, "unsupported_parameter", name,
			"\"%s\" asks for a tool, and tools are not supported yet; leave it out", name);
	*ret_none = json_is_string(v) && word == NONE;
	return 0;
}

static int refuse_tools(const json_t *root, enum api_kind kind, struct api_error *e)
{
	static const struct {
		const char *tools, *choice;
	} forms[] = {{"tools", "tool_choice"}, {"functions", "function_call"}};

	for (uint32_t i = 0; i < ARRAY_LEN(forms); i++) {
		bool none = false;
		if (check_choice(root, forms[i].choice, &none, e) < 0)
			return -EINVAL;
		if (is_empty(json_in_get(root, forms[i].tools)) || (none && kind == API_CHAT))
			continue;
		return api_error_set(e, 400, "unsupported_parameter", forms[i].tools,
			"\"%s\" is not supported yet; leave it out%s%s%s", forms[i].tools,
			kind == API_CHAT ? ", or set \"" : "", kind == API_CHAT ? forms[i].choice : "",
			kind == API_CHAT ? "\" to \"none\"" : "");
	}
	return 0;
}

/* others with values of their own */

static int refuse_format(const json_t *format, struct api_error *e)
{
	if (!format)
		return 0;
	if (!json_is_object(format))
		return json_in_wrong_type(e, "response_format", "an object", format);
	const json_t *type = json_in_get(format, "type");
	if (json_in_is(type, "text"))
		return 0;
	return api_error_set(e, 400, "unsupported_parameter", "response_format",
		"\"response_format\" of type \"%.32s\" is not supported yet; only \"text\" is",
		json_is_string(type) ? json_string_value(type) : "?");
}

static int refuse_modalities(const json_t *list, struct api_error *e)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_in_is(json_array_get(list, i), "text"))
			return api_error_set(e, 400, "unsupported_parameter", "modalities",
				"\"modalities\" asks for more than \"text\", which is all that is supported");
	return 0;
}

static int refuse_priority(const json_t *v, struct api_error *e)
{
	if (!v || (json_is_number(v) && json_number_value(v) == 0))
		return 0;
	return api_error_set(e, 400, "unsupported_parameter", "priority",
		"\"priority\" is not supported in the body; where the operator allows it the header x-stator-priority "
		"is");
}

static int refuse_best_of(const json_t *v, uint32_t n, struct api_error *e)
{
	int64_t of;

	if (v && !json_in_whole(v, &of))
		return json_in_wrong_type(e, "best_of", "an integer", v);
	if (!v || of == n)
		return 0;
	return api_error_set(e, 400, "unsupported_parameter", "best_of",
		"\"best_of\" is not supported unless it equals \"n\"; leave it out");
}

int request_refuse_unsupported(const struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *nvext = json_in_get(root, "nvext");

	if (refuse_members(root, "", unsupported, ARRAY_LEN(unsupported), r->kind, e) < 0 ||
		refuse_members(nvext, "nvext.", nvext_unsupported, ARRAY_LEN(nvext_unsupported), r->kind, e) < 0 ||
		refuse_tools(root, r->kind, e) < 0 || refuse_format(json_in_get(root, "response_format"), e) < 0 ||
		refuse_modalities(json_in_get(root, "modalities"), e) < 0 ||
		refuse_priority(json_in_get(root, "priority"), e) < 0)
		return -EINVAL;
	return refuse_best_of(json_in_get(root, "best_of"), r->n, e);
}
