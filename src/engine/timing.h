/* timing.h - how long a batch takes, as a formula: for the mock engine and for simulations.
 *
 *   us = (base + prefill_tokens * per_prefill_token + decode_seqs * per_decode_seq + context_tokens * per_context_token) / speedup
 *
 * A decode is an item of one token; every other token is prefill. context_tokens sums, over all tokens computed, the cells
 * of their own sequence before them: attention's work. Thread: pure functions. */
#ifndef STATOR_ENGINE_TIMING_H
#define STATOR_ENGINE_TIMING_H

#include "engine/engine.h"

struct timing_model {
	double base_us, prefill_token_us, decode_seq_us, context_token_us;
	double jitter; /* 0: none; 0.1: up to 10 % more or less, keyed by seed and step */
	double speedup; /* 0 or 1: as it is; 10: ten times faster */
	uint64_t seed;
};

/* What the batch takes. step numbers the batches, for the jitter. */
uint64_t timing_model_us(const struct timing_model *m, const struct engine_batch *batch, uint64_t step);

#endif
