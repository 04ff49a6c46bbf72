/* need_external.h - memory terms of a worker of vLLM or SGLang on one card; what need.h's plan_need asks.
 *
 * Pure; any thread; no allocation. */
#ifndef STATOR_PLAN_NEED_EXTERNAL_H
#define STATOR_PLAN_NEED_EXTERNAL_H

#include "plan/need.h"

/* Fill weights, runtime, links, activations, graphs and what of them is a guess; of SGLang also the budget. */
void plan_need_external(struct plan_terms *t, const struct plan_service *s, const struct gpu_device *card);
/* Tokens of a step, and sequences, on that card: what the user said, else the engine's default. */
uint64_t plan_vllm_batch(const struct plan_service *s, const struct gpu_device *card);
uint64_t plan_vllm_seqs(const struct plan_service *s, const struct gpu_device *card);
uint64_t plan_sglang_batch(const struct plan_service *s, const struct gpu_device *card);

#endif
