/* config_walk.c - every matrix of a model's layers by the name that checkpoints give it, added up by how it is stored.
 *
 * Attention q h x H d, k and v h x K d, o H d x h; MLA as in shape.c. What else a layer may have:
 *   linear attention   Qwen3-Next's gated delta net (transformers, qwen3_next), Kimi's delta attention (kimi_linear: q, k, v, two
 *                      low-rank gates of the head's size), MiniMax's lightning attention (three projections, a gate, an output)
 *   Mamba-2            in: h x (2 d + 2 g n + heads), out: d x h, a convolution of d + 2 g n channels; Mamba-1 (Jamba): in h x 2 d,
 *                      x d x (rank + 2 n), dt rank x d
 *   LFM2's convolution in h x 3 h, out h x h
 * Their states, in bytes a sequence: the recurrent part in 32 bits, the convolution's last inputs in 16. */
#include "model/config_priv.h"

#include "base/compiler.h"
#include <stdio.h>
#include <string.h>

struct at { /* a layer */
	struct config *c;
	const struct model_shape *s;
	struct layers *all;
	const struct layer *l;
	uint32_t i;
	struct walk *w;
};

static void put_as(struct at *a, const char *scope, const char *name, uint64_t count)
{
	char module[128];

	snprintf(module, sizeof module, "layers.%u.%s%s", a->i, scope, name);
	double bits = a->w->q ? config_quant_bits(a->w->q, module) : 16;
	a->w->linear += count;
	a->w->plain += bits >= 16 ? count : 0;
	a->w->bits += bits * (double)count;
}
#define put(a, name, count) put_as((a), "", (name), (count))

/* ---- attention ---- */

static void mla(struct at *a)
{
	const struct model_shape *s = a->s;
	uint64_t h = s->hidden, H = s->heads, qk = (uint64_t)s->mla_nope + s->mla_rope;

	if (s->mla_q) {
		put(a, "self_attn.q_a_proj", h * s->mla_q);
		put(a, "self_attn.q_b_proj", s->mla_q * H * qk);
	} else {
		put(a, "self_attn.q_proj", h * H * qk);
	}
	put(a, "self_attn.kv_a_proj_with_mqa", h * (s->mla_rank + s->mla_rope));
	put(a, "self_attn.kv_b_proj", s->mla_rank * H * ((uint64_t)s->mla_nope + s->mla_v));
	put(a, "self_attn.o_proj", H * s->mla_v * h);
	if (config_flag(a->c->c, NAMES("mla_use_output_gate"), false))
		put(a, "self_attn.g_proj", h * H * s->mla_v);
	if (!s->indexer)
		return;
	uint64_t heads = config_number(a->c, NAMES("index_n_heads"), 0);
	put(a, "self_attn.indexer.wq_b", (s->mla_q ? s->mla_q : h) * heads * s->indexer);
	put(a, "self_attn.indexer.wk", h * s->indexer);
	put(a, "self_attn.indexer.weights_proj", h * heads);
}

/* As wide as the queries (Qwen3-Next, Trinity), one number a head (Step), or none. */
static uint64_t gate_width(struct at *a, uint64_t heads, uint64_t dim)
{
	const json_t *c = a->c->c;

	if (config_flag(c, NAMES("use_head_wise_attn_gate"), false))
		return heads;
	if (config_get(c, NAMES("linear_num_value_heads")))
		return config_flag(c, NAMES("attn_output_gate"), true) ? heads * dim : 0;
	if (!strcmp(config_text(c, NAMES("model_type"), ""), "afmoe"))
		return heads * dim;
	return config_flag(c, NAMES("attention_output_gate", "attn_output_gate"), false) ? heads * dim : 0;
}

static void attention(struct at *a, const char *scope)
{
	const struct model_shape *s = a->s;
	bool slides = a->l->mixer == MIXER_SLIDING || (a->l->mixer == MIXER_SHARED && a->l->slides);
	bool global = !slides && s->global_kv;
	uint64_t h = s->hidden, H = a->l->heads ? a->l->heads : s->heads;
	uint64_t kv = global ? s->global_kv : a->l->kv ? a->l->kv : s->kv;
	uint64_t d = global && s->global_head_dim ? s->global_head_dim : s->head_dim, v = s->v_dim ? s->v_dim : d;

	put_as(a, scope, "q_proj", h * H * d);
	if (a->l->mixer != MIXER_SHARED) {
		put_as(a, scope, "k_proj", h * kv * d);
		if (slides || !config_flag(a->c->c, NAMES("attention_k_eq_v"), false))
			put_as(a, scope, "v_proj", h * kv * v);
	}
	put_as(a, scope, "o_proj", H * v * h);
	if (gate_width(a, H, v))
		put_as(a, scope, "g_proj", h * gate_width(a, H, v));
}

/* ---- states ---- */

static void delta_net(struct at *a)
{
	struct config *c = a->c;
	uint64_t h = a->s->hidden, heads = config_number(c, NAMES("linear_num_value_heads"), 0);
	uint64_t dk = config_number(c, NAMES("linear_key_head_dim"), 0),
		 dv = config_number(c, NAMES("linear_value_head_dim"), 0);
	uint64_t keys = config_number(c, NAMES("linear_num_key_heads"), 0) * dk, values = heads * dv;
	uint64_t kernel = config_number(c, NAMES("linear_conv_kernel_dim"), 4), channels = 2 * keys + values;

	put(a, "linear_attn.in_proj_qkv", h * channels);
	put(a, "linear_attn.in_proj_z", h * values);
	put(a, "linear_attn.in_proj_b", h * heads);
	put(a, "linear_attn.in_proj_a", h * heads);
	put(a, "linear_attn.out_proj", values * h);
	a->w->other += channels * kernel + 2 * heads + dv;
	a->w->state += heads * dk * dv * 4 + channels * (kernel ? kernel - 1 : 0) * 2;
}

/* The projections of q, k and v, a decay and a gate through a rank of the head's size (or a whole gate), the mixing rate b. */
static void kimi_delta(struct at *a)
{
	struct config in = {.c = json_object_get(a->c->c, "linear_attn_config")}, *c = in.c ? &in : a->c;
	uint64_t h = a->s->hidden;
	uint64_t heads = config_number(c, NAMES("num_heads", "linear_num_heads", "num_attention_heads"), a->s->heads);
	uint64_t dim = config_number(c, NAMES("head_dim", "linear_head_dim"), 128), inner = heads * dim;
	uint64_t kernel = config_number(c, NAMES("short_conv_kernel_size", "linear_conv_kernel_dim"), 4);

	put(a, "self_attn.q_proj", h * inner);
	put(a, "self_attn.k_proj", h * inner);
	put(a, "self_attn.v_proj", h * inner);
	put(a, "self_attn.f_a_proj", h * dim);
	put(a, "self_attn.f_b_proj", dim * inner);
	put(a, "self_attn.b_proj", h * heads);
	if (config_flag(c->c, NAMES("use_full_rank_gate"), false)) {
		put(a, "self_attn.g_proj", h * inner);
	} else {
		put(a, "self_attn.g_a_proj", h * dim);
		put(a, "self_attn.g_b_proj", dim * inner);
	}
	put(a, "self_attn.o_proj", inner * h);
	a->w->other += 3 * inner * kernel + inner + heads + dim;
	a->w->state += heads * dim * dim * 4 + 3 * inner * (kernel ? kernel - 1 : 0) * 2;
}

static void lightning(struct at *a)
{
	const struct model_shape *s = a->s;
	uint64_t h = s->hidden, inner = (uint64_t)s->heads * s->head_dim;

	put(a, "self_attn.qkv_proj", h * 3 * inner);
	put(a, "self_attn.output_gate", h * inner);
	put(a, "self_attn.out_proj", inner * h);
	a->w->other += inner;
	a->w->state += inner * s->head_dim * 4;
}

static void linear(struct at *a)
{
	const json_t *c = a->c->c;
	const char *family = config_text(c, NAMES("model_type"), "");

	if (config_get(c, NAMES("linear_num_value_heads")))
		delta_net(a);
	else if (config_get(c, NAMES("linear_attn_config", "linear_num_heads", "kda_safe_gate")))
		kimi_delta(a);
	else if (!strncmp(family, "minimax", 7))
		lightning(a);
	else
		config_odd(a->all, "layers that keep a state of a kind that is not known here");
}

static void mamba1(struct at *a)
{
	struct config *c = a->c;
	uint64_t h = a->s->hidden, d = config_number(c, NAMES("mamba_expand"), 2) * h;
	uint64_t n = config_number(c, NAMES("mamba_d_state"), 16), kernel = config_number(c, NAMES("mamba_d_conv"), 4);
	const json_t *r = json_object_get(c->c, "mamba_dt_rank");
	uint64_t rank = json_is_integer(r) ? (uint64_t)json_integer_value(r) : (h + 15) / 16;

	put(a, "mamba.in_proj", h * 2 * d);
	put(a, "mamba.x_proj", d * (rank + 2 * n));
	put(a, "mamba.dt_proj", rank * d);
	put(a, "mamba.out_proj", d * h);
	a->w->other += d * (kernel + n + 3) + rank + 2 * n;
	a->w->state += d * n * 4 + d * (kernel ? kernel - 1 : 0) * 2;
}

static void mamba2(struct at *a, const char *scope)
{
	struct config *c = a->c;
	uint64_t h = a->s->hidden, heads = config_number(c, NAMES("mamba_n_heads", "mamba_num_heads"), 0);
	uint64_t expand = config_number(c, NAMES("mamba_expand", "expand"), 2);
	const json_t *head = config_get(c->c, NAMES("mamba_d_head", "mamba_head_dim"));
	uint64_t dim = json_is_integer(head) ? (uint64_t)json_integer_value(head) : heads ? expand * h / heads : 0;
	uint64_t d = config_number(c, NAMES("mamba_d_ssm"), (uint32_t)(heads * dim));
	uint64_t n = config_number(c, NAMES("mamba_d_state", "ssm_state_size"), 128);
	uint64_t groups = config_number(c, NAMES("mamba_n_groups", "n_groups"), 1);
	uint64_t kernel = config_number(c, NAMES("mamba_d_conv", "conv_kernel"), 4), channels = d + 2 * groups * n;

	if (!heads || !d || d > UINT32_MAX)
		config_odd(a->all, "layers of Mamba without their sizes");
	put_as(a, scope, "in_proj", h * (d + channels + heads));
	put_as(a, scope, "out_proj", d * h);
	a->w->other += channels * (kernel + 1) + 3 * heads + d;
	a->w->state += d * n * 4 + channels * (kernel ? kernel - 1 : 0) * 2;
}

static void mixer(struct at *a)
{
	const char *family = config_text(a->c->c, NAMES("model_type"), "");
	uint64_t h = a->s->hidden;
	bool nemotron = !strncmp(family, "nemotron_h", 10);
	const char *scope = nemotron ? "mixer." : "self_attn.";

	switch ((enum mixer)a->l->mixer) {
	case MIXER_FULL:
	case MIXER_SLIDING:
	case MIXER_SHARED:
	case MIXER_CROSS:
		if (a->s->mla_rank)
			mla(a);
		else
			attention(a, a->l->mixer == MIXER_CROSS ? "cross_attn." : scope);
		break;
	case MIXER_PARALLEL:
		attention(a, "self_attn.");
		mamba2(a, "mamba.");
		break;
	case MIXER_LINEAR:
		linear(a);
		break;
	case MIXER_MAMBA:
		if (!strcmp(family, "jamba"))
			mamba1(a);
		else
			mamba2(a, nemotron ? scope : "mamba.");
		break;
	case MIXER_CONV:
		put(a, "conv.in_proj", 3 * h * h);
		put(a, "conv.out_proj", h * h);
		a->w->other += 3 * h;
		a->w->state += 3 * h * 2;
		break;
	case MIXER_MATRIX:
		put(a, "self_attn.linear_attn", h * h);
		break;
	case MIXER_NONE:
		break;
	}
}

/* ---- feed-forward ---- */

static void mlp(struct at *a, const char *scope, uint64_t in, uint64_t inter, uint64_t times)
{
	if (!a->s->plain_mlp)
		put_as(a, scope, "gate_proj", in * inter * times);
	put_as(a, scope, "up_proj", in * inter * times);
	put_as(a, scope, "down_proj", in * inter * times);
}

static void experts(struct at *a, const char *scope, const char *shared)
{
	const struct model_shape *s = a->s;
	char part[48];

	snprintf(part, sizeof part, "%sexperts.0.", scope);
	mlp(a, part, s->expert_hidden ? s->expert_hidden : s->hidden, s->expert_inter, s->experts);
	snprintf(part, sizeof part, "%s%s", scope, shared);
	if (s->shared_inter && a->l->ffn == FFN_EXPERTS)
		mlp(a, part, s->hidden, s->shared_inter, 1);
	if (s->expert_hidden) {
		put_as(a, scope, "fc1_latent_proj", (uint64_t)s->hidden * s->expert_hidden);
		put_as(a, scope, "fc2_latent_proj", (uint64_t)s->hidden * s->expert_hidden);
	}
}

static void feed_forward(struct at *a)
{
	const struct model_shape *s = a->s;
	const char *family = config_text(a->c->c, NAMES("model_type"), "");
	bool nemotron = !strncmp(family, "nemotron_h", 10);
	const char *scope = nemotron ? "mixer." : !strncmp(family, "gemma4", 6) ? "" : "mlp.";
	uint64_t inter = a->l->inter ? a->l->inter : s->inter, h = s->hidden;

	if (a->l->mixer == MIXER_SHARED && config_flag(a->c->c, NAMES("use_double_wide_mlp"), false))
		inter *= 2;
	switch ((enum ffn)a->l->ffn) {
	case FFN_DENSE:
		mlp(a, nemotron ? "mixer." : "mlp.", h, inter, 1);
		break;
	case FFN_BOTH:
		mlp(a, "mlp.", h, inter, 1);
		experts(a, scope, "");
		break;
	case FFN_EXPERTS:
		experts(a, scope, !strncmp(family, "qwen", 4) ? "shared_expert." : "shared_experts.");
		break;
	case FFN_MATRIX:
		put(a, "mlp.linear_mlp", h * h);
		break;
	case FFN_NONE:
		break;
	}
}

void config_walk(struct config *c, const struct model_shape *s, struct layers *l, struct walk *w)
{
	struct at a = {.c = c, .s = s, .all = l, .w = w};

	for (a.i = 0; a.i < l->len; a.i++) {
		uint64_t before = w->state;
		a.l = &l->at[a.i];
		mixer(&a);
		w->state_layers += w->state > before;
		feed_forward(&a);
	}
}
