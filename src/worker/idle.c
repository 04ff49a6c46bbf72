#include "worker/idle.h"
#include "base/compiler.h"

#include <errno.h>
#include <stdlib.h>

void idle_done(struct idle_blocks *b)
{
	uint32_t pos = 0;
	uint64_t value;

	while (map_next(&b->map, &pos, NULL, &value))
		free((void *)(uintptr_t)value);
	map_done(&b->map);
}

int idle_use(struct idle_blocks *b, uint64_t hash)
{
	struct idle_block *x = map_get_ptr(&b->map, hash);

	if (!x) {
		x = calloc(1, sizeof *x);
		if (!x || map_put_ptr(&b->map, hash, x) < 0) {
			free(x);
			return -ENOMEM;
		}
	}
	x->active++;
	return 0;
}

void idle_release(struct idle_blocks *b, uint64_t hash, uint64_t now_us, uint8_t uses)
{
	struct idle_block *x = map_get_ptr(&b->map, hash);

	ASSERT(x && x->active > 0);
	x->active--;
	x->entry.uses = MAX(x->entry.uses, uses);
	x->entry.released_us = MAX(x->entry.released_us, now_us);
}

void idle_forget(struct idle_blocks *b, uint64_t hash)
{
	struct idle_block *x = map_get_ptr(&b->map, hash);

	ASSERT(x && x->active == 0);
	map_del(&b->map, hash);
	free(x);
}

const struct idle_block *idle_find(const struct idle_blocks *b, uint64_t hash)
{
	return map_get_ptr(&b->map, hash);
}
