/* notify.c - see notify.h. */
#include "launch/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOTIFY_BYTES_MAX = 2048 };

/* Where to send; false: an address of a kind that this does not know (vsock), or too long. */
static bool address_take(struct notify *n, const char *text)
{
	size_t len = strlen(text);

	if ((*text != '/' && *text != '@') || len < 2 || len >= sizeof n->addr.sun_path)
		return false;
	n->addr.sun_family = AF_UNIX;
	memcpy(n->addr.sun_path, text, len);
	if (*text == '@')
		n->addr.sun_path[0] = '\0'; /* not in the file system: no zero byte at its end either */
	n->addr_len = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + len + (*text == '/'));
	return true;
}

static uint64_t watchdog_us(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!us || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	return strtoull(us, NULL, 10);
}

void notify_init(struct notify *n)
{
	const char *text = getenv("NOTIFY_SOCKET");

	*n = (struct notify){.fd = -1};
	if (text && address_take(n, text)) {
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		n->watchdog_us = n->fd >= 0 ? watchdog_us() : 0;
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_send(const struct notify *n, const char *fmt, ...)
{
	char text[NOTIFY_BYTES_MAX];
	va_list ap;

	if (n->fd < 0)
		return;
	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	ssize_t sent;
	do
		sent = sendto(n->fd, text, MIN((size_t)len, sizeof text - 1), MSG_NOSIGNAL,
			(const struct sockaddr *)&n->addr, (socklen_t)n->addr_len);
	while (sent < 0 && errno == EINTR);
}

uint64_t notify_watchdog_every_us(const struct notify *n)
{
	return n->watchdog_us / 2;
}

void notify_done(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}
