/* stream.c - the two ends of a stream: writing, segments on their way, ends and cuts. */
#include "sim/env_priv.h"

/* A connect that is still on its way finds nobody behind it. */
static void dials_forget(const struct list *dials, const struct env_conn *c)
{
	list_foreach(it, dials)
	{
		struct dial *d = list_entry(it, struct dial, link);
		if (d->conn == c)
			d->conn = NULL;
	}
}

void sim_conn_free(struct env_conn *c)
{
	struct sim *s = c->sim;
	disarm(s, &c->pump);
	disarm(s, &c->deliver);
	list_foreach_safe(it, &c->segs)
	{
		list_del(it);
		free(list_entry(it, struct seg, link));
	}
	if (c->peer)
		c->peer->peer = NULL;
	dials_forget(&s->dials, c);
	list_foreach(it, &s->listeners) dials_forget(&list_entry(it, struct env_listener, link)->backlog, c);
	list_del(&c->link);
	buf_done(&c->out);
	free(c->addr);
	free(c);
}

static void conn_release(struct env_conn *c)
{
	if (c->dead && !c->calls)
		sim_conn_free(c);
}

/* Its owner is called; the end lives until that returns. */
static void call_begins(struct env_conn *c)
{
	c->calls++;
	owner_begins(c->sim);
}

static void call_ended(struct env_conn *c)
{
	owner_ended(c->sim);
	c->calls--;
	conn_release(c);
}

/* A paused end gets no data; that its peer left is told when nothing unread is in front of it. */
static bool may_deliver(const struct env_conn *c)
{
	return !list_empty(&c->segs) && (!c->paused || list_first(&c->segs, struct seg, link)->kind != SEG_DATA);
}

static void arm_deliver(struct env_conn *c)
{
	if (may_deliver(c))
		arm(c->sim, &c->deliver, MAX(c->sim->now_us, list_first(&c->segs, struct seg, link)->at_us));
	else
		disarm(c->sim, &c->deliver);
}

void sim_seg_add(struct env_conn *to, enum seg_kind kind, const void *data, uint32_t len, int code)
{
	struct sim *s = to->sim;
	struct seg *g = must_alloc(sizeof *g + len);

	g->kind = kind;
	g->code = code;
	g->len = len;
	if (len)
		memcpy(g->data, data, len);
	g->at_us = s->now_us + delay_us(s);
	g->at_us = MAX(g->at_us, to->last_at_us);
	to->last_at_us = g->at_us;
	to->segs_bytes += len;
	list_add_tail(&to->segs, &g->link);
	arm_deliver(to);
}

static void segs_drop(struct env_conn *c)
{
	list_foreach_safe(it, &c->segs)
	{
		list_del(it);
		free(list_entry(it, struct seg, link));
	}
	c->segs_bytes = 0;
	disarm(c->sim, &c->deliver);
}

static void tell_closed(struct env_conn *c, int code)
{
	c->dead = true;
	call_begins(c);
	c->ops->on_closed(c->ctx, code);
	call_ended(c);
}

/* The end goes away towards its peer: a reset when it has not read everything (as TCP and Unix sockets do), else an
 * orderly end behind what was sent. */
static void conn_leave(struct env_conn *c)
{
	struct env_conn *p = c->peer;

	if (!p)
		return;
	bool unread = c->segs_bytes > 0;
	if (unread && (p->paused || rng_below(&c->sim->rng, 2)))
		segs_drop(p);
	sim_seg_add(p, unread ? SEG_RESET : SEG_EOF, NULL, 0, unread ? -ECONNRESET : 0);
	p->peer = NULL;
	c->peer = NULL;
	if (p->out.len)
		arm(p->sim, &p->pump, p->sim->now_us);
}

static void pump_data(struct env_conn *c)
{
	struct sim *s = c->sim;
	struct env_conn *p = c->peer;

	while (c->out.len && p->segs_bytes < s->config.socket_bytes) {
		size_t n = MIN(c->out.len, s->config.socket_bytes - p->segs_bytes);
		if (s->config.segment_bytes_max) {
			size_t border = 1 + rng_below(&s->rng, s->config.segment_bytes_max);
			n = MIN(n, border);
		}
		sim_seg_add(p, SEG_DATA, c->out.data, (uint32_t)n, 0);
		buf_consume(&c->out, n);
	}
}

/* End of the turn: move what was written, say when it has left, end when asked to. */
void sim_on_pump(void *ctx)
{
	struct env_conn *c = ctx;

	if (!c->open)
		return;
	if (!c->peer) {
		if (c->out.len) {
			/* Writing to one who is gone: what he sent before is lost too, as after a reset. */
			buf_reset(&c->out);
			segs_drop(c);
			sim_seg_add(c, SEG_RESET, NULL, 0, -EPIPE);
			return;
		}
	} else {
		pump_data(c);
	}
	if (c->out.len)
		return;
	if (c->finishing) {
		segs_drop(c);
		conn_leave(c);
		tell_closed(c, 0);
		return;
	}
	if (c->undrained) {
		c->undrained = false;
		call_begins(c);
		if (c->ops->on_drain)
			c->ops->on_drain(c->ctx);
		call_ended(c);
	}
}

static void give_eof(struct env_conn *c)
{
	c->eof_seen = true;
	if (!c->ops->on_eof) {
		conn_leave(c);
		tell_closed(c, 0);
		return;
	}
	call_begins(c);
	c->ops->on_eof(c->ctx);
	call_ended(c);
}

static void give_data(struct env_conn *c, const struct seg *g)
{
	c->segs_bytes -= g->len;
	if (c->peer && c->peer->out.len)
		arm(c->sim, &c->peer->pump, c->sim->now_us);
	call_begins(c);
	if (c->ops->on_data && !c->finishing)
		c->ops->on_data(c->ctx, g->data, g->len);
	call_ended(c);
}

/* Take the first segment out and arm for the next one. */
static struct seg *seg_take(struct env_conn *c)
{
	struct seg *g = list_first(&c->segs, struct seg, link);

	list_del(&g->link);
	arm_deliver(c);
	return g;
}

void sim_on_deliver(void *ctx)
{
	struct env_conn *c = ctx;

	if (!may_deliver(c))
		return;
	struct seg *g = seg_take(c);
	switch (g->kind) {
	case SEG_DATA:
		give_data(c, g);
		break;
	case SEG_EOF:
		give_eof(c);
		break;
	case SEG_RESET:
		if (c->peer)
			c->peer->peer = NULL;
		c->peer = NULL;
		tell_closed(c, g->code);
		break;
	case SEG_OPEN:
		c->open = true;
		if (c->out.len || c->finishing)
			arm(c->sim, &c->pump, c->sim->now_us);
		call_begins(c);
		if (c->ops->on_open)
			c->ops->on_open(c->ctx);
		call_ended(c);
		break;
	}
	free(g);
}

struct env_conn *sim_conn_new(struct sim *s, const char *addr)
{
	struct env_conn *c = must_alloc(sizeof *c);

	c->sim = s;
	c->addr = strdup(addr);
	ASSERT(c->addr);
	buf_init(&c->out, SIZE_MAX / 2);
	list_init(&c->segs);
	list_add_tail(&s->conns, &c->link);
	c->pump = (struct env_timer){.fn = sim_on_pump, .ctx = c};
	c->deliver = (struct env_timer){.fn = sim_on_deliver, .ctx = c};
	return c;
}

int sim_conn_write(struct env *e, struct env_conn *c, const void *data, size_t len)
{
	ASSERT(!c->dead);
	if (!len || c->finishing)
		return 0;
	must(buf_add(&c->out, data, len));
	c->undrained = true;
	if (c->open)
		arm(sim_of(e), &c->pump, sim_of(e)->now_us);
	return 0;
}

size_t sim_conn_queued(struct env *e, const struct env_conn *c)
{
	(void)e;
	return c->out.len;
}

const char *sim_conn_peer(struct env *e, const struct env_conn *c)
{
	(void)e;
	return c->name;
}

void sim_conn_pause(struct env *e, struct env_conn *c, bool paused)
{
	ASSERT(!c->dead);
	(void)e;
	c->paused = paused;
	arm_deliver(c);
}

void sim_conn_finish(struct env *e, struct env_conn *c)
{
	ASSERT(!c->dead);
	c->finishing = true;
	arm(sim_of(e), &c->pump, sim_of(e)->now_us);
}

void sim_conn_close(struct env *e, struct env_conn *c)
{
	(void)e;
	ASSERT(!c->dead);
	c->dead = true;
	conn_leave(c);
	conn_release(c);
}

void sim_conn_attach(struct env *e, struct env_conn *c, const struct env_conn_ops *ops, void *ctx)
{
	(void)e;
	ASSERT(ops->on_closed);
	c->ops = ops;
	c->ctx = ctx;
}
static void cut_end(struct env_conn *c)
{
	if (c->dead)
		return;
	segs_drop(c);
	buf_reset(&c->out);
	sim_seg_add(c, SEG_RESET, NULL, 0, -ECONNRESET);
	c->peer = NULL;
}

void sim_cut(struct sim *s, struct env_conn *c)
{
	struct env_conn *p = c->peer;

	(void)s;
	cut_end(c);
	if (p)
		cut_end(p);
}

uint32_t sim_cut_addr(struct sim *s, const char *addr)
{
	uint32_t n = 0;

	list_foreach(it, &s->conns)
	{
		struct env_conn *c = list_entry(it, struct env_conn, link);
		if (strcmp(c->addr, addr) || !c->peer)
			continue;
		sim_cut(s, c);
		n++;
	}
	return n;
}
