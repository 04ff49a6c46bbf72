/* heap.cpp - operator new and delete of the whole program, see heap.hpp. */
#include "llama/heap.hpp"

#include <cstdlib>
#include <malloc.h>
#include <new>

namespace
{
constexpr int64_t MALLOC_ADDS = 8;
thread_local heap::count *counting;

/* reallocarray is malloc under a name that tests do not make fail: memory that ends inside libstdc++ is not theirs to try, since
 * there it is in destructors too. */
void *get(size_t size) noexcept
{
	void *p = reallocarray(nullptr, 1, size ? size : 1);
	if (counting && p)
		*counting += (int64_t)malloc_usable_size(p) + MALLOC_ADDS;
	return p;
}

void give(void *p) noexcept
{
	if (counting && p)
		*counting -= (int64_t)malloc_usable_size(p) + MALLOC_ADDS;
	free(p);
}
} // namespace

heap::scope::scope(count *c) : before(counting)
{
	counting = c;
}

heap::scope::~scope()
{
	counting = before;
}

/* The library's other forms (arrays, sizes) come here; nobody sets a handler for new. */
void *operator new(size_t size)
{
	void *p = get(size);
	if (!p)
		throw std::bad_alloc();
	return p;
}

void *operator new(size_t size, const std::nothrow_t &) noexcept
{
	return get(size);
}

void operator delete(void *p) noexcept
{
	give(p);
}

void operator delete(void *p, size_t) noexcept
{
	give(p);
}

void operator delete(void *p, const std::nothrow_t &) noexcept
{
	give(p);
}
