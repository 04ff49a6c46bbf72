/* process.c - one process over its lives; see process.h. */
#include "launch/process.h"
#include "base/utf8.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a start without a word, a kill without an end ---- */

static uint32_t silence_max_ms(const struct process *p)
{
	return p->start_silence_ms ? p->start_silence_ms : PROCESS_SILENCE_MS;
}

static void watch_in(struct process *p, void (*fn)(void *ctx), uint64_t ms)
{
	p->watch_timer.fn = fn;
	p->watch_timer.ctx = p;
	env_timer_set_in(loop_env(p->loop), &p->watch_timer, ms * 1000);
}

static void on_silence(void *ctx)
{
	struct process *p = ctx;
	uint32_t max = silence_max_ms(p);
	char why[128];

	child_state_text(p->child.pid, why, sizeof why);
	if (!p->silence_told) {
		p->silence_told = true;
		if (p->ops->on_silence)
			p->ops->on_silence(p->ctx, p, max / 4, why);
		watch_in(p, on_silence, max - max / 4);
		return;
	}
	if (!*p->error)
		snprintf(p->error, sizeof p->error, "it said nothing for %.*f s while it started%s%s",
			max < 10000 ? 1 : 0, max / 1000.0, *why ? ": " : "", why);
	process_signal(p, SIGKILL);
}

/* It said something: the time begins anew. */
static void silence_watch(struct process *p)
{
	p->silence_told = false;
	if (!p->is_frontend) /* it waits for the workers, however long they take */
		watch_in(p, on_silence, silence_max_ms(p) / 4);
}

static void process_end(struct process *p, int wait_status);

static void on_kill_late(void *ctx)
{
	struct process *p = ctx;
	char why[128];

	child_state_text(p->child.pid, why, sizeof why);
	if (!*p->error)
		snprintf(p->error, sizeof p->error, "process %d does not end though it was killed%s%s",
			(int)p->child.pid, *why ? ": " : "", why);
	process_end(p, CHILD_LEFT);
}

/* ---- what it says ---- */

static void on_status_line(void *ctx, char *line)
{
	struct process *p = ctx;
	struct status status;

	status_parse(line, &status);
	if (status.kind == STATUS_ERROR)
		snprintf(p->error, sizeof p->error, "%s", utf8_plain((char *)(uintptr_t)status.text));
	if (status.kind == STATUS_READY && p->state == PROCESS_STARTING) {
		p->state = PROCESS_READY;
		p->ever_ready = true;
		env_timer_cancel(loop_env(p->loop), &p->watch_timer);
	}
	if (p->state == PROCESS_STARTING)
		silence_watch(p);
	if (status.kind != STATUS_UNKNOWN)
		p->ops->on_status(p->ctx, p, &status);
}

static void on_log_line(void *ctx, char *line)
{
	struct process *p = ctx;

	tail_add(&p->tail, line);
	p->ops->on_line(p->ctx, p, line);
}

static void log_read(struct process *p, const char *data, size_t len)
{
	log_file_write(&p->log, data, len);
	line_cutter_feed(&p->log_lines, data, len, on_log_line, p);
}

/* Read what is there, at most so many pieces: a process that floods its log must not starve the others. Returns false
 * when the pipe has ended. */
static bool pipe_read(struct process *p, int fd, int pieces)
{
	bool status = fd == p->child.status_fd;
	char data[16 * 1024];

	while (pieces-- > 0) {
		ssize_t n = read(fd, data, sizeof data);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		if (status)
			line_cutter_feed(&p->status_lines, data, (size_t)n, on_status_line, p);
		else
			log_read(p, data, (size_t)n);
	}
	return true;
}

static void pipe_close(struct process *p, int *fd)
{
	if (*fd < 0)
		return;
	loop_unwatch_fd(p->loop, *fd);
	close(*fd);
	*fd = -1;
}

static void on_readable(void *ctx, int fd)
{
	struct process *p = ctx;

	if (!pipe_read(p, fd, 4))
		pipe_close(p, fd == p->child.status_fd ? &p->child.status_fd : &p->child.log_fd);
}

static int pipes_watch(struct process *p, struct err *err)
{
	int r = loop_watch_fd(p->loop, p->child.status_fd, on_readable, p, err);

	return r < 0 ? r : loop_watch_fd(p->loop, p->child.log_fd, on_readable, p, err);
}

void process_start(struct process *p)
{
	struct err err = {0};

	ASSERT(p->state == PROCESS_DOWN && p->child.pid == 0);
	if (p->ops->before_start)
		p->ops->before_start(p->ctx, p);
	p->error[0] = '\0';
	p->killed = false;
	host_oom_read(&p->oom, "");
	p->status_lines.len = p->log_lines.len = 0;
	tail_reset(&p->tail);
	if (child_start(&p->child, &p->spec, &err) < 0) {
		p->child = (struct child){0, -1, -1};
		p->ops->on_start_failed(p->ctx, p, &err);
		return;
	}
	p->state = PROCESS_STARTING;
	p->started_us = env_now_us(loop_env(p->loop));
	if (pipes_watch(p, &err) < 0) {
		/* Without its pipes we would not know how it is: end it; on_exit follows and tells this. */
		snprintf(p->error, sizeof p->error, "%s", err.msg);
		process_signal(p, SIGKILL);
		return;
	}
	silence_watch(p);
}

static void on_restart_timer(void *ctx)
{
	process_start(ctx);
}

void process_start_in(struct process *p, uint32_t wait_ms)
{
	p->restart_timer.fn = on_restart_timer;
	p->restart_timer.ctx = p;
	env_timer_set_in(loop_env(p->loop), &p->restart_timer, wait_ms * 1000ull);
}

void process_signal(struct process *p, int signo)
{
	env_timer_cancel(loop_env(p->loop), &p->restart_timer);
	if (p->child.pid == 0)
		return;
	p->state = PROCESS_STOPPING;
	env_timer_cancel(loop_env(p->loop), &p->watch_timer);
	kill(p->child.pid, signo);
	if (signo != SIGKILL)
		return;
	/* A crash handler may have started a debugger, which holds it. */
	kill(-p->child.pid, SIGKILL);
	p->killed = true;
	watch_in(p, on_kill_late, p->kill_ms ? p->kill_ms : PROCESS_KILL_MS);
}

static void process_end(struct process *p, int wait_status)
{
	enum process_state was = p->state;

	env_timer_cancel(loop_env(p->loop), &p->watch_timer);
	/* What it wrote before it ended is in the pipes. Bounded: somebody else may hold the other end, and write on. */
	if (p->child.status_fd >= 0)
		pipe_read(p, p->child.status_fd, 16);
	if (p->child.log_fd >= 0)
		pipe_read(p, p->child.log_fd, 64);
	line_cutter_finish(&p->status_lines, on_status_line, p);
	line_cutter_finish(&p->log_lines, on_log_line, p);
	pipe_close(p, &p->child.status_fd);
	pipe_close(p, &p->child.log_fd);
	env_timer_cancel(loop_env(p->loop), &p->watch_timer);
	p->child.pid = 0;
	if (p->state == PROCESS_READY && was == PROCESS_STARTING)
		was = PROCESS_READY;
	p->state = PROCESS_DOWN;
	p->ops->on_exit(p->ctx, p, was, wait_status);
}

void process_reap(struct process *p)
{
	int wait_status;

	if (p->child.pid != 0 && child_reap(p->child.pid, &wait_status) == 0)
		process_end(p, wait_status);
}

void process_read_log(struct process *p)
{
	/* An end that is met here is met again by on_readable, which closes the pipe. */
	if (p->child.log_fd >= 0)
		pipe_read(p, p->child.log_fd, 4);
}

void process_forget(struct process *p)
{
	env_timer_cancel(loop_env(p->loop), &p->restart_timer);
	env_timer_cancel(loop_env(p->loop), &p->watch_timer);
	if (p->child.pid == 0)
		return;
	pipe_close(p, &p->child.status_fd);
	pipe_close(p, &p->child.log_fd);
	p->child.pid = 0;
}

bool process_is_alive(const struct process *p)
{
	return p->child.pid != 0 || env_timer_is_set(&p->restart_timer);
}
