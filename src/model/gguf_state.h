/* gguf_state.h - the recurrent state of a model, from the metadata of its GGUF file.
 *
 * A layer with a state keeps, for every sequence and in 32 bits, the last inputs of its convolution (or the last token's, where
 * tokens are shifted) and a matrix that each token updates. Sizes and which layers: llama.cpp's llama_hparams::n_embd_r and
 * n_embd_s, and what its architectures mark as recurrent. Pure; a value of fixed size. */
#ifndef STATOR_MODEL_GGUF_STATE_H
#define STATOR_MODEL_GGUF_STATE_H

#include "model/facts.h"
#include "model/gguf_reader.h"

struct gguf_state {
	uint64_t conv, inner, state, groups; /* ssm.* */
	uint64_t wkv_head, shifts, short_conv, kda_head;
	uint64_t interval; /* every so many layers one has attention; 0: not said */
	uint8_t layers[MODEL_LAYERS_MAX]; /* marks of lists: enum in gguf_state.c */
	bool kv_listed, ff_listed, listed; /* listed: attention.recurrent_layers */
	uint64_t kv, ff; /* of all layers, when they are no lists */
};

/* Take what the key (with its value) says. Others are passed over. */
void gguf_state_note(
	struct gguf_state *s, const struct gguf_reader *r, const struct gguf_text *key, const struct gguf_value *v);
/* How many of the layers keep a state. nextn: the last ones, which predict further tokens and are not computed. */
uint32_t gguf_state_layers(const struct gguf_state *s, const char *arch, uint64_t layers, uint64_t nextn);
/* How many have KV cells, where that does not follow from the list of KV heads; UINT32_MAX: it does. */
uint32_t gguf_state_kv_layers(const struct gguf_state *s, const char *arch, uint64_t layers, uint64_t nextn);
/* Bytes of one sequence's state in one layer. */
uint64_t gguf_state_layer_bytes(
	const struct gguf_state *s, const char *arch, uint64_t hidden, uint64_t heads, uint64_t head_dim);

#endif
