/* The HTTP client against a scripted server, in simulated time: any answer, cut anywhere. */
#include "net/http_client.h"

#include "base/buf.h"
#include "sim/env.h"

#include <stdio.h>

#include "../lib/cmocka_all.h"

/* A server that says the next line of its script to each request that ends in an empty line. */
struct server {
	struct env *env;
	const char *const *answers; /* NULL-terminated; "" closes without a word */
	bool close_after;
	struct env_conn *conn;
	struct buf seen;
	uint32_t accepted;
};

static void server_data(void *ctx, const uint8_t *data, size_t len)
{
	struct server *s = ctx;

	buf_add(&s->seen, data, len);
	if (!strstr(buf_str(&s->seen), "\r\n\r\n") || !*s->answers)
		return;
	const char *answer = *s->answers++;
	buf_reset(&s->seen);
	if (*answer)
		env_conn_write(s->env, s->conn, answer, strlen(answer));
	if (s->close_after || !*answer)
		env_conn_finish(s->env, s->conn);
}
static void server_closed(void *ctx, int code)
{
	(void)ctx;
	(void)code;
}
static const struct env_conn_ops server_conn_ops = {.on_data = server_data, .on_closed = server_closed};
static void server_accept(void *ctx, struct env_conn *conn)
{
	struct server *s = ctx;

	s->accepted++;
	s->conn = conn;
	buf_reset(&s->seen);
	env_conn_attach(s->env, conn, &server_conn_ops, s);
}
static const struct env_listener_ops listener_ops = {.on_accept = server_accept};

struct got {
	struct http_client *client;
	int status, code;
	uint32_t done;
	struct buf body;
	char why[512], type[64];
};
static void on_head(void *ctx, int status)
{
	struct got *g = ctx;
	const char *type = http_client_header(g->client, "content-type");

	g->status = status;
	snprintf(g->type, sizeof g->type, "%s", type ? type : "");
}
static void on_body(void *ctx, const char *data, size_t len)
{
	struct got *g = ctx;
	buf_add(&g->body, data, len);
}
static void on_done(void *ctx, int code, const char *why)
{
	struct got *g = ctx;
	g->done++;
	g->code = code;
	snprintf(g->why, sizeof g->why, "%s", why);
}
static const struct http_client_ops client_ops = {.on_head = on_head, .on_body = on_body, .on_done = on_done};
static bool is_done(void *ctx)
{
	return ((struct got *)ctx)->done > 0;
}

struct world {
	struct sim *sim;
	struct server server;
	struct env_listener *listener;
	struct got got;
};

static void world_init(struct world *w, uint64_t seed, const char *const *answers, bool close_after)
{
	struct sim_config config;

	sim_config_default(&config, seed);
	config.segment_bytes_max = 1 + (uint32_t)(seed % 40);
	assert_int_equal(sim_create(&w->sim, &config, NULL), 0);
	struct env *env = sim_env(w->sim);
	w->server = (struct server){.env = env, .answers = answers, .close_after = close_after};
	buf_init(&w->server.seen, 4096);
	assert_int_equal(env_listen(env, "srv:1", &listener_ops, &w->server, &w->listener, NULL), 0);
	w->got = (struct got){0};
	buf_init(&w->got.body, 4096);
	assert_int_equal(
		http_client_create(&w->got.client, env, &(struct http_url){.addr = "srv:1", .host = "srv:1"}, NULL), 0);
}
static void world_done(struct world *w)
{
	http_client_destroy(w->got.client);
	buf_done(&w->got.body);
	buf_done(&w->server.seen);
	sim_destroy(w->sim);
}
static void ask(struct world *w)
{
	struct http_client_request in = {
		.method = "GET", .path = "/x", .head_timeout_ms = 5000, .idle_timeout_ms = 5000};

	w->got.done = 0;
	buf_reset(&w->got.body);
	assert_int_equal(http_client_send(w->got.client, &in, &client_ops, &w->got, NULL), 0);
	assert_int_equal(http_client_send(w->got.client, &in, &client_ops, &w->got, NULL), -EBUSY);
	assert_true(sim_run_cond(w->sim, is_done, &w->got, env_now_us(sim_env(w->sim)) + 60000000));
	assert_int_equal(w->got.done, 1);
}

#define LENGTH_ANSWER "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNK_ANSWER                                                                                                   \
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-TYPE: a\r\nTransfer-Encoding: chunked\r\n\r\n" \
	"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"

static void answers_read_the_same_however_they_are_cut(void **state)
{
	(void)state;
	static const char *const answers[] = {LENGTH_ANSWER, CHUNK_ANSWER, LENGTH_ANSWER, NULL};

	for (uint64_t seed = 0; seed < 40; seed++) {
		struct world w;
		world_init(&w, seed, answers, false);
		ask(&w);
		assert_int_equal(w.got.code, 0);
		assert_int_equal(w.got.status, 200);
		assert_string_equal(w.got.type, "text/plain");
		assert_string_equal(buf_str(&w.got.body), "hello");
		ask(&w);
		assert_int_equal(w.got.code, 0);
		assert_int_equal(w.got.status, 404);
		assert_string_equal(w.got.type, "a");
		assert_string_equal(buf_str(&w.got.body), "abcde");
		ask(&w);
		assert_string_equal(buf_str(&w.got.body), "hello");
		assert_int_equal(w.server.accepted, 1);
		world_done(&w);
	}
}

static void a_kept_connection_that_went_stale_is_made_anew(void **state)
{
	(void)state;
	static const char *const answers[] = {LENGTH_ANSWER, "", LENGTH_ANSWER, NULL};
	struct world w;

	world_init(&w, 3, answers, false);
	ask(&w);
	ask(&w); /* meets a close, is sent again */
	assert_int_equal(w.got.code, 0);
	assert_string_equal(buf_str(&w.got.body), "hello");
	assert_int_equal(w.server.accepted, 2);
	world_done(&w);
}

static void an_answer_may_end_with_the_stream(void **state)
{
	(void)state;
	static const char *const answers[] = {"HTTP/1.1 200 OK\r\n\r\nall of it", NULL};
	struct world w;

	world_init(&w, 4, answers, true);
	ask(&w);
	assert_int_equal(w.got.code, 0);
	assert_string_equal(buf_str(&w.got.body), "all of it");
	world_done(&w);
}

static void a_broken_answer_says_what_happened(void **state)
{
	(void)state;
	static const struct {
		const char *answer, *why;
		int code;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
			"srv:1 closed the connection before the end of its answer", -ECONNRESET},
		{"", "srv:1 closed the connection without an answer", -ECONNRESET},
		{"SSH-2.0-OpenSSH_9.2\r\n", "srv:1 did not answer in HTTP: ", -EPROTO},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *answers[] = {cases[i].answer, NULL};
		struct world w;
		world_init(&w, i, answers, true);
		ask(&w);
		assert_int_equal(w.got.code, cases[i].code);
		assert_memory_equal(w.got.why, cases[i].why, strlen(cases[i].why));
		world_done(&w);
	}
}

static void silence_and_refusal_end_the_request(void **state)
{
	(void)state;
	static const char *const none[] = {NULL};
	static const char *const half[] = {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", NULL};
	struct world w;

	world_init(&w, 1, none, false);
	ask(&w);
	assert_int_equal(w.got.code, -ETIMEDOUT);
	assert_string_equal(w.got.why, "srv:1 sent nothing for 5 s");
	sim_refuse(w.sim, "srv:1", true);
	ask(&w);
	assert_true(w.got.code < 0);
	assert_string_equal(w.got.why, "could not connect to srv:1: Connection refused");
	world_done(&w);
	world_init(&w, 1, half, false);
	ask(&w);
	assert_int_equal(w.got.code, -ETIMEDOUT);
	world_done(&w);
}

static void after_cancel_nothing_follows(void **state)
{
	(void)state;
	static const char *const answers[] = {LENGTH_ANSWER, LENGTH_ANSWER, NULL};
	struct http_client_request in = {.method = "POST", .path = "/x", .body = "{}", .body_len = 2};

	for (uint32_t steps = 0; steps < 30; steps++) {
		struct world w;
		world_init(&w, 7, answers, false);
		assert_int_equal(http_client_send(w.got.client, &in, &client_ops, &w.got, NULL), 0);
		for (uint32_t i = 0; i < steps; i++)
			sim_step(w.sim);
		bool was_done = w.got.done;
		http_client_cancel(w.got.client);
		sim_run_for(w.sim, 1000000);
		assert_int_equal(w.got.done, was_done);
		world_done(&w);
	}
}

static void urls_are_taken_apart(void **state)
{
	(void)state;
	static const struct {
		const char *url, *addr, *path, *tls_name;
	} cases[] = {
		{"http://127.0.0.1:8000", "127.0.0.1:8000", "", ""},
		{"localhost:8000/", "localhost:8000", "", ""},
		{"HTTP://example.org/v1/?x", "example.org:80", "/v1", ""},
		{"http://[::1]/a/b", "[::1]:80", "/a/b", ""},
		{"http://[::1]:9", "[::1]:9", "", ""},
		{"https://api.example.org/v1", "api.example.org:443", "/v1", "api.example.org"},
		{"HTTPS://10.0.0.7:8443", "10.0.0.7:8443", "", "10.0.0.7"},
		{"https://[::1]:9/", "[::1]:9", "", "::1"},
		{"https://[fe80::2]", "[fe80::2]:443", "", "fe80::2"},
		{"unix:/run/stator/http.sock", "unix:/run/stator/http.sock", "", ""},
	};
	struct http_url u;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(http_url_parse(&u, cases[i].url, NULL), 0);
		assert_string_equal(u.addr, cases[i].addr);
		assert_string_equal(u.path, cases[i].path);
		assert_string_equal(u.tls_name, cases[i].tls_name);
	}
	assert_int_equal(http_url_parse(&u, "https://", NULL), -EINVAL);
	assert_int_equal(http_url_parse(&u, "unix:relative.sock", NULL), -EINVAL);
	assert_int_equal(http_url_parse(&u, "ftp://x", NULL), -EINVAL);
	assert_int_equal(http_url_parse(&u, "http://user@x", NULL), -EINVAL);
	assert_int_equal(http_url_parse(&u, "", NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_read_the_same_however_they_are_cut),
		cmocka_unit_test(a_kept_connection_that_went_stale_is_made_anew),
		cmocka_unit_test(an_answer_may_end_with_the_stream),
		cmocka_unit_test(a_broken_answer_says_what_happened),
		cmocka_unit_test(silence_and_refusal_end_the_request),
		cmocka_unit_test(after_cancel_nothing_follows),
		cmocka_unit_test(urls_are_taken_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
