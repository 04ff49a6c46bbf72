/* env_priv.h - what the files of the fake env share. */
#ifndef STATOR_SIM_ENV_PRIV_H
#define STATOR_SIM_ENV_PRIV_H

#include "base/buf.h"
#include "base/fair_queue.h"
#include "base/rng.h"
#include "sim/env.h"

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
	uint64_t took_us; /* what it will have taken */
	bool *thread; /* which one has it; NULL: it waits, or was cancelled */
	struct env_timer timer;
};

struct sim_pool {
	struct fair_queue queue;
	bool *busy[FAIR_LANES]; /* each thread */
	uint32_t threads; /* of each lane */
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
	struct sim_pool pools[ENV_POOL_COUNT];
	uint32_t next_port;
	bool jobs_stopped;
};
static inline struct sim *sim_of(struct env *e)
{
	return CONTAINER_OF(e, struct sim, env);
}

static inline void must(int r)
{
	/* A simulation without memory has nothing to say; the code under test has its own failures to be tried. */
	ASSERT(r == 0);
}

static inline void *must_alloc(size_t size)
{
	void *p = calloc(1, size);
	ASSERT(p);
	return p;
}

static inline uint64_t between(struct sim *s, uint32_t min, uint32_t max)
{
	return max > min ? min + rng_below(&s->rng, (uint64_t)max - min + 1) : min;
}

static inline uint64_t delay_us(struct sim *s)
{
	return between(s, s->config.delay_us_min, s->config.delay_us_max);
}

/* Timers of our own are counted apart, so that sim_counts can tell those of the owners. */
static inline void arm(struct sim *s, struct env_timer *t, uint64_t at_us)
{
	s->internal_timers += !env_timer_is_set(t);
	must(timer_heap_set(&s->heap, t, at_us));
}

static inline void disarm(struct sim *s, struct env_timer *t)
{
	s->internal_timers -= env_timer_is_set(t);
	timer_heap_cancel(&s->heap, t);
}

/* Around each call of an owner. */
static inline void owner_begins(const struct sim *s)
{
	if (s->config.owner)
		s->config.owner(true);
}

static inline void owner_ended(const struct sim *s)
{
	if (s->config.owner)
		s->config.owner(false);
}

/* stream.c */
void sim_on_pump(void *ctx);
void sim_on_deliver(void *ctx);
struct env_conn *sim_conn_new(struct sim *s, const char *addr);
void sim_conn_free(struct env_conn *c);
/* Something travels to an end: it arrives in its order, after a delay. */
void sim_seg_add(struct env_conn *to, enum seg_kind kind, const void *data, uint32_t len, int code);
int sim_conn_write(struct env *e, struct env_conn *c, const void *data, size_t len);
size_t sim_conn_queued(struct env *e, const struct env_conn *c);
const char *sim_conn_peer(struct env *e, const struct env_conn *c);
void sim_conn_pause(struct env *e, struct env_conn *c, bool paused);
void sim_conn_finish(struct env *e, struct env_conn *c);
void sim_conn_close(struct env *e, struct env_conn *c);
void sim_conn_attach(struct env *e, struct env_conn *c, const struct env_conn_ops *ops, void *ctx);

/* listen.c */
void sim_on_dial(void *ctx);
void sim_dial_free(struct dial *d);
int sim_listen(struct env *e, const char *addr, const struct env_listener_ops *ops, void *ctx,
	struct env_listener **ret, struct err *err);
const char *sim_listener_addr(struct env *e, const struct env_listener *l);
void sim_listener_pause(struct env *e, struct env_listener *l, bool paused);
void sim_listener_close(struct env *e, struct env_listener *l);
int sim_connect(struct env *e, const char *addr, const struct env_conn_ops *ops, void *ctx, struct env_conn **ret,
	struct err *err);

#endif
