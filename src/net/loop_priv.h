/* loop_priv.h - what loop.c, conn.c, listen.c and pool.c share. Not for other files.
 *
 * One turn of the loop:
 *
 *     wait for events (not at all when work is left over)
 *       callbacks of fds: reads, accepts, posts, jobs that are done
 *     reads left over by their budget, timers that are due, closes to be told
 *     flush: each stream written to in this turn gets one send; on_drain and the end of finished streams come from here
 *     free the streams that were closed
 *
 * So a stream is never freed inside its own callback, and nobody is called from inside a call of his own. */
#ifndef STATOR_NET_LOOP_PRIV_H
#define STATOR_NET_LOOP_PRIV_H

#include "base/buf.h"
#include "base/fair_queue.h"
#include "base/rng.h"
#include "net/addr.h"
#include "net/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
	READ_BYTES = 64 * 1024, /* one read */
	READS_A_TURN = 4, /* of one stream, so that a fast one does not starve the others */
	ACCEPTS_A_TURN = 64,
	LISTEN_BACKLOG = 1024,
	STARVED_RETRY_US = 100 * 1000, /* no fds left: try again */
	SOCKET_LOOK_US = 2 * 1000 * 1000, /* is the file of a Unix socket we listen on still there? */
	LINGER_US = 5 * 1000 * 1000, /* after our last byte: how long a peer may take to read it and close */
	RESOLVER_STACK_BYTES = 512 * 1024,
	POOL_RESOLVER = ENV_POOL_COUNT, /* our own: names to addresses */
	POOL_COUNT,
	UNSENT_BYTES_MAX = 64 * 1024, /* that the system takes of a TCP stream beyond what its peer has room for */
	UNREAD_BYTES_MAX = 256 * 1024, /* that it keeps of an accepted one while we do not read; its window */
	POOL_LONG_NICE = 10, /* of threads for long jobs: a tenth of what others get, where cores are short */
	POOL_EXACT_US = 500, /* by the clock: longer jobs are told by the thread's CPU time */
	SPARE_OUTS_MAX = 64, /* send buffers kept for the next stream that writes */
	SPARE_OUT_BYTES_MAX = 4096, /* larger ones are given back */
};

/* Jobs wait in their pool's queue; done ones wait in the loop's, which the loop empties when woken. */
struct job_queue {
	struct env_job *head, **tail;
};
struct pool {
	struct loop *loop;
	pthread_mutex_t lock;
	struct fair_queue queue;
	struct pool_lane {
		struct pool *pool;
		pthread_cond_t more;
		uint32_t idle; /* threads that wait for a job */
	} lanes[FAIR_LANES];
	pthread_t *threads;
	uint32_t count;
	bool stopping;
};

struct env_conn {
	struct event ev; /* edge-triggered, all kinds, added once: no system call to pause, resume or arm a write */
	struct loop *loop;
	struct list link; /* in loop->conns, or loop->graves when dead */
	struct list dirty; /* in loop->dirty: has something to flush; or in loop->failed or loop->lingering */
	struct list ready; /* in loop->ready: has something to read */
	const struct env_conn_ops *ops;
	void *ctx;
	struct buf out;
	size_t out_sent; /* of out: already with the kernel */
	uint64_t linger_until_us;
	struct resolve *resolve; /* a name being looked up */
	char *peer; /* made when asked for */
	struct net_addr addr; /* the peer's */
	int fd;
	int fail; /* what on_closed will be told; 0: nothing happened */
	bool connecting, paused, readable, hung_up, eof, blocked, undrained, finishing, lingering, broken, dead;
};

struct env_listener {
	struct event ev;
	struct loop *loop;
	struct list link; /* in loop->listeners */
	const struct env_listener_ops *ops;
	void *ctx;
	int fd;
	bool paused, starved, dead;
	ino_t inode; /* of a Unix socket's file: it is removed at close only when it is still ours */
	char *path; /* NULL: not a Unix socket of ours */
	struct env_timer path_timer; /* when to look whether the file is still there */
	char name[NET_ADDR_TEXT_BYTES];
};

struct loop {
	struct env env; /* first */
	struct event_base *base;
	struct event wake_ev, timer_ev;
	int wake_fd, timer_fd, spare_fd;
	struct buf spare_outs[SPARE_OUTS_MAX]; /* the last one given back is the first to be used: it is in the cache */
	uint32_t spare_outs_count;
	uint64_t now_us; /* 0: not yet looked at in this turn */
	bool in_turn;
	uint64_t armed_us; /* when timer_fd fires; UINT64_MAX: not at all */
	struct timer_heap timers;
	struct rng rng;
	struct list conns, graves, dirty, ready, lingering, failed, listeners, dead_listeners, watches;
	struct env_timer linger_timer, starved_timer;
	struct pool pools[POOL_COUNT];
	uint8_t *read_buf;
	atomic_bool stop;
	pthread_mutex_t lock; /* of what other threads hand over: posts and done */
	struct post *posts, **posts_tail;
	struct job_queue done;
};

static inline struct loop *loop_of(struct env *e)
{
	return CONTAINER_OF(e, struct loop, env);
}

/* loop.c */
uint64_t loop_now_us(struct loop *l);
void loop_wake(struct loop *l);

/* conn.c: the stream part of env_ops, and the steps of a turn. */
int conn_op_connect(struct env *e, const char *addr, const struct env_conn_ops *ops, void *ctx, struct env_conn **ret,
	struct err *err);
void conn_op_attach(struct env *e, struct env_conn *c, const struct env_conn_ops *ops, void *ctx);
int conn_op_write(struct env *e, struct env_conn *c, const void *data, size_t len);
size_t conn_op_queued(struct env *e, const struct env_conn *c);
const char *conn_op_peer(struct env *e, const struct env_conn *c);
void conn_op_pause(struct env *e, struct env_conn *c, bool paused);
void conn_op_finish(struct env *e, struct env_conn *c);
void conn_op_close(struct env *e, struct env_conn *c);
/* Takes fd, also when it fails. NULL: no memory. */
struct env_conn *conn_accepted(struct loop *l, int fd, const struct net_addr *peer);
void conns_read_ready(struct loop *l);
void conns_tell_failed(struct loop *l);
void conns_flush(struct loop *l);
void conns_bury(struct loop *l);
void conns_linger_expire(void *ctx);
void conns_destroy(struct loop *l);

/* connect.c: from an address to a stream that is open. */
/* A stream socket that does not block, with what every socket of ours has set. Negative: err says why. */
int socket_open(int family, struct err *err);
/* TCP_NODELAY, keepalive, UNSENT_BYTES_MAX; what a listening socket accepts inherits all. Harmless on other sockets. */
void tcp_set_up(int fd);
/* UNREAD_BYTES_MAX too, for a listening socket: what it accepts inherits it. */
void tcp_set_up_listener(int fd);
/* Begin; 0 or negative with err set. */
int connect_begin(struct env_conn *c, const char *addr, struct err *err);
/* The socket became writable: 0 when it is connected, else the reason. */
int connect_result(const struct env_conn *c);
/* The stream is closed while a name is looked up: the look-up frees itself when it ends. */
void connect_forget(struct env_conn *c);
/* Free the look-ups of a loop that ends; streams have forgotten them. */
void connect_jobs_free(struct job_queue *q);
/* For connect.c, in conn.c: watch the socket; tell the owner in this turn's end that the stream failed. */
int conn_watch(struct env_conn *c);
void conn_fail_later(struct env_conn *c, int code);

/* listen.c */
int listener_op_listen(struct env *e, const char *addr, const struct env_listener_ops *ops, void *ctx,
	struct env_listener **ret, struct err *err);
const char *listener_op_addr(struct env *e, const struct env_listener *l);
void listener_op_pause(struct env *e, struct env_listener *l, bool paused);
void listener_op_close(struct env *e, struct env_listener *l);
/* The fd kept back for the moment when there is no other. -1 with errno. */
int spare_open(void);
/* An fd became free: listeners that ran out may go on. */
void listeners_fd_freed(struct loop *l);
void listeners_retry(void *ctx);
void listeners_bury(struct loop *l);

/* pool.c */
/* count threads for short jobs, and with_long as many for long ones, which are nicer. */
int pool_start(struct pool *p, struct loop *l, uint32_t count, bool with_long, size_t stack_bytes, const char *name,
	struct err *err);
/* -EAGAIN: it has no threads or is stopping. */
int pool_add(struct pool *p, struct env_job *job);
/* As env_job_cancel. */
void pool_job_cancel(struct pool *p, struct env_job *job);
/* Waits for jobs that have begun; they and those that have not begun end in loop->done. */
void pool_stop(struct pool *p);
void job_queue_init(struct job_queue *q);
void job_queue_add(struct job_queue *q, struct env_job *job);
struct env_job *job_queue_take(struct job_queue *q);

#endif
