/* Facts of a machine, from a small copy of /proc and /sys. */
#include "../lib/cmocka_all.h"
#include "gpu/host.h"

#include "base/compiler.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/stator-host-XXXXXX";

static void put(const char *path, const char *text)
{
	char full[512], command[1200];

	snprintf(full, sizeof full, "%s%s", root, path);
	snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", full);
	assert_int_equal(system(command), 0);
	FILE *f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void a_machine_of_its_files(void **state)
{
	struct host_facts f;

	(void)state;
	put("/proc/meminfo", "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:    8192000 kB\n");
	put("/proc/cpuinfo",
		"processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx avx2 avx512f fma f16c\n\n");
	put("/sys/devices/system/node/node0/x", "");
	put("/sys/devices/system/node/node1/x", "");
	put("/sys/devices/system/node/possible", "0-1");
	put("/dev/shm/x", "");
	host_facts_read_at(&f, root);
	assert_int_equal(f.ram_total, 16384000ull * 1024);
	assert_int_equal(f.ram_available, 8192000ull * 1024);
	assert_int_equal(f.ram_cgroup, 0);
	assert_string_equal(f.cpu, "Some CPU @ 2 GHz");
	assert_true(f.avx && f.avx2 && f.fma && f.f16c && !f.avx512 && !f.amx); /* avx512f alone is not enough */
	assert_int_equal(f.numa_nodes, 2);
	assert_true(f.cores >= 1 && f.cores <= f.cores_all);
	assert_true(f.shm_total > 0 && f.open_files > 0 && !f.container);
}

static void a_cgroup_is_smaller_than_the_machine(void **state)
{
	struct host_facts f;

	(void)state;
	put("/sys/fs/cgroup/memory.max", "4294967296\n");
	put("/sys/fs/cgroup/memory.current", "1073741824\n");
	put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
	put("/.dockerenv", "");
	host_facts_read_at(&f, root);
	assert_int_equal(f.ram_total, 4294967296);
	assert_int_equal(f.ram_cgroup, 4294967296);
	assert_int_equal(f.ram_available, 4294967296 - 1073741824);
	assert_int_equal(f.cores, 1); /* the launcher's rule, and the engine's: whole CPUs of time */
	assert_true(f.container);
	put("/sys/fs/cgroup/memory.max", "max\n");
	put("/sys/fs/cgroup/cpu.max", "max 100000\n");
	host_facts_read_at(&f, root);
	assert_int_equal(f.ram_cgroup, 0);
	assert_int_equal(f.ram_total, 16384000ull * 1024);
}

static void nothing_there_is_no_crash(void **state)
{
	struct host_facts f;

	(void)state;
	host_facts_read_at(&f, "/nowhere");
	assert_int_equal(f.ram_total, 0);
	assert_int_equal(f.shm_total, 0);
	assert_true(f.cores >= 1);
	host_facts_read(&f);
	assert_true(f.ram_total > 0 && f.ram_available <= f.ram_total && f.disk_free > 0);
}

static int make(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int clean(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf '%s'", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_of_its_files),
		cmocka_unit_test(a_cgroup_is_smaller_than_the_machine),
		cmocka_unit_test(nothing_there_is_no_crash),
	};
	return cmocka_run_group_tests(tests, make, clean);
}
