#include "sim/env.h"
#include "base/buf.h"
#include "base/rng.h"

#include <stdio.h>

/* A stream is two ends. What one end wrote waits in its out; pump() moves it, cut into segments that each arrive at a
 * time of their own, to the other end's segs as far as that end's socket has room:
 *
 *     end A: out [......]  --pump-->  end B: segs [data][data][eof]  --deliver-->  B's owner
 *
 * An end whose owner closed it is freed at once (or when its running callback returns); its peer then finds peer ==
 * NULL. */
enum seg_kind { SEG_DATA, SEG_EOF, SEG_RESET, SEG_OPEN };
struct seg {
	struct list link;
	enum seg_kind kind;
	uint64_t at_us;
	int code; /* of SEG_RESET */
	uint32_t len;
	uint8_t data[];
};

struct env_conn {
	struct list link; /* in sim.conns */
	struct sim *sim;
	struct env_conn *peer;
	const struct env_conn_ops *ops;
	void *ctx;
	char *addr; /* what was connected to */
	char name[64]; /* conn_peer */
	struct buf out;
	struct list segs;
	size_t segs_bytes;
	uint64_t last_at_us; /* arrival of the newest segment: order is kept */
	struct env_timer pump, deliver;
	bool open, paused, finishing, eof_seen, undrained;
	bool dead; /* its owner is done with it; freed when calls is 0 */
	uint32_t calls; /* callbacks running */
};

struct env_listener {
	struct list link; /* in sim.listeners */
	struct sim *sim;
	char *addr;
	const struct env_listener_ops *ops;
	void *ctx;
	bool paused;
	struct list backlog; /* struct dial, waiting for resume */
};

/* A connect on its way to its listener. */
struct dial {
	struct list link; /* in sim.dials or a listener's backlog */
	struct sim *sim;
	struct env_conn *conn; /* NULL: the owner closed it meanwhile */
	struct env_timer timer;
};

struct sim_job {
	struct list link; /* in sim.jobs */
	struct sim *sim;
	struct env_job *job;
	struct env_timer timer;
};

struct refused {
	struct list link;
	char addr[];
};

struct sim {
	struct env env; /* first: env_conn etc. find the sim by it */
	struct sim_config config;
	struct rng rng, owner_rng;
	uint64_t now_us;
	struct timer_heap heap;
	uint32_t internal_timers; /* in the heap, ours */
	struct list conns, listeners, dials, jobs, refused;
	uint64_t *text_free_us; /* when each text thread is free */
	uint64_t engine_free_us;
	uint32_t next_port;
	bool jobs_stopped;
};

static struct sim *sim_of(struct env *e)
{
	return CONTAINER_OF(e, struct sim, env);
}

static void must(int r)
{
	/* A simulation without memory has nothing to say; the code under test has its own failures to be tried. */
	ASSERT(r == 0);
}

static void *must_alloc(size_t size)
{
	void *p = calloc(1, size);
	ASSERT(p);
	return p;
}

static uint64_t between(struct sim *s, uint32_t min, uint32_t max)
{
	return max > min ? min + rng_below(&s->rng, (uint64_t)max - min + 1) : min;
}

static uint64_t delay_us(struct sim *s)
{
	return between(s, s->config.delay_us_min, s->config.delay_us_max);
}

/* Timers of our own are counted apart, so that sim_counts can tell those of the owners. */
static void arm(struct sim *s, struct env_timer *t, uint64_t at_us)
{
	s->internal_timers += !env_timer_is_set(t);
	must(timer_heap_set(&s->heap, t, at_us));
}

static void disarm(struct sim *s, struct env_timer *t)
{
	s->internal_timers -= env_timer_is_set(t);
	timer_heap_cancel(&s->heap, t);
}

/* streams */

static void conn_free(struct env_conn *c)
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
	list_foreach(it, &s->dials)
	{
		struct dial *d = list_entry(it, struct dial, link);
		if (d->conn == c)
			d->conn = NULL;
	}
	list_del(&c->link);
	buf_done(&c->out);
	free(c->addr);
	free(c);
}

static void conn_release(struct env_conn *c)
{
	if (c->dead && !c->calls)
		conn_free(c);
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

static void seg_add(struct env_conn *to, enum seg_kind kind, const void *data, uint32_t len, int code)
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
	c->calls++;
	c->ops->on_closed(c->ctx, code);
	c->calls--;
	conn_release(c);
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
	seg_add(p, unread ? SEG_RESET : SEG_EOF, NULL, 0, unread ? -ECONNRESET : 0);
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
		seg_add(p, SEG_DATA, c->out.data, (uint32_t)n, 0);
		buf_consume(&c->out, n);
	}
}

/* End of the turn: move what was written, say when it has left, end when asked to. */
static void on_pump(void *ctx)
{
	struct env_conn *c = ctx;

	if (!c->open)
		return;
	if (!c->peer) {
		if (c->out.len) {
			/* Writing to one who is gone: what he sent before is lost too, as after a reset. */
			buf_reset(&c->out);
			segs_drop(c);
			seg_add(c, SEG_RESET, NULL, 0, -EPIPE);
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
		c->calls++;
		if (c->ops->on_drain)
			c->ops->on_drain(c->ctx);
		c->calls--;
		conn_release(c);
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
	c->calls++;
	c->ops->on_eof(c->ctx);
	c->calls--;
	conn_release(c);
}

static void give_data(struct env_conn *c, const struct seg *g)
{
	c->segs_bytes -= g->len;
	if (c->peer && c->peer->out.len)
		arm(c->sim, &c->peer->pump, c->sim->now_us);
	c->calls++;
	if (c->ops->on_data && !c->finishing)
		c->ops->on_data(c->ctx, g->data, g->len);
	c->calls--;
	conn_release(c);
}

/* Take the first segment out and arm for the next one. */
static struct seg *seg_take(struct env_conn *c)
{
	struct seg *g = list_first(&c->segs, struct seg, link);

	list_del(&g->link);
	arm_deliver(c);
	return g;
}

static void on_deliver(void *ctx)
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
		c->calls++;
		if (c->ops->on_open)
			c->ops->on_open(c->ctx);
		c->calls--;
		conn_release(c);
		break;
	}
	free(g);
}

static struct env_conn *conn_new(struct sim *s, const char *addr)
{
	struct env_conn *c = must_alloc(sizeof *c);

	c->sim = s;
	c->addr = strdup(addr);
	ASSERT(c->addr);
	buf_init(&c->out, SIZE_MAX / 2);
	list_init(&c->segs);
	list_add_tail(&s->conns, &c->link);
	c->pump = (struct env_timer){.fn = on_pump, .ctx = c};
	c->deliver = (struct env_timer){.fn = on_deliver, .ctx = c};
	return c;
}

static int op_conn_write(struct env *e, struct env_conn *c, const void *data, size_t len)
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

static size_t op_conn_queued(struct env *e, const struct env_conn *c)
{
	(void)e;
	return c->out.len;
}

static const char *op_conn_peer(struct env *e, const struct env_conn *c)
{
	(void)e;
	return c->name;
}

static void op_conn_pause(struct env *e, struct env_conn *c, bool paused)
{
	ASSERT(!c->dead);
	(void)e;
	c->paused = paused;
	arm_deliver(c);
}

static void op_conn_finish(struct env *e, struct env_conn *c)
{
	ASSERT(!c->dead);
	c->finishing = true;
	arm(sim_of(e), &c->pump, sim_of(e)->now_us);
}

static void op_conn_close(struct env *e, struct env_conn *c)
{
	(void)e;
	ASSERT(!c->dead);
	c->dead = true;
	conn_leave(c);
	conn_release(c);
}

static void op_conn_attach(struct env *e, struct env_conn *c, const struct env_conn_ops *ops, void *ctx)
{
	(void)e;
	ASSERT(ops->on_closed);
	c->ops = ops;
	c->ctx = ctx;
}

/* listening and connecting */

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

static int op_listen(struct env *e, const char *addr, const struct env_listener_ops *ops, void *ctx,
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

static const char *op_listener_addr(struct env *e, const struct env_listener *l)
{
	(void)e;
	return l->addr;
}

static void dial_free(struct dial *d)
{
	disarm(d->sim, &d->timer);
	list_del(&d->link);
	free(d);
}

static void op_listener_pause(struct env *e, struct env_listener *l, bool paused)
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

static void op_listener_close(struct env *e, struct env_listener *l)
{
	(void)e;
	list_foreach_safe(it, &l->backlog)
	{
		struct dial *d = list_entry(it, struct dial, link);
		if (d->conn)
			seg_add(d->conn, SEG_RESET, NULL, 0, -ECONNREFUSED);
		dial_free(d);
	}
	list_del(&l->link);
	free(l->addr);
	free(l);
}

/* The connect arrives at the other side. */
static void on_dial(void *ctx)
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
	dial_free(d);
	if (!c)
		return;
	if (!l || refused_find(s, c->addr)) {
		seg_add(c, SEG_RESET, NULL, 0, -ECONNREFUSED);
		return;
	}
	struct env_conn *a = conn_new(s, c->addr);
	snprintf(a->name, sizeof a->name, "sim:%u", s->next_port++);
	a->open = true;
	a->peer = c;
	c->peer = a;
	seg_add(c, SEG_OPEN, NULL, 0, 0);
	l->ops->on_accept(l->ctx, a);
}

static int op_connect(struct env *e, const char *addr, const struct env_conn_ops *ops, void *ctx, struct env_conn **ret,
	struct err *err)
{
	struct sim *s = sim_of(e);

	if (!*addr)
		return err_set(err, -EINVAL, "could not connect: the address is empty");
	ASSERT(ops->on_closed);
	struct env_conn *c = conn_new(s, addr);
	c->ops = ops;
	c->ctx = ctx;
	snprintf(c->name, sizeof c->name, "%s", addr);
	struct dial *d = must_alloc(sizeof *d);
	d->sim = s;
	d->conn = c;
	d->timer = (struct env_timer){.fn = on_dial, .ctx = d};
	list_add_tail(&s->dials, &d->link);
	arm(s, &d->timer, s->now_us + delay_us(s));
	*ret = c;
	return 0;
}

/* clock, timers, jobs */

static uint64_t op_now_us(struct env *e)
{
	return sim_of(e)->now_us;
}

static uint64_t op_wall_us(struct env *e)
{
	return 1767225600000000ull + sim_of(e)->now_us; /* 2026-01-01 */
}

static uint64_t op_rand(struct env *e)
{
	return rng_u64(&sim_of(e)->owner_rng);
}

static void op_timer_set(struct env *e, struct env_timer *t, uint64_t at_us)
{
	struct sim *s = sim_of(e);
	must(timer_heap_set(&s->heap, t, MAX(at_us, s->now_us)));
}

static void op_timer_cancel(struct env *e, struct env_timer *t)
{
	timer_heap_cancel(&sim_of(e)->heap, t);
}

static void on_job(void *ctx)
{
	struct sim_job *j = ctx;
	struct env_job *job = j->job;

	list_del(&j->link);
	free(j);
	job->work(job);
	job->done(job);
}

/* When the thread that takes the job is free; jobs of one pool start in order. */
static uint64_t *thread_of(struct sim *s, enum env_pool pool)
{
	if (pool == ENV_POOL_ENGINE)
		return &s->engine_free_us;
	uint64_t *first = &s->text_free_us[0];
	for (uint32_t i = 1; i < s->config.text_threads; i++)
		if (s->text_free_us[i] < *first)
			first = &s->text_free_us[i];
	return first;
}

static int op_offload(struct env *e, enum env_pool pool, struct env_job *job)
{
	struct sim *s = sim_of(e);

	if (s->jobs_stopped || (pool == ENV_POOL_TEXT && !s->config.text_threads))
		return -EAGAIN;
	uint64_t *free_us = thread_of(s, pool);
	*free_us = MAX(*free_us, s->now_us) + between(s, s->config.job_us_min, s->config.job_us_max);
	struct sim_job *j = must_alloc(sizeof *j);
	j->sim = s;
	j->job = job;
	j->timer = (struct env_timer){.fn = on_job, .ctx = j};
	list_add_tail(&s->jobs, &j->link);
	arm(s, &j->timer, *free_us);
	return 0;
}

static const struct env_ops sim_ops = {
	.now_us = op_now_us,
	.wall_us = op_wall_us,
	.rand = op_rand,
	.timer_set = op_timer_set,
	.timer_cancel = op_timer_cancel,
	.listen = op_listen,
	.listener_addr = op_listener_addr,
	.listener_pause = op_listener_pause,
	.listener_close = op_listener_close,
	.connect = op_connect,
	.conn_attach = op_conn_attach,
	.conn_write = op_conn_write,
	.conn_queued = op_conn_queued,
	.conn_peer = op_conn_peer,
	.conn_pause = op_conn_pause,
	.conn_finish = op_conn_finish,
	.conn_close = op_conn_close,
	.offload = op_offload,
};

void sim_config_default(struct sim_config *ret, uint64_t seed)
{
	*ret = (struct sim_config){
		.seed = seed,
		.delay_us_min = 20,
		.delay_us_max = 200,
		.segment_bytes_max = 1400,
		.socket_bytes = 64 * 1024,
		.job_us_min = 50,
		.job_us_max = 500,
		.text_threads = 2,
	};
}

int sim_create(struct sim **ret, const struct sim_config *config, struct err *err)
{
	if (!config->socket_bytes)
		return err_set(err, -EINVAL, "could not make a simulation: socket_bytes is 0");
	struct sim *s = must_alloc(sizeof *s);
	s->env.ops = &sim_ops;
	s->config = *config;
	rng_init(&s->rng, config->seed);
	rng_init(&s->owner_rng, config->seed ^ 0x9e3779b97f4a7c15ull);
	s->now_us = 1000000; /* not 0, so that a time that was never set does not look like now */
	s->next_port = 40000;
	s->text_free_us = must_alloc(sizeof *s->text_free_us * (config->text_threads + 1));
	list_init(&s->conns);
	list_init(&s->listeners);
	list_init(&s->dials);
	list_init(&s->jobs);
	list_init(&s->refused);
	*ret = s;
	return 0;
}

struct env *sim_env(struct sim *s)
{
	return &s->env;
}

void sim_destroy(struct sim *s)
{
	if (!s)
		return;
	list_foreach_safe(c, &s->conns) conn_free(list_entry(c, struct env_conn, link));
	list_foreach_safe(l, &s->listeners) op_listener_close(&s->env, list_entry(l, struct env_listener, link));
	list_foreach_safe(d, &s->dials) dial_free(list_entry(d, struct dial, link));
	list_foreach_safe(j, &s->jobs)
	{
		struct sim_job *job = list_entry(j, struct sim_job, link);
		disarm(s, &job->timer);
		free(job);
	}
	list_foreach_safe(r, &s->refused) free(list_entry(r, struct refused, link));
	timer_heap_done(&s->heap);
	free(s->text_free_us);
	free(s);
}

static bool is_internal(const struct env_timer *t)
{
	return t->fn == on_pump || t->fn == on_deliver || t->fn == on_dial || t->fn == on_job;
}

bool sim_step(struct sim *s)
{
	uint64_t at_us = timer_heap_next_us(&s->heap);

	if (at_us == UINT64_MAX)
		return false;
	s->now_us = MAX(s->now_us, at_us);
	struct env_timer *t = timer_heap_pop(&s->heap, s->now_us);
	s->internal_timers -= is_internal(t);
	t->fn(t->ctx);
	return true;
}

void sim_run_until(struct sim *s, uint64_t at_us)
{
	while (timer_heap_next_us(&s->heap) <= at_us)
		sim_step(s);
	s->now_us = MAX(s->now_us, at_us);
}

void sim_run_for(struct sim *s, uint64_t us)
{
	sim_run_until(s, s->now_us + us);
}

bool sim_run_cond(struct sim *s, bool (*cond)(void *ctx), void *ctx, uint64_t at_us)
{
	while (!cond(ctx)) {
		if (timer_heap_next_us(&s->heap) > at_us)
			return cond(ctx);
		sim_step(s);
	}
	return true;
}

static void cut_end(struct env_conn *c)
{
	if (c->dead)
		return;
	segs_drop(c);
	buf_reset(&c->out);
	seg_add(c, SEG_RESET, NULL, 0, -ECONNRESET);
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

void sim_stop_jobs(struct sim *s, bool stop)
{
	s->jobs_stopped = stop;
}

static uint32_t list_len(const struct list *head)
{
	uint32_t n = 0;
	for (const struct list *it = head->next; it != head; it = it->next)
		n++;
	return n;
}

struct sim_counts sim_counts(const struct sim *s)
{
	return (struct sim_counts){
		.conns = list_len(&s->conns),
		.listeners = list_len(&s->listeners),
		.timers = s->heap.len - s->internal_timers,
		.jobs = list_len(&s->jobs),
	};
}
