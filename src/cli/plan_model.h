/* plan_model.h - a model without a file: the graph that is planned for it, such that the best deployment is what is asked for.
 * Thread: main's. Memory: the buffer's. */
#ifndef STATOR_CLI_PLAN_MODEL_H
#define STATOR_CLI_PLAN_MODEL_H

#include "plan/report.h"

/* Is this word the name of a model, a folder with one or a model's config.json, rather than a file with a deployment? A name that is not in the
 * catalogue is one when it reads as those of a hub do ("org/name"). Never blocks. */
bool plan_model_is(const char *word);
/* A graph of one vLLM worker on one host's GPUs, as many as the model's shape can be divided by; inventory may have none. -ENOMEM. */
int plan_model_graph(struct buf *ret, const char *model, const struct gpu_inventory *inventory, struct err *err);
/* The same on GPUs of so many hosts: each holds a stage of the pipeline; context 0: the model's own. */
int plan_model_graph_hosts(struct buf *ret, const char *model, const struct gpu_inventory *inventory, uint32_t hosts,
	uint64_t context, struct err *err);
/* Hosts, and the GPUs that each of them has at least. */
uint32_t plan_model_hosts(const struct gpu_inventory *inventory, uint32_t *ret_gpus);

#endif
