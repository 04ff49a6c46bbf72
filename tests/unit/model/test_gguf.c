/* GGUF headers: files written here, and the demo model against llama.cpp's own figures. */
#include "model/gguf.h"
#include "model/memory.h"

#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "base/buf.h"
#include "llama/context.h"
#include "llama/model.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(struct buf *b, uint64_t n, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		buf_add_byte(b, (uint8_t)(n >> 8 * i));
}

static void put_text(struct buf *b, const char *s)
{
	put(b, strlen(s), 8);
	buf_add_str(b, s);
}

static void put_u32(struct buf *b, const char *key, uint32_t n)
{
	put_text(b, key);
	put(b, 4, 4);
	put(b, n, 4);
}

static void put_string(struct buf *b, const char *key, const char *value)
{
	put_text(b, key);
	put(b, 8, 4);
	put_text(b, value);
}

static void put_u32s(struct buf *b, const char *key, const uint32_t *n, uint32_t count)
{
	put_text(b, key);
	put(b, 9, 4);
	put(b, 4, 4);
	put(b, count, 8);
	for (uint32_t i = 0; i < count; i++)
		put(b, n[i], 4);
}

static void put_tensor(struct buf *b, const char *name, uint64_t a, uint64_t c, uint32_t type, uint64_t offset)
{
	put_text(b, name);
	put(b, c ? 2 : 1, 4);
	put(b, a, 8);
	if (c)
		put(b, c, 8);
	put(b, type, 4);
	put(b, offset, 8);
}

static void begin(struct buf *b, uint32_t tensors, uint32_t pairs)
{
	buf_init(b, 1 << 20);
	buf_add(b, "GGUF", 4);
	put(b, 3, 4);
	put(b, tensors, 8);
	put(b, pairs, 8);
}

/* Two layers, 4 heads of 16 with 2 of KV, q8_0 matrices of 64 x 64. */
static void tiny(struct buf *b)
{
	static const uint32_t kv[] = {2, 2};

	begin(b, 4, 9);
	put_string(b, "general.architecture", "llama");
	put_string(b, "general.name", "Ti\033ny");
	put_u32(b, "general.file_type", 7);
	put_u32(b, "llama.block_count", 2);
	put_u32(b, "llama.embedding_length", 64);
	put_u32(b, "llama.attention.head_count", 4);
	put_u32s(b, "llama.attention.head_count_kv", kv, 2);
	put_u32(b, "llama.context_length", 2048);
	put_u32(b, "llama.vocab_size", 100);
	put_tensor(b, "token_embd.weight", 64, 100, 1, 0);
	put_tensor(b, "blk.0.attn_q.weight", 64, 64, 8, 12800);
	put_tensor(b, "blk.0.attn_q.bias", 64, 0, 0, 17152);
	put_tensor(b, "output.weight", 64, 100, 8, 17408);
}

static int read_bytes(struct model_facts *f, const struct buf *b, size_t len, struct err *err)
{
	struct gguf_sums s = {0};

	*f = (struct model_facts){0};
	return gguf_read_header(f, &s, "tiny.gguf", (const uint8_t *)b->data, len, err);
}

static void write_file(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(b->data, 1, b->len, f), b->len);
	fclose(f);
}

static void a_written_file_is_read_back(void **state)
{
	char path[] = "/tmp/stator-gguf-XXXXXX";
	struct model_facts f;
	struct buf b;
	struct err err;

	(void)state;
	close(mkstemp(path));
	tiny(&b);
	write_file(path, &b);
	assert_int_equal(model_facts_find(&f, path, &err), 0);
	assert_string_equal(f.name, "Ti?ny"); /* nothing of a stranger's file drives a terminal */
	assert_string_equal(f.architecture, "llama");
	assert_string_equal(f.quant, "q8_0");
	assert_int_equal(f.layers, 2);
	assert_int_equal(f.kv_heads, 2);
	assert_int_equal(f.head_dim, 16);
	assert_int_equal(f.vocab, 100);
	assert_int_equal(f.params, 6400 + 4096 + 64 + 6400);
	assert_int_equal(f.params_linear, 4096);
	assert_int_equal(f.weight_bytes, 12800 + 4352 + 256 + 6800);
	assert_int_equal(f.weight_bytes_input, 12800);
	assert_true(f.weight_exact && f.qkv_bias && !f.tied_embeddings);
	assert_int_equal(model_kv_bytes_per_token(&f, KV_F16), 2 * 2 * 2 * 16 * 2);
	assert_int_equal(model_weight_bytes(&f, "q8_0"), f.weight_bytes);
	unlink(path);
	buf_done(&b);
}

static void a_header_cut_anywhere_is_told_and_never_read_past(void **state)
{
	struct model_facts f;
	struct buf b;
	struct err err;

	(void)state;
	tiny(&b);
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *copy = malloc(len ? len : 1); /* so that a sanitizer sees a read past it */
		memcpy(copy, b.data, len);
		struct gguf_sums s = {0};
		f = (struct model_facts){0};
		assert_int_equal(gguf_read_header(&f, &s, "tiny.gguf", copy, len, &err), -EINVAL);
		if (len > 4)
			assert_non_null(strstr(err.msg, "cut short"));
		free(copy);
	}
	assert_int_equal(read_bytes(&f, &b, b.len, &err), 0);
	buf_done(&b);
}

static void refused(struct buf *b, int code, const char *words)
{
	struct model_facts f;
	struct err err;

	assert_int_equal(read_bytes(&f, b, b->len, &err), code);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
	buf_done(b);
}

static void what_cannot_be_is_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_add_str(&b, "PK\3\4 no model");
	refused(&b, -EINVAL, "zip archive");
	static const char *const others[][2] = {{"<!DOCTYPE html><html>", "HTML page"}, {"<html><body>", "HTML page"},
		{"<?xml version=\"1.0\"?><Error>", "XML document"}, {"version https://git-lfs.github.com", "Git LFS"}};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		b.len = 0;
		buf_add_str(&b, others[i][0]);
		refused(&b, -EINVAL, others[i][1]);
	}
	b.len = 0;
	put(&b, 0, 8);
	refused(&b, -EINVAL, "begins with zeros");
	buf_init(&b, 100);
	buf_add_str(&b, "version https://git-lfs");
	refused(&b, -EINVAL, "Git LFS");
	begin(&b, 0, 0);
	b.data[4] = 1;
	refused(&b, -ENOTSUP, "version 1");
	begin(&b, 0, 1);
	put_text(&b, "x");
	put(&b, 77, 4);
	refused(&b, -EINVAL, "unknown type 77");
	begin(&b, 0, 1);
	put_u32(&b, "general.alignment", 0);
	refused(&b, -EINVAL, "alignment of 0");
	begin(&b, 1, 1);
	put_string(&b, "general.architecture", "llama");
	put_tensor(&b, "t", 1, 1, 200, 0);
	refused(&b, -ENOTSUP, "type 200");
	begin(&b, 1, 1);
	put_string(&b, "general.architecture", "llama");
	put_tensor(&b, "t", 33, 4, 8, 0);
	refused(&b, -ENOTSUP, "blocks do not divide");
	begin(&b, 1, 1);
	put_string(&b, "general.architecture", "llama");
	put_tensor(&b, "t", 1ull << 40, 1ull << 40, 0, 0);
	refused(&b, -EINVAL, "shape that cannot be");
	begin(&b, 0, 2);
	put_string(&b, "general.architecture", "llama");
	put_u32(&b, "llama.block_count", 1 << 30);
	refused(&b, -EINVAL, "beyond any known model");
	begin(&b, 0, 0);
	refused(&b, -EINVAL, "general.architecture");
}

static void vocabulary_files_have_their_size_and_no_weights(void **state)
{
	struct model_facts f;
	struct err err;
	glob_t found;

	(void)state;
	assert_int_equal(glob(llama_data("vocab/*.gguf"), 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		err_clear(&err);
		if (model_facts_from_gguf(&f, found.gl_pathv[i], &err) < 0)
			fail_msg("%s", err.msg);
		assert_true(f.vocab > 1000 && f.layers > 0 && f.hidden > 0);
		assert_int_equal(f.weight_bytes, 0);
		assert_true(f.file_bytes > f.vocab);
	}
	assert_true(found.gl_pathc >= 10);
	globfree(&found);
	assert_int_equal(model_facts_from_gguf(&f, llama_data("vocab/ggml-vocab-qwen2.gguf"), &err), 0);
	assert_int_equal(f.vocab, 151936);
}

/* The quality bar: exact weight bytes and KV bytes of the demo model, by llama.cpp's own count. */
static void the_demo_model_is_as_llama_cpp_has_it(void **state)
{
	const char *path = demo_model();
	struct ll_model *ll = NULL;
	struct model_facts f;
	struct err err;

	(void)state;
	assert_int_equal(model_facts_from_gguf(&f, path, &err), 0);
	assert_int_equal(ll_model_load(&ll, path, &(struct ll_model_params){0}, &err), 0);
	const struct ll_model_facts *l = ll_model_facts(ll);
	assert_int_equal(f.params, l->params);
	assert_int_equal(f.weight_bytes, l->weight_bytes);
	assert_int_equal(f.layers, l->layers);
	assert_int_equal(f.hidden, l->embd);
	assert_int_equal(f.heads, l->heads);
	assert_int_equal(f.kv_heads, l->heads_kv);
	assert_int_equal(f.vocab, l->vocab);
	assert_int_equal(f.context_max, l->ctx_train);
	static const enum ll_kv_type theirs[] = {LL_KV_F16, LL_KV_Q8_0, LL_KV_Q4_0};
	static const enum kv_dtype ours[] = {KV_F16, KV_Q8_0, KV_Q4_0};
	for (uint32_t i = 0; i < ARRAY_LEN(ours); i++) {
		const struct ll_context_params p = {.cells = 4096,
			.seqs_max = 4,
			.type_k = theirs[i],
			.type_v = theirs[i],
			.flash_attention = true};
		assert_int_equal(model_kv_bytes_per_token(&f, ours[i]) * 4096, ll_kv_bytes(ll, &p));
	}
	ll_model_destroy(ll);
	struct model_facts c; /* the catalogue's entry of the same model */
	assert_int_equal(model_facts_by_name(&c, "SmolLM2-135M-Instruct", &err), 0);
	assert_int_equal(c.params, f.params);
	assert_int_equal(c.params_linear, f.params_linear);
	assert_int_equal(c.params_embed, f.params_embed);
}

static void memory_grows_with_cells_alone(void **state)
{
	struct model_facts m;
	struct llama_memory a, b;
	struct err err;

	(void)state;
	assert_int_equal(model_facts_by_name(&m, "SmolLM2-135M", &err), 0);
	llama_memory_predict(&a, &m, &(struct llama_memory_ask){.context = 4000, .kv = KV_F16});
	llama_memory_predict(&b, &m, &(struct llama_memory_ask){.context = 8192, .kv = KV_F16});
	assert_int_equal(a.kv, 4096 * 23040); /* whole pages of 256 cells */
	assert_int_equal(b.total - a.total, 4096 * (23040 + 2 * 512)); /* the mask of 512 tokens, 16 bits a cell */
	assert_int_equal(a.total, a.weights + a.kv + a.vocab + a.compute + a.overhead);
}

/* What llama.cpp 0.5.0 said of models of these shapes: "compute buffer size = 125.01 MiB", flash attention on, 512 tokens. */
static void compute_buffers_are_as_llama_cpp_reports_them(void **state)
{
	static const struct {
		const char *model;
		uint64_t cells;
		double mib;
	} said[] = {{"DeepSeek-R1-Distill-Qwen-14B", 4096, 125.01}, {"DeepSeek-R1-Distill-Qwen-14B", 8192, 129.01},
		{"DeepSeek-R1-Distill-Qwen-14B", 32768, 153.01}, {"Qwen2.5-1.5B", 4096, 68.51},
		{"Qwen2.5-1.5B", 32768, 96.51}};
	struct model_facts m;
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(said); i++) {
		assert_int_equal(model_facts_by_name(&m, said[i].model, &err), 0);
		double mib = (double)llama_compute_bytes(&m, 0, said[i].cells) / (1 << 20);
		if (mib < said[i].mib - 0.1 || mib > said[i].mib + 0.1)
			fail_msg("%s, %llu cells: %.2f MiB, not %.2f", said[i].model, (unsigned long long)said[i].cells,
				mib, said[i].mib);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_written_file_is_read_back),
		cmocka_unit_test(a_header_cut_anywhere_is_told_and_never_read_past),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(vocabulary_files_have_their_size_and_no_weights),
		cmocka_unit_test(the_demo_model_is_as_llama_cpp_has_it),
		cmocka_unit_test(memory_grows_with_cells_alone),
		cmocka_unit_test(compute_buffers_are_as_llama_cpp_reports_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
