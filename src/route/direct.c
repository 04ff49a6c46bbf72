/* direct: the worker the request names (a gateway in front has chosen). The pool offers no other for such a request, under
 * any policy; this one is for deployments where every request should name one. Those that do not go to the least loaded. */
#include "route/policy.h"

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	uint64_t want = request->direct ? route_name_hash(request->direct) : 0;

	for (uint32_t i = 0; i < snapshot->len && request->direct; i++)
		if (snapshot->v[i].name_hash == want) {
			ret->reason = "the request names it";
			return i;
		}
	return route_least_loaded.pick(snapshot, request, ret);
}

const struct route_policy route_direct = {
	.name = "direct",
	.help = "the worker that the request names",
	.pick = pick,
};
