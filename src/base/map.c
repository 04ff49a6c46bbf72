#include "base/map.h"

#include <errno.h>
#include <string.h>

/* Finalizer of splitmix64: keys are often small counters, which linear probing alone would cluster. */
static uint32_t home(const struct map *m, uint64_t key)
{
	key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
	key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
	return (uint32_t)(key ^ (key >> 31)) & (m->cap - 1);
}

static uint32_t find(const struct map *m, uint64_t key)
{
	uint32_t i = home(m, key);
	while (m->used[i] && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

static int grow(struct map *m)
{
	struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .len = m->len};

	bigger.slots = malloc(sizeof *bigger.slots * bigger.cap);
	bigger.used = calloc(bigger.cap, 1);
	if (!bigger.slots || !bigger.used) {
		free(bigger.slots);
		free(bigger.used);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < m->cap; i++) {
		if (!m->used[i])
			continue;
		uint32_t at = find(&bigger, m->slots[i].key);
		bigger.slots[at] = m->slots[i];
		bigger.used[at] = 1;
	}
	free(m->slots);
	free(m->used);
	m->slots = bigger.slots;
	m->used = bigger.used;
	m->cap = bigger.cap;
	return 0;
}

void map_done(struct map *m)
{
	free(m->slots);
	free(m->used);
	*m = (struct map){0};
}

void map_clear(struct map *m)
{
	if (m->used)
		memset(m->used, 0, m->cap);
	m->len = 0;
}

int map_put(struct map *m, uint64_t key, uint64_t value)
{
	if ((m->len + 1) * 4 > m->cap * 3) {
		int r = grow(m);
		if (r < 0)
			return r;
	}
	uint32_t i = find(m, key);
	if (!m->used[i])
		m->len++;
	m->used[i] = 1;
	m->slots[i] = (struct map_slot){key, value};
	return 0;
}

bool map_get(const struct map *m, uint64_t key, uint64_t *ret)
{
	if (!m->len)
		return false;
	uint32_t i = find(m, key);
	if (!m->used[i])
		return false;
	if (ret)
		*ret = m->slots[i].value;
	return true;
}

bool map_del(struct map *m, uint64_t key)
{
	if (!m->len)
		return false;
	uint32_t hole = find(m, key);
	if (!m->used[hole])
		return false;
	/* Pull back every follower whose home lies at or before the hole, so that no probe chain breaks. */
	for (uint32_t i = (hole + 1) & (m->cap - 1); m->used[i]; i = (i + 1) & (m->cap - 1)) {
		uint32_t want = home(m, m->slots[i].key);
		if (((i - want) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->used[hole] = 0;
	m->len--;
	return true;
}

bool map_next(const struct map *m, uint32_t *pos, uint64_t *ret_key, uint64_t *ret_value)
{
	while (*pos < m->cap && !m->used[*pos])
		(*pos)++;
	if (*pos >= m->cap)
		return false;
	if (ret_key)
		*ret_key = m->slots[*pos].key;
	if (ret_value)
		*ret_value = m->slots[*pos].value;
	(*pos)++;
	return true;
}
