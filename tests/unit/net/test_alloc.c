/* HTTP where memory ends, on the simulated env: each allocation of server and client fails in turn. Requests are answered,
 * refused or cut off, nobody waits for ever, and the next connection is served. */
#include "base/log.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "sim/env.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"

enum { SECOND_US = 1000000, POINTS_MAX = 5000 };

static struct world {
	struct sim *sim;
	struct env *env;
	struct http_server *server;
	struct http_limits limits;
	uint32_t begun;
} w;

/* Answers with the body that came, as a whole; what asks for /stream gets it in three pieces. */
static void on_request(void *ctx, struct http_exchange *x)
{
	size_t len;
	const char *body = http_body(x, &len);
	(void)ctx;

	w.begun++;
	http_add_header(x, "x-answer", "yes");
	if (strcmp(http_path(x), "/stream")) {
		http_reply(x, 200, "text/plain", body, len);
		return;
	}
	http_begin(x, 200, "text/event-stream");
	for (int i = 0; i < 3; i++)
		http_write(x, "data: piece\n\n", 13);
	http_end(x);
}
static const struct http_handler handler = {.on_request = on_request};

struct raw {
	struct env_conn *conn; /* NULL: closed */
	struct buf in;
};

static void raw_data(void *ctx, const uint8_t *data, size_t len)
{
	uint32_t depth = fail_nth_suspend();
	assert_int_equal(buf_add(&((struct raw *)ctx)->in, data, len), 0);
	fail_nth_resume(depth);
}

static void raw_closed(void *ctx, int code)
{
	(void)code;
	((struct raw *)ctx)->conn = NULL;
}

static void raw_eof(void *ctx)
{
	struct raw *r = ctx;
	env_conn_close(w.env, r->conn);
	r->conn = NULL;
}
static const struct env_conn_ops raw_ops = {.on_data = raw_data, .on_eof = raw_eof, .on_closed = raw_closed};

static void raw_open(struct raw *r)
{
	*r = (struct raw){0};
	buf_init(&r->in, 1 << 20);
	assert_int_equal(env_connect(w.env, "front:80", &raw_ops, r, &r->conn, NULL), 0);
}

static void raw_say(struct raw *r, const char *text, size_t len)
{
	if (r->conn)
		assert_int_equal(env_conn_write(w.env, r->conn, text, len), 0);
}

static void raw_done(struct raw *r)
{
	if (r->conn)
		env_conn_close(w.env, r->conn);
	buf_done(&r->in);
}

/* "HTTP/1.1 200" and so on, each answer in what came. */
static uint32_t count(const struct raw *r, const char *what)
{
	uint32_t n = 0;

	for (const char *at = buf_str(&r->in); (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void world_make(void)
{
	struct sim_config config;

	memset(&w, 0, sizeof w);
	sim_config_default(&config, 5);
	config.owner = fail_nth_owner;
	config.segment_bytes_max = 100;
	assert_int_equal(sim_create(&w.sim, &config, NULL), 0);
	w.env = fail_env(sim_env(w.sim));
	http_limits_default(&w.limits);
	assert_int_equal(http_server_create(&w.server, w.env, "front:80", &w.limits, &handler, &w, NULL), 0);
}

static void world_unmake(void)
{
	sim_run_for(w.sim, SECOND_US);
	assert_int_equal(http_server_conns(w.server), 0);
	http_server_destroy(w.server);
	struct sim_counts left = sim_counts(w.sim);
	assert_int_equal(left.conns + left.listeners + left.timers + left.jobs, 0);
	sim_destroy(w.sim);
}

static void the_next_is_served(void)
{
	struct raw r;
	static const char ask[] = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

	raw_open(&r);
	raw_say(&r, ask, sizeof ask - 1);
	sim_run_for(w.sim, SECOND_US);
	assert_int_equal(count(&r, "HTTP/1.1 200 OK"), 1);
	assert_int_equal(count(&r, "hello"), 1);
	raw_done(&r);
}

struct talk {
	const char *name, *says;
	uint32_t answers;
	bool pauses; /* stops reading for a while */
	bool cut; /* leaves in the middle */
};

static const struct talk talks[] = {
	{"headers and a body", "POST /a HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nX-Two: 2\r\nContent-Length: 3\r\n\r\nabc", 1,
		false, false},
	{"pipelined",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /stream HTTP/1.1\r\nHost: h\r\n\r\n"
		"GET /b?x=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /stream HTTP/1.1\r\nHost: h\r\n\r\n",
		4, false, false},
	{"a chunked body",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 1,
		false, false},
	{"expect", "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab", 1, false,
		false},
	{"a slow reader", "GET /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 2, true,
		false},
	{"not HTTP", "hello there\r\n\r\n", 0, false, false},
	{"one who leaves", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\nabc", 0, false, true},
	{"one who falls silent", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\nabc", 0, false, false},
};

static bool run(const struct talk *t, uint64_t n, uint64_t more)
{
	struct raw r;

	world_make();
	raw_open(&r);
	fail_nth_arm(n, more);
	raw_say(&r, t->says, strlen(t->says));
	if (t->pauses && r.conn)
		env_conn_pause(w.env, r.conn, true);
	sim_run_for(w.sim, SECOND_US / 2);
	if (t->pauses && r.conn)
		env_conn_pause(w.env, r.conn, false);
	if (t->cut && r.conn) {
		env_conn_close(w.env, r.conn);
		r.conn = NULL;
	}
	sim_run_for(w.sim, SECOND_US / 2);
	bool failed = fail_nth_disarm();
	if (!failed)
		assert_int_equal(count(&r, "HTTP/1.1 200 OK"), t->answers);
	/* What was not answered ends by the deadlines. */
	sim_run_for(w.sim, (w.limits.idle_timeout_ms + w.limits.body_timeout_ms) * 2000ull);
	assert_null(r.conn);
	the_next_is_served();
	raw_done(&r);
	world_unmake();
	return failed;
}

static void a_connection_ends_and_the_next_is_served(void **state)
{
	(void)state;
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(talks); i++)
		for (uint64_t more = 0; more < 4; more += 3) {
			for (n = 1; n < POINTS_MAX && run(&talks[i], n, more); n++)
				continue;
			if (n < 5 || n >= POINTS_MAX)
				fail_msg("%s: %llu points", talks[i].name, (unsigned long long)n);
		}
}

static int server_create(void *ctx, struct err *err)
{
	struct http_server *s = NULL;
	(void)ctx;

	int r = http_server_create(&s, w.env, "other:80", &w.limits, &handler, &w, err);
	if (r == 0)
		http_server_destroy(s);
	return r;
}

static void a_server_starts_or_there_is_no_memory(void **state)
{
	(void)state;
	world_make();
	assert_true(fail_nth_each(server_create, NULL) >= 3);
	world_unmake();
}

/* The client: each request ends with one call. */
struct user {
	struct http_client *http;
	uint32_t dones, good;
};

static void user_done(void *ctx, int code, const char *why)
{
	struct user *u = ctx;

	u->dones++;
	u->good += code == 0;
	assert_true(code == 0 || *why);
}
static const struct http_client_ops user_ops = {.on_done = user_done};

static bool client_run(uint64_t n)
{
	const struct http_client_request request = {
		.method = "POST", .path = "/stream", .body = "hello", .body_len = 5};
	struct user u = {0};
	struct err err;
	int r = -1;

	world_make();
	fail_nth_arm(n, 0);
	fail_nth_begin();
	if (http_client_create(&u.http, w.env, &(struct http_url){.addr = "front:80", .host = "front"}, &err) < 0)
		u.http = NULL;
	else
		r = http_client_send(u.http, &request, &user_ops, &u, &err);
	fail_nth_end();
	sim_run_for(w.sim, 10 * SECOND_US);
	bool failed = fail_nth_disarm();
	assert_int_equal(u.dones, r == 0);
	assert_true(failed || u.good == 1);
	if (u.http) {
		uint32_t dones = u.dones;
		assert_int_equal(http_client_send(u.http, &request, &user_ops, &u, &err), 0);
		sim_run_for(w.sim, 2 * (w.limits.body_timeout_ms * 1000ull) + 700 * SECOND_US);
		assert_int_equal(u.dones, dones + 1);
	}
	http_client_destroy(u.http);
	world_unmake();
	return failed;
}

static void a_client_s_request_ends_once(void **state)
{
	(void)state;
	uint64_t n = 1;

	while (n < POINTS_MAX && client_run(n))
		n++;
	assert_in_range(n, 5, POINTS_MAX - 1);
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_starts_or_there_is_no_memory),
		cmocka_unit_test(a_connection_ends_and_the_next_is_served),
		cmocka_unit_test(a_client_s_request_ends_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
