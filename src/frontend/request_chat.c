/* request_chat.c - what a chat request has besides: messages, and what is for the template. */
#include "base/limits.h"
#include "config/suggest.h"
#include "frontend/request_priv.h"

static const struct json_in_field chat_fields[] = {
	BOOL(logprobs, "logprobs"),
	U32(top_logprobs, "top_logprobs", 0, TOP_LOGPROBS_MAX),
};

/* Parts that are text, and the member that has it. The Responses API names them by whose they are; what a model refused to
 * say is text of a conversation as any other. */
static const struct {
	const char *type, *member;
} text_parts[] = {{"text", "text"}, {"input_text", "text"}, {"output_text", "text"}, {"refusal", "refusal"}};

static const char *member_of_part(const json_t *type)
{
	for (uint32_t i = 0; i < ARRAY_LEN(text_parts); i++)
		if (json_in_is(type, text_parts[i].type))
			return text_parts[i].member;
	return NULL;
}

static int part_text(const json_t *part, size_t message, size_t index, struct api_text *ret, struct api_error *e)
{
	char param[API_PARAM_BYTES_MAX];

	if (json_is_string(part)) {
		*ret = text_of(part);
		return 0;
	}
	snprintf(param, sizeof param, "messages[%zu].content[%zu]", message, index);
	if (!json_is_object(part))
		return json_in_wrong_type(e, param, "an object or a string", part);
	const json_t *type = json_in_get(part, "type");
	if (!json_is_string(type))
		return api_error_set(e, 400, NULL, param, "\"%s\" has no \"type\", such as \"text\"", param);
	const char *member = member_of_part(type);
	if (!member)
		return api_error_set(e, 400, "unsupported_content", param,
			"\"%s\" is of type \"%.32s\"; this server takes text only", param, json_string_value(type));
	const json_t *text = json_in_get(part, member);
	if (!json_is_string(text))
		return api_error_set(e, 400, NULL, param, "\"%s\" is of type \"%s\" and needs a string \"%s\"", param,
			json_string_value(type), member);
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

/* ---- members of a message beside role and content ---- */

/* A call of the older form ("function_call" of an assistant, answered by the role "function") is one of the newer. Templates
 * know that one only, and would drop it. Some want ids of nine letters and digits. */
struct older_call {
	char id[sizeof "call00000"]; /* of the last one; "" there was none */
};

static int add_older_call(json_t *extra, json_t *call, struct older_call *older, size_t message)
{
	json_t *calls = json_array(), *tool = json_object();

	snprintf(older->id, sizeof older->id, "call%05u", (unsigned)(message % 100000));
	bool ok = calls && tool && json_object_set_new(tool, "id", json_string(older->id)) == 0 &&
		  json_object_set_new(tool, "type", json_string("function")) == 0 &&
		  json_object_set(tool, "function", call) == 0 && json_array_append(calls, tool) == 0 &&
		  json_object_set(extra, "tool_calls", calls) == 0;
	json_decref(tool);
	json_decref(calls);
	return ok ? 0 : -ENOMEM;
}

/* What joins the message in the template, under the name that templates know it by. */
static const struct {
	const char *member, *name;
} extras[] = {{"name", "name"}, {"tool_calls", "tool_calls"}, {"tool_call_id", "tool_call_id"},
	{"reasoning", "reasoning_content"}, /* vLLM's newer name */
	{"reasoning_content", "reasoning_content"}};

static int fill_extra(json_t *extra, const json_t *message, const char *role, struct older_call *older, size_t i)
{
	json_t *call = json_in_get(message, "function_call");
	bool asks = call && !strcmp(role, "assistant") && !json_in_get(message, "tool_calls") &&
		    json_string_length(json_in_get(call, "name")) > 0;
	bool answers = *older->id && !strcmp(role, "function") && !json_in_get(message, "tool_call_id");
	int r = 0;

	for (uint32_t k = 0; k < ARRAY_LEN(extras) && r == 0; k++) {
		json_t *v = json_in_get(message, extras[k].member);
		if (v && (strcmp(extras[k].member, "reasoning") || json_is_string(v)))
			r = json_object_set(extra, extras[k].name, v);
	}
	if (r == 0 && asks)
		r = add_older_call(extra, call, older, i);
	if (r == 0 && answers)
		r = json_object_set_new(extra, "tool_call_id", json_string(older->id));
	return r;
}

static int read_extra(const json_t *message, size_t i, struct older_call *older, struct arena *arena,
	struct ll_message *ret, struct api_error *e)
{
	bool answers = *older->id && !strcmp(ret->role, "function");

	/* Most have role and content alone. */
	if (json_object_size(message) == (json_object_get(message, "content") ? 2 : 1) && !answers)
		return 0;
	json_t *extra = json_object();

	bool ok = extra && fill_extra(extra, message, ret->role, older, i) == 0;
	if (ok && json_object_size(extra))
		ok = (ret->extra_json = request_keep_json(extra, arena)) != NULL;
	json_decref(extra);
	if (answers)
		ret->role = "tool";
	return ok ? 0 : out_of_memory(e);
}

/* Some templates know roles of their own, so others than OpenAI's are taken; but not what is probably one of these, mistyped,
 * which most templates would drop in silence. */
static int check_role(const char *text, size_t i, struct api_error *e)
{
	static const char *const known[] = {"system", "developer", "user", "assistant", "tool", "function"};
	char param[API_PARAM_BYTES_MAX];
	struct suggest s;

	snprintf(param, sizeof param, "messages[%zu].role", i);
	suggest_init(&s, text);
	for (uint32_t k = 0; k < ARRAY_LEN(known); k++) {
		if (!strcmp(text, known[k]))
			return 0;
		suggest_offer(&s, known[k]);
	}
	const char *best = suggest_best(&s);
	return best ? api_error_set(e, 400, NULL, param, "\"%s\" is \"%.64s\"; did you mean \"%s\"?", param, text, best)
		    : 0;
}

static int read_message(const json_t *m, size_t i, struct older_call *older, struct arena *arena,
	struct ll_message *ret, struct api_error *e)
{
	char param[API_PARAM_BYTES_MAX];
	const json_t *role = json_object_get(m, "role"), *content = json_in_get(m, "content");

	snprintf(param, sizeof param, "messages[%zu]", i);
	if (!json_is_object(m))
		return json_in_wrong_type(e, param, "an object", m);
	if (!json_is_string(role) || !json_string_length(role))
		return api_error_set(e, 400, NULL, param, "\"%s\" needs a \"role\", such as \"user\"", param);
	*ret = (struct ll_message){0};
	if (json_in_name(role, param, &ret->role, e) < 0)
		return -EINVAL;
	if (check_role(ret->role, i, e) < 0)
		return -EINVAL;
	if (json_is_array(content))
		return join_parts(content, i, arena, ret, e) < 0 ? -EINVAL : read_extra(m, i, older, arena, ret, e);
	if (content && !json_is_string(content)) {
		snprintf(param, sizeof param, "messages[%zu].content", i);
		return json_in_wrong_type(e, param, "a string or an array of parts", content);
	}
	if (!content && strcmp(ret->role, "assistant"))
		return api_error_set(e, 400, NULL, param, "\"%s\" needs a \"content\"", param);
	const json_t *text =
		content ? content : json_in_get(m, "refusal"); /* what a model would not say is what it said */
	if (json_is_string(text)) {
		ret->content = json_string_value(text);
		ret->content_len = json_string_length(text);
	}
	return read_extra(m, i, older, arena, ret, e);
}

static int read_messages(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	const json_t *v = json_in_get(root, "messages");
	struct older_call older = {0};

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
		if (read_message(json_array_get(v, i), i, &older, arena, &r->messages[i], e) < 0)
			return -EINVAL;
	r->messages_len = (uint32_t)count;
	return 0;
}

int request_read_chat(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e)
{
	if (json_in_fields(root, chat_fields, ARRAY_LEN(chat_fields), r, e) < 0 ||
		read_messages(r, root, arena, e) < 0 || request_read_template(r, root, arena, e) < 0)
		return -EINVAL;
	if (r->top_logprobs && !r->logprobs)
		return api_error_set(e, 400, NULL, "top_logprobs", "\"top_logprobs\" needs \"logprobs\" to be true");
	return 0;
}
