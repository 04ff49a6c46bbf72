/* What a worker reports, what is ours there, and which step it is taking now. */
#include "route/pool_priv.h"

#include "base/limits.h"
#include "kv/hash.h"

#include <math.h>
#include <stdio.h>

enum {
	SLOTS_DEFAULT = 256, /* engines without a limit of their own */
	BATCH_DEFAULT = 8192, /* tokens of a step, until its limit is seen or told */
	ADVANCE_STEPS_MAX = 64,
	LOAD_EVERY_US = 20 * 1000,
	COMPARE_EVERY = 64, /* steps of a worker between looks at how workers compare */
	COMPARE_SOON = 8, /* the same while its steps are not as predicted */
};
static const double interval_keep = 0.98, pace_step_us = 10e3, early_keep = 0.9, batch_keep = 0.95, pace_max = 8,
		    speed_max = 100, surprised = 0.02,
		    speed_power = 0.2; /* how far a worker's speed counts in a request's own time: finish_time.c */

/* coming and going */

static void init(struct pool *p, struct pool_worker *w, const struct pool_worker_facts *facts, void *user)
{
	w->user = user;
	w->facts = *facts;
	snprintf(w->name, sizeof w->name, "%s", facts->name ? facts->name : "");
	w->facts.name = w->name;
	w->facts.slots = facts->slots ? facts->slots : SLOTS_DEFAULT;
	w->name_hash = route_name_hash(w->name);
	w->number = p->next_number++;
	/* A newcomer is not everybody's next choice because it was never chosen: it joins at the end of the round. */
	w->last_turn = p->turns;
	w->speed = w->model_speed = w->speed_damped = 1;
	list_init(&w->inflight);
	uint64_t capacity = (uint64_t)facts->blocks * facts->block_size;
	/* Until it has shown its own speed it is taken for one like the others. */
	if (p->fleet.steps)
		latency_init_like(&w->latency, &p->fleet, capacity);
	else
		latency_init(&w->latency, capacity);
	if (!p->block_size)
		p->block_size = facts->block_size;
}

void worker_free(struct pool_worker *w)
{
	map_done(&w->active);
	free(w);
}

static int make_room(struct pool *p)
{
	if (p->workers.len >= WORKERS_MAX || vec_reserve(&p->workers, 1) < 0)
		return -ENOMEM;
	struct route_candidate *candidates = realloc(p->candidates, p->workers.cap * sizeof *candidates);
	p->candidates = candidates ? candidates : p->candidates;
	struct kv_overlap *matches = realloc(p->matches, p->workers.cap * sizeof *matches);
	p->matches = matches ? matches : p->matches;
	return candidates && matches ? 0 : -ENOMEM;
}

struct pool_worker *pool_worker_add(struct pool *p, const struct pool_worker_facts *facts, void *user)
{
	if (make_room(p) < 0)
		return NULL;
	struct pool_worker *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	init(p, w, facts, user);
	if (kv_index_worker_add(p->index, &w->index_slot) < 0) {
		worker_free(w);
		return NULL;
	}
	p->by_slot[w->index_slot] = w;
	w->at = p->workers.len;
	p->workers.v[p->workers.len++] = w;
	pool_compare_speeds(p);
	pool_wake(p);
	return w;
}

void pool_worker_remove(struct pool *p, struct pool_worker *w)
{
	ASSERT(w->outstanding == 0);
	ASSERT(w->at < p->workers.len && p->workers.v[w->at] == w);
	kv_index_worker_remove(p->index, w->index_slot);
	p->by_slot[w->index_slot] = NULL;
	vec_remove(&p->workers, w->at);
	for (uint32_t i = w->at; i < p->workers.len; i++)
		p->workers.v[i]->at = i;
	if (!env_timer_is_set(&p->scrub))
		env_timer_set_in(p->env, &p->scrub, 0);
	pool_compare_speeds(p);
	worker_free(w);
}

void *pool_worker_user(const struct pool_worker *w)
{
	return w->user;
}

const char *pool_worker_name(const struct pool_worker *w)
{
	return w->name;
}

const char *pool_number_name(const struct pool *p, uint32_t number)
{
	for (uint32_t i = 0; i < p->workers.len; i++)
		if (p->workers.v[i]->number == number)
			return p->workers.v[i]->name;
	return "";
}

bool pool_worker_synced(const struct pool_worker *w)
{
	return w->sync == KV_SYNCED;
}

uint32_t pool_worker_slot(const struct pool_worker *w)
{
	return w->index_slot;
}

const struct calibration *pool_worker_calibration(const struct pool_worker *w)
{
	return &w->calibration;
}

void pool_worker_drain(struct pool *p, struct pool_worker *w)
{
	(void)p;
	w->draining = true;
}

uint32_t pool_worker_outstanding(const struct pool_worker *w)
{
	return w->outstanding;
}

/* blocks of active requests, for the policy that counts them */

void worker_count_blocks(const struct pool *p, struct pool_worker *w, const struct pool_ticket *t, bool in)
{
	const struct route_request *r = &t->request;

	if (!p->config.policy->counts_blocks)
		return;
	for (uint32_t i = 0; i < r->hashes_count; i++) {
		uint64_t count = 0;
		map_get(&w->active, r->hashes[i], &count);
		count += in ? 1 : (uint64_t)-1;
		/* Without memory the count is too low for a while; the map's own bound is our requests there. */
		if (count == 0 || count == (uint64_t)-1 || map_put(&w->active, r->hashes[i], count) < 0)
			map_del(&w->active, r->hashes[i]);
	}
	bool is_loose = p->block_size && r->prompt_tokens > (uint64_t)r->hashes_count * p->block_size;
	w->active_loose += in ? is_loose : (uint64_t)-is_loose;
}

uint64_t worker_blocks_with(const struct pool *p, const struct pool_worker *w, const struct route_request *r)
{
	uint32_t low = 0, high = r->hashes_count;

	/* What is active is closed under prefixes. */
	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (map_get(&w->active, r->hashes[mid], NULL))
			low = mid + 1;
		else
			high = mid;
	}
	bool is_loose = p->block_size && r->prompt_tokens > (uint64_t)r->hashes_count * p->block_size;
	return w->active.len + w->active_loose + r->hashes_count - low + is_loose;
}

/* what it holds */

/* False: too much waits to be cleaned up. Its blocks stay as they were until then, and what it says of them is not taken. */
static bool clear(struct pool *p, struct pool_worker *w)
{
	w->kv_due = !kv_index_clear(p->index, w->index_slot);
	if (w->kv_due)
		w->sync = KV_ABSENT;
	if (!env_timer_is_set(&p->scrub))
		env_timer_set_in(p->env, &p->scrub, 0);
	return !w->kv_due;
}

static int differs(struct pool *p, struct pool_worker *w)
{
	w->mismatches++;
	bool done = clear(p, w);
	w->sync = KV_ABSENT;
	return done;
}

static int check(struct pool *p, struct pool_worker *w, uint64_t digest, uint32_t held)
{
	if (w->sync != KV_SYNCED ||
		(digest == kv_index_digest(p->index, w->index_slot) && held == kv_index_held(p->index, w->index_slot)))
		return 0;
	return differs(p, w);
}

int pool_worker_kv(struct pool *p, struct pool_worker *w, const struct msg_kv *kv)
{
	enum kv_tier tier = (enum kv_tier)kv->tier;

	if (kv->snapshot && w->sync != KV_FILLING) {
		if (!clear(p, w))
			return 0;
		w->sync = KV_FILLING;
	}
	if (w->sync == KV_ABSENT)
		return 0; /* changes of a state we do not have; the snapshot will hold them */
	if (kv->cleared && !clear(p, w))
		return 0;
	kv_index_drop(p->index, w->index_slot, tier, kv->removed.v, kv->removed.len);
	/* What found no room is counted by the index, and still in the worker's digest. */
	(void)kv_index_store(p->index, w->index_slot, tier, kv->stored.v, kv->stored.len);
	p->tiers |= 1u << tier;
	if (kv->snapshot_end)
		w->sync = KV_SYNCED;
	return check(p, w, kv->digest, kv->blocks_held);
}

double worker_load(struct pool_worker *w, uint64_t now_us)
{
	double there = (double)w->outstanding + w->others_running + w->others_waiting;

	if (now_us - w->load_us >= LOAD_EVERY_US) {
		w->load += (1 - exp(-(double)(now_us - w->load_us) / ROUTE_LOAD_TAU_US)) * (there - w->load);
		w->load_us = now_us;
	}
	return w->load;
}

/* the running step */

uint32_t worker_batch(const struct pool_worker *w)
{
	return w->facts.batch_tokens ? w->facts.batch_tokens : w->batch_full;
}

static uint32_t batch_of(const struct pool_worker *w)
{
	return worker_batch(w) ? worker_batch(w) : BATCH_DEFAULT;
}

/* What a step can hold shows only when it leaves prompt tokens behind though there was a place to run them. Taking the largest
 * step seen for the limit would never let a larger one be. */
static void measure_batch(struct pool_worker *w, const struct msg_step *s)
{
	if (!s->next_prefill_tokens || s->waiting_tokens <= s->next_prefill_tokens || s->running >= w->facts.slots)
		return;
	w->batch_full =
		MAX((uint32_t)MIN((uint64_t)s->next_prefill_tokens + s->next_decode_tokens, (uint64_t)INT32_MAX),
			(uint32_t)(batch_keep * w->batch_full));
}

uint64_t worker_queued(const struct pool_worker *w)
{
	return w->inflight_left + w->others_tokens;
}

uint64_t worker_context(const struct pool_worker *w)
{
	uint64_t ours = w->decoding_prompts + w->decoding * w->decode_steps - w->decode_since;

	if (!w->others_running)
		return ours;
	return ours + w->report.cells_active / ((uint64_t)w->others_running + w->decoding) * w->others_running;
}

void worker_decodes(struct pool_worker *w, struct pool_ticket *t)
{
	w->prompts_done += t->left;
	worker_prompt_done(w, t);
	t->decode_since = w->decode_steps;
	w->decoding += t->choices_left;
	w->decoding_prompts += (uint64_t)t->choices_left * t->request.prompt_tokens;
	w->decode_since += t->choices_left * t->decode_since;
}

void worker_decoded(struct pool_worker *w, struct pool_ticket *t)
{
	ASSERT(w->decoding && w->decoding_prompts >= t->request.prompt_tokens && w->decode_since >= t->decode_since);
	w->decoding--;
	w->decoding_prompts -= t->request.prompt_tokens;
	w->decode_since -= t->decode_since;
}

double worker_pace(const struct pool_worker *w)
{
	double clock = w->duration_us > 0 ? w->interval_us / w->duration_us : 1;
	return fmin(fmax(clock, 1 / pace_max), pace_max);
}

/* The next step begins at at_us: decodes for those that decode, and prefill up to the batch, if its worker has not said
 * itself what the step holds. */
static void begin_step(struct pool_worker *w, uint64_t at_us)
{
	uint32_t decodes = w->decoding + w->others_running, batch = batch_of(w);
	uint64_t queued = worker_queued(w), room = batch > decodes ? batch - decodes : 1;

	w->step = (struct latency_step){
		.prefill = (uint32_t)MIN(queued, room),
		.decodes = decodes,
		.context = worker_context(w),
		.used = w->report.cells_used,
	};
	if (at_us == w->reported_us && (w->report.next_prefill_tokens || w->report.next_decode_tokens)) {
		w->step.prefill = (uint32_t)MIN(w->report.next_prefill_tokens, queued);
		w->step.decodes = w->report.next_decode_tokens;
	}
	w->step_start_us = at_us;
	double us = latency_step_us(&w->latency, &w->step) * worker_pace(w);
	w->step_end_us = us > 0 ? at_us + (uint64_t)us : 0;
}

/* So many prompt tokens were computed, ours and others' in proportion, ours in the order sent. */
static void computed(struct pool_worker *w, uint64_t tokens)
{
	uint64_t queued = worker_queued(w);
	uint64_t theirs = queued ? tokens * w->others_tokens / queued : 0, ours = tokens - MIN(theirs, tokens);

	w->others_tokens -= MIN(theirs, w->others_tokens);
	list_foreach(it, &w->inflight)
	{
		struct pool_ticket *t = list_entry(it, struct pool_ticket, inflight);
		uint32_t n = (uint32_t)MIN(ours, t->left);
		t->left -= n;
		w->inflight_left -= n;
		ours -= n;
		if (!ours)
			return;
	}
}

void worker_advance(struct pool_worker *w, uint64_t now_us)
{
	for (int i = 0; i < ADVANCE_STEPS_MAX && w->step_end_us && w->step_end_us < now_us; i++) {
		/* It is late by less than a step: it may end any moment, and then says so itself. */
		if (now_us - w->step_end_us < w->step_end_us - w->step_start_us || !worker_queued(w))
			return;
		computed(w, w->step.prefill);
		begin_step(w, w->step_end_us);
	}
}

bool worker_may_join(const struct pool_worker *w, uint64_t now_us)
{
	return w->step_is_first && w->step_start_us == now_us;
}

void worker_sent(struct pool_worker *w, struct pool_ticket *t, uint64_t now_us)
{
	list_add_tail(&w->inflight, &t->inflight);
	w->inflight_len++;
	t->left = t->uncached;
	w->inflight_left += t->left;
	w->charged += t->charged;
	if (!w->step_end_us) {
		begin_step(w, now_us);
		w->step_is_first = true;
	} else if (worker_may_join(w, now_us)) {
		begin_step(w, w->step_start_us);
	}
}

void worker_prompt_done(struct pool_worker *w, struct pool_ticket *t)
{
	if (list_empty(&t->inflight))
		return;
	list_del(&t->inflight);
	ASSERT(w->inflight_len && w->inflight_left >= t->left && w->charged >= t->charged);
	w->inflight_len--;
	w->inflight_left -= t->left;
	w->charged -= t->charged;
	t->left = 0;
}

/* reports */

/* Its clock against ours: between two reports in a row it did nothing but that step. Longer than it says: it is slower
 * than it says, or waits between steps; both are time that requests there wait too. */
static void measure_pace(struct pool_worker *w, const struct msg_step *s, uint64_t now_us)
{
	bool in_a_row = w->reported_us && s->step == w->report.step + 1 && (w->report.running || w->report.waiting);

	if (!in_a_row || !s->duration_us)
		return;
	double took_us = (double)(now_us - w->reported_us), says_us = (double)s->duration_us;
	/* A step of seconds is not as much as hundreds of short ones: how slow it was while long prompts filled it would hold
	 * long after. */
	double weight = fmin(1, pace_step_us / says_us);
	w->interval_us = interval_keep * w->interval_us + weight * fmin(took_us, pace_max * says_us);
	w->duration_us = interval_keep * w->duration_us + weight * says_us;
}

/* A step that ends before those held back for it were sent makes them wait for one more. So the largest surprise of late is
 * allowed for; without any it is forgotten within some dozen steps. */
static void measure_early(struct pool_worker *w, uint64_t now_us)
{
	double early_us = w->step_end_us > now_us ? (double)(w->step_end_us - now_us) : 0;

	w->early_us = fmax(early_us, early_keep * w->early_us);
}

uint64_t worker_margin_us(const struct pool_worker *w)
{
	return ROUTE_HOLD_US + (uint64_t)w->early_us;
}

static void learn(struct pool *p, struct pool_worker *w, const struct msg_step *s)
{
	const struct latency_step step = {
		.prefill = s->prefill_tokens,
		.decodes = s->decode_tokens,
		.context = w->step.context,
		.used = w->report.cells_used ? w->report.cells_used : s->cells_used,
	};

	if (!s->duration_us)
		return;
	latency_learn(&w->latency, &step, s->duration_us);
	uint32_t every = w->latency.error > surprised ? COMPARE_SOON : COMPARE_EVERY;
	if (w->latency.steps < COMPARE_EVERY || w->latency.steps % every == w->number % every)
		pool_compare_speeds(p);
}

/* What of the report is not ours. Other frontends' prompts count as cached as far as ours are in the mean. */
static void count_others(struct pool_worker *w, const struct msg_step *s)
{
	uint64_t there = (uint64_t)s->running + s->waiting, ours_tokens = 0;
	uint32_t ours = w->outstanding;

	uint32_t others = there > ours ? (uint32_t)MIN(there - ours, (uint64_t)INT32_MAX) : 0;
	w->others_waiting = MIN(others, s->waiting > w->inflight_len ? s->waiting - w->inflight_len : 0);
	w->others_running = others - w->others_waiting;
	list_foreach(it, &w->inflight) ours_tokens +=
		list_entry(it, struct pool_ticket, inflight)->request.prompt_tokens;
	w->others_tokens = others && s->waiting_tokens > ours_tokens ? s->waiting_tokens - ours_tokens : 0;
}

/* Nobody waits there, and the next step takes all that is left of the prompts it has: then what is left of ours there is what
 * it says, however much of them was thought to be cached. Those on their way there are not in it. Only workers that say what
 * their next step holds report as it begins; what others say may be old. */
static void settle_left(struct pool_worker *w, const struct msg_step *s)
{
	uint32_t there = s->running, known = w->inflight_len;

	if (s->waiting || there > w->outstanding || !s->next_prefill_tokens ||
		s->waiting_tokens > s->next_prefill_tokens)
		return;
	known -= MIN(known, w->outstanding - there);
	uint32_t tokens = s->next_prefill_tokens, n = known;
	list_foreach(it, &w->inflight)
	{
		struct pool_ticket *t = list_entry(it, struct pool_ticket, inflight);
		if (!n)
			return;
		uint32_t left = MAX(tokens / n, 1u);
		w->inflight_left += left;
		w->inflight_left -= t->left;
		t->left = left;
		tokens -= MIN(left, tokens);
		n--;
	}
}

int pool_worker_report(struct pool *p, struct pool_worker *w, const struct msg_step *step)
{
	uint64_t now_us = env_now_us(p->env);

	measure_pace(w, step, now_us);
	measure_early(w, now_us);
	learn(p, w, step);
	/* Those whose first token came with this report are no queued work any more. */
	computed(w, step->prefill_tokens - MIN(w->prompts_done, step->prefill_tokens));
	w->prompts_done = 0;
	count_others(w, step);
	measure_batch(w, step);
	settle_left(w, step);
	w->decode_steps += step->decode_tokens > 0;
	w->report = *step;
	w->reported_us = now_us;
	(void)worker_load(w, now_us);
	w->step_is_first = false;
	if (step->running || step->waiting || w->inflight_len)
		begin_step(w, now_us);
	else
		w->step_end_us = 0;
	pool_wake(p);
	if (w->kv_due)
		return clear(p, w);
	return check(p, w, step->digest, step->blocks_held);
}

void pool_compare_speeds(struct pool *p)
{
	double sum = 0;

	if (!p->workers.len)
		return;
	latency_gather_begin(&p->fleet, &p->workers.v[0]->latency);
	for (uint32_t i = 0; i < p->workers.len; i++)
		latency_gather(&p->fleet, &p->workers.v[i]->latency, p->workers.v[i]->model_speed);
	latency_gather_end(&p->fleet);
	for (uint32_t i = 0; i < p->workers.len; i++) {
		struct pool_worker *w = p->workers.v[i];
		w->model_speed = fmin(fmax(latency_speed(&w->latency, &p->fleet), 1 / speed_max), speed_max);
		sum += log(w->model_speed);
	}
	double mean = exp(sum / p->workers.len);
	for (uint32_t i = 0; i < p->workers.len; i++) {
		struct pool_worker *w = p->workers.v[i];
		w->model_speed /= mean;
		latency_lean_on(&w->latency, &p->fleet, w->model_speed);
		w->speed = w->model_speed * worker_pace(w);
		w->speed_damped = pow(w->speed, speed_power);
	}
}

void pool_worker_print(const struct pool_worker *w, struct buf *out)
{
	buf_printf(out, "worker=%s ours=%u decoding=%u queued_tokens=%llu others=%u pace=%.2f speed=%.2f ", w->name,
		w->outstanding, w->decoding, (unsigned long long)worker_queued(w),
		w->others_running + w->others_waiting, worker_pace(w), w->speed);
	latency_print(&w->latency, out);
	buf_printf(out, " ");
	calibration_print(&w->calibration, out);
}
