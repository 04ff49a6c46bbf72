/* policy.h - which worker gets a request. One file a policy, one table of them.
 *
 * A policy is pure: it sees a snapshot of the candidates, the request and a random number, and names one candidate. It
 * keeps nothing; what it needs of the past (when a worker was last chosen) stands in the snapshot. All candidates can
 * take the request; there is at least one.
 *
 * Thread: pure functions. Cost: O(candidates). */
#ifndef STATOR_ROUTE_POLICY_H
#define STATOR_ROUTE_POLICY_H

#include <stdint.h>

struct route_candidate {
	uint32_t worker; /* the pool's number for it */
	uint32_t outstanding; /* our requests there that have not ended */
	uint32_t others; /* requests there by its last report that are not ours */
	uint64_t queued_tokens; /* prompt tokens not computed yet: its report, and what we sent since */
	uint32_t slots; /* requests it runs at once; never 0 */
	uint64_t step_us_per_token; /* learned; 0: not known yet */
	uint64_t last_turn; /* the dispatch that chose it last; 0: never */
};

struct route_request {
	uint32_t prompt_tokens, max_tokens;
	uint32_t choices; /* it will run so many sequences (n) */
};

struct route_snapshot {
	const struct route_candidate *v;
	uint32_t len;
	uint64_t random;
};

/* What was chosen and why, kept with the request for explain. Lower score is better; second is the best one not
 * chosen. Scores of policies that do not score are 0. */
struct route_choice {
	const char *policy, *reason; /* literals */
	uint32_t worker, candidates;
	uint32_t outstanding; /* at the chosen worker before this request */
	uint64_t queued_tokens;
	double score, score_second;
};

struct route_policy {
	const char *name; /* as in the graph file's router and in --router */
	const char *help; /* one line */
	/* Fill ret except policy and candidates. Returns the index in snapshot->v. */
	uint32_t (*pick)(
		const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret);
};

extern const struct route_policy route_round_robin, route_random, route_least_loaded;

/* The policy of a name; NULL when there is none. "kv" is accepted and means least-loaded, for there is no prefix-aware
 * policy yet: *ret_notice then says so (NULL otherwise; ret_notice may be NULL). */
const struct route_policy *route_policy_find(const char *name, const char **ret_notice);
/* Item i of the table; NULL behind the last. */
const struct route_policy *route_policy_at(uint32_t i);
/* Pick, and fill all of ret. */
uint32_t route_pick(const struct route_policy *policy, const struct route_snapshot *snapshot,
	const struct route_request *request, struct route_choice *ret);

#endif
