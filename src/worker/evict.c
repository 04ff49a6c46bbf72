#include "worker/evict.h"
#include "base/compiler.h"

#include <string.h>

static uint32_t lru_pick(const struct evict_candidate *c, uint32_t count)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < count; i++)
		if (c[i].used < c[best].used)
			best = i;
	return best;
}
const struct evict_ops evict_lru = {.name = "lru", .pick = lru_pick};

static const struct evict_ops *const policies[] = {&evict_lru};

const struct evict_ops *evict_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (!strcmp(policies[i]->name, name))
			return policies[i];
	return NULL;
}
