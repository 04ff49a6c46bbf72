/* The same objects on the real loop: sockets, text threads, signals. Small, for the thread sanitizer; what can happen is
 * tried on the fake clock. */
#include "base/limits.h"
#include "base/log.h"
#include "engine/mock.h"
#include "frontend/frontend.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "worker/worker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

enum { CLIENTS = 8, REQUESTS = 10 };

struct stage {
	struct loop *loop;
	struct env *env;
	struct engine *engine;
	struct worker *worker;
	struct frontend *fe;
	struct env_timer deadline;
	uint32_t running;
	bool late;
};

struct client {
	struct stage *stage;
	struct http_client *http;
	struct buf body;
	uint32_t sent, ok;
};

static void on_deadline(void *ctx)
{
	struct stage *s = ctx;
	s->late = true;
	loop_stop(s->loop);
}

static void on_drained(void *loop)
{
	loop_stop(loop);
}

static void send_next(struct client *c);

static void on_body(void *ctx, const char *data, size_t len)
{
	buf_add(&((struct client *)ctx)->body, data, len);
}

static void on_done(void *ctx, int code, const char *why)
{
	struct client *c = ctx;

	if (code == 0 && strstr(buf_str(&c->body), "data: [DONE]"))
		c->ok++;
	else
		print_message("%d %s %s\n", code, why, buf_str(&c->body));
	if (c->sent < REQUESTS)
		send_next(c);
	else if (--c->stage->running == 0)
		frontend_drain(c->stage->fe, 1000000, on_drained, c->stage->loop);
}

static void send_next(struct client *c)
{
	static const struct http_client_ops ops = {.on_body = on_body, .on_done = on_done};
	char body[256];

	buf_reset(&c->body);
	snprintf(body, sizeof body,
		"{\"messages\":[{\"role\":\"user\",\"content\":\"Hello %u\"}],\"max_tokens\":30,\"stream\":true}",
		c->sent++);
	const struct http_client_request request = {
		.method = "POST", .path = "/v1/chat/completions", .body = body, .body_len = strlen(body)};
	assert_int_equal(http_client_send(c->http, &request, &ops, c, NULL), 0);
}

static struct client clients[CLIENTS];

static void on_ready(void *ctx)
{
	struct stage *s = ctx;

	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];
		*c = (struct client){.stage = s};
		buf_init(&c->body, 1 << 20);
		struct http_url url = {.host = "localhost"};
		snprintf(url.addr, sizeof url.addr, "%s", frontend_addr(s->fe));
		assert_int_equal(http_client_create(&c->http, s->env, &url, NULL), 0);
		send_next(c);
	}
	s->running = CLIENTS;
}

static void streams_come_whole_over_real_sockets_and_threads(void **state)
{
	(void)state;
	const struct loop_config loop = {.text_threads = 2, .text_stack_bytes = TEXT_STACK_BYTES};
	const struct mock_config mock = {.timing = {.base_us = 200}};
	struct frontend_config fe;
	struct stage s = {0};
	struct err err = {0};
	char dir[] = "/tmp/stator-loop-XXXXXX", addr[64];

	log_setup(2, LOG_ERROR, false);
	assert_non_null(mkdtemp(dir));
	snprintf(addr, sizeof addr, "unix:%s/w.sock", dir);
	assert_int_equal(loop_create(&s.loop, &loop, &err), 0);
	s.env = loop_env(s.loop);
	assert_int_equal(mock_engine_create(&s.engine, &mock, &err), 0);
	const struct worker_config worker = {.name = "w",
		.model = "m",
		.role = "both",
		.listen = addr,
		.kv_secret = "s",
		.kv_secret_len = 1,
		.sched = {.block_size = 16}};
	if (worker_create(&s.worker, s.env, s.engine, &worker, &err) < 0)
		fail_msg("%s", err.msg);
	frontend_config_default(&fe);
	fe.listen = "127.0.0.1:0";
	fe.discovery = "directory";
	fe.discovery_arg = dir;
	if (frontend_create(&s.fe, s.env, &fe, &err) < 0)
		fail_msg("%s", err.msg);
	frontend_when_ready(s.fe, 1, on_ready, &s);
	s.deadline = (struct env_timer){.fn = on_deadline, .ctx = &s};
	env_timer_set_in(s.env, &s.deadline, 60000000);
	loop_run(s.loop);
	assert_false(s.late);
	env_timer_cancel(s.env, &s.deadline);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		assert_int_equal(clients[i].ok, REQUESTS);
		http_client_destroy(clients[i].http);
		buf_done(&clients[i].body);
	}
	frontend_destroy(s.fe);
	worker_destroy(s.worker);
	engine_destroy(s.engine);
	loop_destroy(s.loop);
	unlink(addr + 5);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_come_whole_over_real_sockets_and_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
