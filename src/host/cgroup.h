/* cgroup.h - the limits that control groups set for this process: memory, CPU time, number of processes.
 *
 * A limit may stand at any level from the process's own group up to the root of what is mounted: systemd's MemoryMax= and a
 * batch system's limits are levels below the root, a container's is its root. Version 1, version 2 and both side by side
 * (hybrid) are read, also where the mounted tree begins at the container's group, with and without a cgroup namespace, and
 * where no mount is listed. What is above the mount cannot be seen, but for version 1's hierarchical_memory_limit.
 * Limits of CPUs by number (cpuset) are in the affinity mask already, so nothing here reads them.
 *
 * Sources: cgroups(7), proc_pid_mountinfo(5), the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
 * root is put before every path: "" for the real files, a folder with copies of them in tests.
 * Thread: any. Memory: none kept; 20 KiB of stack. Cost: a few small files a level. */
#ifndef STATOR_HOST_CGROUP_H
#define STATOR_HOST_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CGROUP_PATH_BYTES = 1024 };

struct cgroup_memory {
	uint64_t limit; /* bytes, the smallest of memory.max, memory.high and version 1's on the way; 0: none */
	uint64_t room; /* bytes that may still be taken at the level where that is least, page cache counted as free */
	char file[CGROUP_PATH_BYTES]; /* the file that limit is from */
};
void cgroup_memory_read(struct cgroup_memory *ret, const char *root);
/* CPU time, in thousandths of a CPU: the smallest quota on the way; 0: none. */
uint32_t cgroup_cpu_milli(const char *root);
/* Processes and threads that may still be started; UINT64_MAX: no limit. */
uint64_t cgroup_pids_room(const char *root);
/* Processes of this process's own group that the out-of-memory killer has ended; 0: none, or not counted here. */
uint64_t cgroup_oom_kills(const char *root);

/* The folder of a group, from the texts of /proc/PID/cgroup and /proc/PID/mountinfo; controller NULL: version 2. Pure. ret_top is
 * the length of its mount point, where the levels end. False: the process is in no group of that controller. */
bool cgroup_folder(char ret[CGROUP_PATH_BYTES], size_t *ret_top, const char *membership, const char *mountinfo,
	const char *controller);

#ifdef __cplusplus
}
#endif
#endif
