/* roofline.h - predicted times of a model on a card: bytes over bandwidth against operations over rate.
 *
 *   step   = launch + max(bytes / bandwidth, flops / rate) + links
 *   bytes  = weights once a step (of an MoE the experts that its tokens touch) + the KV of every sequence, read
 *   flops  = 2 x parameters in matrices x tokens + 2 x (key + value size) x heads x pairs of token and context token
 *   links  = two all-reduces a layer under tensor parallelism: latency + 2 (tp-1)/tp x tokens x hidden x 2 bytes / bandwidth
 *   between = what llama.cpp does beside the matrices: activations in 32 bits, written and read from kernel to kernel; and a row
 *            of logits a sequence, fetched and drawn from on the host. Other engines hide theirs.
 * Bandwidths and rates are the card's peaks times an efficiency; the efficiencies and where they come from are at the top of
 * roofline.c. A prediction: expect a third more or less, and trust ratios between plans more than times.
 * Pure, any thread, no allocation. */
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
	bool host; /* gpu describes a host's cores and memory (roofline_host), and llama.cpp computes on them */
	bool llama; /* llama.cpp's kernels: one card after the other, one pool of cells for all sequences */
};

struct roofline_terms {
	double memory_us, compute_us, link_us, launch_us;
	double between_us; /* llama: activations from kernel to kernel, and logits on the host */
	double total_us; /* launch + max(memory, compute) + link + between */
	double bytes, flops; /* per GPU */
	bool memory_bound;
};

/* One GPU's share of the group. */
struct roofline {
	double rate, bandwidth; /* operations and bytes a microsecond, efficiency applied */
	double rate_pairs; /* of attention */
	double shared_bytes; /* weights that every step reads */
	double expert_bytes; /* of one routed expert in all layers; 0: no MoE */
	double experts, experts_used;
	double kv_bytes_full, kv_bytes_sliding; /* of one token, in the layers that keep all and those with a window */
	double window;
	double flops_token, flops_output; /* of a token in the layers; of a token whose logits are wanted */
	double flops_pair_full, flops_pair_sliding; /* of a token and one token of its context */
	double link_bandwidth, link_latency_us, link_bytes_token, link_calls; /* calls: a step */
	double launch_us, launch_many_us; /* of a step of one token, of more */
	bool one_pool; /* a token looks at the cells of all sequences, and masks those of others */
	double between_us_token, row_us; /* llama: a token of a step; a token whose logits are wanted */
};

/* A host as a card: memory_gb_s 0 takes a guess from the cores. part: the share of it that one of several workers has, 1/n. */
void roofline_host(struct gpu_spec *ret, const struct host_facts *host, double part);
/* -EINVAL with the reason: a card that has no such arithmetic, an invalid tp, an unknown quantization. */
int roofline_init(struct roofline *ret, const struct roofline_ask *ask, struct err *err);
/* One step that computes prefill_tokens of one prompt, of which prefill_context are cached already, and one token for each of
 * batch sequences with context tokens; either may be 0. */
void roofline_step(const struct roofline *r, uint64_t prefill_tokens, uint64_t prefill_context, uint64_t batch,
	uint64_t context, struct roofline_terms *ret);
/* Microseconds to prefill n tokens after context cached ones, in one step. */
double roofline_prefill_us(const struct roofline *r, uint64_t n, uint64_t context);
/* Microseconds of a decode step of batch sequences with context tokens each. */
double roofline_decode_us(const struct roofline *r, uint64_t batch, uint64_t context);
/* "memory 28.1 ms (9.0 GB over 320 GB/s x 0.75)..." for people; always terminated. Returns ret. */
const char *roofline_text(const struct roofline_terms *t, char *ret, size_t cap);

#endif
