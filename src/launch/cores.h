/* cores.h - which CPUs this process may use, and how workers share them.
 *
 * A llama worker keeps all its threads busy at once and waits for the slowest at every operation, so two workers on one
 * core cost far more than their share: each gets CPUs of its own. CPUs are handed out in the order of the machine's
 * topology, so the hyperthreads of one core stay with one worker.
 * Thread: pure functions, except cores_available (reads /proc and /sys). */
#ifndef STATOR_LAUNCH_CORES_H
#define STATOR_LAUNCH_CORES_H

#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

enum { CPUS_MAX = 1024 };

struct cores {
	uint16_t cpus[CPUS_MAX]; /* ids, neighbours in the topology stand side by side */
	uint32_t count;
	uint32_t
		quota; /* whole CPUs of time that control groups allow (host/limits.h); 0: no limit. Less than count in many containers */
};

/* CPUs of the affinity mask, ordered by package, core, id, and the cgroup quota. Negative when the mask cannot be read.
 */
int cores_available(struct cores *ret, struct err *err);
/* What one worker gets. */
struct core_share {
	uint32_t first, count; /* cores.cpus[first .. first + count); count 0: not pinned */
	uint32_t threads; /* at least 1 */
};
/* Share of worker i of workers. The remainder goes to the first ones. More workers than CPUs, or a quota below the
 * number of CPUs (which CPUs the time is spent on is then the kernel's choice): not pinned, and at least one thread
 * each. */
struct core_share cores_share(const struct cores *c, uint32_t workers, uint32_t i);
/* Append "0-3,8" for cpus[first .. first + count). */
void cores_print(struct buf *out, const struct cores *c, uint32_t first, uint32_t count);

#endif
