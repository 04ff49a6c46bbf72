#include "kv/hash.h"
#include "base/compiler.h"

#include <openssl/evp.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tokens are hashed as they lie in memory");

/* One part behind its length, so that two parts cannot run into each other. */
static void digest_part(EVP_MD_CTX *ctx, const void *data, uint64_t len)
{
	ASSERT(EVP_DigestUpdate(ctx, &len, sizeof len));
	if (len)
		ASSERT(EVP_DigestUpdate(ctx, data, len));
}

/* SHA-256 and not XXH3, which can be inverted: who learns one tenant's seed must not learn the secret. Runs once a
 * request at most. */
static EVP_MD_CTX *digest_begin(const char *label)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	ASSERT(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
	digest_part(ctx, label, strlen(label));
	return ctx;
}

static uint64_t digest_end(EVP_MD_CTX *ctx)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	uint64_t ret;

	ASSERT(EVP_DigestFinal_ex(ctx, md, NULL));
	EVP_MD_CTX_free(ctx);
	memcpy(&ret, md, sizeof ret);
	return ret;
}

uint64_t kv_hash_seed(const void *secret, size_t secret_len, const char *adapter, const void *salt, size_t salt_len)
{
	EVP_MD_CTX *ctx = digest_begin("stator kv seed");

	digest_part(ctx, secret, secret_len);
	digest_part(ctx, adapter, adapter ? strlen(adapter) : 0);
	digest_part(ctx, salt, salt_len);
	return digest_end(ctx);
}

uint64_t kv_hash_seed_check(uint64_t seed)
{
	EVP_MD_CTX *ctx = digest_begin("stator kv seed check");

	digest_part(ctx, &seed, sizeof seed);
	return digest_end(ctx);
}

uint64_t kv_hash_next(uint64_t prev, int has_prev, const uint32_t *tokens, uint32_t block_size, uint64_t seed)
{
	uint64_t link[2] = {prev, XXH3_64bits_withSeed(tokens, (size_t)block_size * sizeof *tokens, seed)};

	return has_prev ? XXH3_64bits_withSeed(link, sizeof link, seed) : link[1];
}

uint32_t kv_hash_blocks(const uint32_t *tokens, uint32_t count, uint32_t block_size, uint64_t seed, uint64_t *ret)
{
	uint32_t blocks = count / block_size;

	for (uint32_t i = 0; i < blocks; i++)
		ret[i] = kv_hash_next(i ? ret[i - 1] : 0, i > 0, tokens + (size_t)i * block_size, block_size, seed);
	return blocks;
}
