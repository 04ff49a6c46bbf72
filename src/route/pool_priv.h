/* pool_priv.h - the pool's insides, shared by its files only.
 *
 *   pool.c    tickets: submit, cancel, first token, release      walk.c    late binding: who of those that wait goes now
 *   worker.c  what a worker reports, and what it is doing now     view.c    the snapshot a policy sees */
#ifndef STATOR_ROUTE_POOL_PRIV_H
#define STATOR_ROUTE_POOL_PRIV_H

#include "base/map.h"
#include "base/vec.h"
#include "kv/index.h"
#include "kv/uses.h"
#include "route/calibration.h"
#include "route/pool.h"
#include "route/rent.h"

enum { POOL_HELD_MAX = 8 }; /* placed for one worker in one walk, whose prefixes count */

struct pool_worker {
	void *user;
	struct pool_worker_facts facts;
	char name[64];
	uint64_t name_hash;
	uint32_t number, index_slot, at; /* at: in pool.workers */
	bool draining, step_is_first, blocked; /* first: after idling; blocked: in this walk, one before waits for it */
	uint64_t last_turn;

	/* Ours there. */
	uint32_t outstanding; /* choices */
	uint32_t decoding; /* choices whose ticket has its first token */
	struct list inflight; /* tickets without, in the order sent */
	uint32_t inflight_len;
	uint32_t batch_full; /* tokens of its fullest step of late that left some behind; 0: none has */
	uint64_t inflight_left; /* prompt tokens of them still to be computed */
	uint64_t prompts_done; /* of those whose first token has come since the last report */
	uint64_t charged;
	struct map active; /* prompt blocks of ours there: hash -> how many; only when the policy counts them */
	uint64_t active_loose; /* blocks without a hash: the last, partial one of each prompt */
	/* Tokens of our choices that decode: prompts, and what each has generated, one a decoding step since its first. */
	uint64_t decoding_prompts, decode_steps, decode_since;

	/* Its last report, and what in it is not ours. */
	struct msg_step report;
	uint64_t reported_us, others_tokens;
	uint64_t busy_us; /* since when it has something of ours */
	uint32_t others_running, others_waiting;

	/* The step it is taking by now, as predicted. end 0: none. */
	uint64_t step_start_us, step_end_us;
	struct latency_step step;
	double early_us; /* how long before its predicted end a step has ended of late, at most */

	double load; /* requests there, smoothed over LOAD_TAU_US; brought up to date at load_us */
	uint64_t load_us;

	/* How fast it is. */
	struct latency latency;
	double interval_us, duration_us; /* smoothed sums: between reports by our clock, and as it says */
	double speed_damped, model_speed,
		speed; /* its time for the same work against the mean's, by its model; and by the clock */
	struct calibration calibration;

	/* What it holds. */
	enum { KV_ABSENT, KV_FILLING, KV_SYNCED } sync;
	bool kv_due; /* it could not be cleared in the index: to be done, and a snapshot asked for */
	uint64_t mismatches;

	/* In this walk: those before were placed here. */
	uint64_t walk;
	uint64_t walk_tokens;
	uint32_t walk_len, held_len;
	const struct pool_ticket *held[POOL_HELD_MAX];
	/* In this look: blocks of the prompt at hand. */
	uint64_t look;
	uint32_t overlap[ROUTE_TIERS];
};

struct pool {
	struct env *env;
	struct pool_config config;
	struct kv_index *index;
	struct kv_uses *uses;
	VEC(struct pool_worker *) workers;
	struct pool_worker *by_slot[KV_INDEX_WORKERS_MAX];
	struct route_candidate *candidates; /* room for workers.cap of them */
	struct kv_overlap *matches; /* the same */
	struct latency fleet; /* what the workers have in common */
	enum route_order order;
	struct queue queue;
	struct list age, ready; /* waiting, oldest first; chosen, on_ready not called yet */
	struct list *sweep; /* in age: whose work is looked at again next */
	uint64_t waiting_tokens;
	uint32_t outstanding, next_number, block_size;
	uint32_t tiers; /* a bit each that anything was ever stored in */
	uint64_t turns, looks, walks;
	struct env_timer dispatch, expire, wake, scrub;
	bool deserted; /* as told last */
	struct rents rents;
	double answer_tokens; /* smoothed */
	double ended; /* requests that ended, decaying */
	uint64_t ended_us, since_us;
};

/* pool.c */
void pool_leave_queue(struct pool *p, struct pool_ticket *t);
/* The work t is now, for the order of those that wait. */
double pool_size_of(struct pool *p, const struct pool_ticket *t);

/* walk.c */
void pool_on_dispatch(void *ctx);
/* Look at those that wait in a turn of our own. */
void pool_wake(struct pool *p);
/* Choose a worker for t and send it there, if that is to be now. */
bool pool_try(struct pool *p, struct pool_ticket *t);

/* view.c */
/* Fill p->candidates; returns how many. */
uint32_t pool_view(struct pool *p, const struct pool_ticket *t);
struct pool_worker *pool_numbered(struct pool *p, uint32_t number);

/* worker.c */
void worker_free(struct pool_worker *w);
/* Bring the running step up to now: predicted ends that have passed without a report lead to the next step. */
void worker_advance(struct pool_worker *w, uint64_t now_us);
/* It was idle until this very turn: what is sent now is in its step too, for a turn's frames leave together. */
bool worker_may_join(const struct pool_worker *w, uint64_t now_us);
/* t was sent there. */
void worker_sent(struct pool_worker *w, struct pool_ticket *t, uint64_t now_us);
/* Count t's blocks as active, or no more. */
void worker_count_blocks(const struct pool *p, struct pool_worker *w, const struct pool_ticket *t, bool in);
/* Distinct active blocks there if r came. */
uint64_t worker_blocks_with(const struct pool *p, const struct pool_worker *w, const struct route_request *r);
/* t's prompt is done, or t has ended. */
void worker_prompt_done(struct pool_worker *w, struct pool_ticket *t);
/* Prompt tokens not computed yet, those of the running step too. */
uint64_t worker_queued(const struct pool_worker *w);
/* Tokens of all that decode there. */
uint64_t worker_context(const struct pool_worker *w);
/* t has its first token; one choice of it has ended. */
void worker_decodes(struct pool_worker *w, struct pool_ticket *t);
void worker_decoded(struct pool_worker *w, struct pool_ticket *t);
/* The smoothed load, brought up to now. */
double worker_load(struct pool_worker *w, uint64_t now_us);
/* How long before the predicted end of its step w is sent to. */
uint64_t worker_margin_us(const struct pool_worker *w);
double worker_pace(const struct pool_worker *w);
/* Tokens of one step at most; 0: not known. */
uint32_t worker_batch(const struct pool_worker *w);
/* After any latency model has changed: how each worker compares to the mean. */
void pool_compare_speeds(struct pool *p);

#endif
