/* edge.hpp - what the files of this room share: the C++ side of the handles, and how failures become struct err.
 * Not included outside src/llama/. */
#ifndef STATOR_LLAMA_EDGE_HPP
#define STATOR_LLAMA_EDGE_HPP

#include "llama/model.h"
#include "llama/vocab.h"

#include <llama.h>

#include <exception>
#include <new>
#include <string>
#include <vector>

struct ll_vocab {
	const llama_vocab *handle = nullptr;
	std::vector<uint32_t> specials; /* in the order llama.cpp looks for them */
};

struct ll_model {
	llama_model *handle = nullptr;
	struct ll_model_facts facts = {};
	struct ll_vocab vocab;
};

namespace edge
{
/* Start llama.cpp once a process and route its log. Called by whatever comes first. */
void init();
/* Forget the error lines this thread collected, so that last_errors() tells of what follows only. */
void forget_errors();
/* The error lines llama.cpp logged on this thread since, joined; "" when there are none. */
std::string last_errors();

/* ll_file_check, and: can llama.cpp read the vocabulary without an assertion that fails (vocab_check.hpp)? */
int check_file(const char *path, bool want_weights, struct ll_file_facts *ret, struct err *err);

/* Run body, which returns a code; what it throws becomes an err. Nothing passes. */
template <typename F> int guard(struct err *err, F &&body) noexcept
{
	try {
		return body();
	} catch (const std::bad_alloc &) {
		return err_set(err, -ENOMEM, "out of memory");
	} catch (const std::exception &e) {
		return err_set(err, -EIO, "%s", e.what());
	} catch (...) {
		return err_set(err, -EIO, "llama.cpp threw something that is no exception");
	}
}

/* Copy a C++ string into a C array, cut to fit. */
template <size_t N> void copy_text(char (&ret)[N], const char *text)
{
	snprintf(ret, N, "%s", text);
}
} // namespace edge

#endif
