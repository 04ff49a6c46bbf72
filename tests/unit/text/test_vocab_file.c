/* Our reader of byte-pair vocabularies beside llama.cpp's: on every vocabulary in its tree, on each family by name, and on
 * small files made up at random of the texts and keys that its rules look at. */
#include "text/vocab_file.h"

#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include "base/rng.h"
#include "llama/model.h"
#include "text/tokenizer.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPECIALS_MAX = 4096, MADE_UP = 400 };

/* --- comparing --- */

static void compare_token(const char *name, const struct vocab_file *v, const struct ll_vocab *want, uint32_t id)
{
	char piece[4096];
	struct buf got;

	buf_init(&got, 1 << 20);
	for (int special = 0; special < 2; special++) {
		int32_t n = ll_piece(want, id, special, piece, sizeof piece);
		buf_reset(&got);
		assert_int_equal(vocab_file_piece(v, id, special, &got), 0);
		if (n < 0 || (size_t)n != got.len || memcmp(piece, buf_str(&got), got.len) != 0)
			fail_msg(
				"%s: token %u is \"%s\", llama.cpp has %d bytes or others", name, id, buf_str(&got), n);
	}
	buf_done(&got);
	if (ll_vocab_is_eog(want, id) != ((v->attrs[id] & VOCAB_EOG) != 0) ||
		ll_vocab_is_control(want, id) != ((v->attrs[id] & VOCAB_CONTROL) != 0))
		fail_msg("%s: token %u has attributes %#x, llama.cpp others", name, id, v->attrs[id]);
}

static void compare_specials(const char *name, const struct vocab_file *v, const struct ll_vocab *want)
{
	static struct ll_special list[SPECIALS_MAX];
	uint32_t n = ll_vocab_specials(want, list, SPECIALS_MAX);

	assert_in_range(n, 0, SPECIALS_MAX);
	assert_int_equal(v->specials_count, n);
	for (uint32_t i = 0; i < n; i++) {
		bool control = v->attrs[v->specials[i]] & (VOCAB_CONTROL | VOCAB_UNKNOWN);
		if (list[i].id != v->specials[i] || list[i].control != control || list[i].strip_left ||
			list[i].strip_right)
			fail_msg("%s: special %u is token %u, llama.cpp has %u or other attributes", name, i,
				v->specials[i], list[i].id);
	}
}

static void compare_vocab(const char *name, const struct vocab_file *v, const struct ll_model *m)
{
	const struct ll_vocab *want = ll_model_vocab(m);
	const char *template = ll_model_template(m);

	assert_int_equal(v->count, ll_vocab_size(want));
	assert_int_equal(v->bos, ll_vocab_bos(want));
	assert_int_equal(v->eos, ll_vocab_eos(want));
	assert_int_equal(v->add_bos, ll_vocab_add_bos(want));
	assert_int_equal(v->add_eos, ll_vocab_add_eos(want));
	assert_int_equal(v->split, ll_vocab_split(want));
	assert_int_equal(v->ignore_merges, ll_vocab_ignores_merges(want));
	assert_int_equal(template != NULL, v->template.data != NULL);
	if (template) {
		assert_int_equal(strlen(template), v->template.len);
		assert_memory_equal(template, v->template.data, v->template.len);
	}
	for (uint32_t id = 0; id < v->count; id++)
		compare_token(name, v, want, id);
	compare_specials(name, v, want);
}

/* 1: ours took the file, and both agree; 0: ours did not. */
static int compare_file(const char *path)
{
	struct ll_model_params params = {.vocab_only = true};
	struct vocab_file v = {0};
	struct ll_model *m;
	struct err err = {0};
	size_t len;
	char *data = file_text(path, &len);
	int taken = vocab_file_read(&v, (const uint8_t *)data, len);

	assert_in_range(taken, 0, 1);
	if (taken) {
		if (ll_model_load(&m, path, &params, &err) < 0)
			fail_msg("%s: we take it, llama.cpp says %s", path, err.msg);
		compare_vocab(path, &v, m);
		ll_model_destroy(m);
	}
	vocab_file_done(&v);
	free(data);
	return taken;
}

static void vocabularies_are_what_llama_cpp_makes_of_them(void **state)
{
	glob_t found;
	int taken = 0;

	(void)state;
	assert_int_equal(glob(llama_data("vocab/*.gguf"), 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		taken += compare_file(found.gl_pathv[i]);
	globfree(&found);
	/* gpt-2, llama-bpe, mpt, qwen2, refact, starcoder, command-r */
	assert_in_range(taken, 7, 20);
	assert_int_equal(compare_file(demo_model()), 1);
}

/* --- files made up --- */

static void put(struct buf *b, uint64_t n, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		buf_add_byte(b, (uint8_t)(n >> 8 * i));
}

static void put_text(struct buf *b, const char *s, size_t len)
{
	put(b, len, 8);
	buf_add(b, s, len);
}

static void put_key(struct buf *b, const char *key, uint32_t type)
{
	put_text(b, key, strlen(key));
	put(b, type, 4);
}

static void put_string(struct buf *b, const char *key, const char *value)
{
	put_key(b, key, GGUF_STRING);
	put_text(b, value, strlen(value));
}

/* A vocabulary: the 256 letters, two merges and the extra texts. */
struct made {
	const char *pre;
	const char *extra[32];
	uint32_t types[32]; /* of the extra texts */
	uint32_t extra_count;
	struct {
		const char *key;
		uint32_t type, value; /* GGUF_U32 or GGUF_BOOL */
	} keys[16];
	uint32_t keys_count;
};

static size_t letter(int byte, char *ret)
{
	int next = 256, code = -1;

	for (int i = 0; i <= byte; i++) {
		bool prints = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
		code = prints ? i : next++;
	}
	if (code < 0x80) {
		ret[0] = (char)code;
		return 1;
	}
	ret[0] = (char)(0xc0 | code >> 6);
	ret[1] = (char)(0x80 | (code & 63));
	return 2;
}

static void put_tokens(struct buf *b, const struct made *m)
{
	put_key(b, "tokenizer.ggml.tokens", GGUF_ARRAY);
	put(b, GGUF_STRING, 4);
	put(b, 256 + 2 + m->extra_count, 8);
	for (int i = 0; i < 256; i++) {
		char text[2];
		size_t n = letter(i, text);
		put_text(b, text, n);
	}
	put_text(b, "ab", 2);
	put_text(b, "abc", 3);
	for (uint32_t i = 0; i < m->extra_count; i++)
		put_text(b, m->extra[i], strlen(m->extra[i]));
	put_key(b, "tokenizer.ggml.token_type", GGUF_ARRAY);
	put(b, GGUF_I32, 4);
	put(b, 256 + 2 + m->extra_count, 8);
	for (uint32_t i = 0; i < 258; i++)
		put(b, 1, 4);
	for (uint32_t i = 0; i < m->extra_count; i++)
		put(b, m->types[i], 4);
}

static void make(struct buf *b, const struct made *m)
{
	buf_init(b, 1 << 20);
	buf_add(b, "GGUF", 4);
	put(b, 3, 4);
	put(b, 0, 8);
	put(b, 6 + m->keys_count, 8);
	put_string(b, "general.architecture", "llama");
	put_string(b, "tokenizer.ggml.model", "gpt2");
	put_string(b, "tokenizer.ggml.pre", m->pre);
	put_tokens(b, m);
	put_key(b, "tokenizer.ggml.merges", GGUF_ARRAY);
	put(b, GGUF_STRING, 4);
	put(b, 2, 8);
	put_text(b, "a b", 3);
	put_text(b, "ab c", 4);
	for (uint32_t i = 0; i < m->keys_count; i++) {
		char key[64];
		snprintf(key, sizeof key, "tokenizer.ggml.%s", m->keys[i].key);
		put_key(b, key, m->keys[i].type);
		put(b, m->keys[i].value, m->keys[i].type == GGUF_BOOL ? 1 : 4);
	}
}

static int compare_made(const struct made *m)
{
	char path[] = "/tmp/test-vocab-XXXXXX";
	int fd = mkstemp(path);
	struct buf b;

	assert_true(fd >= 0);
	make(&b, m);
	assert_false(b.failed);
	assert_int_equal(write(fd, b.data, b.len), (ssize_t)b.len);
	close(fd);
	int taken = compare_file(path);
	unlink(path);
	buf_done(&b);
	return taken;
}

/* Every name that llama.cpp knows, of families we take and of others. */
static const char *const pres[] = {"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "a.x-4.0", "mellum",
	"jina-v1-en", "roberta-bpe", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling", "starcoder",
	"refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2", "llama3", "llama-v3",
	"llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "dbrx", "smaug-bpe",
	"chatglm-bpe", "glm4", "glm5", "stablelm2", "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez",
	"hunyuan", "solar-open", "grok-2"};
static const char *const other_pres[] = {"default", "minicpm5", "deepseek-llm", "deepseek-coder", "deepseek-v3",
	"spark2_5", "youtu", "falcon", "jina-v2-es", "jina-v2-de", "jina-v2-code", "modern-bert", "jais-2",
	"whitespace", "qwen35", "poro-chat", "viking", "tekken", "bloom", "gpt3-finnish", "exaone-moe", "chameleon",
	"gpt-4o", "llama4", "kanana2", "talkie", "tiny_aya", "superbpe", "bailingmoe", "seed-coder", "hunyuan-dense",
	"hy_v4", "joyai-llm", "kimi-k2", "ufakzeka", "afmoe", "laguna", "minimax-m2", "gemma4", "sarvam-moe", "",
	"no such thing"};

static void families_are_llama_cpps(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pres); i++)
		assert_int_equal(compare_made(&(struct made){.pre = pres[i]}), 1);
	for (size_t i = 0; i < ARRAY_LEN(other_pres); i++)
		assert_int_equal(compare_made(&(struct made){.pre = other_pres[i]}), 0);
}

static const char *const texts[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>",
	"<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
	"<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
	"<\xef\xbd\x9c"
	"end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
	"[e~[", "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<|fim_prefix|>", "<fim-prefix>",
	"<fim_prefix>",
	"<\xef\xbd\x9c"
	"fim\xe2\x96\x81"
	"begin\xef\xbd\x9c>",
	"<PRE>", "\xe2\x96\x81<PRE>", "<|code_prefix|>", "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",
	"<\xef\xbd\x9c"
	"fim\xe2\x96\x81hole\xef\xbd\x9c>",
	"<SUF>", "\xe2\x96\x81<SUF>", "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>",
	"<\xef\xbd\x9c"
	"fim\xe2\x96\x81"
	"end\xef\xbd\x9c>",
	"<MID>", "\xe2\x96\x81<MID>", "<|code_middle|>", "<|middle|>", "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>",
	"[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>", "<|plamo:eos|>",
	"<unused12>", "<s>", "<unk>", "<mask>", "[MASK]", "<tool_call>", "caf\xc3\xa9", "\xe6\x97\xa5", "\xc4\xa0the",
	"<oov>", "\xf0\x9f\x99\x82", "a\xe2\x96\x81"};
static const char *const ids[] = {"bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "fim_pre_token_id",
	"fim_suf_token_id", "fim_mid_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id",
	"prefix_token_id", "suffix_token_id", "middle_token_id", "unknown_token_id", "padding_token_id"};

static void make_up(struct made *m, struct rng *r)
{
	bool used[ARRAY_LEN(texts)] = {0}, keyed[ARRAY_LEN(ids)] = {0};
	uint32_t n = (uint32_t)rng_below(r, 32), keys = (uint32_t)rng_below(r, 8);

	*m = (struct made){.pre = pres[rng_below(r, ARRAY_LEN(pres))]};
	for (uint32_t i = 0; i < n; i++) {
		size_t t = rng_below(r, ARRAY_LEN(texts));
		if (used[t])
			continue;
		used[t] = true;
		m->types[m->extra_count] = (uint32_t)rng_below(r, 6); /* undefined to unused */
		m->extra[m->extra_count++] = texts[t];
	}
	for (uint32_t i = 0; i < keys; i++) {
		size_t k = rng_below(r, ARRAY_LEN(ids));
		if (keyed[k])
			continue;
		keyed[k] = true;
		m->keys[m->keys_count].key = ids[k];
		m->keys[m->keys_count].type = GGUF_U32;
		m->keys[m->keys_count++].value = (uint32_t)(rng_below(r, 300) + (rng_below(r, 8) ? 0 : 1u << 30));
	}
	for (uint32_t i = 0; i < 2; i++)
		if (rng_below(r, 3) == 0) {
			m->keys[m->keys_count].key = i ? "add_eos_token" : "add_bos_token";
			m->keys[m->keys_count].type = GGUF_BOOL;
			m->keys[m->keys_count++].value = (uint32_t)rng_below(r, 2);
		}
}

static void rules_are_llama_cpps_for_random_vocabularies(void **state)
{
	struct rng r;
	struct made m;
	int taken = 0;

	(void)state;
	rng_init(&r, 7);
	for (int i = 0; i < MADE_UP; i++) {
		make_up(&m, &r);
		taken += compare_made(&m);
	}
	/* Many name several tokens for one role, which depends on a hash table and is not taken. */
	assert_in_range(taken, MADE_UP / 4, MADE_UP);
}

static void a_key_of_another_type_is_left_to_llama_cpp(void **state)
{
	struct made m = {.pre = "gpt-2", .keys = {{"add_bos_token", GGUF_U32, 1}}, .keys_count = 1};

	(void)state;
	assert_int_equal(compare_made(&m), 0);
	m.keys[0].key = "bos_token_id";
	assert_int_equal(compare_made(&m), 1);
	m.keys[1] = m.keys[0]; /* twice */
	m.keys_count = 2;
	assert_int_equal(compare_made(&m), 0);
}

static void a_file_that_is_cut_anywhere_is_not_taken(void **state)
{
	struct made m = {.pre = "gpt-2", .extra = {"<|im_end|>"}, .types = {3}, .extra_count = 1};
	struct vocab_file v;
	struct buf b;

	(void)state;
	make(&b, &m);
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *cut = malloc(n + 1); /* its end is watched by the address sanitizer */
		memcpy(cut, b.data, n);
		assert_int_equal(vocab_file_read(&v, cut, n), 0);
		free(cut);
	}
	assert_int_equal(vocab_file_read(&v, (const uint8_t *)b.data, b.len), 1);
	vocab_file_done(&v);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vocabularies_are_what_llama_cpp_makes_of_them),
		cmocka_unit_test(families_are_llama_cpps),
		cmocka_unit_test(rules_are_llama_cpps_for_random_vocabularies),
		cmocka_unit_test(a_key_of_another_type_is_left_to_llama_cpp),
		cmocka_unit_test(a_file_that_is_cut_anywhere_is_not_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
