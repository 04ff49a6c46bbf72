/* heap.cpp - operator new and delete of the whole program, see heap.hpp. */
#include "llama/heap.hpp"

#include <cerrno>
#include <cstdlib>
#include <malloc.h>
#include <new>

namespace
{
constexpr int64_t ADDED_BYTES_MAX = 32; /* by malloc to what is asked for */

thread_local heap::count *counting;

[[noreturn]] __attribute__((noinline)) void refuse(heap::count *c)
{
	if (c->budget->code == 0)
		c->budget->code = -E2BIG;
	c->refused = true;
	c->budget->steps_left = 0; /* streams swallow what is thrown: the next step ends it, then */
	throw std::bad_alloc();
}

__attribute__((noinline)) void *get_again(size_t size)
{
	void *p;
	while (!(p = malloc(size ? size : 1))) {
		std::new_handler handler = std::get_new_handler();
		if (!handler)
			throw std::bad_alloc();
		handler();
	}
	return p;
}

__attribute__((noinline)) void *get_exactly(heap::count *c, size_t size)
{
	void *p = get_again(size);
	c->held += (int64_t)malloc_usable_size(p) + 8;
	return p;
}

__attribute__((noinline)) void give_exactly(heap::count *c, void *p) noexcept
{
	c->held -= (int64_t)malloc_usable_size(p) + 8;
	free(p);
}

inline void *get(size_t size)
{
	heap::count *c = counting;
	if (c) {
		if (size > INT64_MAX || (int64_t)size > c->held_max - c->held)
			refuse(c);
		if (c->exact)
			return get_exactly(c, size);
		c->held += (int64_t)size + ADDED_BYTES_MAX;
	}
	void *p = malloc(size);
	return __builtin_expect(p != nullptr, 1) ? p : get_again(size);
}

inline void give(void *p) noexcept
{
	heap::count *c = counting;
	if (c && c->exact && p)
		give_exactly(c, p);
	else
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

/* The library's other forms (arrays) come here. */
void *operator new(size_t size)
{
	return get(size);
}

void *operator new(size_t size, const std::nothrow_t &) noexcept
{
	try {
		return get(size);
	} catch (const std::bad_alloc &) {
		return nullptr;
	}
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
