/* deployment.h - from a checked graph to the processes that run it: names, command lines, CPUs, environment.
 * Pure but for the look at model files. Thread: any. Memory: one arena of at most DEPLOYMENT_BYTES_MAX. */
#ifndef STATOR_LAUNCH_DEPLOYMENT_H
#define STATOR_LAUNCH_DEPLOYMENT_H

#include "config/flags.h"
#include "config/graph.h"
#include "gpu/inventory.h"
#include "launch/cores.h"
#include "launch/supervisor.h"

enum { DEPLOYMENT_BYTES_MAX = 16 * 1024 * 1024 };

struct deployment_config {
	const struct graph *graph;
	const struct cores *cores;
	const char *dir; /* the runtime folder: sockets and "secret" are in it */
	const char *demo_model; /* path that "model: demo" means */
	int listen_fd; /* the frontend's, bound already; tests: -1 */
	const char *url; /* shown beside it */
	uint32_t drain_ms;
	/* How workers start: all at once, in steps behind a first one that is proven, or by what memory is sure to hold. */
	enum deployment_start { DEPLOYMENT_START_AUTO, DEPLOYMENT_START_ALL, DEPLOYMENT_START_STEPS } start;
	bool look_into_models; /* refuse files that are cut short or of a kind nobody knows, too */
	bool keep_going; /* the frontend serves with whatever workers come up */
	uint64_t memory_available; /* bytes of the host; 0: not known */
	/* The host's GPUs: services that ask for some (resources.gpu) get them one after the other, by UUID where there is one, in
	 * CUDA_VISIBLE_DEVICES of their process; workers that ask for less than one (0.5) share it. NULL, or none in it: nothing
	 * is bound. Llama workers that ask for none see none, unless their gpu-layers asks for some. */
	const struct gpu_inventory *gpus;
	/* What the two commands understand: only settings they have a flag for are passed on. */
	const struct flags_command *worker, *frontend;
};

struct deployment {
	struct arena arena;
	struct supervised *processes; /* the frontend first */
	uint32_t count, workers;
	bool waits_for_others; /* the graph's min-workers is more than it starts itself */
	/* The frontend's command line once the deployment has been ready: started anew it asks for one worker of each model, no
	 * longer for all. */
	const char *const *frontend_again;
	bool chats; /* that model has a chat template, or the graph gives it one */
	const char *model; /* what clients call the (first) model */
	const char *title; /* "demo on 2 llama workers, 2 CPUs" */
};

/* Fill ret. Borrows config's members until deployment_done. Refuses graphs with workers of external engines, more than
 * WORKERS_MAX workers, services that ask for more GPUs than there are, and model files that are not there, each with a sentence that says what to do. */
int deployment_build(struct deployment *ret, const struct deployment_config *config, struct err *err);
void deployment_done(struct deployment *d);

#endif
