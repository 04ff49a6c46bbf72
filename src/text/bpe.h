/* bpe.h - byte-pair encoding of the common families, exact: the tokens are llama.cpp's own, for every text this takes.
 *
 * Words (text/presplit.h) that are a token which merging their bytes really ends in are one look-up; others are merged,
 * lowest rank first, leftmost first among equals. Sources: vendor src/llama-vocab.cpp, llm_tokenizer_bpe_session.
 * Thread: any once created. Memory: about 24 bytes a merge and 9 a token (1.6 MB for 49,152 tokens).
 * Cost: 20 to 40 ns for a known word, n log n in the length of an unknown one. */
#ifndef STATOR_TEXT_BPE_H
#define STATOR_TEXT_BPE_H

#include "base/budget.h"
#include "text/token_table.h"
#include "text/tokenizer.h"
#include "text/vocab_file.h"

struct bpe;
/* table is the vocabulary's token table, borrowed as long as the bpe lives; v and the file's bytes are needed here only.
 * *ret stays NULL, with 0, when the vocabulary is not one that is known to come out exact. 0 or -ENOMEM. */
int bpe_create(struct bpe **ret, const struct vocab_file *v, const struct token_table *table) MUST_USE;
void bpe_destroy(struct bpe *b);
/* Append the tokens of text, until there are more than tokens_max. 1: done; 0: not a text for this (not UTF-8, or a byte that
 * no token stands for), nothing appended; -ENOMEM, or the budget's code. */
int bpe_encode(
	struct bpe *b, const char *text, size_t len, uint32_t tokens_max, struct budget *budget, struct tokens *ret);

#endif
