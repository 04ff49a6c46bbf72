/* round-robin: the worker that was chosen longest ago. Counting turns by worker instead of walking an index stays fair
 * when candidates come and go or are skipped while they are full. */
#include "route/policy.h"

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	uint32_t best = 0;

	(void)request;
	for (uint32_t i = 1; i < snapshot->len; i++)
		if (snapshot->v[i].last_turn < snapshot->v[best].last_turn)
			best = i;
	ret->reason = "its turn";
	return best;
}

const struct route_policy route_round_robin = {
	.name = "round-robin",
	.help = "each worker in turn",
	.pick = pick,
};
