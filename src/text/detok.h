/* detok.h - tokens of an answer to text, as they come. What comes out is always whole UTF-8 characters: bytes of a
 * character that is not complete wait for the next token; bytes that can never become one are U+FFFD each (as in the
 * Unicode standard's practice: one for each maximal part).
 * Thread: one owner. Memory: this struct; nothing is allocated but in the caller's buf. */
#ifndef STATOR_TEXT_DETOK_H
#define STATOR_TEXT_DETOK_H

#include "text/tokenizer.h"

struct detok {
	const struct tokenizer *tokenizer;
	struct buf piece; /* scratch for one token's bytes */
	char wait[4]; /* the beginning of a character */
	uint8_t wait_len;
	bool strip_space; /* the next text's first space belongs to the vocabulary */
};

/* Borrows the tokenizer. at_start: the text stands on its own (a chat answer), so a vocabulary that puts a space before
 * the first word has it taken off; false when it continues a prompt. */
void detok_init(struct detok *d, const struct tokenizer *t, bool at_start);
void detok_done(struct detok *d);
/* Append the text that token completes to ret, maybe none. 0, -ENOBUFS or -ENOMEM. */
int detok_push(struct detok *d, uint32_t token, struct buf *ret);
/* The answer ends: what still waits comes out as U+FFFD. */
int detok_finish(struct detok *d, struct buf *ret);

#endif
