/* check_given.c - the GPUs that a worker is given against those that its engine computes on. */
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

/* What its flags make: tensor, pipeline and data parallel. */
static uint32_t computed_on(const struct plan_service *s)
{
	return s->tp * s->pp * s->dp;
}

/* Sizes that no plan varies and that multiply what a worker computes on, or say how it is parted among hosts. */
static bool has_more_sizes(const struct graph_service *g)
{
	static const char *const names[] = {"pp-size", "prefill-context-parallel-size", "data-parallel-size-local",
		"nnodes", "decode-context-parallel-size"};

	for (uint32_t i = 0; i < g->args_len; i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (!strcmp(g->args[i].name, names[k]))
				return true;
	return false;
}

static bool is_compared(const struct plan_service *s)
{
	return !has_more_sizes(s->graph) && plan_rules_of(s) != RULE_LLAMA && s->graph->gpus_set && s->workers && plan_on_gpu(s);
}

/* As a number: of a part of one card that part. */
static double given_to(const struct plan_service *s)
{
	return s->share < 1 ? s->share : s->given ? s->given : s->gpus;
}

static bool is_short(const struct plan *p, const struct plan_service *s)
{
	bool told = p->input.form && p->input.form->form; /* with the file's flags (forms/tree.c, "gpus-few") */

	return !told && is_compared(s) && computed_on(s) > given_to(s);
}

/* "tensor-parallel-size 16 x data-parallel-size 2" */
static const char *factors(const struct plan_service *s, char *ret, size_t cap)
{
	const struct {
		const char *name;
		uint32_t n;
	} all[] = {{plan_key_name(s->engine, PLAN_TP), s->tp}, {"pipeline-parallel-size", s->pp},
		{plan_key_name(s->engine, PLAN_DP), s->dp}};
	size_t len = 0;

	*ret = '\0';
	for (size_t i = 0; i < ARRAY_LEN(all) && len < cap; i++)
		if (all[i].n > 1 || (i == 0 && s->pp == 1 && s->dp == 1))
			len += (size_t)snprintf(
				ret + len, cap - len, "%s%s %u", len ? " x " : "", all[i].name, all[i].n);
	return ret;
}

/* ---- remedies, tried of all services that have the fault ---- */

typedef bool mend_fn(struct plan_service *s);

static bool give_all(struct plan_service *s)
{
	s->gpus = computed_on(s);
	s->given = 0;
	s->share = 1;
	return true;
}

/* As many cards for each layer as there are. */
static bool divide_less(struct plan_service *s)
{
	s->tp = s->share < 1 ? 0 : s->given / (s->pp * s->dp);
	s->set[PLAN_TP] = true;
	return s->tp > 0 && (s->tp == 1 || !s->model->facts || model_tp_valid(s->model->facts, s->tp)) && give_all(s);
}

/* Planned again; mend NULL: as it is. UINT32_MAX: it cannot be done, or there are too few cards for it. */
static uint32_t fatals_after(const struct plan *p, mend_fn *mend)
{
	const struct plan_deployment *d = &p->deployment;
	struct plan_deployment n = {.graph = d->graph, .len = d->len};
	struct plan_input input = p->input;
	struct plan again;
	struct err err;

	input.trial = true;
	n.services = calloc(d->len + 1, sizeof *n.services);
	if (!n.services)
		return UINT32_MAX;
	memcpy(n.services, d->services, d->len * sizeof *n.services);
	for (uint32_t i = 0; mend && i < n.len; i++)
		if (is_short(p, &n.services[i]) && !mend(&n.services[i])) {
			free(n.services);
			return UINT32_MAX;
		}
	if (plan_make_of(&again, &input, &n, &err) < 0)
		return UINT32_MAX;
	bool placed = again.placement.placed == again.placement.slots_len;
	uint32_t fatals = mend && !placed ? UINT32_MAX : again.findings.fatals;
	plan_done(&again);
	return fatals;
}

static bool mends(const struct plan *p, mend_fn *mend)
{
	uint32_t before = p->input.trial ? 0 : fatals_after(p, NULL);

	return before && fatals_after(p, mend) < before;
}

/* KV heads are not divided further than there are: beyond that each is kept several times. */
static void kv_heads(struct plan *p, const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;

	if (m && !m->mla_rank && m->kv_heads && s->tp > m->kv_heads && s->tp % m->kv_heads == 0)
		findings_arithmetic(&p->findings, "%u KV head%s among %u GPUs: each is kept %u times", m->kv_heads,
			plan_s(m->kv_heads), s->tp, s->tp / m->kv_heads);
}

static void given_few(struct plan *p, const struct plan_service *s, bool all, bool less)
{
	const char *gpu = plan_word(p, s, PLAN_GPUS), *tp = plan_key_name(s->engine, PLAN_TP);
	uint32_t used = computed_on(s);
	char text[160];

	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "gpus-given", &s->pos[PLAN_GPUS],
		"%s: each worker computes on %u GPUs at once, and %s gives it %g", s->name, used, gpu, given_to(s));
	findings_arithmetic(&p->findings, "%s = %u > %g", factors(s, text, sizeof text), used, given_to(s));
	kv_heads(p, s);
	if (less)
		findings_remedy(&p->findings, "%s: %u, which it is given", tp, s->given / (s->pp * s->dp));
	if (all)
		findings_remedy(
			&p->findings, "%s: %u, all that it computes on, on however many hosts they are", gpu, used);
	if (!less && !all)
		findings_remedy(&p->findings, "%s and %s that agree, of no more GPUs than there are", tp, gpu);
}

static void given_many(struct plan *p, const struct plan_service *s)
{
	uint32_t used = computed_on(s), part = s->pp * s->dp;
	char text[160];

	findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "gpus-unused", &s->pos[PLAN_GPUS],
		"%s: %s gives each worker %u GPUs, and it computes on %u (%s)", s->name, plan_word(p, s, PLAN_GPUS),
		s->gpus, used, factors(s, text, sizeof text));
	findings_remedy(&p->findings, "%s: %u", plan_word(p, s, PLAN_GPUS), used);
	if (s->gpus % part == 0 && (!s->model->facts || model_tp_valid(s->model->facts, s->gpus / part)))
		findings_remedy(&p->findings, "%s: %u", plan_key_name(s->engine, PLAN_TP), s->gpus / part);
}

void plan_check_given(struct plan *p)
{
	bool any = false;

	for (uint32_t i = 0; i < p->deployment.len; i++)
		any |= is_short(p, &p->deployment.services[i]);
	bool all = any && mends(p, give_all), less = any && mends(p, divide_less);
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (is_short(p, s))
			given_few(p, s, all, less);
		else if (is_compared(s) && s->share >= 1 && computed_on(s) < s->gpus)
			given_many(p, s);
	}
}
