/* oracle.h - llama.cpp's own entries behind C, to compare ours with. */
#ifndef STATOR_TESTS_ORACLE_H
#define STATOR_TESTS_ORACLE_H

#include "llama/sampler.h"
#include "llama/template.h"
#include "llama/vocab.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Render source over the variables of a JSON object by the engine alone, or with its nodes in ours: each part of the text as
 * "i" (the caller's) or "t" and its bytes, joined. NULL: it refuses. Caller frees. */
char *oracle_engine(const char *source, const char *json, bool in_ours);
/* The prompt (caller frees), or NULL when llama.cpp refuses. */
char *oracle_apply(const char *source, const struct ll_message *messages, uint32_t count, bool thinking);
/* Probabilities of llama.cpp's own sampler chain with these settings, by token id, into ret (n many). */
void oracle_probabilities(const float *logits, uint32_t n, const struct ll_sampling *p, const uint32_t *history,
	uint32_t history_len, float *ret);
/* LL_CHAR_* bits of a character, from the table its splitters use. */
uint8_t oracle_char_class(uint32_t code_point);
/* The i-th architecture llama.cpp knows; NULL past the end. */
const char *oracle_arch_at(uint32_t i);
/* Does the i-th decode text by itself? Asked of llama.cpp in a child process, for a model without sizes can abort: it has
 * no encoder, is no diffusion model, and a memory is created for it (or its creation fails for want of sizes). */
bool oracle_arch_decodes(uint32_t i);

#ifdef __cplusplus
}
#endif
#endif
