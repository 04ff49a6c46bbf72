/* heap.hpp - how much memory of C++ a piece of work on this thread holds, and its bound.
 *
 * For code that is not ours and whose memory a stranger decides: the template engine. What a value of it really takes cannot
 * be told from outside (a text of many parts takes 40 bytes a part, a list item some 250, and a filter has up to four
 * copies of a text on the way), so this counts what operator new gives and operator delete takes back, of the whole process
 * but only on threads that count. Memory of malloc is not counted. Not included outside src/llama/. */
#ifndef STATOR_LLAMA_HEAP_HPP
#define STATOR_LLAMA_HEAP_HPP

#include "base/budget.h"

#include <cstdint>

namespace heap
{
/* What was got before the count began and goes during it is taken off too: begin with nothing that the work frees. */
struct count {
	int64_t held = 0, held_max = 0; /* bytes, with what malloc adds to each */
	/* False: what goes is not taken off, which is quicker (a twentieth of a short chat's render). What fits so fits. */
	bool exact = true;
	bool refused = false; /* something did not fit */
	struct budget *budget = nullptr; /* ended (-E2BIG) by the first that does not fit, which gets std::bad_alloc */
};

/* While it lives, c is what this thread counts by (NULL: nothing is counted); they nest, the inner one counts alone. */
struct scope {
	count *before;
	explicit scope(count *c);
	scope(const scope &) = delete;
	scope &operator=(const scope &) = delete;
	~scope();
};
} // namespace heap

#endif
