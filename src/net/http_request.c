#include "net/http_priv.h"

#include <stdio.h>
#include <strings.h>

/* head holds the target, then name, value, name, value..., each with its NUL. llhttp gives texts in pieces wherever the
 * network cut them; a piece is appended to the text that is open at head's end. */

static struct http_conn *conn_of(llhttp_t *p)
{
	return p->data;
}

int http_request_bad(struct http_conn *c, int status, const char *why)
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
		return http_request_bad(c, 503, "out of memory");
	return http_request_bad(c, 431, "the request line and headers are too large");
}

/* A NUL inside a text would hide what follows it from everybody who reads it as a string. */
static int text_end(struct http_conn *c, uint32_t from)
{
	struct buf *head = &c->x->head;

	if (head->len > from && memchr(head->data + from, '\0', head->len - from))
		return http_request_bad(c, 400, "a NUL byte in the request line or headers");
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

	if (!x->in_name) {
		if (x->fields.len == c->s->limits.header_count_max)
			return http_request_bad(c, 431, "too many headers");
		struct http_field f = {.name = (uint32_t)x->head.len};
		if (vec_push(&x->fields, f) < 0)
			return http_request_bad(c, 503, "out of memory");
		x->in_name = true;
		x->in_value = false;
	}
	size_t from = x->head.len;
	int r = text_add(c, at, len);
	for (size_t i = from; r == 0 && i < x->head.len; i++)
		if (x->head.data[i] >= 'A' && x->head.data[i] <= 'Z')
			x->head.data[i] = (char)(x->head.data[i] | 0x20);
	return r;
}

/* llhttp passes names that are empty or have blanks inside; a reader that cut them off would see another header. */
static bool is_name(const char *name)
{
	const char *at = name;

	while (http_is_token(*at))
		at++;
	return at > name && !*at;
}

static int on_header_field_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->x;

	if (!x->in_name)
		return http_request_bad(c, 400, "a header has no name");
	struct http_field *f = &x->fields.v[x->fields.len - 1];
	int r = text_end(c, f->name);
	if (r == 0 && !is_name(x->head.data + f->name))
		r = http_request_bad(c, 400, "a header's name has a character that is not allowed there");
	f->value = (uint32_t)x->head.len;
	x->in_name = false;
	x->in_value = true;
	return r;
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of(p);

	return text_add(c, at, len);
}

static int on_header_value_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->x;

	if (!x->in_value)
		return http_request_bad(c, 400, "a header has no name");
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
/* uri-host [ ":" port ] of RFC 3986, without a look-up: what it is not is user information, a path, or two values. */
static bool is_authority(const char *s)
{
	size_t len =
		*s == '[' ? strspn(s + 1, "0123456789abcdefABCDEFvV:.%-_~") + 1
			  : strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=");

	if (*s == '[' && s[len++] != ']')
		return false;
	s += len;
	if (*s == ':')
		s += 1 + strspn(s + 1, "0123456789");
	return !*s;
}

/* http://host:port/path?query: its host counts, whatever the Host header says (RFC 9112 3.2.2). Behind it the texts of head
 * are put once more: host, then path and query. */
static int split_url(struct http_conn *c, uint32_t *ret_path)
{
	struct http_exchange *x = c->x;
	const char *begin = strchr(x->head.data, ':') + 3, *rest = begin + strcspn(begin, "/?#");
	uint32_t begin_at = (uint32_t)(begin - x->head.data), rest_at = (uint32_t)(rest - x->head.data);
	size_t rest_len = strlen(rest);

	x->authority = (uint32_t)x->head.len;
	/* head grows: no pointer into it stands across an addition, and its own bytes cannot be its source. */
	int r = buf_reserve(&x->head, (size_t)(rest_at - begin_at) + rest_len + 3);
	if (r < 0)
		return r == -ENOMEM ? http_request_bad(c, 503, "out of memory")
				    : http_request_bad(c, 431, "the request line and headers are too large");
	buf_add(&x->head, x->head.data + begin_at, rest_at - begin_at);
	buf_add(&x->head, "", 1);
	*ret_path = (uint32_t)x->head.len;
	if (x->head.data[rest_at] != '/')
		buf_add(&x->head, "/", 1);
	buf_add(&x->head, x->head.data + rest_at, rest_len);
	buf_add(&x->head, "", 1);
	if (!x->head.data[x->authority] || !is_authority(x->head.data + x->authority))
		return http_request_bad(c, 400, "the request target's host is not a host and port");
	return 0;
}

/* The target's path and query. Of http://host/path the host is kept as well. */
static int split_target(struct http_conn *c)
{
	struct http_exchange *x = c->x;
	uint32_t at = 0;

	if (strncasecmp(x->head.data, "http://", 7) == 0 || strncasecmp(x->head.data, "https://", 8) == 0) {
		int r = split_url(c, &at);
		if (r)
			return r;
	}
	char *path = x->head.data + at;
	if (*path != '/' && strcmp(path, "*") != 0)
		return http_request_bad(c, 400, "the request target is not a path");
	path[strcspn(path, "#")] = '\0';
	char *query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	if (!percent_decode(path))
		return http_request_bad(c, 400, "the path has a broken percent escape");
	x->path = at;
	x->query = (uint32_t)((query ? query : path + strlen(path)) - x->head.data);
	return 0;
}

uint32_t http_header_count(const struct http_exchange *x, const char *name)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < x->fields.len; i++)
		n += strcmp(x->head.data + x->fields.v[i].name, name) == 0;
	return n;
}

/* What is refused whatever else is said. */
static int check_protocol(struct http_conn *c, const llhttp_t *p)
{
	if (p->http_major != 1 || p->http_minor > 1)
		return http_request_bad(c, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
	if (p->method == HTTP_CONNECT)
		return http_request_bad(c, 501, "this server is no proxy");
	return 0;
}

/* What llhttp leaves to us: what of HTTP we do not do, and what would let two readers see two requests in one. */
static int check_head(struct http_conn *c, const llhttp_t *p)
{
	struct http_exchange *x = c->x;
	const char *coding = http_header(x, "transfer-encoding"), *expect = http_header(x, "expect");
	uint32_t hosts = http_header_count(x, "host");

	if (hosts > 1 || (hosts == 0 && p->http_minor == 1))
		return http_request_bad(c, 400, hosts ? "more than one Host header" : "the Host header is missing");
	if (hosts && !is_authority(http_header(x, "host")))
		return http_request_bad(c, 400, "the Host header is not a host and port");
	if (coding && (strcasecmp(coding, "chunked") != 0 || http_header_count(x, "transfer-encoding") > 1))
		return http_request_bad(c, 501, "the only transfer coding this server reads is chunked");
	if (coding && p->http_minor == 0)
		return http_request_bad(c, 400, "HTTP/1.0 has no transfer codings");
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return http_request_bad(c, 417, "the only expectation this server meets is 100-continue");
	if (x->body_announced > c->s->limits.body_bytes_max)
		return http_request_bad(c, 413, "the request body is too large");
	return 0;
}

/* llhttp's part ends here: bodies are http_framing.c's. */
static int on_headers_complete(llhttp_t *p)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->x;
	bool is_chunked = p->flags & F_CHUNKED;

	x->headers_done = true;
	x->method = p->method;
	x->is_head = p->method == HTTP_HEAD;
	x->is_http10 = p->http_minor == 0;
	x->keep_alive = llhttp_should_keep_alive(p);
	x->body_announced = p->flags & F_CONTENT_LENGTH ? p->content_length : 0;
	int r = check_protocol(c, p);
	if (r == 0)
		r = split_target(c);
	if (r == 0)
		r = check_head(c, p);
	if (r)
		return r;
	x->expects = http_header(x, "expect") && !x->is_http10 && (is_chunked || x->body_announced);
	c->framing = (struct framing){.left = x->body_announced,
		.state = is_chunked          ? FRAMING_SIZE
			 : x->body_announced ? FRAMING_LENGTH
					     : FRAMING_NONE};
	c->head_done = true;
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
};

void http_request_init(struct http_conn *c)
{
	llhttp_init(&c->parser, HTTP_REQUEST, &settings);
	c->parser.data = c;
	c->head_done = c->message_done = c->room_asked = false;
	c->head_bytes = 0;
	c->head_last = 0;
	c->line_blanks = c->line_version = 0;
	c->line_begun = c->line_done = false;
	c->waited_us = 0;
	c->body_work = 0;
}

/* A line that begins with a blank continues the header before it (obs-fold): other readers take it for a header. */
static bool has_fold(struct http_conn *c, const uint8_t *data, size_t len)
{
	bool found = false;

	for (size_t at = 0; at < len;) {
		found |= c->head_last == '\n' && (data[at] == ' ' || data[at] == '\t');
		const uint8_t *lf = memchr(data + at, '\n', len - at);
		at = lf ? (size_t)(lf - data) + 1 : len;
		c->head_last = (char)data[at - 1];
	}
	return found;
}

/* "METHOD target HTTP/1.1" with one blank each. llhttp takes more of them, and RTSP and ICE for HTTP. */
static bool is_line_wrong(struct http_conn *c, const uint8_t *data, size_t len)
{
	static const char version[] = "HTTP/";
	char last = c->head_last;

	for (size_t i = 0; i < len && !c->line_done; i++) {
		char byte = (char)data[i];
		if (!c->line_begun && (byte == '\r' || byte == '\n'))
			continue; /* empty lines in front are legal */
		c->line_begun = true;
		c->line_done = byte == '\n';
		if (byte == ' ' && (last == ' ' || ++c->line_blanks > 2))
			return true;
		if (byte != ' ' && c->line_blanks == 2 && c->line_version < sizeof version - 1 &&
			byte != version[c->line_version++])
			return true;
		last = byte;
	}
	return false;
}

static size_t feed_head(struct http_conn *c, const uint8_t *data, size_t len)
{
	llhttp_errno_t e = llhttp_execute(&c->parser, (const char *)data, len);
	size_t used = e == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&c->parser) - (const char *)data);

	if (e == HPE_OK || e == HPE_PAUSED) {
		/* Bytes that no callback sees (empty lines, blanks) count as well. */
		c->head_bytes += (uint32_t)used;
		if (c->head_bytes > c->s->limits.header_bytes_max)
			(void)http_request_bad(c, 431, "the request line and headers are too large");
		if (is_line_wrong(c, data, used))
			(void)http_request_bad(
				c, 400, "the request line is not a method, a target and HTTP/1.1 with a blank between");
		if (has_fold(c, data, used))
			(void)http_request_bad(c, 400, "a header goes on in a second line");
		return used;
	}
	if (e == HPE_PAUSED_H2_UPGRADE)
		(void)http_request_bad(c, 505, "this server speaks HTTP/1.1 and HTTP/1.0, not HTTP/2");
	/* llhttp's reason is a literal of its own: safe to show. */
	const char *reason = llhttp_get_error_reason(&c->parser);
	(void)http_request_bad(c, 400, reason && *reason ? reason : "this is not HTTP");
	return used;
}

size_t http_request_feed(struct http_conn *c, const uint8_t *data, size_t len)
{
	if (c->state == CONN_HEAD)
		return feed_head(c, data, len);
	size_t used = http_framing_feed(c, data, len);
	c->message_done = c->framing.state == FRAMING_DONE;
	return used;
}

struct http_exchange *http_exchange_new(struct http_server *s)
{
	struct http_exchange *x = s->spares;

	if (x) {
		s->spares = x->next_spare;
		s->spare_count--;
		x->body.len_max = s->limits.body_bytes_max;
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

const char *http_authority(const struct http_exchange *x)
{
	return x->authority ? x->head.data + x->authority : http_header(x, "host");
}

size_t http_body_take(struct http_exchange *x, struct buf *ret)
{
	struct http_conn *c = x->conn;
	size_t bytes = x->body.cap;

	*ret = x->body;
	buf_init(&x->body, c->s->limits.body_bytes_max);
	/* What is counted goes with it: first here no more, then for whoever has it now. */
	http_room_count(c);
	c->s->bodies_bytes += bytes;
	return bytes;
}
