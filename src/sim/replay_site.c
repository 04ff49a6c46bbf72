/* replay_site.c - a worker of a replay: its engine, its passes, its coming and going. */
#include "sim/replay_priv.h"

int site_up(struct site *s, struct err *err)
{
	struct replay *r = s->replay;
	const struct replay_config *c = r->config;
	const struct sim_engine_config config = {.model = c->model,
		.evict = c->evict,
		.blocks = c->blocks,
		.block_size = c->block_size,
		.speed = c->speeds[s->number],
		.seed = rng_keyed_u64(c->seed, s->number)};
	const struct pool_worker_facts facts = {.name = s->name,
		.slots = c->model->seqs_max,
		.blocks = c->blocks,
		.block_size = c->block_size,
		.context_max = (uint32_t)MIN((uint64_t)c->blocks * c->block_size, UINT32_MAX),
		.batch_tokens = c->model->batch_tokens};

	if (sim_engine_create(&s->engine, &config, err) < 0)
		return err->code;
	for (uint32_t i = 0; i < c->frontends; i++) {
		s->seats[i] = pool_worker_add(r->pools[i], &facts, s);
		if (!s->seats[i])
			return err_set(err, -ENOMEM, "out of memory");
		notice_snapshot(s, i);
	}
	s->up = true;
	return 0;
}

/* It dies: what it had starts again elsewhere, behind whatever waits. */
void site_down(struct site *s)
{
	struct replay *r = s->replay;
	struct list moving;

	env_timer_cancel(r->env, &s->start);
	env_timer_cancel(r->env, &s->pass_end);
	notice_drop(r, s);
	s->up = s->running = false;
	s->last = (struct msg_step){0};
	list_init(&moving);
	list_foreach_safe(it, &s->flights)
	{
		struct flight *f = list_entry(it, struct flight, link);
		list_del(&f->link);
		list_add_tail(&moving, &f->link);
		f->site = NULL;
		pool_release(r->pools[f->frontend], &f->ticket);
	}
	s->here = 0;
	map_clear(&s->told);
	s->told_digest = 0;
	for (uint32_t i = 0; i < r->config->frontends; i++)
		pool_worker_remove(r->pools[i], s->seats[i]);
	sim_engine_destroy(s->engine);
	s->engine = NULL;
	list_foreach_safe(it, &moving)
	{
		struct flight *f = list_entry(it, struct flight, link);
		list_del(&f->link);
		f->restarts++;
		flight_submit(f);
	}
}

void site_take(struct site *s, struct flight *f)
{
	const struct trace_row *row = &s->replay->config->trace->rows[f->row];
	const struct sim_request q = {.user = f,
		.id = row->id,
		.prompt_tokens = row->prompt_tokens,
		.answer_tokens = row->answer_tokens,
		.hashes = f->ticket.request.hashes,
		.uses = f->ticket.uses,
		.hashes_count = row->hashes_count,
		.priority = row->priority};

	ASSERT(s->up);
	f->site = s;
	f->first_said = false;
	list_add_tail(&s->flights, &f->link);
	s->here++;
	ASSERT(sim_engine_admit(s->engine, env_now_us(s->replay->env), &q) == 0);
	if (!s->running && !env_timer_is_set(&s->start))
		env_timer_set_in(s->replay->env, &s->start, 0);
}

void site_on_start(void *ctx)
{
	struct site *s = ctx;
	uint64_t now_us = env_now_us(s->replay->env);

	struct sim_pass pass;

	s->pass_us = sim_engine_begin(s->engine, now_us, &pass);
	if (pass.kv_changed)
		notice_kv(s, &pass);
	if (!s->pass_us)
		return;
	s->running = true;
	env_timer_set(s->replay->env, &s->pass_end, now_us + s->pass_us);
}

static void flight_leave(struct site *s, struct flight *f)
{
	list_del(&f->link);
	f->site = NULL;
	s->here--;
	pool_release(s->replay->pools[f->frontend], &f->ticket);
	flight_end(f);
}

static void on_event(struct site *s, const struct sim_event *e, uint64_t now_us)
{
	struct flight *f = e->user;
	struct pool *p = s->replay->pools[f->frontend];

	if (e->first) {
		/* What is reused counts when it starts first. */
		if (!f->started_before)
			f->cached = e->cached_tokens;
		f->started_before = true;
		if (!f->first_us)
			f->first_us = now_us;
		pool_first_token(p, &f->ticket);
		struct route_outcome outcome = {.ttft_us = now_us - f->ticket.submitted_us,
			.cached_tokens = e->cached_tokens,
			.generated = e->generated};
		pool_outcome(p, &f->ticket, &outcome);
	}
	if (!e->done)
		return;
	if (!e->refused) {
		f->done_us = now_us;
		/* Some engines say only at the end what they found. */
		if (!f->restarts)
			f->cached = MAX(f->cached, e->cached_tokens);
		struct route_outcome outcome = f->ticket.outcome;
		outcome.generated = e->generated;
		outcome.cached_tokens = MAX(outcome.cached_tokens, e->cached_tokens);
		pool_outcome(p, &f->ticket, &outcome);
	}
	flight_leave(s, f);
}

void site_on_pass_end(void *ctx)
{
	struct site *s = ctx;
	struct replay *r = s->replay;
	uint64_t now_us = env_now_us(r->env);
	struct sim_pass pass;

	sim_engine_end(s->engine, now_us, &pass);
	r->passes++;
	s->running = false;
	s->busy_us += s->pass_us;
	for (uint32_t i = 0; i < pass.events_count; i++)
		on_event(s, &pass.events[i], now_us);
	r->preemptions += pass.step.preemptions - s->last.preemptions;
	s->last = pass.step;
	if (pass.kv_changed)
		notice_kv(s, &pass);
	notice_step(s, &pass);
	/* After what the report lets the router send in this same instant. */
	if (s->here)
		env_timer_set_in(r->env, &s->start, 0);
}
