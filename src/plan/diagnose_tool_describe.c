/* diagnose_tool_describe.c - kubectl describe of pods and nodes, by its margins: sections at 0, containers at 2, their keys at 4,
 * what belongs to a state at 6. See diagnose_tool_priv.h. */
#include "plan/diagnose_tool_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTAINER_INDENT = 2, KEY_INDENT = 4 };

bool tool_describe_begins(const char *line, size_t len)
{
	return len > 7 && memcmp(line, "Name:  ", 7) == 0;
}

void tool_describe_init(struct tool_describe *d, object_told *told, void *ctx)
{
	d->told = told;
	d->ctx = ctx;
	d->judged = d->any = d->known = false;
	d->section = SECTION_HEAD;
	d->container = NULL;
	d->end = NULL;
	d->message = NULL;
	object_pod_reset(&d->pod);
}

static void pod_end(struct tool_describe *d)
{
	if (d->any) {
		d->judged = d->judged || d->pod.judged;
		object_pod_tell(&d->pod, d->told, d->ctx);
	}
	object_pod_reset(&d->pod);
	d->section = SECTION_HEAD;
	d->container = NULL;
	d->end = NULL;
	d->message = NULL;
	d->any = false;
}

void tool_describe_end(struct tool_describe *d)
{
	pod_end(d);
}

/* A line as "  Key:   value". */
struct keyed {
	uint32_t indent;
	char key[64];
	char value[2048];
	uint64_t number;
};

static bool keyed_read(const char *line, size_t len, uint64_t number, struct keyed *ret)
{
	size_t at = 0, end, value;

	while (at < len && line[at] == ' ')
		at++;
	for (end = at; end < len && !(line[end] == ':' && (end + 1 == len || line[end + 1] == ' ')); end++)
		if (!isalnum((unsigned char)line[end]) && !strchr(" -_/.()", line[end]))
			return false;
	if (end == len || end == at || end - at >= sizeof ret->key)
		return false;
	ret->indent = (uint32_t)at;
	ret->number = number;
	snprintf(ret->key, sizeof ret->key, "%.*s", (int)(end - at), line + at);
	for (value = end + 1; value < len && line[value] == ' ';)
		value++;
	while (len > value && isspace((unsigned char)line[len - 1]))
		len--;
	snprintf(ret->value, sizeof ret->value, "%.*s", (int)MIN(len - value, sizeof ret->value - 1), line + value);
	return true;
}

#define KEEP(to, k) text_keep((to), sizeof(to), (k)->value)

/* "http-get http://:8000/health delay=60s timeout=1s period=10s #success=1 #failure=3" */
static void probe_read(struct object_probe *p, const char *text)
{
	const char *delay = strstr(text, "delay="), *period = strstr(text, "period="),
		   *failure = strstr(text, "#failure=");

	p->there = true;
	p->delay_s = delay ? (uint32_t)strtoul(delay + 6, NULL, 10) : 0;
	p->period_s = period ? (uint32_t)strtoul(period + 7, NULL, 10) : 0;
	p->failures = failure ? (uint32_t)strtoul(failure + 9, NULL, 10) : 0;
}

static void state_part(struct tool_describe *d, const struct keyed *k)
{
	struct object_container *c = d->container;
	bool waits = !strcmp(d->part, "State") && !d->end;

	if (waits && !strcmp(k->key, "Reason")) {
		KEEP(c->waiting, k);
		c->waiting_line = k->number;
	} else if (waits && !strcmp(k->key, "Message")) {
		KEEP(c->waiting_message, k);
		d->message = c->waiting_message;
		d->message_cap = sizeof c->waiting_message;
	}
	if (!d->end)
		return;
	if (!strcmp(k->key, "Reason")) {
		KEEP(d->end->reason, k);
	} else if (!strcmp(k->key, "Exit Code")) {
		d->end->code = (int)strtol(k->value, NULL, 10);
		d->end->line = k->number;
	} else if (!strcmp(k->key, "Signal")) {
		d->end->signal = (int)strtol(k->value, NULL, 10);
	} else if (!strcmp(k->key, "Started")) {
		KEEP(d->end->started, k);
	} else if (!strcmp(k->key, "Finished")) {
		KEEP(d->end->finished, k);
	} else if (!strcmp(k->key, "Message")) {
		KEEP(d->end->message, k);
		d->end->message_line = k->number;
		d->message = d->end->message;
		d->message_cap = sizeof d->end->message;
	}
}

static void resource_part(struct tool_describe *d, const struct keyed *k)
{
	struct object_container *c = d->container;

	if (!strcmp(k->key, "memory") && !strcmp(d->part, "Limits"))
		KEEP(c->memory_limit, k);
	else if (!strcmp(k->key, "memory") && !strcmp(d->part, "Requests"))
		KEEP(c->memory_request, k);
	else if (!strcmp(k->key, "nvidia.com/gpu") && !strcmp(d->part, "Limits"))
		KEEP(c->gpus, k);
}

static void container_key(struct tool_describe *d, const struct keyed *k)
{
	struct object_container *c = d->container;
	bool state = !strcmp(k->key, "State"), last = !strcmp(k->key, "Last State");

	text_keep(d->part, sizeof d->part, k->key);
	d->end = NULL;
	if (state || last) {
		d->pod.judged = true;
		if (!strcmp(k->value, "Terminated")) {
			d->end = state ? &c->now : &c->last;
			d->end->there = true;
			d->end->line = k->number;
		}
		c->running = c->running || (state && !strcmp(k->value, "Running"));
	} else if (!strcmp(k->key, "Ready")) {
		c->ready = !strcmp(k->value, "True") ? OBJECT_YES : OBJECT_NO;
	} else if (!strcmp(k->key, "Restart Count")) {
		c->restarts = (uint32_t)strtoul(k->value, NULL, 10);
	} else if (!strcmp(k->key, "Liveness")) {
		probe_read(&c->liveness, k->value);
	} else if (!strcmp(k->key, "Startup")) {
		probe_read(&c->startup, k->value);
	}
}

static void containers_line(struct tool_describe *d, const struct keyed *k, bool init)
{
	if (k->indent == CONTAINER_INDENT && !*k->value) {
		d->container = object_pod_container(&d->pod, k->key);
		d->end = NULL;
		if (d->container) {
			d->container->init = init;
			d->container->line = k->number;
		}
	} else if (d->container && k->indent == KEY_INDENT) {
		container_key(d, k);
	} else if (d->container && k->indent > KEY_INDENT &&
		   (!strcmp(d->part, "State") || !strcmp(d->part, "Last State"))) {
		state_part(d, k);
	} else if (d->container && k->indent > KEY_INDENT) {
		resource_part(d, k);
	}
}

static void head_line(struct tool_describe *d, const struct keyed *k)
{
	struct object_pod *p = &d->pod;

	if (!strcmp(k->key, "Name")) {
		pod_end(d);
		KEEP(p->name, k);
		p->line = k->number;
		d->any = true;
	} else if (!strcmp(k->key, "Namespace")) {
		KEEP(p->space, k);
	} else if (!strcmp(k->key, "Status")) {
		KEEP(p->phase, k);
		p->phase_line = k->number;
		p->judged = true;
	} else if (!strcmp(k->key, "Reason")) {
		KEEP(p->reason, k);
	} else if (!strcmp(k->key, "Message")) {
		KEEP(p->message, k);
		d->message = p->message;
		d->message_cap = sizeof p->message;
	}
}

static void section_begin(struct tool_describe *d, const struct keyed *k)
{
	static const char *const marks[] = {"Namespace", "Priority", "Labels", "Annotations", "Roles", "Containers"};
	static const struct {
		const char *key;
		enum tool_section section;
	} rows[] = {{"Containers", SECTION_CONTAINERS}, {"Init Containers", SECTION_CONTAINERS},
		{"Capacity", SECTION_CAPACITY}, {"Allocatable", SECTION_ALLOCATABLE}, {"Events", SECTION_EVENTS},
		{"Conditions", SECTION_CONDITIONS}};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		d->known = d->known || !strcmp(k->key, marks[i]);
	d->section = *k->value ? SECTION_HEAD : SECTION_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!strcmp(k->key, rows[i].key))
			d->section = rows[i].section;
	d->container = NULL;
	d->end = NULL;
	d->init = !strcmp(k->key, "Init Containers");
	head_line(d, k);
}

/* "  MemoryPressure   False   Mon, 30 Nov ...   KubeletHasSufficientMemory   kubelet has ..."; a pod's have no reason. */
static void condition_line(struct tool_describe *d, const char *line, size_t len, uint64_t number)
{
	struct object_pod *p = &d->pod;
	struct object_condition *c = &p->conditions[p->conditions_len];
	char text[1024], *fields[8];
	size_t count = 0;

	if (p->conditions_len == OBJECT_CONDITIONS_MAX)
		return;
	snprintf(text, sizeof text, "%.*s", (int)MIN(len, sizeof text - 1), line);
	/* Columns are parted by two blanks or more. */
	for (char *at = text; *at && count < ARRAY_LEN(fields);) {
		at += strspn(at, " ");
		if (*at)
			fields[count++] = at;
		char *gap = strstr(at, "  ");
		if (!gap)
			break;
		*gap = '\0';
		at = gap + 1;
	}
	if (count < 2 || !strcmp(fields[0], "Type") || !strncmp(fields[0], "--", 2))
		return;
	*c = (struct object_condition){.line = number};
	text_keep(c->type, sizeof c->type, fields[0]);
	text_keep(c->status, sizeof c->status, fields[1]);
	if (count > 4) {
		text_keep(c->reason, sizeof c->reason, fields[4]);
		text_keep(c->message, sizeof c->message, count > 5 ? fields[5] : "");
		snprintf(p->kind, sizeof p->kind, "Node");
	}
	p->conditions_len++;
	p->judged = true;
}

static bool all_ready(const struct object_pod *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (!p->containers[i].init && p->containers[i].ready != OBJECT_YES)
			return false;
	return p->count > 0;
}

static void event_line(struct tool_describe *d, const char *line, size_t len, uint64_t number)
{
	char text[OBJECT_LINE_BYTES];
	size_t at = 0;

	while (at < len && line[at] == ' ')
		at++;
	if (at == len || !strncmp(line + at, "----", MIN(4, len - at)) ||
		!strncmp(line + at, "Type ", MIN(5, len - at)))
		return;
	snprintf(text, sizeof text, "%.*s", (int)MIN(len - at, sizeof text - 1), line + at);
	d->pod.judged = true;
	/* While a model loads its probes fail: of a pod that is ready they tell nothing. */
	const char *probe = strstr(text, "Readiness probe failed");
	if (strstr(text, " probe failed") && all_ready(&d->pod))
		return;
	if (probe) {
		text_keep(d->pod.probe_message, sizeof d->pod.probe_message, probe);
		d->pod.probe_line = number;
	}
	char asked[64];
	size_t n = strlen(text);
	object_pod_asked(&d->pod, text, asked, sizeof asked);
	text_keep(text + n, sizeof text - n, asked);
	d->told(d->ctx, number, text);
}

/* Is this a key that stands behind a message? */
static bool is_key_behind(const struct tool_describe *d, const struct keyed *k)
{
	static const char *const parts[] = {"Reason", "Exit Code", "Signal", "Started", "Finished", "Ready",
		"Restart Count", "State", "Last State"};
	static const char *const sections[] = {
		"Containers", "Conditions", "Events", "Volumes", "QoS Class", "IP", "IPs"};
	const char *const *list = k->indent == 0 ? sections : parts;
	size_t len = k->indent == 0 ? ARRAY_LEN(sections) : ARRAY_LEN(parts);

	for (size_t i = 0; i < len; i++)
		if (!strcmp(k->key, list[i]))
			return true;
	return k->indent == 0 && d->section != SECTION_CONTAINERS;
}

/* The lines of a message stand below it as they are, without an indent of kubectl's. */
static bool message_goes_on(struct tool_describe *d, const char *line, size_t len, const struct keyed *k)
{
	size_t n;

	if (!d->message || (k && is_key_behind(d, k)) || (len == 0 && d->section != SECTION_CONTAINERS))
		return false;
	n = strlen(d->message);
	if (n + 2 < d->message_cap)
		snprintf(d->message + n, d->message_cap - n, "\n%.*s", (int)MIN(len, d->message_cap), line);
	return true;
}

bool tool_describe_line(struct tool_describe *d, const char *line, size_t len, uint64_t number)
{
	struct keyed k;
	bool keyed = keyed_read(line, len, number, &k);

	if (message_goes_on(d, line, len, keyed ? &k : NULL))
		return true;
	d->message = NULL;
	if (len == 0)
		return true;
	if (*line != ' ' && !(keyed && k.indent == 0))
		return false;
	if (keyed && k.indent == 0) {
		/* "ERROR: ..." of a log that follows. */
		if (d->section == SECTION_EVENTS && strcmp(k.key, "Name"))
			return false;
		section_begin(d, &k);
	} else if (d->section == SECTION_EVENTS) {
		event_line(d, line, len, number);
	} else if (d->section == SECTION_CONDITIONS) {
		condition_line(d, line, len, number);
	} else if (keyed && d->section == SECTION_CONTAINERS) {
		containers_line(d, &k, d->init);
	} else if (keyed && d->section == SECTION_CAPACITY && !strcmp(k.key, "nvidia.com/gpu")) {
		KEEP(d->pod.gpus_capacity, &k);
		d->pod.judged = true;
	} else if (keyed && d->section == SECTION_ALLOCATABLE && !strcmp(k.key, "nvidia.com/gpu")) {
		KEEP(d->pod.gpus_allocatable, &k);
		d->pod.gpus_line = number;
	}
	return true;
}
