/* Late binding: who of those that wait goes now, and where. */
#include "route/pool_priv.h"

enum { QUANTUM_US = 1000 * 1000, POLL_US = 100 * 1000, SWEEP = 8 };

void pool_wake(struct pool *p)
{
	if (p->queue.len && !env_timer_is_set(&p->dispatch))
		env_timer_set_in(p->env, &p->dispatch, 0);
}

/* t goes to w. */
static void commit(struct pool *p, struct pool_ticket *t, struct pool_worker *w, uint32_t uncached, uint32_t charged)
{
	t->worker = w;
	t->state = POOL_READY;
	t->ready_us = env_now_us(p->env);
	t->choices_left = t->request.choices;
	t->uncached = uncached;
	t->charged = charged;
	w->last_turn = ++p->turns;
	if (!w->outstanding)
		w->busy_us = t->ready_us;
	w->outstanding += t->request.choices;
	p->outstanding += t->request.choices;
	kv_uses_note(p->uses, t->request.hashes, t->request.hashes_count, t->uses);
	worker_count_blocks(p, w, t, true);
	worker_sent(w, t, t->ready_us);
}

/* t waits for w: those after it count it there, and do not overtake it. */
static void place(struct pool *p, const struct pool_ticket *t, struct pool_worker *w, uint32_t uncached)
{
	(void)p;
	w->blocked = true;
	w->walk_tokens += uncached;
	w->walk_len++;
	if (w->held_len < POOL_HELD_MAX)
		w->held[w->held_len++] = t;
}

static void join_walk(const struct pool *p, struct pool_worker *w)
{
	if (w->walk == p->walks)
		return;
	w->walk = p->walks;
	w->walk_tokens = 0;
	w->walk_len = w->held_len = 0;
	w->blocked = false;
}

/* The longest prefix of t's prompt that a candidate holds, and what it has paid. Returns its hash; 0: nobody has any. */
static uint64_t prefix_held(const struct pool *p, const struct pool_ticket *t, struct route_snapshot *s)
{
	for (uint32_t i = 0; i < s->len; i++)
		s->held_most = MAX(s->held_most, s->v[i].overlap_soon);
	uint64_t hash = s->held_most ? t->request.hashes[s->held_most - 1] : 0;
	s->rent_us = rent_paid(&p->rents, hash);
	return hash;
}

/* t goes to candidate at: another copy of its prefix, or rent. */
static void account_rent(
	struct pool *p, const struct pool_ticket *t, const struct route_snapshot *s, uint32_t at, uint64_t hash)
{
	bool is_one_idle = false;

	if (s->v[at].overlap_soon < s->held_most) {
		rent_clear(&p->rents, hash);
		return;
	}
	for (uint32_t i = 0; i < s->len; i++)
		is_one_idle |= !s->v[i].outstanding && !s->v[i].others && s->v[i].remaining_us <= 0;
	if (is_one_idle)
		rent_pay(&p->rents, hash, (double)(env_now_us(p->env) - t->submitted_us) + s->v[at].remaining_us);
}

enum look { LOOK_SENT, LOOK_HELD, LOOK_NO_ROOM };

static enum look look(struct pool *p, struct pool_ticket *t)
{
	struct route_snapshot s = {.v = p->candidates,
		.knobs = &p->config.knobs,
		.block_size = p->block_size,
		.fleet = &p->fleet,
		.answer_tokens = p->answer_tokens};

	s.len = pool_view(p, t);
	if (!s.len)
		return LOOK_NO_ROOM;
	s.random = env_rand(p->env);
	uint64_t prefix = prefix_held(p, t, &s);
	uint32_t at = route_pick(p->config.policy, &s, &t->request, &t->choice);
	struct pool_worker *w = pool_numbered(p, t->choice.worker);
	uint32_t uncached = route_uncached(&s, &s.v[at], &t->request);
	uint64_t cached = (uint64_t)s.v[at].overlap[0] * p->block_size;
	join_walk(p, w);
	if (p->config.policy->hold && (w->blocked || p->config.policy->hold(&s, at, &t->request))) {
		place(p, t, w, uncached);
		return LOOK_HELD;
	}
	account_rent(p, t, &s, at, prefix);
	commit(p, t, w, uncached, cached < t->request.prompt_tokens ? t->request.prompt_tokens - (uint32_t)cached : 0);
	return LOOK_SENT;
}

bool pool_try(struct pool *p, struct pool_ticket *t)
{
	p->walks++;
	return look(p, t) == LOOK_SENT;
}

/* With a policy that holds back, a worker in the middle of a step takes nobody: no look is worth its time. */
static bool any_open(struct pool *p, uint64_t now_us)
{
	if (!p->config.policy->at_step_end)
		return true;
	for (uint32_t i = 0; i < p->workers.len; i++) {
		struct pool_worker *w = p->workers.v[i];
		worker_advance(w, now_us);
		bool is_open = w->step_end_us <= now_us + worker_margin_us(w) || worker_may_join(w, now_us);
		if (!w->draining && is_open && !(w->walk == p->walks && w->blocked))
			return true;
	}
	return false;
}

/* What is cached changes while requests wait: the next turn of a conversation becomes short when the one before is done.
 * A few are looked at again each time, all in turn. */
static void sweep(struct pool *p)
{
	if (p->order != ROUTE_RESPONSE_RATIO)
		return;
	for (uint32_t i = 0; i < SWEEP && i < p->queue.len; i++) {
		if (p->sweep == &p->age)
			p->sweep = p->age.next;
		struct pool_ticket *t = list_entry(p->sweep, struct pool_ticket, age);
		p->sweep = p->sweep->next;
		queue_resize(&p->queue, &t->queued, pool_size_of(p, t));
	}
}

static void walk(struct pool *p, uint64_t now_us)
{
	struct queue_walk walk;
	struct queue_item *item;

	p->walks++;
	sweep(p);
	queue_walk_begin(&walk, &p->queue, now_us, (double)QUANTUM_US * MAX(p->workers.len, 1u));
	for (int i = 0; i < POOL_WALK_MAX && any_open(p, now_us) && (item = queue_walk_next(&walk)); i++) {
		struct pool_ticket *t = CONTAINER_OF(item, struct pool_ticket, queued);
		enum look r = look(p, t);
		bool is_choosy = t->request.direct || t->request.avoid_count; /* those behind it may find room */
		if (r == LOOK_NO_ROOM && !is_choosy && p->order == ROUTE_FCFS)
			break;
		if (r != LOOK_SENT)
			continue;
		queue_served(&p->queue, item, item->size_us);
		pool_leave_queue(p, t);
		t->state = POOL_READY;
		list_add_tail(&p->ready, &item->link);
	}
	p->walks++;
}

/* Look again when the next step is about to end. */
static void arm_wake(struct pool *p, uint64_t now_us)
{
	uint64_t at_us = now_us + POLL_US;

	if (!p->queue.len || !p->config.policy->at_step_end) {
		env_timer_cancel(p->env, &p->wake);
		return;
	}
	for (uint32_t i = 0; i < p->workers.len; i++) {
		const struct pool_worker *w = p->workers.v[i];
		uint64_t margin_us = worker_margin_us(w);
		if (w->step_end_us > now_us + margin_us)
			at_us = MIN(at_us, w->step_end_us - margin_us);
	}
	env_timer_set(p->env, &p->wake, at_us);
}

void pool_on_dispatch(void *ctx)
{
	struct pool *p = ctx;
	uint64_t now_us = env_now_us(p->env);

	walk(p, now_us);
	arm_wake(p, now_us);
	while (!list_empty(&p->ready)) {
		struct pool_ticket *t =
			CONTAINER_OF(list_first(&p->ready, struct queue_item, link), struct pool_ticket, queued);
		list_del(&t->queued.link);
		t->on_ready(t);
	}
}
