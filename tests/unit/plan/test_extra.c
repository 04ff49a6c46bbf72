/* Settings beside those a plan varies, as graphs write them, and what they do to the terms. */
#include "plan/plan.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"
#include <stdio.h>
#include <string.h>

static const uint64_t GIB = 1024 * 1024 * 1024;

struct told {
	struct plan_terms terms;
	struct plan_extra extra;
	enum plan_verdict verdict;
	bool draft;
};

static struct told told_of(const char *worker, const char *model, const char *cards, uint32_t gpus, const char *more)
{
	char yaml[1024];
	struct plan_world w;
	struct plan p;
	struct err err;

	snprintf(yaml, sizeof yaml,
		"%s:\n  model: %s\n  engine-version: 0.21.0\n%s  ServiceArgs: {workers: 1, resources: {gpu: %u}}\n",
		worker, model, more, gpus);
	plan_world_of(&w, yaml, cards);
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	struct told t = {.extra = p.deployment.services[0].extra,
		.verdict = plan_verdict(&p),
		.draft = findings_has(&p.findings, "memory-draft"),
		.terms = *plan_terms_of(&p.placement, 0, plan_class_for(&p.placement, 0))};
	plan_done(&p);
	plan_world_done(&w);
	return t;
}

static struct told vllm(const char *more)
{
	return told_of("VllmWorker", "Qwen/Qwen3-4B", "1xL4", 1, more);
}

static void adapters_have_buffers_of_their_rank(void **state)
{
	(void)state;
	uint64_t without = vllm("").terms.weights;
	/* Qwen3-4B: in 4 x 2560 + 4096 + 9728 and one more 2560, out 4096 + 2 x 1024 + 2 x 2560 + 2 x 9728; 36 layers */
	uint64_t one = ((5ull * 2560 + 4096 + 9728) + (4096 + 2 * 1024 + 2560 + 2 * 9728 + 2560)) * 16 * 2 * 36;
	assert_int_equal(vllm("  enable-lora: true\n").terms.weights - without, one);
	assert_int_equal(
		vllm("  enable-lora: true\n  max-loras: 4\n  max-lora-rank: 64\n").terms.weights - without, 16 * one);
	assert_int_equal(vllm("  enable-lora: false\n").terms.weights, without);
}

static void weights_kept_on_the_host_are_not_on_the_card(void **state)
{
	(void)state;
	assert_int_equal(vllm("").terms.weights - vllm("  cpu-offload-gb: 2.5\n").terms.weights, 5 * GIB / 2);
	assert_int_equal(vllm("  cpu-offload-gb: 100\n").terms.weights, 0);
	assert_int_equal(
		told_of("VllmWorker", "Qwen/Qwen2.5-14B-Instruct", "1xL4", 1, "  max-model-len: 4096\n").verdict,
		PLAN_CANNOT);
	assert_int_equal(told_of("VllmWorker", "Qwen/Qwen2.5-14B-Instruct", "1xL4", 1,
				 "  max-model-len: 4096\n  cpu-offload-gb: 14\n")
				 .verdict,
		PLAN_FITS);
}

static void a_kv_cache_said_by_hand_is_the_room(void **state)
{
	(void)state;
	struct told t = vllm("  kv-cache-memory-bytes: 1G\n  max-model-len: 4096\n");
	assert_int_equal(t.terms.kv_room, GIB);
	assert_int_equal(t.verdict, PLAN_FITS);
	/* 147456 bytes a token: 8192 tokens are 1.125 GiB */
	assert_int_equal(vllm("  kv-cache-memory-bytes: 1G\n  max-model-len: 8192\n").verdict, PLAN_CANNOT);
	t = vllm("  num-gpu-blocks-override: 256\n  max-model-len: 4096\n");
	assert_int_equal(t.terms.kv_room, 256ull * 16 * 147456);
	assert_int_equal(t.verdict, PLAN_FITS);
	assert_int_equal(vllm("  num-gpu-blocks-override: 255\n  max-model-len: 4096\n").verdict, PLAN_CANNOT);
	/* No more than there is. */
	t = vllm("  kv-cache-memory-bytes: 100G\n");
	assert_int_equal(t.terms.budget, t.terms.total);
}

static void sglang_takes_the_fewer_of_its_own_tokens_and_those_said(void **state)
{
	(void)state;
	struct told all = told_of("SGLangWorker", "Qwen/Qwen3-4B", "1xL4", 1, ""),
		    few = told_of("SGLangWorker", "Qwen/Qwen3-4B", "1xL4", 1,
			    "  max-total-tokens: 5000\n  context-length: 4096\n"),
		    many = told_of("SGLangWorker", "Qwen/Qwen3-4B", "1xL4", 1, "  max-total-tokens: 5000000\n");
	assert_int_equal(few.terms.kv_room, 5000ull * 147456);
	assert_int_equal(many.terms.kv_room, all.terms.kv_room);
	/* It starts with fewer tokens than its context, down to what is no use. */
	assert_int_equal(told_of("SGLangWorker", "Qwen/Qwen3-4B", "1xL4", 1,
				 "  max-total-tokens: 3000\n  context-length: 4096\n")
				 .terms.context,
		2816);
	assert_int_equal(told_of("SGLangWorker", "Qwen/Qwen3-4B", "1xL4", 1,
				 "  max-total-tokens: 2000\n  context-length: 4096\n")
				 .verdict,
		PLAN_CANNOT);
}

static void a_draft_model_leaves_a_close_answer_open(void **state)
{
	static const char draft
		[] = "  max-model-len: 32768\n  speculative-config: '{\"model\": \"Qwen/Qwen3-0.6B\", \"num_speculative_tokens\": 5}'\n",
	   lookup[] =
		   "  max-model-len: 32768\n  speculative-config: '{\"method\": \"ngram\", \"num_speculative_tokens\": 5}'\n";

	(void)state;
	assert_true(told_of("VllmWorker", "Qwen/Qwen3-4B", "1xRTX-4070-Ti-SUPER", 1, draft).draft);
	assert_false(told_of("VllmWorker", "Qwen/Qwen3-4B", "1xRTX-4070-Ti-SUPER", 1, lookup).draft);
	struct told roomy = told_of("VllmWorker", "Qwen/Qwen3-4B", "1xH100", 1, draft);
	assert_true(roomy.extra.draft && !roomy.draft);
	assert_true(roomy.terms.guessed & PLAN_GUESS_WEIGHTS);
}

/* DeepSeek-V2-Lite: 27 layers of attention of 16 heads; among four cards in two groups each card holds half of it, not a quarter. */
static void attention_of_data_parallel_groups_is_held_by_each(void **state)
{
	static const char groups[] = "  tp: 4\n  dp-size: 2\n  enable-dp-attention: true\n";
	struct told whole = told_of("SglangWorker", "deepseek-ai/DeepSeek-V2-Lite", "4xH100", 4, "  tp: 4\n");
	struct told divided = told_of("SglangWorker", "deepseek-ai/DeepSeek-V2-Lite", "4xH100", 4, groups);
	struct model_facts m;
	struct err err;

	(void)state;
	assert_int_equal(model_facts_by_name(&m, "deepseek-ai/DeepSeek-V2-Lite", &err), 0);
	/* q is 2048 x 16 x 192, kv_a 2048 x 576, kv_b 512 x 16 x 256, o 16 x 128 x 2048; the router is among the matrices, too */
	uint64_t layer = 2048ull * 16 * 192 + 2048ull * 576 + 512ull * 16 * 256 + 16ull * 128 * 2048 + 2048 * 64;
	uint64_t halves = 512ull * 16 * 256;
	uint64_t more = divided.terms.weights - whole.terms.weights;
	uint64_t wanted = 2 * (27 * layer / 4 + 102400ull * 2048 * 3 / 4 + 27 * halves / 2);
	assert_true(more > wanted / 100 * 99 && more < wanted / 100 * 101);
	assert_int_equal(divided.verdict, PLAN_FITS);
	assert_true(divided.terms.budget < whole.terms.budget); /* 512 sequences a group are kept room for */
	/* One group is no division. */
	assert_int_equal(told_of("SglangWorker", "deepseek-ai/DeepSeek-V2-Lite", "4xH100", 4,
				 "  tp: 4\n  dp-size: 1\n  enable-dp-attention: true\n")
				 .terms.weights,
		whole.terms.weights);
	/* KV heads are divided within a group alone. */
	uint64_t four = told_of("SglangWorker", "Qwen/Qwen3-30B-A3B", "4xH100", 4, "  tp: 4\n").terms.kv_least;
	assert_int_equal(told_of("SglangWorker", "Qwen/Qwen3-30B-A3B", "4xH100", 4, groups).terms.kv_least, 2 * four);
	/* Little room beside one request: then nobody knows. */
	assert_int_equal(told_of("SglangWorker", "Qwen/Qwen3-30B-A3B", "2xRTX-4090", 2,
				 "  quantization: fp8\n  tp: 2\n  dp-size: 2\n  enable-dp-attention: true\n")
				 .verdict,
		PLAN_NOT_CHECKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adapters_have_buffers_of_their_rank),
		cmocka_unit_test(weights_kept_on_the_host_are_not_on_the_card),
		cmocka_unit_test(a_kv_cache_said_by_hand_is_the_room),
		cmocka_unit_test(sglang_takes_the_fewer_of_its_own_tokens_and_those_said),
		cmocka_unit_test(a_draft_model_leaves_a_close_answer_open),
		cmocka_unit_test(attention_of_data_parallel_groups_is_held_by_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
