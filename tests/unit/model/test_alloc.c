/* Facts of models where memory ends: each allocation fails in turn. */
#include "config/diag.h"
#include "model/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"

static const char config[] = "{\"model_type\": \"llama\", \"num_hidden_layers\": 2, \"hidden_size\": 64, "
			     "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 128, "
			     "\"vocab_size\": 100, \"max_position_embeddings\": 2048, \"torch_dtype\": \"float16\"}";

static int from_config(void *ctx, struct err *err)
{
	struct model_facts f;
	(void)ctx;

	return model_facts_from_config_json(&f, "config.json", config, sizeof config - 1, err);
}

static void a_config_is_read_or_there_is_no_memory(void **state)
{
	(void)state;
	assert_true(fail_nth_each(from_config, NULL) > 10);
}

static void put(const char *folder, const char *name, const char *data, size_t len)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static int from_folder(void *ctx, struct err *err)
{
	struct model_facts f;

	return model_facts_find(&f, ctx, err);
}

static void a_folder_is_read_or_there_is_no_memory(void **state)
{
	(void)state;
	static const char header[] = "{\"w\": {\"dtype\": \"BF16\", \"shape\": [8], \"data_offsets\": [0, 16]}}";
	static const char index[] = "{\"weight_map\": {\"a\": \"m1.safetensors\", \"b\": \"m2.safetensors\"}}";
	char folder[] = "/tmp/stator-hf-XXXXXX", command[64], weights[256] = {sizeof header - 1};

	assert_non_null(mkdtemp(folder));
	memcpy(weights + 8, header, sizeof header - 1);
	put(folder, "config.json", config, sizeof config - 1);
	put(folder, "m1.safetensors", weights, 8 + sizeof header - 1 + 16);
	put(folder, "m2.safetensors", weights, 8 + sizeof header - 1 + 16);
	assert_true(fail_nth_each(from_folder, folder) > 20);
	put(folder, "model.safetensors.index.json", index, sizeof index - 1);
	assert_true(fail_nth_each(from_folder, folder) > 20);
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
}

static int by_name(void *ctx, struct err *err)
{
	struct model_facts f;

	return model_facts_by_name(&f, ctx, err);
}

static void a_name_is_found_whether_there_is_memory_or_not(void **state)
{
	(void)state;
	(void)fail_nth_each(by_name, "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B-AWQ");
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_config_is_read_or_there_is_no_memory),
		cmocka_unit_test(a_folder_is_read_or_there_is_no_memory),
		cmocka_unit_test(a_name_is_found_whether_there_is_memory_or_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
