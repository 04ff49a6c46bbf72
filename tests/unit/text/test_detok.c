#include "../lib/cmocka_all.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "../lib/llama_data.h"
#include "text/detok.h"

static struct tokenizer *load(const char *spec)
{
	struct tokenizer *t = NULL;
	struct err err = {0};
	if (tokenizer_load(&t, spec, &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

/* Push the bytes of text as byte tokens, checking that what comes out is whole characters after each. */
static void push_bytes(struct detok *d, const char *text, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(detok_push(d, (uint8_t)text[i], out), 0);
		assert_true(utf8_valid(buf_str(out), out->len));
	}
	assert_int_equal(detok_finish(d, out), 0);
	assert_true(utf8_valid(buf_str(out), out->len));
}

static void characters_are_never_split(void **state)
{
	(void)state;
	struct tokenizer *t = load("byte");
	struct detok d;
	struct buf out;
	const char *text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x80z";
	buf_init(&out, 1000);
	detok_init(&d, t, true);
	push_bytes(&d, text, strlen(text), &out);
	assert_string_equal(buf_str(&out), text);
	buf_done(&out);
	detok_done(&d);
	tokenizer_destroy(t);
}

static void a_character_cut_at_the_end_becomes_a_replacement(void **state)
{
	(void)state;
	struct tokenizer *t = load("byte");
	struct detok d;
	struct buf out;
	buf_init(&out, 1000);
	detok_init(&d, t, true);
	push_bytes(&d, "a\xf0\x9f\x9a", 4, &out);
	assert_string_equal(buf_str(&out), "a\xef\xbf\xbd");
	buf_done(&out);
	detok_done(&d);
	tokenizer_destroy(t);
}

static void broken_bytes_do_not_swallow_what_follows(void **state)
{
	(void)state;
	struct tokenizer *t = load("byte");
	struct detok d;
	struct buf out;
	buf_init(&out, 1000);
	detok_init(&d, t, true);
	push_bytes(&d, "\xe2\x82(\xff\x80)", 6, &out);
	assert_string_equal(buf_str(&out), "\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd)");
	buf_done(&out);
	detok_done(&d);
	tokenizer_destroy(t);
}

static void random_bytes_give_valid_text(void **state)
{
	(void)state;
	struct tokenizer *t = load("byte");
	struct rng r;
	rng_init(&r, 3);
	for (int round = 0; round < 2000; round++) {
		struct detok d;
		struct buf out;
		char bytes[40];
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (char)(rng_below(&r, 3) ? 0x80 + rng_below(&r, 0x80) : rng_below(&r, 0x80));
		buf_init(&out, 1000);
		detok_init(&d, t, true);
		push_bytes(&d, bytes, sizeof bytes, &out);
		buf_done(&out);
		detok_done(&d);
	}
	tokenizer_destroy(t);
}

/* Tokenize and put together again, one token at a time. */
static void round_trip(const char *vocab, const char *text)
{
	struct tokenizer *t = load(llama_data(vocab));
	struct tokens tokens = {0};
	struct detok d;
	struct buf out;
	buf_init(&out, 10000);
	assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, 1000, &tokens, NULL), 0);
	detok_init(&d, t, true);
	for (uint32_t i = 0; i < tokens.len; i++) {
		assert_int_equal(detok_push(&d, tokens.v[i], &out), 0);
		assert_true(utf8_valid(buf_str(&out), out.len));
	}
	assert_int_equal(detok_finish(&d, &out), 0);
	assert_string_equal(buf_str(&out), text);
	vec_done(&tokens);
	buf_done(&out);
	detok_done(&d);
	tokenizer_destroy(t);
}

static void text_survives_the_round_trip(void **state)
{
	(void)state;
	const char *text = "Hello, y'all! \xf0\x9f\x98\x81 \xe6\x88\x91\xe6\x83\xb3 na\xc3\xafve\n\tcode { x; }";
	round_trip("vocab/ggml-vocab-llama-spm.gguf", text);
	round_trip("vocab/ggml-vocab-llama-bpe.gguf", text);
	round_trip("vocab/ggml-vocab-qwen2.gguf", text);
	round_trip("vocab/ggml-vocab-gpt-2.gguf", text);
}

static void only_a_text_of_its_own_loses_its_first_space(void **state)
{
	(void)state;
	struct tokenizer *t = load(llama_data("vocab/ggml-vocab-llama-spm.gguf"));
	struct tokens tokens = {0};
	assert_int_equal(tokenizer_encode(t, "Hello", 5, 0, 100, &tokens, NULL), 0);
	for (int at_start = 0; at_start < 2; at_start++) {
		struct detok d;
		struct buf out;
		buf_init(&out, 100);
		detok_init(&d, t, at_start);
		assert_int_equal(detok_push(&d, tokens.v[0], &out), 0);
		assert_string_equal(buf_str(&out), at_start ? "Hello" : " Hello");
		buf_done(&out);
		detok_done(&d);
	}
	vec_done(&tokens);
	tokenizer_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters_are_never_split),
		cmocka_unit_test(a_character_cut_at_the_end_becomes_a_replacement),
		cmocka_unit_test(broken_bytes_do_not_swallow_what_follows),
		cmocka_unit_test(random_bytes_give_valid_text),
		cmocka_unit_test(text_survives_the_round_trip),
		cmocka_unit_test(only_a_text_of_its_own_loses_its_first_space),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
