/* Calibration: bias is found, one outlier is not, trust falls with misses and comes back. */
#include "base/rng.h"
#include "route/calibration.h"

#include "../lib/cmocka_all.h"
#include <math.h>

static void a_worker_twice_as_slow_as_predicted_is_known_as_such(void **state)
{
	(void)state;
	struct calibration c = {0};
	struct rng r;

	rng_init(&r, 1);
	assert_true(calibration_bias(&c, 1e5) == 1 && calibration_trust(&c) == 1);
	for (int i = 0; i < 200; i++) {
		double model_us = 50e3 + (double)rng_below(&r, 400000);
		calibration_add(&c, model_us, model_us * calibration_bias(&c, model_us), 2 * model_us);
	}
	assert_true(fabs(calibration_bias(&c, 2e5) - 2) < 0.1);
	assert_true(calibration_trust(&c) > 0.95); /* it is slow, but as told */
	assert_true(c.within > 180);
	calibration_add(&c, 100e3, 200e3, 60e6); /* it stood still for a minute */
	assert_true(calibration_bias(&c, 1e5) < 2.4);
}

/* Long prompts take three times what the model says, short ones as long as it says; both are known, whatever came last. */
static void each_size_has_its_own_bias(void **state)
{
	(void)state;
	struct calibration c = {0};

	for (int i = 0; i < 100; i++)
		calibration_add(&c, 8e6, 8e6, 24e6);
	assert_true(fabs(calibration_bias(&c, 8e3) - 3) < 0.1); /* nothing else is known */
	for (int i = 0; i < 20; i++)
		calibration_add(&c, 8e3, 8e3, 8e3);
	assert_true(fabs(calibration_bias(&c, 8e3) - 1) < 0.05);
	assert_true(fabs(calibration_bias(&c, 20e6) - 3) < 0.1);
	/* Between two sizes it does not jump. */
	for (double us = 1e3; us < 40e6; us *= 1.01)
		assert_true(fabs(calibration_bias(&c, us * 1.01) - calibration_bias(&c, us)) < 0.05);
	/* Nor do long times of one size outweigh short ones of it. */
	for (int i = 0; i < 100; i++)
		calibration_add(&c, 300e3, 300e3, 900e3);
	for (int i = 0; i < 40; i++)
		calibration_add(&c, 40e3, 40e3, 40e3);
	assert_true(calibration_bias(&c, 100e3) < 1.4);
}

static void trust_falls_with_misses_and_comes_back(void **state)
{
	(void)state;
	struct calibration c = {0};
	struct rng r;

	rng_init(&r, 2);
	for (int i = 0; i < 100; i++)
		calibration_add(&c, 100e3, 100e3, rng_below(&r, 2) ? 5e3 : 900e3);
	assert_true(calibration_trust(&c) < 0.6 && calibration_trust(&c) >= 0.2);
	for (int i = 0; i < 200; i++)
		calibration_add(&c, 100e3, 100e3, 100e3);
	assert_true(calibration_trust(&c) > 0.95);
}

static void the_histogram_counts_each_once_in_its_bin(void **state)
{
	(void)state;
	struct calibration c = {0};
	uint64_t sum = 0;

	calibration_add(&c, 100, 100, 10);
	calibration_add(&c, 100, 100, 100);
	calibration_add(&c, 100, 100, 1e6);
	for (uint32_t i = 0; i < CALIBRATION_BINS; i++)
		sum += c.bins[i];
	assert_int_equal(sum, 3);
	assert_int_equal(c.bins[0], 1);
	assert_int_equal(c.bins[CALIBRATION_BINS - 1], 1);
	assert_true(isinf(calibration_edge(CALIBRATION_BINS - 1)));
}

static void the_tail_is_what_is_found_beyond_whole_blocks(void **state)
{
	(void)state;
	struct calibration c = {0};

	for (int i = 0; i < 200; i++)
		calibration_cached(&c, 640, 640 + (i % 2 ? 20 : 40), 64);
	assert_in_range(calibration_tail(&c), 26, 34);
	for (int i = 0; i < 200; i++)
		calibration_cached(&c, 0, 0, 64); /* new prompts say nothing of it */
	assert_in_range(calibration_tail(&c), 26, 34);
	for (int i = 0; i < 200; i++)
		calibration_cached(&c, 640, 0, 64); /* evicted meanwhile: no tail, and none below zero */
	assert_int_equal(calibration_tail(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_twice_as_slow_as_predicted_is_known_as_such),
		cmocka_unit_test(each_size_has_its_own_bias),
		cmocka_unit_test(trust_falls_with_misses_and_comes_back),
		cmocka_unit_test(the_histogram_counts_each_once_in_its_bin),
		cmocka_unit_test(the_tail_is_what_is_found_beyond_whole_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
