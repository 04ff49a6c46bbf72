/* gate.h - what stator serve asks of the planner before it starts anything.
 * Thread: main's. Memory: freed when it returns. */
#ifndef STATOR_CLI_GATE_H
#define STATOR_CLI_GATE_H

#include "config/graph.h"

/* Plan graph on this machine; name is what stator plan is given for it: its file, or the model it was made of; print fatal findings (and, for external engines, warnings) to stderr. 0: go on. -ERANGE with
 * err: it cannot run, and force was not given; with force the findings are printed, and what is overridden is said.
 * Costs nothing for mock workers, one read of a GGUF's header a llama service, some 100 ms where NVML is asked. */
int gate_check(const struct graph *graph, const char *name, bool force, struct err *err);

#endif
