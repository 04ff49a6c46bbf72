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

static void on_job(void *ctx)
{
	struct sim_job *j = ctx;
	struct env_job *job = j->job;
	const struct sim *s = j->sim;

	list_del(&j->link);
	free(j);
	owner_begins(s);
	job->work(job);
	job->done(job);
	owner_ended(s);
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
	free(s->text_free_us);
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
