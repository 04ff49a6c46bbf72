/* hist.h - a histogram of durations or sizes that answers quantiles: 16 buckets for each power of two, so an answer is
 * at most 6.25 % too high and never too low. Thread: one owner. Memory: 4 KiB, no allocation. */
#ifndef STATOR_BASE_HIST_H
#define STATOR_BASE_HIST_H

#include <stdint.h>

enum { HIST_SUB_BITS = 4, HIST_VALUE_BITS = 40, HIST_BUCKETS = (HIST_VALUE_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS };

/* A zeroed struct hist is an empty one. */
struct hist {
	uint64_t count, sum, min, max;
	uint32_t buckets[HIST_BUCKETS];
};

/* Values of 2^40 and more (12 days in microseconds) fall into the last bucket. O(1). */
void hist_add(struct hist *h, uint64_t value);
/* Add all of from to h. */
void hist_merge(struct hist *h, const struct hist *from);
/* The least upper border below which at least q (0 to 1) of the values lie, at most max; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);

#endif
