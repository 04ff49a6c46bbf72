/* file.c - see file.h. */
#include "base/file.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const char *path, mode_t mode, struct err *err)
{
	if (S_ISDIR(mode))
		return err_set(err, -EISDIR, "\"%s\" is a folder, not a file", path);
	return err_set(err, -EINVAL, "\"%s\" is a %s, not a file", path,
		S_ISFIFO(mode)   ? "FIFO (a named pipe)"
		: S_ISSOCK(mode) ? "socket"
				 : "device");
}

int file_open_plain(const char *path, uint64_t *ret_bytes, struct err *err)
{
	struct stat st;
	/* Without O_NONBLOCK the open itself waits for a writer of a FIFO; plain files know no difference. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		int code = -errno;
		/* A socket is not opened at all, by words nobody understands. */
		if (code == -ENXIO && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
			return refuse(path, st.st_mode, err);
		return err_set_errno(err, code, "could not open \"%s\"", path);
	}
	int r = 0;
	if (fstat(fd, &st) < 0)
		r = err_set_errno(err, -errno, "could not read \"%s\"", path);
	else if (!S_ISREG(st.st_mode))
		r = refuse(path, st.st_mode, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	if (ret_bytes)
		*ret_bytes = (uint64_t)st.st_size;
	return fd;
}

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
