/* diag.h - the mistakes of a configuration, all of them in one pass, each with its place.
 *
 *   deploy.yaml:14:7: error: unknown key "tensor-paralel-size" in LlamaWorker; did you mean "threads"?
 *   --VllmWorker.ServiceArgs.workers=x: error: ...
 *
 * Thread: one owner. Memory: at most DIAG_COUNT_MAX items of bounded text; past that they are only counted. */
#ifndef STATOR_CONFIG_DIAG_H
#define STATOR_CONFIG_DIAG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { DIAG_COUNT_MAX = 100, DIAG_BYTES_MAX = 1024 * 1024 };

/* Where a key or value was written. Strings are borrowed from the parse's arena or the command line. */
struct config_pos {
	const char *file; /* as the user named it; NULL for an override */
	const char *option; /* an override as typed, "--VllmWorker.ServiceArgs.workers=2"; else NULL */
	uint32_t line, column; /* from 1, columns in characters; 0 when there is none */
};

enum diag_severity { DIAG_ERROR, DIAG_WARNING, DIAG_NOTICE };

struct diag {
	enum diag_severity severity;
	char *pos; /* "deploy.yaml:14:7" */
	char *text; /* one sentence */
	char *detail; /* more lines, such as a corrected snippet; NULL when there are none */
	uint32_t line, column, order; /* what items are sorted by */
};

struct diags {
	struct arena arena;
	struct diag *items;
	uint32_t len, cap;
	uint32_t errors, warnings, notices; /* counted also when an item had no room */
};

void diags_init(struct diags *d);
void diags_done(struct diags *d);
/* Note one, unless the same was said of the same place before. Copies. Never fails: out of memory the item is counted
 * and its text lost. */
void diags_add(struct diags *d, enum diag_severity severity, const struct config_pos *pos, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* Append ";" and a hint to the text of the item added last. */
void diags_hint(struct diags *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Give the item added last more lines. Copies. */
void diags_detail(struct diags *d, const char *lines);
/* No room for more: what would make the next one helpful need not be computed. */
static inline bool diags_full(const struct diags *d)
{
	return d->len == DIAG_COUNT_MAX;
}
/* Order by place: the file from top to bottom, then overrides in the order they were noted. */
void diags_sort(struct diags *d);
/* All items as lines: "POS: error: TEXT" and the detail indented below. min_severity DIAG_ERROR prints errors only. */
void diags_print(const struct diags *d, enum diag_severity least, struct buf *out);
/* "deploy.yaml:14:7" or "--VllmWorker.x=3" into ret; always terminated, cut when it does not fit. Returns ret. */
const char *config_pos_text(const struct config_pos *pos, char *ret, size_t cap);

#endif
