/* GPUs handed out whole and in parts. */
#include "launch/devices.h"

#include <string.h>

#include "../lib/cmocka_all.h"

struct fixture {
	struct gpu_inventory inventory;
	struct devices devices;
	struct err err;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){0};
	gpu_inventory_init(&f.inventory);
	assert_int_equal(gpu_inventory_from_spec(&f.inventory, "4xT4", &f.err), 0);
	f.devices.inventory = &f.inventory;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gpu_inventory_done(&f->inventory);
	return 0;
}

static struct devices_share take(struct fixture *f, double gpus)
{
	struct devices_share share;

	assert_int_equal(devices_take(&share, &f->devices, gpus, "w", &f->err), 0);
	return share;
}

static void thirds_fill_a_gpu_and_the_fourth_takes_the_next(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(take(f, 1.0 / 3).first, i / 3);
}

static void a_part_is_never_put_on_a_gpu_that_somebody_has_whole(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(take(f, 0.25).first, 0);
	assert_int_equal(take(f, 2).first, 1);
	assert_int_equal(take(f, 0.25).first, 3);
}

static void a_part_too_small_to_count_gets_a_gpu_all_the_same(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(take(f, 1e-12).first, 0);
	assert_int_equal(take(f, 1e-12).first, 0);
}

static void more_than_are_left_is_refused_and_takes_nothing(void **state)
{
	struct fixture *f = *state;
	struct devices_share share;

	take(f, 3);
	assert_int_equal(devices_take(&share, &f->devices, 2, "big-1", &f->err), -EINVAL);
	assert_non_null(strstr(f->err.msg, "big-1 asks for 2 GPUs, and 1 of 4 is left"));
	assert_int_equal(take(f, 1).first, 3);
}

static void what_is_told_fits_where_it_goes(void **state)
{
	struct fixture *f = *state;
	struct devices_share share = take(f, 3);
	char facts[24] = "on CPU 0", narrow[6] = "";

	devices_tell(facts, sizeof facts, &f->devices, share);
	assert_string_equal(facts, "on CPU 0, GPUs 0, 1, 2");
	devices_tell(narrow, sizeof narrow, &f->devices, share);
	assert_string_equal(narrow, "GPUs ");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(thirds_fill_a_gpu_and_the_fourth_takes_the_next),
		TEST(a_part_is_never_put_on_a_gpu_that_somebody_has_whole),
		TEST(a_part_too_small_to_count_gets_a_gpu_all_the_same),
		TEST(more_than_are_left_is_refused_and_takes_nothing),
		TEST(what_is_told_fits_where_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
