/* graph.h - the deployment a graph file describes: which services, how many workers of each, with which settings.
 *
 * The file has the shape of Dynamo's 2025 graphs: Common, Frontend, Processor, Router, Planner, VllmWorker,
 * PrefillWorker, SglangWorker, with the other spellings of NVIDIA's files (VllmDecodeWorker, SGLangWorker, ...), and ours: LlamaWorker, MockWorker. A service of any other name is a worker when it says
 * "engine: llama" (or mock, vllm, sglang); so one graph may serve several models. A service takes the keys of Common
 * that its common-configs lists; its own value wins; an override from the command line wins over both, and merges
 * deeply:
 * --VllmWorker.ServiceArgs.workers=2 leaves ServiceArgs.resources as it is.
 *
 * Every mistake of the file and the overrides is reported in one pass. Settings of an external engine (vllm, sglang)
 * are that engine's flags: known ones are checked, unknown ones pass through with a notice.
 *
 * Thread: one owner; constant once loaded. Memory: one arena, bounded by YAML_ARENA_BYTES_MAX. */
#ifndef STATOR_CONFIG_GRAPH_H
#define STATOR_CONFIG_GRAPH_H

#include "config/keys.h"

/* GRAPH_BESIDE: a service of theirs that nothing here needs (a load balancer, Prometheus); passed over with a notice. */
enum graph_kind {
	GRAPH_COMMON,
	GRAPH_FRONTEND,
	GRAPH_PROCESSOR,
	GRAPH_ROUTER,
	GRAPH_PLANNER,
	GRAPH_WORKER,
	GRAPH_BESIDE,
};
enum graph_engine { GRAPH_ENGINE_NONE, GRAPH_ENGINE_LLAMA, GRAPH_ENGINE_MOCK, GRAPH_ENGINE_VLLM, GRAPH_ENGINE_SGLANG };
enum graph_role { GRAPH_ROLE_BOTH, GRAPH_ROLE_PREFILL, GRAPH_ROLE_DECODE };

/* A flag for an external engine, or an environment variable. */
struct graph_arg {
	const char *name; /* with hyphens, without "--" */
	const char *value; /* scalars as written, lists and maps as JSON */
	struct config_pos pos;
};

struct graph_service {
	const char *name; /* as the file calls it */
	struct config_pos pos;
	bool implicit; /* not in the file: Frontend, Processor and Router are always there, with defaults */
	enum graph_kind kind;
	enum graph_engine engine;
	enum graph_role role;
	const char *model; /* path or id; "" when not given */
	const char *served_name; /* what clients call the model; "" when there is no model */
	uint32_t workers; /* ServiceArgs.workers; 1 when not given */
	double gpus; /* ServiceArgs.resources.gpu per worker; 0 when not given */
	bool gpus_set, workers_set;
	struct config_pos workers_pos, gpus_pos; /* of the two values, when set */
	uint64_t memory_bytes; /* ServiceArgs.resources.memory; 0 when not given */
	const char *cpus, *ns; /* ServiceArgs.resources.cpu, ServiceArgs.dynamo.namespace; "" when not given */
	struct config_section settings; /* by its kind's tables */
	struct graph_arg *args; /* external engines: every flag in order, Common's first, each name once */
	struct graph_arg *envs;
	uint32_t args_len, envs_len;
};

struct graph {
	const char *file;
	struct graph_service *services; /* in file order, implicit ones last; Common is not among them */
	uint32_t len;
	struct arena arena;
};

struct graph_options {
	const char *const *overrides; /* "--Service.key=value"; borrowed until the graph is destroyed */
	uint32_t overrides_len;
	/* NULL, or "llama" / "mock": run workers of external engines (vllm, sglang) on this one instead. The keys that
	 * mean the same there are translated; the others are named in a notice and left out. */
	const char *engine;
	/* The planner tells of an external engine's unknown flags, and of a worker's GPUs against what its engine computes on. */
	bool planned;
};

/* Read and check a graph. All remarks go to diags, sorted (which must be initialised). Returns 0, -EINVAL when diags
 * has errors ("deploy.yaml has 3 mistakes"), or a system error when the file cannot be read. options may be NULL. */
int graph_load(struct graph **ret, const char *file, const struct graph_options *options, struct diags *diags,
	struct err *err);
/* The same for text at hand; file is how messages call it. An empty text with overrides is a graph too. */
int graph_parse(struct graph **ret, const char *file, const char *text, size_t len, const struct graph_options *options,
	struct diags *diags, struct err *err);
/* The same for a tree that somebody made of another form (forms/form.h). Changes it; it must live as long as the graph. */
struct yaml_node;
int graph_of_tree(struct graph **ret, const char *file, struct yaml_node *root, const struct graph_options *options,
	struct diags *diags, struct err *err);
/* Is this the name of a section that graphs have ("VllmWorker")? */
bool graph_section_known(const char *name);
void graph_destroy(struct graph *g);

/* The first service of a kind (never NULL for Frontend, Processor and Router). */
const struct graph_service *graph_find(const struct graph *g, enum graph_kind kind);
/* The routing mode: Router's mode, or else router of Router or Processor (or of Common through them), or the default.
 */
const char *graph_router_mode(const struct graph *g);
const char *graph_engine_name(enum graph_engine engine); /* "llama" */
const char *graph_role_name(enum graph_role role);

#endif
