#include "net/http_priv.h"

#include <stdio.h>
#include <strings.h>

enum { BODY_ROOM_BYTES_MAX = 128 * 1024 }; /* for what a client has only announced */

/* head holds the target, then name, value, name, value..., each with its NUL. llhttp gives texts in pieces wherever the
 * network cut them; a piece is appended to the text that is open at head's end. */

static struct http_conn *conn_of(llhttp_t *p)
{
	return p->data;
}

static int bad(struct http_conn *c, int status, const char *why)
{
	if (!c->bad_status) {
		c->bad_status = (uint16_t)status;
		c->bad_why = why;
	}
	return HPE_USER;
}

static int text_add(struct http_conn *c, const char *at, size_t len)
{
	int r = buf_add(&c->x->head, at, len);

	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return bad(c, 503, "out of memory");
	return bad(c, 431, "the request line and headers are too large");
}

/* A NUL inside a text would hide what follows it from everybody who reads it as a string. */
static int text_end(struct http_conn *c, uint32_t from)
{
	struct buf *head = &c->x->head;

	if (head->len > from && memchr(head->data + from, '\0', head->len - from))
		return bad(c, 400, "a NUL byte in the request line or headers");
	return text_add(c, "", 1);
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
	return text_add(conn_of(p), at, len);
}

static int on_url_complete(llhttp_t *p)
{
	return text_end(conn_of(p), 0);
}

static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->x;

	/* Behind a chunked body come trailers; nobody here wants them. */
	if (x->headers_done)
		return 0;
	if (x->in_value || x->fields.len == 0) {
		if (x->fields.len == c->s->limits.header_count_max)
			return bad(c, 431, "too many headers");
		struct http_field f = {.name = (uint32_t)x->head.len};
		if (vec_push(&x->fields, f) < 0)
			return bad(c, 503, "out of memory");
		x->in_value = false;
	}
	size_t from = x->head.len;
	int r = text_add(c, at, len);
	for (size_t i = from; r == 0 && i < x->head.len; i++)
		if (x->head.data[i] >= 'A' && x->head.data[i] <= 'Z')
			x->head.data[i] = (char)(x->head.data[i] | 0x20);
	return r;
}

static int on_header_field_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->x;

	if (x->headers_done)
		return 0;
	int r = text_end(c, x->fields.v[x->fields.len - 1].name);
	x->fields.v[x->fields.len - 1].value = (uint32_t)x->head.len;
	x->in_value = true;
	return r;
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of(p);

	return c->x->headers_done ? 0 : text_add(c, at, len);
}

static int on_header_value_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->x;

	if (x->headers_done)
		return 0;
	uint32_t from = x->fields.v[x->fields.len - 1].value;
	while (x->head.len > from && (x->head.data[x->head.len - 1] == ' ' || x->head.data[x->head.len - 1] == '\t'))
		x->head.len--;
	return text_end(c, from);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. False: a broken escape, or one that hides a NUL. */
static bool percent_decode(char *s)
{
	char *to = s;

	for (; *s; s++, to++) {
		*to = *s;
		if (*s != '%')
			continue;
		int high = hex(s[1]), low = high < 0 ? -1 : hex(s[2]);
		if (low < 0 || high * 16 + low == 0)
			return false;
		*to = (char)(high * 16 + low);
		s += 2;
	}
	*to = '\0';
	return true;
}

/* "/path?query#fragment", or the same behind "http://host" (RFC 9112 3.2.2), or "*". */
static int split_target(struct http_conn *c)
{
	struct http_exchange *x = c->x;
	char *target = x->head.data, *path = target;

	if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
		path = strchr(strchr(target, ':') + 3, '/');
		if (!path)
			return bad(c, 400, "the request target has no path");
	}
	if (*path != '/' && strcmp(path, "*") != 0)
		return bad(c, 400, "the request target is not a path");
	path[strcspn(path, "#")] = '\0';
	char *query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	if (!percent_decode(path))
		return bad(c, 400, "the path has a broken percent escape");
	x->path = (uint32_t)(path - target);
	x->query = (uint32_t)((query ? query : path + strlen(path)) - target);
	return 0;
}

static uint32_t count_header(const struct http_exchange *x, const char *name)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < x->fields.len; i++)
		n += strcmp(x->head.data + x->fields.v[i].name, name) == 0;
	return n;
}

/* What llhttp leaves to us: what of HTTP we do not do, and what would let two readers see two requests in one. */
static int check_head(struct http_conn *c, const llhttp_t *p)
{
	struct http_exchange *x = c->x;
	const char *coding = http_header(x, "transfer-encoding"), *expect = http_header(x, "expect");
	uint32_t hosts = count_header(x, "host");

	if (p->http_major != 1 || p->http_minor > 1)
		return bad(c, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
	if (p->method == HTTP_CONNECT)
		return bad(c, 501, "this server is no proxy");
	if (hosts > 1 || (hosts == 0 && p->http_minor == 1))
		return bad(c, 400, hosts ? "more than one Host header" : "the Host header is missing");
	if (coding && (strcasecmp(coding, "chunked") != 0 || count_header(x, "transfer-encoding") > 1))
		return bad(c, 501, "the only transfer coding this server reads is chunked");
	if (coding && p->http_minor == 0)
		return bad(c, 400, "HTTP/1.0 has no transfer codings");
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return bad(c, 417, "the only expectation this server meets is 100-continue");
	if (x->body_announced > c->s->limits.body_bytes_max)
		return bad(c, 413, "the request body is too large");
	return 0;
}

static int on_headers_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->x;
	bool is_chunked = p->flags & F_CHUNKED;

	x->headers_done = true;
	x->method = p->method;
	x->is_head = p->method == HTTP_HEAD;
	x->is_http10 = p->http_minor == 0;
	x->body_announced = p->flags & F_CONTENT_LENGTH ? p->content_length : 0;
	p->upgrade = 0; /* we upgrade to nothing: the request is a plain one (RFC 9110 7.8) */
	int r = split_target(c);
	if (r == 0)
		r = check_head(c, p);
	if (r == 0 && (is_chunked || x->body_announced)) {
		c->state = CONN_BODY;
		/* Room at once: growing by halves leaves holes in the heap, and up to twice the room. A failure shows later. */
		buf_reserve(&x->body, (size_t)MIN(x->body_announced, (uint64_t)BODY_ROOM_BYTES_MAX));
		if (http_header(x, "expect") && !x->is_http10)
			http_answer_continue(c);
	}
	return r;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of(p);
	int r = buf_add(&c->x->body, at, len);

	if (r == 0)
		return 0;
	return r == -ENOMEM ? bad(c, 503, "out of memory") : bad(c, 413, "the request body is too large");
}

/* Stop here: what follows belongs to the next request. */
static int on_message_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);

	c->x->keep_alive = llhttp_should_keep_alive(p);
	c->message_done = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_url_complete = on_url_complete,
	.on_header_field = on_header_field,
	.on_header_field_complete = on_header_field_complete,
	.on_header_value = on_header_value,
	.on_header_value_complete = on_header_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void http_request_init(struct http_conn *c)
{
	llhttp_init(&c->parser, HTTP_REQUEST, &settings);
	c->parser.data = c;
	c->message_done = false;
	c->head_bytes = 0;
}

size_t http_request_feed(struct http_conn *c, const uint8_t *data, size_t len)
{
	llhttp_errno_t e = llhttp_execute(&c->parser, (const char *)data, len);
	size_t used = e == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&c->parser) - (const char *)data);

	if (e == HPE_OK || e == HPE_PAUSED) {
		/* Bytes that no callback sees (empty lines, blanks) count as well. */
		if (c->state == CONN_HEAD && !c->message_done)
			c->head_bytes += (uint32_t)used;
		if (c->head_bytes > c->s->limits.header_bytes_max)
			(void)bad(c, 431, "the request line and headers are too large");
		return used;
	}
	/* llhttp's reason is a literal of its own: safe to show. */
	const char *reason = llhttp_get_error_reason(&c->parser);
	(void)bad(c, 400, reason && *reason ? reason : "this is not HTTP");
	return used;
}

struct http_exchange *http_exchange_new(struct http_server *s)
{
	struct http_exchange *x = s->spares;

	if (x) {
		s->spares = x->next_spare;
		s->spare_count--;
		return x;
	}
	x = calloc(1, sizeof *x);
	if (!x)
		return NULL;
	buf_init(&x->head, s->limits.header_bytes_max);
	buf_init(&x->body, s->limits.body_bytes_max);
	buf_init(&x->extra, HTTP_EXTRA_BYTES_MAX);
	return x;
}

static void buf_keep_small(struct buf *b)
{
	if (b->cap > HTTP_SPARE_BYTES_MAX)
		buf_done(b);
	buf_reset(b);
}

static void exchange_destroy(struct http_exchange *x)
{
	buf_done(&x->head);
	buf_done(&x->body);
	buf_done(&x->extra);
	vec_done(&x->fields);
	free(x);
}

void http_exchange_free(struct http_server *s, struct http_exchange *x)
{
	if (!x)
		return;
	if (s->spare_count >= HTTP_SPARE_MAX || s->draining) {
		exchange_destroy(x);
		return;
	}
	struct http_exchange kept = {.head = x->head, .body = x->body, .extra = x->extra};
	buf_keep_small(&kept.head);
	buf_keep_small(&kept.body);
	buf_keep_small(&kept.extra);
	kept.fields.v = x->fields.v;
	kept.fields.cap = x->fields.cap;
	kept.next_spare = s->spares;
	*x = kept;
	s->spares = x;
	s->spare_count++;
}

const char *http_method(const struct http_exchange *x)
{
	return llhttp_method_name((llhttp_method_t)x->method);
}

const char *http_path(const struct http_exchange *x)
{
	return x->head.data + x->path;
}

const char *http_query(const struct http_exchange *x)
{
	return x->head.data + x->query;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
	for (uint32_t i = 0; i < x->fields.len; i++)
		if (strcmp(x->head.data + x->fields.v[i].name, name) == 0)
			return x->head.data + x->fields.v[i].value;
	return NULL;
}

const char *http_body(const struct http_exchange *x, size_t *ret_len)
{
	if (ret_len)
		*ret_len = x->body.len;
	return buf_str(&x->body);
}

void http_body_take(struct http_exchange *x, struct buf *ret)
{
	*ret = x->body;
	buf_init(&x->body, ret->len_max);
}
