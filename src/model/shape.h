/* shape.h - the shapes of a transformer as config.json names them, and what follows: parameters by kind.
 * What catalogue.c and config_json.c have in common; elsewhere use facts.h. Pure, any thread. */
#ifndef STATOR_MODEL_SHAPE_H
#define STATOR_MODEL_SHAPE_H

#include "model/facts.h"

enum shape_bias { SHAPE_BIAS_NONE, SHAPE_BIAS_QKV, SHAPE_BIAS_ALL };
enum shape_qk_norm { SHAPE_QK_NONE, SHAPE_QK_HEAD, SHAPE_QK_FULL };

struct model_shape {
	uint32_t layers, hidden, heads, kv, head_dim, inter, vocab, context;
	uint32_t experts, used, expert_inter, shared_inter, dense_layers;
	uint32_t expert_hidden; /* width that the routed experts compute in; 0: hidden */
	uint32_t mla_rank, mla_rope, mla_q, mla_nope, mla_v;
	uint32_t window, window_layers;
	uint32_t global_kv,
		global_head_dim; /* of the layers without a window, where they have their own; 0: as the others */
	uint32_t bias, qk_norm; /* enums above */
	uint32_t norms; /* a layer; 2 where nothing is said */
	bool tied, plain_mlp, norm_bias;
	uint32_t kv_layers; /* of a hybrid: layers with attention; the others keep a state. 0: all layers */
	uint64_t state; /* bytes of one sequence's states */
	uint32_t indexer; /* sparse attention: numbers of the key a layer caches for a token; 0: none */
	uint64_t other; /* parameters that nothing above counts */
	uint64_t other_linear; /* the same, in matrices of the layers: divided and quantized as those are */
	uint64_t unquantized; /* of the matrices of the layers: those the files leave in 16 bits */
};

/* Why these shapes cannot be, "" when they can: bounds and divisions, so that the arithmetic below cannot overflow. */
const char *model_shape_wrong(const struct model_shape *s, char *ret, size_t cap);
uint64_t model_shape_params(const struct model_shape *s);
/* Fill the numbers of ret (shapes and params*); names, dtype, bytes and sources stay. */
void model_shape_facts(const struct model_shape *s, struct model_facts *ret);
/* weight_bytes and weight_bytes_input of facts whose params and dtype or quant are set. */
void model_facts_fill_bytes(struct model_facts *m);

#endif
