/* Shapes that Marlin's kernels take, against the split, the card and the release. */
#include "plan/plan.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"
#include <stdio.h>
#include <string.h>

/* One worker of tp cards: is the finding there, and fatal? */
static void wants(const char *settings, unsigned tp, const char *cards, const char *release, bool found, bool fatal)
{
	struct plan_world w;
	struct plan p;
	char yaml[1024];
	struct err err;
	bool is_fatal = false;

	snprintf(yaml, sizeof yaml,
		"VllmWorker:\n%s  max-model-len: 4096\n  tensor-parallel-size: %u\n  %s%s\n  ServiceArgs: {resources: {gpu: %u}}\n",
		settings, tp, *release ? "engine-version: " : "max-num-seqs: 16", release, tp);
	plan_world_of(&w, yaml, cards);
	assert_int_equal(plan_make(&p, &w.input, &err), 0);
	for (uint32_t i = 0; i < p.findings.len; i++)
		is_fatal |= !strcmp(p.findings.items[i].code, "kernel-shape") &&
			    p.findings.items[i].severity == FINDING_FATAL;
	if (findings_has(&p.findings, "kernel-shape") != found || is_fatal != fatal)
		fail_msg("%s over %u of %s, vLLM %s: %s", settings, tp, cards, release,
			found ? "nothing is said of its shapes" : "its shapes are refused");
	plan_done(&p);
	plan_world_done(&w);
}

/* 17408 / 8 x 2 = 4352 = 68 x 64; 2 x 13824 / 8 = 3456 = 54 x 64 and 13824 / 8 = 1728 = 13.5 x 128 = 27 x 64 */
static void fp8_below_ada_needs_whole_tiles_before_0_24(void **state)
{
	(void)state;
	wants("  model: zai-org/GLM-4.5-Air-FP8\n", 8, "8xA100-80GB", "0.17.0", true, true); /* 2736 outputs */
	wants("  model: zai-org/GLM-4.5-Air-FP8\n", 8, "8xH100", "0.17.0", false, false);
	wants("  model: RedHatAI/Qwen2.5-14B-Instruct-FP8-dynamic\n", 8, "8xA100-80GB", "0.17.0", false, false);
	wants("  model: Qwen/Qwen2.5-14B-Instruct\n  quantization: fp8\n", 4, "4xA10G", "0.17.0", false, false);
	wants("  model: google/gemma-2-2b-it\n  quantization: fp8\n", 4, "4xA10G", "0.17.0", false, false);
	wants("  model: RedHatAI/Llama-3.2-1B-Instruct-FP8-dynamic\n", 4, "4xA10G", "0.17.0", false, false);
}

static void experts_are_padded_a_release_later(void **state)
{
	(void)state;
	wants("  model: zai-org/GLM-4.5-Air-FP8\n", 8, "8xA100-80GB", "0.24.0", true, true); /* 1408 / 8 = 176 */
	wants("  model: zai-org/GLM-4.5-Air-FP8\n  enable-expert-parallel: true\n", 8, "8xA100-80GB", "0.24.0", false,
		false);
	wants("  model: zai-org/GLM-4.5-Air-FP8\n", 8, "8xA100-80GB", "0.25.0", false, false);
}

static void without_a_release_it_is_a_warning(void **state)
{
	(void)state;
	wants("  model: zai-org/GLM-4.5-Air-FP8\n", 8, "8xA100-80GB", "", true, false);
}

/* 4-bit integers: the first tile alone, and other kernels for float16 and on Hopper. 8192 / 8 = 1024; 29568 / 8 = 3696 = 28.9 x 128 */
static void integers_take_the_first_tile_alone(void **state)
{
	static const char model[] = "  model: RedHatAI/Qwen2.5-72B-Instruct-quantized.w4a16\n";

	(void)state;
	wants(model, 8, "8xA100-80GB", "0.17.0", true, true);
	wants(model, 4, "4xA100-80GB", "0.17.0", true, true); /* 7392 = 57.75 x 128 */
	wants(model, 1, "1xA100-80GB", "0.17.0", false, false);
	wants(model, 8, "8xA100-80GB", "0.24.0", false, false);
	wants(model, 8, "8xH100", "0.17.0", false, false);
	wants("  model: RedHatAI/Qwen2.5-72B-Instruct-quantized.w4a16\n  dtype: float16\n", 8, "8xA100-80GB", "0.17.0",
		false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fp8_below_ada_needs_whole_tiles_before_0_24),
		cmocka_unit_test(experts_are_padded_a_release_later),
		cmocka_unit_test(without_a_release_it_is_a_warning),
		cmocka_unit_test(integers_take_the_first_tile_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
