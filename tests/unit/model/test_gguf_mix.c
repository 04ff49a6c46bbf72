/* Sizes of public GGUF files, as their makers list them, beside what is said of their names. */
#include "model/gguf_mix.h"

#include "../lib/cmocka_all.h"

#include <stdlib.h>

/* GB (10^9 bytes) of the file's listing, which rounds to hundredths. Lists of bartowski's pages on Hugging Face, and of the model's own. */
static const struct {
	const char *model, *quant;
	double gb;
} files[] = {
	{"Llama-3.1-8B", "q8_0", 8.54},
	{"Llama-3.1-8B", "q6_k_l", 6.85},
	{"Llama-3.1-8B", "q6_k", 6.60},
	{"Llama-3.1-8B", "q5_k_l", 6.06},
	{"Llama-3.1-8B", "q5_k_m", 5.73},
	{"Llama-3.1-8B", "q5_k_s", 5.60},
	{"Llama-3.1-8B", "q4_k_l", 5.31},
	{"Llama-3.1-8B", "q4_k_m", 4.92},
	{"Llama-3.1-8B", "q4_k_s", 4.69},
	{"Llama-3.1-8B", "iq4_xs", 4.45},
	{"Llama-3.1-8B", "q3_k_l", 4.32},
	{"Llama-3.1-8B", "q3_k_m", 4.02},
	{"Llama-3.1-8B", "q3_k_s", 3.66},
	{"Llama-3.1-8B", "iq3_m", 3.78},
	{"Llama-3.1-8B", "iq3_xs", 3.52},
	{"Llama-3.1-8B", "q2_k_l", 3.69},
	{"Llama-3.1-8B", "q2_k", 3.18},
	{"Llama-3.1-8B", "iq2_m", 2.95},
	{"Llama-3.1-70B", "q8_0", 74.98},
	{"Llama-3.1-70B", "q6_k", 57.89},
	{"Llama-3.1-70B", "q5_k_l", 50.60},
	{"Llama-3.1-70B", "q5_k_m", 49.95},
	{"Llama-3.1-70B", "q5_k_s", 48.66},
	{"Llama-3.1-70B", "q4_k_l", 43.30},
	{"Llama-3.1-70B", "q4_k_m", 42.52},
	{"Llama-3.1-70B", "q4_k_s", 40.35},
	{"Llama-3.1-70B", "q4_0", 40.12},
	{"Llama-3.1-70B", "iq4_xs", 37.90},
	{"Llama-3.1-70B", "q3_k_l", 37.14},
	{"Llama-3.1-70B", "q3_k_m", 34.27},
	{"Llama-3.1-70B", "iq3_m", 31.94},
	{"Llama-3.1-70B", "q3_k_s", 30.91},
	{"Qwen2.5-32B", "q4_k_m", 19.85},
	{"Qwen2.5-14B", "q4_k_m", 8.99},
	{"Qwen2.5-0.5B", "q4_k_m", 0.398},
	{"Qwen2.5-7B", "q4_k_m", 4.68},
	{"Qwen2.5-7B", "q8_0", 8.10},
	{"Qwen2.5-72B", "q4_k_m", 47.42},
	{"Gemma-2-9B", "q4_k_m", 5.76},
	{"Gemma-2-9B", "q8_0", 9.83},
	{"Gemma-2-27B", "q4_k_m", 16.65},
	{"Gemma-3-27B", "q4_k_m", 16.55},
	{"Gemma-3-12B", "q4_k_m", 7.30},
	{"Mixtral-8x7B", "q4_k_m", 28.45},
	{"Qwen3-30B-A3B", "q4_k_m", 18.63},
	{"Qwen3-8B", "q4_k_m", 5.03},
	{"Qwen3-32B", "q4_k_m", 19.76},
	{"Mistral-7B-Instruct-v0.3", "q4_k_m", 4.37},
	{"Llama-3.2-3B", "q4_k_m", 2.02},
	{"Llama-3.2-1B", "q4_k_m", 0.81},
	{"Phi-4", "q4_k_m", 9.05},
	{"Phi-3.5-mini", "q4_k_m", 2.39},
	{"gpt-oss-20b", "mxfp4_moe", 12.11},
	{"gpt-oss-120b", "mxfp4_moe", 63.39},
	{"DeepSeek-V2-Lite", "q4_k_m", 10.36},
};

enum { VOCAB_BYTES = 55 }; /* a token of the vocabulary, which is in the file, too */

static void files_are_as_large_as_their_makers_say(void **state)
{
	double sum = 0, most = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct model_facts m;
		struct err err;
		if (model_facts_by_name(&m, files[i].model, &err) < 0)
			fail_msg("%s", err.msg);
		double gb = ((double)gguf_mix_bytes(&m, files[i].quant) + m.vocab * VOCAB_BYTES) / 1e9, off = gb / files[i].gb - 1;
		if (getenv("STATOR_SHOW"))
			print_message("%-16s %-8s %6.2f GB of %6.2f: %+.2f %%\n", files[i].model, files[i].quant, gb,
				files[i].gb, off * 100);
		off = off < 0 ? -off : off;
		sum += off;
		most = off > most ? off : most;
		if (off > 0.006 && !getenv("STATOR_SHOW"))
			fail_msg("%s %s: %.2f GB of %.2f", files[i].model, files[i].quant, gb, files[i].gb);
	}
	assert_true(sum / ARRAY_LEN(files) < 0.001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_as_large_as_their_makers_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
