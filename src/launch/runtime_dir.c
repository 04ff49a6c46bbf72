/* runtime_dir.c - the deployment's private folder; see runtime_dir.h. */
#include "launch/runtime_dir.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "stator-"
#define LOCK_NAME "lock"

enum { FOLDER_YOUNG_S = 60 };

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

/* Can a lock be had? False also when there is nothing of that name. */
static bool lock_is_free(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags);

	if (fd < 0)
		return false;
	bool is_free = flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return is_free;
}

/* Ours, and its locks are free: its supervisor is dead. A young folder without a lock file is being made by another right
 * now; an old one has met a cleaner. */
static bool folder_is_dead(const char *path)
{
	char lock[PATH_MAX + 8];
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || !lock_is_free(path, O_DIRECTORY))
		return false;
	snprintf(lock, sizeof lock, "%s/" LOCK_NAME, path);
	if (access(lock, F_OK) < 0)
		return time(NULL) - st.st_mtime > FOLDER_YOUNG_S;
	return lock_is_free(lock, 0);
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

	if (d->lock_fd >= 0)
		close(d->lock_fd);
	snprintf(temporary, sizeof temporary, "%s/.lock", d->path);
	snprintf(final, sizeof final, "%s/" LOCK_NAME, d->path);
	d->lock_fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (d->lock_fd < 0 || flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0 || rename(temporary, final) < 0)
		return err_set_errno(err, -errno, "could not make \"%s\"", final);
	return 0;
}

static int folder_lock(struct runtime_dir *d, struct err *err)
{
	if (d->dir_fd >= 0)
		close(d->dir_fd);
	d->dir_fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (d->dir_fd < 0 || flock(d->dir_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set_errno(err, -errno, "could not lock the folder \"%s\"", d->path);
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
	struct runtime_dir d = RUNTIME_DIR_NONE;
	int r;

	if (!parent)
		parent = parent_choose();
	sweep(parent);
	if (snprintf(d.path, sizeof d.path, "%s/" PREFIX "XXXXXX", parent) >= (int)sizeof d.path)
		return err_set(err, -ENAMETOOLONG,
			"could not make a folder for sockets in \"%s\": the path is too long", parent);
	if (!mkdtemp(d.path))
		return err_set_errno(err, -errno, "could not make a folder for sockets in \"%s\"", parent);
	if ((r = folder_lock(&d, err)) < 0 || (r = lock_make(&d, err)) < 0) {
		runtime_dir_destroy(&d);
		return r;
	}
	*ret = d;
	return 0;
}

/* Under another name first: who reads it finds all of it or nothing. */
static int kept_write(const struct runtime_dir *d, uint32_t i, struct err *err)
{
	char temporary[RUNTIME_DIR_BYTES_MAX + 24], path[RUNTIME_DIR_BYTES_MAX + 24];
	size_t len = strlen(d->kept[i].text);

	snprintf(temporary, sizeof temporary, "%s/.%s", d->path, d->kept[i].name);
	snprintf(path, sizeof path, "%s/%s", d->path, d->kept[i].name);
	unlink(temporary);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(err, -errno, "could not make \"%s\"", path);
	ssize_t n = write(fd, d->kept[i].text, len);
	int code = n < 0 ? -errno : n == (ssize_t)len ? 0 : -ENOSPC;
	close(fd);
	if (code == 0 && rename(temporary, path) < 0)
		code = -errno;
	return code < 0 ? err_set_errno(err, code, "could not write \"%s\"", path) : 0;
}

int runtime_dir_keep(struct runtime_dir *d, const char *name, const char *text, struct err *err)
{
	uint32_t i = 0;

	while (i < RUNTIME_KEPT_MAX && d->kept[i].name[0] && strcmp(d->kept[i].name, name) != 0)
		i++;
	ASSERT(i < RUNTIME_KEPT_MAX && strlen(name) < sizeof d->kept[i].name);
	snprintf(d->kept[i].name, sizeof d->kept[i].name, "%s", name);
	snprintf(d->kept[i].text, sizeof d->kept[i].text, "%s", text);
	return kept_write(d, i, err);
}

int runtime_dir_write_secret(struct runtime_dir *d, struct err *err)
{
	char text[2 * RUNTIME_SECRET_BYTES + 2];
	unsigned char secret[RUNTIME_SECRET_BYTES];

	rng_secret(secret, sizeof secret);
	for (size_t i = 0; i < sizeof secret; i++)
		snprintf(text + 2 * i, 3, "%02x", secret[i]);
	text[2 * sizeof secret] = '\n';
	text[2 * sizeof secret + 1] = '\0';
	int r = runtime_dir_keep(d, "secret", text, err);
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(text, sizeof text);
	return r;
}

/* The folder we hold open is the one of that name. */
static bool folder_is_there(const struct runtime_dir *d)
{
	struct stat held, named;

	return d->dir_fd >= 0 && fstat(d->dir_fd, &held) == 0 && lstat(d->path, &named) == 0 &&
	       held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static int folder_repair(struct runtime_dir *d, struct err *err)
{
	struct stat st;

	if (folder_is_there(d))
		return 0;
	/* The parent may be everybody's: a folder that is not ours, or open to others, is not used. */
	if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, -errno, "could not make the folder \"%s\" again", d->path);
	if (lstat(d->path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(err, -EPERM, "\"%s\" is somebody else's now", d->path);
	int r = folder_lock(d, err);
	return r < 0 ? r : 1;
}

int runtime_dir_repair(struct runtime_dir *d, struct err *err)
{
	char path[RUNTIME_DIR_BYTES_MAX + 24];
	int missing = folder_repair(d, err), r = MIN(missing, 0);

	snprintf(path, sizeof path, "%s/" LOCK_NAME, d->path);
	if (r == 0 && access(path, F_OK) < 0) {
		r = lock_make(d, err);
		missing++;
	}
	for (uint32_t i = 0; i < RUNTIME_KEPT_MAX && r == 0 && d->kept[i].name[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", d->path, d->kept[i].name);
		if (access(path, F_OK) == 0)
			continue;
		r = kept_write(d, i, err);
		missing++;
	}
	return r < 0 ? r : missing;
}

static void let_go(struct runtime_dir *d)
{
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	if (d->dir_fd >= 0)
		close(d->dir_fd);
	explicit_bzero(d, sizeof *d);
	*d = RUNTIME_DIR_NONE;
}

void runtime_dir_destroy(struct runtime_dir *d)
{
	if (!d->path[0])
		return;
	folder_remove(d->path);
	let_go(d);
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
	let_go(d);
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

static void about_read(struct runtime_found *f)
{
	char path[RUNTIME_DIR_BYTES_MAX + 16], text[RUNTIME_KEPT_BYTES];

	f->about[0] = '\0';
	snprintf(path, sizeof path, "%s/about", f->path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	const char *end = memchr(text, '\n', (size_t)n);
	utf8_plain_copy(f->about, sizeof f->about, text, end ? (size_t)(end - text) : (size_t)n);
}

static int found_compare(const void *pa, const void *pb)
{
	const struct runtime_found *a = pa, *b = pb;

	return a->since > b->since ? -1 : a->since < b->since;
}

uint32_t runtime_dir_list(struct runtime_found *ret, uint32_t cap, const char *parent)
{
	const char *where = parent ? parent : parent_choose();
	DIR *dir = opendir(where);
	struct stat st;
	uint32_t n = 0;

	for (struct dirent *e; dir && (e = readdir(dir));) {
		struct runtime_found f;

		if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) != 0 ||
			snprintf(f.path, sizeof f.path, "%s/%s", where, e->d_name) >= (int)sizeof f.path ||
			lstat(f.path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
			folder_is_dead(f.path))
			continue;
		f.since = (int64_t)st.st_mtime;
		about_read(&f);
		if (n < cap)
			ret[n] = f;
		n++;
		qsort(ret, MIN(n, cap), sizeof *ret, found_compare);
		if (n > cap && cap > 0 && f.since > ret[cap - 1].since)
			ret[cap - 1] = f;
	}
	if (dir)
		closedir(dir);
	qsort(ret, MIN(n, cap), sizeof *ret, found_compare);
	return n;
}
