/* runtime_dir.h - a private folder for one deployment: workers' sockets and the secret of its KV hashes.
 *
 * Made with mode 0700 under $XDG_RUNTIME_DIR, or /tmp. A lock in it is held while we live, so that the folder of a
 * supervisor that was killed is known by its free lock and swept by the next one.
 * Thread: one owner. */
#ifndef STATOR_LAUNCH_RUNTIME_DIR_H
#define STATOR_LAUNCH_RUNTIME_DIR_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* A Unix socket's path has at most 107 bytes; the folder's must leave room for a name in it. */
enum { RUNTIME_DIR_BYTES_MAX = 64, RUNTIME_SECRET_BYTES = 32 };

struct runtime_dir {
	char path[RUNTIME_DIR_BYTES_MAX];
	int lock_fd;
};

/* Make it below parent (NULL: as above), after removing folders of dead supervisors there. */
int runtime_dir_create(struct runtime_dir *ret, const char *parent, struct err *err);
/* Write 32 random bytes, in hexadecimal and a line feed, to the file "secret" in it, mode 0600. */
int runtime_dir_write_secret(const struct runtime_dir *d, struct err *err);
/* Let go of it after a failure: its logs (*.log, *.log.1) stay to be looked at until the next supervisor sweeps it. */
void runtime_dir_leave(struct runtime_dir *d);
/* The folder of a deployment of ours that has logs: of one that runs, the newest; else the newest that was left. -ENOENT with
 * what to do when there is none. ret_alive says which; ret_count how many run. */
int runtime_dir_find(
	char ret[RUNTIME_DIR_BYTES_MAX], const char *parent, bool *ret_alive, uint32_t *ret_count, struct err *err);
/* Remove it and the files in it. Harmless when it was not made (path ""). */
void runtime_dir_destroy(struct runtime_dir *d);

#endif
