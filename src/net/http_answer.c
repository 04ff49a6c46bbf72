#include "base/json_out.h"
#include "net/http_priv.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

static const char *status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{499, "Client Closed Request"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Unknown";
}

/* RFC 9110 5.6.7; made once a second. */
static const char *date_now(struct http_server *s)
{
	time_t now = (time_t)(env_wall_us(s->env) / 1000000);
	struct tm tm;

	if (s->date_s != (uint64_t)now && gmtime_r(&now, &tm)) {
		static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
		snprintf(s->date, sizeof s->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * tm.tm_wday,
			(unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon, (unsigned)(tm.tm_year + 1900) % 10000,
			(unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
		s->date_s = (uint64_t)now;
	}
	return s->date;
}

static void send_bytes(struct http_conn *c, const void *data, size_t len)
{
	if (!len)
		return;
	if (env_conn_write(c->s->env, c->stream, data, len) < 0)
		http_conn_broken(c);
	else
		http_conn_wrote(c, len);
}

enum answer_framing { FRAME_LENGTH, FRAME_CHUNKED, FRAME_CLOSE };

/* Status line and headers. The empty line behind them is written here too, so that a small answer is one piece. */
static void send_head(struct http_conn *c, int status, const char *type, const struct buf *extra,
	enum answer_framing framing, size_t len, bool keep_alive, bool is_http10)
{
	struct http_server *s = c->s;
	struct buf *b = &s->scratch;

	buf_reset(b);
	buf_add_str(b, "HTTP/1.1 ");
	json_out_u64(b, (uint64_t)status);
	buf_add_byte(b, ' ');
	buf_add_str(b, status_text(status));
	buf_add_str(b, "\r\nDate: ");
	buf_add_str(b, date_now(s));
	if (type) {
		buf_add_str(b, "\r\nContent-Type: ");
		buf_add_str(b, type);
	}
	if (framing == FRAME_CHUNKED)
		buf_add_str(b, "\r\nTransfer-Encoding: chunked");
	if (framing == FRAME_LENGTH && status != 204) {
		buf_add_str(b, "\r\nContent-Length: ");
		json_out_u64(b, len);
	}
	if (!keep_alive)
		buf_add_str(b, "\r\nConnection: close");
	else if (is_http10)
		buf_add_str(b, "\r\nConnection: keep-alive");
	buf_add_str(b, "\r\n");
	if (extra && extra->len)
		buf_add(b, extra->data, extra->len);
	buf_add_str(b, "\r\n");
	if (b->failed)
		http_conn_broken(c);
	else
		send_bytes(c, b->data, b->len);
}

void http_answer_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	send_bytes(c, text, sizeof text - 1);
}

static const char no_memory[] =
	"{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}";

void http_answer_error(struct http_conn *c, int status, const char *why)
{
	struct buf body, extra;

	buf_init(&body, 1024);
	buf_init(&extra, 64);
	buf_add_str(&body, "{\"error\":{\"message\":");
	json_out_cstr(&body, why);
	buf_printf(&body, ",\"type\":\"%s\",\"param\":null,\"code\":null}}",
		status >= 500 ? "server_error" : "invalid_request_error");
	if (status == 503)
		buf_add_str(&extra, "Retry-After: 1\r\n");
	bool is_head = c->x && c->x->headers_done && c->x->is_head;
	const char *text = body.failed ? no_memory : buf_str(&body);
	send_head(c, status, "application/json", &extra, FRAME_LENGTH, strlen(text), false, false);
	if (!is_head)
		send_bytes(c, text, strlen(text));
	buf_done(&body);
	buf_done(&extra);
}

void http_answer_probe(struct http_conn *c)
{
	struct http_exchange *x = c->x;

	/* A second 100 may come at any time before the answer (RFC 9110 15.2); SSE has comments. Other answers say
	 * something soon, or have the handler's deadline. */
	if (!x->begun && !x->is_http10)
		http_answer_continue(c);
	else if (x->begun && x->is_sse)
		http_write(x, ":\n\n", 3);
}

void http_exchange_gone(struct http_conn *c)
{
	struct http_exchange *x = c->x;

	c->state = CONN_CLOSING;
	if (x->ops && x->ops->on_gone)
		x->ops->on_gone(x->user);
}

const char *http_peer(const struct http_exchange *x)
{
	return env_conn_peer(x->conn->s->env, x->conn->stream);
}

void http_set_ops(struct http_exchange *x, const struct http_exchange_ops *ops, void *user)
{
	x->ops = ops;
	x->user = user;
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
	ASSERT(!x->begun);
	if (!is_plain(name) || !is_plain(value))
		return;
	/* Whole or not at all: room is made first. */
	if (buf_reserve(&x->extra, strlen(name) + strlen(value) + 4) < 0)
		return;
	buf_add_str(&x->extra, name);
	buf_add_str(&x->extra, ": ");
	buf_add_str(&x->extra, value);
	buf_add_str(&x->extra, "\r\n");
}

static bool may_keep(const struct http_exchange *x)
{
	const struct http_conn *c = x->conn;

	/* A body that was not read is dropped when it is short and on its way; else the connection ends with the answer. */
	if (x->early && c->framing.state != FRAMING_NONE &&
		(c->framing.state != FRAMING_LENGTH || c->framing.left > HTTP_DISCARD_BYTES_MAX || x->expects))
		return false;
	return x->keep_alive && !c->s->draining && !(c->eof && !c->pending.len);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len)
{
	struct http_conn *c = x->conn;

	ASSERT(c->state == CONN_ANSWER && c->x == x && !x->begun);
	x->keep_alive = may_keep(x);
	send_head(c, status, content_type, &x->extra, FRAME_LENGTH, len, x->keep_alive, x->is_http10);
	if (!x->is_head && status != 204)
		send_bytes(c, body, len);
	http_conn_answered(c);
}

void http_begin(struct http_exchange *x, int status, const char *content_type)
{
	struct http_conn *c = x->conn;

	ASSERT(c->state == CONN_ANSWER && c->x == x && !x->begun);
	x->begun = true;
	x->is_sse = content_type && strncasecmp(content_type, "text/event-stream", 17) == 0;
	x->chunked = !x->is_http10;
	/* To HTTP/1.0 the end of the connection is the end of the answer. */
	x->keep_alive = x->chunked && may_keep(x);
	send_head(c, status, content_type, &x->extra, x->chunked ? FRAME_CHUNKED : FRAME_CLOSE, 0, x->keep_alive,
		x->is_http10);
}

static char *hex_put(char *end, size_t v)
{
	do
		*--end = "0123456789abcdef"[v & 15];
	while (v >>= 4);
	return end;
}

void http_write(struct http_exchange *x, const void *data, size_t len)
{
	struct http_conn *c = x->conn;
	char size[20], *end = size + sizeof size - 2;

	ASSERT(c->state == CONN_ANSWER && c->x == x && x->begun);
	/* An empty chunk would be the end. */
	if (!len || x->is_head)
		return;
	if (!x->chunked) {
		send_bytes(c, data, len);
		return;
	}
	memcpy(end, "\r\n", 2);
	char *begin = hex_put(end, len);
	if (len <= HTTP_SMALL_CHUNK_BYTES) {
		/* Copying a small one is cheaper than three calls. */
		struct buf *b = &c->s->scratch;
		buf_reset(b);
		buf_add(b, begin, (size_t)(size + sizeof size - begin));
		buf_add(b, data, len);
		buf_add(b, "\r\n", 2);
		if (b->failed)
			http_conn_broken(c);
		else
			send_bytes(c, b->data, b->len);
		return;
	}
	send_bytes(c, begin, (size_t)(size + sizeof size - begin));
	send_bytes(c, data, len);
	send_bytes(c, "\r\n", 2);
}

size_t http_queued(const struct http_exchange *x)
{
	return env_conn_queued(x->conn->s->env, x->conn->stream);
}

void http_end(struct http_exchange *x)
{
	struct http_conn *c = x->conn;

	ASSERT(c->state == CONN_ANSWER && c->x == x && x->begun);
	if (x->chunked && !x->is_head)
		send_bytes(c, "0\r\n\r\n", 5);
	http_conn_answered(c);
}

void http_abort(struct http_exchange *x)
{
	struct http_conn *c = x->conn;

	ASSERT(c->state == CONN_ANSWER && c->x == x);
	x->ops = NULL; /* who breaks off needs not be told */
	http_conn_close(c);
}
