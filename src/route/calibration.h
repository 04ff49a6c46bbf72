/* calibration.h - do predictions come true? Per worker: actual time to the first token, from dispatch, against the
 * model's (its bias by how long that says, and how far it can be trusted) and against what was told (the model's with the bias taken out: a
 * histogram of the ratio); and cached tokens against what was known of the cache.
 *
 * Thread: one owner. The state is this struct. Source of the idea of trust: a worker that says it is fast and is not must
 * lose, whatever it reports. */
#ifndef STATOR_ROUTE_CALIBRATION_H
#define STATOR_ROUTE_CALIBRATION_H

#include "base/buf.h"
#include <stdint.h>

enum { CALIBRATION_BINS = 9, CALIBRATION_SIZES = 4 };

struct calibration {
	uint64_t count, within; /* within: off by at most a quarter, or 5 ms */
	uint64_t bins[CALIBRATION_BINS]; /* actual / predicted: < 1/4, 1/2, 3/4, 0.9, <= 1.1, 1.33, 2, 4, more */
	/* For times around 10 ms, 100 ms, 1 s, 10 s: what came and what the model said, smoothed, a long time counting little
	 * more than a short one. */
	struct {
		double actual, model;
		uint32_t count;
	} sizes[CALIBRATION_SIZES];
	double miss; /* smoothed |actual - predicted| / max of both, in 0..1 */
	double tail; /* smoothed: cached tokens beyond the whole blocks that were known, where some were */
	uint32_t tails; /* how many it was learned from */
	uint64_t cached_predicted, cached_actual; /* prompt tokens */
};

/* model_us > 0; told_us: model_us with the bias of that time. */
void calibration_add(struct calibration *c, double model_us, double told_us, double actual_us);
/* So many prompt tokens were cached; so many were expected, in blocks of block_size. */
void calibration_cached(struct calibration *c, uint32_t expected, uint32_t actual, uint32_t block_size);
/* Tokens that this worker finds beyond the whole blocks known to be there, in the mean (engines that reuse by the token). */
uint32_t calibration_tail(const struct calibration *c);
/* Actual against the model's where it says model_us, 1/4 to 4; as for the next size while little is known of that one, 1
 * while little is known of any. */
double calibration_bias(const struct calibration *c, double model_us);
/* 1: predictions come true within their usual scatter; down to 0.2. */
double calibration_trust(const struct calibration *c);
/* Upper edge of a bin as a ratio; INFINITY for the last. */
double calibration_edge(uint32_t bin);
void calibration_print(const struct calibration *c, struct buf *out);

#endif
