#include "net/http_client.h"

#include "base/buf.h"
#include "base/limits.h"
#include "net/tls_client.h"

#include <llhttp.h>
#include <stdio.h>
#include <strings.h>

enum {
	TIMEOUT_DEFAULT_MS = 600 * 1000,
	TLS_BYTES_MAX = 4 * 1024 * 1024, /* decrypted of what one turn read */
};

/*
 * States: idle (no request), busy (from send to on_done). The connection is a matter of its own: absent, opening (also
 * while TLS shakes hands), open.
 * A kept connection may be closed by the server at any moment; a request that meets this before the first byte of its
 * answer is sent once more on a new connection.
 */
struct http_client {
	struct env *env;
	struct env_conn *conn; /* NULL: absent */
	bool open, busy, fresh; /* fresh: nothing was asked on this connection before the request under way */
	bool got_bytes; /* of the answer under way */
	bool head_done, message_done, keep;
	struct http_url url;
	struct tls_client *tls; /* of conn; NULL: http, or no connection yet */
	struct buf cipher; /* what tls has to send; empty between turns */
	struct buf out; /* the request, until it is answered (it may have to be sent again) */
	struct buf head; /* "name\0value\0name\0value\0" */
	bool in_value;
	llhttp_t parser;
	llhttp_settings_t settings;
	struct env_timer timer, done_timer;
	uint32_t head_timeout_ms, idle_timeout_ms;
	const struct http_client_ops *ops;
	void *ctx;
	int done_code;
	char done_why[512];
};

/* host is "name", "name:port", "[::1]" or "[::1]:port". */
static void take_host(struct http_url *u, bool tls)
{
	/* A port stands behind the last colon, unless that is inside an IPv6 address: [::1]. */
	const char *colon = strrchr(u->host, ':'), *bracket = strchr(u->host, ']');
	bool has_port = colon && (!bracket || colon > bracket);
	size_t begin = u->host[0] == '[', name_len = strcspn(u->host + begin, bracket ? "]" : ":");

	snprintf(u->addr, sizeof u->addr, "%.240s%s", u->host, has_port ? "" : tls ? ":443" : ":80");
	if (tls)
		snprintf(u->tls_name, sizeof u->tls_name, "%.*s", (int)name_len, u->host + begin);
}

int http_url_parse(struct http_url *ret, const char *url, struct err *err)
{
	bool tls = strncasecmp(url, "https://", 8) == 0;
	const char *rest = url + (tls ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0);
	struct http_url u = {0};

	if (strncmp(url, "unix:", 5) == 0) {
		if (url[5] != '/' || snprintf(u.addr, sizeof u.addr, "%s", url) >= (int)sizeof u.addr)
			return err_set(err, -EINVAL, "\"%s\" is not an address of the form unix:/path/to.sock", url);
		snprintf(u.host, sizeof u.host, "localhost");
		*ret = u;
		return 0;
	}
	size_t host_len = strcspn(rest, "/?#");
	const char *path = rest + host_len;
	size_t path_len = strcspn(path, "?#");
	while (path_len && path[path_len - 1] == '/')
		path_len--;
	if (host_len == 0 || host_len >= sizeof u.host - 8 || path_len >= sizeof u.path ||
		memchr(rest, '@', host_len) || strstr(rest, "://"))
		return err_set(err, -EINVAL, "\"%s\" is not a URL of the form http://host:port", url);
	memcpy(u.host, rest, host_len);
	memcpy(u.path, path, path_len);
	take_host(&u, tls);
	*ret = u;
	return 0;
}

static void drop_conn(struct http_client *c)
{
	if (c->conn)
		env_conn_close(c->env, c->conn);
	c->conn = NULL;
	c->open = false;
	tls_client_destroy(TAKE(c->tls));
}

/* The request is over; on_done is called from the timer, in the next turn, so never from inside a call of the owner. */
static void finish(struct http_client *c, int code, const char *why)
{
	if (!c->busy || env_timer_is_set(&c->done_timer))
		return;
	c->done_code = code;
	snprintf(c->done_why, sizeof c->done_why, "%s", why ? why : "");
	env_timer_cancel(c->env, &c->timer);
	if (code < 0 || !c->keep)
		drop_conn(c);
	env_timer_set_in(c->env, &c->done_timer, 0);
}

static void on_done_timer(void *ctx)
{
	struct http_client *c = ctx;

	c->busy = false;
	buf_reset(&c->out);
	c->ops->on_done(c->ctx, c->done_code, c->done_why);
}

static void on_timeout(void *ctx)
{
	struct http_client *c = ctx;
	char why[400];

	snprintf(why, sizeof why, "%s sent nothing for %u s", c->url.addr,
		(c->head_done ? c->idle_timeout_ms : c->head_timeout_ms) / 1000);
	finish(c, -ETIMEDOUT, why);
}

/* The parser's callbacks: header names and values come in pieces. */
static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
	struct http_client *c = p->data;

	if (c->in_value && buf_add_byte(&c->head, '\0') < 0)
		return -1;
	c->in_value = false;
	for (size_t i = 0; i < len; i++) {
		char lower = at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] + 32) : at[i];
		if (buf_add_byte(&c->head, (uint8_t)lower) < 0)
			return -1;
	}
	return 0;
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
	struct http_client *c = p->data;

	if (!c->in_value && buf_add_byte(&c->head, '\0') < 0)
		return -1;
	c->in_value = true;
	return buf_add(&c->head, at, len) < 0 ? -1 : 0;
}

static int on_headers_complete(llhttp_t *p)
{
	struct http_client *c = p->data;

	if (c->in_value && buf_add_byte(&c->head, '\0') < 0)
		return -1;
	c->in_value = false;
	if (p->status_code / 100 == 1) { /* 100 Continue and its like: the real answer follows */
		buf_reset(&c->head);
		return 0;
	}
	c->head_done = true;
	if (c->ops->on_head)
		c->ops->on_head(c->ctx, p->status_code);
	return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
	struct http_client *c = p->data;

	/* cancel() inside a callback: the parser stops before it touches anything of the request again. */
	if (c->busy && c->ops->on_body)
		c->ops->on_body(c->ctx, at, len);
	return c->busy ? 0 : HPE_PAUSED;
}

static int on_message_complete(llhttp_t *p)
{
	struct http_client *c = p->data;

	if (!c->head_done)
		return 0;
	c->message_done = true;
	c->keep = llhttp_should_keep_alive(p);
	return HPE_PAUSED;
}

static void begin_answer(struct http_client *c)
{
	llhttp_init(&c->parser, HTTP_RESPONSE, &c->settings);
	c->parser.data = c;
	c->got_bytes = c->head_done = c->message_done = c->keep = c->in_value = false;
	buf_reset(&c->head);
}

/* What TLS has to say to the server, of its own accord or for us. */
static int tls_flush(struct http_client *c)
{
	buf_reset(&c->cipher);
	int r = tls_client_take(c->tls, &c->cipher);

	if (r == 0 && c->cipher.len)
		r = env_conn_write(c->env, c->conn, c->cipher.data, c->cipher.len);
	buf_done(&c->cipher);
	return r;
}

static void send_out(struct http_client *c)
{
	struct err err;
	int r;

	begin_answer(c);
	if (!c->tls) {
		r = env_conn_write(c->env, c->conn, c->out.data, c->out.len);
	} else if ((r = tls_client_send(c->tls, c->out.data, c->out.len, &err)) < 0) {
		finish(c, r, err.msg);
		return;
	} else {
		r = tls_flush(c);
	}
	if (r < 0)
		finish(c, -ENOMEM, "out of memory");
}

static void conn_open(void *ctx)
{
	struct http_client *c = ctx;
	struct err err = {0};

	if (!*c->url.tls_name) {
		c->open = true;
		if (c->busy)
			send_out(c);
	} else if (tls_client_create(&c->tls, c->url.tls_name, &err) < 0) {
		finish(c, err.code, err.msg);
	} else if (tls_flush(c) < 0) {
		finish(c, -ENOMEM, "out of memory");
	}
}

static void plain_data(struct http_client *c, const uint8_t *data, size_t len)
{
	if (!c->busy || c->message_done) { /* bytes nobody asked for: this connection cannot be trusted any more */
		drop_conn(c);
		return;
	}
	c->got_bytes = true;
	if (c->head_done)
		env_timer_set_in(c->env, &c->timer, c->idle_timeout_ms * 1000ull);
	enum llhttp_errno e = llhttp_execute(&c->parser, (const char *)data, len);
	if (!c->busy)
		return;
	if (c->message_done) {
		/* Anything behind the answer would belong to nobody. */
		c->keep = c->keep && llhttp_get_error_pos(&c->parser) == (const char *)data + len;
		finish(c, 0, NULL);
	} else if (e != HPE_OK) {
		char why[400];
		snprintf(why, sizeof why, "%s did not answer in HTTP: %s", c->url.addr,
			llhttp_get_error_reason(&c->parser));
		finish(c, -EPROTO, why);
	}
}

static void tls_data(struct http_client *c, const uint8_t *data, size_t len)
{
	struct err err = {0};
	struct buf plain;
	bool was_open = c->open;

	buf_init(&plain, TLS_BYTES_MAX);
	int r = tls_client_received(c->tls, data, len, &plain, &err);
	/* An alert says why, also when the handshake failed. */
	if (tls_flush(c) < 0 && r == 0)
		r = err_set(&err, -ENOMEM, "out of memory");
	c->open = r == 0 && tls_client_is_open(c->tls);
	if (r < 0 && c->busy)
		finish(c, r, err.msg);
	else if (r < 0)
		drop_conn(c);
	else if (c->open && !was_open && c->busy)
		send_out(c);
	else if (plain.len)
		plain_data(c, (const uint8_t *)plain.data, plain.len);
	buf_done(&plain);
}

static void conn_data(void *ctx, const uint8_t *data, size_t len)
{
	struct http_client *c = ctx;

	if (c->tls)
		tls_data(c, data, len);
	else
		plain_data(c, data, len);
}

static int open_conn(struct http_client *c, struct err *err);

/* The stream ended. That ends an answer without a length, breaks off any other, and asks a stale one again. */
static void conn_closed(void *ctx, int code)
{
	struct http_client *c = ctx;
	struct err err;
	char why[400];

	c->conn = NULL;
	bool was_open = c->open, shaking = c->tls && !c->open, cut = c->tls && !tls_client_is_ended(c->tls);
	c->open = false;
	tls_client_destroy(TAKE(c->tls));
	if (!c->busy || env_timer_is_set(&c->done_timer))
		return;
	if (was_open && !c->fresh && !c->got_bytes) {
		if (open_conn(c, &err) < 0)
			finish(c, err.code, err.msg);
		return;
	}
	if (was_open && c->head_done && !cut) {
		llhttp_finish(&c->parser); /* completes an answer that is ended by the end of the stream */
		if (c->message_done) {
			c->keep = false;
			finish(c, 0, NULL);
			return;
		}
	}
	if (shaking)
		snprintf(why, sizeof why, "%s closed the connection during the TLS handshake", c->url.addr);
	else if (!was_open)
		snprintf(why, sizeof why, "could not connect to %s: %s", c->url.addr,
			strerror(code ? -code : ECONNREFUSED));
	else
		snprintf(why, sizeof why, "%s closed the connection %s", c->url.addr,
			c->head_done ? "before the end of its answer" : "without an answer");
	finish(c, code ? code : -ECONNRESET, why);
}

static const struct env_conn_ops conn_ops = {
	.on_open = conn_open,
	.on_data = conn_data,
	.on_closed = conn_closed,
};

static int open_conn(struct http_client *c, struct err *err)
{
	c->fresh = true;
	c->open = false;
	int r = env_connect(c->env, c->url.addr, &conn_ops, c, &c->conn, err);
	if (r < 0)
		c->conn = NULL;
	return r;
}

int http_client_create(struct http_client **ret, struct env *env, const struct http_url *url, struct err *err)
{
	struct http_client *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->env = env;
	c->url = *url;
	buf_init(&c->out, HTTP_BODY_BYTES_MAX + HTTP_HEADER_BYTES_MAX);
	buf_init(&c->head, HTTP_HEADER_BYTES_MAX);
	buf_init(&c->cipher, 2 * HTTP_BODY_BYTES_MAX);
	c->timer = (struct env_timer){.fn = on_timeout, .ctx = c};
	c->done_timer = (struct env_timer){.fn = on_done_timer, .ctx = c};
	llhttp_settings_init(&c->settings);
	c->settings.on_header_field = on_header_field;
	c->settings.on_header_value = on_header_value;
	c->settings.on_headers_complete = on_headers_complete;
	c->settings.on_body = on_body;
	c->settings.on_message_complete = on_message_complete;
	*ret = c;
	return 0;
}

static int write_request(struct http_client *c, const struct http_client_request *in, struct err *err)
{
	buf_reset(&c->out);
	buf_printf(&c->out, "%s %s HTTP/1.1\r\nHost: %s\r\n", in->method, in->path, c->url.host);
	if (in->headers)
		buf_add_str(&c->out, in->headers);
	if (in->body || strcmp(in->method, "POST") == 0)
		buf_printf(&c->out, "Content-Type: %s\r\nContent-Length: %zu\r\n",
			in->content_type ? in->content_type : "application/json", in->body_len);
	buf_add_str(&c->out, "\r\n");
	buf_add(&c->out, in->body, in->body_len);
	if (c->out.failed)
		return err_set(err, -EMSGSIZE, "a request of %zu bytes is too large to send", in->body_len);
	return 0;
}

int http_client_send(struct http_client *c, const struct http_client_request *in, const struct http_client_ops *ops,
	void *ctx, struct err *err)
{
	if (c->busy)
		return err_set(err, -EBUSY, "a request is under way on this connection");
	int r = write_request(c, in, err);
	if (r < 0)
		return r;
	c->ops = ops;
	c->ctx = ctx;
	c->head_timeout_ms = in->head_timeout_ms ? in->head_timeout_ms : (uint32_t)TIMEOUT_DEFAULT_MS;
	c->idle_timeout_ms = in->idle_timeout_ms ? in->idle_timeout_ms : (uint32_t)TIMEOUT_DEFAULT_MS;
	begin_answer(c);
	if (c->conn && c->open) {
		c->fresh = false;
	} else if (!c->conn && (r = open_conn(c, err)) < 0) {
		return r;
	}
	c->busy = true;
	env_timer_set_in(c->env, &c->timer, c->head_timeout_ms * 1000ull);
	if (c->open)
		send_out(c);
	return 0;
}

const char *http_client_header(const struct http_client *c, const char *name)
{
	const char *p = buf_str(&c->head), *end = p + c->head.len;

	while (p < end) {
		const char *value = p + strlen(p) + 1;
		if (strcmp(p, name) == 0)
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

void http_client_cancel(struct http_client *c)
{
	env_timer_cancel(c->env, &c->timer);
	env_timer_cancel(c->env, &c->done_timer);
	if (c->busy)
		drop_conn(c);
	c->busy = false;
}

void http_client_destroy(struct http_client *c)
{
	if (!c)
		return;
	http_client_cancel(c);
	drop_conn(c);
	buf_done(&c->out);
	buf_done(&c->head);
	free(c);
}
