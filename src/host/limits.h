/* limits.h - what this process may use of its machine: the one rule for planner, launcher, engine, doctor and workers.
 *
 *   memory   the machine's, or the control groups' limit where that is less (host/cgroup.h)
 *   CPUs     those of the affinity mask (which holds cpusets), and no more than the CPU time of the control groups pays for,
 *            rounded down, at least one: what a quota leaves beyond whole CPUs goes to frontend and supervisor, and more
 *            compute threads than that would all be stopped in every period
 * root as in host/cgroup.h. Thread: any. No memory is kept. */
#ifndef STATOR_HOST_LIMITS_H
#define STATOR_HOST_LIMITS_H

#include "host/cgroup.h"

#ifdef __cplusplus
extern "C" {
#endif

struct host_memory {
	uint64_t machine; /* bytes of RAM; 0: not known */
	uint64_t total; /* what we may use of it at most */
	uint64_t available; /* what we may use of it now */
	struct cgroup_memory group; /* its limit is 0 when it is not less than the machine's memory */
};
void host_memory_read(struct host_memory *ret, const char *root);

struct host_cpus {
	uint32_t machine; /* that are on line */
	uint32_t allowed; /* of the affinity mask */
	uint32_t quota_milli; /* CPU time, thousandths of a CPU; 0: no limit */
	uint32_t quota; /* whole CPUs of it, at least 1; 0: no limit, or not less than allowed */
	uint32_t usable; /* how many threads may compute at once; at least 1 */
};
void host_cpus_read(struct host_cpus *ret, const char *root);

/* How often the out-of-memory killer struck: in our own control group, and on the whole machine. */
struct host_oom {
	uint64_t group, machine;
};
void host_oom_read(struct host_oom *ret, const char *root);
/* A sentence part on a process that was killed by SIGKILL, which we did not send, from the counts before and now: "the
 * kernel's out-of-memory killer did it: its control group may use 300 MiB (/sys/fs/cgroup/x/memory.max)", or that it is
 * likely and where to look. Returns ret. */
const char *host_oom_text(const struct host_oom *before, const char *root, char *ret, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
