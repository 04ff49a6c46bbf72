/* check_engine.c - what an engine refuses, or does another way, on such a card. Rules and sources: gpu/rules.h. */
#include "gpu/versions.h"
#include "plan/check.h"
#include "plan/check_kernels.h"

#include <stdio.h>
#include <string.h>

static void remedy_dtype(struct plan *p, const struct plan_service *s, const struct rule_answer *a)
{
	if (a->instead)
		findings_remedy(&p->findings, "dtype: %s%s", a->instead,
			!strcmp(a->instead, "float32")
				? " (twice the memory), or cards of compute capability 8.0 or more"
				: "");
	(void)s;
}

/* A stated release from before vLLM refused it to the families that overflow it. */
static bool takes_float16(const struct plan_service *s, const char *asked)
{
	struct engine_span span = engine_span_of(RULE_VLLM, ENGINE_RULE, "float16-refused");

	return s->engine == GRAPH_ENGINE_VLLM && s->version && s->version < span.first &&
	       (!strcmp(asked, "float16") || !strcmp(asked, "half"));
}

static void check_dtype(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	bool automatic = !strcmp(s->dtype, "auto");
	const char *asked = automatic ? (m && *m->dtype ? m->dtype : "auto") : s->dtype;
	struct rule_answer a;

	if (automatic && !m)
		return; /* nobody knows what the files have */
	rule_dtype(&a, plan_rules_of(s), card->capability, asked, !automatic, m ? m->architecture : NULL);
	if (a.verdict == RULE_NO && takes_float16(s, asked)) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "dtype", &s->pos[PLAN_DTYPE],
			"%s: this family overflows %s: vLLM %s takes it and may answer nonsense, later ones refuse it",
			s->name, asked, ENGINE_VERSION(s->version));
		findings_unchecked(&p->findings);
	} else if (a.verdict == RULE_NO)
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "dtype", &s->pos[PLAN_DTYPE],
			"%s: %s on %s: %s", s->name, asked, plan_card_name(card), a.text);
	else if (a.verdict == RULE_INSTEAD)
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "dtype", &s->pos[PLAN_DTYPE],
			"%s: the weights are %s: %s", s->name, asked, a.text);
	else
		return;
	remedy_dtype(p, s, &a);
}

static void check_attention(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	struct rule_answer a;

	rule_attention(&a, plan_rules_of(s), card->capability, s->attention);
	if (a.verdict == RULE_NO) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "attention", &s->pos[PLAN_ATTENTION],
			"%s: attention back end %s on %s: %s", s->name, s->attention ? s->attention : "auto",
			plan_card_name(card), a.text);
		findings_remedy(&p->findings, "leave %s out%s%s", plan_key_name(s->engine, PLAN_ATTENTION),
			a.instead ? ", or: " : "", a.instead ? a.instead : "");
	} else if (a.verdict == RULE_INSTEAD) {
		findings_add(&p->findings, FINDING_INFO, FINDING_CONFIGURATION, "attention", NULL,
			"attention on %s: %s", plan_card_name(card), a.text);
		findings_harmless(&p->findings);
	}
}

static void check_quant(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	const char *method = s->quant ? s->quant : m && strcmp(m->quant, "none") && *m->quant ? m->quant : NULL;
	struct rule_answer a;

	if (!method || s->engine == GRAPH_ENGINE_LLAMA)
		return;
	rule_quantization(&a, plan_rules_of(s), card->capability, method);
	if (a.verdict == RULE_UNKNOWN && m) /* "modelopt_fp4": the files say of what */
		rule_quantization(&a, plan_rules_of(s), card->capability, m->quant);
	if (a.verdict == RULE_NO) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "quantization", &s->pos[PLAN_QUANT],
			"%s: %s weights on %s: %s", s->name, method, plan_card_name(card), a.text);
		if (a.instead)
			findings_remedy(&p->findings, "%s", a.instead);
	} else if (a.verdict == RULE_INSTEAD) {
		findings_add(&p->findings, FINDING_INFO, FINDING_CONFIGURATION, "quantization", &s->pos[PLAN_QUANT],
			"%s: %s weights on %s: %s", s->name, method, plan_card_name(card), a.text);
	}
}

static void check_kv_type(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	struct rule_answer a;

	if (!strcmp(s->kv, "auto"))
		return;
	rule_kv_dtype(&a, plan_rules_of(s), card->capability, s->kv);
	if (a.verdict != RULE_NO)
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "kv-dtype", &s->pos[PLAN_KV],
		"%s: a KV cache of %s on %s: %s", s->name, s->kv, plan_card_name(card), a.text);
	findings_remedy(&p->findings, "%s: %s", plan_key_name(s->engine, PLAN_KV), a.instead ? a.instead : "auto");
}

static void check_runs(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	struct rule_answer a;

	rule_engine_runs(&a, plan_rules_of(s), card->capability);
	if (a.verdict != RULE_NO && a.verdict != RULE_INSTEAD)
		return;
	findings_add(&p->findings, a.verdict == RULE_NO ? FINDING_FATAL : FINDING_WARNING, FINDING_ENVIRONMENT,
		"engine-card", &s->graph->pos, "%s: %s on %s: %s", s->name, graph_engine_name(s->engine),
		plan_card_name(card), a.text);
	if (a.instead)
		findings_remedy(&p->findings, "%s", a.instead);
}

/* A card of another maker: its memory is known, and the engines have builds of their own for it, whose rules are not here. */
static void other_vendor(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	static const struct {
		const char *vendor, *build;
	} builds[] = {{"AMD", "a ROCm build"}, {"Intel", "a build for Intel's GPUs, or the Gaudi plugin"},
		{"Google", "the TPU plugin"}, {"AWS", "the Neuron plugin"}, {"Huawei", "the Ascend plugin"}};
	const char *build = "a build of its own";

	for (size_t i = 0; i < ARRAY_LEN(builds); i++)
		if (!strcmp(builds[i].vendor, card->spec->vendor))
			build = builds[i].build;
	findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "gpu-vendor", &s->graph->pos,
		"%s: %s is %s's (%s): CUDA does not run on it, and what %s can do there with %s is not checked here",
		s->name, card->spec->name, card->spec->vendor, PLAN_BYTES(card->memory_total),
		graph_engine_name(s->engine), build);
	findings_unchecked(&p->findings);
	findings_remedy(
		&p->findings, "only the memory is judged; the engine's documentation names the models it runs there");
}

/* Memory that the processor uses too: what is free is less than all, and nobody can say by how much. */
static void shared_memory(struct plan *p, const struct gpu_device *card)
{
	if (!card->spec || !card->spec->unified)
		return;
	findings_add(&p->findings, FINDING_INFO, FINDING_CAPACITY, "memory-unified", NULL,
		"%s has %s in all for GPU and system: what programs and the page cache hold is missing, and the engine may find less "
		"free than it wants",
		card->spec->name, PLAN_BYTES(card->memory_total));
	findings_remedy(&p->findings, "a share of 0.8 or less leaves room for the system");
}

/* A card that only has a name: types, quantization and attention have no rules, and perhaps its memory is not known. */
static void unknown_card(struct plan *p, const struct plan_service *s, const struct gpu_device *card)
{
	if (s->engine == GRAPH_ENGINE_MOCK)
		return;
	if (!gpu_spec_is_cuda(card->spec)) {
		other_vendor(p, s, card);
		return;
	}
	findings_add(&p->findings, FINDING_WARNING, FINDING_ENVIRONMENT, "gpu-unknown", &s->graph->pos,
		"%s: what %s can compute is not known here%s", s->name, plan_card_name(card),
		card->memory_total ? "" : ", nor how much memory it has");
	findings_unchecked(&p->findings);
	findings_remedy(&p->findings, "--gpu-file takes a file with its figures (\"stator plan --help\")");
}

/* Once for each kind of card that the service's workers have, or would have. */
static void check_on_cards(struct plan *p, uint32_t service, const struct plan_service *s)
{
	const struct plan_placement *pl = &p->placement;
	uint32_t seen = UINT32_MAX;
	bool any = false;

	for (uint32_t i = 0; i <= pl->slots_len; i++) {
		uint32_t c;
		if (i == pl->slots_len)
			c = any ? UINT32_MAX : plan_class_for(pl, service);
		else if (pl->slots[i].service == service && pl->slots[i].count)
			c = pl->class_of[pl->cards[pl->slots[i].first]];
		else
			continue;
		if (c == UINT32_MAX || (any && c == seen))
			continue;
		any = true;
		seen = c;
		const struct gpu_device *card = plan_card_of(p, c);
		if (!card->capability) {
			unknown_card(p, s, card);
			continue;
		}
		shared_memory(p, card);
		plan_check_release_on(p, s, card);
		check_runs(p, s, card);
		check_dtype(p, s, card);
		check_quant(p, s, card);
		plan_check_kernels(p, s, card);
		check_kv_type(p, s, card);
		check_attention(p, s, card);
	}
}

static void check_tp(struct plan *p, const struct plan_service *s)
{
	char why[200], valid[128] = "";
	size_t len = 0;

	if (!s->model->facts || s->tp < 2 || model_tp_valid(s->model->facts, s->tp))
		return;
	model_tp_reason(s->model->facts, s->tp, why, sizeof why);
	if (plan_experts_whole(s) && !strncmp(why, "the experts'", 12))
		return;
	for (uint32_t tp = 1; tp <= 64 && len < sizeof valid; tp++)
		if (model_tp_valid(s->model->facts, tp))
			len += (size_t)snprintf(valid + len, sizeof valid - len, "%s%u", len ? ", " : "", tp);
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "tp-divides", &s->pos[PLAN_TP],
		"%s: %s cannot be divided among %u cards: %s", s->name, s->model->facts->name, s->tp,
		model_tp_reason(s->model->facts, s->tp, why, sizeof why));
	findings_remedy(&p->findings, "%s: one of %s", plan_key_name(s->engine, PLAN_TP), valid);
}

/* ---- groups and blocks of quantized weights against the split ---- */

/* One matrix that is divided; its part must be whole blocks. */
struct part {
	const char *what;
	uint64_t width;
};

/* The first part that is not whole at that size; NULL: all are. A group of awq and gptq lies along the inputs of a matrix
 * alone, a block of fp8 along both. */
static const char *odd_part(const struct plan_service *s, uint32_t unit, bool block, uint32_t tp, uint64_t *ret_width)
{
	const struct model_facts *m = s->model->facts;
	bool dense = !m->experts || m->dense_layers;
	uint64_t kv = block && !m->mla_rank ? (uint64_t)MAX(m->kv_heads, tp) * m->head_dim
					    : 0; /* replicated beyond their number */
	const struct part parts[] = {
		{"the experts' width", m->experts && !plan_experts_whole(s) ? m->expert_intermediate : 0},
		{"the shared experts' width", m->shared_intermediate},
		{"the feed-forward width", dense ? m->intermediate : 0},
		{"the width of all heads", m->mla_rank ? 0 : (uint64_t)m->heads * m->head_dim},
		{"the width of all KV heads", kv},
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i].width % ((uint64_t)tp * unit)) {
			*ret_width = parts[i].width;
			return parts[i].what;
		}
	return NULL;
}

/* vLLM: Fp8LinearMethod and Fp8MoEMethod of model_executor/layers/quantization/fp8.py ("is not divisible by weight quantization
 * block_n"), awq.py and gptq.py ("The input size is not aligned with the quantized weight shape"); SGLang has the same checks. */
static void check_groups(struct plan *p, const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;
	bool made = m && *m->quant &&
		    strcmp(m->quant, "none"); /* "modelopt", "compressed-tensors": the files say of what */
	const char *method = made ? m->quant : s->quant ? s->quant : "none";
	char valid[128] = "";
	uint64_t width, none;
	size_t len = 0;

	if (!m || s->tp < 2 || s->engine == GRAPH_ENGINE_LLAMA || !model_tp_valid(m, s->tp))
		return;
	bool block = !strncmp(method, "fp8", 3), group = !strncmp(method, "awq", 3) || !strncmp(method, "gptq", 4);
	uint32_t unit = block ? m->quant_block : group ? (m->quant_group ? m->quant_group : 128) : 0;
	const char *what = unit ? odd_part(s, unit, block, s->tp, &width) : NULL;
	if (!what)
		return;
	for (uint32_t tp = 1; tp <= 64 && len < sizeof valid; tp++)
		if ((tp == 1 || model_tp_valid(m, tp)) && !odd_part(s, unit, block, tp, &none))
			len += (size_t)snprintf(valid + len, sizeof valid - len, "%s%u", len ? ", " : "", tp);
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "quantization-divides", &s->pos[PLAN_TP],
		"%s: %s weights come in %s of %u, and %s divided among %u cards is not whole ones", s->name, method,
		block ? "blocks" : "groups", unit, what, s->tp);
	if (width % s->tp)
		findings_arithmetic(&p->findings, "%llu / %u is no whole number", (unsigned long long)width, s->tp);
	else
		findings_arithmetic(&p->findings, "%llu / %u = %llu = %.2f x %u", (unsigned long long)width, s->tp,
			(unsigned long long)width / s->tp, (double)width / s->tp / unit, unit);
	findings_remedy(&p->findings, "%s: one of %s%s", plan_key_name(s->engine, PLAN_TP), *valid ? valid : "none",
		strstr(what, "the experts'") ? "; or enable-expert-parallel: true, which leaves each expert whole"
					     : "");
}

static bool names_positions(const char *json)
{
	return strstr(json, "rope") || strstr(json, "max_position_embeddings") || strstr(json, "model_max_length");
}

/* Does the user stretch the context himself? vLLM then derives another length, or is told not to look. */
static bool is_stretched(const struct plan_service *s)
{
	static const char *const keys[] = {"rope-scaling", "hf-overrides", "json-model-override-args"};
	static const char *const envs[] = {
		"VLLM_ALLOW_LONG_MAX_MODEL_LEN", "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN"};
	const struct graph_service *g = s->graph;

	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		const struct config_item *item = config_section_find(&g->settings, keys[k]);
		if (item && item->value.set && item->value.text && (k == 0 || names_positions(item->value.text)))
			return true;
		for (uint32_t i = 0; i < g->args_len; i++)
			if (!strcmp(g->args[i].name, keys[k]) && g->args[i].value &&
				(k == 0 || names_positions(g->args[i].value)))
				return true;
	}
	for (size_t k = 0; k < ARRAY_LEN(envs); k++)
		for (uint32_t i = 0; i < g->envs_len; i++)
			if (!strcmp(g->envs[i].name, envs[k]) && g->envs[i].value &&
				strchr("1tTyY", *g->envs[i].value) && *g->envs[i].value)
				return true;
	return false;
}

static void check_context(struct plan *p, const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;

	if (!m || !m->context_max || s->context <= m->context_max || !s->set[PLAN_CONTEXT] ||
		s->engine == GRAPH_ENGINE_LLAMA)
		return;
	if (is_stretched(s)) {
		findings_add(&p->findings, FINDING_INFO, FINDING_CONFIGURATION, "context-stretched",
			&s->pos[PLAN_CONTEXT],
			"%s: %s is %llu, past the %u the model was made for: its RoPE is scaled, or the engine's check is turned off",
			s->name, plan_key_name(s->engine, PLAN_CONTEXT), (unsigned long long)s->context,
			m->context_max);
		return;
	}
	if (m->variant) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "context-variant",
			&s->pos[PLAN_CONTEXT],
			"%s: %s is %llu, past the %u of %s; whether the file that was made of it has more is not known here",
			s->name, plan_key_name(s->engine, PLAN_CONTEXT), (unsigned long long)s->context, m->context_max,
			m->name);
		findings_unchecked(&p->findings);
		findings_remedy(&p->findings, "max_position_embeddings of its config.json says it");
		return;
	}
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "context-max", &s->pos[PLAN_CONTEXT],
		"%s: %s is %llu, and the model was made for %u", s->name, plan_key_name(s->engine, PLAN_CONTEXT),
		(unsigned long long)s->context, m->context_max);
	findings_remedy(&p->findings, "at most %u (RoPE scaling stretches it, at a price in quality)", m->context_max);
}

static void check_batch(struct plan *p, const struct plan_service *s)
{
	if (s->engine != GRAPH_ENGINE_VLLM || !s->set[PLAN_BATCH])
		return;
	if (s->batch < s->seqs) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "batch-seqs", &s->pos[PLAN_BATCH],
			"%s: max-num-batched-tokens is %llu, less than the %llu sequences of a step%s", s->name,
			(unsigned long long)s->batch, (unsigned long long)s->seqs,
			s->set[PLAN_SEQS] ? "" : " (vLLM's default)");
		findings_remedy(&p->findings, "max-num-batched-tokens of at least max-num-seqs");
	}
	if (!s->chunked && s->context && s->batch < s->context) {
		findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "batch-context", &s->pos[PLAN_BATCH],
			"%s: without chunked prefill a prompt must fit one step: max-num-batched-tokens %llu < "
			"max-model-len %llu",
			s->name, (unsigned long long)s->batch, (unsigned long long)s->context);
		findings_remedy(&p->findings, "enable-chunked-prefill: true, or max-num-batched-tokens: %llu",
			(unsigned long long)s->context);
	}
}

void plan_check_engine(struct plan *p)
{
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (s->workers == 0 || s->engine == GRAPH_ENGINE_MOCK)
			continue;
		check_tp(p, s);
		check_groups(p, s);
		check_context(p, s);
		check_batch(p, s);
		plan_check_names(p, s);
		plan_check_release(p, s);
		if (plan_on_gpu(s))
			check_on_cards(p, i, s);
	}
}
