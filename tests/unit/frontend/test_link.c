/* The link against workers that are broken, strange or hostile. */
#include "base/limits.h"
#include "base/rng.h"
#include "frontend/link.h"
#include "sim/env.h"
#include "wire/hello.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/wire_random.h"

static const char addr[] = "unix:/sim/fake.sock";

/* How it ends a connection by itself, once it has shaken hands. */
enum ending { STAYS, CLOSES, REFUSES, REFUSES_WITHOUT_CARD };

/* A worker made of bytes: it shakes hands, sends a card, then what the test says. */
struct fake {
	struct sim *sim;
	struct env *env;
	struct env_listener *listener;
	struct env_conn *conn;
	struct hello hello;
	struct buf in, out;
	struct arena arena;
	bool silent, shaken;
	struct msg_card card;
	enum ending ending;
	uint64_t stays_us; /* before that */
	struct env_timer leave;
	uint32_t accepted, resyncs, cancels, requests;
	/* What the link told. */
	struct link *link;
	uint32_t ups, downs, troubles, tokens, dones, steps, kvs, drains;
	char why[256];
};

static void flush_out(struct fake *f)
{
	if (f->conn)
		env_conn_write(f->env, f->conn, f->out.data, f->out.len);
	buf_reset(&f->out);
}

static void say(struct fake *f, enum msg_type type, const void *msg)
{
	assert_int_equal(msg_encode(&f->out, type, msg), 0);
	flush_out(f);
}

static void leave(void *ctx)
{
	struct fake *f = ctx;
	const struct msg_refuse refuse = {.code = -EPERM, .why = msg_str("not you")};

	if (f->conn && f->ending != CLOSES) {
		say(f, MSG_REFUSE, &refuse);
	} else if (f->conn) {
		env_conn_close(f->env, f->conn);
		f->conn = NULL;
	}
}

static void take(struct fake *f, const struct frame *frame)
{
	struct err err;

	if (!f->shaken) {
		int r = hello_frame(&f->hello, frame, &f->out, &err);
		flush_out(f);
		f->shaken = r == 1;
		if (f->shaken && f->ending != REFUSES_WITHOUT_CARD)
			say(f, MSG_CARD, &f->card);
		if (f->shaken && f->ending != STAYS)
			env_timer_set_in(f->env, &f->leave, f->stays_us);
		return;
	}
	f->resyncs += frame->type == MSG_RESYNC;
	f->cancels += frame->type == MSG_CANCEL;
	f->requests += frame->type == MSG_REQUEST;
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	struct fake *f = ctx;
	struct frame frame;
	struct err err;
	int64_t n;

	if (f->silent)
		return;
	buf_add(&f->in, data, len);
	while ((n = frame_next((const uint8_t *)f->in.data, f->in.len, &frame, &err)) > 0) {
		take(f, &frame);
		buf_consume(&f->in, (size_t)n);
	}
	assert_true(n == 0);
}

static void on_closed(void *ctx, int code)
{
	(void)code;
	((struct fake *)ctx)->conn = NULL;
}

static void on_accept(void *ctx, struct env_conn *conn)
{
	static const struct env_conn_ops ops = {.on_data = on_data, .on_closed = on_closed};
	static const struct hello_config config = {.role = "worker", .peer_role = "frontend", .software = "fake 1"};
	struct fake *f = ctx;

	if (f->conn)
		env_conn_close(f->env, f->conn);
	f->conn = conn;
	f->accepted++;
	f->shaken = false;
	buf_reset(&f->in);
	env_conn_attach(f->env, conn, &ops, f);
	if (f->silent)
		return;
	assert_int_equal(hello_begin(&f->hello, &config, &f->out, NULL), 0);
	flush_out(f);
}

static void link_up(void *ctx, struct link *l)
{
	assert_true(link_is_up(l));
	((struct fake *)ctx)->ups++;
}
static void link_down(void *ctx, struct link *l, const char *why)
{
	struct fake *f = ctx;
	assert_false(link_is_up(l));
	f->downs++;
	snprintf(f->why, sizeof f->why, "%s", why);
}
static void link_trouble(void *ctx, struct link *l, const char *why)
{
	struct fake *f = ctx;
	(void)l;
	f->troubles++;
	snprintf(f->why, sizeof f->why, "%s", why);
}
static void link_tokens(void *ctx, struct link *l, const struct msg_token_item *item)
{
	(void)l, (void)item;
	((struct fake *)ctx)->tokens++;
}
static void link_done(void *ctx, struct link *l, const struct msg_done *done)
{
	(void)l, (void)done;
	((struct fake *)ctx)->dones++;
}
static void link_kv(void *ctx, struct link *l, const struct msg_kv *kv)
{
	(void)l, (void)kv;
	((struct fake *)ctx)->kvs++;
}
static void link_step(void *ctx, struct link *l, const struct msg_step *step)
{
	(void)l, (void)step;
	((struct fake *)ctx)->steps++;
}
static void link_drain(void *ctx, struct link *l)
{
	(void)l;
	((struct fake *)ctx)->drains++;
}
static const struct link_handler handler = {
	.on_up = link_up,
	.on_down = link_down,
	.on_trouble = link_trouble,
	.on_tokens = link_tokens,
	.on_done = link_done,
	.on_step = link_step,
	.on_kv = link_kv,
	.on_drain = link_drain,
};

static void fake_init(struct fake *f, uint64_t seed)
{
	static const struct env_listener_ops ops = {.on_accept = on_accept};
	const struct link_config link = {.software = "test 1"};
	struct sim_config config;

	*f = (struct fake){.card = {.worker = msg_str("w"),
				   .model = msg_str("m"),
				   .tokenizer = msg_str("byte"),
				   .block_size = 16,
				   .blocks = 100,
				   .context_max = 1000}};
	sim_config_default(&config, seed);
	assert_int_equal(sim_create(&f->sim, &config, NULL), 0);
	f->env = sim_env(f->sim);
	f->leave = (struct env_timer){.fn = leave, .ctx = f};
	buf_init(&f->in, 1 << 24);
	buf_init(&f->out, 1 << 24);
	assert_int_equal(env_listen(f->env, addr, &ops, f, &f->listener, NULL), 0);
	assert_int_equal(link_create(&f->link, f->env, addr, &link, &handler, f, NULL), 0);
}

static void fake_done(struct fake *f)
{
	link_destroy(f->link);
	env_timer_cancel(f->env, &f->leave);
	if (f->conn)
		env_conn_close(f->env, f->conn);
	env_listener_close(f->env, f->listener);
	assert_int_equal(sim_counts(f->sim).timers, 0);
	buf_done(&f->in);
	buf_done(&f->out);
	sim_destroy(f->sim);
}

static bool is_up(void *ctx)
{
	return link_is_up(((struct fake *)ctx)->link);
}

static void wait_up(struct fake *f)
{
	assert_true(sim_run_cond(f->sim, is_up, f, env_now_us(f->env) + 5000000));
}

static void a_link_comes_up_with_the_card_and_again_after_a_cut(void **state)
{
	(void)state;
	struct fake f;

	fake_init(&f, 1);
	for (uint32_t i = 1; i <= 20; i++) {
		wait_up(&f);
		assert_int_equal(f.ups, i);
		assert_string_equal(link_card(f.link)->worker.data, "w");
		sim_cut_addr(f.sim, addr);
		sim_run_for(f.sim, 1000);
		assert_int_equal(f.downs, i);
	}
	fake_done(&f);
}

static void a_worker_that_ends_each_connection_is_tried_ever_more_seldom(void **state)
{
	static const enum ending endings[] = {CLOSES, REFUSES, REFUSES_WITHOUT_CARD};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(endings); i++) {
		struct fake f;
		fake_init(&f, 3 + i);
		f.ending = endings[i];
		f.stays_us = 700;
		sim_run_for(f.sim, 20000); /* the first ones at once */
		assert_in_range(f.accepted, 3, 5);
		sim_run_for(f.sim, 59980000);
		assert_in_range(f.accepted, 60, 95);
		assert_true(f.downs == (endings[i] == REFUSES_WITHOUT_CARD ? 0 : f.ups));
		assert_int_equal(f.troubles, endings[i] == REFUSES_WITHOUT_CARD ? 1 : 0);
		/* In service for some seconds once, it is as good as any other. */
		f.ending = STAYS;
		wait_up(&f);
		sim_run_for(f.sim, LINK_PROVEN_MS * 1000ull);
		assert_true(link_is_up(f.link));
		sim_cut_addr(f.sim, addr);
		sim_run_for(f.sim, 10000);
		assert_true(link_is_up(f.link));
		fake_done(&f);
	}
}

static void a_connection_proves_good_by_the_time_it_served(void **state)
{
	struct fake f;

	(void)state;
	for (uint32_t good = 0; good < 2; good++) {
		fake_init(&f, 9);
		f.ending = CLOSES;
		f.stays_us = LINK_PROVEN_MS * 1000ull + (good ? 100 : -1000000);
		sim_run_for(f.sim, 40 * f.stays_us);
		/* Ends of 40 connections, a few ms each or up to a second. */
		if (good)
			assert_in_range(f.accepted, 40, 41);
		else
			assert_in_range(f.accepted, 30, 36);
		fake_done(&f);
	}
}

static void a_worker_that_was_long_in_starting_is_found_again_at_once_when_it_is_cut(void **state)
{
	static const struct env_listener_ops ops = {.on_accept = on_accept};
	struct fake f;

	(void)state;
	fake_init(&f, 1);
	env_listener_close(f.env, f.listener);
	sim_run_for(f.sim, 30000000);
	assert_int_equal(f.accepted, 0);
	assert_int_equal(f.troubles, 1);
	assert_int_equal(env_listen(f.env, addr, &ops, &f, &f.listener, NULL), 0);
	sim_run_for(f.sim, 1010000); /* the longest wait between two knocks */
	assert_true(link_is_up(f.link));
	sim_cut_addr(f.sim, addr);
	sim_run_for(f.sim, 10000);
	assert_true(link_is_up(f.link));
	/* A restart: its port is closed for 30 ms, and knocked at every 5. */
	env_listener_close(f.env, f.listener);
	sim_cut_addr(f.sim, addr);
	sim_run_for(f.sim, 30000);
	assert_false(link_is_up(f.link));
	assert_int_equal(env_listen(f.env, addr, &ops, &f, &f.listener, NULL), 0);
	sim_run_for(f.sim, 10000);
	assert_true(link_is_up(f.link));
	fake_done(&f);
}

static void a_worker_that_never_says_hello_is_given_up_after_the_deadline(void **state)
{
	(void)state;
	struct fake f;

	fake_init(&f, 1);
	f.silent = true;
	sim_run_for(f.sim, HELLO_TIMEOUT_MS * 1000ull + 100000);
	assert_int_equal(f.troubles, 1);
	assert_string_equal(f.why, "the worker did not finish the hand-shake in 10 seconds");
	f.silent = false; /* also the try under way has its ten seconds */
	sim_run_for(f.sim, HELLO_TIMEOUT_MS * 1000ull);
	wait_up(&f);
	fake_done(&f);
}

static void a_card_without_sense_is_refused_once_and_tried_again(void **state)
{
	(void)state;
	struct fake f;

	fake_init(&f, 1);
	f.card.block_size = 0;
	sim_run_for(f.sim, 3000000);
	assert_int_equal(f.ups, 0);
	assert_int_equal(f.troubles, 1); /* told once, tried often */
	assert_true(f.accepted > 4);
	assert_string_equal(
		f.why, "could not use the worker: its card says blocks of 0 tokens; from 1 to 65536 are taken");
	f.card.block_size = 16;
	wait_up(&f);
	fake_done(&f);
}

static void a_name_that_commands_a_terminal_is_refused(void **state)
{
	static const char *const names[] = {"w\x1b[2J", "w\302\2332J", "w\xe2\x80\xae", "w\xe2\x80\xa8", "\xff"};
	struct fake f;

	(void)state;
	for (uint32_t i = 0; i < 2 * ARRAY_LEN(names); i++) {
		struct msg_str *name = i % 2 ? &f.card.worker : &f.card.model;
		fake_init(&f, 1);
		*name = msg_str(names[i / 2]);
		sim_run_for(f.sim, 1000000);
		assert_int_equal(f.ups, 0);
		assert_non_null(strstr(f.why, "a name with characters that cannot be shown"));
		*name = msg_str("\xe4\xb8\xad \xc3\xa9");
		wait_up(&f);
		fake_done(&f);
	}
}

static void a_refusal_is_told_in_the_worker_s_words(void **state)
{
	(void)state;
	struct fake f;
	const struct msg_refuse refuse = {.code = -EPERM, .why = msg_str("closed on Sundays")};

	fake_init(&f, 1);
	wait_up(&f);
	say(&f, MSG_REFUSE, &refuse);
	sim_run_for(f.sim, 1000);
	assert_int_equal(f.downs, 1);
	assert_string_equal(f.why, "it refused us: closed on Sundays");
	fake_done(&f);
}

static void another_major_version_is_refused(void **state)
{
	(void)state;
	struct fake f;
	const struct msg_hello hello = {
		.major = WIRE_MAJOR + 1, .software = msg_str("future 9"), .role = msg_str("worker")};

	fake_init(&f, 1);
	f.silent = true; /* it says what we write, no more */
	while (!f.conn)
		sim_step(f.sim);
	say(&f, MSG_HELLO, &hello);
	sim_run_for(f.sim, 2000);
	assert_int_equal(f.troubles, 1);
	assert_non_null(strstr(f.why, "version"));
	fake_done(&f);
}

static void reports_of_prefixes_are_passed_on_and_asked_for_again(void **state)
{
	(void)state;
	struct fake f;
	const struct msg_kv empty = {.snapshot = true, .snapshot_end = true};

	fake_init(&f, 1);
	link_resync(f.link); /* not up: harmless */
	wait_up(&f);
	say(&f, MSG_KV, &empty);
	sim_run_for(f.sim, 1000);
	assert_int_equal(f.kvs, 1);
	assert_int_equal(f.resyncs, 0);
	link_resync(f.link);
	sim_run_for(f.sim, 1000);
	assert_int_equal(f.resyncs, 1);
	fake_done(&f);
}

static void frames_of_unknown_types_are_skipped(void **state)
{
	(void)state;
	static const uint8_t newer[] = {3, 0, 0, 0, 200, 0x08, 0x01};
	struct fake f;
	const struct msg_drain drain = {.time_left_ms = 1};

	fake_init(&f, 1);
	wait_up(&f);
	env_conn_write(f.env, f.conn, newer, sizeof newer);
	say(&f, MSG_DRAIN, &drain);
	sim_run_for(f.sim, 1000);
	assert_int_equal(f.drains, 1);
	assert_int_equal(f.downs, 0);
	fake_done(&f);
}

static void random_valid_frames_do_no_harm(void **state)
{
	(void)state;
	static const enum msg_type types[] = {MSG_HELLO, MSG_CARD, MSG_REQUEST, MSG_CANCEL, MSG_TOKENS, MSG_DONE,
		MSG_STEP, MSG_KV, MSG_DRAIN, MSG_REFUSE};
	struct fake f;
	struct rng r;

	fake_init(&f, 1);
	rng_init(&r, 1);
	for (int i = 0; i < 10000; i++) {
		struct arena a;
		union msg m;
		wait_up(&f);
		arena_init(&a, 64 << 20);
		/* Mostly what workers say, or no connection would last. */
		enum msg_type type = types[rng_below(&r, 20) ? 4 + rng_below(&r, 3) : rng_below(&r, ARRAY_LEN(types))];
		wire_random_msg(&r, type, &a, &m);
		say(&f, type, &m);
		arena_done(&a);
		sim_run_for(f.sim, 300);
	}
	assert_true(f.downs > 50 && f.ups > 50);
	assert_true(f.steps > 1000 && f.dones > 1000);
	fake_done(&f);
}

static void random_bytes_end_the_connection_and_nothing_else(void **state)
{
	(void)state;
	struct fake f;
	struct rng r;

	fake_init(&f, 1);
	rng_init(&r, 2);
	for (int i = 0; i < 300; i++) {
		uint8_t bytes[400];
		wait_up(&f);
		for (size_t k = 0; k < sizeof bytes; k++)
			bytes[k] = (uint8_t)rng_u64(&r);
		bytes[3] = 0; /* a length that may come */
		bytes[2] = 0;
		env_conn_write(f.env, f.conn, bytes, 1 + rng_below(&r, sizeof bytes));
		sim_run_for(f.sim, 1000);
		if (link_is_up(f.link))
			sim_cut_addr(f.sim, addr);
		sim_run_for(f.sim, 1000);
	}
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_comes_up_with_the_card_and_again_after_a_cut),
		cmocka_unit_test(a_worker_that_ends_each_connection_is_tried_ever_more_seldom),
		cmocka_unit_test(a_connection_proves_good_by_the_time_it_served),
		cmocka_unit_test(a_worker_that_was_long_in_starting_is_found_again_at_once_when_it_is_cut),
		cmocka_unit_test(a_worker_that_never_says_hello_is_given_up_after_the_deadline),
		cmocka_unit_test(a_card_without_sense_is_refused_once_and_tried_again),
		cmocka_unit_test(a_name_that_commands_a_terminal_is_refused),
		cmocka_unit_test(a_refusal_is_told_in_the_worker_s_words),
		cmocka_unit_test(another_major_version_is_refused),
		cmocka_unit_test(reports_of_prefixes_are_passed_on_and_asked_for_again),
		cmocka_unit_test(frames_of_unknown_types_are_skipped),
		cmocka_unit_test(random_valid_frames_do_no_harm),
		cmocka_unit_test(random_bytes_end_the_connection_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
