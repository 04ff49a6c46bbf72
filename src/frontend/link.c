#include "frontend/link.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "cluster/retry.h"
#include "wire/hello.h"

#include <stdio.h>

enum link_state {
	LINK_IDLE, /* waits for the retry timer */
	LINK_CONNECTING,
	LINK_HELLO,
	LINK_CARD,
	LINK_UP,
};

struct link {
	struct env *env;
	char *addr;
	struct link_config config;
	const struct link_handler *handler;
	void *ctx, *user;
	enum link_state state;
	struct env_conn *conn; /* NULL in LINK_IDLE */
	struct env_timer timer; /* the next try, or the hand-shake's deadline */
	struct retry knocks; /* connects that nobody took: it is not started yet */
	struct retry spoiled; /* connections that were taken and served for less than LINK_PROVEN_MS */
	uint64_t up_us; /* when its card was taken */
	struct hello hello;
	struct buf in, out; /* a frame that is not whole yet; scratch to encode */
	struct arena card_arena, frame_arena;
	struct msg_card card;
	char trouble[256]; /* what was told last, so that a dead address is told once */
	uint64_t heard_us, worked_us, sign_us;
	bool reading; /* inside on_data: frames are being handed over */
	bool destroyed; /* by a handler meanwhile */
};

static const struct env_conn_ops conn_ops;
static void on_timer(void *ctx);
static void start(struct link *l);

int link_create(struct link **ret, struct env *env, const char *addr, const struct link_config *config,
	const struct link_handler *handler, void *ctx, struct err *err)
{
	struct link *l = calloc(1, sizeof *l);

	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->env = env;
	l->config = *config;
	l->handler = handler;
	l->ctx = ctx;
	l->timer = (struct env_timer){.fn = on_timer, .ctx = l};
	buf_init(&l->in, FRAME_BYTES_MAX + 16);
	buf_init(&l->out, FRAME_BYTES_MAX + 16);
	arena_init(&l->card_arena, 64 * 1024);
	arena_init(&l->frame_arena, 2 * (size_t)FRAME_BYTES_MAX);
	l->addr = strdup(addr);
	if (!l->addr) {
		link_destroy(l);
		return err_set(err, -ENOMEM, "out of memory");
	}
	env_timer_set_in(env, &l->timer, 0);
	*ret = l;
	return 0;
}

static void free_all(struct link *l)
{
	buf_done(&l->in);
	buf_done(&l->out);
	arena_done(&l->card_arena);
	arena_done(&l->frame_arena);
	free(l->addr);
	free(l);
}

void link_destroy(struct link *l)
{
	if (!l)
		return;
	env_timer_cancel(l->env, &l->timer);
	if (l->conn)
		env_conn_close(l->env, l->conn);
	l->conn = NULL;
	if (l->reading)
		l->destroyed = true;
	else
		free_all(l);
}

const char *link_addr(const struct link *l)
{
	return l->addr;
}

bool link_is_up(const struct link *l)
{
	return l->state == LINK_UP;
}

const struct msg_card *link_card(const struct link *l)
{
	return &l->card;
}

void link_set_user(struct link *l, void *user)
{
	l->user = user;
}

void *link_user(const struct link *l)
{
	return l->user;
}

/* going down and up */

static void tell_trouble(struct link *l, const char *why)
{
	if (!strncmp(l->trouble, why, sizeof l->trouble - 1))
		return;
	snprintf(l->trouble, sizeof l->trouble, "%s", why);
	if (l->handler->on_trouble)
		l->handler->on_trouble(l->ctx, l, why);
}

/* A worker that takes connections only to end them is knocked at ever more seldom, also when it said its card before: only
 * time in service proves it good. A row of connects that nobody took is counted by itself, so that the first cut of a worker
 * that was long in starting is tried again at once. */
static uint64_t wait_us(struct link *l)
{
	uint64_t random = env_rand(l->env);

	if (l->state == LINK_CONNECTING)
		return retry_next_us(&l->knocks, random);
	if (l->state == LINK_UP && env_now_us(l->env) - l->up_us >= LINK_PROVEN_MS * 1000ull)
		l->spoiled = (struct retry){0};
	return retry_next_us(&l->spoiled, random);
}

/* The connection is gone or not wanted: close, try again later, tell. The last thing a callback does with l. */
static void down(struct link *l, const char *why)
{
	bool was_up = l->state == LINK_UP;

	if (l->conn)
		env_conn_close(l->env, l->conn);
	l->conn = NULL;
	env_timer_set_in(l->env, &l->timer, wait_us(l));
	l->state = LINK_IDLE;
	buf_reset(&l->in);
	if (was_up)
		l->handler->on_down(l->ctx, l, why);
	else
		tell_trouble(l, why);
}

static void note_sign(struct link *l, int code)
{
	if (code != -ETIMEDOUT && code != -EHOSTUNREACH && code != -ENETUNREACH)
		l->sign_us = env_now_us(l->env);
}

static void down_errno(struct link *l, int code)
{
	char why[128];

	note_sign(l, code);
	if (code)
		snprintf(why, sizeof why, "%s: %s",
			l->state == LINK_CONNECTING ? "could not connect" : "the connection broke", strerror(-code));
	else
		snprintf(why, sizeof why, "the worker closed the connection");
	down(l, why);
}

static void start(struct link *l)
{
	struct err err;

	l->state = LINK_CONNECTING;
	if (env_connect(l->env, l->addr, &conn_ops, l, &l->conn, &err) < 0) {
		l->conn = NULL;
		note_sign(l, err.code);
		down(l, err.msg);
		return;
	}
	env_timer_set_in(l->env, &l->timer, (uint64_t)HELLO_TIMEOUT_MS * 1000);
}

static void on_timer(void *ctx)
{
	struct link *l = ctx;

	if (l->state == LINK_IDLE)
		start(l);
	else
		down(l, "the worker did not finish the hand-shake in 10 seconds");
}
_Static_assert(HELLO_TIMEOUT_MS == 10000, "as the message says");

static void send_out(struct link *l)
{
	if (l->out.len)
		env_conn_write(l->env, l->conn, l->out.data, l->out.len);
	buf_reset(&l->out);
}

static void on_open(void *ctx)
{
	struct link *l = ctx;
	bool is_local = !strncmp(l->addr, "unix:", 5);
	const struct hello_config config = {
		.role = "frontend",
		.peer_role = "worker",
		.software = l->config.software,
		.secret = is_local ? NULL : l->config.secret,
		.secret_len = l->config.secret_len,
	};
	struct err err;

	l->state = LINK_HELLO;
	l->knocks = (struct retry){0};
	buf_reset(&l->out);
	if (hello_begin(&l->hello, &config, &l->out, &err) < 0) {
		down(l, err.msg);
		return;
	}
	send_out(l);
}

/* frames */

static int take_hello(struct link *l, const struct frame *f, struct err *err)
{
	buf_reset(&l->out);
	int r = hello_frame(&l->hello, f, &l->out, err);
	send_out(l);
	if (r == 1)
		l->state = LINK_CARD;
	return r < 0 ? r : 0;
}

static int check_card(const struct msg_card *c, struct err *err)
{
	if (!c->worker.len || !c->model.len || !c->tokenizer.len)
		return err_set(err, -EPROTO, "its card lacks a name, a model or a tokenizer");
	if (!utf8_is_plain(c->worker.data, c->worker.len) || !utf8_is_plain(c->model.data, c->model.len))
		return err_set(err, -EPROTO, "its card has a name with characters that cannot be shown");
	if (!c->block_size || c->block_size > BLOCK_TOKENS_MAX)
		return err_set(err, -EPROTO, "its card says blocks of %u tokens; from 1 to %u are taken", c->block_size,
			BLOCK_TOKENS_MAX);
	if (!c->context_max)
		return err_set(err, -EPROTO, "its card says a context of no tokens");
	if (c->seqs_max > WORKER_SEQS_MAX)
		return err_set(err, -EPROTO, "its card says %u sequences at once; at most %u are taken", c->seqs_max,
			WORKER_SEQS_MAX);
	return 0;
}

static int take_card(struct link *l, const struct frame *f, struct err *err)
{
	struct msg_card card;

	if (f->type != MSG_CARD)
		return err_set(err, -EPROTO, "it sent %s before its card", msg_type_name(f->type));
	arena_done(&l->card_arena);
	if (msg_decode(f, &l->card_arena, &card, err) < 0 || check_card(&card, err) < 0)
		return err_wrap(err, "could not use the worker");
	l->card = card;
	l->card.context_max = MIN(card.context_max, (uint32_t)TOKENS_MAX); /* no request is longer */
	l->state = LINK_UP;
	l->up_us = env_now_us(l->env);
	l->trouble[0] = '\0';
	env_timer_cancel(l->env, &l->timer);
	l->handler->on_up(l->ctx, l);
	return 0;
}

static int take_message(struct link *l, const struct frame *f, struct err *err)
{
	union msg m;

	arena_reset(&l->frame_arena);
	int r = msg_decode(f, &l->frame_arena, &m, err);
	if (r == -ENOTSUP)
		return 0; /* a newer release's; not for us */
	if (r < 0)
		return r;
	if (f->type != MSG_PONG)
		l->worked_us = l->heard_us;
	switch (f->type) {
	case MSG_TOKENS:
		for (uint32_t i = 0; i < m.tokens.len; i++)
			l->handler->on_tokens(l->ctx, l, &m.tokens.items[i]);
		return 0;
	case MSG_DONE:
		l->handler->on_done(l->ctx, l, &m.done);
		return 0;
	case MSG_STEP:
		if (l->handler->on_step)
			l->handler->on_step(l->ctx, l, &m.step);
		return 0;
	case MSG_KV:
		if (l->handler->on_kv)
			l->handler->on_kv(l->ctx, l, &m.kv);
		return 0;
	case MSG_DRAIN:
		l->handler->on_drain(l->ctx, l);
		return 0;
	case MSG_PONG:
		return 0; /* that bytes came is what counts */
	case MSG_REFUSE:
		return err_set(err, -ECONNREFUSED, "it refused us: %.*s", (int)m.refuse.why.len, m.refuse.why.data);
	default:
		return err_set(err, -EPROTO, "it sent %s, which workers do not send", msg_type_name(f->type));
	}
}

static int take_frame(struct link *l, const struct frame *f, struct err *err)
{
	switch (l->state) {
	case LINK_HELLO:
		return take_hello(l, f, err);
	case LINK_CARD:
		if (f->type != MSG_REFUSE)
			return take_card(l, f, err);
		return take_message(l, f, err);
	default:
		return take_message(l, f, err);
	}
}

/* Until it has said who and what it is, nothing large is collected for it. */
static uint32_t frame_bytes_max(const struct link *l)
{
	return l->state == LINK_HELLO  ? (uint32_t)STRANGER_FRAME_BYTES_MAX
	       : l->state == LINK_CARD ? (uint32_t)CARD_FRAME_BYTES_MAX
				       : (uint32_t)FRAME_BYTES_MAX;
}

/* Take whole frames from data; returns how many bytes were used, negative when the connection must go. */
static int64_t take_frames(struct link *l, const uint8_t *data, size_t len, struct err *err)
{
	size_t used = 0;

	while (used < len && !l->destroyed) {
		struct frame f;
		int64_t n = frame_next_within(data + used, len - used, frame_bytes_max(l), &f, err);
		if (n < 0)
			return n;
		if (n == 0)
			break;
		int r = take_frame(l, &f, err);
		if (r < 0)
			return r;
		used += (size_t)n;
	}
	return (int64_t)used;
}

/* Mostly whole frames arrive: they are read where they lie, and only a cut one is kept. */
static int take_bytes(struct link *l, const uint8_t *data, size_t len, struct err *err)
{
	int64_t used;

	if (l->in.len) {
		if (buf_add(&l->in, data, len) < 0)
			return err_set(err, -ENOBUFS, "out of memory");
		used = take_frames(l, (const uint8_t *)l->in.data, l->in.len, err);
		if (used > 0)
			buf_consume(&l->in, (size_t)used);
		return used < 0 ? (int)used : 0;
	}
	used = take_frames(l, data, len, err);
	if (used < 0)
		return (int)used;
	if ((size_t)used < len && buf_add(&l->in, data + used, len - (size_t)used) < 0)
		return err_set(err, -ENOBUFS, "out of memory");
	return 0;
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
	struct link *l = ctx;
	struct err err;

	l->heard_us = l->sign_us = env_now_us(l->env);
	l->reading = true;
	int r = take_bytes(l, data, len, &err);
	l->reading = false;
	if (l->destroyed) {
		free_all(l);
		return;
	}
	if (l->handler->on_turn)
		l->handler->on_turn(l->ctx, l);
	if (r < 0)
		down(l, err.msg);
}

static void on_closed(void *ctx, int code)
{
	struct link *l = ctx;

	l->conn = NULL;
	down_errno(l, code);
}

static const struct env_conn_ops conn_ops = {.on_open = on_open, .on_data = on_data, .on_closed = on_closed};

uint64_t link_heard_us(const struct link *l)
{
	return l->heard_us;
}

uint64_t link_sign_us(const struct link *l)
{
	return l->sign_us;
}

uint64_t link_worked_us(const struct link *l)
{
	return l->worked_us;
}

size_t link_queued(const struct link *l)
{
	return l->conn ? env_conn_queued(l->env, l->conn) : 0;
}

void link_drop(struct link *l, const char *why)
{
	ASSERT(l->state == LINK_UP && !l->reading);
	down(l, why);
}

/* requests */

int link_request(struct link *l, const struct msg_request *request)
{
	ASSERT(l->state == LINK_UP);
	if (env_conn_queued(l->env, l->conn) > FRAME_QUEUE_BYTES_MAX)
		return -ENOBUFS;
	buf_reset(&l->out);
	int r = msg_encode(&l->out, MSG_REQUEST, request);
	if (r < 0)
		return r;
	r = env_conn_write(l->env, l->conn, l->out.data, l->out.len);
	buf_reset(&l->out);
	return r;
}

void link_resync(struct link *l)
{
	const struct msg_resync resync = {0};

	if (l->state != LINK_UP)
		return;
	buf_reset(&l->out);
	if (msg_encode(&l->out, MSG_RESYNC, &resync) == 0)
		send_out(l);
}

void link_ping(struct link *l)
{
	const struct msg_ping ping = {.id = l->heard_us};

	if (l->state != LINK_UP || env_conn_queued(l->env, l->conn))
		return;
	buf_reset(&l->out);
	if (msg_encode(&l->out, MSG_PING, &ping) == 0)
		send_out(l);
}

void link_cancel(struct link *l, uint64_t id)
{
	const struct msg_cancel cancel = {.id = id};

	if (l->state != LINK_UP)
		return;
	buf_reset(&l->out);
	if (msg_encode(&l->out, MSG_CANCEL, &cancel) == 0)
		send_out(l);
}
