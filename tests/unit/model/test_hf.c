/* Hugging Face folders made here: config.json of several families, safetensors headers, indices. */
#include "../lib/cmocka_all.h"
#include "model/facts.h"

#include "base/buf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void put(const char *name, const void *data, size_t len)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

/* A file of a header and so many bytes of data, which are not written: a hole. */
static void put_weights(const char *name, const char *header, size_t data)
{
	char path[256];
	struct buf b;

	buf_init(&b, 1 << 20);
	for (uint32_t i = 0; i < 8; i++)
		buf_add_byte(&b, (uint8_t)(strlen(header) >> 8 * i));
	buf_add_str(&b, header);
	put(name, b.data, b.len);
	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_int_equal(truncate(path, (off_t)(b.len + data)), 0);
	buf_done(&b);
}

static int make(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/stator-hf-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int clean(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	return system(command);
}

static const char tiny[] = "{\"model_type\": \"llama\", \"num_hidden_layers\": 2, \"hidden_size\": 64, "
			   "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 128, "
			   "\"vocab_size\": 100, \"max_position_embeddings\": 2048, \"torch_dtype\": \"float16\"}";

static void without_weights_bytes_follow_from_the_shapes(void **state)
{
	struct model_facts f;
	struct err err;

	(void)state;
	put("config.json", tiny, strlen(tiny));
	assert_int_equal(model_facts_find(&f, folder, &err), 0);
	assert_false(f.weight_exact);
	assert_int_equal(f.params, 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 128) + 64 + 2 * 6400);
	assert_int_equal(f.weight_bytes, f.params * 2);
	assert_int_equal(f.head_dim, 16);
	assert_non_null(strstr(f.source, "computed from the shapes"));
	assert_non_null(strstr(folder, f.name));
	assert_non_null(strstr(f.unsure, "no weights"));
	put("pytorch_model.bin", "x", 1);
	assert_int_equal(model_facts_find(&f, folder, &err), 0);
	assert_non_null(strstr(f.unsure, "*.bin"));
}

static void refused_with(const char *words)
{
	struct model_facts f;
	struct err err;

	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -EINVAL);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

#define ONE "{\"x\": {\"dtype\": \"F16\", \"shape\": [50], \"data_offsets\": [0, 100]}}"

static void weights_that_are_not_all_there_are_refused(void **state)
{
	static const char index[] = "{\"weight_map\": {\"a\": \"p-1.safetensors\", \"b\": \"p-2.safetensors\"}}";
	struct model_facts f;
	struct err err;

	(void)state;
	put("config.json", tiny, strlen(tiny));
	put_weights("model.safetensors", ONE, 99);
	refused_with("cut short: it has");
	put_weights("model.safetensors", ONE, 100);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), 0);
	assert_string_equal(f.unsure, "");
	put_weights("model-00002-of-00003.safetensors", ONE, 100);
	put_weights("model-00003-of-00003.safetensors", ONE, 100);
	refused_with("2 of 3 parts");
	put_weights("model-00001-of-00003.safetensors", ONE, 100);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), 0);
	put("model.safetensors.index.json", index, strlen(index));
	put_weights("p-1.safetensors", ONE, 100);
	refused_with("p-2.safetensors\" is not there");
	put("model.safetensors.index.json", "{\"metadata\": {}}", 16);
	refused_with("names no file with weights");
}

/* What downloads leave behind instead of the file: each is one sentence, whichever file it is. */
static void what_is_no_file_of_a_model_is_called_by_what_it_is(void **state)
{
	static const struct {
		const char *content, *words;
	} kinds[] = {{"<!DOCTYPE html><title>Sign in</title>", "is an HTML page"},
		{"\n <html>404</html>", "is an HTML page"}, {"<?xml version=\"1.0\"?><Error/>", "is an XML document"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 99\n", "is a pointer of Git LFS"},
		{"", "is empty"}};
	static const char *const files[] = {
		"config.json", "model.safetensors.index.json", "model-00001-of-00001.safetensors"};

	for (size_t f = 0; f < ARRAY_LEN(files); f++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			make(state);
			put("config.json", tiny, strlen(tiny));
			put(files[f], kinds[k].content, strlen(kinds[k].content));
			refused_with(kinds[k].words);
			clean(state);
		}
	make(state);
	put("config.json", tiny, strlen(tiny));
	put("model.safetensors", "\0\0\0\0\0\0\0\0\0\0\0\0", 12); /* a hole */
	refused_with("begins with zeros");
	put("model.safetensors", "\xff\xff\xff\xff\xff\xff\x00\x00{}", 10);
	refused_with("is not a safetensors file");
	put("model.safetensors", "\x40\x00\x00\x00\x00\x00\x00\x00{}", 10);
	refused_with("cut short");
	clean(state);
}

static void a_folder_of_another_kind_is_called_by_its_kind(void **state)
{
	struct model_facts f;
	struct err err;

	(void)state;
	put("adapter_config.json", "{}", 2);
	refused_with("an adapter (LoRA)");
	put("params.json", "{}", 2);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -ENOTSUP);
	put("config.json", tiny, strlen(tiny));
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), 0);
}

static void headers_are_added_up_over_an_index(void **state)
{
	static const char index[] =
		"{\"weight_map\": {\"a\": \"m1.safetensors\", \"b\": \"m2.safetensors\", \"c\": \"m1.safetensors\"}}";
	struct model_facts f;
	struct err err;

	(void)state;
	put("config.json", tiny, strlen(tiny));
	put_weights("m1.safetensors",
		"{\"__metadata__\": {\"format\": \"pt\"}, \"model.embed_tokens.weight\": {\"dtype\": \"BF16\", "
		"\"shape\": [100, 64], \"data_offsets\": [0, 12800]}}",
		12800);
	put_weights("m2.safetensors",
		"{\"lm_head.weight\": {\"dtype\": \"BF16\", \"shape\": [100, 64], \"data_offsets\": [0, "
		"12800]}, \"s\": {\"dtype\": \"F32\", \"shape\": [], \"data_offsets\": [12800, 12804]}}",
		12804);
	put_weights("stray.safetensors",
		"{\"x\": {\"dtype\": \"F32\", \"shape\": [1000], \"data_offsets\": [0, 4000]}}", 0);
	put("model.safetensors.index.json", index, strlen(index));
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), 0);
	assert_int_equal(f.files, 2);
	assert_int_equal(f.weight_bytes, 25604);
	assert_int_equal(f.weight_bytes_input, 12800);
	assert_int_equal(f.params, 12801);
	assert_true(f.weight_exact);
	assert_string_equal(f.dtype, "bfloat16"); /* the files', not config.json's */
	assert_int_equal(model_weight_bytes(&f, "bfloat16"), 25604);
}

static void broken_folders_say_what_is_wrong(void **state)
{
	struct model_facts f;
	struct err err;

	(void)state;
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "has no config.json"));
	put("config.json", tiny, strlen(tiny));
	put("a.safetensors", "version https://git-lfs.github.com/spec/v1\n", 43);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "Git LFS"));
	put("a.safetensors", "\xff\0\0\0\0\0\0\0{}", 10);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "cut short"));
	put("a.safetensors", "abc", 3);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -EINVAL);
	put_weights("a.safetensors", "{\"x\": {\"dtype\": \"F32\", \"shape\": [3], \"data_offsets\": [0, 4]}}", 4);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "tensor \"x\""));
	put("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"../../etc/passwd\"}}", 41);
	assert_int_equal(model_facts_from_hf_folder(&f, folder, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "cannot be"));
}

static struct model_facts config(const char *json)
{
	struct model_facts f;
	struct err err;

	err_clear(&err);
	if (model_facts_from_config_json(&f, "config.json", json, strlen(json), &err) < 0)
		fail_msg("%s", err.msg);
	return f;
}

static void families_and_nested_models(void **state)
{
	struct model_facts f = config("{\"model_type\": \"gemma3\", \"text_config\": {\"model_type\": \"gemma3_text\", "
				      "\"num_hidden_layers\": 34, \"hidden_size\": 2560, \"num_attention_heads\": 8, "
				      "\"num_key_value_heads\": 4, \"head_dim\": 256, \"intermediate_size\": 10240, "
				      "\"vocab_size\": 262208, \"sliding_window\": 1024}}");

	(void)state;
	assert_int_equal(f.params, 3880263168);
	assert_true(f.tied_embeddings);
	assert_int_equal(f.sliding_layers, 29);
	f = config("{\"model_type\": \"deepseek_v2\", \"num_hidden_layers\": 27, \"hidden_size\": 2048, "
		   "\"num_attention_heads\": 16, \"intermediate_size\": 10944, \"vocab_size\": 102400, "
		   "\"kv_lora_rank\": 512, "
		   "\"q_lora_rank\": null, \"qk_rope_head_dim\": 64, \"qk_nope_head_dim\": 128, \"v_head_dim\": 128, "
		   "\"n_routed_experts\": 64, \"num_experts_per_tok\": 6, \"moe_intermediate_size\": 1408, "
		   "\"n_shared_experts\": 2, \"first_k_dense_replace\": 1}");
	assert_int_equal(f.params, 15706484224); /* DeepSeek-V2-Lite */
	assert_int_equal(model_kv_bytes_per_token(&f, KV_F16), 27 * 576 * 2);
	f = config("{\"model_type\": \"qwen3_next\", \"num_hidden_layers\": 4, \"hidden_size\": 64, "
		   "\"num_attention_heads\": 4, "
		   "\"vocab_size\": 100, \"layer_types\": [\"linear_attention\", \"linear_attention\", "
		   "\"linear_attention\", "
		   "\"full_attention\"]}");
	assert_int_equal(f.kv_layers, 1);
	assert_non_null(strstr(f.unsure, "layers that keep a state of a kind that is not known here"));
}

static void quantizations_of_config_json(void **state)
{
	static const char *const table[][2] = {{"{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 64}", "awq"},
		{"{\"quant_method\": \"gptq\", \"bits\": 8}", "int8"}, {"{\"quant_method\": \"fbgemm_fp8\"}", "fp8"},
		{"{\"quant_method\": \"compressed-tensors\", \"config_groups\": {\"group_0\": {\"weights\": "
		 "{\"num_bits\": 4, "
		 "\"type\": \"int\", \"group_size\": 128}}}}",
			"gptq"},
		{"{\"quant_method\": \"compressed-tensors\", \"config_groups\": {\"group_0\": {\"weights\": "
		 "{\"num_bits\": 8, "
		 "\"type\": \"float\"}}}}",
			"fp8"},
		{"{\"quant_method\": \"modelopt\", \"quant_algo\": \"NVFP4\"}", "nvfp4"},
		{"{\"quant_method\": \"new\"}", "new"}};
	char json[1024];

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		snprintf(json, sizeof json, "%.*s, \"quantization_config\": %s}", (int)strlen(tiny) - 1, tiny,
			table[i][0]);
		struct model_facts f = config(json);
		assert_string_equal(f.quant, table[i][1]);
		assert_true(f.weight_bytes > 0);
	}
}

static void wrong_configs_say_where(void **state)
{
	/* Syntax is damage; what is only not understood here may still be a model. */
	static const char *const table[][2] = {{"{\n\"a\": }", "config.json:2:"}, {"[]", "an object is wanted"},
		{"{}", "must be above 0"},
		{"{\"num_hidden_layers\": \"2\"}", "\"num_hidden_layers\" must be a whole number"},
		{"{\"num_hidden_layers\": 2, \"hidden_size\": 64, \"num_attention_heads\": 5, \"num_key_value_heads\": "
		 "2, "
		 "\"vocab_size\": 10}",
			"5 heads do not divide"},
		{"{\"num_hidden_layers\": 4000000000, \"hidden_size\": 64, \"num_attention_heads\": 4, \"vocab_size\": "
		 "10}",
			"beyond any known model"}};
	struct model_facts f;
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(
			model_facts_from_config_json(&f, "config.json", table[i][0], strlen(table[i][0]), &err),
			i == 2 || i > 3 ? -ENOTSUP : -EINVAL);
		if (!strstr(err.msg, table[i][1]))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, table[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_file_of_a_model_is_called_by_what_it_is),
		cmocka_unit_test_setup_teardown(weights_that_are_not_all_there_are_refused, make, clean),
		cmocka_unit_test_setup_teardown(a_folder_of_another_kind_is_called_by_its_kind, make, clean),
		cmocka_unit_test_setup_teardown(without_weights_bytes_follow_from_the_shapes, make, clean),
		cmocka_unit_test_setup_teardown(headers_are_added_up_over_an_index, make, clean),
		cmocka_unit_test_setup_teardown(broken_folders_say_what_is_wrong, make, clean),
		cmocka_unit_test(families_and_nested_models),
		cmocka_unit_test(quantizations_of_config_json),
		cmocka_unit_test(wrong_configs_say_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
