/* row.c - GNU vectors of 16 bytes, which every 64-bit target has and both compilers know. */
#include "llama/row.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { LANES = 4 };
typedef float f4 __attribute__((vector_size(4 * LANES)));
typedef int32_t i4 __attribute__((vector_size(4 * LANES)));
typedef double d4 __attribute__((vector_size(8 * LANES)));

static f4 splat(float x)
{
	return (f4){x, x, x, x};
}

static inline f4 load_whole(const float *x)
{
	f4 v;
	memcpy(&v, x, sizeof v);
	return v;
}

/* The values at x + i, minus infinity past n. */
static inline f4 load(const float *x, uint32_t n, uint32_t i)
{
	if (i + LANES <= n)
		return load_whole(x + i);
	f4 v = splat(-INFINITY);
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

/* The larger; b where a is NaN. */
static inline f4 larger(f4 a, f4 b)
{
	return pick(a > b, a, b);
}

enum { BLOCK = 16 * LANES };

/* The largest of BLOCK values by lane. Four chains: a comparison waits for the one before it in its own. */
static inline f4 block_max(const float *x)
{
	f4 a = splat(-INFINITY), b = a, c = a, d = a;
	for (const float *end = x + BLOCK; x < end; x += 4 * LANES) {
		a = larger(load_whole(x), a);
		b = larger(load_whole(x + LANES), b);
		c = larger(load_whole(x + 2 * LANES), c);
		d = larger(load_whole(x + 3 * LANES), d);
	}
	return larger(larger(a, b), larger(c, d));
}

float row_max(const float *x, uint32_t n)
{
	f4 most = splat(-INFINITY);
	uint32_t i = 0;
	for (; i + BLOCK <= n; i += BLOCK)
		most = larger(block_max(x + i), most);
	for (; i < n; i += LANES)
		most = larger(load(x, n, i), most);
	return lanes_max(most);
}

static inline bool any(i4 mask)
{
	int64_t halves[2];
	memcpy(halves, &mask, sizeof halves);
	return halves[0] | halves[1];
}

static void look_closely(struct row_top *t, const float *x, uint32_t begin, uint32_t end)
{
	for (uint32_t i = begin; i < end; i++) {
		if (x[i] > t->best)
			*t = (struct row_top){x[i], t->best, i};
		else if (x[i] > t->second)
			t->second = x[i];
	}
}

/* Few blocks hold more than the second best so far: some twenty of a row of 150k in random order. */
struct row_top row_top(const float *x, uint32_t n)
{
	struct row_top t = {-INFINITY, -INFINITY, 0};
	uint32_t i = 0;
	for (; i + BLOCK <= n; i += BLOCK)
		if (any(block_max(x + i) > splat(t.second)))
			look_closely(&t, x, i, i + BLOCK);
	look_closely(&t, x, i, n);
	return t;
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

static double sum_of(const d4 *v)
{
	return (*v)[0] + (*v)[1] + (*v)[2] + (*v)[3];
}

double row_exp_sum(const float *x, uint32_t n, float best)
{
	const f4 top = splat(best);
	d4 sums = {0};
	for (uint32_t i = 0; i < n; i += LANES)
		sums += __builtin_convertvector(exp4(load(x, n, i) - top), d4);
	return sum_of(&sums);
}

double row_exp_moment(const float *x, uint32_t n, float best, double *ret_moment)
{
	const f4 top = splat(best), least = splat(-87.0f);
	d4 sums = {0}, moments = {0};
	for (uint32_t i = 0; i < n; i += LANES) {
		f4 d = load(x, n, i) - top;
		d = pick(d > least, d, least);
		f4 e = exp4(d);
		sums += __builtin_convertvector(e, d4);
		moments += __builtin_convertvector(e * d, d4);
	}
	*ret_moment = sum_of(&moments);
	return sum_of(&sums);
}

float row_exp(float difference)
{
	return exp4(splat(difference))[0];
}

double row_list_mass(const struct candidate *c, uint32_t n, float best)
{
	const f4 top = splat(best);
	d4 sums = {0};
	double rest = 0;
	uint32_t i = 0;
	for (; i + LANES <= n; i += LANES) {
		f4 v = {c[i].logit, c[i + 1].logit, c[i + 2].logit, c[i + 3].logit};
		sums += __builtin_convertvector(exp4(v - top), d4);
	}
	for (; i < n; i++)
		rest += (double)row_exp(c[i].logit - best);
	return sum_of(&sums) + rest;
}

/* The distance in buckets; NaN and infinity end in the last one. */
static inline f4 buckets4(f4 x, f4 middle)
{
	const f4 last = splat(ROW_BUCKETS - 1);
	f4 d = x - middle;
	f4 far = pick(d < splat(0), -d, d) * splat(ROW_BUCKETS_UNIT);
	return pick(far < last, far, last);
}

uint32_t row_bucket(float x, float middle)
{
	float far = fabsf(x - middle) * ROW_BUCKETS_UNIT; /* as buckets4, to the bit */
	return far < ROW_BUCKETS - 1 ? (uint32_t)far : ROW_BUCKETS - 1;
}

void row_exp_buckets(const float *x, uint32_t n, float best, float middle, double ret[ROW_BUCKETS])
{
	/* A set for each lane: neighbours often fall into one bucket, and would wait for each other. */
	double sums[LANES][ROW_BUCKETS] = {{0}};
	const f4 top = splat(best), mid = splat(middle);
	for (uint32_t i = 0; i < n; i += LANES) {
		f4 v = load(x, n, i), e = exp4(v - top);
		i4 bucket = __builtin_convertvector(buckets4(v, mid), i4);
		for (int j = 0; j < LANES; j++)
			sums[j][bucket[j]] += (double)e[j];
	}
	for (uint32_t b = 0; b < ROW_BUCKETS; b++)
		ret[b] = sums[0][b] + sums[1][b] + sums[2][b] + sums[3][b];
}
_Static_assert(LANES == 4, "row_exp_buckets adds up four lanes");

uint32_t row_gather(const float *x, uint32_t n, float least, float most, struct candidate *ret)
{
	const f4 low = splat(least), high = splat(most);
	uint32_t count = 0;
	for (uint32_t i = 0; i < n; i += LANES) {
		f4 v = load(x, n, i);
		i4 in = (v >= low) & (v <= high);
		if (!any(in))
			continue;
		for (uint32_t j = 0; j < LANES && i + j < n; j++)
			if (in[j])
				ret[count++] = (struct candidate){v[j], i + j};
	}
	return count;
}
