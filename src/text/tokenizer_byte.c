/* tokenizer_byte.c - one token a byte: the vocabulary of the mock engine. Four special tokens make ChatML. */
#include "base/limits.h"
#include "text/tokenizer_impl.h"

#include <string.h>

static const char *const special_texts[] = {"<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"};
_Static_assert(ARRAY_LEN(special_texts) == BYTE_VOCAB - BYTE_BOS, "one text each");

static const char chatml[] = "{%- for message in messages -%}"
			     "{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') + '<|im_end|>\\n' -}}"
			     "{%- endfor -%}"
			     "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

static int encode(const struct tokenizer *t, const struct encode_job *job, struct tokens *ret, struct err *err)
{
	(void)t;
	if (job->len > UINT32_MAX / 8 || vec_reserve(ret, (uint32_t)job->len) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < job->len; i++)
		ret->v[ret->len++] = (uint8_t)job->text[i];
	return 0;
}

static bool can_cut(const struct tokenizer *t, const char *text, size_t len, size_t at)
{
	(void)t, (void)text, (void)len, (void)at;
	return true;
}

static int piece(const struct tokenizer *t, uint32_t id, bool special, struct buf *ret)
{
	(void)t;
	if (id < BYTE_BOS)
		return buf_add_byte(ret, (uint8_t)id);
	return id < BYTE_VOCAB && special ? buf_add_str(ret, special_texts[id - BYTE_BOS]) : 0;
}

static bool is_eog(const struct tokenizer *t, uint32_t id)
{
	(void)t;
	return id == BYTE_EOS || id == BYTE_IM_END;
}

static bool is_control(const struct tokenizer *t, uint32_t id)
{
	(void)t;
	return id >= BYTE_BOS && id < BYTE_VOCAB;
}

static void destroy(struct tokenizer *t)
{
	free(t);
}

static const struct tokenizer_ops byte_ops = {
	.encode = encode,
	.part_bytes = TEXT_PART_BYTES,
	.can_cut = can_cut,
	.piece = piece,
	.is_eog = is_eog,
	.is_control = is_control,
	.destroy = destroy,
	.run_max = SIZE_MAX,
	.newline_run_max = SIZE_MAX,
};

int tokenizer_byte_create(struct tokenizer **ret, struct err *err)
{
	struct tokenizer *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->ops = &byte_ops;
	t->hash = 0x62797465; /* "byte": there is only one */
	t->vocab = BYTE_VOCAB;
	t->bos = BYTE_BOS;
	t->eos = BYTE_EOS;
	t->template = chatml;
	for (uint32_t i = 0; i < ARRAY_LEN(special_texts); i++) {
		struct special s = {.id = BYTE_BOS + i, .len = (uint32_t)strlen(special_texts[i])};
		if (specials_add(&t->controls, &s, special_texts[i]) < 0) {
			tokenizer_destroy(t);
			return err_set(err, -ENOMEM, "out of memory");
		}
	}
	*ret = t;
	return 0;
}
