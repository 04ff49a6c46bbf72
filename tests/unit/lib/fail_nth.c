#include "fail_nth.h"
#include "base/arena.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"

/* The linker makes these the originals in programs that wrap them; in all others they are not there. */
#define REAL(type, name, ...)                                                                                          \
	type __real_##name(__VA_ARGS__) __attribute__((weak));                                                         \
	type __wrap_##name(__VA_ARGS__)
REAL(void *, malloc, size_t);
REAL(void *, calloc, size_t, size_t);
REAL(void *, realloc, void *, size_t);
REAL(char *, strdup, const char *);
REAL(char *, strndup, const char *, size_t);
REAL(FILE *, fopen, const char *, const char *);
REAL(DIR *, opendir, const char *);
REAL(void *, arena_alloc, struct arena *, size_t);
REAL(char *, arena_strdup, struct arena *, const char *);
REAL(char *, arena_strndup, struct arena *, const char *, size_t);

static _Thread_local struct {
	uint64_t at, more, met;
	uint32_t depth;
	bool failed;
} state;

bool fail_nth_here(void)
{
	if (!state.depth || !state.at)
		return false;
	state.met++;
	if (state.met < state.at || state.met > state.at + state.more)
		return false;
	state.failed = true;
	errno = ENOMEM;
	return true;
}

void fail_nth_arm(uint64_t n, uint64_t more)
{
	state.at = n;
	state.more = more;
	state.met = 0;
	state.failed = false;
}

bool fail_nth_disarm(void)
{
	state.at = 0;
	return state.failed;
}

uint64_t fail_nth_met(void)
{
	return state.met;
}

void fail_nth_begin(void)
{
	state.depth++;
}

void fail_nth_end(void)
{
	ASSERT(state.depth);
	state.depth--;
}

uint32_t fail_nth_suspend(void)
{
	uint32_t depth = state.depth;
	state.depth = 0;
	return depth;
}

void fail_nth_resume(uint32_t depth)
{
	state.depth = depth;
}

void fail_nth_owner(bool begins)
{
	if (begins)
		fail_nth_begin();
	else
		fail_nth_end();
}

void *__wrap_malloc(size_t size)
{
	return fail_nth_here() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fail_nth_here() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fail_nth_here() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
	return fail_nth_here() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t len)
{
	return fail_nth_here() ? NULL : __real_strndup(s, len);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return fail_nth_here() ? NULL : __real_fopen(path, mode);
}

DIR *__wrap_opendir(const char *path)
{
	return fail_nth_here() ? NULL : __real_opendir(path);
}

void *__wrap_arena_alloc(struct arena *a, size_t size)
{
	return fail_nth_here() ? NULL : __real_arena_alloc(a, size);
}

char *__wrap_arena_strdup(struct arena *a, const char *s)
{
	return fail_nth_here() ? NULL : __real_arena_strdup(a, s);
}

char *__wrap_arena_strndup(struct arena *a, const char *s, size_t len)
{
	return fail_nth_here() ? NULL : __real_arena_strndup(a, s, len);
}

/* Those of this file that others get a pointer to. */
static void *lib_malloc(size_t size)
{
	return fail_nth_here() ? NULL : (malloc)(size);
}

static void *lib_realloc(void *p, size_t size)
{
	return fail_nth_here() ? NULL : (realloc)(p, size);
}

void fail_nth_init(void)
{
	event_set_mem_functions(lib_malloc, lib_realloc, free);
}

uint32_t fail_nth_each(int (*run)(void *ctx, struct err *err), void *ctx)
{
	uint32_t refused = 0;

	for (uint64_t n = 1;; n++) {
		struct err err = {0};
		fail_nth_arm(n, 0);
		fail_nth_begin();
		int r = run(ctx, &err);
		fail_nth_end();
		if (!fail_nth_disarm()) {
			if (r < 0)
				fail_msg("without a failure it ends with %d: %s", r, err.msg);
			return refused;
		}
		if (r < 0 && (r != -ENOMEM || !*err.msg))
			fail_msg("point %llu: it ends with %d: %s", (unsigned long long)n, r, err.msg);
		refused += r < 0;
	}
}

/* env */

static struct fail_env {
	struct env env;
	struct env *inner;
} the_env;

/* Inside, nothing fails. */
#define INSIDE(call)                                                                                                   \
	uint32_t depth_ = fail_nth_suspend();                                                                          \
	call;                                                                                                          \
	fail_nth_resume(depth_)

static uint64_t op_now_us(struct env *e)
{
	(void)e;
	return env_now_us(the_env.inner);
}

static uint64_t op_wall_us(struct env *e)
{
	(void)e;
	return env_wall_us(the_env.inner);
}

static uint64_t op_rand(struct env *e)
{
	(void)e;
	return env_rand(the_env.inner);
}

static void op_timer_set(struct env *e, struct env_timer *t, uint64_t at_us)
{
	(void)e;
	INSIDE(env_timer_set(the_env.inner, t, at_us));
}

static void op_timer_cancel(struct env *e, struct env_timer *t)
{
	(void)e;
	env_timer_cancel(the_env.inner, t);
}

static int op_listen(struct env *e, const char *addr, const struct env_listener_ops *ops, void *ctx,
	struct env_listener **ret, struct err *err)
{
	(void)e;
	if (fail_nth_here())
		return err_set(err, -ENOMEM, "could not listen on \"%s\": out of memory", addr);
	INSIDE(int r = env_listen(the_env.inner, addr, ops, ctx, ret, err));
	return r;
}

static const char *op_listener_addr(struct env *e, const struct env_listener *l)
{
	(void)e;
	return env_listener_addr(the_env.inner, l);
}

static void op_listener_pause(struct env *e, struct env_listener *l, bool paused)
{
	(void)e;
	INSIDE(env_listener_pause(the_env.inner, l, paused));
}

static void op_listener_close(struct env *e, struct env_listener *l)
{
	(void)e;
	INSIDE(env_listener_close(the_env.inner, l));
}

static int op_connect(struct env *e, const char *addr, const struct env_conn_ops *ops, void *ctx, struct env_conn **ret,
	struct err *err)
{
	(void)e;
	if (fail_nth_here())
		return err_set(err, -ENOMEM, "could not connect to %s: out of memory", addr);
	INSIDE(int r = env_connect(the_env.inner, addr, ops, ctx, ret, err));
	return r;
}

static void op_conn_attach(struct env *e, struct env_conn *c, const struct env_conn_ops *ops, void *ctx)
{
	(void)e;
	env_conn_attach(the_env.inner, c, ops, ctx);
}

static int op_conn_write(struct env *e, struct env_conn *c, const void *data, size_t len)
{
	(void)e;
	if (fail_nth_here())
		return -ENOMEM;
	INSIDE(int r = env_conn_write(the_env.inner, c, data, len));
	return r;
}

static size_t op_conn_queued(struct env *e, const struct env_conn *c)
{
	(void)e;
	return env_conn_queued(the_env.inner, c);
}

static const char *op_conn_peer(struct env *e, const struct env_conn *c)
{
	(void)e;
	return env_conn_peer(the_env.inner, c);
}

static void op_conn_pause(struct env *e, struct env_conn *c, bool paused)
{
	(void)e;
	INSIDE(env_conn_pause(the_env.inner, c, paused));
}

static void op_conn_finish(struct env *e, struct env_conn *c)
{
	(void)e;
	INSIDE(env_conn_finish(the_env.inner, c));
}

static void op_conn_close(struct env *e, struct env_conn *c)
{
	(void)e;
	INSIDE(env_conn_close(the_env.inner, c));
}

static int op_offload(struct env *e, enum env_pool pool, struct env_job *job)
{
	(void)e;
	INSIDE(int r = env_offload(the_env.inner, pool, job));
	return r;
}

static void op_job_cancel(struct env *e, struct env_job *job)
{
	(void)e;
	INSIDE(env_job_cancel(the_env.inner, job));
}

static const struct env_ops ops = {
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
	.job_cancel = op_job_cancel,
};

struct env *fail_env(struct env *inner)
{
	the_env = (struct fail_env){.env.ops = &ops, .inner = inner};
	return &the_env.env;
}
