/* row.c - GNU vectors of 16 bytes, which every 64-bit target has and both compilers know. */
#include "llama/row.h"

#include <math.h>
#include <string.h>

enum { LANES = 4, BLOCK = 1024 };
typedef float f4 __attribute__((vector_size(4 * LANES)));
typedef int32_t i4 __attribute__((vector_size(4 * LANES)));

static f4 splat(float x)
{
	return (f4){x, x, x, x};
}

/* The values at x + i, minus infinity past n. */
static inline f4 load(const float *x, uint32_t n, uint32_t i)
{
	f4 v;
	if (i + LANES <= n) {
		memcpy(&v, x + i, sizeof v);
		return v;
	}
	v = splat(-INFINITY);
	memcpy(&v, x + i, (n - i) * sizeof *x);
	return v;
}

/* a where mask, else b; a comparison with NaN is false. */
static inline f4 pick(i4 mask, f4 a, f4 b)
{
	return (f4)(((i4)a & mask) | ((i4)b & ~mask));
}

static float lanes_max(f4 v)
{
	float most = v[0];
	for (int i = 1; i < LANES; i++)
		most = v[i] > most ? v[i] : most;
	return most;
}

static double lanes_sum(f4 v)
{
	double sum = 0;
	for (int i = 0; i < LANES; i++)
		sum += v[i];
	return sum;
}

float row_max(const float *x, uint32_t n)
{
	f4 most = splat(-INFINITY);
	for (uint32_t i = 0; i < n; i += LANES) {
		f4 v = load(x, n, i);
		most = pick(v > most, v, most);
	}
	return lanes_max(most);
}

float row_second(const float *x, uint32_t n, float limit)
{
	f4 most = splat(-INFINITY), top = splat(limit);
	i4 equal = {0};
	for (uint32_t i = 0; i < n; i += LANES) {
		f4 v = load(x, n, i);
		most = pick((v > most) & (v < top), v, most);
		equal -= v == top;
	}
	int32_t count = 0;
	for (int i = 0; i < LANES; i++)
		count += equal[i];
	return count > 1 ? limit : lanes_max(most);
}

/* e^x for x in [-87, 0]: 2^n times a polynomial of the rest (Cephes' coefficients), within 2 units in the last place. */
static inline f4 exp4(f4 x)
{
	const f4 least = splat(-87.0f), half = splat(0.5f);
	x = pick(x > least, x, least);
	i4 n = __builtin_convertvector(
		x * splat(1.44269504f) - half, i4); /* x <= 0: cuts towards zero, so this rounds */
	f4 k = __builtin_convertvector(n, f4);
	f4 r = x - k * splat(0.693359375f) - k * splat(-2.12194440e-4f);
	f4 p = splat(1.9875691500e-4f);
	p = p * r + splat(1.3981999507e-3f);
	p = p * r + splat(8.3334519073e-3f);
	p = p * r + splat(4.1665795894e-2f);
	p = p * r + splat(1.6666665459e-1f);
	p = p * r + splat(5.0000001201e-1f);
	p = p * r * r + r + splat(1);
	return p * (f4)((n + 127) << 23);
}

double row_exp_sum(const float *x, uint32_t n, float best, float scale)
{
	const f4 top = splat(best), by = splat(scale);
	double sum = 0;
	for (uint32_t block = 0; block < n; block += BLOCK) {
		uint32_t end = n - block < BLOCK ? n : block + BLOCK;
		f4 part = splat(0);
		for (uint32_t i = block; i < end; i += LANES)
			part += exp4((load(x, end, i) - top) * by);
		sum += lanes_sum(part);
	}
	return sum;
}

double row_exp_moment(const float *x, uint32_t n, float best)
{
	const f4 top = splat(best), least = splat(-87.0f);
	double sum = 0;
	for (uint32_t block = 0; block < n; block += BLOCK) {
		uint32_t end = n - block < BLOCK ? n : block + BLOCK;
		f4 part = splat(0);
		for (uint32_t i = block; i < end; i += LANES) {
			f4 d = load(x, end, i) - top;
			d = pick(d > least, d, least);
			part += exp4(d) * d;
		}
		sum += lanes_sum(part);
	}
	return sum;
}

uint32_t row_gather(const float *x, uint32_t n, float least, float most, struct candidate *ret)
{
	const f4 low = splat(least), high = splat(most);
	uint32_t count = 0;
	for (uint32_t i = 0; i < n; i += LANES) {
		f4 v = load(x, n, i);
		i4 in = (v >= low) & (v <= high);
		int64_t any[2];
		memcpy(any, &in, sizeof any);
		if (!(any[0] | any[1]))
			continue;
		for (uint32_t j = 0; j < LANES && i + j < n; j++)
			if (in[j])
				ret[count++] = (struct candidate){v[j], i + j};
	}
	return count;
}
