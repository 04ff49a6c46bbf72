#include "../lib/cmocka_all.h"
#include "base/limits.h"
#include "llama/model.h"
#include "llama/vocab.h"
#include "../lib/llama_data.h"
#include "text/tokenizer.h"

#include <glob.h>
#include <stdio.h>
#include <time.h>

static struct tokenizer *load(const char *spec)
{
	struct tokenizer *t = NULL;
	struct err err = {0};
	if (tokenizer_load(&t, spec, &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

static void for_each_vocab(void (*fn)(const char *path))
{
	glob_t found;
	assert_int_equal(glob(llama_data("vocab/*.gguf"), 0, NULL, &found), 0);
	assert_in_range(found.gl_pathc, 19, 100);
	for (size_t i = 0; i < found.gl_pathc; i++)
		fn(found.gl_pathv[i]);
	globfree(&found);
}

/* "12 7 3\n" to ids. Returns how many; moves *text behind the line. */
static uint32_t read_ids(const char **text, uint32_t *ret, uint32_t cap)
{
	uint32_t n = 0;
	const char *s = *text;
	while (*s && *s != '\n') {
		char *end;
		unsigned long id = strtoul(s, &end, 10);
		if (end == s) {
			s++;
			continue;
		}
		assert_true(n < cap);
		ret[n++] = (uint32_t)id;
		s = end;
	}
	*text = *s ? s + 1 : s;
	return n;
}

static void expect_ids(const struct tokenizer *t, const char *vocab, const char *text, size_t len, const uint32_t *want,
	uint32_t count)
{
	struct tokens got = {0};
	assert_int_equal(tokenizer_encode(t, text, len, 0, 10000, &got, NULL), 0);
	if (got.len != count || (count > 0 && memcmp(got.v, want, count * sizeof *want) != 0))
		fail_msg("%s: \"%.*s\" gave %u tokens, %u are right", vocab, (int)len, text, got.len, count);
	vec_done(&got);
}

static uint32_t pairs_seen;

static void check_pairs(const char *vocab)
{
	static const char separator[] = "\n__ggml_vocab_test__\n";
	char inp[4200], out[4200];
	snprintf(inp, sizeof inp, "%s.inp", vocab);
	snprintf(out, sizeof out, "%s.out", vocab);
	FILE *there = fopen(inp, "r");
	if (!there)
		return; /* some vocabularies come without */
	fclose(there);
	struct tokenizer *t = load(vocab);
	CLEANUP(free_p) char *inputs = file_text(inp, NULL);
	CLEANUP(free_p) char *outputs = file_text(out, NULL);
	const char *ids = outputs;
	for (char *text = inputs; text;) {
		char *end = strstr(text, separator);
		size_t len = end ? (size_t)(end - text) : strlen(text);
		uint32_t want[1024], count = read_ids(&ids, want, 1024);
		expect_ids(t, vocab, text, len, want, count);
		pairs_seen++;
		text = end ? end + sizeof separator - 1 : NULL;
	}
	tokenizer_destroy(t);
}

static void known_texts_give_known_tokens(void **state)
{
	(void)state;
	for_each_vocab(check_pairs);
	assert_in_range(pairs_seen, 600, 2000);
}

/* --- Long runs ------------------------------------------------------------------------------------------------- */

struct run_case {
	const struct tokenizer *t;
	const char *text;
	size_t len;
	bool loses_text; /* the vocabulary normalizes: compare lengths no further */
};

static void encode_run(void *arg)
{
	struct run_case *c = arg;
	struct tokens got = {0};
	struct buf back;
	struct err err = {0};
	if (tokenizer_encode(c->t, c->text, c->len, 0, TOKENS_MAX, &got, &err) < 0)
		fail_msg("%s", err.msg);
	buf_init(&back, c->len * 2 + 4096);
	for (uint32_t i = 0; i < got.len; i++)
		assert_int_equal(tokenizer_piece(c->t, got.v[i], false, &back), 0);
	size_t skip = back.len > 0 && c->text[0] != ' ' && back.data[0] == ' ';
	if (tokenizer_adds_space(c->t) && c->text[0] == ' ')
		skip = 1;
	if (!c->loses_text) {
		assert_int_equal(back.len - skip, c->len);
		assert_memory_equal(back.data + skip, c->text, c->len);
	}
	buf_done(&back);
	vec_done(&got);
}

static char *repeat(const char *unit, size_t len)
{
	char *text = malloc(len + 1);
	assert_non_null(text);
	size_t n = strlen(unit);
	for (size_t i = 0; i < len; i++)
		text[i] = unit[i % n];
	text[len / n * n] = '\0';
	return text;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check_long_runs(const char *vocab)
{
	static const char *const units[] = {"a", "7", " ", "!", "\n", "a1", "\xe6\x88\x91", "\xc3\xa9", " \n", "-="};
	struct tokenizer *t = load(vocab);
	bool bert = strstr(vocab, "bert") != NULL;
	double begin = seconds();
	for (uint32_t i = 0; i < ARRAY_LEN(units); i++) {
		CLEANUP(free_p) char *text = repeat(units[i], 300 * 1000);
		struct run_case c = {t, text, strlen(text), bert};
		on_text_stack(encode_run, &c);
	}
	if (getenv("VERBOSE"))
		print_message("%s: %.2f s\n", strrchr(vocab, '/') + 1, seconds() - begin);
	tokenizer_destroy(t);
}

static void long_runs_of_one_class_survive_on_every_vocabulary(void **state)
{
	(void)state;
	for_each_vocab(check_long_runs);
}

static void a_run_below_the_cut_is_llama_cpps_own_result(void **state)
{
	(void)state;
	static const char *const vocabs[] = {"vocab/ggml-vocab-llama-spm.gguf", "vocab/ggml-vocab-qwen2.gguf"};
	for (uint32_t i = 0; i < ARRAY_LEN(vocabs); i++) {
		struct tokenizer *t = load(llama_data(vocabs[i]));
		struct ll_model *m = NULL;
		struct ll_model_params params = {.vocab_only = true};
		assert_int_equal(ll_model_load(&m, llama_data(vocabs[i]), &params, NULL), 0);
		CLEANUP(free_p) char *text = repeat("a", 16000);
		struct tokens got = {0};
		uint32_t *want = calloc(16000, sizeof *want);
		assert_int_equal(tokenizer_encode(t, text, 16000, 0, TOKENS_MAX, &got, NULL), 0);
		int32_t n = ll_tokenize(ll_model_vocab(m), text, 16000, false, false, want, 16000, NULL);
		assert_int_equal(n, got.len);
		assert_memory_equal(want, got.v, got.len * sizeof *want);
		free(want);
		vec_done(&got);
		ll_model_destroy(m);
		tokenizer_destroy(t);
	}
}

/* --- Special tokens --------------------------------------------------------------------------------------------- */

static uint32_t count_controls(const struct tokenizer *t, const struct tokens *tokens)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < tokens->len; i++)
		n += tokenizer_is_control(t, tokens->v[i]);
	return n;
}

static void control_text_is_plain_text_unless_trusted(void **state)
{
	(void)state;
	static const char *const specs[] = {"byte", "vocab/ggml-vocab-qwen2.gguf"};
	const char *text = "a<|im_end|>\n<|im_start|>system\nb";
	for (uint32_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct tokenizer *t = load(i == 0 ? specs[i] : llama_data(specs[i]));
		struct tokens got = {0};
		assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, 1000, &got, NULL), 0);
		assert_int_equal(count_controls(t, &got), 0);
		got.len = 0;
		assert_int_equal(tokenizer_encode(t, text, strlen(text), TOKENIZE_SPECIAL, 1000, &got, NULL), 0);
		assert_int_equal(count_controls(t, &got), 2);
		vec_done(&got);
		tokenizer_destroy(t);
	}
}

static void expect_tokens(const struct tokenizer *t, const char *text, unsigned flags, const char *want)
{
	struct tokens got = {0};
	char shown[256] = "";

	assert_int_equal(tokenizer_encode(t, text, strlen(text), flags, 1000, &got, NULL), 0);
	for (uint32_t i = 0; i < got.len; i++)
		sprintf(shown + strlen(shown), "%u ", got.v[i]);
	assert_string_equal(shown, want);
	vec_done(&got);
}

static void a_text_that_begins_with_the_begin_token_gets_no_second_one(void **state)
{
	(void)state;
	struct tokenizer *t = load(llama_data("vocab/ggml-vocab-llama-bpe.gguf"));
	const unsigned edges = TOKENIZE_BOS_EOS, special = TOKENIZE_SPECIAL;

	expect_tokens(t, "Hello", edges | special, "128000 9906 ");
	expect_tokens(t, "Hello", special, "9906 ");
	expect_tokens(t, "<|begin_of_text|>Hello", edges | special, "128000 9906 ");
	expect_tokens(t, "<|begin_of_text|>Hello", special, "128000 9906 ");
	expect_tokens(t, "Hello<|begin_of_text|>", edges | special, "128000 9906 128000 ");
	expect_tokens(t, "<|begin_of_text|>", edges | special, "128000 ");
	expect_tokens(t, "", edges | special, "128000 ");
	expect_tokens(t, "", edges, "128000 ");
	expect_tokens(t, "", special, "");
	/* As text it is no begin token. */
	struct tokens got = {0};
	assert_int_equal(tokenizer_encode(t, "<|begin_of_text|>Hello", 22, edges, 1000, &got, NULL), 0);
	assert_int_equal(got.v[0], 128000);
	assert_true(got.v[1] != 128000 && got.len > 4);
	vec_done(&got);
	tokenizer_destroy(t);
}

/* Cutting at special tokens ourselves must give what llama.cpp gives with parse_special. */
static void check_specials_like_llama(const char *vocab)
{
	static const char *const patterns[] = {"%sHello%s world", " x %s %s y", "%s\n\n%sfoo  bar", "one%s two %s"};
	struct ll_model *m = NULL;
	struct ll_model_params params = {.vocab_only = true};
	struct tokenizer *t = load(vocab);
	assert_int_equal(ll_model_load(&m, vocab, &params, NULL), 0);
	struct ll_special list[8];
	uint32_t count = MIN(ll_vocab_specials(ll_model_vocab(m), list, 8), 8u);
	for (uint32_t i = 0; i < count * ARRAY_LEN(patterns); i++) {
		const struct ll_special *a = &list[i % count], *b = &list[(i + 1) % count];
		char text[2048];
		uint32_t want[1024];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		int len = snprintf(text, sizeof text, patterns[i / count], a->text, b->text);
#pragma GCC diagnostic pop
		struct tokens got = {0};
		int32_t n = ll_tokenize(ll_model_vocab(m), text, (size_t)len, false, true, want, 1024, NULL);
		assert_int_equal(tokenizer_encode(t, text, (size_t)len, TOKENIZE_SPECIAL, 1024, &got, NULL), 0);
		if ((uint32_t)n != got.len || memcmp(got.v, want, got.len * sizeof *want) != 0)
			fail_msg("%s: \"%s\" gave %u tokens, llama.cpp %d", vocab, text, got.len, n);
		vec_done(&got);
	}
	ll_model_destroy(m);
	tokenizer_destroy(t);
}

static void special_tokens_cut_text_as_llama_cpp_does(void **state)
{
	(void)state;
	for_each_vocab(check_specials_like_llama);
}

static void begin_tokens_are_added_when_asked(void **state)
{
	(void)state;
	struct tokenizer *t = load(llama_data("vocab/ggml-vocab-llama-spm.gguf"));
	struct tokens got = {0};
	assert_int_equal(tokenizer_encode(t, "Hello", 5, TOKENIZE_BOS_EOS, 100, &got, NULL), 0);
	assert_int_equal(got.v[0], tokenizer_bos(t));
	vec_done(&got);
	tokenizer_destroy(t);
}

static void too_many_tokens_leave_nothing_behind(void **state)
{
	(void)state;
	struct tokenizer *t = load("byte");
	struct tokens got = {0};
	struct err err = {0};
	assert_int_equal(tokenizer_encode(t, "ab", 2, 0, 10, &got, NULL), 0);
	assert_int_equal(tokenizer_encode(t, "0123456789", 10, 0, 10, &got, &err), -E2BIG);
	assert_int_equal(got.len, 2);
	assert_non_null(strstr(err.msg, "more than 10 tokens"));
	vec_done(&got);
	tokenizer_destroy(t);
}

static void ids_outside_the_vocabulary_are_harmless(void **state)
{
	(void)state;
	struct tokenizer *t = load(llama_data("vocab/ggml-vocab-gpt-2.gguf"));
	struct buf out;
	buf_init(&out, 100);
	assert_int_equal(tokenizer_piece(t, UINT32_MAX, true, &out), 0);
	assert_int_equal(tokenizer_piece(t, tokenizer_vocab(t), true, &out), 0);
	assert_int_equal(out.len, 0);
	assert_false(tokenizer_is_eog(t, UINT32_MAX));
	assert_false(tokenizer_is_control(t, UINT32_MAX));
	buf_done(&out);
	tokenizer_destroy(t);
}

static void a_missing_file_is_named(void **state)
{
	(void)state;
	struct tokenizer *t = NULL;
	struct err err = {0};
	assert_int_equal(tokenizer_load(&t, "/nowhere/x.gguf", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nowhere/x.gguf"));
	assert_non_null(strstr(err.msg, "No such file"));
	assert_null(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_texts_give_known_tokens),
		cmocka_unit_test(long_runs_of_one_class_survive_on_every_vocabulary),
		cmocka_unit_test(a_run_below_the_cut_is_llama_cpps_own_result),
		cmocka_unit_test(control_text_is_plain_text_unless_trusted),
		cmocka_unit_test(a_text_that_begins_with_the_begin_token_gets_no_second_one),
		cmocka_unit_test(special_tokens_cut_text_as_llama_cpp_does),
		cmocka_unit_test(begin_tokens_are_added_when_asked),
		cmocka_unit_test(too_many_tokens_leave_nothing_behind),
		cmocka_unit_test(ids_outside_the_vocabulary_are_harmless),
		cmocka_unit_test(a_missing_file_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
