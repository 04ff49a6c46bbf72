#include "gpu/host.h"

#include "base/compiler.h"
#include "host/file.h"
#include "host/limits.h"
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 64 * 1024 }; /* of one file: cpuinfo is longer, its first processor is not */

static void read_memory(struct host_facts *f, const char *root)
{
	struct host_memory m;

	host_memory_read(&m, root);
	f->ram_total = m.total;
	f->ram_available = m.available;
	f->ram_cgroup = m.group.limit;
}

/* Is word one of the blank-separated words of line? */
static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = line; (p = strstr(p, word)); p += len)
		if ((p == line || isspace((unsigned char)p[-1])) && (!p[len] || isspace((unsigned char)p[len])))
			return true;
	return false;
}

static void copy_value(const char *text, const char *key, char *ret, size_t cap)
{
	const char *p = strstr(text, key);

	if (!p || !(p = strchr(p, ':')))
		return;
	p += strspn(p, ": \t");
	snprintf(ret, cap, "%.*s", (int)strcspn(p, "\n"), p);
}

static void read_cpu(struct host_facts *f, const char *root, char *text)
{
	char flags[8192] = "";

	if (!host_file_text(root, "/proc/cpuinfo", text, TEXT_BYTES_MAX))
		return;
	copy_value(text, "model name", f->cpu, sizeof f->cpu);
	copy_value(text, "flags", flags, sizeof flags);
	f->avx = has_word(flags, "avx");
	f->avx2 = has_word(flags, "avx2");
	f->f16c = has_word(flags, "f16c");
	f->fma = has_word(flags, "fma");
	f->avx512 = has_word(flags, "avx512f") && has_word(flags, "avx512bw") && has_word(flags, "avx512vl");
	f->avx512_vnni = has_word(flags, "avx512_vnni");
	f->avx512_bf16 = has_word(flags, "avx512_bf16");
	f->amx = has_word(flags, "amx_tile");
}

static void read_cores(struct host_facts *f, const char *root)
{
	struct host_cpus c;

	host_cpus_read(&c, root);
	f->cores_all = c.machine;
	f->cores = c.usable;
}

static uint32_t numa_nodes(const char *root)
{
	char path[512];
	uint32_t n = 0;

	snprintf(path, sizeof path, "%s/sys/devices/system/node", root);
	DIR *dir = opendir(path);
	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += !strncmp(e->d_name, "node", 4) && isdigit((unsigned char)e->d_name[4]);
	closedir(dir);
	return n;
}

static void read_room(const char *root, const char *path, uint64_t *ret_total, uint64_t *ret_free)
{
	char full[512];
	struct statvfs v;

	snprintf(full, sizeof full, "%s%s", root, path);
	if (statvfs(full, &v) < 0)
		return;
	*ret_total = (uint64_t)v.f_blocks * v.f_frsize;
	*ret_free = (uint64_t)v.f_bavail * v.f_frsize;
}

static uint64_t limit_of(__rlimit_resource_t which)
{
	struct rlimit r;

	if (getrlimit(which, &r) < 0)
		return 0;
	return r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)r.rlim_cur;
}

static bool in_container(const char *root)
{
	static const char *const marks[] = {"/.dockerenv", "/run/.containerenv"};
	char full[512], text[4096];

	for (uint32_t i = 0; i < ARRAY_LEN(marks); i++) {
		snprintf(full, sizeof full, "%s%s", root, marks[i]);
		if (access(full, F_OK) == 0)
			return true;
	}
	return host_file_text(root, "/proc/1/cgroup", text, sizeof text) &&
	       (strstr(text, "docker") || strstr(text, "kubepods") || strstr(text, "containerd"));
}

void host_facts_read_at(struct host_facts *ret, const char *root)
{
	struct host_facts f = {0};
	uint64_t total = 0;
	char *text = malloc(TEXT_BYTES_MAX);

	read_memory(&f, root);
	if (text)
		read_cpu(&f, root, text);
	free(text);
	read_cores(&f, root);
	f.numa_nodes = numa_nodes(root);
	read_room(root, "/dev/shm", &f.shm_total, &f.shm_free);
	read_room("", ".", &total, &f.disk_free);
	f.open_files = limit_of(RLIMIT_NOFILE);
	f.locked_memory = limit_of(RLIMIT_MEMLOCK);
	f.processes = limit_of(RLIMIT_NPROC);
	f.container = in_container(root);
	*ret = f;
}

void host_facts_read(struct host_facts *ret)
{
	host_facts_read_at(ret, "");
}
