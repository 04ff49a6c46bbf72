/* stats.h - distributions of a run's times: exact, not bucketed. Thread: pure functions. */
#ifndef STATOR_SIM_STATS_H
#define STATOR_SIM_STATS_H

#include <stdint.h>

struct stats {
	uint32_t count;
	double mean, p50, p90, p99, max;
};

/* Sorts v. All 0 when there are none. */
struct stats stats_of(double *v, uint32_t count);
/* The value below which share q of the sorted values lies, between two neighbours in proportion. */
double stats_quantile(const double *sorted, uint32_t count, double q);

#endif
