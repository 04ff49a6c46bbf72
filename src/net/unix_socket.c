/* unix_socket.c - see unix_socket.h. */
#include "net/unix_socket.h"
#include "base/compiler.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Does anybody listen on the socket file? Then it is not ours to replace. */
static int check_nobody_listens(const struct sockaddr_un *un, struct err *err)
{
	struct stat st;

	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, -errno, "could not look at \"%s\"", un->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "\"%s\" is there already, and is not a socket", un->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(err, -errno, "could not open a socket");
	int code = connect(fd, (const struct sockaddr *)un, sizeof *un) < 0 ? errno : 0;
	close(fd);
	if (code == ECONNREFUSED || code == ENOENT)
		return 0;
	return err_set(err, -EADDRINUSE, "another process listens on \"%s\"", un->sun_path);
}

static int unix_bind(int fd, const struct sockaddr_un *un, struct err *err)
{
	/* The file gets the socket's mode at birth: there is no moment when others may connect, and the process-wide
	 * umask stays as it is. */
	fchmod(fd, 0600);
	if (bind(fd, (const struct sockaddr *)un, sizeof *un) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return err_set_errno(err, -errno, "could not bind");
	int r = check_nobody_listens(un, err);
	if (r < 0)
		return r;
	unlink(un->sun_path);
	if (bind(fd, (const struct sockaddr *)un, sizeof *un) < 0)
		return err_set_errno(err, -errno, "could not bind");
	return 0;
}

/* The file must be the one we made, for us alone; file systems exist that know no modes. */
static int unix_check(const char *path, ino_t *ret_inode, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_set_errno(err, -errno, "could not look at \"%s\"", path);
	if (!S_ISSOCK(st.st_mode) || (st.st_mode & 0177) || st.st_uid != geteuid())
		return err_set(
			err, -EPERM, "\"%s\" did not get mode 0600; choose a folder on another file system", path);
	*ret_inode = st.st_ino;
	return 0;
}

int unix_socket_bind(const char *path, ino_t *ret_inode, struct err *err)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof un.sun_path)
		return err_set(err, -ENAMETOOLONG, "the path \"%s\" is longer than the %zu bytes the system allows",
			path, sizeof un.sun_path - 1);
	memcpy(un.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(err, -errno, "could not open a socket");
	int r = unix_bind(fd, &un, err);
	if (r == 0)
		r = unix_check(path, ret_inode, err);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

void unix_socket_remove(const char *path, ino_t inode)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_ino == inode)
		unlink(path);
}
