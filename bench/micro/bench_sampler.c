/* bench_sampler.c - one draw from a vocabulary of 150,000, by setting. "sharp": a few hundred tokens share the mass, as a
 * model's rows mostly are; "flat": a hundred thousand do, as at a high temperature or with an undecided model. */
#include "base/compiler.h"
#include "base/rng.h"
#include "bench.h"
#include "llama/draws.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VOCAB = 150000 };

static float logits[VOCAB];
static const uint32_t ends[] = {VOCAB - 300, VOCAB - 299, VOCAB - 1}; /* a model's end tokens: ignore_eos bans them */

static void fill(double sharpness, double floor)
{
	struct rng r;

	/* Zipf's law to the power of sharpness, in random order by the noise, above a floor of noise. */
	rng_init(&r, 3);
	for (uint32_t i = 0; i < VOCAB; i++)
		logits[i] = (float)(-sharpness * log(1 + rng_unit(&r) * VOCAB) + floor * rng_unit(&r));
}

static void run(struct ll_sampler *s, const char *row)
{
	static const struct {
		const char *name;
		struct ll_sampling p;
	} cases[] = {
		{"greedy", {.top_p = 1, .typical_p = 1, .repetition_penalty = 1}},
		{"greedy, end tokens banned", {.top_p = 1,
						      .typical_p = 1,
						      .repetition_penalty = 1,
						      .banned = ends,
						      .banned_count = ARRAY_LEN(ends)}},
		{"temperature alone", {.temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1}},
		{"top-k 40, top-p 0.95",
			{.temperature = 1, .top_k = 40, .top_p = .95f, .typical_p = 1, .repetition_penalty = 1}},
		{"top-p 0.95", {.temperature = 1, .top_p = .95f, .typical_p = 1, .repetition_penalty = 1}},
		{"top-p 0.5", {.temperature = 1, .top_p = .5f, .typical_p = 1, .repetition_penalty = 1}},
		{"min-p 0.05", {.temperature = 1, .min_p = .05f, .top_p = 1, .typical_p = 1, .repetition_penalty = 1}},
		{"typical 0.95", {.temperature = 1, .top_p = 1, .typical_p = .95f, .repetition_penalty = 1}},
		{"typical 0.5", {.temperature = 1, .top_p = 1, .typical_p = .5f, .repetition_penalty = 1}},
		{"typical 0.95, top-p 0.9",
			{.temperature = 1, .top_p = .9f, .typical_p = .95f, .repetition_penalty = 1}},
	};
	uint64_t key = 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[64];
		struct ll_draw drawn;
		snprintf(name, sizeof name, "%s row, %s", row, cases[i].name);
		BENCH(name, 1, {
			struct ll_draw_in in = {
				.logits = logits, .sampling = &cases[i].p, .key = key += 0x9e3779b97f4a7c15u};
			ll_sampler_draw(s, &in, &drawn);
			bench_use(&drawn);
		});
	}
}

/* ---- a step of many rows ---- */

enum { ROWS = 32 };

static uint64_t wall_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The best of 100 steps, by the wall: threads that wait use no CPU. */
static double step_ns(struct ll_draws *d, const struct ll_draw_in *in, uint32_t count)
{
	struct ll_draw drawn[ROWS];
	double best = INFINITY;
	for (int i = 0; i < 100; i++) {
		uint64_t began = wall_ns();
		ll_draws_run(d, in, drawn, count);
		best = fmin(best, (double)(wall_ns() - began));
		bench_use(drawn);
	}
	return best;
}

/* The helpers run where the caller does not: on a busy machine the kernel often leaves all of them on one core. */
static int create_apart(struct ll_draws **ret, uint32_t threads)
{
	bool others[CPU_SETSIZE];
	cpu_set_t all, here;

	sched_getaffinity(0, sizeof all, &all);
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	for (int i = 0; i < CPU_SETSIZE; i++)
		others[i] = CPU_ISSET(i, &all) && !CPU_ISSET(i, &here);
	sched_setaffinity(0, sizeof here, &here);
	return ll_draws_create(ret, VOCAB, threads, others, CPU_SETSIZE, NULL);
}

static void run_steps(uint32_t threads, float *rows)
{
	static const struct ll_sampling greedy = {.top_p = 1, .typical_p = 1, .repetition_penalty = 1},
					drawn = {.temperature = 1,
						.top_p = .95f,
						.typical_p = 1,
						.repetition_penalty = 1};
	static const uint32_t counts[] = {1, 2, 4, ROWS};
	struct ll_draw_in in[ROWS];
	struct ll_draws *d;
	char name[64];

	if (create_apart(&d, threads) < 0)
		return;
	for (size_t c = 0; c < 2 * ARRAY_LEN(counts); c++) {
		for (uint32_t i = 0; i < ROWS; i++)
			in[i] = (struct ll_draw_in){
				.logits = rows + (size_t)i * VOCAB, .sampling = c & 1 ? &drawn : &greedy, .key = i};
		uint32_t count = counts[c / 2];
		snprintf(name, sizeof name, "step of %u rows, %s, %u thread%s", count, c & 1 ? "top-p 0.95" : "greedy",
			threads, threads == 1 ? "" : "s");
		bench_print(name, step_ns(d, in, count));
	}
	ll_draws_destroy(d);
}

static void many_rows(void)
{
	uint32_t cores = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t all;
	float *rows = malloc(sizeof *rows * ROWS * VOCAB);

	if (!rows)
		return;
	for (uint32_t i = 0; i < ROWS; i++)
		memcpy(rows + (size_t)i * VOCAB, logits, sizeof logits);
	sched_getaffinity(0, sizeof all, &all);
	run_steps(1, rows);
	sched_setaffinity(0, sizeof all, &all);
	run_steps(MIN(cores, (uint32_t)LL_DRAWS_THREADS_MAX), rows);
	sched_setaffinity(0, sizeof all, &all);
	free(rows);
}

int main(void)
{
	struct ll_sampler *s;
	struct err err;

	if (ll_sampler_create(&s, VOCAB, &err) < 0) {
		fprintf(stderr, "bench_sampler: %s\n", err.msg);
		return 1;
	}
	printf("sampler, a vocabulary of %d\n", VOCAB);
	fill(1.6, 1);
	run(s, "sharp");
	many_rows();
	fill(0.2, 2);
	run(s, "flat");
	ll_sampler_destroy(s);
	return 0;
}
