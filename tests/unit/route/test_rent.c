/* Rent: accounts add up, are cleared, and never answer for another prefix. */
#include "base/rng.h"
#include "route/rent.h"

#include "../lib/cmocka_all.h"

static struct rents rents;

static void an_account_adds_up_until_it_is_cleared(void **state)
{
	(void)state;
	rents = (struct rents){0};
	rent_pay(&rents, 7, 10);
	rent_pay(&rents, 7, 5);
	assert_true(rent_paid(&rents, 7) == 15);
	assert_true(rent_paid(&rents, 8) == 0);
	rent_clear(&rents, 8);
	assert_true(rent_paid(&rents, 7) == 15);
	rent_clear(&rents, 7);
	assert_true(rent_paid(&rents, 7) == 0);
}

static void no_prefix_pays_nothing(void **state)
{
	(void)state;
	rents = (struct rents){0};
	rent_pay(&rents, 0, 10);
	assert_true(rent_paid(&rents, 0) == 0);
}

/* Against an array of true sums: what it says is the sum since the prefix was last pushed out, never more. */
static void it_forgets_but_never_invents(void **state)
{
	(void)state;
	enum { KEYS = 20000 };
	static double truth[KEYS];
	struct rng r;
	uint32_t kept = 0;

	rents = (struct rents){0};
	rng_init(&r, 5);
	for (int i = 0; i < 200000; i++) {
		uint32_t k = (uint32_t)rng_below(&r, KEYS);
		uint64_t hash = rng_keyed_u64(3, k);
		if (rng_below(&r, 10)) {
			rent_pay(&rents, hash, 1);
			truth[k]++;
		} else {
			rent_clear(&rents, hash);
			truth[k] = 0;
		}
		assert_true(rent_paid(&rents, hash) <= truth[k]);
		kept += rent_paid(&rents, hash) == truth[k];
	}
	assert_true(kept > 200000 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_account_adds_up_until_it_is_cleared),
		cmocka_unit_test(no_prefix_pays_nothing),
		cmocka_unit_test(it_forgets_but_never_invents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
