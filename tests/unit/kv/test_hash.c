/* kv/hash.h: chains, seeds, digests. */
#include "kv/hash.h"
#include "base/rng.h"

#include "../lib/cmocka_all.h"
#include <string.h>

enum { TOKENS = 100, BLOCK = 16 };

static void fill(uint32_t *tokens, uint64_t seed)
{
	for (uint32_t i = 0; i < TOKENS; i++)
		tokens[i] = (uint32_t)rng_keyed_u64(seed, i);
}

static void only_whole_blocks_have_a_hash(void **state)
{
	(void)state;
	uint32_t tokens[TOKENS];
	uint64_t hashes[TOKENS];

	fill(tokens, 1);
	assert_int_equal(kv_hash_blocks(tokens, BLOCK - 1, BLOCK, 7, hashes), 0);
	assert_int_equal(kv_hash_blocks(tokens, TOKENS, BLOCK, 7, hashes), TOKENS / BLOCK);
}

static void a_hash_names_its_block_and_all_before_it(void **state)
{
	(void)state;
	uint32_t tokens[TOKENS];
	uint64_t a[TOKENS], b[TOKENS];

	fill(tokens, 1);
	uint32_t n = kv_hash_blocks(tokens, TOKENS, BLOCK, 7, a);
	for (uint32_t change = 0; change < n * BLOCK; change += 5) {
		tokens[change] ^= 1;
		kv_hash_blocks(tokens, TOKENS, BLOCK, 7, b);
		tokens[change] ^= 1;
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(a[i] == b[i], i < change / BLOCK);
		assert_int_equal(kv_hash_common(a, n, b, n), change / BLOCK);
	}
	assert_int_equal(kv_hash_common(a, n, a, 2), 2);
	assert_int_equal(kv_hash_common(a, 0, a, n), 0);
}

static void a_chain_can_be_continued_block_by_block(void **state)
{
	(void)state;
	uint32_t tokens[TOKENS];
	uint64_t hashes[TOKENS], prev = 0;

	fill(tokens, 3);
	uint32_t n = kv_hash_blocks(tokens, TOKENS, BLOCK, 9, hashes);
	for (uint32_t i = 0; i < n; i++) {
		prev = kv_hash_next(prev, i > 0, tokens + i * BLOCK, BLOCK, 9);
		assert_true(prev == hashes[i]);
	}
}

static void other_secrets_adapters_and_salts_share_nothing(void **state)
{
	(void)state;
	uint64_t seeds[] = {kv_hash_seed("secret", 6, NULL, NULL, 0), kv_hash_seed("secreT", 6, NULL, NULL, 0),
		kv_hash_seed("secret", 6, "a", NULL, 0), kv_hash_seed("secret", 6, NULL, "a", 1),
		kv_hash_seed("secret", 6, "ab", "c", 1), kv_hash_seed("secret", 6, "a", "bc", 2),
		kv_hash_seed("secret", 6, "a", "b\0c", 3), kv_hash_seed("secret", 6, "a", "b", 1)};
	uint32_t tokens[TOKENS];
	uint64_t a[TOKENS], b[TOKENS];

	fill(tokens, 4);
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < i; j++) {
			kv_hash_blocks(tokens, TOKENS, BLOCK, seeds[i], a);
			kv_hash_blocks(tokens, TOKENS, BLOCK, seeds[j], b);
			assert_int_equal(kv_hash_common(a, TOKENS / BLOCK, b, TOKENS / BLOCK), 0);
			assert_true(kv_hash_seed_check(seeds[i]) != kv_hash_seed_check(seeds[j]));
		}
	assert_true(kv_hash_seed("secret", 6, "", "", 0) == seeds[0]);
	assert_true(kv_hash_seed_check(seeds[0]) != seeds[0]);
}

static void a_digest_does_not_depend_on_order(void **state)
{
	(void)state;
	uint64_t forth = 0, back = 0;

	for (uint64_t i = 0; i < 50; i++)
		forth = kv_digest_add(forth, i * i);
	for (uint64_t i = 50; i-- > 0;)
		back = kv_digest_add(back, i * i);
	assert_true(forth == back && forth != 0);
	assert_true(kv_digest_remove(kv_digest_add(forth, 1234567), 1234567) == forth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_blocks_have_a_hash),
		cmocka_unit_test(a_hash_names_its_block_and_all_before_it),
		cmocka_unit_test(a_chain_can_be_continued_block_by_block),
		cmocka_unit_test(other_secrets_adapters_and_salts_share_nothing),
		cmocka_unit_test(a_digest_does_not_depend_on_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
