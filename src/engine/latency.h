/* latency.h - how long an engine's steps take, learned from the steps themselves. The worker sizes its batches with it,
 * the router predicts with it when a worker will be done.
 *
 *   ms = a + [prefill] (b + c prefill + d prefill^2) + e decodes + [decodes] (f + g ctx + h min(ctx, C/3) + i min(ctx, 2C/3))
 *          + j (prefill + decodes) used
 *
 * prefill, decodes: tokens of each kind in the step; ctx: tokens of the sequences that decode, C: capacity in tokens;
 * used: cells of the KV cache in use, which some engines walk for every token. No term is negative. g, h, i let decoding
 * grow with the context ever more slowly, as batched attention does (Dynamo's mocker: 54 p - 26 p^2), by parts.
 * Values differ by orders of magnitude between machines, so nothing is tabulated.
 *
 * Least squares over two exponential windows, one of steps with prefill and one without: thousands of decode steps must
 * not wash out what is known of prefill. Weighted by 1/t, so that the short steps count too. A prior decides what the steps
 * seen leave open and bounds the condition of the system: it weighs a ten-thousandth of what was seen of a term, and a trifle
 * in the machine's own unit of time where nothing was, so that a machine a hundred times slower learns as fast. A surprise
 * is clipped to three times the prediction either way: a neighbour that takes the CPU for a second must not change the
 * model.
 * (Recursive least squares with its terms clamped was tried: after a clamp its covariance claims a certainty it does not
 * have, and it stops learning ten times off.)
 *
 * The state is this struct and nothing else. Thread: one owner. Deterministic. Cost: a step some 100 ns, and a fit of
 * about a microsecond when the prediction was off, or each 16th step. */
#ifndef STATOR_ENGINE_LATENCY_H
#define STATOR_ENGINE_LATENCY_H

#include "base/buf.h"
#include <stdint.h>

enum { LATENCY_TERMS = 10 };

/* What a step computes. */
struct latency_step {
	uint32_t prefill, decodes; /* tokens */
	uint64_t context; /* of the sequences that decode */
	uint64_t used; /* cells */
};

struct latency {
	double xx[2][LATENCY_TERMS][LATENCY_TERMS],
		xy[2][LATENCY_TERMS]; /* sums over the windows; private, as all here */
	double theta[LATENCY_TERMS], prior[LATENCY_TERMS];
	double slow; /* the first steps against the machine of the prior: the unit of its times */
	double error; /* smoothed |measured - predicted| / measured */
	double capacity; /* C */
	uint64_t steps;
};

/* capacity: tokens of the whole KV cache; 0: not known, then decoding grows evenly. */
void latency_init(struct latency *m, uint64_t capacity);
/* Start from what is known of another machine of the kind (a copy, as a prior that the first steps scale). */
void latency_init_like(struct latency *m, const struct latency *other, uint64_t capacity);
/* Before the first step: take the machine for so many times slower than the prior (0.1 ms a prompt token). */
void latency_assume_slow(struct latency *m, double times);
void latency_learn(struct latency *m, const struct latency_step *step, uint64_t duration_us);
/* > 0; 0 for a step without tokens. */
double latency_step_us(const struct latency *m, const struct latency_step *step);
/* Steps of at most batch tokens (0: any number) in a row until so many prompt tokens are computed, beside the decodes. */
double latency_drain_us(
	const struct latency *m, uint64_t prompt_tokens, const struct latency_step *beside, uint32_t batch);
/* How many prompt tokens, at most most, fit into a step beside the decodes so that it takes no longer than budget_us. */
uint32_t latency_prefill_within(
	const struct latency *m, const struct latency_step *beside, double budget_us, uint32_t most);
/* What one more token of prefill adds at so many cells used; > 0. */
double latency_token_us(const struct latency *m, uint64_t used);
/* What so many tokens more of context add to a step that decodes. */
double latency_context_us(const struct latency *m, uint64_t context, uint64_t more);
/* What several machines of one pool have in common: gather begins with the sums of none, adds each machine's (speed: its
 * time for the same work against the others', 1: as all), and fits. The result predicts for a machine of speed 1. A
 * machine that gets little work shows few kinds of step; its own model may then be off for others, and a router that
 * believed it would never find out. */
void latency_gather_begin(struct latency *fleet, const struct latency *like);
void latency_gather(struct latency *fleet, const struct latency *m, double speed);
void latency_gather_end(struct latency *fleet);
/* How much longer m's steps with prefill (all its steps when it has had none) took than the fleet's model says. > 0. */
double latency_speed(const struct latency *m, const struct latency *fleet);
/* What m's own steps leave open is as in the fleet. */
void latency_lean_on(struct latency *m, const struct latency *fleet, double speed);
/* One line for people. */
void latency_print(const struct latency *m, struct buf *out);

#endif
