#include "../lib/cmocka_all.h"
#include "base/compiler.h"
#include "base/rng.h"
#include "llama/draws.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 24, HISTORY = 200 };

/* A step: rows of logits of their own, and what to draw from them. */
struct step {
	uint32_t vocab, count;
	float *logits, *before;
	struct ll_sampling sampling[ROWS_MAX];
	struct ll_draw_in in[ROWS_MAX];
	uint32_t history[HISTORY], few[4];
	float bias[2];
};

static void step_init(struct step *s, uint32_t vocab)
{
	memset(s, 0, sizeof *s);
	s->vocab = vocab;
	s->logits = malloc(sizeof *s->logits * vocab * ROWS_MAX);
	s->before = malloc(sizeof *s->before * vocab * ROWS_MAX);
	assert_non_null(s->logits);
	assert_non_null(s->before);
}

static void step_done(struct step *s)
{
	free(s->logits);
	free(s->before);
}

static struct ll_sampling random_sampling(const struct step *s, struct rng *r)
{
	struct ll_sampling p = {.top_p = 1, .typical_p = 1, .repetition_penalty = 1};
	uint64_t bits = rng_u64(r);
	if (bits & 3)
		p.temperature = 0.3f + 2 * (float)rng_unit(r);
	p.top_k = bits & 4 ? 1 + (uint32_t)rng_below(r, 100) : 0;
	p.top_p = bits & 8 ? (float)rng_unit(r) : 1;
	p.min_p = bits & 16 ? 0.1f * (float)rng_unit(r) : 0;
	p.typical_p = (bits & 96) == 96 ? 0.5f + 0.5f * (float)rng_unit(r) : 1;
	p.repetition_penalty = (bits & 0x180) == 0x180 ? 1.2f : 1;
	p.penalty_last_n = UINT32_MAX;
	p.banned = s->few;
	p.banned_count = bits & 0x200 ? ARRAY_LEN(s->few) : 0;
	p.bias_tokens = s->few;
	p.bias_values = s->bias;
	p.bias_count = (bits & 0xc00) == 0xc00 ? ARRAY_LEN(s->bias) : 0;
	return p;
}

static void step_fill(struct step *s, struct rng *r, uint32_t count)
{
	s->count = count;
	for (uint32_t i = 0; i < HISTORY; i++)
		s->history[i] = (uint32_t)rng_below(r, s->vocab);
	for (uint32_t i = 0; i < ARRAY_LEN(s->few); i++)
		s->few[i] = (uint32_t)rng_below(r, s->vocab);
	s->bias[0] = 9;
	s->bias[1] = -9;
	for (uint32_t i = 0; i < count; i++) {
		float *row = s->logits + (size_t)i * s->vocab;
		for (uint32_t t = 0; t < s->vocab; t++)
			row[t] = 12 * (float)rng_unit(r);
		row[s->few[0]] = 13; /* what is banned would often be drawn */
		s->sampling[i] = random_sampling(s, r);
		s->in[i] = (struct ll_draw_in){.logits = row,
			.sampling = &s->sampling[i],
			.history = s->history,
			.history_len = HISTORY,
			.key = rng_u64(r),
			.logprobs = rng_below(r, 3) == 0,
			.top = (uint32_t)rng_below(r, LL_TOP_MAX + 1)};
	}
	memcpy(s->before, s->logits, sizeof *s->logits * s->vocab * count);
}

static struct ll_draws *draws(uint32_t vocab, uint32_t threads)
{
	struct ll_draws *d = NULL;
	assert_int_equal(ll_draws_create(&d, vocab, threads, NULL, 0, NULL), 0);
	return d;
}

static void expect_as_one_by_one(struct ll_draws *d, struct ll_sampler *one, struct step *s)
{
	struct ll_draw got[ROWS_MAX], want[ROWS_MAX];
	size_t bytes = sizeof *s->logits * s->vocab * s->count;
	memset(got, 0xa5, sizeof got);
	ll_draws_run(d, s->in, got, s->count);
	assert_memory_equal(s->logits, s->before, bytes);
	for (uint32_t i = 0; i < s->count; i++)
		ll_sampler_draw(one, &s->in[i], &want[i]);
	assert_memory_equal(got, want, sizeof *got * s->count);
}

static void threads_draw_what_one_would(void **state)
{
	(void)state;
	const uint32_t threads[] = {1, 2, 3, LL_DRAWS_THREADS_MAX, 100};
	struct step s;
	struct rng r;
	struct ll_sampler *one = NULL;
	rng_init(&r, 7);
	step_init(&s, 60000);
	assert_int_equal(ll_sampler_create(&one, s.vocab, NULL), 0);
	for (uint32_t k = 0; k < ARRAY_LEN(threads); k++) {
		struct ll_draws *d = draws(s.vocab, threads[k]);
		for (int i = 0; i < 6; i++) {
			step_fill(&s, &r, 1 + (uint32_t)rng_below(&r, ROWS_MAX));
			expect_as_one_by_one(d, one, &s);
		}
		ll_draws_destroy(d);
	}
	ll_sampler_destroy(one);
	step_done(&s);
}

/* Short steps in quick succession: helpers come late, work is taken back, the next step begins at once. */
static void many_steps_in_a_row_mix_up_no_rows(void **state)
{
	(void)state;
	enum { STEPS = 3000 };
	struct step s;
	struct rng r;
	struct ll_draw want[ROWS_MAX], got[ROWS_MAX];
	rng_init(&r, 8);
	step_init(&s, 150000);
	step_fill(&s, &r, 12);
	struct ll_draws *one = draws(s.vocab, 1), *d = draws(s.vocab, 6);
	for (uint32_t i = 0; i < s.count; i++) {
		s.sampling[i].temperature = 0;
		s.in[i].logprobs = false;
		s.logits[(size_t)i * s.vocab + 1000 * (i + 1)] = 20;
	}
	ll_draws_run(one, s.in, want, s.count);
	for (int step = 0; step < STEPS; step++) {
		uint32_t count = 1 + (uint32_t)rng_below(&r, s.count),
			 first = (uint32_t)rng_below(&r, s.count + 1 - count);
		memset(got, 0, sizeof got);
		ll_draws_run(d, s.in + first, got, count);
		assert_memory_equal(got, want + first, sizeof *got * count);
	}
	ll_draws_destroy(one);
	ll_draws_destroy(d);
	step_done(&s);
}

static void threads_are_woken_only_for_what_repays_them(void **state)
{
	(void)state;
	struct ll_draws *large = draws(150000, 8), *small = draws(1000, 8), *lone = draws(150000, 1);
	const struct ll_sampling greedy = {.top_p = 1}, drawn = {.temperature = 1, .top_p = 1};
	struct ll_draw_in in[64] = {{0}};
	for (uint32_t i = 0; i < ARRAY_LEN(in); i++)
		in[i].sampling = &greedy;
	assert_int_equal(ll_draws_threads(large, in, 1), 1);
	assert_int_equal(ll_draws_threads(large, in, 3), 1);
	assert_int_equal(ll_draws_threads(large, in, 4), 2);
	assert_int_equal(ll_draws_threads(large, in, 64), 8);
	assert_int_equal(ll_draws_threads(small, in, 64), 1);
	assert_int_equal(ll_draws_threads(lone, in, 64), 1);
	in[0].logprobs = true;
	in[1].sampling = &drawn;
	assert_int_equal(ll_draws_threads(large, in, 1), 1);
	assert_int_equal(ll_draws_threads(large, in, 2), 2);
	ll_draws_destroy(large);
	ll_draws_destroy(small);
	ll_draws_destroy(lone);
}

static void idle_threads_end_at_once(void **state)
{
	(void)state;
	bool cpus[3] = {true, true, true};
	for (int i = 0; i < 100; i++) {
		struct ll_draws *d = NULL;
		assert_int_equal(ll_draws_create(&d, 100, 8, i & 1 ? cpus : NULL, ARRAY_LEN(cpus), NULL), 0);
		ll_draws_destroy(d);
	}
	ll_draws_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_draw_what_one_would),
		cmocka_unit_test(many_steps_in_a_row_mix_up_no_rows),
		cmocka_unit_test(threads_are_woken_only_for_what_repays_them),
		cmocka_unit_test(idle_threads_end_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
