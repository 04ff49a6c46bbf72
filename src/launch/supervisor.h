/* supervisor.h - keep a deployment alive: start its processes at once, show their start, restart those that die, drain and
 * stop on request. The process's exit status comes from how it ended.
 *
 * One worker of each kind must generate a token before the deployment is ready. Where memory is not certain to suffice the
 * others start only then, in steps: what cannot run fails once, with one cause, and not in all workers at once.
 *
 * The first SIGINT, SIGTERM or SIGHUP drains: the frontend accepts no more and lets streams finish within its drain time,
 * then the workers stop. The second one kills everything at once; a third leaves what does not end. Stopping takes a
 * bounded time whatever the processes do: one that does not end though it was killed (a debugger holds it, or the kernel)
 * is named and left behind.
 *
 * While the deployment starts, a process that says "error", ends twice in the same way, or three times in any, ends the
 * deployment: starting it again would not help. So does one that says nothing for long (launch/process.h), and a frontend
 * that is not ready some time after all workers are. Later deaths are repaired for ever, with back-off.
 *
 * Thread: the loop's. Memory: as given by the caller, fixed. */
#ifndef STATOR_LAUNCH_SUPERVISOR_H
#define STATOR_LAUNCH_SUPERVISOR_H

#include "launch/notify.h"
#include "launch/process.h"
#include "launch/screen.h"

enum {
	SUPERVISOR_START_TRIES = 3, /* ends while the deployment starts, before it gives up */
	SUPERVISOR_SAME_TRIES = 2, /* the same, of one process in the same way: "exit status 1", or the same error */
	SUPERVISOR_TEND_MS = 2000,
	SUPERVISOR_QUIET_MS = 2000, /* of a start, before its progress is worth lines that stay */
	SUPERVISOR_JOIN_MS = 60 * 1000, /* from the last worker that is ready to a ready frontend */
	SUPERVISOR_ONE_WISH_MS =
		50, /* signals this close are one wish: timeout(1) signals a process and then its group */
	SUPERVISOR_STOP_MS = 5000, /* from SIGTERM to SIGKILL for a worker; above the drain time for the frontend */
};

struct proof;
struct supervisor;

/* One process of the deployment. The caller fills name and facts; the rest is the supervisor's. */
struct supervised {
	struct process process; /* name, spec and is_frontend are the caller's too */
	char facts[SCREEN_TEXT_BYTES]; /* what the table says of it when it is ready */
	/* Workers: which kind of worker it is (its service); the first of each kind generates a token before all is ready. */
	uint32_t kind;
	bool prove; /* it is the first of its kind */
	bool later; /* start it when the first of each kind is proven, in steps of twice as many; else at once */

	char info[SCREEN_TEXT_BYTES]; /* what it said of itself (from here on the supervisor's) */
	bool proven, failed; /* failed: it does not start, and the deployment goes on without it */
	bool begun; /* its first start was tried */
	uint32_t start_ends, same_ends; /* while the deployment starts: how often it ended; in a row as the last time */
	char last_end[128];
	char note[768]; /* on its last end: of the out-of-memory killer; "" nothing */
	struct proof *proof;
	struct supervisor *supervisor;
};

struct supervisor_config {
	struct loop *loop; /* without pools: the only thread */
	struct supervised *processes; /* borrowed; the frontend is one of them */
	uint32_t count;
	uint32_t drain_ms; /* what the frontend was told */
	uint32_t stop_ms; /* 0: SUPERVISOR_STOP_MS; tests are less patient */
	uint32_t quiet_ms; /* 0: SUPERVISOR_QUIET_MS */
	uint32_t join_ms; /* 0: SUPERVISOR_JOIN_MS */
	uint32_t one_wish_ms; /* a stop signal this close to the one before is the same wish (SUPERVISOR_ONE_WISH_MS) */
	const struct notify *notify; /* the service manager, told of start, readiness, stop and life; NULL: none */
	const char *log_dir; /* where each process's log is kept, NAME.log; NULL: nowhere */
	bool keep_going; /* a worker that cannot start is left out, as long as another came up */
	bool quiet; /* do not pass the processes' log lines on */
	bool json; /* events as log lines in JSON, no table */
	int fd; /* where the table goes; log lines go to stderr */
	bool live, color; /* fd is a terminal; it understands colours */
	uint32_t columns;
	/* Every process has been ready once. Called once. May be NULL. */
	void (*on_ready)(void *ctx, struct screen *screen, uint64_t took_us);
	/* It is about to drain: let go of listening sockets that others share. Called once. May be NULL. */
	void (*on_drain)(void *ctx);
	/* The frontends have ended: let go of listening sockets, so that new clients are refused instead of waiting in a queue
	 * that is not served any more. Called once, unless everything is killed. May be NULL. */
	void (*on_unserved)(void *ctx);
	/* Look whether what the processes need is still there, and put it back: before each start, and every
	 * SUPERVISOR_TEND_MS. May be NULL. */
	void (*tend)(void *ctx, struct screen *screen);
	void *ctx;
};
enum supervisor_end { SUPERVISOR_STOPPED, SUPERVISOR_FAILED, SUPERVISOR_KILLED };

/* Run until everything has stopped; no child is left then, but those that cannot be ended. SUPERVISOR_STOPPED: asked to,
 * and drained; _FAILED: it could not start, or left a process behind, explained already; _KILLED: by a second signal. Negative with err: the loop could not be prepared. */
int supervisor_run(const struct supervisor_config *config, struct err *err);

#endif
