/* demo.h - where the demo model lies. Thread: any. */
#ifndef STATOR_CLI_DEMO_H
#define STATOR_CLI_DEMO_H

#include "base/arena.h"

/* The path scripts/model puts it at: below $STATOR_CACHE, $XDG_CACHE_HOME/stator or ~/.cache/stator. It need not exist.
 * From a; NULL: out of memory. */
const char *demo_model_path(struct arena *a);

#endif
