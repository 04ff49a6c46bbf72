/* diagnose.c - logs to known lines, known lines to findings; see diagnose.h. How a log is read is in diagnose_log.c. */
#include "plan/diagnose.h"
#include "base/json_out.h"
#include "base/utf8.h"
#include "plan/diagnose_graph.h"
#include "plan/diagnose_log.h"

#include <stdio.h>
#include <string.h>

enum { SENTENCE_BYTES_MAX = 2048, EVIDENCE_LOGS_MAX = 4, EVIDENCE_BYTES = 400, FOLLOWS_LINES = 20 };

struct diagnosis {
	const struct catalogue *catalogue;
	struct diagnosed_log *logs[LOGS_MAX];
	uint32_t count;
};

int diagnosis_create(struct diagnosis **ret, const struct catalogue *catalogue, struct err *err)
{
	struct diagnosis *d = calloc(1, sizeof *d);

	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	d->catalogue = catalogue;
	*ret = d;
	return 0;
}

void diagnosis_destroy(struct diagnosis *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; i < d->count; i++)
		diagnosed_log_destroy(d->logs[i]);
	free(d);
}

struct diagnosed_log *diagnosis_log(struct diagnosis *d, const char *name)
{
	struct diagnosed_log *log = d->count < LOGS_MAX ? diagnosed_log_create(d->catalogue, name) : NULL;

	if (log)
		d->logs[d->count++] = log;
	return log;
}

/* A signature, and the logs that have it. */
struct group {
	const struct signature *signature;
	const struct log_hit *first;
	const struct diagnosed_log *log; /* where first is */
	uint32_t logs, log_order;
	uint64_t count;
	bool survived; /* in all of them */
};

/* The order in which things are told. */
enum order { ORDER_CAUSE, ORDER_CONSEQUENCE, ORDER_WRAPPER, ORDER_WARNING, ORDER_INFO, ORDER_HARMLESS };

static enum order order_of(const struct group *g)
{
	const struct signature *s = g->signature;

	if (g->survived)
		return ORDER_INFO;
	switch (s->kind) {
	case SIGNATURE_CAUSE:
		return s->severity == FINDING_FATAL     ? ORDER_CAUSE
		       : s->severity == FINDING_WARNING ? ORDER_WARNING
							: ORDER_INFO;
	case SIGNATURE_CONSEQUENCE:
		return ORDER_CONSEQUENCE;
	case SIGNATURE_WRAPPER:
		return ORDER_WRAPPER;
	case SIGNATURE_HARMLESS:
	case SIGNATURE_MARKER:
		break;
	}
	return ORDER_HARMLESS;
}

/* Times of two logs can be compared when both have one. */
static int by_time(const struct group *a, const struct group *b)
{
	if (a->log != b->log && a->first->time_ms && b->first->time_ms && a->first->time_ms != b->first->time_ms)
		return a->first->time_ms < b->first->time_ms ? -1 : 1;
	if (a->log_order != b->log_order)
		return a->log_order < b->log_order ? -1 : 1;
	return a->first->line < b->first->line ? -1 : a->first->line > b->first->line;
}

static int group_compare(const void *va, const void *vb)
{
	const struct group *a = va, *b = vb;
	const struct signature *s = a->signature, *t = b->signature;

	if (order_of(a) != order_of(b))
		return order_of(a) < order_of(b) ? -1 : 1;
	if (s->class != t->class)
		return s->class < t->class ? -1 : 1;
	if (s->rank != t->rank)
		return s->rank < t->rank ? -1 : 1;
	int order = by_time(a, b);
	/* Of one line that which stands first in the catalogue. */
	return order != 0 ? order : s < t ? -1 : s > t;
}

static void group_add(struct group *g, const struct signature *s, const struct diagnosed_log *log, uint32_t order,
	const struct log_hit *hit)
{
	struct group one = {.signature = s, .first = hit, .log = log, .log_order = order};

	if (g->logs > 0 && hit->survived && !g->survived)
		return;
	if (g->survived && !hit->survived)
		*g = (struct group){.signature = s};
	if (g->logs == 0 || by_time(&one, g) < 0) {
		g->first = hit;
		g->log = log;
		g->log_order = order;
	}
	g->signature = s;
	g->survived = hit->survived;
	g->logs++;
	g->count += hit->count;
}

static uint32_t signatures_met(const struct diagnosis *d)
{
	uint64_t count = 0;
	const uint32_t *met;

	for (uint32_t i = 0; i < d->count; i++)
		count += diagnosed_log_met(d->logs[i], &met);
	return (uint32_t)MIN(count, (uint64_t)catalogue_len(d->catalogue));
}

/* The group of a signature among count, or the free place behind them. */
static struct group *group_of(struct group *groups, uint32_t count, const struct signature *s)
{
	uint32_t i = 0;

	while (i < count && groups[i].signature != s)
		i++;
	return &groups[i];
}

/* One group a signature that was seen. */
static uint32_t groups_make(const struct diagnosis *d, const struct diagnosed_log *only, struct group *groups)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->count; i++) {
		const uint32_t *met;
		uint32_t len = diagnosed_log_met(d->logs[i], &met);

		for (uint32_t k = 0; k < len && (!only || d->logs[i] == only); k++) {
			const struct log_hit *hit = diagnosed_log_hit(d->logs[i], met[k]);
			const struct signature *s = catalogue_at(d->catalogue, met[k]);

			if (!hit || s->kind == SIGNATURE_MARKER)
				continue;
			struct group *g = group_of(groups, count, s);
			count += g == &groups[count];
			group_add(g, s, d->logs[i], i, hit);
		}
	}
	qsort(groups, count, sizeof *groups, group_compare);
	return count;
}

static void evidence_add(
	const struct diagnosis *d, const struct diagnosed_log *only, const struct group *g, struct findings *ret)
{
	findings_evidence(
		ret, "%.*s%s", EVIDENCE_BYTES, g->first->text, strlen(g->first->text) > EVIDENCE_BYTES ? " ..." : "");
	if (g->logs == 1 || only)
		return;
	uint32_t k = catalogue_find(d->catalogue, g->signature->id), shown = 1;
	for (uint32_t i = 0; i < d->count; i++) {
		const struct log_hit *hit = diagnosed_log_hit(d->logs[i], k);

		if (!hit || d->logs[i] == g->log)
			continue;
		if (shown++ == EVIDENCE_LOGS_MAX) {
			findings_evidence(ret, "and in %u more logs", g->logs - EVIDENCE_LOGS_MAX);
			return;
		}
		findings_evidence(ret, "%s:%llu: %.*s", diagnosed_log_name(d->logs[i]), (unsigned long long)hit->line,
			EVIDENCE_BYTES, hit->text);
	}
}

/* By the first of the patterns that matches the line as it was kept: those that say more stand first. */
static void captures_take(const struct signature *s, const char *line, struct captures *ret)
{
	for (uint32_t i = 0; i < s->patterns_len; i++)
		if (pattern_match(&s->patterns[i], line, strlen(line), ret))
			return;
	ret->count = 0;
}

/* A line that passes on why something failed is of the class that the reason is of. */
static enum finding_class wrapper_class(const struct signature *s, const struct captures *captures)
{
	const struct capture *reason = captures_find(captures, "reason", strlen("reason"));
	char text[EVIDENCE_BYTES];

	if (s->kind != SIGNATURE_WRAPPER || !reason)
		return s->class;
	snprintf(text, sizeof text, "%.*s", (int)MIN(reason->len, (uint32_t)sizeof text - 1), reason->text);
	return line_failure_class(text);
}

static void group_tell(const struct diagnosis *d, const struct diagnosed_log *only, const struct diagnose_graph *graph,
	const struct group *g, bool after_cause, bool unknown, bool death, struct findings *ret)
{
	const struct signature *s = g->signature;
	const struct config_pos pos = {
		.file = diagnosed_log_name(g->log), .line = (uint32_t)MIN(g->first->line, UINT32_MAX)};
	enum finding_severity severity = s->severity;
	char cause[SENTENCE_BYTES_MAX], remedy[SENTENCE_BYTES_MAX];
	struct captures captures;

	captures_take(s, g->first->text, &captures);
	enum finding_class class = wrapper_class(s, &captures);
	if (!diagnose_graph_cause(graph, s, cause, sizeof cause))
		captures_fill(&captures, s->cause, cause, sizeof cause);
	captures_fill(&captures, s->remedy, remedy, sizeof remedy);
	if (after_cause && (s->kind == SIGNATURE_CONSEQUENCE || s->kind == SIGNATURE_WRAPPER))
		severity = unknown ? FINDING_WARNING : FINDING_INFO;
	else if (s->kind == SIGNATURE_WRAPPER && ret->fatals == 0)
		severity = FINDING_FATAL; /* it failed, and nothing else says so */
	if (g->survived || (death && s->kind == SIGNATURE_CAUSE))
		severity = FINDING_INFO;
	if (!findings_add(ret, severity, class, s->id, &pos, "%s%s", cause,
		    g->survived                                        ? " (survived: it served afterwards)"
		    : death && s->kind == SIGNATURE_CAUSE              ? " (follows from the above)"
		    : !after_cause || s->kind != SIGNATURE_CONSEQUENCE ? ""
		    : unknown                                          ? " (follows from something that is not known)"
								       : " (follows from the above)"))
		return;
	evidence_add(d, only, g, ret);
	if (*remedy && !g->survived)
		findings_remedy(ret, "%s", remedy);
	if (s->kind == SIGNATURE_WRAPPER)
		findings_wraps(ret);
	if (s->kind == SIGNATURE_HARMLESS)
		findings_harmless(ret);
	else
		diagnose_graph_tell(graph, s, &captures, ret);
}

/* A traceback that ends in no known line: then what follows from other failures is not the cause. */
static bool has_unknown_exception(const struct diagnosis *d, const struct diagnosed_log *only)
{
	for (uint32_t i = 0; i < d->count; i++) {
		const struct log_line *line;

		for (uint32_t k = 0; (!only || only == d->logs[i]) && (line = diagnosed_log_telling(d->logs[i], k));
			k++)
			if (line->weight >= LOG_LINE_EXCEPTION)
				return true;
	}
	return false;
}

/* Failures that no signature knows. */

struct unlisted {
	const struct diagnosed_log *log;
	const struct log_failure *failure;
};

static const char *const unlisted_codes[] = {
	[SHAPE_EXCEPTION] = "unlisted-exception", [SHAPE_ERROR] = "unlisted-error", [SHAPE_DEATH] = "unlisted-death"};
/* What a server that goes on serving logs: it says nothing of how the log ended. */
static const char unlisted_served[] = "unlisted-served";
/* A log signature: what an access log says of the server. */
static const char requests_failed[] = "requests-failed";
/* A line that by its words may tell of a failure. */
static const char unlisted_doubt[] = "unlisted-doubt";

bool finding_is_unlisted(const struct finding *f)
{
	return strncmp(f->code, "unlisted-", strlen("unlisted-")) == 0;
}

static const char *unlisted_sentence(enum line_shape shape, bool served, bool doubt)
{
	return doubt                      ? "a line that is not in the catalogue may tell of a failure"
	       : served                   ? "it serves, and logged an error that is not in the catalogue"
	       : shape == SHAPE_EXCEPTION ? "it failed with an error that is not in the catalogue"
	       : shape == SHAPE_ERROR     ? "an error was logged that is not in the catalogue"
					  : "a process died of something that is not in the catalogue";
}

static const char *unlisted_remedy(enum finding_class class)
{
	switch (class) {
	case FINDING_CAPACITY:
		return "make it smaller or give it more: the message says of what there was too little";
	case FINDING_CONFIGURATION:
		return "look for the option, file or value that the message names, and correct it";
	case FINDING_ENVIRONMENT:
		return "look for the file, library, address or device that the message names: is it there and allowed?";
	case FINDING_CRASH:
		break;
	}
	return "read the lines above it; search the engine's issues for the message and its version";
}

static void unlisted_add(
	const struct unlisted *u, enum finding_severity severity, const char *more, struct findings *ret)
{
	const struct config_pos pos = {
		.file = diagnosed_log_name(u->log), .line = (uint32_t)MIN(u->failure->line, UINT32_MAX)};
	const char *before = u->failure->before;
	enum finding_class class = line_failure_class(u->failure->text);
	char text[EVIDENCE_BYTES];

	if (before && class == FINDING_CRASH)
		class = line_failure_class(before);
	snprintf(text, sizeof text, "%s%s%s", u->failure->text, before ? "; the line before it: " : "",
		before ? before : "");
	utf8_plain(text);
	const char *code = u->failure->serving && severity == FINDING_WARNING ? unlisted_served
									      : unlisted_codes[u->failure->shape];
	if (u->failure->doubt)
		code = unlisted_doubt;
	if (!findings_add(ret, severity, class, code, &pos, "%s: %s%s",
		    unlisted_sentence(u->failure->shape, code == unlisted_served, u->failure->doubt), text, more))
		return;
	findings_evidence(ret, "%.*s%s", EVIDENCE_BYTES, u->failure->evidence,
		strlen(u->failure->evidence) > EVIDENCE_BYTES ? " ..." : "");
	if (severity != FINDING_INFO)
		findings_remedy(ret, "%s", unlisted_remedy(class));
}

/* Does a tell more of the root than b? That which explains, and of those the first. */
static bool tells_more(const struct unlisted *a, const struct unlisted *b)
{
	const struct log_failure *f = a->failure, *g = b->failure;

	if ((f->shape == SHAPE_EXCEPTION) != (g->shape == SHAPE_EXCEPTION))
		return f->shape == SHAPE_EXCEPTION;
	return f->time_ms && g->time_ms && f->time_ms < g->time_ms;
}

/* The line that says that something failed; one that says why is better. NULL: there is none. */
static const struct group *wrapper_of(const struct group *groups, uint32_t count)
{
	const struct group *ret = NULL;

	for (uint32_t i = 0; i < count; i++) {
		const struct group *g = &groups[i];
		struct captures captures;

		if (g->signature->kind != SIGNATURE_WRAPPER || g->survived)
			continue;
		captures_take(g->signature, g->first->text, &captures);
		if (captures_find(&captures, "reason", strlen("reason")))
			return g;
		ret = ret ? ret : g;
	}
	return ret;
}

/* Does the failure, no exception, only come behind a line of the same log that says why? */
static bool is_said_by(const struct group *wrapper, const struct diagnosed_log *log, const struct log_failure *f)
{
	struct captures captures;

	if (wrapper->log != log || f->shape == SHAPE_EXCEPTION || f->line < wrapper->first->line)
		return false;
	captures_take(wrapper->signature, wrapper->first->text, &captures);
	return captures_find(&captures, "reason", strlen("reason")) != NULL;
}

/* An exception does, and what NCCL warns of: its errors only point at that. */
static bool says_why(const struct log_failure *f)
{
	return f->shape == SHAPE_EXCEPTION || strstr(f->evidence, "NCCL WARN ");
}

/* The failure no signature knows that is the root of all: the first of what is sure to have ended a process. best: when what
 * follows from other failures is known; then only what says why is worth telling. wrapper: the line that says that something failed, or NULL.
 * False: there is none. */
static bool unlisted_tell(const struct diagnosis *d, const struct diagnosed_log *only, enum order best,
	const struct group *wrapper, struct findings *ret)
{
	bool explained = best == ORDER_CONSEQUENCE;
	struct unlisted root = {0}, doubt = {0};
	bool died;

	for (uint32_t i = 0; i < d->count; i++) {
		const struct diagnosed_log *log = d->logs[i];
		struct unlisted one = {log, only && only != log ? NULL : diagnosed_log_failure(log, &died)};

		if (!one.failure || (explained && !says_why(one.failure)) ||
			(wrapper && (one.failure->doubt || is_said_by(wrapper, log, one.failure))))
			continue;
		died = died || explained || wrapper;
		if (died && (!root.failure || tells_more(&one, &root)))
			root = one;
		else if (!died && !doubt.failure)
			doubt = one;
	}
	if (root.failure)
		unlisted_add(&root, FINDING_FATAL, "", ret);
	else if (doubt.failure)
		unlisted_add(&doubt, FINDING_WARNING, "", ret);
	return root.failure != NULL;
}

/* A signature that knows only how a process died (a signal, an assertion of no name) is no cause beside an error that tells
 * why and stands before it. */
static bool death_explained(const struct group *g, struct findings *ret)
{
	struct line_look look;
	size_t at;

	if (g->signature->class != FINDING_CRASH)
		return false;
	line_look(&look, g->first->text, strlen(g->first->text));
	if (line_shape(&look, &at) != SHAPE_DEATH)
		return false;
	struct unlisted one = {g->log, diagnosed_log_reason(g->log, g->first->line)};
	if (one.failure)
		unlisted_add(&one, FINDING_FATAL, "", ret);
	return one.failure != NULL;
}

static void survived_tell(const struct diagnosis *d, const struct diagnosed_log *only, struct findings *ret)
{
	for (uint32_t i = 0; i < d->count; i++) {
		const struct log_failure *f = diagnosed_log_survived(d->logs[i]);

		if (f && (!only || only == d->logs[i]))
			unlisted_add(&(struct unlisted){d->logs[i], f}, FINDING_INFO,
				" (survived: it served afterwards)", ret);
	}
}

/* The verdict. */

const char *diagnosis_verdict_name(enum diagnosis_verdict verdict)
{
	static const char *const names[] = {[DIAGNOSIS_HEALTHY] = "healthy",
		[DIAGNOSIS_FAILED] = "failed",
		[DIAGNOSIS_UNKNOWN_CAUSE] = "failed-unknown-cause",
		[DIAGNOSIS_CANNOT_TELL] = "cannot-tell"};

	return names[verdict];
}

enum diagnosis_verdict diagnosis_verdict(
	const struct diagnosis *d, const struct diagnosed_log *only, const struct findings *f)
{
	const struct finding *first = f->len > 0 ? &f->items[0] : NULL;
	uint64_t lines = 0;
	bool cut = false, wrapper = false;

	ASSERT(f->items || f->len == 0);
	if (first && first->severity == FINDING_FATAL)
		return finding_is_unlisted(first) || first->wraps ? DIAGNOSIS_UNKNOWN_CAUSE : DIAGNOSIS_FAILED;
	for (uint32_t i = 0; i < d->count; i++) {
		const struct diagnosed_log *log = d->logs[i];

		if (only && only != log)
			continue;
		lines += diagnosed_log_lines(log);
		cut = cut || diagnosed_log_is_cut(log) || diagnosed_log_starts(log) || diagnosed_log_ends_in_error(log);
	}
	for (uint32_t i = 0; i < f->len; i++) {
		wrapper = wrapper || (f->items[i].severity <= FINDING_WARNING && f->items[i].wraps);
		cut = cut ||
		      (f->items[i].severity == FINDING_WARNING &&
			      ((finding_is_unlisted(&f->items[i]) && strcmp(f->items[i].code, unlisted_served) != 0) ||
				      strcmp(f->items[i].code, requests_failed) == 0));
	}
	/* "See the root cause above", and nothing is above. */
	if (wrapper)
		return DIAGNOSIS_UNKNOWN_CAUSE;
	return lines == 0 || cut ? DIAGNOSIS_CANNOT_TELL : DIAGNOSIS_HEALTHY;
}

/* Does this cause only come of the first: a crash behind it in the same log, or anything close behind it that the same process says? */
static bool follows(const struct group *first, const struct group *g)
{
	const char *a = first->first->text, *b = g->first->text;
	size_t n = line_stream(a, strlen(a));

	if (g->log != first->log || g->first->line < first->first->line || line_stream(b, strlen(b)) != n ||
		memcmp(a, b, n) != 0)
		return false;
	return g->signature->class == FINDING_CRASH || g->first->line <= first->first->line + FOLLOWS_LINES;
}

const char *diagnosis_doubt(const struct diagnosis *d, const struct findings *f)
{
	if (findings_has(f, requests_failed))
		return "requests were answered with errors of the server";
	for (uint32_t i = 0; i < d->count; i++)
		if (diagnosed_log_starts(d->logs[i]) && !diagnosed_log_is_cut(d->logs[i]))
			return "it ends while an engine starts, and nothing says whether it came up";
	for (uint32_t i = 0; i < d->count; i++)
		if (diagnosed_log_ends_in_error(d->logs[i]))
			return "its last line is an error, and nothing says how it went on";
	return NULL;
}

void diagnosis_conclude(const struct diagnosis *d, const struct diagnosed_log *only, const struct diagnose_graph *graph,
	struct findings *ret)
{
	CLEANUP(free_p) struct group *groups = calloc(signatures_met(d) + 1, sizeof *groups);

	if (!groups)
		return;
	uint32_t count = groups_make(d, only, groups);
	enum order best = count > 0 ? order_of(&groups[0]) : ORDER_HARMLESS;
	bool root = best == ORDER_CAUSE ? death_explained(&groups[0], ret)
					: unlisted_tell(d, only, best, wrapper_of(groups, count), ret);
	bool unknown = !root && best == ORDER_CONSEQUENCE && has_unknown_exception(d, only);
	for (uint32_t i = 0; i < count; i++) {
		bool wraps = groups[i].signature->kind == SIGNATURE_WRAPPER;

		bool second = i > 0 && best == ORDER_CAUSE && order_of(&groups[i]) == ORDER_CAUSE;

		/* Two signatures of one line are one cause. */
		if (second && groups[i].log == groups[0].log && groups[i].first->line == groups[0].first->line)
			continue;
		/* "See above" says nothing when what is above has been found. */
		if (wraps && !groups[i].survived && (best <= ORDER_CONSEQUENCE || root) && !unknown)
			continue;
		group_tell(d, only, graph, &groups[i], (i > 0 && best == ORDER_CAUSE) || unknown || root, unknown,
			(root && i == 0 && best == ORDER_CAUSE) || (second && follows(&groups[0], &groups[i])), ret);
	}
	survived_tell(d, only, ret);
}

bool findings_have_cause(const struct findings *f)
{
	return f->len > 0 && f->items[0].severity == FINDING_FATAL && !f->items[0].wraps;
}

uint32_t diagnosis_telling(
	const struct diagnosis *d, const struct diagnosed_log *only, uint32_t lines_max, struct buf *out)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->count; i++) {
		const struct log_line *line;

		for (uint32_t k = 0; (!only || only == d->logs[i]) && count < lines_max &&
				     (line = diagnosed_log_telling(d->logs[i], k)) != NULL;
			k++, count++)
			buf_printf(out, "%s:%llu: %s\n", diagnosed_log_name(d->logs[i]),
				(unsigned long long)line->number, line->text);
	}
	return count;
}

void diagnosis_json(enum diagnosis_verdict verdict, const struct findings *f, struct buf *out)
{
	buf_printf(out, "{\"verdict\": \"%s\", \"findings\": [", diagnosis_verdict_name(verdict));
	for (uint32_t i = 0; i < f->len; i++) {
		const struct finding *x = &f->items[i];

		buf_printf(out, "%s\n{\"severity\": \"%s\", \"class\": \"%s\", \"cause\": ", i ? "," : "",
			finding_severity_name(x->severity), finding_class_name(x->kind));
		json_out_cstr(out, x->what);
		buf_add_str(out, ", \"file\": ");
		json_out_cstr(out, x->file);
		buf_printf(out, ", \"line\": %u, \"remedy\": ", x->line);
		json_out_cstr(out, x->remedy ? x->remedy : "");
		buf_printf(out, ", \"harmless\": %s}", x->harmless ? "true" : "false");
	}
	buf_add_str(out, f->len ? "\n]}\n" : "]}\n");
}
