#include "text/token_table.h"
#include "text/tokenizer_impl.h"

static int fill(struct token_table *ret, const struct tokenizer *t, struct buf *bytes)
{
	for (uint32_t id = 0; id < ret->count; id++) {
		int r = t->ops->piece(t, id, false, bytes);
		if (r < 0)
			return r;
		ret->at[id + 1] = (uint32_t)bytes->len;
		ret->flags[id] = (uint8_t)((t->ops->is_eog(t, id) ? TOKEN_IS_EOG : 0) |
					   (t->ops->is_control(t, id) ? TOKEN_IS_CONTROL : 0));
	}
	return 0;
}

int token_table_build(struct token_table *ret, const struct tokenizer *t, struct err *err)
{
	struct token_table table = {.count = t->vocab};
	struct buf bytes;

	buf_init(&bytes, UINT32_MAX);
	table.at = calloc((size_t)t->vocab + 1, sizeof *table.at);
	table.flags = calloc((size_t)t->vocab + 1, 1);
	int r = table.at && table.flags ? buf_reserve(&bytes, (size_t)t->vocab * 8 + 1) : -ENOMEM;
	if (r == 0)
		r = fill(&table, t, &bytes);
	if (r < 0) {
		buf_done(&bytes);
		token_table_done(&table);
		return err_set(err, -ENOMEM, "out of memory");
	}
	char *fit = realloc(bytes.data, bytes.len + 1);
	table.bytes = fit ? fit : bytes.data;
	*ret = table;
	return 0;
}

void token_table_done(struct token_table *t)
{
	free(t->at);
	free(t->flags);
	free(t->bytes);
	*t = (struct token_table){0};
}
