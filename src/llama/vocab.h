/* vocab.h - llama.cpp's tokenizer calls. text/tokenizer.h is what the rest of the program uses.
 * Thread: all calls are safe from many threads at once. Some vocabularies match with recursion, about 320 bytes of
 * stack a character of a run of one class: callers bound such runs (text/tokenizer.c does). */
#ifndef STATOR_LLAMA_VOCAB_H
#define STATOR_LLAMA_VOCAB_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ll_vocab; /* belongs to its model */
#define LL_TOKEN_NONE UINT32_MAX

enum ll_vocab_kind {
	LL_VOCAB_NONE,
	LL_VOCAB_SPM,
	LL_VOCAB_BPE,
	LL_VOCAB_WPM,
	LL_VOCAB_UGM,
	LL_VOCAB_RWKV,
	LL_VOCAB_OTHER
};
enum ll_vocab_kind ll_vocab_kind(const struct ll_vocab *v);
uint32_t ll_vocab_size(const struct ll_vocab *v);
/* LL_TOKEN_NONE when the vocabulary has none. */
uint32_t ll_vocab_bos(const struct ll_vocab *v);
uint32_t ll_vocab_eos(const struct ll_vocab *v);
/* Does the model want them put around a prompt? */
bool ll_vocab_add_bos(const struct ll_vocab *v);
bool ll_vocab_add_eos(const struct ll_vocab *v);
/* False for ids outside the vocabulary. */
bool ll_vocab_is_eog(const struct ll_vocab *v, uint32_t id);
bool ll_vocab_is_control(const struct ll_vocab *v, uint32_t id);

/* Does it put a space in front of a text and behind special tokens? */
bool ll_vocab_adds_space(const struct ll_vocab *v);
enum ll_token_kind { LL_TOKEN_NORMAL, LL_TOKEN_CONTROL, LL_TOKEN_UNKNOWN, LL_TOKEN_USER_DEFINED, LL_TOKEN_OTHER };
struct ll_token {
	const char *text; /* borrowed from the vocabulary; len bytes, which may hold a NUL */
	size_t len;
	float score;
	enum ll_token_kind kind;
};
/* id is below ll_vocab_size. */
void ll_vocab_token(const struct ll_vocab *v, uint32_t id, struct ll_token *ret);

/* How a byte-pair vocabulary cuts text into words, for the families that text/presplit.c knows. */
enum ll_split { LL_SPLIT_NONE, LL_SPLIT_GPT2, LL_SPLIT_DIGITS_GPT2, LL_SPLIT_LLAMA3, LL_SPLIT_QWEN2 };
enum ll_split ll_vocab_split(const struct ll_vocab *v);
/* A word that is a token is that token, whatever its merges say. */
bool ll_vocab_ignores_merges(const struct ll_vocab *v);
/* Is text split into words, none of which holds a letter and the line end behind it, and none of which depends on what is
 * beyond such a place? */
bool ll_vocab_splits_words(const struct ll_vocab *v);
/* What llama.cpp's splitters ask of count characters from first on: LL_CHAR_* bits. LL_CHAR_OTHER is always there. */
enum { LL_CHAR_LETTER = 1, LL_CHAR_NUMBER = 2, LL_CHAR_SPACE = 4, LL_CHAR_OTHER = 8 };
void ll_char_classes(uint32_t first, uint32_t count, uint8_t *ret);
/* Special tokens in the order llama.cpp looks for them: the longest first, of equal ones as its (unstable) sort leaves them.
 * ids ascend; lens is indexed by id. */
void ll_specials_sort(uint32_t *ids, uint32_t count, const uint32_t *lens);

/* A token whose text is found in a prompt before anything else is tokenized. */
struct ll_special {
	uint32_t id;
	const char *text; /* borrowed from the vocabulary */
	size_t len;
	bool control; /* only with parse_special (control or unknown); false: user defined, always found */
	bool strip_left, strip_right; /* eats the white space before, after it */
};
/* All of them in the order llama.cpp looks for them (longest first). Fill at most cap, returns how many there are. */
uint32_t ll_vocab_specials(const struct ll_vocab *v, struct ll_special *ret, uint32_t cap);

/* Write the tokens to ret. Returns how many, or -(how many there would be) when that is more than cap (nothing useful
 * is in ret then). -ENOMEM and other failures set err and return INT32_MIN. len below 2^31 / 4. */
int32_t ll_tokenize(const struct ll_vocab *v, const char *text, size_t len, bool add_special, bool parse_special,
	uint32_t *ret, uint32_t cap, struct err *err);
/* The bytes of a token, not NUL-terminated; may be part of a UTF-8 character. special false: control tokens give
 * nothing. Returns the length, or -(length needed) when it is more than cap. An id outside the vocabulary gives 0. */
int32_t ll_piece(const struct ll_vocab *v, uint32_t id, bool special, char *ret, uint32_t cap);

#ifdef __cplusplus
}
#endif
#endif
