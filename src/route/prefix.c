/* prefix: the worker that holds most of the prompt; among equals the one with least to do. No load term otherwise: where
 * nearly every prompt shares its first block (one system prompt) all of them go to one worker. Kept for comparison, and
 * for loads whose prompts share either much or nothing. */
#include "base/compiler.h"
#include "base/limits.h"
#include "route/policy.h"

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	double scores[WORKERS_MAX];
	uint32_t longest = 0, ties;

	(void)request;
	ASSERT(snapshot->len);
	for (uint32_t i = 0; i < snapshot->len; i++)
		longest = MAX(longest, snapshot->v[i].overlap_soon);
	for (uint32_t i = 0; i < snapshot->len; i++) {
		const struct route_candidate *c = &snapshot->v[i];
		double load = ((double)c->outstanding + c->others) / c->slots;
		scores[i] = longest - c->overlap_soon + MIN(load / 16, 0.99);
	}
	uint32_t at = route_pick_tie(scores, snapshot->len, 0, snapshot->random, &ties);
	ret->score = scores[at];
	ret->reason = longest ? "holds most of the prompt" : "nobody holds any of it; least to do";
	return at;
}

const struct route_policy route_prefix = {
	.name = "prefix",
	.help = "the worker that holds most of the prompt, however busy it is",
	.pick = pick,
};
