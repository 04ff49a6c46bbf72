/* gguf_mix.h - bytes of a GGUF file by the name of its quantization: which tensor llama.cpp keeps in which type.
 *
 * "Q4_K_M" is no number of bits: half of the value and down matrices are Q6_K, the output too, a matrix whose rows are no multiple of 256
 * takes a larger type. The rules are those of src/llama-quant.cpp (llama_tensor_get_type); the names with L at their end (Q6_K_L, Q4_K_L,
 * Q3_K_XL, Q2_K_L) are their makers': embedding and output in Q8_0. What llama.cpp has no rule for ("UD-Q4_K_XL") is counted as its
 * nearest, and gguf_mix_loose says so. tests/unit/model/test_gguf_mix.c compares with public files.
 * Pure; any thread; no allocation. */
#ifndef STATOR_MODEL_GGUF_MIX_H
#define STATOR_MODEL_GGUF_MIX_H

#include "model/facts.h"

/* One layer, in bytes: of a dense one experts and shared are 0. */
struct gguf_layer {
	double attention, up, gate, down, shared;
	bool experts; /* up, gate and down are those of its experts */
};

/* Is it a quantization of GGUF files, in any case of letters: "q4_k_m", "IQ3_XXS", "UD-Q4_K_XL", "Q4_K"? */
bool gguf_mix_known(const char *name);
/* Do makers mix it by rules of their own? Then a file is some per cent off what is said here. */
bool gguf_mix_loose(const char *name);
/* The i-th layer, the output matrix (of tied embeddings that one matrix), the input embedding (of tied ones 0), vectors in float32.
 * name must be known. */
void gguf_mix_layer(struct gguf_layer *ret, const struct model_facts *m, const char *name, uint32_t i);
uint64_t gguf_mix_output(const struct model_facts *m, const char *name);
uint64_t gguf_mix_embedding(const struct model_facts *m, const char *name);
/* The whole file: without a vision tower, which is a file of its own. */
uint64_t gguf_mix_bytes(const struct model_facts *m, const char *name);
/* Parameters of the record that are in no matrix of the language model, where it takes images: its tower. 0: none. */
uint64_t model_tower_params(const struct model_facts *m);
/* Does the model take images? */
bool model_takes_images(const struct model_facts *m);

#endif
