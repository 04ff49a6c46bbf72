/* struct hist against sorted values. */
#include "base/hist.h"
#include "base/rng.h"

#include <stdlib.h>

#include "../lib/cmocka_all.h"

enum { VALUES = 20000 };

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void quantiles_are_right_within_a_sixteenth(void **state)
{
	(void)state;
	static uint64_t v[VALUES];
	static struct hist h, half;
	struct rng r;

	rng_init(&r, 5);
	for (int i = 0; i < VALUES; i++) {
		v[i] = rng_u64(&r) >> (25 + rng_below(&r, 39));
		hist_add(i % 2 ? &h : &half, v[i]);
	}
	hist_merge(&h, &half);
	qsort(v, VALUES, sizeof v[0], compare);
	assert_int_equal(h.count, VALUES);
	assert_true(h.min == v[0] && h.max == v[VALUES - 1]);
	for (int i = 1; i <= 100; i++) {
		uint64_t exact = v[i * VALUES / 100 - 1], got = hist_quantile(&h, i / 100.0);
		assert_true(got >= exact);
		assert_true((double)got <= (double)exact * 1.0626);
	}
}

static void an_empty_one_is_zero_and_a_huge_value_is_kept(void **state)
{
	(void)state;
	static struct hist h;

	assert_int_equal(hist_quantile(&h, 0.5), 0);
	hist_add(&h, UINT64_MAX / 2);
	assert_true(hist_quantile(&h, 0.5) == UINT64_MAX / 2);
	assert_true(hist_mean(&h) > 9e18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantiles_are_right_within_a_sixteenth),
		cmocka_unit_test(an_empty_one_is_zero_and_a_huge_value_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
