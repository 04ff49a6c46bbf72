/* cores.c - affinity mask, cgroup quota and their division among workers; see cores.h. */
#include "launch/cores.h"
#include "host/limits.h"

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

int cores_available(struct cores *ret, struct err *err)
{
	cpu_set_t set;
	struct host_cpus host;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return err_set_errno(err, -errno, "could not read which CPUs may be used");
	ret->count = 0;
	for (uint32_t cpu = 0; cpu < CPU_SETSIZE && ret->count < CPUS_MAX; cpu++)
		if (CPU_ISSET(cpu, &set))
			ret->cpus[ret->count++] = (uint16_t)cpu;
	cores_order(ret);
	host_cpus_read(&host, "");
	ret->quota = host.quota;
	return 0;
}

static uint32_t quota_min(uint32_t a, uint32_t b)
{
	return a == 0 ? b : b == 0 ? a : MIN(a, b);
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
