/* sampler.h - draw a token from a row of logits. The same steps in the same order as llama.cpp's usual chain: logit
 * bias, penalties, top-k, typical, top-p, min-p, temperature; then one draw from a key the caller gives (made of seed and
 * position, so that the draw does not depend on where it is made, and hardly on rounding: see sampler.c).
 * Thread: one owner. Memory: 20 bytes a vocabulary entry, allocated at create, nothing later (8 of them
 * are not touched before a request with penalties comes). */
#ifndef STATOR_LLAMA_SAMPLER_H
#define STATOR_LLAMA_SAMPLER_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LL_TOP_MAX = 20 };

struct ll_sampling {
	float temperature; /* 0 or less: greedy, ties to the lowest id */
	uint32_t top_k; /* 0: off */
	float top_p; /* 1: off */
	float min_p; /* 0: off */
	float typical_p; /* 1: off */
	/* Over the last penalty_last_n tokens of history (UINT32_MAX: all; 0: off). */
	uint32_t penalty_last_n;
	float repetition_penalty; /* 1: off. Prompt and answer count */
	float presence_penalty, frequency_penalty; /* 0: off. The answer alone counts */
	const uint32_t *bias_tokens; /* ids outside the vocabulary are ignored */
	const float *bias_values;
	uint32_t bias_count;
	/* Tokens that may not be drawn (end-of-generation ones before a minimum length). Borrowed. */
	const uint32_t *banned;
	uint32_t banned_count;
};

struct ll_draw_in {
	/* Borrowed, and this draw's alone meanwhile: banned tokens are taken out for the time of the draw and put back. */
	float *logits;
	const struct ll_sampling *sampling;
	const uint32_t *history; /* prompt and answer so far, for penalties */
	uint32_t history_len, prompt_len; /* the first prompt_len were not generated */
	uint64_t key; /* random number of this draw: equal keys and logits, equal token */
	bool logprobs; /* fill logprob and top of the result (costs an exp a vocabulary entry) */
	uint32_t top; /* at most LL_TOP_MAX */
};

struct ll_draw {
	uint32_t token;
	/* Natural logarithms, of the model's own distribution: before bias, penalties and temperature. */
	float logprob;
	uint32_t top_count;
	uint32_t top_tokens[LL_TOP_MAX]; /* likeliest first, ties to the lowest id */
	float top_logprobs[LL_TOP_MAX];
	/* How near another outcome was: the gap to the second, in logits (greedy), or in logits over temperature with each
	 * token's noise added (drawn). Rounding below it changes nothing. */
	float margin;
};

struct ll_sampler;
int ll_sampler_create(struct ll_sampler **ret, uint32_t vocab, struct err *err) MUST_USE;
void ll_sampler_destroy(struct ll_sampler *s);
/* Cannot fail: with every token banned the likeliest is drawn all the same; NaN logits are never drawn. */
void ll_sampler_draw(struct ll_sampler *s, const struct ll_draw_in *in, struct ll_draw *ret);

#ifdef __cplusplus
}
#endif
#endif
