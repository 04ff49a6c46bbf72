/* heap.hpp - how much memory of C++ a piece of work on this thread holds.
 *
 * For code that is not ours and whose memory a stranger decides: the template engine. What a value of it really takes cannot
 * be told from outside (a text of many parts takes 40 bytes a part, a list's item some 250, and a filter has up to four
 * copies of a text on the way), so this counts what operator new gives and operator delete takes back, of the whole process
 * but only on threads that count. Memory of malloc is not counted. Nothing is refused here: what throws out of operator new
 * reaches destructors that allocate and must not throw (nlohmann's), which would end the process. Who counts looks at the sum
 * where it can stop. Not included outside src/llama/. */
#ifndef STATOR_LLAMA_HEAP_HPP
#define STATOR_LLAMA_HEAP_HPP

#include <cstdint>

namespace heap
{
/* Bytes, with what malloc adds to each. What was got before the count began and goes during it is taken off too. */
using count = int64_t;

/* While it lives, this thread counts in c (NULL: not at all); they nest, the inner one counts alone. */
struct scope {
	count *before;
	explicit scope(count *c);
	scope(const scope &) = delete;
	scope &operator=(const scope &) = delete;
	~scope();
};
} // namespace heap

#endif
