/* kv/uses.h: counting requests per block, bounded. */
#include "base/rng.h"
#include "kv/uses.h"

#include "../lib/cmocka_all.h"

static void counts_requests_per_block_up_to_nine(void **state)
{
	(void)state;
	struct err err;
	struct kv_uses *u;
	uint64_t hashes[40];
	uint8_t uses[40];

	assert_int_equal(kv_uses_create(&u, 1000, &err), 0);
	for (uint32_t i = 0; i < 40; i++)
		hashes[i] = rng_keyed_u64(1, i);
	assert_int_equal(kv_uses_get(u, hashes[0]), 0);
	for (uint32_t request = 1; request <= 12; request++) {
		kv_uses_note(u, hashes, request % 2 ? 40 : 10, uses);
		assert_int_equal(uses[0], request < KV_USES_MAX ? request : KV_USES_MAX);
		assert_int_equal(kv_uses_get(u, hashes[39]), (request + 1) / 2);
	}
	kv_uses_note(u, hashes, 40, NULL);
	assert_int_equal(kv_uses_get(u, hashes[39]), 7);
	kv_uses_destroy(u);
}

/* What is used again and again stays, while far more blocks than fit pass by once. */
static void forgets_the_longest_unused(void **state)
{
	(void)state;
	struct err err;
	struct kv_uses *u;
	uint64_t hot[100], hash;
	uint32_t kept = 0, lately = 0;
	enum { BLOCKS = 4096, PASSING = 400 * BLOCKS };

	assert_int_equal(kv_uses_create(&u, BLOCKS, &err), 0);
	for (uint32_t i = 0; i < 100; i++)
		hot[i] = rng_keyed_u64(2, i);
	for (uint32_t i = 0; i < PASSING; i++) {
		if (i % 500 == 0)
			kv_uses_note(u, hot, 100, NULL);
		hash = rng_keyed_u64(3, i);
		kv_uses_note(u, &hash, 1, NULL);
	}
	for (uint32_t i = 0; i < 100; i++)
		kept += kv_uses_get(u, hot[i]) == KV_USES_MAX;
	assert_true(kept >= 98);
	for (uint32_t i = PASSING - BLOCKS / 4; i < PASSING; i++)
		lately += kv_uses_get(u, rng_keyed_u64(3, i)) == 1;
	assert_true(lately > BLOCKS / 4 * 98 / 100);
	for (uint32_t i = 0; i < BLOCKS; i++)
		assert_int_equal(kv_uses_get(u, rng_keyed_u64(3, i)), 0);
	kv_uses_destroy(u);
}

static void refuses_sizes_out_of_range(void **state)
{
	(void)state;
	struct err err;
	struct kv_uses *u = NULL;

	assert_int_equal(kv_uses_create(&u, 10, &err), -EINVAL);
	assert_int_equal(kv_uses_create(&u, UINT32_MAX, &err), -EINVAL);
	kv_uses_destroy(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_requests_per_block_up_to_nine),
		cmocka_unit_test(forgets_the_longest_unused),
		cmocka_unit_test(refuses_sizes_out_of_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
