#include "route/calibration.h"
#include "base/compiler.h"

#include <math.h>

static const double edges[CALIBRATION_BINS] = {0.25, 0.5, 0.75, 0.9, 1.1, 1.33, 2, 4, INFINITY};
static const double gain = 0.05, slack_us = 5000, slack_part = 0.25, bias_max = 4;
/* Misses up to this are the noise of arrivals that share a step; past it trust falls. */
static const double miss_usual = 0.35;
enum { KNOWN = 8 };
/* What is true of long prompts, in an overload say, is not of short ones: each size has its own bias, in between it goes over
 * from one to the other. Weights: so that a long time is not as much as hundreds of short ones, and that a few milliseconds of
 * chance weigh little in short ones. */
static const double centers_us[CALIBRATION_SIZES] = {10e3, 100e3, 1e6, 10e6}, weight_us = 10e3;

static uint32_t size_of(double model_us)
{
	uint32_t i = 0;

	while (i + 1 < CALIBRATION_SIZES && model_us * model_us > centers_us[i] * centers_us[i + 1])
		i++;
	return i;
}

void calibration_add(struct calibration *c, double model_us, double told_us, double actual_us)
{
	double off = fabs(actual_us - told_us), most = fmax(actual_us, told_us);
	uint32_t bin = 0;

	while (actual_us > edges[bin] * told_us)
		bin++;
	c->bins[bin]++;
	c->count++;
	c->within += off <= fmax(slack_us, slack_part * actual_us);
	uint32_t size = size_of(model_us);
	double g = fmax(gain, 1.0 / ++c->sizes[size].count), weight = 1 / (model_us + weight_us);
	/* One outlier (a worker that stood still) counts as four times its prediction at most. */
	c->sizes[size].actual += g * (weight * fmin(actual_us, bias_max * model_us + slack_us) - c->sizes[size].actual);
	c->sizes[size].model += g * (weight * model_us - c->sizes[size].model);
	c->miss += fmax(gain, 1.0 / (double)c->count) * ((off <= slack_us ? 0 : off / most) - c->miss);
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

/* Of a size, or of the nearest of which enough is known. */
static double bias_of(const struct calibration *c, uint32_t size)
{
	for (uint32_t off = 0; off < CALIBRATION_SIZES; off++)
		for (int side = -1; side <= 1; side += 2) {
			uint32_t i = size + (uint32_t)side * off;
			if (i < CALIBRATION_SIZES && c->sizes[i].count >= KNOWN)
				return fmin(fmax(c->sizes[i].actual / fmax(c->sizes[i].model, 1e-6), 1 / bias_max),
					bias_max);
		}
	return 1;
}

double calibration_bias(const struct calibration *c, double model_us)
{
	uint32_t i = 0;

	while (i + 2 < CALIBRATION_SIZES && model_us > centers_us[i + 1])
		i++;
	double part = (model_us - centers_us[i]) / (centers_us[i + 1] - centers_us[i]), low = bias_of(c, i);
	if (part <= 0)
		return low;
	return low + fmin(part, 1) * (bias_of(c, i + 1) - low);
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
	buf_printf(out, "predictions=%llu within=%.3f bias=%.2f,%.2f,%.2f,%.2f trust=%.2f tail=%u ratio:",
		(unsigned long long)c->count, c->count ? (double)c->within / (double)c->count : 0, bias_of(c, 0),
		bias_of(c, 1), bias_of(c, 2), bias_of(c, 3), calibration_trust(c), calibration_tail(c));
	for (uint32_t i = 0; i < CALIBRATION_BINS; i++)
		buf_printf(out, " %llu", (unsigned long long)c->bins[i]);
}
