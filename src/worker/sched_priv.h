/* sched_priv.h - what sched.c (requests and their ends) and compose.c (what goes into a batch) share. */
#ifndef STATOR_WORKER_SCHED_PRIV_H
#define STATOR_WORKER_SCHED_PRIV_H

#include "base/env.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "worker/marks.h"
#include "worker/sched.h"
#include "worker/seqs.h"
#include "worker/step_model.h"

enum req_state { REQ_WAITING, REQ_RUNNING };
struct req {
	struct list link; /* waiting or running, in order */
	struct env_timer deadline;
	struct sched_request q; /* its tokens and uses members are not used */
	VEC(uint8_t) uses;
	VEC(uint32_t) tokens;
	uint64_t *hashes; /* of the tokens when it was queued */
	uint32_t hashes_count;
	uint64_t arrival; /* breaks ties of priority */
	uint32_t end_max; /* tokens.len at which it is full */
	enum req_state state;
	uint32_t seq; /* when running */
	bool in_flight; /* an item of the batch that is out */
	bool ended; /* the outbox has its done; freed when the step is over */
	bool preempt; /* goes back to the queue when the step is over */
	bool started;
	bool alone; /* deterministic on an engine that must be given its pieces one by one */
	uint32_t give; /* tokens it gets in the batch being composed */
	struct marks marks; /* when running; SEQS_REUSE_WHOLE */
	uint32_t kept_at; /* length at which its mark was looked at */
	uint32_t cached, preemptions;
	uint64_t queued_us, queue_us, started_us, first_token_us;
};

/* What a step holds, as a step report counts it. */
struct step_load {
	uint32_t prefill, decode; /* tokens */
	uint64_t context; /* tokens attended to, over all its sequences */
};

struct sched {
	struct engine_info info;
	struct sched_config config;
	struct seqs seqs;
	struct step_model model;
	struct list waiting, running; /* by priority, then arrival */
	uint32_t waiting_count, running_count;
	uint64_t waiting_tokens; /* of the waiting ones */
	struct map by_id;
	struct timer_heap deadlines;
	uint64_t arrivals, preemptions;
	uint32_t decode_turn; /* whose turn it is when a batch cannot take every decode */
	bool broken;
	uint32_t piece; /* of the prompts of those that are alone */

	/* The batch: at most one item a sequence. */
	bool out; /* compose gave it, apply has not come */
	struct engine_batch batch;
	struct seqs_ops ops; /* what the engine reads */
	struct engine_item *items;
	struct req **item_reqs;
	struct engine_result result;
	uint32_t cells_at_compose;

	VEC(struct sched_token) tokens;
	VEC(struct sched_done) dones; /* always room for one of each request */
	struct step_load last; /* computed by the last step */
};

static inline uint32_t req_left(const struct sched *s, const struct req *r)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an entry of a list is never NULL */
	return r->tokens.len - seqs_len(&s->seqs, r->seq);
}
static inline struct req *req_of(struct list *l)
{
	return list_entry(l, struct req, link);
}

/* The order of both lists: priority, then arrival. */
static inline bool req_before(const struct req *a, const struct req *b)
{
	return a->q.priority != b->q.priority ? a->q.priority > b->q.priority : a->arrival < b->arrival;
}

/* sched.c */
/* Put r into a list that is in order. */
void req_insert(struct list *head, struct req *r);
/* Put r back into the queue; its sequence is retained. Not while in flight. */
void req_requeue(struct sched *s, struct req *r);
/* The last running request in order, if another is before it; else NULL. */
struct req *sched_youngest(struct sched *s);
void req_end(struct sched *s, uint64_t now_us, struct req *r, enum msg_reason reason, int code, const char *fmt, ...)
	PRINTF_LIKE(6, 7);

#endif
