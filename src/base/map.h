/* map.h - u64 -> u64 open-addressing table (linear probing, power of two, load at most 3/4, backward-shift delete).
 * Thread: one owner. Memory: 16 bytes a slot plus one bit. Any key value is allowed. Values hold numbers or pointers
 * (cast through uintptr_t). */
#ifndef STATOR_BASE_MAP_H
#define STATOR_BASE_MAP_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

struct map_slot {
	uint64_t key, value;
};
struct map {
	struct map_slot *slots;
	uint8_t *used; /* one byte a slot: 1 occupied */
	uint32_t cap, len;
};

/* A zeroed struct map is a valid empty map. */
void map_done(struct map *m);
void map_clear(struct map *m);
/* Insert or replace. 0 or -ENOMEM. */
int map_put(struct map *m, uint64_t key, uint64_t value) MUST_USE;
/* True and *ret filled when there. ret may be NULL. */
bool map_get(const struct map *m, uint64_t key, uint64_t *ret);
/* True when it was there. */
bool map_del(struct map *m, uint64_t key);
/* Iterate: start with *pos = 0; false at the end. Do not change the map meanwhile. */
bool map_next(const struct map *m, uint32_t *pos, uint64_t *ret_key, uint64_t *ret_value);

static inline void *map_get_ptr(const struct map *m, uint64_t key)
{
	uint64_t v;
	return map_get(m, key, &v) ? (void *)(uintptr_t)v : NULL;
}
static inline int map_put_ptr(struct map *m, uint64_t key, void *p)
{
	return map_put(m, key, (uint64_t)(uintptr_t)p);
}

#endif
