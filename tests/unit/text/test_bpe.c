/* Our byte-pair encoding beside llama.cpp's: token for token, on every vocabulary of a family that we take, for random
 * and hostile texts. */
#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "base/limits.h"
#include "base/rng.h"
#include "llama/model.h"
#include "text/bpe.h"
#include "text/tokenizer_impl.h"

#include <glob.h>

enum { TEXTS = 3000, TOKENS_A_TEXT = 4096 };

static const char *const fragments[] = {" ", "  ", "\n", "\r\n", "\t", "'s", "'S", "'RE", "'ll", "'", "a", "Hello",
	" world", "the", "123", "4567", " 12", "\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac", "\xed\x95\x9c",
	"\xf0\x9f\x99\x82", "\xcc\x81", "\xc2\xa0", "\xe3\x80\x80", "...", "!!", "--", "=", "($", "<|", "|>",
	"<|im_end|>", "</s>", "<unk>", "\xc5\xbf", "\xe2\x84\xaa", "\xc4\xb0", "\xd9\xa1\xd9\xa2", "\xc2\xbd",
	"\xe2\x85\xa7", "\xe2\x80\x8d", "\xef\xbf\xbd", "\x01", "\x7f", " un", "believ", "able", "ERROR", "{", "}", "#",
	"__", "aaaaaaa", "        ", "\n\n\n", " \n", "\xe2\x80\xa8", "\xc2\x85", "\xef\xbb\xbf", "\xff", "\xc3"};

struct both {
	const char *name;
	struct tokenizer *t;
	struct ll_model *model;
	struct bpe *bpe;
	struct rng rng;
	uint32_t taken;
};

static uint32_t draw(struct both *b, uint32_t below)
{
	return (uint32_t)(rng_u64(&b->rng) % below);
}

static void add_character(struct buf *text, uint32_t c)
{
	char u[4];

	if (c >= 0xd800 && c < 0xe000)
		c = 'A';
	if (c < 0x80) {
		buf_add_byte(text, (uint8_t)c);
		return;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n; --i > 0; c >>= 6)
		u[i] = (char)(0x80 | (c & 63));
	u[0] = (char)(leads[n] | c);
	buf_add(text, u, n);
}

static void add_piece(struct both *b, struct buf *text, uint32_t kind)
{
	switch (kind) {
	case 0:
		buf_add_byte(text, (uint8_t)draw(b, 128));
		break;
	case 1:
		add_character(text, draw(b, 2) ? draw(b, 0x3000) : draw(b, 0x30000));
		break;
	case 2:
		assert_int_equal(tokenizer_piece(b->t, draw(b, tokenizer_vocab(b->t)), true, text), 0);
		break;
	default:
		buf_add_str(text, fragments[draw(b, ARRAY_LEN(fragments))]);
	}
}

static void compare(struct both *b, const char *text, size_t len)
{
	static uint32_t want[TEXT_RUN_MAX + TOKENS_A_TEXT];
	struct tokens got = {0};
	struct err err = {0};
	struct budget budget = {0};

	budget_begin(&budget, 0);
	if (bpe_encode(b->bpe, text, len, UINT32_MAX, &budget, &got) != 1) {
		assert_int_equal(got.len, 0);
		return;
	}
	b->taken++;
	int32_t n = ll_tokenize(ll_model_vocab(b->model), text, len, false, false, want, ARRAY_LEN(want), &err);
	if (n != (int32_t)got.len || (n > 0 && memcmp(want, got.v, got.len * sizeof *want) != 0)) {
		for (size_t i = 0; i < len; i++)
			print_error("\\x%02x", (uint8_t)text[i]);
		fail_msg("%s: %u tokens, llama.cpp has %d or others", b->name, got.len, n);
	}
	vec_done(&got);
}

static void compare_random_texts(struct both *b)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	for (uint32_t i = 0; i < TEXTS; i++) {
		uint32_t kind = draw(b, 5), n = 1 + draw(b, 12);
		buf_reset(&text);
		buf_add_str(&text, "");
		for (uint32_t k = 0; k < n; k++)
			add_piece(b, &text, kind);
		compare(b, buf_str(&text), text.len);
	}
	/* Words on both sides of where another way of merging begins, and one as long as may come. */
	for (uint32_t len = 40; len < 60; len++) {
		buf_reset(&text);
		for (uint32_t i = 0; i < len; i++)
			buf_add_byte(&text, (uint8_t)('a' + draw(b, 5)));
		compare(b, text.data, text.len);
	}
	buf_reset(&text);
	for (uint32_t i = 0; i < TEXT_RUN_MAX; i++)
		buf_add_byte(&text, (uint8_t)('a' + draw(b, 3)));
	compare(b, text.data, text.len);
	buf_done(&text);
}

static uint32_t vocabs_taken;

static void check_vocab(void *arg)
{
	struct both b = {.name = arg};
	struct ll_model_params params = {.vocab_only = true};
	struct err err = {0};

	rng_init(&b.rng, 42);
	assert_int_equal(tokenizer_load(&b.t, arg, &err), 0);
	assert_int_equal(ll_model_load(&b.model, arg, &params, &err), 0);
	size_t len;
	char *data = file_text(arg, &len);
	struct vocab_file v = {0};
	if (vocab_file_read(&v, (const uint8_t *)data, len) == 1)
		assert_int_equal(bpe_create(&b.bpe, &v, &b.t->table), 0);
	vocab_file_done(&v);
	free(data);
	if (b.bpe) {
		vocabs_taken++;
		compare_random_texts(&b);
		assert_in_range(b.taken, TEXTS / 2, TEXTS + 100);
	}
	bpe_destroy(b.bpe);
	ll_model_destroy(b.model);
	tokenizer_destroy(b.t);
}

static void tokens_are_llama_cpps_on_every_vocabulary_that_is_taken(void **state)
{
	glob_t found;

	(void)state;
	assert_int_equal(glob(llama_data("vocab/*.gguf"), 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		on_text_stack(check_vocab, found.gl_pathv[i]);
	globfree(&found);
	/* gpt-2, llama-bpe, mpt, qwen2, refact, starcoder, command-r */
	assert_in_range(vocabs_taken, 7, 20);
	vocabs_taken = 0;
	on_text_stack(check_vocab, (void *)(uintptr_t)demo_model());
	assert_int_equal(vocabs_taken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_llama_cpps_on_every_vocabulary_that_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
