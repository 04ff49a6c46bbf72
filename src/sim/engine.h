/* engine.h - a worker's engine in a simulation: requests go in, passes (engine steps) with a modelled duration come out.
 *
 * A pure state machine. Its holder calls, in turn,
 *
 *     us = begin(now)  ->  that much time passes  ->  end(now + us)
 *
 * and may admit at any time; what is admitted at the very instant a pass ends takes part in the next. Two kinds:
 *
 *   blocks   the scheduler of vLLM as NVIDIA's mocker models it (engine_blocks.c): one budget of tokens a pass, running
 *            requests first, prompts in chunks, last in first out pre-emption, a cache of blocks by prefix hash
 *   sched    this program's own worker/ scheduler over its mock engine (engine_sched.c)
 *
 * Thread: one owner. Memory: what is admitted, and a struct a block. */
#ifndef STATOR_SIM_ENGINE_H
#define STATOR_SIM_ENGINE_H

#include "base/err.h"
#include "kv/evict.h"
#include "sim/model.h"
#include "wire/msg.h"

struct sim_request {
	void *user; /* comes back in the events */
	uint32_t id;
	uint32_t prompt_tokens, answer_tokens;
	/* Of the whole blocks of the prompt, and how many requests used each (NULL: not counted). Borrowed until it ends. */
	const uint64_t *hashes;
	const uint8_t *uses;
	uint32_t hashes_count;
	int32_t priority;
};

/* Something happened to a request in the pass that ended. */
struct sim_event {
	void *user;
	bool first, done, refused; /* its first token; it has ended; it can never run here (also done) */
	uint32_t cached_tokens; /* of the prompt when it was started first */
	uint32_t generated;
};

struct sim_pass {
	const struct sim_event *events;
	uint32_t events_count;
	struct msg_step step;
	struct msg_kv kv;
	bool kv_changed;
};

struct sim_engine;
struct sim_engine_config {
	const struct sim_model *model;
	const struct kv_evict_policy *evict; /* blocks only */
	uint32_t blocks, block_size;
	uint32_t seqs_max, batch_tokens; /* 0: the model's */
	double speed; /* 0.5: every pass takes twice as long */
	uint64_t seed;
};
struct sim_engine_ops {
	int (*admit)(struct sim_engine *e, uint64_t now_us, const struct sim_request *q);
	uint64_t (*begin)(struct sim_engine *e, uint64_t now_us, struct sim_pass *ret);
	void (*end)(struct sim_engine *e, uint64_t now_us, struct sim_pass *ret);
	/* Every hash held, into ret->stored, with digest and count. */
	void (*snapshot)(struct sim_engine *e, struct msg_kv *ret);
	void (*destroy)(struct sim_engine *e);
};
struct sim_engine {
	const struct sim_engine_ops *ops;
};

int sim_engine_create(struct sim_engine **ret, const struct sim_engine_config *config, struct err *err);
/* Also in the middle of a pass: what was admitted is forgotten. NULL is fine. */
static inline void sim_engine_destroy(struct sim_engine *e)
{
	if (e)
		e->ops->destroy(e);
}
/* 0, or -ENOMEM: it was not taken. */
static inline int sim_engine_admit(struct sim_engine *e, uint64_t now_us, const struct sim_request *q)
{
	return e->ops->admit(e, now_us, q);
}
/* Start a pass and return how long it takes; 0: there is nothing to do. Of ret only kv counts: what an engine publishes
 * when a pass starts (as Dynamo's mocker does) and not when it ends. Borrowed until end. */
static inline uint64_t sim_engine_begin(struct sim_engine *e, uint64_t now_us, struct sim_pass *ret)
{
	return e->ops->begin(e, now_us, ret);
}
/* The pass is over. Ret is borrowed until the next begin. */
static inline void sim_engine_end(struct sim_engine *e, uint64_t now_us, struct sim_pass *ret)
{
	e->ops->end(e, now_us, ret);
}

/* All it holds, for a router that lost count. Borrowed until the next call. */
static inline void sim_engine_snapshot(struct sim_engine *e, struct msg_kv *ret)
{
	e->ops->snapshot(e, ret);
}

/* The two kinds. */
int sim_blocks_create(struct sim_engine **ret, const struct sim_engine_config *config, struct err *err);
int sim_sched_create(struct sim_engine **ret, const struct sim_engine_config *config, struct err *err);

#endif
