/* supervisor.c - what to do about the processes of a deployment; see supervisor.h. What is shown of it: supervisor_show.c. */
#include "launch/proof.h"
#include "launch/supervisor_priv.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Stopping. */

static bool any_alive(const struct supervisor *s)
{
	for (uint32_t i = 0; i < s->config->count; i++)
		if (process_is_alive(supervisor_process(s, i)))
			return true;
	return false;
}

/* Signal the frontends or the workers. A process that still starts has nothing to finish and may be deep in loading a
 * model, deaf to a polite request. */
static uint32_t signal_some(struct supervisor *s, bool frontends, int signo)
{
	uint32_t alive = 0;

	for (uint32_t i = 0; i < s->config->count; i++) {
		struct process *p = supervisor_process(s, i);

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
	s->killing = true;
	signal_some(s, true, SIGKILL);
	signal_some(s, false, SIGKILL);
	stop_if_done(s);
}

static void on_deadline(void *ctx);

static uint32_t stop_ms(const struct supervisor *s)
{
	return s->config->stop_ms ? s->config->stop_ms : SUPERVISOR_STOP_MS;
}

static void deadline_set(struct supervisor *s, uint64_t in_ms)
{
	s->deadline.fn = on_deadline;
	s->deadline.ctx = s;
	env_timer_set_in(loop_env(s->config->loop), &s->deadline, in_ms * 1000);
}

static void workers_stop(struct supervisor *s)
{
	s->phase = PHASE_STOPPING;
	if (s->config->on_unserved)
		s->config->on_unserved(s->config->ctx);
	signal_some(s, false, SIGTERM);
	deadline_set(s, stop_ms(s));
	stop_if_done(s);
}

static void on_deadline(void *ctx)
{
	struct supervisor *s = ctx;

	if (s->phase == PHASE_DRAINING) {
		supervisor_show_event(s, NULL, "the frontend did not end within its drain time; it is killed");
		signal_some(s, true, SIGKILL);
	} else {
		supervisor_show_event(s, NULL, "not every worker ended in time; the rest is killed");
		kill_all(s);
	}
}

static void drain(struct supervisor *s)
{
	s->phase = PHASE_DRAINING;
	if (s->config->notify)
		notify_send(s->config->notify, "STOPPING=1\nSTATUS=Draining: running streams may finish");
	if (s->config->on_drain)
		s->config->on_drain(s->config->ctx);
	if (signal_some(s, true, SIGTERM) == 0)
		workers_stop(s);
	else
		deadline_set(s, s->config->drain_ms + (uint64_t)stop_ms(s));
}

/* The third wish: not even to wait for what SIGKILL does. */
static void leave_all(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->config->count; i++) {
		const struct process *p = supervisor_process(s, i);

		if (p->child.pid)
			supervisor_show_event(s, p, "%s (process %d) has not ended yet; it is left behind", p->name,
				(int)p->child.pid);
	}
	s->end = SUPERVISOR_FAILED;
	loop_stop(s->config->loop);
}

static void give_up(struct supervisor *s)
{
	if (s->phase >= PHASE_DRAINING)
		return;
	s->end = SUPERVISOR_FAILED;
	if (s->config->notify)
		notify_send(s->config->notify, "STOPPING=1\nSTATUS=It could not start; its log says why");
	kill_all(s);
}

static void on_stop_signal(void *ctx, int signo)
{
	struct supervisor *s = ctx;
	uint64_t now_us = env_now_us(loop_env(s->config->loop));
	(void)signo;

	if (s->phase >= PHASE_DRAINING && now_us - s->stop_asked_us < s->config->one_wish_ms * 1000ull)
		return;
	if (s->killing && s->stop_again) {
		leave_all(s);
		return;
	}
	if (s->phase >= PHASE_DRAINING) {
		s->stop_again = true;
		s->stop_asked_us = now_us;
		s->end = s->end == SUPERVISOR_FAILED ? s->end : SUPERVISOR_KILLED;
		supervisor_show_event(s, NULL, "stopping at once");
		kill_all(s);
		return;
	}
	bool was_running = s->phase == PHASE_RUNNING;
	s->stop_asked_us = now_us;
	screen_close(&s->screen);
	supervisor_show_event(
		s, NULL, was_running ? "draining: running streams may finish; Ctrl-C again stops at once" : "stopping");
	drain(s);
}

/* Starting and restarting. */

static const struct process_ops process_ops;

static uint32_t join_ms(const struct supervisor *s)
{
	return s->config->join_ms ? s->config->join_ms : SUPERVISOR_JOIN_MS;
}

static bool is_settled(const struct supervised *w)
{
	return w->failed || (w->process.ever_ready && (!w->prove || w->proven));
}

/* All workers are ready, and the frontend is not: it cannot reach them, or does not take them. Its log says which. */
/* What the service manager shows of a start: how many are ready. */
static void manager_told(struct supervisor *s)
{
	uint32_t settled = 0;

	if (!s->config->notify || s->phase != PHASE_STARTING)
		return;
	for (uint32_t i = 0; i < s->config->count; i++)
		settled += is_settled(&s->config->processes[i]);
	notify_send(s->config->notify, "STATUS=Starting: %u of %u processes are ready", settled, s->config->count);
}

static void on_join_late(void *ctx);

static void join_watch(struct supervisor *s)
{
	if (env_timer_is_set(&s->join_deadline))
		return;
	s->join_deadline.fn = on_join_late;
	s->join_deadline.ctx = s;
	env_timer_set_in(loop_env(s->config->loop), &s->join_deadline, join_ms(s) * 1000ull);
}

static void on_join_late(void *ctx)
{
	struct supervisor *s = ctx;

	for (uint32_t i = 0; i < s->config->count && s->phase == PHASE_STARTING; i++) {
		struct supervised *f = &s->config->processes[i];

		if (!f->process.is_frontend || is_settled(f) || f->process.state != PROCESS_STARTING)
			continue;
		snprintf(f->process.error, sizeof f->process.error,
			"it is not ready %.*f s after all workers are; it could not connect to them, or does not take "
			"one",
			join_ms(s) < 10000 ? 1 : 0, join_ms(s) / 1000.0);
		process_signal(&f->process, SIGKILL);
	}
	if (s->phase == PHASE_STARTING) /* it may be between two lives */
		join_watch(s);
}

static void ready_check(struct supervisor *s)
{
	bool workers = true, all = true;

	manager_told(s);

	for (uint32_t i = 0; i < s->config->count; i++) {
		bool settled = is_settled(&s->config->processes[i]);

		all &= settled;
		workers &= settled || supervisor_process(s, i)->is_frontend;
	}
	if (!workers)
		env_timer_cancel(loop_env(s->config->loop), &s->join_deadline);
	else if (!all)
		join_watch(s);
	if (!all)
		return;
	env_timer_cancel(loop_env(s->config->loop), &s->join_deadline);
	/* What was logged before all was ready belongs to the start, though the pipes are read in any order. */
	for (uint32_t i = 0; i < s->config->count; i++)
		process_read_log(supervisor_process(s, i));
	s->phase = PHASE_RUNNING;
	if (s->config->notify)
		notify_send(s->config->notify, "READY=1\nSTATUS=Serving: %u processes are ready", s->config->count);
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

static uint64_t progress_quiet_us(const struct supervisor *s)
{
	return (s->config->quiet_ms ? s->config->quiet_ms : SUPERVISOR_QUIET_MS) * 1000ull;
}

static void on_status(void *ctx, struct process *p, const struct status *status)
{
	struct supervisor *s = ctx;
	struct screen_row *row = &s->rows[supervisor_index(s, p)];

	switch (status->kind) {
	case STATUS_PROGRESS:
		if (p->state != PROCESS_STARTING)
			return;
		row->progress = status->progress;
		/* Lines that stay are for those who wait; a table that is drawn in place costs nobody anything. */
		if (s->screen.live || env_now_us(loop_env(s->config->loop)) - p->started_us > progress_quiet_us(s))
			supervisor_show_row(s, p, SCREEN_PROGRESS, status->text);
		return;
	case STATUS_INFO:
		snprintf(supervised_of(p)->info, SCREEN_TEXT_BYTES, "%s", status->text);
		return; /* shown with "ready", which is not far */
	case STATUS_READY:
		supervisor_show_ready(s, p, status->text);
		proof_begin(s, supervised_of(p), status->text);
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

	causes_line(s->causes, supervisor_index(s, p), p->name, line);
	/* While the deployment starts and stops we tell what information lines do, and better. */
	if (!s->config->quiet && (s->phase == PHASE_RUNNING || s->config->json || !causes_is_chatter(line)))
		supervisor_show_line(s, p, line);
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
		supervisor_show_row(s, &w->process, SCREEN_FAILED, text);
	}
}

/* A worker that cannot start: the end of it all, unless others are to serve without it. */
static void leave_out(struct supervisor *s, struct process *p, const char *how, uint64_t up_us)
{
	uint32_t left = 0;

	supervisor_show_row(s, p, SCREEN_FAILED, how);
	supervised_of(p)->failed = true;
	leave_out_followers(s, supervised_of(p));
	for (uint32_t i = 0; i < s->config->count; i++)
		left += !supervisor_process(s, i)->is_frontend && !s->config->processes[i].failed;
	if (s->config->keep_going && !p->is_frontend && left > 0) {
		supervisor_show_death(s, p, how, up_us, "the deployment goes on without it");
		next_step(s);
		ready_check(s);
		return;
	}
	screen_close(&s->screen);
	supervisor_show_death(s, p, how, up_us, "the deployment cannot start");
	give_up(s);
}

/* It ended while the deployment starts, and said no error: is another try worth it? */
static bool is_hopeless(struct supervised *w, const char *how)
{
	w->same_ends = strcmp(w->last_end, how) == 0 ? w->same_ends + 1 : 1;
	snprintf(w->last_end, sizeof w->last_end, "%s", how);
	return ++w->start_ends >= SUPERVISOR_START_TRIES || w->same_ends >= SUPERVISOR_SAME_TRIES;
}

static void restart(struct supervisor *s, struct process *p, const char *how)
{
	uint64_t up_us = env_now_us(loop_env(s->config->loop)) - p->started_us;
	uint32_t wait_ms = backoff_next_ms(&p->backoff, up_us / 1000);
	char next[64];

	if (s->phase == PHASE_STARTING && (*p->error || is_hopeless(supervised_of(p), how))) {
		leave_out(s, p, how, up_us);
		return;
	}
	snprintf(next, sizeof next, "starting it again in %.1f s", wait_ms / 1000.0);
	supervisor_show_row(s, p, SCREEN_WAITING, how);
	supervisor_show_death(s, p, how, up_us, next);
	causes_reset(s->causes, supervisor_index(s, p));
	process_start_in(p, wait_ms);
}

static void on_exit_(void *ctx, struct process *p, enum process_state was, int wait_status)
{
	struct supervisor *s = ctx;
	char how[128];

	proof_stop(supervised_of(p));
	child_end_text(wait_status, how, sizeof how);
	supervised_of(p)->note[0] = '\0';
	if (wait_status != CHILD_LEFT && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL && !p->killed)
		host_oom_text(&p->oom, "", supervised_of(p)->note, sizeof supervised_of(p)->note);
	if (s->phase < PHASE_DRAINING) {
		restart(s, p, how);
		return;
	}
	if (wait_status == CHILD_LEFT) {
		s->end = SUPERVISOR_FAILED;
		supervisor_show_event(s, p, "%s: %s; it is left behind", p->name, p->error);
	} else if (was != PROCESS_STOPPING && s->end == SUPERVISOR_STOPPED && !s->config->json)
		screen_line(&s->screen, "%s: %s while stopping", p->name, how);
	s->rows[supervisor_index(s, p)].state = SCREEN_STOPPED;
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
	supervised_of(p)->note[0] = '\0';
	p->started_us = env_now_us(loop_env(s->config->loop));
	if (s->phase < PHASE_DRAINING)
		restart(s, p, "not started");
	else
		stop_if_done(s);
}

static void on_silence(void *ctx, struct process *p, uint32_t silent_ms, const char *why)
{
	struct supervisor *s = ctx;

	supervisor_show_event(s, p, "worker %s has said nothing for %.*f s while it starts%s%s", p->name,
		silent_ms < 10000 ? 1 : 0, silent_ms / 1000.0, *why ? ": " : "", why);
}

/* The loop turns: that is all the watchdog of the manager asks. Workers have watches of their own. */
static void on_watchdog_timer(void *ctx)
{
	struct supervisor *s = ctx;

	notify_send(s->config->notify, "WATCHDOG=1");
	env_timer_set_in(loop_env(s->config->loop), &s->watchdog_timer, notify_watchdog_every_us(s->config->notify));
}

static void watchdog_begin(struct supervisor *s)
{
	if (!s->config->notify || notify_watchdog_every_us(s->config->notify) == 0)
		return;
	s->watchdog_timer.fn = on_watchdog_timer;
	s->watchdog_timer.ctx = s;
	on_watchdog_timer(s);
}

static void before_start(void *ctx, struct process *p)
{
	struct supervisor *s = ctx;
	(void)p;

	if (s->config->tend)
		s->config->tend(s->config->ctx, &s->screen);
}

static void on_tend_timer(void *ctx)
{
	struct supervisor *s = ctx;

	s->config->tend(s->config->ctx, &s->screen);
	env_timer_set_in(loop_env(s->config->loop), &s->tend_timer, SUPERVISOR_TEND_MS * 1000ull);
}

static void tend_begin(struct supervisor *s)
{
	if (!s->config->tend)
		return;
	s->tend_timer.fn = on_tend_timer;
	s->tend_timer.ctx = s;
	env_timer_set_in(loop_env(s->config->loop), &s->tend_timer, SUPERVISOR_TEND_MS * 1000ull);
}

static const struct process_ops process_ops = {
	.before_start = before_start,
	.on_silence = on_silence,
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
		process_reap(supervisor_process(s, i));
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
		snprintf(s->rows[i].name, sizeof s->rows[i].name, "%s", supervisor_process(s, i)->name);
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
	tend_begin(&s);
	watchdog_begin(&s);
	manager_told(&s);
	start_first(&s);
	if (any_alive(&s))
		loop_run(config->loop);
	env_timer_cancel(loop_env(config->loop), &s.deadline);
	env_timer_cancel(loop_env(config->loop), &s.join_deadline);
	env_timer_cancel(loop_env(config->loop), &s.tend_timer);
	env_timer_cancel(loop_env(config->loop), &s.watchdog_timer);
	for (uint32_t i = 0; i < config->count; i++) {
		proof_stop(&config->processes[i]);
		process_forget(supervisor_process(&s, i));
		log_file_close(&supervisor_process(&s, i)->log);
	}
	causes_destroy(s.causes);
	return (int)s.end;
}
