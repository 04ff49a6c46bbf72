/* deployment.h - a graph as the planner sees it: each worker service with the few settings that decide whether it runs,
 * each with its default where the engine has one and its place in the file where the user wrote it.
 *
 * Plain values, so that the search can change some and ask again.
 * Thread: any. Memory: one array; strings are borrowed from the graph, the models and constants. */
#ifndef STATOR_PLAN_DEPLOYMENT_H
#define STATOR_PLAN_DEPLOYMENT_H

#include "config/graph.h"
#include "gpu/rules.h"
#include "gpu/versions.h"
#include "model/facts.h"
#include "plan/extra.h"
#include "plan/llama_ask.h"
#include "plan/release.h"

enum plan_key {
	PLAN_WORKERS,
	PLAN_GPUS,
	PLAN_TP,
	PLAN_PP,
	PLAN_DP,
	PLAN_MODEL,
	PLAN_DTYPE,
	PLAN_QUANT,
	PLAN_KV,
	PLAN_UTILIZATION,
	PLAN_CONTEXT,
	PLAN_BATCH,
	PLAN_SEQS,
	PLAN_BLOCK,
	PLAN_EAGER,
	PLAN_ATTENTION,
	PLAN_REMOTE_PREFILL,
	PLAN_CONDITIONAL,
	PLAN_CHUNKED,
	PLAN_TRANSFER,
	PLAN_THREADS,
	PLAN_UBATCH,
	PLAN_ROLE,
	PLAN_KEYS
};

enum {
	PLAN_PINNED_MAX = 64,
	PLAN_SEQS_DEFAULT = 256,
	PLAN_LLAMA_SEQS = 64,
	PLAN_LLAMA_BATCH = 2048,
	PLAN_SGLANG_BATCH = 8192
};
#define PLAN_UTILIZATION_DEFAULT 0.9

/* What is known of a service's model. */
struct plan_model {
	const struct model_facts *facts; /* NULL: nothing, and why says it */
	const char *why; /* "no model is given"; "" when facts are there */
	bool missing; /* it names a file or folder that is not there */
	bool damaged; /* it is there, and no engine could load it: why says it */
	bool refused; /* it is there, and its engine cannot serve what it is: why says it */
};

struct plan_service {
	const struct graph_service *graph;
	const char *name;
	enum graph_engine engine;
	enum graph_role role;
	uint32_t release; /* of version, for its memory (plan/release.h); 0: not known */
	uint32_t since,
		until; /* releases that have its model, when its own is not known; since 0: all; until 0: the newest too */
	const struct plan_model *model; /* never NULL */
	uint64_t version; /* of the engine, as gpu/versions.h has it; 0: not said */
	struct config_pos version_pos;
	uint32_t workers, gpus; /* whole cards each worker takes */
	uint32_t given; /* what resources.gpu gives it, where its engine computes on more; 0: gpus */
	double share; /* of one card, when less than 1; then gpus is 1 */
	uint32_t tp, pp, dp;
	const char *dtype, *quant, *kv, *attention; /* "auto", NULL (none said), "auto", NULL */
	double utilization; /* share of a card's memory the engine takes */
	uint64_t context; /* longest request, tokens; 0: not known */
	uint64_t batch, seqs, block; /* tokens a step, sequences, tokens a block */
	bool eager, remote_prefill, conditional, chunked, transfer;
	uint64_t ubatch; /* llama: tokens computed at once */
	uint64_t room; /* llama on the CPU: RAM a worker may count on beside the weights; 0: not known */
	uint32_t threads; /* llama: 0 when the launcher divides the cores */
	uint32_t pinned[PLAN_PINNED_MAX], pinned_len; /* CUDA_VISIBLE_DEVICES of ServiceArgs.envs */
	bool pinned_odd; /* it is set, but is no list of indices */
	struct config_pos pinned_pos;
	struct plan_extra extra; /* vLLM, SGLang */
	struct plan_llama llama; /* a server's command line; server false: a worker of ours */
	bool set[PLAN_KEYS]; /* written by the user, at */
	struct config_pos pos[PLAN_KEYS]; /* else the service's own place */
};

struct plan_deployment {
	const struct graph *graph;
	struct plan_service *services; /* worker services only, in file order; also those with 0 workers */
	uint32_t len;
};

/* The graph's worker services. models: one for each service of graph (also those that are no workers), borrowed.
 * 0 or -ENOMEM. */
int plan_deployment_init(struct plan_deployment *ret, const struct graph *graph, const struct plan_model *models);
void plan_deployment_done(struct plan_deployment *d);

/* The name the engine has for a setting: "max-model-len" of vLLM is "context-length" of SGLang. NULL: it has none. */
const char *plan_key_name(enum graph_engine engine, enum plan_key key);
/* Is a key of an engine one of these settings, by any of its names? */
bool plan_key_read(enum graph_engine engine, const char *name);
static inline bool plan_on_gpu(const struct plan_service *s)
{
	return s->gpus > 0;
}
static inline enum rule_engine plan_rules_of(const struct plan_service *s)
{
	return s->engine == GRAPH_ENGINE_SGLANG ? RULE_SGLANG : s->engine == GRAPH_ENGINE_VLLM ? RULE_VLLM : RULE_LLAMA;
}
/* Does it spread experts whole over its GPUs? Then the size of one is not divided. */
bool plan_experts_whole(const struct plan_service *s);
/* The release its rules are asked for: the one said, else the newest that is known. */
uint64_t plan_version(const struct plan_service *s);
/* The class that the engines call its architecture by, "LlamaForCausalLM"; NULL: not known. */
const char *plan_class_name(const struct plan_service *s);
/* How the files' quantization is called where engines choose by it: "compressed-tensors:wna16", "fp8", "modelopt_fp4"; NULL: none. */
const char *plan_method_of(const struct plan_service *s);
/* What the matrix units compute in on a card of that capability: "float16" where bfloat16 falls back, "float32" where
 * the architecture refuses float16. */
const char *plan_dtype_on(const struct plan_service *s, uint32_t capability);
/* What the weights are kept in, as model/facts.h names it: the quantization asked for or of the files, else the dtype. */
const char *plan_weights_on(const struct plan_service *s, uint32_t capability);
/* What KV is kept in: as asked; "auto" is what is computed in, so float32 takes twice. */
enum kv_dtype plan_kv_on(const struct plan_service *s, uint32_t capability);
static inline enum kv_dtype plan_kv_type(const struct plan_service *s)
{
	enum kv_dtype t = kv_dtype_parse(s->kv);

	return t == KV_DTYPES ? KV_F16 : t;
}

#endif
