/* What names of quantized files say. */
#include "model/name_quant.h"

#include "../lib/cmocka_all.h"
#include <string.h>

static void words_at_the_end_say_how_weights_are_quantized(void **state)
{
	static const struct {
		const char *name, *base, *quant, *format;
	} names[] = {
		{"Qwen3-8B-AWQ", "Qwen3-8B", "awq", ""},
		{"Qwen3-8B-AWQ-4bit", "Qwen3-8B", "awq", ""},
		{"gemma-3-27b-it-int4-awq", "gemma-3-27b-it", "awq", ""},
		{"GLM-4.5-Air-AWQ-8bit", "GLM-4.5-Air", "int8", ""},
		{"Qwen2.5-7B-Instruct-GPTQ-Int8", "Qwen2.5-7B-Instruct", "int8", ""},
		{"Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen2.5-7B-Instruct", "gptq", ""},
		{"Qwen3-30B-A3B-Instruct-2507-int4-AutoRound", "Qwen3-30B-A3B-Instruct-2507", "gptq", ""},
		{"Qwen3-32B_w4a16-autoround-gptq", "Qwen3-32B", "gptq", ""},
		{"Llama-3.1-8B-Instruct-quantized.w4a16", "Llama-3.1-8B-Instruct", "gptq", "compressed-tensors"},
		{"gemma-3-12b-it-quantized.w8a8", "gemma-3-12b-it", "int8", "compressed-tensors"},
		{"Qwen3-14B-w4a16-g128", "Qwen3-14B", "gptq", "compressed-tensors"},
		{"Qwen3-8B-FP8-dynamic", "Qwen3-8B", "fp8", "compressed-tensors"},
		{"Qwen3-32B-FP8-Static-PerTensor", "Qwen3-32B", "fp8", ""},
		{"Nemotron-Nano-9B-v2-FP8", "Nemotron-Nano-9B-v2", "fp8", ""},
		{"DeepSeek-V3.2-NVFP4-v2", "DeepSeek-V3.2", "nvfp4", ""},
		{"Qwen3-8B-NVFP4A16", "Qwen3-8B", "nvfp4", ""},
		{"gpt-oss-20b-MXFP4", "gpt-oss-20b", "mxfp4", ""},
		{"Llama-3.2-1B-unsloth-bnb-4bit", "Llama-3.2-1B", "bitsandbytes", ""},
		{"Phi-4-bnb-8bit", "Phi-4", "int8", ""},
		/* several at once, sizes without a kind, and kinds that no engine here reads */
		{"Qwen3-8B-4bit", "Qwen3-8B", NULL, NULL},
		{"Qwen3-8B-mlx-4bit", "Qwen3-8B", NULL, NULL},
		{"Qwen3-8B-exl3", "Qwen3-8B", NULL, NULL},
		{"Qwen3-8B-GGUF", "Qwen3-8B", NULL, NULL},
		{"GLM-4.6-GPTQ-Int4-Int8Mix", "GLM-4.6", NULL, NULL},
		{"GLM-5-NVFP4-FP8", "GLM-5", NULL, NULL},
		{"Qwen3-8B-3bit", "Qwen3-8B", NULL, NULL},
	};
	static const char *const plain[] = {"Qwen3-8B", "Nemotron-Nano-9B-v2", "Llama-3.1-8B-Instruct", "AWQ",
		"gpt-oss-20b", "awq/Qwen3-8B", "Mixtral-8x7B", "", "-", "a-b", "Qwen3-8B-block", "Qwen3-8B-dynamic"};
	struct name_quant q;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t len = model_name_quant(&q, names[i].name);
		if (len != strlen(names[i].base) || strncmp(names[i].name, names[i].base, len) != 0)
			fail_msg("%s: %zu letters are left", names[i].name, len);
		if (!q.quant != !names[i].quant ||
			(q.quant && (strcmp(q.quant, names[i].quant) || strcmp(q.format, names[i].format))))
			fail_msg("%s: %s, \"%s\"", names[i].name, q.quant ? q.quant : "none", q.format);
	}
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		if (model_name_quant(&q, plain[i]) != strlen(plain[i]))
			fail_msg("%s is taken for quantized", plain[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(words_at_the_end_say_how_weights_are_quantized)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
