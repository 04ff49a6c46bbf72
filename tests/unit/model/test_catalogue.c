#include "../lib/cmocka_all.h"
#include "model/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reading checks each entry's parameters against its shapes (1 %). */
static void the_built_in_file_has_no_mistakes(void **state)
{
	struct diags d;
	struct err err;
	struct model_facts m;
	uint32_t n = 0;

	(void)state;
	diags_init(&d);
	int code = model_catalogue_add_file("data/models.txt", &d, &err);
	for (uint32_t i = 0; i < d.len; i++)
		print_error("%s: %s\n", d.items[i].pos, d.items[i].text);
	assert_int_equal(code, 0);
	diags_done(&d);
	while (model_facts_at(&m, n)) {
		assert_true(m.weight_bytes > 0 && m.context_max >= 2048 && m.source[0] && m.params_active <= m.params);
		assert_true(model_tp_valid(&m, 1));
		n++;
	}
	assert_true(n >= 210);
}

static void find(struct model_facts *m, const char *name)
{
	struct err err;

	err_clear(&err);
	if (model_facts_by_name(m, name, &err) < 0)
		fail_msg("%s: %s", name, err.msg);
}

static uint64_t kv(const char *name, uint64_t tokens)
{
	struct model_facts m;

	find(&m, name);
	return model_kv_bytes(&m, KV_F16, tokens);
}

/* Gemma 4: layers without a window have fewer and wider heads; E4B's last 18 layers keep none; Nemotron-H has 6 layers of 52. */
static void kv_of_layers_that_differ(void **state)
{
	struct model_facts m;

	(void)state;
	assert_int_equal(kv("google/gemma-4-31B-it", 100), (50 * 16 * 256 + 10 * 4 * 512) * 2 * 2 * 100);
	assert_int_equal(kv("google/gemma-4-31B-it", 5000), (50 * 16 * 256 * 1024 + 10 * 4 * 512 * 5000) * 2ull * 2);
	assert_int_equal(kv("gemma-4-E4B", 512), (20 * 2 * 256 + 4 * 2 * 512) * 2 * 2 * 512);
	assert_int_equal(kv("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 1000), 6 * 2 * 128 * 2 * 2 * 1000);
	assert_int_equal(kv("meta-llama/Llama-3.2-11B-Vision-Instruct", 10), 32 * 8 * 128 * 2 * 2 * 10);
	find(&m, "google/gemma-4-31B-it");
	assert_int_equal(model_kv_bytes_per_token_tp(&m, KV_F16, 8), (50 * 2 * 256 + 10 * 1 * 512) * 2 * 2);
}

static void totals_are_near_what_the_names_say(void **state)
{
	static const struct {
		const char *name;
		double billions;
	} table[] = {{"nvidia/Nemotron-H-56B-Base-8K", 56}, {"Nemotron-3-Ultra-550B-A55B", 550},
		{"Nemotron-3-Super-120B-A12B", 120.5}, {"gemma-4-26B-A4B-it", 25.8}, {"Llama-3.2-90B-Vision", 88.6},
		{"Qwen3.6-35B-A3B", 35}, {"MiMo-7B", 7.62}};
	struct model_facts m;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		find(&m, table[i].name);
		double apart = (double)m.params / 1e9 / table[i].billions;
		if (apart < 0.98 || apart > 1.02)
			fail_msg("%s: %llu", table[i].name, (unsigned long long)m.params);
	}
}

/* A name that lacks more than its owner's word is another model's, and no name becomes a model that it does not name. */
static void near_names_are_no_models(void **state)
{
	static const char *const none[] = {"Llama-8B", "mistral", "Qwen-14B", "someone/Hermes-3-Llama-3.1-8B",
		"Distill-Qwen-7B", "deepseek-ai/DeepSeek-V9", "gemma-4", "4B-it"};
	struct model_facts m;
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(none); i++)
		if (model_facts_by_name(&m, none[i], &err) != -ENOENT)
			fail_msg("\"%s\" was taken for %s", none[i], m.name);
	find(&m, "R1-Distill-Qwen-14B");
	assert_string_equal(m.name, "DeepSeek-R1-Distill-Qwen-14B");
	find(&m, "unsloth/Llama-3.1-8B-Instruct");
	assert_string_equal(m.name, "Llama-3.1-8B");
}

static void a_makers_own_file_has_its_own_record_or_is_a_guess(void **state)
{
	struct model_facts m, plain;

	(void)state;
	find(&m, "nvidia/Qwen3.5-397B-A17B-NVFP4");
	assert_string_equal(m.quant, "nvfp4");
	assert_true(m.params_unquantized > 0 && !*m.unsure);
	find(&m, "nvidia/Llama-3.3-70B-Instruct-NVFP4"); /* nobody here has seen what it leaves out */
	assert_string_equal(m.quant, "nvfp4");
	assert_string_equal(m.quant_format, "modelopt");
	assert_non_null(strstr(m.unsure, "16 bits is not known"));
	find(&m, "nvidia/DeepSeek-R1-FP4");
	assert_string_equal(m.quant, "nvfp4");
	find(&m, "RedHatAI/Qwen3-8B-FP8-dynamic");
	assert_string_equal(m.quant_format, "compressed-tensors");
	assert_int_equal(m.quant_block, 0);
	find(&m, "Qwen/Qwen3-8B-FP8");
	assert_int_equal(m.quant_block, 128);
	assert_string_equal(m.quant_format, "");
	find(&m, "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16");
	find(&plain, "meta-llama/Llama-3.1-8B");
	assert_string_equal(m.quant, "gptq");
	assert_true(m.weight_bytes < plain.weight_bytes / 2);
	find(&m, "mlx-community/Llama-3.1-8B-Instruct-4bit");
	assert_non_null(strstr(m.unsure, "does not say how"));
}

/* Experts are spread over all GPUs of a data-parallel group, and the rest is held by each. */
static void experts_spread_over_data_parallel_gpus(void **state)
{
	struct model_facts m;

	(void)state;
	find(&m, "Qwen/Qwen3-Coder-480B-A35B-Instruct");
	uint64_t all = model_weight_bytes(&m, NULL), expert = m.params_expert * 2;
	assert_int_equal(model_weight_bytes_ep(&m, NULL, 1, 1), all);
	assert_int_equal(model_weight_bytes_ep(&m, NULL, 1, 8), all - expert + (expert + 7) / 8);
	assert_int_equal(model_weight_bytes_ep(&m, NULL, 8, 8), model_weight_bytes_tp(&m, NULL, 8));
	find(&m, "Qwen3-8B");
	assert_int_equal(model_weight_bytes_ep(&m, NULL, 1, 8), model_weight_bytes(&m, NULL));
}

static void published_counts_are_met_exactly(void **state)
{
	static const struct {
		const char *name;
		uint64_t params;
	} table[] = {{"DeepSeek-R1-Distill-Qwen-14B", 14770033664}, {"Llama-3.1-8B", 8030261248},
		{"Llama-3.1-405B", 405853388800}, {"Qwen3-30B-A3B", 30532122624}, {"Mixtral-8x7B", 46702792704},
		{"Gemma-3-27B", 27432406640}, {"DeepSeek-V2-Lite", 15706484224}, {"phi-2", 2779683840},
		{"Command-R-Plus-104B", 103810674688}, {"SmolLM2-135M", 134515008}, {"facebook/opt-125m", 125239296},
		{"GLM-4.5-Air", 106852245504}, {"EXAONE-4.0-32B", 32003216384},
		{"Llama-4-Maverick-17B-128E", 401583781376}};
	struct model_facts m;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		find(&m, table[i].name);
		if (m.params != table[i].params)
			fail_msg("%s: %llu", table[i].name, (unsigned long long)m.params);
	}
}

static void names_as_people_write_them(void **state)
{
	static const char *const pairs[][2] = {
		{"deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "DeepSeek-R1-Distill-Qwen-14B"},
		{"R1-Distill-Qwen-14B", "DeepSeek-R1-Distill-Qwen-14B"},
		{"r1-distill-llama-8b", "DeepSeek-R1-Distill-Llama-8B"},
		{"Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B-Instruct"}, {"qwen2.5-7b", "Qwen2.5-7B"},
		{"meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"}, {"Meta-Llama-3.1-70B-Instruct", "Llama-3.1-70B"},
		{"mistralai/Mistral-7B-Instruct-v0.3", "Mistral-7B-v0.3"}, {"google/gemma-2-9b-it", "Gemma-2-9B"},
		{"openai/gpt-oss-20b", "gpt-oss-20b"}, {"deepseek-ai/DeepSeek-R1", "DeepSeek-R1"},
		{"HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2-135M"}, {"Qwen3-8B", "Qwen3-8B"}};
	struct model_facts m;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(pairs); i++) {
		find(&m, pairs[i][0]);
		if (strcmp(m.name, pairs[i][1]) != 0)
			fail_msg("\"%s\" finds %s, not %s", pairs[i][0], m.name, pairs[i][1]);
	}
}

static void each_variant_has_the_context_of_its_own_config(void **state)
{
	static const struct {
		const char *name;
		uint32_t context;
	} table[] = {{"Qwen/Qwen2.5-14B", 131072}, {"Qwen/Qwen2.5-14B-Instruct", 32768}, {"Qwen/Qwen2.5-3B", 32768},
		{"MiniMaxAI/MiniMax-M2.7", 204800}, {"zai-org/GLM-4.6-FP8", 202752}, {"Qwen/Qwen2.5-72B", 131072},
		{"Qwen2.5-72B-Instruct", 32768}, {"Qwen/Qwen2.5-Coder-14B", 32768},
		{"Qwen/Qwen2.5-Math-7B-Instruct", 4096}, {"Qwen/Qwen2-72B", 131072}, {"Qwen/Qwen2-72B-Instruct", 32768},
		{"Qwen/Qwen2-57B-A14B-Instruct", 32768}, {"microsoft/Phi-3-mini-4k-instruct", 4096},
		{"microsoft/Phi-3-mini-128k-instruct", 131072}, {"microsoft/Phi-3-medium-4k-instruct", 4096},
		/* Copies of a variant, quantized or not, are that variant and not its base. */
		{"unsloth/Qwen2.5-14B-Instruct", 32768}, {"unsloth/Qwen2.5-14B-Instruct-bnb-4bit", 32768},
		{"Qwen/Qwen2.5-32B-Instruct-GPTQ-Int4", 32768}, {"someone/qwen2.5_14b", 131072}};
	struct model_facts m;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		find(&m, table[i].name);
		if (m.context_max != table[i].context)
			fail_msg("%s: context %u of %s", table[i].name, m.context_max, m.name);
	}
}

/* A hybrid caches in its layers with attention; sparse attention caches its indexer's keys beside the latent. */
static void hybrids_and_sparse_attention_cache_what_they_do(void **state)
{
	struct model_facts m;

	(void)state;
	find(&m, "Qwen/Qwen3-Next-80B-A3B-Thinking");
	assert_int_equal(m.kv_layers, 12);
	assert_int_equal(model_kv_bytes_per_token(&m, KV_F16), 12 * 2 * 2 * 256 * 2);
	assert_true(m.state_bytes > 36 * 32 * 128 * 128 * 2 && m.params_active < 4500000000);
	find(&m, "deepseek-ai/DeepSeek-V3.2-Exp");
	assert_int_equal(model_kv_bytes_per_token(&m, KV_F16), 61 * (576 * 2 + 128 + 4));
	find(&m, "deepseek-ai/DeepSeek-V3.1-Terminus");
	assert_int_equal(model_kv_bytes_per_token(&m, KV_F16), 61 * 576 * 2);
}

/* Kimi-K2-Thinking: int4 in groups of 32 in the experts alone; its files have 594 GB. */
static void what_quantized_files_leave_in_16_bits_is_counted_so(void **state)
{
	struct model_facts m;

	(void)state;
	find(&m, "moonshotai/Kimi-K2-Thinking");
	assert_int_equal(m.quant_group, 32);
	assert_true(m.weight_bytes > 594000000000 && m.weight_bytes < 612000000000);
	assert_true(m.params_unquantized > 9000000000);
}

/* Sizes of published files, as kaito's catalogue of models lists them (2026-08). mtp: GiB of layers for multi-token prediction, which
 * are in the files and not loaded. */
static void weights_are_as_large_as_their_published_files(void **state)
{
	static const struct {
		const char *name;
		double gib, mtp;
	} files[] = {
		{"microsoft/phi-4", 27.31, 0},
		{"mistralai/Mistral-Large-3-675B-Instruct-2512", 634.70, 4},
		{"mistralai/Mistral-Small-4-119B-2603", 112.63, 0.8},
		{"mistralai/Ministral-3-14B-Instruct-2512", 14.65, 0},
		{"nvidia/NVIDIA-Nemotron-Nano-9B-v2", 16.56, 0},
		{"Qwen/Qwen3-8B-AWQ", 5.68, 0},
		{"google/gemma-4-E4B-it", 14.89, 0},
		{"google/gemma-4-26B-A4B-it", 48.07, 0},
		{"Qwen/Qwen3.5-4B", 8.68, 0.23},
		{"Qwen/Qwen3.5-122B-A10B", 232.99, 4.7},
		{"Qwen/Qwen3.5-122B-A10B-GPTQ-Int4", 73.47, 4.7},
		{"Qwen/Qwen3.5-397B-A17B-GPTQ-Int4", 219.56, 12.3},
		{"Qwen/Qwen3.6-35B-A3B-FP8", 34.90, 0.8},
		{"moonshotai/Kimi-K2.6", 554.32, 0},
		{"MiniMaxAI/MiniMax-M2.7", 214.34, 0},
		{"zai-org/GLM-5.2-FP8", 703.75, 9},
		{"deepseek-ai/DeepSeek-V3.2", 642.14, 13},
		{"ibm-granite/granite-4.1-8b", 16.38, 0},
	};
	struct model_facts m;

	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		find(&m, files[i].name);
		double gib = (double)m.weight_bytes / (1 << 30), apart = gib + files[i].mtp - files[i].gib;
		if (apart > files[i].gib / 100 || apart < -files[i].gib / 100)
			fail_msg("%s: %.2f GiB, its files have %.2f", files[i].name, gib, files[i].gib);
	}
}

/* What others than its maker leave in 16 bits of a hybrid is not known. */
static void a_stranger_s_4_bit_hybrid_is_a_guess(void **state)
{
	struct model_facts m;

	(void)state;
	find(&m, "someone/Qwen3.5-27B-AWQ");
	assert_non_null(strstr(m.unsure, "leaves in 16 bits"));
	find(&m, "someone/Qwen3-32B-AWQ");
	assert_string_equal(m.unsure, "");
	find(&m, "Qwen/Qwen3.5-27B-GPTQ-Int4");
	assert_string_equal(m.unsure, "");
	assert_true(m.params_unquantized > m.params_linear / 4);
}

/* Several sizes at once: at the least four bits, so that what does not fit then never will; and another's file may have another context. */
static void an_unknown_mixture_is_counted_in_4_bits(void **state)
{
	struct model_facts m, four;

	(void)state;
	find(&m, "QuantTrio/GLM-4.6-GPTQ-Int4-Int8Mix");
	find(&four, "someone/GLM-4.6-GPTQ-Int4");
	assert_non_null(strstr(m.unsure, "does not say how"));
	assert_int_equal(m.weight_bytes, four.weight_bytes);
	assert_true(m.variant && four.variant);
	find(&m, "Qwen/Qwen2.5-7B-Instruct-AWQ");
	assert_false(m.variant);
}

static void what_is_from_memory_or_unnamed_is_unsure(void **state)
{
	struct model_facts m;

	(void)state;
	for (uint32_t i = 0; model_facts_at(&m, i); i++)
		if ((strstr(m.source, "from memory") != NULL) != (m.unsure[0] != '\0'))
			fail_msg("%s: source \"%s\", unsure \"%s\"", m.name, m.source, m.unsure);
	find(&m, "01-ai/Yi-1.5-9B-Chat-AWQ");
	assert_non_null(strstr(m.unsure, "from memory"));
	find(&m, "unsloth/Qwen3-14B-GGUF");
	assert_non_null(strstr(m.unsure, "does not say which file"));
	find(&m, "unsloth/Qwen3-14B-GGUF:Q4_K_M");
	assert_string_equal(m.unsure, "");
}

static void a_name_s_tail_names_the_quantization(void **state)
{
	struct model_facts m;

	(void)state;
	find(&m, "Qwen/Qwen2.5-14B-Instruct-AWQ");
	assert_string_equal(m.name, "Qwen2.5-14B-Instruct");
	assert_string_equal(m.quant, "awq");
	/* 13.212 G matrix parameters x 4.156 bits, 1.557 G others x 16 */
	assert_true(m.weight_bytes > 9970000000 && m.weight_bytes < 9990000000);
	find(&m, "Qwen2.5-7B-Instruct-GPTQ-Int4");
	assert_string_equal(m.quant, "gptq");
	find(&m, "Llama-3.1-8B-FP8");
	assert_string_equal(m.quant, "fp8");
	find(&m, "bartowski/DeepSeek-R1-Distill-Qwen-14B-GGUF:Q4_K_M");
	assert_string_equal(m.quant, "q4_k_m");
	find(&m, "ggml-org/Qwen2.5-Coder-3B-Q8_0-GGUF");
	assert_string_equal(m.quant, "q8_0");
	assert_string_equal(m.unsure, "");
	find(&m, "bartowski/DeepSeek-R1-Distill-Qwen-14B-GGUF:Q4_K_M");
	/* the published file has 8,988,110,976 bytes */
	assert_true(llabs((long long)m.weight_bytes - 8988110976) < 8988110976 / 200);
}

static void an_unknown_name_gets_a_suggestion(void **state)
{
	struct model_facts m;
	struct err err;

	(void)state;
	assert_int_equal(model_facts_by_name(&m, "Qwen2.6-7B", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "did you mean \"Qwen2.5-7B\""));
	assert_int_equal(model_facts_by_name(&m, "", &err), -ENOENT);
	assert_int_equal(model_facts_by_name(&m, "x/", &err), -ENOENT);
}

static void the_user_s_models_are_checked(void **state)
{
	static const char text[] = "My-1B arch=llama layers=2 hidden=64 heads=4 kv=2 head_dim=16 inter=128 vocab=1000 "
				   "context=2048 params=202000 source=me\n"
				   "My-2B arch=llama layers=2 hidden=64 heads=4 kv=2 head_dim=16 inter=128 vocab=1000 "
				   "context=2048 params=999000 source=me\n"
				   "My-3B arch=llama layers=2 hidden=64 heads=4 kv=3 head_dim=16 inter=128 vocab=1000 "
				   "context=2048 params=200000 source=me\n";
	struct diags d;
	struct model_facts m;

	(void)state;
	diags_init(&d);
	assert_int_equal(model_catalogue_add("m.txt", text, strlen(text), &d), -EINVAL);
	assert_int_equal(d.errors, 2);
	assert_non_null(strstr(d.items[0].text, "params says 999000"));
	assert_non_null(strstr(d.items[1].text, "do not divide among 3 KV heads"));
	diags_done(&d);
	find(&m, "my-1b");
	assert_int_equal(m.params, 202048);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_built_in_file_has_no_mistakes),
		cmocka_unit_test(kv_of_layers_that_differ),
		cmocka_unit_test(totals_are_near_what_the_names_say),
		cmocka_unit_test(near_names_are_no_models),
		cmocka_unit_test(a_makers_own_file_has_its_own_record_or_is_a_guess),
		cmocka_unit_test(experts_spread_over_data_parallel_gpus),
		cmocka_unit_test(published_counts_are_met_exactly),
		cmocka_unit_test(names_as_people_write_them),
		cmocka_unit_test(each_variant_has_the_context_of_its_own_config),
		cmocka_unit_test(hybrids_and_sparse_attention_cache_what_they_do),
		cmocka_unit_test(what_quantized_files_leave_in_16_bits_is_counted_so),
		cmocka_unit_test(weights_are_as_large_as_their_published_files),
		cmocka_unit_test(a_stranger_s_4_bit_hybrid_is_a_guess),
		cmocka_unit_test(an_unknown_mixture_is_counted_in_4_bits),
		cmocka_unit_test(what_is_from_memory_or_unnamed_is_unsure),
		cmocka_unit_test(a_name_s_tail_names_the_quantization),
		cmocka_unit_test(an_unknown_name_gets_a_suggestion),
		cmocka_unit_test(the_user_s_models_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
