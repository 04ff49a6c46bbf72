/* supervisor_priv.h - what supervisor.c (policy) and supervisor_show.c (words) share. */
#ifndef STATOR_LAUNCH_SUPERVISOR_PRIV_H
#define STATOR_LAUNCH_SUPERVISOR_PRIV_H

#include "launch/causes.h"
#include "launch/supervisor.h"

enum phase {
	PHASE_STARTING, /* some process has never been ready */
	PHASE_RUNNING,
	PHASE_DRAINING, /* the frontend finishes its streams */
	PHASE_STOPPING, /* the workers end */
};

struct supervisor {
	const struct supervisor_config *config;
	struct screen screen;
	struct screen_row *rows;
	enum phase phase;
	enum supervisor_end end;
	uint64_t started_us, stop_asked_us;
	struct causes *causes; /* NULL: no memory for it */
	struct env_timer deadline; /* of PHASE_DRAINING and PHASE_STOPPING */
	struct env_timer join_deadline; /* of PHASE_STARTING: all workers are ready, and the frontend is not */
	struct env_timer tend_timer, watchdog_timer;
	bool killing; /* everything was sent SIGKILL */
	bool stop_again; /* a second stop signal came */
};

static inline struct supervised *supervised_of(const struct process *p)
{
	return (struct supervised *)(uintptr_t)CONTAINER_OF(p, struct supervised, process);
}
static inline uint32_t supervisor_index(const struct supervisor *s, const struct process *p)
{
	return (uint32_t)(supervised_of(p) - s->config->processes);
}
static inline struct process *supervisor_process(const struct supervisor *s, uint32_t i)
{
	return &s->config->processes[i].process;
}

/* A process's row has this state and text now. */
void supervisor_show_row(struct supervisor *s, const struct process *p, enum screen_state state, const char *text);
/* A line of its log: on stderr, unless the table is drawn on the same terminal. Changes line. */
void supervisor_show_line(struct supervisor *s, const struct process *p, char *line);
/* It is ready at the address where. */
void supervisor_show_ready(struct supervisor *s, const struct process *p, const char *where);
/* It ended: how, after what time, what comes next, and why, as its log or its last lines have it. */
void supervisor_show_death(
	struct supervisor *s, const struct process *p, const char *how, uint64_t up_us, const char *next);
/* A sentence about the deployment, or about one process of it (p NULL: none). */
void supervisor_show_event(struct supervisor *s, const struct process *p, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
