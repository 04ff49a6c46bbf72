/* spm.h - SentencePiece vocabularies by merging pairs, exact: the tokens are llama.cpp's own, in time that grows with the
 * text's length and no faster. (llama.cpp moves all tokens of a text for each character that is no token.)
 *
 * Characters are joined while two neighbours make a token, best score first, leftmost first among equals; a character
 * that is no token becomes its bytes' tokens. Where no token holds two neighbouring characters side by side nothing is ever
 * joined, so the text is cut there and each piece stands alone. Source: vendor src/llama-vocab.cpp,
 * llm_tokenizer_spm_session.
 * Unlike llama.cpp: control tokens are never joined out of text; a byte without a token gives the unknown token and is
 * no error; more than SPM_PIECE_CHARS_MAX characters without a place to cut are cut there.
 * Thread: any once created. Memory: 12 bytes a token besides the texts, and 512 KiB. Cost: 100 to 200 ns a character. */
#ifndef STATOR_TEXT_SPM_H
#define STATOR_TEXT_SPM_H

#include "base/budget.h"
#include "llama/vocab.h"
#include "text/tokenizer.h"

enum { SPM_PIECE_CHARS_MAX = 32 * 1024 };

struct spm;
/* Copies what it needs of the vocabulary. 0 or -ENOMEM. */
int spm_create(struct spm **ret, const struct ll_vocab *v) MUST_USE;
void spm_destroy(struct spm *s);
/* Append the tokens of text, in which no special token is looked for. space: put one in front. Ends when ret has more than
 * tokens_max. 0, -ENOMEM, or the budget's code. */
int spm_encode(const struct spm *s, const char *text, size_t len, bool space, uint32_t tokens_max,
	struct budget *budget, struct tokens *ret) MUST_USE;
/* May text be cut at a place in it (not 0), so that both sides give what the whole does? */
bool spm_can_cut(const struct spm *s, const char *text, size_t len, size_t at);

#endif
