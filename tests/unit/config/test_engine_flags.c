/* Flags of the engines' command lines by version: what the table says, and how a spelling is found in it. */
#include "config/engine_flags.h"

#include "config/engine_effects.h"
#include "../lib/cmocka_all.h"

#include <stdio.h>
#include <string.h>

static enum engine_flag_state find(
	struct engine_flag *ret, enum engine_program program, const char *spelling, const char *version)
{
	*ret = (struct engine_flag){0};
	return engine_flag_find(ret, program, spelling, version, NULL);
}

struct seen {
	struct engine_flag before;
	uint32_t count;
};

static bool is_sound(const struct engine_flag *flag, void *ctx)
{
	struct seen *s = ctx;
	char oldest[ENGINE_VERSION_BYTES], newest[ENGINE_VERSION_BYTES];
	struct engine_flag again;

	engine_versions(flag->table, oldest, newest);
	assert_true(strlen(flag->spelling) && strlen(flag->spelling) < ENGINE_FLAG_BYTES - 1);
	assert_true(strlen(flag->name) && strlen(flag->name) < ENGINE_FLAG_BYTES - 1);
	assert_non_null(strchr("012?+*", flag->values));
	assert_true(engine_version_compare(flag->first, oldest) >= 0);
	assert_true(!*flag->last || engine_version_compare(flag->first, flag->last) <= 0);
	/* Halving finds each at the release it begins with. */
	assert_int_equal(engine_flag_find_in(&again, flag->table, flag->spelling, flag->first), ENGINE_FLAG_KNOWN);
	assert_string_equal(again.name, flag->name);
	assert_string_equal(again.first, flag->first);
	if (!strcmp(s->before.table, flag->table) && !strcmp(s->before.spelling, flag->spelling)) {
		assert_true(*s->before.last);
		assert_true(engine_version_compare(s->before.last, flag->first) < 0);
	}
	s->before = *flag;
	s->count++;
	return true;
}

static void every_line_is_found_again(void **state)
{
	struct seen s = {0};

	(void)state;
	engine_flags_each(is_sound, &s);
	assert_true(s.count > 1500);
}

static void spellings_are_found_as_the_engines_parsers_find_them(void **state)
{
	struct engine_flag f;

	(void)state;
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "-pp", NULL), ENGINE_FLAG_KNOWN);
	assert_string_equal(f.name, "pipeline-parallel-size");
	assert_int_equal(f.values, '1');
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--max_num_seqs", NULL), ENGINE_FLAG_KNOWN);
	assert_string_equal(f.name, "max-num-seqs");
	assert_int_equal(find(&f, ENGINE_SGLANG_SERVER, "--mem_fraction_static", NULL), ENGINE_FLAG_UNKNOWN);
	assert_int_equal(find(&f, ENGINE_LLAMA_SERVER, "--ubatch_size", NULL), ENGINE_FLAG_KNOWN);
	/* argparse takes the beginning of one flag, llama.cpp does not */
	assert_int_equal(find(&f, ENGINE_SGLANG_SERVER, "--mem-frac", NULL), ENGINE_FLAG_KNOWN);
	assert_string_equal(f.name, "mem-fraction-static");
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--max-num", NULL), ENGINE_FLAG_AMBIGUOUS);
	assert_int_equal(find(&f, ENGINE_LLAMA_SERVER, "--ctx", NULL), ENGINE_FLAG_UNKNOWN);
	/* "no" of what has both */
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--no-enable-chunked-prefill", NULL), ENGINE_FLAG_KNOWN);
	assert_true(f.negative);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--no-max-num-seqs", NULL), ENGINE_FLAG_UNKNOWN);
	assert_int_equal(find(&f, ENGINE_LLAMA_SERVER, "--no-mmap", "b7600"), ENGINE_FLAG_KNOWN);
	assert_true(f.negative);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--max-num-seqs and more", NULL), ENGINE_FLAG_UNKNOWN);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "", NULL), ENGINE_FLAG_UNKNOWN);
	/* a wrapper takes its engine's flags, and not those of its engine's server */
	assert_int_equal(find(&f, ENGINE_DYNAMO_VLLM, "--max-num-seqs", NULL), ENGINE_FLAG_KNOWN);
	assert_int_equal(find(&f, ENGINE_DYNAMO_VLLM, "--chat-template", NULL), ENGINE_FLAG_UNKNOWN);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--chat-template", NULL), ENGINE_FLAG_KNOWN);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--is-decode-worker", NULL), ENGINE_FLAG_UNKNOWN);
}

static void a_release_has_its_own_flags(void **state)
{
	struct engine_flag f;

	(void)state;
	/* vLLM: --task went, --runner came; a store_true became a pair */
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--task", "0.9.2"), ENGINE_FLAG_KNOWN);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--task", "v0.13.0"), ENGINE_FLAG_GONE);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--task", NULL), ENGINE_FLAG_GONE);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--runner", "0.9.2"), ENGINE_FLAG_GONE);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--runner", "0.12.0"), ENGINE_FLAG_KNOWN);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--enforce-eager", "0.8.5"), ENGINE_FLAG_KNOWN);
	assert_int_equal(f.kind, ENGINE_FLAG_SWITCH);
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--enforce-eager", "0.10.2"), ENGINE_FLAG_KNOWN);
	assert_int_equal(f.kind, ENGINE_FLAG_BOOL);
	/* Nobody looked at 0.10.1, which lies between two that differ or not: either will do. */
	assert_int_equal(find(&f, ENGINE_VLLM_SERVE, "--max-seq-len-to-capture", "0.10.1"), ENGINE_FLAG_KNOWN);
	/* llama.cpp: -fa took no value once */
	assert_int_equal(find(&f, ENGINE_LLAMA_SERVER, "-fa", "b5500"), ENGINE_FLAG_KNOWN);
	assert_int_equal(f.values, '0');
	assert_int_equal(find(&f, ENGINE_LLAMA_SERVER, "-fa", "b8000"), ENGINE_FLAG_KNOWN);
	assert_int_equal(f.values, '1');
	assert_true(engine_flag_takes(&f, "on"));
	assert_false(engine_flag_takes(&f, "perhaps"));
	assert_true(engine_flag_ever_values(&f, "0"));
	assert_true(engine_version_known("vllm", "0.9.1"));
	assert_false(engine_version_known("vllm", "99.0"));
	assert_false(engine_version_known("vllm", "latest"));
}

static void releases_are_ordered_by_their_numbers(void **state)
{
	(void)state;
	assert_true(engine_version_compare("0.9.2", "0.10.0") < 0);
	assert_true(engine_version_compare("0.6.3.post1", "0.6.3") > 0);
	assert_true(engine_version_compare("0.6.3.post1", "0.6.4") < 0);
	assert_int_equal(engine_version_compare("v0.5.2-cu126", "0.5.2"), 0);
	assert_true(engine_version_compare("b4747", "5195") < 0);
	assert_true(engine_version_valid("b4747") && engine_version_valid("v0.9.2"));
	assert_false(engine_version_valid("latest") || engine_version_valid("") || engine_version_valid("v"));
}

static void a_misspelling_is_near_what_was_meant(void **state)
{
	char near[ENGINE_FLAG_BYTES];

	(void)state;
	assert_string_equal(engine_flag_suggest(near, ENGINE_VLLM_SERVE, "--pipeline-paralel-size", NULL),
		"--pipeline-parallel-size");
	assert_string_equal(engine_flag_suggest(near, ENGINE_SGLANG_SERVER, "--chunked_prefil-size", NULL),
		"--chunked-prefill-size");
	assert_null(engine_flag_suggest(near, ENGINE_VLLM_SERVE, "--zzzzzzzz", NULL));
	/* never one that the release does not have */
	assert_null(engine_flag_suggest(near, ENGINE_VLLM_SERVE, "--swap-spaces", "0.33.0"));
	assert_string_equal(engine_flag_suggest(near, ENGINE_VLLM_SERVE, "--swap-spaces", "0.9.2"), "--swap-space");
}

struct named {
	const char *table, *name;
	bool found;
};

static bool is_named(const struct engine_flag *flag, void *ctx)
{
	struct named *n = ctx;

	n->found |= !strcmp(flag->name, n->name) && strstr(flag->table, n->table);
	return !n->found;
}

static void what_a_plan_does_not_count_is_a_flag_of_its_engine(void **state)
{
	static const char *const tables[] = {
		[GRAPH_ENGINE_VLLM] = "vllm", [GRAPH_ENGINE_SGLANG] = "sglang", [GRAPH_ENGINE_LLAMA] = "llama"};
	enum graph_engine engine;
	const char *name;
	uint32_t n = 0;

	(void)state;
	while ((name = engine_effect_at(n, &engine))) {
		struct named x = {tables[engine], name, false};
		engine_flags_each(is_named, &x);
		if (!x.found)
			fail_msg("%s has no flag %s", tables[engine], name);
		n++;
	}
	assert_true(n > 20);
}

static void only_what_is_on_has_an_effect(void **state)
{
	(void)state;
	assert_non_null(engine_effect_unmodelled(GRAPH_ENGINE_VLLM, "disable-hybrid-kv-cache-manager", "true"));
	assert_null(engine_effect_unmodelled(GRAPH_ENGINE_VLLM, "disable-hybrid-kv-cache-manager", "false"));
	assert_null(engine_effect_unmodelled(GRAPH_ENGINE_VLLM, "num-redundant-experts", "0"));
	assert_non_null(engine_effect_unmodelled(GRAPH_ENGINE_VLLM, "hf-overrides", "{\"num_hidden_layers\": 4}"));
	assert_null(
		engine_effect_unmodelled(GRAPH_ENGINE_VLLM, "hf-overrides", "{\"max_position_embeddings\": 65536}"));
	assert_null(engine_effect_unmodelled(GRAPH_ENGINE_SGLANG, "pp-size", "1"));
	assert_non_null(engine_effect_unmodelled(GRAPH_ENGINE_SGLANG, "pp-size", "2"));
	assert_null(engine_effect_unmodelled(GRAPH_ENGINE_VLLM, "seed", "3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_is_found_again),
		cmocka_unit_test(spellings_are_found_as_the_engines_parsers_find_them),
		cmocka_unit_test(a_release_has_its_own_flags),
		cmocka_unit_test(releases_are_ordered_by_their_numbers),
		cmocka_unit_test(a_misspelling_is_near_what_was_meant),
		cmocka_unit_test(what_a_plan_does_not_count_is_a_flag_of_its_engine),
		cmocka_unit_test(only_what_is_on_has_an_effect),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
