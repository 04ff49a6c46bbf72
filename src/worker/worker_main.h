/* worker_main.h - the worker process: one engine, one worker, the real loop.
 *
 * Loads the engine on its own thread while the loop runs, tells its supervisor how far it is (launch/status.h has the
 * lines), serves until it is told to stop, drains, ends.
 *   SIGTERM, SIGINT: drain; again: end what runs now; a third: exit at once
 * A worker that a supervisor started (status_fd given) dies with it.
 * Thread: the process's main thread, before any other is started. */
#ifndef STATOR_WORKER_WORKER_MAIN_H
#define STATOR_WORKER_WORKER_MAIN_H

#include "engine/timing.h"

/* A number that is 0 means the default of its key (config/tables_worker.c), a string that is NULL: not given. */
struct worker_options {
	const char *engine; /* "llama" or "mock" */
	const char *name; /* unique in the deployment; NULL: engine and process id */
	const char *role; /* NULL: "both" */
	const char *listen; /* an address of base/env.h */
	const char *model; /* a GGUF file; for the mock its tokenizer's, or none */
	const char *served_name; /* NULL: from the model's file name, or "mock" */
	const char *secret_file; /* shared with frontends on TCP */
	const char *kv_secret_file; /* shared with the frontends of the KV domain; NULL: a random one */
	const char *cpus; /* "0-3,8": run there only */
	bool deterministic; /* every request is */
	const char *evict; /* a policy of kv/evict.h; NULL: the scheduler's default */
	const char *record_steps; /* file that gets one JSON line a step (worker_main.c has the keys); NULL: none */
	int status_fd; /* -1: none */
	uint64_t drain_ms; /* how long running requests may go on after a signal to stop */

	uint32_t cells; /* KV capacity in tokens; llama: 0: the model's context, or what fits of it */
	double memory_share; /* llama: the part of the memory that cells = 0 may count on; 0: all */
	uint32_t context_max; /* tokens of one request */
	uint32_t seqs, block_size, batch_tokens_max, running_max;
	uint64_t step_budget_us;
	uint32_t send_interval_us; /* as worker_config's */

	/* llama */
	const char *kv_type; /* NULL: "f16" */
	uint32_t threads, ubatch_tokens_max;
	int32_t gpu_layers; /* -1: all */
	bool no_mmap;

	/* mock */
	struct timing_model timing;
	uint32_t answer_min, answer_max;
	const char *fault; /* of engine/mock.h; NULL: none */
	uint64_t fault_after;
};
/* The defaults that are not 0: status_fd -1, gpu_layers -1, drain 30 s. */
void worker_options_init(struct worker_options *o);
/* Run until told to stop. Returns 0 after a clean stop; else negative, and err says why (it was told to the supervisor). */
int worker_main(const struct worker_options *o, struct err *err);

/* "0-3,8" to a list of CPUs: ret[i] true when i is in it. -EINVAL with the sentence. */
int worker_cpus_parse(const char *text, bool *ret, uint32_t cap, struct err *err);
/* The name clients call a model when none is given: "/m/SmolLM2-135M.Q4_1.gguf" is "SmolLM2-135M.Q4_1". Returns ret. */
const char *worker_served_name(const char *model_path, char *ret, size_t cap);

#endif
