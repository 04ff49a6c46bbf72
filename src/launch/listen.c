/* listen.c - bind the HTTP port; see listen.h. */
#include "launch/listen.h"
#include "net/unix_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int bind_one(const struct addrinfo *a, bool shared)
{
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol), one = 1;

	if (fd < 0)
		return -errno;
	/* Connections of a server that ended a moment ago must not keep the port from the next one. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) ||
		bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
		int code = -errno;
		close(fd);
		return code;
	}
	return fd;
}

static int explain(const char *host, uint16_t port, bool shared, int code, struct err *err)
{
	err_set_errno(err, code, "could not listen on %s port %u", host, port);
	if (code == -EADDRINUSE && shared)
		err_hint(err, "another program has it and does not share it, or is another user's: choose another with "
			      "--port N");
	else if (code == -EADDRINUSE)
		err_hint(err, "another program has it: choose another with --port N, or any free one with --port 0");
	else if (code == -EACCES)
		err_hint(err, "ports below 1024 need a privilege; choose another with --port N");
	else if (code == -EADDRNOTAVAIL)
		err_hint(err, "no interface of this machine has that address; --host 127.0.0.1 is always there");
	return code;
}

static void addr_print(int fd, char ret_addr[LISTEN_ADDR_BYTES])
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "0";

	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		getnameinfo((struct sockaddr *)&sa, len, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(ret_addr, LISTEN_ADDR_BYTES, sa.ss_family == AF_INET6 ? "[%.60s]:%.8s" : "%.60s:%.8s", host, port);
}

void listen_bare_host(const char *host, char ret[LISTEN_ADDR_BYTES])
{
	size_t len = strlen(host);
	bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';

	snprintf(ret, LISTEN_ADDR_BYTES, "%.*s", (int)(brackets ? len - 2 : len), host + brackets);
}

const char *listen_unix_path(const char *host)
{
	return strncmp(host, "unix:", 5) == 0 ? host + 5 : NULL;
}

static int open_unix(const char *path, bool shared, char ret_addr[LISTEN_ADDR_BYTES], struct err *err)
{
	ino_t inode;

	if (*path != '/')
		return err_set(err, -EINVAL, "could not listen on \"unix:%s\": the path must begin with /", path);
	if (shared)
		return err_set(err, -EINVAL, "could not listen on \"unix:%s\": only TCP ports can be shared", path);
	int fd = unix_socket_bind(path, &inode, err);
	if (fd >= 0 && listen(fd, LISTEN_BACKLOG) < 0) {
		(void)err_set_errno(err, -errno, "could not listen");
		close(fd);
		fd = err->code;
	}
	if (fd < 0)
		return err_wrap(err, "could not listen on \"unix:%s\"", path);
	snprintf(ret_addr, LISTEN_ADDR_BYTES, "unix:%s", path);
	return fd;
}

/* What else may stand in an address of other programs. */
static int explain_host(const char *host, int code, struct err *err)
{
	const char *colon = strrchr(host, ':');
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

	err_set(err, -EINVAL, "could not find the address of host \"%s\": %s", host, gai_strerror(code));
	if (strstr(host, "://"))
		return err_hint(err, "--host takes an address or a name alone, without http:// and path");
	if (digits && !colon[1 + digits] && (memchr(host, ':', (size_t)(colon - host)) == NULL || colon[-1] == ']'))
		return err_hint(
			err, "the port is said by itself: --host %.*s --port %s", (int)(colon - host), host, colon + 1);
	return -EINVAL;
}

int listen_open(const char *host, uint16_t port, bool shared, char ret_addr[LISTEN_ADDR_BYTES], struct err *err)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *list = NULL;
	char service[8], bare[LISTEN_ADDR_BYTES];
	int fd = -EADDRNOTAVAIL;

	if (listen_unix_path(host))
		return open_unix(listen_unix_path(host), shared, ret_addr, err);
	snprintf(service, sizeof service, "%u", port);
	listen_bare_host(host, bare);
	int r = getaddrinfo(bare, service, &hints, &list);
	if (r != 0)
		return explain_host(host, r, err);
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = bind_one(a, shared);
	freeaddrinfo(list);
	if (fd < 0)
		return explain(host, port, shared, fd, err);
	addr_print(fd, ret_addr);
	return fd;
}

void listen_url(const char *addr, char *ret, size_t cap)
{
	const char *port = strrchr(addr, ':');

	if (strncmp(addr, "0.0.0.0:", 8) == 0)
		snprintf(ret, cap, "http://127.0.0.1%s", port);
	else if (strncmp(addr, "[::]:", 5) == 0)
		snprintf(ret, cap, "http://[::1]%s", port);
	else if (listen_unix_path(addr))
		snprintf(ret, cap, "%s", addr);
	else
		snprintf(ret, cap, "http://%s", addr);
}
