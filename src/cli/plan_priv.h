/* plan_priv.h - what the parts of stator plan share (plan.c, plan_write.c); nobody else includes it.
 * Thread: main's. Memory: planner's own, freed at the end of plan_run. */
#ifndef STATOR_CLI_PLAN_PRIV_H
#define STATOR_CLI_PLAN_PRIV_H

#include "cli/command.h"
#include "cli/gather.h"
#include "forms/form.h"
#include "plan/report.h"

enum { ENGINES = GRAPH_ENGINE_SGLANG + 1 };

struct planner {
	const struct flags *flags;
	char versions[ENGINES][ENGINE_VERSION_TEXT]; /* of --engine-version */
	const char *file;
	struct buf text; /* of the file */
	const char *const *words; /* a command line behind "--"; words_count 0: a file */
	uint32_t words_count;
	struct form_set form; /* what it is when it is no graph; its tree is the graph's then */
	struct graph *graph;
	struct gather gather;
	struct plan plan;
	struct plan_options options;
	bool planned;
	char *meant; /* the graph as it was probably meant, when its indentation was lost; owned */
	bool restored; /* text is that, and not the file's */
	char why[ERR_MSG_BYTES_MAX]; /* restored: what the file's own mistake was */
	bool told; /* a JSON object was printed: there is one */
	bool model; /* file names a model, for which the best deployment is looked for */
};

/* The graph of text, or of root when that is not NULL; remarks go to standard error. overridden: with the command line's overrides. */
int planner_graph_read(struct planner *x, bool overridden, const char *file, const char *text, size_t len,
	struct yaml_node *root, struct graph **ret, struct err *err);
/* Write the plan that --pick names to --write's file, when it still fits as it is read again. */
int planner_write(struct planner *x, const struct plan_report *report, struct err *err);
/* "-" is standard output. Names the file in errors. */
int planner_write_file(const char *file, const struct buf *text, struct err *err);

#endif
