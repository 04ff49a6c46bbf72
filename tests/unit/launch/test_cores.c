/* Division of CPUs among workers, and the quota of a container. */
#include "launch/cores.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void file_make(const char *dir, const char *name, const char *text)
{
	char path[512];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void the_smallest_quota_on_the_way_to_the_root_counts(void **state)
{
	(void)state;
	char root[] = "/tmp/stator-cores-XXXXXX", a[64], b[64];

	assert_non_null(mkdtemp(root));
	snprintf(a, sizeof a, "%s/a", root);
	snprintf(b, sizeof b, "%s/a/b", root);
	mkdir(a, 0700);
	mkdir(b, 0700);
	assert_int_equal(cores_quota(root, "0::/a/b\n"), 0);
	file_make(b, "cpu.max", "max 100000\n");
	assert_int_equal(cores_quota(root, "0::/a/b\n"), 0);
	file_make(a, "cpu.max", "350000 100000\n");
	assert_int_equal(cores_quota(root, "0::/a/b\n"), 3);
	file_make(b, "cpu.max", "50000 100000\n");
	assert_int_equal(cores_quota(root, "0::/a/b\n"), 1);
	file_make(root, "cpu.max", "200000 100000\n");
	/* A container's own mount: the path of its membership is not there, the root of the mount is its group. */
	assert_int_equal(cores_quota(root, "0::/no/such\n"), 2);
	assert_int_equal(cores_quota(root, "nonsense\n\n::\n"), 2);
	char command[128];
	snprintf(command, sizeof command, "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

static void version_1_groups_are_read_too(void **state)
{
	(void)state;
	char root[] = "/tmp/stator-cores-XXXXXX", cpu[64], job[64], command[128];

	assert_non_null(mkdtemp(root));
	snprintf(cpu, sizeof cpu, "%s/cpu", root);
	snprintf(job, sizeof job, "%s/cpu/job", root);
	mkdir(cpu, 0700);
	mkdir(job, 0700);
	file_make(cpu, "cpu.cfs_quota_us", "-1\n");
	file_make(cpu, "cpu.cfs_period_us", "100000\n");
	file_make(job, "cpu.cfs_quota_us", "400000\n");
	file_make(job, "cpu.cfs_period_us", "100000\n");
	assert_int_equal(cores_quota(root, "3:cpuset:/job\n2:cpu,cpuacct:/job\n"), 4);
	assert_int_equal(cores_quota(root, "3:cpuset:/job\n2:cpuacct:/job\n"), 0);
	snprintf(command, sizeof command, "rm -r %s", root);
	assert_int_equal(system(command), 0);
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
		cmocka_unit_test(the_smallest_quota_on_the_way_to_the_root_counts),
		cmocka_unit_test(version_1_groups_are_read_too),
		cmocka_unit_test(lists_of_cpus_are_printed_as_ranges),
		cmocka_unit_test(this_machine_has_cpus),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
