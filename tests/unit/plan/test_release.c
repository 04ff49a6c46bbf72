/* Releases of the engines against models, weights and cards: what one does not know yet, or no more. */
#include "plan/plan.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"
#include <stdio.h>
#include <string.h>

/* Plan one worker of these settings; the code of the first finding that decides, "" when it fits. */
static const char *decided(struct plan *p, struct plan_world *w, const char *settings, const char *cards)
{
	char yaml[1024];
	struct err err;

	snprintf(yaml, sizeof yaml, "VllmWorker:\n%s  ServiceArgs: {resources: {gpu: %d}}\n", settings,
		strstr(settings, "parallel-size: 2") ? 2 : 1);
	plan_world_of(w, yaml, cards);
	assert_int_equal(plan_make(p, &w->input, &err), 0);
	for (uint32_t i = 0; i < p->findings.len; i++) {
		const struct finding *f = &p->findings.items[i];
		if (f->severity == FINDING_FATAL || f->unchecked)
			return f->code;
	}
	return "";
}

static void wants(const char *settings, const char *cards, const char *code, enum plan_verdict verdict)
{
	struct plan_world w;
	struct plan p;
	const char *got = decided(&p, &w, settings, cards);

	if (strcmp(got, code) != 0 || plan_verdict(&p) != verdict)
		fail_msg("%s on %s: \"%s\" (%s), not \"%s\"", settings, cards, got, plan_verdict_name(plan_verdict(&p)),
			code);
	plan_done(&p);
	plan_world_done(&w);
}

static void an_architecture_has_a_first_release(void **state)
{
	(void)state;
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  engine-version: 0.8.3\n", "1xA100-80GB",
		"engine-architecture", PLAN_CANNOT);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  engine-version: v0.8.4\n", "1xA100-80GB", "",
		PLAN_FITS);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n", "1xA100-80GB", "", PLAN_FITS);
}

static void and_some_have_a_last_one(void **state)
{
	(void)state;
	wants("  model: meta-llama/Llama-3.2-11B-Vision-Instruct\n  max-model-len: 4096\n  engine-version: 0.12.0\n",
		"1xA100-80GB", "engine-architecture", PLAN_CANNOT);
	/* Not said: an older one runs it, so nobody knows. */
	wants("  model: meta-llama/Llama-3.2-11B-Vision-Instruct\n  max-model-len: 4096\n", "1xA100-80GB",
		"engine-architecture", PLAN_NOT_CHECKED);
}

static void float16_was_taken_by_all_families_before_0_9_1(void **state)
{
	(void)state;
	wants("  model: google/gemma-2-9b-it\n  max-model-len: 4096\n  dtype: float16\n  engine-version: 0.8.5\n",
		"1xA100-80GB", "dtype", PLAN_NOT_CHECKED);
	wants("  model: google/gemma-2-9b-it\n  max-model-len: 4096\n  dtype: float16\n  engine-version: 0.9.1\n",
		"1xA100-80GB", "dtype", PLAN_CANNOT);
}

static void some_are_not_divided_into_stages(void **state)
{
	static const char gpt[] = "  model: openai/gpt-oss-20b\n  max-model-len: 4096\n  pipeline-parallel-size: 2\n"
				  "  engine-version: %s\n";
	char text[256];

	(void)state;
	snprintf(text, sizeof text, gpt, "0.10.1");
	wants(text, "2xH100", "engine-pipeline", PLAN_CANNOT);
	snprintf(text, sizeof text, gpt, "0.10.2");
	wants(text, "2xH100", "", PLAN_FITS);
	wants("  model: Qwen/Qwen2-7B-Instruct\n  max-model-len: 4096\n  pipeline-parallel-size: 2\n  engine-version: 0.5.3\n",
		"2xH100", "engine-pipeline", PLAN_CANNOT);
	wants("  model: meta-llama/Llama-3.2-11B-Vision\n  max-model-len: 4096\n  pipeline-parallel-size: 2\n"
	      "  engine-version: 0.8.5\n",
		"2xH100", "engine-pipeline", PLAN_CANNOT);
}

static void older_than_all_that_were_read_is_not_judged(void **state)
{
	(void)state;
	wants("  model: meta-llama/Llama-2-7b-hf\n  engine-version: 0.1.7\n", "1xA100-80GB", "engine-unread",
		PLAN_NOT_CHECKED);
}

static void what_is_assumed_is_said(void **state)
{
	struct plan_world w;
	struct plan p;

	(void)state;
	decided(&p, &w, "  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n", "1xA100-80GB");
	assert_true(findings_has(&p.findings, "engine-assumed"));
	plan_done(&p);
	plan_world_done(&w);
	decided(&p, &w, "  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  engine-version: 0.11.0\n", "1xA100-80GB");
	assert_false(findings_has(&p.findings, "engine-assumed"));
	plan_done(&p);
	plan_world_done(&w);
}

static void quantizations_by_release_and_card(void **state)
{
	(void)state;
	wants("  model: RedHatAI/Qwen3-4B-quantized.w4a16\n  dtype: half\n  max-model-len: 2048\n  engine-version: 0.10.2\n",
		"1xT4", "quantization-release", PLAN_CANNOT);
	wants("  model: RedHatAI/Qwen3-4B-quantized.w4a16\n  dtype: half\n  max-model-len: 2048\n  engine-version: 0.14.0\n",
		"1xT4", "", PLAN_FITS);
	/* The file's AWQ runs there, the kernels that the user names do not. */
	wants("  model: Qwen/Qwen2.5-3B-Instruct-AWQ\n  dtype: half\n  max-model-len: 2048\n  engine-version: 0.10.2\n",
		"1xT4", "", PLAN_FITS);
	wants("  model: Qwen/Qwen2.5-3B-Instruct-AWQ\n  dtype: half\n  max-model-len: 2048\n  quantization: awq_marlin\n"
	      "  engine-version: 0.10.2\n",
		"1xT4", "quantization-release", PLAN_CANNOT);
	wants("  model: openai/gpt-oss-20b\n  max-model-len: 2048\n  engine-version: 0.10.0\n", "1xA100-80GB",
		"engine-architecture", PLAN_CANNOT);
	wants("  model: Qwen/Qwen3-4B-FP8\n  max-model-len: 2048\n  engine-version: 0.8.5\n", "1xA100-80GB",
		"quantization-blocks", PLAN_CANNOT);
	wants("  model: Qwen/Qwen3-4B-FP8\n  max-model-len: 2048\n  engine-version: 0.9.0\n", "1xA100-80GB", "",
		PLAN_FITS);
}

static void number_types_by_release(void **state)
{
	(void)state;
	wants("  model: Qwen/Qwen2.5-1.5B-Instruct\n  max-model-len: 2048\n  engine-version: 0.8.5\n", "1xT4",
		"dtype-release", PLAN_CANNOT);
	wants("  model: Qwen/Qwen2.5-1.5B-Instruct\n  max-model-len: 2048\n  engine-version: 0.9.0\n", "1xT4", "",
		PLAN_FITS);
	wants("  model: Qwen/Qwen2.5-1.5B-Instruct\n  max-model-len: 2048\n  dtype: half\n  engine-version: 0.8.5\n",
		"1xT4", "", PLAN_FITS);
}

static void generations_of_cards_by_release(void **state)
{
	(void)state;
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  engine-version: 0.8.5\n", "1xRTX-5090",
		"engine-card-release", PLAN_CANNOT);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  engine-version: 0.9.2\n", "1xRTX-5090", "", PLAN_FITS);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  engine-version: 0.10.2\n", "1xJetson-AGX-Thor",
		"engine-card-release", PLAN_CANNOT);
}

static void other_makers_cards_are_known_by_their_memory(void **state)
{
	(void)state;
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n", "1xMI300X", "gpu-vendor", PLAN_NOT_CHECKED);
	wants("  model: Qwen/Qwen3-32B\n  max-model-len: 4096\n", "1xTPU-v6e", "memory-weights", PLAN_CANNOT);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n", "1xGaudi3", "gpu-vendor", PLAN_NOT_CHECKED);
}

static void attention_by_release(void **state)
{
	(void)state;
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  attention-backend: FLEX_ATTENTION\n  engine-version: 0.8.5\n",
		"1xA100-80GB", "engine-attention", PLAN_CANNOT);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  attention-backend: FLEX_ATTENTION\n  engine-version: 0.11.0\n",
		"1xA100-80GB", "", PLAN_FITS);
}

/* Shared experts stay divided when the routed ones are whole. */
static void shared_experts_are_divided_in_whole_blocks(void **state)
{
	(void)state;
	struct plan_world w;
	struct plan p;
	struct err err;
	char yaml[512];

	for (uint32_t ep = 0; ep < 2; ep++) {
		snprintf(yaml, sizeof yaml,
			"VllmWorker:\n  model: Qwen/Qwen3.6-35B-A3B-FP8\n  max-model-len: 4096\n  tensor-parallel-size: 8\n%s"
			"  ServiceArgs: {resources: {gpu: 8}}\n",
			ep ? "  enable-expert-parallel: true\n" : "");
		plan_world_of(&w, yaml, "8xH100");
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		assert_true(findings_has(&p.findings, "quantization-divides"));
		plan_done(&p);
		plan_world_done(&w);
	}
}

static const char *pair(const char *prefill, const char *decode, const char *common)
{
	static char code[64];
	struct plan_world w;
	struct plan p;
	struct err err;
	char yaml[1024];

	snprintf(yaml, sizeof yaml,
		"VllmWorker:\n  model: Qwen/Qwen3-8B\n  max-model-len: 4096\n  remote-prefill: true\n  tensor-parallel-size: %s\n%s"
		"  ServiceArgs: {resources: {gpu: %s}}\nPrefillWorker:\n  model: Qwen/Qwen3-8B\n  max-model-len: 4096\n"
		"  tensor-parallel-size: %s\n%s  ServiceArgs: {resources: {gpu: %s}}\n",
		decode, common, decode, prefill, common, prefill);
	plan_world_of(&w, yaml, "8xH100");
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	snprintf(code, sizeof code, "%s", p.findings.fatals ? p.findings.items[0].code : "");
	plan_done(&p);
	plan_world_done(&w);
	return code;
}

#define NIXL "  kv-transfer-config: '{\"kv_connector\": \"NixlConnector\", \"kv_role\": \"kv_both\"}'\n"
#define OTHER "  kv-transfer-config: '{\"kv_connector\": \"P2pNcclConnector\", \"kv_role\": \"kv_both\"}'\n"

static void a_wider_prefill_by_release_and_connector(void **state)
{
	(void)state;
	assert_string_equal(pair("2", "4", NIXL), "");
	assert_string_equal(pair("4", "2", NIXL), "pair-tp");
	assert_string_equal(pair("4", "2", NIXL "  engine-version: 0.12.0\n"), "pair-tp");
	assert_string_equal(pair("4", "2", NIXL "  engine-version: 0.14.0\n"), "");
	assert_string_equal(pair("4", "2", OTHER "  engine-version: 0.14.0\n"), "pair-tp");
}

static void a_share_close_to_one_is_never_free(void **state)
{
#define SHARE(u, v) "  model: Qwen/Qwen3-4B\n  max-model-len: 4096\n  gpu-memory-utilization: " u "\n" v
	(void)state;
	wants(SHARE("1.0", "  engine-version: 0.23.0\n"), "2xL40S", "memory-start", PLAN_CANNOT);
	wants(SHARE("0.999", "  engine-version: 0.9.0\n  enforce-eager: true\n"), "1xT4", "memory-start", PLAN_CANNOT);
	/* Before it looked, and where it is not said whether it does: nobody knows, but it does not fit. */
	wants(SHARE("1.0", "  engine-version: 0.8.4\n  enforce-eager: true\n"), "1xL40S", "memory-start",
		PLAN_NOT_CHECKED);
	wants("  model: Qwen/Qwen2.5-3B\n  max-model-len: 4096\n  gpu-memory-utilization: 1\n  engine-version: 0.6.3\n",
		"1xL40S", "memory-start", PLAN_NOT_CHECKED);
	wants(SHARE("1.0", ""), "1xH200", "memory-start", PLAN_NOT_CHECKED);
	/* Less than a context is left of a small card, and more of a large one. */
	wants(SHARE("0.99", "  engine-version: 0.23.0\n"), "1xL4", "memory-start", PLAN_NOT_CHECKED);
	wants(SHARE("0.99", "  engine-version: 0.23.0\n"), "1xH200", "", PLAN_FITS);
	wants(SHARE("0.97", ""), "1xL4", "", PLAN_FITS);
	/* NCCL's buffers come on top. */
	wants(SHARE("0.992", "  engine-version: 0.23.0\n  tensor-parallel-size: 1\n"), "2xH100", "", PLAN_FITS);
#undef SHARE
}

static void nor_is_a_share_of_sglang_that_leaves_nothing_to_compute_with(void **state)
{
	struct plan_world w;
	struct plan p;
	struct err err;
	static const struct {
		const char *share;
		bool open;
	} cases[] = {{"1.0", true}, {"0.99", true}, {"0.88", false}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char yaml[512];

		snprintf(yaml, sizeof yaml,
			"SglangWorker:\n  model: Qwen/Qwen3-4B\n  mem-fraction-static: %s\n"
			"  ServiceArgs: {resources: {gpu: 1}}\n",
			cases[i].share);
		plan_world_of(&w, yaml, "1xL40S");
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		assert_int_equal(findings_has(&p.findings, "memory-beside"), cases[i].open);
		assert_int_equal(plan_verdict(&p), cases[i].open ? PLAN_NOT_CHECKED : PLAN_FITS);
		plan_done(&p);
		plan_world_done(&w);
	}
}

static void a_context_that_the_user_stretches(void **state)
{
	(void)state;
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 100000\n", "1xA100-80GB", "context-max", PLAN_CANNOT);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 100000\n  rope-scaling: '{\"rope_type\": \"yarn\", \"factor\": 4.0}'\n",
		"1xA100-80GB", "", PLAN_FITS);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 100000\n  hf-overrides: '{\"max_position_embeddings\": 131072}'\n",
		"1xA100-80GB", "", PLAN_FITS);
	wants("  model: Qwen/Qwen3-4B\n  max-model-len: 100000\n  hf-overrides: '{\"vocab_size\": 7}'\n", "1xA100-80GB",
		"context-max", PLAN_CANNOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_architecture_has_a_first_release),
		cmocka_unit_test(and_some_have_a_last_one),
		cmocka_unit_test(float16_was_taken_by_all_families_before_0_9_1),
		cmocka_unit_test(some_are_not_divided_into_stages),
		cmocka_unit_test(older_than_all_that_were_read_is_not_judged),
		cmocka_unit_test(what_is_assumed_is_said),
		cmocka_unit_test(quantizations_by_release_and_card),
		cmocka_unit_test(number_types_by_release),
		cmocka_unit_test(generations_of_cards_by_release),
		cmocka_unit_test(other_makers_cards_are_known_by_their_memory),
		cmocka_unit_test(attention_by_release),
		cmocka_unit_test(a_wider_prefill_by_release_and_connector),
		cmocka_unit_test(a_share_close_to_one_is_never_free),
		cmocka_unit_test(nor_is_a_share_of_sglang_that_leaves_nothing_to_compute_with),
		cmocka_unit_test(a_context_that_the_user_stretches),
		cmocka_unit_test(shared_experts_are_divided_in_whole_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
