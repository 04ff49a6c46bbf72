/* chat_client.c - requests to a chat server; see chat_client.h. */
#include "cli/chat_client.h"
#include "config/json_parse.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "wire/sse.h"

#include <string.h>
#include <unistd.h>
#include <strings.h>
#include <signal.h>
#include <stdio.h>

enum {
	EVENT_BYTES_MAX = 1024 * 1024,
	BODY_BYTES_MAX = 16 * 1024 * 1024,
	HEADERS_BYTES_MAX = 8192,
	WAIT_TICK_US = 1000 * 1000,
};

struct chat_client {
	struct loop *loop;
	struct http_client *http;
	struct http_url url;
	char headers[HEADERS_BYTES_MAX]; /* "authorization: ...\r\n", "" none */

	/* The request under way. */
	volatile sig_atomic_t running, interrupted;
	int status;
	bool streaming; /* the answer is a stream of events */
	bool ended; /* [DONE] was seen */
	struct sse_parser events;
	struct buf body; /* an answer that is no stream */
	const struct chat_client_ops *ops;
	void *ctx;
	char finish[32];
	struct env_timer wait_timer; /* until the first text */
	uint32_t waited_s;
	struct err err;
};

static void stop(struct chat_client *c)
{
	c->running = 0;
	loop_stop(c->loop);
}

/* {"error": {"message": "..."}}: the server's own sentence. */
static bool error_take(struct chat_client *c, const json_t *root)
{
	const json_t *error = json_object_get(root, "error");
	const char *message =
		json_is_string(error) ? json_string_value(error) : json_string_value(json_object_get(error, "message"));

	if (!error)
		return false;
	err_set(&c->err, -EPROTO, "the server says: %s", message ? message : "an error without a message");
	return true;
}

static void on_wait_timer(void *ctx)
{
	struct chat_client *c = ctx;

	c->ops->on_wait(c->ctx, ++c->waited_s);
	env_timer_set_in(loop_env(c->loop), &c->wait_timer, WAIT_TICK_US);
}

static void choice_take(struct chat_client *c, const json_t *choice)
{
	const json_t *content = json_object_get(json_object_get(choice, "delta"), "content");
	const char *finish = json_string_value(json_object_get(choice, "finish_reason"));

	if (json_is_string(content) && json_string_length(content) > 0) {
		env_timer_cancel(loop_env(c->loop), &c->wait_timer);
		c->ops->on_text(c->ctx, json_string_value(content), json_string_length(content));
	}
	if (finish)
		snprintf(c->finish, sizeof c->finish, "%s", finish);
}

static void on_event(void *ctx, const char *event, const char *data, size_t len)
{
	struct chat_client *c = ctx;
	(void)event;

	if (sse_is_done(data, len)) {
		c->ended = true;
		return;
	}
	json_t *root = json_parse(data, len, 0, NULL);
	if (!root) {
		err_set(&c->err, -EPROTO, "the server sent an event that is no JSON: %.*s", (int)MIN(len, (size_t)80),
			data);
		return;
	}
	if (!error_take(c, root))
		choice_take(c, json_array_get(json_object_get(root, "choices"), 0));
	json_decref(root);
}

static void on_head(void *ctx, int status)
{
	struct chat_client *c = ctx;
	const char *type = http_client_header(c->http, "content-type");

	c->status = status;
	c->streaming = status == 200 && type && strncmp(type, "text/event-stream", 17) == 0;
}

static void on_body(void *ctx, const char *data, size_t len)
{
	struct chat_client *c = ctx;

	if (!c->streaming)
		buf_add(&c->body, data, len); /* past its maximum it is cut: then it is no JSON, and said to be so */
	else if (c->err.code == 0)
		sse_parser_push(&c->events, data, len, on_event, c, &c->err);
}

/* An answer in one piece: a list of models, or a refusal. */
static void body_judge(struct chat_client *c)
{
	json_t *root = json_parse(buf_str(&c->body), c->body.len, 0, NULL);

	if (c->status != 200 && !(root && error_take(c, root)))
		err_set(&c->err, -EPROTO, "the server answered with status %d", c->status);
	json_decref(root);
}

static void on_done(void *ctx, int code, const char *why)
{
	struct chat_client *c = ctx;

	if (c->err.code == 0 && code < 0)
		err_set(&c->err, code, "%s", why);
	else if (c->err.code == 0 && !c->streaming)
		body_judge(c);
	else if (c->err.code == 0 && !c->ended)
		err_set(&c->err, -EPIPE, "the answer broke off");
	stop(c);
}

static const struct http_client_ops http_ops = {.on_head = on_head, .on_body = on_body, .on_done = on_done};

static int request_path(
	struct chat_client *c, const char *method, const char *path, const void *body, size_t len, struct err *err)
{
	const struct http_client_request in = {
		.method = method, .path = path, .headers = c->headers, .body = body, .body_len = len};
	int r;

	err_clear(&c->err);
	buf_reset(&c->body);
	sse_parser_done(&c->events);
	sse_parser_init(&c->events, EVENT_BYTES_MAX);
	c->status = 0;
	c->streaming = c->ended = false;
	c->interrupted = 0;
	if ((r = http_client_send(c->http, &in, &http_ops, c, err)) < 0)
		return r;
	c->running = 1;
	loop_run(c->loop);
	c->running = 0;
	if (c->interrupted) {
		http_client_cancel(c->http);
		return err_set(err, -ECANCELED, "interrupted");
	}
	if (c->err.code < 0 && err)
		*err = c->err;
	return c->err.code;
}

static bool has_v1(const struct chat_client *c)
{
	size_t len = strlen(c->url.path);
	return len >= 3 && strcmp(c->url.path + len - 3, "/v1") == 0;
}

static int request(
	struct chat_client *c, const char *method, const char *what, const void *body, size_t len, struct err *err)
{
	char path[1024];

	snprintf(path, sizeof path, "%s%s%s", c->url.path, has_v1(c) ? "" : "/v1", what);
	return request_path(c, method, path, body, len, err);
}

int chat_client_get(struct chat_client *c, const char *path, struct buf *ret, struct err *err)
{
	char whole[1024];
	size_t base = strlen(c->url.path) - (has_v1(c) ? 3 : 0);

	snprintf(whole, sizeof whole, "%.*s%s", (int)base, c->url.path, path);
	int r = request_path(c, "GET", whole, NULL, 0, err);
	if (r < 0)
		return r;
	return buf_add(ret, c->body.data, c->body.len) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int chat_client_models(struct chat_client *c, struct buf *ret, struct err *err)
{
	const json_t *model;
	size_t i;
	int r = request(c, "GET", "/models", NULL, 0, err);

	if (r < 0)
		return r;
	json_t *root = json_parse(buf_str(&c->body), c->body.len, 0, NULL);
	json_array_foreach(json_object_get(root, "data"), i, model)
	{
		const char *id = json_string_value(json_object_get(model, "id"));
		if (id)
			buf_printf(ret, "%s\n", id);
	}
	json_decref(root);
	if (ret->len == 0)
		return err_set(err, -ENOENT, "the server at %s lists no model", c->url.host);
	return 0;
}

int chat_client_ask(
	struct chat_client *c, const struct buf *body, const struct chat_client_ops *ops, void *ctx, struct err *err)
{
	c->ops = ops;
	c->ctx = ctx;
	c->waited_s = 0;
	c->finish[0] = '\0';
	c->wait_timer = (struct env_timer){.fn = on_wait_timer, .ctx = c};
	if (ops->on_wait)
		env_timer_set_in(loop_env(c->loop), &c->wait_timer, WAIT_TICK_US);
	int r = request(c, "POST", "/chat/completions", body->data, body->len, err);
	env_timer_cancel(loop_env(c->loop), &c->wait_timer);
	return r;
}

const char *chat_client_finish(const struct chat_client *c)
{
	return c->finish;
}

void chat_client_interrupt(struct chat_client *c)
{
	if (!c->running)
		return;
	c->interrupted = 1;
	loop_stop(c->loop);
}

static int key_take(struct chat_client *c, const char *key, struct err *err)
{
	for (const char *k = key; *k; k++)
		if ((unsigned char)*k <= ' ' || *k == 0x7f)
			return err_set(err, -EINVAL, "the API key has a blank or control character in it");
	if (snprintf(c->headers, sizeof c->headers, "authorization: Bearer %s\r\n", key) >= (int)sizeof c->headers)
		return err_set(err, -EINVAL, "the API key is longer than %d bytes", HEADERS_BYTES_MAX - 32);
	return 0;
}

int chat_client_create(struct chat_client **ret, const char *url, const char *api_key, struct err *err)
{
	const struct loop_config config = {0};
	struct chat_client *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	buf_init(&c->body, BODY_BYTES_MAX);
	sse_parser_init(&c->events, EVENT_BYTES_MAX);
	if ((r = http_url_parse(&c->url, url, err)) < 0 || (api_key && (r = key_take(c, api_key, err)) < 0) ||
		(r = loop_create(&c->loop, &config, err)) < 0 ||
		(r = http_client_create(&c->http, loop_env(c->loop), &c->url, err)) < 0) {
		chat_client_destroy(c);
		return r;
	}
	*ret = c;
	return 0;
}

void chat_client_destroy(struct chat_client *c)
{
	if (!c)
		return;
	http_client_destroy(c->http);
	if (c->loop)
		loop_destroy(c->loop);
	sse_parser_done(&c->events);
	buf_done(&c->body);
	free(c);
}

int chat_server_check(const char *arg, struct err *err)
{
	size_t len = strlen(arg);
	bool is_gguf = len > 5 && strcasecmp(arg + len - 5, ".gguf") == 0;

	if (strstr(arg, "://") || strncmp(arg, "unix:", 5) == 0)
		return 0;
	if (strcmp(arg, "demo") != 0 && !is_gguf && access(arg, F_OK) < 0)
		return 0;
	err_set(err, -EINVAL, "\"%.200s\" is a model or a file, and no server's URL (such as http://127.0.0.1:8000)",
		arg);
	return err_hint(err, "\"stator serve %.200s\" starts a server; \"stator run\" answers without one", arg);
}
