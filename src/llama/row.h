/* row.h - passes over one row of logits, four at a time. Used by sampler.c only.
 * NaN counts as minus infinity everywhere. Thread: pure functions. Cost: a 150k row takes 20 to 100 us a pass. */
#ifndef STATOR_LLAMA_ROW_H
#define STATOR_LLAMA_ROW_H

#include <stdint.h>

struct candidate {
	float logit;
	uint32_t id;
};

/* The largest value; -INFINITY when there is none. */
float row_max(const float *x, uint32_t n);
/* The largest value below limit, or limit itself when it occurs more than once. */
float row_second(const float *x, uint32_t n, float limit);
/* Sum of exp((x - best) * scale), best being the maximum. Differences below -87 count as nothing. */
double row_exp_sum(const float *x, uint32_t n, float best, float scale);
/* Sum of exp(x - best) * (x - best). */
double row_exp_moment(const float *x, uint32_t n, float best);
/* Write those in [least, most] to ret, in order of id. Returns how many. */
uint32_t row_gather(const float *x, uint32_t n, float least, float most, struct candidate *ret);

#endif
