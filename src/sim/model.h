/* model.h - how long an engine's pass takes, and what it does at most in one: by name, or fitted to recorded steps.
 *
 *   dynamo-mocker   the polynomials of NVIDIA Dynamo's mocker (an H100 class card with an 8B model), in ms:
 *                       prefill(n) = 4.209989e-07 n^2 + 1.518344e-02 n + 16.50142      n: prompt tokens computed, if any
 *                       decode(p)  = max(1, -25.74 p^2 + 54.01 p + 5.74)               p: context that decodes / capacity
 *   CARD:MODEL      predicted by gpu/roofline of the catalogues' card and model ("t4:R1-Distill-Qwen-14B:q4_k_m"); NxCARD is one
 *                   worker of N cards (tensor parallel); float16 where the card has no bfloat16, 0.9 of its memory used
 *   mock            the mock engine's own timing, run by worker/'s scheduler
 *   fit:FILE        us = a + b * prefill tokens + c * decodes + d * context, fitted to the steps that a real worker wrote
 *                   with --record-steps; run by worker/'s scheduler
 *
 * Thread: constant once made. */
#ifndef STATOR_SIM_MODEL_H
#define STATOR_SIM_MODEL_H

#include "base/err.h"
#include "gpu/roofline.h"
#include <stdbool.h>
#include <stdint.h>

enum sim_model_kind { SIM_MODEL_BLOCKS, SIM_MODEL_SCHED };
struct sim_model {
	char name[64];
	enum sim_model_kind kind;
	uint32_t seqs_max, batch_tokens;
	uint32_t block_size, blocks; /* usual ones, when nothing else is asked for */
	/* SIM_MODEL_BLOCKS: ms. */
	double prefill[3], decode[3]; /* constant, linear, quadratic */
	double decode_min_ms;
	bool predicted; /* by line instead */
	struct roofline line;
	/* SIM_MODEL_SCHED: us. */
	double base_us, prefill_token_us, decode_seq_us, context_token_us;
	/* How well a fit fits: steps read, and the mean of |predicted - actual| / actual. */
	uint32_t steps;
	double error_mean;
};

/* What a pass computes. */
struct sim_load {
	uint32_t prefill_tokens; /* 0: none */
	uint32_t prefilling, decoding; /* requests */
	uint64_t decode_context; /* tokens of those that decode */
	uint64_t capacity; /* tokens the cache holds */
};
/* Milliseconds of a SIM_MODEL_BLOCKS pass. */
double sim_model_ms(const struct sim_model *m, const struct sim_load *load);

/* By name ("dynamo-mocker", "4xt4:R1-Distill-Qwen-14B"). -EINVAL with a suggestion for a name that is not there. */
int sim_model_find(struct sim_model *ret, const char *name, struct err *err);
/* Fit the text of a record: one JSON object a line with duration_us, prefill_tokens, decode_tokens,
 * context_tokens, cells. At least 20 steps. */
int sim_model_fit(struct sim_model *ret, const char *name, const char *text, size_t len, struct err *err);

#endif
