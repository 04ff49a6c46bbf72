/* worker_engines.h - the engines a worker process can run, one entry each. */
#ifndef STATOR_WORKER_WORKER_ENGINES_H
#define STATOR_WORKER_WORKER_ENGINES_H

#include "engine/engine.h"
#include "worker/worker_main.h"

struct worker_engine {
	const char *name;
	/* On the engine's thread; may take long and tells progress (0..1; false: stop). Returns owned. */
	int (*create)(struct engine **ret, const struct worker_options *o, bool (*progress)(void *ctx, float done),
		void *ctx, struct err *err);
	bool needs_model;
};
/* NULL with err, which lists those there are. */
const struct worker_engine *worker_engine_find(const char *name, struct err *err);

#endif
