/* child.c - fork, tie, redirect, exec; see child.h. Between fork and exec only async-signal-safe calls are made. */
#include "launch/child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FD_SAFE_MIN = 10 }; /* above the numbers a child's fds are moved to */

struct pipes {
	int status[2], log[2];
};

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void pipes_close(struct pipes *p)
{
	for (int i = 0; i < 2; i++) {
		fd_close(&p->status[i]);
		fd_close(&p->log[i]);
	}
}

static int pipes_open(struct pipes *p, struct err *err)
{
	*p = (struct pipes){{-1, -1}, {-1, -1}};
	if (pipe2(p->status, O_CLOEXEC) < 0 || pipe2(p->log, O_CLOEXEC) < 0) {
		int code = -errno;

		pipes_close(p);
		return err_set_errno(err, code, "could not make a pipe");
	}
	fcntl(p->status[0], F_SETFL, O_NONBLOCK);
	fcntl(p->log[0], F_SETFL, O_NONBLOCK);
	return 0;
}

/* Child side. Tell why through the status pipe (the original one: the move may not have happened yet). */
NORETURN static void child_fail(int status_fd, const char *what)
{
	char line[256];
	int len = snprintf(line, sizeof line, "error could not start the process: %s: %s\n", what, strerror(errno));

	if (write(status_fd, line, (size_t)MIN(len, (int)sizeof line - 1)) < 0)
		_exit(126);
	_exit(127);
}

/* Die with the parent. When it died before prctl took effect nobody will tell us, so look. */
static void tie_to_parent(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
}

/* The parent may ignore or block signals that the child's own code counts on. */
static void signals_reset(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Move fds to their numbers. First above all of them, so that no move overwrites what is still to be moved. */
static bool fds_place(int status_fd, int log_fd, int listen_fd)
{
	int zero = open("/dev/null", O_RDONLY);
	int high_status = fcntl(status_fd, F_DUPFD_CLOEXEC, FD_SAFE_MIN);
	int high_log = fcntl(log_fd, F_DUPFD_CLOEXEC, FD_SAFE_MIN);
	int high_listen = listen_fd < 0 ? -1 : fcntl(listen_fd, F_DUPFD_CLOEXEC, FD_SAFE_MIN);

	if (zero < 0 || high_status < 0 || high_log < 0 || (listen_fd >= 0 && high_listen < 0))
		return false;
	if (dup2(zero, 0) < 0 || dup2(high_log, 1) < 0 || dup2(high_log, 2) < 0)
		return false;
	if (dup2(high_status, CHILD_STATUS_FD) < 0)
		return false;
	return high_listen < 0 || dup2(high_listen, CHILD_LISTEN_FD) >= 0;
}

static void cpus_set(const struct child_spec *spec)
{
	cpu_set_t set;

	if (spec->cpus_len == 0)
		return;
	CPU_ZERO(&set);
	for (uint32_t i = 0; i < spec->cpus_len; i++)
		CPU_SET(spec->cpus[i], &set);
	/* A CPU may have gone off line since we looked: slower, but no reason to fail. */
	sched_setaffinity(0, sizeof set, &set);
}

NORETURN static void child_become(
	const struct child_spec *spec, pid_t parent, const struct pipes *p, char *const *environment)
{
	tie_to_parent(parent);
	setpgid(0, 0); /* Ctrl-C is the supervisor's to hear */
	signals_reset();
	cpus_set(spec);
	if (!fds_place(p->status[1], p->log[1], spec->listen_fd))
		child_fail(p->status[1], "no file descriptor");
	/* Fds that our own parent left open to us are none of the child's business. */
	close_range(spec->listen_fd < 0 ? CHILD_LISTEN_FD : CHILD_LISTEN_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	execve("/proc/self/exe", (char *const *)spec->argv, environment);
	child_fail(CHILD_STATUS_FD, "exec");
}

/* Our environment and envs behind it; of equal names the last one counts, so ours is skipped. Owned array of borrowed
 * strings. */
static char **environment_make(const char *const *envs)
{
	size_t ours = 0, added = 0, n = 0;

	while (environ && environ[ours])
		ours++;
	while (envs && envs[added])
		added++;
	char **ret = calloc(ours + added + 1, sizeof *ret);
	for (size_t i = 0; ret && i < ours; i++) {
		bool replaced = false;

		for (size_t k = 0; k < added && !replaced; k++) {
			size_t name = strcspn(envs[k], "=") + 1;
			replaced = strncmp(environ[i], envs[k], name) == 0;
		}
		if (!replaced)
			ret[n++] = environ[i];
	}
	for (size_t k = 0; ret && k < added; k++)
		ret[n++] = (char *)(uintptr_t)envs[k];
	return ret;
}

int child_start(struct child *ret, const struct child_spec *spec, struct err *err)
{
	CLEANUP(free_p) char **environment = environment_make(spec->envs);
	struct pipes p;
	pid_t parent = getpid();
	int r;

	if (!environment)
		return err_set(err, -ENOMEM, "out of memory");
	if ((r = pipes_open(&p, err)) < 0)
		return r;
	pid_t pid = fork();
	if (pid < 0) {
		r = err_set_errno(err, -errno, "could not make a process");
		pipes_close(&p);
		return r;
	}
	if (pid == 0)
		child_become(spec, parent, &p, environment);
	/* The child does the same: whoever comes first, its group is there before we may have to end it. */
	setpgid(pid, pid);
	*ret = (struct child){.pid = pid, .status_fd = p.status[0], .log_fd = p.log[0]};
	p.status[0] = p.log[0] = -1;
	pipes_close(&p);
	return 0;
}

int child_reap(pid_t pid, int *ret_status)
{
	siginfo_t info = {0};

	/* Look first: until it is reaped its number, and so its group's, is nobody else's. */
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != pid)
		return -EAGAIN;
	kill(-pid, SIGKILL); /* what it started and left behind */
	return waitpid(pid, ret_status, 0) == pid ? 0 : -EAGAIN;
}

/* The rest of the line "KEY:\tVALUE" of /proc/PID/status. */
static bool status_value(const char *text, const char *key, char *ret, size_t cap)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (strncmp(line, key, len) == 0 && line[len] == ':') {
			line += len + 1;
			line += strspn(line, " \t");
			snprintf(ret, cap, "%.*s", (int)strcspn(line, "\n"), line);
			return true;
		}
	return false;
}

const char *child_state_text(pid_t pid, char *ret, size_t cap)
{
	char path[64], text[4096], state[64] = "", tracer[16] = "0";
	size_t len = 0;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	len = n > 0 ? (size_t)n : 0;
	text[len] = '\0';
	status_value(text, "State", state, sizeof state);
	status_value(text, "TracerPid", tracer, sizeof tracer);
	if (strcmp(tracer, "0") != 0)
		snprintf(ret, cap, "process %s is tracing it, as a debugger does", tracer);
	else if (*state == 'D')
		snprintf(ret, cap, "it waits in the kernel for a disk, a network file system or a device");
	else if (*state == 'T')
		snprintf(ret, cap, "it is stopped (SIGSTOP)");
	else
		*ret = '\0';
	return ret;
}

const char *child_end_text(int wait_status, char *ret, size_t cap)
{
	if (wait_status == CHILD_LEFT)
		snprintf(ret, cap, "could not be ended");
	else if (WIFSIGNALED(wait_status))
		snprintf(ret, cap, "killed by signal %d (%s)%s", WTERMSIG(wait_status),
			strsignal(WTERMSIG(wait_status)), WCOREDUMP(wait_status) ? ", core dumped" : "");
	else
		snprintf(ret, cap, "exit status %d", WEXITSTATUS(wait_status));
	return ret;
}
