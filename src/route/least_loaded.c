/* least-loaded: the worker with the least work in front of it, relative to what it can do at once.
 *
 *     score = (requests there / slots) + (predicted time of the prompts queued there, in units of 100 ms)
 *
 * The first part says how full the decode batch is, the second how long a newcomer's prefill waits. It does not look at
 * cached prefixes. Near-ties are broken by chance, so that several frontends that see the same numbers do not all choose
 * the same worker. */
#include "base/compiler.h"
#include "base/limits.h"
#include "route/policy.h"

#include <math.h>

static const double prefill_unit_us = 100 * 1000, tie_part = 0.02;

static double score_of(const struct route_candidate *c)
{
	const struct latency_step alone = {0};
	double queue_us = latency_drain_us(c->latency, c->queued_tokens, &alone, c->batch_tokens) * c->pace;
	return ((double)c->outstanding + c->others) / c->slots + queue_us / prefill_unit_us;
}

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	double scores[WORKERS_MAX], best = INFINITY;
	uint32_t ties;

	(void)request;
	ASSERT(snapshot->len);
	for (uint32_t i = 0; i < snapshot->len; i++) {
		scores[i] = score_of(&snapshot->v[i]);
		best = fmin(best, scores[i]);
	}
	uint32_t at = route_pick_tie(scores, snapshot->len, best * tie_part, snapshot->random, &ties);
	ret->score = scores[at];
	for (uint32_t i = 0; i < snapshot->len; i++)
		if (i != at && (ret->score_second == 0 || scores[i] < ret->score_second))
			ret->score_second = scores[i];
	ret->reason = ties > 1 ? "among the least loaded, by chance" : "least loaded";
	return at;
}

const struct route_policy route_least_loaded = {
	.name = "least-loaded",
	.help = "the worker with the fewest requests and queued prompt tokens for its size",
	.pick = pick,
};
