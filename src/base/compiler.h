/* compiler.h - GNU attributes and small macros every room uses. No functions, no state. */
#ifndef STATOR_BASE_COMPILER_H
#define STATOR_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Run fn(&variable) when the variable leaves its scope. fn is usually made by DEFINE_CLEANUP. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
/* Give name_p(T **) that calls name(T *) and tolerates NULL. */
#define DEFINE_CLEANUP(name, type)                                                                                     \
	static inline void name##_p(type **p)                                                                          \
	{                                                                                                              \
		if (*p)                                                                                                \
			name(*p);                                                                                      \
	}
/* Move ownership out of a CLEANUP variable: yields its value and leaves NULL behind. */
#define TAKE(p)                                                                                                        \
	__extension__({                                                                                                \
		__typeof__(p) take_ = (p);                                                                             \
		(p) = NULL;                                                                                            \
		take_;                                                                                                 \
	})
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_USE __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Whether llama.cpp was built to compute on NVIDIA GPUs (make CUDA=1). */
#ifdef STATOR_CUDA
#define BUILD_CUDA true
#else
#define BUILD_CUDA false
#endif

/* free() for CLEANUP(free_p) on any pointer variable. */
static inline void free_p(void *p)
{
	free(*(void **)p);
}

/* State what only our own bug could break. Stays on in release: a stop is better than a wrong answer.
 * Peers, files and users get errors, never ASSERT. */
#define ASSERT(cond)                                                                                                   \
	do {                                                                                                           \
		if (UNLIKELY(!(cond)))                                                                                 \
			assert_fail(#cond, __FILE__, __LINE__, __func__);                                              \
	} while (0)
#ifdef __cplusplus
extern "C"
#endif
	NORETURN void
	assert_fail(const char *cond, const char *file, int line, const char *func);

#endif
