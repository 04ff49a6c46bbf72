/* The latency model: it finds what is true, survives what is not, and never claims less than no time. */
#include "base/rng.h"
#include "engine/latency.h"

#include "../lib/cmocka_all.h"
#include <math.h>

enum { CAPACITY = 819200 };

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
	return low + (uint32_t)rng_below(r, high - low + 1);
}

/* Dynamo's mocker. */
static double mocker_us(const struct latency_step *s, double slow)
{
	double ms = 0, n = s->prefill, p = fmin(1, (double)s->context / CAPACITY);

	if (s->prefill)
		ms += 4.209989e-7 * n * n + 1.518344e-2 * n + 16.50142;
	if (s->decodes)
		ms += fmax(1, -25.74 * p * p + 54.01 * p + 5.74);
	return ms * slow * 1000;
}

static struct latency_step random_step(struct rng *r)
{
	struct latency_step s = {.decodes = between(r, 0, 64), .used = CAPACITY};

	s.context = (uint64_t)s.decodes * between(r, 500, 12000);
	s.prefill = rng_below(r, 4) && s.decodes ? 0 : between(r, 1, 8192);
	return s;
}

static double worst_miss(
	const struct latency *m, struct rng *r, double (*truth)(const struct latency_step *, double), double slow)
{
	double worst = 0;

	for (int i = 0; i < 500; i++) {
		struct latency_step s = random_step(r);
		double us = truth(&s, slow);
		worst = fmax(worst, fabs(latency_step_us(m, &s) - us) / us);
	}
	return worst;
}

static void the_timing_of_dynamos_mocker_is_found(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct latency m;
		struct rng r;
		rng_init(&r, seed);
		latency_init(&m, CAPACITY);
		for (int i = 0; i < 1500; i++) {
			struct latency_step s = random_step(&r);
			latency_learn(&m, &s, (uint64_t)mocker_us(&s, 1));
		}
		assert_true(worst_miss(&m, &r, mocker_us, 1) < 0.15);
		assert_true(m.error < 0.03);
	}
}

/* A CPU: 2 ms a step, 50 us a token, and every token walks the cells in use. */
static double cpu_us(const struct latency_step *s, double slow)
{
	double tokens = (double)s->prefill + s->decodes;
	return slow * (2000 + 50 * tokens + 0.01 * tokens * (double)s->used);
}

static void outliers_do_not_bend_it_and_a_new_speed_does(void **state)
{
	(void)state;
	struct latency m;
	struct rng r;

	rng_init(&r, 11);
	latency_init(&m, 16384);
	for (int i = 0; i < 600; i++) {
		struct latency_step s = {.used = between(&r, 0, 8000)};
		*(rng_below(&r, 3) ? &s.decodes : &s.prefill) = between(&r, 1, 200);
		/* A neighbour takes the CPU for a second. */
		double us = cpu_us(&s, 1) + (rng_below(&r, 50) ? 0 : 1e6);
		latency_learn(&m, &s, (uint64_t)us);
	}
	const struct latency_step probe = {.prefill = 100, .used = 4000};
	double truth = cpu_us(&probe, 1);
	assert_true(fabs(latency_step_us(&m, &probe) - truth) < 0.25 * truth);
	for (int i = 0; i < 150; i++) {
		struct latency_step s = {.prefill = between(&r, 1, 200), .used = between(&r, 0, 8000)};
		latency_learn(&m, &s, (uint64_t)cpu_us(&s, 3));
	}
	assert_true(fabs(latency_step_us(&m, &probe) - 3 * truth) < 0.6 * truth);
}

static void ten_thousand_equal_steps_do_not_make_it_burst(void **state)
{
	(void)state;
	const struct latency_step same = {.decodes = 4, .context = 4000, .used = 4000},
				  other = {.prefill = 500, .used = 4000};
	struct latency m;

	latency_init(&m, 16384);
	for (int i = 0; i < 10000; i++)
		latency_learn(&m, &same, 2360);
	assert_true(fabs(latency_step_us(&m, &same) - 2360) < 25);
	assert_true(latency_step_us(&m, &other) > 100 && latency_step_us(&m, &other) < 1e6);
}

static void nothing_is_ever_negative_or_not_a_number(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct latency m;
		struct rng r;
		rng_init(&r, seed);
		latency_init(&m, rng_below(&r, 2) ? CAPACITY : 0);
		for (int i = 0; i < 400; i++) {
			struct latency_step s = random_step(&r);
			s.used = rng_below(&r, 1u << between(&r, 1, 30));
			/* Times that follow nothing, over ten orders of magnitude. */
			latency_learn(&m, &s, rng_below(&r, 1ull << between(&r, 1, 36)));
			for (int k = 0; k < LATENCY_TERMS; k++)
				assert_true(m.theta[k] >= 0 && isfinite(m.theta[k]));
			assert_true(isfinite(latency_step_us(&m, &s)));
			assert_true(latency_token_us(&m, s.used) > 0);
			assert_true(latency_context_us(&m, s.context, 1000) >= 0);
		}
	}
}

static void a_prior_three_times_wrong_is_forgotten_in_a_few_steps(void **state)
{
	(void)state;
	struct latency right, wrong;
	struct rng r;

	rng_init(&r, 3);
	latency_init(&right, CAPACITY);
	for (int i = 0; i < 800; i++) {
		struct latency_step s = random_step(&r);
		latency_learn(&right, &s, (uint64_t)mocker_us(&s, 3));
	}
	latency_init_like(&wrong, &right, CAPACITY);
	for (int i = 0; i < 12; i++) {
		struct latency_step s = random_step(&r);
		latency_learn(&wrong, &s, (uint64_t)mocker_us(&s, 1));
	}
	struct latency_step probe = {.prefill = 3000};
	double truth = mocker_us(&probe, 1);
	assert_true(fabs(latency_step_us(&wrong, &probe) - truth) < 0.3 * truth);
}

static void draining_takes_as_many_steps_as_the_batch_demands(void **state)
{
	(void)state;
	struct latency m;
	struct rng r;
	const struct latency_step alone = {0};

	rng_init(&r, 5);
	latency_init(&m, CAPACITY);
	for (int i = 0; i < 1500; i++) {
		struct latency_step s = random_step(&r);
		latency_learn(&m, &s, (uint64_t)mocker_us(&s, 1));
	}
	const struct latency_step full = {.prefill = 8192}, rest = {.prefill = 616};
	double want = mocker_us(&full, 1) * 2 + mocker_us(&rest, 1);
	assert_true(fabs(latency_drain_us(&m, 17000, &alone, 8192) - want) < 0.1 * want);
	assert_true(latency_drain_us(&m, 0, &alone, 8192) == 0);
	uint64_t before = 0;
	for (uint64_t n = 1; n < 100000; n += 777) { /* never shorter for more */
		uint64_t us = (uint64_t)latency_drain_us(&m, n, &alone, 8192);
		assert_true(us + 1 >= before);
		before = us;
	}
}

static void machines_of_one_kind_differ_by_their_speed(void **state)
{
	(void)state;
	static const double slow[3] = {1, 2, 4};
	struct latency m[3], fleet = {0};
	double speed[3] = {1, 1, 1};
	struct rng r;

	rng_init(&r, 9);
	for (int k = 0; k < 3; k++) {
		latency_init(&m[k], CAPACITY);
		/* The last has seen little. */
		for (int i = 0; i < (k == 2 ? 40 : 600); i++) {
			struct latency_step s = random_step(&r);
			latency_learn(&m[k], &s, (uint64_t)mocker_us(&s, slow[k]));
		}
	}
	for (int round = 0; round < 20; round++) {
		latency_gather_begin(&fleet, &m[0]);
		for (int k = 0; k < 3; k++)
			latency_gather(&fleet, &m[k], speed[k]);
		latency_gather_end(&fleet);
		for (int k = 0; k < 3; k++)
			speed[k] = latency_speed(&m[k], &fleet);
	}
	assert_true(fabs(speed[1] / speed[0] - 2) < 0.2);
	assert_true(fabs(speed[2] / speed[0] - 4) < 0.4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_timing_of_dynamos_mocker_is_found),
		cmocka_unit_test(outliers_do_not_bend_it_and_a_new_speed_does),
		cmocka_unit_test(ten_thousand_equal_steps_do_not_make_it_burst),
		cmocka_unit_test(nothing_is_ever_negative_or_not_a_number),
		cmocka_unit_test(a_prior_three_times_wrong_is_forgotten_in_a_few_steps),
		cmocka_unit_test(draining_takes_as_many_steps_as_the_batch_demands),
		cmocka_unit_test(machines_of_one_kind_differ_by_their_speed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
