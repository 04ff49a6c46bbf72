/* pool.h - the workers of one model, what each has to do and holds, and the requests that wait for one.
 *
 * A ticket stands for one prompt and its choices (n sequences on one worker). It is submitted, gets a worker at once or
 * waits in the bounded queue (queue.h: priority, tenants, order), is released choice by choice as they end, and is shed
 * when its wait or its time is over. What was dispatched counts as load, and as cached prefix, at once, not when the
 * worker reports it.
 *
 * Late binding: a policy may keep a request here until a worker's running step is about to end. Each change (a request, a
 * report, a step about to end) has those that wait looked at again, best first, at most POOL_WALK_MAX of them a turn, each
 * counting those before it as already placed.
 *
 * The pool owns the index of cached prefixes (kv/index.h) and each worker's latency model (engine/latency.h).
 *
 * Thread: the env's loop. Calls back only from turns of its own, never from inside a call. Memory: some kilobytes a worker,
 * the index's budget; tickets live in their owner. Nothing is allocated on the way of a decision. */
#ifndef STATOR_ROUTE_POOL_H
#define STATOR_ROUTE_POOL_H

#include "base/env.h"
#include "route/policy.h"
#include "route/queue.h"
#include "wire/msg.h"

struct pool;
struct pool_worker;
struct kv_index;
struct calibration;

enum { POOL_WALK_MAX = 64 };

struct pool_config {
	const struct route_policy *policy;
	struct route_knobs knobs; /* route_knobs_default when the policy has none */
	uint32_t waiting_max; /* tickets in the queue; past it: POOL_FULL */
	uint64_t waiting_tokens_max; /* their prompt tokens; 0: no limit. An empty queue takes any ticket */
	uint64_t wait_us_max; /* of one ticket; then on_shed */
	uint64_t index_bytes_max; /* of the index of cached prefixes; 0: its default */
	uint64_t index_secret[2]; /* of it; see kv/index.h */
	uint32_t uses_blocks_max; /* of the directory of uses, 8 bytes each; 0: a million */
};

enum pool_state { POOL_IDLE, POOL_WAITING, POOL_READY, POOL_FULL };
enum pool_shed { POOL_SHED_NO_WORKER, POOL_SHED_BUSY, POOL_SHED_DEADLINE };

/* What a worker says of itself when it comes. */
struct pool_worker_facts {
	const char *name; /* for "direct" and for people */
	uint32_t slots; /* sequences it runs at once; 0: taken as 256 */
	uint32_t blocks, block_size; /* its KV cache; 0: not known */
	uint32_t context_max; /* 0: not known */
	uint32_t batch_tokens; /* of one step at most; 0: learned from steps that leave some behind */
};

struct pool_ticket {
	struct route_request request; /* set by the owner before submit */
	/* Room of the owner's for one byte a hash, or NULL. Filled at dispatch: how many different requests have used the
	 * block (kv/uses.h); travels with the request, for the worker's eviction. */
	uint8_t *uses;
	/* A worker was found after all (state is POOL_READY, worker and choice are set). */
	void (*on_ready)(struct pool_ticket *t);
	/* Nobody took it in time; the ticket is idle again. */
	void (*on_shed)(struct pool_ticket *t, enum pool_shed why);
	/* Set by the pool. */
	struct route_choice choice;
	struct route_outcome outcome; /* as told last */
	struct pool_worker *worker;
	enum pool_state state;
	uint64_t submitted_us, ready_us, first_us; /* 0: not yet */
	/* Private. */
	struct queue_item queued; /* in the queue; its link also in the list of those that are ready */
	struct list age, inflight; /* waiting, oldest first; at its worker, without a first token */
	struct env_timer deadline;
	struct pool *pool;
	uint64_t decode_since;
	uint32_t choices_left, left, uncached, charged;
};

int pool_create(struct pool **ret, struct env *env, const struct pool_config *config, struct err *err) MUST_USE;
/* No ticket may be waiting or dispatched. */
void pool_destroy(struct pool *p);

/* How many there are, drained ones too. */
uint32_t pool_workers(const struct pool *p);
/* A worker is up. NULL: out of memory or WORKERS_MAX are there. Copies facts. */
struct pool_worker *pool_worker_add(struct pool *p, const struct pool_worker_facts *facts, void *user);
void *pool_worker_user(const struct pool_worker *w);
const char *pool_worker_name(const struct pool_worker *w);
/* The name of the worker that route_candidate and route_terms call number; "" when it is gone. */
const char *pool_number_name(const struct pool *p, uint32_t number);
/* It is gone. Every ticket dispatched to it must have been released before. */
void pool_worker_remove(struct pool *p, struct pool_worker *w);
/* It takes no new requests. */
void pool_worker_drain(struct pool *p, struct pool_worker *w);
/* What its last step was: learns from it, and wakes those that wait. 0, or 1: what we know of its cache differs from
 * what it says; ask it for a snapshot (MSG_RESYNC). */
int pool_worker_report(struct pool *p, struct pool_worker *w, const struct msg_step *step);
/* What it holds has changed. 0, or 1 as above. */
int pool_worker_kv(struct pool *p, struct pool_worker *w, const struct msg_kv *kv);
uint32_t pool_worker_outstanding(const struct pool_worker *w);
/* One line for people: what it has to do, its latency model, how far its predictions come true. */
void pool_worker_print(const struct pool_worker *w, struct buf *out);

/* Ask for a worker. POOL_READY: t->worker is it, now. POOL_WAITING: on_ready or on_shed follows. POOL_FULL: refused,
 * the ticket is idle. */
enum pool_state pool_submit(struct pool *p, struct pool_ticket *t);
/* Take a waiting ticket back. Harmless when it does not wait. O(1). */
void pool_cancel(struct pool *p, struct pool_ticket *t);
/* The first token of a ticket is here: its prompt is no queued work any more. Harmless when said again. */
void pool_first_token(struct pool *p, struct pool_ticket *t);
/* How it went, told as often as more is known; what was told last before the last pool_release counts. */
void pool_outcome(struct pool *p, struct pool_ticket *t, const struct route_outcome *outcome);
/* One choice of a dispatched ticket has ended; idle again after the last. */
void pool_release(struct pool *p, struct pool_ticket *t);

/* yes: the workers that were up are gone and give no sign of life, so that those that wait, and newcomers, are shed at once
 * (POOL_SHED_NO_WORKER) instead of after wait_us_max. It says nothing while a worker is up. */
void pool_desert(struct pool *p, bool yes);
bool pool_is_deserted(const struct pool *p);

/* Seconds after which a newcomer that is refused now should find room: those in front of it by the rate at which
 * requests have been ending lately; 5 when nothing is known. 1 to 120. */
uint32_t pool_retry_after_s(const struct pool *p);
uint32_t pool_waiting(const struct pool *p);
uint32_t pool_outstanding(const struct pool *p);
/* Workers that take requests. */
uint32_t pool_workers_up(const struct pool *p);
/* Does a worker take requests whose name's route_name_hash is none of these? */
bool pool_has_other(const struct pool *p, const uint64_t *names, uint32_t count);
/* Borrowed, for looking in. */
const struct kv_index *pool_index(const struct pool *p);
/* Does the index hold what the worker has told (its snapshot is whole, and no difference was found since)? */
bool pool_worker_synced(const struct pool_worker *w);
/* The worker's slot in it. */
uint32_t pool_worker_slot(const struct pool_worker *w);
const struct calibration *pool_worker_calibration(const struct pool_worker *w);

#endif
