/* segment_cache.c - a map from a text's hash to its entry, and a list in order of use. One entry a hash: of two texts
 * with one hash the later stays, which costs time once in 2^64. */
#include "text/segment_cache.h"

#include "base/list.h"
#include "base/map.h"

#include <pthread.h>
#include <string.h>
#include <xxhash.h>

struct entry {
	struct list by_use; /* most recent first */
	uint64_t hash;
	size_t len;
	uint32_t count;
	uint32_t tokens[]; /* count of them, then the text */
};

struct segment_cache {
	pthread_mutex_t lock;
	struct map entries;
	struct list by_use;
	size_t bytes_used, bytes_max;
	uint64_t hits, misses;
};

static const char *text_of(const struct entry *e)
{
	return (const char *)(e->tokens + e->count);
}

static size_t bytes_of(size_t len, uint32_t count)
{
	enum { OVERHEAD = 48 }; /* the map's slot at its load, and malloc's */
	return sizeof(struct entry) + len + count * sizeof(uint32_t) + OVERHEAD;
}

int segment_cache_create(struct segment_cache **ret, size_t bytes_max, struct err *err)
{
	struct segment_cache *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&c->lock, NULL);
	list_init(&c->by_use);
	c->bytes_max = bytes_max;
	*ret = c;
	return 0;
}

static void forget(struct segment_cache *c, struct entry *e)
{
	list_del(&e->by_use);
	map_del(&c->entries, e->hash);
	c->bytes_used -= bytes_of(e->len, e->count);
	free(e);
}

void segment_cache_destroy(struct segment_cache *c)
{
	if (!c)
		return;
	while (!list_empty(&c->by_use))
		forget(c, list_first(&c->by_use, struct entry, by_use));
	map_done(&c->entries);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *find(struct segment_cache *c, uint64_t hash, const char *text, size_t len)
{
	struct entry *e = map_get_ptr(&c->entries, hash);
	return e && e->len == len && memcmp(text_of(e), text, len) == 0 ? e : NULL;
}

int segment_cache_get(struct segment_cache *c, const char *text, size_t len, struct tokens *ret)
{
	uint64_t hash = XXH3_64bits(text, len);
	int code = 0;
	pthread_mutex_lock(&c->lock);
	struct entry *e = find(c, hash, text, len);
	if (e) {
		c->hits++;
		list_del(&e->by_use);
		list_add_head(&c->by_use, &e->by_use);
		code = vec_reserve(ret, e->count);
		if (code == 0) {
			memcpy(ret->v + ret->len, e->tokens, e->count * sizeof *ret->v);
			ret->len += e->count;
			code = 1;
		}
	} else {
		c->misses++;
	}
	pthread_mutex_unlock(&c->lock);
	return code;
}

static struct entry *entry_create(uint64_t hash, const char *text, size_t len, const uint32_t *tokens, uint32_t count)
{
	struct entry *e = malloc(sizeof *e + count * sizeof *tokens + len);
	if (!e)
		return NULL;
	*e = (struct entry){.hash = hash, .len = len, .count = count};
	memcpy(e->tokens, tokens, count * sizeof *tokens);
	memcpy(e->tokens + count, text, len);
	return e;
}

void segment_cache_put(struct segment_cache *c, const char *text, size_t len, const uint32_t *tokens, uint32_t count)
{
	size_t bytes = bytes_of(len, count);
	if (bytes > c->bytes_max / 4)
		return;
	uint64_t hash = XXH3_64bits(text, len);
	struct entry *e = entry_create(hash, text, len, tokens, count);
	if (!e)
		return;
	pthread_mutex_lock(&c->lock);
	struct entry *old = map_get_ptr(&c->entries, hash);
	if (old)
		forget(c, old);
	while (c->bytes_used + bytes > c->bytes_max)
		forget(c, CONTAINER_OF(c->by_use.prev, struct entry, by_use));
	if (map_put_ptr(&c->entries, hash, e) == 0) {
		list_add_head(&c->by_use, &e->by_use);
		c->bytes_used += bytes;
		e = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	free(e);
}

void segment_cache_stats(struct segment_cache *c, uint64_t *ret_hits, uint64_t *ret_misses, uint64_t *ret_bytes)
{
	pthread_mutex_lock(&c->lock);
	*ret_hits = c->hits;
	*ret_misses = c->misses;
	*ret_bytes = c->bytes_used;
	pthread_mutex_unlock(&c->lock);
}
