/* diagnose_graph.h - the graph a log belongs to: which line of it is to be changed, and how many GPUs it asks for.
 *
 * The file may be of any form that stator plan reads (forms/form.h): then its own lines are named, and its flags as it has them.
 * A graph is read as YAML only, mistakes and all: it ran, or somebody tried to run it.
 * Thread: constant once loaded. Memory: one arena of at most YAML_ARENA_BYTES_MAX. */
#ifndef STATOR_PLAN_DIAGNOSE_GRAPH_H
#define STATOR_PLAN_DIAGNOSE_GRAPH_H

#include "plan/diagnose_catalogue.h"

struct diagnose_graph;
/* devices: how many GPUs the host has, 0 when nobody knows. */
int diagnose_graph_load(
	struct diagnose_graph **ret, const char *file, uint32_t devices, struct diags *diags, struct err *err);
/* The same for text at hand; borrows name. */
int diagnose_graph_parse(struct diagnose_graph **ret, const char *name, const char *text, size_t len, uint32_t devices,
	struct diags *diags, struct err *err);
void diagnose_graph_destroy(struct diagnose_graph *g);
DEFINE_CLEANUP(diagnose_graph_destroy, struct diagnose_graph)

/* Is there a service in it that runs an engine? Without one no line can be named. */
bool diagnose_graph_has_workers(const struct diagnose_graph *g);
/* "4xT4,1xL4", or "4": how many that is; 0: it cannot be read. Pure. */
uint32_t diagnose_devices_parse(const char *text);
/* Of a signature that says too many GPUs were asked for: the sentence with the graph's numbers. False: nothing better than
 * the catalogue's (g NULL, another signature, or it does not ask for too many). */
bool diagnose_graph_cause(const struct diagnose_graph *g, const struct signature *s, char *ret, size_t cap);
/* Add to the finding added last what to change where, and the sum of GPUs. g NULL: nothing. */
void diagnose_graph_tell(const struct diagnose_graph *g, const struct signature *s, const struct captures *captures,
	struct findings *ret);

#endif
