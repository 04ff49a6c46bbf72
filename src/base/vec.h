/* vec.h - a typed growable array: struct { T *v; uint32_t len, cap; }. Declare with VEC(T), start from {0}.
 * Thread: one owner. Memory: the caller bounds len; growth doubles. */
#ifndef STATOR_BASE_VEC_H
#define STATOR_BASE_VEC_H

#include "base/compiler.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>

#define VEC(T)                                                                                                         \
	struct {                                                                                                       \
		T *v;                                                                                                  \
		uint32_t len, cap;                                                                                     \
	}

/* Make room for n more. 0 or -ENOMEM. */
#define vec_reserve(a, n) vec_reserve_raw((void **)&(a)->v, (a)->len, &(a)->cap, (n), sizeof *(a)->v)
/* Append one value. 0 or -ENOMEM. */
#define vec_push(a, value)                                                                                             \
	__extension__({                                                                                                \
		int vec_r_ = vec_reserve((a), 1);                                                                      \
		if (vec_r_ == 0)                                                                                       \
			(a)->v[(a)->len++] = (value);                                                                  \
		vec_r_;                                                                                                \
	})
#define vec_done(a) (free((a)->v), (a)->v = NULL, (a)->len = (a)->cap = 0)
/* Remove item i, keeping order. */
#define vec_remove(a, i) (memmove(&(a)->v[i], &(a)->v[(i) + 1], ((a)->len - (i)-1) * sizeof *(a)->v), (void)(a)->len--)

static inline int vec_reserve_raw(void **v, uint32_t len, uint32_t *cap, uint32_t extra, size_t item_bytes)
{
	if (extra > UINT32_MAX / 2 - len)
		return -ENOMEM;
	if (*v && len + extra <= *cap)
		return 0;
	uint32_t want = MAX(MAX(len + extra, *cap * 2), 8u);
	void *p = realloc(*v, (size_t)want * item_bytes);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = want;
	return 0;
}

#endif
