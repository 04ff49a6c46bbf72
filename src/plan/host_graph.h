/* host_graph.h - the graph of llama workers on a host's cores, where the graph at hand is of an engine that computes on GPUs.
 * Few of that engine's settings mean anything there, so the graph is written anew and not patched. Pure; any thread. */
#ifndef STATOR_PLAN_HOST_GRAPH_H
#define STATOR_PLAN_HOST_GRAPH_H

#include "plan/search.h"

/* Is the option's service another engine than the graph's? */
bool plan_option_converts(const struct plan *asked, const struct plan_options *o, const struct plan_option *option);
/* Append the graph: Frontend and Router as they were where they have settings that count, and one LlamaWorker. title is put into
 * the comment at its head. */
void plan_host_graph(const struct plan *asked, const struct plan_options *o, const struct plan_option *option,
	const char *title, struct buf *out);

#endif
