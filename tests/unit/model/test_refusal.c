/* Files that cannot generate text are told from their headers; files that can are let through. */
#include "model/refusal.h"

#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "base/buf.h"
#include "model/facts.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A GGUF header, written pair by pair; counts are filled in at the end. */
struct file {
	struct buf pairs, tensors;
	uint32_t pair_count, tensor_count;
	char path[64];
};

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

static void begin(struct file *f)
{
	*f = (struct file){.path = "/tmp/stator-refusal-XXXXXX"};
	buf_init(&f->pairs, 1 << 16);
	buf_init(&f->tensors, 1 << 16);
}

static void text(struct file *f, const char *key, const char *value)
{
	put_text(&f->pairs, key);
	put(&f->pairs, 8, 4);
	put_text(&f->pairs, value);
	f->pair_count++;
}

static void number(struct file *f, const char *key, uint32_t value)
{
	put_text(&f->pairs, key);
	put(&f->pairs, 4, 4);
	put(&f->pairs, value, 4);
	f->pair_count++;
}

static void boolean(struct file *f, const char *key, bool value)
{
	put_text(&f->pairs, key);
	put(&f->pairs, 7, 4);
	put(&f->pairs, value, 1);
	f->pair_count++;
}

/* One float. */
static void tensor(struct file *f, const char *name)
{
	put_text(&f->tensors, name);
	put(&f->tensors, 1, 4);
	put(&f->tensors, 1, 8);
	put(&f->tensors, 0, 4);
	put(&f->tensors, f->tensor_count * 32ull, 8);
	f->tensor_count++;
}

static void end(struct file *f)
{
	struct buf b;

	buf_init(&b, 1 << 18);
	buf_add(&b, "GGUF", 4);
	put(&b, 3, 4);
	put(&b, f->tensor_count, 8);
	put(&b, f->pair_count, 8);
	buf_add(&b, f->pairs.data, f->pairs.len);
	buf_add(&b, f->tensors.data, f->tensors.len);
	for (uint32_t i = 0; i < 32 * (f->tensor_count + 1); i++)
		buf_add_byte(&b, 0);
	int fd = mkstemp(f->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, b.data, b.len), (ssize_t)b.len);
	close(fd);
	buf_done(&b);
	buf_done(&f->pairs);
	buf_done(&f->tensors);
}

/* A decoder of two layers that says no more than it must. */
static void begin_model(struct file *f, const char *arch)
{
	char key[96];

	begin(f);
	text(f, "general.architecture", arch);
	text(f, "general.name", "a name");
	snprintf(key, sizeof key, "%s.block_count", arch);
	number(f, key, 2);
	tensor(f, "token_embd.weight");
	tensor(f, "blk.0.attn_q.weight");
	tensor(f, "blk.1.attn_q.weight");
}

/* The file is refused with both words, and with its path; or let through when what is NULL. */
static void expect(struct file *f, const char *what, const char *instead)
{
	struct err err = {0};

	end(f);
	int r = refusal_check(f->path, &err);
	if (!what) {
		assert_int_equal(r, 0);
		unlink(f->path);
		return;
	}
	assert_int_equal(r, -ENOTSUP);
	if (!strstr(err.msg, what) || !strstr(err.msg, instead) || !strstr(err.msg, f->path))
		fail_msg("\"%s\" and \"%s\" are not both in: %s", what, instead, err.msg);
	unlink(f->path);
}

static void expect_arch(const char *arch, const char *what, const char *instead)
{
	struct file f;

	begin_model(&f, arch);
	expect(&f, what, instead);
}

static void embedding_architectures_are_named_with_what_they_do(void **state)
{
	static const char *const archs[] = {"bert", "nomic-bert-moe", "jina-bert-v3", "modern-bert", "eurobert",
		"gemma-embedding", "llama-embed", "t5encoder"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(archs); i++) {
		char said[80];
		snprintf(said, sizeof said, "(%s) is an embedding model and cannot generate text", archs[i]);
		expect_arch(archs[i], said, "serve a text generation model");
	}
}

static void other_models_that_do_not_decode_are_refused_each_in_its_words(void **state)
{
	(void)state;
	expect_arch("t5", "encoder-decoder", "decoder-only");
	expect_arch("llada-moe", "diffusion", "left to right");
	expect_arch("eagle3", "draft head", "without the draft");
	expect_arch("gemma4-assistant", "draft head", "without the draft");
	expect_arch("wavtokenizer-dec", "sound", "speech is not supported");
	expect_arch("pockettts", "sound", "speech is not supported");
	expect_arch("clip", "projector, not a model", "images and sound are not supported");
	expect_arch("flux", "image or video", "images are not supported");
	expect_arch("controlvector", "control vector", "serve the model it was made for");
}

static void decoders_are_let_through(void **state)
{
	static const char *const archs[] = {
		"llama", "qwen3", "mamba", "lfm2", "gemma3", "deepseek2", "an-arch-of-2030"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(archs); i++)
		expect_arch(archs[i], NULL, NULL);
}

static void a_decoder_that_says_nothing_against_itself_is_let_through(void **state)
{
	struct file f;
	(void)state;

	begin_model(&f, "qwen3");
	text(&f, "general.type", "model");
	boolean(&f, "qwen3.attention.causal", true);
	number(&f, "qwen3.pooling_type", 0);
	expect(&f, NULL, NULL);
	begin_model(&f, "qwen3");
	number(&f, "qwen3.pooling_type", UINT32_MAX); /* llama.h's "unspecified" */
	expect(&f, NULL, NULL);
}

static void a_decoder_made_to_embed_or_rank_is_refused(void **state)
{
	struct file f;
	(void)state;

	begin_model(&f, "qwen3");
	number(&f, "qwen3.pooling_type", 3);
	expect(&f, "(qwen3) is an embedding model", "embeddings are not supported");
	begin_model(&f, "qwen3");
	number(&f, "qwen3.pooling_type", 4);
	expect(&f, "ranking model", "ranking is not supported");
	begin_model(&f, "bert");
	text(&f, "bert.classifier.output_labels", "yes");
	expect(&f, "ranking model", "ranking is not supported");
	begin_model(&f, "lfm2");
	boolean(&f, "lfm2.attention.causal", false);
	expect(&f, "both directions", "embeddings are not supported");
}

static void what_is_no_model_by_its_own_word_is_refused(void **state)
{
	static const struct {
		const char *type, *what, *instead;
	} cases[] = {{"adapter", "is a LoRA adapter, not a model", "llama-export-lora"},
		{"imatrix", "importance matrix", "serve the quantized model"},
		{"mmproj", "projector", "serve the language model"}, {"poem", "general.type", "serve a GGUF file of"}};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct file f;
		struct model_facts facts;
		struct err err = {0};

		begin_model(&f, "llama");
		text(&f, "general.type", cases[i].type);
		expect(&f, cases[i].what, cases[i].instead);
		/* Who asks for its facts hears the same. */
		begin(&f);
		text(&f, "general.type", cases[i].type);
		end(&f);
		assert_int_equal(model_facts_from_gguf(&facts, f.path, &err), -ENOTSUP);
		assert_non_null(strstr(err.msg, cases[i].what));
		unlink(f.path);
	}
}

static void an_adapter_of_the_time_before_general_type_is_known_by_its_keys(void **state)
{
	struct file f;
	(void)state;

	begin_model(&f, "llama");
	text(&f, "adapter.type", "lora");
	expect(&f, "LoRA adapter", "serve the base model");
}

static void a_vocabulary_alone_and_a_head_alone_are_refused(void **state)
{
	struct file f;
	(void)state;

	begin(&f);
	text(&f, "general.architecture", "llama");
	expect(&f, "vocabulary of a model without its weights", "serve the whole model");
	begin(&f);
	text(&f, "general.architecture", "qwen35");
	number(&f, "qwen35.block_count", 25);
	number(&f, "qwen35.nextn_predict_layers", 1);
	tensor(&f, "token_embd.weight");
	tensor(&f, "blk.24.nextn.eh_proj.weight");
	expect(&f, "draft head", "without the draft");
	begin_model(&f, "qwen35"); /* the head beside the model it belongs to */
	number(&f, "qwen35.nextn_predict_layers", 1);
	expect(&f, NULL, NULL);
}

static void the_first_part_of_a_split_model_may_hold_no_weights(void **state)
{
	struct file f;
	(void)state;

	begin(&f);
	text(&f, "general.architecture", "llama");
	number(&f, "split.count", 3);
	expect(&f, NULL, NULL);
}

static void what_cannot_be_read_is_left_to_who_loads_it(void **state)
{
	struct err err = {0};
	(void)state;

	assert_int_equal(refusal_check("/nowhere/model.gguf", &err), 0);
	assert_int_equal(refusal_check("/proc/self/maps", &err), 0);
}

static void facts_of_an_embedding_model_say_that_it_is_one(void **state)
{
	struct model_facts facts;
	struct file f;
	(void)state;

	begin_model(&f, "nomic-bert");
	end(&f);
	assert_int_equal(model_facts_from_gguf(&facts, f.path, NULL), 0);
	assert_non_null(facts.refusal);
	assert_false(facts.refusal->no_model);
	assert_string_equal(facts.architecture, "nomic-bert");
	unlink(f.path);
	assert_int_equal(model_facts_from_gguf(&facts, demo_model(), NULL), 0);
	assert_null(facts.refusal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(embedding_architectures_are_named_with_what_they_do),
		cmocka_unit_test(other_models_that_do_not_decode_are_refused_each_in_its_words),
		cmocka_unit_test(decoders_are_let_through),
		cmocka_unit_test(a_decoder_that_says_nothing_against_itself_is_let_through),
		cmocka_unit_test(a_decoder_made_to_embed_or_rank_is_refused),
		cmocka_unit_test(what_is_no_model_by_its_own_word_is_refused),
		cmocka_unit_test(an_adapter_of_the_time_before_general_type_is_known_by_its_keys),
		cmocka_unit_test(a_vocabulary_alone_and_a_head_alone_are_refused),
		cmocka_unit_test(the_first_part_of_a_split_model_may_hold_no_weights),
		cmocka_unit_test(what_cannot_be_read_is_left_to_who_loads_it),
		cmocka_unit_test(facts_of_an_embedding_model_say_that_it_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
