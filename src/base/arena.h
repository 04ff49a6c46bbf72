/* arena.h - memory of one lifetime (a request, a connection, a parse), freed in one call.
 *
 * Thread: one owner. Memory: at most bytes_max (given at init) plus one block header a block; an allocation past it
 * returns NULL, so a hostile input meets an error and not the OOM killer. Cleanup hooks run in reverse order at done.
 */
#ifndef STATOR_BASE_ARENA_H
#define STATOR_BASE_ARENA_H

#include "base/compiler.h"
#include <stddef.h>

struct arena_block;
struct arena_hook;
struct arena {
	struct arena_block *head; /* newest block first */
	struct arena_hook *hooks;
	size_t bytes_used, bytes_max;
};

void arena_init(struct arena *a, size_t bytes_max);
/* Run the hooks, free all. The arena may be used again (same bytes_max). */
void arena_done(struct arena *a);
/* As arena_done, but keep one ordinary block for the next use: a loop that resets does not allocate once warm. */
void arena_reset(struct arena *a);
/* Zeroed memory aligned for any type, valid until arena_done. NULL: out of memory or past bytes_max. */
void *arena_alloc(struct arena *a, size_t size);
/* Copies; NUL-terminated. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Call fn(arg) at arena_done. Returns -ENOMEM when it cannot be noted (then nothing was). */
int arena_on_done(struct arena *a, void (*fn)(void *arg), void *arg) MUST_USE;

#endif
