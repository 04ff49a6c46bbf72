/* vocab_check.cpp - see vocab_check.hpp. */
#include "llama/vocab_check.hpp"

#include <cinttypes>
#include <cstdlib>

namespace
{
enum : uint32_t { TYPE_BYTE = 6 };
/* The longest known token has 1 KiB (of spaces); those of words are tried at each character. */
constexpr size_t TOKEN_BYTES_MAX = 4096, WORD_BYTES_MAX = 256;
constexpr uint64_t SQUARES_MAX = 1ull << 30;
constexpr uint64_t NAMED_MAX = 1 << 16; /* empty tokens */
} // namespace

int vocab_check::begin(uint64_t count, struct err *err)
{
	if (kind.empty())
		return 0; /* llama.cpp says it in its own words */
	if (kind == "none" || kind == "no_vocab" || kind == "test")
		return err_set(err, -EINVAL, "it is of the kind \"%s\", which has no text", kind.c_str());
	if (kind == "gpt2" && pre == "whitespace")
		return err_set(err, -EINVAL, "it is of the kind \"gpt2\", which is not split at \"whitespace\"");
	if (count == 0)
		return err_set(err, -EINVAL, "it has no tokens");
	bytes_max = kind == "bert" ? WORD_BYTES_MAX : TOKEN_BYTES_MAX;
	seen.reserve(count < 1u << 24 ? (size_t)count : 0);
	named.reserve(NAMED_MAX); /* views of them stay */
	return 0;
}

/* The first byte of an RWKV token, whose text has escapes, and whether it is all of it. */
void vocab_check::note_first(std::string_view text)
{
	if (text.empty())
		return;
	bool escaped = text.size() > 1 && text[0] == '\\';
	uint8_t first = (uint8_t)text[escaped ? 1 : 0];
	size_t len = escaped ? 2 : 1;
	if (escaped && first == 'x' && text.size() >= 4) {
		first = (uint8_t)strtoul(std::string(text.substr(2, 2)).c_str(), nullptr, 16);
		len = 4;
	} else if (escaped) {
		first = first == 't' ? '\t' : first == 'n' ? '\n' : first == 'r' ? '\r' : first;
	}
	begins[first] = true;
	is_token[first] = is_token[first] || text.size() == len;
}

int vocab_check::token(uint64_t id, std::string_view text, uint32_t type, struct err *err)
{
	text = text.substr(0, text.find('\0')); /* llama.cpp takes it for a C string */
	if (text.empty() && named.size() < NAMED_MAX) {
		named.push_back("[EMPTY_" + std::to_string(id) + "]");
		text = named.back();
	}
	if (kind.empty())
		return 0;
	if (text.size() > bytes_max)
		return err_set(
			err, -EINVAL, "token %" PRIu64 " has %zu bytes, %zu are possible", id, text.size(), bytes_max);
	if (!seen.insert(text).second)
		return err_set(err, -EINVAL, "token %" PRIu64 " has the text \"%.64s\", which another one has", id,
			std::string(text).c_str());
	if (type == TYPE_BYTE && kind == "bert")
		return err_set(
			err, -EINVAL, "token %" PRIu64 " is one of a byte, which the kind \"bert\" does not have", id);
	squares += text.size() * text.size();
	if (kind == "rwkv")
		note_first(text);
	return 0;
}

int vocab_check::end(struct err *err)
{
	for (int i = 0; kind == "rwkv" && i < 256; i++)
		if (begins[i] && !is_token[i])
			return err_set(
				err, -EINVAL, "a token begins with the byte 0x%02x, and no token is that byte", i);
	if (kind == "plamo2" && squares > SQUARES_MAX)
		return err_set(err, -EINVAL, "its tokens are too long");
	return 0;
}
