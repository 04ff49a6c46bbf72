#include "base/fair_queue.h"

enum {
	COST_US_MIN = 20, /* handing over, locks: flows of free jobs would never move on */
	LONG_US = 16 * 1000, /* at most, of the shortest of the long jobs */
	SIZE_STEP = 8, /* a flow's jobs cost at most so many times what those of the next smaller cost */
	COST_US_MAX = 3600u * 1000 * 1000,
};

void fair_queue_init(struct fair_queue *q)
{
	*q = (struct fair_queue){0};
	for (uint32_t i = 0; i < FAIR_LANES; i++)
		list_init(&q->lanes[i].flows);
	for (uint32_t i = 0; i < FAIR_OWNERS; i++)
		for (uint32_t k = 0; k < FAIR_SIZES; k++) {
			list_init(&q->flows[i][k].link);
			list_init(&q->flows[i][k].jobs);
		}
}

enum fair_lane fair_queue_lane(const struct env_job *job)
{
	return job->is_long ? FAIR_LONG : FAIR_SHORT;
}

uint32_t fair_queue_owner(uint64_t owner)
{
	return (uint32_t)(owner * 0x9e3779b97f4a7c15ull >> 58);
}
_Static_assert(FAIR_OWNERS == 64, "six bits of the hash");

static uint32_t owner_of(const struct env_job *job)
{
	return fair_queue_owner(job->owner);
}

static uint32_t size_of(const struct env_job *job)
{
	uint64_t most = LONG_US;
	uint32_t size = 1;

	if (!job->is_long)
		return 0;
	while (size < FAIR_SIZES - 1 && job->cost_us > most) {
		most *= SIZE_STEP;
		size++;
	}
	return size;
}

static uint64_t charge(uint64_t cost_us)
{
	return MIN(MAX(cost_us, (uint64_t)COST_US_MIN), (uint64_t)COST_US_MAX);
}

void fair_queue_add(struct fair_queue *q, struct env_job *job)
{
	struct fair_lane_state *l = &q->lanes[fair_queue_lane(job)];
	struct fair_flow *f = &q->flows[owner_of(job)][size_of(job)];

	if (list_empty(&f->jobs)) {
		f->start_us = MAX(l->virtual_us, f->finish_us);
		list_add_tail(&l->flows, &f->link);
		q->active[owner_of(job)] += job->is_long;
	}
	list_add_tail(&f->jobs, &job->link);
	l->waiting++;
}

/* A job leaves its flow; a flow without jobs leaves its lane. */
static void unlink_job(struct fair_queue *q, struct fair_flow *f, struct env_job *job)
{
	list_del(&job->link);
	q->lanes[fair_queue_lane(job)].waiting--;
	if (!list_empty(&f->jobs))
		return;
	list_del(&f->link);
	q->active[owner_of(job)] -= job->is_long;
}

/* All jobs are gone: what flows have had is forgotten. */
static void rest(struct fair_lane_state *l)
{
	if (!l->running && !l->waiting)
		l->virtual_us = MAX(l->virtual_us, l->finish_us);
}

static struct fair_flow *furthest_behind(const struct fair_lane_state *l)
{
	struct fair_flow *best = NULL;

	list_foreach(it, &l->flows)
	{
		struct fair_flow *f = list_entry(it, struct fair_flow, link);
		if (!best || f->start_us < best->start_us)
			best = f;
	}
	return best;
}

struct env_job *fair_queue_take(struct fair_queue *q, enum fair_lane lane)
{
	struct fair_lane_state *l = &q->lanes[lane];
	struct fair_flow *f = furthest_behind(l);

	if (!f)
		return NULL;
	struct env_job *job = list_first(&f->jobs, struct env_job, link);

	job->parts = MAX(q->active[owner_of(job)], 1u);
	l->virtual_us = MAX(l->virtual_us, f->start_us);
	f->finish_us = f->start_us + charge(job->cost_us) * job->parts;
	f->start_us = f->finish_us;
	l->finish_us = MAX(l->finish_us, f->finish_us);
	l->running++;
	unlink_job(q, f, job);
	if (!list_empty(&f->jobs)) { /* behind those that are as far */
		list_del(&f->link);
		list_add_tail(&l->flows, &f->link);
	}
	return job;
}

struct fair_cost fair_queue_cost(struct fair_queue *q, const struct env_job *job)
{
	return (struct fair_cost){
		.said_us = charge(job->cost_us) * job->parts,
		.took_us = charge(job->took_us) * job->parts,
		.flow = &q->flows[owner_of(job)][size_of(job)],
		.lane = fair_queue_lane(job),
	};
}

void fair_queue_ended(struct fair_queue *q, const struct fair_cost *cost)
{
	struct fair_lane_state *l = &q->lanes[cost->lane];
	struct fair_flow *f = cost->flow;

	ASSERT(l->running);
	l->running--;
	f->finish_us = f->finish_us + cost->took_us > cost->said_us ? f->finish_us + cost->took_us - cost->said_us : 0;
	if (!list_empty(&f->jobs))
		f->start_us = f->finish_us;
	l->finish_us = MAX(l->finish_us, f->finish_us);
	rest(l);
}

void fair_queue_remove(struct fair_queue *q, struct env_job *job)
{
	unlink_job(q, &q->flows[owner_of(job)][size_of(job)], job);
	rest(&q->lanes[fair_queue_lane(job)]);
}
