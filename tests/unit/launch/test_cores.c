/* Division of CPUs among workers, and the quota of a container. */
#include "launch/cores.h"

#include "../lib/cmocka_all.h"

static struct cores cores_of(uint32_t count, uint32_t quota)
{
	struct cores c = {.count = count, .quota = quota};

	for (uint32_t i = 0; i < count; i++)
		c.cpus[i] = (uint16_t)i;
	return c;
}

static void shares_cover_every_cpu_exactly_once(void **state)
{
	(void)state;
	for (uint32_t count = 1; count <= 40; count++) {
		for (uint32_t workers = 1; workers <= count; workers++) {
			struct cores c = cores_of(count, 0);
			uint32_t next = 0;

			for (uint32_t i = 0; i < workers; i++) {
				struct core_share s = cores_share(&c, workers, i);

				assert_int_equal(s.first, next);
				assert_int_equal(s.count, s.threads);
				assert_in_range(s.count, count / workers, count / workers + 1);
				next += s.count;
			}
			assert_int_equal(next, count);
		}
	}
}

static void more_workers_than_cpus_get_one_thread_each_and_are_not_pinned(void **state)
{
	(void)state;
	struct cores c = cores_of(2, 0);

	for (uint32_t i = 0; i < 5; i++) {
		struct core_share s = cores_share(&c, 5, i);

		assert_int_equal(s.threads, 1);
		assert_int_equal(s.count, 0);
	}
}

static void a_quota_limits_threads_and_pins_nobody(void **state)
{
	(void)state;
	struct cores c = cores_of(64, 6);

	for (uint32_t i = 0; i < 4; i++) {
		struct core_share s = cores_share(&c, 4, i);

		assert_int_equal(s.threads, i < 2 ? 2 : 1);
		assert_int_equal(s.count, 0);
	}
}

static void a_quota_above_the_cpus_changes_nothing(void **state)
{
	(void)state;
	struct cores c = cores_of(4, 8);
	struct core_share s = cores_share(&c, 2, 1);

	assert_int_equal(s.first, 2);
	assert_int_equal(s.count, 2);
}

static void lists_of_cpus_are_printed_as_ranges(void **state)
{
	(void)state;
	struct cores c = {.cpus = {0, 8, 1, 2, 3, 9}, .count = 6};
	struct buf b;

	buf_init(&b, 100);
	cores_print(&b, &c, 0, 6);
	assert_string_equal(buf_str(&b), "0,8,1-3,9");
	buf_reset(&b);
	cores_print(&b, &c, 3, 1);
	assert_string_equal(buf_str(&b), "2");
	buf_done(&b);
}

static void this_machine_has_cpus(void **state)
{
	(void)state;
	static struct cores c;
	struct err err;

	assert_int_equal(cores_available(&c, &err), 0);
	assert_in_range(c.count, 1, CPUS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_cover_every_cpu_exactly_once),
		cmocka_unit_test(more_workers_than_cpus_get_one_thread_each_and_are_not_pinned),
		cmocka_unit_test(a_quota_limits_threads_and_pins_nobody),
		cmocka_unit_test(a_quota_above_the_cpus_changes_nothing),
		cmocka_unit_test(lists_of_cpus_are_printed_as_ranges),
		cmocka_unit_test(this_machine_has_cpus),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
