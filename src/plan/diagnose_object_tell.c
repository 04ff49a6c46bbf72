/* diagnose_object_tell.c - one line for what is not well with a pod, container, node or event; see diagnose_object.h. Their words
 * are what the signatures named pod-..., node-... and container-... of data/log-signatures.yaml look for. */
#include "plan/diagnose_object.h"
#include "plan/diagnose_json.h"
#include "base/buf.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIGNALS_AT = 128, SIGNALS_MAX = 64, GRACE_S = 30, WHO_BYTES = 400, LINE_MAX_BYTES = OBJECT_LINE_BYTES };

/* ---- words ---- */

/* "2026-11-27T10:30:16Z", "Mon, 30 Nov 2026 10:02:11 +0000"; 0: no time. */
static time_t time_of(const char *text)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%a, %d %b %Y %H:%M:%S", "%Y-%m-%d %H:%M:%S"};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = {0};

		if (strptime(text, forms[i], &tm) && tm.tm_year > 70)
			return timegm(&tm);
	}
	return 0;
}

/* Seconds it ran; 0: not known. */
static uint64_t ran_s(const struct object_end *e)
{
	time_t from = time_of(e->started), to = time_of(e->finished);

	return from > 0 && to > from ? (uint64_t)(to - from) : 0;
}

static void span_add(struct buf *out, uint64_t s)
{
	if (s < 120)
		buf_printf(out, "%llu s", (unsigned long long)s);
	else if (s < 7200)
		buf_printf(out, "%llu min", (unsigned long long)s / 60);
	else
		buf_printf(out, "%llu h", (unsigned long long)s / 3600);
}

static void who_of(const struct object_pod *p, const struct object_container *c, char *ret, size_t cap)
{
	bool pod = *p->name && !p->docker;

	snprintf(ret, cap, "%s%s%s%s%s%s", c && c->init ? "init " : "",
		c && *c->name ? c->name
		: c           ? "?"
			      : "",
		c && pod ? " of pod " : "", pod ? p->space : "", pod && *p->space ? "/" : "", pod ? p->name : "");
}

/* A signal that ended it; 0: it ended by itself. */
static int signal_of(const struct object_end *e)
{
	if (e->signal > 0)
		return e->signal;
	return e->code > SIGNALS_AT && e->code <= SIGNALS_AT + SIGNALS_MAX ? e->code - SIGNALS_AT
	       : e->code < 0 && e->code >= -SIGNALS_MAX                    ? -e->code
									   : 0;
}

/* How long a container may fail its probe from its start on; 0: for ever. */
static uint32_t probe_limit_s(const struct object_container *c)
{
	const struct object_probe *live = &c->liveness, *start = &c->startup;
	uint32_t sum = 0;

	if (!live->there)
		return 0;
	if (start->there)
		sum += start->delay_s +
		       (start->period_s ? start->period_s : 10) * (start->failures ? start->failures : 3);
	sum += live->delay_s + (live->period_s ? live->period_s : 10) * (live->failures ? live->failures : 3);
	return sum;
}

/* Did it end just when its liveness probe gives it up? */
static bool ended_by_probe(const struct object_container *c, const struct object_end *e)
{
	uint64_t ran = ran_s(e), limit = probe_limit_s(c);
	uint32_t period = c->liveness.period_s ? c->liveness.period_s : 10;

	return (signal_of(e) == SIGKILL || signal_of(e) == SIGTERM) && limit > 0 && ran + period >= limit &&
	       ran <= limit + 2 * period + GRACE_S + GRACE_S;
}

static bool is_oom(const struct object_container *c, const struct object_end *e)
{
	return c->oom_killed || !strcmp(e->reason, "OOMKilled");
}

static bool is_start_failure(const struct object_end *e)
{
	return !strcmp(e->reason, "StartError") || !strcmp(e->reason, "ContainerCannotRun") ||
	       !strcmp(e->reason, "RunContainerError");
}

/* How it ended, in the words of the signatures. */
static const char *ended_how(const struct object_container *c, const struct object_end *e)
{
	static const char *const by_signal[SIGNALS_MAX + 1] = {[SIGINT] = "as it was asked to stop (SIGINT)",
		[SIGTERM] = "as it was asked to stop (SIGTERM)",
		[SIGQUIT] = "as it was asked to stop (SIGQUIT)",
		[SIGKILL] = "by SIGKILL, not over its own memory limit",
		[SIGSEGV] = "by SIGSEGV",
		[SIGABRT] = "by SIGABRT",
		[SIGBUS] = "by SIGBUS",
		[SIGILL] = "by SIGILL",
		[SIGFPE] = "by SIGFPE"};
	int sig = signal_of(e);

	if (is_oom(c, e))
		return "over its memory limit";
	if (!strcmp(e->reason, "ContainerStatusUnknown"))
		return "as its node was lost";
	if (ended_by_probe(c, e))
		return "as its liveness probe gave it up";
	if (sig > 0)
		return by_signal[sig] ? by_signal[sig] : "by a signal";
	if (is_start_failure(e) || e->code == 128)
		return "as it could not be started";
	return e->code == 126   ? "as its program cannot be run"
	       : e->code == 127 ? "as its program is not there"
	       : e->code == 2   ? "with the status of a usage error"
	       : e->code == 0   ? "without an error"
	       : e->code == 255 ? "with status 255"
				: "with an error of its own";
}

/* "exit code 137, reason OOMKilled, memory limit 64Gi, ran for 62 s, restarted 7 times, ends again and again" */
static void facts_add(struct buf *out, uint64_t shm_bytes, const struct object_container *c, const struct object_end *e)
{
	uint64_t ran = ran_s(e);

	buf_printf(out, "exit code %d", e->code);
	if (*e->reason && strcmp(e->reason, "Error"))
		buf_printf(out, ", reason %s", e->reason);
	if (*c->memory_limit)
		buf_printf(out, ", memory limit %s", c->memory_limit);
	else if (is_oom(c, e) && c->line)
		buf_printf(out, ", no memory limit is set");
	if (shm_bytes && signal_of(e) == SIGBUS)
		buf_printf(out, ", /dev/shm of %llu MiB", (unsigned long long)(shm_bytes >> 20));
	if (ran > 0) {
		buf_printf(out, ", ran for ");
		span_add(out, ran);
	}
	if (!is_oom(c, e) && ended_by_probe(c, e)) {
		buf_printf(out, " where its probes give it ");
		span_add(out, probe_limit_s(c));
	}
	if (c->restarts > 0)
		buf_printf(out, ", restarted %u time%s", c->restarts, c->restarts == 1 ? "" : "s");
	if (!strcmp(c->waiting, "CrashLoopBackOff"))
		buf_printf(out, ", ends again and again");
	else if (*c->waiting)
		buf_printf(out, ", now waits (%s)", c->waiting);
}

/* ---- telling ---- */

struct telling {
	object_told *told;
	void *ctx;
};

static void tell(const struct telling *t, uint64_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void tell(const struct telling *t, uint64_t line, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* A message of several lines is told by who has them; here it is one. */
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	t->told(t->ctx, line, text);
}

/* The last lines of a log, which Kubernetes and Docker keep as the message of an end. */
static void message_tell(const struct telling *t, const char *message, uint64_t line)
{
	while (*message) {
		size_t n = strcspn(message, "\r\n");

		if (n > 0)
			tell(t, line, "%.*s", (int)n, message);
		message += n;
		message += *message != '\0';
	}
}

/* shm_bytes: of /dev/shm; 0: not known. */
static void end_tell(const struct telling *t, const char *who, uint64_t shm_bytes, const struct object_container *c,
	const struct object_end *e)
{
	/* What runs again and is ready has got over an end that was no crash of its own. */
	bool hard = is_oom(c, e) || signal_of(e) == SIGSEGV || signal_of(e) == SIGABRT || signal_of(e) == SIGBUS;
	bool over = c->running && c->ready == OBJECT_YES && (!hard || c->restarts == 0);
	struct buf facts;

	if (c->init && e->code == 0 && !c->oom_killed && !signal_of(e))
		return;
	/* A job that is done. */
	if (e == &c->now && e->code == 0 && !is_oom(c, e) && c->restarts == 0)
		return;
	buf_init(&facts, LINE_MAX_BYTES);
	facts_add(&facts, shm_bytes, c, e);
	message_tell(t, e->message, e->message_line);
	if (over)
		tell(t, e->line, "container %s runs again; before, it had stopped %s: %s", who, ended_how(c, e),
			buf_str(&facts));
	else
		tell(t, e->line ? e->line : c->line, "container %s ended %s: %s", who, ended_how(c, e),
			buf_str(&facts));
	buf_done(&facts);
}

static bool is_waiting_well(const char *reason)
{
	static const char *const words[] = {"ContainerCreating", "PodInitializing", ""};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(reason, words[i]))
			return true;
	return false;
}

static void container_tell(const struct telling *t, const struct object_pod *p, const struct object_container *c)
{
	const struct object_end *e = c->now.there ? &c->now : c->last.there ? &c->last : NULL;
	char who[WHO_BYTES];

	who_of(p, c, who, sizeof who);
	if (e)
		end_tell(t, who, 0, c, e);
	/* What an earlier life died of says more than that this one was asked to stop. */
	if (c->now.there && c->last.there && (is_oom(c, &c->last) || c->last.code != c->now.code))
		end_tell(t, who, 0, c, &c->last);
	if (*c->waiting && !is_waiting_well(c->waiting) && !(e && !strcmp(c->waiting, "CrashLoopBackOff")))
		tell(t, c->waiting_line, "container %s waits: %s%s%s", who, c->waiting, *c->waiting_message ? ": " : "",
			c->waiting_message);
	if (c->running && c->ready == OBJECT_NO && !c->init && *p->probe_message)
		tell(t, p->probe_line, "container %s runs and is not healthy: %s", who, p->probe_message);
	else if (c->running && c->ready == OBJECT_NO && !c->init)
		tell(t, c->line, "container %s runs and is not ready%s", who,
			c->startup.there || c->liveness.there ? "" : " (it has no liveness or startup probe)");
}

const char *object_pod_asked(const struct object_pod *p, const char *message, char *ret, size_t cap)
{
	unsigned long gpus = 0;

	*ret = '\0';
	for (uint32_t i = 0; i < p->count; i++)
		gpus += p->containers[i].init ? 0 : strtoul(p->containers[i].gpus, NULL, 10);
	if (gpus > 0 && strstr(message, "Insufficient nvidia.com/"))
		snprintf(ret, cap, " (the pod asks for %lu GPU%s)", gpus, gpus == 1 ? "" : "s");
	return ret;
}

static void condition_tell(const struct telling *t, const struct object_pod *p, const struct object_condition *c)
{
	static const struct {
		const char *kind, *type, *bad;
	} rows[] = {{"", "PodScheduled", "False"}, {"", "ReplicaFailure", "True"}, {"", "MemoryPressure", "True"},
		{"", "DiskPressure", "True"}, {"", "PIDPressure", "True"}, {"", "NetworkUnavailable", "True"},
		{"Job", "Failed", "True"}, {"", "Progressing", "False"}, {"", "DisruptionTarget", "True"},
		{"Node", "Ready", "False"}, {"Node", "Ready", "Unknown"}};
	bool node = !strcmp(p->kind, "Node") || *p->gpus_capacity;
	char who[WHO_BYTES], asked[64];

	who_of(p, NULL, who, sizeof who);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(c->type, rows[i].type) || strcmp(c->status, rows[i].bad) ||
			(!strcmp(rows[i].kind, "Node") && !node) ||
			(!strcmp(rows[i].kind, "Job") && strcmp(p->kind, "Job")))
			continue;
		if (!strcmp(c->type, "PodScheduled"))
			tell(t, c->line, "pod %s is not placed on a node%s%s%s%s%s", who, *c->reason ? ": " : "",
				c->reason, *c->message ? ": " : "", c->message,
				object_pod_asked(p, c->message, asked, sizeof asked));
		else
			tell(t, c->line, "%s %s has the condition %s=%s: %s: %s",
				node       ? "node"
				: *p->kind ? p->kind
					   : "object",
				who, c->type, c->status, c->reason, c->message);
		return;
	}
}

static void node_tell(const struct telling *t, const struct object_pod *p)
{
	unsigned long has = strtoul(p->gpus_capacity, NULL, 10), gives = strtoul(p->gpus_allocatable, NULL, 10);

	if (*p->gpus_capacity && *p->gpus_allocatable && gives < has)
		tell(t, p->gpus_line, "node %s offers %lu of its %lu GPUs", p->name, gives, has);
}

/* The number in "Exited (137) 3 minutes ago"; false: there is none. */
static bool docker_code(const char *status, const char *word, int *ret)
{
	const char *at = strcasestr(status, word);
	char *end;

	if (!at)
		return false;
	at += strlen(word);
	at += strspn(at, " (");
	*ret = (int)strtol(at, &end, 10);
	return end > at;
}

bool object_docker_status_tell(const char *who, const char *status, uint64_t line, object_told *told, void *ctx)
{
	const struct telling t = {told, ctx};
	struct object_container c = {.now = {.there = true, .line = line}};

	if (strcasestr(status, "(unhealthy)")) {
		tell(&t, line, "container %s runs and is not healthy: %s", who, status);
		return true;
	}
	if (docker_code(status, "restarting", &c.now.code)) {
		c.restarts = 1;
		snprintf(c.waiting, sizeof c.waiting, "restarting");
		end_tell(&t, who, 0, &c, &c.now);
		return true;
	}
	if (docker_code(status, "exited", &c.now.code) || docker_code(status, "exit ", &c.now.code)) {
		end_tell(&t, who, 0, &c, &c.now);
		return true;
	}
	if (!strncasecmp(status, "dead", 4)) {
		tell(&t, line, "container %s is dead: Docker could not remove it whole", who);
		return true;
	}
	return !strncasecmp(status, "up", 2) || !strncasecmp(status, "running", 7) ||
	       !strncasecmp(status, "created", 7) || !strncasecmp(status, "paused", 6);
}

static bool is_well(const char *status)
{
	static const char *const words[] = {"Running", "Completed", "Succeeded", "ContainerCreating", "PodInitializing",
		"Terminating", "NotReady", "Ready", ""};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(status, words[i]))
			return true;
	return false;
}

/* What Kubernetes ended or never admitted; "OutOfnvidia.com/gpu" and the like too. */
static bool is_failed_pod(const char *status)
{
	static const char *const words[] = {"Evicted", "UnexpectedAdmissionError", "NodeAffinity", "NodeShutdown",
		"Shutdown", "Terminated", "DeadlineExceeded", "Preempting", "TopologyAffinityError"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(status, words[i]))
			return true;
	return strncmp(status, "OutOf", 5) == 0;
}

void object_status_tell(const char *pod, const char *ready, const char *status, uint32_t restarts, uint64_t line,
	object_told *told, void *ctx)
{
	const char *word = strncmp(status, "Init:", 5) == 0 ? status + 5 : status;
	struct object_container c = {.restarts = restarts, .now = {.there = true, .line = line}};
	const struct telling t = {told, ctx};
	char who[WHO_BYTES], count[48] = "";

	snprintf(who, sizeof who, "in pod %s", pod);
	if (restarts > 0)
		snprintf(count, sizeof count, " (restarted %u time%s)", restarts, restarts == 1 ? "" : "s");
	if (word > status && *word >= '0' && *word <= '9') /* Init:0/1 */
		return;
	if (is_well(word)) {
		if (!strcmp(word, "Running") && *ready == '0')
			tell(&t, line, "container %s runs and is not ready%s", who, count);
		else if (!strcmp(word, "Running") && restarts > 0)
			tell(&t, line, "pod %s runs%s", pod, count);
	} else if (!strcmp(word, "OOMKilled")) {
		c.now.code = SIGNALS_AT + SIGKILL;
		snprintf(c.now.reason, sizeof c.now.reason, "OOMKilled");
		end_tell(&t, who, 0, &c, &c.now);
	} else if (!strncmp(word, "ExitCode:", 9) || !strncmp(word, "Signal:", 7)) {
		c.now.code = (int)strtol(strchr(word, ':') + 1, NULL, 10);
		c.now.signal = *word == 'S' ? c.now.code : 0;
		end_tell(&t, who, 0, &c, &c.now);
	} else if (!strcmp(word, "ContainerStatusUnknown") || !strcmp(word, "NodeLost") || !strcmp(word, "Unknown")) {
		tell(&t, line, "container %s ended as its node was lost: %s%s", who, word, count);
	} else if (is_failed_pod(word)) {
		tell(&t, line, "pod %s failed: %s%s", pod, word, count);
	} else if (!strcmp(word, "Pending")) {
		tell(&t, line, "pod %s is pending; kubectl describe pod says why", pod);
	} else {
		tell(&t, line, "container %s waits: %s%s", who, word, count);
	}
}

static void docker_tell(const struct telling *t, const struct object_pod *p)
{
	const struct object_container *c = &p->containers[0];
	bool runs = !strcmp(p->docker_status, "running");
	char who[WHO_BYTES];

	who_of(p, c, who, sizeof who);
	message_tell(t, p->docker_error, p->error_line);
	if (!runs && strcmp(p->docker_status, "created") && (c->now.code != 0 || c->oom_killed))
		end_tell(t, who, p->shm_bytes, c, &c->now);
	else if (!runs && *p->docker_error)
		tell(t, p->error_line, "container %s ended as it could not be started: exit code %d", who, c->now.code);
	else if (runs && c->restarts > 0)
		tell(t, p->docker_line, "container %s runs again, and was restarted %u times by Docker", who,
			c->restarts);
	if (runs && !strcmp(p->docker_health, "unhealthy"))
		tell(t, p->docker_line, "container %s runs and is not healthy: %s", who, p->health_output);
}

void object_pod_tell(struct object_pod *p, object_told *told, void *ctx)
{
	const struct telling t = {told, ctx};
	char who[WHO_BYTES];

	who_of(p, NULL, who, sizeof who);
	if (*p->about) {
		if (strcmp(p->event_type, "Normal") && *p->event_reason)
			tell(&t, p->event_line, "%s %s of %s%s%s: %s", p->event_type, p->event_reason, p->space,
				*p->space ? " " : "", p->about, p->event_message);
		else if (*p->event_message) /* "Container main failed liveness probe, will be restarted" is Normal */
			tell(&t, p->event_line, "%s of %s: %s", p->event_reason, p->about, p->event_message);
		return;
	}
	if (!strcmp(p->kind, "Status") && *p->event_message) {
		tell(&t, p->event_line, "Error from server (%s): %s", p->event_reason, p->event_message);
		p->judged = true;
		return;
	}
	if (p->docker) {
		docker_tell(&t, p);
		return;
	}
	if (!p->docker && *p->docker_status && p->docker_line && !p->count) { /* a row of docker ps */
		object_docker_status_tell(*p->name ? p->name : "?", p->docker_status, p->docker_line, told, ctx);
		return;
	}
	if (*p->phase && !strcmp(p->phase, "Failed"))
		tell(&t, p->phase_line, "pod %s failed%s%s: %s", who, *p->reason ? ": " : "", p->reason, p->message);
	for (uint32_t i = 0; i < p->conditions_len; i++)
		condition_tell(&t, p, &p->conditions[i]);
	for (uint32_t i = 0; i < p->count; i++)
		container_tell(&t, p, &p->containers[i]);
	node_tell(&t, p);
	if (!strcmp(p->phase, "Pending") && !p->count && !p->conditions_len)
		tell(&t, p->phase_line, "pod %s is pending; kubectl describe pod says why", who);
}
