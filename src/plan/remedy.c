/* remedy.c - what to change so that a service's memory suffices, cheapest first; see check.h.
 *
 * A candidate is one setting (or the two that size a step) at the mildest value that the arithmetic of need.c lets pass; it is
 * named only after the whole deployment was planned again with it and had fewer fatal findings than without. */
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

enum { CONTEXT_LEAST = 256, SEQS_STEP = 8, BATCH_STEP = 256, BATCH_LEAST = 512, GPUS_MOST = 64 };
static const double UTILIZATION_MOST = 0.95;

struct trial {
	struct plan *p;
	uint32_t index;
	const struct plan_service *s; /* as it is */
	const struct gpu_device *card;
	uint32_t fatals; /* of the whole deployment as it is */
};

/* ---- the whole deployment again ---- */

/* The service as changed; quantization is of all services of the model. */
static bool deployment_with(struct plan_deployment *ret, const struct trial *t, const struct plan_service *changed)
{
	const struct plan_deployment *d = &t->p->deployment;

	*ret = (struct plan_deployment){.graph = d->graph, .len = d->len};
	ret->services = calloc(d->len + 1, sizeof *ret->services);
	if (!ret->services)
		return false;
	memcpy(ret->services, d->services, d->len * sizeof *ret->services);
	ret->services[t->index] = *changed;
	for (uint32_t i = 0; i < d->len && changed->quant != t->s->quant; i++)
		if (ret->services[i].engine == changed->engine &&
			!strcmp(ret->services[i].graph->model, changed->graph->model)) {
			ret->services[i].quant = changed->quant;
			ret->services[i].model = changed->model;
		}
	return true;
}

static uint32_t fatals_with(
	const struct trial *t, const struct gpu_inventory *inventory, const struct plan_service *changed)
{
	struct plan_input input = t->p->input;
	struct plan_deployment d;
	struct plan again;
	struct err err;

	input.trial = true;
	input.inventory = inventory;
	if (!deployment_with(&d, t, changed) || plan_make_of(&again, &input, &d, &err) < 0)
		return UINT32_MAX;
	/* What leaves the answer open counts as well, and less. */
	uint32_t fatals = again.findings.fatals * 1024 + again.findings.unchecked;
	plan_done(&again);
	return fatals;
}

static bool passes(const struct trial *t, const struct plan_service *changed)
{
	return fatals_with(t, t->p->input.inventory, changed) < t->fatals;
}

static bool fits(const struct trial *t, const struct plan_service *changed)
{
	struct plan_terms terms;

	plan_need(&terms, changed, t->card);
	return terms.known && plan_terms_surely_fit(&terms);
}

/* ---- one setting each ---- */

static void with_seqs(struct plan_service *s, uint64_t n)
{
	s->seqs = n;
	s->set[PLAN_SEQS] = true;
}

static void with_batch(struct plan_service *s, uint64_t n)
{
	s->batch = n;
	s->set[PLAN_BATCH] = true;
}

static void with_context(struct plan_service *s, uint64_t n)
{
	s->context = n;
	s->set[PLAN_CONTEXT] = true;
}

/* The largest multiple of step from least to below now that fits; 0: none. What is needed grows with each of them. */
static uint64_t largest(const struct trial *t, const struct plan_service *from,
	void (*with)(struct plan_service *s, uint64_t n), uint64_t now, uint64_t step, uint64_t least)
{
	uint64_t low = (least + step - 1) / step, high = now ? (now - 1) / step : 0, best = 0;

	while (low <= high && high) {
		uint64_t mid = (low + high) / 2;
		struct plan_service s = *from;
		with(&s, mid * step);
		if (fits(t, &s)) {
			best = mid;
			low = mid + 1;
		} else {
			high = mid - 1;
		}
	}
	return best * step;
}

static bool name_seqs(const struct trial *t)
{
	struct plan_service s = *t->s;
	uint64_t n = largest(t, t->s, with_seqs, plan_seqs_on(t->s, t->card), SEQS_STEP, SEQS_STEP);

	with_seqs(&s, n);
	if (!n || !passes(t, &s))
		return false;
	findings_remedy(&t->p->findings, "%s: %llu is the largest that fits", plan_key_name(s.engine, PLAN_SEQS),
		(unsigned long long)n);
	return true;
}

static bool name_batch(const struct trial *t)
{
	struct plan_service s = *t->s;
	uint64_t least = MAX((uint64_t)BATCH_LEAST, plan_seqs_on(t->s, t->card));
	uint64_t n = largest(t, t->s, with_batch, plan_batch_on(t->s, t->card), BATCH_STEP, least);

	with_batch(&s, n);
	if (!n || !passes(t, &s))
		return false;
	findings_remedy(&t->p->findings, "%s: %llu is the largest that fits", plan_key_name(s.engine, PLAN_BATCH),
		(unsigned long long)n);
	return true;
}

/* A smaller step: as few sequences as people set, then as many tokens as there is room for. Left at what it was: 0. */
static void smaller_step(const struct trial *t, struct plan_service *s)
{
	static const uint64_t seqs[] = {256, 128, 64, 32, 16};

	for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
		struct plan_service tried = *t->s;
		if (seqs[i] >= plan_seqs_on(t->s, t->card))
			continue;
		with_seqs(&tried, seqs[i]);
		uint64_t n = largest(t, &tried, with_batch, plan_batch_on(t->s, t->card), BATCH_STEP,
			MAX((uint64_t)BATCH_LEAST, seqs[i]));
		*s = tried;
		with_batch(s, n ? n : MIN(plan_batch_on(t->s, t->card), (uint64_t)2048));
		if (n)
			return;
	}
}

static bool name_step(const struct trial *t)
{
	struct plan_service s = *t->s;

	smaller_step(t, &s);
	if (!s.set[PLAN_SEQS] || !s.set[PLAN_BATCH] || !fits(t, &s) || !passes(t, &s))
		return false;
	findings_remedy(&t->p->findings, "%s: %llu with %s: %llu fits", plan_key_name(s.engine, PLAN_SEQS),
		(unsigned long long)s.seqs, plan_key_name(s.engine, PLAN_BATCH), (unsigned long long)s.batch);
	return true;
}

static bool name_context(const struct trial *t)
{
	struct plan_service s = *t->s;
	struct plan_terms terms;

	plan_need(&terms, &s, t->card);
	uint64_t n = MIN(terms.context_fits, s.context);
	with_context(&s, n);
	if (n < CONTEXT_LEAST || n == t->s->context || !passes(t, &s))
		return false;
	findings_remedy(&t->p->findings, "%s: %llu is the largest that fits%s", plan_key_name(s.engine, PLAN_CONTEXT),
		(unsigned long long)n,
		t->s->set[PLAN_CONTEXT] ? "" : " (without it the engine takes the model's own context)");
	return true;
}

/* Where neither alone is enough: the most sequences that leave room for a request worth the name. */
static bool name_context_and_step(const struct trial *t)
{
	static const struct {
		uint64_t seqs, context; /* at least */
	} rounds[] = {{64, 4096}, {16, CONTEXT_LEAST}};

	for (size_t i = 0; i < ARRAY_LEN(rounds); i++) {
		struct plan_service s = *t->s;
		struct plan_terms terms;
		with_seqs(&s, MIN(plan_seqs_on(t->s, t->card), rounds[i].seqs));
		with_batch(&s, MIN(plan_batch_on(t->s, t->card), (uint64_t)2048));
		plan_need(&terms, &s, t->card);
		with_context(&s, MIN(terms.context_fits, s.context));
		if (s.context < rounds[i].context || !passes(t, &s))
			continue;
		findings_remedy(&t->p->findings, "%s: %llu with %s: %llu and %s: %llu fits",
			plan_key_name(s.engine, PLAN_CONTEXT), (unsigned long long)s.context,
			plan_key_name(s.engine, PLAN_SEQS), (unsigned long long)s.seqs,
			plan_key_name(s.engine, PLAN_BATCH), (unsigned long long)s.batch);
		return true;
	}
	return false;
}

static bool name_utilization(const struct trial *t)
{
	double most = MIN(UTILIZATION_MOST, plan_share_free(t->s, t->card));

	for (uint32_t n = (uint32_t)(plan_share_on(t->s, t->card) * 100 + 1.001); n <= (uint32_t)(most * 100 + 0.001);
		n++) {
		struct plan_service s = *t->s;
		s.utilization = n / 100.0;
		s.set[PLAN_UTILIZATION] = true;
		if (!fits(t, &s))
			continue;
		if (!passes(t, &s))
			return false;
		findings_remedy(&t->p->findings, "%s: %.2f is the smallest that fits",
			plan_key_name(s.engine, PLAN_UTILIZATION), s.utilization);
		return true;
	}
	return false;
}

/* ---- other weights ---- */

/* Are the files as the model was made, so that there may be others with fewer bits? */
static bool is_whole(const struct plan_service *s)
{
	const char *quant = s->quant ? s->quant : s->model->facts->quant;

	return !*quant || !strcmp(quant, "none") || !strcmp(quant, "f16") || !strcmp(quant, "bf16") ||
	       !strcmp(quant, "f32");
}

/* One kind of weights; shorter: with the longest context that fits, of 4096 tokens at least. Other files than the asked ones,
 * hence facts of their own. */
static bool name_weights(const struct trial *t, const char *method, const char *words, bool shorter)
{
	struct plan_service s = *t->s;
	struct model_facts made = *s.model->facts;
	struct plan_model model = *s.model;
	struct plan_terms terms;
	struct rule_answer a;
	char context[96] = "";

	rule_quantization(&a, plan_rules_of(&s), t->card->capability, method);
	if ((t->card->capability && a.verdict == RULE_NO) || !model_quant_known(method))
		return false;
	s.quant = method;
	plan_need(&terms, &s, t->card);
	if (shorter) {
		with_context(&s, MIN(terms.context_fits, s.context));
		snprintf(context, sizeof context, ", with %s: %llu", plan_key_name(s.engine, PLAN_CONTEXT),
			(unsigned long long)s.context);
	}
	if (!fits(t, &s) || s.context < MIN(t->s->context, (uint64_t)4096))
		return false;
	snprintf(made.quant, sizeof made.quant, "%s", method);
	model.facts = &made;
	s.model = &model;
	if (!passes(t, &s))
		return false;
	findings_remedy(
		&t->p->findings, "a model of %s: %s of them on each card%s", words, PLAN_BYTES(terms.weights), context);
	return true;
}

/* The mildest: eight bits where they are enough, else four, else four and a shorter context. */
static bool name_quantization(const struct trial *t)
{
	static const char *const names[2][2][2] = {
		{{"fp8", "8-bit weights (FP8)"}, {"awq", "4-bit weights (AWQ, GPTQ)"}},
		{{"q8_0", "8-bit weights (Q8_0)"}, {"q4_k_m", "4-bit weights (Q4_K_M)"}},
	};
	const char *const(*name)[2] = names[t->s->engine == GRAPH_ENGINE_LLAMA];

	return is_whole(t->s) &&
	       (name_weights(t, name[0][0], name[0][1], false) || name_weights(t, name[1][0], name[1][1], false) ||
		       name_weights(t, name[1][0], name[1][1], true));
}

/* ---- more cards ---- */

/* A host with as many of that card as the changed deployment takes. */
static bool passes_on_more(const struct trial *t, const struct plan_service *changed)
{
	uint64_t count = 0;
	struct gpu_inventory more = *t->p->input.inventory;

	for (uint32_t i = 0; i < t->p->deployment.len; i++) {
		const struct plan_service *s = i == t->index ? changed : &t->p->deployment.services[i];
		count += (uint64_t)s->workers * s->gpus;
	}
	if (count > GPU_DEVICES_MAX)
		return false;
	more.devices = calloc(count + 1, sizeof *more.devices);
	if (!more.devices)
		return false;
	for (more.count = 0; more.count < count; more.count++) {
		more.devices[more.count] = *t->card;
		more.devices[more.count].index = more.count;
		more.devices[more.count].host = 0;
		more.devices[more.count].memory_free = t->card->memory_total;
	}
	more.links = NULL;
	uint32_t before = fatals_with(t, &more, t->s), after = fatals_with(t, &more, changed);
	free(more.devices);
	return after != UINT32_MAX && after < before;
}

static bool name_gpus(const struct trial *t)
{
	bool llama = t->s->engine == GRAPH_ENGINE_LLAMA;
	struct plan_service s = *t->s;

	if (t->s->share < 1 || t->card->mig_slice)
		return false;
	for (uint32_t n = (llama ? t->s->gpus : t->s->tp) + 1; n <= GPUS_MOST; n++) {
		if (!llama && !model_tp_valid(s.model->facts, n))
			continue;
		s.tp = llama ? 1 : n;
		s.gpus = llama ? n : n * s.pp * s.dp;
		s.given = 0;
		s.set[PLAN_TP] = !llama;
		s.pinned_len = 0;
		if (!fits(t, &s) || !(passes(t, &s) || passes_on_more(t, &s)))
			continue;
		findings_remedy(&t->p->findings, "%u such cards for each worker of %s (%s%s)%s", s.gpus, s.name,
			llama ? "" : "tensor-parallel-size and ", plan_word(t->p, &s, PLAN_GPUS),
			t->s->pinned_len && t->s->pinned_len < s.gpus ? ", all of them in CUDA_VISIBLE_DEVICES" : "");
		return true;
	}
	return false;
}

void plan_remedies(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	struct trial t = {.p = p, .index = (uint32_t)(s - p->deployment.services), .s = s, .card = card};
	bool external = s->engine != GRAPH_ENGINE_LLAMA, any = false;

	if (p->input.trial || !s->model->facts)
		return;
	t.fatals = fatals_with(&t, p->input.inventory, s);
	if (external) {
		bool step = name_seqs(&t);
		step |= name_batch(&t);
		any = step || name_step(&t);
	}
	if (name_context(&t))
		any = true;
	else if (external && !any)
		any = name_context_and_step(&t);
	any |= external && name_utilization(&t);
	any |= name_quantization(&t);
	any |= name_gpus(&t);
	if (!any)
		findings_remedy(&p->findings, "cards with more memory, or a smaller model");
}
