/* addr.h - addresses as people write them, to socket addresses and back.
 *
 *     unix:/run/stator.sock    a Unix socket
 *     127.0.0.1:8000           IPv4; port 0: any
 *     [::1]:8000               IPv6
 *     localhost:8000           a name: looked up by net_addr_resolve, which may block
 *     *:8000, :8000            every address of the machine (listen)
 *     shared:HOST:PORT         TCP; others listen there too, each with a socket of its own (listen)
 *     fd:3                     an inherited listening socket
 *
 * Thread: any. Memory: none kept. */
#ifndef STATOR_NET_ADDR_H
#define STATOR_NET_ADDR_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { NET_HOST_BYTES_MAX = 255, NET_ADDR_TEXT_BYTES = 128 };

enum net_addr_kind { NET_ADDR_UNIX, NET_ADDR_TCP, NET_ADDR_FD };

/* What text means, before names are looked up. */
struct net_target {
	enum net_addr_kind kind;
	char host[NET_HOST_BYTES_MAX + 1]; /* without brackets; "" : every address */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	uint16_t port;
	bool shared;
	int fd;
};

/* A socket address without the 100 bytes of path that accepted streams never have. */
struct net_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

/* 0 or -EINVAL with a sentence that quotes text. */
int net_target_parse(const char *text, struct net_target *ret, struct err *err);
/* Numbers to an address, without asking anybody. -ENOENT: it is a name. "" gives the IPv4 wildcard. */
int net_addr_numeric(const struct net_target *t, struct net_addr *ret);
/* Look a name up, first answer wins; IPv4 is preferred when both are there, as servers that listen on one listen on that.
 * Blocks. 0 or negative with err set. */
int net_addr_resolve(const struct net_target *t, struct net_addr *ret, struct err *err);
/* "127.0.0.1:8000", "[::1]:8000", "unix". */
void net_addr_format(const struct net_addr *a, char ret[NET_ADDR_TEXT_BYTES]);

#endif
