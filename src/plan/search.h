/* search.h - deployments near the asked one that fit: workers, roles, tensor parallelism, number type, quantization,
 * context and step size are varied; what remains is ranked by what the roofline predicts.
 *
 *   worth = predicted tokens/s x sqrt(context kept / context asked); within 5 % the shorter time to the first token wins, then
 *   what is nearer to what was asked
 *
 * Every option offered was planned again, whole, and had no fatal finding. Deterministic.
 * Thread: any. Memory: a few KiB an option. */
#ifndef STATOR_PLAN_SEARCH_H
#define STATOR_PLAN_SEARCH_H

#include "plan/plan.h"
#include "plan/predict.h"

enum { PLAN_OPTIONS_MAX = 8, PLAN_QUANTS_MAX = 8, PLAN_TP_MAX = 64, PLAN_KINDS_MAX = 16 };

struct plan_wish {
	/* Other weights the user would take: methods as model/facts.h names them; model: where they are, or NULL. */
	struct {
		const char *method, *model;
	} quants[PLAN_QUANTS_MAX];
	uint32_t quants_len;
	struct plan_load load; /* 0: the defaults */
	uint32_t options; /* at most; 0: 5 */
};

/* What an option sets, for all services of the model. */
struct plan_shape {
	uint32_t tp, workers, prefill; /* prefill of the workers only prefill; 0: each does both */
	uint32_t threads; /* of a llama worker on the CPU; 0: on GPUs */
	const char *quant; /* NULL: the weights as they are */
	const char *quant_model; /* NULL: the user has to find them */
	const char *dtype, *kv, *attention;
	uint64_t context, batch, seqs; /* batch 0: the engine's default */
	double utilization;
};

struct plan_option {
	struct plan_shape shape;
	struct plan_predicted predicted;
	struct plan_pace pace; /* of one worker, on the first kind of card */
	/* What the same workers would do with divided roles, where each does both: for saying whether that is worth it. Not known
	 * for a single worker and for llama. */
	struct plan_predicted divided;
	uint32_t divided_prefill;
	double worth;
	struct plan plan; /* of the changed deployment: fits */
};

struct plan_options {
	struct plan_option items[PLAN_OPTIONS_MAX];
	uint32_t len;
	uint32_t tried; /* shapes looked at */
	struct plan_load load;
	uint64_t context_asked;
	uint32_t main, prefill; /* the services that are varied; prefill is UINT32_MAX when there is none */
	bool on_host; /* the plans are of llama workers on the CPU, whatever engine was asked for */
	bool bandwidth_measured; /* of the host's memory, else it is a guess from the number of cores */
	double bandwidth_gb_s;
	char why[256]; /* when there is none: a sentence; else "" */
};

/* Find options for the services that compute on GPUs; where there are none, and for llama workers that ask for none, of llama
 * workers on the host's cores. asked is the plan of the graph as it is. 0 or -ENOMEM. */
int plan_search(struct plan_options *ret, const struct plan *asked, const struct plan_wish *wish, struct err *err);
void plan_options_done(struct plan_options *o);

/* The pieces, for the tests' reference: the candidate values, the deployment of a shape, and which of two is better
 * (negative: a). */
struct plan_axes {
	uint32_t tps[PLAN_TP_MAX], tps_len;
	const char *quants[PLAN_QUANTS_MAX + 1], *quant_models[PLAN_QUANTS_MAX + 1];
	uint32_t quants_len;
	uint64_t contexts[16], batches[8], seqs[8];
	uint32_t contexts_len, batches_len, seqs_len;
	double utilizations[PLAN_KINDS_MAX];
	uint32_t utilizations_len;
};
/* Are llama workers on the CPU looked for? */
bool plan_search_on_host(const struct plan *asked, uint32_t main);
void plan_search_axes(struct plan_axes *ret, const struct plan *asked, uint32_t main, const struct plan_wish *wish);
/* Turn s into shape's workers of the llama engine on the CPU. */
void plan_service_on_host(struct plan_service *s, const struct plan_shape *shape);
int plan_search_apply(struct plan_deployment *ret, const struct plan *asked, uint32_t main, uint32_t prefill,
	const struct plan_shape *shape);
int plan_option_compare(const struct plan_shape *a, const struct plan_predicted *pa, double worth_a,
	const struct plan_shape *b, const struct plan_predicted *pb, double worth_b);
double plan_worth(const struct plan_predicted *p, uint64_t context, uint64_t asked);

#endif
