/* tokenizer_impl.h - what a kind of tokenizer provides, and the base they share. For files of text/ only.
 *
 * A kind tokenizes plain text and names its special tokens; cutting at special tokens and bounding runs is done once
 * for all kinds, in tokenizer.c. */
#ifndef STATOR_TEXT_TOKENIZER_IMPL_H
#define STATOR_TEXT_TOKENIZER_IMPL_H

#include "base/budget.h"
#include "llama/vocab.h"
#include "text/segments.h"
#include "text/token_table.h"
#include "text/tokenizer.h"

/* A text to be tokenized, in which no control token is to be found. */
struct encode_job {
	const char *text;
	size_t len;
	bool continues; /* the text goes on from a cut, so nothing may be put in front */
	uint32_t tokens_max; /* it may end as soon as there are more */
	struct budget *budget; /* to be spent from: what it says ends the work */
};
struct tokenizer_ops {
	/* Append the tokens. Bounded: no run is longer than TEXT_RUN_MAX. */
	int (*encode)(const struct tokenizer *t, const struct encode_job *job, struct tokens *ret, struct err *err);
	/* Texts of more bytes are cut at the first place behind half of them where can_cut says that both sides together
	 * give what the whole does. may be NULL: cut_at_line. */
	size_t part_bytes;
	bool (*can_cut)(const struct tokenizer *t, const char *text, size_t len, size_t at);
	/* A text without such a place is cut all the same, behind so many bytes: at a space, or anywhere. 0: never. */
	size_t part_bytes_max;
	/* What the table is made of at load, and asked for the text of control tokens (special) later. */
	int (*piece)(const struct tokenizer *t, uint32_t id, bool special, struct buf *ret);
	bool (*is_eog)(const struct tokenizer *t, uint32_t id);
	bool (*is_control)(const struct tokenizer *t, uint32_t id);
	void (*destroy)(struct tokenizer *t);
	size_t run_max; /* characters of one class in a row; at most TEXT_RUN_MAX */
	size_t newline_run_max;
};

struct tokenizer {
	const struct tokenizer_ops *ops;
	char *spec;
	uint64_t hash;
	uint32_t vocab, bos, eos;
	uint32_t token_bytes_max; /* the longest text of a token: a text of n bytes has at least n / it of them */
	bool add_bos, add_eos, adds_space;
	bool cuts_at_lines; /* the splitter is one of words, and no special token has what cut_at_line parts */
	const char *template; /* borrowed from the kind */
	struct specials controls; /* control tokens only */
	struct token_table table; /* made by tokenizer_load when the kind has not */
};

int tokenizer_byte_create(struct tokenizer **ret, struct err *err) MUST_USE;
int tokenizer_llama_create(struct tokenizer **ret, const char *path, struct err *err) MUST_USE;
/* *ret stays NULL, with 0, when the file's vocabulary is none that text/bpe.h takes. */
int tokenizer_bpe_create(struct tokenizer **ret, const char *path, struct err *err) MUST_USE;

/* Append the tokens of one segment of plain text. 0, -E2BIG past tokens_max, -ECANCELED, -ENOMEM. */
int tokenizer_encode_plain(const struct tokenizer *t, const char *text, size_t len, uint32_t tokens_max,
	struct budget *budget, struct tokens *ret, struct err *err) MUST_USE;
/* In front of a line end between two ASCII letters. */
bool cut_at_line(const struct tokenizer *t, const char *text, size_t len, size_t at);
/* A special token's text: some keep a text from being cut. After cuts_at_lines is set. */
void note_special_text(struct tokenizer *t, const char *text, size_t len);
/* The budget has ended the work. */
int encode_ended(int code, struct err *err);
/* Append one id, within tokens_max. */
int tokens_add(struct tokens *ret, uint32_t id, uint32_t tokens_max, struct err *err) MUST_USE;

#endif
