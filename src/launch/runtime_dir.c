/* runtime_dir.c - the deployment's private folder; see runtime_dir.h. */
#include "launch/runtime_dir.h"
#include "base/rng.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "stator-"
#define LOCK_NAME "lock"

/* Remove the files of a folder, and it. There are no folders in it. */
static void folder_remove(const char *path)
{
	DIR *dir = opendir(path);

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	rmdir(path);
}

/* Ours, and its lock is free: its supervisor is dead. A folder without a lock is being made by another right now. */
static bool folder_is_dead(const char *path)
{
	char lock[PATH_MAX + 8];
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return false;
	snprintf(lock, sizeof lock, "%s/" LOCK_NAME, path);
	int fd = open(lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return dead;
}

static bool is_log(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && (strcmp(dot, ".log") == 0 || (dot > name + 4 && strcmp(dot - 4, ".log.1") == 0));
}

static bool has_logs(const char *path)
{
	DIR *dir = opendir(path);
	bool found = false;

	for (struct dirent *e; dir && !found && (e = readdir(dir));)
		found = is_log(e->d_name);
	if (dir)
		closedir(dir);
	return found;
}

static void sweep(const char *parent)
{
	char path[PATH_MAX];
	DIR *dir = opendir(parent);

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) != 0)
			continue;
		if (snprintf(path, sizeof path, "%s/%s", parent, e->d_name) < (int)sizeof path && folder_is_dead(path))
			folder_remove(path);
	}
	closedir(dir);
}

/* The lock is taken before the file has its name: nobody ever sees it free while we live. */
static int lock_make(struct runtime_dir *d, struct err *err)
{
	char temporary[RUNTIME_DIR_BYTES_MAX + 16], final[RUNTIME_DIR_BYTES_MAX + 16];

	snprintf(temporary, sizeof temporary, "%s/.lock", d->path);
	snprintf(final, sizeof final, "%s/" LOCK_NAME, d->path);
	d->lock_fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (d->lock_fd < 0 || flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0 || rename(temporary, final) < 0)
		return err_set_errno(err, -errno, "could not make \"%s\"", final);
	return 0;
}

static const char *parent_choose(void)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	/* A path too long for sockets, or one that is not there (a service started without a login), is no use. */
	if (run && *run == '/' && strlen(run) + sizeof PREFIX + 6 < RUNTIME_DIR_BYTES_MAX && stat(run, &st) == 0 &&
		S_ISDIR(st.st_mode) && access(run, W_OK) == 0)
		return run;
	return "/tmp";
}

int runtime_dir_create(struct runtime_dir *ret, const char *parent, struct err *err)
{
	struct runtime_dir d = {.lock_fd = -1};
	int r;

	if (!parent)
		parent = parent_choose();
	sweep(parent);
	if (snprintf(d.path, sizeof d.path, "%s/" PREFIX "XXXXXX", parent) >= (int)sizeof d.path)
		return err_set(err, -ENAMETOOLONG,
			"could not make a folder for sockets in \"%s\": the path is too long", parent);
	if (!mkdtemp(d.path))
		return err_set_errno(err, -errno, "could not make a folder for sockets in \"%s\"", parent);
	if ((r = lock_make(&d, err)) < 0) {
		runtime_dir_destroy(&d);
		return r;
	}
	*ret = d;
	return 0;
}

int runtime_dir_write_secret(const struct runtime_dir *d, struct err *err)
{
	char path[RUNTIME_DIR_BYTES_MAX + 16], text[2 * RUNTIME_SECRET_BYTES + 2];
	unsigned char secret[RUNTIME_SECRET_BYTES];

	rng_secret(secret, sizeof secret);
	for (size_t i = 0; i < sizeof secret; i++)
		snprintf(text + 2 * i, 3, "%02x", secret[i]);
	text[2 * sizeof secret] = '\n';
	snprintf(path, sizeof path, "%s/secret", d->path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(err, -errno, "could not make \"%s\"", path);
	ssize_t n = write(fd, text, sizeof text - 1);
	int code = n < 0 ? -errno : n == (ssize_t)sizeof text - 1 ? 0 : -ENOSPC;
	close(fd);
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(text, sizeof text);
	return code < 0 ? err_set_errno(err, code, "could not write \"%s\"", path) : 0;
}

void runtime_dir_destroy(struct runtime_dir *d)
{
	if (!d->path[0])
		return;
	folder_remove(d->path);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	*d = (struct runtime_dir){.lock_fd = -1};
}

void runtime_dir_leave(struct runtime_dir *d)
{
	DIR *dir = d->path[0] ? opendir(d->path) : NULL;

	for (struct dirent *e; dir && (e = readdir(dir));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, LOCK_NAME) != 0 &&
			!is_log(e->d_name))
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	*d = (struct runtime_dir){.lock_fd = -1};
}

int runtime_dir_find(
	char ret[RUNTIME_DIR_BYTES_MAX], const char *parent, bool *ret_alive, uint32_t *ret_count, struct err *err)
{
	const char *where = parent ? parent : parent_choose();
	DIR *dir = opendir(where);
	struct stat st;
	time_t best = 0;
	bool found = false;

	*ret_alive = false;
	*ret_count = 0;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char path[RUNTIME_DIR_BYTES_MAX];

		if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) != 0 ||
			snprintf(path, sizeof path, "%s/%s", where, e->d_name) >= (int)sizeof path ||
			lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || !has_logs(path))
			continue;
		bool alive = !folder_is_dead(path);
		*ret_count += alive;
		if (found && (alive < *ret_alive || (alive == *ret_alive && st.st_mtime < best)))
			continue;
		found = true;
		best = st.st_mtime;
		*ret_alive = alive;
		snprintf(ret, RUNTIME_DIR_BYTES_MAX, "%s", path);
	}
	if (dir)
		closedir(dir);
	return found ? 0
		     : err_set(err, -ENOENT, "no deployment of yours runs here, and none has left logs in \"%s\"",
			       where);
}
