#include "route/pool_priv.h"

#include <math.h>

enum {
	RETRY_UNKNOWN_S = 5,
	RETRY_MAX_S = 120,
	RATE_TAU_US = 30 * 1000 * 1000, /* how long an ended request counts in the rate */
	ANSWER_DEFAULT = 256, /* tokens of an answer, until some have ended */
	SCRUB_PAUSE_US = 1000,
	USES_BLOCKS_DEFAULT = 1 << 20,
};
static const double answer_gain = 0.02;
/* Work of a prompt token while no worker is known, to order those that wait. */
static const double token_us_unknown = 100;
/* A prompt token as a size, for the order by length alone: 4 tokens to 256k fall into different lists. */
static const double token_size_us = 250;

static void on_expire(void *ctx);
static void on_scrub(void *ctx);

int pool_create(struct pool **ret, struct env *env, const struct pool_config *config, struct err *err)
{
	struct pool *p = calloc(1, sizeof *p);
	const struct kv_index_config index = {
		.bytes_max = config->index_bytes_max, .secret = {config->index_secret[0], config->index_secret[1]}};

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	ASSERT(config->policy);
	p->env = env;
	p->config = *config;
	p->order = config->knobs.wspt ? ROUTE_SHORTEST : config->policy->order;
	p->answer_tokens = ANSWER_DEFAULT;
	list_init(&p->age);
	p->sweep = &p->age;
	list_init(&p->ready);
	p->dispatch = (struct env_timer){.fn = pool_on_dispatch, .ctx = p};
	p->wake = (struct env_timer){.fn = pool_on_dispatch, .ctx = p};
	p->expire = (struct env_timer){.fn = on_expire, .ctx = p};
	p->scrub = (struct env_timer){.fn = on_scrub, .ctx = p};
	int r = queue_init(&p->queue, p->order);
	if (r < 0)
		err_set(err, r, "out of memory");
	else
		r = kv_index_create(&p->index, &index, err);
	if (r == 0)
		r = kv_uses_create(
			&p->uses, config->uses_blocks_max ? config->uses_blocks_max : USES_BLOCKS_DEFAULT, err);
	if (r < 0) {
		pool_destroy(p);
		return err_wrap(err, "could not make the index of cached prefixes");
	}
	*ret = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	ASSERT(p->queue.len == 0 && list_empty(&p->ready));
	ASSERT(p->outstanding == 0);
	env_timer_cancel(p->env, &p->dispatch);
	env_timer_cancel(p->env, &p->expire);
	env_timer_cancel(p->env, &p->wake);
	env_timer_cancel(p->env, &p->scrub);
	for (uint32_t i = 0; i < p->workers.len; i++)
		worker_free(p->workers.v[i]);
	vec_done(&p->workers);
	free(p->candidates);
	free(p->matches);
	queue_done(&p->queue);
	kv_index_destroy(p->index);
	kv_uses_destroy(p->uses);
	free(p);
}

static void on_scrub(void *ctx)
{
	struct pool *p = ctx;
	if (kv_index_scrub(p->index, KV_INDEX_SCRUB_SLOTS))
		env_timer_set_in(p->env, &p->scrub, SCRUB_PAUSE_US);
}

/* the queue */

void pool_leave_queue(struct pool *p, struct pool_ticket *t)
{
	queue_remove(&p->queue, &t->queued);
	if (p->sweep == &t->age)
		p->sweep = t->age.next;
	list_del(&t->age);
	env_timer_cancel(p->env, &t->deadline);
	p->waiting_tokens -= t->request.prompt_tokens;
	t->state = POOL_IDLE;
}

static void shed(struct pool *p, struct pool_ticket *t, enum pool_shed why)
{
	pool_leave_queue(p, t);
	t->on_shed(t, why);
}

static void on_deadline(void *ctx)
{
	struct pool_ticket *t = ctx;
	shed(t->pool, t, POOL_SHED_DEADLINE);
}

static uint64_t wait_us_max(const struct pool *p)
{
	return pool_is_deserted(p) ? 0 : p->config.wait_us_max;
}

/* All may wait equally long, so the oldest is the first whose time is over. */
static void arm_expire(struct pool *p)
{
	if (list_empty(&p->age))
		env_timer_cancel(p->env, &p->expire);
	else
		env_timer_set(p->env, &p->expire,
			list_first(&p->age, struct pool_ticket, age)->submitted_us + wait_us_max(p));
}

static void on_expire(void *ctx)
{
	struct pool *p = ctx;
	uint64_t now_us = env_now_us(p->env);

	while (!list_empty(&p->age)) {
		struct pool_ticket *t = list_first(&p->age, struct pool_ticket, age);
		if (t->submitted_us + wait_us_max(p) > now_us)
			break;
		shed(p, t, pool_workers_up(p) ? POOL_SHED_BUSY : POOL_SHED_NO_WORKER);
	}
	arm_expire(p);
}

/* The prefill work of t where most of it is cached; p->candidates were filled for it. */
static double work_us(const struct pool *p, const struct pool_ticket *t, uint32_t candidates)
{
	const struct route_snapshot s = {.v = p->candidates, .len = candidates, .block_size = p->block_size};
	const struct latency_step alone = {0};
	double best = t->request.prompt_tokens * token_us_unknown;

	for (uint32_t i = 0; i < candidates; i++) {
		const struct route_candidate *c = &s.v[i];
		double us = latency_drain_us(c->latency, route_uncached(&s, c, &t->request), &alone, c->batch_tokens);
		us *= c->pace / c->speed;
		best = i ? fmin(best, us) : us;
	}
	return best;
}

double pool_size_of(struct pool *p, const struct pool_ticket *t)
{
	switch (p->order) {
	case ROUTE_SHORTEST:
		return t->request.prompt_tokens * token_size_us;
	case ROUTE_RESPONSE_RATIO:
		return work_us(p, t, pool_view(p, t));
	default:
		return t->request.prompt_tokens * token_us_unknown;
	}
}

static void join_queue(struct pool *p, struct pool_ticket *t)
{
	const struct route_request *r = &t->request;

	queue_add(&p->queue, &t->queued, t->submitted_us, pool_size_of(p, t), r->priority, r->tenant);
	list_add_tail(&p->age, &t->age);
	p->waiting_tokens += r->prompt_tokens;
	t->state = POOL_WAITING;
	if (r->deadline_us) {
		t->deadline = (struct env_timer){.fn = on_deadline, .ctx = t};
		env_timer_set(p->env, &t->deadline, r->deadline_us);
	}
	if (!env_timer_is_set(&p->expire))
		arm_expire(p);
}

static bool is_full(const struct pool *p, const struct pool_ticket *t)
{
	if (p->queue.len >= p->config.waiting_max)
		return true;
	return p->config.waiting_tokens_max && p->queue.len &&
	       p->waiting_tokens + t->request.prompt_tokens > p->config.waiting_tokens_max;
}

enum pool_state pool_submit(struct pool *p, struct pool_ticket *t)
{
	ASSERT(t->state == POOL_IDLE);
	ASSERT(t->request.choices);
	list_init(&t->queued.link);
	list_init(&t->age);
	list_init(&t->inflight);
	t->deadline = (struct env_timer){0};
	t->pool = p;
	t->submitted_us = env_now_us(p->env);
	t->first_us = 0;
	t->outcome = (struct route_outcome){0};
	if (!p->queue.len && pool_try(p, t))
		return POOL_READY;
	if (is_full(p, t))
		return POOL_FULL;
	join_queue(p, t);
	pool_wake(p);
	return POOL_WAITING;
}

void pool_cancel(struct pool *p, struct pool_ticket *t)
{
	if (t->state != POOL_WAITING)
		return;
	pool_leave_queue(p, t);
	pool_wake(p); /* one that needs less may have stood behind it */
}

/* what becomes of those that were sent */

void pool_first_token(struct pool *p, struct pool_ticket *t)
{
	if (t->state != POOL_READY || t->first_us)
		return;
	t->first_us = env_now_us(p->env);
	worker_decodes(t->worker, t);
	if (t->choice.model_us > 0)
		calibration_add(&t->worker->calibration, t->choice.model_us, t->choice.predicted_us,
			(double)(t->first_us - t->ready_us));
	pool_wake(p);
}

void pool_outcome(struct pool *p, struct pool_ticket *t, const struct route_outcome *outcome)
{
	(void)p;
	t->outcome = *outcome;
}

/* What was told last is how it went. */
static void learn_outcome(struct pool *p, const struct pool_ticket *t)
{
	const struct route_outcome *o = &t->outcome;

	if (o->generated)
		p->answer_tokens += answer_gain * (o->generated - p->answer_tokens);
	if (!t->first_us)
		return;
	uint32_t known = (uint32_t)MIN((uint64_t)t->choice.overlap_blocks * p->block_size, t->request.prompt_tokens);
	calibration_cached(&t->worker->calibration, known, o->cached_tokens, p->block_size);
}

static void count_ended(struct pool *p)
{
	uint64_t now_us = env_now_us(p->env);

	if (!p->since_us)
		p->since_us = now_us;
	p->ended = p->ended * exp(-(double)(now_us - p->ended_us) / RATE_TAU_US) + 1;
	p->ended_us = now_us;
}

static void last_choice_ended(struct pool *p, struct pool_ticket *t)
{
	learn_outcome(p, t);
	worker_prompt_done(t->worker, t);
	worker_count_blocks(p, t->worker, t, false);
	list_del(&t->queued.link); /* chosen, and given back before it was told */
	t->state = POOL_IDLE;
	t->worker = NULL;
	count_ended(p);
}

void pool_release(struct pool *p, struct pool_ticket *t)
{
	struct pool_worker *w = t->worker;

	ASSERT(t->state == POOL_READY && t->choices_left);
	ASSERT(w->outstanding && p->outstanding);
	w->outstanding--;
	p->outstanding--;
	if (t->first_us)
		worker_decoded(w, t);
	if (--t->choices_left == 0)
		last_choice_ended(p, t);
	pool_wake(p);
}

void pool_desert(struct pool *p, bool yes)
{
	if (p->deserted == yes)
		return;
	p->deserted = yes;
	arm_expire(p);
}

/* what can be asked */

bool pool_is_deserted(const struct pool *p)
{
	return p->deserted && !pool_workers_up(p);
}

uint32_t pool_retry_after_s(const struct pool *p)
{
	uint64_t now_us = env_now_us(p->env);

	if (!p->since_us || !pool_workers_up(p))
		return RETRY_UNKNOWN_S;
	double decayed = p->ended * exp(-(double)(now_us - p->ended_us) / RATE_TAU_US);
	double window_s = MIN((double)(now_us - p->since_us), (double)RATE_TAU_US) / 1e6;
	double per_s = decayed / MAX(window_s, 1.0);
	double s = per_s > 0 ? ceil((p->queue.len + 1) / per_s) : RETRY_MAX_S;
	return (uint32_t)MAX(1.0, MIN(s, (double)RETRY_MAX_S));
}

uint32_t pool_waiting(const struct pool *p)
{
	return p->queue.len;
}

uint32_t pool_outstanding(const struct pool *p)
{
	return p->outstanding;
}

uint32_t pool_workers_up(const struct pool *p)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < p->workers.len; i++)
		n += !p->workers.v[i]->draining;
	return n;
}

uint32_t pool_workers(const struct pool *p)
{
	return p->workers.len;
}

const struct kv_index *pool_index(const struct pool *p)
{
	return p->index;
}
