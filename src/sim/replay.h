/* replay.h - a trace played against simulated workers behind the real router: the very pools of route/, on the fake struct
 * env, from a seed.
 *
 * Each frontend is a pool of its own with every worker in it; requests go to the frontends in turn, and frontends know of
 * each other only through the workers' reports. Workers are engines of sim/engine.h. Faults can be asked for. The same
 * config gives the same result, digit for digit.
 *
 * Thread: one. Memory: about 600 bytes a request of the trace, a struct a block of the workers' caches. */
#ifndef STATOR_SIM_REPLAY_H
#define STATOR_SIM_REPLAY_H

#include "route/pool.h"
#include "sim/engine.h"
#include "sim/stats.h"
#include "sim/trace.h"

enum { REPLAY_WORKERS_MAX = 1024, REPLAY_FRONTENDS_MAX = 64, REPLAY_FAULTS_MAX = 64, REPLAY_SAMPLES = 240 };

enum replay_fault_kind {
	REPLAY_LIE, /* from the start: reports its steps as factor times as long as they were */
	REPLAY_JOIN, /* comes only at at_us, empty */
	REPLAY_DIE, /* at at_us: its requests start again elsewhere */
};
struct replay_fault {
	enum replay_fault_kind kind;
	uint32_t worker;
	double factor;
	uint64_t at_us;
};

struct replay_config {
	const struct trace *trace;
	const struct sim_model *model;
	const struct route_policy *policy;
	struct route_knobs knobs;
	const struct kv_evict_policy *evict;
	uint32_t workers, frontends, blocks, block_size;
	double speeds[REPLAY_WORKERS_MAX]; /* 1: as the model says; 0.5: half as fast */
	uint64_t seed;
	/* What workers tell the router, on its way. */
	uint64_t events_late_us;
	double events_lost; /* share of the cache events; then the workers are foreign engines, that cannot be compared */
	struct replay_fault faults[REPLAY_FAULTS_MAX];
	uint32_t faults_count;
	/* Called now and then; false stops the run. May be NULL. */
	bool (*progress)(void *ctx, double done);
	void *ctx;
};

/* What became of one request. Times from its arrival. */
struct replay_request {
	double ttft_ms, e2e_ms; /* negative: it never came so far */
	uint32_t cached_tokens, generated, worker, frontend, restarts;
};
/* How one worker was at REPLAY_SAMPLES moments, evenly spread. */
struct replay_sample {
	float requests, waiting_tokens, cache_active, busy; /* shares of 1 for the last two */
};

struct replay_result {
	uint32_t requests, completed, shed, restarts;
	struct stats ttft, tpot, e2e; /* ms */
	double reuse; /* cached prompt tokens at first start / prompt tokens of the completed */
	double wall_s, simulated_s, output_tokens_per_s;
	uint64_t passes, preemptions, resyncs;
	struct replay_request *v; /* beside the trace's rows */
	struct replay_sample *samples; /* [REPLAY_SAMPLES][workers] */
	double sample_s; /* between two of them */
	uint32_t samples_len; /* taken before the run was over */
	uint32_t workers;
	bool stopped; /* by progress */
};

/* 0, -EINVAL or -ENOMEM. A request that can never run is counted as not completed. */
int replay_run(struct replay_result *ret, const struct replay_config *config, struct err *err);
void replay_result_done(struct replay_result *r);
/* The defaults: one worker of speed 1, one frontend, lru, seed 1. */
void replay_config_default(struct replay_config *ret);

#endif
