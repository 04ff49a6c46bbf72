/* gguf_mix.c - types of tensors by the name of a file; see gguf_mix.h. */
#include "model/gguf_mix.h"

#include "base/compiler.h"
#include <string.h>
#include <strings.h>

enum type {
	F32,
	F16,
	Q8_0,
	Q6_K,
	Q5_K,
	Q5_1,
	Q5_0,
	Q4_K,
	Q4_1,
	Q4_0,
	IQ4_NL,
	IQ4_XS,
	MXFP4,
	Q3_K,
	IQ3_S,
	IQ3_XXS,
	Q2_K,
	IQ2_S,
	IQ2_XS,
	IQ2_XXS,
	IQ1_M,
	IQ1_S,
	TQ1_0,
	TQ2_0,
};

/* Bits a weight, and how many weights are a block; what a row that is no whole number of blocks takes. */
static const struct {
	double bits;
	uint32_t block;
	enum type otherwise;
} types[] = {
	[F32] = {32, 1, F32},
	[F16] = {16, 1, F16},
	[Q8_0] = {8.5, 32, F16},
	[Q6_K] = {6.5625, 256, Q8_0},
	[Q5_K] = {5.5, 256, Q5_1},
	[Q5_1] = {6, 32, F16},
	[Q5_0] = {5.5, 32, F16},
	[Q4_K] = {4.5, 256, Q5_0},
	[Q4_1] = {5, 32, F16},
	[Q4_0] = {4.5, 32, F16},
	[IQ4_NL] = {4.5, 32, F16},
	[IQ4_XS] = {4.25, 256, IQ4_NL},
	[MXFP4] = {4.25, 32, F16},
	[Q3_K] = {3.4375, 256, Q4_0},
	[IQ3_S] = {3.4375, 256, IQ4_NL},
	[IQ3_XXS] = {3.0625, 256, IQ4_NL},
	[Q2_K] = {2.625, 256, Q4_0},
	[IQ2_S] = {2.5625, 256, IQ4_NL},
	[IQ2_XS] = {2.3125, 256, IQ4_NL},
	[IQ2_XXS] = {2.0625, 256, IQ4_NL},
	[IQ1_M] = {1.75, 256, IQ4_NL},
	[IQ1_S] = {1.5625, 256, IQ4_NL},
	[TQ1_0] = {1.6875, 256, Q4_0},
	[TQ2_0] = {2.0625, 256, Q4_0},
};

enum mix {
	PLAIN, /* all matrices alike; the output Q6_K where that is more than they have */
	MIX_Q2_K,
	MIX_Q2_K_S,
	MIX_Q3_K_M,
	MIX_Q3_K_L,
	MIX_Q4_K_S,
	MIX_Q4_K_M,
	MIX_Q5_K_M,
	MIX_IQ4,
	MIX_IQ3_M,
	MIX_IQ3_S,
	MIX_IQ3_XS,
	MIX_IQ3_XXS,
	MIX_IQ2_M, /* and IQ2_S */
	MIX_IQ2_X, /* IQ2_XS, IQ2_XXS, IQ1 */
	MIX_MXFP4,
};

static const struct name {
	const char *text;
	enum type base;
	enum mix mix;
	bool large; /* embedding and output in Q8_0 */
	bool loose;
} names[] = {
	{"f32", F32, PLAIN, false, false},
	{"f16", F16, PLAIN, false, false},
	{"bf16", F16, PLAIN, false, false},
	{"q8_0", Q8_0, PLAIN, false, false},
	{"q6_k", Q6_K, PLAIN, false, false},
	{"q6_k_l", Q6_K, PLAIN, true, false},
	{"q6_k_xl", Q6_K, MIX_Q5_K_M, true, true},
	{"q5_k_m", Q5_K, MIX_Q5_K_M, false, false},
	{"q5_k", Q5_K, MIX_Q5_K_M, false, false},
	{"q5_k_l", Q5_K, MIX_Q5_K_M, true, false},
	{"q5_k_xl", Q5_K, MIX_Q5_K_M, false, true},
	{"q5_k_s", Q5_K, PLAIN, false, false},
	{"q5_1", Q5_1, PLAIN, false, false},
	{"q5_0", Q5_0, PLAIN, false, false},
	{"q4_k_m", Q4_K, MIX_Q4_K_M, false, false},
	{"q4_k", Q4_K, MIX_Q4_K_M, false, false},
	{"q4_k_l", Q4_K, MIX_Q4_K_M, true, false},
	{"q4_k_xl", Q4_K, MIX_Q4_K_M, false, true},
	{"q4_k_s", Q4_K, MIX_Q4_K_S, false, false},
	{"q4_1", Q4_1, PLAIN, false, false},
	{"q4_0", Q4_0, PLAIN, false, false},
	{"iq4_nl", IQ4_NL, MIX_IQ4, false, false},
	{"iq4_xs", IQ4_XS, MIX_IQ4, false, false},
	{"mxfp4", MXFP4, MIX_MXFP4, false, false},
	{"mxfp4_moe", MXFP4, MIX_MXFP4, false, false},
	{"q3_k_xl", Q3_K, MIX_Q3_K_L, true, true},
	{"q3_k_l", Q3_K, MIX_Q3_K_L, false, false},
	{"q3_k_m", Q3_K, MIX_Q3_K_M, false, false},
	{"q3_k", Q3_K, MIX_Q3_K_M, false, false},
	{"q3_k_s", Q3_K, PLAIN, false, false},
	{"iq3_m", IQ3_S, MIX_IQ3_M, false, false},
	{"iq3_s", IQ3_S, MIX_IQ3_S, false, false},
	{"iq3_xs", IQ3_S, MIX_IQ3_XS, false, false},
	{"iq3_xxs", IQ3_XXS, MIX_IQ3_XXS, false, false},
	{"q2_k", Q2_K, MIX_Q2_K, false, false},
	{"q2_k_l", Q2_K, MIX_Q2_K, true, false},
	{"q2_k_xl", Q2_K, MIX_Q2_K, true, true},
	{"q2_k_s", Q2_K, MIX_Q2_K_S, false, false},
	{"iq2_m", IQ2_S, MIX_IQ2_M, false, false},
	{"iq2_s", IQ2_XS, MIX_IQ2_M, false, false},
	{"iq2_xs", IQ2_XS, MIX_IQ2_X, false, false},
	{"iq2_xxs", IQ2_XXS, MIX_IQ2_X, false, false},
	{"iq1_m", IQ1_M, MIX_IQ2_X, false, false},
	{"iq1_s", IQ1_S, MIX_IQ2_X, false, false},
	{"tq1_0", TQ1_0, PLAIN, false, false},
	{"tq2_0", TQ2_0, PLAIN, false, false},
};

static bool is_dynamic(const char *text)
{
	return !strncasecmp(text, "ud-", 3);
}

static const struct name *find(const char *text)
{
	text += is_dynamic(text) ? 3 : 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcasecmp(names[i].text, text))
			return &names[i];
	return NULL;
}

bool gguf_mix_known(const char *name)
{
	return find(name) != NULL;
}

bool gguf_mix_loose(const char *name)
{
	const struct name *n = find(name);

	return is_dynamic(name) || (n && n->loose);
}

static double bytes_of(double params, enum type type, uint64_t row)
{
	enum type t = row % types[type].block ? types[type].otherwise : type;

	return params * types[row % types[t].block ? F16 : t].bits / 8;
}

/* The first and last eighth of the layers, and a third of the others. */
static bool more_bits(uint32_t i, uint32_t n)
{
	return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

/* Of the value matrix of a layer. */
static enum type value_type(const struct name *n, const struct model_facts *m, uint32_t i)
{
	bool shared = m->kv_heads && m->heads / m->kv_heads >= 4;
	enum type t = n->base;

	switch (n->mix) {
	case MIX_Q2_K:
		t = shared ? Q4_K : Q3_K;
		break;
	case MIX_Q2_K_S:
	case MIX_IQ3_S:
	case MIX_IQ3_XS:
		t = shared ? Q4_K : t;
		break;
	case MIX_IQ3_XXS:
		t = shared ? Q4_K : IQ3_XXS;
		break;
	case MIX_IQ3_M:
		t = Q4_K;
		break;
	case MIX_Q3_K_M:
		t = i < 2 ? Q5_K : Q4_K;
		break;
	case MIX_Q3_K_L:
		t = Q5_K;
		break;
	case MIX_IQ4:
		t = shared ? Q5_K : t;
		break;
	case MIX_Q4_K_M:
	case MIX_Q5_K_M:
		t = more_bits(i, m->layers) ? Q6_K : t;
		break;
	case MIX_Q4_K_S:
		t = i < 4 ? Q5_K : t;
		break;
	case MIX_IQ2_M:
		return shared || m->experts >= 4 ? Q4_K : IQ3_S;
	case MIX_IQ2_X:
		return shared || m->experts >= 4 ? Q4_K : Q2_K;
	case MIX_MXFP4:
		return Q8_0;
	case PLAIN:
		break;
	}
	if (m->layers == 80 && m->hidden == 8192 && (t == Q3_K || t == Q4_K))
		t = Q5_K;
	return m->experts == 8 && n->mix != PLAIN ? Q8_0 : t;
}

static enum type down_type(const struct name *n, const struct model_facts *m, uint32_t i)
{
	uint32_t layers = m->layers;

	switch (n->mix) {
	case MIX_Q2_K:
		return Q3_K;
	case MIX_Q2_K_S:
		return i < layers / 8 ? Q4_K : n->base;
	case MIX_Q3_K_M:
		return i < layers / 16 ? Q5_K : Q4_K;
	case MIX_Q3_K_L:
		return Q5_K;
	case MIX_IQ3_M:
		return i < layers / 8 || (m->experts == 8 && more_bits(i, layers)) ? Q4_K : n->base;
	case MIX_Q4_K_M:
	case MIX_Q5_K_M:
		return more_bits(i, layers) ? Q6_K : n->base;
	case MIX_Q4_K_S:
		return i < layers / 8 ? Q5_K : n->base;
	case MIX_IQ2_M:
		return i < layers / 8 ? IQ3_S : n->base;
	case MIX_IQ2_X:
		return i < layers / 8 ? Q2_K : n->base;
	default:
		return n->base;
	}
}

static enum type attention_output_type(const struct name *n, const struct model_facts *m)
{
	if (n->mix == MIX_MXFP4)
		return Q8_0;
	if (m->experts == 8 && n->mix != PLAIN && n->mix != MIX_Q5_K_M)
		return Q5_K;
	switch (n->mix) {
	case MIX_Q2_K:
		return Q3_K;
	case MIX_IQ3_XXS:
		return IQ3_S;
	case MIX_Q3_K_M:
	case MIX_IQ3_M:
		return Q4_K;
	case MIX_Q3_K_L:
		return Q5_K;
	case MIX_IQ2_M:
		return IQ3_S;
	case MIX_IQ2_X:
		return n->base == IQ1_S || n->base == IQ1_M ? IQ2_XXS : n->base;
	default:
		return n->base;
	}
}

static enum type query_type(const struct name *n)
{
	return n->mix == MIX_IQ3_XS ? IQ3_XXS : n->mix == MIX_IQ3_XXS ? IQ2_S : n->mix == MIX_MXFP4 ? Q8_0 : n->base;
}

static enum type up_type(const struct name *n, const struct model_facts *m, uint32_t i)
{
	bool middle = i >= m->layers / 8 && i < 7 * m->layers / 8;

	return n->mix == MIX_IQ3_XS && middle ? IQ3_XXS : n->base;
}

static double experts_of(const struct model_facts *m)
{
	double moe = (double)m->layers - m->dense_layers;
	double n = (double)m->params_expert;

	if (!m->experts)
		return 0;
	return n > 0 ? n : (double)m->experts * moe * 3 * m->hidden * m->expert_intermediate;
}

/* Of one layer, whatever is no feed-forward matrix. */
static double attention_params(const struct model_facts *m)
{
	double moe = m->experts ? (double)m->layers - m->dense_layers : 0, dense = (double)m->layers - moe;
	double ffn = 3.0 * m->hidden * m->intermediate, shared = 3.0 * m->hidden * m->shared_intermediate;
	double rest = (double)m->params_linear - experts_of(m) - dense * ffn - moe * shared;

	return rest > 0 ? rest / MAX(m->layers, 1u) : 0;
}

static double attention_bytes(const struct model_facts *m, const struct name *n, uint32_t i)
{
	double all = attention_params(m), k = (double)m->hidden * m->kv_heads * m->head_dim;
	double v = (double)m->hidden * m->kv_heads * m->head_dim_v, o = (double)m->heads * m->head_dim_v * m->hidden;
	bool fused = !strncmp(m->architecture, "phi3", 4);
	enum type q = query_type(n), value = value_type(n, m, i);

	if (m->mla_rank || m->kv_layers != m->layers || k + v + o > all)
		return bytes_of(all, q, m->hidden);
	return bytes_of(all - k - v - o, fused ? value : q, m->hidden) +
	       bytes_of(k,
		       fused                                ? value
		       : m->experts == 8 && n->mix != PLAIN ? Q8_0
							    : q,
		       m->hidden) +
	       bytes_of(v, value, m->hidden) +
	       bytes_of(o, attention_output_type(n, m), (uint64_t)m->heads * m->head_dim_v);
}

void gguf_mix_layer(struct gguf_layer *ret, const struct model_facts *m, const char *name, uint32_t i)
{
	const struct name *n = find(name);
	bool experts = m->experts && i >= m->dense_layers;
	double moe = m->experts ? (double)m->layers - m->dense_layers : 0;
	double each = experts ? experts_of(m) / moe / 3 : (double)m->hidden * m->intermediate;
	double shared = experts ? (double)m->hidden * m->shared_intermediate : 0;
	uint64_t width = experts ? m->expert_intermediate : m->intermediate;
	bool floats = n->mix == MIX_MXFP4; /* of the experts alone */
	enum type up = floats && !experts ? Q8_0 : up_type(n, m, i),
		  down = floats && !experts ? Q8_0 : down_type(n, m, i);

	*ret = (struct gguf_layer){.experts = experts,
		.attention = attention_bytes(m, n, i),
		.up = bytes_of(each, up, m->hidden),
		.gate = bytes_of(each, up, m->hidden),
		.down = bytes_of(each, down, width)};
	if (shared > 0)
		ret->shared = bytes_of(2 * shared, floats ? Q8_0 : up, m->hidden) +
			      bytes_of(shared, floats ? Q8_0 : down, m->shared_intermediate);
}

static enum type output_type(const struct name *n)
{
	if (n->large || n->mix == MIX_MXFP4)
		return Q8_0;
	if (n->mix == MIX_IQ2_X || n->mix == MIX_IQ2_M || n->mix == MIX_IQ3_XXS)
		return Q5_K;
	return types[n->base].bits >= types[Q8_0].bits ? n->base : Q6_K;
}

uint64_t gguf_mix_output(const struct model_facts *m, const char *name)
{
	return (uint64_t)bytes_of((double)m->params_embed, output_type(find(name)), m->hidden);
}

uint64_t gguf_mix_embedding(const struct model_facts *m, const char *name)
{
	const struct name *n = find(name);
	enum type t = n->base;

	if (m->tied_embeddings)
		return 0;
	if (n->large || n->mix == MIX_MXFP4)
		t = Q8_0;
	else if (n->mix == MIX_IQ2_X)
		t = Q2_K;
	else if (n->mix == MIX_IQ2_M || n->mix == MIX_IQ3_XXS)
		t = IQ3_S;
	else if (t == TQ1_0 || t == TQ2_0)
		t = Q4_K;
	return (uint64_t)bytes_of((double)m->params_embed, t, m->hidden);
}

bool model_takes_images(const struct model_facts *m)
{
	static const char *const parts[] = {"_vl", "omni", "gemma3", "gemma4", "mistral3", "pixtral", "llama4",
		"mllama", "llava", "internvl", "glm4v", "phi4mm", "minicpmv", "qwen3_5"};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strstr(m->architecture, parts[i]))
			return true;
	return false;
}

static uint64_t params_beside(const struct model_facts *m)
{
	uint64_t counted = m->params_linear + m->params_embed * (m->tied_embeddings ? 1 : 2);

	return m->params > counted ? m->params - counted : 0;
}

uint64_t model_tower_params(const struct model_facts *m)
{
	enum { LEAST = 100 * 1000 * 1000 };
	uint64_t rest = params_beside(m);

	return model_takes_images(m) && rest > LEAST ? rest : 0;
}

uint64_t gguf_mix_bytes(const struct model_facts *m, const char *name)
{
	double sum = (double)(params_beside(m) - model_tower_params(m)) * 4;

	for (uint32_t i = 0; i < m->layers; i++) {
		struct gguf_layer l;
		gguf_mix_layer(&l, m, name, i);
		sum += l.attention + l.up + l.gate + l.down + l.shared;
	}
	return (uint64_t)sum + gguf_mix_output(m, name) + gguf_mix_embedding(m, name);
}
