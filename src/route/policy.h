/* policy.h - which worker gets a request. One file a policy, one table of them.
 *
 * A policy is pure: it sees a snapshot of the candidates, the request and a random number, and names one candidate. It
 * keeps nothing; what it needs of the past (when a worker was last chosen) stands in the snapshot. All candidates can
 * take the request; there is at least one.
 *
 * Thread: pure functions. Cost: O(candidates). */
#ifndef STATOR_ROUTE_POLICY_H
#define STATOR_ROUTE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum { ROUTE_TIERS = 3 }; /* device, host, disk, as enum msg_tier */

/* A worker that may get the request: what it holds, what it has to do, how fast it is. */
struct route_candidate {
	uint32_t worker; /* the pool's number for it */
	uint32_t slots; /* requests it runs at once; never 0 */
	uint64_t last_turn; /* the dispatch that chose it last; 0: never */

	/* Leading blocks of this prompt that are there, by its events (each tier counts from the first block, what faster
	 * tiers hold included), and those that will be: prompts sent there before bring them. */
	uint32_t overlap[ROUTE_TIERS], overlap_soon;

	uint32_t outstanding; /* our requests there that have not ended */
	uint32_t others; /* requests there by its last report that are not ours */
	uint32_t queued, decoding; /* requests whose prompt is not computed; those that have got their first token */
	uint64_t queued_tokens; /* prompt tokens not computed yet: its report, and what we sent since */
	uint64_t context; /* tokens of the requests that run, prompt and answer */
	uint64_t cells, cells_used, cells_active, cells_promised; /* KV cells; promised: to prompts sent, not there yet */

	uint64_t remaining_us; /* predicted: until its running step ends */
	uint64_t step_us_per_token; /* learned; 0: not known yet */
	uint32_t batch_tokens; /* tokens of one step at most; 0: not known */
};

struct route_request {
	uint32_t prompt_tokens, max_tokens;
	uint32_t choices; /* it will run so many sequences (n) */
	/* Prefix hashes of the whole blocks of the prompt. Borrowed until the ticket is idle again. */
	const uint64_t *hashes;
	uint32_t hashes_count;
	int32_t priority; /* higher goes first; 0: as usual */
	uint64_t deadline_us; /* by the env's clock; no dispatch after it. 0: none */
	uint64_t tenant; /* whose it is (hash of the API key, say): tenants share evenly. 0: nobody's */
	uint64_t session; /* of one conversation, for the session policy. 0: none */
	const char *direct; /* name of the worker it must go to. Borrowed as hashes. NULL: any */
};

struct route_snapshot {
	const struct route_candidate *v;
	uint32_t len;
	uint32_t block_size; /* tokens of a block; 0: not known yet */
	uint64_t random;
};

/* What was chosen and why, kept with the request for explain. Lower score is better; second is the best one not
 * chosen. Scores of policies that do not score are 0. */
struct route_choice {
	const char *policy, *reason; /* literals */
	uint32_t worker, candidates;
	uint32_t outstanding; /* at the chosen worker before this request */
	uint32_t overlap_blocks; /* there or on the way there */
	uint64_t queued_tokens;
	double score, score_second;
};

/* How a request went, told when it has ended (or has its first token, and again at its end). */
struct route_outcome {
	uint64_t ttft_us; /* from submit to the first token; 0: none came */
	uint32_t cached_tokens; /* of its prompt, as the worker says */
	uint32_t generated; /* tokens */
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
