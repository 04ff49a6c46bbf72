/* Models are called as people call them. */
#include "model/name.h"

#include "../lib/cmocka_all.h"
#include "base/compiler.h"
#include <string.h>

static void the_files_name_counts_where_it_names_the_model(void **state)
{
	static const struct {
		const char *path, *name, *basename, *shown;
	} cases[] = {
		{"/m/SmolLM2-135M-Instruct.Q4_1.gguf", "Smollm2 135M 8k Lc100K Mix1 Ep2", "smollm2",
			"SmolLM2 135M Instruct"},
		{"Qwen3-8B-Q4_K_M.gguf", "Qwen3 8B", "Qwen3", "Qwen3 8B"},
		{"Meta-Llama-3.1-70B-Instruct-IQ2_XXS-00001-of-00002.gguf", "Models Meta Llama Meta Llama 3.1",
			"Meta-Llama-3.1", "Meta Llama 3.1 70B Instruct"},
		{"gemma-3-4b-it-BF16.gguf", "Gemma 3 4b It", "gemma-3", "gemma 3 4b it"},
		{"gpt-oss-20b-mxfp4.gguf", "Gpt Oss 20b", "gpt-oss", "gpt oss 20b"},
		/* A file that somebody renamed says nothing. */
		{"/tmp/model.gguf", "Qwen3 8B", "Qwen3", "Qwen3 8B"},
		{"/tmp/x.gguf", "Tiny", "", "Tiny"},
		{"/tmp/My_Model.Q8_0.gguf", "", "", "My Model"},
		{"Q4_0.gguf", "", "", "Q4 0"},
		{"/tmp/m.gguf", "A\033name\xc2\x9b", "", "A?name?"},
	};
	char ret[64];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(model_shown_name(ret, sizeof ret, cases[i].path, cases[i].name, cases[i].basename),
			cases[i].shown);
	assert_string_equal(model_shown_name(ret, 8, "/m/SmolLM2-135M.gguf", "", ""), "SmolLM2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_files_name_counts_where_it_names_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
