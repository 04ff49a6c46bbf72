/* What the kernel writes of control groups, as /proc/self/cgroup and /proc/self/mountinfo of a tree that holds nothing else:
 * never a crash, and no limit where there is no file of one. The first line feed parts the two. */
#include "base/compiler.h"
#include "host/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *root(void)
{
	static char folder[64];

	if (*folder)
		return folder;
	snprintf(folder, sizeof folder, "/tmp/stator-fuzz-cgroup-XXXXXX");
	ASSERT(mkdtemp(folder));
	char path[128];
	snprintf(path, sizeof path, "%s/proc", folder);
	ASSERT(mkdir(path, 0700) == 0);
	strcat(path, "/self");
	ASSERT(mkdir(path, 0700) == 0);
	return folder;
}

static void put(const char *name, const void *data, size_t len)
{
	char path[128];

	snprintf(path, sizeof path, "%s/proc/self/%s", root(), name);
	FILE *f = fopen(path, "we");
	ASSERT(f);
	fwrite(data, 1, len, f);
	fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *cut = memchr(data, '\n', len);
	size_t first = cut ? (size_t)(cut - data) : len;
	struct cgroup_memory m;

	put("cgroup", data, first);
	put("mountinfo", data + first, len - first);
	cgroup_memory_read(&m, root());
	ASSERT(m.limit == 0);
	ASSERT(cgroup_cpu_milli(root()) == 0);
	ASSERT(cgroup_oom_kills(root()) == 0);
	return 0;
}
