/* listen.h - the HTTP listening socket, bound by the supervisor: a busy port is known before anything starts, and a
 * restarted frontend keeps the port and the clients that wait in its queue. Thread: any. */
#ifndef STATOR_LAUNCH_LISTEN_H
#define STATOR_LAUNCH_LISTEN_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { LISTEN_ADDR_BYTES = 128, LISTEN_BACKLOG = 4096 };

/* Bind and listen; shared: beside others of this user that share the port too (SO_REUSEPORT). Returns the fd (CLOEXEC,
 * non-blocking), owned by the caller, and the address as bound in ret_addr ("127.0.0.1:41873", "[::1]:8000"). host is a name
 * or an address, of IPv6 with or without brackets; port 0: any that is free. "unix:/path": a socket in the file system, of mode
 * 0600; the caller removes the file. Errors say which port and what to do. */
int listen_open(const char *host, uint16_t port, bool shared, char ret_addr[LISTEN_ADDR_BYTES], struct err *err);
/* The path of a host that is a socket in the file system; NULL: it is none. */
const char *listen_unix_path(const char *host);
/* The address a client on this machine would use for a bound one: 0.0.0.0 and [::] become the loopback, "unix:/path" stays. */
void listen_url(const char *addr, char *ret, size_t cap);

/* host without its brackets, cut to fit. */
void listen_bare_host(const char *host, char ret[LISTEN_ADDR_BYTES]);

#endif
