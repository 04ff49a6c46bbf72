/* request_unsupported.c - what is refused, since a client would believe it was done if it were ignored: a constraint on
 * the answer, or another answer altogether. What only asks for more comfort (metadata, store, service_tier) is ignored. */
#include "frontend/request_priv.h"

/* Named by OpenAI, vLLM, SGLang and llama-server. */
static const char *const unsupported[] = {
	"tools",
	"functions",
	"audio",
	"web_search_options",
	"structured_outputs",
	"guided_json",
	"guided_regex",
	"guided_choice",
	"guided_grammar",
	"grammar",
	"json_schema",
	"regex",
	"ebnf",
	"use_beam_search",
	"prompt_logprobs",
	"continue_final_message",
	"bad_words",
	"allowed_token_ids",
	"truncate_prompt_tokens",
};

/* Nothing is asked for: null, false, an empty list, object or text. */
static bool is_off(const json_t *v)
{
	return !v || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
	       (json_is_object(v) && !json_object_size(v)) || (json_is_string(v) && !json_string_length(v));
}

/* "none" and "auto" ask for nothing where there are no tools. */
static bool demands_tool(const json_t *choice)
{
	return json_is_object(choice) || json_in_is(choice, "required");
}

static int refuse_format(const json_t *format, struct api_error *e)
{
	if (!format)
		return 0;
	if (!json_is_object(format))
		return json_in_wrong_type(e, "response_format", "an object", format);
	const json_t *type = json_object_get(format, "type");
	if (json_in_is(type, "text"))
		return 0;
	return api_error_set(e, 400, "unsupported_parameter", "response_format",
		"\"response_format\" of type \"%.32s\" is not supported yet; only \"text\" is",
		json_is_string(type) ? json_string_value(type) : "?");
}

int request_refuse_unsupported(const json_t *root, struct api_error *e)
{
	for (uint32_t i = 0; i < ARRAY_LEN(unsupported); i++)
		if (!is_off(json_in_get(root, unsupported[i])))
			return api_error_set(e, 400, "unsupported_parameter", unsupported[i],
				"\"%s\" is not supported yet; leave it out", unsupported[i]);
	if (demands_tool(json_in_get(root, "tool_choice")))
		return api_error_set(e, 400, "unsupported_parameter", "tool_choice",
			"\"tool_choice\" asks for a tool, and tools are not supported yet; leave it out");
	return refuse_format(json_in_get(root, "response_format"), e);
}
