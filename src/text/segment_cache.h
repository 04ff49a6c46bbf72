/* segment_cache.h - tokens of segments of text, the least recently used forgotten first.
 * Exact: texts are compared, not only their hashes. Any thread; one lock, held for a look-up and a copy of tokens.
 * Memory: at most the budget (texts, tokens and about 100 bytes an entry). */
#ifndef STATOR_TEXT_SEGMENT_CACHE_H
#define STATOR_TEXT_SEGMENT_CACHE_H

#include "base/err.h"
#include "text/tokenizer.h"

struct segment_cache;
int segment_cache_create(struct segment_cache **ret, size_t bytes_max, struct err *err) MUST_USE;
void segment_cache_destroy(struct segment_cache *c);
/* Append the tokens of text to ret when they are known: 1. 0: not known. -ENOMEM: no room in ret. */
int segment_cache_get(struct segment_cache *c, const char *text, size_t len, struct tokens *ret);
/* Remember. Copies. Does nothing when memory is gone or the entry would be larger than a quarter of the budget. */
void segment_cache_put(struct segment_cache *c, const char *text, size_t len, const uint32_t *tokens, uint32_t count);
void segment_cache_stats(struct segment_cache *c, uint64_t *ret_hits, uint64_t *ret_misses, uint64_t *ret_bytes);

#endif
