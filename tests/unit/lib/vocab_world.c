#include "vocab_world.h"

#include "base/compiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { U32 = 4, I32 = 5, F32 = 6, STRING = 8, ARRAY = 9, FEW = 12, BYTES = 256 };

static const char *const spm[FEW] = {
	"<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581", "\u2581a", "<0x0A>", "<0xF0>", "<|x|>", "c"};
static const uint32_t spm_types[FEW] = {2, 3, 3, 1, 1, 1, 1, 1, 6, 6, 4, 1};
static const char *const wpm[FEW] = {
	"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581a", "b", "ab", "\u2581the", "c", ".", "d", "e"};
static const uint32_t wpm_types[FEW] = {3, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
static const char *const bpe[FEW] = {
	"a", "b", "ab", "\xc4\xa0", "\xc4\x8a", "c", "d", "e", "f", "g", "h", "<|endoftext|>"};
static const uint32_t bpe_types[FEW] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3};
static const char *const rwkv[FEW] = {"<s>", "<", "a", "ab", "b", "\\n", "\\x00", " ", "s", ">", "\\t", "'"};

static const char *byte_tokens[BYTES + 8];
static char byte_texts[BYTES][8];

static const struct vocab_world *plamo(void)
{
	static uint32_t types[BYTES + 8];
	static struct vocab_world ret = {"plamo2", NULL, byte_tokens, types, BYTES + 8, NULL};
	static const char *const first[8] = {
		"<|plamo:unk|>", "<|plamo:bos|>", "<|plamo:eos|>", "<|plamo:pad|>", "a", "ab", "b", "c"};
	for (uint32_t i = 0; i < BYTES + 8; i++) {
		types[i] = i < 4 ? 3 : i < 8 ? 1 : 6;
		byte_tokens[i] = i < 8 ? first[i] : byte_texts[i - 8];
		if (i >= 8)
			snprintf(byte_texts[i - 8], sizeof byte_texts[0], "<0x%02X>", i - 8);
	}
	return &ret;
}

const struct vocab_world *vocab_world_at(uint32_t i)
{
	static const struct vocab_world all[] = {
		{"llama", NULL, spm, spm_types, FEW, NULL},
		{"bert", NULL, wpm, wpm_types, FEW, NULL},
		{"gpt2", "gpt-2", bpe, bpe_types, FEW, "a b"},
		{"t5", NULL, spm, spm_types, FEW, NULL},
		{"rwkv", NULL, rwkv, NULL, FEW, NULL},
		{"gemma4", NULL, spm, spm_types, FEW, "a b"},
	};
	return i < ARRAY_LEN(all) ? &all[i] : i == ARRAY_LEN(all) ? plamo() : NULL;
}

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

static void put_string(struct buf *b, const char *key, const char *value)
{
	put_text(b, key);
	put(b, STRING, 4);
	put_text(b, value);
}

static void put_array(struct buf *b, const char *key, uint32_t type, uint32_t count)
{
	put_text(b, key);
	put(b, ARRAY, 4);
	put(b, type, 4);
	put(b, count, 8);
}

void vocab_world_write(struct buf *ret, const struct vocab_world *v)
{
	buf_add(ret, "GGUF", 4);
	put(ret, 3, 4);
	put(ret, 0, 8);
	put(ret, 4u + (v->pre != NULL) + (v->types != NULL) + (v->merges != NULL), 8);
	put_string(ret, "general.architecture", "llama");
	put_string(ret, "tokenizer.ggml.model", v->kind);
	if (v->pre)
		put_string(ret, "tokenizer.ggml.pre", v->pre);
	put_array(ret, "tokenizer.ggml.tokens", STRING, v->count);
	for (uint32_t i = 0; i < v->count; i++)
		put_text(ret, v->tokens[i]);
	put_array(ret, "tokenizer.ggml.scores", F32, v->count);
	for (uint32_t i = 0; i < v->count; i++)
		put(ret, 0xc0000000u + (i << 16), 4); /* -2 and below */
	if (v->types) {
		put_array(ret, "tokenizer.ggml.token_type", I32, v->count);
		for (uint32_t i = 0; i < v->count; i++)
			put(ret, v->types[i], 4);
	}
	if (v->merges) {
		put_array(ret, "tokenizer.ggml.merges", STRING, 1);
		put_text(ret, v->merges);
	}
}

void vocab_world_file(const void *data, size_t len, char *ret_path, size_t cap, int *ret_fd)
{
	*ret_fd = memfd_create("vocabulary", MFD_CLOEXEC);
	if (*ret_fd < 0 || write(*ret_fd, data, len) != (ssize_t)len)
		abort();
	snprintf(ret_path, cap, "/proc/self/fd/%d", *ret_fd);
}
