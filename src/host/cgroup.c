/* cgroup.c - from /proc/self/cgroup and /proc/self/mountinfo to the files of a limit, level by level; see cgroup.h. */
#include "host/cgroup.h"

#include "base/compiler.h"
#include "host/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROC_BYTES_MAX = 64 * 1024, STAT_BYTES_MAX = 8 * 1024 };

/* A group's folder, and how much of its path is the mount point: levels end there. */
struct place {
	char dir[CGROUP_PATH_BYTES];
	size_t top;
	bool v1;
};
struct texts {
	char membership[PROC_BYTES_MAX], mounts[PROC_BYTES_MAX];
};

/* Is word one of the comma-separated words of text[0 .. len)? */
static bool has_word(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = text, *end = text + len; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t have = (size_t)((comma ? comma : end) - at);

		if (have == n && memcmp(at, word, n) == 0)
			return true;
		at += have + 1;
	}
	return false;
}

/* The path of "ID:CONTROLLERS:PATH" whose controllers hold controller; NULL: the line of version 2, which has none. */
static bool membership_find(const char *text, const char *controller, char *ret, size_t cap)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		const char *list = memchr(line, ':', len);
		const char *path = list ? memchr(list + 1, ':', len - (size_t)(list + 1 - line)) : NULL;

		if (path) {
			size_t n = (size_t)(path - list - 1);
			if (controller ? has_word(list + 1, n, controller) : n == 0) {
				snprintf(ret, cap, "%.*s", (int)(len - (size_t)(path + 1 - line)), path + 1);
				return true;
			}
		}
		line += len + (line[len] == '\n');
	}
	return false;
}

/* A field of mountinfo, in which blanks and the like are "\040". */
static void unescape(char *ret, size_t cap, const char *field, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < cap; i++) {
		if (field[i] == '\\' && i + 3 < len) {
			ret[n++] = (char)((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0'));
			i += 3;
		} else {
			ret[n++] = field[i];
		}
	}
	ret[n] = '\0';
}

/* "ID PARENT DEV ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER-OPTIONS". */
static bool mount_parse(const char *line, size_t len, const char *controller, char *ret_root, char *ret_point)
{
	const char *field[6], *dash;
	size_t lens[6];
	char type[16];
	int options = 0;

	for (int i = 0; i < 6; i++) {
		field[i] = line;
		lens[i] = strcspn(line, " \n");
		if (line[lens[i]] != ' ')
			return false;
		line += lens[i] + 1;
		len -= MIN(len, lens[i] + 1);
	}
	dash = memmem(line - 1, len + 1, " - ", 3);
	if (!dash || sscanf(dash, " - %15s %*s %n", type, &options) != 1)
		return false;
	if (strcmp(type, controller ? "cgroup" : "cgroup2") != 0)
		return false;
	if (controller && !has_word(dash + options, strcspn(dash + options, "\n"), controller))
		return false;
	unescape(ret_root, CGROUP_PATH_BYTES, field[3], lens[3]);
	unescape(ret_point, CGROUP_PATH_BYTES, field[4], lens[4]);
	return true;
}

/* The first mount of a controller's hierarchy; where none is listed, the place it usually has. */
static void mount_find(const char *text, const char *controller, char *ret_root, char *ret_point)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");

		if (mount_parse(line, len, controller, ret_root, ret_point))
			return;
		line += len + (line[len] == '\n');
	}
	snprintf(ret_root, CGROUP_PATH_BYTES, "/");
	snprintf(ret_point, CGROUP_PATH_BYTES, "/sys/fs/cgroup%s%s", controller ? "/" : "",
		controller ? controller : "");
}

/* The part of a membership's path below the mount's root. A path that is not below it (the mount is of another group, or
 * the process is outside its namespace) cannot be mapped: then the mount itself is all that can be seen. */
static const char *below(const char *path, const char *mount_root)
{
	size_t len = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);

	if (strncmp(path, "/..", 3) == 0 || strncmp(path, mount_root, len) != 0 || (path[len] && path[len] != '/'))
		return "";
	return strcmp(path + len, "/") == 0 ? "" : path + len;
}

bool cgroup_folder(char ret[CGROUP_PATH_BYTES], size_t *ret_top, const char *membership, const char *mountinfo,
	const char *controller)
{
	char path[CGROUP_PATH_BYTES] = "", mount_root[CGROUP_PATH_BYTES], point[CGROUP_PATH_BYTES];

	/* No /proc: look at the usual place all the same. */
	if (*membership && !membership_find(membership, controller, path, sizeof path))
		return false;
	mount_find(mountinfo, controller, mount_root, point);
	*ret_top = strlen(point);
	return snprintf(ret, CGROUP_PATH_BYTES, "%s%s", point, below(path, mount_root)) < CGROUP_PATH_BYTES;
}

/* One level up; false when it was the last. */
static bool place_up(struct place *p)
{
	char *slash = strrchr(p->dir, '/');

	if (strlen(p->dir) <= p->top || !slash)
		return false;
	*slash = '\0';
	return true;
}

static bool place_find(struct place *ret, const char *root, const struct texts *t, const char *controller)
{
	char folder[CGROUP_PATH_BYTES];

	if (!cgroup_folder(folder, &ret->top, t->membership, t->mounts, controller))
		return false;
	ret->v1 = controller != NULL;
	ret->top += strlen(root);
	if (snprintf(ret->dir, sizeof ret->dir, "%s%s", root, folder) >= (int)sizeof ret->dir)
		return false;
	while (access(ret->dir, F_OK) < 0 && place_up(ret))
		;
	return access(ret->dir, F_OK) == 0;
}

/* Call fn for each level of both versions' hierarchies of a controller. */
static void levels(const char *root, const char *controller, void (*fn)(void *ctx, const struct place *at), void *ctx)
{
	const char *const both[] = {NULL, controller};
	struct texts *t = malloc(sizeof *t);

	if (!t)
		return;
	host_file_text(root, "/proc/self/cgroup", t->membership, sizeof t->membership);
	host_file_text(root, "/proc/self/mountinfo", t->mounts, sizeof t->mounts);
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct place at;

		if (!place_find(&at, root, t, both[i]))
			continue;
		do
			fn(ctx, &at);
		while (place_up(&at));
	}
	free(t);
}

/* ---- memory ---- */

/* What a group holds beyond pages of files, which the kernel takes back before it kills. */
static uint64_t memory_held(const struct place *at)
{
	static const char *const keys[2][2] = {
		{"inactive_file ", "active_file "}, {"total_inactive_file ", "total_active_file "}};
	uint64_t used = host_file_number(at->dir, at->v1 ? "/memory.usage_in_bytes" : "/memory.current", 0);
	char text[STAT_BYTES_MAX];

	if (host_file_text(at->dir, "/memory.stat", text, sizeof text))
		for (int i = 0; i < 2; i++)
			used -= MIN(used, host_line_number(text, keys[at->v1][i], 0));
	return used;
}

static void memory_limit(struct cgroup_memory *m, const struct place *at, const char *file)
{
	uint64_t limit = host_file_number(at->dir, file, UINT64_MAX);

	/* Version 1 writes "none" as the largest multiple of a page. */
	if (limit >= 1ull << 62)
		return;
	uint64_t held = memory_held(at);
	m->room = MIN(m->room, limit - MIN(limit, held));
	if (m->limit && m->limit <= limit)
		return;
	m->limit = MAX(limit, 1u); /* a limit of 0 is one */
	snprintf(m->file, sizeof m->file, "%.*s%s", (int)(sizeof m->file - 32), at->dir, file);
}

static void memory_level(void *ctx, const struct place *at)
{
	struct cgroup_memory *m = ctx;
	char text[STAT_BYTES_MAX];

	if (!at->v1) {
		memory_limit(m, at, "/memory.max");
		memory_limit(m, at, "/memory.high"); /* beyond it a process hardly gets on */
		return;
	}
	memory_limit(m, at, "/memory.limit_in_bytes");
	if (!host_file_text(at->dir, "/memory.stat", text, sizeof text))
		return;
	/* The smallest of all levels, also of those above what is mounted here. */
	uint64_t all = host_line_number(text, "hierarchical_memory_limit ", UINT64_MAX);
	if (all >= 1ull << 62 || (m->limit && m->limit <= all))
		return;
	m->limit = MAX(all, 1u);
	m->room = MIN(m->room, all - MIN(all, memory_held(at)));
	snprintf(m->file, sizeof m->file, "%.*s/memory.stat", (int)(sizeof m->file - 32), at->dir);
}

void cgroup_memory_read(struct cgroup_memory *ret, const char *root)
{
	*ret = (struct cgroup_memory){.room = UINT64_MAX};
	levels(root, "memory", memory_level, ret);
}

/* ---- CPU time ---- */

static void cpu_level(void *ctx, const struct place *at)
{
	uint32_t *least = ctx;
	char text[128];
	long long quota = 0, period = 0;

	if (at->v1) {
		quota = (long long)host_file_number(at->dir, "/cpu.cfs_quota_us", 0); /* -1: none */
		period = (long long)host_file_number(at->dir, "/cpu.cfs_period_us", 0);
	} else if (host_file_text(at->dir, "/cpu.max", text, sizeof text)) {
		if (sscanf(text, "%lld %lld", &quota, &period) != 2)
			return; /* "max 100000" */
	}
	if (quota <= 0 || period <= 0)
		return;
	uint64_t milli = (uint64_t)MIN(quota, 1ll << 50) * 1000 / (uint64_t)period;
	milli = MIN(MAX(milli, 1u), (uint64_t)UINT32_MAX);
	*least = *least ? MIN(*least, (uint32_t)milli) : (uint32_t)milli;
}

uint32_t cgroup_cpu_milli(const char *root)
{
	uint32_t least = 0;

	levels(root, "cpu", cpu_level, &least);
	return least;
}

/* ---- processes ---- */

static void pids_level(void *ctx, const struct place *at)
{
	uint64_t *room = ctx, max = host_file_number(at->dir, "/pids.max", UINT64_MAX);

	if (max != UINT64_MAX)
		*room = MIN(*room, max - MIN(max, host_file_number(at->dir, "/pids.current", 0)));
}

uint64_t cgroup_pids_room(const char *root)
{
	uint64_t room = UINT64_MAX;

	levels(root, "pids", pids_level, &room);
	return room;
}

/* ---- the out-of-memory killer ---- */

struct kills {
	uint64_t count;
	bool seen[2]; /* the own group of each version */
};

static void kills_level(void *ctx, const struct place *at)
{
	struct kills *k = ctx;
	char text[STAT_BYTES_MAX];

	if (k->seen[at->v1])
		return;
	k->seen[at->v1] = true;
	if (host_file_text(at->dir, at->v1 ? "/memory.oom_control" : "/memory.events", text, sizeof text))
		k->count += host_line_number(text, "oom_kill ", 0);
}

uint64_t cgroup_oom_kills(const char *root)
{
	struct kills k = {0};

	levels(root, "memory", kills_level, &k);
	return k.count;
}
