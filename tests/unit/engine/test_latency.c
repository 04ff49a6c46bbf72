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

/* One llama worker on a CPU, recorded: microseconds, prefill tokens, decodes, cells used. All its steps with prefill, and every
 * fifth without. */
static const uint32_t recorded[][4] = {
	{645211, 81, 0, 81},
	{387904, 61, 0, 142},
	{291694, 66, 0, 208},
	{329780, 76, 0, 284},
	{315405, 64, 0, 348},
	{8263, 0, 1, 349},
	{7791, 0, 1, 354},
	{7627, 0, 1, 359},
	{268411, 52, 0, 415},
	{8481, 0, 1, 416},
	{7952, 0, 1, 421},
	{8077, 0, 1, 426},
	{173680, 35, 0, 465},
	{8212, 0, 1, 466},
	{7608, 0, 1, 471},
	{7630, 0, 1, 476},
	{202502, 36, 0, 516},
	{8503, 0, 1, 517},
	{8172, 0, 1, 522},
	{7952, 0, 1, 527},
	{362607, 88, 0, 619},
	{406275, 96, 0, 715},
	{448004, 101, 0, 816},
	{278094, 52, 0, 868},
	{9019, 0, 1, 869},
	{7886, 0, 1, 874},
	{8322, 0, 1, 879},
	{257382, 51, 0, 934},
	{8494, 0, 1, 935},
	{7634, 0, 1, 940},
	{7779, 0, 1, 945},
	{215418, 43, 0, 992},
	{8436, 0, 1, 993},
	{85198, 19, 1, 1013},
	{86224, 19, 1, 1033},
	{86733, 19, 1, 1053},
	{86994, 19, 1, 1073},
	{88252, 19, 1, 1093},
	{89377, 19, 1, 1113},
	{90526, 19, 1, 1133},
	{91545, 19, 1, 1153},
	{93309, 19, 1, 1173},
	{93872, 19, 1, 1193},
	{94363, 19, 1, 1213},
	{95520, 19, 1, 1233},
	{97723, 19, 1, 1253},
	{99138, 19, 1, 1273},
	{362782, 78, 0, 1351},
	{128273, 19, 1, 1372},
	{126490, 18, 1, 1391},
	{19656, 0, 2, 1399},
	{19253, 0, 2, 1409},
	{8396, 0, 1, 1417},
	{419923, 103, 0, 1521},
	{466379, 107, 0, 1628},
	{495376, 109, 0, 1737},
	{78725, 15, 0, 1752},
	{7719, 0, 1, 1756},
	{7979, 0, 1, 1761},
	{7878, 0, 1, 1766},
	{172622, 32, 0, 1799},
	{7808, 0, 1, 1803},
	{7704, 0, 1, 1808},
	{7693, 0, 1, 1813},
	{446175, 108, 0, 1922},
	{486632, 110, 0, 2032},
	{515229, 110, 0, 2142},
	{90664, 17, 0, 2159},
	{7256, 0, 1, 2163},
	{7351, 0, 1, 2168},
	{7502, 0, 1, 2173},
	{260210, 50, 0, 2224},
	{8024, 0, 1, 2228},
	{8151, 0, 1, 2233},
	{8446, 0, 1, 2238},
	{150658, 30, 0, 2269},
	{107267, 20, 1, 2291},
	{109308, 20, 1, 2312},
	{40061, 5, 1, 2318},
	{18427, 0, 2, 2324},
	{18502, 0, 2, 2334},
	{7546, 0, 1, 2342},
	{279457, 51, 0, 2395},
	{8495, 0, 1, 2398},
	{110194, 19, 1, 2420},
	{110820, 19, 1, 2440},
	{42420, 5, 1, 2446},
	{19681, 0, 2, 2452},
	{8504, 0, 1, 2461},
	{7934, 0, 1, 2466},
	{183483, 36, 0, 2504},
	{7814, 0, 1, 2507},
	{7725, 0, 1, 2512},
	{7920, 0, 1, 2517},
	{265593, 50, 0, 2468},
	{8150, 0, 1, 2471},
	{110764, 19, 1, 2491},
	{91132, 15, 1, 2507},
	{19752, 0, 2, 2517},
	{19489, 0, 2, 2527},
	{8051, 0, 1, 2532},
	{193735, 36, 0, 2408},
	{8468, 0, 1, 2413},
	{8405, 0, 1, 2418},
	{8423, 0, 1, 2423},
	{232746, 45, 0, 2468},
	{7760, 0, 1, 2473},
	{7570, 0, 1, 2478},
	{7822, 0, 1, 2483},
	{219859, 41, 0, 2524},
	{8154, 0, 1, 2529},
	{8422, 0, 1, 2534},
	{8462, 0, 1, 2539},
	{181519, 35, 0, 2414},
	{7610, 0, 1, 2419},
	{7902, 0, 1, 2424},
	{7857, 0, 1, 2429},
	{435174, 100, 0, 2529},
	{477069, 106, 0, 2486},
	{523113, 107, 0, 2482},
	{139915, 26, 0, 2508},
	{8062, 0, 1, 2513},
	{8585, 0, 1, 2518},
	{9399, 0, 1, 2523},
	{243767, 46, 0, 2451},
	{103555, 19, 1, 2472},
	{71002, 11, 1, 2484},
	{20094, 0, 2, 2492},
	{20063, 0, 2, 2502},
	{105940, 19, 1, 2529},
	{66207, 10, 1, 2540},
	{8465, 0, 1, 2541},
	{8297, 0, 1, 2546},
	{8055, 0, 1, 2551},
	{169610, 32, 0, 2467},
	{9033, 0, 1, 2468},
	{108288, 19, 1, 2490},
	{112878, 19, 1, 2510},
	{19922, 0, 2, 2516},
	{20198, 0, 2, 2526},
	{8212, 0, 1, 2533},
	{197119, 39, 0, 2458},
	{98822, 18, 1, 2478},
	{103739, 18, 1, 2497},
	{35618, 4, 1, 2502},
	{19121, 0, 2, 2506},
	{19277, 0, 2, 2516},
	{8530, 0, 1, 2525},
	{172257, 32, 0, 2560},
	{104258, 18, 1, 2464},
	{98313, 16, 1, 2481},
	{20441, 0, 2, 2483},
	{19891, 0, 2, 2493},
	{19880, 0, 2, 2503},
	{416417, 102, 0, 2497},
	{480632, 109, 0, 2446},
	{508195, 109, 0, 2555},
	{121201, 23, 0, 2418},
	{8826, 0, 1, 2419},
	{8087, 0, 1, 2424},
	{8087, 0, 1, 2429},
	{258876, 44, 0, 2477},
	{8923, 0, 1, 2478},
	{8263, 0, 1, 2483},
	{8254, 0, 1, 2488},
	{455392, 107, 0, 2473},
	{507511, 109, 0, 2422},
	{525936, 108, 0, 2530},
	{131104, 25, 0, 2555},
	{9089, 0, 1, 2556},
	{8671, 0, 1, 2401},
	{8936, 0, 1, 2406},
};

static void the_steps_of_a_recorded_worker_are_predicted(void **state)
{
	(void)state;
	struct latency m;
	double miss = 0;
	uint32_t seen = 0, judged = 0, used = 0;

	latency_init(&m, 8192);
	for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
		const uint32_t *r = recorded[i];
		const struct latency_step s = {.prefill = r[1], .decodes = r[2], .context = r[3], .used = used};
		used = r[3];
		if (r[1] && ++seen > 15) {
			miss += fabs(latency_step_us(&m, &s) - r[0]) / r[0];
			judged++;
		}
		latency_learn(&m, &s, r[0]);
	}
	assert_true(judged > 50);
	assert_true(miss / judged < 0.15);
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
		cmocka_unit_test(the_steps_of_a_recorded_worker_are_predicted),
		cmocka_unit_test(machines_of_one_kind_differ_by_their_speed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
