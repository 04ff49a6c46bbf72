/* env.h - the seam: everything that is outside comes through struct env. Clock, timers, randomness, byte streams, and
 * work handed to a pool and back. net/ gives the real one (libevent), sim/ a fake one that runs from a seed in one
 * thread. Request life cycle, queue, scheduler and policies never call the clock, a socket or a thread themselves.
 *
 * Thread: an env belongs to one loop; every call below and every callback happens on it (except env_job.work).
 * Callbacks come from the loop, never from inside a call into env: env_conn_write does not call on_drain, env_connect
 * does not call on_open. Time does not move within one turn. */
#ifndef STATOR_BASE_ENV_H
#define STATOR_BASE_ENV_H

#include "base/err.h"
#include "base/list.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct env;
struct env_conn; /* a byte stream; owned by env, valid until on_closed returns or env_conn_close */
struct env_listener;

/* A timer lives in its owner's struct. Set again moves it. Zero it before first use. */
struct env_timer {
	void (*fn)(void *ctx);
	void *ctx;
	uint64_t at_us;
	uint32_t heap_pos; /* 0: not set (private) */
};

/* What a stream tells its owner. Any may be NULL except on_closed. */
struct env_conn_ops {
	/* A stream from env_connect is open. (Accepted ones are open from the start.) */
	void (*on_open)(void *ctx);
	/* Bytes arrived. Borrows. All of them are taken; env_conn_pause stops more from coming. */
	void (*on_data)(void *ctx, const uint8_t *data, size_t len);
	/* Everything written so far has left for the kernel. */
	void (*on_drain)(void *ctx);
	/* The peer will send no more, but may still read (half-close). NULL: treated as closed. */
	void (*on_eof)(void *ctx);
	/* The stream is gone: 0 after a clean end, else a negative errno (-ECONNREFUSED for a connect that failed). Not
	 * called after env_conn_close. The conn must not be used any more. */
	void (*on_closed)(void *ctx, int code);
};

struct env_listener_ops {
	/* A peer connected. Return by env_conn_attach, or env_conn_close it. */
	void (*on_accept)(void *ctx, struct env_conn *conn);
};

/* Which threads do a job. Jobs of one pool start in the order of base/fair_queue.h: by what they cost and whose they are,
 * and those that say neither in the order they came. A text pool has threads for short jobs and as many for long ones, these of a
 * lower priority: short ones never wait for long ones to end. ENV_POOL_ENGINE has exactly one thread, for short jobs. */
enum env_pool { ENV_POOL_TEXT, ENV_POOL_ENGINE, ENV_POOL_COUNT };

/* Work off the loop. Lives in its owner's struct until done is called. work must not touch env or the loop's objects.
 */
struct env_job {
	void (*work)(struct env_job *job); /* on a pool thread */
	void (*done)(struct env_job *job); /* back on the loop */
	/* For the queue: may it take long, about how much of a core work takes, and whose it is (any number). */
	bool is_long;
	uint64_t cost_us, owner;
	/* Set by env_job_cancel, for work that takes long to look at. Any thread. */
	atomic_bool cancelled;
	/* Set for done: was work called (it is not when the job was cancelled before), and what it took of a core: the time
	 * on the clock is also that of whoever shares the core. */
	bool worked;
	uint64_t took_us;
	/* When a thread took it; 0: not yet. Any thread, relaxed. */
	_Atomic uint64_t begun_us;
	/* Private. */
	struct env_job *next;
	struct list link;
	uint32_t parts;
	uint8_t pool;
	bool waits;
};

struct env_ops {
	uint64_t (*now_us)(struct env *);
	uint64_t (*wall_us)(struct env *);
	uint64_t (*rand)(struct env *);
	void (*timer_set)(struct env *, struct env_timer *, uint64_t at_us);
	void (*timer_cancel)(struct env *, struct env_timer *);
	int (*listen)(struct env *, const char *addr, const struct env_listener_ops *, void *ctx,
		struct env_listener **ret, struct err *);
	const char *(*listener_addr)(struct env *, const struct env_listener *);
	void (*listener_pause)(struct env *, struct env_listener *, bool paused);
	void (*listener_close)(struct env *, struct env_listener *);
	int (*connect)(struct env *, const char *addr, const struct env_conn_ops *, void *ctx, struct env_conn **ret,
		struct err *);
	void (*conn_attach)(struct env *, struct env_conn *, const struct env_conn_ops *, void *ctx);
	int (*conn_write)(struct env *, struct env_conn *, const void *data, size_t len);
	size_t (*conn_queued)(struct env *, const struct env_conn *);
	const char *(*conn_peer)(struct env *, const struct env_conn *);
	void (*conn_pause)(struct env *, struct env_conn *, bool paused);
	void (*conn_finish)(struct env *, struct env_conn *);
	void (*conn_close)(struct env *, struct env_conn *);
	int (*offload)(struct env *, enum env_pool, struct env_job *);
	void (*job_cancel)(struct env *, struct env_job *);
};

struct env {
	const struct env_ops *ops;
};

/* Microseconds of a clock that never goes back. */
static inline uint64_t env_now_us(struct env *e)
{
	return e->ops->now_us(e);
}
/* Microseconds since 1970, for people and file formats only. */
static inline uint64_t env_wall_us(struct env *e)
{
	return e->ops->wall_us(e);
}
/* Not for secrets (rng_secret). */
static inline uint64_t env_rand(struct env *e)
{
	return e->ops->rand(e);
}
/* Call t->fn(t->ctx) in the first turn at or after at_us. */
static inline void env_timer_set(struct env *e, struct env_timer *t, uint64_t at_us)
{
	e->ops->timer_set(e, t, at_us);
}
static inline void env_timer_set_in(struct env *e, struct env_timer *t, uint64_t delay_us)
{
	e->ops->timer_set(e, t, e->ops->now_us(e) + delay_us);
}
/* Harmless when not set. After it fn is not called. */
static inline void env_timer_cancel(struct env *e, struct env_timer *t)
{
	e->ops->timer_cancel(e, t);
}
static inline bool env_timer_is_set(const struct env_timer *t)
{
	return t->heap_pos != 0;
}
/* Addresses: "unix:/path" (created with mode 0600; a dead socket file there is replaced), "HOST:PORT"
 * ("127.0.0.1:8000",
 * "[::1]:8000", port 0: any), "shared:HOST:PORT" (listen only: SO_REUSEPORT), "fd:N" (listen only: an inherited listening socket). *ret lives until listener_close. */
static inline int env_listen(struct env *e, const char *addr, const struct env_listener_ops *ops, void *ctx,
	struct env_listener **ret, struct err *err)
{
	return e->ops->listen(e, addr, ops, ctx, ret, err);
}
/* The address really bound ("127.0.0.1:41873"). Borrowed until close. */
static inline const char *env_listener_addr(struct env *e, const struct env_listener *l)
{
	return e->ops->listener_addr(e, l);
}
static inline void env_listener_pause(struct env *e, struct env_listener *l, bool paused)
{
	e->ops->listener_pause(e, l, paused);
}
static inline void env_listener_close(struct env *e, struct env_listener *l)
{
	e->ops->listener_close(e, l);
}
/* Begin to connect. 0: on_open or on_closed follows. Negative: bad address or no resources, nothing follows. */
static inline int env_connect(struct env *e, const char *addr, const struct env_conn_ops *ops, void *ctx,
	struct env_conn **ret, struct err *err)
{
	return e->ops->connect(e, addr, ops, ctx, ret, err);
}
/* Name (or change) the owner of a stream. */
static inline void env_conn_attach(struct env *e, struct env_conn *c, const struct env_conn_ops *ops, void *ctx)
{
	e->ops->conn_attach(e, c, ops, ctx);
}
/* Copies data behind what is queued; what one turn wrote leaves in as few system calls as the kernel allows, at the end
 * of the turn. 0 or -ENOMEM. Writing to a stream whose peer is gone is harmless: on_closed follows. */
static inline int env_conn_write(struct env *e, struct env_conn *c, const void *data, size_t len)
{
	return e->ops->conn_write(e, c, data, len);
}
/* Bytes written that have not left for the kernel. */
static inline size_t env_conn_queued(struct env *e, const struct env_conn *c)
{
	return e->ops->conn_queued(e, c);
}
/* "127.0.0.1:5123" or "unix". Borrowed. */
static inline const char *env_conn_peer(struct env *e, const struct env_conn *c)
{
	return e->ops->conn_peer(e, c);
}
/* Stop (or resume) reading. While paused a peer that leaves is still noticed where the system can tell. */
static inline void env_conn_pause(struct env *e, struct env_conn *c, bool paused)
{
	e->ops->conn_pause(e, c, paused);
}
/* Send what is queued, then close; on_closed follows. */
static inline void env_conn_finish(struct env *e, struct env_conn *c)
{
	e->ops->conn_finish(e, c);
}
/* Close now, drop what is queued. No callback comes after this; c is gone. Allowed inside c's own callbacks. */
static inline void env_conn_close(struct env *e, struct env_conn *c)
{
	e->ops->conn_close(e, c);
}
/* Hand a job to a pool. 0 (done follows, always) or -EAGAIN when the env is stopping. */
static inline int env_offload(struct env *e, enum env_pool pool, struct env_job *job)
{
	return e->ops->offload(e, pool, job);
}
/* Nobody wants a job's result any more; only between env_offload and done. One that has not begun leaves its queue and is
 * not worked; one that has sees cancelled. done follows either way, once, in a later turn. */
static inline void env_job_cancel(struct env *e, struct env_job *job)
{
	e->ops->job_cancel(e, job);
}

/* The timer queue both envs share: a binary heap, earliest first, ties in the order set. */
struct timer_heap {
	struct env_timer **v; /* v[1..len] */
	uint64_t *order; /* beside v: sequence numbers that break ties */
	uint32_t len, cap;
	uint64_t next_order;
};
void timer_heap_done(struct timer_heap *h);
/* Insert or move. 0 or -ENOMEM. */
int timer_heap_set(struct timer_heap *h, struct env_timer *t, uint64_t at_us) MUST_USE;
void timer_heap_cancel(struct timer_heap *h, struct env_timer *t);
/* UINT64_MAX when empty. */
uint64_t timer_heap_next_us(const struct timer_heap *h);
/* Take out one timer that is due at now_us; NULL when none is. */
struct env_timer *timer_heap_pop(struct timer_heap *h, uint64_t now_us);

#endif
