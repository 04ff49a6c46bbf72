/* Any bytes as a GGUF file with a vocabulary: declined, or tokens that lie in the file and encode text to ids that exist. */
#include "text/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int table_fill(struct token_table *t, const struct vocab_file *v, struct buf *bytes)
{
	t->count = v->count;
	t->at = calloc((size_t)v->count + 1, sizeof *t->at);
	t->flags = calloc((size_t)v->count + 1, 1);
	for (uint32_t id = 0; t->at && id < v->count; id++) {
		if (vocab_file_piece(v, id, false, bytes) < 0)
			return -ENOMEM; /* one token's text can be many times the file */
		t->at[id + 1] = (uint32_t)bytes->len;
	}
	t->bytes = bytes->data;
	return t->at && t->flags ? 0 : -ENOMEM;
}

static void encode(const struct vocab_file *v, const struct token_table *t)
{
	static const char text[] = "abcab <|im_end|> 12 \xc3\xa9\n";
	struct tokens got = {0};
	struct bpe *b = NULL;

	struct budget budget = {0};

	budget_begin(&budget, 0);
	if (bpe_create(&b, v, t) == 0 && b && bpe_encode(b, text, sizeof text - 1, UINT32_MAX, &budget, &got) == 1)
		for (uint32_t i = 0; i < got.len; i++)
			ASSERT(got.v[i] < v->count);
	vec_done(&got);
	bpe_destroy(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vocab_file v;
	struct token_table t = {0};
	struct buf bytes;

	if (vocab_file_read(&v, data, size) != 1)
		return 0;
	buf_init(&bytes, 1 << 24);
	for (uint32_t i = 0; i < v.specials_count; i++)
		ASSERT(v.specials[i] < v.count && v.attrs[v.specials[i]] & VOCAB_SPECIAL);
	if (table_fill(&t, &v, &bytes) == 0 && bytes.data)
		encode(&v, &t);
	free(t.at);
	free(t.flags);
	buf_done(&bytes);
	vocab_file_done(&v);
	return 0;
}
