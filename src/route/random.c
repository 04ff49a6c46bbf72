/* random: any candidate, all alike. Needs no state, so many frontends never march in step. */
#include "route/policy.h"

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	(void)request;
	ret->reason = "by chance";
	/* The high half, scaled: no modulo bias worth a name for at most 2^10 candidates. */
	return (uint32_t)(((snapshot->random >> 32) * snapshot->len) >> 32);
}

const struct route_policy route_random = {
	.name = "random",
	.help = "any worker, by chance",
	.pick = pick,
};
