/* Workers whose processes are stopped: found out together, waited for only as long as they may come back. */
#include "base/limits.h"
#include "wire/msg.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/world.h"

enum { STILL_MAX = 3 };

/* A worker that says its card and answers whether it is there, and no more; stopped, not even that: the system still takes
 * its connections. */
struct still {
	struct env_listener *listener;
	struct env_conn *conn;
	bool stopped;
	uint32_t pings, requests, accepted;
	char name[8];
};

static struct still still[STILL_MAX];
static bool all_stopped;
static struct world_config config;
static struct world w;
static struct world_client c;

static void still_write(struct env_conn *conn, enum msg_type type, const void *m)
{
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(msg_encode(&out, type, m), 0);
	env_conn_write(w.env, conn, out.data, out.len);
	buf_done(&out);
}

static void still_data(void *ctx, const uint8_t *data, size_t len)
{
	const struct msg_pong pong = {0};
	struct still *s = ctx;
	struct frame f;

	if (frame_next(data, len, &f, NULL) <= 0)
		return;
	s->requests += f.type == MSG_REQUEST;
	if (f.type != MSG_PING)
		return;
	s->pings++;
	if (!s->stopped && !all_stopped)
		still_write(s->conn, MSG_PONG, &pong);
}

static void still_closed(void *ctx, int code)
{
	(void)code;
	((struct still *)ctx)->conn = NULL;
}

static void still_accept(void *ctx, struct env_conn *conn)
{
	static const struct env_conn_ops ops = {.on_data = still_data, .on_closed = still_closed};
	struct still *s = ctx;
	const struct msg_hello hello = {
		.major = WIRE_MAJOR, .minor = WIRE_MINOR, .software = msg_str("still"), .role = msg_str("worker")};
	const struct msg_card card = {.worker = msg_str(s->name),
		.model = msg_str("mock"),
		.tokenizer = msg_str("byte"),
		.tokenizer_hash = w.mock.tokenizer_hash,
		.block_size = 16,
		.blocks = 100,
		.seqs_max = 8,
		.context_max = 2048,
		.pongs = true};

	s->conn = conn;
	s->accepted++;
	env_conn_attach(w.env, conn, &ops, s);
	if (s->stopped || all_stopped)
		return;
	still_write(conn, MSG_HELLO, &hello);
	still_write(conn, MSG_CARD, &card);
}

static void start(uint32_t workers)
{
	static const struct env_listener_ops ops = {.on_accept = still_accept};

	memset(still, 0, sizeof still);
	all_stopped = false;
	world_config_default(&config, 7);
	config.sim.segment_bytes_max = 0; /* frames come whole */
	config.workers = workers;
	world_init(&w, &config);
	for (uint32_t i = 0; i < workers; i++) {
		world_worker_kill(&w, i);
		snprintf(still[i].name, sizeof still[i].name, "still%u", i);
		assert_int_equal(env_listen(w.env, w.workers[i].addr, &ops, &still[i], &still[i].listener, NULL), 0);
	}
	world_wait_workers(&w, workers);
	sim_run_for(w.sim, 3600ull * 1000000); /* an idle hour is nothing */
}

static void still_end(struct still *s)
{
	if (s->conn)
		env_conn_close(w.env, s->conn);
	if (s->listener)
		env_listener_close(w.env, s->listener);
	s->conn = NULL;
	s->listener = NULL;
}

static void finish(void)
{
	for (uint32_t i = 0; i < STILL_MAX; i++)
		still_end(&still[i]);
	world_done(&w);
}

/* Ask, and run until it has ended. Returns after how many milliseconds of the world's time. */
static uint64_t refused_after_ms(const char *words)
{
	uint64_t began_us = env_now_us(w.env);

	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"x\"}");
	for (int i = 0; i < 1200 && !c.ended; i++)
		sim_run_for(w.sim, 100 * 1000);
	uint64_t took_us = env_now_us(w.env) - began_us;
	world_finish(&c);
	assert_int_equal(c.status, 503);
	if (!strstr(buf_str(&c.body), words))
		fail_msg("%s does not say \"%s\"", buf_str(&c.body), words);
	world_client_done(&c);
	return took_us / 1000;
}

static void stopped_workers_are_found_out_together_and_not_waited_for(void **state)
{
	uint64_t together_ms =
		WORKER_ASK_MS + WORKER_STOPPED_MS + WORKER_RETURN_MS + 4000; /* looks are a second apart */
	(void)state;

	for (uint32_t workers = 1; workers <= STILL_MAX; workers++) {
		start(workers);
		all_stopped = true;
		assert_in_range(refused_after_ms("silent for too long"), WORKER_STOPPED_MS, together_ms);
		for (int i = 0; i < 3; i++) {
			assert_in_range(refused_after_ms("no worker of model \\\"mock\\\" answers"), 0, 500);
			sim_run_for(w.sim, 3600ull * 1000000);
		}
		finish();
	}
}

static void stopped_workers_that_go_on_serve_again(void **state)
{
	(void)state;
	start(2);
	all_stopped = true;
	refused_after_ms("silent for too long");
	all_stopped = false;
	sim_run_for(w.sim, 15ull * 1000000); /* a hand-shake that was begun before has 10 s */
	world_wait_workers(&w, 2);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"x\"}");
	sim_run_for(w.sim, 60ull * 1000000);
	assert_false(c.ended); /* they answer that they are there, and may compute as long as they like */
	assert_true(still[0].pings + still[1].pings > 30);
	world_client_done(&c);
	finish();
}

static void workers_that_are_started_again_are_waited_for(void **state)
{
	(void)state;
	start(2);
	all_stopped = true;
	refused_after_ms("silent for too long");
	still_end(&still[0]); /* its connections are refused: it ended, and may be on its way */
	sim_run_for(w.sim, 15ull * 1000000);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":3}");
	sim_run_for(w.sim, 10ull * 1000000);
	assert_false(c.ended);
	world_worker_start(&w, 0);
	world_finish(&c);
	assert_int_equal(c.status, 200);
	world_client_done(&c);
	finish();
}

static void a_worker_beside_a_stopped_one_is_asked_and_kept(void **state)
{
	(void)state;
	start(2);
	world_post(&w, &c, "/v1/completions", "{\"prompt\":\"x\"}");
	sim_run_for(w.sim, 100 * 1000);
	assert_int_equal(still[0].requests + still[1].requests, 1);
	struct still *has = still[0].requests ? &still[0] : &still[1], *other = has == still ? has + 1 : still;
	has->stopped = true;
	assert_int_equal(other->pings, 0); /* nobody is doubted yet */
	sim_run_for(w.sim, (WORKER_STOPPED_MS - 1000) * 1000ull);
	assert_true(other->pings > 0);
	assert_int_equal(other->requests, 0);
	sim_run_for(w.sim, 60ull * 1000000);
	assert_int_equal(other->requests, 1); /* it was done again there */
	assert_int_equal(other->accepted, 1); /* and it was never given up */
	assert_true(has->accepted > 1);
	world_client_done(&c);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stopped_workers_are_found_out_together_and_not_waited_for),
		cmocka_unit_test(stopped_workers_that_go_on_serve_again),
		cmocka_unit_test(workers_that_are_started_again_are_waited_for),
		cmocka_unit_test(a_worker_beside_a_stopped_one_is_asked_and_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
