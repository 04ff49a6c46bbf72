/* serve_graph.h - the graph that "stator serve" was asked for: a file, a model alone, or nothing (the demo model), with the
 * flags and overrides of the command line laid over it. Thread: any. */
#ifndef STATOR_CLI_SERVE_GRAPH_H
#define STATOR_CLI_SERVE_GRAPH_H

#include "base/arena.h"
#include "config/flags.h"
#include "config/graph.h"
#include "gpu/inventory.h"

/* What the driver says, asked at most once, and only when it matters: it takes some 100 ms to answer. */
struct serve_gpus {
	struct gpu_inventory inventory;
	bool looked;
};
int serve_gpus_look(struct serve_gpus *gpus, struct err *err);

/* 0 and *ret, which the caller destroys and which borrows arena; else negative, *ret unchanged. Every mistake of the file and
 * of the overrides has then been printed to stderr; err is the one sentence that sums them up. */
int serve_graph_read(
	struct graph **ret, const struct flags *flags, struct arena *arena, struct serve_gpus *gpus, struct err *err);

#endif
