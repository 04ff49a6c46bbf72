/* p2c: two workers by chance, of these the one with less to do. Near the balance of least-loaded without every frontend
 * running to the same worker (Mitzenmacher 2001, "the power of two choices"). */
#include "route/policy.h"

static double load(const struct route_candidate *c)
{
	return ((double)c->outstanding + c->others) / c->slots;
}

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	uint32_t a = (uint32_t)(((snapshot->random >> 32) * snapshot->len) >> 32), b = 0;

	(void)request;
	ret->reason = "the only one";
	if (snapshot->len == 1)
		return 0;
	/* The other one among those left. */
	b = (uint32_t)(((snapshot->random & 0xffffffff) * (snapshot->len - 1)) >> 32);
	b += b >= a;
	uint32_t at = load(&snapshot->v[b]) < load(&snapshot->v[a]) ? b : a;
	ret->score = load(&snapshot->v[at]);
	ret->score_second = load(&snapshot->v[at == a ? b : a]);
	ret->reason = "the less loaded of two by chance";
	return at;
}

const struct route_policy route_p2c = {
	.name = "p2c",
	.help = "of two workers by chance, the less loaded",
	.pick = pick,
};
