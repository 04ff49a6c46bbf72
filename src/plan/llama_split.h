/* llama_split.h - how llama.cpp divides a model over cards and RAM, as src/llama-model.cpp (load_tensors) and common/fit.cpp do it.
 *
 *   card i   gets the layers whose place in the row is below its part of the sum of -ts (else of free memory), and their KV; the last one
 *            the output layer too
 *   RAM      gets the input embedding, layers beyond -ngl, what --cpu-moe, --n-cpu-moe and -ot leave there, and what --fit takes away
 *
 * By the name of a quantization each layer is counted for itself (model/gguf_mix.h); of a file's sum layers are taken as alike. Slack says
 * how far off a card's sum may be.
 * Pure; any thread; no allocation. */
#ifndef STATOR_PLAN_LLAMA_SPLIT_H
#define STATOR_PLAN_LLAMA_SPLIT_H

#include "gpu/inventory.h"
#include "plan/deployment.h"

struct plan_llama_share {
	uint64_t weights, kv, states, activations, runtime;
	uint64_t more, less; /* how much higher and lower the truth may be */
	uint32_t layers;
	bool output;
};

struct plan_llama_layout {
	struct plan_llama_share cards[LLAMA_CARDS_MAX];
	uint32_t len;
	uint64_t host_weights, host_kv; /* beside the cards; host_weights without what is on the host anyway */
	uint64_t host_embedding;
	uint32_t layers; /* of the model, on cards in whole or in part */
	uint64_t context; /* tokens of KV in all */
	bool context_less, moved; /* --fit made it so: a shorter context; layers to RAM */
};

/* Cards in the engine's order, len of them. context 0: what the service says. */
void plan_llama_divide(struct plan_llama_layout *ret, const struct plan_service *s,
	const struct gpu_device *const *cards, uint32_t len, uint64_t context);
static inline uint64_t plan_llama_sum(const struct plan_llama_share *c)
{
	return c->weights + c->kv + c->states + c->activations + c->runtime;
}
/* The terms of the card that has least room, where a worker takes these. */
struct plan_terms;
void plan_llama_terms(struct plan_terms *t, const struct plan_service *s, const struct gpu_device *const *cards,
	uint32_t len, const struct gpu_device *of);

#endif
