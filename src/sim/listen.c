/* listen.c - who listens where, and connects on their way. */
#include "sim/env_priv.h"

#include <stdio.h>

static struct env_listener *listener_find(const struct sim *s, const char *addr)
{
	list_foreach(it, &s->listeners)
	{
		struct env_listener *l = list_entry(it, struct env_listener, link);
		if (!strcmp(l->addr, addr))
			return l;
	}
	return NULL;
}

static struct refused *refused_find(const struct sim *s, const char *addr)
{
	list_foreach(it, &s->refused)
	{
		struct refused *r = list_entry(it, struct refused, link);
		if (!strcmp(r->addr, addr))
			return r;
	}
	return NULL;
}

int sim_listen(struct env *e, const char *addr, const struct env_listener_ops *ops, void *ctx,
	struct env_listener **ret, struct err *err)
{
	struct sim *s = sim_of(e);
	size_t len = strlen(addr);
	char bound[256];

	if (len > 2 && !strcmp(addr + len - 2, ":0"))
		snprintf(bound, sizeof bound, "%.*s:%u", (int)len - 2, addr, s->next_port++);
	else
		snprintf(bound, sizeof bound, "%s", addr);
	if (listener_find(s, bound))
		return err_set_errno(err, -EADDRINUSE, "could not listen on \"%s\"", bound);
	struct env_listener *l = must_alloc(sizeof *l);
	l->sim = s;
	l->addr = strdup(bound);
	ASSERT(l->addr);
	l->ops = ops;
	l->ctx = ctx;
	list_init(&l->backlog);
	list_add_tail(&s->listeners, &l->link);
	*ret = l;
	return 0;
}

const char *sim_listener_addr(struct env *e, const struct env_listener *l)
{
	(void)e;
	return l->addr;
}

void sim_dial_free(struct dial *d)
{
	disarm(d->sim, &d->timer);
	list_del(&d->link);
	free(d);
}

void sim_listener_pause(struct env *e, struct env_listener *l, bool paused)
{
	l->paused = paused;
	if (paused)
		return;
	list_foreach_safe(it, &l->backlog)
	{
		struct dial *d = list_entry(it, struct dial, link);
		list_del(&d->link);
		list_add_tail(&l->sim->dials, &d->link);
		arm(sim_of(e), &d->timer, l->sim->now_us);
	}
}

void sim_listener_close(struct env *e, struct env_listener *l)
{
	(void)e;
	list_foreach_safe(it, &l->backlog)
	{
		struct dial *d = list_entry(it, struct dial, link);
		if (d->conn)
			sim_seg_add(d->conn, SEG_RESET, NULL, 0, -ECONNREFUSED);
		sim_dial_free(d);
	}
	list_del(&l->link);
	free(l->addr);
	free(l);
}

/* The connect arrives at the other side. */
void sim_on_dial(void *ctx)
{
	struct dial *d = ctx;
	struct sim *s = d->sim;
	struct env_conn *c = d->conn;
	struct env_listener *l = c ? listener_find(s, c->addr) : NULL;

	if (l && l->paused) {
		list_del(&d->link);
		list_add_tail(&l->backlog, &d->link);
		return;
	}
	sim_dial_free(d);
	if (!c)
		return;
	if (!l || refused_find(s, c->addr)) {
		sim_seg_add(c, SEG_RESET, NULL, 0, -ECONNREFUSED);
		return;
	}
	struct env_conn *a = sim_conn_new(s, c->addr);
	snprintf(a->name, sizeof a->name, "sim:%u", s->next_port++);
	a->open = true;
	a->peer = c;
	c->peer = a;
	sim_seg_add(c, SEG_OPEN, NULL, 0, 0);
	owner_begins(s);
	l->ops->on_accept(l->ctx, a);
	owner_ended(s);
}

int sim_connect(struct env *e, const char *addr, const struct env_conn_ops *ops, void *ctx, struct env_conn **ret,
	struct err *err)
{
	struct sim *s = sim_of(e);

	if (!*addr)
		return err_set(err, -EINVAL, "could not connect: the address is empty");
	ASSERT(ops->on_closed);
	struct env_conn *c = sim_conn_new(s, addr);
	c->ops = ops;
	c->ctx = ctx;
	snprintf(c->name, sizeof c->name, "%s", addr);
	struct dial *d = must_alloc(sizeof *d);
	d->sim = s;
	d->conn = c;
	d->timer = (struct env_timer){.fn = sim_on_dial, .ctx = d};
	list_add_tail(&s->dials, &d->link);
	arm(s, &d->timer, s->now_us + delay_us(s));
	*ret = c;
	return 0;
}
void sim_refuse(struct sim *s, const char *addr, bool refuse)
{
	struct refused *r = refused_find(s, addr);

	if (refuse && !r) {
		r = must_alloc(sizeof *r + strlen(addr) + 1);
		strcpy(r->addr, addr);
		list_add_tail(&s->refused, &r->link);
	} else if (!refuse && r) {
		list_del(&r->link);
		free(r);
	}
}
