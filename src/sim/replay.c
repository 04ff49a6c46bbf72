#include "sim/replay_priv.h"

#include <stdio.h>
#include <time.h>

void replay_config_default(struct replay_config *ret)
{
	*ret = (struct replay_config){.workers = 1, .frontends = 1, .evict = &kv_evict_lru, .seed = 1};
	for (uint32_t i = 0; i < REPLAY_WORKERS_MAX; i++)
		ret->speeds[i] = 1;
}

/* requests */

void flight_end(struct flight *f)
{
	f->ended = true;
	f->replay->ended++;
}

static void on_ready(struct pool_ticket *t)
{
	struct flight *f = CONTAINER_OF(t, struct flight, ticket);
	site_take(pool_worker_user(t->worker), f);
}

static void on_shed(struct pool_ticket *t, enum pool_shed why)
{
	struct flight *f = CONTAINER_OF(t, struct flight, ticket);
	(void)why;
	f->replay->shed++;
	flight_end(f);
}

void flight_submit(struct flight *f)
{
	enum pool_state state = pool_submit(f->replay->pools[f->frontend], &f->ticket);

	if (state == POOL_READY)
		on_ready(&f->ticket);
	else if (state == POOL_FULL)
		on_shed(&f->ticket, POOL_SHED_BUSY);
}

static void flight_init(struct replay *r, uint32_t at)
{
	const struct trace_row *row = &r->config->trace->rows[at];
	struct flight *f = &r->flights[at];

	f->replay = r;
	f->row = at;
	f->frontend = at % r->config->frontends;
	f->arrived_us = env_now_us(r->env);
	f->ticket = (struct pool_ticket){
		.request = {.prompt_tokens = row->prompt_tokens,
			.max_tokens =
				0, /* clients seldom say how long an answer will be; Dynamo's replay is not told either */
			.choices = 1,
			.hashes = r->config->trace->hashes + row->hashes,
			.hashes_count = row->hashes_count,
			.priority = row->priority,
			.tenant = row->tenant,
			.session = row->session},
		.uses = r->uses + row->hashes,
		.on_ready = on_ready,
		.on_shed = on_shed,
	};
}

static void on_arrival(void *ctx)
{
	struct replay *r = ctx;
	const struct trace *t = r->config->trace;
	uint64_t now_us = env_now_us(r->env) - r->begin_us;

	while (r->next_row < t->len && t->rows[r->next_row].at_us <= now_us) {
		flight_init(r, r->next_row);
		flight_submit(&r->flights[r->next_row++]);
	}
	if (r->next_row < t->len)
		env_timer_set(r->env, &r->arrival, r->begin_us + t->rows[r->next_row].at_us);
}

/* samples */

static void on_sample(void *ctx)
{
	struct replay *r = ctx;
	struct replay_sample *row = &r->result->samples[(size_t)r->samples * r->config->workers];

	for (uint32_t i = 0; i < r->config->workers; i++) {
		struct site *s = &r->sites[i];
		row[i] = (struct replay_sample){.requests = (float)s->here,
			.waiting_tokens = (float)s->last.waiting_tokens,
			.cache_active = s->last.cells ? (float)s->last.cells_active / (float)s->last.cells : 0,
			.busy = (float)(s->busy_us - s->busy_sampled_us) / (float)r->sample_us};
		s->busy_sampled_us = s->busy_us;
	}
	if (++r->samples < REPLAY_SAMPLES)
		env_timer_set_in(r->env, &r->sample, r->sample_us);
}

/* the run */

static int pools_make(struct replay *r, struct err *err)
{
	const struct pool_config config = {.policy = r->config->policy,
		.knobs = r->config->knobs,
		.waiting_max = UINT32_MAX,
		.wait_us_max = UINT64_MAX / 4};

	for (uint32_t i = 0; i < r->config->frontends; i++)
		if (pool_create(&r->pools[i], r->env, &config, err) < 0)
			return err->code;
	return 0;
}

static void on_fault(void *ctx)
{
	struct site *s = ctx;
	struct err err;

	if (s->up)
		site_down(s);
	else
		ASSERT(site_up(s, &err) == 0);
}

static int sites_make(struct replay *r, struct err *err)
{
	for (uint32_t i = 0; i < r->config->workers; i++) {
		struct site *s = &r->sites[i];
		*s = (struct site){.replay = r,
			.number = i,
			.lie = 1,
			.start = {.fn = site_on_start, .ctx = s},
			.pass_end = {.fn = site_on_pass_end, .ctx = s},
			.fault = {.fn = on_fault, .ctx = s}};
		list_init(&s->flights);
		snprintf(s->name, sizeof s->name, "sim-%u", i);
		bool later = false;
		for (uint32_t k = 0; k < r->config->faults_count; k++) {
			const struct replay_fault *f = &r->config->faults[k];
			if (f->worker != i)
				continue;
			if (f->kind == REPLAY_LIE)
				s->lie = f->factor;
			else
				env_timer_set(r->env, &s->fault, r->begin_us + f->at_us);
			later |= f->kind == REPLAY_JOIN;
		}
		if (!later && site_up(s, err) < 0)
			return err->code;
	}
	return 0;
}

static int replay_init(struct replay *r, struct err *err)
{
	const struct replay_config *c = r->config;
	struct sim_config sim;

	sim_config_default(&sim, c->seed);
	if (sim_create(&r->sim, &sim, err) < 0)
		return err->code;
	r->env = sim_env(r->sim);
	r->begin_us = env_now_us(r->env);
	r->sample_us = MAX(c->trace->rows[c->trace->len - 1].at_us / REPLAY_SAMPLES, 1);
	rng_init(&r->faults_rng, c->seed ^ 0xfa017);
	list_init(&r->notices);
	r->arrival = (struct env_timer){.fn = on_arrival, .ctx = r};
	r->notice = (struct env_timer){.fn = notice_on_timer, .ctx = r};
	r->sample = (struct env_timer){.fn = on_sample, .ctx = r};
	r->sites = calloc(c->workers, sizeof *r->sites);
	r->flights = calloc(c->trace->len, sizeof *r->flights);
	r->uses = calloc((size_t)c->trace->hashes_len + 1, 1);
	r->result->v = calloc(c->trace->len, sizeof *r->result->v);
	r->result->samples = calloc((size_t)REPLAY_SAMPLES * c->workers, sizeof *r->result->samples);
	if (!r->sites || !r->flights || !r->uses || !r->result->v || !r->result->samples)
		return err_set(err, -ENOMEM, "out of memory");
	int code = pools_make(r, err);
	return code < 0 ? code : sites_make(r, err);
}

static void replay_done(struct replay *r)
{
	notice_drop(r, NULL);
	for (uint32_t i = 0; r->flights && i < r->config->trace->len; i++) {
		struct flight *f = &r->flights[i];
		if (!f->replay || f->ended)
			continue;
		pool_cancel(r->pools[f->frontend], &f->ticket);
		if (f->ticket.state == POOL_READY)
			pool_release(r->pools[f->frontend], &f->ticket);
	}
	for (uint32_t i = 0; r->sites && i < r->config->workers; i++) {
		sim_engine_destroy(r->sites[i].engine);
		map_done(&r->sites[i].told);
	}
	for (uint32_t i = 0; i < r->config->frontends; i++)
		pool_destroy(r->pools[i]);
	sim_destroy(r->sim);
	free(r->sites);
	free(r->flights);
	free(r->uses);
}

/* A run that does not come to its end (a policy that keeps a request for ever) is our bug: it stops after so long without
 * any request ending. */
enum { STUCK_US = 1u << 31 };

static void run(struct replay *r)
{
	const struct replay_config *c = r->config;
	uint32_t turns = 0, ended = 0;
	uint64_t moved_us = r->begin_us;

	env_timer_set(r->env, &r->arrival, r->begin_us);
	env_timer_set_in(r->env, &r->sample, r->sample_us);
	while (r->ended < c->trace->len && !r->stopped && sim_step(r->sim)) {
		if (r->ended != ended) {
			ended = r->ended;
			moved_us = env_now_us(r->env);
		}
		if ((++turns & 0x3fff) != 0)
			continue;
		if (c->progress && !c->progress(c->ctx, (double)r->ended / c->trace->len))
			r->stopped = true;
		ASSERT(r->next_row < c->trace->len || env_now_us(r->env) - moved_us < (uint64_t)STUCK_US * 16);
	}
}

static int collect(struct replay *r, struct err *err)
{
	const struct trace *t = r->config->trace;
	struct replay_result *ret = r->result;
	uint64_t prompt = 0, cached = 0, generated = 0;
	uint32_t ttft_count = 0, tpot_count = 0;
	double *ttft = malloc(sizeof(double) * t->len), *tpot = malloc(sizeof(double) * t->len),
	       *e2e = malloc(sizeof(double) * t->len);

	for (uint32_t i = 0; ttft && tpot && e2e && i < t->len; i++) {
		const struct flight *f = &r->flights[i];
		struct replay_request *q = &ret->v[i];
		*q = (struct replay_request){
			.ttft_ms = -1, .e2e_ms = -1, .frontend = f->frontend, .restarts = f->restarts};
		ret->restarts += f->restarts;
		if (f->first_us)
			q->ttft_ms = (double)(f->first_us - f->arrived_us) / 1e3;
		if (!f->done_us)
			continue;
		q->e2e_ms = (double)(f->done_us - f->arrived_us) / 1e3;
		q->cached_tokens = f->cached;
		q->worker = f->ticket.choice.worker;
		q->generated = t->rows[i].answer_tokens;
		prompt += t->rows[i].prompt_tokens;
		cached += f->cached;
		generated += q->generated;
		e2e[ttft_count] = q->e2e_ms;
		ttft[ttft_count++] = q->ttft_ms;
		if (q->generated > 1)
			tpot[tpot_count++] = (q->e2e_ms - q->ttft_ms) / (q->generated - 1);
	}
	bool ok = ttft && tpot && e2e;
	if (ok) {
		ret->completed = ttft_count;
		ret->ttft = stats_of(ttft, ttft_count);
		ret->tpot = stats_of(tpot, tpot_count);
		ret->e2e = stats_of(e2e, ttft_count);
		ret->reuse = prompt ? (double)cached / (double)prompt : 0;
		ret->simulated_s = (double)(env_now_us(r->env) - r->begin_us) / 1e6;
		ret->output_tokens_per_s = ret->simulated_s > 0 ? (double)generated / ret->simulated_s : 0;
	}
	free(ttft);
	free(tpot);
	free(e2e);
	return ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static double clock_s(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int replay_run(struct replay_result *ret, const struct replay_config *config, struct err *err)
{
	struct err own;
	struct replay r = {.config = config, .result = ret};
	double begin_s = clock_s();

	err = err ? err : &own;
	*ret = (struct replay_result){.requests = config->trace->len, .workers = config->workers};
	ASSERT(config->workers && config->workers <= REPLAY_WORKERS_MAX);
	ASSERT(config->frontends && config->frontends <= REPLAY_FRONTENDS_MAX);
	int code = replay_init(&r, err);
	if (code == 0) {
		run(&r);
		code = collect(&r, err);
		ret->shed = r.shed;
		ret->passes = r.passes;
		ret->preemptions = r.preemptions;
		ret->resyncs = r.resyncs;
		ret->stopped = r.stopped;
		ret->samples_len = r.samples;
		ret->sample_s = (double)r.sample_us / 1e6;
	}
	replay_done(&r);
	ret->wall_s = clock_s() - begin_s;
	if (code < 0)
		replay_result_done(ret);
	return code;
}

void replay_result_done(struct replay_result *r)
{
	free(r->v);
	free(r->samples);
	*r = (struct replay_result){0};
}
