/* bench_sampler.c - one draw from a vocabulary of 150,000, by setting. "sharp": a few hundred tokens share the mass, as a
 * model's rows mostly are; "flat": a hundred thousand do, as at a high temperature or with an undecided model. */
#include "base/compiler.h"
#include "base/rng.h"
#include "bench.h"
#include "llama/sampler.h"

#include <math.h>
#include <stdlib.h>

enum { VOCAB = 150000 };

static float logits[VOCAB];

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
	fill(0.2, 2);
	run(s, "flat");
	ll_sampler_destroy(s);
	return 0;
}
