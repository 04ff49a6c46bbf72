/* nearby.h - what a user may have meant by the path of a file that is not there, or is a folder. Reads one folder, of which
 * it looks at NEARBY_NAMES_MAX names. Thread: any. */
#ifndef STATOR_CONFIG_NEARBY_H
#define STATOR_CONFIG_NEARBY_H

#include "base/err.h"

enum { NEARBY_NAMES_MAX = 4096 };

/* Add a second sentence to an error of path whose code is -ENOENT or -EISDIR (others stay as they are): a name beside it that is spelt
 * nearly so, with or without ending; of a folder, what in it has that ending; a folder that is missing itself; else otherwise.
 * ending: of the files that are meant (".gguf"); NULL: any. otherwise may be NULL. Returns err's code. */
int nearby_hint(struct err *err, const char *path, const char *ending, const char *otherwise);

#endif
