/* roofline.h - predicted times of a model on a card: a floor set by bytes and by operations, over stated efficiencies.
 *
 *   step  = launch + max(bytes / (bandwidth x eff_memory), flops / (rate x eff_compute)) + all-reduces
 *   bytes = weights read once a step (MoE: the experts that the batch touches) + KV of every sequence
 *   flops = 2 x active parameters x tokens + 4 x layers x heads x head_dim x tokens x context (attention)
 *   all-reduce (TP > 1) = 2 a layer, ring: 2 (tp-1)/tp x tokens x hidden x 2 bytes over the link, + latency each
 * A prediction, not a measurement: the constants and where they come from are in roofline.c and in
 * docs/design/prediction.md. Pure, any thread, no allocation. */
#ifndef STATOR_GPU_ROOFLINE_H
#define STATOR_GPU_ROOFLINE_H

#include "gpu/catalogue.h"
#include "gpu/inventory.h"
#include "model/facts.h"

struct roofline_ask {
	const struct gpu_spec *gpu; /* borrowed */
	const struct model_facts *model; /* borrowed */
	uint32_t tp; /* 1..; 0 counts as 1 */
	enum gpu_link link; /* between the group's cards */
	const char *dtype; /* "float16", "bfloat16", "auto" (NULL): what the matrix units compute in */
	const char *quant; /* of the weights; NULL: as the model's files */
	enum kv_dtype kv;
};

struct roofline_terms {
	double memory_us, compute_us, link_us, launch_us, total_us; /* total = launch + max(memory, compute) + link */
	double bytes, flops; /* per GPU */
	bool memory_bound;
};

struct roofline {
	double rate; /* operations a microsecond of one card at its efficiency */
	double bandwidth; /* bytes a microsecond, efficiency applied */
	double weight_bytes, weight_bytes_active, kv_bytes_token, flops_token; /* per GPU */
	double flops_token_context; /* attention operations for each pair of token and context token */
	double link_bandwidth, link_latency_us, link_bytes_token, link_calls; /* per step */
	double launch_us;
	uint32_t experts, experts_used;
	double kv_window_tokens; /* beyond it context costs only kv_bytes_token_full */
	double kv_bytes_token_full;
	double shared_bytes; /* weight bytes of a step that do not depend on which experts run */
	double expert_bytes; /* of one expert in all layers */
};

/* -EINVAL with the reason: a card that has no such arithmetic, an invalid tp, an unknown quantization. */
int roofline_init(struct roofline *ret, const struct roofline_ask *ask, struct err *err);
/* One step of tokens prompt tokens (of sequences whose context before is context) and batch decoding sequences of
 * context tokens each; either may be 0. */
void roofline_step(const struct roofline *r, uint64_t prefill_tokens, uint64_t prefill_context, uint64_t batch,
	uint64_t context, struct roofline_terms *ret);
/* Microseconds to prefill n tokens after context cached ones, in one step. */
double roofline_prefill_us(const struct roofline *r, uint64_t n, uint64_t context);
/* Microseconds of a decode step of batch sequences with context tokens each. */
double roofline_decode_us(const struct roofline *r, uint64_t batch, uint64_t context);
/* "memory 28.1 ms (9.0 GB over 320 GB/s x 0.75)..." for people; always terminated. Returns ret. */
const char *roofline_text(const struct roofline_terms *t, char *ret, size_t cap);

#endif
