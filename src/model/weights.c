/* weights.c - bytes of a model's weights in each form.
 *
 *   dtypes       every parameter in 2 or 4 bytes
 *   awq, gptq    matrices of the layers: 4 bits, and for each group of g a float16 scale and a 4 bit zero: 4 + 20/g bits (16/g
 *                of compressed-tensors);
 *                embedding, output layer and the rest stay in 16 bits
 *   fp8, int8    matrices of the layers in 8 bits; the rest in 16
 *   mxfp4        matrices of the experts: 4 bits and an 8 bit scale for 32 (4.25), padded when loaded; nvfp4: 8 bits for 16 (4.5)
 *   bitsandbytes nf4, scales quantized again: 4.2 by the logs of two models in vLLM
 *   q4_k_m...   as llama.cpp mixes: model/gguf_mix.h */
#include "model/facts.h"
#include "model/gguf_mix.h"

#include "base/compiler.h"
#include <stdio.h>
#include <string.h>

enum method { PLAIN, LINEAR, EXPERTS };

/* Bits a parameter, in 1/64. */
enum { BITS = 64 };
#define B(bits) (uint32_t)((bits)*BITS)

static const struct form {
	const char *name;
	enum method method;
	uint32_t base; /* bits x 64 */
} forms[] = {
	{"float16", PLAIN, B(16)},
	{"half", PLAIN, B(16)},
	{"bfloat16", PLAIN, B(16)},
	{"float32", PLAIN, B(32)},
	{"float", PLAIN, B(32)},
	{"none", PLAIN, B(16)},
	{"auto", PLAIN, B(16)},
	{"awq", LINEAR, B(4)},
	{"gptq", LINEAR, B(4)},
	{"awq_marlin", LINEAR, B(4)},
	{"gptq_marlin", LINEAR, B(4)},
	{"fp8", LINEAR, B(8)},
	{"int8", LINEAR, B(8)},
	{"w8a8", LINEAR, B(8)},
	{"bitsandbytes", LINEAR, B(4.2)},
	{"nvfp4", LINEAR, B(4.5)},
	{"mxfp4", EXPERTS, B(4.25)},
};

static const struct form *find(const char *name)
{
	for (uint32_t i = 0; i < ARRAY_LEN(forms); i++)
		if (!strcasecmp(forms[i].name, name))
			return &forms[i];
	return NULL;
}

bool model_quant_known(const char *quant)
{
	return !quant || find(quant) || gguf_mix_known(quant);
}

/* Parameters by kind; what they add up to is params. */
struct kinds {
	uint64_t linear, expert, embed, output, small;
};

static struct kinds kinds_of(const struct model_facts *m)
{
	struct kinds k = {.linear = m->params_linear, .embed = m->params_embed};

	k.expert = m->params_expert;
	if (!k.expert)
		k.expert =
			(uint64_t)m->experts * (m->layers - m->dense_layers) * 3 * m->hidden * m->expert_intermediate;
	k.expert = MIN(k.expert, k.linear);
	k.output = m->tied_embeddings ? 0 : m->params_embed;
	uint64_t matrices = k.linear + k.embed + k.output;
	k.small = m->params > matrices ? m->params - matrices : 0;
	return k;
}

static uint64_t bytes_of(uint64_t params, uint64_t bits64)
{
	return (uint64_t)((__uint128_t)params * bits64 / (8 * BITS));
}

static uint32_t linear_bits(const struct form *f, const struct model_facts *m)
{
	uint32_t group = m->quant_group ? m->quant_group : 128;
	uint32_t each = strcmp(m->quant_format, "compressed-tensors") ? 20 : 16; /* whose groups are symmetric */

	return f->base == B(4) ? f->base + each * BITS / group : f->base;
}

static uint64_t bytes_in(const struct form *f, const struct model_facts *m)
{
	struct kinds k = kinds_of(m);
	uint64_t rest = k.embed + k.output + k.small, plain = MIN(m->params_unquantized, k.linear);

	switch (f->method) {
	case PLAIN:
		return bytes_of(m->params, f->base);
	case LINEAR:
		return bytes_of(k.linear - plain, linear_bits(f, m)) + (plain + rest) * 2;
	case EXPERTS:
		break;
	}
	return bytes_of(k.expert, f->base) + (k.linear - k.expert + rest) * 2;
}

/* Is that what the files hold already? */
static bool as_is(const struct model_facts *m, const char *quant)
{
	if (!quant)
		return true;
	bool plain = !m->quant[0] || !strcmp(m->quant, "none");
	return (m->weight_exact || m->weight_mixed) && !strcasecmp(quant, plain ? m->dtype : m->quant);
}

uint64_t model_weight_bytes(const struct model_facts *m, const char *quant)
{
	if (as_is(m, quant) && m->weight_bytes)
		return m->weight_bytes;
	const char *name = quant ? quant : m->dtype;
	const struct form *f = find(name);
	return f ? bytes_in(f, m) : gguf_mix_known(name) ? gguf_mix_bytes(m, name) : 0;
}

/* The quantization that is asked for, else the files', else their type. */
static const char *name_of(const struct model_facts *m, const char *quant)
{
	bool said = *m->quant && strcmp(m->quant, "none");

	return quant ? quant : said ? m->quant : m->dtype;
}

uint64_t model_embedding_bytes(const struct model_facts *m, const char *quant)
{
	const char *name = name_of(m, quant);
	const struct form *f = find(name);

	if (m->tied_embeddings)
		return 0;
	if (!f && gguf_mix_known(name))
		return gguf_mix_embedding(m, name);
	return bytes_of(m->params_embed, f && f->method == PLAIN ? f->base : 16 * BITS);
}

uint64_t model_output_bytes(const struct model_facts *m, const char *quant)
{
	const char *name = name_of(m, quant);
	const struct form *f = find(name);

	if (!f && gguf_mix_known(name))
		return gguf_mix_output(m, name);
	return f && f->method == PLAIN ? bytes_of(m->params_embed, f->base)
				       : gguf_mix_output(m, "q6_k"); /* most keep it so */
}

/* What is not divided: vectors, the router, MLA's joint compression; and KV heads there are too few of, held twice. */
static uint64_t replicated(const struct model_facts *m, uint32_t tp)
{
	struct kinds k = kinds_of(m);
	uint64_t n = k.small;

	if (m->mla_rank)
		n += (uint64_t)m->layers * m->hidden * (m->mla_rank + m->mla_rope_dim);
	else if (tp > m->kv_heads && m->kv_heads)
		n += (uint64_t)m->layers * m->hidden * m->head_dim * 2 * (tp - m->kv_heads) / tp;
	return n;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* MXFP4 experts are loaded into larger tensors than the files hold: hidden size and a GPU's part of the intermediate size are
 * padded, which gives gpt-oss-120b 65.9 GiB for 60.8 (65.97 in the log of vllm-project/vllm#23278; the Triton kernels, where they
 * are installed, pad less: 64.4). vLLM 0.12, quantization/mxfp4.py, create_weights: Marlin. */
static uint64_t padding(const struct model_facts *m, const char *quant, uint32_t tp)
{
	enum { HIDDEN = 256, PART = 128 };
	const struct form *f = find(quant ? quant : m->quant);

	if (!f || f->method != EXPERTS || !m->experts || m->from == MODEL_FROM_GGUF)
		return 0;
	uint64_t part = (m->expert_intermediate + tp - 1) / tp;
	uint64_t loaded = round_up(m->hidden, HIDDEN) * round_up(part, PART), held = (uint64_t)m->hidden * part;
	return bytes_of((uint64_t)m->experts * (m->layers - m->dense_layers) * 3 * (loaded - held), f->base);
}

uint64_t model_weight_bytes_tp(const struct model_facts *m, const char *quant, uint32_t tp)
{
	uint64_t bytes = model_weight_bytes(m, quant);

	tp = MAX(tp, 1u);
	if (!bytes)
		return 0;
	uint64_t whole = tp > 1 ? MIN(replicated(m, tp), m->params) : 0;
	uint64_t small = MIN(whole * 2, bytes);
	return small + (bytes - small + tp - 1) / tp + padding(m, quant, tp);
}

uint64_t model_weight_bytes_ep(const struct model_facts *m, const char *quant, uint32_t tp, uint32_t experts_over)
{
	uint64_t bytes = model_weight_bytes(m, quant), all = model_weight_bytes_tp(m, quant, tp);
	const struct form *f = find(quant ? quant : *m->quant && strcmp(m->quant, "none") ? m->quant : m->dtype);
	struct kinds k = kinds_of(m);

	if (!bytes || !f || !k.expert || experts_over <= tp)
		return all;
	uint64_t experts = MIN(bytes_of(k.expert, f->method == LINEAR ? linear_bits(f, m) : f->base), bytes);
	uint64_t mine = MIN(experts / MAX(tp, 1u), all);
	return all - mine + (experts + experts_over - 1) / experts_over;
}

const char *model_tp_reason(const struct model_facts *m, uint32_t tp, char *ret, size_t cap)
{
	*ret = '\0';
	if (tp == 0)
		snprintf(ret, cap, "at least one GPU is needed");
	else if (m->heads % tp)
		snprintf(ret, cap, "%u attention heads do not divide by %u", m->heads, tp);
	else if (!m->mla_rank && m->kv_heads >= tp && m->kv_heads % tp)
		snprintf(ret, cap, "%u KV heads do not divide by %u", m->kv_heads, tp);
	else if (!m->mla_rank && m->kv_heads && m->kv_heads < tp && tp % m->kv_heads)
		snprintf(ret, cap, "%u GPUs do not divide evenly among %u KV heads", tp, m->kv_heads);
	else if (m->intermediate % tp)
		snprintf(ret, cap, "the intermediate size %u does not divide by %u", m->intermediate, tp);
	else if (m->expert_intermediate % tp)
		snprintf(ret, cap, "the experts' intermediate size %u does not divide by %u", m->expert_intermediate,
			tp);
	else if (m->shared_intermediate % tp)
		snprintf(ret, cap, "the shared experts' intermediate size %u does not divide by %u",
			m->shared_intermediate, tp);
	return ret;
}

bool model_tp_valid(const struct model_facts *m, uint32_t tp)
{
	char why[128];

	return !*model_tp_reason(m, tp, why, sizeof why);
}
