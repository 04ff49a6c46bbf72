/* child.h - start one process of our own program, tied to us: it dies when we die, never sees the terminal's Ctrl-C,
 * and talks through two pipes.
 *
 * In the child: fd 0 is /dev/null, 1 and 2 are the log pipe, CHILD_STATUS_FD the status pipe (launch/status.h), and
 * CHILD_LISTEN_FD a listening socket when one is passed. All other fds are closed by exec. It has its own process group.
 *
 * Thread: the supervisor's only thread. The tie to us is kept by the kernel per thread: the child gets SIGKILL when the
 * thread that started it ends. */
#ifndef STATOR_LAUNCH_CHILD_H
#define STATOR_LAUNCH_CHILD_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CHILD_STATUS_FD = 3, CHILD_LISTEN_FD = 4 };

struct child_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is what ps shows, the program is always our own */
	const char *const *envs; /* NULL-terminated "NAME=value", added to our environment; NULL: none */
	const uint16_t *cpus; /* where its threads may run; cpus_len 0: anywhere we may */
	uint32_t cpus_len;
	int listen_fd; /* passed as CHILD_LISTEN_FD; -1: none */
};
struct child {
	pid_t pid;
	int status_fd, log_fd; /* ours to close; non-blocking */
};

/* Start it. Borrows spec. An exec that fails shows as "error ..." on the status pipe and exit status 127. */
int child_start(struct child *ret, const struct child_spec *spec, struct err *err);
/* Has it ended? Then what it had started is ended too (its process group), and it is reaped: 0. -EAGAIN: not yet. */
int child_reap(pid_t pid, int *ret_status);
/* What keeps a process from going on, from /proc: "it is stopped (SIGSTOP)", "process 12 is tracing it, as a debugger does",
 * "it waits in the kernel for a disk, ..."; "" nothing that can be seen. Returns ret. */
const char *child_state_text(pid_t pid, char *ret, size_t cap);

/* In place of a status of waitpid: it was killed, and did not end (traced by another, or inside the kernel). */
enum { CHILD_LEFT = -1 };
/* "exit status 1", "killed by signal 9 (Killed)" for a status of waitpid. Returns ret. */
const char *child_end_text(int wait_status, char *ret, size_t cap);

#endif
