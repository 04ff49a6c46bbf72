/* Deterministic requests on models whose products round otherwise for one row than for many (32-bit floats do), under the scheduler:
 * whatever runs beside them, is cached or pre-empts them, each answer is that of the request alone on a fresh worker, its tokens and
 * the bits of its log-probabilities. */
#include "base/rng.h"
#include "engine/llama.h"
#include "worker/sched.h"

#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "../lib/tiny_model.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SEQS = 6, CELLS = 512, VOCAB = 259, KINDS = 5, ANSWER = 12, PROMPT_MAX = 150, ROUNDS = 40 };

struct answer {
	uint32_t tokens[ANSWER], count;
	float logprobs[ANSWER];
	struct sched_done done;
};
static struct engine *engine;
static uint32_t prompts[KINDS][PROMPT_MAX];
static const uint32_t lens[KINDS] = {150, 97, 64, 33, 9};

static struct sched *sched_new(void)
{
	struct sched *s;
	struct err err;
	const struct sched_config config = {.block_size = 16, .step_budget_us = 500, .idle_budget_us = 2000};

	if (sched_create(&s, engine_info(engine), &config, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static void sched_end(struct sched *s)
{
	struct engine_op ops[SEQS];
	struct engine_result res = {0};
	struct err err;
	const struct engine_batch b = {.ops = ops, .ops_count = SEQS};

	for (uint32_t i = 0; i < SEQS; i++)
		ops[i] = (struct engine_op){ENGINE_SEQ_TRIM, 0, i, 0};
	assert_int_equal(engine_step(engine, &b, &res, &err), 0);
	sched_destroy(s);
}

static void admit(struct sched *s, uint64_t id, uint32_t kind, bool deterministic, struct answer *a)
{
	const struct sched_request q = {.id = id,
		.user = a,
		.tokens = prompts[kind],
		.tokens_count = lens[kind],
		.prompt_len = lens[kind],
		.max_tokens = ANSWER,
		.ignore_eos = true,
		.logprobs = 1,
		.deterministic = deterministic,
		.sampling = {.temperature = kind % 2 ? 0.8f : 0, .seed = kind}};

	*a = (struct answer){0};
	assert_int_equal(sched_admit(s, 0, &q), 0);
}

static void step(struct sched *s)
{
	struct err err = {0};
	const struct engine_batch *b = sched_compose(s, 0);

	if (b) {
		int r = engine_step(engine, b, sched_result(s), &err);
		if (r < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(sched_apply(s, 0, r, &err), 0);
	}
	struct sched_outbox o = sched_outbox(s);
	for (uint32_t i = 0; i < o.tokens_count; i++) {
		struct answer *a = o.tokens[i].user;
		a->logprobs[a->count] = o.tokens[i].out->logprob;
		a->tokens[a->count++] = o.tokens[i].token;
	}
	for (uint32_t i = 0; i < o.dones_count; i++)
		((struct answer *)o.dones[i].user)->done = o.dones[i];
	sched_outbox_clear(s);
}

static void run(struct sched *s)
{
	while (sched_requests(s))
		step(s);
}

static bool alike(const struct answer *a, const struct answer *b)
{
	return a->count == b->count && !memcmp(a->tokens, b->tokens, sizeof a->tokens) &&
	       !memcmp(a->logprobs, b->logprobs, sizeof a->logprobs);
}

/* Prompts in pairs that begin alike. */
static void make_prompts(struct rng *r)
{
	for (uint32_t k = 0; k < KINDS; k++)
		for (uint32_t i = 0; i < lens[k]; i++)
			prompts[k][i] = k % 2 && i < 70 ? prompts[k - 1][i] : 3 + (uint32_t)rng_below(r, VOCAB - 3);
}

static void open_model(const char *kind)
{
	char path[256];
	struct err err;
	const struct llama_config config = {.path = tiny_model(kind, path, sizeof path),
		.context = {.cells = CELLS, .seqs_max = SEQS, .flash_attention = true, .threads = 1}};

	if (llama_engine_create(&engine, &config, &err) < 0)
		fail_msg("%s", err.msg);
	unlink(path);
	assert_int_equal(engine_info(engine)->exact, ENGINE_EXACT_ALONE);
}

/* How many of the requests that were not deterministic had other bits than alone. */
static uint32_t mix(struct sched *s, struct rng *r, const struct answer *alone, uint32_t *ret_preemptions)
{
	struct answer a[SEQS];
	uint32_t kinds[SEQS], count = 1 + (uint32_t)rng_below(r, SEQS), others = 0;
	bool deterministic[SEQS];

	for (uint32_t i = 0; i < count; i++) {
		kinds[i] = (uint32_t)rng_below(r, KINDS);
		deterministic[i] = rng_below(r, 2);
		admit(s, 1 + i, kinds[i], deterministic[i], &a[i]);
		for (uint64_t steps = rng_below(r, 6); steps; steps--)
			step(s);
		if (!rng_below(r, 3))
			sched_preempt(s);
	}
	run(s);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(a[i].count, ANSWER);
		*ret_preemptions += a[i].done.preemptions;
		if (deterministic[i] && !alike(&a[i], &alone[kinds[i]]))
			fail_msg("prompt %u has another answer (%u tokens cached, %u pre-emptions)", kinds[i],
				a[i].done.cached_tokens, a[i].done.preemptions);
		others += !alike(&a[i], &alone[kinds[i]]);
	}
	return others;
}

static void expect_equal_answers(const char *kind)
{
	struct answer alone[KINDS];
	uint32_t preemptions = 0, others = 0;
	struct rng r;

	rng_init(&r, 5);
	make_prompts(&r);
	open_model(kind);
	for (uint32_t k = 0; k < KINDS; k++) {
		struct sched *s = sched_new();
		admit(s, 1, k, true, &alone[k]);
		run(s);
		sched_end(s);
	}
	struct sched *s = sched_new();
	for (uint32_t round = 0; round < ROUNDS; round++)
		others += mix(s, &r, alone, &preemptions);
	sched_end(s);
	engine_destroy(engine);
	assert_true(preemptions > 0);
	assert_true(others > 0); /* or there was nothing to hold */
}

static void deterministic_answers_are_equal_in_every_mix(void **state)
{
	(void)state;
	expect_equal_answers("llama");
	expect_equal_answers("gemma3");
}

static void so_they_are_where_a_state_cannot_go_back(void **state)
{
	(void)state;
	expect_equal_answers("mamba");
	expect_equal_answers("lfm2");
}

static void weights_whose_products_do_not_care_need_no_care(void **state)
{
	(void)state;
	struct err err;
	struct llama_config config = {.path = demo_model(),
		.context = {.cells = CELLS, .seqs_max = SEQS, .flash_attention = true, .threads = 1}};

	assert_int_equal(llama_engine_create(&engine, &config, &err), 0);
	assert_int_equal(engine_info(engine)->exact, ENGINE_EXACT_ALWAYS);
	engine_destroy(engine);
	config.context.flash_attention = false;
	assert_int_equal(llama_engine_create(&engine, &config, &err), 0);
	assert_int_equal(engine_info(engine)->exact, ENGINE_EXACT_NO);
	engine_destroy(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deterministic_answers_are_equal_in_every_mix),
		cmocka_unit_test(so_they_are_where_a_state_cannot_go_back),
		cmocka_unit_test(weights_whose_products_do_not_care_need_no_care),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
