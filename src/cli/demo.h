/* demo.h - where the demo model lies. Thread: any. */
#ifndef STATOR_CLI_DEMO_H
#define STATOR_CLI_DEMO_H

#include "base/arena.h"
#include <stdbool.h>

/* The path scripts/model puts it at: below $STATOR_CACHE, $XDG_CACHE_HOME/stator or ~/.cache/stator. It need not exist.
 * From a; NULL: out of memory. */
const char *demo_model_path(struct arena *a);

enum { DEMO_WORKERS = 2 };
/* Does a command line's word name a model rather than a graph: "demo", or a GGUF file (by its first bytes, else by its
 * name)? Never blocks. */
bool arg_is_model(const char *arg);

/* What to say of a path that names nothing, where what can be given (takes) may be the demo model too. */
const char *demo_hint(const char *path, const char *takes);

#endif
