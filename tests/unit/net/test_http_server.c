/* The HTTP server over the real loop, met by clients that speak raw bytes: well, badly, slowly, or not at all. */
#include "../lib/cmocka_all.h"
#include "../lib/net_wait.h"
#include "base/buf.h"
#include "base/limits.h"
#include "net/http_server.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	struct loop *l;
	struct env *env;
	struct http_server *s;
	struct http_limits limits;
	struct http_exchange *held; /* of "/hold": the test answers */
	struct buf log; /* "METHOD path?query body\n" of every request */
	char *dir, *addr;
	struct buf taken;
	size_t taken_bytes;
	uint32_t gone, drains, requests, heads;
	char counts[4096];
};

/* A client's socket and what came back. */
struct client {
	struct fixture *f;
	int fd;
	struct buf in;
	bool closed;
	const char *want; /* text to wait for; NULL: the end */
	uint32_t want_times;
};

static void on_gone(void *user)
{
	struct fixture *f = user;
	f->gone++;
	f->held = NULL;
}
static void on_drain(void *user)
{
	((struct fixture *)user)->drains++;
}
static const struct http_exchange_ops exchange_ops = {on_drain, on_gone, NULL};

static void reply_headers(struct http_exchange *x)
{
	char text[512];
	const char *host = http_header(x, "host"), *a = http_header(x, "x-a"), *empty = http_header(x, "x-empty");
	snprintf(text, sizeof text, "host=%s a=%s empty=%s none=%d", host ? host : "-", a ? a : "-",
		empty ? empty : "-", http_header(x, "x-none") == NULL);
	http_add_header(x, "X-Back", "yes");
	http_add_header(x, "X-Split", "a\r\nX-Evil: 1");
	http_reply(x, 200, "text/plain", text, strlen(text));
}

static void on_request(void *ctx, struct http_exchange *x)
{
	struct fixture *f = ctx;
	size_t len;
	const char *body = http_body(x, &len), *path = http_path(x);
	f->requests++;
	buf_printf(&f->log, "%s %s?%s %zu:%.20s\n", http_method(x), path, http_query(x), len, body);
	if (strcmp(path, "/hold") == 0) {
		f->held = x;
		http_set_ops(x, &exchange_ops, f);
	} else if (strcmp(path, "/take") == 0) {
		/* As who works on it elsewhere: the body stays, the exchange goes. */
		f->taken_bytes += http_body_take(x, &f->taken);
		http_reply(x, 200, "text/plain", "taken", 5);
	} else if (strcmp(path, "/authority") == 0) {
		const char *authority = http_authority(x);
		http_reply(x, 200, "text/plain", authority ? authority : "-", authority ? strlen(authority) : 1);
	} else if (strcmp(path, "/echo") == 0) {
		http_reply(x, 200, "application/octet-stream", body, len);
	} else if (strcmp(path, "/headers") == 0) {
		reply_headers(x);
	} else if (strcmp(path, "/stream") == 0) {
		http_begin(x, 200, "text/event-stream");
		http_write(x, "data: 1\n\n", 9);
		http_write(x, "", 0);
		http_write(x, "data: two\n\n", 11);
		http_end(x);
	} else if (strcmp(path, "/abort") == 0) {
		http_begin(x, 200, "text/plain");
		http_write(x, "half", 4);
		http_abort(x);
	} else {
		http_reply(x, 200, "text/plain", "hello", 5);
	}
}

/* "/no" is refused by its headers. */
static bool on_headers(void *ctx, struct http_exchange *x)
{
	struct fixture *f = ctx;
	f->heads++;
	if (strncmp(http_path(x), "/no", 3) != 0)
		return true;
	http_reply(x, 403, "text/plain", "refused", 7);
	return false;
}

static void on_count(void *ctx, const char *name)
{
	struct fixture *f = ctx;
	size_t used = strlen(f->counts);
	snprintf(f->counts + used, sizeof f->counts - used, "%s ", name);
}
static const struct http_handler handler = {.on_headers = on_headers, .on_request = on_request, .on_count = on_count};

static void set_up_on(struct fixture *f, const char *addr)
{
	struct err err;
	if (loop_create(&f->l, &(struct loop_config){0}, &err) < 0)
		fail_msg("%s", err.msg);
	f->env = loop_env(f->l);
	buf_init(&f->log, 1 << 20);
	if (http_server_create(&f->s, f->env, addr, &f->limits, &handler, f, &err) < 0)
		fail_msg("%s", err.msg);
}

static void set_up(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	http_limits_default(&f->limits);
	set_up_on(f, "127.0.0.1:0");
}

static void tear_down(struct fixture *f)
{
	http_server_destroy(f->s);
	loop_destroy(f->l);
	buf_done(&f->log);
}

static void dial(struct fixture *f, struct client *c)
{
	*c = (struct client){.f = f, .fd = net_dial(http_server_addr(f->s))};
	assert_true(c->fd >= 0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	buf_init(&c->in, 1 << 28);
}

static void hang_up(struct client *c)
{
	close(c->fd);
	buf_done(&c->in);
}

static void say_bytes(struct client *c, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			net_run_for(c->f->l, 0);
			continue;
		}
		if (n < 0)
			return; /* the server may have hung up already: the test looks at what it said */
		text += n;
		len -= (size_t)n;
	}
}

static void say(struct client *c, const char *text)
{
	say_bytes(c, text, strlen(text));
}

static void read_some(struct client *c)
{
	char piece[65536];
	for (ssize_t n; !c->closed && (n = recv(c->fd, piece, sizeof piece, 0)) != -1;) {
		if (n > 0)
			assert_int_equal(buf_add(&c->in, piece, (size_t)n), 0);
		else
			c->closed = true;
	}
	if (!c->closed && errno != EAGAIN)
		c->closed = true;
}

static uint32_t count_text(const struct buf *b, const char *text)
{
	uint32_t n = 0;
	for (const char *p = buf_str(b); (p = memmem(p, b->len - (size_t)(p - buf_str(b)), text, strlen(text))); p++)
		n++;
	return n;
}

static bool is_answered(void *ctx)
{
	struct client *c = ctx;
	read_some(c);
	return c->closed || (c->want && count_text(&c->in, c->want) >= c->want_times);
}

/* Wait until text came back so often (or the server closed). */
static void wait_for(struct client *c, const char *text, uint32_t times)
{
	c->want = text;
	c->want_times = times;
	assert_true(net_run_until(c->f->l, is_answered, c, NET_WAIT_MS));
	if (text && count_text(&c->in, text) < times)
		fail_msg("\"%s\" did not come %u times in \"%s\"", text, times, buf_str(&c->in));
}

static void wait_close(struct client *c)
{
	wait_for(c, NULL, 0);
	assert_true(c->closed);
}

static bool is_held(void *ctx)
{
	return ((struct fixture *)ctx)->held != NULL;
}
static bool is_gone(void *ctx)
{
	return ((struct fixture *)ctx)->gone > 0;
}
static bool is_empty(void *ctx)
{
	return http_server_conns(((struct fixture *)ctx)->s) == 0;
}

static void expect_status(const char *request, size_t len, const char *status, const char *says)
{
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say_bytes(&c, request, len);
	wait_close(&c);
	if (strncmp(buf_str(&c.in), status, strlen(status)) || !strstr(buf_str(&c.in), says))
		fail_msg("wanted \"%s\" and \"%s\", got \"%s\"", status, says, buf_str(&c.in));
	assert_non_null(strstr(buf_str(&c.in), "Connection: close\r\n"));
	assert_non_null(strstr(buf_str(&c.in), "{\"error\":{\"message\":\""));
	assert_int_equal(f.requests, 0);
	hang_up(&c);
	tear_down(&f);
}

static void a_request_is_answered_and_the_connection_kept(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /a%20b/c?x=%41 HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "hello", 1);
	assert_non_null(strstr(buf_str(&c.in), "HTTP/1.1 200 OK\r\nDate: "));
	assert_non_null(strstr(buf_str(&c.in), "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"));
	assert_null(strstr(buf_str(&c.in), "Connection:"));
	say(&c, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
	wait_for(&c, "\r\n\r\nabc", 1);
	assert_string_equal(buf_str(&f.log), "GET /a b/c?x=%41 0:\nPOST /echo? 3:abc\n");
	assert_int_equal(http_server_conns(f.s), 1);
	hang_up(&c);
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	tear_down(&f);
}

static void headers_are_found_by_lower_case_name_and_nobody_splits_ours(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /headers HTTP/1.1\r\nHOST:  h \t\r\nX-A:a:b  c \r\nX-Empty:\r\nX-a: second\r\n\r\n");
	wait_for(&c, "none=1", 1);
	assert_non_null(strstr(buf_str(&c.in), "host=h a=a:b  c empty= none=1"));
	assert_non_null(strstr(buf_str(&c.in), "\r\nX-Back: yes\r\n"));
	assert_null(strstr(buf_str(&c.in), "Evil"));
	hang_up(&c);
	tear_down(&f);
}

static void every_byte_alone_gives_the_same_request(void **state)
{
	(void)state;
	static const char text[] = "POST /echo?q HTTP/1.1\r\nHost: h\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
				   "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	for (size_t i = 0; i + 1 < sizeof text; i++) {
		say_bytes(&c, text + i, 1);
		net_run_for(f.l, 0);
	}
	wait_for(&c, "hello", 1);
	assert_string_equal(buf_str(&f.log), "POST /echo?q 5:abcde\nGET /? 0:\n");
	hang_up(&c);
	tear_down(&f);
}

static void a_streamed_answer_is_chunked_and_ends(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "0\r\n\r\n", 1);
	assert_non_null(strstr(buf_str(&c.in),
		"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n"));
	say(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "hello", 1);
	hang_up(&c);
	tear_down(&f);
}

static void an_answer_broken_off_is_seen_to_be_cut(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /abort HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_close(&c);
	assert_null(strstr(buf_str(&c.in), "0\r\n\r\n"));
	assert_int_equal(f.gone, 0);
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	hang_up(&c);
	tear_down(&f);
}

static void http_1_0_gets_no_chunks_and_a_close(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /stream HTTP/1.0\r\n\r\n");
	wait_close(&c);
	assert_null(strstr(buf_str(&c.in), "chunked"));
	assert_non_null(strstr(buf_str(&c.in), "Connection: close\r\n\r\ndata: 1\n\ndata: two\n\n"));
	hang_up(&c);
	dial(&f, &c);
	say(&c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	wait_for(&c, "hello", 1);
	assert_non_null(strstr(buf_str(&c.in), "Connection: keep-alive\r\n"));
	say(&c, "GET / HTTP/1.0\r\n\r\n");
	wait_close(&c);
	assert_int_equal(count_text(&c.in, "hello"), 2);
	hang_up(&c);
	tear_down(&f);
}

static void connection_close_is_honoured(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_close(&c);
	assert_int_equal(count_text(&c.in, "hello"), 1);
	assert_int_equal(f.requests, 1);
	hang_up(&c);
	tear_down(&f);
}

static void head_says_the_length_and_sends_no_body(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /last HTTP/1.1\r\nHost: "
		"h\r\n\r\n");
	wait_for(&c, "hello", 1);
	assert_int_equal(count_text(&c.in, "HTTP/1.1 200"), 3);
	assert_int_equal(count_text(&c.in, "Content-Length: 5\r\n"), 2);
	assert_int_equal(count_text(&c.in, "data: 1"), 0);
	hang_up(&c);
	tear_down(&f);
}

static void expect_100_is_answered_before_the_body(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	wait_for(&c, "HTTP/1.1 100 Continue\r\n\r\n", 1);
	say(&c, "body");
	wait_for(&c, "\r\n\r\nbody", 1);
	hang_up(&c);
	tear_down(&f);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	char text[128];
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n<%05d>", i);
		say(&c, text);
	}
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	net_run_for(f.l, 10);
	assert_int_equal(f.requests, 1);
	http_reply(f.held, 200, "text/plain", "first", 5);
	wait_for(&c, "<00499>", 1);
	const char *at = strstr(buf_str(&c.in), "first");
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof text, "<%05d>", i);
		assert_non_null(at);
		at = strstr(at, text);
	}
	assert_non_null(at);
	hang_up(&c);
	tear_down(&f);
}

static void a_pipelining_client_that_does_not_read_is_not_served_for_ever(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	static char body[100000];
	set_up(&f);
	dial(&f, &c);
	memset(body, 'b', sizeof body);
	/* 20 MB of answers wanted; socket buffers and the backlog hold a part of it. */
	char head[128];
	snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", sizeof body);
	uint32_t sent = 0;
	for (int idle = 0; sent < 200 && idle < 3; sent++) {
		size_t at = 0, head_len = strlen(head);
		while (at < head_len + sizeof body && idle < 3) {
			const char *from = at < head_len ? head + at : body + (at - head_len);
			size_t left = at < head_len ? head_len - at : head_len + sizeof body - at;
			ssize_t n = send(c.fd, from, left, MSG_NOSIGNAL);
			if (n > 0)
				at += (size_t)n;
			else
				net_run_for(f.l, 20);
			idle = n > 0 ? 0 : idle + 1;
		}
	}
	assert_true(f.requests < 200);
	uint32_t before = f.requests;
	net_run_for(f.l, 20);
	assert_int_equal(f.requests, before);
	hang_up(&c);
	tear_down(&f);
}

static void half_closed_clients_get_their_answer(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	shutdown(c.fd, SHUT_WR);
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	net_run_for(f.l, 20);
	assert_int_equal(f.gone, 0);
	http_reply(f.held, 200, "text/plain", "late", 4);
	wait_close(&c);
	assert_int_equal(count_text(&c.in, "hello"), 1);
	assert_non_null(strstr(buf_str(&c.in), "\r\n\r\nlate"));
	hang_up(&c);
	tear_down(&f);
}

static void a_client_that_left_is_noticed_while_nothing_is_sent(void **state)
{
	(void)state;
	for (int on_unix = 0; on_unix < 2; on_unix++) {
		struct fixture f = {0};
		struct client c;
		char *dir = net_temp_dir(), *addr = NULL;
		assert_true(asprintf(&addr, "unix:%s/s", dir) > 0);
		http_limits_default(&f.limits);
		set_up_on(&f, on_unix ? addr : "127.0.0.1:0");
		dial(&f, &c);
		say(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
		hang_up(&c);
		assert_true(net_run_until(f.l, is_gone, &f, NET_WAIT_MS));
		assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
		assert_non_null(strstr(f.counts, "http_client_gone"));
		tear_down(&f);
		free(addr);
		net_temp_done(dir);
	}
}

static void a_client_that_left_is_noticed_in_the_middle_of_a_stream(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	http_begin(f.held, 200, "text/event-stream");
	http_write(f.held, "data: 1\n\n", 9);
	wait_for(&c, "data: 1", 1);
	assert_int_equal(f.drains, 1);
	hang_up(&c);
	assert_true(net_run_until(f.l, is_gone, &f, NET_WAIT_MS));
	tear_down(&f);
}

static void a_reader_that_stalls_is_closed(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct client c;
	static char big[1 << 20];
	http_limits_default(&f.limits);
	f.limits.stall_timeout_ms = 100;
	set_up_on(&f, "127.0.0.1:0");
	dial(&f, &c);
	say(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	http_begin(f.held, 200, "text/event-stream");
	for (int i = 0; i < 32; i++)
		http_write(f.held, big, sizeof big);
	assert_true(net_run_until(f.l, is_gone, &f, NET_WAIT_MS));
	assert_non_null(strstr(f.counts, "http_stalled"));
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	hang_up(&c);
	tear_down(&f);
}

static void a_reader_that_is_slow_is_not_stalled(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct client c;
	static char big[1 << 20];
	http_limits_default(&f.limits);
	f.limits.stall_timeout_ms = 400;
	f.limits.idle_timeout_ms = 400;
	set_up_on(&f, "127.0.0.1:0");
	dial(&f, &c);
	say(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	size_t total = 0;
	char *body = calloc(24, sizeof big);
	assert_non_null(body);
	http_reply(f.held, 200, "text/plain", body, 24 * sizeof big);
	free(body);
	uint64_t start = env_now_us(f.env);
	/* Longer than both deadlines in all, taking some all the time. */
	while (env_now_us(f.env) - start < 1000000) {
		ssize_t n = recv(c.fd, big, 400000, 0);
		assert_true(n > 0 || errno == EAGAIN);
		total += n > 0 ? (size_t)n : 0;
		net_run_for(f.l, 40);
	}
	assert_true(total < 24 * sizeof big);
	wait_close(&c); /* the rest, then the idle deadline */
	assert_true(total + c.in.len > 24 * sizeof big);
	assert_null(strstr(f.counts, "http_stalled"));
	hang_up(&c);
	tear_down(&f);
}

static void on_unread(void *user)
{
	struct fixture *f = user;
	http_write(f->held, "too slow", 8);
	http_end(f->held);
	f->held = NULL;
	f->gone++;
}
static const struct http_exchange_ops unread_ops = {on_drain, on_gone, on_unread};

static void what_is_kept_for_one_reader_is_bounded(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	http_set_ops(f.held, &unread_ops, &f);
	/* An answer that is being put together is no unread one. */
	http_hold(f.held, HTTP_UNREAD_BYTES_MAX + 1);
	net_run_for(f.l, 5);
	assert_int_equal(f.gone, 0);
	http_hold(f.held, HTTP_UNREAD_BYTES_MAX - 1000);
	http_begin(f.held, 200, "text/event-stream");
	net_run_for(f.l, 5);
	assert_int_equal(f.gone, 0);
	assert_int_equal(http_server_unread(f.s), HTTP_UNREAD_BYTES_MAX - 1000);
	http_hold(f.held, HTTP_UNREAD_BYTES_MAX + 1);
	assert_int_equal(f.gone, 0); /* not inside the call */
	wait_for(&c, "too slow\r\n0\r\n\r\n", 1);
	assert_int_equal(f.gone, 1);
	assert_int_equal(http_server_unread(f.s), 0);
	assert_non_null(strstr(f.counts, "http_unread_ended"));
	say(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "hello", 1);
	hang_up(&c);
	tear_down(&f);
}

/* Whole answers that are not read count as well, and who holds most goes first. */
static void of_all_unread_answers_the_largest_ends_first(void **state)
{
	(void)state;
	enum { CLIENTS = 6, MIB = 1 << 20 };
	struct fixture f = {0};
	struct client c[CLIENTS];
	char *body = calloc(16, MIB);
	assert_non_null(body);
	http_limits_default(&f.limits);
	f.limits.unread_total_max = 64 * MIB;
	set_up_on(&f, "127.0.0.1:0");
	/* 8, 9, 10, ... MiB: five are 50, less what sockets hold; the sixth is too much. */
	for (int i = 0; i < CLIENTS; i++) {
		dial(&f, &c[i]);
		say(&c[i], "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
		http_reply(f.held, 200, "text/plain", body, (size_t)(i == 2 ? 16 : 8 + i) * MIB);
		f.held = NULL;
		net_run_for(f.l, 5);
	}
	free(body);
	net_run_for(f.l, 20);
	assert_true(http_server_unread(f.s) <= 64 * MIB);
	assert_int_equal(http_server_conns(f.s), CLIENTS - 1);
	for (int i = 0; i < CLIENTS; i++) {
		size_t len = (size_t)(i == 2 ? 16 : 8 + i) * MIB;
		if (i != 2) {
			while (c[i].in.len < len && !c[i].closed) {
				net_run_for(f.l, 0);
				read_some(&c[i]);
			}
		} else {
			wait_close(&c[i]);
		}
		assert_int_equal(c[i].in.len > len, i != 2);
		hang_up(&c[i]);
	}
	tear_down(&f);
}

static void slow_headers_meet_one_deadline_in_all(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct client c;
	http_limits_default(&f.limits);
	f.limits.header_timeout_ms = 120;
	set_up_on(&f, "127.0.0.1:0");
	dial(&f, &c);
	say(&c, "GET / HTTP/1.1\r\nHost: h\r\n");
	uint64_t start = env_now_us(f.env);
	while (!c.closed && env_now_us(f.env) - start < NET_WAIT_MS * 1000) {
		say(&c, "x: y\r\n"); /* each byte resets nothing */
		net_run_for(f.l, 10);
		read_some(&c);
	}
	assert_true(c.closed);
	assert_non_null(strstr(buf_str(&c.in), "HTTP/1.1 408 Request Timeout\r\n"));
	assert_string_equal(f.counts, "http_conn_accepted http_header_timeout ");
	hang_up(&c);
	tear_down(&f);
}

static void slow_bodies_meet_a_deadline(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct client c;
	http_limits_default(&f.limits);
	f.limits.body_timeout_ms = 50;
	set_up_on(&f, "127.0.0.1:0");
	dial(&f, &c);
	say(&c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
	wait_close(&c);
	assert_non_null(strstr(buf_str(&c.in), "HTTP/1.1 408 Request Timeout\r\n"));
	assert_non_null(strstr(f.counts, "http_body_timeout"));
	hang_up(&c);
	tear_down(&f);
}

static void idle_connections_are_closed_without_a_word(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct client fresh, used;
	http_limits_default(&f.limits);
	f.limits.idle_timeout_ms = 50;
	set_up_on(&f, "127.0.0.1:0");
	dial(&f, &fresh);
	dial(&f, &used);
	say(&used, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_close(&used);
	wait_close(&fresh);
	assert_int_equal(fresh.in.len, 0);
	assert_int_equal(count_text(&used.in, "HTTP/1.1"), 1);
	hang_up(&fresh);
	hang_up(&used);
	tear_down(&f);
}

static void too_large_a_body_is_refused_before_it_is_sent(void **state)
{
	(void)state;
#define REQUEST(text) text, sizeof(text) - 1
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"), "HTTP/1.1 413 ",
		"the request body is too large: at most 33554432 bytes are taken (max-body-bytes)");
}

static void a_client_busy_sending_a_refused_body_still_reads_why(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct client c;
	static char body[4 << 20];
	http_limits_default(&f.limits);
	f.limits.body_bytes_max = 1000;
	set_up_on(&f, "127.0.0.1:0");
	dial(&f, &c);
	say(&c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n");
	say_bytes(&c, body, sizeof body);
	wait_close(&c);
	assert_non_null(strstr(buf_str(&c.in), "HTTP/1.1 413 Content Too Large\r\n"));
	assert_non_null(strstr(f.counts, "http_too_large"));
	hang_up(&c);
	tear_down(&f);
}

static void too_large_headers_are_refused(void **state)
{
	(void)state;
	static char text[HTTP_HEADER_BYTES_MAX + 100];
	memset(text, 'a', sizeof text);
	memcpy(text, "GET /", 5);
	expect_status(text, sizeof text, "HTTP/1.1 431 ", "too large");
	struct buf b;
	buf_init(&b, 1 << 20);
	buf_add_str(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i <= HTTP_HEADER_COUNT_MAX; i++)
		buf_add_str(&b, "a: b\r\n");
	expect_status(b.data, b.len, "HTTP/1.1 431 ", "too many headers");
	buf_reset(&b);
	while (b.len < HTTP_HEADER_BYTES_MAX + 1000)
		buf_add_str(&b, "\r\n");
	expect_status(b.data, b.len, "HTTP/1.1 431 ", "too large");
	buf_done(&b);
}

static void what_is_not_http_is_refused(void **state)
{
	(void)state;
	expect_status(REQUEST("hello\r\n\r\n"), "HTTP/1.1 400 ", "invalid_request_error");
	expect_status(REQUEST("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), "HTTP/1.1 505 ", "");
	expect_status(REQUEST("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/1.1 505 ", "not HTTP/2");
	expect_status(REQUEST("GET / HTTP/1.1\r\nHost : h\r\n\r\n"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("GET / HTTP/1.1\r\nHost: h\r\nA: b\x01\r\n\r\n"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("GET / RTSP/1.0\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "request line");
	expect_status(REQUEST("SOURCE / ICE/1.0\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "request line");
	expect_status(REQUEST("GET /  HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "request line");
	expect_status(REQUEST("GET / x HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "percent");
	expect_status(REQUEST("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "percent");
	expect_status(REQUEST("GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 400 ", "percent");
	expect_status(REQUEST("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 ", "Host header is missing");
	expect_status(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), "HTTP/1.1 400 ", "more than one Host");
	expect_status(REQUEST("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 501 ", "no proxy");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n"), "HTTP/1.1 417 ", "");
}

static void requests_that_two_readers_would_split_differently_are_refused(void **state)
{
	(void)state;
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
		"HTTP/1.1 400 ", "");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: "
			      "chunked\r\n\r\n0\r\n\r\n"),
		"HTTP/1.1 400 ", "");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: "
			      "3\r\n\r\n0\r\n\r\n"),
		"HTTP/1.1 400 ", "");
	expect_status(
		REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"), "HTTP/1.1 ", "");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
		"HTTP/1.1 501 ", "");
	expect_status(
		REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), "HTTP/1.1 ", "");
	expect_status(REQUEST("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc"), "HTTP/1.1 400 ", "");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n"),
		"HTTP/1.1 400 ", "");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
		"HTTP/1.1 400 ", "");
	expect_status(REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
		"HTTP/1.1 413 ", "");
}

/* What RFC 9112 wants refused, that another reader might take for something else. */
static void headers_that_are_none_are_refused(void **state)
{
	(void)state;
#define HEAD(lines) REQUEST("GET / HTTP/1.1\r\nHost: h\r\n" lines "\r\n\r\n")
	static const struct {
		const char *text;
		size_t len;
	} tries[] = {{HEAD(": v")}, {HEAD("A: b\r\n: v")}, {HEAD(" : v")}, {HEAD("X Y: v")}, {HEAD("X : v")},
		{HEAD("X\t: v")}, {HEAD("X(: v")}, {HEAD("X: a\r\n b")}, {HEAD("X: a\r\n\tb")}, {HEAD("X:\r\n b")},
		{HEAD("X: a\r\n \r\nY: z")}, {REQUEST("GET / HTTP/1.1\r\n: v\r\nHost: h\r\n\r\n")},
		{REQUEST("GET / HTTP/1.1\r\n Host: h\r\n\r\n")}, {REQUEST("GET / HTTP/1.1\r\nHost:\r\n h\r\n\r\n")},
		{REQUEST("GET / HTTP/1.1\r\nHost: h\r\n .evil\r\n\r\n")},
		{REQUEST("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n")}, {REQUEST("GET / HTTP/1.1\r\nHost: h, i\r\n\r\n")},
		{REQUEST("GET / HTTP/1.1\r\nHost: h/p\r\n\r\n")}, {REQUEST("GET / HTTP/1.1\r\nHost: h:8x\r\n\r\n")},
		{REQUEST("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")},
		{REQUEST("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n")},
		{REQUEST("GET http:///p HTTP/1.1\r\nHost: h\r\n\r\n")}};
	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		expect_status(tries[i].text, tries[i].len, "HTTP/1.1 400 ", "");
		/* Wherever the network cuts it. */
		for (size_t cut = 20; cut < tries[i].len; cut++) {
			struct fixture f;
			struct client c;
			set_up(&f);
			dial(&f, &c);
			say_bytes(&c, tries[i].text, cut);
			net_run_for(f.l, 0);
			say_bytes(&c, tries[i].text + cut, tries[i].len - cut);
			wait_close(&c);
			assert_memory_equal(buf_str(&c.in), "HTTP/1.1 400 ", 13);
			assert_int_equal(f.heads, 0);
			hang_up(&c);
			tear_down(&f);
		}
	}
#undef HEAD
}

#define CHUNKED "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
static void chunks_that_are_none_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *body, *status;
	} tries[] = {{"\r\n", "400"}, {";a\r\n", "400"}, {" 1\r\na\r\n0\r\n\r\n", "400"}, {"-1\r\n", "400"},
		{"+1\r\n", "400"}, {"0x1\r\na", "400"}, {"1 \r\na\r\n0\r\n\r\n", "400"}, {"1\na\r\n", "400"},
		{"1\r\nab\r\n", "400"}, {"1\r\na\n0\r\n\r\n", "400"}, {"1;\x01\r\na", "400"}, {"1;a=b\nX", "400"},
		{"1;a=\"b\r\n", "400"}, {"1;a=b(c)\r\na", "400"}, {"1;a=\"\\\r\"\r\n", "400"},
		{"0\r\nA: b\n\r\n", "400"}, {"0\r\n: b\r\n\r\n", "400"}, {"0\r\nA b: c\r\n\r\n", "400"},
		{"0\r\nA\r\n\r\n", "400"}, {"0\r\nA: b\r\n c\r\n\r\n", "400"}, {"0\r\n\rX", "400"}, {"1\rX", "400"},
		{"ffffffffffffffff\r\n", "413"}, {"ffffffffffffffff", "413"}, {"7fffffffffffffff\r\n", "413"},
		{"10000000000000000\r\n", "413"}, {"100000000000000000001\r\n", "413"}, {"2000001", "413"},
		{"0000000000000000000002000001", "413"}};
	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		char text[256], status[32];
		snprintf(text, sizeof text, CHUNKED "%s", tries[i].body);
		snprintf(status, sizeof status, "HTTP/1.1 %s ", tries[i].status);
		expect_status(text, strlen(text), status, "");
	}
}

static void extensions_and_trailers_are_taken_and_dropped(void **state)
{
	(void)state;
	static const char text[] =
		CHUNKED "3 ; a = b\r\nabc\r\n1\t;\tname=\"va;l\\\"\r\x7fue\";x\r\nd\r\n"
			"000002;a;b=c\r\nef\r\n00 ;last\r\nA: b \xff\r\nC:\r\n\r\nGET / HTTP/1.1\r\nHost: "
			"h\r\n\r\n";
	struct fixture f;
	struct client c;
	/* A control character inside the quotes is not taken; without it all is. */
	char good[sizeof text];
	size_t len = 0;
	for (size_t i = 0; i + 1 < sizeof text; i++)
		if (text[i] != 0x7f && !(text[i] == '\r' && text[i + 1] == 0x7f))
			good[len++] = text[i];
	for (size_t cut = 0; cut < len; cut += cut < sizeof CHUNKED - 1 ? sizeof CHUNKED - 1 : 1) {
		set_up(&f);
		dial(&f, &c);
		say_bytes(&c, good, cut);
		net_run_for(f.l, 0);
		say_bytes(&c, good + cut, len - cut);
		wait_for(&c, "hello", 1);
		assert_string_equal(buf_str(&f.log), "POST /echo? 6:abcdef\nGET /? 0:\n");
		assert_int_equal(http_server_bodies(f.s) < 4096, 1);
		hang_up(&c);
		tear_down(&f);
	}
	expect_status(text, sizeof text - 1, "HTTP/1.1 400 ", "control character");
}

static void what_stands_beside_a_chunked_body_is_bounded(void **state)
{
	(void)state;
	static const char *const begins[] = {"1;", "1;a=\"", "0\r\nA: ", "0\r\nA", "1 ", "0"};
	static const char fills[] = "aaaa 0";
	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		struct buf b;
		buf_init(&b, 1 << 20);
		buf_add_str(&b, CHUNKED);
		buf_add_str(&b, begins[i]);
		while (b.len < 80000)
			buf_add_byte(&b, (uint8_t)fills[i]);
		expect_status(b.data, b.len, "HTTP/1.1 431 ", "chunk extensions or trailers");
		buf_done(&b);
	}
	/* Many small ones, too; and none of it is waited for longer than a body may take. */
	struct buf b;
	buf_init(&b, 1 << 20);
	buf_add_str(&b, CHUNKED);
	while (b.len < 400000)
		buf_add_str(&b, "1;abcdefgh\r\nx\r\n");
	expect_status(b.data, b.len, "HTTP/1.1 431 ", "chunk extensions or trailers");
	buf_done(&b);
}

static void whole_urls_name_the_host_that_counts(void **state)
{
	(void)state;
	static const struct {
		const char *head, *authority;
	} tries[] = {{"GET /authority HTTP/1.1\r\nHost: a:1", "a:1"},
		{"GET http://b:2/authority?q HTTP/1.1\r\nHost: a:1", "b:2"},
		{"GET HTTPS://[::1]/authority HTTP/1.1\r\nHost: a", "[::1]"}, {"GET /authority HTTP/1.0", "-"},
		{"GET /authority HTTP/1.1\r\nHost:", ""}};
	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		struct fixture f;
		struct client c;
		char text[256];
		set_up(&f);
		dial(&f, &c);
		snprintf(text, sizeof text, "%s\r\nConnection: close\r\n\r\n", tries[i].head);
		say(&c, text);
		wait_close(&c);
		assert_string_equal(strstr(buf_str(&c.in), "\r\n\r\n") + 4, tries[i].authority);
		hang_up(&c);
		tear_down(&f);
	}
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET http://h?x=/ HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "hello", 1);
	assert_string_equal(buf_str(&f.log), "GET /?x=/ 0:\n");
	hang_up(&c);
	tear_down(&f);
}

/* The connection goes on behind a short body, and ends in front of a long one; either way nothing was asked for. */
static void a_request_refused_by_its_headers_keeps_or_ends_the_connection(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123");
	wait_for(&c, "refused", 1);
	say(&c, "456789GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "hello", 1);
	/* All at once, and many behind each other. */
	say(&c, "GET /no HTTP/1.1\r\nHost: h\r\n\r\nPOST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
		"POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "hello", 2);
	assert_int_equal(count_text(&c.in, "HTTP/1.1 403"), 4);
	assert_int_equal(count_text(&c.in, "Connection: close"), 0);
	assert_int_equal(f.requests, 2);
	hang_up(&c);
	static const char *const long_ones[] = {
		"Content-Length: 65537", "Content-Length: 5\r\nExpect: 100-continue", "Transfer-Encoding: chunked"};
	for (size_t i = 0; i < ARRAY_LEN(long_ones); i++) {
		char head[128];
		snprintf(head, sizeof head, "POST /no HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", long_ones[i]);
		dial(&f, &c);
		say(&c, head);
		wait_close(&c);
		assert_non_null(strstr(buf_str(&c.in), "Connection: close\r\n\r\nrefused"));
		assert_null(strstr(buf_str(&c.in), "100 Continue"));
		hang_up(&c);
	}
	assert_int_equal(f.requests, 2);
	tear_down(&f);
}

static void set_up_room(struct fixture *f, size_t all, size_t one)
{
	memset(f, 0, sizeof *f);
	http_limits_default(&f->limits);
	f->limits.bodies_bytes_max = all;
	f->limits.body_bytes_max = one;
	set_up_on(f, "127.0.0.1:0");
}

static void say_length(struct client *c, const char *path, size_t len)
{
	char head[128];
	snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", path, len);
	say(c, head);
}

/* What is held is bounded whatever clients announce and send; small requests pass; what waits is served when there is room. */
static void bodies_have_one_bound_and_small_ones_pass(void **state)
{
	(void)state;
	enum { GIANTS = 12, MIB = 1 << 20 };
	static char body[MIB];
	struct fixture f;
	struct client giants[GIANTS], small;
	set_up_room(&f, 8 * MIB, MIB);
	for (int i = 0; i < GIANTS; i++) {
		dial(&f, &giants[i]);
		say_length(&giants[i], "/take", MIB);
		say_bytes(&giants[i], body, MIB - 1);
	}
	net_run_for(f.l, 100);
	assert_true(http_server_bodies(f.s) <= 8 * MIB);
	assert_true(http_server_bodies(f.s) >= 6 * MIB);
	assert_non_null(strstr(f.counts, "http_body_waited"));
	/* 64 KiB, whole or in chunks, while the giants hold all they may. */
	dial(&f, &small);
	say_length(&small, "/echo", HTTP_SMALL_BYTES);
	say_bytes(&small, body, HTTP_SMALL_BYTES);
	wait_for(&small, "HTTP/1.1 200", 1);
	say(&small, CHUNKED "3\r\nabc\r\n0\r\n\r\n");
	wait_for(&small, "\r\n\r\nabc", 1);
	hang_up(&small);
	/* One becomes whole, and its body is somebody's: it counts still. Given back, one that waited is read. */
	say(&giants[0], "x");
	wait_for(&giants[0], "taken", 1);
	assert_true(http_server_bodies(f.s) >= 6 * MIB);
	buf_done(&f.taken);
	http_body_release(f.s, f.taken_bytes);
	for (int i = 1; i < GIANTS; i++) {
		f.taken_bytes = 0;
		say(&giants[i], "x");
		wait_for(&giants[i], "taken", 1);
		buf_done(&f.taken);
		http_body_release(f.s, f.taken_bytes);
	}
	for (int i = 0; i < GIANTS; i++)
		hang_up(&giants[i]);
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	assert_int_equal(http_server_bodies(f.s), 0);
	tear_down(&f);
}

/* Those that announce and send nothing, or send all but the end, do not keep the room from those that come later. */
static void room_that_is_only_announced_is_given_to_others(void **state)
{
	(void)state;
	enum { IDLE = 20, MIB = 1 << 20 };
	static char body[MIB];
	struct fixture f;
	struct client idle[IDLE], late;
	set_up_room(&f, 8 * MIB, MIB);
	for (int i = 0; i < IDLE; i++) {
		dial(&f, &idle[i]);
		say_length(&idle[i], "/echo", MIB);
	}
	net_run_for(f.l, 20);
	dial(&f, &late);
	say_length(&late, "/echo", MIB);
	say_bytes(&late, body, MIB);
	wait_for(&late, "HTTP/1.1 200", 1);
	assert_true(http_server_bodies(f.s) <= 8 * MIB);
	for (int i = 0; i < IDLE; i++)
		hang_up(&idle[i]);
	hang_up(&late);
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	assert_int_equal(http_server_bodies(f.s), 0);
	tear_down(&f);
}

#undef REQUEST

static void what_finds_no_room_in_time_is_told_so(void **state)
{
	(void)state;
	enum { MIB = 1 << 20 };
	static char body[MIB];
	struct fixture f = {0};
	struct client holders[1], late, chunked;
	http_limits_default(&f.limits);
	f.limits.body_bytes_max = f.limits.bodies_bytes_max = MIB; /* twice the largest counts */
	f.limits.body_wait_ms = 150;
	set_up_on(&f, "127.0.0.1:0");
	dial(&f, &holders[0]);
	say_length(&holders[0], "/echo", MIB);
	for (int i = 0; i < MIB / 2; i += 4096) {
		say_bytes(&holders[0], body, 4096);
		net_run_for(f.l, 0);
	}
	dial(&f, &late);
	say(&late, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1048576\r\n\r\n");
	dial(&f, &chunked);
	say(&chunked, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nf0000\r\n");
	say_bytes(&chunked, body, 0xf0000);
	/* The holder goes on: its room is not taken for idle. */
	for (int i = 0; i < 30; i++) {
		say_bytes(&holders[0], body, 8192);
		net_run_for(f.l, 10);
	}
	wait_close(&late);
	assert_memory_equal(buf_str(&late.in), "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(buf_str(&late.in), "Retry-After: 1\r\n"));
	assert_non_null(strstr(buf_str(&late.in), "no room"));
	wait_close(&chunked);
	assert_memory_equal(buf_str(&chunked.in), "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(f.counts, "http_body_refused"));
	say_bytes(&holders[0], body, MIB / 2 - 30 * 8192);
	wait_for(&holders[0], "HTTP/1.1 200", 1);
	hang_up(&holders[0]);
	hang_up(&late);
	hang_up(&chunked);
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	assert_int_equal(http_server_bodies(f.s), 0);
	tear_down(&f);
}

static void absolute_targets_and_upgrades_are_plain_requests(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET http://h/p?q HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
	wait_for(&c, "hello", 1);
	say(&c, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c, "hello", 2);
	assert_string_equal(buf_str(&f.log), "GET /p?q 0:\nOPTIONS *? 0:\n");
	hang_up(&c);
	tear_down(&f);
}

static void a_large_body_comes_back_whole(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	size_t len = 8 << 20;
	char *body = malloc(len), head[128];
	assert_non_null(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (char)('a' + i * 7 % 26);
	memcpy(body + len - 3, "END", 3);
	set_up(&f);
	dial(&f, &c);
	snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", len);
	say(&c, head);
	say_bytes(&c, body, len);
	wait_for(&c, "END", 1);
	assert_true(c.in.len > len);
	assert_memory_equal(c.in.data + c.in.len - len, body, len);
	free(body);
	hang_up(&c);
	tear_down(&f);
}

static void one_connection_too_many_is_told_so(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct client c[3];
	http_limits_default(&f.limits);
	f.limits.conns_max = 2;
	f.limits.conns_by_fds = false;
	set_up_on(&f, "127.0.0.1:0");
	for (int i = 0; i < 3; i++)
		dial(&f, &c[i]);
	/* It sends its request before it reads: the answer must survive that. */
	say(&c[2], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_close(&c[2]);
	assert_non_null(strstr(buf_str(&c[2].in), "HTTP/1.1 503 Service Unavailable\r\n"));
	assert_non_null(strstr(buf_str(&c[2].in), "Retry-After: 1\r\n"));
	assert_null(strstr(buf_str(&c[2].in), "open files"));
	assert_int_equal(http_server_conns(f.s), 2);
	say(&c[0], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c[0], "hello", 1);
	hang_up(&c[0]);
	hang_up(&c[1]);
	hang_up(&c[2]);
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	dial(&f, &c[0]);
	say(&c[0], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&c[0], "hello", 1);
	hang_up(&c[0]);
	tear_down(&f);
}

static void draining_answers_whoever_comes_once_and_closing_nobody(void **state)
{
	(void)state;
	struct fixture f;
	struct client kept, fresh, idle, busy;
	set_up(&f);
	dial(&f, &kept);
	dial(&f, &idle);
	dial(&f, &busy);
	say(&kept, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&kept, "hello", 1);
	say(&busy, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	http_begin(f.held, 200, "text/event-stream");
	http_server_drain(f.s);
	say(&kept, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_close(&kept);
	assert_int_equal(count_text(&kept.in, "hello"), 2);
	assert_int_equal(count_text(&kept.in, "Connection: close"), 1);
	dial(&f, &fresh);
	say(&fresh, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_close(&fresh);
	assert_non_null(strstr(buf_str(&fresh.in), "Connection: close\r\n\r\nhello"));
	hang_up(&kept);
	hang_up(&fresh);
	net_run_for(f.l, 20);
	read_some(&idle);
	assert_false(idle.closed);
	assert_int_equal(http_server_closing(f.s), 0);
	http_write(f.held, "bye", 3);
	http_end(f.held);
	assert_int_equal(http_server_closing(f.s), 1);
	http_server_close(f.s);
	assert_int_equal(net_dial(http_server_addr(f.s)), -1);
	wait_close(&idle);
	wait_close(&busy);
	assert_non_null(strstr(buf_str(&busy.in), "bye\r\n0\r\n\r\n"));
	hang_up(&busy);
	net_run_for(f.l, 20);
	assert_int_equal(http_server_closing(f.s), 0);
	hang_up(&idle);
	tear_down(&f);
}

static void closing_ends_idle_connections_and_serves_the_others_last_answer(void **state)
{
	(void)state;
	struct fixture f;
	struct client idle, busy;
	set_up(&f);
	dial(&f, &idle);
	dial(&f, &busy);
	say(&busy, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	http_server_close(f.s);
	assert_int_equal(net_dial(http_server_addr(f.s)), -1);
	wait_close(&idle);
	http_reply(f.held, 200, "text/plain", "bye", 3);
	wait_close(&busy);
	assert_non_null(strstr(buf_str(&busy.in), "Connection: close\r\n\r\nbye"));
	hang_up(&idle);
	hang_up(&busy);
	assert_true(net_run_until(f.l, is_empty, &f, NET_WAIT_MS));
	tear_down(&f);
}

static void destroying_tells_those_being_answered(void **state)
{
	(void)state;
	struct fixture f;
	struct client c;
	set_up(&f);
	dial(&f, &c);
	say(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(net_run_until(f.l, is_held, &f, NET_WAIT_MS));
	http_server_destroy(f.s);
	f.s = NULL;
	assert_int_equal(f.gone, 1);
	hang_up(&c);
	tear_down(&f);
}

/* In a child with 64 fds: 150 clients come at once; each must hear something, and afterwards all is well. */
static int crowded_child(int addr_fd, int go_fd)
{
	static struct fixture f;
	struct rlimit limit = {64, 64};
	char c;
	setrlimit(RLIMIT_NOFILE, &limit);
	http_limits_default(&f.limits);
	if (f.limits.conns_max != 32)
		return 1;
	set_up_on(&f, "127.0.0.1:0");
	const char *addr = http_server_addr(f.s);
	if (write(addr_fd, addr, strlen(addr) + 1) < 0)
		return 2;
	fcntl(go_fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 2000 && read(go_fd, &c, 1) != 1; i++)
		net_run_for(f.l, 5);
	uint32_t conns = http_server_conns(f.s);
	http_server_destroy(f.s);
	loop_destroy(f.l);
	buf_done(&f.log);
	return conns == 0 ? 0 : 3;
}

static void a_crowd_past_the_fd_limit_leaves_the_server_well(void **state)
{
	(void)state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	int up[2], down[2], fds[150], status, served = 0, refused = 0;
	char addr[64] = "", answer[512];
	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(crowded_child(up[1], down[0]));
	assert_true(read(up[0], addr, sizeof addr) > 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		assert_true((fds[i] = net_dial(addr)) >= 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		(void)!send(fds[i], request, sizeof request - 1, MSG_NOSIGNAL);
		ssize_t n = recv(fds[i], answer, sizeof answer - 1, 0);
		answer[n > 0 ? n : 0] = '\0';
		served += strncmp(answer, "HTTP/1.1 200", 12) == 0;
		refused += strncmp(answer, "HTTP/1.1 503", 12) == 0 && strstr(answer, "limit of open files");
		assert_true(n >= 0 || errno == ECONNRESET);
		close(fds[i]);
	}
	assert_true(served >= 32);
	assert_true(refused > 0);
	int last = net_dial(addr);
	assert_int_equal(send(last, request, sizeof request - 1, 0), (ssize_t)sizeof request - 1);
	assert_true(recv(last, answer, sizeof answer, 0) > 0);
	assert_memory_equal(answer, "HTTP/1.1 200", 12);
	close(last);
	assert_int_equal(write(down[1], "g", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_in_range(WEXITSTATUS(status), 0, 0);
	close(up[0]), close(up[1]), close(down[0]), close(down[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_answered_and_the_connection_kept),
		cmocka_unit_test(headers_are_found_by_lower_case_name_and_nobody_splits_ours),
		cmocka_unit_test(every_byte_alone_gives_the_same_request),
		cmocka_unit_test(a_streamed_answer_is_chunked_and_ends),
		cmocka_unit_test(an_answer_broken_off_is_seen_to_be_cut),
		cmocka_unit_test(http_1_0_gets_no_chunks_and_a_close),
		cmocka_unit_test(connection_close_is_honoured),
		cmocka_unit_test(head_says_the_length_and_sends_no_body),
		cmocka_unit_test(expect_100_is_answered_before_the_body),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(a_pipelining_client_that_does_not_read_is_not_served_for_ever),
		cmocka_unit_test(half_closed_clients_get_their_answer),
		cmocka_unit_test(a_client_that_left_is_noticed_while_nothing_is_sent),
		cmocka_unit_test(a_client_that_left_is_noticed_in_the_middle_of_a_stream),
		cmocka_unit_test(a_reader_that_stalls_is_closed),
		cmocka_unit_test(a_reader_that_is_slow_is_not_stalled),
		cmocka_unit_test(what_is_kept_for_one_reader_is_bounded),
		cmocka_unit_test(of_all_unread_answers_the_largest_ends_first),
		cmocka_unit_test(slow_headers_meet_one_deadline_in_all),
		cmocka_unit_test(slow_bodies_meet_a_deadline),
		cmocka_unit_test(idle_connections_are_closed_without_a_word),
		cmocka_unit_test(too_large_a_body_is_refused_before_it_is_sent),
		cmocka_unit_test(a_client_busy_sending_a_refused_body_still_reads_why),
		cmocka_unit_test(too_large_headers_are_refused),
		cmocka_unit_test(what_is_not_http_is_refused),
		cmocka_unit_test(requests_that_two_readers_would_split_differently_are_refused),
		cmocka_unit_test(headers_that_are_none_are_refused),
		cmocka_unit_test(chunks_that_are_none_are_refused),
		cmocka_unit_test(extensions_and_trailers_are_taken_and_dropped),
		cmocka_unit_test(what_stands_beside_a_chunked_body_is_bounded),
		cmocka_unit_test(whole_urls_name_the_host_that_counts),
		cmocka_unit_test(a_request_refused_by_its_headers_keeps_or_ends_the_connection),
		cmocka_unit_test(bodies_have_one_bound_and_small_ones_pass),
		cmocka_unit_test(room_that_is_only_announced_is_given_to_others),
		cmocka_unit_test(what_finds_no_room_in_time_is_told_so),
		cmocka_unit_test(absolute_targets_and_upgrades_are_plain_requests),
		cmocka_unit_test(a_large_body_comes_back_whole),
		cmocka_unit_test(one_connection_too_many_is_told_so),
		cmocka_unit_test(draining_answers_whoever_comes_once_and_closing_nobody),
		cmocka_unit_test(closing_ends_idle_connections_and_serves_the_others_last_answer),
		cmocka_unit_test(destroying_tells_those_being_answered),
		cmocka_unit_test(a_crowd_past_the_fd_limit_leaves_the_server_well),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
