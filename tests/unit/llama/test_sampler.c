#include "../lib/cmocka_all.h"
#include "base/rng.h"
#include "llama/row.h"
#include "oracle.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { VOCAB = 300, DRAWS = 20000 };

static const struct ll_sampling plain = {.temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1};

static struct ll_sampler *sampler(uint32_t vocab)
{
	struct ll_sampler *s = NULL;
	assert_int_equal(ll_sampler_create(&s, vocab, NULL), 0);
	return s;
}

static void fill_logits(struct rng *r, float *logits, uint32_t n, double spread)
{
	for (uint32_t i = 0; i < n; i++)
		logits[i] = (float)(spread * (rng_unit(r) + rng_unit(r) + rng_unit(r) - 1.5));
}

/* Draw many times: each token's share lies within five standard deviations of its probability, and one that cannot be drawn
 * never is. */
static void expect_same_distribution(
	float *logits, const struct ll_sampling *p, const uint32_t *history, uint32_t history_len)
{
	float want[VOCAB];
	uint32_t drawn[VOCAB] = {0};
	struct ll_sampler *s = sampler(VOCAB);
	oracle_probabilities(logits, VOCAB, p, history, history_len, want);
	for (uint32_t i = 0; i < DRAWS; i++) {
		struct ll_draw_in in = {.logits = logits,
			.sampling = p,
			.history = history,
			.history_len = history_len,
			.key = rng_keyed_u64(42, i)};
		struct ll_draw got;
		ll_sampler_draw(s, &in, &got);
		assert_in_range(got.token, 0, VOCAB - 1);
		drawn[got.token]++;
	}
	for (uint32_t i = 0; i < VOCAB; i++) {
		double expected = (double)want[i] * DRAWS, off = fabs(drawn[i] - expected);
		if (off > 5 * sqrt(expected * (1 - (double)want[i])) + (expected > 1e-3 ? 3 : 0))
			fail_msg("token %u drawn %u times, llama.cpp expects %g (top-k %u, top-p %g, min-p %g, typical "
				 "%g, "
				 "temperature %g)",
				i, drawn[i], expected, p->top_k, (double)p->top_p, (double)p->min_p,
				(double)p->typical_p, (double)p->temperature);
	}
	ll_sampler_destroy(s);
}

static void distributions_equal_llama_cpps(void **state)
{
	(void)state;
	struct rng r;
	rng_init(&r, 11);
	for (int round = 0; round < 60; round++) {
		float logits[VOCAB], bias_values[2] = {3, -100};
		uint32_t history[50], bias_tokens[2], banned[1];
		fill_logits(&r, logits, VOCAB, 8);
		for (uint32_t i = 0; i < ARRAY_LEN(history); i++)
			history[i] = (uint32_t)rng_below(&r, 20);
		bias_tokens[0] = (uint32_t)rng_below(&r, VOCAB);
		bias_tokens[1] = (bias_tokens[0] + 1) % VOCAB;
		banned[0] = (bias_tokens[0] + 2) % VOCAB;
		struct ll_sampling p = plain;
		p.temperature = 0.3f + (float)rng_unit(&r);
		p.top_k = round & 1 ? 1 + (uint32_t)rng_below(&r, 60) : 0;
		p.top_p = round & 2 ? 0.3f + 0.7f * (float)rng_unit(&r) : 1;
		p.min_p = round & 4 ? 0.2f * (float)rng_unit(&r) : 0;
		/* With a probability of 0 llama.cpp's entropy is NaN: not a reference for bans and typical together. */
		p.typical_p = (round & 40) == 8 ? 0.3f + 0.6f * (float)rng_unit(&r) : 1;
		if (round & 16) {
			p.repetition_penalty = 1.3f;
			p.presence_penalty = 0.4f;
			p.frequency_penalty = 0.2f;
			p.penalty_last_n = round & 1 ? 10 : UINT32_MAX;
		}
		if (round & 32) {
			p.bias_tokens = bias_tokens;
			p.bias_values = bias_values;
			p.bias_count = 2;
			p.banned = banned;
			p.banned_count = 1;
		}
		expect_same_distribution(logits, &p, history, ARRAY_LEN(history));
	}
}

static struct ll_draw draw(float *logits, uint32_t n, const struct ll_sampling *p, uint64_t key)
{
	struct ll_sampler *s = sampler(n);
	struct ll_draw_in in = {.logits = logits, .sampling = p, .key = key, .logprobs = true, .top = 3};
	struct ll_draw ret;
	ll_sampler_draw(s, &in, &ret);
	ll_sampler_destroy(s);
	return ret;
}

/* Counted token by token: repetition looks at all of the window, presence and frequency at what was generated in it. */
static uint32_t best_with_penalties(const float *logits, const struct ll_draw_in *in)
{
	const struct ll_sampling *p = in->sampling;
	uint32_t begin = in->history_len - MIN(in->history_len, p->penalty_last_n), best = 0;
	float best_logit = -INFINITY;
	for (uint32_t id = 0; id < VOCAB; id++) {
		uint32_t there = 0, generated = 0;
		for (uint32_t i = begin; i < in->history_len; i++) {
			there += in->history[i] == id;
			generated += in->history[i] == id && i >= in->prompt_len;
		}
		float x = logits[id];
		if (there)
			x = x > 0 ? x / p->repetition_penalty : x * p->repetition_penalty;
		if (generated)
			x -= p->presence_penalty + (float)generated * p->frequency_penalty;
		if (x > best_logit) {
			best = id;
			best_logit = x;
		}
	}
	return best;
}

static void presence_and_frequency_count_what_was_generated_only(void **state)
{
	(void)state;
	struct rng r;
	rng_init(&r, 5);
	struct ll_sampler *s = sampler(VOCAB);
	uint32_t told_apart = 0;
	for (int round = 0; round < 2000; round++) {
		float logits[VOCAB];
		uint32_t history[3 * VOCAB]; /* longer than the vocabulary: nothing of it is forgotten */
		fill_logits(&r, logits, VOCAB, 3);
		struct ll_sampling p = plain;
		p.temperature = 0;
		p.presence_penalty = (float)rng_below(&r, 5) - 2;
		p.frequency_penalty = (float)rng_below(&r, 5) * 0.3f - 0.6f;
		p.repetition_penalty = round & 1 ? 1 : 0.7f + (float)rng_unit(&r);
		p.penalty_last_n = round & 2 ? UINT32_MAX : (uint32_t)rng_below(&r, ARRAY_LEN(history));
		struct ll_draw_in in = {.logits = logits,
			.sampling = &p,
			.history = history,
			.history_len = 1 + (uint32_t)rng_below(&r, ARRAY_LEN(history)),
			.key = 1};
		for (uint32_t i = 0; i < in.history_len; i++)
			history[i] = (uint32_t)rng_below(&r, VOCAB + 2); /* an id outside changes nothing */
		in.prompt_len = (uint32_t)rng_below(&r, in.history_len + 1);
		struct ll_draw got;
		ll_sampler_draw(s, &in, &got);
		assert_int_equal(got.token, best_with_penalties(logits, &in));
		struct ll_draw_in whole = in;
		whole.prompt_len = 0;
		told_apart += got.token != best_with_penalties(logits, &whole);
	}
	assert_true(told_apart > 100);
	ll_sampler_destroy(s);
}

static void greedy_takes_the_first_of_equals(void **state)
{
	(void)state;
	float logits[] = {1, 5, 2, 5, NAN};
	struct ll_sampling p = plain;
	p.temperature = 0;
	assert_int_equal(draw(logits, 5, &p, 9).token, 1);
	assert_true(draw(logits, 5, &p, 0).margin <= 0);
	const uint32_t banned[] = {1};
	p.banned = banned;
	p.banned_count = 1;
	assert_int_equal(draw(logits, 5, &p, 0).token, 3);
	assert_true(fabsf(draw(logits, 5, &p, 0).margin - 3) < 1e-6f);
}

/* The likeliest, its first place and the second, the long way. */
static struct row_top look_at_each(const float *x, uint32_t n)
{
	struct row_top t = {-INFINITY, -INFINITY, 0};
	for (uint32_t i = 0; i < n; i++)
		if (x[i] > t.best)
			t.best = x[t.id = i];
	for (uint32_t i = 0; i < n; i++)
		if (i != t.id && x[i] > t.second)
			t.second = x[i];
	return t;
}

/* NaN, infinities, many ties, the best anywhere. */
static void fill_with_anything(struct rng *r, float *x, uint32_t n)
{
	const float odd[] = {NAN, -INFINITY, INFINITY, 0, -0.0f};
	uint64_t steps = 1 + rng_below(r, 1000), odds = rng_below(r, 4) ? n + 1 : 1 + rng_below(r, 3);
	for (uint32_t i = 0; i < n; i++) {
		x[i] = (float)rng_below(r, steps) - 500;
		if (rng_below(r, odds) == 0)
			x[i] = odd[rng_below(r, steps == 1 ? 2 : ARRAY_LEN(odd))];
	}
}

static void one_pass_finds_what_looking_at_each_does(void **state)
{
	(void)state;
	enum { N_MAX = 700 };
	float x[N_MAX];
	struct rng r;
	rng_init(&r, 51);
	for (int round = 0; round < 20000; round++) {
		uint32_t n = 1 + (uint32_t)rng_below(&r, N_MAX);
		fill_with_anything(&r, x, n);
		struct row_top want = look_at_each(x, n), got = row_top(x, n);
		assert_int_equal(got.id, want.id);
		assert_true(got.best == want.best && got.second == want.second && row_max(x, n) == want.best);
	}
}

/* Bans alone leave the caller's row as it was, and draw as from a row that never had the banned tokens. */
static void banned_tokens_are_put_back(void **state)
{
	(void)state;
	enum { N_MAX = 500, BANS_MAX = 100 };
	float x[N_MAX], before[N_MAX], without[N_MAX];
	uint32_t banned[BANS_MAX];
	struct rng r;
	rng_init(&r, 52);
	for (int round = 0; round < 5000; round++) {
		uint32_t n = 1 + (uint32_t)rng_below(&r, N_MAX);
		struct ll_sampling p = plain, bare = plain;
		fill_with_anything(&r, x, n);
		p.temperature = bare.temperature = round & 1 ? 0 : 0.7f;
		p.top_k = bare.top_k = round & 2 ? 20 : 0;
		p.banned = banned;
		p.banned_count = 1 + (uint32_t)rng_below(&r, rng_below(&r, 2) ? 4 : BANS_MAX);
		memcpy(before, x, sizeof *x * n);
		memcpy(without, x, sizeof *x * n);
		for (uint32_t i = 0; i < p.banned_count; i++) {
			/* Some twice, some outside, often the likeliest. */
			banned[i] = rng_below(&r, 3) ? (uint32_t)rng_below(&r, n + 2) : look_at_each(x, n).id;
			if (banned[i] < n)
				without[banned[i]] = -INFINITY;
		}
		if (look_at_each(without, n).best == -INFINITY)
			memcpy(without, x, sizeof *x * n);
		struct ll_draw got = draw(x, n, &p, 77), want = draw(without, n, &bare, 77);
		assert_memory_equal(x, before, sizeof *x * n);
		assert_int_equal(got.token, want.token);
		assert_memory_equal(&got.margin, &want.margin, sizeof got.margin);
		assert_memory_equal(got.top_tokens, draw(x, n, &bare, 77).top_tokens, sizeof got.top_tokens);
	}
}

static void logprobs_are_of_the_raw_distribution(void **state)
{
	(void)state;
	float logits[] = {0, logf(2), logf(5)};
	struct ll_sampling p = plain;
	p.temperature = 0.1f;
	p.top_k = 1;
	struct ll_draw got = draw(logits, 3, &p, 5);
	assert_int_equal(got.token, 2);
	assert_true(fabsf(got.logprob - logf(5.0f / 8)) < 1e-5f);
	assert_int_equal(got.top_count, 3);
	assert_int_equal(got.top_tokens[1], 1);
	assert_true(fabsf(got.top_logprobs[2] - logf(1.0f / 8)) < 1e-5f);
}

/* Rounding another way must not change a sampled stream, unless the margin says that it may. */
static void rounding_below_the_margin_changes_no_draw(void **state)
{
	(void)state;
	enum { N = 5000, ROUNDS = 300 };
	const float noise = 1e-4f;
	static float logits[N], rounded[N];
	struct ll_sampler *s = sampler(N);
	struct rng r;
	uint32_t changed = 0;
	rng_init(&r, 21);
	for (int i = 0; i < ROUNDS; i++) {
		struct ll_sampling p = plain;
		p.temperature = 0.5f + (float)rng_unit(&r);
		p.top_k = i & 1 ? 500 : 0;
		fill_logits(&r, logits, N, 4); /* flat: thousands of tokens share the draw */
		for (uint32_t k = 0; k < N; k++)
			rounded[k] = logits[k] + noise * (float)(2 * rng_unit(&r) - 1);
		struct ll_draw_in in = {.logits = logits, .sampling = &p, .key = rng_u64(&r)};
		struct ll_draw a, b;
		ll_sampler_draw(s, &in, &a);
		in.logits = rounded;
		ll_sampler_draw(s, &in, &b);
		changed += a.token != b.token;
		if (a.token != b.token && a.margin > 2 * noise / p.temperature)
			fail_msg("drew %u and %u, margin %g", a.token, b.token, (double)a.margin);
	}
	assert_in_range(changed, 0, 3); /* the chance is about noise itself */
	ll_sampler_destroy(s);
}

static void hostile_input_still_draws_a_token(void **state)
{
	(void)state;
	float logits[64];
	uint32_t banned[64];
	struct ll_sampling p = plain;
	for (uint32_t i = 0; i < 64; i++) {
		logits[i] = i % 3 ? NAN : -INFINITY;
		banned[i] = i;
	}
	assert_in_range(draw(logits, 64, &p, 1).token, 0, 63);
	for (uint32_t i = 0; i < 64; i++)
		logits[i] = (float)i;
	p.temperature = 0.01f;
	p.banned = banned;
	p.banned_count = 64;
	assert_int_equal(draw(logits, 64, &p, 2).token, 63);
	p.banned_count = 0;
	p.top_p = 0;
	assert_int_equal(draw(logits, 64, &p, 3).token, 63);
	const uint32_t far[] = {64, UINT32_MAX};
	const float much[] = {100, 100};
	p.bias_tokens = far;
	p.bias_values = much;
	p.bias_count = 2;
	assert_int_equal(draw(logits, 64, &p, 2).token, 63);
}

/* A whole row takes another path than a list: the same draws, and the same margin. */
static void whole_rows_draw_as_lists_do(void **state)
{
	(void)state;
	enum { N = 50000 };
	struct rng r;
	float *logits = malloc(N * sizeof *logits);
	assert_non_null(logits);
	rng_init(&r, 4);
	struct ll_sampler *s = sampler(N);
	struct ll_sampling row = plain, list = plain;
	list.top_k = N - 1; /* all but the least likely */
	for (int i = 0; i < 60; i++) {
		struct ll_draw a, b;
		struct ll_draw_in in = {.logits = logits, .sampling = &row, .key = rng_u64(&r)};
		fill_logits(&r, logits, N, i % 3 ? 6 : 40);
		ll_sampler_draw(s, &in, &a);
		in.sampling = &list;
		ll_sampler_draw(s, &in, &b);
		assert_int_equal(a.token, b.token);
		assert_true(fabsf(a.margin - b.margin) < 1e-3f || (a.margin > 7 && b.margin > 7));
	}
	ll_sampler_destroy(s);
	free(logits);
}

/* ---- what top-p and typical keep, beside sorting everything ---- */

struct ranked {
	float logit, distance;
	uint32_t id;
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	if (x->logit != y->logit)
		return x->logit > y->logit ? -1 : 1;
	return x->id < y->id ? -1 : 1;
}

/* Leave in kept only what the filter keeps; the others become minus infinity. */
static void keep_by_sorting(const float *logits, uint32_t n, const struct ll_sampling *p, float *kept)
{
	struct ranked *all = calloc(n, sizeof *all);
	bool typical = p->typical_p < 1;
	float best = row_max(logits, n);
	double total = 0, moment = 0, mass = 0;
	assert_non_null(all);
	for (uint32_t i = 0; i < n; i++) {
		double e = (double)row_exp(logits[i] - best);
		total += e;
		moment += e * (double)(logits[i] - best);
	}
	float middle = best + (float)(moment / total);
	for (uint32_t i = 0; i < n; i++)
		all[i] = (struct ranked){logits[i], typical ? fabsf(logits[i] - middle) : 0, i};
	qsort(all, n, sizeof *all, by_rank);
	for (uint32_t i = 0; i < n; i++)
		kept[i] = -INFINITY;
	for (uint32_t i = 0; i < n; i++) {
		kept[all[i].id] = all[i].logit;
		mass += (double)row_exp(all[i].logit - best);
		if (typical ? mass > p->typical_p * total : mass >= p->top_p * total)
			break;
	}
	free(all);
}

/* Equal keys draw alike from the filtered row and from the one that holds nothing else. A high temperature makes all that is
 * kept about equally likely, so that a difference shows. */
static void expect_kept_alike(struct ll_sampler *s, float *logits, uint32_t n, struct ll_sampling p, uint32_t draws)
{
	float *kept = malloc(n * sizeof *kept);
	struct ll_sampling bare = plain;
	assert_non_null(kept);
	keep_by_sorting(logits, n, &p, kept);
	bare.temperature = p.temperature = 50;
	for (uint32_t i = 0; i < draws; i++) {
		struct ll_draw a, b;
		struct ll_draw_in in = {.logits = logits, .sampling = &p, .key = rng_keyed_u64(n, i)};
		ll_sampler_draw(s, &in, &a);
		in.logits = kept;
		in.sampling = &bare;
		ll_sampler_draw(s, &in, &b);
		if (a.token != b.token)
			fail_msg("draw %u of %u: token %u (%g), sorting keeps %u (%g); top-p %g, typical %g, top-k %u",
				i, n, a.token, (double)logits[a.token], b.token, (double)logits[b.token],
				(double)p.top_p, (double)p.typical_p, p.top_k);
	}
	free(kept);
}

static void top_p_and_typical_keep_what_sorting_would_keep(void **state)
{
	(void)state;
	enum { N_MAX = 30000, ROUNDS = 600 };
	static float logits[N_MAX + 1];
	struct rng r;
	rng_init(&r, 31);
	for (int round = 0; round < ROUNDS; round++) {
		bool large = round % 20 == 0;
		uint32_t n = large ? N_MAX : 2 + (uint32_t)rng_below(&r, 300);
		fill_logits(&r, logits, n, (double[]){0.001, 0.5, 3, 12, 60}[rng_below(&r, 5)]);
		for (uint32_t i = 0; round % 3 == 0 && i < n; i++)
			logits[i] = floorf(logits[i] * 2) / 2; /* many ties */
		logits[n] = -300; /* weighs nothing: top-k n leaves it out, and the same as a list */
		struct ll_sampler *s = sampler(n + 1);
		struct ll_sampling p = plain;
		float share = round % 4 ? (float)rng_unit(&r) : 1 - 1e-4f * (float)rng_unit(&r);
		*(round & 1 ? &p.top_p : &p.typical_p) = share;
		expect_kept_alike(s, logits, n + 1, p, large ? 20 : 60);
		p.top_k = n;
		expect_kept_alike(s, logits, n + 1, p, large ? 20 : 60);
		ll_sampler_destroy(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distributions_equal_llama_cpps),
		cmocka_unit_test(presence_and_frequency_count_what_was_generated_only),
		cmocka_unit_test(greedy_takes_the_first_of_equals),
		cmocka_unit_test(one_pass_finds_what_looking_at_each_does),
		cmocka_unit_test(banned_tokens_are_put_back),
		cmocka_unit_test(logprobs_are_of_the_raw_distribution),
		cmocka_unit_test(rounding_below_the_margin_changes_no_draw),
		cmocka_unit_test(hostile_input_still_draws_a_token),
		cmocka_unit_test(whole_rows_draw_as_lists_do),
		cmocka_unit_test(top_p_and_typical_keep_what_sorting_would_keep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
