/* process.h - one process of the deployment over its lives: start, what it says, its end, the wait before the next start.
 * What to do about an end is the owner's decision.
 *
 * Every wait has an end: one that says nothing for start_silence_ms while it starts is killed, and one that was killed and
 * is not gone after kill_ms (another process traces it, or it hangs in the kernel) is told as ended, with CHILD_LEFT.
 *
 * Thread: the supervisor's loop. Memory: fixed (the last lines and one partial line of each pipe). */
#ifndef STATOR_LAUNCH_PROCESS_H
#define STATOR_LAUNCH_PROCESS_H

#include "host/limits.h"
#include "launch/backoff.h"
#include "launch/child.h"
#include "launch/log_file.h"
#include "launch/status.h"
#include "launch/tail.h"
#include "net/loop.h"

/* CUDA compiles kernels for minutes, in silence, on a card the build did not know. */
enum { PROCESS_SILENCE_MS = 300 * 1000, PROCESS_KILL_MS = 5000 };
enum process_state { PROCESS_DOWN, PROCESS_STARTING, PROCESS_READY, PROCESS_STOPPING };

struct process;
struct process_ops {
	/* It is about to be started (again). May be NULL. */
	void (*before_start)(void *ctx, struct process *p);
	/* It said something; PROCESS_READY has been noted already. */
	void (*on_status)(void *ctx, struct process *p, const struct status *status);
	/* A line of its log. Borrows. */
	void (*on_line)(void *ctx, struct process *p, char *line);
	/* It ended and is reaped, or wait_status is CHILD_LEFT; all its lines were told. was is the state it ended in; p is
	 * PROCESS_DOWN now. */
	void (*on_exit)(void *ctx, struct process *p, enum process_state was, int wait_status);
	/* It starts, and has said nothing for a quarter of the time it may: why, when that can be seen (else ""). May be NULL. */
	void (*on_silence)(void *ctx, struct process *p, uint32_t silent_ms, const char *why);
	/* It could not even be started (again). p is PROCESS_DOWN. */
	void (*on_start_failed)(void *ctx, struct process *p, const struct err *err);
};

struct process {
	const char *name; /* "llama-0"; borrowed, like spec's members */
	struct child_spec spec;
	bool is_frontend;
	uint32_t
		start_silence_ms; /* how long it may say nothing while it starts; 0: PROCESS_SILENCE_MS. Not frontends */
	uint32_t kill_ms; /* from SIGKILL to giving it up; 0: PROCESS_KILL_MS */

	struct loop *loop;
	const struct process_ops *ops;
	void *ctx;
	enum process_state state;
	struct child child; /* pid 0: none */
	uint64_t started_us;
	bool ever_ready;
	bool killed; /* we sent it SIGKILL in this life */
	bool silence_told;
	struct host_oom oom; /* counts at the begin of this life */
	char error[STATUS_LINE_BYTES_MAX]; /* what its "error" line of this life said; "" none */
	struct backoff backoff;
	struct env_timer restart_timer;
	struct env_timer watch_timer; /* of a start without a word, or of a kill without an end */
	struct line_cutter status_lines, log_lines;
	struct tail tail;
	struct log_file log; /* all it logs, over its lives; the owner opens and closes it (fd -1: none) */
};

/* Start it now. A failure is told by on_start_failed, in this call. */
void process_start(struct process *p);
/* Start it after wait_ms. */
void process_start_in(struct process *p, uint32_t wait_ms);
/* Ask it to end (SIGTERM), or end it and all it has started (SIGKILL). Also forgets a planned start. Harmless when it is down. */
void process_signal(struct process *p, int signo);
/* After SIGCHLD: see whether it ended. Calls on_exit then. */
void process_reap(struct process *p);
/* Tell the lines of its log that are there already, instead of in a later turn. */
void process_read_log(struct process *p);
/* The loop ends: close what is open to it, whether it ended or not. */
void process_forget(struct process *p);
/* True when it runs or will be started. */
bool process_is_alive(const struct process *p);

#endif
