#include "base/hist.h"
#include "base/compiler.h"

/* Values below 16 have a bucket each; above, the four bits behind the leading one choose among 16. */
static uint32_t bucket_of(uint64_t v)
{
	if (v < 1u << HIST_SUB_BITS)
		return (uint32_t)v;
	uint32_t shift = 63u - (uint32_t)__builtin_clzll(v) - HIST_SUB_BITS;
	uint64_t i = ((uint64_t)(shift + 1) << HIST_SUB_BITS) + ((v >> shift) & ((1u << HIST_SUB_BITS) - 1));
	return (uint32_t)MIN(i, (uint64_t)HIST_BUCKETS - 1);
}

static uint64_t bucket_top(uint32_t i)
{
	if (i < 1u << HIST_SUB_BITS)
		return i;
	uint32_t shift = (i >> HIST_SUB_BITS) - 1;
	uint64_t low = ((1ull << HIST_SUB_BITS) + (i & ((1u << HIST_SUB_BITS) - 1))) << shift;
	return low + (1ull << shift) - 1;
}

void hist_add(struct hist *h, uint64_t value)
{
	h->min = h->count ? MIN(h->min, value) : value;
	h->max = MAX(h->max, value);
	h->count++;
	h->sum += value;
	h->buckets[bucket_of(value)]++;
}

void hist_merge(struct hist *h, const struct hist *from)
{
	if (!from->count)
		return;
	h->min = h->count ? MIN(h->min, from->min) : from->min;
	h->max = MAX(h->max, from->max);
	h->count += from->count;
	h->sum += from->sum;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		h->buckets[i] += from->buckets[i];
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	double want = q * (double)h->count;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < HIST_BUCKETS && h->count; i++) {
		seen += h->buckets[i];
		if (seen && (double)seen >= want)
			return i == HIST_BUCKETS - 1 ? h->max : MIN(bucket_top(i), h->max);
	}
	return h->max;
}

double hist_mean(const struct hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
