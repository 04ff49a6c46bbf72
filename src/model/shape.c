/* shape.c - counting parameters.
 *
 * A layer: attention q h x H d, k and v h x K d each, o H d x h; feed-forward 3 (gated) or 2 matrices h x i; norms of h.
 * MoE: a router h x E and E feed-forwards of the experts' size, and the shared ones. MLA: q through a rank (or whole), the
 * joint compressed k and v h x (r + rope), its expansion r x H (nope + v), o H v x h. Around: embedding V x h, the output
 * layer unless tied, one last norm. */
#include "model/shape.h"

#include "base/compiler.h"
#include <stdio.h>
#include <string.h>

enum { DIM_MAX = 1 << 20, VOCAB_MAX = 1 << 24, EXPERTS_MAX = 4096 };

const char *model_shape_wrong(const struct model_shape *s, char *ret, size_t cap)
{
	*ret = '\0';
	if (!s->layers || !s->hidden || !s->heads || !s->vocab || (!s->head_dim && !s->mla_rank))
		snprintf(ret, cap, "layers, hidden size, heads, head size and vocabulary must be above 0");
	else if (s->layers > MODEL_LAYERS_MAX || s->hidden > DIM_MAX || s->heads > 4096 || s->kv > 4096 ||
		 s->head_dim > 65536 || s->v_dim > 65536 || s->inter > DIM_MAX || s->vocab > VOCAB_MAX)
		snprintf(ret, cap, "a size is beyond any known model");
	else if (s->experts > EXPERTS_MAX || s->expert_inter > DIM_MAX || s->shared_inter > DIM_MAX ||
		 s->mla_rank > DIM_MAX || s->mla_q > DIM_MAX || s->mla_rope > 65536 || s->mla_nope > 65536 ||
		 s->mla_v > 65536 || s->expert_hidden > DIM_MAX || s->global_kv > 4096 || s->global_head_dim > 65536 ||
		 s->indexer > 65536 || s->other > 1ull << 50 || s->other_linear > 1ull << 50 || s->state > 1ull << 50)
		snprintf(ret, cap, "a size is beyond any known model");
	else if (!s->mla_rank && (!s->kv || s->heads % s->kv))
		snprintf(ret, cap, "%u heads do not divide among %u KV heads", s->heads, s->kv);
	else if (s->global_kv && s->heads % s->global_kv)
		snprintf(ret, cap, "%u heads do not divide among %u KV heads", s->heads, s->global_kv);
	else if (s->used > s->experts || s->dense_layers > s->layers || s->window_layers > s->layers ||
		 s->kv_layers > s->layers || s->state_layers > s->layers || s->unquantized > model_shape_linear(s))
		snprintf(ret, cap,
			"a part is larger than the whole: experts used, dense, window or KV layers, or "
			"what is not quantized");
	return ret;
}

static uint64_t attention_matrices(const struct model_shape *s)
{
	uint64_t h = s->hidden, H = s->heads;

	if (!s->mla_rank)
		return h * (H + s->kv) * ((uint64_t)s->head_dim + (s->v_dim ? s->v_dim : s->head_dim));
	uint64_t qk = (uint64_t)s->mla_nope + s->mla_rope;
	uint64_t q = s->mla_q ? h * s->mla_q + s->mla_q * H * qk : h * H * qk;
	return q + h * (s->mla_rank + s->mla_rope) + s->mla_rank * H * (s->mla_nope + s->mla_v) + H * s->mla_v * h;
}

static uint64_t attention_small(const struct model_shape *s)
{
	uint64_t n = s->mla_rank ? (uint64_t)s->mla_rank + s->mla_q : 0;

	if (s->bias != SHAPE_BIAS_NONE)
		n += ((uint64_t)s->heads + 2 * s->kv) * s->head_dim;
	if (s->bias == SHAPE_BIAS_ALL)
		n += s->hidden;
	if (s->qk_norm == SHAPE_QK_HEAD)
		n += 2 * s->head_dim;
	if (s->qk_norm == SHAPE_QK_FULL)
		n += ((uint64_t)s->heads + s->kv) * s->head_dim;
	return n;
}

static uint64_t mlp_matrices(const struct model_shape *s, uint64_t inter)
{
	return (s->plain_mlp ? 2 : 3) * s->hidden * inter;
}

struct counts {
	uint64_t linear, small, embed, output, expert; /* expert: of linear, the routed experts' */
	uint64_t moe_layers;
};

static struct counts count(const struct model_shape *s)
{
	struct counts c = {.embed = (uint64_t)s->vocab * s->hidden};
	uint64_t norm = s->norm_bias ? 2ull * s->hidden : s->hidden;

	c.output = s->tied ? 0 : c.embed;
	c.moe_layers = s->experts ? s->layers - s->dense_layers : 0;
	uint64_t width = s->expert_hidden ? s->expert_hidden : s->hidden;
	c.expert = c.moe_layers * s->experts * (s->plain_mlp ? 2 : 3) * width * s->expert_inter;
	uint64_t attending = s->kv_layers ? s->kv_layers : s->layers;
	c.linear = attending * attention_matrices(s) + c.expert + s->other_linear;
	c.linear += (s->layers - c.moe_layers) * mlp_matrices(s, s->inter);
	c.linear += c.moe_layers * mlp_matrices(s, s->shared_inter);
	c.small = attending * attention_small(s) + s->layers * (s->norms ? s->norms : 2) * norm + norm;
	c.small += c.moe_layers * s->experts * s->hidden + s->other;
	if (s->plain_mlp && s->bias == SHAPE_BIAS_ALL)
		c.small += (s->layers - c.moe_layers) * ((uint64_t)s->inter + s->hidden);
	return c;
}

uint64_t model_shape_linear(const struct model_shape *s)
{
	return count(s).linear;
}

uint64_t model_shape_params(const struct model_shape *s)
{
	struct counts c = count(s);
	return c.linear + c.small + c.embed + c.output;
}

void model_shape_facts(const struct model_shape *s, struct model_facts *ret)
{
	struct counts c = count(s);

	ret->layers = s->layers;
	ret->kv_layers = s->kv_layers ? s->kv_layers : s->layers;
	ret->state_bytes = s->state;
	ret->state_layers = !s->state ? 0 : s->state_layers ? s->state_layers : s->layers - s->kv_layers;
	ret->indexer_dim = s->indexer;
	ret->hidden = s->hidden;
	ret->heads = s->heads;
	ret->kv_heads = s->mla_rank ? 1 : s->kv;
	ret->head_dim = s->mla_rank ? s->mla_nope + s->mla_rope : s->head_dim;
	ret->head_dim_v = s->mla_rank ? s->mla_v : s->v_dim ? s->v_dim : s->head_dim;
	ret->vocab = s->vocab;
	ret->intermediate = s->experts && !s->dense_layers ? 0 : s->inter;
	ret->context_max = s->context;
	ret->params = c.linear + c.small + c.embed + c.output;
	ret->params_active = s->experts ? ret->params - c.expert + c.expert / s->experts * s->used : ret->params;
	ret->params_embed = c.embed;
	ret->params_linear = c.linear;
	ret->params_unquantized = s->unquantized;
	ret->experts = s->experts;
	ret->experts_used = s->used;
	ret->expert_intermediate = s->expert_inter;
	ret->shared_intermediate = s->experts ? s->shared_inter : 0;
	ret->params_expert = c.expert;
	ret->dense_layers = s->dense_layers;
	ret->mla_rank = s->mla_rank;
	ret->mla_rope_dim = s->mla_rope;
	ret->sliding_window = s->window;
	ret->sliding_layers = s->window ? s->window_layers : 0;
	ret->full_kv_heads = s->mla_rank ? 0 : s->global_kv;
	ret->full_head_dim = s->mla_rank || !s->global_kv ? 0 : s->global_head_dim ? s->global_head_dim : s->head_dim;
	ret->full_head_dim_v = s->v_dim ? s->v_dim : ret->full_head_dim;
	ret->tied_embeddings = s->tied;
	ret->qkv_bias = s->bias != SHAPE_BIAS_NONE;
}

void model_facts_fill_bytes(struct model_facts *m)
{
	bool quantized = strcmp(m->quant, "none") != 0 && m->quant[0];

	m->weight_bytes = 0; /* so that the arithmetic starts from the shapes */
	m->weight_exact = false;
	m->weight_bytes = model_weight_bytes(m, quantized ? m->quant : m->dtype);
	m->weight_bytes_input = model_embedding_bytes(m, NULL);
}
