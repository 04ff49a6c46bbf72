/* diagnose_files.c - see diagnose_files.h. */
#include "cli/diagnose_files.h"
#include "cli/command.h"
#include "config/nearby.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1024 * 1024, PATH_BYTES_MAX = 4096 };

int diagnose_files_init(struct diagnose_files *f, struct diagnose_input *input, struct err *err)
{
	*f = (struct diagnose_files){.input = input};
	f->data = malloc(READ_BYTES);
	return f->data ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void diagnose_files_done(struct diagnose_files *f)
{
	free(f->data);
	free(f->seen);
	*f = (struct diagnose_files){0};
}

static void complain(struct diagnose_files *f, const char *name, int code)
{
	command_complain("diagnose", "could not read log \"%s\": %s", name, strerror(code));
	f->incomplete = true;
}

/* ---- what was read already ---- */

/* Was it here before? It is from now on. When the set is full, or there is no memory for it, what is in folders is not read:
 * links might lead in a circle. */
static bool seen_before(struct diagnose_files *f, const struct stat *st)
{
	uint64_t key = (uint64_t)st->st_dev * 0x9e3779b97f4a7c15u ^ ((uint64_t)st->st_ino + 1) * 0xc2b2ae3d27d4eb4fu;
	uint32_t mask = 2 * DIAGNOSE_SEEN_MAX - 1;

	if (!f->seen && !(f->seen = calloc(mask + 1, sizeof *f->seen)))
		return true;
	key = key ? key : 1;
	for (uint32_t i = (uint32_t)(key >> 32) & mask;; i = (i + 1) & mask) {
		if (f->seen[i] == key)
			return true;
		if (f->seen[i] != 0)
			continue;
		if (f->seen_len == DIAGNOSE_SEEN_MAX)
			return true;
		f->seen[i] = key;
		f->seen_len++;
		return false;
	}
}

/* ---- one file ---- */

/* Bytes, or 0 at the end; a pipe is waited for as long as somebody may write to it, a file never. */
static ssize_t read_some(int fd, char *ret, size_t cap, bool pipe)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n = read(fd, ret, cap);

		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
		if (errno == EAGAIN && poll(&p, 1, pipe ? -1 : 0) == 0)
			return 0;
	}
}

static int fd_read(struct diagnose_files *f, int fd, bool pipe, const char *name)
{
	struct err err = {0};
	ssize_t n = 0;
	bool more = true;

	if (diagnose_input_begin(f->input, name, &err) < 0)
		return -err.code;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while (more && (n = read_some(fd, f->data, READ_BYTES, pipe)) > 0)
		more = diagnose_input_feed(f->input, f->data, (size_t)n);
	diagnose_input_end(f->input);
	return n < 0 ? (int)-n : 0;
}

/* A FIFO that nobody has opened for writing yet has no end and no bytes: its first writer is waited for. */
static bool fifo_has_writer(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, DIAGNOSE_PIPE_WAIT_S * 1000) > 0;
}

static int named_read(struct diagnose_files *f, int fd, const struct stat *st, const char *name)
{
	if (S_ISFIFO(st->st_mode) && fd != STDIN_FILENO && !fifo_has_writer(fd)) {
		command_complain("diagnose", "could not read log \"%s\": it is a FIFO, and nobody writes to it", name);
		f->unread = true;
		return 0;
	}
	return fd_read(f, fd, !S_ISREG(st->st_mode), name);
}

/* ---- folders ---- */

/* Beside logs lie things that hold the words of errors and tell of none. */
static bool is_no_log(const char *name)
{
	static const char *const ends[] = {".py", ".pyc", ".pyi", ".c", ".cc", ".cpp", ".h", ".hpp", ".cu", ".cuh",
		".go", ".rs", ".js", ".ts", ".css", ".html", ".md", ".rst", ".ipynb", ".sh", ".toml", ".ini", ".lock",
		".svg", ".png", ".jpg", ".jpeg", ".gif", ".pdf", ".so", ".o", ".a", ".safetensors", ".gguf", ".pt",
		".pth", ".npz", ".npy", ".parquet", ".jinja", ".tmpl", ".crt", ".pem", ".key"};
	static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "vocab.json", "config.json",
		"generation_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "package.json",
		"model.safetensors.index.json", "Makefile", "Dockerfile", "LICENSE"};
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t n = strlen(ends[i]);
		if (len > n && !strcasecmp(name + len - n, ends[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return !strcmp(name, ".git");
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void names_free(char **names, size_t len)
{
	for (size_t i = 0; i < len; i++)
		free(names[i]);
	free(names);
}

/* All names in order; false: no memory. */
static bool names_read(struct diagnose_files *f, DIR *dir, const char *path, char ***ret, size_t *ret_len)
{
	size_t cap = 0, len = 0;
	struct dirent *e;
	char **names = NULL;

	while ((e = readdir(dir)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || is_no_log(e->d_name))
			continue;
		if (len == DIAGNOSE_FOLDER_NAMES_MAX) {
			command_complain("diagnose", "\"%s\" holds more than %d names; the rest is not read", path,
				DIAGNOSE_FOLDER_NAMES_MAX);
			f->incomplete = true;
			break;
		}
		if (len == cap) {
			char **more = realloc(names, (cap = cap ? 2 * cap : 64) * sizeof *names);
			if (!more) {
				names_free(names, len);
				return false;
			}
			names = more;
		}
		if (!(names[len] = strdup(e->d_name))) {
			names_free(names, len);
			return false;
		}
		len++;
	}
	if (len > 0)
		qsort(names, len, sizeof *names, by_name);
	*ret = names;
	*ret_len = len;
	return true;
}

static void folder_read(struct diagnose_files *f, int fd, const char *path, uint32_t depth);

/* What a folder holds under a name, of links or of all else: what a link leads to keeps its own name when it lies here too.
 * Nothing is opened that could wait or do something. */
static void entry_read(
	struct diagnose_files *f, int folder, const char *path, const char *name, uint32_t depth, bool links)
{
	char full[PATH_BYTES_MAX];
	struct stat st;
	int fd, r = 0;

	if (snprintf(full, sizeof full, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name) >=
		(int)sizeof full) {
		complain(f, path, ENAMETOOLONG);
		return;
	}
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) != links)
		return;
	if (fstatat(folder, name, &st, 0) < 0) {
		/* A link to nowhere is no log. */
		if (errno != ENOENT && errno != ELOOP)
			complain(f, full, errno);
		return;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		f->specials++;
		return;
	}
	if (seen_before(f, &st) || (S_ISREG(st.st_mode) && st.st_size == 0))
		return;
	if ((fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) < 0) {
		complain(f, full, errno);
		return;
	}
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		f->specials++; /* it became another one meanwhile */
	else if (S_ISDIR(st.st_mode))
		folder_read(f, dup(fd), full, depth + 1);
	else
		r = fd_read(f, fd, false, full);
	if (r != 0)
		complain(f, full, r);
	close(fd);
}

/* Takes fd. */
static void folder_read(struct diagnose_files *f, int fd, const char *path, uint32_t depth)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	char **names;
	size_t len;

	if (!dir) {
		complain(f, path, errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	f->folders++;
	if (depth > DIAGNOSE_FOLDER_DEPTH_MAX) {
		command_complain("diagnose", "\"%s\" lies more than %d folders deep, and is not read", path,
			DIAGNOSE_FOLDER_DEPTH_MAX);
		f->incomplete = true;
	} else if (!names_read(f, dir, path, &names, &len)) {
		complain(f, path, ENOMEM);
	} else {
		for (int links = 0; links < 2; links++)
			for (size_t i = 0; i < len; i++)
				entry_read(f, dirfd(dir), path, names[i], depth, links);
		names_free(names, len);
	}
	closedir(dir);
}

void diagnose_files_read(struct diagnose_files *f, const char *name)
{
	bool standard = strcmp(name, "-") == 0;
	const char *shown = standard ? "standard input" : name;
	int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = fd < 0 || fstat(fd, &st) < 0 ? errno : 0;

	if (r == 0 && S_ISDIR(st.st_mode)) {
		f->input->quiet = true;
		seen_before(f, &st);
		folder_read(f, dup(fd), shown, 1);
		f->input->quiet = false;
	} else if (r == 0) {
		r = named_read(f, fd, &st, shown);
	}
	if (r != 0) {
		struct err err;
		err_set_errno(&err, -r, "could not read log \"%s\"", shown);
		nearby_hint(&err, name, NULL, NULL);
		command_complain("diagnose", "%s", err.msg);
		f->unread = true;
	}
	if (fd >= 0 && !standard)
		close(fd);
}
