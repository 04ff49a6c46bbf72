/* http_room.c - one bound for what requests hold: headers, bodies, bytes read and not parsed, bodies that the handler took.
 *
 * A body whose length is announced is given its room as a whole before its first byte, so that bodies that come together
 * are read one group after another and not all half; a chunked one gets it step by step. Announcing is free, so such a
 * reservation stands only as long as the body comes fast enough to be whole in time; else the room that nothing came for is
 * given to others, and the body gets the rest step by step.
 *
 * What does not fit waits, is not read meanwhile, and is refused after body_wait_ms: the parser is through with a body
 * in milliseconds, so a burst passes. While others wait, a body of which nothing came for as long is ended, unless it is held
 * for its rate (http_pace.c): then it is the server that does not read. Requests of at
 * most HTTP_SMALL_BYTES may use an eighth more than the others: they get through while large ones hold the rest. */
#include "base/limits.h"
#include "net/http_priv.h"

enum {
	LOOK_MS = 250, /* how often idle reservations are looked for, while somebody waits */
	GRACE_MS = 1000, /* before a body may be behind */
	FREE_HEAD_BYTES = 4 * 1024, /* of headers, whatever others hold */
	STEP_BYTES = 128 * 1024, /* of a body whose length nobody knows */
};

static uint64_t now_us(const struct http_server *s)
{
	return env_now_us(s->env);
}

static size_t held(const struct http_conn *c)
{
	const struct http_exchange *x = c->x;

	return c->pending.cap + (x ? x->head.cap + x->body.cap : 0);
}

/* Look at the waiters in a turn of its own. */
static void look_soon(struct http_server *s, uint32_t ms)
{
	if (s->waiter_count)
		env_timer_set_in(s->env, &s->room_timer, (uint64_t)ms * 1000);
}

void http_room_count(struct http_conn *c)
{
	struct http_server *s = c->s;
	size_t now = MAX(held(c), c->reserved), before = c->charged;

	s->bodies_bytes = s->bodies_bytes - before + now;
	c->charged = now;
	if (now < before)
		look_soon(s, 0);
}

void http_body_release(struct http_server *s, size_t bytes)
{
	ASSERT(bytes <= s->bodies_bytes);
	s->bodies_bytes -= bytes;
	if (bytes)
		look_soon(s, 0);
}

size_t http_server_bodies(const struct http_server *s)
{
	return s->bodies_bytes;
}

/* May c hold so much in all, body bytes of it being its body? */
static bool fits(const struct http_conn *c, size_t total, size_t body)
{
	const struct http_server *s = c->s;
	size_t most = body > HTTP_SMALL_BYTES ? s->bodies_bytes_max - s->bodies_bytes_max / 8 : s->bodies_bytes_max;

	return s->bodies_bytes - c->charged + MAX(total, c->charged) <= most;
}

/* Does the body come too slowly to be whole in time? */
static bool is_behind(const struct http_conn *c, uint64_t now)
{
	uint64_t elapsed_ms = now > c->body_us ? (now - c->body_us) / 1000 : 0;

	return elapsed_ms > GRACE_MS &&
	       c->x->body.len * (uint64_t)c->s->limits.body_timeout_ms < c->x->body_announced * elapsed_ms;
}

/* Take back what was announced and does not come. */
static void reclaim(struct http_server *s)
{
	uint64_t now = now_us(s);

	if (now - s->reclaimed_us < (uint64_t)LOOK_MS * 1000)
		return;
	s->reclaimed_us = now;
	list_foreach_safe(it, &s->conns)
	{
		struct http_conn *c = list_entry(it, struct http_conn, link);
		if (c->state != CONN_BODY || c->waits || c->paced)
			continue;
		if (now - c->body_byte_us > (uint64_t)s->limits.body_wait_ms * 1000) {
			http_conn_no_room(c);
		} else if (c->reserved && is_behind(c, now)) {
			c->reserved = 0;
			c->x->body.len_max = s->limits.body_bytes_max;
			http_room_count(c);
		}
	}
}

static bool reserve(struct http_conn *c)
{
	size_t announced = (size_t)c->x->body_announced, total = held(c) - c->x->body.cap + announced;

	if (!fits(c, total, announced))
		reclaim(c->s);
	if (!fits(c, total, announced))
		return false;
	c->room_asked = true;
	c->reserved = total;
	c->x->body.len_max = announced; /* it grows by doubling: not past this */
	/* A failure shows when bytes come. */
	buf_reserve(&c->x->body, MIN(announced, (size_t)STEP_BYTES));
	http_room_count(c);
	return true;
}

/* Make room for len bytes more of a body that has no reservation. */
static bool grow(struct http_conn *c, size_t len)
{
	struct buf *b = &c->x->body;
	size_t max = b->len_max, need = MIN(b->len + len, max);

	if (need <= b->cap)
		return true;
	size_t cap = b->cap ? MIN(MAX(need, b->cap + MAX(b->cap / 4, (size_t)STEP_BYTES)), max) : need;
	if (!fits(c, held(c) - b->cap + cap, cap))
		reclaim(c->s);
	if (!fits(c, held(c) - b->cap + cap, cap))
		return false;
	b->len_max = cap;
	buf_reserve(b, cap - b->len);
	b->len_max = max;
	http_room_count(c);
	return true;
}

bool http_room_ask(struct http_conn *c, size_t len)
{
	if (c->state == CONN_DISCARD)
		return true;
	/* Plain GETs, such as probes, never wait. */
	if (c->state != CONN_BODY)
		return c->x->head.len + len <= FREE_HEAD_BYTES || fits(c, held(c) + len, 0);
	if (c->x->body_announced && !c->room_asked)
		return reserve(c);
	return c->reserved || grow(c, len);
}

bool http_room_wait(struct http_conn *c)
{
	struct http_server *s = c->s;
	uint64_t most_us = (uint64_t)s->limits.body_wait_ms * 1000, left_us = most_us - MIN(c->waited_us, most_us);

	if (s->waiter_count >= HTTP_WAITERS_MAX || !left_us)
		return false;
	http_count(s, "http_body_waited");
	c->waits = true;
	c->wait_began_us = now_us(s);
	list_add_tail(&s->waiters, &c->waiter);
	if (s->waiter_count++ == 0)
		look_soon(s, LOOK_MS);
	env_timer_set_in(s->env, &c->timer, left_us);
	return true;
}

void http_room_wait_end(struct http_conn *c)
{
	if (!c->waits)
		return;
	uint64_t waited = now_us(c->s) - c->wait_began_us;
	c->waits = false;
	c->waited_us += waited;
	c->body_us += waited; /* the time was not the client's */
	c->body_byte_us += waited;
	list_del(&c->waiter);
	c->s->waiter_count--;
}

/* Who waited longest goes first; small ones may pass large ones that do not fit. */
static void on_room(void *ctx)
{
	struct http_server *s = ctx;
	bool large_waits = false;

	reclaim(s);
	list_foreach_safe(it, &s->waiters)
	{
		struct http_conn *c = list_entry(it, struct http_conn, waiter);
		bool is_large = c->state == CONN_BODY && c->x->body_announced > HTTP_SMALL_BYTES;
		if (is_large && large_waits)
			continue;
		if (http_room_ask(c, c->pending.len)) {
			http_room_wait_end(c);
			http_conn_kick(c);
		} else {
			large_waits |= is_large;
		}
	}
	look_soon(s, LOOK_MS);
}

void http_room_init(struct http_server *s)
{
	list_init(&s->waiters);
	s->room_timer = (struct env_timer){.fn = on_room, .ctx = s};
	/* One of the largest fits beside the small ones' eighth, whatever was asked for. */
	s->bodies_bytes_max = MAX(s->limits.bodies_bytes_max, 2 * s->limits.body_bytes_max);
}
