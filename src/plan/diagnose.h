/* diagnose.h - what went wrong, from the logs that a deployment left: known messages (diagnose_catalogue.h), of which one
 * is the root cause and others only follow from it.
 *
 * Fill a diagnosis with the logs of one deployment, in the order they are named; then conclude. Causes are ranked capacity,
 * configuration, environment, crash; of one class the one that came first. What other failures bring about comes after
 * them, a line that only says "see above" is no cause, harmless lines are called so. A message of several logs is told
 * once. When no signature knows a cause, the form of the lines does (diagnose_shape.h): the first exception that no signature
 * knows is the root, and is marked as not in the catalogue. What failed before a server says that it serves was survived.
 * Other lines that match nothing are never a cause: the most telling of them are kept to be shown.
 *
 * Thread: one owner; the catalogue may be shared. Memory: flat: at most LOGS_MAX logs, of each the first line of every
 * signature and a few telling ones, cut at DIAGNOSE_LINE_BYTES_MAX; it does not grow with the length of a log. */
#ifndef STATOR_PLAN_DIAGNOSE_H
#define STATOR_PLAN_DIAGNOSE_H

#include "plan/diagnose_catalogue.h"
#include "plan/finding.h"

enum {
	LOGS_MAX = 4096,
	DIAGNOSE_LINE_BYTES_MAX = 1024, /* of a line that is kept */
	DIAGNOSE_TELLING_MAX = 6, /* unknown lines kept of one log */
};

struct diagnosis;
struct diagnosed_log;
struct diagnose_graph;

/* Borrows catalogue for its life. */
int diagnosis_create(struct diagnosis **ret, const struct catalogue *catalogue, struct err *err);
void diagnosis_destroy(struct diagnosis *d);
DEFINE_CLEANUP(diagnosis_destroy, struct diagnosis)

/* Begin a log. Copies name (a file, a worker). NULL: too many, or no memory. Owned by d. */
struct diagnosed_log *diagnosis_log(struct diagnosis *d, const char *name);
/* More of it, cut anywhere. Never fails: out of memory something is missed. */
void diagnosed_log_feed(struct diagnosed_log *log, const char *data, size_t len);
/* What is there of a last line is a line. */
void diagnosed_log_end(struct diagnosed_log *log);
/* Forget what it said: a process starts again. The name stays. */
void diagnosed_log_reset(struct diagnosed_log *log);
/* Lines seen so far. */
uint64_t diagnosed_log_lines(const struct diagnosed_log *log);
/* Has a fatal cause been seen in it? Cheap. */
bool diagnosed_log_is_fatal(const struct diagnosed_log *log);

/* Add the findings, root cause first (ret must be initialised). only NULL: of all logs; graph may be NULL. */
void diagnosis_conclude(const struct diagnosis *d, const struct diagnosed_log *only, const struct diagnose_graph *graph,
	struct findings *ret);
/* What is to be said of the logs as a whole. */
enum diagnosis_verdict {
	DIAGNOSIS_HEALTHY, /* nothing failed */
	DIAGNOSIS_FAILED, /* and a signature knows the cause */
	DIAGNOSIS_UNKNOWN_CAUSE, /* it failed, and the form of the lines is all that tells why */
	DIAGNOSIS_CANNOT_TELL, /* empty, cut in the middle of an error or of the start, or errors and nothing that says how it ended */
};
/* f: what diagnosis_conclude has found. */
enum diagnosis_verdict diagnosis_verdict(
	const struct diagnosis *d, const struct diagnosed_log *only, const struct findings *f);
/* Why it cannot be told from what was read whether it failed, as half a sentence; NULL: for no reason known here. */
const char *diagnosis_doubt(const struct diagnosis *d, const struct findings *f);
const char *diagnosis_verdict_name(enum diagnosis_verdict verdict); /* "healthy", "failed", ... */
/* Is this finding one that no signature knows? */
bool finding_is_unlisted(const struct finding *f);
/* Is the first of these findings a root cause? A line that only says that something failed is none. */
bool findings_have_cause(const struct findings *f);
/* The telling lines of all logs as text, "FILE:LINE: TEXT" each, at most lines_max. Returns how many. */
uint32_t diagnosis_telling(
	const struct diagnosis *d, const struct diagnosed_log *only, uint32_t lines_max, struct buf *out);
/* {"verdict": "failed", "findings": [...]}: severity, class, cause, file, line, remedy, harmless of each, and no more. */
void diagnosis_json(enum diagnosis_verdict verdict, const struct findings *f, struct buf *out);

#endif
