/* fair_queue.h - which job of a pool starts next. Both envs order their pools by it.
 *
 * There are two lanes, of short jobs and of long ones, which threads may serve apart. Within a lane jobs stand in flows: one
 * for each owner and size, in the order they came. Flows are served by start-time fair queueing (Goyal, Vin, Cheng 1996): each
 * has a virtual time that moves on by what its jobs cost, the flow that is furthest behind goes next, and one that wakes up
 * starts at the present. So owners share the threads evenly however much each asks for, a short job overtakes the long
 * ones of its own owner, nothing starves, and nobody pays for having used threads that were idle. An owner's flows share
 * one owner's part. What a job really took replaces its estimate when it ends.
 *
 *     add ... take -> work -> ended      or: add ... remove
 *
 * Owners are told apart by a hash of 64 values: two that collide share a part. Jobs without cost and owner are a plain
 * queue.
 * Thread: one at a time (the caller locks). Memory: fixed; jobs live in their owners. Cost: O(flows that have jobs) a
 * take, O(1) else. */
#ifndef STATOR_BASE_FAIR_QUEUE_H
#define STATOR_BASE_FAIR_QUEUE_H

#include "base/env.h"

enum fair_lane { FAIR_SHORT, FAIR_LONG, FAIR_LANES };
enum { FAIR_OWNERS = 64, FAIR_SIZES = 6 };

struct fair_flow {
	struct list link; /* among those of its lane that have jobs */
	struct list jobs;
	uint64_t start_us, finish_us; /* virtual: of its first job; of the last one taken */
};

struct fair_queue {
	struct fair_lane_state {
		struct list flows; /* that have jobs */
		uint32_t waiting, running;
		uint64_t virtual_us, finish_us; /* now; the latest finish ever given */
	} lanes[FAIR_LANES];
	struct fair_flow flows[FAIR_OWNERS][FAIR_SIZES];
	uint8_t active[FAIR_OWNERS]; /* its flows of long jobs that have some */
};

void fair_queue_init(struct fair_queue *q);
enum fair_lane fair_queue_lane(const struct env_job *job);
/* Which of the FAIR_OWNERS an owner is. */
uint32_t fair_queue_owner(uint64_t owner);
void fair_queue_add(struct fair_queue *q, struct env_job *job);
/* The next one of a lane. NULL: none waits there. */
struct env_job *fair_queue_take(struct fair_queue *q, enum fair_lane lane);
/* A job that was taken has ended, after job->took_us. What counts of it may be told when it is its owner's again. */
struct fair_cost {
	uint64_t said_us, took_us;
	struct fair_flow *flow;
	enum fair_lane lane;
};
struct fair_cost fair_queue_cost(struct fair_queue *q, const struct env_job *job);
void fair_queue_ended(struct fair_queue *q, const struct fair_cost *cost);
/* Take out a job that waits. */
void fair_queue_remove(struct fair_queue *q, struct env_job *job);

#endif
