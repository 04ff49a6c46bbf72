/* supervisor.c - what to do about the processes of a deployment; see supervisor.h. */
#include "launch/supervisor.h"
#include "base/log.h"
#include "launch/causes.h"
#include "launch/proof.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
};

static uint32_t index_of(const struct supervisor *s, const struct process *p)
{
	const struct supervised *at = CONTAINER_OF(p, struct supervised, process);

	return (uint32_t)(at - s->config->processes);
}

static struct process *process_at(const struct supervisor *s, uint32_t i)
{
	return &s->config->processes[i].process;
}

/* Speaking. */

static void row_show(struct supervisor *s, const struct process *p, enum screen_state state, const char *text)
{
	struct screen_row *row = &s->rows[index_of(s, p)];

	row->state = state;
	snprintf(row->text, sizeof row->text, "%s", text);
	screen_clean(row->text);
	if (!s->config->json)
		screen_changed(&s->screen, index_of(s, p));
}

/* A line of a process's log, on stderr unless the table is drawn on the same terminal. */
static void log_line_show(struct supervisor *s, const struct process *p, char *line)
{
	if (s->config->json) {
		fprintf(stderr, "%s\n", line); /* it is JSON of its own, and names its worker */
	} else if (s->screen.live && isatty(STDERR_FILENO)) {
		screen_line(&s->screen, "%*s | %s", (int)s->screen.name_width, p->name, screen_clean(line));
	} else {
		fprintf(stderr, "%*s | %s\n", (int)s->screen.name_width, p->name, screen_clean(line));
	}
}

static void tail_show(struct supervisor *s, const struct process *p)
{
	for (uint32_t i = 0; i < p->tail.count; i++) {
		char line[TAIL_LINE_BYTES];

		snprintf(line, sizeof line, "%s", tail_line(&p->tail, i));
		if (s->config->json)
			log_info("last line", LOG_F("process", log_str(p->name)), LOG_F("line", log_str(line)));
		else
			screen_line(&s->screen, "    | %s", screen_clean(line));
	}
}

/* Why, when its log says so: then that is shown instead of its last lines. */
static bool cause_show(struct supervisor *s, const struct process *p)
{
	const struct finding *f = causes_find(s->causes, index_of(s, p));

	if (!f)
		return false;
	if (s->config->json) {
		log_error("root cause", LOG_F("process", log_str(p->name)),
			LOG_F("class", log_str(finding_class_name(f->kind))), LOG_F("cause", log_str(f->what)),
			LOG_F("remedy", log_str(f->remedy)));
		return true;
	}
	screen_line(&s->screen, "    | %s", f->evidence ? f->evidence : "");
	screen_line(&s->screen, "  root cause (%s): %s", finding_class_name(f->kind), f->what);
	if (f->remedy)
		screen_line(&s->screen, "  remedy: %s", f->remedy);
	return true;
}

static void death_show(struct supervisor *s, const struct process *p, const char *how, uint64_t up_us, const char *next)
{
	bool known = causes_find(s->causes, index_of(s, p)) != NULL;
	char note[TAIL_LINE_BYTES];
	int len = snprintf(note, sizeof note, "stator: %s%s%s; %s\n", p->error, *p->error ? "; " : "", how, next);

	/* For who reads its log later. */
	log_file_write(&s->config->processes[index_of(s, p)].process.log, note, MIN((size_t)len, sizeof note - 1));
	const char *lines = known ? "; its log says why:" : p->tail.count > 0 ? "; its last lines:" : NULL;

	if (s->config->json)
		log_error("process died", LOG_F("process", log_str(p->name)), LOG_F("how", log_str(how)),
			LOG_F("error", log_str(p->error)), LOG_F("up_us", log_u64(up_us)),
			LOG_F("next", log_str(next)));
	else if (*p->error)
		screen_line(&s->screen, "%s%s: %s (%s after %.1f s); %s%s", p->is_frontend ? "the " : "worker ",
			p->name, p->error, how, (double)up_us / 1e6, next, lines ? lines : "");
	else
		screen_line(&s->screen, "%s%s died after %.1f s: %s; %s%s", p->is_frontend ? "the " : "worker ",
			p->name, (double)up_us / 1e6, how, next, lines ? lines : "; it had logged nothing");
	if (!cause_show(s, p))
		tail_show(s, p);
}

static void event_show(struct supervisor *s, const char *text)
{
	if (s->config->json)
		log_info("deployment", LOG_F("state", log_str(text)));
	else
		screen_line(&s->screen, "%s", text);
}

/* Stopping. */

static bool any_alive(const struct supervisor *s)
{
	for (uint32_t i = 0; i < s->config->count; i++)
		if (process_is_alive(process_at(s, i)))
			return true;
	return false;
}

/* Signal the frontends or the workers. A process that still starts has nothing to finish and may be deep in loading a
 * model, deaf to a polite request. */
static uint32_t signal_some(struct supervisor *s, bool frontends, int signo)
{
	uint32_t alive = 0;

	for (uint32_t i = 0; i < s->config->count; i++) {
		struct process *p = process_at(s, i);

		if (p->is_frontend != frontends)
			continue;
		process_signal(p, p->state == PROCESS_STARTING && !frontends ? SIGKILL : signo);
		alive += process_is_alive(p);
	}
	return alive;
}

static void stop_if_done(struct supervisor *s)
{
	if (s->phase >= PHASE_DRAINING && !any_alive(s))
		loop_stop(s->config->loop);
}

static void kill_all(struct supervisor *s)
{
	s->phase = PHASE_STOPPING;
	signal_some(s, true, SIGKILL);
	signal_some(s, false, SIGKILL);
	stop_if_done(s);
}

static void on_deadline(void *ctx);

static void deadline_set(struct supervisor *s, uint64_t in_ms)
{
	s->deadline.fn = on_deadline;
	s->deadline.ctx = s;
	env_timer_set_in(loop_env(s->config->loop), &s->deadline, in_ms * 1000);
}

static void workers_stop(struct supervisor *s)
{
	s->phase = PHASE_STOPPING;
	signal_some(s, false, SIGTERM);
	deadline_set(s, SUPERVISOR_STOP_MS);
	stop_if_done(s);
}

static void on_deadline(void *ctx)
{
	struct supervisor *s = ctx;

	if (s->phase == PHASE_DRAINING) {
		event_show(s, "the frontend did not end within its drain time; it is killed");
		signal_some(s, true, SIGKILL);
	} else {
		event_show(s, "not every worker ended in time; the rest is killed");
		kill_all(s);
	}
}

static void drain(struct supervisor *s)
{
	s->phase = PHASE_DRAINING;
	if (s->config->on_drain)
		s->config->on_drain(s->config->ctx);
	if (signal_some(s, true, SIGTERM) == 0)
		workers_stop(s);
	else
		deadline_set(s, s->config->drain_ms + SUPERVISOR_STOP_MS);
}

static void give_up(struct supervisor *s)
{
	if (s->phase >= PHASE_DRAINING)
		return;
	s->end = SUPERVISOR_FAILED;
	kill_all(s);
}

static void on_stop_signal(void *ctx, int signo)
{
	struct supervisor *s = ctx;
	uint64_t now_us = env_now_us(loop_env(s->config->loop));
	(void)signo;

	if (s->phase >= PHASE_DRAINING && now_us - s->stop_asked_us < s->config->one_wish_ms * 1000ull)
		return;
	if (s->phase >= PHASE_DRAINING) {
		s->end = s->end == SUPERVISOR_FAILED ? s->end : SUPERVISOR_KILLED;
		event_show(s, "stopping at once");
		kill_all(s);
		return;
	}
	bool was_running = s->phase == PHASE_RUNNING;
	s->stop_asked_us = now_us;
	screen_close(&s->screen);
	event_show(s, was_running ? "draining: running streams may finish; Ctrl-C again stops at once" : "stopping");
	drain(s);
}

/* Starting and restarting. */

static const struct process_ops process_ops;

static bool is_settled(const struct supervised *w)
{
	return w->failed || (w->process.ever_ready && (!w->prove || w->proven));
}

static void ready_check(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->config->count; i++)
		if (!is_settled(&s->config->processes[i]))
			return;
	/* What was logged before all was ready belongs to the start, though the pipes are read in any order. */
	for (uint32_t i = 0; i < s->config->count; i++)
		process_read_log(process_at(s, i));
	s->phase = PHASE_RUNNING;
	screen_close(&s->screen);
	if (s->config->on_ready)
		s->config->on_ready(s->config->ctx, &s->screen, env_now_us(loop_env(s->config->loop)) - s->started_us);
}

static void begin(struct supervised *w)
{
	w->begun = true;
	process_start(&w->process);
}

/* Start what waits for others: nothing while one that began is not settled, and then as many as have settled so far. */
static void next_step(struct supervisor *s)
{
	uint32_t settled = 0;

	for (uint32_t i = 0; i < s->config->count; i++) {
		const struct supervised *w = &s->config->processes[i];

		/* The frontend waits for the workers. */
		if (w->process.is_frontend)
			continue;
		if (w->begun && !is_settled(w))
			return;
		settled += w->begun;
	}
	for (uint32_t i = 0; i < s->config->count && settled > 0 && s->phase == PHASE_STARTING; i++) {
		if (s->config->processes[i].begun)
			continue;
		begin(&s->config->processes[i]);
		settled--;
	}
}

/* Proofs. */

static void proof_stop(struct supervised *w)
{
	proof_destroy(w->proof);
	w->proof = NULL;
}

static void on_proof(void *ctx, const char *why)
{
	struct supervised *w = ctx;
	struct supervisor *s = w->supervisor;

	/* It would fail every request. on_exit follows, and tells this. The words are the proof's own: they go with it. */
	if (why)
		snprintf(
			w->process.error, sizeof w->process.error, "it is ready, and cannot generate a token: %s", why);
	w->proven = !why;
	proof_stop(w);
	if (s->phase != PHASE_STARTING)
		return;
	if (w->proven) {
		next_step(s);
		ready_check(s);
	} else {
		process_signal(&w->process, SIGKILL);
	}
}

static void proof_begin(struct supervisor *s, struct supervised *w, const char *where)
{
	struct err err;

	if (!w->prove || w->proven || w->proof || s->phase != PHASE_STARTING)
		return;
	if (proof_start(&w->proof, loop_env(s->config->loop), where, 0, on_proof, w, &err) < 0)
		on_proof(w, err.msg);
}

static void ready_show(struct supervisor *s, struct process *p, const char *where)
{
	const struct supervised *of = CONTAINER_OF(p, struct supervised, process);
	char text[sizeof of->info + sizeof of->facts + 4];

	if (s->config->json)
		log_info("process ready", LOG_F("process", log_str(p->name)), LOG_F("addr", log_str(where)),
			LOG_F("info", log_str(of->info)));
	snprintf(text, sizeof text, "%s%s%s", of->info, *of->info && *of->facts ? "; " : "", of->facts);
	row_show(s, p, SCREEN_READY, text);
}

static void on_status(void *ctx, struct process *p, const struct status *status)
{
	struct supervisor *s = ctx;
	struct screen_row *row = &s->rows[index_of(s, p)];

	switch (status->kind) {
	case STATUS_PROGRESS:
		if (p->state != PROCESS_STARTING)
			return;
		row->progress = status->progress;
		row_show(s, p, SCREEN_PROGRESS, status->text);
		return;
	case STATUS_INFO:
		snprintf(CONTAINER_OF(p, struct supervised, process)->info, SCREEN_TEXT_BYTES, "%s", status->text);
		return; /* shown with "ready", which is not far */
	case STATUS_READY:
		ready_show(s, p, status->text);
		proof_begin(s, CONTAINER_OF(p, struct supervised, process), status->text);
		if (s->phase == PHASE_STARTING) {
			next_step(s);
			ready_check(s);
		}
		return;
	case STATUS_ERROR:
	case STATUS_UNKNOWN:
		return; /* an error is told when the process has ended, with its last lines */
	}
}

static void on_line(void *ctx, struct process *p, char *line)
{
	struct supervisor *s = ctx;

	causes_line(s->causes, index_of(s, p), p->name, line);
	/* While the deployment starts and stops we tell what information lines do, and better. */
	if (!s->config->quiet && (s->phase == PHASE_RUNNING || s->config->json || !causes_is_chatter(line)))
		log_line_show(s, p, line);
}

/* Those that wait for the first of their kind would fail as it did. */
static void leave_out_followers(struct supervisor *s, const struct supervised *first)
{
	char text[SCREEN_TEXT_BYTES];

	snprintf(text, sizeof text, "not started, since %s could not", first->process.name);
	for (uint32_t i = 0; i < s->config->count && first->prove && s->config->keep_going; i++) {
		struct supervised *w = &s->config->processes[i];

		if (w->begun || w->kind != first->kind)
			continue;
		w->begun = w->failed = true;
		row_show(s, &w->process, SCREEN_FAILED, text);
	}
}

/* A worker that cannot start: the end of it all, unless others are to serve without it. */
static void leave_out(struct supervisor *s, struct process *p, const char *how, uint64_t up_us)
{
	uint32_t left = 0;

	row_show(s, p, SCREEN_FAILED, how);
	CONTAINER_OF(p, struct supervised, process)->failed = true;
	leave_out_followers(s, CONTAINER_OF(p, struct supervised, process));
	for (uint32_t i = 0; i < s->config->count; i++)
		left += !process_at(s, i)->is_frontend && !s->config->processes[i].failed;
	if (s->config->keep_going && !p->is_frontend && left > 0) {
		death_show(s, p, how, up_us, "the deployment goes on without it");
		next_step(s);
		ready_check(s);
		return;
	}
	screen_close(&s->screen);
	death_show(s, p, how, up_us, "the deployment cannot start");
	give_up(s);
}

static void restart(struct supervisor *s, struct process *p, const char *how)
{
	uint64_t up_us = env_now_us(loop_env(s->config->loop)) - p->started_us;
	uint32_t wait_ms = backoff_next_ms(&p->backoff, up_us / 1000);
	char next[64];

	if (s->phase == PHASE_STARTING && (*p->error || p->backoff.deaths >= SUPERVISOR_START_TRIES)) {
		leave_out(s, p, how, up_us);
		return;
	}
	snprintf(next, sizeof next, "starting it again in %.1f s", wait_ms / 1000.0);
	row_show(s, p, SCREEN_WAITING, how);
	death_show(s, p, how, up_us, next);
	causes_reset(s->causes, index_of(s, p));
	process_start_in(p, wait_ms);
}

static void on_exit_(void *ctx, struct process *p, enum process_state was, int wait_status)
{
	struct supervisor *s = ctx;
	char how[128];

	proof_stop(CONTAINER_OF(p, struct supervised, process));
	child_end_text(wait_status, how, sizeof how);
	if (s->phase < PHASE_DRAINING) {
		restart(s, p, how);
		return;
	}
	if (was != PROCESS_STOPPING && s->end == SUPERVISOR_STOPPED && !s->config->json)
		screen_line(&s->screen, "%s: %s while stopping", p->name, how);
	s->rows[index_of(s, p)].state = SCREEN_STOPPED;
	if (s->phase == PHASE_DRAINING && p->is_frontend)
		workers_stop(s);
	else
		stop_if_done(s);
}

static void on_start_failed(void *ctx, struct process *p, const struct err *err)
{
	struct supervisor *s = ctx;

	/* No room for a process or a pipe: that may pass, so it counts as a death without a last word. */
	snprintf(p->error, sizeof p->error, "%s", err->msg);
	p->started_us = env_now_us(loop_env(s->config->loop));
	if (s->phase < PHASE_DRAINING)
		restart(s, p, "not started");
	else
		stop_if_done(s);
}

static const struct process_ops process_ops = {
	.on_status = on_status,
	.on_line = on_line,
	.on_exit = on_exit_,
	.on_start_failed = on_start_failed,
};

static void on_sigchld(void *ctx, int signo)
{
	struct supervisor *s = ctx;
	(void)signo;

	/* Signals do not queue: one may stand for several children. Each is asked by its pid, so nobody else's is reaped. */
	for (uint32_t i = 0; i < s->config->count; i++)
		process_reap(process_at(s, i));
}

static int signals_watch(struct supervisor *s, struct err *err)
{
	static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
	int r = loop_on_signal(s->config->loop, SIGCHLD, on_sigchld, s, err);

	for (size_t i = 0; i < ARRAY_LEN(stops) && r == 0; i++) {
		struct sigaction now;

		/* nohup: the terminal may close, and we go on. */
		if (stops[i] == SIGHUP && sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
			continue;
		r = loop_on_signal(s->config->loop, stops[i], on_stop_signal, s, err);
	}
	return r;
}

static void start_first(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->config->count && s->phase == PHASE_STARTING; i++)
		if (!s->config->processes[i].later)
			begin(&s->config->processes[i]);
}

/* All of them: one that never begins is signalled like the others when everything stops. */
static void processes_prepare(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->config->count; i++) {
		struct supervised *w = &s->config->processes[i];

		w->process.loop = s->config->loop;
		w->process.ops = &process_ops;
		w->process.ctx = s;
		w->supervisor = s;
		log_file_open(&w->process.log, s->config->log_dir, w->process.name);
	}
}

static void rows_name(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->config->count; i++)
		snprintf(s->rows[i].name, sizeof s->rows[i].name, "%s", process_at(s, i)->name);
}

int supervisor_run(const struct supervisor_config *config, struct err *err)
{
	CLEANUP(free_p) struct screen_row *rows = calloc(config->count, sizeof *rows);
	struct supervisor s = {.config = config, .rows = rows};
	int r;

	if (!rows)
		return err_set(err, -ENOMEM, "out of memory");
	rows_name(&s);
	screen_init(&s.screen, config->fd, config->live && !config->json, config->color, config->columns, rows,
		config->count);
	if ((r = signals_watch(&s, err)) < 0)
		return r;
	s.causes = causes_create(config->count);
	s.started_us = env_now_us(loop_env(config->loop));
	processes_prepare(&s);
	start_first(&s);
	if (any_alive(&s))
		loop_run(config->loop);
	env_timer_cancel(loop_env(config->loop), &s.deadline);
	for (uint32_t i = 0; i < config->count; i++) {
		proof_stop(&config->processes[i]);
		log_file_close(&process_at(&s, i)->log);
	}
	causes_destroy(s.causes);
	return (int)s.end;
}
