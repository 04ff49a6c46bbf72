/* kv.c - KV cache arithmetic: a token in a layer costs a row of keys and one of values, kv_heads x head size each; under
 * MLA one row of rank + rope dimension in all. Block types store 32 numbers in so many bytes (ggml's blocks). */
#include "model/facts.h"

#include "base/compiler.h"
#include <string.h>

static const struct {
	const char *name;
	uint32_t block, bytes; /* so many numbers in so many bytes */
} types[KV_DTYPES] = {
	[KV_F16] = {"f16", 1, 2},
	[KV_F32] = {"f32", 1, 4},
	[KV_FP8] = {"fp8", 1, 1},
	[KV_Q8_0] = {"q8_0", 32, 34},
	[KV_Q5_1] = {"q5_1", 32, 24},
	[KV_Q5_0] = {"q5_0", 32, 22},
	[KV_Q4_1] = {"q4_1", 32, 20},
	[KV_Q4_0] = {"q4_0", 32, 18},
};

static const struct {
	const char *name;
	enum kv_dtype type;
} names[] = {{"auto", KV_F16}, {"float16", KV_F16}, {"half", KV_F16}, {"fp16", KV_F16}, {"bfloat16", KV_F16},
	{"bf16", KV_F16}, {"float32", KV_F32}, {"fp8_e4m3", KV_FP8}, {"fp8_e5m2", KV_FP8}};

enum kv_dtype kv_dtype_parse(const char *text)
{
	for (uint32_t i = 0; i < KV_DTYPES; i++)
		if (!strcasecmp(types[i].name, text))
			return (enum kv_dtype)i;
	for (uint32_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcasecmp(names[i].name, text))
			return names[i].type;
	return KV_DTYPES;
}

const char *kv_dtype_name(enum kv_dtype t)
{
	return t < KV_DTYPES ? types[t].name : "unknown";
}

static uint64_t row(enum kv_dtype t, uint64_t numbers)
{
	return (numbers + types[t].block - 1) / types[t].block * types[t].bytes;
}

enum { INDEXER_SCALE = 4 }; /* vLLM keeps the indexer's keys in fp8, with a float32 scale each */

static uint64_t heads_bytes(enum kv_dtype t, uint64_t heads, uint64_t dim, uint64_t dim_v, uint32_t tp)
{
	heads = tp > 1 ? MAX((heads + tp - 1) / tp, 1u) : heads;
	return row(t, heads * dim) + row(t, heads * (dim_v ? dim_v : dim));
}

/* Of one token in one layer on one GPU. */
static uint64_t layer_bytes(const struct model_facts *m, enum kv_dtype t, uint32_t tp)
{
	ASSERT(t < KV_DTYPES);
	if (m->mla_rank)
		return row(t, (uint64_t)m->mla_rank + m->mla_rope_dim) +
		       (m->indexer_dim ? m->indexer_dim + INDEXER_SCALE : 0);
	return heads_bytes(t, m->kv_heads, m->head_dim, m->head_dim_v, tp);
}

/* The same in a layer without a window, which may have other heads. */
static uint64_t full_layer_bytes(const struct model_facts *m, enum kv_dtype t, uint32_t tp)
{
	return m->full_kv_heads ? heads_bytes(t, m->full_kv_heads, m->full_head_dim, m->full_head_dim_v, tp)
				: layer_bytes(m, t, tp);
}

static uint64_t sliding_layers(const struct model_facts *m)
{
	return m->sliding_window ? MIN(m->sliding_layers, m->kv_layers) : 0;
}

uint64_t model_kv_bytes_per_token_tp(const struct model_facts *m, enum kv_dtype type, uint32_t tp)
{
	uint64_t sliding = sliding_layers(m);

	return layer_bytes(m, type, tp) * sliding + full_layer_bytes(m, type, tp) * (m->kv_layers - sliding);
}

uint64_t model_kv_bytes_per_token(const struct model_facts *m, enum kv_dtype type)
{
	return model_kv_bytes_per_token_tp(m, type, 1);
}

uint64_t model_kv_bytes_tp(const struct model_facts *m, enum kv_dtype type, uint64_t tokens, uint32_t tp)
{
	uint64_t sliding = sliding_layers(m);
	uint64_t kept = MIN(tokens, (uint64_t)m->sliding_window);

	return full_layer_bytes(m, type, tp) * (m->kv_layers - sliding) * tokens +
	       layer_bytes(m, type, tp) * sliding * kept;
}

uint64_t model_kv_bytes(const struct model_facts *m, enum kv_dtype type, uint64_t tokens)
{
	return model_kv_bytes_tp(m, type, tokens, 1);
}
