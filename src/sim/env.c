#include "sim/env_priv.h"

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

/* Jobs: each pool has threads, told apart by when they are free, and a queue as the real ones. A job really works at the
 * moment it is done. */

static void start_jobs(struct sim *s, enum env_pool pool, enum fair_lane lane);

static void end_job(struct sim_job *j, bool worked)
{
	struct env_job *job = j->job;
	const struct sim *s = j->sim;

	list_del(&j->link);
	disarm(j->sim, &j->timer);
	free(j);
	owner_begins(s);
	if (worked)
		job->work(job);
	job->done(job);
	owner_ended(s);
}

static void on_job(void *ctx)
{
	struct sim_job *j = ctx;
	struct sim *s = j->sim;
	enum env_pool pool = j->job->pool;

	if (!j->thread) { /* cancelled before it began */
		end_job(j, false);
		return;
	}
	struct fair_queue *q = &s->pools[pool].queue;
	j->job->worked = true;
	j->job->took_us = j->took_us;
	const struct fair_cost cost = fair_queue_cost(q, j->job);
	*j->thread = false;
	end_job(j, true);
	fair_queue_ended(q, &cost);
	start_jobs(s, pool, cost.lane);
}

static struct sim_job *sim_job_of(struct sim *s, const struct env_job *job)
{
	list_foreach(it, &s->jobs)
	{
		struct sim_job *j = list_entry(it, struct sim_job, link);
		if (j->job == job)
			return j;
	}
	ASSERT(!"a job that is not in the pool");
	return NULL;
}

static bool *free_thread(struct sim_pool *p, enum fair_lane lane)
{
	for (uint32_t i = 0; i < p->threads; i++)
		if (!p->busy[lane][i])
			return &p->busy[lane][i];
	return NULL;
}

static void start_jobs(struct sim *s, enum env_pool pool, enum fair_lane lane)
{
	struct sim_pool *p = &s->pools[pool];
	bool *thread;
	struct env_job *job;

	while ((thread = free_thread(p, lane)) && (job = fair_queue_take(&p->queue, lane))) {
		struct sim_job *j = sim_job_of(s, job);
		*thread = true;
		job->waits = false;
		j->thread = thread;
		atomic_store(&job->begun_us, s->now_us);
		arm(s, &j->timer, s->now_us + j->took_us);
	}
}

static int op_offload(struct env *e, enum env_pool pool, struct env_job *job)
{
	struct sim *s = sim_of(e);

	if (s->jobs_stopped || !s->pools[pool].threads)
		return -EAGAIN;
	struct sim_job *j = must_alloc(sizeof *j);
	j->sim = s;
	j->job = job;
	j->took_us = between(s, s->config.job_us_min, s->config.job_us_max) + job->cost_us;
	j->timer = (struct env_timer){.fn = on_job, .ctx = j};
	list_add_tail(&s->jobs, &j->link);
	job->pool = (uint8_t)pool;
	job->waits = true;
	fair_queue_add(&s->pools[pool].queue, job);
	start_jobs(s, pool, fair_queue_lane(job));
	return 0;
}

/* One that has begun looks at the flag now and then. */
static void op_job_cancel(struct env *e, struct env_job *job)
{
	struct sim *s = sim_of(e);
	struct sim_job *j = sim_job_of(s, job);
	uint64_t soon_us = s->now_us + between(s, s->config.job_us_min, s->config.job_us_max);

	atomic_store(&job->cancelled, true);
	if (!job->waits) {
		if (j->timer.at_us > soon_us) {
			j->took_us -= j->timer.at_us - soon_us;
			arm(s, &j->timer, soon_us);
		}
		return;
	}
	job->waits = false;
	fair_queue_remove(&s->pools[job->pool].queue, job);
	arm(s, &j->timer, s->now_us);
}

static void pool_init(struct sim_pool *p, uint32_t threads)
{
	fair_queue_init(&p->queue);
	p->threads = threads;
	for (uint32_t i = 0; i < FAIR_LANES; i++)
		p->busy[i] = must_alloc(sizeof *p->busy[i] * (threads + 1));
}

static const struct env_ops sim_ops = {
	.now_us = op_now_us,
	.wall_us = op_wall_us,
	.rand = op_rand,
	.timer_set = op_timer_set,
	.timer_cancel = op_timer_cancel,
	.listen = sim_listen,
	.listener_addr = sim_listener_addr,
	.listener_pause = sim_listener_pause,
	.listener_close = sim_listener_close,
	.connect = sim_connect,
	.conn_attach = sim_conn_attach,
	.conn_write = sim_conn_write,
	.conn_queued = sim_conn_queued,
	.conn_peer = sim_conn_peer,
	.conn_pause = sim_conn_pause,
	.conn_finish = sim_conn_finish,
	.conn_close = sim_conn_close,
	.offload = op_offload,
	.job_cancel = op_job_cancel,
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
	pool_init(&s->pools[ENV_POOL_TEXT], config->text_threads);
	pool_init(&s->pools[ENV_POOL_ENGINE], 1);
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
	list_foreach_safe(c, &s->conns) sim_conn_free(list_entry(c, struct env_conn, link));
	list_foreach_safe(l, &s->listeners) sim_listener_close(&s->env, list_entry(l, struct env_listener, link));
	list_foreach_safe(d, &s->dials) sim_dial_free(list_entry(d, struct dial, link));
	list_foreach_safe(j, &s->jobs)
	{
		struct sim_job *job = list_entry(j, struct sim_job, link);
		disarm(s, &job->timer);
		free(job);
	}
	list_foreach_safe(r, &s->refused) free(list_entry(r, struct refused, link));
	timer_heap_done(&s->heap);
	for (uint32_t i = 0; i < ENV_POOL_COUNT; i++)
		for (uint32_t k = 0; k < FAIR_LANES; k++)
			free(s->pools[i].busy[k]);
	free(s);
}

static bool is_internal(const struct env_timer *t)
{
	return t->fn == sim_on_pump || t->fn == sim_on_deliver || t->fn == sim_on_dial || t->fn == on_job;
}

bool sim_step(struct sim *s)
{
	uint64_t at_us = timer_heap_next_us(&s->heap);

	if (at_us == UINT64_MAX)
		return false;
	s->now_us = MAX(s->now_us, at_us);
	struct env_timer *t = timer_heap_pop(&s->heap, s->now_us);
	if (is_internal(t)) {
		s->internal_timers--;
		t->fn(t->ctx);
		return true;
	}
	owner_begins(s);
	t->fn(t->ctx);
	owner_ended(s);
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

void sim_jump(struct sim *s, uint64_t us)
{
	s->now_us += us;
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
