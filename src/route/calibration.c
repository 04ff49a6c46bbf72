#include "route/calibration.h"
#include "base/compiler.h"

#include <math.h>

static const double edges[CALIBRATION_BINS] = {0.25, 0.5, 0.75, 0.9, 1.1, 1.33, 2, 4, INFINITY};
static const double gain = 0.05, slack_us = 5000, slack_part = 0.25, bias_max = 4;
/* Misses up to this are the noise of arrivals that share a step; past it trust falls. */
static const double miss_usual = 0.35;
enum { KNOWN = 8 };

void calibration_add(struct calibration *c, double model_us, double told_us, double actual_us)
{
	double off = fabs(actual_us - told_us), most = fmax(actual_us, told_us);
	uint32_t bin = 0;

	while (actual_us > edges[bin] * told_us)
		bin++;
	c->bins[bin]++;
	c->count++;
	c->within += off <= fmax(slack_us, slack_part * actual_us);
	double g = fmax(gain, 1.0 / (double)c->count);
	/* One outlier (a worker that stood still) counts as four times its prediction at most. */
	c->actual_us += g * (fmin(actual_us, bias_max * model_us + slack_us) - c->actual_us);
	c->predicted_us += g * (model_us - c->predicted_us);
	c->miss += g * ((off <= slack_us ? 0 : off / most) - c->miss);
}

void calibration_cached(struct calibration *c, uint32_t expected, uint32_t actual, uint32_t block_size)
{
	double beyond = fmin(fmax((double)actual - expected, -(double)block_size), block_size);

	c->cached_predicted += expected;
	c->cached_actual += actual;
	/* Where nothing was known to be there, nothing is said of what follows what is. */
	if (expected)
		c->tail += fmax(gain, 1.0 / ++c->tails) * (beyond - c->tail);
}

uint32_t calibration_tail(const struct calibration *c)
{
	return c->tail > 0 ? (uint32_t)c->tail : 0;
}

double calibration_bias(const struct calibration *c)
{
	if (c->count < KNOWN)
		return 1;
	return fmin(fmax(c->actual_us / fmax(c->predicted_us, 1), 1 / bias_max), bias_max);
}

double calibration_trust(const struct calibration *c)
{
	if (c->count < KNOWN)
		return 1;
	return fmax(0.2, 1 - fmax(0, c->miss - miss_usual) / (1 - miss_usual));
}

double calibration_edge(uint32_t bin)
{
	return edges[bin];
}

void calibration_print(const struct calibration *c, struct buf *out)
{
	buf_printf(out,
		"predictions=%llu within=%.3f bias=%.3f trust=%.2f tail=%u ratio:", (unsigned long long)c->count,
		c->count ? (double)c->within / (double)c->count : 0, calibration_bias(c), calibration_trust(c),
		calibration_tail(c));
	for (uint32_t i = 0; i < CALIBRATION_BINS; i++)
		buf_printf(out, " %llu", (unsigned long long)c->bins[i]);
}
