/* runtime_dir.h - a private folder for one deployment: workers' sockets and the secret of its KV hashes.
 *
 * Made with mode 0700 under $XDG_RUNTIME_DIR, or /tmp. A lock in it is held while we live, so that the folder of a
 * supervisor that was killed is known by its free lock and swept by the next one. The folder itself is locked too
 * (flock): systemd-tmpfiles leaves what is locked alone. Other cleaners do not, so what is in it can be put back.
 *
 *   runtime_dir_create, then runtime_dir_write_secret and runtime_dir_keep, then runtime_dir_repair now and then,
 *   at last runtime_dir_destroy or runtime_dir_leave
 * Thread: one owner. Memory: fixed; the kept texts, of which one is the secret, until the end. */
#ifndef STATOR_LAUNCH_RUNTIME_DIR_H
#define STATOR_LAUNCH_RUNTIME_DIR_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* A Unix socket's path has at most 107 bytes; the folder's must leave room for a name in it. */
enum { RUNTIME_DIR_BYTES_MAX = 64, RUNTIME_SECRET_BYTES = 32, RUNTIME_KEPT_MAX = 2, RUNTIME_KEPT_BYTES = 512 };

struct runtime_dir {
	char path[RUNTIME_DIR_BYTES_MAX];
	int lock_fd, dir_fd; /* of the lock file, and of the folder; both locked */
	struct {
		char name[16], text[RUNTIME_KEPT_BYTES];
	} kept[RUNTIME_KEPT_MAX]; /* name "": none */
};
#define RUNTIME_DIR_NONE ((struct runtime_dir){.lock_fd = -1, .dir_fd = -1})

/* Make it below parent (NULL: as above), after removing folders of dead supervisors there. */
int runtime_dir_create(struct runtime_dir *ret, const char *parent, struct err *err);
/* Write 32 random bytes, in hexadecimal and a line feed, to the file "secret" in it, mode 0600. */
int runtime_dir_write_secret(struct runtime_dir *d, struct err *err);
/* Write a file, mode 0600, and remember it. Copies. */
int runtime_dir_keep(struct runtime_dir *d, const char *name, const char *text, struct err *err);
/* Make again what somebody has removed: the folder, its locks, the kept files. Returns how many things were missing (0: all
 * is well), or negative when they could not be made. Cost when all is well: a stat each. */
int runtime_dir_repair(struct runtime_dir *d, struct err *err);
/* Let go of it after a failure: its logs (*.log, *.log.1) stay to be looked at until the next supervisor sweeps it. */
void runtime_dir_leave(struct runtime_dir *d);
/* The folder of a deployment of ours that has logs: of one that runs, the newest; else the newest that was left. -ENOENT with
 * what to do when there is none. ret_alive says which; ret_count how many run. */
int runtime_dir_find(
	char ret[RUNTIME_DIR_BYTES_MAX], const char *parent, bool *ret_alive, uint32_t *ret_count, struct err *err);
/* The deployments of ours that run, newest first: at most cap. Returns how many there are. about is the text kept under that
 * name, up to its first line feed, fit to be shown; "" when there is none. */
struct runtime_found {
	char path[RUNTIME_DIR_BYTES_MAX], about[RUNTIME_KEPT_BYTES];
	int64_t since; /* when its folder was made or changed last, seconds */
};
uint32_t runtime_dir_list(struct runtime_found *ret, uint32_t cap, const char *parent);
/* Remove it and the files in it. Harmless when it was not made (path ""). */
void runtime_dir_destroy(struct runtime_dir *d);

#endif
