/* token_table.h - what the token path asks of each token, in three flat arrays: its bytes, and whether it ends an answer
 * or is a control token. Made once at load from the kind's own functions, so that a streamed token costs a look-up.
 * Thread: any once built. Memory: 5 bytes a token and its text (0.6 MB for 49,152 tokens). */
#ifndef STATOR_TEXT_TOKEN_TABLE_H
#define STATOR_TEXT_TOKEN_TABLE_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct tokenizer;

enum { TOKEN_IS_EOG = 1, TOKEN_IS_CONTROL = 2 };

struct token_table {
	uint32_t count;
	uint32_t *at; /* token i is bytes[at[i]] to bytes[at[i + 1]]; control tokens are empty */
	char *bytes;
	uint8_t *flags;
};

/* Make a table for t of its ops; t->table may be ret. */
int token_table_build(struct token_table *ret, const struct tokenizer *t, struct err *err) MUST_USE;
void token_table_done(struct token_table *t);

static inline const char *token_table_piece(const struct token_table *t, uint32_t id, uint32_t *ret_len)
{
	if (id >= t->count) {
		*ret_len = 0;
		return "";
	}
	ASSERT(t->at);
	*ret_len = t->at[id + 1] - t->at[id];
	return t->bytes + t->at[id];
}
static inline uint8_t token_table_flags(const struct token_table *t, uint32_t id)
{
	return id < t->count ? t->flags[id] : 0;
}

#endif
