/* search_why.c - why no plan was found on these GPUs; see search_parts.h. Each answer was tried: a larger number of the same
 * cards, a request of 1024 tokens, the smallest step, with tensor and with pipeline parallelism. */
#include "plan/check.h"
#include "plan/search_parts.h"

#include <stdio.h>

enum { SHORT_CONTEXT = 1024, FEW_SEQS = 8, SMALL_BATCH = 2048, LAYERS_MOST = 256 };

static bool holds(const struct search *x, const struct kind *k, uint32_t tp, uint32_t pp)
{
	struct plan_service s = *search_main(x);
	struct gpu_device empty = *k->card;
	struct plan_terms t;

	empty.memory_free = empty.memory_total;
	s.tp = s.engine == GRAPH_ENGINE_LLAMA ? 1 : tp;
	s.pp = pp;
	s.dp = 1;
	s.gpus = tp * pp;
	s.share = 1;
	s.context = MIN(s.context ? s.context : SHORT_CONTEXT, (uint64_t)SHORT_CONTEXT);
	s.set[PLAN_CONTEXT] = s.set[PLAN_SEQS] = s.set[PLAN_BATCH] = true;
	s.seqs = MIN(s.seqs, (uint64_t)FEW_SEQS);
	s.batch = SMALL_BATCH;
	plan_need(&t, &s, &empty);
	return t.known && plan_terms_fit(&t);
}

/* The fewest of such cards for one worker by tensor parallelism; 0: none. */
static uint32_t fewest(const struct search *x, const struct kind *k)
{
	const struct plan_service *s = search_main(x);

	for (uint32_t tp = 1; tp <= PLAN_TP_MAX; tp++) {
		bool valid = s->engine == GRAPH_ENGINE_LLAMA || tp == 1 || model_tp_valid(s->model->facts, tp);
		if (valid && (tp == 1 || !k->card->mig_slice) && holds(x, k, tp, 1))
			return tp;
	}
	return 0;
}

static bool pipeline_holds(const struct search *x, const struct kind *k)
{
	const struct plan_service *s = search_main(x);
	const uint32_t layers = MIN(s->model->facts->layers, (uint32_t)LAYERS_MOST);

	for (uint32_t pp = 2; s->engine != GRAPH_ENGINE_LLAMA && !k->card->mig_slice && pp <= layers; pp *= 2)
		for (uint32_t tp = 1; tp <= PLAN_TP_MAX; tp *= 2)
			if ((tp == 1 || model_tp_valid(s->model->facts, tp)) && holds(x, k, tp, pp))
				return true;
	return false;
}

static bool refused(const struct search *x, const struct kind *k)
{
	struct rule_answer a;
	const struct plan_service *s = search_main(x);

	rule_engine_runs(&a, plan_rules_of(s), k->card->capability);
	if (a.verdict == RULE_NO)
		return true;
	if (!s->quant)
		return false;
	rule_quantization(&a, plan_rules_of(s), k->card->capability, s->quant);
	return a.verdict == RULE_NO;
}

void search_why(struct search *x)
{
	uint32_t least = 0, places = 0;
	const char *name = "";
	bool pipeline = false, all_refused = x->kinds_len > 0;
	char *why = x->out->why;
	const size_t cap = sizeof x->out->why;

	for (uint32_t i = 0; i < x->kinds_len; i++) {
		const struct kind *k = &x->kinds[i];
		uint32_t n = fewest(x, k);
		all_refused &= refused(x, k);
		if (n && (!least || n < least)) {
			least = n;
			places = k->places[n];
			name = plan_card_name(k->card);
		}
		pipeline |= !n && pipeline_holds(x, k);
	}
	if (search_main(x)->pinned_len && !search_main(x)->llama.all)
		snprintf(why, cap,
			"CUDA_VISIBLE_DEVICES binds its workers to %u GPU%s, and no plan was found on those; without it there may be",
			search_main(x)->pinned_len, plan_s(search_main(x)->pinned_len));
	else if (all_refused)
		snprintf(why, cap, "these cards cannot compute it, whatever their number");
	else if (least && !places)
		snprintf(why, cap,
			"one worker takes %u %s in one host, even with a short context, and no host has so many free",
			least, name);
	else if (least)
		snprintf(why, cap,
			"%u %s would hold a worker with a short context, but each plan tried had a fatal finding",
			least, name);
	else if (pipeline)
		snprintf(why, cap,
			"tensor parallelism alone does not divide the model far enough for these cards; pipeline "
			"parallelism over more of them would, and is not searched");
	else
		snprintf(why, cap, "no number of these cards holds the model, even with a short context");
}
