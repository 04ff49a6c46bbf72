/* rules.h - what a card can and cannot do, by compute capability: number types, attention kernels, quantizations.
 *
 * Each answer has the sentence for people and where it comes from. The rules are those of vLLM's sources and threads
 * (0.8 to 0.32) and of llama.cpp's; text names the card's generation, not a card, so that it reads well anywhere.
 * Pure, any thread, no allocation; strings are constants. */
#ifndef STATOR_GPU_RULES_H
#define STATOR_GPU_RULES_H

#include <stdbool.h>
#include <stdint.h>

enum rule_verdict {
	RULE_YES, /* runs as asked */
	RULE_INSTEAD, /* runs, another way: text says how, instead names it */
	RULE_NO, /* refused by the engine: text says why, instead names the remedy */
	RULE_UNKNOWN, /* a name these rules do not know */
};

struct rule_answer {
	enum rule_verdict verdict;
	uint32_t least; /* the least capability that runs it as asked; 0: any */
	const char *text; /* one sentence without full stop */
	const char *instead; /* what to ask for, or what is used: "float16", "TRITON_ATTN"; NULL: nothing */
	const char *source;
};

enum rule_engine { RULE_VLLM, RULE_SGLANG, RULE_LLAMA };

/* dtype "bfloat16", "float16" ("half"), "float32" ("float"), "auto". explicit_: the user wrote it, and did not leave
 * "auto" (which falls back by itself). architecture may be NULL; some (gemma2, gemma3, glm4) refuse float16. */
void rule_dtype(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *dtype, bool explicit_,
	const char *architecture);
/* backend "FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "XFORMERS", "FLASH_ATTN_3"..., NULL or "auto": which one is used. */
void rule_attention(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *backend);
/* quantization "awq", "gptq", "awq_marlin", "gptq_marlin", "fp8", "int8" (w8a8), "compressed-tensors", "mxfp4",
 * "nvfp4", "modelopt", "bitsandbytes", "gguf"; NULL or "none": yes. */
void rule_quantization(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *quantization);
/* type "auto", "fp8", "fp8_e4m3", "fp8_e5m2", for vLLM; "f16", "q8_0", "q4_0"... for llama. */
void rule_kv_dtype(struct rule_answer *ret, enum rule_engine e, uint32_t capability, const char *type);
/* Does the engine run on that card at all? */
void rule_engine_runs(struct rule_answer *ret, enum rule_engine e, uint32_t capability);

#endif
