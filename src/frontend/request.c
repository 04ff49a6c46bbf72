#include "frontend/request.h"
#include "base/limits.h"
#include "frontend/json_in.h"
#include "route/policy.h"

#define FIELD(type, member, json_name, json_kind, low, high)                                                           \
	{                                                                                                              \
		.name = json_name, .kind = json_kind, .offset = offsetof(type, member), .min = low, .max = high        \
	}
#define U32(member, name, low, high) FIELD(struct api_request, member, name, JSON_IN_U32, low, high)
#define F32(member, name, low, high) FIELD(struct api_request, sampling.member, name, JSON_IN_F32, low, high)
#define BOOL(member, name) FIELD(struct api_request, member, name, JSON_IN_BOOL, 0, 0)

/* max_tokens first: where both are given the newer name wins. */
static const struct json_in_field common_fields[] = {
	U32(max_tokens, "max_tokens", 1, TOKENS_MAX),
	U32(max_tokens, "max_completion_tokens", 1, TOKENS_MAX),
	U32(min_tokens, "min_tokens", 0, TOKENS_MAX),
	U32(n, "n", 1, CHOICES_MAX),
	BOOL(stream, "stream"),
	BOOL(ignore_eos, "ignore_eos"),
	F32(temperature, "temperature", 0, 2),
	F32(top_p, "top_p", 0, 1),
	F32(min_p, "min_p", 0, 1),
	F32(typical_p, "typical_p", 0, 1),
	F32(repetition_penalty, "repetition_penalty", 0, 10),
	F32(presence_penalty, "presence_penalty", -2, 2),
	F32(frequency_penalty, "frequency_penalty", -2, 2),
};
static const struct json_in_field chat_fields[] = {
	BOOL(logprobs, "logprobs"),
	U32(top_logprobs, "top_logprobs", 0, TOP_LOGPROBS_MAX),
};
static const struct json_in_field completion_fields[] = {
	BOOL(echo, "echo"),
};
static const struct json_in_field stream_fields[] = {
	BOOL(include_usage, "include_usage"),
};

static int out_of_memory(struct api_error *e)
{
	return api_error_set(e, 500, NULL, NULL, "out of memory");
}

static struct api_text text_of(const json_t *string)
{
	return (struct api_text){json_string_value(string), json_string_length(string)};
}

/* model, seed, stop, logit_bias, stream_options: members that are no plain scalars */

static int read_model(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "model");

	if (v && !json_is_string(v))
		return json_in_wrong_type(e, "model", "a string", v);
	r->model = v ? arena_strndup(arena, json_string_value(v), json_string_length(v)) : "";
	return r->model ? 0 : out_of_memory(e);
}

static int read_seed(struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(root, "seed");

	if (!v)
		return 0;
	if (!json_is_integer(v))
		return json_in_wrong_type(e, "seed", "an integer", v);
	r->has_seed = true;
	r->sampling.seed = (uint64_t)json_integer_value(v);
	return 0;
}

static int check_stop(const struct api_text *s, struct api_error *e)
{
	if (!s->len)
		return api_error_set(e, 400, NULL, "stop", "\"stop\" has an empty string");
	if (s->len > STOP_BYTES_MAX)
		return api_error_set(e, 400, NULL, "stop", "\"stop\" has a string of %zu bytes; at most %u are taken",
			s->len, STOP_BYTES_MAX);
	return 0;
}

static int read_stop(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "stop");
	size_t count = !v ? 0 : json_is_array(v) ? json_array_size(v) : 1;

	if (v && !json_is_string(v) && !json_is_array(v))
		return json_in_wrong_type(e, "stop", "a string or an array of strings", v);
	if (count > STOPS_MAX)
		return api_error_set(
			e, 400, NULL, "stop", "\"stop\" has %zu strings; at most %u are taken", count, STOPS_MAX);
	if (!count)
		return 0;
	r->stops = arena_alloc(arena, count * sizeof *r->stops);
	if (!r->stops)
		return out_of_memory(e);
	for (size_t i = 0; i < count; i++) {
		const json_t *s = json_is_array(v) ? json_array_get(v, i) : v;
		if (!json_is_string(s))
			return json_in_wrong_type(e, "stop", "a string or an array of strings", s);
		r->stops[i] = text_of(s);
		if (check_stop(&r->stops[i], e) < 0)
			return -EINVAL;
	}
	r->stops_len = (uint32_t)count;
	return 0;
}

static int read_bias_item(const char *key, const json_t *v, uint32_t *ret_token, float *ret_value, struct api_error *e)
{
	char *end;
	unsigned long token = strtoul(key, &end, 10);

	if (*key < '0' || *key > '9' || *end || token > INT32_MAX)
		return api_error_set(
			e, 400, NULL, "logit_bias", "\"logit_bias\" has the key \"%.32s\", which is no token id", key);
	if (!json_is_number(v) || json_number_value(v) < -100 || json_number_value(v) > 100)
		return api_error_set(e, 400, NULL, "logit_bias",
			"\"logit_bias\" of token %lu must be a number between -100 and 100", token);
	*ret_token = (uint32_t)token;
	*ret_value = (float)json_number_value(v);
	return 0;
}

static int read_bias(struct api_request *r, json_t *root, struct arena *arena, struct api_error *e)
{
	json_t *v = json_in_get(root, "logit_bias");
	const char *key;
	json_t *item;
	uint32_t i = 0;

	if (!v)
		return 0;
	if (!json_is_object(v))
		return json_in_wrong_type(e, "logit_bias", "an object of token ids and numbers", v);
	size_t count = json_object_size(v);
	if (count > LOGIT_BIAS_MAX)
		return api_error_set(e, 400, NULL, "logit_bias", "\"logit_bias\" has %zu tokens; at most %u are taken",
			count, LOGIT_BIAS_MAX);
	uint32_t *tokens = arena_alloc(arena, (count + 1) * sizeof *tokens);
	float *values = arena_alloc(arena, (count + 1) * sizeof *values);
	if (!tokens || !values)
		return out_of_memory(e);
	json_object_foreach(v, key, item)
	{
		if (read_bias_item(key, item, &tokens[i], &values[i], e) < 0)
			return -EINVAL;
		i++;
	}
	r->sampling.bias_tokens = (struct msg_u32s){tokens, i};
	r->sampling.bias_values = (struct msg_f32s){values, i};
	return 0;
}

static int read_stream_options(struct api_request *r, const json_t *root, struct api_error *e)
{
	const json_t *v = json_in_get(root, "stream_options");

	if (!v)
		return 0;
	if (!json_is_object(v))
		return json_in_wrong_type(e, "stream_options", "an object", v);
	return json_in_fields(v, stream_fields, ARRAY_LEN(stream_fields), r, e);
}

/* What clients would believe was done if it were ignored. */
static int refuse_unsupported(const json_t *root, struct api_error *e)
{
	static const char *const lists[] = {"tools", "functions"};
	const json_t *format = json_in_get(root, "response_format");

	for (uint32_t i = 0; i < ARRAY_LEN(lists); i++) {
		const json_t *v = json_in_get(root, lists[i]);
		if (v && !(json_is_array(v) && !json_array_size(v)))
			return api_error_set(e, 400, "unsupported_parameter", lists[i],
				"\"%s\" is not supported yet; leave it out", lists[i]);
	}
	if (!format)
		return 0;
	if (!json_is_object(format))
		return json_in_wrong_type(e, "response_format", "an object", format);
	const char *type = json_string_value(json_object_get(format, "type"));
	if (type && !strcmp(type, "text"))
		return 0;
	return api_error_set(e, 400, "unsupported_parameter", "response_format",
		"\"response_format\" of type \"%.32s\" is not supported yet; only \"text\" is", type ? type : "?");
}

/* Whose conversation it is, as far as clients of OpenAI's say: for the session policy. */
static void read_session(struct api_request *r, const json_t *root)
{
	const char *key = json_string_value(json_in_get(root, "prompt_cache_key")),
		   *user = json_string_value(json_in_get(root, "user"));

	key = key && *key ? key : user;
	r->session = key && *key ? route_name_hash(key) : 0;
}

static int read_common(struct api_request *r, json_t *root, struct arena *arena, struct api_error *e)
{
	r->n = 1;
	r->sampling.temperature = 1;
	r->sampling.top_p = 1;
	if (json_in_fields(root, common_fields, ARRAY_LEN(common_fields), r, e) < 0 ||
		read_model(r, root, arena, e) < 0 || read_seed(r, root, e) < 0 || read_stop(r, root, arena, e) < 0 ||
		read_bias(r, root, arena, e) < 0 || read_stream_options(r, root, e) < 0 ||
		refuse_unsupported(root, e) < 0)
		return -EINVAL;
	if (r->max_tokens && r->min_tokens > r->max_tokens)
		return api_error_set(e, 400, NULL, "min_tokens", "\"min_tokens\" is %u and \"max_tokens\" only %u",
			r->min_tokens, r->max_tokens);
	read_session(r, root);
	/* OpenAI allows 0, the likeliest token alone; 0 means "off" in our frames. */
	if (r->sampling.top_p == 0)
		r->sampling.top_p = 1e-6f;
	/* -1 is vLLM's way to say "off". */
	const json_t *top_k = json_in_get(root, "top_k");
	if (top_k && !json_is_integer(top_k))
		return json_in_wrong_type(e, "top_k", "an integer", top_k);
	json_int_t k = top_k ? json_integer_value(top_k) : 0;
	if (k < -1 || k > INT32_MAX)
		return api_error_set(
			e, 400, NULL, "top_k", "\"top_k\" must be -1 (off) or more, not %lld", (long long)k);
	r->sampling.top_k = k < 0 ? 0 : (uint32_t)k;
	return 0;
}

/* chat */

static int part_text(const json_t *part, size_t message, size_t index, struct api_text *ret, struct api_error *e)
{
	char param[API_PARAM_BYTES_MAX];
	const char *type = json_string_value(json_object_get(part, "type"));
	const json_t *text = json_object_get(part, "text");

	snprintf(param, sizeof param, "messages[%zu].content[%zu]", message, index);
	if (!json_is_object(part))
		return json_in_wrong_type(e, param, "an object", part);
	if (!type)
		return api_error_set(e, 400, NULL, param, "\"%s\" has no \"type\"", param);
	if (strcmp(type, "text"))
		return api_error_set(e, 400, "unsupported_content", param,
			"\"%s\" is of type \"%.32s\"; this server takes text only", param, type);
	if (!json_is_string(text))
		return api_error_set(
			e, 400, NULL, param, "\"%s\" is of type \"text\" and needs a string \"text\"", param);
	*ret = text_of(text);
	return 0;
}

/* Text parts joined; templates that want a string get one. */
static int join_parts(
	const json_t *parts, size_t message, struct arena *arena, struct ll_message *ret, struct api_error *e)
{
	struct api_text text;
	size_t len = 0, at = 0;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		if (part_text(json_array_get(parts, i), message, i, &text, e) < 0)
			return -EINVAL;
		len += text.len;
	}
	char *joined = arena_alloc(arena, len + 1);
	if (!joined)
		return out_of_memory(e);
	for (size_t i = 0; i < json_array_size(parts); i++) {
		part_text(json_array_get(parts, i), message, i, &text, e);
		memcpy(joined + at, text.data, text.len);
		at += text.len;
	}
	ret->content = joined;
	ret->content_len = len;
	return 0;
}

/* Copy value's JSON text into arena. NULL: out of memory. */
static const char *keep_json(const json_t *value, struct arena *arena)
{
	char *text = json_dumps(value, JSON_COMPACT);
	const char *kept = text ? arena_strdup(arena, text) : NULL;

	free(text);
	return kept;
}

/* name, tool_calls and tool_call_id join the message in the template. */
static int read_extra(const json_t *message, struct arena *arena, struct ll_message *ret, struct api_error *e)
{
	static const char *const names[] = {"name", "tool_calls", "tool_call_id", "reasoning_content"};
	json_t *extra = NULL;
	bool ok = true;

	for (uint32_t i = 0; i < ARRAY_LEN(names) && ok; i++) {
		json_t *v = json_in_get(message, names[i]);
		if (v && !extra)
			extra = json_object();
		ok = !v || (extra && json_object_set(extra, names[i], v) == 0);
	}
	if (extra && ok)
		ok = (ret->extra_json = keep_json(extra, arena)) != NULL;
	json_decref(extra);
	return ok ? 0 : out_of_memory(e);
}

static int read_message(const json_t *m, size_t i, struct arena *arena, struct ll_message *ret, struct api_error *e)
{
	char param[API_PARAM_BYTES_MAX];
	const json_t *role = json_object_get(m, "role"), *content = json_in_get(m, "content");

	snprintf(param, sizeof param, "messages[%zu]", i);
	if (!json_is_object(m))
		return json_in_wrong_type(e, param, "an object", m);
	if (!json_is_string(role) || !json_string_length(role))
		return api_error_set(e, 400, NULL, param, "\"%s\" needs a \"role\", such as \"user\"", param);
	*ret = (struct ll_message){.role = json_string_value(role)};
	if (json_is_array(content))
		return join_parts(content, i, arena, ret, e) < 0 ? -EINVAL : read_extra(m, arena, ret, e);
	if (content && !json_is_string(content)) {
		snprintf(param, sizeof param, "messages[%zu].content", i);
		return json_in_wrong_type(e, param, "a string or an array of parts", content);
	}
	if (!content && strcmp(ret->role, "assistant"))
		return api_error_set(e, 400, NULL, param, "\"%s\" needs a \"content\"", param);
	if (content) {
		ret->content = json_string_value(content);
		ret->content_len = json_string_length(content);
	}
	return read_extra(m, arena, ret, e);
}

static int read_messages(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "messages");

	if (!v)
		return api_error_set(e, 400, NULL, "messages", "\"messages\" is missing%s",
			json_in_get(root, "prompt") ? "; a \"prompt\" goes to /v1/completions" : "");
	if (!json_is_array(v))
		return json_in_wrong_type(e, "messages", "an array", v);
	size_t count = json_array_size(v);
	if (!count)
		return api_error_set(e, 400, NULL, "messages", "\"messages\" is empty; it needs at least one message");
	if (count > MESSAGES_MAX)
		return api_error_set(e, 400, NULL, "messages", "\"messages\" has %zu messages; at most %u are taken",
			count, MESSAGES_MAX);
	r->messages = arena_alloc(arena, count * sizeof *r->messages);
	if (!r->messages)
		return out_of_memory(e);
	for (size_t i = 0; i < count; i++)
		if (read_message(json_array_get(v, i), i, arena, &r->messages[i], e) < 0)
			return -EINVAL;
	r->messages_len = (uint32_t)count;
	return 0;
}

static int read_template_options(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *kwargs = json_in_get(root, "chat_template_kwargs");
	const json_t *prompt = json_in_get(root, "add_generation_prompt");

	if (prompt && !json_is_boolean(prompt))
		return json_in_wrong_type(e, "add_generation_prompt", "true or false", prompt);
	r->no_generation_prompt = json_is_false(prompt);
	if (!kwargs)
		return 0;
	if (!json_is_object(kwargs))
		return json_in_wrong_type(e, "chat_template_kwargs", "an object", kwargs);
	r->kwargs_json = keep_json(kwargs, arena);
	return r->kwargs_json ? 0 : out_of_memory(e);
}

static int read_chat(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	if (json_in_fields(root, chat_fields, ARRAY_LEN(chat_fields), r, e) < 0 ||
		read_messages(r, root, arena, e) < 0 || read_template_options(r, root, arena, e) < 0)
		return -EINVAL;
	if (r->top_logprobs && !r->logprobs)
		return api_error_set(e, 400, NULL, "top_logprobs", "\"top_logprobs\" needs \"logprobs\" to be true");
	return 0;
}

/* completions */

static int read_prompt(
	const json_t *v, const char *name, struct arena *arena, struct api_prompt *ret, struct api_error *e)
{
	if (json_is_string(v)) {
		ret->text = text_of(v);
		return 0;
	}
	if (!json_is_array(v))
		return json_in_wrong_type(
			e, name, "a string, an array of strings, or an array (of arrays) of token ids", v);
	ret->is_tokens = true;
	return json_in_tokens(v, name, arena, &ret->tokens, e);
}

/* "text" | [1, 2] | ["text", ...] | [[1, 2], ...] */
static int read_prompts(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "prompt");
	char name[API_PARAM_BYTES_MAX];

	if (!v)
		return api_error_set(e, 400, NULL, "prompt", "\"prompt\" is missing%s",
			json_in_get(root, "messages") ? "; \"messages\" go to /v1/chat/completions" : "");
	const json_t *first = json_array_get(v, 0);
	if (json_is_array(v) && !first)
		return api_error_set(e, 400, NULL, "prompt", "\"prompt\" is empty");
	size_t count = json_is_array(v) && !json_is_number(first) ? json_array_size(v) : 1;
	if (count > PROMPTS_MAX || count * r->n > PROMPTS_MAX)
		return api_error_set(e, 400, NULL, "prompt",
			"\"prompt\" has %zu prompts and n is %u; at most %u choices are made", count, r->n,
			PROMPTS_MAX);
	r->prompts = arena_alloc(arena, count * sizeof *r->prompts);
	if (!r->prompts)
		return out_of_memory(e);
	r->prompts_len = (uint32_t)count;
	if (!json_is_array(v) || json_is_number(first))
		return read_prompt(v, "prompt", arena, &r->prompts[0], e);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof name, "prompt[%zu]", i);
		if (read_prompt(json_array_get(v, i), name, arena, &r->prompts[i], e) < 0)
			return -EINVAL;
	}
	return 0;
}

static int read_completion_logprobs(struct api_request *r, const json_t *root, struct api_error *e)
{
	const struct json_in_field count = U32(top_logprobs, "logprobs", 0, TOP_LOGPROBS_MAX);
	const json_t *v = json_in_get(root, "logprobs");

	if (!v || json_is_false(v))
		return 0;
	r->logprobs = true;
	return json_in_fields(root, &count, 1, r, e);
}

static int read_completion(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *best_of = json_in_get(root, "best_of"), *suffix = json_in_get(root, "suffix");

	if (json_in_fields(root, completion_fields, ARRAY_LEN(completion_fields), r, e) < 0 ||
		read_completion_logprobs(r, root, e) < 0 || read_prompts(r, root, arena, e) < 0)
		return -EINVAL;
	if (best_of && json_integer_value(best_of) != (json_int_t)r->n)
		return api_error_set(e, 400, "unsupported_parameter", "best_of",
			"\"best_of\" is not supported unless it equals \"n\"; leave it out");
	if (suffix && !(json_is_string(suffix) && !json_string_length(suffix)))
		return api_error_set(
			e, 400, "unsupported_parameter", "suffix", "\"suffix\" is not supported; leave it out");
	if (r->echo && r->logprobs)
		return api_error_set(e, 400, "unsupported_parameter", "echo",
			"\"echo\" with \"logprobs\" is not supported: the prompt's probabilities are not computed");
	return 0;
}

int api_request_parse(struct api_request *ret, enum api_kind kind, const char *body, size_t len, struct arena *arena,
	struct api_error *e)
{
	struct api_request r = {.kind = kind, .model = ""};
	json_t *root;

	if (api_json_parse(&root, body, len, arena, e) < 0 || read_common(&r, root, arena, e) < 0)
		return -EINVAL;
	if ((kind == API_CHAT ? read_chat : read_completion)(&r, root, arena, e) < 0)
		return -EINVAL;
	*ret = r;
	return 0;
}
