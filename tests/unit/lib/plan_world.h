/* plan_world.h - random deployments and inventories for the planner's property tests, each from a seed. */
#ifndef TESTS_UNIT_LIB_PLAN_WORLD_H
#define TESTS_UNIT_LIB_PLAN_WORLD_H

#include "plan/search.h"

enum { PLAN_WORLD_SERVICES_MAX = 16 };

struct plan_world {
	struct buf yaml;
	struct graph *graph;
	struct gpu_inventory inventory;
	struct model_facts facts[2];
	struct plan_model models[PLAN_WORLD_SERVICES_MAX];
	struct plan_input input;
};

/* small: few cards and workers, so that everything can be tried. */
void plan_world_make(struct plan_world *w, uint64_t seed, bool small);
/* A given graph on given cards, with the models its services name. */
void plan_world_of(struct plan_world *w, const char *yaml, const char *cards);
/* The same cards and models under another text of the graph (for what was edited). */
void plan_world_read(struct plan_world *w, const char *yaml, size_t len, const char *file);
void plan_world_done(struct plan_world *w);

#endif
