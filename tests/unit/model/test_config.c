/* What follows from a config.json alone, family by family. The counts are those of the published files (the elements of their
 * safetensors, added up), the texts hold the keys that decide. */
#include "../lib/cmocka_all.h"
#include "model/shape.h"

#include "base/compiler.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct model_facts read(const char *json)
{
	struct model_facts f;
	struct err err = {0};

	if (model_facts_from_config_json(&f, "config.json", json, strlen(json), &err) < 0)
		fail_msg("%s: %s", json, err.msg);
	return f;
}

#define MAMBA4 "\"mamba\", \"mamba\", \"mamba\", \"mamba\""
#define MAMBA9 MAMBA4 ", " MAMBA4 ", \"mamba\""
#define GRANITE                                                                                                        \
	"\"layer_types\": [" MAMBA4 ", \"mamba\", \"attention\", " MAMBA9 ", \"attention\", " MAMBA9                   \
	", \"attention\", " MAMBA9 ", \"attention\", " MAMBA4                                                          \
	"], \"model_type\": \"granitemoehybrid\", \"num_hidden_layers\": 40, \"vocab_size\": 100352, "                 \
	"\"tie_word_embeddings\": true, \"mamba_d_state\": 128, \"mamba_n_groups\": 1, \"mamba_d_head\": 64, "         \
	"\"mamba_expand\": 2, \"mamba_d_conv\": 4"
#define TIMES4(x) x ", " x ", " x ", " x
#define TIMES32(x)                                                                                                     \
	TIMES4(x)                                                                                                      \
	", " TIMES4(x) ", " TIMES4(x) ", " TIMES4(x) ", " TIMES4(x) ", " TIMES4(x) ", " TIMES4(x) ", " TIMES4(x)
#define FALCON                                                                                                         \
	"\"model_type\": \"falcon_h1\", \"num_key_value_heads\": 2, \"head_dim\": 128, \"mamba_d_state\": 256, \"mamba_n_groups\": 1, \"mamba_d_conv\": 4"

static void published_models_have_their_published_number_of_parameters(void **state)
{
	static const struct {
		const char *name, *json;
		uint64_t params, kv; /* bytes a token */
		uint32_t kv_layers;
	} models[] = {
		{"Granite-4.0-H-Tiny: Mamba-2, experts and a shared one in every layer",
			"{" GRANITE ", \"hidden_size\": 1536, \"num_attention_heads\": 12, \"num_key_value_heads\": 4, "
			"\"intermediate_size\": 512, \"shared_intermediate_size\": 1024, \"num_local_experts\": 64, "
			"\"num_experts_per_tok\": 6, \"mamba_n_heads\": 48}",
			6939037248, 4ull * 2 * 4 * 128 * 2, 4},
		{"Granite-4.0-H-1B: no experts, and the shared feed-forward is all there is",
			"{" GRANITE ", \"hidden_size\": 1536, \"num_attention_heads\": 12, \"num_key_value_heads\": 4, "
			"\"intermediate_size\": 9, \"shared_intermediate_size\": 4096, \"num_local_experts\": 0, "
			"\"num_experts_per_tok\": 0, \"mamba_n_heads\": 48}",
			1461538368, 4ull * 2 * 4 * 128 * 2, 4},
		{"Falcon-H1-7B: attention and Mamba side by side",
			"{" FALCON ", \"hidden_size\": 3072, \"num_hidden_layers\": 44, \"num_attention_heads\": 12, "
			"\"intermediate_size\": 12288, \"vocab_size\": 130048, \"mamba_n_heads\": 24, \"mamba_d_head\": 128, "
			"\"mamba_d_ssm\": 3072}",
			7585648736, 44ull * 2 * 2 * 128 * 2, 44},
		{"Nemotron-Nano-9B-v2: a letter a layer",
			"{\"model_type\": \"nemotron_h\", \"hidden_size\": 4480, \"num_hidden_layers\": 56, "
			"\"hybrid_override_pattern\": \"M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-\", "
			"\"num_attention_heads\": 40, \"num_key_value_heads\": 8, \"head_dim\": 128, \"intermediate_size\": 15680, "
			"\"vocab_size\": 131072, \"mamba_num_heads\": 128, \"mamba_head_dim\": 80, \"n_groups\": 8, "
			"\"ssm_state_size\": 128, \"conv_kernel\": 4, \"time_step_limit\": [0.0, Infinity]}",
			8888227328, 4ull * 2 * 8 * 128 * 2, 4},
		{"Kimi-Linear-48B: delta attention, and MLA in seven layers",
			"{\"model_type\": \"kimi_linear\", \"hidden_size\": 2304, \"num_hidden_layers\": 27, "
			"\"num_attention_heads\": 32, \"num_key_value_heads\": 32, \"intermediate_size\": 9216, "
			"\"moe_intermediate_size\": 1024, \"num_experts\": 256, \"num_experts_per_token\": 8, "
			"\"num_shared_experts\": 1, \"first_k_dense_replace\": 1, \"kv_lora_rank\": 512, \"q_lora_rank\": null, "
			"\"qk_rope_head_dim\": 64, \"qk_nope_head_dim\": 128, \"v_head_dim\": 128, \"vocab_size\": 163840, "
			"\"linear_attn_config\": {\"head_dim\": 128, \"num_heads\": 32, \"short_conv_kernel_size\": 4, "
			"\"kda_layers\": [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26]}}",
			49122681728, 7ull * 576 * 2, 7},
		{"LongCat-Flash: two attentions a layer",
			"{\"model_type\": \"longcat_flash\", \"hidden_size\": 6144, \"num_layers\": 28, "
			"\"num_attention_heads\": 64, \"ffn_hidden_size\": 12288, \"q_lora_rank\": 1536, \"kv_lora_rank\": 512, "
			"\"qk_nope_head_dim\": 128, \"qk_rope_head_dim\": 64, \"v_head_dim\": 128, \"moe_topk\": 12, "
			"\"n_routed_experts\": 512, \"zero_expert_num\": 256, \"expert_ffn_hidden_size\": 2048, "
			"\"vocab_size\": 131072}",
			561862880256, 56ull * 576 * 2, 56},
		{"Hunyuan-A13B: a list with the same number for every layer",
			"{\"model_type\": \"hunyuan_v1_moe\", \"hidden_size\": 4096, \"intermediate_size\": 3072, "
			"\"moe_intermediate_size\": [" TIMES32(
				"3072") "], \"num_hidden_layers\": 32, "
					"\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"head_dim\": 128, \"num_experts\": 64, "
					"\"moe_topk\": [" TIMES32("8") "], \"num_shared_expert\": [" TIMES32(
						"1") "], "
						     "\"vocab_size\": 128167, \"tie_word_embeddings\": true}",
			80393183232, 32ull * 2 * 8 * 128 * 2, 32},
		{"ERNIE-4.5-21B-A3B: experts from the second layer on",
			"{\"model_type\": \"ernie4_5_moe\", \"hidden_size\": 2560, \"intermediate_size\": 12288, "
			"\"num_hidden_layers\": 28, \"num_attention_heads\": 20, \"num_key_value_heads\": 4, "
			"\"moe_intermediate_size\": 1536, \"moe_k\": 6, \"moe_num_experts\": 64, \"moe_num_shared_experts\": 2, "
			"\"moe_layer_start_index\": 1, \"moe_layer_end_index\": 27, \"moe_layer_interval\": 1, "
			"\"vocab_size\": 103424}",
			21825437888, 28ull * 2 * 4 * 128 * 2, 28},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		struct model_facts f = read(models[i].json);
		double off = (double)f.params / (double)models[i].params - 1;
		if (off > 0.003 || off < -0.003 || *f.unsure)
			fail_msg("%s: %llu parameters, not %llu; %s", models[i].name, (unsigned long long)f.params,
				(unsigned long long)models[i].params, f.unsure);
		if (f.kv_layers != models[i].kv_layers || model_kv_bytes_per_token(&f, KV_F16) != models[i].kv)
			fail_msg("%s: %u layers keep %llu bytes a token", models[i].name, f.kv_layers,
				(unsigned long long)model_kv_bytes_per_token(&f, KV_F16));
	}
}

/* 64 wide, 4 heads of 16, 128 between, 100 words; layer: 4 x 64 x 64 + 3 x 64 x 128 = 40960 in matrices */
#define SMALL                                                                                                          \
	"\"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 4, \"intermediate_size\": 128, "    \
	"\"vocab_size\": 100, \"max_position_embeddings\": 64, \"num_hidden_layers\": "

static void a_layers_own_heads_and_width_are_counted(void **state)
{
	struct model_facts f = read("{\"model_type\": \"nemotron-nas\", " SMALL "3, \"block_configs\": ["
				    "{\"attention\": {\"n_heads_in_group\": 2}, \"ffn\": {\"intermediate_size\": 32}},"
				    "{\"attention\": {\"no_op\": true}, \"ffn\": {\"intermediate_size\": 64}},"
				    "{\"attention\": {\"replace_with_linear\": true}, \"ffn\": {\"no_op\": true}}]}");

	(void)state;
	/* q and o whole, k and v of two heads; two feed-forwards; one square matrix */
	assert_int_equal(f.params_linear, 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 32 + 3 * 64 * 64 + 64 * 64);
	assert_int_equal(f.kv_layers, 1);
	assert_int_equal(f.kv_heads, 2);
	assert_string_equal(f.unsure, "");
}

static void layers_with_a_window_may_have_other_heads(void **state)
{
	struct model_facts f = read(
		"{\"model_type\": \"mimo_v2_flash\", " SMALL
		"4, \"num_key_value_heads\": 1, \"head_dim\": 24, \"v_head_dim\": 16, \"swa_num_key_value_heads\": 2, "
		"\"swa_head_dim\": 24, \"sliding_window\": 8, \"hybrid_layer_pattern\": [0, 1, 1, 1]}");

	(void)state;
	assert_int_equal(f.sliding_layers, 3);
	/* a token: three layers of two heads, one of one; keys of 24 and values of 16 */
	assert_int_equal(model_kv_bytes_per_token(&f, KV_F16), (3 * 2 + 1) * (24 + 16) * 2);
	assert_int_equal(model_kv_bytes(&f, KV_F16, 100), (3 * 2 * 8 + 100) * (24 + 16) * 2);
}

static void what_a_list_leaves_out_is_not_quantized(void **state)
{
	/* of 2 layers: attention 16384 a layer, feed-forward 24576 */
	static const struct {
		const char *quant;
		uint64_t plain;
	} forms[] = {
		{"\"quant_method\": \"fp8\", \"modules_to_not_convert\": [\"lm_head\"]", 0},
		{"\"quant_method\": \"fp8\", \"ignored_layers\": [\"model.layers.0.self_attn.q_proj\"]", 4096},
		{"\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 64, \"modules_to_not_convert\": [\"self_attn\"]",
			32768},
		{"\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 64, \"dynamic\": {\"-:model\\\\.layers\\\\.1\\\\..*\": {}}",
			40960},
		{"\"quant_method\": \"auto-round\", \"bits\": 4, \"group_size\": 64, \"extra_config\": "
		 "{\"model.layers.1.mlp.up_proj\": {\"bits\": 16}}",
			8192},
		{"\"quant_method\": \"compressed-tensors\", \"ignore\": [\"re:.*self_attn.*\", \"lm_head\"], \"config_groups\": "
		 "{\"a\": {\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 4, \"type\": \"int\", \"group_size\": 64}}}",
			32768},
		{"\"quant_method\": \"modelopt\", \"quant_algo\": \"NVFP4\", \"exclude_modules\": [\"*.mlp.down_proj\", \"lm_head\"]",
			16384},
		{"\"quant_method\": \"modelopt\", \"quant_algo\": \"FP8\", \"ignore\": [\"model.layers.1*\"]", 40960},
	};
	char json[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		snprintf(json, sizeof json, "{\"model_type\": \"llama\", " SMALL "2, \"quantization_config\": {%s}}",
			forms[i].quant);
		struct model_facts f = read(json);
		if (f.params_unquantized != forms[i].plain || *f.unsure)
			fail_msg("%s: %llu; %s", forms[i].quant, (unsigned long long)f.params_unquantized, f.unsure);
		assert_int_equal(f.params_linear, 2 * 40960);
	}
}

static void sets_of_matrices_with_unlike_bits_are_added_up(void **state)
{
	struct model_facts f = read(
		"{\"model_type\": \"llama\", " SMALL
		"2, \"quantization_config\": {\"quant_method\": \"compressed-tensors\", "
		"\"config_groups\": {\"a\": {\"targets\": [\"re:.*self_attn.*\"], \"weights\": {\"num_bits\": 8, \"type\": \"float\"}}, "
		"\"b\": {\"targets\": [\"re:.*mlp.*\"], \"weights\": {\"num_bits\": 4, \"type\": \"float\", \"group_size\": 16}}}}}");
	uint64_t rest = (f.params - f.params_linear) * 2;

	(void)state;
	assert_string_equal(f.quant, "nvfp4");
	assert_int_equal(f.weight_bytes, 2 * 16384 + 2 * 24576 * 45 / 80 + rest);
	f = read(
		"{\"model_type\": \"llama\", " SMALL "2, \"quantization_config\": {\"quant_method\": \"modelopt\", "
		"\"quant_algo\": \"MIXED_PRECISION\", \"quantized_layers\": {"
		"\"model.layers.0.mlp\": {\"quant_algo\": \"NVFP4\"}, \"model.layers.1.self_attn.q_proj\": {\"quant_algo\": \"FP8\"}}}}");
	assert_int_equal(f.weight_bytes, 24576 * 45 / 80 + 4096 + (2 * 40960 - 24576 - 4096) * 2 + rest);
}

static void what_nothing_here_counts_is_said(void **state)
{
	static const char *const unsure[] = {
		"\"model_type\": \"hyena_9\", " SMALL "2",
		"\"model_type\": \"llama\", " SMALL "2, \"layer_types\": [\"full_attention\", \"perceiver\"]",
		"\"model_type\": \"llama\", " SMALL "2, \"layer_types\": [\"full_attention\"]",
		"\"model_type\": \"qwen3_next\", " SMALL
		"2, \"layer_types\": [\"linear_attention\", \"full_attention\"]",
		"\"model_type\": \"llama\", " SMALL "2, \"layer_types\": [\"mamba\", \"full_attention\"]",
		"\"model_type\": \"llama\", " SMALL "2, \"intermediate_size\": [128, 256]",
		"\"model_type\": \"llama\", " SMALL
		"2, \"quantization_config\": {\"quant_method\": \"exl3\", \"bits\": 3}",
		"\"model_type\": \"llama\", " SMALL
		"2, \"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 2}",
		"\"model_type\": \"llama\", " SMALL "2, \"quantization\": {\"group_size\": 64, \"bits\": 4}",
		"\"model_type\": \"llama\", " SMALL
		"2, \"quantization_config\": {\"quant_method\": \"compressed-tensors\", \"ignore\": "
		"[\"re:(?!x).*\"], \"config_groups\": {\"a\": {\"weights\": {\"num_bits\": 8, \"type\": \"int\"}}}}",
		"\"model_type\": \"gemma3n_text\", " SMALL "2, \"altup_num_inputs\": 4",
		"\"model_type\": \"hunyuan_v1_moe\", " SMALL "2, \"use_cla\": true, \"cla_share_factor\": 2",
	};
	char json[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(unsure); i++) {
		snprintf(json, sizeof json, "{%s}", unsure[i]);
		if (!*read(json).unsure)
			fail_msg("%s is taken for known", json);
	}
}

static void python_s_numbers_that_json_has_not_are_no_mistake(void **state)
{
	struct model_facts f = read("{\"model_type\": \"llama\", " SMALL
				    "2, \"a\": NaN, \"b\": -Infinity, \"c\": \"NaN, Infinity\", \"d\": [0, Infinity]}");
	struct err err = {0};
	const char *broken = "{\"model_type\": \"llama\", \"a\": NaN, \"b\": Infinit}";

	(void)state;
	assert_int_equal(f.layers, 2);
	assert_int_equal(model_facts_from_config_json(&f, "config.json", broken, strlen(broken), &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_models_have_their_published_number_of_parameters),
		cmocka_unit_test(a_layers_own_heads_and_width_are_counted),
		cmocka_unit_test(layers_with_a_window_may_have_other_heads),
		cmocka_unit_test(what_a_list_leaves_out_is_not_quantized),
		cmocka_unit_test(sets_of_matrices_with_unlike_bits_are_added_up),
		cmocka_unit_test(what_nothing_here_counts_is_said),
		cmocka_unit_test(python_s_numbers_that_json_has_not_are_no_mistake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
