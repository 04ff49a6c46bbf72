/* loop.h - the real struct env: libevent's loop, Unix and TCP streams, worker pools, signals.
 *
 * Thread: create, run and destroy on one thread; loop_stop and loop_post from any. TCP_NODELAY on every TCP stream,
 * CLOEXEC on every fd. Running out of fds pauses listeners until one is free and never spins. */
#ifndef STATOR_NET_LOOP_H
#define STATOR_NET_LOOP_H

#include "base/env.h"

struct loop;
struct loop_config {
	uint32_t
		text_threads; /* of ENV_POOL_TEXT, for short jobs and as many for long ones; 0: no pool, offload refuses */
	uint32_t engine_threads; /* 0 or 1 */
	size_t text_stack_bytes, engine_stack_bytes; /* 0: the system's default */
};

int loop_create(struct loop **ret, const struct loop_config *config, struct err *err);
/* The env this loop is. Valid until destroy. */
struct env *loop_env(struct loop *l);
/* Run until loop_stop. */
void loop_run(struct loop *l);
/* Make loop_run return after the current turn. Any thread, also a signal handler. */
void loop_stop(struct loop *l);
/* Call fn(arg) on the loop, in order. Any thread. */
int loop_post(struct loop *l, void (*fn)(void *arg), void *arg) MUST_USE;
/* Call fn(ctx, signo) on the loop when the process gets signo. SIGPIPE, SIGUSR1 and SIGUSR2 are
 * ignored by loop_create. */
int loop_on_signal(struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx, struct err *err);
/* Call fn(ctx, fd) whenever fd is readable, until loop_unwatch_fd. For pipes and inotify. */
int loop_watch_fd(struct loop *l, int fd, void (*fn)(void *ctx, int fd), void *ctx, struct err *err);
void loop_unwatch_fd(struct loop *l, int fd);
/* Raise RLIMIT_NOFILE to its hard limit. Returns the limit in force. */
uint64_t loop_raise_fd_limit(void);
/* Waits for jobs in the pools, closes everything (no callbacks), frees. */
void loop_destroy(struct loop *l);

#endif
