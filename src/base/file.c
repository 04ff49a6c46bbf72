/* file.c - see file.h. */
#include "base/file.h"

#include <fcntl.h>
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
