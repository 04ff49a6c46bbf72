/* name_quant.h - what a model's name says of how its weights are quantized: "Qwen3-8B-AWQ", "Llama-3.1-8B-Instruct-quantized.w4a16".
 *
 * Words at the end are read, whatever their order; makers write some hundred combinations of some thirty words. Pure, any thread. */
#ifndef STATOR_MODEL_NAME_QUANT_H
#define STATOR_MODEL_NAME_QUANT_H

#include <stdbool.h>
#include <stddef.h>

struct name_quant {
	const char *quant; /* as facts.h says it; NULL: several at once, or one that is not known */
	const char *format; /* "compressed-tensors", or "" */
};

/* The length of name without those words; all of it when there is none, and ret is untouched. */
size_t model_name_quant(struct name_quant *ret, const char *name);

#endif
