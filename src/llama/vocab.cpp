/* vocab.cpp - tokenizer calls. */
#include "llama/edge.hpp"

#include "src/llama-vocab.h"
#include "src/unicode-data.h"
#include "src/unicode.h"

#include <algorithm>
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

bool ll_vocab_adds_space(const struct ll_vocab *v)
{
	return v->handle->get_add_space_prefix();
}

void ll_vocab_token(const struct ll_vocab *v, uint32_t id, struct ll_token *ret)
{
	const auto &t = v->handle->get_token_data((llama_token)id);
	ret->text = t.text.data();
	ret->len = t.text.size();
	ret->score = t.score;
	ret->kind = t.attr & LLAMA_TOKEN_ATTR_CONTROL        ? LL_TOKEN_CONTROL
		    : t.attr & LLAMA_TOKEN_ATTR_UNKNOWN      ? LL_TOKEN_UNKNOWN
		    : t.attr & LLAMA_TOKEN_ATTR_USER_DEFINED ? LL_TOKEN_USER_DEFINED
		    : t.attr & LLAMA_TOKEN_ATTR_NORMAL       ? LL_TOKEN_NORMAL
							     : LL_TOKEN_OTHER;
}

enum ll_split ll_vocab_split(const struct ll_vocab *v)
{
	if (v->handle->get_type() != LLAMA_VOCAB_TYPE_BPE)
		return LL_SPLIT_NONE;
	/* The lists of llm_tokenizer_bpe's constructor in vendor src/llama-vocab.cpp. */
	switch (v->handle->get_pre_type()) {
	case LLAMA_VOCAB_PRE_TYPE_GPT2:
	case LLAMA_VOCAB_PRE_TYPE_MPT:
	case LLAMA_VOCAB_PRE_TYPE_OLMO:
	case LLAMA_VOCAB_PRE_TYPE_JAIS:
	case LLAMA_VOCAB_PRE_TYPE_TRILLION:
	case LLAMA_VOCAB_PRE_TYPE_GRANITE_DOCLING:
		return LL_SPLIT_GPT2;
	case LLAMA_VOCAB_PRE_TYPE_STARCODER:
	case LLAMA_VOCAB_PRE_TYPE_REFACT:
	case LLAMA_VOCAB_PRE_TYPE_COMMAND_R:
	case LLAMA_VOCAB_PRE_TYPE_SMOLLM:
	case LLAMA_VOCAB_PRE_TYPE_CODESHELL:
	case LLAMA_VOCAB_PRE_TYPE_EXAONE:
	case LLAMA_VOCAB_PRE_TYPE_MINERVA:
	case LLAMA_VOCAB_PRE_TYPE_MELLUM2:
		return LL_SPLIT_DIGITS_GPT2;
	case LLAMA_VOCAB_PRE_TYPE_LLAMA3:
	case LLAMA_VOCAB_PRE_TYPE_DBRX:
	case LLAMA_VOCAB_PRE_TYPE_SMAUG:
	case LLAMA_VOCAB_PRE_TYPE_CHATGLM4:
		return LL_SPLIT_LLAMA3;
	case LLAMA_VOCAB_PRE_TYPE_STABLELM2:
	case LLAMA_VOCAB_PRE_TYPE_QWEN2:
	case LLAMA_VOCAB_PRE_TYPE_HUNYUAN:
	case LLAMA_VOCAB_PRE_TYPE_SOLAR_OPEN:
	case LLAMA_VOCAB_PRE_TYPE_GROK_2:
		return LL_SPLIT_QWEN2;
	default:
		return LL_SPLIT_NONE;
	}
}

bool ll_vocab_ignores_merges(const struct ll_vocab *v)
{
	return v->handle->get_ignore_merges();
}

/* Of the splitters in llm_tokenizer_bpe's constructor all but these end a word before a line end. */
bool ll_vocab_splits_words(const struct ll_vocab *v)
{
	if (v->handle->get_type() == LLAMA_VOCAB_TYPE_WPM)
		return true;
	return v->handle->get_type() == LLAMA_VOCAB_TYPE_BPE &&
	       v->handle->get_pre_type() != LLAMA_VOCAB_PRE_TYPE_SUPERBPE &&
	       v->handle->get_pre_type() != LLAMA_VOCAB_PRE_TYPE_WHITESPACE &&
	       v->handle->get_tokenizer_model() != "hybriddna";
}

/* From the ranges that unicode_cpt_flags_from_cpt spreads over 2 MB when it is first asked. */
void ll_char_classes(uint32_t first, uint32_t count, uint8_t *ret)
{
	const auto *begin = unicode_ranges_flags.begin(), *end = unicode_ranges_flags.end();
	const auto *next = std::upper_bound(begin, end, first, [](uint32_t c, const auto &r) { return c < r.first; });

	for (uint32_t i = 0; i < count; i++) {
		uint32_t c = first + i;
		while (next != end && next->first <= c)
			next++;
		uint32_t flags = next == begin || c >= MAX_CODEPOINTS ? 0 : next[-1].second;
		ret[i] = (uint8_t)(LL_CHAR_OTHER | (flags & unicode_cpt_flags::LETTER ? LL_CHAR_LETTER : 0) |
				   (flags & unicode_cpt_flags::NUMBER ? LL_CHAR_NUMBER : 0) |
				   (unicode_set_whitespace.count(c) ? LL_CHAR_SPACE : 0));
	}
}

void ll_specials_sort(uint32_t *ids, uint32_t count, const uint32_t *lens)
{
	std::sort(ids, ids + count, [&](uint32_t a, uint32_t b) { return lens[a] > lens[b]; });
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
