/* vocab_file.h - the byte-pair vocabulary in the header of a GGUF file, read without llama.cpp: the tokens, what they are
 * and which end an answer, all as llama.cpp's loader makes them of the same file (vendor src/llama-vocab.cpp,
 * llama_vocab::impl::load). What this does not know for certain it declines; llama.cpp then reads the file, or says what is
 * wrong with it.
 * Thread: any once read. Memory: 5 bytes a token; the texts stay in the file's bytes, which are borrowed.
 * Cost: about 40 ns a token. */
#ifndef STATOR_TEXT_VOCAB_FILE_H
#define STATOR_TEXT_VOCAB_FILE_H

#include "base/buf.h"
#include "llama/vocab.h"
#include "model/gguf_reader.h"

enum {
	VOCAB_NORMAL = 1,
	VOCAB_UNKNOWN = 2,
	VOCAB_CONTROL = 4,
	VOCAB_USER = 8, /* user defined */
	VOCAB_SPECIAL = VOCAB_UNKNOWN | VOCAB_CONTROL | VOCAB_USER,
	VOCAB_EOG = 16,
	VOCAB_SPELLED = 32, /* the text is of GPT-2's alphabet */
};

struct vocab_file {
	const uint8_t *data; /* the file; borrowed */
	uint64_t len;
	uint32_t count, bos, eos; /* TOKEN_NONE (UINT32_MAX): there is none */
	enum ll_split split; /* never LL_SPLIT_NONE */
	bool ignore_merges, add_bos, add_eos;
	uint32_t *at; /* where the text of each token begins; its length stands in the 8 bytes before */
	uint8_t *attrs; /* VOCAB_* of each token */
	struct gguf_text template; /* data NULL: there is none */
	uint64_t merges_at, merges_count; /* "left right", in order of rank */
	uint32_t *specials; /* tokens with VOCAB_SPECIAL, in the order llama.cpp looks for them */
	uint32_t specials_count;
};

/* Read the header at the start of data. 1: it is there; 0: not one that this knows, or not whole, *ret is unchanged;
 * -ENOMEM. */
int vocab_file_read(struct vocab_file *ret, const uint8_t *data, uint64_t len) MUST_USE;
void vocab_file_done(struct vocab_file *v);
static inline const char *vocab_file_text(const struct vocab_file *v, uint32_t id, uint32_t *ret_len)
{
	const uint8_t *p = v->data + v->at[id] - 8; /* the upper half is zero: the text ends below 4 GiB */

	*ret_len = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return (const char *)v->data + v->at[id];
}
/* An ordinary token: neither control nor user defined nor unused. */
static inline bool vocab_file_is_normal(const struct vocab_file *v, uint32_t id)
{
	return (v->attrs[id] & (VOCAB_NORMAL | VOCAB_SPECIAL)) == VOCAB_NORMAL;
}
/* Append the bytes of a token: llama.cpp's piece. Control tokens give nothing unless special. 0, -ENOBUFS or -ENOMEM. */
int vocab_file_piece(const struct vocab_file *v, uint32_t id, bool special, struct buf *ret);
/* The bytes that text spells in GPT-2's alphabet (a byte that prints stands for itself, the others for U+0100 and on), to
 * ret, which has room for len; NULL: only look. False: a character is none of that alphabet. */
bool vocab_file_spell(const char *text, size_t len, char *ret, size_t *ret_len);

/* The rules that llama.cpp applies to what the file says (vocab_rules.c). */
struct vocab_family {
	const char *pre; /* tokenizer.ggml.pre */
	enum ll_split split;
	bool ignore_merges, add_bos, no_bos;
};
/* NULL: not one whose splitter text/presplit.h has. */
const struct vocab_family *vocab_family_find(const char *pre, size_t len);
/* The tokens that the file names; TOKEN_NONE when it does not. */
struct vocab_named {
	uint32_t eot, eom, fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep;
};
/* Set attributes by the tokens' texts. False: it would depend on the order of a hash table. */
bool vocab_rules_apply(struct vocab_file *v, const struct vocab_named *named);

#endif
