/* KV, weight and tensor-parallel arithmetic against worked figures. */
#include "../lib/cmocka_all.h"
#include "model/facts.h"

#include <stdio.h>
#include <string.h>

static struct model_facts find(const char *name)
{
	struct model_facts m;
	struct err err;

	if (model_facts_by_name(&m, name, &err) < 0)
		fail_msg("%s", err.msg);
	return m;
}

static void kv_bytes_per_token_are_the_published_ones(void **state)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} table[] = {{"DeepSeek-R1-Distill-Qwen-14B", 196608}, {"Qwen2.5-0.5B", 12288}, {"Llama-3.1-8B", 131072},
		{"Llama-3.1-405B", 516096}, {"SmolLM2-135M", 23040}, {"Gemma-2-27B", 376832}, {"gpt-oss-20b", 49152},
		{"DeepSeek-V3", 70272}, {"Qwen3-235B-A22B", 192512}, {"SmolLM2-1.7B", 196608}};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		struct model_facts m = find(table[i].name);
		assert_int_equal(model_kv_bytes_per_token(&m, KV_F16), table[i].bytes);
		assert_int_equal(model_kv_bytes_per_token(&m, KV_FP8), table[i].bytes / 2);
	}
	struct model_facts m = find("SmolLM2-135M");
	assert_int_equal(model_kv_bytes_per_token(&m, KV_Q8_0), 30 * 2 * 192 / 32 * 34);
}

static void kv_heads_are_divided_then_replicated(void **state)
{
	struct model_facts m = find("DeepSeek-R1-Distill-Qwen-14B");

	(void)state;
	assert_int_equal(model_kv_bytes_per_token_tp(&m, KV_F16, 4), 49152);
	assert_int_equal(model_kv_bytes_per_token_tp(&m, KV_F16, 8), 24576);
	assert_int_equal(model_kv_bytes_per_token_tp(&m, KV_F16, 16), 24576);
	m = find("DeepSeek-V3");
	assert_int_equal(model_kv_bytes_per_token_tp(&m, KV_F16, 8), 70272);
}

static void sliding_layers_keep_their_window(void **state)
{
	struct model_facts m = find("Gemma-2-2B"); /* 26 layers, 13 slide over 4096; 4096 bytes a token a layer */

	(void)state;
	assert_int_equal(model_kv_bytes(&m, KV_F16, 100), 100 * 26 * 4096);
	assert_int_equal(model_kv_bytes(&m, KV_F16, 8192), 13 * 4096ull * (8192 + 4096));
	m = find("Gemma-3-4B");
	assert_int_equal(m.sliding_layers, 29);
}

static void weights_of_the_14b_case(void **state)
{
	struct model_facts m = find("DeepSeek-R1-Distill-Qwen-14B");

	(void)state;
	assert_int_equal(model_weight_bytes(&m, "float16"), 29540067328);
	assert_int_equal(model_weight_bytes(&m, "bfloat16"), 29540067328);
	assert_int_equal(model_weight_bytes(&m, "float32"), 2 * 29540067328);
	assert_int_equal(model_weight_bytes(&m, NULL), 29540067328);
	assert_int_equal(m.params_linear / 1000000, 13212);
	assert_int_equal(model_weight_bytes(&m, "awq") >> 20, 9517); /* 9.3 GiB */
	assert_int_equal(model_weight_bytes(&m, "fp8") / 100000000, 163);
	assert_int_equal(model_weight_bytes(&m, "no such"), 0);
	assert_false(model_quant_known("no such"));
	uint64_t four = model_weight_bytes_tp(&m, "float16", 4);
	assert_true(four > 29540067328 / 4 && four < 29540067328 / 4 + (4 << 20)); /* vectors are held by each */
	/* KV projections of one head of 8, not half a head: 48 x 5120 x 128 x 2 / 2 parameters more */
	uint64_t sixteen = model_weight_bytes_tp(&m, "float16", 16) - 29540067328 / 16;
	assert_true(sixteen > 58000000 && sixteen < 64000000);
}

static void native_quantizations_of_moe_models(void **state)
{
	struct model_facts m = find("gpt-oss-20b");

	(void)state;
	assert_true(m.weight_bytes > 12.7 * (1 << 30) && m.weight_bytes < 13.0 * (1 << 30)); /* published: 12.8 GiB */
	assert_true(m.params_active > 3500000000 && m.params_active < 4300000000);
	m = find("gpt-oss-120b");
	assert_true(m.weight_bytes > 60.4 * (1 << 30) && m.weight_bytes < 61.2 * (1 << 30)); /* 60.8 GiB */
	m = find("DeepSeek-R1");
	assert_true(m.weight_bytes > 670e9 && m.weight_bytes < 675e9);
	assert_true(m.params_active > 36e9 && m.params_active < 38e9);
	m = find("Mixtral-8x7B");
	assert_int_equal(m.params_active / 100000000, 128);
}

static void loaded(const char *name, uint32_t tp, double least, double most)
{
	struct model_facts m = find(name);
	double gib = (double)model_weight_bytes_tp(&m, NULL, tp) / (1 << 30);

	if (gib < least || gib > most)
		fail_msg("%s on %u GPUs: %.2f GiB each, not %.2f to %.2f", name, tp, gib, least, most);
}

/* vLLM's "Model loading took": MXFP4 experts are padded, and makers leave different parts of the same model in 16 bits. */
static void what_is_loaded_is_not_what_the_files_hold(void **state)
{
	struct model_facts m = find("gpt-oss-20b");

	(void)state;
	loaded("openai/gpt-oss-120b", 1, 65.7, 66.1); /* 65.97 */
	loaded("openai/gpt-oss-20b", 1, 13.6, 13.9);
	loaded("openai/gpt-oss-120b", 8, 8.5, 9.5); /* 360 of the intermediate size become 384 */
	loaded("meta-llama/Llama-3.1-405B-Instruct-FP8", 8, 56.5, 58.0); /* 57.75 */
	loaded("nvidia/Llama-3.1-405B-Instruct-FP8", 8, 47.5, 48.5);
	loaded("RedHatAI/Meta-Llama-3.1-405B-Instruct-FP8", 8, 47.5, 48.5);
	m.from = MODEL_FROM_GGUF; /* llama.cpp takes the file as it is */
	assert_int_equal(model_weight_bytes_tp(&m, NULL, 1), m.weight_bytes);
}

static void tensor_parallel_sizes_are_vllm_s(void **state)
{
	static const struct {
		const char *name;
		uint64_t sizes; /* bit i: i GPUs */
	} table[] = {{"DeepSeek-R1-Distill-Qwen-14B", 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8},
		{"Qwen2.5-7B", 1 << 1 | 1 << 2 | 1 << 4}, {"Qwen2.5-0.5B", 1 << 1 | 1 << 2},
		{"SmolLM2-135M", 1 << 1 | 1 << 3}};
	char why[128];

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		struct model_facts m = find(table[i].name);
		for (uint32_t tp = 0; tp < 10; tp++)
			assert_int_equal(model_tp_valid(&m, tp), table[i].sizes >> tp & 1);
	}
	struct model_facts m = find("DeepSeek-R1-Distill-Qwen-14B");
	assert_string_equal(model_tp_reason(&m, 3, why, sizeof why), "40 attention heads do not divide by 3");
	assert_string_equal(model_tp_reason(&m, 5, why, sizeof why), "8 KV heads do not divide by 5");
	assert_string_equal(model_tp_reason(&m, 4, why, sizeof why), "");
}

static void kv_types_by_name(void **state)
{
	(void)state;
	assert_int_equal(kv_dtype_parse("auto"), KV_F16);
	assert_int_equal(kv_dtype_parse("fp8_e5m2"), KV_FP8);
	assert_int_equal(kv_dtype_parse("Q8_0"), KV_Q8_0);
	assert_int_equal(kv_dtype_parse("int3"), KV_DTYPES);
	assert_string_equal(kv_dtype_name(KV_Q4_0), "q4_0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kv_bytes_per_token_are_the_published_ones),
		cmocka_unit_test(kv_heads_are_divided_then_replicated),
		cmocka_unit_test(sliding_layers_keep_their_window),
		cmocka_unit_test(weights_of_the_14b_case),
		cmocka_unit_test(native_quantizations_of_moe_models),
		cmocka_unit_test(what_is_loaded_is_not_what_the_files_hold),
		cmocka_unit_test(tensor_parallel_sizes_are_vllm_s),
		cmocka_unit_test(kv_types_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
