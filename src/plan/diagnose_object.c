/* diagnose_object.c - documents to objects; see diagnose_object.h. What is said of them is in diagnose_object_tell.c. */
#include "plan/diagnose_object.h"
#include "plan/diagnose_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void object_pod_reset(struct object_pod *p)
{
	memset(p, 0, offsetof(struct object_pod, conditions));
}

/* Of what is large, only that which holds something: each line of a log in JSON is an object. */
static void root_reset(struct object *o)
{
	object_pod_reset(&o->pod);
	if (o->container.line)
		o->container = (struct object_container){0};
	if (o->condition.line)
		o->condition = (struct object_condition){0};
	o->ident[0] = o->pid[0] = o->stamp[0] = '\0';
	o->log_len = 0;
	o->has_log = o->has_stream = false;
}

void object_init(struct object *o, object_told *told, void *ctx)
{
	o->told = told;
	o->ctx = ctx;
	o->path[0] = '\0';
	o->depth = o->too_deep = o->lost = o->root = o->root_path = 0;
	o->known = o->judged = false;
	root_reset(o);
}

struct object_container *object_pod_container(struct object_pod *p, const char *name)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (strcmp(p->containers[i].name, name) == 0)
			return &p->containers[i];
	if (p->count == OBJECT_CONTAINERS_MAX)
		return NULL;
	struct object_container *c = &p->containers[p->count++];
	*c = (struct object_container){0};
	text_keep(c->name, sizeof c->name, name);
	return c;
}

/* ---- values ---- */

struct value {
	const char *path; /* below the object, or below a container of it */
	const char *text;
	size_t len;
	uint64_t line;
};

static void keep(char *to, size_t cap, const struct value *v)
{
	text_keep(to, cap, v->text);
}

static uint32_t number_of(const struct value *v)
{
	unsigned long n = strtoul(v->text, NULL, 10);
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static enum object_yes yes_of(const struct value *v)
{
	return strcmp(v->text, "true") == 0 ? OBJECT_YES : OBJECT_NO;
}

/* What stands behind prefix in the path; NULL: it does not begin so. */
static const char *behind(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(path, prefix, n) == 0 ? path + n : NULL;
}

static void end_value(struct object_end *e, const char *key, const struct value *v)
{
	e->there = true;
	if (!strcmp(key, "exitCode")) {
		e->code = (int)strtol(v->text, NULL, 10);
		e->line = v->line;
	} else if (!strcmp(key, "signal")) {
		e->signal = (int)strtol(v->text, NULL, 10);
	} else if (!strcmp(key, "reason")) {
		keep(e->reason, sizeof e->reason, v);
	} else if (!strcmp(key, "message")) {
		keep(e->message, sizeof e->message, v);
		e->message_line = v->line;
	} else if (!strcmp(key, "startedAt")) {
		keep(e->started, sizeof e->started, v);
	} else if (!strcmp(key, "finishedAt")) {
		keep(e->finished, sizeof e->finished, v);
	}
}

static void probe_value(struct object_probe *p, const char *key, const struct value *v)
{
	p->there = true;
	if (!strcmp(key, "initialDelaySeconds"))
		p->delay_s = number_of(v);
	else if (!strcmp(key, "periodSeconds"))
		p->period_s = number_of(v);
	else if (!strcmp(key, "failureThreshold"))
		p->failures = number_of(v);
}

/* How a container is wished. */
static void wish_value(struct object_container *c, const struct value *v)
{
	const char *key;

	if (!strcmp(v->path, "resources.limits.memory"))
		keep(c->memory_limit, sizeof c->memory_limit, v);
	else if (!strcmp(v->path, "resources.requests.memory"))
		keep(c->memory_request, sizeof c->memory_request, v);
	else if (!strcmp(v->path, "resources.limits.nvidia.com/gpu"))
		keep(c->gpus, sizeof c->gpus, v);
	else if ((key = behind(v->path, "livenessProbe.")))
		probe_value(&c->liveness, key, v);
	else if ((key = behind(v->path, "startupProbe.")))
		probe_value(&c->startup, key, v);
}

/* How it is. */
static void status_value(struct object_container *c, const struct value *v)
{
	const char *key;

	if (!strcmp(v->path, "restartCount")) {
		c->restarts = number_of(v);
	} else if (!strcmp(v->path, "ready")) {
		c->ready = yes_of(v);
	} else if (!strcmp(v->path, "started")) {
		c->started = yes_of(v);
	} else if ((key = behind(v->path, "state.terminated."))) {
		end_value(&c->now, key, v);
	} else if ((key = behind(v->path, "lastState.terminated."))) {
		end_value(&c->last, key, v);
	} else if (!strcmp(v->path, "state.waiting.reason")) {
		keep(c->waiting, sizeof c->waiting, v);
		c->waiting_line = v->line;
	} else if (!strcmp(v->path, "state.waiting.message")) {
		keep(c->waiting_message, sizeof c->waiting_message, v);
	} else if (behind(v->path, "state.running")) {
		c->running = true;
	}
}

static bool container_value(struct object *o, struct value *v)
{
	static const struct {
		const char *prefix;
		bool wish, init;
	} places[] = {{"spec.containers[].", true, false}, {"spec.initContainers[].", true, true},
		{"status.containerStatuses[].", false, false}, {"status.initContainerStatuses[].", false, true}};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const char *rest = behind(v->path, places[i].prefix);

		if (!rest)
			continue;
		struct object_container *c = &o->container;
		struct value inner = *v;
		inner.path = rest;
		c->init = places[i].init;
		if (!c->line)
			c->line = v->line;
		if (!strcmp(rest, "name"))
			keep(c->name, sizeof c->name, v);
		else if (places[i].wish)
			wish_value(c, &inner);
		else
			status_value(c, &inner);
		o->pod.judged = o->pod.judged || !places[i].wish;
		o->known = true;
		return true;
	}
	return false;
}

static bool condition_value(struct object *o, const struct value *v)
{
	const char *key = behind(v->path, "status.conditions[].");
	struct object_condition *c = &o->condition;

	if (!key)
		return false;
	if (!strcmp(key, "type"))
		keep(c->type, sizeof c->type, v);
	else if (!strcmp(key, "status"))
		keep(c->status, sizeof c->status, v);
	else if (!strcmp(key, "reason"))
		keep(c->reason, sizeof c->reason, v);
	else if (!strcmp(key, "message"))
		keep(c->message, sizeof c->message, v);
	if (!c->line || !strcmp(key, "message"))
		c->line = v->line;
	o->pod.judged = o->known = true;
	return true;
}

/* Docker's inspect, podman's, and crictl's. */
static void docker_end(struct object_pod *p, const char *key, const struct value *v)
{
	struct object_container *c = p->count ? &p->containers[0] : object_pod_container(p, "");

	p->docker = p->judged = true;
	if (!strcmp(key, "ExitCode")) {
		c->now.there = true;
		c->now.code = (int)strtol(v->text, NULL, 10);
		c->now.line = v->line;
	} else if (!strcmp(key, "OOMKilled")) {
		c->oom_killed = yes_of(v) == OBJECT_YES;
		p->docker_line = v->line;
	} else if (!strcmp(key, "Error")) {
		keep(p->docker_error, sizeof p->docker_error, v);
		p->error_line = v->line;
	} else if (!strcmp(key, "Status")) {
		keep(p->docker_status, sizeof p->docker_status, v);
	} else if (!strcmp(key, "StartedAt")) {
		keep(c->now.started, sizeof c->now.started, v);
	} else if (!strcmp(key, "FinishedAt")) {
		keep(c->now.finished, sizeof c->now.finished, v);
	} else if (!strcmp(key, "Health.Status") || !strcmp(key, "Healthcheck.Status")) {
		keep(p->docker_health, sizeof p->docker_health, v);
	} else if (!strcmp(key, "Health.Log[].Output") || !strcmp(key, "Healthcheck.Log[].Output")) {
		keep(p->health_output, sizeof p->health_output, v);
	}
}

static void bytes_text(char *to, size_t cap, uint64_t bytes)
{
	if (bytes >= 1024 * 1024 * 1024)
		snprintf(to, cap, "%.4g GiB", (double)bytes / (1024.0 * 1024 * 1024));
	else
		snprintf(to, cap, "%.4g MiB", (double)bytes / (1024.0 * 1024));
}

static bool docker_value(struct object *o, const struct value *v)
{
	struct object_pod *p = &o->pod;
	const char *key = behind(v->path, "State.");
	uint64_t bytes = strtoull(v->text, NULL, 10);

	if (key) {
		docker_end(p, key, v);
	} else if (p->docker && !strcmp(v->path, "RestartCount")) {
		p->containers[0].restarts = number_of(v);
	} else if (p->docker && !strcmp(v->path, "Name")) {
		text_keep(p->containers[0].name, sizeof p->containers[0].name, v->text + (*v->text == '/'));
	} else if (p->docker && !strcmp(v->path, "HostConfig.Memory") && bytes > 0) {
		bytes_text(p->containers[0].memory_limit, sizeof p->containers[0].memory_limit, bytes);
	} else if (p->docker && !strcmp(v->path, "HostConfig.ShmSize")) {
		p->shm_bytes = bytes;
	} else {
		return false;
	}
	o->known = true;
	return true;
}

static bool crictl_value(struct object *o, const struct value *v)
{
	static const struct {
		const char *path, *key;
	} ends[] = {{"status.exitCode", "exitCode"}, {"status.startedAt", "startedAt"},
		{"status.finishedAt", "finishedAt"}, {"status.reason", "reason"}, {"status.message", "message"}};
	struct object_pod *p = &o->pod;
	struct object_container *c = p->count ? &p->containers[0] : NULL;

	/* A pod's status has no exit code of its own. */
	if (!strcmp(v->path, "status.exitCode") && !c) {
		c = object_pod_container(p, "");
		p->crictl = p->judged = o->known = true;
	}
	if (c && !p->crictl)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ends) && c; i++)
		if (!strcmp(v->path, ends[i].path)) {
			end_value(&c->now, ends[i].key, v);
			return true;
		}
	if (!strcmp(v->path, "status.state") && behind(v->text, "CONTAINER_")) {
		keep(p->docker_status, sizeof p->docker_status, v);
		p->judged = o->known = true;
	} else if (!strcmp(v->path, "status.metadata.name") && c) {
		keep(c->name, sizeof c->name, v);
	} else if (!strcmp(v->path, "status.metadata.attempt") && c) {
		c->restarts = number_of(v);
	} else if (!strcmp(v->path, "status.labels.io.kubernetes.pod.name")) {
		keep(p->name, sizeof p->name, v);
	} else if (!strcmp(v->path, "status.labels.io.kubernetes.pod.namespace")) {
		keep(p->space, sizeof p->space, v);
	} else if (!strcmp(v->path, "info.runtimeSpec.linux.resources.memory.limit") && c) {
		bytes_text(c->memory_limit, sizeof c->memory_limit, strtoull(v->text, NULL, 10));
	} else {
		return false;
	}
	return true;
}

static bool event_value(struct object *o, const struct value *v)
{
	struct object_pod *p = &o->pod;
	const char *key = behind(v->path, "involvedObject.");

	if (!key)
		key = behind(v->path, "regarding.");
	if (key && (!strcmp(key, "kind") || !strcmp(key, "name"))) {
		size_t n = strlen(p->about);
		snprintf(p->about + n, sizeof p->about - n, "%s%s", n ? " " : "", v->text);
		o->known = true;
	} else if (!strcmp(v->path, "type")) {
		keep(p->event_type, sizeof p->event_type, v);
	} else if (!strcmp(v->path, "reason")) {
		keep(p->event_reason, sizeof p->event_reason, v);
	} else if (!strcmp(v->path, "message") || !strcmp(v->path, "note")) {
		keep(p->event_message, sizeof p->event_message, v);
		p->event_line = v->line;
	} else if (!strcmp(v->path, "count") || !strcmp(v->path, "series.count") ||
		   !strcmp(v->path, "deprecatedCount")) {
		p->event_count = MAX(p->event_count, number_of(v));
	} else {
		return key != NULL;
	}
	return true;
}

/* docker compose ps --format json, docker ps --format json: flat. */
static bool listed_value(struct object *o, const struct value *v)
{
	struct object_pod *p = &o->pod;

	if (!strcmp(v->path, "Status")) {
		keep(p->docker_status, sizeof p->docker_status, v);
		p->docker_line = v->line;
	} else if (!strcmp(v->path, "Names") || !strcmp(v->path, "Name")) {
		keep(p->name, sizeof p->name, v);
	} else if (!strcmp(v->path, "State")) {
		o->known = p->judged = true;
	} else {
		return false;
	}
	return true;
}

/* A line of a log, wrapped in JSON by Docker's json-file or by journald. */
static bool log_value(struct object *o, const struct value *v)
{
	/* Google's and Amazon's exports: a list of entries, or one a line. */
	if (!strcmp(v->path, "textPayload") || !strcmp(v->path, "jsonPayload.message") ||
		!strcmp(v->path, "jsonPayload.msg") ||
		(!strcmp(v->path, "message") && !strncmp(o->path, "events[].", 9))) {
		o->log_len = MIN(v->len, sizeof o->log - 1);
		memcpy(o->log, v->text, o->log_len);
		o->log_line = v->line;
		o->has_log = true;
		o->has_stream = o->has_stream || *v->path == 'm';
		o->known = o->known || o->has_stream;
		return true;
	}
	if (!strcmp(v->path, "insertId") || !strcmp(v->path, "logName")) {
		o->has_stream = true;
		o->known = o->known || o->has_log;
		return true;
	}
	if (!strcmp(v->path, "resource.labels.pod_name")) {
		keep(o->ident, sizeof o->ident, v);
		return true;
	}
	if (o->root_path > 0)
		return false;
	if (!strcmp(v->path, "log") || !strcmp(v->path, "MESSAGE")) {
		o->log_len = MIN(v->len, sizeof o->log - 1);
		memcpy(o->log, v->text, o->log_len);
		o->has_log = true;
		o->log_line = v->line;
	} else if (!strcmp(v->path, "MESSAGE[]")) { /* bytes that are no text, such as colours */
		if (o->log_len < sizeof o->log - 1)
			o->log[o->log_len++] = (char)strtoul(v->text, NULL, 10);
		o->has_log = true;
		o->log_line = v->line;
	} else if (!strcmp(v->path, "stream") || !strcmp(v->path, "__REALTIME_TIMESTAMP") ||
		   !strcmp(v->path, "__CURSOR")) {
		o->has_stream = true;
	} else if (!strcmp(v->path, "time")) {
		keep(o->stamp, sizeof o->stamp, v);
	} else if (!strcmp(v->path, "SYSLOG_IDENTIFIER")) {
		keep(o->ident, sizeof o->ident, v);
	} else if (!strcmp(v->path, "_PID") || !strcmp(v->path, "SYSLOG_PID")) {
		keep(o->pid, sizeof o->pid, v);
	} else {
		return false;
	}
	o->known = o->known || (o->has_log && o->has_stream);
	return true;
}

static void pod_value(struct object *o, const struct value *v)
{
	struct object_pod *p = &o->pod;

	if (!strcmp(v->path, "metadata.name")) {
		keep(p->name, sizeof p->name, v);
		p->line = v->line;
	} else if (!strcmp(v->path, "metadata.namespace")) {
		keep(p->space, sizeof p->space, v);
	} else if (!strcmp(v->path, "kind")) {
		keep(p->kind, sizeof p->kind, v);
	} else if (!strcmp(v->path, "apiVersion")) {
		o->known = true;
	} else if (!strcmp(v->path, "status.phase")) {
		keep(p->phase, sizeof p->phase, v);
		p->phase_line = v->line;
		p->judged = o->known = true;
	} else if (!strcmp(v->path, "status.reason")) {
		keep(p->reason, sizeof p->reason, v);
	} else if (!strcmp(v->path, "status.message")) {
		keep(p->message, sizeof p->message, v);
	} else if (!strcmp(v->path, "status.capacity.nvidia.com/gpu")) {
		keep(p->gpus_capacity, sizeof p->gpus_capacity, v);
		p->judged = o->known = true;
	} else if (!strcmp(v->path, "status.allocatable.nvidia.com/gpu")) {
		keep(p->gpus_allocatable, sizeof p->gpus_allocatable, v);
		p->gpus_line = v->line;
	}
}

/* ---- places ---- */

static size_t path_add(struct object *o, const char *key, bool list)
{
	size_t before = strlen(o->path), n = strlen(key);

	if (before + n + 4 > sizeof o->path)
		return SIZE_MAX;
	if (n > 0 && before > 0) /* a list's item has no key */
		o->path[before++] = '.';
	memcpy(o->path + before, key, n);
	memcpy(o->path + before + n, list ? "[]" : "", list ? 3 : 1);
	return before;
}

static void root_begin(struct object *o)
{
	o->root = o->depth;
	o->root_path = (uint32_t)strlen(o->path);
	root_reset(o);
}

/* May an object that opens here be one that is told of? At the top, in a list at the top, or in a list of "items"
 * (Kubernetes) or "events" (CloudWatch). */
static bool is_root_place(const struct object *o)
{
	return *o->path == '\0' || !strcmp(o->path, "[]") || !strcmp(o->path, "items[]") ||
	       !strcmp(o->path, "events[]");
}

void object_open(struct object *o, const char *key, bool list, uint64_t line)
{
	(void)line;
	if (o->depth == OBJECT_DEPTH_MAX) {
		o->too_deep++;
		return;
	}
	size_t before = strlen(o->path);
	bool lost = path_add(o, key, list) == SIZE_MAX;

	o->stack[o->depth].path_len = (uint16_t)before;
	o->stack[o->depth].list = list;
	o->stack[o->depth].lost = lost;
	o->depth++;
	o->lost += lost;
	if (!list && !lost && is_root_place(o))
		root_begin(o);
}

/* An item of a list that is kept: what was read of it joins the pod. */
static void item_end(struct object *o)
{
	const char *path = o->path + MIN(o->root_path, strlen(o->path));
	struct object_container *c;

	if (*path == '.')
		path++;
	if (!strcmp(path, "status.conditions[]")) {
		if (o->pod.conditions_len < ARRAY_LEN(o->pod.conditions))
			o->pod.conditions[o->pod.conditions_len++] = o->condition;
		o->condition = (struct object_condition){0};
		return;
	}
	if (!behind(path, "spec.containers[]") && !behind(path, "spec.initContainers[]") &&
		!behind(path, "status.containerStatuses[]") && !behind(path, "status.initContainerStatuses[]"))
		return;
	if (strstr(path, "[]")[2] != '\0')
		return;
	if ((c = object_pod_container(&o->pod, o->container.name)) != NULL) {
		struct object_container *r = &o->container;
		bool status = *path == 's' && path[1] == 't';

		if (status) { /* the wishes stay */
			memcpy(r->memory_limit, c->memory_limit, sizeof r->memory_limit);
			memcpy(r->memory_request, c->memory_request, sizeof r->memory_request);
			memcpy(r->gpus, c->gpus, sizeof r->gpus);
			r->liveness = c->liveness;
			r->startup = c->startup;
			*c = *r;
		} else {
			memcpy(c->memory_limit, r->memory_limit, sizeof r->memory_limit);
			memcpy(c->memory_request, r->memory_request, sizeof r->memory_request);
			memcpy(c->gpus, r->gpus, sizeof r->gpus);
			c->liveness = r->liveness;
			c->startup = r->startup;
			c->init = r->init;
			c->line = c->line ? c->line : r->line;
		}
	}
	o->container = (struct object_container){0};
}

/* The lines of a message, each of which stands where it does. */
static void log_tell(struct object *o)
{
	char line[OBJECT_LINE_BYTES + 256], head[192];

	/* To the second: all lines of a traceback begin alike. */
	snprintf(head, sizeof head, "%s%.19s%s%s%s%s%s%s", *o->stamp ? "[" : "", o->stamp, *o->stamp ? "] " : "",
		o->ident, *o->ident && *o->pid ? "[" : "", *o->ident ? o->pid : "", *o->ident && *o->pid ? "]" : "",
		*o->ident ? ": " : "");
	for (size_t at = 0; at < o->log_len;) {
		const char *end = memchr(o->log + at, '\n', o->log_len - at);
		size_t n = end ? (size_t)(end - o->log) - at : o->log_len - at;

		snprintf(line, sizeof line, "%s%.*s", head, (int)MIN(n, (size_t)OBJECT_LINE_BYTES), o->log + at);
		o->told(o->ctx, o->log_line, line);
		at += n + 1;
	}
}

static void root_end(struct object *o)
{
	if (o->has_log && o->has_stream) {
		log_tell(o);
		o->judged = true;
	} else {
		object_pod_tell(&o->pod, o->told, o->ctx);
		o->judged = o->judged || o->pod.judged || o->pod.about[0];
	}
	o->root = 0;
}

void object_close(struct object *o)
{
	if (o->too_deep > 0) {
		o->too_deep--;
		return;
	}
	if (o->depth == 0)
		return;
	if (o->root == o->depth)
		root_end(o);
	else if (o->root > 0 && !o->stack[o->depth - 1].list)
		item_end(o);
	o->depth--;
	o->lost -= o->stack[o->depth].lost;
	o->path[o->stack[o->depth].path_len] = '\0';
}

void object_value(struct object *o, const char *key, const char *text, size_t len, uint64_t line)
{
	size_t before = strlen(o->path);

	if (o->too_deep || o->lost || o->root == 0 || path_add(o, key, false) == SIZE_MAX)
		return;
	struct value v = {.text = text, .len = len, .line = line, .path = o->path + o->root_path};
	if (*v.path == '.')
		v.path++;
	if (!container_value(o, &v) && !condition_value(o, &v) && !docker_value(o, &v) && !crictl_value(o, &v) &&
		!log_value(o, &v) && !event_value(o, &v) && !listed_value(o, &v))
		pod_value(o, &v);
	o->path[before] = '\0';
}
