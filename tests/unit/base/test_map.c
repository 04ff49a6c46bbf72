/* struct map against a naive table, by random operations. */
#include "base/map.h"
#include "base/rng.h"

#include "../lib/cmocka_all.h"

enum { KEYS = 300, OPS = 200000 };

static void random_operations_agree_with_a_naive_table(void **state)
{
	(void)state;
	struct map m = {0};
	struct rng r;
	bool there[KEYS] = {0};
	uint64_t value[KEYS] = {0};
	uint32_t count = 0;

	rng_init(&r, 7);
	for (int i = 0; i < OPS; i++) {
		uint64_t k = rng_below(&r, KEYS), got = 0;
		/* Spread keys so that some share a home slot and some are far apart. */
		uint64_t key = k * 0x10001;
		switch (rng_below(&r, 3)) {
		case 0:
			count += !there[k];
			there[k] = true;
			value[k] = rng_u64(&r);
			assert_int_equal(map_put(&m, key, value[k]), 0);
			break;
		case 1:
			assert_int_equal(map_del(&m, key), there[k]);
			count -= there[k];
			there[k] = false;
			break;
		default:
			assert_int_equal(map_get(&m, key, &got), there[k]);
			if (there[k])
				assert_true(got == value[k]);
		}
		assert_int_equal(m.len, count);
	}
	uint32_t pos = 0, seen = 0;
	for (uint64_t key; map_next(&m, &pos, &key, NULL); seen++)
		assert_true(there[key / 0x10001]);
	assert_int_equal(seen, count);
	map_done(&m);
}

static void an_empty_map_has_nothing(void **state)
{
	(void)state;
	struct map m = {0};
	uint32_t pos = 0;

	assert_false(map_get(&m, 0, NULL));
	assert_false(map_del(&m, 0));
	assert_false(map_next(&m, &pos, NULL, NULL));
	map_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_a_naive_table),
		cmocka_unit_test(an_empty_map_has_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
