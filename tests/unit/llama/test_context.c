#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "base/rng.h"
#include "llama/context.h"
#include "llama/vocab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { PROMPT = 24, CELLS = 256 };

static struct ll_model *model;
static uint32_t prompt[PROMPT];

static int load(void **state)
{
	(void)state;
	struct ll_model_params params = {0};
	const char *text = "The quick brown fox jumps over the lazy dog. Then it sleeps under a tree and dreams of big "
			   "green hills.";
	if (ll_model_load(&model, demo_model(), &params, NULL) < 0)
		return -1;
	uint32_t all[100];
	int32_t n = ll_tokenize(ll_model_vocab(model), text, strlen(text), false, false, all, 100, NULL);
	memcpy(prompt, all, sizeof prompt);
	return n >= PROMPT ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	ll_model_destroy(model);
	return 0;
}

static struct ll_context *context(uint32_t cells, bool flash)
{
	struct ll_context *c = NULL;
	struct ll_context_params params = {
		.cells = cells, .batch_tokens_max = 64, .seqs_max = 4, .flash_attention = flash, .threads = 1};
	struct err err = {0};
	if (ll_context_create(&c, model, &params, &err) < 0)
		fail_msg("%s", err.msg);
	return c;
}

static void feed(struct ll_context *c, uint32_t seq, uint32_t begin, uint32_t end, bool want)
{
	struct ll_run run = {seq, begin, end - begin, prompt + begin, want};
	struct err err = {0};
	if (ll_decode(c, &run, 1, &err) < 0)
		fail_msg("%s", err.msg);
}

static uint32_t best(const float *logits)
{
	uint32_t id = 0;
	assert_non_null(logits);
	for (uint32_t i = 1; i < ll_model_facts(model)->vocab; i++)
		if (logits[i] > logits[id])
			id = i;
	return id;
}

/* Greedy continuation of seq, n tokens after the logits of the last decode. */
static void go_on(struct ll_context *c, uint32_t seq, uint32_t n, uint32_t *ret)
{
	for (uint32_t i = 0; i < n; i++) {
		ret[i] = best(ll_logits(c, 0));
		struct ll_run run = {seq, ll_seq_len(c, seq), 1, &ret[i], true};
		assert_int_equal(ll_decode(c, &run, 1, NULL), 0);
	}
}

static void pieces_copies_and_states_go_on_alike(void **state)
{
	(void)state;
	uint32_t whole[6], pieces[6], copied[6], restored[6];
	struct ll_context *c = context(CELLS, true), *other = context(2 * CELLS, true);
	feed(c, 0, 0, PROMPT, true);
	go_on(c, 0, 6, whole);
	feed(c, 1, 0, 7, false);
	assert_null(ll_logits(c, 0));
	feed(c, 1, 7, PROMPT, true);
	go_on(c, 1, 6, pieces);
	assert_memory_equal(whole, pieces, sizeof whole);

	assert_int_equal(ll_seq_copy(c, 1, 2, 0, PROMPT - 1, NULL), 0);
	assert_int_equal(ll_seq_len(c, 2), PROMPT - 1);
	feed(c, 2, PROMPT - 1, PROMPT, true);
	go_on(c, 2, 6, copied);
	assert_memory_equal(whole, copied, sizeof whole);

	assert_int_equal(ll_seq_trim(c, 2, PROMPT - 1, NULL), 0);
	size_t size = ll_state_size(c, 2);
	assert_in_range(size, (PROMPT - 1) * ll_context_facts(c)->state_bytes_token,
		(PROMPT - 1) * ll_context_facts(c)->state_bytes_token + 2048);
	char *blob = malloc(size);
	struct err err = {0};
	assert_int_equal(ll_state_get(c, 2, blob, size - 1, &err), 0);
	assert_int_equal(err.code, -ENOBUFS);
	assert_int_equal(ll_state_get(c, 2, blob, size, NULL), size);
	assert_int_equal(ll_state_set(other, 3, blob, size, NULL), 0);
	assert_int_equal(ll_seq_len(other, 3), PROMPT - 1);
	feed(other, 3, PROMPT - 1, PROMPT, true);
	go_on(other, 3, 6, restored);
	assert_memory_equal(whole, restored, sizeof whole);
	free(blob);
	ll_context_destroy(c);
	ll_context_destroy(other);
}

static void ranges_of_a_state_join_in_another_context(void **state)
{
	(void)state;
	uint32_t whole[4], joined[4];
	struct ll_context *a = context(CELLS, true), *b = context(CELLS, true);
	static char blob[2 << 20];
	feed(a, 0, 0, PROMPT, true);
	for (uint32_t begin = 0; begin < PROMPT - 1; begin += 8) {
		uint32_t end = MIN(begin + 8, (uint32_t)PROMPT - 1);
		assert_int_equal(ll_seq_copy(a, 0, 3, begin, end, NULL), 0);
		size_t n = ll_state_get(a, 3, blob, sizeof blob, NULL);
		assert_true(n > 0);
		assert_int_equal(ll_seq_trim(a, 3, 0, NULL), 0);
		assert_int_equal(ll_state_set(b, 3, blob, n, NULL), 0);
		assert_int_equal(ll_seq_copy(b, 3, 1, begin, end, NULL), 0);
		assert_int_equal(ll_seq_trim(b, 3, 0, NULL), 0);
	}
	assert_int_equal(ll_seq_len(b, 1), PROMPT - 1);
	feed(b, 1, PROMPT - 1, PROMPT, true);
	go_on(b, 1, 4, joined);
	assert_int_equal(ll_seq_trim(a, 0, PROMPT - 1, NULL), 0);
	feed(a, 0, PROMPT - 1, PROMPT, true);
	go_on(a, 0, 4, whole);
	assert_memory_equal(whole, joined, sizeof whole);
	ll_context_destroy(a);
	ll_context_destroy(b);
}

static void expect_refused(struct ll_context *c, const struct ll_run *runs, uint32_t count, const char *words)
{
	struct err err = {0};
	assert_int_equal(ll_decode(c, runs, count, &err), -EINVAL);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
	assert_int_equal(ll_seq_len(c, 0), 8);
}

static void bad_batches_are_refused_before_llama_cpp_asserts(void **state)
{
	(void)state;
	struct ll_context *c = context(CELLS, true);
	uint32_t many[65] = {0}, outside[] = {49152};
	feed(c, 0, 0, 8, false);
	expect_refused(c, &(struct ll_run){4, 0, 1, prompt, true}, 1, "sequence 4 of a batch is not below 4");
	expect_refused(c, &(struct ll_run){UINT32_MAX, 0, 1, prompt, true}, 1, "not below 4");
	expect_refused(c, &(struct ll_run){0, 9, 1, prompt, true}, 1, "holds 8 tokens, a batch continues it at 9");
	expect_refused(c, &(struct ll_run){0, 7, 1, prompt, true}, 1, "continues it at 7");
	expect_refused(c, &(struct ll_run){0, 8, 0, prompt, true}, 1, "a run of 0 tokens");
	expect_refused(c, &(struct ll_run){0, 8, 65, many, true}, 1, "a batch of 65 tokens, 1 to 64");
	expect_refused(c, &(struct ll_run){0, 8, 1, outside, true}, 1, "token 49152 is not in the vocabulary");
	expect_refused(c, NULL, 0, "a batch of 0 tokens");
	struct ll_run twice[] = {{0, 8, 1, prompt, true}, {0, 9, 1, prompt, true}};
	expect_refused(c, twice, 2, "sequence 0 is in a batch twice");
	feed(c, 0, 8, 9, true);
	assert_null(ll_logits(c, 1));
	assert_non_null(ll_logits(c, 0));
	ll_context_destroy(c);
}

static void full_cells_refuse_and_change_nothing(void **state)
{
	(void)state;
	struct ll_context *c = context(CELLS, true);
	uint32_t tokens[64] = {0};
	struct err err = {0};
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t part = 0; part < 2; part++)
			assert_int_equal(ll_decode(c, &(struct ll_run){i, part * 32, 32, tokens, false}, 1, NULL), 0);
	struct ll_run runs[] = {{0, 64, 32, tokens, true}, {3, 0, 33, tokens, true}};
	assert_int_equal(ll_decode(c, &runs[1], 1, NULL), 0);
	assert_int_equal(ll_decode(c, &runs[0], 1, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "no room in the KV cells"));
	assert_int_equal(ll_seq_len(c, 0), 64);
	assert_int_equal(ll_seq_trim(c, 3, 0, NULL), 0);
	assert_int_equal(ll_decode(c, &runs[0], 1, NULL), 0);
	ll_context_destroy(c);
}

static void sequence_calls_check_their_ids_and_ranges(void **state)
{
	(void)state;
	struct ll_context *c = context(CELLS, true);
	struct err err = {0};
	feed(c, 0, 0, 8, false);
	assert_int_equal(ll_seq_copy(c, 0, 4, 0, 8, &err), -EINVAL);
	assert_int_equal(ll_seq_copy(c, 0, 0, 0, 8, &err), -EINVAL);
	assert_int_equal(ll_seq_copy(c, 0, 1, 0, 9, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "which holds 8"));
	assert_int_equal(ll_seq_trim(c, 4, 0, &err), -EINVAL);
	assert_int_equal(ll_seq_len(c, 4), 0);
	assert_int_equal(ll_state_set(c, 0, "x", 1, &err), -EINVAL);
	assert_int_equal(ll_state_set(c, 1, "not a state at all, for sure", 28, &err), -EINVAL);
	assert_int_equal(ll_seq_len(c, 1), 0);
	ll_context_destroy(c);
}

static void a_state_of_another_layout_is_refused(void **state)
{
	(void)state;
	struct ll_context *a = context(CELLS, true), *b = context(CELLS, false);
	static char blob[2 << 20];
	struct err err = {0};
	feed(a, 0, 0, 8, false);
	size_t n = ll_state_get(a, 0, blob, sizeof blob, NULL);
	assert_int_equal(ll_state_set(b, 0, blob, n, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "V transposition"));
	assert_int_equal(ll_seq_len(b, 0), 0);
	assert_int_equal(ll_state_set(a, 1, blob, n / 2, &err), -EINVAL);
	assert_int_equal(ll_seq_len(a, 1), 0);
	assert_string_not_equal(ll_context_facts(a)->layout, ll_context_facts(b)->layout);
	ll_context_destroy(a);
	ll_context_destroy(b);
}

static void an_abort_ends_the_decode(void **state)
{
	(void)state;
	struct ll_context *c = context(CELLS, true);
	struct ll_run run = {0, 0, PROMPT, prompt, true};
	ll_context_abort(c);
	assert_int_equal(ll_decode(c, &run, 1, NULL), -ECANCELED);
	assert_null(ll_logits(c, 0));
	assert_int_equal(ll_seq_trim(c, 0, 0, NULL), 0);
	assert_int_equal(ll_decode(c, &run, 1, NULL), 0);
	ll_context_destroy(c);
}

static void what_does_not_fit_is_told_before_it_is_allocated(void **state)
{
	(void)state;
	struct ll_context *c = NULL;
	struct err err = {0};
	struct ll_context_params params = {.cells = 2u << 30, .seqs_max = 4, .flash_attention = true};
	assert_int_equal(ll_context_create(&c, model, &params, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "no room for the KV cache"));
	assert_non_null(strstr(err.msg, "MiB available"));
	params.cells = 256;
	params.seqs_max = 257;
	assert_int_equal(ll_context_create(&c, model, &params, &err), -EINVAL);
	params.seqs_max = 4;
	params.type_v = LL_KV_Q8_0;
	params.flash_attention = false;
	assert_int_equal(ll_context_create(&c, model, &params, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "need flash attention"));
	assert_null(c);
}

/* A share of the memory in which, beside weights, reserve and a MiB against rounding, so many cells fit. */
static double share_for(uint32_t cells)
{
	struct ll_context_params params = {.cells = cells, .seqs_max = 4, .flash_attention = true};
	double total = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE),
	       weights = (double)ll_model_facts(model)->weight_bytes;
	FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
	double limit;
	if (f && fscanf(f, "%lf", &limit) == 1 && limit < total)
		total = limit;
	if (f)
		fclose(f);
	return ((double)ll_kv_bytes(model, &params) + (257 << 20)) / (total - weights);
}

static void a_context_nobody_asked_for_is_as_large_as_fits(void **state)
{
	(void)state;
	struct ll_context *c;
	struct ll_context_params params = {.seqs_max = 4, .flash_attention = true, .memory_share = share_for(4096)};
	assert_int_equal(ll_context_create(&c, model, &params, NULL), 0);
	assert_int_equal(ll_context_facts(c)->cells, 4096);
	assert_int_equal(ll_context_facts(c)->cells_wanted, 8192);
	ll_context_destroy(c);
	params.memory_share = 1;
	assert_int_equal(ll_context_create(&c, model, &params, NULL), 0);
	assert_int_equal(ll_context_facts(c)->cells, 8192);
	ll_context_destroy(c);
	params.memory_share = share_for(256); /* too little to be of use */
	assert_int_equal(ll_context_create(&c, model, &params, NULL), 0);
	assert_int_equal(ll_context_facts(c)->cells, 2048);
	ll_context_destroy(c);
}

/* Sequences of their own random tokens, far apart in the cells, some beginning as another does. */
enum { WORLD_SEQS = 12, WORLD_LEN = 200, WORLD_STEPS = 60 };
struct world {
	struct ll_context *c, *alone;
	struct rng rng;
	uint32_t tokens[WORLD_SEQS][WORLD_LEN], len[WORLD_SEQS];
};

static void world_feed(struct world *w, const uint32_t *seqs, const uint32_t *counts, uint32_t n)
{
	struct ll_run runs[WORLD_SEQS];
	struct err err = {0};

	for (uint32_t i = 0; i < n; i++) {
		uint32_t s = seqs[i];
		for (uint32_t k = 0; k < counts[i]; k++)
			w->tokens[s][w->len[s] + k] = rng_below(&w->rng, 40000) + 1000;
		runs[i] = (struct ll_run){s, w->len[s], counts[i], w->tokens[s] + w->len[s], true};
		w->len[s] += counts[i];
	}
	if (ll_decode(w->c, runs, n, &err) < 0)
		fail_msg("%s", err.msg);
}

/* The i-th row of logits against those of a context that holds nothing else, bit for bit: where the cells lie, in which pieces the
 * tokens came, what else is in the batch and from whom a prefix was copied changes nothing. */
static void world_check(struct world *w, uint32_t i, uint32_t seq)
{
	struct ll_run run = {0, 0, w->len[seq], w->tokens[seq], true};
	const float *here = ll_logits(w->c, i);
	uint32_t vocab = ll_model_facts(model)->vocab;

	assert_int_equal(ll_seq_trim(w->alone, 0, 0, NULL), 0);
	assert_int_equal(ll_decode(w->alone, &run, 1, NULL), 0);
	const float *there = ll_logits(w->alone, 0);
	for (uint32_t k = 0; k < vocab; k++)
		if (here[k] != there[k])
			fail_msg("sequence %u of %u tokens: the logit of token %u is %.9g, alone %.9g", seq,
				w->len[seq], k, (double)here[k], (double)there[k]);
}

/* A new one in place of s, which may begin as another does. */
static void world_begin(struct world *w, uint32_t s)
{
	uint32_t other = rng_below(&w->rng, WORLD_SEQS), count = 20 + rng_below(&w->rng, 100);

	assert_int_equal(ll_seq_trim(w->c, s, 0, NULL), 0);
	w->len[s] = 0;
	if (other != s && w->len[other] > 1 && rng_below(&w->rng, 2)) {
		w->len[s] = MIN(w->len[other] / 2, 60u);
		memcpy(w->tokens[s], w->tokens[other], w->len[s] * sizeof **w->tokens);
		assert_int_equal(ll_seq_copy(w->c, other, s, 0, w->len[s], NULL), 0);
	}
	world_feed(w, &s, &count, 1);
}

static void a_row_of_logits_is_its_sequences_alone_to_the_bit(void **state)
{
	(void)state;
	struct ll_context_params params = {
		.cells = 2048, .batch_tokens_max = 256, .seqs_max = WORLD_SEQS, .flash_attention = true};
	struct world *w = calloc(1, sizeof *w);

	rng_init(&w->rng, 7);
	assert_int_equal(ll_context_create(&w->c, model, &params, NULL), 0);
	params.cells = 256;
	assert_int_equal(ll_context_create(&w->alone, model, &params, NULL), 0);
	for (uint32_t s = 0; s < WORLD_SEQS; s++)
		world_begin(w, s);
	for (uint32_t step = 0; step < WORLD_STEPS; step++) {
		uint32_t n = 1 + (uint32_t)rng_below(&w->rng, 3), first = (uint32_t)rng_below(&w->rng, WORLD_SEQS),
			 seqs[3] = {0}, counts[3] = {1, 1 + rng_below(&w->rng, 3), 1};
		for (uint32_t i = 0; i < n; i++)
			seqs[i] = (first + i * 5) % WORLD_SEQS;
		if (step % 3 == 0)
			world_begin(w, seqs[0]);
		for (uint32_t i = 0; i < n; i++)
			if (w->len[seqs[i]] + 4 > WORLD_LEN)
				world_begin(w, seqs[i]);
		world_feed(w, seqs, counts, n);
		uint32_t i = rng_below(&w->rng, n);
		world_check(w, i, seqs[i]);
	}
	ll_context_destroy(w->c);
	ll_context_destroy(w->alone);
	free(w);
}

static void kv_bytes_follow_cells_and_type(void **state)
{
	(void)state;
	struct ll_context_params params = {.cells = 4096, .seqs_max = 4, .flash_attention = true};
	assert_int_equal(ll_kv_bytes(model, &params), 4096ull * 30 * 2 * 3 * 64 * 2);
	params.type_k = params.type_v = LL_KV_Q8_0;
	assert_int_equal(ll_kv_bytes(model, &params), 4096ull * 30 * 2 * 3 * 64 * 34 / 32);
	enum ll_kv_type type;
	assert_int_equal(ll_kv_type_parse("q8_0", &type), 0);
	assert_int_equal(type, LL_KV_Q8_0);
	assert_int_equal(ll_kv_type_parse("q9", &type), -EINVAL);
}

static void a_vocabulary_alone_has_no_context(void **state)
{
	(void)state;
	struct ll_model *m = NULL;
	struct ll_context *c = NULL;
	struct ll_model_params vocab = {.vocab_only = true};
	struct ll_context_params params = {.cells = 256, .seqs_max = 1};
	struct err err = {0};
	assert_int_equal(ll_model_load(&m, llama_data("vocab/ggml-vocab-gpt-2.gguf"), &vocab, NULL), 0);
	assert_int_equal(ll_context_create(&c, m, &params, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "vocabulary only"));
	ll_model_destroy(m);
}

/* Each compute thread has a CPU of its own where there are as many of both; the caller has its CPUs back afterwards. */
static void threads_that_fill_the_cpus_are_pinned(void **state)
{
	(void)state;
	cpu_set_t all, two, one, now;
	uint32_t found = 0;
	assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
	CPU_ZERO(&two);
	for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &two);
			found++;
		}
	if (found < 2)
		skip();
	assert_int_equal(sched_setaffinity(0, sizeof two, &two), 0);
	for (uint32_t threads = 1; threads <= 2; threads++) {
		struct ll_context *c = NULL;
		struct ll_context_params params = {.cells = 256,
			.batch_tokens_max = 64,
			.seqs_max = 4,
			.flash_attention = true,
			.threads = threads};
		assert_int_equal(ll_context_create(&c, model, &params, NULL), 0);
		assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
		assert_true(CPU_EQUAL(&now, &two));
		ll_context_pin(c);
		assert_int_equal(sched_getaffinity(0, sizeof one, &one), 0);
		assert_int_equal(CPU_COUNT(&one), threads == 2 ? 1 : 2);
		feed(c, 0, 0, 8, true);
		assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
		assert_true(CPU_EQUAL(&now, &one));
		ll_context_destroy(c);
		assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
		assert_true(CPU_EQUAL(&now, &two));
	}
	assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_copies_and_states_go_on_alike),
		cmocka_unit_test(ranges_of_a_state_join_in_another_context),
		cmocka_unit_test(bad_batches_are_refused_before_llama_cpp_asserts),
		cmocka_unit_test(full_cells_refuse_and_change_nothing),
		cmocka_unit_test(sequence_calls_check_their_ids_and_ranges),
		cmocka_unit_test(a_state_of_another_layout_is_refused),
		cmocka_unit_test(an_abort_ends_the_decode),
		cmocka_unit_test(what_does_not_fit_is_told_before_it_is_allocated),
		cmocka_unit_test(a_context_nobody_asked_for_is_as_large_as_fits),
		cmocka_unit_test(a_row_of_logits_is_its_sequences_alone_to_the_bit),
		cmocka_unit_test(kv_bytes_follow_cells_and_type),
		cmocka_unit_test(a_vocabulary_alone_has_no_context),
		cmocka_unit_test(threads_that_fill_the_cpus_are_pinned),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
