#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "base/buf.h"
#include "base/rng.h"
#include "llama/model.h"
#include "llama/vocab.h"
#include "model/refusal.h"
#include "oracle.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char scratch[] = "/tmp/stator-gguf-XXXXXX";

static void write_file(const void *data, size_t len)
{
	int fd = open(scratch, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void expect_refused(const char *path, bool want_weights, const char *words)
{
	struct ll_file_facts facts;
	struct err err = {0};
	assert_true(ll_file_check(path, want_weights, &facts, &err) < 0);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void what_is_no_model_is_told_apart(void **state)
{
	(void)state;
	expect_refused("/nowhere/m.gguf", true, "could not open \"/nowhere/m.gguf\": No such file");
	expect_refused("/tmp", true, "is a folder, not a file");
	write_file("", 0);
	expect_refused(scratch, true, "is empty");
	write_file("PK\3\4 and so on", 12);
	expect_refused(scratch, true, "is not a GGUF file; it is a zip archive");
	write_file("GGUF\1\0\0\0", 8);
	expect_refused(scratch, true, "GGUF version 1");
	expect_refused(llama_data("vocab/ggml-vocab-gpt-2.gguf"), true, "holds a vocabulary only");
}

/* A GGUF file made by hand, piece by piece. */
static struct buf made;
static void put(const void *data, size_t len)
{
	assert_int_equal(buf_add(&made, data, len), 0);
}
static void put_u32(uint32_t v)
{
	put(&v, 4);
}
static void put_u64(uint64_t v)
{
	put(&v, 8);
}
static void put_text(const char *s)
{
	put_u64(strlen(s));
	put(s, strlen(s));
}
static void make_file(const char *arch, uint32_t tensor_type, uint64_t rows, size_t data_bytes)
{
	buf_init(&made, 1 << 20);
	put("GGUF\3\0\0\0", 8);
	put_u64(1);
	put_u64(1);
	put_text("general.architecture");
	put_u32(8);
	put_text(arch);
	put_text("w");
	put_u32(2);
	put_u64(32);
	put_u64(rows);
	put_u32(tensor_type);
	put_u64(0);
	while (made.len % 32)
		put("", 1);
	for (size_t i = 0; i < data_bytes; i++)
		put("x", 1);
	write_file(made.data, made.len);
	buf_done(&made);
}

static void a_truncated_file_says_what_is_missing(void **state)
{
	(void)state;
	struct ll_file_facts facts;
	make_file("llama", 0, 4, 512);
	assert_int_equal(ll_file_check(scratch, true, &facts, NULL), 0);
	assert_int_equal(facts.tensor_count, 1);
	assert_string_equal(facts.arch, "llama");
	make_file("llama", 0, 4, 511);
	expect_refused(scratch, true, "cut short");
	expect_refused(scratch, true, "download it again");
	make_file("llama", 0, UINT64_MAX / 64, 512);
	expect_refused(scratch, true, "type 0 or a shape");
	make_file("llama", 4711, 4, 512);
	expect_refused(scratch, true, "type 4711");
	make_file("shoggoth", 0, 4, 512);
	expect_refused(scratch, true, "architecture \"shoggoth\", which llama.cpp 0.5.0 does not know");
}

static void every_cut_and_many_flips_are_survived(void **state)
{
	(void)state;
	size_t len;
	CLEANUP(free_p) char *whole = file_text(llama_data("vocab/ggml-vocab-gpt-2.gguf"), &len);
	struct ll_file_facts facts;
	struct rng r;
	rng_init(&r, 9);
	for (int i = 0; i < 300; i++) {
		write_file(whole, i < 150 ? (size_t)i * 7 : rng_below(&r, len));
		assert_true(ll_file_check(scratch, false, &facts, NULL) < 0);
	}
	for (int i = 0; i < 300; i++) {
		size_t at = i < 200 ? (size_t)i : rng_below(&r, 5000);
		char was = whole[at];
		whole[at] = (char)rng_below(&r, 256);
		write_file(whole, 6000);
		ll_file_check(scratch, false, &facts, NULL);
		whole[at] = was;
	}
}

static void facts_of_the_demo_model(void **state)
{
	(void)state;
	struct ll_model *m = NULL;
	struct ll_model_params params = {0};
	struct err err = {0};
	if (ll_model_load(&m, demo_model(), &params, &err) < 0)
		fail_msg("%s", err.msg);
	const struct ll_model_facts *f = ll_model_facts(m);
	assert_string_equal(f->file.arch, "llama");
	assert_int_equal(f->layers, 30);
	assert_int_equal(f->heads, 9);
	assert_int_equal(f->heads_kv, 3);
	assert_int_equal(f->vocab, 49152);
	assert_int_equal(f->ctx_train, 8192);
	assert_int_equal(f->file.file_bytes, 98362432);
	assert_false(f->recurrent || f->hybrid || f->encoder);
	assert_true(f->decoder);
	assert_non_null(ll_model_template(m));
	char value[64];
	assert_int_equal(ll_model_meta(m, "general.architecture", value, sizeof value), 0);
	assert_string_equal(value, "llama");
	assert_int_equal(ll_model_meta(m, "no.such.key", value, sizeof value), -ENOENT);
	ll_model_destroy(m);
}

static void hashes_tell_files_and_vocabularies(void **state)
{
	(void)state;
	struct ll_file_facts a, b, c;
	assert_int_equal(ll_file_check(llama_data("vocab/ggml-vocab-qwen2.gguf"), false, &a, NULL), 0);
	assert_int_equal(ll_file_check(llama_data("vocab/ggml-vocab-qwen2.gguf"), false, &b, NULL), 0);
	assert_int_equal(ll_file_check(llama_data("vocab/ggml-vocab-gpt-2.gguf"), false, &c, NULL), 0);
	assert_true(a.fingerprint == b.fingerprint && a.vocab_hash == b.vocab_hash);
	assert_true(a.fingerprint != c.fingerprint && a.vocab_hash != c.vocab_hash);
}

static bool stop_at_once(void *ctx, float done)
{
	(void)done;
	++*(int *)ctx;
	return false;
}

static void a_load_can_be_stopped(void **state)
{
	(void)state;
	struct ll_model *m = NULL;
	int calls = 0;
	struct ll_model_params params = {.progress = stop_at_once, .progress_ctx = &calls};
	struct err err = {0};
	assert_int_equal(ll_model_load(&m, demo_model(), &params, &err), -ECANCELED);
	assert_int_equal(calls, 1);
	assert_null(m);
}

static void llama_cpps_own_words_reach_the_error(void **state)
{
	(void)state;
	struct ll_model *m = NULL;
	struct ll_model_params params = {0};
	struct err err = {0};
	make_file("llama", 0, 4, 512);
	assert_true(ll_model_load(&m, scratch, &params, &err) < 0);
	assert_non_null(strstr(err.msg, "could not load model"));
	assert_non_null(strstr(err.msg, "key not found"));
}

static bool table_refuses(const char *arch)
{
	const struct refusal_marks marks = {.arch = arch, .type = "model"};

	return refusal_find(&marks) != NULL;
}

static void the_table_of_refusals_is_llama_cpps_own(void **state)
{
	/* It loads these, but their tokens are not text, or they go with another model, or it never loads them. */
	static const char *const ours[] = {"qwen3tts", "pockettts", "llama-embed", "gemma4-assistant", "clip"};
	uint32_t refused = 0;
	(void)state;

	for (uint32_t i = 0; oracle_arch_at(i); i++) {
		const char *arch = oracle_arch_at(i);
		bool by_us = false;

		for (size_t k = 0; k < ARRAY_LEN(ours); k++)
			by_us |= strcmp(ours[k], arch) == 0;
		if (!by_us && oracle_arch_decodes(i) == table_refuses(arch))
			fail_msg("%s: the table says %s", arch, table_refuses(arch) ? "refuse" : "serve");
		refused += table_refuses(arch);
	}
	assert_true(refused > 15);
}

static void every_name_of_an_engine_of_text_in_the_table_is_known_to_llama_cpp(void **state)
{
	(void)state;
	for (uint32_t i = 0; refusal_arch_at(i); i++) {
		const struct refusal_marks marks = {.arch = refusal_arch_at(i), .type = ""};
		bool known = false;

		for (uint32_t k = 0; oracle_arch_at(k) && !known; k++)
			known = strcmp(oracle_arch_at(k), refusal_arch_at(i)) == 0;
		if (!known && !refusal_find(&marks)->no_model)
			fail_msg("llama.cpp knows no \"%s\": a slip of the pen?", refusal_arch_at(i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_model_is_told_apart),
		cmocka_unit_test(a_truncated_file_says_what_is_missing),
		cmocka_unit_test(every_cut_and_many_flips_are_survived),
		cmocka_unit_test(facts_of_the_demo_model),
		cmocka_unit_test(hashes_tell_files_and_vocabularies),
		cmocka_unit_test(a_load_can_be_stopped),
		cmocka_unit_test(llama_cpps_own_words_reach_the_error),
		cmocka_unit_test(the_table_of_refusals_is_llama_cpps_own),
		cmocka_unit_test(every_name_of_an_engine_of_text_in_the_table_is_known_to_llama_cpp),
	};
	int fd = mkstemp(scratch);
	if (fd < 0)
		return 1;
	close(fd);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(scratch);
	return failed;
}
