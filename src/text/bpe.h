/* bpe.h - byte-pair encoding of the common families, exact: the tokens are llama.cpp's own, for every text this takes.
 *
 * Words (text/presplit.h) that are a token which merging their bytes really ends in are one look-up; others are merged,
 * lowest rank first, leftmost first among equals. Sources: vendor src/llama-vocab.cpp, llm_tokenizer_bpe_session.
 * Thread: any once created. Memory: about 24 bytes a merge and 9 a token (1.6 MB for 49,152 tokens).
 * Cost: 20 to 40 ns for a known word, n log n in the length of an unknown one. */
#ifndef STATOR_TEXT_BPE_H
#define STATOR_TEXT_BPE_H

#include "llama/vocab.h"
#include "text/token_table.h"
#include "text/tokenizer.h"

struct bpe;
/* The vocabulary of the GGUF file at path; table is its token table, borrowed as long as the bpe lives. *ret stays NULL,
 * with 0, when the vocabulary is not one that is known to come out exact. */
int bpe_create(struct bpe **ret, const struct ll_vocab *v, const struct token_table *table, const char *path,
	struct err *err) MUST_USE;
void bpe_destroy(struct bpe *b);
/* Append the tokens of text. 1: done; 0: not a text for this (not UTF-8, or with user-defined tokens in it), nothing
 * appended; -ENOMEM. */
int bpe_encode(struct bpe *b, const char *text, size_t len, struct tokens *ret);

#endif
