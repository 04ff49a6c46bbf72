/* The worker over frames, on a simulated host: a client of this file's own plays the frontend. */
#include "base/limits.h"
#include "base/log.h"
#include "base/rng.h"
#include "engine/mock.h"
#include "kv/hash.h"
#include "sim/env.h"
#include "wire/hello.h"
#include "worker/worker.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>

#define ADDR "unix:/w0"
enum { REQS = 16, TOKENS = 600 };

struct got {
	uint32_t tokens[TOKENS], count, dones;
	uint64_t at_us[TOKENS], done_us; /* when they came */
	uint32_t tops;
	struct msg_done done;
	char error[256];
};
struct client {
	struct env *env;
	struct env_conn *conn;
	struct hello hello;
	bool ready, closed, synced, drained;
	struct buf in;
	struct arena arena;
	struct msg_card card;
	char card_model[64], refused[256];
	struct got got[REQS];
	struct map blocks;
	uint64_t digest, steps, wrong_digests;
	struct msg_step step;
	uint32_t snapshots;
};

static void write_buf(struct client *c, struct buf *b)
{
	if (b->len)
		env_conn_write(c->env, c->conn, b->data, b->len);
	buf_done(b);
}

static void send_msg(struct client *c, enum msg_type type, const void *msg)
{
	struct buf b;

	buf_init(&b, FRAME_BYTES_MAX);
	assert_int_equal(msg_encode(&b, type, msg), 0);
	write_buf(c, &b);
}

static void client_kv(struct client *c, const struct msg_kv *kv)
{
	if (kv->cleared) {
		map_clear(&c->blocks);
		c->digest = 0;
		c->synced = false;
	}
	for (uint32_t i = 0; i < kv->removed.len; i++)
		if (map_del(&c->blocks, kv->removed.v[i]))
			c->digest = kv_digest_remove(c->digest, kv->removed.v[i]);
	for (uint32_t i = 0; i < kv->stored.len; i++)
		if (!map_get(&c->blocks, kv->stored.v[i], NULL)) {
			assert_int_equal(map_put(&c->blocks, kv->stored.v[i], 1), 0);
			c->digest = kv_digest_add(c->digest, kv->stored.v[i]);
		}
	if (kv->snapshot_end) {
		c->synced = true;
		c->snapshots++;
	}
	if (c->synced)
		c->wrong_digests += kv->digest != c->digest || kv->blocks_held != c->blocks.len;
}

static void client_tokens(struct client *c, const struct msg_tokens *m)
{
	for (uint32_t i = 0; i < m->len; i++) {
		const struct msg_token_item *it = &m->items[i];
		struct got *g = &c->got[it->id];
		assert_true(it->id < REQS && g->dones == 0);
		for (uint32_t t = 0; t < it->tokens.len; t++) {
			g->at_us[g->count] = env_now_us(c->env);
			g->tokens[g->count++] = it->tokens.v[t];
		}
		g->tops += it->top_tokens.len;
	}
}

static void client_frame(struct client *c, const struct frame *f)
{
	union msg m;
	struct err err;
	struct buf out;

	if (!c->ready && f->type == MSG_HELLO) {
		buf_init(&out, 4096);
		assert_true(hello_frame(&c->hello, f, &out, &err) >= 0);
		write_buf(c, &out);
		return;
	}
	if (msg_decode(f, &c->arena, &m, &err) < 0)
		fail_msg("the worker sent a bad frame: %s", err.msg);
	switch (f->type) {
	case MSG_CARD:
		c->card = m.card;
		snprintf(c->card_model, sizeof c->card_model, "%s", m.card.model.data);
		c->ready = true;
		break;
	case MSG_TOKENS:
		client_tokens(c, &m.tokens);
		break;
	case MSG_DONE:
		assert_true(m.done.id < REQS);
		c->got[m.done.id].dones++;
		c->got[m.done.id].done_us = env_now_us(c->env);
		c->got[m.done.id].done = m.done;
		snprintf(c->got[m.done.id].error, sizeof c->got->error, "%s",
			m.done.error.data ? m.done.error.data : "");
		break;
	case MSG_KV:
		client_kv(c, &m.kv);
		break;
	case MSG_STEP:
		c->steps++;
		c->step = m.step;
		if (c->synced)
			c->wrong_digests += m.step.digest != c->digest || m.step.blocks_held != c->blocks.len;
		break;
	case MSG_DRAIN:
		c->drained = true;
		break;
	case MSG_REFUSE:
		snprintf(c->refused, sizeof c->refused, "%s", m.refuse.why.data);
		break;
	default:
		fail_msg("frame %s", msg_type_name(f->type));
	}
}

static void client_data(void *ctx, const uint8_t *data, size_t len)
{
	struct client *c = ctx;
	struct err err;
	size_t used = 0;

	assert_int_equal(buf_add(&c->in, data, len), 0);
	for (;;) {
		struct frame f;
		int64_t n = frame_next((const uint8_t *)c->in.data + used, c->in.len - used, &f, &err);
		assert_true(n >= 0);
		if (n == 0)
			break;
		client_frame(c, &f);
		used += (size_t)n;
	}
	buf_consume(&c->in, used);
	arena_done(&c->arena);
}

static void client_open(void *ctx)
{
	struct client *c = ctx;
	const struct hello_config config = {.role = "frontend", .peer_role = "worker", .software = "test"};
	struct buf out;
	struct err err;

	buf_init(&out, 4096);
	assert_int_equal(hello_begin(&c->hello, &config, &out, &err), 0);
	write_buf(c, &out);
}

static void client_closed(void *ctx, int code)
{
	struct client *c = ctx;

	(void)code;
	c->closed = true;
	c->conn = NULL;
}
static const struct env_conn_ops client_ops = {
	.on_open = client_open, .on_data = client_data, .on_closed = client_closed};

/* ---- a world of one worker ---- */

struct world {
	struct sim *sim;
	struct env *env;
	struct mock_config mock;
	struct engine *engine;
	struct worker *worker;
	struct client a, b;
	bool drained, failed;
};
static struct world w;

static void on_drained(void *ctx)
{
	((struct world *)ctx)->drained = true;
}
static void on_failed(void *ctx, const struct err *err)
{
	(void)err;
	((struct world *)ctx)->failed = true;
}

static void client_start(struct client *c)
{
	struct err err;

	*c = (struct client){.env = w.env};
	buf_init(&c->in, FRAME_BYTES_MAX);
	arena_init(&c->arena, FRAME_BYTES_MAX);
	assert_int_equal(env_connect(w.env, ADDR, &client_ops, c, &c->conn, &err), 0);
}

static void client_done(struct client *c)
{
	if (c->conn)
		env_conn_close(c->env, c->conn);
	c->conn = NULL;
	buf_done(&c->in);
	arena_done(&c->arena);
	map_done(&c->blocks);
}

static const struct mock_config plain = {.cells = 2048,
	.seqs = 16,
	.batch_tokens_max = 256,
	.context_max = 1024,
	.answer_min = 10,
	.answer_max = 40,
	.verify = true,
	.timing = {.base_us = 1000, .prefill_token_us = 10, .decode_seq_us = 10}};

static void world_init_sim(struct mock_config mock, struct worker_config config, struct sim_config sc)
{
	struct err err = {0};

	memset(&w, 0, sizeof w);
	w.mock = mock;
	assert_int_equal(sim_create(&w.sim, &sc, &err), 0);
	w.env = sim_env(w.sim);
	assert_int_equal(mock_engine_create(&w.engine, &w.mock, &err), 0);
	config.name = "mock-0";
	config.model = "m";
	config.listen = ADDR;
	config.kv_secret = "s";
	config.kv_secret_len = 1;
	config.sched.block_size = 16;
	config.on_drained = on_drained;
	config.on_failed = on_failed;
	config.ctx = &w;
	if (worker_create(&w.worker, w.env, w.engine, &config, &err) < 0)
		fail_msg("%s", err.msg);
	client_start(&w.a);
}

static void world_init_config(struct mock_config mock, struct worker_config config)
{
	struct sim_config sc;

	sim_config_default(&sc, 42);
	world_init_sim(mock, config, sc);
}

static void world_init(void)
{
	world_init_config(plain, (struct worker_config){0});
}

static void world_done(void)
{
	worker_destroy(w.worker);
	client_done(&w.a);
	client_done(&w.b);
	engine_destroy(w.engine);
	sim_destroy(w.sim);
}

static bool until(bool (*cond)(void *), void *ctx)
{
	uint64_t end = env_now_us(w.env) + 60 * 1000 * 1000;
	return sim_run_cond(w.sim, cond, ctx, end);
}
static bool is_ready(void *ctx)
{
	const struct client *c = ctx;
	return c->ready && c->synced;
}
static bool is_done(void *ctx)
{
	return ((const struct got *)ctx)->dones > 0;
}
static bool has_tokens(void *ctx)
{
	return ((const struct got *)ctx)->count > 3;
}
static bool has_first_token(void *ctx)
{
	return ((const struct got *)ctx)->count > 0;
}
static bool is_closed(void *ctx)
{
	return ((const struct client *)ctx)->closed;
}
static bool is_drained(void *ctx)
{
	return ((const struct world *)ctx)->drained;
}
static bool is_idle(void *ctx)
{
	(void)ctx;
	return worker_counts(w.worker).requests == 0;
}

static void fill_prompt(uint32_t *tokens, uint32_t n, uint32_t family)
{
	for (uint32_t i = 0; i < n; i++)
		tokens[i] = (uint32_t)(rng_keyed_u64(family, i) % 256);
}

static void request(
	struct client *c, uint64_t id, const uint32_t *tokens, uint32_t n, uint32_t max_tokens, bool ignore_eos)
{
	const struct msg_request m = {.id = id,
		.tokens = {tokens, n},
		.prompt_len = n,
		.max_tokens = max_tokens,
		.ignore_eos = ignore_eos,
		.model = msg_str("m"),
		.logprobs = 3};
	send_msg(c, MSG_REQUEST, &m);
}

static void check_stream(const struct got *g, const uint32_t *prompt, uint32_t n, bool no_eog)
{
	for (uint32_t i = 0; i < g->count; i++) {
		uint32_t history[TOKENS * 2];
		memcpy(history, prompt, n * sizeof *prompt);
		memcpy(history + n, g->tokens, i * sizeof *prompt);
		assert_int_equal(g->tokens[i], mock_token(&w.mock, history, n, n + i, false, 0, no_eog));
	}
}

/* ---- tests ---- */

static void a_frontend_gets_the_card_a_snapshot_and_its_tokens(void **state)
{
	(void)state;
	uint32_t prompt[100];

	world_init();
	fill_prompt(prompt, 100, 1);
	assert_true(until(is_ready, &w.a));
	assert_string_equal(w.a.card_model, "m");
	assert_int_equal(w.a.card.blocks, 2048 / 16);
	assert_true(w.a.card.kv_seed_check == kv_hash_seed_check(kv_hash_seed("s", 1, NULL, NULL, 0)));
	request(&w.a, 1, prompt, 100, 0, false);
	assert_true(until(is_done, &w.a.got[1]));
	assert_int_equal(w.a.got[1].done.reason, MSG_REASON_EOS);
	assert_int_equal(w.a.got[1].done.generated, w.a.got[1].count);
	assert_int_equal(w.a.got[1].tops, 2 * w.a.got[1].count);
	check_stream(&w.a.got[1], prompt, 100, false);
	assert_true(w.a.steps >= w.a.got[1].count);
	assert_int_equal(w.a.wrong_digests, 0);
	/* The last token of the answer was never computed. */
	assert_int_equal(w.a.blocks.len, (100 + w.a.got[1].count - 1) / 16);
	world_done();
}

static void cached_prefixes_are_known_to_every_frontend(void **state)
{
	(void)state;
	uint32_t prompt[64];
	uint64_t hashes[4];

	world_init();
	fill_prompt(prompt, 64, 5);
	assert_true(until(is_ready, &w.a));
	request(&w.a, 1, prompt, 64, 4, true);
	assert_true(until(is_done, &w.a.got[1]));
	client_start(&w.b);
	assert_true(until(is_ready, &w.b));
	kv_hash_blocks(prompt, 64, 16, kv_hash_seed("s", 1, NULL, NULL, 0), hashes);
	for (int i = 0; i < 4; i++)
		assert_true(map_get(&w.a.blocks, hashes[i], NULL) && map_get(&w.b.blocks, hashes[i], NULL));
	/* Reuse is told, to another frontend too. */
	request(&w.b, 7, prompt, 64, 4, true);
	assert_true(until(is_done, &w.b.got[7]));
	assert_int_equal(w.b.got[7].done.cached_tokens, 63);
	send_msg(&w.b, MSG_RESYNC, &(struct msg_resync){0});
	sim_run_for(w.sim, 100000);
	assert_int_equal(w.b.snapshots, 2);
	assert_true(w.a.digest == w.b.digest);
	assert_int_equal(w.a.wrong_digests + w.b.wrong_digests, 0);
	world_done();
}

/* Salts are tenants. */
static void a_salt_shares_with_nobody_else(void **state)
{
	(void)state;
	uint32_t prompt[64];

	world_init();
	fill_prompt(prompt, 64, 5);
	assert_true(until(is_ready, &w.a));
	const char *salts[] = {"", "x", "y", "x"};
	for (uint64_t i = 0; i < 4; i++) {
		const struct msg_request m = {
			.id = i, .tokens = {prompt, 64}, .prompt_len = 64, .max_tokens = 2, .salt = msg_str(salts[i])};
		send_msg(&w.a, MSG_REQUEST, &m);
		assert_true(until(is_done, &w.a.got[i]));
		assert_int_equal(w.a.got[i].done.cached_tokens, i == 3 ? 63 : 0);
	}
	world_done();
}

static void a_lost_frontend_frees_what_it_held_and_nobody_else(void **state)
{
	(void)state;
	uint32_t prompt[40], other[40];

	world_init();
	client_start(&w.b);
	fill_prompt(prompt, 40, 1);
	fill_prompt(other, 40, 2);
	assert_true(until(is_ready, &w.a) && until(is_ready, &w.b));
	request(&w.a, 1, prompt, 40, 300, true);
	request(&w.b, 1, other, 40, 50, true);
	assert_true(until(has_tokens, &w.a.got[1]));
	env_conn_close(w.env, w.a.conn);
	w.a.conn = NULL;
	assert_true(until(is_done, &w.b.got[1]));
	assert_int_equal(w.b.got[1].count, 50);
	check_stream(&w.b.got[1], other, 40, true);
	assert_int_equal(worker_counts(w.worker).frontends, 1);
	assert_int_equal(worker_counts(w.worker).requests, 0);
	assert_int_equal(w.b.step.cells_active, 0);
	world_done();
}

static void cancel_ends_a_request_within_a_step(void **state)
{
	(void)state;
	uint32_t prompt[40];

	world_init();
	fill_prompt(prompt, 40, 1);
	assert_true(until(is_ready, &w.a));
	request(&w.a, 1, prompt, 40, 500, true);
	assert_true(until(has_tokens, &w.a.got[1]));
	send_msg(&w.a, MSG_CANCEL, &(struct msg_cancel){1});
	send_msg(&w.a, MSG_CANCEL, &(struct msg_cancel){99});
	assert_true(until(is_done, &w.a.got[1]));
	assert_int_equal(w.a.got[1].done.reason, MSG_REASON_CANCELLED);
	assert_true(w.a.got[1].count < 20);
	sim_run_for(w.sim, 100000);
	assert_int_equal(w.a.got[1].dones, 1);
	assert_true(until(is_idle, NULL));
	world_done();
}

static void what_it_cannot_serve_is_refused_with_a_sentence(void **state)
{
	(void)state;
	uint32_t prompt[1100];
	world_init();
	fill_prompt(prompt, 1100, 1);
	assert_true(until(is_ready, &w.a));
	request(&w.a, 1, prompt, 1100, 1, false);
	struct msg_request m = {.id = 2, .tokens = {prompt, 10}, .prompt_len = 10, .model = msg_str("other")};
	send_msg(&w.a, MSG_REQUEST, &m);
	m = (struct msg_request){.id = 3, .tokens = {prompt, 10}, .prompt_len = 10, .grammar = msg_str("root ::= x")};
	send_msg(&w.a, MSG_REQUEST, &m);
	m = (struct msg_request){.id = 4};
	send_msg(&w.a, MSG_REQUEST, &m);
	const char *says[] = {"", "1100 tokens leave no room", "another model", "grammar", "no tokens"};
	for (uint32_t i = 1; i <= 4; i++) {
		assert_true(until(is_done, &w.a.got[i]));
		assert_int_equal(w.a.got[i].done.reason, MSG_REASON_REFUSED);
		if (!strstr(w.a.got[i].error, says[i]))
			fail_msg("\"%s\" does not say \"%s\"", w.a.got[i].error, says[i]);
	}
	world_done();
}

static void bad_frames_cost_their_sender_only(void **state)
{
	(void)state;
	uint32_t prompt[40];
	struct rng r;

	world_init();
	rng_init(&r, 3);
	fill_prompt(prompt, 40, 1);
	assert_true(until(is_ready, &w.a));
	request(&w.a, 1, prompt, 40, 200, true);
	for (int i = 0; i < 60; i++) {
		client_start(&w.b);
		if (i % 2)
			assert_true(until(is_ready, &w.b));
		uint8_t junk[200];
		for (size_t k = 0; k < sizeof junk; k++)
			junk[k] = (uint8_t)rng_below(&r, 256);
		/* Lengths that are near, and types that exist, so that much of it is read as frames. */
		for (size_t k = 0; k + 20 <= sizeof junk; k += 20) {
			const uint8_t head[] = {16, 0, 0, 0, (uint8_t)(MSG_HELLO + rng_below(&r, 13))};
			memcpy(junk + k, head, sizeof head);
		}
		sim_run_for(w.sim, 2000);
		if (w.b.conn)
			env_conn_write(w.env, w.b.conn, junk, sizeof junk);
		sim_run_for(w.sim, 5000);
		client_done(&w.b);
	}
	assert_true(until(is_done, &w.a.got[1]));
	assert_int_equal(w.a.got[1].count, 200);
	check_stream(&w.a.got[1], prompt, 40, true);
	sim_run_for(w.sim, 100000);
	assert_int_equal(worker_counts(w.worker).frontends, 1);
	world_done();
}

static void the_same_id_twice_is_refused(void **state)
{
	(void)state;
	uint32_t prompt[40];

	world_init();
	fill_prompt(prompt, 40, 1);
	assert_true(until(is_ready, &w.a));
	request(&w.a, 1, prompt, 40, 200, true);
	request(&w.a, 1, prompt, 40, 200, true);
	assert_true(until(is_closed, &w.a));
	assert_non_null(strstr(w.a.refused, "request id 1 twice"));
	assert_true(until(is_idle, NULL));
	world_done();
}

static void a_frontend_that_takes_nothing_is_cut_off(void **state)
{
	(void)state;
	uint32_t prompt[40], other[40];

	world_init_config(plain, (struct worker_config){.queue_bytes_max = 2000});
	client_start(&w.b);
	fill_prompt(prompt, 40, 1);
	fill_prompt(other, 40, 2);
	assert_true(until(is_ready, &w.a) && until(is_ready, &w.b));
	/* 64 KiB fit into the simulated socket; ten streams with log-probabilities fill that soon. */
	for (uint64_t i = 1; i < 11; i++)
		request(&w.b, i, other, 40, 900, true);
	request(&w.a, 1, prompt, 40, 600, true);
	assert_true(until(has_tokens, &w.b.got[1]));
	env_conn_pause(w.env, w.b.conn, true);
	assert_true(until(is_done, &w.a.got[1]));
	assert_int_equal(w.a.got[1].count, 600);
	assert_int_equal(worker_counts(w.worker).frontends_cut, 1);
	assert_int_equal(worker_counts(w.worker).frontends, 1);
	world_done();
}

static void drain_lets_requests_end_and_refuses_new_ones(void **state)
{
	(void)state;
	uint32_t prompt[40];

	world_init();
	fill_prompt(prompt, 40, 1);
	assert_true(until(is_ready, &w.a));
	request(&w.a, 1, prompt, 40, 50, true);
	assert_true(until(has_tokens, &w.a.got[1]));
	worker_drain(w.worker, 10000);
	request(&w.a, 2, prompt, 40, 50, true);
	assert_true(until(is_drained, &w));
	sim_run_for(w.sim, 100000);
	assert_true(w.a.drained && w.a.closed);
	assert_int_equal(w.a.got[1].count, 50);
	assert_int_equal(w.a.got[2].done.reason, MSG_REASON_REFUSED);
	assert_int_equal(w.a.got[2].done.code, -ESHUTDOWN);
	world_done();
}

static void drain_ends_what_takes_too_long(void **state)
{
	(void)state;
	uint32_t prompt[40];

	world_init();
	fill_prompt(prompt, 40, 1);
	assert_true(until(is_ready, &w.a));
	request(&w.a, 1, prompt, 40, 500, true);
	assert_true(until(has_tokens, &w.a.got[1]));
	worker_drain(w.worker, 20);
	assert_true(until(is_drained, &w));
	sim_run_for(w.sim, 100000);
	assert_int_equal(w.a.got[1].dones, 1);
	assert_int_equal(w.a.got[1].done.reason, MSG_REASON_FAILED);
	assert_true(w.a.got[1].count < 100);
	world_done();
}

static void drop_data(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx, (void)data, (void)len;
}

static void a_frontend_that_never_says_hello_is_let_go(void **state)
{
	(void)state;
	static const struct env_conn_ops silent = {.on_data = drop_data, .on_closed = client_closed};
	struct err err;

	world_init();
	w.b = (struct client){.env = w.env};
	buf_init(&w.b.in, FRAME_BYTES_MAX);
	arena_init(&w.b.arena, FRAME_BYTES_MAX);
	assert_int_equal(env_connect(w.env, ADDR, &silent, &w.b, &w.b.conn, &err), 0);
	assert_true(until(is_ready, &w.a));
	sim_run_for(w.sim, 9 * 1000 * 1000);
	assert_int_equal(worker_counts(w.worker).frontends, 2);
	sim_run_for(w.sim, 3 * 1000 * 1000);
	assert_int_equal(worker_counts(w.worker).frontends, 1);
	world_done();
}

/* Many connections that have not shaken hands are no hindrance to a frontend that does. */
static void strangers_have_places_of_their_own(void **state)
{
	(void)state;
	enum { STRANGERS = 200 };
	static const struct env_conn_ops silent = {.on_data = drop_data, .on_closed = client_closed};
	static struct client strangers[STRANGERS];
	uint32_t left = 0;
	struct err err;

	world_init();
	for (uint32_t i = 0; i < STRANGERS; i++) {
		strangers[i] = (struct client){.env = w.env};
		assert_int_equal(env_connect(w.env, ADDR, &silent, &strangers[i], &strangers[i].conn, &err), 0);
		sim_run_for(w.sim, 1000);
		assert_true(worker_counts(w.worker).frontends <= 1 + STRANGERS_MAX);
	}
	assert_true(w.a.ready);
	client_start(&w.b);
	assert_true(until(is_ready, &w.b));
	for (uint32_t i = 0; i < STRANGERS; i++) {
		left += !strangers[i].closed;
		assert_true(i >= STRANGERS - STRANGERS_MAX || strangers[i].closed); /* the oldest went */
	}
	assert_int_equal(left, STRANGERS_MAX - 1);
	sim_run_for(w.sim, 11 * 1000 * 1000);
	assert_int_equal(worker_counts(w.worker).frontends, 2);
	world_done();
}

static void frontends_beyond_their_number_are_refused(void **state)
{
	(void)state;
	static struct client many[FRONTENDS_MAX];

	world_init();
	assert_true(until(is_ready, &w.a));
	for (uint32_t i = 0; i < FRONTENDS_MAX; i++) {
		client_start(&many[i]);
		sim_run_for(w.sim, 2000);
	}
	sim_run_for(w.sim, 100000);
	for (uint32_t i = 0; i < FRONTENDS_MAX; i++)
		assert_true(many[i].ready == (i + 1 < FRONTENDS_MAX));
	assert_non_null(strstr(many[FRONTENDS_MAX - 1].refused, "as many frontends as it can"));
	/* A place that becomes free is taken. */
	client_done(&many[0]);
	client_done(&many[FRONTENDS_MAX - 1]);
	sim_run_for(w.sim, 100000);
	client_start(&many[0]);
	assert_true(until(is_ready, &many[0]));
	for (uint32_t i = 0; i + 1 < FRONTENDS_MAX; i++)
		client_done(&many[i]);
	sim_run_for(w.sim, 1000);
	world_done();
}

static void say_length(void *ctx)
{
	struct client *c = ctx;
	const uint32_t length = c->got[0].dones; /* borrowed for it */

	env_conn_write(c->env, c->conn, &length, sizeof length);
}

/* Before its hand-shake nobody may send more than 4 KiB in a frame; its length alone is enough to be refused. */
static void a_large_frame_of_a_stranger_is_refused_at_its_length(void **state)
{
	(void)state;
	static const struct env_conn_ops ops = {
		.on_open = say_length, .on_data = client_data, .on_closed = client_closed};
	static const uint32_t lengths[] = {STRANGER_FRAME_BYTES_MAX + 1, 1024 * 1024, FRAME_BYTES_MAX, UINT32_MAX};
	struct err err;

	for (uint32_t i = 0; i < ARRAY_LEN(lengths); i++) {
		world_init();
		assert_true(until(is_ready, &w.a));
		w.b = (struct client){.env = w.env, .ready = true}; /* it takes the worker's HELLO for a message */
		buf_init(&w.b.in, FRAME_BYTES_MAX);
		arena_init(&w.b.arena, FRAME_BYTES_MAX);
		w.b.got[0].dones = lengths[i];
		w.b.ready = false;
		const struct hello_config config = {.role = "frontend", .peer_role = "worker", .software = "test"};
		struct buf unused;
		buf_init(&unused, 4096);
		assert_int_equal(hello_begin(&w.b.hello, &config, &unused, &err), 0);
		buf_done(&unused);
		assert_int_equal(env_connect(w.env, ADDR, &ops, &w.b, &w.b.conn, &err), 0);
		sim_run_for(w.sim, 10000);
		assert_true(w.b.closed || strstr(w.b.refused, "4096"));
		assert_non_null(strstr(w.b.refused, "is more than 4096 bytes"));
		world_done();
	}
}

/* An engine in real time is stepped by the pool. */
static void an_engine_thread_serves_the_same_stream(void **state)
{
	(void)state;
	uint32_t prompt[40];
	struct mock_config real = plain;

	real.real_time = true;
	real.timing = (struct timing_model){0};
	world_init_config(real, (struct worker_config){0});
	fill_prompt(prompt, 40, 1);
	assert_true(until(is_ready, &w.a));
	for (uint64_t i = 1; i < 4; i++)
		request(&w.a, i, prompt, 40, 30, true);
	for (uint64_t i = 1; i < 4; i++) {
		assert_true(until(is_done, &w.a.got[i]));
		check_stream(&w.a.got[i], prompt, 40, true);
	}
	assert_int_equal(w.a.got[3].done.cached_tokens, 39);
	assert_true(until(is_idle, NULL));
	while (worker_is_stepping(w.worker))
		assert_true(sim_step(w.sim));
	world_done();
}

/* The send interval. */

enum { DELAY_US = 20, ANSWER = 40, INTERVAL_US = 100 };

/* One worker whose steps take step_us, on wires that delay all alike, so that times of arrival are times of sending. */
static void world_init_steps(uint32_t step_us, uint32_t interval_us)
{
	struct mock_config mock = plain;
	struct sim_config sc;

	mock.timing = (struct timing_model){.base_us = step_us};
	sim_config_default(&sc, 42);
	sc.delay_us_min = sc.delay_us_max = DELAY_US;
	sc.segment_bytes_max = 0;
	world_init_sim(mock, (struct worker_config){.send_interval_us = interval_us}, sc);
	assert_true(until(is_ready, &w.a));
	sim_run_for(w.sim, 1000);
}

/* An answer of ANSWER tokens; times from the moment it was asked for. */
static void one_answer(uint32_t step_us, uint32_t interval_us, struct got *ret)
{
	uint32_t prompt[40];

	world_init_steps(step_us, interval_us);
	fill_prompt(prompt, 40, 1);
	uint64_t began_us = env_now_us(w.env);
	request(&w.a, 1, prompt, 40, ANSWER, true);
	assert_true(until(is_done, &w.a.got[1]));
	*ret = w.a.got[1];
	check_stream(ret, prompt, 40, true);
	assert_int_equal(ret->count, ANSWER);
	assert_int_equal(w.a.steps, worker_counts(w.worker).steps);
	for (uint32_t i = 0; i < ANSWER; i++)
		ret->at_us[i] -= began_us;
	ret->done_us -= began_us;
	world_done();
}

static void short_steps_share_a_write_but_the_first_token_and_the_end_never_wait(void **state)
{
	(void)state;
	static struct got at_once, held;
	uint32_t writes = 1;

	one_answer(15, 0, &at_once);
	one_answer(15, INTERVAL_US, &held);
	assert_int_equal(held.at_us[0], at_once.at_us[0]);
	assert_int_equal(held.done_us, at_once.done_us);
	assert_memory_equal(held.tokens, at_once.tokens, sizeof held.tokens);
	for (uint32_t i = 1; i < ANSWER; i++) {
		uint64_t gap_us = held.at_us[i] - held.at_us[i - 1];
		assert_true(gap_us == 0 || gap_us >= INTERVAL_US || held.at_us[i] == held.done_us);
		assert_in_range(held.at_us[i] - at_once.at_us[i], 0, INTERVAL_US);
		assert_true(at_once.at_us[i] > at_once.at_us[i - 1]);
		writes += gap_us > 0;
	}
	assert_in_range(writes, 2, (held.done_us - held.at_us[0]) / INTERVAL_US + 2);
}

static void steps_longer_than_the_send_interval_are_told_as_they_end(void **state)
{
	(void)state;
	static struct got at_once, held;

	one_answer(INTERVAL_US + 1, 0, &at_once);
	one_answer(INTERVAL_US + 1, INTERVAL_US, &held);
	assert_memory_equal(held.at_us, at_once.at_us, sizeof held.at_us);
	assert_int_equal(held.done_us, at_once.done_us);
}

/* Its first token takes along what others have waiting. */
static void a_newcomer_does_not_wait_for_a_fast_stream(void **state)
{
	(void)state;
	uint32_t a[40], b[40];

	world_init_steps(15, INTERVAL_US);
	fill_prompt(a, 40, 1);
	fill_prompt(b, 40, 2);
	request(&w.a, 1, a, 40, 200, true);
	assert_true(until(has_tokens, &w.a.got[1]));
	uint64_t asked_us = env_now_us(w.env);
	request(&w.a, 2, b, 40, ANSWER, true);
	assert_true(until(is_done, &w.a.got[2]));
	/* There, a step under way, one of its own, and back. */
	assert_true(w.a.got[2].at_us[0] - asked_us <= 2 * DELAY_US + 2 * 15);
	assert_true(until(is_done, &w.a.got[1]));
	check_stream(&w.a.got[1], a, 40, true);
	check_stream(&w.a.got[2], b, 40, true);
	assert_int_equal(w.a.wrong_digests, 0);
	world_done();
}

static void a_frontend_that_leaves_takes_what_was_held_for_it(void **state)
{
	(void)state;
	uint32_t prompt[40];

	for (uint32_t steps = 1; steps < 40; steps++) {
		world_init_steps(15, 10 * INTERVAL_US);
		fill_prompt(prompt, 40, 1);
		request(&w.a, 1, prompt, 40, 500, true);
		assert_true(until(has_first_token, &w.a.got[1]));
		sim_run_for(w.sim, steps * 7);
		env_conn_close(w.env, w.a.conn);
		w.a.conn = NULL;
		assert_true(until(is_idle, NULL));
		sim_run_for(w.sim, 20 * INTERVAL_US);
		assert_int_equal(worker_counts(w.worker).frontends, 0);
		assert_int_equal(sim_counts(w.sim).timers, 0);
		world_done();
	}
}

static void draining_sends_what_was_held(void **state)
{
	(void)state;
	uint32_t prompt[40];

	world_init_steps(15, 1000 * INTERVAL_US);
	fill_prompt(prompt, 40, 1);
	request(&w.a, 1, prompt, 40, 500, true);
	assert_true(until(has_first_token, &w.a.got[1]));
	sim_run_for(w.sim, 300);
	worker_drain(w.worker, 0);
	assert_true(until(is_drained, &w));
	sim_run_for(w.sim, 2 * DELAY_US);
	assert_int_equal(w.a.got[1].dones, 1);
	assert_int_equal(w.a.got[1].done.reason, MSG_REASON_FAILED);
	assert_int_equal(w.a.got[1].done.generated, w.a.got[1].count);
	assert_true(w.a.got[1].count > 10);
	world_done();
}

int main(void)
{
	log_setup(2, LOG_ERROR, false);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frontend_gets_the_card_a_snapshot_and_its_tokens),
		cmocka_unit_test(cached_prefixes_are_known_to_every_frontend),
		cmocka_unit_test(a_salt_shares_with_nobody_else),
		cmocka_unit_test(a_lost_frontend_frees_what_it_held_and_nobody_else),
		cmocka_unit_test(cancel_ends_a_request_within_a_step),
		cmocka_unit_test(what_it_cannot_serve_is_refused_with_a_sentence),
		cmocka_unit_test(bad_frames_cost_their_sender_only),
		cmocka_unit_test(the_same_id_twice_is_refused),
		cmocka_unit_test(a_frontend_that_takes_nothing_is_cut_off),
		cmocka_unit_test(drain_lets_requests_end_and_refuses_new_ones),
		cmocka_unit_test(drain_ends_what_takes_too_long),
		cmocka_unit_test(a_frontend_that_never_says_hello_is_let_go),
		cmocka_unit_test(strangers_have_places_of_their_own),
		cmocka_unit_test(frontends_beyond_their_number_are_refused),
		cmocka_unit_test(a_large_frame_of_a_stranger_is_refused_at_its_length),
		cmocka_unit_test(an_engine_thread_serves_the_same_stream),
		cmocka_unit_test(short_steps_share_a_write_but_the_first_token_and_the_end_never_wait),
		cmocka_unit_test(steps_longer_than_the_send_interval_are_told_as_they_end),
		cmocka_unit_test(a_newcomer_does_not_wait_for_a_fast_stream),
		cmocka_unit_test(a_frontend_that_leaves_takes_what_was_held_for_it),
		cmocka_unit_test(draining_sends_what_was_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
