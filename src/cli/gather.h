/* gather.h - what the planner is told, looked up: models behind a graph's names, GPUs, and the machine around them.
 * Thread: main's. Memory: one arena's worth, freed by gather_done. */
#ifndef STATOR_CLI_GATHER_H
#define STATOR_CLI_GATHER_H

#include "forms/form.h"
#include "plan/plan.h"

struct gather {
	struct arena arena;
	struct plan_model *models; /* one a service of the graph */
	struct gpu_inventory inventory;
	struct plan_environment environment;
	/* Set before gather_models. */
	bool elsewhere; /* what is planned starts on another machine, whose files are not here */
	bool whole_files; /* look whether GGUF files of llama workers are whole, and of a kind that this build runs */
	bool described; /* models need not be loadable here, a config.json says enough */
};

void gather_init(struct gather *g);
void gather_done(struct gather *g);
/* The deployment of a file, whatever its form; forms must outlive the graph. Errors as graph_load's and form_read's. */
int gather_graph(struct form_set *forms, const char *file, struct graph **ret, struct diags *diags, struct err *err);
/* Is this small file a deployment (a graph, or another form in YAML) rather than a log? Never blocks. */
bool gather_is_deployment(const char *file);
/* Facts of every worker service's model. given: what the user said instead of the graph's (a name, folder, file), or NULL:
 * then it must be found (-EINVAL with the cause); a model of the graph that is not known is no error. */
int gather_models(struct gather *g, const struct graph *graph, const char *given, struct err *err);
/* GPUs: of a list ("4xT4"), of a file, or of this machine (both NULL). Looking is skipped, and only the host's facts
 * read, when no service of graph computes on a GPU. */
int gather_inventory(struct gather *g, const struct graph *graph, const char *list, const char *file, struct err *err);
/* This machine's programs and the frontend's port. */
void gather_environment(struct gather *g, const struct graph *graph);
/* Does any worker service compute on GPUs? */
bool gather_needs_gpus(const struct graph *graph);

#endif
