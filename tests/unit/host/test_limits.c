/* Limits of memory, CPU time and processes, from copies of /proc and /sys in every form that control groups take. */
#include "host/limits.h"

#include "../lib/cmocka_all.h"
#include "base/compiler.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1024 * 1024ull)

static char root[64];

static void put(const char *path, const char *text)
{
	char full[512], *slash;

	snprintf(full, sizeof full, "%s%s", root, path);
	slash = full + strlen(root);
	while ((slash = strchr(slash + 1, '/'))) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	FILE *f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make(void **state)
{
	(void)state;
	snprintf(root, sizeof root, "/tmp/stator-limits-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n");
	return 0;
}

static int clean(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf '%s'", root);
	return system(command);
}

static const char V2_MOUNT[] = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

static struct host_memory memory(void)
{
	struct host_memory m;

	host_memory_read(&m, root);
	return m;
}

/* Thousandths of a CPU. */
static uint32_t quota(void)
{
	return cgroup_cpu_milli(root);
}

static void without_groups_the_machine_is_the_limit(void **state)
{
	(void)state;
	struct host_memory m = memory();

	assert_int_equal(m.total, 16384 * MIB);
	assert_int_equal(m.available, 8192 * MIB);
	assert_int_equal(m.group.limit, 0);
	assert_int_equal(quota(), 0);
	assert_true(cgroup_pids_room(root) == UINT64_MAX);
	assert_int_equal(cgroup_oom_kills(root), 0);
}

static void the_limit_of_a_unit_counts_though_the_root_has_none(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/system.slice/stator.service\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
	put("/sys/fs/cgroup/system.slice/stator.service/memory.max", "314572800\n");
	put("/sys/fs/cgroup/system.slice/stator.service/memory.current", "104857600\n");
	put("/sys/fs/cgroup/system.slice/stator.service/cpu.max", "150000 100000\n");
	struct host_memory m = memory();

	assert_int_equal(m.total, 300 * MIB);
	assert_int_equal(m.group.limit, 300 * MIB);
	assert_int_equal(m.available, 200 * MIB);
	assert_non_null(strstr(m.group.file, "/stator.service/memory.max"));
	assert_int_equal(quota(), 1500);
}

static void the_smallest_limit_on_the_way_to_the_root_counts(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a/b/c\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
	put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/a/b/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
	put("/sys/fs/cgroup/a/memory.max", "536870912\n");
	put("/sys/fs/cgroup/a/memory.current", "0\n");
	put("/sys/fs/cgroup/a/cpu.max", "25000 50000\n");
	assert_int_equal(memory().group.limit, 512 * MIB);
	assert_int_equal(quota(), 500);
	/* The wider group above is nearly full: what is left there is all there is. */
	put("/sys/fs/cgroup/a/b/memory.current", "1063256064\n");
	assert_int_equal(memory().group.limit, 512 * MIB);
	assert_int_equal(memory().available, 10 * MIB);
}

static void memory_high_is_a_limit_too(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/u\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/u/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/u/memory.high", "268435456\n");
	assert_int_equal(memory().total, 256 * MIB);
	assert_non_null(strstr(memory().group.file, "memory.high"));
}

static void a_container_with_a_namespace_of_its_own_sees_its_group_as_the_root(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/memory.max", "2147483648\n");
	put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
	assert_int_equal(memory().total, 2048 * MIB);
	assert_int_equal(quota(), 3000);
}

static void a_container_without_one_sees_its_group_mounted_at_the_root(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/docker/0123\n");
	put("/proc/self/mountinfo", "30 23 0:26 /docker/0123 /sys/fs/cgroup ro - cgroup2 cgroup ro\n");
	put("/sys/fs/cgroup/memory.max", "2147483648\n");
	assert_int_equal(memory().total, 2048 * MIB);
	/* A group inside the container. */
	put("/proc/self/cgroup", "0::/docker/0123/inner\n");
	put("/sys/fs/cgroup/inner/memory.max", "1073741824\n");
	assert_int_equal(memory().total, 1024 * MIB);
	/* Not the group that is mounted, though its name begins like it. */
	put("/proc/self/cgroup", "0::/docker/01234\n");
	assert_int_equal(memory().total, 2048 * MIB);
}

static void a_path_outside_the_namespace_leaves_the_mount(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/../../elsewhere\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/memory.max", "2147483648\n");
	assert_int_equal(memory().total, 2048 * MIB);
}

static void version_1_has_a_tree_for_each_controller(void **state)
{
	(void)state;
	put("/proc/self/cgroup",
		"5:cpuset:/\n4:memory:/job/7\n3:cpu,cpuacct:/job/7\n2:pids:/job/7\n1:name=systemd:/x\n");
	put("/proc/self/mountinfo", "32 31 0:29 / /cg/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
				    "35 31 0:32 / /cg/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
				    "36 31 0:33 / /cg/pids rw,relatime - cgroup cgroup rw,pids\n"
				    "38 31 0:35 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n");
	put("/cg/memory/job/7/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
	put("/cg/memory/job/memory.limit_in_bytes", "4294967296\n");
	put("/cg/memory/job/memory.usage_in_bytes", "2147483648\n");
	put("/cg/memory/job/memory.stat", "cache 1\ntotal_inactive_file 536870912\ntotal_active_file 536870912\n");
	put("/cg/cpu,cpuacct/job/7/cpu.cfs_quota_us", "-1\n");
	put("/cg/cpu,cpuacct/job/7/cpu.cfs_period_us", "100000\n");
	put("/cg/cpu,cpuacct/job/cpu.cfs_quota_us", "400000\n");
	put("/cg/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
	put("/cg/pids/job/7/pids.max", "max\n");
	put("/cg/pids/job/pids.max", "100\n");
	put("/cg/pids/job/pids.current", "60\n");
	struct host_memory m = memory();

	assert_int_equal(m.total, 4096 * MIB);
	assert_int_equal(m.available, 3072 * MIB); /* pages of files are taken back before anything is killed */
	assert_int_equal(quota(), 4000);
	assert_int_equal(cgroup_pids_room(root), 40);
}

static void version_1_tells_the_limit_of_levels_that_are_not_mounted(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "4:memory:/docker/77\n");
	put("/proc/self/mountinfo", "35 31 0:32 /docker/77 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/memory.stat", "cache 0\nhierarchical_memory_limit 1073741824\ntotal_cache 0\n");
	put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
	assert_int_equal(memory().total, 1024 * MIB);
	assert_int_equal(memory().available, 1024 * MIB);
}

static void both_versions_side_by_side_are_read(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "4:memory:/process/1\n1:cpu:/\n0::/user.slice\n");
	put("/proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
				    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
				    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/memory/process/1/memory.limit_in_bytes", "1073741824\n");
	put("/sys/fs/cgroup/unified/user.slice/cpu.max", "200000 100000\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
	assert_int_equal(memory().total, 1024 * MIB);
	assert_int_equal(quota(), 2000);
}

static void where_no_mount_is_listed_the_usual_places_are_tried(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "3:memory:/job\n0::/u\n");
	put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1073741824\n");
	put("/sys/fs/cgroup/u/cpu.max", "700000 100000\n");
	assert_int_equal(memory().total, 1024 * MIB);
	assert_int_equal(quota(), 7000);
}

static void a_mount_point_with_a_blank_and_a_group_that_is_gone_are_no_trouble(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a/gone/deeper\n");
	put("/proc/self/mountinfo", "nonsense\n\n30 23 0:26\n30 23 0:26 / /c\\040g rw - cgroup2 c rw\n");
	put("/c g/a/memory.max", "1073741824\n");
	put("/c g/memory.max", "max\n");
	assert_int_equal(memory().total, 1024 * MIB);
	assert_non_null(strstr(memory().group.file, "/c g/a/memory.max"));
}

static void a_limit_above_the_machine_is_none(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/u\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/u/memory.max", "109951162777600\n");
	assert_int_equal(memory().group.limit, 0);
	assert_int_equal(memory().total, 16384 * MIB);
	put("/sys/fs/cgroup/u/memory.max", "0\n"); /* "nothing at all" is a limit */
	assert_int_equal(memory().available, 0);
	assert_int_equal(memory().total, 1);
}

static void a_quota_is_rounded_down_and_at_least_one(void **state)
{
	struct host_cpus c;
	char text[64];
	(void)state;

	put("/proc/self/cgroup", "0::/u\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/u/cpu.max", "5000 100000\n");
	host_cpus_read(&c, root);
	assert_int_equal(c.usable, 1);
	assert_int_equal(c.quota_milli, 50);
	if (c.allowed > 1) { /* a little less than all of them */
		snprintf(text, sizeof text, "%u 100000\n", c.allowed * 100000 - 1000);
		put("/sys/fs/cgroup/u/cpu.max", text);
		host_cpus_read(&c, root);
		assert_int_equal(c.usable, c.allowed - 1);
		assert_int_equal(c.quota, c.allowed - 1);
	}
	snprintf(text, sizeof text, "%u 100000\n", c.allowed * 100000);
	put("/sys/fs/cgroup/u/cpu.max", text);
	host_cpus_read(&c, root);
	assert_int_equal(c.usable, c.allowed);
	assert_int_equal(c.quota, 0);
}

static void the_out_of_memory_killer_is_named_by_what_was_counted(void **state)
{
	struct host_oom before;
	char text[1024];
	(void)state;

	put("/proc/self/cgroup", "0::/u\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/proc/vmstat", "nr_free_pages 1\noom_kill 4\n");
	put("/sys/fs/cgroup/u/memory.max", "314572800\n");
	put("/sys/fs/cgroup/u/memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n");
	host_oom_read(&before, root);
	assert_int_equal(before.group, 1);
	assert_int_equal(before.machine, 4);
	host_oom_text(&before, root, text, sizeof text);
	assert_non_null(strstr(text, "stator did not send that signal"));
	assert_non_null(strstr(text, "probably"));
	assert_non_null(strstr(text, "may use 300 MiB (/sys/fs/cgroup/u/memory.max)"));
	assert_non_null(strstr(text, "dmesg"));
	put("/proc/vmstat", "nr_free_pages 1\noom_kill 5\n");
	host_oom_text(&before, root, text, sizeof text);
	assert_non_null(strstr(text, "has struck on this machine"));
	put("/sys/fs/cgroup/u/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n");
	host_oom_text(&before, root, text, sizeof text);
	assert_ptr_equal(
		strstr(text, "the kernel's out-of-memory killer ended it: its control group may use 300 MiB"), text);
}

static void version_1_counts_kills_too(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "4:memory:/a/b\n");
	put("/proc/self/mountinfo", "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
	put("/sys/fs/cgroup/memory/a/b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
	put("/sys/fs/cgroup/memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 50\n");
	assert_int_equal(cgroup_oom_kills(root), 3);
}

static void this_machine_has_memory_and_cpus(void **state)
{
	struct host_memory m;
	struct host_cpus c;
	(void)state;

	host_memory_read(&m, "");
	host_cpus_read(&c, "");
	assert_true(m.total > 0 && m.available <= m.machine);
	assert_true(c.usable >= 1 && c.usable <= c.allowed);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make, clean)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_groups_the_machine_is_the_limit),
		TEST(the_limit_of_a_unit_counts_though_the_root_has_none),
		TEST(the_smallest_limit_on_the_way_to_the_root_counts),
		TEST(memory_high_is_a_limit_too),
		TEST(a_container_with_a_namespace_of_its_own_sees_its_group_as_the_root),
		TEST(a_container_without_one_sees_its_group_mounted_at_the_root),
		TEST(a_path_outside_the_namespace_leaves_the_mount),
		TEST(version_1_has_a_tree_for_each_controller),
		TEST(version_1_tells_the_limit_of_levels_that_are_not_mounted),
		TEST(both_versions_side_by_side_are_read),
		TEST(where_no_mount_is_listed_the_usual_places_are_tried),
		TEST(a_mount_point_with_a_blank_and_a_group_that_is_gone_are_no_trouble),
		TEST(a_limit_above_the_machine_is_none),
		TEST(a_quota_is_rounded_down_and_at_least_one),
		TEST(the_out_of_memory_killer_is_named_by_what_was_counted),
		TEST(version_1_counts_kills_too),
		cmocka_unit_test(this_machine_has_memory_and_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
