/* notify.h - tell the service manager how we are: systemd's notification protocol (sd_notify(3)), of units with Type=notify.
 *
 * One datagram of "KEY=VALUE" lines to the socket that $NOTIFY_SOCKET names: a path, or an abstract address ("@name").
 * Without that variable every call does nothing. A message that cannot be sent is lost: a manager that does not listen must
 * not stop a server.
 *
 *   notify_init, then notify_send as things happen and notify_watchdog_us / "WATCHDOG=1" in time, then notify_done
 * Thread: one owner. Memory: one socket. */
#ifndef STATOR_LAUNCH_NOTIFY_H
#define STATOR_LAUNCH_NOTIFY_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

struct notify {
	int fd; /* -1: nobody is to be told */
	struct sockaddr_un addr;
	uint32_t addr_len;
	uint64_t watchdog_us; /* 0: no watchdog */
};

/* From the environment, whose variables are taken out of it: they are meant for us and not for what we start. */
void notify_init(struct notify *n);
/* "READY=1\nSTATUS=..." and so on. */
void notify_send(const struct notify *n, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* How often to say WATCHDOG=1: half of what the manager waits; 0: never. */
uint64_t notify_watchdog_every_us(const struct notify *n);
void notify_done(struct notify *n);

#endif
