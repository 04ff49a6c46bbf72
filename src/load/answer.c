#include "config/json_parse.h"
#include "load/answer.h"

enum { REFUSAL_BYTES_MAX = 64 * 1024 };

void answer_init(struct answer *a)
{
	*a = (struct answer){0};
	sse_parser_init(&a->events, ANSWER_EVENT_BYTES_MAX);
	buf_init(&a->text, ANSWER_TEXT_BYTES_MAX);
	buf_init(&a->body, REFUSAL_BYTES_MAX);
}

void answer_done(struct answer *a)
{
	sse_parser_done(&a->events);
	buf_done(&a->text);
	buf_done(&a->body);
}

void answer_begin(struct answer *a, bool keep_text, struct hist *gaps)
{
	struct buf text = a->text, body = a->body;

	sse_parser_done(&a->events);
	buf_reset(&text);
	buf_reset(&body);
	*a = (struct answer){.text = text, .body = body, .keep_text = keep_text, .gaps = gaps};
	sse_parser_init(&a->events, ANSWER_EVENT_BYTES_MAX);
}

void answer_head(struct answer *a, int status, const char *content_type)
{
	a->status = status;
	a->streaming = status == 200 && content_type && strncmp(content_type, "text/event-stream", 17) == 0;
}

/* Inside a JSON string a quote is escaped, so this byte sequence is a key and the begin of its value. */
static bool has_text(const char *data, size_t len, const char *key, size_t key_len)
{
	const char *at = memmem(data, len, key, key_len);
	return at && at + key_len < data + len && at[key_len] != '"';
}
#define HAS_TEXT(data, len, key) has_text(data, len, "\"" key "\":\"", sizeof key + 3)
/* The key is there and its value is not null. */
static bool has_object(const char *data, size_t len, const char *key)
{
	size_t key_len = strlen(key);
	const char *at = memmem(data, len, key, key_len), *end = data + len;

	if (!at)
		return false;
	for (at += key_len; at < end && *at == ' ';)
		at++;
	return at < end && *at != 'n';
}

/* Servers that leave a blank behind the colon (Python's json) are understood too. */
static bool brings_text(const char *data, size_t len)
{
	return HAS_TEXT(data, len, "content") || HAS_TEXT(data, len, "text") ||
	       HAS_TEXT(data, len, "reasoning_content") || has_text(data, len, "\"content\": \"", 12) ||
	       has_text(data, len, "\"text\": \"", 9);
}

static void piece_came(struct answer *a)
{
	if (!a->first_us)
		a->first_us = a->now_us;
	else if (a->gaps)
		hist_add(a->gaps, a->now_us - a->last_us);
	a->last_us = a->now_us;
	a->pieces++;
}

static uint32_t number(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));
	return v > 0 && v < UINT32_MAX ? (uint32_t)v : 0;
}

static void take_usage(struct answer *a, const json_t *usage)
{
	if (!json_is_object(usage))
		return;
	a->has_usage = true;
	a->prompt_tokens = number(usage, "prompt_tokens");
	a->completion_tokens = number(usage, "completion_tokens");
	a->cached_tokens = number(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
}

static void take_error(struct answer *a, const json_t *root)
{
	const json_t *error = json_object_get(root, "error");
	const char *message =
		json_is_string(error) ? json_string_value(error) : json_string_value(json_object_get(error, "message"));

	if (error && !json_is_null(error))
		err_set(&a->err, -EPROTO, "%s", message ? message : "an error without a message");
}

static void keep_text(struct answer *a, const json_t *root)
{
	const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
	const json_t *text = json_object_get(json_object_get(choice, "delta"), "content");

	if (!json_is_string(text))
		text = json_object_get(choice, "text");
	if (json_is_string(text))
		buf_add(&a->text, json_string_value(text), json_string_length(text));
}

static void on_event(void *ctx, const char *event, const char *data, size_t len)
{
	struct answer *a = ctx;
	bool text = brings_text(data, len);
	(void)event;

	if (a->err.code < 0)
		return; /* it is lost already; nothing behind counts, however the bytes were cut */
	if (sse_is_done(data, len)) {
		a->ended = true;
		return;
	}
	if (text)
		piece_came(a);
	bool usage = has_object(data, len, "\"usage\":"), error = has_object(data, len, "\"error\":");
	if (!usage && !error && !(text && a->keep_text))
		return;
	json_t *root = json_parse(data, len, 0, NULL);
	if (!root) {
		err_set(&a->err, -EPROTO, "the server sent an event that is no JSON: %.*s", (int)MIN(len, (size_t)80),
			data);
		return;
	}
	take_usage(a, json_object_get(root, "usage"));
	take_error(a, root);
	if (text && a->keep_text)
		keep_text(a, root);
	json_decref(root);
}

void answer_body(struct answer *a, uint64_t now_us, const char *data, size_t len)
{
	a->now_us = now_us;
	if (!a->streaming)
		buf_add(&a->body, data, MIN(len, a->body.len_max - a->body.len));
	else if (a->err.code == 0)
		sse_parser_push(&a->events, data, len, on_event, a, &a->err);
}

static int refusal(struct answer *a)
{
	json_t *root = json_parse(buf_str(&a->body), a->body.len, 0, NULL);

	take_error(a, root);
	json_decref(root);
	if (a->err.code == 0)
		err_set(&a->err, -EPROTO, a->status == 200 ? "the server answered without a stream" : "status %d",
			a->status);
	else
		err_wrap(&a->err, "status %d", a->status);
	return a->err.code;
}

int answer_judge(struct answer *a, int code, const char *why)
{
	if (a->err.code < 0)
		return a->err.code;
	if (code < 0)
		return err_set(&a->err, code, "%s", why);
	if (!a->streaming)
		return refusal(a);
	if (!a->ended)
		return err_set(&a->err, -EPIPE, "the answer broke off");
	return 0;
}

uint32_t answer_tokens(const struct answer *a)
{
	return a->has_usage && a->completion_tokens ? a->completion_tokens : a->pieces;
}
