#include "../lib/cmocka_all.h"
#include "gpu/rules.h"

#include "base/compiler.h"
#include <string.h>
#include <stdint.h>

static void expect(const struct rule_answer *a, enum rule_verdict v, const char *words, const char *instead)
{
	assert_int_equal(a->verdict, v);
	if (!strstr(a->text, words))
		fail_msg("\"%s\" does not say \"%s\"", a->text, words);
	if (instead)
		assert_string_equal(a->instead, instead);
	assert_true(a->source && a->source[0]);
}

static void bfloat16_on_a_t4_is_refused_and_falls_back_by_itself(void **state)
{
	struct rule_answer a;

	(void)state;
	rule_dtype(&a, RULE_VLLM, 75, "bfloat16", true, "qwen2");
	expect(&a, RULE_NO, "needs capability 8.0 (Ampere)", "float16");
	rule_dtype(&a, RULE_VLLM, 75, "auto", false, "qwen2");
	expect(&a, RULE_INSTEAD, "falls back to float16", "float16");
	rule_dtype(&a, RULE_VLLM, 75, "half", true, "qwen2");
	expect(&a, RULE_YES, "every card", NULL);
	rule_dtype(&a, RULE_VLLM, 80, "bfloat16", true, "qwen2");
	expect(&a, RULE_YES, "", NULL);
	rule_dtype(&a, RULE_VLLM, 75, "float16", true, "gemma3");
	expect(&a, RULE_NO, "overflows float16", "float32");
	rule_dtype(&a, RULE_VLLM, 75, "auto", false, "gemma2");
	expect(&a, RULE_NO, "twice the memory", "float32");
	rule_dtype(&a, RULE_VLLM, 90, "float17", true, NULL);
	expect(&a, RULE_UNKNOWN, "no dtype", NULL);
	rule_dtype(&a, RULE_LLAMA, 75, "bfloat16", true, NULL);
	expect(&a, RULE_YES, "", NULL);
}

static void attention_on_turing_is_another_kernel_and_harmless(void **state)
{
	struct rule_answer a;

	(void)state;
	rule_attention(&a, RULE_VLLM, 75, NULL);
	expect(&a, RULE_INSTEAD, "harmless", "TRITON_ATTN");
	rule_attention(&a, RULE_VLLM, 80, "auto");
	expect(&a, RULE_YES, "FlashAttention-2", "FLASH_ATTN");
	rule_attention(&a, RULE_VLLM, 75, "FLASH_ATTN");
	expect(&a, RULE_NO, "needs capability 8.0", "TRITON_ATTN");
	rule_attention(&a, RULE_VLLM, 80, "FLASH_ATTN_3");
	expect(&a, RULE_NO, "9.0", "FLASH_ATTN");
	rule_attention(&a, RULE_VLLM, 90, "flash_attn_3");
	expect(&a, RULE_YES, "", NULL);
	rule_attention(&a, RULE_VLLM, 61, NULL);
	expect(&a, RULE_NO, "7.0", NULL);
	rule_attention(&a, RULE_VLLM, 80, "MAGIC");
	expect(&a, RULE_UNKNOWN, "", NULL);
	rule_attention(&a, RULE_SGLANG, 75, NULL);
	expect(&a, RULE_INSTEAD, "Triton", "triton");
}

static void quantizations_by_capability(void **state)
{
	static const struct {
		uint32_t capability;
		const char *name;
		enum rule_verdict v;
	} table[] = {{75, "awq", RULE_YES}, {70, "awq", RULE_NO}, {70, "gptq", RULE_YES}, {75, "fp8", RULE_INSTEAD},
		{89, "fp8", RULE_YES}, {70, "fp8", RULE_NO}, {75, "int8", RULE_YES}, {75, "mxfp4", RULE_NO},
		{80, "mxfp4", RULE_INSTEAD}, {100, "nvfp4", RULE_YES}, {75, "none", RULE_YES},
		{75, "zip", RULE_UNKNOWN}};
	struct rule_answer a;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		rule_quantization(&a, RULE_VLLM, table[i].capability, table[i].name);
		expect(&a, table[i].v, "", NULL);
	}
	rule_quantization(&a, RULE_LLAMA, 61, "q4_k_m");
	expect(&a, RULE_YES, "", NULL);
}

static void kv_types_and_engines(void **state)
{
	struct rule_answer a;

	(void)state;
	rule_kv_dtype(&a, RULE_VLLM, 75, "fp8");
	expect(&a, RULE_NO, "8.9", "auto");
	rule_kv_dtype(&a, RULE_VLLM, 89, "fp8_e4m3");
	expect(&a, RULE_YES, "", NULL);
	rule_kv_dtype(&a, RULE_VLLM, 75, NULL);
	expect(&a, RULE_YES, "", NULL);
	rule_kv_dtype(&a, RULE_LLAMA, 75, "q8_0");
	expect(&a, RULE_YES, "flash attention", NULL);
	rule_kv_dtype(&a, RULE_LLAMA, 75, "fp8");
	expect(&a, RULE_UNKNOWN, "", NULL);
	rule_engine_runs(&a, RULE_VLLM, 75);
	expect(&a, RULE_YES, "Turing", NULL);
	rule_engine_runs(&a, RULE_VLLM, 70);
	expect(&a, RULE_INSTEAD, "Volta", NULL);
	rule_engine_runs(&a, RULE_VLLM, 61);
	expect(&a, RULE_NO, "", "llama.cpp");
	rule_engine_runs(&a, RULE_SGLANG, 75);
	assert_int_equal(a.verdict, RULE_YES);
	rule_engine_runs(&a, RULE_SGLANG, 70);
	assert_int_equal(a.verdict, RULE_NO);
	rule_engine_runs(&a, RULE_LLAMA, 61);
	expect(&a, RULE_YES, "", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bfloat16_on_a_t4_is_refused_and_falls_back_by_itself),
		cmocka_unit_test(attention_on_turing_is_another_kernel_and_harmless),
		cmocka_unit_test(quantizations_by_capability),
		cmocka_unit_test(kv_types_and_engines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
