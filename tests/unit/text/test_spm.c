/* SentencePiece vocabularies and long texts: token for token what llama.cpp gives, in time that grows with the text. */
#include "../lib/cmocka_all.h"
#include "../lib/busy.h"
#include "../lib/llama_data.h"
#include "base/limits.h"
#include "base/rng.h"
#include "llama/model.h"
#include "llama/vocab.h"
#include "text/tokenizer.h"

#include <glob.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct pair {
	struct tokenizer *ours;
	struct ll_model *theirs;
};

static void pair_load(struct pair *p, const char *path)
{
	struct ll_model_params params = {.vocab_only = true};
	struct err err = {0};
	if (tokenizer_load(&p->ours, path, &err) < 0 || ll_model_load(&p->theirs, path, &params, &err) < 0)
		fail_msg("%s", err.msg);
}

static void pair_done(struct pair *p)
{
	tokenizer_destroy(p->ours);
	ll_model_destroy(p->theirs);
}

static void compare(const struct pair *p, const char *name, const char *text, size_t len)
{
	struct tokens got = {0};
	struct err err = {0};
	uint32_t *want = calloc(3 * len + 16, sizeof *want);
	assert_non_null(want);
	if (tokenizer_encode(p->ours, text, len, 0, TOKENS_MAX, &got, &err) < 0)
		fail_msg("%s", err.msg);
	int32_t n = ll_tokenize(ll_model_vocab(p->theirs), text, len, false, false, want, 3 * (uint32_t)len + 16, NULL);
	uint32_t i = 0;
	while (i < got.len && (int32_t)i < n && got.v[i] == want[i])
		i++;
	if (n != (int32_t)got.len || i < got.len)
		fail_msg("%s: %u tokens, %d are right; the %uth differs; %zu bytes of text: %.300s", name, got.len, n,
			i, len, text);
	free(want);
	vec_done(&got);
}

/* --- Random texts --- */

static const char *const bits[] = {" ", "  ", "\n", "\t", "the", "The", " quick", "ing", "er", "\xe2\x96\x81", "0",
	"17", ".", ",", "...", "--", "a", "aa", "zzz", "\xc3\xa9", "\xc3\x9f", "\xe4\xb8\xad", "\xe6\x96\x87",
	"\xf0\x9f\x98\x80", "\xf0\xa0\x80\x80", "<s>", "</s>", "<0x41>", "<unk>", "<|end|>", "<|user|>", "(", ")", "{}",
	"=>", "http://", "\xd0\xb6", "\xd7\x90", "\xe0\xb8\x81", "\xcc\x81", "\xe2\x80\x8d", "\x01", "\x7f", "\xff",
	"\xe4\xb8", "\xc3", "\xf0\x9f", "\x80", "\xef\xbf\xbd"};

static void random_text(struct rng *r, struct buf *ret, bool valid)
{
	uint32_t count = 1 + (uint32_t)rng_below(r, rng_below(r, 10) ? 12 : 400);
	buf_reset(ret);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t kinds = ARRAY_LEN(bits) - (valid ? 6 : 0);
		const char *bit = bits[rng_below(r, kinds)];
		uint32_t times = rng_below(r, 8) ? 1 : 1 + (uint32_t)rng_below(r, 20);
		for (uint32_t k = 0; k < times; k++)
			buf_add_str(ret, bit);
	}
}

static void random_texts_give_llama_cpps_tokens(void **state)
{
	(void)state;
	static const char *const vocabs[] = {
		"vocab/ggml-vocab-llama-spm.gguf", "vocab/ggml-vocab-phi-3.gguf", "vocab/ggml-vocab-baichuan.gguf"};
	struct rng r;
	struct buf text;
	rng_init(&r, 11);
	buf_init(&text, 1 << 20);
	for (uint32_t v = 0; v < ARRAY_LEN(vocabs); v++) {
		struct pair p;
		pair_load(&p, llama_data(vocabs[v]));
		assert_int_equal(ll_vocab_kind(ll_model_vocab(p.theirs)), LL_VOCAB_SPM);
		for (int i = 0; i < 1200; i++) {
			random_text(&r, &text, i % 4 != 0);
			compare(&p, vocabs[v], text.data, text.len);
		}
		pair_done(&p);
	}
	buf_done(&text);
}

/* --- Long texts --- */

static void add_prose(struct rng *r, struct buf *ret, size_t len)
{
	static const char *const words[] = {"stone ", "river, ", "answered ", "The ", "of ", "1984 ", "it's ",
		"x_y = f(z); ", "\u00fcber ", "\xe4\xb8\xad\xe6\x96\x87", "people. ", "quickly\n", "then\n\n",
		"- item\n", "\tindent ", "WORD "};
	while (ret->len < len)
		buf_add_str(ret, words[rng_below(r, ARRAY_LEN(words))]);
}

static void check_prose(const char *path)
{
	struct pair p;
	struct rng r;
	struct buf text;
	pair_load(&p, path);
	rng_init(&r, 5);
	buf_init(&text, 1 << 22);
	add_prose(&r, &text, 300 * 1000); /* many parts of each kind */
	compare(&p, strrchr(path, '/') + 1, text.data, text.len);
	buf_done(&text);
	pair_done(&p);
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

static void prose_is_cut_where_no_token_changes(void *arg)
{
	(void)arg;
	for_each_vocab(check_prose);
}

static void long_prose_gives_llama_cpps_tokens_on_every_vocabulary(void **state)
{
	(void)state;
	on_text_stack(prose_is_cut_where_no_token_changes, NULL);
}

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The least of three: what other processes cost is taken for no growth. */
static double encode_s(const struct tokenizer *t, const char *unit, size_t len)
{
	struct buf text;
	double least = INFINITY;
	buf_init(&text, len + 64);
	while (text.len < len)
		buf_add_str(&text, unit);
	for (uint32_t i = 0; i < 3; i++) {
		struct tokens got = {0};
		double begin = cpu_s();
		assert_int_equal(tokenizer_encode(t, text.data, text.len, 0, TOKENS_MAX, &got, NULL), 0);
		least = fmin(least, cpu_s() - begin);
		vec_done(&got);
	}
	buf_done(&text);
	return least;
}

/*
 * Units that are no tokens, merge for ever, or have no place to cut. 16 times the text takes 16 times as long where time
 * grows with the text, some 20 with a heap, and 256 times where it grows with the square: 96 lies far from both.
 */
static void check_linear(const char *path)
{
	static const char *const units[] = {"\xf0\x9f\x98\x80", "\xcc\x81", "a", "a.", "\n", "=-", "ab cd"};
	struct tokenizer *t = NULL;
	assert_int_equal(tokenizer_load(&t, path, NULL), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(units); i++) {
		double part = encode_s(t, units[i], 6 << 10), whole = encode_s(t, units[i], 96 << 10);
		if (getenv("VERBOSE"))
			print_message("%-32s %-5s %.3f s a MB, %.0f times\n", strrchr(path, '/') + 1,
				units[i][0] == '\n' ? "\\n" : units[i], whole * 10.67, whole / part);
		if (whole > 96 * part)
			fail_msg("%s, \"%s\": 6 KiB %.5f s, 96 KiB %.3f s", path, units[i], part, whole);
	}
	tokenizer_destroy(t);
}

static void all_vocabularies_linear(void *arg)
{
	(void)arg;
	for_each_vocab(check_linear);
}

static void time_grows_with_the_text_on_every_vocabulary(void **state)
{
	(void)state;
	on_text_stack(all_vocabularies_linear, NULL);
}

/* --- Ends --- */

static atomic_bool unwanted;

static void check_cancel(const char *path)
{
	struct tokenizer *t = NULL;
	struct tokens got = {0};
	struct err err = {0};
	struct buf text;
	struct busy busy;
	assert_int_equal(tokenizer_load(&t, path, NULL), 0);
	buf_init(&text, 9 << 20);
	while (text.len < 8 << 20)
		buf_add_str(&text, "a\xf0\x9f\x98\x80 b\n");
	busy_cancel_begin(&busy, &unwanted, 5 * 1000);
	double begin = cpu_s();
	int code = tokenizer_encode_unless(t, text.data, text.len, 0, TOKENS_MAX, &unwanted, &got, &err);
	double took = cpu_s() - begin;
	busy_cancel_end(&busy);
	if ((code != -ECANCELED && code != -E2BIG) || got.len || took > 1)
		fail_msg("%s: %d after %.2f s: %s", path, code, took, err.msg);
	buf_done(&text);
	tokenizer_destroy(t);
}

static void all_vocabularies_cancelled(void *arg)
{
	(void)arg;
	for_each_vocab(check_cancel);
}

static void tokenizing_ends_when_nobody_waits(void **state)
{
	(void)state;
	on_text_stack(all_vocabularies_cancelled, NULL);
}

static void check_bound(const char *path)
{
	struct tokenizer *t = NULL;
	struct tokens got = {0};
	struct err err = {0};
	struct buf text;
	assert_int_equal(tokenizer_load(&t, path, NULL), 0);
	buf_init(&text, 33 << 20);
	while (text.len < 32 << 20)
		buf_add_str(&text, "stone\nriver ");
	double begin = cpu_s();
	assert_int_equal(tokenizer_encode(t, text.data, text.len, 0, 1000, &got, &err), -E2BIG);
	assert_int_equal(got.len, 0);
	if (cpu_s() - begin > 0.5) /* all of it: 2 s and more */
		fail_msg("%s: %.2f s to see that 32 MiB are more than 1,000 tokens", path, cpu_s() - begin);
	buf_done(&text);
	tokenizer_destroy(t);
}

static void all_vocabularies_bounded(void *arg)
{
	(void)arg;
	for_each_vocab(check_bound);
}

static void tokenizing_ends_when_the_bound_is_passed(void **state)
{
	(void)state;
	on_text_stack(all_vocabularies_bounded, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_texts_give_llama_cpps_tokens),
		cmocka_unit_test(long_prose_gives_llama_cpps_tokens_on_every_vocabulary),
		cmocka_unit_test(time_grows_with_the_text_on_every_vocabulary),
		cmocka_unit_test(tokenizing_ends_when_nobody_waits),
		cmocka_unit_test(tokenizing_ends_when_the_bound_is_passed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
