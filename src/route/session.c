/* session: one conversation, one worker, as long as that worker is not much busier than the others.
 *
 * Which worker is a matter of hashing the session with each worker's name and taking the highest (rendezvous hashing):
 * no table, all frontends agree, and a worker that comes or goes moves only its own sessions. The affinity is soft: a
 * worker with more than twice the mean load, and at least four requests more, is passed over for the next in the
 * session's order. A request without a session goes where it is done first. */
#include "route/policy.h"

static const double load_factor = 2, load_slack = 4;

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ (b * 0x9e3779b97f4a7c15ull)) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ (h >> 31)) * 0x94d049bb133111ebull;
	return h ^ (h >> 29);
}

static double load(const struct route_candidate *c)
{
	return (double)c->outstanding + c->others;
}

static uint32_t pick(
	const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret)
{
	uint64_t best = 0, first = 0;
	uint32_t at = 0;
	double sum = 0;

	if (!request->session)
		return route_finish_time.pick(snapshot, request, ret);
	for (uint32_t i = 0; i < snapshot->len; i++)
		sum += load(&snapshot->v[i]);
	double limit = load_factor * sum / snapshot->len + load_slack;
	for (uint32_t i = 0; i < snapshot->len; i++) {
		uint64_t h = mix(request->session, snapshot->v[i].name_hash);
		first = h > first ? h : first;
		if (load(&snapshot->v[i]) <= limit && h >= best) {
			best = h;
			at = i;
		}
	}
	ret->score = load(&snapshot->v[at]);
	ret->reason = best == first ? "the session's worker" : "the session's worker is too busy; its next one";
	return at;
}

const struct route_policy route_session = {
	.name = "session",
	.help = "each session to one worker, unless that is much busier than the others",
	.pick = pick,
};
