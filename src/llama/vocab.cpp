/* vocab.cpp - tokenizer calls. */
#include "llama/edge.hpp"

#include <climits>
#include <cstring>

namespace
{
uint32_t token_or_none(llama_token id)
{
	return id < 0 ? LL_TOKEN_NONE : (uint32_t)id;
}
} // namespace

enum ll_vocab_kind ll_vocab_kind(const struct ll_vocab *v)
{
	switch (llama_vocab_type(v->handle)) {
	case LLAMA_VOCAB_TYPE_NONE:
		return LL_VOCAB_NONE;
	case LLAMA_VOCAB_TYPE_SPM:
		return LL_VOCAB_SPM;
	case LLAMA_VOCAB_TYPE_BPE:
		return LL_VOCAB_BPE;
	case LLAMA_VOCAB_TYPE_WPM:
		return LL_VOCAB_WPM;
	case LLAMA_VOCAB_TYPE_UGM:
		return LL_VOCAB_UGM;
	case LLAMA_VOCAB_TYPE_RWKV:
		return LL_VOCAB_RWKV;
	default:
		return LL_VOCAB_OTHER;
	}
}

uint32_t ll_vocab_size(const struct ll_vocab *v)
{
	return (uint32_t)llama_vocab_n_tokens(v->handle);
}

uint32_t ll_vocab_bos(const struct ll_vocab *v)
{
	return token_or_none(llama_vocab_bos(v->handle));
}

uint32_t ll_vocab_eos(const struct ll_vocab *v)
{
	return token_or_none(llama_vocab_eos(v->handle));
}

bool ll_vocab_add_bos(const struct ll_vocab *v)
{
	return llama_vocab_get_add_bos(v->handle);
}

bool ll_vocab_add_eos(const struct ll_vocab *v)
{
	return llama_vocab_get_add_eos(v->handle);
}

bool ll_vocab_is_eog(const struct ll_vocab *v, uint32_t id)
{
	return id < ll_vocab_size(v) && llama_vocab_is_eog(v->handle, (llama_token)id);
}

bool ll_vocab_is_control(const struct ll_vocab *v, uint32_t id)
{
	return id < ll_vocab_size(v) && llama_vocab_is_control(v->handle, (llama_token)id);
}

uint32_t ll_vocab_specials(const struct ll_vocab *v, struct ll_special *ret, uint32_t cap)
{
	uint32_t count = (uint32_t)v->specials.size();
	for (uint32_t i = 0; i < count && i < cap; i++) {
		auto id = (llama_token)v->specials[i];
		int attr = llama_vocab_get_attr(v->handle, id);
		ret[i].id = (uint32_t)id;
		ret[i].text = llama_vocab_get_text(v->handle, id);
		ret[i].len = strlen(ret[i].text);
		ret[i].control = (attr & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0;
		ret[i].strip_left = (attr & LLAMA_TOKEN_ATTR_LSTRIP) != 0;
		ret[i].strip_right = (attr & LLAMA_TOKEN_ATTR_RSTRIP) != 0;
	}
	return count;
}

int32_t ll_tokenize(const struct ll_vocab *v, const char *text, size_t len, bool add_special, bool parse_special,
	uint32_t *ret, uint32_t cap, struct err *err)
{
	static_assert(sizeof(llama_token) == sizeof *ret, "token ids are passed through");
	int32_t count = 0;
	if (len > INT32_MAX / 4 || cap > INT32_MAX) {
		err_set(err, -E2BIG, "a text of %zu bytes is too long to tokenize at once", len);
		return INT32_MIN;
	}
	int code = edge::guard(err, [&] {
		count = llama_tokenize(v->handle, text, (int32_t)len, reinterpret_cast<llama_token *>(ret),
			(int32_t)cap, add_special, parse_special);
		return count == INT32_MIN ? err_set(err, -E2BIG, "the text has too many tokens") : 0;
	});
	return code < 0 ? INT32_MIN : count;
}

int32_t ll_piece(const struct ll_vocab *v, uint32_t id, bool special, char *ret, uint32_t cap)
{
	if (id >= ll_vocab_size(v))
		return 0;
	int32_t len = 0;
	int code = edge::guard(nullptr, [&] {
		len = llama_token_to_piece(v->handle, (llama_token)id, ret, (int32_t)cap, 0, special);
		return 0;
	});
	return code < 0 ? 0 : len;
}
