/* finding.h - what the planner and the diagnoser have to say: each with severity, place, the arithmetic, and a remedy.
 *
 *   deploy.yaml:38:7: fatal: the services ask for 32 GPUs, and the host has 4
 *       VllmWorker     4 workers x 4 GPUs = 16
 *       PrefillWorker  4 workers x 4 GPUs = 16
 *       remedy: ...
 *
 * Add one with findings_add, then give the one added last its arithmetic, evidence and remedy; sort; print as text or
 * JSON. Nothing here fails: out of memory, or past FINDINGS_MAX, a finding is counted and its text lost.
 *
 * Thread: one owner. Memory: one arena of at most FINDINGS_BYTES_MAX. */
#ifndef STATOR_PLAN_FINDING_H
#define STATOR_PLAN_FINDING_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/diag.h"

enum { FINDINGS_MAX = 256, FINDINGS_BYTES_MAX = 4 * 1024 * 1024 };

/* Worst first; both enums are in the order things are told. */
enum finding_severity { FINDING_FATAL, FINDING_WARNING, FINDING_INFO };
enum finding_class { FINDING_CAPACITY, FINDING_CONFIGURATION, FINDING_ENVIRONMENT, FINDING_CRASH };

struct finding {
	enum finding_severity severity;
	enum finding_class kind;
	const char *code; /* stable short name for scripts, "gpus-short"; a constant, borrowed */
	const char *file; /* "" when it has no place: then line and column are 0 */
	uint32_t line, column; /* from 1; column 0: the whole line */
	const char *what; /* one sentence, lower case, no full stop */
	const char *arithmetic; /* lines: the inequality with numbers and units; NULL: none */
	const char *evidence; /* lines, as another program wrote them; NULL: none */
	const char *remedy; /* a sentence or several lines; NULL: nothing to do */
	const char *
		releases; /* "vLLM 0.21 and later; 0.17 to 0.20 starts it": it holds for those alone; NULL: for all that are meant */
	bool harmless; /* it looks like an error and is none */
	bool wraps; /* it says only that something failed, not what */
	bool unchecked; /* it says that something could not be judged: without it nothing "fits" */
	uint32_t order; /* in which they were added */
};

struct findings {
	struct arena arena;
	struct finding *items;
	uint32_t len, cap;
	uint32_t fatals, warnings, infos, unchecked; /* counted also when an item had no room */
	bool open; /* the last item takes arithmetic, evidence and remedy */
};

void findings_init(struct findings *f);
void findings_done(struct findings *f);
void findings_reset(struct findings *f);
/* Note one. pos may be NULL, or without a line; an override's option counts as the file. Copies; code is borrowed. The
 * same sentence of the same place is noted once: false says that this one was there already (or had no room), and then
 * the calls below change nothing. */
bool findings_add(struct findings *f, enum finding_severity severity, enum finding_class kind, const char *code,
	const struct config_pos *pos, const char *fmt, ...) PRINTF_LIKE(6, 7);
/* Append a line to what the item added last has. Copies. */
void findings_arithmetic(struct findings *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
void findings_evidence(struct findings *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
void findings_remedy(struct findings *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The item added last holds for some releases of an engine alone. */
void findings_releases(struct findings *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The item added last is harmless. */
void findings_harmless(struct findings *f);
/* The item added last says only that something failed. */
void findings_wraps(struct findings *f);
/* The item added last says that something could not be judged. Counts also when the item had no room. */
void findings_unchecked(struct findings *f);
/* Take the fatal ones of a class away: what they were found by turned out not to be known. */
void findings_drop_fatal(struct findings *f, enum finding_class kind);
/* Worst first: by severity, then class, then the order they were added. */
void findings_sort(struct findings *f);
/* Is there one of this code? For tests and for callers that must not say a thing twice. */
bool findings_has(const struct findings *f, const char *code);

struct findings_look {
	bool color; /* a terminal that understands it */
	uint32_t columns; /* sentences are wrapped to it; 0: 100 */
	enum finding_severity least; /* FINDING_FATAL prints those only; FINDING_INFO all */
};
/* All items as text. */
void findings_print(const struct findings *f, const struct findings_look *look, struct buf *out);
/* Append an array of objects: severity, class, code, cause, file, line, column, arithmetic (lines), evidence (lines),
 * remedy, releases, harmless, unchecked. What is not there is "", 0 or []. */
void findings_json(const struct findings *f, struct buf *out);
const char *finding_severity_name(enum finding_severity severity); /* "fatal" */
const char *finding_class_name(enum finding_class kind); /* "capacity" */

/* Append text wrapped at columns, each line after indent spaces (the first only when first_indented). Words longer than a
 * line stand alone. Line feeds of text are kept. */
void finding_wrap(struct buf *out, const char *text, uint32_t indent, uint32_t columns, bool first_indented);

#endif
