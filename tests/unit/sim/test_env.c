/* The fake env keeps the promises of base/env.h, from a seed. */
#include "base/buf.h"
#include "base/rng.h"
#include "sim/env.h"

#include "../lib/cmocka_all.h"

enum { SEEDS = 200 };

struct end {
	struct env *env;
	struct env_conn *conn;
	struct buf in;
	uint32_t opened, drained, eofs, closed;
	int code;
	bool echo;
};

static void on_open(void *ctx)
{
	((struct end *)ctx)->opened++;
}
static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	struct end *e = ctx;
	assert_int_equal(e->closed, 0);
	buf_add(&e->in, data, len);
	if (e->echo)
		env_conn_write(e->env, e->conn, data, len);
}
static void on_drain(void *ctx)
{
	struct end *e = ctx;
	assert_int_equal(env_conn_queued(e->env, e->conn), 0);
	e->drained++;
}
static void on_eof(void *ctx)
{
	((struct end *)ctx)->eofs++;
}
static void on_closed(void *ctx, int code)
{
	struct end *e = ctx;
	e->closed++;
	e->code = code;
	e->conn = NULL;
}
static const struct env_conn_ops end_ops = {
	.on_open = on_open,
	.on_data = on_data,
	.on_drain = on_drain,
	.on_eof = on_eof,
	.on_closed = on_closed,
};

struct world {
	struct sim *sim;
	struct env *env;
	struct env_listener *listener;
	struct end client, server;
};

static void on_accept(void *ctx, struct env_conn *conn)
{
	struct world *w = ctx;
	w->server.conn = conn;
	w->server.opened++;
	env_conn_attach(w->env, conn, &end_ops, &w->server);
}

static void world_init(struct world *w, uint64_t seed)
{
	static const struct env_listener_ops ops = {.on_accept = on_accept};
	struct sim_config config;

	*w = (struct world){0};
	sim_config_default(&config, seed);
	assert_int_equal(sim_create(&w->sim, &config, NULL), 0);
	w->env = sim_env(w->sim);
	w->client.env = w->server.env = w->env;
	buf_init(&w->client.in, 1 << 24);
	buf_init(&w->server.in, 1 << 24);
	assert_int_equal(env_listen(w->env, "127.0.0.1:0", &ops, w, &w->listener, NULL), 0);
	assert_int_equal(env_connect(w->env, env_listener_addr(w->env, w->listener), &end_ops, &w->client,
				 &w->client.conn, NULL),
		0);
	assert_int_equal(w->client.opened, 0);
}

static void world_done(struct world *w)
{
	buf_done(&w->client.in);
	buf_done(&w->server.in);
	sim_destroy(w->sim);
}

static void run_dry(struct world *w)
{
	while (sim_step(w->sim))
		;
}

static void bytes_arrive_whole_and_in_order_whatever_the_seed(void **state)
{
	(void)state;
	static uint8_t data[300000];
	struct rng r;

	rng_init(&r, 1);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)rng_u64(&r);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world w;
		world_init(&w, seed);
		w.server.echo = true;
		env_conn_write(w.env, w.client.conn, data, 100);
		env_conn_write(w.env, w.client.conn, data + 100, sizeof data - 100);
		assert_int_equal(env_conn_queued(w.env, w.client.conn), sizeof data);
		run_dry(&w);
		assert_int_equal(w.server.in.len, sizeof data);
		assert_memory_equal(w.server.in.data, data, sizeof data);
		assert_int_equal(w.client.in.len, sizeof data);
		assert_memory_equal(w.client.in.data, data, sizeof data);
		assert_int_equal(w.client.opened, 1);
		assert_true(w.client.drained >= 1);
		world_done(&w);
	}
}

static void a_reader_that_pauses_makes_the_writer_queue(void **state)
{
	(void)state;
	static uint8_t data[500000];
	struct world w;

	world_init(&w, 3);
	run_dry(&w);
	env_conn_pause(w.env, w.server.conn, true);
	env_conn_write(w.env, w.client.conn, data, sizeof data);
	run_dry(&w);
	assert_int_equal(w.server.in.len, 0);
	assert_int_equal(env_conn_queued(w.env, w.client.conn), sizeof data - 64 * 1024);
	assert_int_equal(w.client.drained, 0);
	env_conn_pause(w.env, w.server.conn, false);
	run_dry(&w);
	assert_int_equal(w.server.in.len, sizeof data);
	assert_int_equal(w.client.drained, 1);
	world_done(&w);
}

static void finish_sends_all_then_ends_both_sides(void **state)
{
	(void)state;
	static uint8_t data[200000];

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world w;
		world_init(&w, seed);
		env_conn_write(w.env, w.client.conn, data, sizeof data);
		env_conn_finish(w.env, w.client.conn);
		run_dry(&w);
		assert_int_equal(w.server.in.len, sizeof data);
		assert_int_equal(w.server.eofs, 1);
		assert_int_equal(w.server.closed, 0);
		assert_int_equal(w.client.closed, 1);
		assert_int_equal(w.client.code, 0);
		env_conn_write(w.env, w.server.conn, "x", 1);
		run_dry(&w);
		assert_int_equal(w.server.closed, 1);
		assert_int_equal(w.server.code, -EPIPE);
		assert_int_equal(sim_counts(w.sim).conns, 0);
		world_done(&w);
	}
}

static void close_is_final_and_the_peer_hears_of_it(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world w;
		struct rng r;
		uint8_t data[5000] = {0};

		world_init(&w, seed);
		rng_init(&r, seed);
		w.server.echo = true;
		env_conn_write(w.env, w.client.conn, data, sizeof data);
		for (uint64_t n = rng_below(&r, 40); n; n--)
			sim_step(w.sim);
		uint32_t heard = w.client.opened + w.client.drained + (uint32_t)w.client.in.len;
		env_conn_close(w.env, w.client.conn);
		run_dry(&w);
		assert_int_equal(w.client.closed, 0);
		assert_int_equal(w.client.opened + w.client.drained + w.client.in.len, heard);
		if (w.server.opened)
			assert_true(w.server.eofs || w.server.closed);
		world_done(&w);
	}
}

static void a_cut_tells_both_ends(void **state)
{
	(void)state;
	struct world w;
	static uint8_t data[300000];

	world_init(&w, 9);
	env_conn_write(w.env, w.client.conn, data, sizeof data);
	sim_run_for(w.sim, 500);
	assert_int_equal(w.server.opened, 1);
	assert_int_equal(sim_cut_addr(w.sim, env_listener_addr(w.env, w.listener)), 2 - 1);
	run_dry(&w);
	assert_int_equal(w.client.code, -ECONNRESET);
	assert_int_equal(w.server.code, -ECONNRESET);
	assert_int_equal(w.client.closed + w.server.closed, 2);
	assert_true(w.server.in.len < sizeof data);
	world_done(&w);
}

static void nobody_there_and_refusal_are_told_by_on_closed(void **state)
{
	(void)state;
	struct world w;
	struct end e = {0};

	world_init(&w, 4);
	run_dry(&w);
	e.env = w.env;
	assert_int_equal(env_connect(w.env, "unix:/none", &end_ops, &e, &e.conn, NULL), 0);
	run_dry(&w);
	assert_int_equal(e.code, -ECONNREFUSED);
	sim_refuse(w.sim, env_listener_addr(w.env, w.listener), true);
	assert_int_equal(env_connect(w.env, env_listener_addr(w.env, w.listener), &end_ops, &e, &e.conn, NULL), 0);
	run_dry(&w);
	assert_int_equal(e.closed, 2);
	sim_refuse(w.sim, env_listener_addr(w.env, w.listener), false);
	assert_int_equal(env_connect(w.env, env_listener_addr(w.env, w.listener), &end_ops, &e, &e.conn, NULL), 0);
	run_dry(&w);
	assert_int_equal(e.opened, 1);
	struct err err;
	struct env_listener *l;
	static const struct env_listener_ops ops = {.on_accept = on_accept};
	assert_int_equal(env_listen(w.env, env_listener_addr(w.env, w.listener), &ops, &w, &l, &err), -EADDRINUSE);
	world_done(&w);
}

static void a_paused_listener_keeps_its_callers_waiting(void **state)
{
	(void)state;
	struct world w;

	world_init(&w, 5);
	env_listener_pause(w.env, w.listener, true);
	run_dry(&w);
	assert_int_equal(w.client.opened + w.client.closed, 0);
	env_listener_pause(w.env, w.listener, false);
	run_dry(&w);
	assert_int_equal(w.client.opened, 1);
	world_done(&w);
}

struct tick {
	struct env *env;
	struct env_timer timer;
	uint64_t at_us, *order;
	uint32_t *count;
};
static void on_tick(void *ctx)
{
	struct tick *t = ctx;
	assert_true(env_now_us(t->env) == t->at_us);
	t->order[(*t->count)++] = t->at_us;
}

static void timers_come_in_time_order(void **state)
{
	(void)state;
	struct world w;
	struct tick ticks[50] = {0};
	uint64_t order[50];
	uint32_t count = 0;

	world_init(&w, 6);
	run_dry(&w);
	for (uint32_t i = 0; i < 50; i++) {
		ticks[i] = (struct tick){.env = w.env, .order = order, .count = &count};
		ticks[i].timer = (struct env_timer){.fn = on_tick, .ctx = &ticks[i]};
		ticks[i].at_us = env_now_us(w.env) + env_rand(w.env) % 10000;
		env_timer_set(w.env, &ticks[i].timer, ticks[i].at_us);
	}
	assert_int_equal(sim_counts(w.sim).timers, 50);
	env_timer_cancel(w.env, &ticks[7].timer);
	run_dry(&w);
	assert_int_equal(count, 49);
	for (uint32_t i = 1; i < count; i++)
		assert_true(order[i - 1] <= order[i]);
	assert_int_equal(sim_counts(w.sim).timers, 0);
	world_done(&w);
}

struct work {
	struct env_job job;
	uint32_t worked, done;
};
static void do_work(struct env_job *job)
{
	((struct work *)job)->worked++;
}
static void did_work(struct env_job *job)
{
	struct work *w = (struct work *)job;
	assert_int_equal(w->worked, 1);
	w->done++;
}

static void jobs_are_done_once_and_take_time(void **state)
{
	(void)state;
	struct world w;
	struct work works[20] = {0};

	world_init(&w, 8);
	run_dry(&w);
	uint64_t from_us = env_now_us(w.env);
	for (uint32_t i = 0; i < 20; i++) {
		works[i].job = (struct env_job){.work = do_work, .done = did_work};
		assert_int_equal(env_offload(w.env, i % 2 ? ENV_POOL_TEXT : ENV_POOL_ENGINE, &works[i].job), 0);
		assert_int_equal(works[i].worked, 0);
	}
	assert_int_equal(sim_counts(w.sim).jobs, 20);
	run_dry(&w);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(works[i].done, 1);
	assert_true(env_now_us(w.env) - from_us >= 10 * 50); /* ten on one engine thread */
	sim_stop_jobs(w.sim, true);
	assert_int_equal(env_offload(w.env, ENV_POOL_TEXT, &works[0].job), -EAGAIN);
	world_done(&w);
}

static uint32_t dones;
static void count_done(struct env_job *job)
{
	struct work *w = (struct work *)job;
	assert_int_equal(w->worked, job->worked);
	w->done = ++dones;
}

static void small_jobs_do_not_wait_for_long_ones(void **state)
{
	(void)state;
	struct world w;
	struct work works[20] = {0};

	world_init(&w, 8);
	run_dry(&w);
	uint64_t from_us = env_now_us(w.env);
	dones = 0;
	for (uint32_t i = 0; i < 20; i++) {
		works[i].job = (struct env_job){
			.work = do_work, .done = count_done, .cost_us = i < 10 ? 3000000 : 0, .is_long = i < 10};
		assert_int_equal(env_offload(w.env, ENV_POOL_TEXT, &works[i].job), 0);
	}
	run_dry(&w);
	for (uint32_t i = 0; i < 20; i++)
		assert_true(i < 10 ? works[i].done > 10 : works[i].done <= 10);
	assert_true(env_now_us(w.env) - from_us >= 5 * 3000000ull); /* ten on two threads */
	world_done(&w);
}

static void a_cancelled_job_leaves_the_queue_or_ends_soon(void **state)
{
	(void)state;
	struct world w;
	struct work works[10] = {0};
	uint32_t worked = 0;

	world_init(&w, 8);
	run_dry(&w);
	dones = 0;
	for (uint32_t i = 0; i < 10; i++) {
		works[i].job =
			(struct env_job){.work = do_work, .done = count_done, .cost_us = 3000000, .is_long = true};
		assert_int_equal(env_offload(w.env, ENV_POOL_TEXT, &works[i].job), 0);
	}
	sim_run_for(w.sim, 1000);
	uint64_t from_us = env_now_us(w.env);
	for (uint32_t i = 0; i < 10; i++) {
		env_job_cancel(w.env, &works[i].job);
		assert_int_equal(works[i].done, 0);
	}
	run_dry(&w);
	assert_int_equal(dones, 10);
	for (uint32_t i = 0; i < 10; i++)
		worked += works[i].worked;
	assert_int_equal(worked, 2);
	assert_true(env_now_us(w.env) - from_us <= 1000);
	assert_int_equal(sim_counts(w.sim).jobs, 0);
	world_done(&w);
}

static uint64_t fingerprint(uint64_t seed)
{
	struct world w;
	static uint8_t data[50000];

	world_init(&w, seed);
	w.server.echo = true;
	env_conn_write(w.env, w.client.conn, data, sizeof data);
	run_dry(&w);
	uint64_t end = env_now_us(w.env) ^ env_rand(w.env);
	world_done(&w);
	return end;
}

static void one_seed_is_one_run(void **state)
{
	(void)state;
	assert_true(fingerprint(11) == fingerprint(11));
	assert_true(fingerprint(11) != fingerprint(12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_whole_and_in_order_whatever_the_seed),
		cmocka_unit_test(a_reader_that_pauses_makes_the_writer_queue),
		cmocka_unit_test(finish_sends_all_then_ends_both_sides),
		cmocka_unit_test(close_is_final_and_the_peer_hears_of_it),
		cmocka_unit_test(a_cut_tells_both_ends),
		cmocka_unit_test(nobody_there_and_refusal_are_told_by_on_closed),
		cmocka_unit_test(a_paused_listener_keeps_its_callers_waiting),
		cmocka_unit_test(timers_come_in_time_order),
		cmocka_unit_test(jobs_are_done_once_and_take_time),
		cmocka_unit_test(small_jobs_do_not_wait_for_long_ones),
		cmocka_unit_test(a_cancelled_job_leaves_the_queue_or_ends_soon),
		cmocka_unit_test(one_seed_is_one_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
