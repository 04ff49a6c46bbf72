/* tokenizer.h - text to tokens and back, for one vocabulary.
 *
 * A spec names it: "byte" (one token a byte, for the mock engine) or the path of a GGUF file (its vocabulary, read
 * by ourselves for the common byte-pair families, else by llama.cpp; weights are not loaded). New kinds are one table of functions each, in tokenizer_KIND.c.
 * Thread: load and destroy on one thread; all else is safe from many at once. encode recurses in some vocabularies and
 * must run on a stack of TEXT_STACK_BYTES (the text pool's threads have one).
 * Cost: byte-pair vocabularies of the common families (text/bpe.h) 50 to 200 ns a word, the others about 5 MB/s, some less;
 * linear in the text. To load: 0.3 us a token by ourselves, 1.5 us by llama.cpp. Memory: 60 bytes a token by ourselves
 * (3 MB for 49,152 of them), 20 to 60 MiB by llama.cpp. */
#ifndef STATOR_TEXT_TOKENIZER_H
#define STATOR_TEXT_TOKENIZER_H

#include "base/budget.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include <stdbool.h>

#define TOKEN_NONE UINT32_MAX /* "this vocabulary has no such token" */

/* Special tokens of the byte vocabulary; 0 to 255 are the bytes. */
enum { BYTE_BOS = 256, BYTE_EOS, BYTE_IM_START, BYTE_IM_END, BYTE_VOCAB };

/* A growable run of token ids: VEC(uint32_t) with a name. Start from {0}; vec_done frees. */
struct tokens {
	uint32_t *v;
	uint32_t len, cap;
};

struct tokenizer;
int tokenizer_load(struct tokenizer **ret, const char *spec, struct err *err) MUST_USE;
/* Templates of it must be gone. NULL is fine. */
void tokenizer_destroy(struct tokenizer *t);

/* The spec it was loaded by. Borrowed. */
const char *tokenizer_spec(const struct tokenizer *t);
/* Tells vocabulary and chat template: equal on every machine for equal content, whatever the quantization. */
uint64_t tokenizer_hash(const struct tokenizer *t);
uint32_t tokenizer_vocab(const struct tokenizer *t);
/* TOKEN_NONE when there is none. */
uint32_t tokenizer_bos(const struct tokenizer *t);
uint32_t tokenizer_eos(const struct tokenizer *t);
/* End of generation: the answer ends when the model says it. False for ids outside the vocabulary. */
bool tokenizer_is_eog(const struct tokenizer *t, uint32_t id);
/* Special tokens, whose text users must not be able to forge. */
bool tokenizer_is_control(const struct tokenizer *t, uint32_t id);
/* The source of the model's chat template, NULL when it has none. Borrowed. */
const char *tokenizer_template(const struct tokenizer *t);

enum {
	TOKENIZE_BOS_EOS = 1, /* put begin and end tokens around it, as the model wants */
	/* Text like <|im_end|> becomes the control token: for prompts as a whole, never for what a chat's user wrote. A text
	 * that begins with the begin token gets no second one from TOKENIZE_BOS_EOS, nor another at its end. */
	TOKENIZE_SPECIAL = 2,
};
/* Append the tokens of text to ret. -E2BIG (nothing appended) when ret would hold more than tokens_max; -ENOMEM.
 * Any bytes are taken; what is not UTF-8 becomes U+FFFD or byte tokens, as the vocabulary does it.
 * Equal to llama.cpp's own result, except that a run of more than TEXT_RUN_MAX characters of one class (letters,
 * digits, spaces, line ends, punctuation) is cut there, so that neither stack nor time grow without bound, and likewise, with
 * vocabularies that llama.cpp encodes, 64 KiB in which no line begins with a letter behind one that ends with one. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags, uint32_t tokens_max,
	struct tokens *ret, struct err *err) MUST_USE;
/* The same, and -ECANCELED (nothing appended) soon after cancelled is set (env_job.cancelled; base/budget.h): within a
 * millisecond or so, ten or, of texts without line ends, a hundred with vocabularies that llama.cpp encodes. No text takes time that grows faster than its length. */
int tokenizer_encode_unless(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
	uint32_t tokens_max, const budget_flag *cancelled, struct tokens *ret, struct err *err) MUST_USE;
/* Append the bytes of one token to ret; they may be part of a UTF-8 character (text/detok.h joins them). Control tokens
 * give nothing unless special. An id outside the vocabulary gives nothing. Returns 0, -ENOBUFS or -ENOMEM. */
int tokenizer_piece(const struct tokenizer *t, uint32_t id, bool special, struct buf *ret);
/* Does this vocabulary put a space before the first word of a text? (Then the first space of an answer is not text.) */
bool tokenizer_adds_space(const struct tokenizer *t);

#endif
