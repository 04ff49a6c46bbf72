/* calibration.h - do predictions come true? Per worker: actual time to the first token, from dispatch, against the
 * predicted one; a histogram of their ratio, the bias, and how far the worker's predictions can be trusted.
 *
 * Thread: one owner. The state is this struct. Source of the idea of trust: a worker that says it is fast and is not must
 * lose, whatever it reports. */
#ifndef STATOR_ROUTE_CALIBRATION_H
#define STATOR_ROUTE_CALIBRATION_H

#include "base/buf.h"
#include <stdint.h>

enum { CALIBRATION_BINS = 9 };

struct calibration {
	uint64_t count, within; /* within: off by at most a quarter, or 5 ms */
	uint64_t bins[CALIBRATION_BINS]; /* actual / predicted: < 1/4, 1/2, 3/4, 0.9, <= 1.1, 1.33, 2, 4, more */
	double actual_us, predicted_us; /* smoothed sums */
	double miss; /* smoothed |actual - predicted| / max of both, in 0..1 */
	uint64_t cached_predicted, cached_actual; /* prompt tokens */
};

void calibration_add(struct calibration *c, double predicted_us, double actual_us);
/* Actual against predicted, 1/4 to 4; 1 while little is known. */
double calibration_bias(const struct calibration *c);
/* 1: predictions come true within their usual scatter; down to 0.2. */
double calibration_trust(const struct calibration *c);
/* Upper edge of a bin as a ratio; INFINITY for the last. */
double calibration_edge(uint32_t bin);
void calibration_print(const struct calibration *c, struct buf *out);

#endif
