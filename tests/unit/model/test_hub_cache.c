/* The hub's cache made here: which folder is a name's, and what is no name or no model. */
#include "../lib/cmocka_all.h"
#include "base/compiler.h"
#include "model/facts.h"
#include "model/hub_cache.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[64];
static const char config[] =
	"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"num_hidden_layers\": 2, "
	"\"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 128, "
	"\"vocab_size\": 100, \"max_position_embeddings\": 2048, \"torch_dtype\": \"float16\"}";

/* Folders on the way are made. */
static void put(const char *path, const char *text)
{
	char whole[PATH_MAX];

	snprintf(whole, sizeof whole, "%s/%s", home, path);
	for (char *c = whole + strlen(home) + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		(void)mkdir(whole, 0700);
		*c = '/';
	}
	FILE *f = fopen(whole, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make(void **state)
{
	(void)state;
	snprintf(home, sizeof home, "/tmp/stator-hub-XXXXXX");
	if (!mkdtemp(home))
		return -1;
	unsetenv("HF_HUB_CACHE");
	unsetenv("HUGGINGFACE_HUB_CACHE");
	return setenv("HF_HOME", home, 1);
}

static int clean(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf '%s'", home);
	return system(command);
}

static void a_name_leads_to_what_main_is(void **state)
{
	char folder[PATH_MAX], expected[PATH_MAX];
	(void)state;

	put("hub/models--acme--Sparrow-2/refs/main", "0123abcd");
	put("hub/models--acme--Sparrow-2/snapshots/0123abcd/config.json", config);
	put("hub/models--acme--Sparrow-2/snapshots/ffff/config.json", "{}");
	snprintf(expected, sizeof expected, "%s/hub/models--acme--Sparrow-2/snapshots/0123abcd", home);
	assert_true(hub_cache_folder(folder, sizeof folder, "acme/Sparrow-2"));
	assert_string_equal(folder, expected);
	assert_false(hub_cache_folder(folder, 16, "acme/Sparrow-2"));
	/* The two names of the folder itself go before HF_HOME. */
	snprintf(expected, sizeof expected, "%s/hub", home);
	setenv("HF_HOME", "/nowhere", 1);
	setenv("HUGGINGFACE_HUB_CACHE", expected, 1);
	assert_true(hub_cache_folder(folder, sizeof folder, "acme/Sparrow-2"));
	setenv("HF_HUB_CACHE", "/nowhere", 1);
	assert_false(hub_cache_folder(folder, sizeof folder, "acme/Sparrow-2"));
}

static void what_is_no_name_leads_nowhere(void **state)
{
	static const char *const names[] = {"", "/", "acme", "acme/", "/Sparrow", "acme/a/b", "../x/y", "acme/..",
		"acme/.x", "a b/c", "acme/Sparrow;", "acme/Sp\xc3\xa4rrow"};
	char folder[PATH_MAX];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_false(model_is_hub_name(names[i]));
		assert_false(hub_cache_folder(folder, sizeof folder, names[i]));
	}
	assert_true(model_is_hub_name("acme/Sparrow-2.5_x"));
}

static void damaged_caches_are_no_model(void **state)
{
	char folder[PATH_MAX], path[PATH_MAX];
	(void)state;

	put("hub/models--acme--none/refs/main", "");
	put("hub/models--acme--odd/refs/main", "../../../etc");
	put("hub/models--acme--bare/refs/main", "12\n");
	put("hub/models--acme--long/refs/main",
		"0000000000000000000000000000000000000000000000000000000000000000000000000");
	put("hub/models--acme--fifo/refs/x", "");
	snprintf(path, sizeof path, "%s/hub/models--acme--fifo/refs/main", home);
	assert_int_equal(mkfifo(path, 0600), 0);
	static const char *const names[] = {
		"acme/none", "acme/odd", "acme/bare", "acme/long", "acme/fifo", "acme/absent"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_false(hub_cache_folder(folder, sizeof folder, names[i]));
}

static void a_model_of_no_record_is_described_by_its_config_in_the_cache(void **state)
{
	struct model_facts m, file;
	char path[PATH_MAX];
	struct err err;
	(void)state;

	assert_int_equal(model_facts_find(&m, "acme/Sparrow-3-tiny", &err), -ENOENT);
	put("hub/models--acme--Sparrow-3-tiny/refs/main", "5");
	put("hub/models--acme--Sparrow-3-tiny/snapshots/5/config.json", config);
	assert_int_equal(model_facts_find(&m, "acme/Sparrow-3-tiny", &err), 0);
	assert_string_equal(m.name, "Sparrow-3-tiny");
	assert_string_equal(m.unsure, "");
	assert_true(m.weight_bytes > 0);

	/* Described by the file, by its folder (which alone is no model an engine could load), and by no other file. */
	snprintf(path, sizeof path, "%s/hub/models--acme--Sparrow-3-tiny/snapshots/5/config.json", home);
	assert_int_equal(model_facts_given(&file, path, &err), 0);
	assert_true(file.weight_bytes == m.weight_bytes);
	*strrchr(path, '/') = '\0';
	assert_int_equal(model_facts_given(&file, path, &err), 0);
	assert_string_equal(file.unsure, "");
	assert_int_equal(model_facts_find(&file, path, &err), 0);
	assert_non_null(strstr(file.unsure, "no weights"));
	put("hub/other.json", "[1]");
	snprintf(path, sizeof path, "%s/hub/other.json", home);
	assert_true(model_facts_given(&file, path, &err) < 0);
	/* A record goes before the cache, which may be half a download. */
	put("hub/models--Qwen--Qwen3-8B/refs/main", "5");
	put("hub/models--Qwen--Qwen3-8B/snapshots/5/config.json", config);
	assert_int_equal(model_facts_find(&file, "Qwen/Qwen3-8B", &err), 0);
	assert_true(file.weight_bytes > m.weight_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_leads_to_what_main_is, make, clean),
		cmocka_unit_test_setup_teardown(what_is_no_name_leads_nowhere, make, clean),
		cmocka_unit_test_setup_teardown(damaged_caches_are_no_model, make, clean),
		cmocka_unit_test_setup_teardown(
			a_model_of_no_record_is_described_by_its_config_in_the_cache, make, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
