/* extra.h - settings of vLLM and SGLang that move memory beside those that a plan varies: adapters, weights kept on the host, a KV
 * cache that is said in bytes, blocks or tokens, a draft model.
 *
 * Pure; any thread; no allocation. */
#ifndef STATOR_PLAN_EXTRA_H
#define STATOR_PLAN_EXTRA_H

#include "base/compiler.h"
#include "config/graph.h"
#include "model/facts.h"

struct plan_extra {
	uint32_t loras, lora_rank; /* adapters on the card at once, and the rank that each may have; 0: none */
	uint64_t offload; /* bytes of weights a card that stay in host memory */
	uint64_t kv_bytes, kv_blocks, kv_tokens; /* the KV cache as it was said; 0: not said */
	bool dp_inside; /* SGLang: data parallel attention is within the cards of tp */
	uint32_t dp_attention; /* dp_inside: so many groups of cards hold all of the attention each; else 0 */
	bool draft; /* a draft model or draft layers whose weights are in no record */
};

void plan_extra_take(struct plan_extra *ret, const struct graph_service *g);
/* Of the adapters' buffers on one card of tp: for each matrix of a layer rank x in, held whole, and rank x out, divided; in 16 bits. */
uint64_t plan_extra_lora_bytes(const struct plan_extra *e, const struct model_facts *m, uint32_t tp);
/* SGLang's data parallel attention: cards that divide its heads, and what a card of tp holds beyond its part of them: the attention
 * divided among fewer, the whole embedding, and MLA's absorbed halves. */
static inline uint32_t plan_extra_attention_tp(const struct plan_extra *e, uint32_t tp)
{
	return e->dp_attention ? MAX(tp / e->dp_attention, 1u) : tp;
}
uint64_t plan_extra_attention_bytes(const struct plan_extra *e, const struct model_facts *m, uint32_t tp);

#endif
