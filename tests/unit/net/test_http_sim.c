/* The HTTP server on the simulated env: the same code, cut and delayed at random from a seed, and no byte, exchange or
 * timer may be lost. */
#include "../lib/cmocka_all.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/rng.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "sim/env.h"

#include <stdio.h>
#include <string.h>

enum { CLIENTS = 8, REQUESTS_EACH = 12, SEEDS = 40 };

/* One request being answered in pieces, by a timer. */
struct answer {
	struct list link;
	struct world *w;
	struct http_exchange *x;
	struct env_timer timer;
	uint32_t pieces_left, pieces;
};

struct user {
	struct world *w;
	struct http_client *http;
	struct env_timer timer;
	uint32_t sent, whole, failed;
	struct buf in;
	bool gives_up; /* in the middle of the next answer */
};

struct world {
	struct sim *sim;
	struct env *env;
	struct http_server *server;
	struct rng rng;
	struct list answers;
	struct user users[CLIENTS];
	uint32_t begun, ended, gone;
};

static void answer_free(struct answer *a)
{
	env_timer_cancel(a->w->env, &a->timer);
	list_del(&a->link);
	free(a);
}

static void answer_gone(void *user)
{
	struct answer *a = user;
	a->w->gone++;
	answer_free(a);
}
static const struct http_exchange_ops answer_ops = {.on_gone = answer_gone};

static void answer_piece(void *ctx)
{
	struct answer *a = ctx;
	struct world *w = a->w;
	char piece[64];

	if (a->pieces == 0)
		http_begin(a->x, 200, "text/event-stream");
	if (a->pieces_left == 0) {
		http_end(a->x);
		w->ended++;
		answer_free(a);
		return;
	}
	int n = snprintf(piece, sizeof piece, "data: %u\n\n", a->pieces++);
	http_write(a->x, piece, (size_t)n);
	a->pieces_left--;
	env_timer_set_in(w->env, &a->timer, rng_below(&w->rng, 3000));
}

static void on_request(void *ctx, struct http_exchange *x)
{
	struct world *w = ctx;
	size_t len;
	const char *body = http_body(x, &len);

	w->begun++;
	if (rng_below(&w->rng, 3) == 0) {
		http_reply(x, 200, "text/plain", body, len);
		w->ended++;
		return;
	}
	struct answer *a = calloc(1, sizeof *a);
	assert_non_null(a);
	*a = (struct answer){.w = w, .x = x, .timer = {.fn = answer_piece, .ctx = a}};
	a->pieces_left = 1 + (uint32_t)rng_below(&w->rng, 20);
	list_add_tail(&w->answers, &a->link);
	http_set_ops(x, &answer_ops, a);
	env_timer_set_in(w->env, &a->timer, rng_below(&w->rng, 3000));
}
static const struct http_handler handler = {.on_request = on_request};

static void user_next(struct user *u, uint64_t in_us)
{
	env_timer_set_in(u->w->env, &u->timer, in_us);
}

static void user_body(void *ctx, const char *data, size_t len)
{
	struct user *u = ctx;
	assert_int_equal(buf_add(&u->in, data, len), 0);
	if (u->gives_up) {
		u->failed++;
		http_client_cancel(u->http);
		user_next(u, 500);
	}
}

static void user_done(void *ctx, int code, const char *why)
{
	struct user *u = ctx;
	if (code < 0)
		fail_msg("%s", why);
	u->whole++;
	user_next(u, rng_below(&u->w->rng, 2000));
}
static const struct http_client_ops user_ops = {.on_body = user_body, .on_done = user_done};

static void user_send(void *ctx)
{
	struct user *u = ctx;
	static char body[30000];
	struct http_client_request r = {.method = "POST", .path = "/p", .body = body};

	if (u->sent == REQUESTS_EACH)
		return;
	u->sent++;
	memset(body, 'x', sizeof body);
	r.body_len = 1 + rng_below(&u->w->rng, sizeof body);
	u->gives_up = rng_below(&u->w->rng, 4) == 0;
	buf_reset(&u->in);
	assert_int_equal(http_client_send(u->http, &r, &user_ops, u, NULL), 0);
}

static bool is_over(void *ctx)
{
	const struct world *w = ctx;
	uint32_t ended = 0;
	for (int i = 0; i < CLIENTS; i++)
		ended += w->users[i].whole + w->users[i].failed;
	return ended == CLIENTS * REQUESTS_EACH;
}

static void world_run(uint64_t seed)
{
	static struct world w;
	struct sim_config config;
	struct http_limits limits;
	memset(&w, 0, sizeof w);
	sim_config_default(&config, seed);
	rng_init(&w.rng, seed + 1);
	config.segment_bytes_max = 1 + (uint32_t)rng_below(&w.rng, 2000);
	config.socket_bytes = 512 + (uint32_t)rng_below(&w.rng, 20000);
	assert_int_equal(sim_create(&w.sim, &config, NULL), 0);
	w.env = sim_env(w.sim);
	list_init(&w.answers);
	http_limits_default(&limits);
	/* In half of them requests wait for room, also the small. */
	if (seed & 1) {
		limits.body_bytes_max = 40000;
		limits.bodies_bytes_max = 0;
	}
	assert_int_equal(http_server_create(&w.server, w.env, "front:80", &limits, &handler, &w, NULL), 0);
	for (int i = 0; i < CLIENTS; i++) {
		struct user *u = &w.users[i];
		*u = (struct user){.w = &w, .timer = {.fn = user_send, .ctx = u}};
		buf_init(&u->in, 1 << 20);
		assert_int_equal(http_client_create(&u->http, w.env,
					 &(struct http_url){.addr = "front:80", .host = "front"}, NULL),
			0);
		user_next(u, rng_below(&w.rng, 1000));
	}
	if (!sim_run_cond(w.sim, is_over, &w, env_now_us(w.env) + 60 * 1000000ull))
		fail_msg("seed %lu: not every request has ended", (unsigned long)seed);
	for (int i = 0; i < CLIENTS; i++) {
		http_client_destroy(w.users[i].http);
		buf_done(&w.users[i].in);
	}
	/* Everybody left: the server hears of it, long before any deadline of its own. */
	sim_run_for(w.sim, 1000000);
	assert_int_equal(http_server_conns(w.server), 0);
	assert_true(list_empty(&w.answers));
	assert_int_equal(w.begun, w.ended + w.gone);
	assert_int_equal(http_server_bodies(w.server), 0);
	http_server_destroy(w.server);
	struct sim_counts left = sim_counts(w.sim);
	assert_int_equal(left.conns + left.listeners + left.timers, 0);
	sim_destroy(w.sim);
}

static void every_request_ends_once_whatever_the_network_does(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		world_run(seed);
}

/* A raw end that only listens. */
struct raw {
	struct env_conn *conn;
	struct buf in;
	bool closed;
};
static void raw_data(void *ctx, const uint8_t *data, size_t len)
{
	assert_int_equal(buf_add(&((struct raw *)ctx)->in, data, len), 0);
}
static void raw_closed(void *ctx, int code)
{
	(void)code;
	((struct raw *)ctx)->closed = true;
}
static const struct env_conn_ops raw_ops = {.on_data = raw_data, .on_closed = raw_closed};

/* The real deadlines, without waiting for them. */
static void deadlines_are_those_of_the_limits(void **state)
{
	(void)state;
	static const struct {
		const char *says, *hears;
		uint32_t after_ms;
	} cases[] = {
		{"", "", HTTP_IDLE_TIMEOUT_MS},
		{"GET / HT", "HTTP/1.1 408 ", HTTP_HEADER_TIMEOUT_MS},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab", "HTTP/1.1 408 ", HTTP_BODY_TIMEOUT_MS},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w = {0};
		struct raw raw = {0};
		struct sim_config config;
		struct http_limits limits;
		sim_config_default(&config, i);
		assert_int_equal(sim_create(&w.sim, &config, NULL), 0);
		w.env = sim_env(w.sim);
		list_init(&w.answers);
		http_limits_default(&limits);
		assert_int_equal(http_server_create(&w.server, w.env, "front:80", &limits, &handler, &w, NULL), 0);
		buf_init(&raw.in, 4096);
		assert_int_equal(env_connect(w.env, "front:80", &raw_ops, &raw, &raw.conn, NULL), 0);
		assert_int_equal(env_conn_write(w.env, raw.conn, cases[i].says, strlen(cases[i].says)), 0);
		sim_run_for(w.sim, cases[i].after_ms * 1000ull - 50000);
		assert_false(raw.closed);
		assert_int_equal(raw.in.len, 0);
		sim_run_for(w.sim, 100000);
		assert_true(raw.closed);
		assert_memory_equal(buf_str(&raw.in), cases[i].hears, strlen(cases[i].hears));
		assert_int_equal(http_server_conns(w.server), 0);
		buf_done(&raw.in);
		http_server_destroy(w.server);
		sim_destroy(w.sim);
	}
}

/* A reader that takes one byte at a time, and how often. */
struct sipper {
	struct env *env;
	struct env_conn *conn;
	struct env_timer timer;
	uint64_t every_us, bytes;
	bool closed;
};
static void sip(void *ctx)
{
	struct sipper *s = ctx;
	if (s->closed)
		return;
	env_conn_pause(s->env, s->conn, false);
	env_timer_set_in(s->env, &s->timer, s->every_us);
}
static void sip_data(void *ctx, const uint8_t *data, size_t len)
{
	struct sipper *s = ctx;
	(void)data;
	s->bytes += len;
	env_conn_pause(s->env, s->conn, true);
}
static void sip_closed(void *ctx, int code)
{
	(void)code;
	((struct sipper *)ctx)->closed = true;
}
static const struct env_conn_ops sip_ops = {.on_data = sip_data, .on_closed = sip_closed};

static void big_request(void *ctx, struct http_exchange *x)
{
	static char big[200000];
	(void)ctx;
	http_begin(x, 200, "text/event-stream");
	http_write(x, big, sizeof big);
}
static const struct http_handler big_handler = {.on_request = big_request};

static void a_byte_now_and_then_is_not_reading(void **state)
{
	(void)state;
	static const struct {
		uint64_t every_us;
		bool ends;
	} cases[] = {{15000000, true}, {1000000, true}, {20000, true}, {12000, false}, {1000, false}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sim *sim;
		struct sim_config config;
		struct http_limits limits;
		struct http_server *server;
		struct sipper s = {.every_us = cases[i].every_us, .timer = {.fn = sip, .ctx = &s}};
		sim_config_default(&config, i);
		config.segment_bytes_max = 1;
		config.socket_bytes = 500;
		assert_int_equal(sim_create(&sim, &config, NULL), 0);
		s.env = sim_env(sim);
		http_limits_default(&limits);
		assert_int_equal(http_server_create(&server, s.env, "front:80", &limits, &big_handler, NULL, NULL), 0);
		assert_int_equal(env_connect(s.env, "front:80", &sip_ops, &s, &s.conn, NULL), 0);
		static const char ask[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
		assert_int_equal(env_conn_write(s.env, s.conn, ask, sizeof ask - 1), 0);
		env_timer_set_in(s.env, &s.timer, s.every_us);
		sim_run_for(sim, HTTP_STALL_TIMEOUT_MS * 2000ull);
		if ((http_server_conns(server) == 0) != cases[i].ends || http_server_unread(server) > 200000)
			fail_msg("every %lu us: %u connections, %lu bytes read", (unsigned long)s.every_us,
				http_server_conns(server), (unsigned long)s.bytes);
		env_timer_cancel(s.env, &s.timer);
		if (!s.closed)
			env_conn_close(s.env, s.conn);
		http_server_destroy(server);
		sim_destroy(sim);
	}
}

static void size_request(void *ctx, struct http_exchange *x)
{
	size_t len;
	(void)ctx;
	(void)http_body(x, &len);
	http_reply(x, 200, "text/plain", "whole", 5);
}
static const struct http_handler size_handler = {.on_request = size_request};

enum { PACED = 2, PACED_BYTES = 20 << 20, PACE = 8 << 20 };

static void say_body(struct env *e, struct raw *r, size_t len)
{
	static char bytes[PACED_BYTES];
	char head[128];
	buf_init(&r->in, 4096);
	assert_int_equal(env_connect(e, "front:80", &raw_ops, r, &r->conn, NULL), 0);
	int n = snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", len);
	assert_int_equal(env_conn_write(e, r->conn, head, (size_t)n), 0);
	assert_int_equal(env_conn_write(e, r->conn, bytes, len), 0);
}

static bool all_whole(void *ctx)
{
	struct raw *r = ctx;
	return r[0].in.len && r[1].in.len;
}

/* What is beyond the burst comes at the rate, whoever sends it; a small request passes; and the time is not the client's. */
static void large_bodies_share_one_rate(void **state)
{
	(void)state;
	struct sim *sim;
	struct sim_config config;
	struct http_limits limits;
	struct http_server *server;
	struct raw large[PACED] = {0}, small = {0};
	sim_config_default(&config, 1);
	config.segment_bytes_max = 1 << 16;
	config.socket_bytes = 1 << 20;
	assert_int_equal(sim_create(&sim, &config, NULL), 0);
	struct env *e = sim_env(sim);
	http_limits_default(&limits);
	limits.large_rate = PACE;
	limits.body_timeout_ms = 1500; /* less than it takes */
	limits.body_wait_ms = 500;
	assert_int_equal(http_server_create(&server, e, "front:80", &limits, &size_handler, NULL, NULL), 0);
	sim_run_for(sim, 10 * 1000000); /* nobody used any of the burst lately */
	uint64_t begun_us = env_now_us(e);
	for (int i = 0; i < PACED; i++)
		say_body(e, &large[i], PACED_BYTES);
	sim_run_for(sim, 1000000);
	assert_false(large[0].in.len || large[1].in.len);
	uint64_t asked_us = env_now_us(e);
	say_body(e, &small, 1000);
	while (!small.in.len)
		assert_true(sim_step(sim));
	assert_true(env_now_us(e) - asked_us < 50000);
	assert_true(sim_run_cond(sim, all_whole, large, begun_us + 60000000));
	double took_s = (double)(env_now_us(e) - begun_us) / 1e6;
	double paced = (double)PACED * (PACED_BYTES - HTTP_UNPACED_BYTES) - HTTP_PACE_BURST_BYTES;
	assert_true(took_s > 0.9 * paced / PACE && took_s < 1.3 * paced / PACE);
	for (int i = 0; i < PACED; i++) {
		assert_memory_equal(buf_str(&large[i].in), "HTTP/1.1 200 ", 13);
		env_conn_close(e, large[i].conn);
		buf_done(&large[i].in);
	}
	env_conn_close(e, small.conn);
	buf_done(&small.in);
	sim_run_for(sim, 1000000);
	assert_int_equal(http_server_conns(server), 0);
	http_server_destroy(server);
	assert_int_equal(sim_counts(sim).timers, 0);
	sim_destroy(sim);
}

enum { MANY = 40, MANY_BYTES = 1 << 20, MANY_PACE = 512 << 10 };

static bool all_answered(void *ctx)
{
	const struct raw *r = ctx;
	for (int i = 0; i < MANY; i++)
		if (!r[i].in.len)
			return false;
	return true;
}

/* Many bodies of a mebibyte are as much work as a few large ones: they share the rate. Who is held for it is not taken for a
 * client that sends nothing when somebody else waits for room. */
static void many_bodies_of_a_mebibyte_share_the_rate(void **state)
{
	(void)state;
	struct sim *sim;
	struct sim_config config;
	struct http_limits limits;
	struct http_server *server;
	struct raw many[MANY] = {0}, late = {0};
	sim_config_default(&config, 3);
	config.segment_bytes_max = 1 << 16;
	config.socket_bytes = 1 << 20;
	assert_int_equal(sim_create(&sim, &config, NULL), 0);
	struct env *e = sim_env(sim);
	http_limits_default(&limits);
	limits.large_rate = MANY_PACE;
	limits.body_bytes_max = 24 << 20;
	limits.bodies_bytes_max = 48 << 20; /* of it seven eighths for large ones */
	limits.body_timeout_ms = 8000; /* less than all take */
	limits.body_wait_ms = 300; /* less than a turn of all takes */
	assert_int_equal(http_server_create(&server, e, "front:80", &limits, &size_handler, NULL, NULL), 0);
	sim_run_for(sim, 40 * 1000000); /* nobody used any of the burst lately */
	uint64_t begun_us = env_now_us(e);
	for (int i = 0; i < MANY; i++)
		say_body(e, &many[i], MANY_BYTES);
	sim_run_for(sim, 8 * 1000000);
	assert_false(all_answered(many));
	say_body(e, &late, 20 << 20); /* there is no room for it */
	assert_true(sim_run_cond(sim, all_answered, many, begun_us + 300 * 1000000));
	double took_s = (double)(env_now_us(e) - begun_us) / 1e6;
	double paced = (double)MANY * (MANY_BYTES - HTTP_UNPACED_BYTES) - HTTP_PACE_BURST_BYTES;
	assert_true(took_s > 0.8 * paced / MANY_PACE && took_s < 1.3 * paced / MANY_PACE);
	for (int i = 0; i < MANY; i++) {
		assert_memory_equal(buf_str(&many[i].in), "HTTP/1.1 200 ", 13);
		env_conn_close(e, many[i].conn);
		buf_done(&many[i].in);
	}
	assert_true(late.closed); /* with its bytes unread: the answer may be lost to it */
	assert_null(strstr(buf_str(&late.in), " 200 "));
	buf_done(&late.in);
	http_server_destroy(server);
	sim_destroy(sim);
}

/* What one connection says after its headers, as it is. */
static void say_raw(struct env *e, struct raw *r, const char *headers, const char *body, size_t len)
{
	char head[256];
	buf_init(&r->in, 4096);
	assert_int_equal(env_connect(e, "front:80", &raw_ops, r, &r->conn, NULL), 0);
	int n = snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n", headers);
	assert_int_equal(env_conn_write(e, r->conn, head, (size_t)n), 0);
	assert_int_equal(env_conn_write(e, r->conn, body, len), 0);
}

static bool is_answered(void *ctx)
{
	return ((struct raw *)ctx)->in.len > 0;
}

/* Seconds of the fake clock until a body of bytes in chunks of chunk bytes is answered, at so many bytes a second. */
static double chunks_take_s(size_t bytes, size_t chunk, uint64_t rate)
{
	struct sim *sim;
	struct sim_config config;
	struct http_limits limits;
	struct http_server *server;
	struct raw r = {0};
	struct buf body;
	sim_config_default(&config, 7);
	config.segment_bytes_max = 1 << 16;
	config.socket_bytes = 1 << 20;
	assert_int_equal(sim_create(&sim, &config, NULL), 0);
	struct env *e = sim_env(sim);
	http_limits_default(&limits);
	limits.large_rate = rate;
	assert_int_equal(http_server_create(&server, e, "front:80", &limits, &size_handler, NULL, NULL), 0);
	buf_init(&body, 1 << 26);
	while (body.len < bytes)
		assert_int_equal(buf_printf(&body, "%zx\r\n%*s\r\n", chunk, (int)chunk, "x"), 0);
	assert_int_equal(buf_add(&body, "0\r\n\r\n", 5), 0);
	sim_run_for(sim, 60 * 1000000); /* the whole burst is there */
	uint64_t begun_us = env_now_us(e);
	say_raw(e, &r, "Transfer-Encoding: chunked\r\n", body.data, body.len);
	assert_true(sim_run_cond(sim, is_answered, &r, begun_us + 600 * 1000000ull));
	double ret = (double)(env_now_us(e) - begun_us) / 1e6;
	assert_memory_equal(buf_str(&r.in), "HTTP/1.1 200 ", 13);
	env_conn_close(e, r.conn);
	buf_done(&r.in);
	buf_done(&body);
	http_server_destroy(server);
	sim_destroy(sim);
	return ret;
}

/* Sizes and ends of lines are looked at byte by byte: they are charged by that work, so that a body in tiny chunks takes no
 * more of the loop than a large one. */
static void tiny_chunks_are_charged_by_their_work(void **state)
{
	(void)state;
	const uint64_t rate = 4 << 20;
	const size_t bytes = 6 << 20;
	double whole_s = chunks_take_s(bytes, 60000, rate), tiny_s = chunks_take_s(bytes, 1, rate),
	       small_s = chunks_take_s(bytes, 100, rate);
	assert_true(whole_s < 1); /* it is within the burst */
	/* Five bytes of six stand beside the data. */
	double work = (1 + 5 * 16) / 6.0 * (double)bytes - HTTP_PACE_BURST_BYTES;
	assert_true(tiny_s > 0.9 * work / (double)rate && tiny_s < 1.1 * work / (double)rate);
	assert_true(small_s < 0.1 * tiny_s);
}

enum { HELD = HTTP_PACED_MAX + 60, HELD_BYTES = 1 << 20, HELD_PACE = 2 << 20 };

/* Calls of owners in one microsecond of the fake clock: what a turn does. */
static struct tally {
	struct env *env;
	uint64_t at_us;
	uint32_t calls, most;
} tally;

static void tally_call(bool begins)
{
	if (!begins || !tally.env)
		return;
	uint64_t now_us = env_now_us(tally.env);
	tally.calls = now_us == tally.at_us ? tally.calls + 1 : 1;
	tally.at_us = now_us;
	tally.most = MAX(tally.most, tally.calls);
}

static uint32_t answered_with(const struct raw *r, const char *status)
{
	uint32_t n = 0;
	for (int i = 0; i < HELD; i++)
		n += strncmp(buf_str(&r[i].in), status, strlen(status)) == 0;
	return n;
}

/* However many clients send bodies (and leave, the bytes of which the system holds until they are read), so many are held and
 * no more; the rest is told to come again; small requests pass; and no turn reads more than a few of them. */
static void bodies_held_for_the_rate_are_bounded_and_read_few_at_a_time(void **state)
{
	(void)state;
	static struct raw many[HELD];
	static char bytes[HELD_BYTES];
	struct sim *sim;
	struct sim_config config;
	struct http_limits limits;
	struct http_server *server;
	struct raw small = {0};
	memset(many, 0, sizeof many);
	sim_config_default(&config, 11);
	config.owner = tally_call;
	config.segment_bytes_max = 1 << 16;
	config.socket_bytes = 1 << 20;
	assert_int_equal(sim_create(&sim, &config, NULL), 0);
	struct env *e = sim_env(sim);
	http_limits_default(&limits);
	limits.large_rate = HELD_PACE;
	limits.bodies_bytes_max = 1024ull << 20; /* room is not what is short */
	limits.body_timeout_ms = 600 * 1000;
	assert_int_equal(http_server_create(&server, e, "front:80", &limits, &size_handler, NULL, NULL), 0);
	sim_run_for(sim, 60 * 1000000);
	for (int i = 0; i < HELD; i++)
		say_raw(e, &many[i], "Content-Length: 1048576\r\n", bytes, sizeof bytes);
	sim_run_for(sim, 2 * 1000000);
	/* Some have left with their bytes unread and may not have got the reason. */
	uint32_t refused = 0;
	for (int i = 0; i < HELD; i++) {
		bool is_told = strncmp(buf_str(&many[i].in), "HTTP/1.1 503 ", 13) == 0;
		refused += is_told || many[i].closed;
		assert_true(!is_told || strstr(buf_str(&many[i].in), "Retry-After: "));
	}
	assert_in_range(refused, 30, HELD - HTTP_PACED_MAX); /* a few were whole before the burst was used up */
	say_raw(e, &small, "Content-Length: 2\r\n", "{}", 2);
	uint64_t asked_us = env_now_us(e);
	assert_true(sim_run_cond(sim, is_answered, &small, asked_us + 50000));
	tally = (struct tally){.env = e};
	sim_run_for(sim, (uint64_t)HELD * HELD_BYTES * 1000000 / HELD_PACE);
	assert_int_equal(answered_with(many, "HTTP/1.1 200 "), HELD - refused);
	assert_in_range(
		tally.most, 1, 32); /* eight are let go at once; what else there is of the same microsecond is small */
	for (int i = 0; i < HELD; i++) {
		if (!many[i].closed)
			env_conn_close(e, many[i].conn);
		buf_done(&many[i].in);
	}
	if (!small.closed)
		env_conn_close(e, small.conn);
	buf_done(&small.in);
	tally = (struct tally){0};
	http_server_destroy(server);
	assert_int_equal(sim_counts(sim).timers, 0);
	sim_destroy(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_ends_once_whatever_the_network_does),
		cmocka_unit_test(large_bodies_share_one_rate),
		cmocka_unit_test(many_bodies_of_a_mebibyte_share_the_rate),
		cmocka_unit_test(tiny_chunks_are_charged_by_their_work),
		cmocka_unit_test(bodies_held_for_the_rate_are_bounded_and_read_few_at_a_time),
		cmocka_unit_test(deadlines_are_those_of_the_limits),
		cmocka_unit_test(a_byte_now_and_then_is_not_reading),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
