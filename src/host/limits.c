/* limits.c - see limits.h. */
#include "host/limits.h"

#include "base/compiler.h"
#include "host/file.h"
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MEMINFO_BYTES_MAX = 8 * 1024, VMSTAT_BYTES_MAX = 16 * 1024 };

void host_memory_read(struct host_memory *ret, const char *root)
{
	char text[MEMINFO_BYTES_MAX];

	*ret = (struct host_memory){0};
	if (host_file_text(root, "/proc/meminfo", text, sizeof text)) {
		ret->machine = host_line_number(text, "MemTotal:", 0) * 1024;
		ret->available = host_line_number(text, "MemAvailable:", 0) * 1024;
	}
	ret->total = ret->machine;
	cgroup_memory_read(&ret->group, root);
	if (ret->group.limit && (!ret->machine || ret->group.limit < ret->machine))
		ret->total = ret->group.limit;
	else
		ret->group.limit = 0;
	/* A group above ours may be nearly full, though its limit is the larger. */
	if (ret->available == 0 && ret->machine == 0)
		ret->available = ret->group.limit ? ret->group.room : 0;
	else
		ret->available = MIN(ret->available, ret->group.room);
}

void host_cpus_read(struct host_cpus *ret, const char *root)
{
	long all = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	*ret = (struct host_cpus){.machine = all > 0 ? (uint32_t)all : 1};
	ret->allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : ret->machine;
	ret->allowed = MAX(ret->allowed, 1u);
	ret->quota_milli = cgroup_cpu_milli(root);
	ret->usable = ret->allowed;
	if (ret->quota_milli == 0 || ret->quota_milli / 1000 >= ret->allowed)
		return;
	ret->quota = MAX(ret->quota_milli / 1000, 1u);
	ret->usable = MIN(ret->quota, ret->allowed);
}

void host_oom_read(struct host_oom *ret, const char *root)
{
	char text[VMSTAT_BYTES_MAX];

	*ret = (struct host_oom){.group = cgroup_oom_kills(root)};
	if (host_file_text(root, "/proc/vmstat", text, sizeof text))
		ret->machine = host_line_number(text, "oom_kill ", 0);
}

#define WHERE_TO_LOOK "\"dmesg\" and \"journalctl -k\" show it"

const char *host_oom_text(const struct host_oom *before, const char *root, char *ret, size_t cap)
{
	struct host_memory m;
	struct host_oom now;
	char limit[CGROUP_PATH_BYTES + 128];

	host_oom_read(&now, root);
	host_memory_read(&m, root);
	if (m.group.limit)
		snprintf(limit, sizeof limit, "its control group may use %.0f MiB (%s)",
			(double)m.group.limit / 1048576, m.group.file + strlen(root));
	else
		snprintf(limit, sizeof limit, "the machine has %.0f MiB, %.0f available", (double)m.machine / 1048576,
			(double)m.available / 1048576);
	if (now.group > before->group)
		snprintf(ret, cap, "the kernel's out-of-memory killer ended it: %s; " WHERE_TO_LOOK, limit);
	else if (now.machine > before->machine)
		snprintf(ret, cap,
			"the kernel's out-of-memory killer has struck on this machine meanwhile, so probably here: %s; " WHERE_TO_LOOK,
			limit);
	else
		snprintf(ret, cap,
			"stator did not send that signal; where nobody else did, it was probably the out-of-memory killer: %s; " WHERE_TO_LOOK,
			limit);
	return ret;
}
