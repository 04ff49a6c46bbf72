/* file.c - see file.h. */
#include "base/file.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- plain files ---- */

static const char *kind_of(mode_t mode)
{
	return S_ISDIR(mode) ? "folder" : S_ISFIFO(mode) ? "FIFO (a named pipe)" : S_ISSOCK(mode) ? "socket" : "device";
}

/* what: "graph " or "". */
static int refuse(const char *what, const char *path, mode_t mode, struct err *err)
{
	return err_set(
		err, S_ISDIR(mode) ? -EISDIR : -EINVAL, "%s\"%s\" is a %s, not a file", what, path, kind_of(mode));
}

/* Opened, and of whatever kind. Without O_NONBLOCK the open itself waits for a writer of a FIFO; plain files know no difference. */
static int open_any(const char *what, const char *path, struct stat *st, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		int code = -errno;
		/* A socket is not opened at all, by words nobody understands. */
		if (code == -ENXIO && stat(path, st) == 0 && !S_ISREG(st->st_mode))
			return refuse(what, path, st->st_mode, err);
		return err_set_errno(err, code, "could not open %s\"%s\"", what, path);
	}
	if (fstat(fd, st) < 0) {
		int code = err_set_errno(err, -errno, "could not read %s\"%s\"", what, path);
		close(fd);
		return code;
	}
	return fd;
}

static int open_plain(const char *what, const char *path, uint64_t *ret_bytes, struct err *err)
{
	struct stat st;
	int fd = open_any(what, path, &st, err);

	if (fd < 0)
		return fd;
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return refuse(what, path, st.st_mode, err);
	}
	if (ret_bytes)
		*ret_bytes = (uint64_t)st.st_size;
	return fd;
}

int file_open_plain(const char *path, uint64_t *ret_bytes, struct err *err)
{
	return open_plain("", path, ret_bytes, err);
}

/* ---- texts ---- */

/* A text that is read. */
struct text {
	const char *what, *path;
	int fd;
	bool pipe, fifo; /* fifo: one of a name, which may have no writer yet */
	int wait_ms; /* for the next byte; -1: as long as it likes */
	struct buf *into;
};

/* The open descriptor that a path of /dev names, or -1. It is used as it is: opened again, a pipe whose writer has left already would
 * look like one that has none yet. */
static int descriptor_of(const char *path)
{
	static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};

	if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdin") == 0)
		return STDIN_FILENO;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		const char *number = path + strlen(folders[i]);
		size_t len;

		if (strncmp(path, folders[i], strlen(folders[i])) != 0)
			continue;
		len = strspn(number, "0123456789");
		if (len > 0 && len < 8 && !number[len])
			return atoi(number);
	}
	return -1;
}

static int text_open(struct text *t, enum file_from from, struct err *err)
{
	int given = from == FILE_OR_PIPE ? descriptor_of(t->path) : -1;
	struct stat st;

	if (given == STDIN_FILENO)
		t->path = "standard input";
	if (given >= 0 && (t->fd = fcntl(given, F_DUPFD_CLOEXEC, 3)) < 0)
		return err_set_errno(err, -errno, "could not read %s\"%s\"", t->what, t->path);
	if (given < 0 && (t->fd = from == FILE_PLAIN ? open_plain(t->what, t->path, NULL, err)
						     : open_any(t->what, t->path, &st, err)) < 0)
		return t->fd;
	if (from == FILE_PLAIN)
		return 0;
	if (given >= 0 && fstat(t->fd, &st) < 0)
		return err_set_errno(err, -errno, "could not read %s\"%s\"", t->what, t->path);
	if (S_ISDIR(st.st_mode) || (given < 0 && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)))
		return refuse(t->what, t->path, st.st_mode, err);
	t->pipe = !S_ISREG(st.st_mode);
	t->fifo = given < 0 && S_ISFIFO(st.st_mode);
	t->wait_ms = given == STDIN_FILENO ? -1 : FILE_PIPE_WAIT_MS;
	return 0;
}

/* A FIFO that nobody has opened for writing yet reads as one at its end, and one whose writer has written nothing yet says
 * that it should be tried again. */
static int fifo_wait_writer(const struct text *t, struct err *err)
{
	struct pollfd p = {.fd = t->fd, .events = POLLIN};
	ssize_t n;
	char first;

	if (!t->fifo || poll(&p, 1, FILE_WRITER_WAIT_MS) != 0)
		return 0;
	if ((n = read(t->fd, &first, 1)) == 0)
		return err_set(err, -ETIMEDOUT,
			"could not read %s\"%s\": it is a FIFO (a named pipe), and nobody writes to it", t->what,
			t->path);
	return n > 0 && buf_add(t->into, &first, 1) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static ssize_t text_read(const struct text *t, char *ret, size_t cap)
{
	struct pollfd p = {.fd = t->fd, .events = POLLIN};

	for (;;) {
		int ready = t->pipe ? poll(&p, 1, t->wait_ms) : 1;
		if (ready == 0)
			return -ETIMEDOUT;
		ssize_t n = ready < 0 ? -1 : read(t->fd, ret, cap);
		if (n >= 0)
			return n;
		if (errno != EINTR && !(t->pipe && errno == EAGAIN))
			return -errno;
	}
}

static int too_large(const struct text *t, struct err *err)
{
	size_t max = t->into->len_max, unit = max % (1 << 20) == 0 ? 1 << 20 : max % 1024 == 0 ? 1024 : 1;

	return err_set(err, -EFBIG, "%s\"%s\" is larger than %zu %s", t->what, t->path, max / unit,
		unit == 1      ? "bytes"
		: unit == 1024 ? "KiB"
			       : "MiB");
}

static int text_get(struct text *t, struct err *err)
{
	char chunk[16384];
	ssize_t n;

	while ((n = text_read(t, chunk, sizeof chunk)) > 0) {
		int code = buf_add(t->into, chunk, (size_t)n);
		if (code < 0)
			return code == -ENOBUFS ? too_large(t, err) : err_set(err, -ENOMEM, "out of memory");
	}
	if (n == -ETIMEDOUT)
		return err_set(err, -ETIMEDOUT, "could not read %s\"%s\": nothing came through the pipe for %d s",
			t->what, t->path, FILE_PIPE_WAIT_MS / 1000);
	return n < 0 ? err_set_errno(err, (int)n, "could not read %s\"%s\"", t->what, t->path) : 0;
}

int file_read_text(struct buf *ret, const char *what, const char *path, enum file_from from, struct err *err)
{
	char kind[64];
	struct text t = {.what = kind, .path = path, .fd = -1, .into = ret};

	snprintf(kind, sizeof kind, "%s%s", what, *what ? " " : "");
	int code = text_open(&t, from, err);
	if (code >= 0 && (code = fifo_wait_writer(&t, err)) == 0)
		code = text_get(&t, err);
	if (t.fd >= 0)
		close(t.fd);
	return code;
}

/* ---- outputs ---- */

int file_open_output(const char *what, const char *path, struct err *err)
{
	struct stat st;
	/* Without O_NONBLOCK the open waits for a reader of a FIFO; what is written later waits as usual. */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
	int code = fd < 0 ? -errno : 0;

	if (code == -ENXIO && stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		return err_set(err, code,
			"could not write %s to \"%s\": it is a FIFO (a named pipe), and nobody reads it", what, path);
	if (code == -EISDIR || (code == -ENXIO && stat(path, &st) == 0))
		return refuse("", path, code == -EISDIR ? S_IFDIR : st.st_mode, err);
	if (code == 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode))
		code = refuse("", path, st.st_mode, err); /* a disk, with what is on it */
	else if (code < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		code = err_set_errno(err, -errno, "could not write %s to \"%s\"", what, path);
	if (code < 0 && fd >= 0)
		close(fd);
	return code < 0 ? code : fd;
}

/* ---- names and places ---- */

static size_t digits(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && isdigit((unsigned char)s[n]))
		n++;
	return n;
}

/* "-00001-of-00003" at the end of s[0 .. len): its length, or 0. */
static size_t part_suffix(const char *s, size_t len)
{
	enum { PART_BYTES = 15 };
	const char *at = s + len - PART_BYTES;

	if (len <= PART_BYTES || at[0] != '-' || digits(at + 1, 5) != 5 || memcmp(at + 6, "-of-", 4) != 0 ||
		digits(at + 10, 5) != 5)
		return 0;
	return PART_BYTES;
}

size_t file_gguf_stem(const char *base)
{
	size_t len = strlen(base);

	if (len > 5 && strcasecmp(base + len - 5, ".gguf") == 0)
		len -= 5;
	return len - part_suffix(base, len);
}

int file_read_at(int fd, uint64_t at, void *ret, size_t len)
{
	char *to = ret;

	while (len > 0) {
		ssize_t n = pread(fd, to, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}
