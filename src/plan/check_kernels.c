/* check_kernels.c - Marlin's shapes. vLLM unpacks FP8 weights below capability 8.9 and NVFP4 weights below 10.0 in Marlin's kernels, and
 * multiplies 4 bit integers in them on every card.
 *
 * A matrix of n outputs and k inputs (of one GPU's part) needs n in whole 64s and k in whole 128s, or n in 128s and k in 64s
 * (csrc/quantization/marlin/marlin.cu, is_valid_config; marlin_repack.cu, "size_n is not divisible by tile_n_size"). For
 * integers the first alone is taken ("is not divisible by min_thread_n = 64", utils/marlin_utils.py); Exllama's kernels then step in
 * for float16, Machete's on Hopper, AWQ's own for AWQ. Experts need their width in whole 64s; integers have other kernels for them.
 * Since 0.24 (matrices) and 0.25 (experts) what is not whole is padded (marlin_padded_nk, marlin_moe_padded_intermediate). */
#include "plan/check_kernels.h"
#include "plan/release.h"

#include "base/compiler.h"
#include <stdio.h>
#include <string.h>

struct matrix {
	const char *what;
	uint64_t n, k; /* outputs and inputs on one GPU; 0: there is none */
	bool attention, experts;
};

enum { MATRICES = 8 };

static void matrices_of(struct matrix ret[MATRICES], const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;
	uint64_t tp = MAX(s->tp, 1u), kv = MAX(m->kv_heads / tp, 1), heads = m->heads / tp, h = m->hidden;
	uint64_t dense = !m->experts || m->dense_layers ? m->intermediate / tp : 0,
		 shared = m->shared_intermediate / tp;
	uint64_t expert = m->experts && !plan_experts_whole(s) ? m->expert_intermediate / tp : 0;
	const struct matrix all[MATRICES] = {
		{"queries, keys and values", m->mla_rank ? 0 : (heads + 2 * kv) * m->head_dim, h, true, false},
		{"attention's output", h, heads * (m->mla_rank ? m->head_dim_v : m->head_dim), true, false},
		{"MLA's queries", m->mla_rank ? heads * m->head_dim : 0, h, true, false},
		{"the feed-forward's gate and up", 2 * dense, h, false, false},
		{"the feed-forward's down", dense ? h : 0, dense, false, false},
		{"the shared experts' gate and up", 2 * shared, h, false, false},
		{"the shared experts' down", shared ? h : 0, shared, false, false},
		{"an expert's down", expert ? h : 0, expert, false, true},
	};

	memcpy(ret, all, sizeof all);
}

static bool is_whole(const struct matrix *m, bool integers)
{
	if (!m->n || !m->k)
		return true;
	if (m->experts)
		return integers || m->k % 64 == 0;
	return (m->n % 64 == 0 && m->k % 128 == 0) || (!integers && m->n % 128 == 0 && m->k % 64 == 0);
}

/* What the weights are multiplied in on such a card; integers: their rules are narrower. */
static bool in_marlin(const struct plan_service *s, const struct gpu_device *card, bool *ret_integers)
{
	const struct model_facts *m = s->model->facts;
	const char *quant = m && strcmp(m->quant, "none") && *m->quant ? m->quant : s->quant ? s->quant : "";

	*ret_integers = !strncmp(quant, "gptq", 4);
	if (!strncmp(quant, "fp8", 3))
		return card->capability < 89;
	if (!strcmp(quant, "nvfp4"))
		return card->capability < 100;
	return *ret_integers && card->capability != 90 && strcmp(plan_dtype_on(s, card->capability), "float16") != 0;
}

static const struct matrix *odd_matrix(const struct matrix all[MATRICES], const struct plan_service *s, bool integers)
{
	bool left = s->model->facts->params_unquantized > 0; /* most often attention, which is then not multiplied so */

	for (size_t i = 0; i < MATRICES; i++) {
		uint32_t padded = all[i].experts ? VLLM_MARLIN_PADS_EXPERTS : VLLM_MARLIN_PADS;
		if (!is_whole(&all[i], integers) && !(left && all[i].attention) &&
			(!s->release || release_before(s->release, padded)))
			return &all[i];
	}
	return NULL;
}

/* Sizes of tensor parallelism with which all are whole, as words. */
static void valid_sizes(const struct plan_service *s, bool integers, char *ret, size_t cap)
{
	struct matrix all[MATRICES];
	struct plan_service other = *s;
	size_t len = 0;

	*ret = '\0';
	for (other.tp = 1; other.tp <= 64 && len < cap; other.tp++) {
		if (other.tp > 1 && !model_tp_valid(s->model->facts, other.tp))
			continue;
		matrices_of(all, &other);
		if (!odd_matrix(all, &other, integers))
			len += (size_t)snprintf(ret + len, cap - len, "%s%u", len ? ", " : "", other.tp);
	}
}

void plan_check_kernels(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	struct matrix all[MATRICES];
	char valid[128];
	bool integers;

	if (s->engine != GRAPH_ENGINE_VLLM || !s->model->facts || findings_has(&p->findings, "tp-divides") ||
		!in_marlin(s, card, &integers))
		return;
	matrices_of(all, s);
	const struct matrix *m = odd_matrix(all, s, integers);
	if (!m)
		return;
	const char *name = s->model->facts->name,
		   *how = integers ? "64 outputs and 128 inputs" : "64 outputs and 128 inputs, or 128 and 64";
	findings_add(&p->findings, s->release ? FINDING_FATAL : FINDING_WARNING, FINDING_CONFIGURATION, "kernel-shape",
		&s->pos[PLAN_TP],
		"%s: on %s vLLM before %s multiplies such weights in Marlin's kernels, which take whole %s: %s of %s on each GPU is %llu by %llu",
		s->name, plan_card_name(card), m->experts ? "0.25" : "0.24",
		m->experts ? "64 of an expert's width" : how, m->what, name, (unsigned long long)m->n,
		(unsigned long long)m->k);
	valid_sizes(s, integers, valid, sizeof valid);
	findings_remedy(&p->findings, "vLLM %s and later pads them", m->experts ? "0.25" : "0.24");
	if (*valid && s->release)
		findings_remedy(&p->findings, "%s: one of %s", plan_key_name(s->engine, PLAN_TP), valid);
}
