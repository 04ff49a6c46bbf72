#include "route/pool.h"
#include "base/limits.h"
#include "base/vec.h"

#include <math.h>

enum {
	SLOTS_DEFAULT = 256, /* engines without a limit of their own */
	RETRY_UNKNOWN_S = 5,
	RETRY_MAX_S = 120,
	RATE_TAU_US = 30 * 1000 * 1000, /* how long an ended request counts in the rate */
	LEARN_SHIFT = 3, /* a report moves the learned time a token by an eighth */
};

struct pool_worker {
	void *user;
	uint32_t number, slots, outstanding, others;
	uint64_t tokens_unseen; /* prompts we sent that have not answered with a token */
	uint64_t tokens_reported, us_per_token, last_turn;
	bool draining;
};

struct pool {
	struct env *env;
	struct pool_config config;
	VEC(struct pool_worker *) workers;
	struct route_candidate *candidates; /* room for workers.cap of them */
	struct list waiting;
	uint32_t waiting_len, outstanding, next_number;
	uint64_t turns;
	struct env_timer dispatch, expire;
	double ended; /* requests that ended, decaying over RATE_TAU_US */
	uint64_t ended_us; /* when ended was last brought up to date */
	uint64_t since_us; /* first end: a young rate is not divided by the whole window */
};

static void on_dispatch(void *ctx);
static void on_expire(void *ctx);

int pool_create(struct pool **ret, struct env *env, const struct pool_config *config, struct err *err)
{
	struct pool *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	ASSERT(config->policy);
	p->env = env;
	p->config = *config;
	list_init(&p->waiting);
	p->dispatch = (struct env_timer){.fn = on_dispatch, .ctx = p};
	p->expire = (struct env_timer){.fn = on_expire, .ctx = p};
	*ret = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	ASSERT(list_empty(&p->waiting));
	ASSERT(p->outstanding == 0);
	env_timer_cancel(p->env, &p->dispatch);
	env_timer_cancel(p->env, &p->expire);
	for (uint32_t i = 0; i < p->workers.len; i++)
		free(p->workers.v[i]);
	vec_done(&p->workers);
	free(p->candidates);
	free(p);
}

/* workers */

/* Those that wait may have room now; look in a turn of our own. */
static void wake(struct pool *p)
{
	if (p->waiting_len && !env_timer_is_set(&p->dispatch))
		env_timer_set_in(p->env, &p->dispatch, 0);
}

struct pool_worker *pool_worker_add(struct pool *p, const struct pool_worker_facts *facts, void *user)
{
	if (p->workers.len >= WORKERS_MAX || vec_reserve(&p->workers, 1) < 0)
		return NULL;
	struct route_candidate *room = realloc(p->candidates, p->workers.cap * sizeof *room);
	if (!room)
		return NULL;
	p->candidates = room;
	struct pool_worker *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->user = user;
	w->number = p->next_number++;
	w->slots = facts->slots ? facts->slots : SLOTS_DEFAULT;
	/* A newcomer is not everybody's next choice because it was never chosen: it joins at the end of the round. */
	w->last_turn = p->turns;
	p->workers.v[p->workers.len++] = w;
	wake(p);
	return w;
}

void *pool_worker_user(const struct pool_worker *w)
{
	return w->user;
}

void pool_worker_remove(struct pool *p, struct pool_worker *w)
{
	ASSERT(w->outstanding == 0);
	for (uint32_t i = 0; i < p->workers.len; i++)
		if (p->workers.v[i] == w) {
			vec_remove(&p->workers, i);
			free(w);
			return;
		}
	ASSERT(!"a worker of this pool");
}

void pool_worker_drain(struct pool *p, struct pool_worker *w)
{
	(void)p;
	w->draining = true;
}

int pool_worker_report(struct pool *p, struct pool_worker *w, const struct msg_step *step)
{
	uint32_t there = step->running + step->waiting, tokens = step->prefill_tokens + step->decode_tokens;

	w->others = there > w->outstanding ? there - w->outstanding : 0;
	w->tokens_reported = step->waiting_tokens;
	if (step->prefill_tokens && step->duration_us) {
		int64_t us = (int64_t)MAX(step->duration_us / tokens, 1u), old = (int64_t)w->us_per_token;
		w->us_per_token = old ? (uint64_t)MAX(old + (us - old) / (1 << LEARN_SHIFT), 1) : (uint64_t)us;
	}
	wake(p);
	return 0;
}

uint32_t pool_worker_outstanding(const struct pool_worker *w)
{
	return w->outstanding;
}

/* A worker gets a few requests more than it runs at once, so that a place that becomes free is taken without waiting
 * for us; all others wait here, where they can still go elsewhere. */
static uint32_t requests_max(const struct pool_worker *w)
{
	return w->slots + w->slots / 4 + 1;
}

static bool has_room(const struct pool_worker *w, uint32_t choices)
{
	/* More choices than fit any worker still go to an empty one, which runs them one after another. */
	return !w->draining && (w->outstanding == 0 || w->outstanding + w->others + choices <= requests_max(w));
}

/* dispatch */

static struct pool_worker *worker_numbered(struct pool *p, uint32_t number)
{
	for (uint32_t i = 0; i < p->workers.len; i++)
		if (p->workers.v[i]->number == number)
			return p->workers.v[i];
	return NULL;
}

static uint32_t snapshot(struct pool *p, const struct pool_ticket *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->workers.len; i++) {
		const struct pool_worker *w = p->workers.v[i];
		if (!has_room(w, t->request.choices))
			continue;
		p->candidates[n++] = (struct route_candidate){
			.worker = w->number,
			.outstanding = w->outstanding,
			.others = w->others,
			.queued_tokens = MAX(w->tokens_reported, w->tokens_unseen),
			.slots = w->slots,
			.step_us_per_token = w->us_per_token,
			.last_turn = w->last_turn,
		};
	}
	return n;
}

static bool dispatch(struct pool *p, struct pool_ticket *t)
{
	struct route_snapshot s = {.v = p->candidates, .len = snapshot(p, t)};

	if (!s.len)
		return false;
	s.random = env_rand(p->env);
	route_pick(p->config.policy, &s, &t->request, &t->choice);
	struct pool_worker *w = worker_numbered(p, t->choice.worker);
	w->last_turn = ++p->turns;
	w->outstanding += t->request.choices;
	w->tokens_unseen += t->request.prompt_tokens;
	p->outstanding += t->request.choices;
	t->choices_left = t->request.choices;
	t->tokens_unseen = t->request.prompt_tokens;
	t->worker = w;
	t->state = POOL_READY;
	t->ready_us = env_now_us(p->env);
	return true;
}

static void leave_queue(struct pool *p, struct pool_ticket *t)
{
	list_del(&t->link);
	p->waiting_len--;
	t->state = POOL_IDLE;
}

static void on_dispatch(void *ctx)
{
	struct pool *p = ctx;

	while (!list_empty(&p->waiting)) {
		struct pool_ticket *t = list_first(&p->waiting, struct pool_ticket, link);
		if (!dispatch(p, t))
			return;
		list_del(&t->link);
		p->waiting_len--;
		t->on_ready(t);
	}
}

/* All wait equally long, so the first in the queue is the first whose time is over. */
static void arm_expire(struct pool *p)
{
	if (list_empty(&p->waiting))
		env_timer_cancel(p->env, &p->expire);
	else
		env_timer_set(p->env, &p->expire,
			list_first(&p->waiting, struct pool_ticket, link)->submitted_us + p->config.wait_us_max);
}

static void on_expire(void *ctx)
{
	struct pool *p = ctx;
	uint64_t now_us = env_now_us(p->env);

	while (!list_empty(&p->waiting)) {
		struct pool_ticket *t = list_first(&p->waiting, struct pool_ticket, link);
		if (t->submitted_us + p->config.wait_us_max > now_us)
			break;
		leave_queue(p, t);
		t->on_shed(t, pool_workers_up(p) ? POOL_SHED_BUSY : POOL_SHED_NO_WORKER);
	}
	arm_expire(p);
}

enum pool_state pool_submit(struct pool *p, struct pool_ticket *t)
{
	ASSERT(t->state == POOL_IDLE);
	ASSERT(t->request.choices);
	list_init(&t->link);
	t->submitted_us = env_now_us(p->env);
	if (list_empty(&p->waiting) && dispatch(p, t))
		return POOL_READY;
	if (p->waiting_len >= p->config.waiting_max)
		return POOL_FULL;
	list_add_tail(&p->waiting, &t->link);
	p->waiting_len++;
	t->state = POOL_WAITING;
	if (!env_timer_is_set(&p->expire))
		arm_expire(p);
	return POOL_WAITING;
}

void pool_cancel(struct pool *p, struct pool_ticket *t)
{
	if (t->state != POOL_WAITING)
		return;
	leave_queue(p, t);
	wake(p); /* one with fewer choices may have stood behind it */
}

void pool_first_token(struct pool *p, struct pool_ticket *t)
{
	(void)p;
	if (t->state == POOL_READY && t->tokens_unseen) {
		t->worker->tokens_unseen -= t->tokens_unseen;
		t->tokens_unseen = 0;
	}
}

void pool_outcome(struct pool *p, struct pool_ticket *t, const struct route_outcome *outcome)
{
	(void)p;
	t->outcome = *outcome;
}

static void count_ended(struct pool *p)
{
	uint64_t now_us = env_now_us(p->env);

	if (!p->since_us)
		p->since_us = now_us;
	p->ended = p->ended * exp(-(double)(now_us - p->ended_us) / RATE_TAU_US) + 1;
	p->ended_us = now_us;
}

void pool_release(struct pool *p, struct pool_ticket *t)
{
	ASSERT(t->state == POOL_READY && t->choices_left);
	ASSERT(t->worker->outstanding && p->outstanding);
	t->worker->outstanding--;
	p->outstanding--;
	if (--t->choices_left == 0) {
		pool_first_token(p, t);
		t->state = POOL_IDLE;
		t->worker = NULL;
		count_ended(p);
	}
	wake(p);
}

/* what can be asked */

uint32_t pool_retry_after_s(const struct pool *p)
{
	uint64_t now_us = env_now_us(p->env);

	if (!p->since_us || !pool_workers_up(p))
		return RETRY_UNKNOWN_S;
	double decayed = p->ended * exp(-(double)(now_us - p->ended_us) / RATE_TAU_US);
	double window_s = MIN((double)(now_us - p->since_us), (double)RATE_TAU_US) / 1e6;
	double per_s = decayed / MAX(window_s, 1.0);
	double s = per_s > 0 ? ceil((p->waiting_len + 1) / per_s) : RETRY_MAX_S;
	return (uint32_t)MAX(1.0, MIN(s, (double)RETRY_MAX_S));
}

uint32_t pool_waiting(const struct pool *p)
{
	return p->waiting_len;
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
