/* Vocabularies on which llama.cpp would end the process. It does so here, too, when one is let through. */
#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "../lib/vocab_world.h"
#include "base/limits.h"
#include "base/rng.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const texts[] = {"ab  abc\n\n<|x|> </s> \xf0\x9f\x98\x80", "aaaa bbbb", "", "\xff\xfe"};

/* Load and use what is loaded. */
static int try_bytes(const void *data, size_t len, struct err *err)
{
	struct tokenizer *t = NULL;
	struct buf text;
	char path[64];
	int fd;

	vocab_world_file(data, len, path, sizeof path, &fd);
	int code = tokenizer_load(&t, path, err);
	buf_init(&text, 1 << 20);
	for (uint32_t i = 0; code == 0 && i < ARRAY_LEN(texts); i++) {
		struct tokens got = {0};
		int used = tokenizer_encode(
			t, texts[i], strlen(texts[i]), TOKENIZE_BOS_EOS | TOKENIZE_SPECIAL, 1000, &got, NULL);
		for (uint32_t k = 0; used == 0 && k < got.len; k++) {
			assert_true(got.v[k] < tokenizer_vocab(t));
			used = tokenizer_piece(t, got.v[k], true, &text);
		}
		vec_done(&got);
	}
	buf_done(&text);
	tokenizer_destroy(t);
	close(fd);
	return code;
}

static int try_world(const struct vocab_world *v, struct err *err)
{
	struct buf file;

	buf_init(&file, 1 << 24);
	vocab_world_write(&file, v);
	int code = try_bytes(file.data, file.len, err);
	buf_done(&file);
	return code;
}

static void expect_refused(const struct vocab_world *v, const char *words)
{
	struct err err = {0};

	assert_true(try_world(v, &err) < 0);
	if (!strstr(err.msg, words))
		fail_msg("%s: \"%s\" does not say \"%s\"", v->kind, err.msg, words);
}

static void whole_vocabularies_of_each_kind_are_taken(void **state)
{
	(void)state;
	for (uint32_t i = 0; vocab_world_at(i); i++) {
		struct err err = {0};
		if (try_world(vocab_world_at(i), &err) < 0)
			fail_msg("%s: %s", vocab_world_at(i)->kind, err.msg);
	}
}

static void two_equal_tokens_are_refused_in_every_kind(void **state)
{
	(void)state;
	for (uint32_t i = 0; vocab_world_at(i); i++) {
		const char *tokens[300];
		struct vocab_world v = *vocab_world_at(i);
		memcpy(tokens, v.tokens, v.count * sizeof *tokens);
		tokens[5] = tokens[7];
		v.tokens = tokens;
		/* Our own reader takes such a byte-pair vocabulary. */
		if (strcmp(v.kind, "gpt2") != 0)
			expect_refused(&v, "token 7 has the text");
		tokens[5] = "";
		tokens[7] = "[EMPTY_5]";
		if (strcmp(v.kind, "gpt2") != 0)
			expect_refused(&v, "token 7 has the text \"[EMPTY_5]\"");
	}
}

/* llama.cpp's loader takes texts for C strings. */
static void tokens_that_are_equal_up_to_a_nul_are_refused(void **state)
{
	(void)state;
	static const char ab[] = "\2\0\0\0\0\0\0\0ab";
	for (uint32_t i = 0; vocab_world_at(i); i++) {
		struct buf file;
		struct err err = {0};
		if (strcmp(vocab_world_at(i)->kind, "gpt2") == 0 || strcmp(vocab_world_at(i)->kind, "bert") == 0)
			continue;
		buf_init(&file, 1 << 20);
		vocab_world_write(&file, vocab_world_at(i));
		char *at = memmem(file.data, file.len, ab, sizeof ab - 1);
		assert_non_null(at);
		at[9] = '\0';
		assert_true(try_bytes(file.data, file.len, &err) < 0);
		assert_non_null(strstr(err.msg, "has the text \"a\", which another one has"));
		buf_done(&file);
	}
}

static void what_llama_cpp_asserts_is_refused(void **state)
{
	(void)state;
	static const uint32_t byte_types[12] = {3, 2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1};
	static const char *const no_single[12] = {"<s>", "<", "ab", "b", "\\n", " ", "s", ">", "\\t", "'", "x", "y"};
	struct vocab_world v = *vocab_world_at(1);
	v.types = byte_types;
	expect_refused(&v, "token 4 is one of a byte");
	for (uint32_t i = 0; vocab_world_at(i); i++) {
		v = *vocab_world_at(i);
		v.count = 0;
		expect_refused(&v, "it has no tokens");
	}
	v = *vocab_world_at(0);
	v.kind = "none";
	expect_refused(&v, "of the kind \"none\"");
	v.kind = "no_vocab";
	expect_refused(&v, "of the kind \"no_vocab\"");
	v.kind = "test";
	expect_refused(&v, "of the kind \"test\"");
	v = *vocab_world_at(2);
	v.pre = "whitespace";
	expect_refused(&v, "not split at");
	v = *vocab_world_at(4);
	v.tokens = no_single;
	expect_refused(&v, "begins with the byte 0x61, and no token is that byte");
}

static void tokens_that_recurse_through_the_stack_are_refused(void **state)
{
	(void)state;
	CLEANUP(free_p) char *text = calloc(1, 2 << 20);
	assert_non_null(text);
	memset(text, 'a', (2 << 20) - 1);
	for (uint32_t i = 0; vocab_world_at(i); i++) {
		const char *tokens[300];
		struct vocab_world v = *vocab_world_at(i);
		memcpy(tokens, v.tokens, v.count * sizeof *tokens);
		tokens[11] = text;
		v.tokens = tokens;
		if (strcmp(v.kind, "gpt2") != 0)
			expect_refused(&v, "token 11 has 2097151 bytes");
	}
}

/* Bytes changed, taken out, doubled, numbers made extreme. */
static void mutate(struct rng *r, struct buf *b)
{
	static const uint8_t extreme[] = {0, 1, 0x7f, 0x80, 0xff};
	for (uint64_t n = 1 + rng_below(r, 4); n; n--) {
		size_t at = rng_below(r, b->len);
		switch (rng_below(r, 4)) {
		case 0:
			b->data[at] = (char)rng_below(r, 256);
			break;
		case 1:
			b->data[at] = (char)extreme[rng_below(r, ARRAY_LEN(extreme))];
			break;
		case 2: { /* a piece over another */
			size_t from = rng_below(r, b->len), some = rng_below(r, 16);
			size_t len = MIN(some, b->len - MAX(from, at));
			memmove(b->data + at, b->data + from, len);
			break;
		}
		default:
			b->data[at] ^= (char)(1 << rng_below(r, 8));
		}
	}
}

static void no_mutated_vocabulary_ends_the_process(void *arg)
{
	const char *often = getenv("STATOR_MUTATIONS");
	uint32_t loaded = 0, times = often ? (uint32_t)strtoul(often, NULL, 10) : 300;
	(void)arg;
	for (uint32_t i = 0; vocab_world_at(i); i++) {
		struct rng r;
		struct buf whole, changed;
		rng_init(&r, 17 + i);
		buf_init(&whole, 1 << 20);
		buf_init(&changed, 1 << 20);
		vocab_world_write(&whole, vocab_world_at(i));
		for (uint32_t n = 0; n < times; n++) {
			buf_reset(&changed);
			buf_add(&changed, whole.data, whole.len);
			mutate(&r, &changed);
			loaded += try_bytes(changed.data, changed.len, NULL) == 0;
		}
		buf_done(&whole);
		buf_done(&changed);
	}
	assert_true(loaded > times / 10);
}

static void mutated_vocabularies_of_each_kind_are_refused_or_work(void **state)
{
	(void)state;
	on_text_stack(no_mutated_vocabulary_ends_the_process, NULL);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
	(void)state;
	char folder[] = "/tmp/stator-test-XXXXXX", path[64];
	struct tokenizer *t = NULL;
	struct err err = {0};

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/fifo.gguf", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(10); /* it waited for ever */
	assert_int_equal(tokenizer_load(&t, path, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "not a file"));
	assert_int_equal(tokenizer_load(&t, "/dev/zero", &err), -EINVAL);
	assert_true(tokenizer_load(&t, folder, &err) < 0);
	alarm(0);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_vocabularies_of_each_kind_are_taken),
		cmocka_unit_test(two_equal_tokens_are_refused_in_every_kind),
		cmocka_unit_test(tokens_that_are_equal_up_to_a_nul_are_refused),
		cmocka_unit_test(what_llama_cpp_asserts_is_refused),
		cmocka_unit_test(tokens_that_recurse_through_the_stack_are_refused),
		cmocka_unit_test(mutated_vocabularies_of_each_kind_are_refused_or_work),
		cmocka_unit_test(what_is_no_file_is_refused_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
