/* log_file.c - see log_file.h. */
#include "launch/log_file.h"
#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_make(const char *path)
{
	struct stat st;
	/* Without O_NONBLOCK a FIFO of that name would hold the supervisor until somebody reads it. */
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

void log_file_open(struct log_file *f, const char *dir, const char *name)
{
	*f = (struct log_file){.fd = -1};
	if (dir && snprintf(f->path, sizeof f->path, "%s/%s" LOG_FILE_SUFFIX, dir, name) < (int)sizeof f->path)
		f->fd = file_make(f->path);
}

static void rotate(struct log_file *f)
{
	char before[LOG_FILE_PATH_BYTES + 4];

	snprintf(before, sizeof before, "%s.1", f->path);
	close(f->fd);
	rename(f->path, before);
	f->fd = file_make(f->path);
	f->bytes = 0;
}

static void write_all(struct log_file *f, const char *data, size_t len)
{
	while (len > 0 && f->fd >= 0) {
		ssize_t n = write(f->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		f->bytes += (uint64_t)n;
		data += n;
		len -= (size_t)n;
	}
}

/* Somebody removed the file, or its folder (a cleaner of /tmp), or the disk was full when it was to be made. */
static void again_if_gone(struct log_file *f)
{
	struct stat st;

	if (!f->path[0] || (f->fd >= 0 && (fstat(f->fd, &st) < 0 || st.st_nlink > 0)))
		return;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = file_make(f->path);
	f->bytes = 0;
}

void log_file_write(struct log_file *f, const char *data, size_t len)
{
	again_if_gone(f);
	if (f->fd >= 0 && f->bytes + len > LOG_FILE_BYTES_MAX) {
		const char *end = memchr(data, '\n', len);
		size_t rest = end ? (size_t)(end - data) + 1 : 0;

		write_all(f, data, rest);
		rotate(f);
		data += rest;
		len -= rest;
	}
	write_all(f, data, len);
}

void log_file_close(struct log_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct log_file){.fd = -1};
}
