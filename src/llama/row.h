/* row.h - passes over one row of logits, four at a time. Used by sampler.c only.
 * NaN counts as minus infinity everywhere. Thread: pure functions. Cost: a 150k row takes 15 to 100 us a pass. */
#ifndef STATOR_LLAMA_ROW_H
#define STATOR_LLAMA_ROW_H

#include <stdint.h>

struct candidate {
	float logit;
	uint32_t id;
};

/* The largest value; -INFINITY when there is none. */
float row_max(const float *x, uint32_t n);
/* The two largest values (equal when the largest occurs twice; -INFINITY when there are none) and the lowest id of the largest
 * (0 when there is none), in one pass. */
struct row_top {
	float best, second;
	uint32_t id;
};
struct row_top row_top(const float *x, uint32_t n);
/* Sum of exp(x - best), best being the maximum. Differences below -87 count as nothing. */
double row_exp_sum(const float *x, uint32_t n, float best);
/* The same, and the sum of exp(x - best) * (x - best). */
double row_exp_moment(const float *x, uint32_t n, float best, double *ret_moment);
/* e^difference as the sums above take it, for one value; the difference is at most 0. */
float row_exp(float difference);
/* Sum of exp(logit - best) over candidates. */
double row_list_mass(const struct candidate *c, uint32_t n, float best);
/* Where the mass lies: values by their distance from middle, in ROW_BUCKETS_UNIT buckets a unit; all that is farther is in the
 * last one. */
enum { ROW_BUCKETS = 512, ROW_BUCKETS_UNIT = 32 };
uint32_t row_bucket(float x, float middle);
/* Sums of exp(x - best) by row_bucket(x, middle) into ret. */
void row_exp_buckets(const float *x, uint32_t n, float best, float middle, double ret[ROW_BUCKETS]);
/* Write those in [least, most] to ret, in order of id. Returns how many. */
uint32_t row_gather(const float *x, uint32_t n, float least, float most, struct candidate *ret);

#endif
