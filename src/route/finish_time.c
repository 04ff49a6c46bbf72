/* finish-time: the worker where the request costs least, in microseconds of everybody's waiting. No knobs: what changes
 * from load to load is measured.
 *
 *     wait   = what is left of the running step + steps to compute the prompts queued there       by the worker's own times
 *     own    = drain(queued + uncached) - drain(queued)           the pool's common times; here = speed * own on this worker
 *     growth = what this prompt adds to each step of those that decode there, times the steps of an answer
 *     delay  = fading * requests there * growth  +  room * excess * (own here + growth)
 *     cost   = wait + 2 * speed^0.2 * own + delay                                                least wins, ties by chance
 *
 * It is the request's own time, and what its coming costs the others:
 * - own counts twice: once for the request, once for the next one behind it, which waits as long.
 * - own is taken from the pool's common model, and a worker's speed enters with a small power only. With its own times
 *   in full, whoever is thought to be a few per cent faster wins every tie of idle workers, the others' caches lie idle, and
 *   nothing is ever learned about them. Waiting is at the worker's own speed: that difference is real at once.
 * - Those that decode there get slower by the context this prompt adds, for as long as it answers. But a momentary
 *   difference between two workers lasts only until later arrivals have filled it: with n requests running on each, one of
 *   n + 1 places is refilled while this one answers, so the difference counts 1 / (n + 1) of that time, half of it as it
 *   fades. And where KV is full, room left free here is taken at once by those that wait: sending to the emptiest frees
 *   nobody. So fading = room / (2 (n + 1)), room = the part of the whole pool's KV that is free.
 * - A difference that lasts is another matter: a prefix so popular that its worker is always the busiest. There each request
 *   costs all that it costs: those that decode stand still for its prefill, and are slowed by its context, as many as there
 *   are more than elsewhere. excess = requests there in the mean of ten seconds, above the mean worker's by more than three
 *   times what chance makes of it (a smoothed count of n with stays of s varies by sqrt(n s / 20 s)). When it exceeds what a
 *   second copy of the prefix costs, one is made, once: hot prefixes replicate by arithmetic.
 * - And where a prefix holds its requests to a busy worker while another stands idle, they pay rent (rent.h) until the next
 *   copy is paid for. It counts three times: own counts twice in what the copy costs, and an answer beside others is slower
 *   as well.
 *
 * Requests are kept at the router, where they can still go elsewhere, until their worker's step is about to end, there is
 * room in its next one and in its KV, and (micro-batches) those queued for that step would not wait longer for this prompt
 * than sharing it saves this one, twice. Order: highest response ratio.
 *
 * Evidence, and what was tried and rejected: docs/design/routing.md. */
#include "base/compiler.h"
#include "base/limits.h"
#include "route/policy.h"

#include <math.h>

static const double ft_behind = 1, ft_fading = 0.5, ft_batch_factor = 2, ft_tie_part = 0.001, ft_chance = 3,
		    ft_rent = 3;

/* What is the same for all candidates of a decision. */
struct common {
	const struct route_snapshot *s;
	const struct route_request *r;
	double answer; /* tokens it will have */
	double room, fading, load_usual; /* load up to which chance may be the reason */
};

/* What its next step holds beside prompts. */
static struct latency_step beside(const struct route_candidate *c)
{
	return (struct latency_step){
		.decodes = c->decoding + c->finishing, .context = c->context, .used = c->cells_used};
}

/* The smoothed load that the mean worker shows now and then. */
static double load_usual(const struct route_snapshot *s, double load, const struct latency_step *typical)
{
	double stay_us = s->answer_tokens * latency_step_us(s->fleet, typical);
	return load + ft_chance * sqrt(load * fmin(1, stay_us / (2.0 * ROUTE_LOAD_TAU_US)));
}

static struct common common(const struct route_snapshot *s, const struct route_request *r)
{
	double requests = 0, load = 0, context = 0, cells = 0, taken = 0;

	for (uint32_t i = 0; i < s->len; i++) {
		const struct route_candidate *c = &s->v[i];
		requests += c->decoding + c->queued;
		load += c->load;
		context += (double)c->context;
		cells += (double)c->cells;
		taken += (double)MIN(c->cells_promised, c->cells);
	}
	const struct latency_step typical = {
		.decodes = (uint32_t)(requests / s->len) + 1, .context = (uint64_t)(context / s->len)};
	double room = cells > 0 ? 1 - taken / cells : 1;
	return (struct common){
		.s = s,
		.r = r,
		.answer = r->max_tokens ? fmin(s->answer_tokens, r->max_tokens) : s->answer_tokens,
		.room = room,
		.fading = ft_fading * room / (requests / s->len + 1),
		.load_usual = load_usual(s, load / s->len, &typical),
	};
}

/* Returns the bias that is in the times. */
static double weigh(const struct common *k, const struct route_candidate *c, struct route_terms *ret)
{
	const struct latency_step b = beside(c);
	uint64_t queued = c->queued_tokens - c->step_tokens, uncached = route_uncached(k->s, c, k->r);
	double wait = latency_drain_us(c->latency, queued, &b, c->batch_tokens) * c->pace;
	double own = latency_drain_us(k->s->fleet, queued + uncached, &b, c->batch_tokens) -
		     latency_drain_us(k->s->fleet, queued, &b, c->batch_tokens);
	double growth = latency_context_us(c->latency, c->context, k->r->prompt_tokens) * c->pace * k->answer;
	double excess = fmax(0, c->load - k->load_usual);

	own = fmax(own, 0);
	double bias = c->calibration ? calibration_bias(c->calibration, c->remaining_us + wait + own * c->speed) : 1;
	wait *= bias;
	*ret = (struct route_terms){
		.worker = c->worker,
		.overlap = c->overlap_soon,
		.wait_us = (float)(c->remaining_us + wait),
		.own_us = (float)(own * c->speed * bias),
		.others_us = (float)(k->fading * (c->decoding + c->queued) * growth +
				     k->room * excess * (own * c->speed + growth)),
	};
	double doubt = 1 + (1 - c->trust);
	ret->total = (float)(doubt * (c->remaining_us + wait) + (1 + ft_behind) * doubt * own * c->speed_damped) +
		     ret->others_us;
	if (c->overlap_soon >= k->s->held_most)
		ret->total += (float)(ft_rent * k->s->rent_us);
	return bias;
}

static uint32_t pick(const struct route_snapshot *s, const struct route_request *r, struct route_choice *ret)
{
	const struct common k = common(s, r);
	double totals[WORKERS_MAX];
	struct route_terms t;
	uint32_t ties;

	ASSERT(s->len);
	for (uint32_t i = 0; i < s->len; i++) {
		(void)weigh(&k, &s->v[i], &t);
		totals[i] = t.total;
		route_consider(ret, &t);
	}
	uint32_t at = route_pick_tie(totals, s->len, ret->considered[0].total * ft_tie_part, s->random, &ties);
	double bias = weigh(&k, &s->v[at], &t);
	ret->predicted_us = t.wait_us + t.own_us;
	ret->model_us = (t.wait_us + t.own_us) / bias;
	ret->score = t.total;
	ret->reason = ties > 1 ? "among those of least cost, by chance" : "least cost";
	return at;
}

/* Would those queued for the worker's next step wait longer for this prompt than sharing it saves this one: the step after
 * it, with all that decodes there? */
static bool is_too_long(const struct route_candidate *c, uint64_t queued, uint32_t uncached)
{
	const struct latency_step b = beside(c);
	struct latency_step after = b;

	after.prefill = 1;
	double more = latency_drain_us(c->latency, queued + uncached, &b, c->batch_tokens) -
		      latency_drain_us(c->latency, queued, &b, c->batch_tokens);
	return (c->queued - c->finishing) * more > ft_batch_factor * latency_step_us(c->latency, &after);
}

static bool hold(const struct route_snapshot *s, uint32_t at, const struct route_request *r)
{
	const struct route_candidate *c = &s->v[at];
	uint64_t queued = c->queued_tokens - c->step_tokens;
	uint32_t uncached = route_uncached(s, c, r);

	if (c->remaining_us > c->margin_us || (c->batch_tokens && queued + c->decoding >= c->batch_tokens))
		return true;
	if (c->cells && c->cells_promised + uncached > c->cells && c->decoding + c->queued)
		return true;
	return queued && is_too_long(c, queued, uncached);
}

const struct route_policy route_finish_time = {
	.name = "finish-time",
	.help = "the worker where the request is done first and delays others least, by learned times",
	.pick = pick,
	.hold = hold,
	.at_step_end = true,
	.order = ROUTE_RESPONSE_RATIO,
};
