/* What releases of the engines know. */
#include "gpu/versions.h"

#include "../lib/cmocka_all.h"
#include <string.h>

static void releases_compare_as_their_makers_number_them(void **state)
{
	static const char *const rising[] = {
		"0.5.0", "0.8.4", "0.8.5", "0.8.5.post1", "0.9.0", "0.9.0.1", "0.10.0", "0.10.2", "1.0.0"};

	(void)state;
	for (uint32_t i = 1; i < sizeof rising / sizeof *rising; i++)
		assert_true(engine_version_parse(rising[i - 1]) < engine_version_parse(rising[i]));
	assert_true(engine_version_parse("v0.10.2-cu128") == engine_version_parse("0.10.2"));
	assert_true(engine_version_parse("0.11.1rc7.dev109+gca00") == engine_version_parse("0.11.1"));
	assert_true(engine_version_parse("0.9") == engine_version_parse("0.9.0"));
	assert_true(
		engine_version_parse("latest") == 0 && engine_version_parse("") == 0 && engine_version_parse("7") == 0);
	assert_true(engine_version_parse("99999.1.1") == 0);
	assert_string_equal(ENGINE_VERSION(engine_version_parse("v0.8.5.post1")), "0.8.5.post1");
	assert_string_equal(ENGINE_VERSION(engine_version_parse("0.10")), "0.10.0");
}

static struct engine_span of(enum rule_engine e, enum engine_kind kind, const char *name)
{
	return engine_span_of(e, kind, name);
}

static void architectures_begin_and_end(void **state)
{
	struct engine_span s = of(RULE_VLLM, ENGINE_ARCHITECTURE, "Qwen3ForCausalLM");

	(void)state;
	assert_true(engine_span_holds(s, engine_version_parse("0.8.4")) &&
		    !engine_span_holds(s, engine_version_parse("0.8.3")));
	assert_true(engine_span_holds(s, engine_version_parse("9.0.0"))); /* nothing says that it went */
	s = of(RULE_VLLM, ENGINE_ARCHITECTURE, "MllamaForConditionalGeneration");
	assert_true(engine_span_holds(s, engine_version_parse("0.10.2")) &&
		    !engine_span_holds(s, engine_version_parse("0.11.0")));
	s = of(RULE_SGLANG, ENGINE_ARCHITECTURE, "Qwen3ForCausalLM");
	assert_true(s.first && s.first < engine_version_parse("0.5.0"));
	assert_true(of(RULE_VLLM, ENGINE_ARCHITECTURE, "NoSuchForCausalLM").first == 0);
	assert_true(of(RULE_LLAMA, ENGINE_ARCHITECTURE, "Qwen3ForCausalLM").first == 0);
	assert_string_equal(engine_class_of("qwen3_moe"), "Qwen3MoeForCausalLM");
	assert_null(engine_class_of("nothing"));
}

/* BaiChuanForCausalLM is vLLM's alone, BaichuanForCausalLM of both; no name may be answered by one that differs in case. */
static void a_class_is_looked_up_in_its_own_case(void **state)
{
	(void)state;
	assert_true(of(RULE_SGLANG, ENGINE_ARCHITECTURE, "BaichuanForCausalLM").first == engine_version_parse("0.3.6"));
	assert_true(of(RULE_SGLANG, ENGINE_ARCHITECTURE, "BaiChuanForCausalLM").first == 0);
	assert_true(
		of(RULE_VLLM, ENGINE_ARCHITECTURE, "BailingMoeForCausalLM").first == engine_version_parse("0.10.0"));
	assert_true(of(RULE_VLLM, ENGINE_ARCHITECTURE, "BailingMoEForCausalLM").first == 0);
	assert_true(of(RULE_SGLANG, ENGINE_ARCHITECTURE, "qwen3FORcausallm").first == 0);
	/* Other names in any case, the exact one first. */
	assert_true(of(RULE_VLLM, ENGINE_QUANTIZATION, "deepspeedfp").last == engine_version_parse("0.14.1"));
	assert_true(of(RULE_VLLM, ENGINE_QUANTIZATION, "DeepSpeedFP").last == engine_version_parse("0.8.5.post1"));
	assert_true(of(RULE_VLLM, ENGINE_QUANTIZATION, "GPTQ").first != 0);
}

static void quantizations_ask_less_of_cards_as_time_goes(void **state)
{
	(void)state;
	assert_int_equal(engine_quantization_least("fp8", engine_version_parse("0.5.0")), 89);
	assert_int_equal(engine_quantization_least("fp8", engine_version_parse("0.10.2")), 80);
	assert_int_equal(engine_quantization_least("FP8", engine_version_parse("0.33.0")), 75);
	assert_int_equal(engine_quantization_least("compressed-tensors:wna16", engine_version_parse("0.9.1")), 80);
	assert_int_equal(engine_quantization_least("fp8", engine_version_parse("0.1.0")), 0);
	assert_int_equal(engine_quantization_least("nothing", engine_version_parse("0.33.0")), 0);
}

static void kernels_are_built_for_generations(void **state)
{
	(void)state;
	assert_true(engine_built_for(engine_version_parse("0.6.3"), 86));
	assert_false(engine_built_for(engine_version_parse("0.8.5"), 120)); /* made before CUDA 12.8 */
	assert_true(engine_built_for(engine_version_parse("0.9.0"), 120));
	assert_true(engine_built_for(engine_version_parse("0.9.0"), 121)); /* code for 12.0 runs on 12.1 */
	assert_true(engine_built_for(engine_version_parse("0.12.0"), 103));
	assert_false(engine_built_for(engine_version_parse("0.10.2"), 110));
	assert_true(engine_first_built_for(110) == engine_version_parse("0.11.1"));
	assert_true(engine_first_built_for(200) == 0);
}

static void every_name_has_an_engine_and_an_order(void **state)
{
	static const enum engine_kind kinds[] = {
		ENGINE_ARCHITECTURE, ENGINE_QUANTIZATION, ENGINE_ATTENTION, ENGINE_RULE};
	struct engine_span vllm = engine_releases(RULE_VLLM), sglang = engine_releases(RULE_SGLANG);

	(void)state;
	assert_true(vllm.first && vllm.last > vllm.first && sglang.last > sglang.first);
	for (uint32_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
		for (uint32_t i = 0; engine_name_at(kinds[k], i); i++) {
			const char *name = engine_name_at(kinds[k], i);
			struct engine_span a = of(RULE_VLLM, kinds[k], name), b = of(RULE_SGLANG, kinds[k], name);
			if (!(a.first || b.first) || (a.last && a.last < a.first) || (b.last && b.last < b.first))
				fail_msg("\"%s\" has no releases that can be", name);
		}
	/* Each family's class is one that some engine has. */
	for (uint32_t i = 0; engine_name_at(ENGINE_FAMILY, i); i++) {
		const char *class = engine_class_of(engine_name_at(ENGINE_FAMILY, i));
		if (!of(RULE_VLLM, ENGINE_ARCHITECTURE, class).first &&
			!of(RULE_SGLANG, ENGINE_ARCHITECTURE, class).first)
			fail_msg("no engine has \"%s\"", class);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(releases_compare_as_their_makers_number_them),
		cmocka_unit_test(architectures_begin_and_end),
		cmocka_unit_test(a_class_is_looked_up_in_its_own_case),
		cmocka_unit_test(quantizations_ask_less_of_cards_as_time_goes),
		cmocka_unit_test(kernels_are_built_for_generations),
		cmocka_unit_test(every_name_has_an_engine_and_an_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
