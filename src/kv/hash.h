/* hash.h - the identity of cached prefixes.
 *
 *   local_i = XXH3_64(tokens of block i as little-endian u32, seed)
 *   h_0 = local_0        h_i = XXH3_64(h_{i-1} || local_i, seed)
 *
 * Only whole blocks have an identity; h_i names block i and everything before it. The seed mixes the secret of the KV
 * domain with adapter and cache salt, so tenants with different salts share nothing and collisions cannot be prepared
 * off line. A worker still compares token ids before it reuses a block: a collision costs time, never another's text.
 * Thread: pure functions. */
#ifndef STATOR_KV_HASH_H
#define STATOR_KV_HASH_H

#include <stddef.h>
#include <stdint.h>

/* secret: any bytes (the launcher makes 32). adapter may be NULL; salt is any bytes, salt_len 0: none. */
uint64_t kv_hash_seed(const void *secret, size_t secret_len, const char *adapter, const void *salt, size_t salt_len);
/* A number that tells equal seeds without telling the seed. */
uint64_t kv_hash_seed_check(uint64_t seed);
/* Fill ret[0 .. count / block_size) and return how many. O(count). */
uint32_t kv_hash_blocks(const uint32_t *tokens, uint32_t count, uint32_t block_size, uint64_t seed, uint64_t *ret);
/* Continue a chain: the hash of the block at tokens (block_size of them) whose parent is prev (has_prev false: none).
 */
uint64_t kv_hash_next(uint64_t prev, int has_prev, const uint32_t *tokens, uint32_t block_size, uint64_t seed);

/* How many leading blocks two chains share, by binary search: equal hashes mean equal prefixes, bar a collision. */
static inline uint32_t kv_hash_common(const uint64_t *a, uint32_t a_count, const uint64_t *b, uint32_t b_count)
{
	uint32_t low = 0, high = a_count < b_count ? a_count : b_count;

	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (a[mid] == b[mid])
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* An order-free digest of a set of hashes: add and remove in any order, compare in O(1). */
static inline uint64_t kv_digest_mix(uint64_t hash)
{
	hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebull;
	return hash ^ (hash >> 31);
}
static inline uint64_t kv_digest_add(uint64_t digest, uint64_t hash)
{
	return digest + kv_digest_mix(hash);
}
static inline uint64_t kv_digest_remove(uint64_t digest, uint64_t hash)
{
	return digest - kv_digest_mix(hash);
}

#endif
