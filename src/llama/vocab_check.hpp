/* vocab_check.hpp - what llama.cpp asserts, recurses on or loops over in a vocabulary, looked at before it sees the file.
 *
 * Its loader (vendor src/llama-vocab.cpp) throws for most that is wrong, which becomes an error; but of some files it ends the process,
 * and with it a frontend that serves other models:
 *   two equal tokens; no tokens at all; "test" and "none" vocabularies when asked for a token; a byte token in a vocabulary of words (WPM);
 *   runs of spaces with "gpt2" and the splitter "whitespace"; long tokens, one level of recursion a byte; for RWKV a token whose first byte is
 *   none, at which its search starts anew for ever; for PLaMo 2 the square of the tokens' lengths.
 * Thread: any. Memory: about 40 bytes a token while it looks. Cost: 60 ns a token. */
#ifndef STATOR_LLAMA_VOCAB_CHECK_HPP
#define STATOR_LLAMA_VOCAB_CHECK_HPP

#include "base/err.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

class vocab_check
{
      public:
	vocab_check(const std::string &tokenizer, const std::string &pre) : kind(tokenizer), pre(pre)
	{
	}
	/* Each returns 0 or -EINVAL with a part of a sentence. Texts must stay until the end. */
	int begin(uint64_t count, struct err *err);
	int token(uint64_t id, std::string_view text, uint32_t type, struct err *err);
	int end(struct err *err);

      private:
	const std::string kind, pre;
	size_t bytes_max = 0;
	uint64_t squares = 0;
	std::unordered_set<std::string_view> seen;
	std::vector<std::string> named; /* what llama.cpp calls the empty ones */
	bool begins[256] = {}, is_token[256] = {};

	void note_first(std::string_view text);
};

#endif
