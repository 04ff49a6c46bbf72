/* shape.h - the shapes of a transformer as config.json names them, and what follows: parameters by kind.
 * What catalogue.c and config_json.c have in common; elsewhere use facts.h. Pure, any thread. */
#ifndef STATOR_MODEL_SHAPE_H
#define STATOR_MODEL_SHAPE_H

#include "base/buf.h"
#include "model/facts.h"

enum { MODEL_FP8_BLOCK = 128 }; /* of the published FP8 models with blocks */

enum shape_bias { SHAPE_BIAS_NONE, SHAPE_BIAS_QKV, SHAPE_BIAS_ALL };
enum shape_qk_norm { SHAPE_QK_NONE, SHAPE_QK_HEAD, SHAPE_QK_FULL };

struct model_shape {
	uint32_t layers, hidden, heads, kv, head_dim, inter, vocab, context;
	uint32_t experts, used, expert_inter, shared_inter, dense_layers;
	uint32_t expert_hidden; /* width that the routed experts compute in; 0: hidden */
	uint32_t mla_rank, mla_rope, mla_q, mla_nope, mla_v;
	uint32_t v_dim; /* of values, where it is not head_dim; 0: as the keys */
	uint32_t window, window_layers;
	uint32_t global_kv,
		global_head_dim; /* of the layers without a window, where they have their own; 0: as the others */
	uint32_t bias, qk_norm; /* enums above */
	uint32_t norms; /* a layer; 2 where nothing is said */
	bool tied, plain_mlp, norm_bias;
	uint32_t kv_layers; /* of a hybrid: layers with attention; the others keep a state. 0: all layers */
	uint32_t state_layers; /* those with a state; 0: all that have no KV cache */
	uint64_t state; /* bytes of one sequence's states */
	uint32_t indexer; /* sparse attention: numbers of the key a layer caches for a token; 0: none */
	uint64_t other; /* parameters that nothing above counts */
	uint64_t other_linear; /* the same, in matrices of the layers: divided and quantized as those are */
	uint64_t unquantized; /* of the matrices of the layers: those the files leave in 16 bits */
};

/* Why these shapes cannot be, "" when they can: bounds and divisions, so that the arithmetic below cannot overflow. */
const char *model_shape_wrong(const struct model_shape *s, char *ret, size_t cap);
uint64_t model_shape_params(const struct model_shape *s);
/* Of these, those in matrices of the layers. */
uint64_t model_shape_linear(const struct model_shape *s);
/* Fill the numbers of ret (shapes and params*); names, dtype, bytes and sources stay. */
void model_shape_facts(const struct model_shape *s, struct model_facts *ret);
/* weight_bytes and weight_bytes_input of facts whose params and dtype or quant are set. */
void model_facts_fill_bytes(struct model_facts *m);

/* Add the shape to b as a line of data/models.txt without its name, hf and source. */
void model_shape_record(struct buf *b, const struct model_shape *s, const struct model_facts *f);
/* facts.h's model_facts_from_config_json, and the shape itself. beside: the text of hf_quant_config.json, or NULL. */
int model_shape_from_config_json(struct model_facts *ret, struct model_shape *ret_shape, const char *file,
	const char *json, size_t len, const char *beside, size_t beside_len, struct err *err);

#endif
