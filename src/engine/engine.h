/* engine.h - a stepping engine: KV cells held by sequences, and one batch computed at a time.
 *
 * The engine computes; what goes into a batch (admission, prefill pieces, prefix reuse, pre-emption, eviction) is
 * decided once, for all stepping engines, by worker/sched.h. A batch is: first its ops in order (copies and trims of
 * sequences, which move no data), then its items (runs of tokens of different sequences, computed together), then one
 * token drawn for each item that wants it.
 *
 * Thread: create, step and destroy run on one thread at a time (the engine pool's); info is constant after create and
 * may be read from any. step may block for as long as the batch takes. Memory: stated in info after create, allocated
 * then. */
#ifndef STATOR_ENGINE_ENGINE_H
#define STATOR_ENGINE_ENGINE_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct engine {
	const struct engine_ops *ops;
};

/* What the bits of a token's logits depend on, besides the tokens before it. */
enum engine_exact {
	ENGINE_EXACT_NO, /* on where the cells lie, or on more */
	ENGINE_EXACT_ALONE, /* on which tokens are computed with it: equal for items that are alone and of equal pieces */
	ENGINE_EXACT_ALWAYS, /* on nothing */
};

struct engine_info {
	uint32_t cells; /* KV capacity in tokens, over all sequences */
	uint32_t seqs; /* sequences that can hold cells at once, running and retained together */
	uint32_t items_max; /* in one batch; 0: as many as sequences */
	uint32_t batch_tokens_max; /* tokens in one batch */
	uint32_t context_max; /* tokens of one sequence */
	uint32_t vocab;
	uint64_t kv_bytes, weight_bytes;
	uint64_t kv_domain; /* weights, KV type and layout, engine version */
	uint64_t tokenizer_hash;
	char tokenizer[512]; /* "byte" or a GGUF path */
	char description[256]; /* one line for people: "SmolLM2 135M Q4_1, 94 MiB" */
	bool prefix_copy; /* ENGINE_SEQ_COPY of any prefix works, and ENGINE_SEQ_TRIM to any length */
	/* Without prefix_copy: ENGINE_SEQ_COPY of all that src holds works, and ENGINE_SEQ_TRIM to 0 only. So it is with a
	 * recurrent state, which cannot go back. Neither: nothing can be kept. */
	bool whole_copy;
	enum engine_exact exact;
	bool hand_off;
	bool virtual_time; /* results carry duration_us that has not passed: the caller lets it pass (mock) */
};

enum engine_op_kind {
	ENGINE_SEQ_COPY, /* dst gets the first count cells of src as well (and its state); dst was empty. Moves no data */
	ENGINE_SEQ_TRIM, /* dst keeps its first count cells; 0 frees it */
};
struct engine_op {
	enum engine_op_kind kind;
	uint32_t src, dst, count;
};

struct engine_sampling {
	float temperature, top_p, min_p, typical_p, repetition_penalty, presence_penalty, frequency_penalty;
	uint32_t top_k, penalty_last_n;
	uint64_t seed;
	const uint32_t *bias_tokens;
	const float *bias_values;
	uint32_t bias_count;
};

/* count tokens of one sequence, to be put at positions pos, pos + 1, ...; pos is what the sequence holds so far. */
struct engine_item {
	uint32_t seq, pos, count;
	const uint32_t *tokens;
	bool alone; /* computed by itself, beside none of the others (ENGINE_EXACT_ALONE) */
	/* When want is set: draw the token that follows the last one. */
	bool want;
	bool no_eog; /* end-of-generation tokens may not be drawn (ignore_eos, min_tokens) */
	uint32_t top; /* also the top likeliest with their log-probabilities; only with logprobs */
	bool logprobs;
	const struct engine_sampling *sampling;
	/* The whole sequence so far (prompt and answer, history_len == pos + count), for penalties; the draw is keyed
	 * by (seed, history_len). Its first prompt_len were the prompt: presence and frequency penalties leave them out. */
	const uint32_t *history;
	uint32_t history_len, prompt_len;
};

enum { ENGINE_TOP_MAX = 20 };
struct engine_out {
	uint32_t token;
	bool eog; /* token ends the generation */
	float logprob;
	uint32_t top_count;
	uint32_t top_tokens[ENGINE_TOP_MAX];
	float top_logprobs[ENGINE_TOP_MAX];
};

struct engine_batch {
	const struct engine_op *ops;
	uint32_t ops_count;
	const struct engine_item *items;
	uint32_t items_count;
};
struct engine_result {
	struct engine_out *outs; /* caller's array, one an item; filled where want is set */
	uint64_t duration_us; /* what the batch took, real or modelled */
};

struct engine_ops {
	const char *name; /* "llama", "mock" */
	const struct engine_info *(*info)(const struct engine *);
	/* Compute one batch. 0; -ENOSPC: the cells did not suffice, ops were done but no item was (pre-empt and try
	 * again); -EINVAL: the batch breaks a rule (our bug, refused before it could abort); any other: the engine is
	 * broken and must be made anew. */
	int (*step)(struct engine *, const struct engine_batch *, struct engine_result *ret, struct err *);
	/* True when token ends a generation. Any thread. */
	bool (*is_eog)(const struct engine *, uint32_t token);
	void (*destroy)(struct engine *);
};

static inline const struct engine_info *engine_info(const struct engine *e)
{
	return e->ops->info(e);
}
static inline int engine_step(
	struct engine *e, const struct engine_batch *b, struct engine_result *ret, struct err *err)
{
	return e->ops->step(e, b, ret, err);
}
static inline bool engine_is_eog(const struct engine *e, uint32_t token)
{
	return e->ops->is_eog(e, token);
}
static inline void engine_destroy(struct engine *e)
{
	if (e)
		e->ops->destroy(e);
}

#endif
