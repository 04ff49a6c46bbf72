#include "net/loop_priv.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* What another thread wants called here. */
struct post {
	struct post *next;
	void (*fn)(void *arg);
	void *arg;
};

/* An fd or a signal that somebody watches. */
struct watch {
	struct event ev;
	struct list link; /* in loop->watches */
	int fd; /* or the signal's number */
	bool is_signal;
	void (*fn)(void *ctx, int fd);
	void *ctx;
};

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t loop_now_us(struct loop *l)
{
	/* Outside a turn (a model is loaded before the loop runs) time does move. */
	if (!l->now_us || !l->in_turn)
		l->now_us = clock_us(CLOCK_MONOTONIC);
	return l->now_us;
}

/* Any thread, also inside a signal handler. */
void loop_wake(struct loop *l)
{
	uint64_t one = 1;
	int saved = errno;
	/* It fails only when the counter is full, and then the loop is awake. */
	ssize_t n = write(l->wake_fd, &one, sizeof one);
	(void)n;
	errno = saved;
}

static void run_posts(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	struct post *p = l->posts;
	l->posts = NULL;
	l->posts_tail = &l->posts;
	pthread_mutex_unlock(&l->lock);
	while (p) {
		struct post *next = p->next;
		p->fn(p->arg);
		free(p);
		p = next;
	}
}

static void run_done_jobs(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	struct env_job *job = l->done.head;
	job_queue_init(&l->done);
	pthread_mutex_unlock(&l->lock);
	while (job) {
		struct env_job *next = job->next;
		job->next = NULL;
		job->done(job);
		job = next;
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof count);

	(void)n;
	(void)what;
	run_done_jobs(arg);
	run_posts(arg);
}

static void on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof count);

	(void)n;
	(void)what;
	l->armed_us = UINT64_MAX;
}

/* Those that are due; one that sets itself again for now has to wait a turn, so that fds are not starved. */
static void run_timers(struct loop *l)
{
	uint64_t now_us = l->timers.len ? loop_now_us(l) : 0;

	for (uint32_t n = l->timers.len; n; n--) {
		struct env_timer *t = timer_heap_pop(&l->timers, now_us);
		if (!t)
			return;
		t->fn(t->ctx);
	}
}

/* The clock's fd fires at the earliest deadline or before it; arming is a system call, so later deadlines leave it. */
static void arm_timer_fd(struct loop *l)
{
	uint64_t at_us = timer_heap_next_us(&l->timers);

	if (at_us >= l->armed_us)
		return;
	l->armed_us = at_us;
	struct itimerspec when = {
		.it_value = {.tv_sec = (time_t)(at_us / 1000000), .tv_nsec = (long)(at_us % 1000000) * 1000 + 1}};
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* A timer that was set for this turn or before it, as those are that put work off to the next: it needs no system call. */
static bool has_timer_due(const struct loop *l)
{
	return l->timers.len && timer_heap_next_us(&l->timers) <= l->now_us;
}

static bool has_work_left(const struct loop *l)
{
	return !list_empty(&l->dirty) || !list_empty(&l->ready) || !list_empty(&l->failed) || atomic_load(&l->stop);
}

static void turn(struct loop *l)
{
	bool waits = !has_work_left(l) && !has_timer_due(l);

	if (waits)
		arm_timer_fd(l);
	l->now_us = 0;
	l->in_turn = true;
	event_base_loop(l->base, waits ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
	conns_read_ready(l);
	run_timers(l);
	conns_tell_failed(l);
	conns_flush(l);
	conns_bury(l);
	listeners_bury(l);
	l->in_turn = false;
}

void loop_run(struct loop *l)
{
	do
		turn(l);
	while (!atomic_load(&l->stop));
	atomic_store(&l->stop, false);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	loop_wake(l);
}

int loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct post *p = malloc(sizeof *p);

	if (!p)
		return -ENOMEM;
	*p = (struct post){.fn = fn, .arg = arg};
	pthread_mutex_lock(&l->lock);
	bool is_first = l->posts == NULL;
	*l->posts_tail = p;
	l->posts_tail = &p->next;
	pthread_mutex_unlock(&l->lock);
	if (is_first)
		loop_wake(l);
	return 0;
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)what;
	w->fn(w->ctx, (int)fd);
}

static int watch_add(struct loop *l, int fd, bool is_signal, void (*fn)(void *ctx, int fd), void *ctx, struct err *err)
{
	struct watch *w = calloc(1, sizeof *w);

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->fd = fd;
	w->is_signal = is_signal;
	w->fn = fn;
	w->ctx = ctx;
	event_assign(&w->ev, l->base, fd, (short)((is_signal ? EV_SIGNAL : EV_READ) | EV_PERSIST), on_watch, w);
	if (event_add(&w->ev, NULL) < 0) {
		free(w);
		return err_set(
			err, -EINVAL, is_signal ? "could not watch signal %d" : "could not watch descriptor %d", fd);
	}
	list_add_tail(&l->watches, &w->link);
	return 0;
}

static void watch_free(struct watch *w)
{
	event_del(&w->ev);
	list_del(&w->link);
	free(w);
}

int loop_on_signal(struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx, struct err *err)
{
	return watch_add(l, signo, true, fn, ctx, err);
}

int loop_watch_fd(struct loop *l, int fd, void (*fn)(void *ctx, int fd), void *ctx, struct err *err)
{
	return watch_add(l, fd, false, fn, ctx, err);
}

void loop_unwatch_fd(struct loop *l, int fd)
{
	list_foreach_safe(it, &l->watches)
	{
		struct watch *w = list_entry(it, struct watch, link);
		if (!w->is_signal && w->fd == fd)
			watch_free(w);
	}
}

uint64_t loop_raise_fd_limit(void)
{
	struct rlimit r = {0};

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 0;
	rlim_t before = r.rlim_cur;
	r.rlim_cur = r.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_cur : before;
}

static uint64_t op_now_us(struct env *e)
{
	return loop_now_us(loop_of(e));
}

static uint64_t op_wall_us(struct env *e)
{
	(void)e;
	return clock_us(CLOCK_REALTIME);
}

static uint64_t op_rand(struct env *e)
{
	return rng_u64(&loop_of(e)->rng);
}

static void op_timer_set(struct env *e, struct env_timer *t, uint64_t at_us)
{
	/* 16 bytes a timer: memory that is gone here is gone for everything, and a deadline that is lost hangs somebody
	 * for ever. */
	ASSERT(timer_heap_set(&loop_of(e)->timers, t, at_us) == 0);
}

static void op_timer_cancel(struct env *e, struct env_timer *t)
{
	timer_heap_cancel(&loop_of(e)->timers, t);
}

static int op_offload(struct env *e, enum env_pool pool, struct env_job *job)
{
	ASSERT(pool < ENV_POOL_COUNT && job->work && job->done);
	job->pool = (uint8_t)pool;
	return pool_add(&loop_of(e)->pools[pool], job);
}

static void op_job_cancel(struct env *e, struct env_job *job)
{
	pool_job_cancel(&loop_of(e)->pools[job->pool], job);
}

static const struct env_ops loop_ops = {
	.now_us = op_now_us,
	.wall_us = op_wall_us,
	.rand = op_rand,
	.timer_set = op_timer_set,
	.timer_cancel = op_timer_cancel,
	.listen = listener_op_listen,
	.listener_addr = listener_op_addr,
	.listener_pause = listener_op_pause,
	.listener_close = listener_op_close,
	.connect = conn_op_connect,
	.conn_attach = conn_op_attach,
	.conn_write = conn_op_write,
	.conn_queued = conn_op_queued,
	.conn_peer = conn_op_peer,
	.conn_pause = conn_op_pause,
	.conn_finish = conn_op_finish,
	.conn_close = conn_op_close,
	.offload = op_offload,
	.job_cancel = op_job_cancel,
};

struct env *loop_env(struct loop *l)
{
	return &l->env;
}

static int fds_open(struct loop *l, struct err *err)
{
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	l->spare_fd = spare_open();
	if (l->wake_fd < 0 || l->timer_fd < 0 || l->spare_fd < 0)
		return err_set_errno(err, -errno, "could not open the event loop's descriptors");
	return 0;
}

static int base_open(struct loop *l, struct err *err)
{
	struct event_config *config = event_config_new();

	if (!config)
		return err_set(err, -ENOMEM, "out of memory");
	/* Streams rely on edges and on news of a closed peer, so it must be epoll; changes go to the kernel in batches.
	 * The base is used from one thread only. */
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	l->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!l->base)
		return err_set(err, -ENOSYS, "could not start the event loop: the system has no epoll");
	event_assign(&l->wake_ev, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	event_assign(&l->timer_ev, l->base, l->timer_fd, EV_READ | EV_PERSIST, on_timer_fd, l);
	if (event_add(&l->wake_ev, NULL) < 0 || event_add(&l->timer_ev, NULL) < 0)
		return err_set(err, -ENOMEM, "could not start the event loop: out of memory");
	return 0;
}

static int pools_open(struct loop *l, const struct loop_config *c, struct err *err)
{
	int r = 0;

	if (c->text_threads)
		r = pool_start(&l->pools[ENV_POOL_TEXT], l, c->text_threads, true, c->text_stack_bytes, "text", err);
	if (r == 0 && c->engine_threads)
		r = pool_start(&l->pools[ENV_POOL_ENGINE], l, 1, false, c->engine_stack_bytes, "engine", err);
	return r;
}

static struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof *l);
	uint64_t seed;

	if (!l)
		return NULL;
	l->env.ops = &loop_ops;
	l->wake_fd = l->timer_fd = l->spare_fd = -1;
	l->armed_us = UINT64_MAX;
	l->linger_timer = (struct env_timer){.fn = conns_linger_expire, .ctx = l};
	l->starved_timer = (struct env_timer){.fn = listeners_retry, .ctx = l};
	l->posts_tail = &l->posts;
	job_queue_init(&l->done);
	pthread_mutex_init(&l->lock, NULL);
	rng_secret(&seed, sizeof seed);
	rng_init(&l->rng, seed);
	struct list *lists[] = {&l->conns, &l->graves, &l->dirty, &l->ready, &l->lingering, &l->failed, &l->listeners,
		&l->dead_listeners, &l->watches};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_init(lists[i]);
	return l;
}

int loop_create(struct loop **ret, const struct loop_config *config, struct err *err)
{
	struct loop *l = loop_new();

	if (!l)
		return err_set(err, -ENOMEM, "could not start the event loop: out of memory");
	/* The last two mean something to other servers (open logs again, reload); whoever sends them to all must not end ours. */
	static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	l->read_buf = malloc(READ_BYTES);
	int r = l->read_buf ? 0 : err_set(err, -ENOMEM, "could not start the event loop: out of memory");
	if (r == 0)
		r = fds_open(l, err);
	if (r == 0)
		r = base_open(l, err);
	if (r == 0)
		r = pools_open(l, config, err);
	if (r < 0)
		loop_destroy(l);
	else
		*ret = l;
	return r;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void posts_free(struct loop *l)
{
	while (l->posts) {
		struct post *next = l->posts->next;
		free(l->posts);
		l->posts = next;
	}
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	while (!list_empty(&l->listeners))
		listener_op_close(&l->env, list_first(&l->listeners, struct env_listener, link));
	listeners_bury(l);
	conns_destroy(l);
	for (size_t i = 0; i < POOL_COUNT; i++)
		pool_stop(&l->pools[i]);
	connect_jobs_free(&l->done);
	while (!list_empty(&l->watches))
		watch_free(list_first(&l->watches, struct watch, link));
	timer_heap_done(&l->timers);
	for (uint32_t i = 0; i < l->spare_outs_count; i++)
		buf_done(&l->spare_outs[i]);
	if (l->base) {
		if (event_initialized(&l->wake_ev))
			event_del(&l->wake_ev);
		if (event_initialized(&l->timer_ev))
			event_del(&l->timer_ev);
		event_base_free(l->base);
	}
	close_fd(l->wake_fd);
	close_fd(l->timer_fd);
	close_fd(l->spare_fd);
	posts_free(l);
	pthread_mutex_destroy(&l->lock);
	free(l->read_buf);
	free(l);
}
