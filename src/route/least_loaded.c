/* least-loaded: the worker with the least work in front of it, relative to what it can do at once.
 *
 *     score = (requests there / slots) + (prompt tokens queued there * its time per token, in units of 100 ms)
 *
 * The first part says how full the decode batch is, the second how long a newcomer's prefill waits. A worker whose time
 * a token is not known yet is taken for as fast as the mean of those that are. Near-ties are broken by chance, so that
 * several frontends that see the same numbers do not all choose the same worker. */
#include "route/policy.h"
#include "base/compiler.h"

enum { PREFILL_UNIT_US = 100 * 1000, DEFAULT_US_PER_TOKEN = 100, TIE_PERCENT = 2 };

static double mean_us_per_token(const struct route_snapshot *s)
{
	double sum = 0;
	uint32_t known = 0;

	for (uint32_t i = 0; i < s->len; i++) {
		sum += (double)s->v[i].step_us_per_token;
		known += s->v[i].step_us_per_token > 0;
	}
	return known ? sum / known : DEFAULT_US_PER_TOKEN;
}

static double score_of(const struct route_candidate *c, double mean_us)
{
	double us = c->step_us_per_token ? (double)c->step_us_per_token : mean_us;
	return ((double)c->outstanding + c->others) / c->slots + (double)c->queued_tokens * us / PREFILL_UNIT_US;
}

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	double mean_us = mean_us_per_token(snapshot), best = score_of(&snapshot->v[0], mean_us);
	uint32_t ties = 0, at = 0;

	(void)request;
	for (uint32_t i = 1; i < snapshot->len; i++)
		best = MIN(best, score_of(&snapshot->v[i], mean_us));
	double border = best + best * TIE_PERCENT / 100;
	for (uint32_t i = 0; i < snapshot->len; i++)
		ties += score_of(&snapshot->v[i], mean_us) <= border;
	uint32_t nth = (uint32_t)(((snapshot->random >> 32) * ties) >> 32);
	for (uint32_t i = 0; i < snapshot->len; i++)
		if (score_of(&snapshot->v[i], mean_us) <= border && nth-- == 0) {
			at = i;
			break;
		}
	ret->score = score_of(&snapshot->v[at], mean_us);
	ret->score_second = 0;
	for (uint32_t i = 0; i < snapshot->len; i++) {
		double s = score_of(&snapshot->v[i], mean_us);
		if (i != at && (ret->score_second == 0 || s < ret->score_second))
			ret->score_second = s;
	}
	ret->reason = ties > 1 ? "among the least loaded, by chance" : "least loaded";
	return at;
}

const struct route_policy route_least_loaded = {
	.name = "least-loaded",
	.help = "the worker with the fewest requests and queued prompt tokens for its size",
	.pick = pick,
};
