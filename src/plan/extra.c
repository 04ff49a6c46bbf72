/* extra.c - see extra.h. Defaults: vLLM, config/lora.py (1 adapter, rank 16); SGLang, server_args.py (8 a batch). */
#include "plan/extra.h"

#include "base/compiler.h"
#include <stdlib.h>
#include <string.h>

enum { LORAS_VLLM = 1, LORAS_SGLANG = 8, LORA_RANK = 16 };

/* A flag as it was written; NULL: not given. A flag without a value is "". */
static const char *text_of(const struct graph_service *g, const char *name)
{
	for (uint32_t i = 0; i < g->args_len; i++)
		if (!strcmp(g->args[i].name, name))
			return g->args[i].value ? g->args[i].value : "";
	return NULL;
}

static bool is_on(const struct graph_service *g, const char *name)
{
	const char *text = text_of(g, name);

	return text && strcasecmp(text, "false") != 0 && strcmp(text, "0") != 0;
}

/* "4", "1.5", "20G" and "20GiB" of bytes. 0: none, or not one. */
static double number_of(const struct graph_service *g, const char *name)
{
	static const char letters[] = "kmgt";
	const char *text = text_of(g, name);
	char *end;

	if (!text || !*text)
		return 0;
	double n = strtod(text, &end);
	const char *letter = *end ? strchr(letters, *end | 0x20) : NULL;
	double unit = end[0] && end[1] == 'i' ? 1024 : letter && *end >= 'a' ? 1000 : 1024;
	for (long i = letter ? letter - letters : -1; i >= 0; i--)
		n *= unit;
	return n > 0 && n < 1e18 ? n : 0;
}

/* Looking up what was said before drafts nothing with weights. */
static bool drafts(const struct graph_service *g)
{
	const char *config = text_of(g, "speculative-config"), *sglang = text_of(g, "speculative-algorithm");

	if (config && *config && !strstr(config, "ngram") && !strstr(config, "suffix"))
		return true;
	return (sglang && *sglang && strcasecmp(sglang, "ngram") != 0) || text_of(g, "speculative-model") ||
	       text_of(g, "speculative-draft-model-path");
}

void plan_extra_take(struct plan_extra *ret, const struct graph_service *g)
{
	bool vllm = g->engine == GRAPH_ENGINE_VLLM;
	struct plan_extra e = {.draft = drafts(g),
		.offload = (uint64_t)(number_of(g, "cpu-offload-gb") * 1024 * 1024 * 1024),
		.kv_bytes = vllm ? (uint64_t)MAX(number_of(g, "kv-cache-memory-bytes"), number_of(g, "kv-cache-memory"))
				 : 0,
		.kv_blocks = vllm ? (uint64_t)number_of(g, "num-gpu-blocks-override") : 0,
		.kv_tokens = vllm ? 0 : (uint64_t)number_of(g, "max-total-tokens")};

	e.dp_inside = !vllm && is_on(g, "enable-dp-attention");
	if (is_on(g, "enable-lora") || text_of(g, "lora-modules") || text_of(g, "lora-paths")) {
		double loras = number_of(g, vllm ? "max-loras" : "max-loras-per-batch"),
		       rank = number_of(g, "max-lora-rank");
		e.loras = loras >= 1 ? (uint32_t)MIN(loras, 1e6) : vllm ? LORAS_VLLM : LORAS_SGLANG;
		e.lora_rank = rank >= 1 ? (uint32_t)MIN(rank, 65536.0) : LORA_RANK;
	}
	*ret = e;
}

uint64_t plan_extra_lora_bytes(const struct plan_extra *e, const struct model_facts *m, uint32_t tp)
{
	uint64_t h = m->hidden, q = (uint64_t)m->heads * m->head_dim, kv = (uint64_t)m->kv_heads * m->head_dim,
		 i = m->intermediate ? m->intermediate : (uint64_t)m->expert_intermediate * MAX(m->experts_used, 1u);
	uint64_t in = h + 2 * h + q + 2 * h + i, out = q + 2 * kv + h + 2 * i + h;

	return (in + out / MAX(tp, 1u)) * e->lora_rank * 2 * m->layers * e->loras;
}

/* Of all layers: what is left of the matrices without the feed-forward parts and the experts. */
static uint64_t attention_params(const struct model_facts *m)
{
	uint64_t dense = m->experts ? m->dense_layers : m->layers, moe = m->layers - dense;
	uint64_t rest =
		m->params_expert + 3 * (uint64_t)m->hidden * (dense * m->intermediate + moe * m->shared_intermediate);

	return m->params_linear - MIN(rest, m->params_linear);
}

uint64_t plan_extra_attention_bytes(const struct plan_extra *e, const struct model_facts *m, uint32_t tp)
{
	uint32_t part = plan_extra_attention_tp(e, tp);
	bool eight = !strncmp(m->quant, "fp8", 3) || !strncmp(m->quant, "int8", 4);
	uint64_t all = attention_params(m) * (eight ? 1 : 2), embed = m->params_embed * 2;

	if (part >= tp)
		return 0;
	/* kv_b stays beside its two halves in 16 bits (deepseek_v2.py, w_kc and w_vc). */
	uint64_t halves = (uint64_t)m->layers * m->mla_rank * m->heads *
			  (m->head_dim - MIN(m->mla_rope_dim, m->head_dim) + m->head_dim_v) * 2;
	return all / part - all / tp + embed - embed / tp + halves / part;
}
