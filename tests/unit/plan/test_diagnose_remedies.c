/* What the log signatures advise: an option that a remedy or a change names is one of the engine it is about, in its newest release, or the
 * remedy says to which release it was. */
#include "config/engine_flags.h"
#include "plan/diagnose.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"

static const struct product {
	const char *name; /* as signatures call it */
	const char *tables[6];
} products[] = {
	{"vllm", {"vllm", "vllm.server"}},
	{"sglang", {"sglang"}},
	{"llama.cpp", {"llama", "llama_cpp"}},
	{"dynamo", {"dynamo.vllm", "dynamo.sglang", "vllm", "vllm.server", "sglang"}},
};
/* What has a hyphen or two and is no option of an engine: other programs, their options, keys and packages. */
static const char *const others[] = {"--gpus", "--runtime", "--object-store-memory", "--ipc", "--shm-size", "--device", "--user", "--ulimit",
	"--pids-limit", "--security-opt", "--no-build-isolation", "--no-cache-dir", "--group-add", "--cgroup-parent",
	"--previous", "--as", "--set-as-default", "auto-compaction-retention", "can-i", "conda-forge", "cuda-compat",
	"ephemeral-storage", "half-made", "libstdcxx-ng", "llama-server", "nats-server", "nvidia-bug-report",
	"nvidia-container-toolkit", "nvidia-ctk", "nvidia-fabricmanager", "nvidia-smi", "python3-dev",
	"--quota-backend-bytes", "--auto-compaction-retention", "quota-backend-bytes", "rocm-smi", "roll-out",
	"set-as-default", "trtllm-python-py3", "vllm-bnb-plugin", "vllm-gguf-plugin", "vllm-python-py3", "weight-only",
	/* keys of our graphs */ "kv-type", "gpus", "context-length"};

static bool is_other(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(others[i], word) == 0)
			return true;
	return false;
}

/* Does the list "vllm, sglang" hold the name? */
static bool lists(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = strstr(list, name); at; at = strstr(at + 1, name))
		if ((at == list || at[-1] == ' ' || at[-1] == ',') && (at[n] == '\0' || at[n] == ','))
			return true;
	return false;
}

/* Is the word an option of one of these products (list NULL: of any)? ret: that of the newest release; of an older one when there is no
 * other, then ret->last says which. */
static bool is_option(const char *word, const char *list, struct engine_flag *ret)
{
	bool found = false, now = false;
	char spelling[ENGINE_FLAG_BYTES];

	snprintf(spelling, sizeof spelling, "--%s", word + strspn(word, "-"));
	for (size_t i = 0; i < ARRAY_LEN(products); i++)
		for (size_t k = 0; k < ARRAY_LEN(products[i].tables) && products[i].tables[k] && !now; k++) {
			struct engine_flag flag;

			if (list && !lists(list, products[i].name))
				continue;
			enum engine_flag_state state =
				engine_flag_find_in(&flag, products[i].tables[k], spelling, NULL);
			if (state != ENGINE_FLAG_KNOWN && state != ENGINE_FLAG_GONE)
				continue;
			found = true;
			*ret = flag;
			now = state == ENGINE_FLAG_KNOWN && flag.last[0] == '\0';
		}
	return found;
}

/* Of which products is the advice? Those of the entry and those it names in its sentence ("SGLang: tp-size"). */
static void products_of(const struct signature *s, char *ret, size_t cap)
{
	static const char *const said[][2] = {{"vLLM", "vllm"}, {"SGLang", "sglang"}, {"llama", "llama.cpp"},
		{"Dynamo", "dynamo"}, {"Ollama", "llama.cpp"}};

	snprintf(ret, cap, "%s", s->engine);
	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		if (strstr(s->remedy, said[i][0]))
			snprintf(ret + strlen(ret), cap - strlen(ret), ", %s", said[i][1]);
}

static bool has_product(const char *list)
{
	for (size_t i = 0; i < ARRAY_LEN(products); i++)
		if (lists(list, products[i].name))
			return true;
	return false;
}

static bool word_is_true(const struct signature *s, const char *word)
{
	char list[256], until[ENGINE_VERSION_BYTES + 8];
	struct engine_flag flag;

	if (is_other(word))
		return true;
	products_of(s, list, sizeof list);
	/* What is about CUDA or PyTorch is about any engine. */
	if (!is_option(word, has_product(s->engine) ? list : NULL, &flag)) {
		fprintf(stderr, "%s: \"%s\" is no option of %s\n", s->id, word, list);
		return false;
	}
	snprintf(until, sizeof until, "to %s", flag.last);
	if (flag.last[0] && !strstr(s->remedy, until)) {
		fprintf(stderr, "%s: the newest release has no %s; say \"%s\"\n", s->id, word, until);
		return false;
	}
	return true;
}

static bool is_part(char c)
{
	return islower((unsigned char)c) || isdigit((unsigned char)c) || c == '-' || c == '_';
}

/* Words that look like options: with a hyphen between letters, or two before them. */
static uint32_t words_check(const struct signature *s, const char *text, uint32_t *failed)
{
	uint32_t count = 0;

	for (const char *at = text; *at;) {
		char word[ENGINE_FLAG_BYTES];
		size_t n = 0;

		if (!is_part(*at) || (at > text && (isalnum((unsigned char)at[-1]) || strchr("/._{", at[-1])))) {
			at++;
			continue;
		}
		while (is_part(at[n]))
			n++;
		bool whole = at[n] != '/' && at[n] != '}' && !isupper((unsigned char)at[n]) &&
			     (at[n] != '.' || !isalnum((unsigned char)at[n + 1]));
		snprintf(word, sizeof word, "%.*s", (int)MIN(n, sizeof word - 1), at);
		bool option = strncmp(word, "--", 2) == 0 && isalpha((unsigned char)word[2]);
		bool name = isalpha((unsigned char)word[0]) && strchr(word, '-') && !strchr(word, '_') &&
			    word[strlen(word) - 1] != '-';
		at += n;
		if (!whole || (!option && !name))
			continue;
		count++;
		*failed += !word_is_true(s, word);
	}
	return count;
}

static void options_of_remedies_and_changes_exist_in_that_engine_and_release(void **state)
{
	uint32_t count = 0, failed = 0;
	(void)state;

	for (uint32_t i = 0; i < catalogue_len(catalogue); i++) {
		const struct signature *s = catalogue_at(catalogue, i);

		count += words_check(s, s->remedy, &failed);
		for (uint32_t k = 0; k < s->change_len; k++) {
			char key[ENGINE_FLAG_BYTES];

			snprintf(key, sizeof key, "%.*s", (int)strcspn(s->change[k], "="), s->change[k]);
			count++;
			failed += !word_is_true(s, key);
		}
	}
	assert_true(count > 250);
	assert_int_equal(failed, 0);
}

/* The check itself: an option of another engine, one that is none, one of an older release. */
static void what_is_no_option_there_is_seen(void **state)
{
	struct signature s = {.id = "x", .engine = "vllm", .remedy = "lower mem-fraction-static"};
	uint32_t failed = 0;
	(void)state;

	assert_int_equal(words_check(&s, s.remedy, &failed), 1);
	assert_int_equal(failed, 1);
	s.remedy = "lower mem-fraction-static (SGLang)";
	words_check(&s, s.remedy, &failed);
	assert_int_equal(failed, 1);
	s.remedy = "raise max-modell-len, or --no-such-thing.";
	assert_int_equal(words_check(&s, s.remedy, &failed), 2);
	assert_int_equal(failed, 3);
	s.remedy = "a smaller swap-space";
	words_check(&s, s.remedy, &failed);
	assert_int_equal(failed, 4);
	s.remedy = "a smaller swap-space (to 0.17.1)";
	words_check(&s, s.remedy, &failed);
	assert_int_equal(failed, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_of_remedies_and_changes_exist_in_that_engine_and_release),
		cmocka_unit_test(what_is_no_option_there_is_seen),
	};

	return cmocka_run_group_tests(tests, catalogue_open, catalogue_close);
}
