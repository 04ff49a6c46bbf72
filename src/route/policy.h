/* policy.h - which worker gets a request. One file a policy, one table of them.
 *
 * A policy is pure: it sees a snapshot of the candidates, the request and a random number, and names one candidate. It
 * keeps nothing; what it needs of the past (when a worker was last chosen) stands in the snapshot. All candidates can
 * take the request; there is at least one.
 *
 * Thread: pure functions. Cost: O(candidates). */
#ifndef STATOR_ROUTE_POLICY_H
#define STATOR_ROUTE_POLICY_H

#include "base/err.h"
#include "engine/latency.h"
#include "route/calibration.h"

#include <stdbool.h>
#include <stdint.h>

enum { ROUTE_LOAD_TAU_US = 10 * 1000 * 1000 };
enum { ROUTE_TIERS = 3 }; /* device, host, disk, as enum msg_tier */

/* A worker that may get the request: what it holds, what it has to do, how fast it is. */
struct route_candidate {
	uint32_t worker; /* the pool's number for it */
	uint32_t slots; /* requests it runs at once; never 0 */
	uint64_t last_turn; /* the dispatch that chose it last; 0: never */
	uint64_t name_hash; /* route_name_hash of its name, for session and direct */

	/* Leading blocks of this prompt that are there, by its events (each tier counts from the first block, what faster
	 * tiers hold included), and those that will be: prompts sent there before bring them. */
	uint32_t overlap[ROUTE_TIERS], overlap_soon;
	uint32_t tail; /* tokens it usually finds beyond the blocks known to be there, if any are */

	uint32_t outstanding; /* our requests there that have not ended */
	uint32_t others; /* requests there by its last report that are not ours */
	double load; /* requests there, smoothed over ROUTE_LOAD_TAU_US */
	uint32_t queued, decoding; /* requests whose prompt is not computed; those that have got their first token */
	uint32_t finishing; /* of the queued: their prompt is done when the running step ends */
	uint64_t queued_tokens; /* prompt tokens not computed yet, cached parts left out */
	uint64_t step_tokens; /* of these, in the running step */
	uint64_t charged_tokens; /* what our requests there without a first token had to compute when they were sent */
	uint64_t decode_blocks; /* distinct prompt blocks of our requests there with this one; counts_blocks only */
	uint64_t context; /* tokens of the requests that run, prompt and answer */
	uint64_t cells, cells_used; /* KV cells; cells 0: not known */
	uint64_t cells_promised; /* cells that requests there hold or will need for their prompts */

	double remaining_us; /* predicted: until its running step ends */
	double margin_us; /* so long before that end it is sent to at the latest, for the step may end early */
	const struct latency *latency;
	double pace; /* its own clock against its reports; 1: as it says */
	const struct calibration *calibration; /* its answers against predictions; NULL: as predicted */
	double speed; /* its time for a unit of prefill against the mean worker's; 1: as all; 2: takes twice as long */
	double speed_damped; /* speed^0.2 */
	double trust; /* 1: predictions come true; towards 0: they do not */
	uint32_t batch_tokens; /* tokens of one step at most; 0: not known */
};

enum { ROUTE_AVOID_MAX = 2 };
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
	const uint64_t *
		avoid; /* route_name_hash of workers that failed it: not there, where there are others. Borrowed as hashes */
	uint32_t avoid_count;
};

/* Settings of policies that have any. */
struct route_knobs {
	double prefill_load_scale, overlap_score_credit, decode_request_weight, temperature; /* dynamo-kv */
	double queue_threshold; /* batches of prefill; negative: no queue */
	bool wspt; /* shortest prompt first, not first come first served */
};
/* Dynamo's defaults: scale 1, credit 1, no queue. */
extern const struct route_knobs route_knobs_default;

struct route_snapshot {
	const struct route_candidate *v;
	uint32_t len;
	uint32_t block_size; /* tokens of a block; 0: not known yet */
	const struct route_knobs *knobs;
	const struct latency *fleet; /* what the workers have in common: a worker of speed 1 */
	uint32_t held_most; /* blocks of this prompt at the candidate that has most of them */
	double rent_us; /* rent that prefix has paid since it was last copied: rent.h */
	double answer_tokens; /* what answers have lately been long, in the mean */
	uint64_t random;
};

enum { ROUTE_CONSIDERED_MAX = 8 };
/* A candidate as its policy saw it. Lower total is better; policies that do not predict leave the times 0. */
struct route_terms {
	uint32_t worker, overlap; /* blocks there or on the way there */
	float wait_us, own_us; /* until its prefill begins; its own prefill */
	float others_us, decode_us; /* delay to those who decode there; and what the answer costs */
	float total;
};

/* What was chosen and why, kept with the request for explain. Scores of policies that do not score are 0. */
struct route_choice {
	const char *policy, *reason; /* literals */
	uint32_t worker, candidates;
	uint32_t outstanding; /* at the chosen worker before this request */
	uint32_t overlap_blocks; /* there or on the way there */
	uint64_t queued_tokens;
	double predicted_us; /* to the first token, from dispatch; 0: not predicted */
	double model_us; /* the same before the worker's bias was taken out */
	double score, score_second; /* second: the best one not chosen */
	uint32_t considered_len;
	struct route_terms considered[ROUTE_CONSIDERED_MAX]; /* the best, best first */
};

/* Prompt tokens a candidate must compute, at least one. */
static inline uint32_t route_uncached(
	const struct route_snapshot *s, const struct route_candidate *c, const struct route_request *r)
{
	uint64_t cached = c->overlap_soon ? (uint64_t)c->overlap_soon * s->block_size + c->tail : 0;
	return cached < r->prompt_tokens ? r->prompt_tokens - (uint32_t)cached : 1;
}

/* How a request went, told when it has ended (or has its first token, and again at its end). */
struct route_outcome {
	uint64_t ttft_us; /* from submit to the first token; 0: none came */
	uint32_t cached_tokens; /* of its prompt, as the worker says */
	uint32_t generated; /* tokens */
};

/* In which order requests that wait are looked at. */
enum route_order {
	ROUTE_FCFS,
	ROUTE_RESPONSE_RATIO, /* (waited + own time) / own time, highest first: short ones early, nobody starves */
	ROUTE_SHORTEST, /* fewest prompt tokens first (weighted shortest processing time); the long ones starve */
};

/* How long before the end of its running step a worker is sent to at the latest. */
enum { ROUTE_HOLD_US = 5000 };

struct route_policy {
	const char *name; /* as in the graph file's router and in --router */
	const char *help; /* one line */
	/* Fill ret except policy and candidates. Returns the index in snapshot->v. */
	uint32_t (*pick)(
		const struct route_snapshot *snapshot, const struct route_request *request, struct route_choice *ret);
	/* Is it better to keep the request here for now, where it can still go elsewhere? NULL: never. Requests that
	 * wait are shown to it again whenever anything changes. */
	bool (*hold)(const struct route_snapshot *snapshot, uint32_t at, const struct route_request *request);
	bool at_step_end; /* hold lets go only of requests for workers whose step ends within ROUTE_HOLD_US */
	bool counts_blocks; /* wants decode_blocks */
	enum route_order order;
};

extern const struct route_policy route_finish_time, route_dynamo_kv, route_prefix, route_round_robin, route_random,
	route_least_loaded, route_p2c, route_session, route_direct;

/* The policy of a name; NULL when there is none. "kv" is finish-time. */
const struct route_policy *route_policy_find(const char *name);
/* The same with settings behind a colon: "dynamo-kv:prefill_load_scale=16,overlap_score_credit=1.3,
 * router_queue_threshold=0.25,wspt". ret_knobs: the defaults and these. NULL: err says which word is wrong. */
const struct route_policy *route_policy_parse(const char *text, struct route_knobs *ret_knobs, struct err *err);
/* Item i of the table; NULL behind the last. */
const struct route_policy *route_policy_at(uint32_t i);
/* Pick, and fill all of ret. */
uint32_t route_pick(const struct route_policy *policy, const struct route_snapshot *snapshot,
	const struct route_request *request, struct route_choice *ret);
/* The same for the same name everywhere, so that several frontends agree. */
uint64_t route_name_hash(const char *name);
/* For policies: note a candidate among the best. */
void route_consider(struct route_choice *ret, const struct route_terms *terms);
/* Item number nth of those with score within slack of the best: near-ties are broken by chance. */
uint32_t route_pick_tie(const double *scores, uint32_t len, double slack, uint64_t random, uint32_t *ret_ties);

#endif
