/* cores.c - affinity mask, cgroup quota and their division among workers; see cores.h. */
#include "launch/cores.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

struct cpu_place {
	uint16_t cpu;
	int package, core;
};

static int topology_read(uint16_t cpu, const char *what)
{
	char path[128];
	int value = 0;

	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/%s", cpu, what);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

static int place_compare(const void *pa, const void *pb)
{
	const struct cpu_place *a = pa, *b = pb;

	if (a->package != b->package)
		return a->package < b->package ? -1 : 1;
	if (a->core != b->core)
		return a->core < b->core ? -1 : 1;
	return a->cpu < b->cpu ? -1 : a->cpu > b->cpu;
}

/* Put the hyperthreads of a core, and the cores of a package, side by side. */
static void cores_order(struct cores *c)
{
	CLEANUP(free_p) struct cpu_place *places = calloc(c->count, sizeof *places);

	if (!places)
		return; /* the order by id is good enough */
	for (uint32_t i = 0; i < c->count; i++)
		places[i] = (struct cpu_place){c->cpus[i], topology_read(c->cpus[i], "physical_package_id"),
			topology_read(c->cpus[i], "core_id")};
	qsort(places, c->count, sizeof *places, place_compare);
	for (uint32_t i = 0; i < c->count; i++)
		c->cpus[i] = places[i].cpu;
}

static void file_read(const char *path, char *ret, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t len = 0;

	if (f) {
		len = fread(ret, 1, size - 1, f);
		fclose(f);
	}
	ret[len] = '\0';
}

int cores_available(struct cores *ret, struct err *err)
{
	cpu_set_t set;
	char membership[4096];

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return err_set_errno(err, -errno, "could not read which CPUs may be used");
	ret->count = 0;
	for (uint32_t cpu = 0; cpu < CPU_SETSIZE && ret->count < CPUS_MAX; cpu++)
		if (CPU_ISSET(cpu, &set))
			ret->cpus[ret->count++] = (uint16_t)cpu;
	cores_order(ret);
	file_read("/proc/self/cgroup", membership, sizeof membership);
	ret->quota = cores_quota("/sys/fs/cgroup", membership);
	return 0;
}

static uint32_t quota_min(uint32_t a, uint32_t b)
{
	return a == 0 ? b : b == 0 ? a : MIN(a, b);
}

/* Whole CPUs of quota per period; -1 and "max" mean no limit. */
static uint32_t quota_cpus(const char *quota, const char *period)
{
	long long q = strtoll(quota, NULL, 10), p = strtoll(period, NULL, 10);

	if (q <= 0 || p <= 0)
		return 0;
	return (uint32_t)MIN(MAX(q / p, 1LL), (long long)CPUS_MAX);
}

static uint32_t quota_v2(const char *dir)
{
	char path[4352], text[128], quota[64], period[64];

	snprintf(path, sizeof path, "%s/cpu.max", dir);
	file_read(path, text, sizeof text);
	return sscanf(text, "%63s %63s", quota, period) == 2 ? quota_cpus(quota, period) : 0;
}

static uint32_t quota_v1(const char *dir)
{
	char path[4352], quota[64], period[64];

	snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
	file_read(path, quota, sizeof quota);
	snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
	file_read(path, period, sizeof period);
	return quota_cpus(quota, period);
}

/* The smallest limit from root/path up to root. A container often sees a path that does not exist in its own mount:
 * the missing levels then simply have no limit. */
static uint32_t quota_walk(const char *root, const char *path, uint32_t (*read_one)(const char *dir))
{
	char dir[4096];
	size_t root_len = strlen(root);
	uint32_t quota = 0;

	if (snprintf(dir, sizeof dir, "%s%s", root, path) >= (int)sizeof dir)
		return 0;
	for (;;) {
		char *slash;

		quota = quota_min(quota, read_one(dir));
		slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < root_len)
			return quota;
		*slash = '\0';
	}
}

/* True when "cpu" is one of the comma-separated controllers. */
static bool has_cpu_controller(const char *controllers, size_t len)
{
	for (const char *at = controllers, *end = controllers + len; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma ? comma : end) - at);

		if (n == 3 && memcmp(at, "cpu", 3) == 0)
			return true;
		at += n + 1;
	}
	return false;
}

/* One line "ID:CONTROLLERS:PATH" of /proc/PID/cgroup; no controllers: version 2. */
static uint32_t quota_of_line(const char *root, const char *line)
{
	const char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
	char v1_root[4096];

	if (!path)
		return 0;
	controllers++;
	path++;
	if (path == controllers + 1)
		return quota_walk(root, path, quota_v2);
	if (!has_cpu_controller(controllers, (size_t)(path - 1 - controllers)))
		return 0;
	if (snprintf(v1_root, sizeof v1_root, "%s/cpu", root) >= (int)sizeof v1_root)
		return 0;
	return quota_walk(v1_root, path, quota_v1);
}

uint32_t cores_quota(const char *root, const char *membership)
{
	CLEANUP(free_p) char *copy = strdup(membership);
	uint32_t quota = 0;
	char *save = NULL;

	if (!copy)
		return 0;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		quota = quota_min(quota, quota_of_line(root, line));
	return quota;
}

struct core_share cores_share(const struct cores *c, uint32_t workers, uint32_t i)
{
	uint32_t usable = quota_min(c->count, c->quota);
	uint32_t each = usable / workers, rest = usable % workers;
	struct core_share share = {0};

	ASSERT(i < workers);
	share.threads = MAX(each + (i < rest), 1u);
	if (usable < c->count || usable < workers)
		return share;
	share.count = share.threads;
	share.first = i * each + MIN(i, rest);
	return share;
}

void cores_print(struct buf *out, const struct cores *c, uint32_t first, uint32_t count)
{
	for (uint32_t i = first, end = first + count; i < end;) {
		uint32_t j = i;

		while (j + 1 < end && c->cpus[j + 1] == c->cpus[j] + 1)
			j++;
		buf_printf(out, i == first ? "%u" : ",%u", c->cpus[i]);
		if (j > i)
			buf_printf(out, "-%u", c->cpus[j]);
		i = j + 1;
	}
}
