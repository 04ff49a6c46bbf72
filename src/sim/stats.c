#include "sim/stats.h"

#include <stdlib.h>

static int cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double stats_quantile(const double *sorted, uint32_t count, double q)
{
	if (!count)
		return 0;
	double at = q * (count - 1);
	uint32_t low = (uint32_t)at, high = low + 1 < count ? low + 1 : low;
	return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

struct stats stats_of(double *v, uint32_t count)
{
	struct stats ret = {.count = count};
	double sum = 0;

	if (!count)
		return ret;
	for (uint32_t i = 0; i < count; i++)
		sum += v[i];
	qsort(v, count, sizeof *v, cmp);
	ret.mean = sum / count;
	ret.p50 = stats_quantile(v, count, 0.5);
	ret.p90 = stats_quantile(v, count, 0.9);
	ret.p99 = stats_quantile(v, count, 0.99);
	ret.max = v[count - 1];
	return ret;
}
