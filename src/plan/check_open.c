/* check_open.c - what leaves the answer open although the terms fit: parts that are in no record, and what an engine takes beside its
 * share. */
#include "plan/check.h"

#include <math.h>
#include <string.h>

enum { DP_ATTENTION_SPARE = 8 }; /* of a card */

/* One service on one kind of card, and what is left there beside one request. */
struct look {
	const struct plan_service *s;
	const struct plan_terms *t;
	const struct gpu_device *card;
	int64_t left;
};

static uint64_t shown(int64_t bytes)
{
	return (uint64_t)MAX(bytes, 0);
}

/* ---- each kind: is it so, and how it is said ---- */

/* What vLLM takes while it profiles an image encoder is in no record: then there must be much room, or nobody knows. */
static bool encoder_open(const struct look *x)
{
	return plan_encoder_unknown(x->s) && x->left < (int64_t)PLAN_ENCODER_SEEN_GIB << 30;
}

static void encoder_say(struct plan *p, const struct look *x)
{
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-encoder", &x->s->pos[PLAN_MODEL],
		"%s: vLLM before 0.17 also profiles the model's image encoder, which takes up to %s, and %s are left beside one request",
		x->s->name, PLAN_BYTES((uint64_t)PLAN_ENCODER_SEEN_GIB << 30), PLAN_BYTES(shown(x->left)));
	findings_unchecked(&p->findings);
	findings_remedy(&p->findings,
		"fewer or smaller images (limit-mm-per-prompt, mm-processor-kwargs); --engine-version vllm=VERSION says which release it is");
}

/* A draft model, or draft layers: their weights and cache are in no record. */
static bool draft_open(const struct look *x)
{
	return x->s->extra.draft && x->left < (int64_t)(x->t->weights / 2 + (1ull << 30));
}

static void draft_say(struct plan *p, const struct look *x)
{
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-draft", &x->s->graph->pos,
		"%s: what its draft model takes is not counted, and %s are left beside one request", x->s->name,
		PLAN_BYTES(shown(x->left)));
	findings_unchecked(&p->findings);
	findings_remedy(&p->findings, "without speculation the plan is whole");
}

/* Before 0.21 vLLM gives its whole share away before it captures CUDA graphs and tries sampling. */
static bool outside_open(const struct look *x)
{
	return plan_outside_on(x->s, x->card) > x->t->total - MIN(x->t->budget, x->t->total);
}

static void outside_say(struct plan *p, const struct look *x)
{
	uint64_t outside = plan_outside_on(x->s, x->card), total = x->t->total;

	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-outside", &x->s->pos[PLAN_UTILIZATION],
		"%s: vLLM before 0.21 takes up to %s beside its share of the card, for its context, CUDA graphs and sampling, and %s are left",
		x->s->name, PLAN_BYTES(outside), PLAN_BYTES(total - MIN(x->t->budget, total)));
	findings_unchecked(&p->findings);
	findings_remedy(&p->findings, "%s: %.2f leaves that much", plan_key_name(x->s->engine, PLAN_UTILIZATION),
		floor((double)(total - MIN(outside, total)) * 100 / (double)total) / 100);
}

/* SGLang's share is weights and KV cache alone: what it computes with must find room beside it. */
static uint64_t share_left(const struct look *x, uint64_t *ret_before)
{
	uint64_t taken = x->t->runtime + x->t->links;

	*ret_before = x->t->total - MIN(taken, x->t->total);
	return *ret_before - MIN((uint64_t)((double)*ret_before * plan_share_on(x->s, x->card)), *ret_before);
}

static bool beside_open(const struct look *x)
{
	uint64_t before, left = share_left(x, &before);

	return x->s->engine == GRAPH_ENGINE_SGLANG && x->s->set[PLAN_UTILIZATION] && !x->s->extra.kv_tokens &&
	       x->t->activations + x->t->graphs > left;
}

static void beside_say(struct plan *p, const struct look *x)
{
	const char *key = plan_key_name(x->s->engine, PLAN_UTILIZATION);
	uint64_t before, left = share_left(x, &before), wanted = x->t->activations + x->t->graphs;

	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-beside", &x->s->pos[PLAN_UTILIZATION],
		"%s: SGLang's %s of %.3f is for weights and KV cache, and activations and CUDA graphs take up to %s beside it: %s are left",
		x->s->name, key, plan_share_on(x->s, x->card), PLAN_BYTES(wanted), PLAN_BYTES(left));
	findings_unchecked(&p->findings);
	if (before > wanted)
		findings_remedy(&p->findings, "%s: %.2f leaves that much", key,
			floor((double)(before - wanted) * 100 / (double)before) / 100);
}

/* No start with data parallel attention is in any record: only with much room beside one request it is said to fit. */
static bool attention_open(const struct look *x)
{
	return x->s->extra.dp_attention && x->left < (int64_t)(x->t->total / DP_ATTENTION_SPARE);
}

static void attention_say(struct plan *p, const struct look *x)
{
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-attention", &x->s->pos[PLAN_TP],
		"%s: each of %u groups holds all of the attention, and %s are left beside one request: what else data parallel attention takes is in no record",
		x->s->name, x->s->extra.dp_attention, PLAN_BYTES(shown(x->left)));
	findings_unchecked(&p->findings);
}

static bool unrecorded_open(const struct look *x)
{
	return plan_unrecorded(x->s, x->t) != NULL;
}

static void unrecorded_say(struct plan *p, const struct look *x)
{
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-unrecorded", &x->s->pos[PLAN_MODEL],
		"%s: by what is known %s are left beside one request, but starts like it have failed: %s is in no record",
		x->s->name, PLAN_BYTES(shown(x->left)), plan_unrecorded(x->s, x->t));
	findings_unchecked(&p->findings);
}

/* Weights that are made FP8 while they are loaded come in 16 bits first, all of them before the first is made smaller (vLLM's page on
 * FP8; later releases do it layer by layer). */
static uint64_t came_as(const struct look *x)
{
	const struct plan_service *s = x->s;

	return model_weight_bytes_ep(
		       s->model->facts, "bfloat16", s->tp, plan_experts_whole(s) ? s->tp * MAX(s->dp, 1u) : s->tp) /
	       MAX(s->pp, 1u);
}

static bool made_open(const struct look *x)
{
	const struct plan_service *s = x->s;
	const char *files = s->model->facts->quant;

	return s->set[PLAN_QUANT] && s->quant && !strcmp(s->quant, "fp8") && (!*files || !strcmp(files, "none")) &&
	       !s->extra.offload && came_as(x) > x->t->total;
}

static void made_say(struct plan *p, const struct look *x)
{
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-made", &x->s->pos[PLAN_QUANT],
		"%s: its weights are made FP8 while they are loaded, and come in 16 bits first: %s on a card of %s",
		x->s->name, PLAN_BYTES(came_as(x)), PLAN_BYTES(x->t->total));
	findings_unchecked(&p->findings);
	findings_remedy(&p->findings, "weights that are stored in FP8, or more cards");
}

static const struct {
	bool (*is_open)(const struct look *x);
	void (*say)(struct plan *p, const struct look *x);
} kinds[] = {{encoder_open, encoder_say}, {draft_open, draft_say}, {outside_open, outside_say},
	{beside_open, beside_say}, {attention_open, attention_say}, {unrecorded_open, unrecorded_say},
	{made_open, made_say}};

bool plan_is_open(const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	const struct look x = {s, t, card, t->kv_room - (int64_t)t->kv_least};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].is_open(&x))
			return true;
	return false;
}

void plan_check_open(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	const struct look x = {s, t, card, t->kv_room - (int64_t)t->kv_least};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].is_open(&x))
			kinds[i].say(p, &x);
}
