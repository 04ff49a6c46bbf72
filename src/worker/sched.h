/* sched.h - what goes into each batch: admission, prefill pieces, prefix reuse, pre-emption, eviction; for every stepping
 * engine.
 *
 * A pure state machine: no clock, no thread, no socket. Its holder calls, in turn,
 *
 *     batch = sched_compose(now)  ->  the engine computes it, anywhere  ->  sched_apply(now, result)
 *
 * and between the two may admit and cancel at any time. What came of it (tokens, ends of requests) waits in the outbox
 * until the holder has passed it on; changes of the cached prefixes wait in sched_blocks. Every request that was admitted
 * ends exactly once in the outbox, whatever happens.
 *
 * Rules. Requests run in order of priority, then arrival. One that needs a prefix which a running one is just computing
 * waits for it. When the cells run out, retained prefixes go first, then the youngest running request is pre-empted: its
 * tokens stay, and it is computed again later, often from its own retained prefix. The oldest is never pre-empted, so
 * something always ends. A request that can never fit is refused with both numbers. Where the engine's state cannot go back,
 * prompts pause at marks (marks.h) and copies are kept there.
 *
 * A deterministic request is computed like any other where the engine's results depend on nothing else. Where they depend on
 * what is computed together (ENGINE_EXACT_ALONE) its tokens are: each piece by itself, the prompt in pieces of SCHED_PIECE from
 * its first token on, the answer token by token; and it starts only from whole pieces that were computed so. After a pre-emption
 * its answer is computed again token by token. Where they depend on more it is refused.
 *
 * Thread: one owner. Memory: tokens of the requests (bounded by waiting_max and waiting_tokens_max), and the mirror of the
 * cells (seqs.h). Cost: compose and apply are O(running requests), plus O(tokens) for what starts. */
#ifndef STATOR_WORKER_SCHED_H
#define STATOR_WORKER_SCHED_H

#include "engine/engine.h"
#include "kv/blocks.h"
#include "kv/evict.h"
#include "wire/msg.h"

struct sched_config {
	uint32_t block_size;
	/* Requests running at once; 0: as many as the engine has sequences, or half of them where the others keep checkpoints. */
	uint32_t running_max;
	uint32_t waiting_max; /* requests; 0: SCHED_WAITING_MAX. Past it: refused with -EAGAIN */
	uint64_t waiting_tokens_max; /* their tokens; 0: SCHED_WAITING_TOKENS_MAX */
	uint64_t step_budget_us; /* a step's time while somebody decodes; 0: SCHED_STEP_BUDGET_US */
	uint64_t idle_budget_us; /* and while nobody does; 0: SCHED_IDLE_BUDGET_US */
	const struct kv_evict_policy *evict; /* NULL: age-uses */
	bool deterministic; /* every request is */
};
enum {
	/* Of a deterministic prompt: some 90 ms of the demo model on one core, so others keep their cadence; products of so many
	 * rows run at nearly full speed on a CPU. Less where a batch is small. */
	SCHED_PIECE = 32,
	SCHED_WAITING_MAX = 1024,
	SCHED_WAITING_TOKENS_MAX = 64 * 1024 * 1024, /* 256 MiB of token ids */
	/* Measured with the demo model on one core: a step costs 5 ms and 6 ms a token; four streams take 33 ms a step. With
	 * 100 ms they still get ten tokens a second each, half again as fast as people read, and prefill gets ten tokens a
	 * step, two thirds of its full speed; with 50 ms it would get two, less than a quarter. On a GPU (0.02 to 0.1 ms a
	 * token) the budget admits a thousand tokens and more, so the batch size is what limits there. */
	SCHED_STEP_BUDGET_US = 100 * 1000,
	/* When nobody decodes nobody's cadence suffers, but a newcomer waits for the step that runs; half a second of work
	 * makes the step's fixed cost (5 ms above) one percent. */
	SCHED_IDLE_BUDGET_US = 500 * 1000,
};

#define SCHED_NOT_EXACT                                                                                                \
	"\"deterministic\" is not possible here: on this device the result of a token depends on where in the cache "  \
	"its "                                                                                                         \
	"sequence lies; a llama worker on CPUs can do it"

struct sched;
struct sched_request {
	uint64_t id; /* unique among those that have not ended */
	void *user; /* comes back in the outbox */
	const uint32_t *tokens; /* prompt, and what was generated elsewhere before */
	uint32_t tokens_count, prompt_len;
	uint32_t max_tokens; /* generated in all; 0: until the context is full; clipped to it */
	uint32_t min_tokens;
	bool ignore_eos;
	uint32_t logprobs; /* 0: none; k + 1: the chosen one's and the k likeliest */
	uint64_t deadline_us; /* on the holder's clock; 0: none */
	int32_t priority;
	const uint8_t *uses; /* of its first whole blocks: by how many requests the router saw each used */
	uint32_t uses_count;
	uint64_t kv_seed; /* requests share prefixes only with those of the same seed */
	bool deterministic; /* every bit of its logits depends on its tokens alone, whatever else runs or is cached */
	bool no_cache; /* nothing that is cached is used, also after a pre-emption; what it leaves may be used by others */
	struct engine_sampling sampling;
};

struct sched_token {
	uint64_t id;
	void *user;
	uint32_t token;
	bool logprobs;
	const struct engine_out *out; /* valid until the next compose */
};
struct sched_done {
	uint64_t id;
	void *user;
	enum msg_reason reason;
	int code;
	char error[192];
	uint32_t cached_tokens, generated, preemptions;
	uint64_t queue_us, prefill_us, decode_us;
};
struct sched_outbox {
	const struct sched_token *tokens; /* all of them before the dones */
	const struct sched_done *dones;
	uint32_t tokens_count, dones_count;
};

/* Copies config and what it needs of info. 0, -EINVAL or -ENOMEM. */
int sched_create(
	struct sched **ret, const struct engine_info *info, const struct sched_config *config, struct err *err);
/* Not while a batch is out. */
void sched_destroy(struct sched *s);

/* Copies. 0: the request will end exactly once in the outbox (it may be there already, refused). -ENOMEM: it was not
 * taken. */
int sched_admit(struct sched *s, uint64_t now_us, const struct sched_request *q);
/* End a request now (its cells are free after the step that is out). False: there is none of that id. */
bool sched_cancel(struct sched *s, uint64_t now_us, uint64_t id);
/* Take the youngest running request back to the queue. False when fewer than two run. */
bool sched_preempt(struct sched *s);
/* End every request with FAILED and this sentence. */
void sched_fail_all(struct sched *s, uint64_t now_us, int code, const char *why);

/* The next batch, or NULL when nothing can be done. Borrowed until sched_apply, which must follow. */
const struct engine_batch *sched_compose(struct sched *s, uint64_t now_us);
/* Where the engine writes the result of that batch. */
struct engine_result *sched_result(struct sched *s);
/* What the step did. code is engine_step's. 0, or negative: the engine or we are broken (err says how); every request
 * has been ended with FAILED and the sched takes no more. */
int sched_apply(struct sched *s, uint64_t now_us, int code, struct err *err);
/* The batch that is out, or NULL. */
const struct engine_batch *sched_in_flight(const struct sched *s);

/* Borrowed until the next call that changes the sched. */
struct sched_outbox sched_outbox(const struct sched *s);
void sched_outbox_clear(struct sched *s);
/* When the next deadline passes (a compose then ends it); UINT64_MAX: none. */
uint64_t sched_next_deadline_us(const struct sched *s);
/* End what is past its deadline. compose does it too. */
void sched_expire(struct sched *s, uint64_t now_us);
/* The account of cached prefixes: drain and snapshot it. */
struct kv_blocks *sched_blocks(struct sched *s);
/* Requests that run at once, at most. */
uint32_t sched_running_max(const struct sched *s);
/* Requests not ended. */
uint32_t sched_requests(const struct sched *s);
/* True when the engine, or memory, failed for good: every request was ended and none is taken any more. */
bool sched_broken(const struct sched *s);
/* Fill all but step and duration_us; what was computed is of the last apply, what is next of the batch that is out. */
void sched_report(const struct sched *s, struct msg_step *ret);

#endif
