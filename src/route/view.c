/* The snapshot a policy sees. */
#include "route/pool_priv.h"

#include "kv/hash.h"

enum {
	INFLIGHT_LOOK_MAX = 32,
	QUIET_US = 5 * 1000 * 1000, /* with work of ours and no report: it may be stopped, or its step be endless */
};

struct pool_worker *pool_numbered(struct pool *p, uint32_t number)
{
	for (uint32_t i = 0; i < p->workers.len; i++)
		if (p->workers.v[i]->number == number)
			return p->workers.v[i];
	return NULL;
}

/* A worker gets a few requests more than it runs at once, so that a place that becomes free is taken without waiting
 * for us; all others wait here, where they can still go elsewhere. */
static uint32_t requests_max(const struct pool_worker *w)
{
	return w->facts.slots + w->facts.slots / 4 + 1;
}

static bool has_room(const struct pool_worker *w, const struct route_request *r)
{
	uint64_t others = (uint64_t)w->others_running + w->others_waiting;

	if (w->draining || (w->facts.context_max && r->prompt_tokens > w->facts.context_max))
		return false;
	if (r->direct && strcmp(r->direct, w->name))
		return false;
	/* More choices than fit any worker still go to an empty one, which runs them one after another. */
	return w->outstanding == 0 || w->outstanding + others + r->choices <= requests_max(w);
}

/* A worker that answers nothing looks free for ever: what it was given never becomes work it has done. While another
 * speaks it gets nothing more, until it is heard again or its link is given up (WORKER_SILENT_MS). */
static bool is_quiet(const struct pool_worker *w, uint64_t now_us)
{
	return w->outstanding && now_us - MAX(w->reported_us, w->busy_us) > QUIET_US;
}

static bool some_speak(const struct pool *p, uint64_t now_us)
{
	for (uint32_t i = 0; i < p->workers.len; i++)
		if (!p->workers.v[i]->draining && !is_quiet(p->workers.v[i], now_us))
			return true;
	return false;
}

static bool is_among(const struct pool_worker *w, const uint64_t *names, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (names[i] == w->name_hash)
			return true;
	return false;
}

bool pool_has_other(const struct pool *p, const uint64_t *names, uint32_t count)
{
	for (uint32_t i = 0; i < p->workers.len; i++)
		if (!p->workers.v[i]->draining && !is_among(p->workers.v[i], names, count))
			return true;
	return false;
}

/* overlaps */

static void match(struct pool *p, const struct route_request *r, enum kv_tier tier)
{
	uint32_t n = kv_index_match(p->index, tier, r->hashes, r->hashes_count, p->matches, p->workers.cap);

	for (uint32_t i = 0; i < n; i++) {
		struct pool_worker *w = p->by_slot[p->matches[i].worker];
		if (!w)
			continue;
		if (w->look != p->looks) {
			w->look = p->looks;
			memset(w->overlap, 0, sizeof w->overlap);
		}
		w->overlap[tier] = p->matches[i].blocks;
	}
}

static uint32_t held(const struct pool *p, const struct pool_worker *w, uint32_t tier)
{
	return w->look == p->looks ? w->overlap[tier] : 0;
}

/* How much of r's prompt t's prompt brings, if more than at least. */
static uint32_t shared(const struct pool_ticket *t, const struct route_request *r, uint32_t at_least)
{
	const struct route_request *o = &t->request;

	if (r->hashes_count <= at_least || o->hashes_count <= at_least || o->hashes[at_least] != r->hashes[at_least])
		return at_least;
	return kv_hash_common(o->hashes, o->hashes_count, r->hashes, r->hashes_count);
}

/* The prefix that will be there when what was sent, and what goes before it, is computed. */
static uint32_t overlap_soon(
	struct pool *p, const struct pool_worker *w, const struct route_request *r, uint32_t blocks)
{
	int left = INFLIGHT_LOOK_MAX;

	for (struct list *it = w->inflight.prev; it != &w->inflight && left--; it = it->prev)
		blocks = shared(list_entry(it, struct pool_ticket, inflight), r, blocks);
	if (w->walk == p->walks)
		for (uint32_t i = 0; i < w->held_len; i++)
			blocks = shared(w->held[i], r, blocks);
	return blocks;
}

/* the candidates */

/* Requests of ours whose prompt the running step finishes. */
static uint32_t finishing(const struct pool_worker *w, uint64_t step_tokens)
{
	uint64_t queued = worker_queued(w);
	uint64_t ours = queued ? step_tokens * w->inflight_left / queued : 0;
	uint32_t n = 0;

	for (const struct list *it = w->inflight.next; it != &w->inflight && n < INFLIGHT_LOOK_MAX; it = it->next) {
		uint32_t left = list_entry((struct list *)it, struct pool_ticket, inflight)->left;
		if (left > ours)
			break;
		ours -= left;
		n++;
	}
	return n;
}

static void add_load(const struct pool *p, struct pool_worker *w, struct route_candidate *c, uint64_t now_us)
{
	bool in_walk = w->walk == p->walks;

	worker_advance(w, now_us);
	uint64_t queued = worker_queued(w);
	c->outstanding = w->outstanding;
	c->others = w->others_running + w->others_waiting;
	c->queued = w->inflight_len + w->others_waiting + (in_walk ? w->walk_len : 0);
	c->decoding = w->decoding + w->others_running;
	c->queued_tokens = queued + (in_walk ? w->walk_tokens : 0);
	c->step_tokens = w->step_end_us ? MIN(w->step.prefill, queued) : 0;
	c->load = worker_load(w, now_us);
	c->charged_tokens = w->charged;
	c->context = worker_context(w);
	c->cells = w->report.cells ? w->report.cells : (uint64_t)w->facts.blocks * w->facts.block_size;
	c->cells_used = w->report.cells_used;
	c->cells_promised = w->report.cells_active + c->queued_tokens;
	c->remaining_us = w->step_end_us > now_us ? (double)(w->step_end_us - now_us) : 0;
	c->margin_us = worker_margin_us(w);
	if (worker_may_join(w, now_us)) {
		c->step_tokens = 0;
		c->remaining_us = 0;
	}
	c->finishing = c->step_tokens ? finishing(w, c->step_tokens) : 0;
}

static void add(struct pool *p, struct pool_worker *w, const struct route_request *r, uint64_t now_us)
{
	struct route_candidate *c = &p->candidates[w->at];

	c->worker = w->number;
	c->slots = w->facts.slots;
	c->last_turn = w->last_turn;
	c->name_hash = w->name_hash;
	for (uint32_t tier = 0; tier < ROUTE_TIERS; tier++)
		c->overlap[tier] = MAX(held(p, w, tier), tier ? c->overlap[tier - 1] : 0);
	c->overlap_soon = overlap_soon(p, w, r, c->overlap[0]);
	add_load(p, w, c, now_us);
	c->decode_blocks = p->config.policy->counts_blocks ? worker_blocks_with(p, w, r) : 0;
	c->latency = &w->latency;
	c->pace = worker_pace(w);
	c->calibration = &w->calibration;
	c->tail = calibration_tail(&w->calibration);
	c->speed = w->speed;
	c->speed_damped = w->speed_damped;
	c->trust = calibration_trust(&w->calibration);
	c->batch_tokens = worker_batch(w);
}

static void look_up(struct pool *p, const struct pool_ticket *t)
{
	p->looks++;
	if (!t->request.hashes_count)
		return;
	for (uint32_t tier = 0; tier < ROUTE_TIERS; tier++)
		if (p->tiers & 1u << tier)
			match(p, &t->request, (enum kv_tier)tier);
}

uint32_t pool_view(struct pool *p, const struct pool_ticket *t)
{
	uint64_t now_us = env_now_us(p->env);
	const struct route_request *r = &t->request;
	bool skip_quiet = !r->direct && some_speak(p, now_us);
	bool skip_avoided = r->avoid_count && !r->direct && pool_has_other(p, r->avoid, r->avoid_count);
	uint32_t n = 0;

	look_up(p, t);
	for (uint32_t i = 0; i < p->workers.len; i++) {
		struct pool_worker *w = p->workers.v[i];
		if (!has_room(w, r) || (skip_quiet && is_quiet(w, now_us)))
			continue;
		if (skip_avoided && is_among(w, r->avoid, r->avoid_count))
			continue;
		add(p, w, r, now_us);
		if (n != i)
			p->candidates[n] = p->candidates[i];
		n++;
	}
	return n;
}
