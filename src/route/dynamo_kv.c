/* dynamo-kv: NVIDIA Dynamo's formula with its knobs, for comparison. Source: its lib/kv-router/src/scheduling/selector.rs
 * and docs/components/router/router-concepts.md, release 1.6.
 *
 *     raw  = (prompt tokens in prefill there, as charged when sent + prompt tokens of this request) / block
 *     cost = prefill_load_scale max(0, raw - overlap_score_credit overlap) + decode blocks + decode_request_weight requests
 *
 * decode blocks: distinct prompt blocks of all requests active there, this one's included. What a request had to compute
 * stays charged in full until its first token. Lowest cost wins; equal ones by chance. With a temperature, softmax over costs
 * scaled to their range. With a queue threshold a request waits while every worker has more than so many batches of prefill;
 * first come first served, or shortest prompt first (wspt). */
#include "base/compiler.h"
#include "base/limits.h"
#include "route/policy.h"

#include <math.h>

enum { BATCH_DEFAULT = 8192 };

static double cost_of(const struct route_snapshot *s, const struct route_candidate *c, const struct route_request *r)
{
	const struct route_knobs *k = s->knobs;
	double block = s->block_size ? s->block_size : 1;
	double raw = (double)(c->charged_tokens + r->prompt_tokens) / block;
	double prefill = fmax(0, raw - k->overlap_score_credit * c->overlap[0]);

	return k->prefill_load_scale * prefill + (double)c->decode_blocks + k->decode_request_weight * c->outstanding;
}

/* exp(-(cost - least) / (range * temperature)), drawn by its cumulative sum. */
static uint32_t soft_pick(const double *costs, uint32_t len, double temperature, uint64_t random)
{
	double least = costs[0], most = costs[0], sum = 0;

	for (uint32_t i = 1; i < len; i++) {
		least = fmin(least, costs[i]);
		most = fmax(most, costs[i]);
	}
	double unit = most > least ? (most - least) * temperature : 1;
	for (uint32_t i = 0; i < len; i++)
		sum += exp(-(costs[i] - least) / unit);
	double left = (double)(random >> 11) * 0x1p-53 * sum;
	for (uint32_t i = 0; i < len; i++)
		if ((left -= exp(-(costs[i] - least) / unit)) < 0)
			return i;
	return len - 1;
}

static uint32_t pick(const struct route_snapshot *s, const struct route_request *r, struct route_choice *ret)
{
	double costs[WORKERS_MAX];
	uint32_t ties = 1, at;

	ASSERT(s->len);
	for (uint32_t i = 0; i < s->len; i++) {
		costs[i] = cost_of(s, &s->v[i], r);
		const struct route_terms t = {
			.worker = s->v[i].worker, .overlap = s->v[i].overlap[0], .total = (float)costs[i]};
		route_consider(ret, &t);
	}
	if (s->knobs->temperature > 0)
		at = soft_pick(costs, s->len, s->knobs->temperature, s->random);
	else
		at = route_pick_tie(costs, s->len, 0, s->random, &ties);
	ret->score = costs[at];
	ret->reason = ties > 1 ? "among those of least cost, by chance" : "least cost";
	return at;
}

static bool hold(const struct route_snapshot *s, uint32_t at, const struct route_request *r)
{
	(void)at;
	(void)r;
	if (s->knobs->queue_threshold < 0)
		return false;
	for (uint32_t i = 0; i < s->len; i++) {
		uint32_t batch = s->v[i].batch_tokens ? s->v[i].batch_tokens : BATCH_DEFAULT;
		if ((double)s->v[i].charged_tokens <= s->knobs->queue_threshold * batch)
			return false;
	}
	return true;
}

const struct route_policy route_dynamo_kv = {
	.name = "dynamo-kv",
	.help = "NVIDIA Dynamo's cost formula, for comparison: dynamo-kv:prefill_load_scale=16,wspt",
	.pick = pick,
	.hold = hold,
	.counts_blocks = true,
};
