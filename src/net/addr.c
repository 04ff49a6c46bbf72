#include "net/addr.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* Digits to a number of at most max; -1 when it is anything else. */
static long number_parse(const char *s, long max)
{
	long v = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		v = v * 10 + (*s - '0');
		if (v > max)
			return -1;
	}
	return v;
}

static int unix_parse(const char *text, const char *path, struct net_target *t, struct err *err)
{
	size_t len = strlen(path);

	if (len == 0)
		return err_set(err, -EINVAL, "cannot use address \"%s\": the path is empty", text);
	if (len >= sizeof t->path)
		return err_set(err, -EINVAL, "cannot use address \"%s\": the path has %zu bytes, the system allows %zu",
			text, len, sizeof t->path - 1);
	t->kind = NET_ADDR_UNIX;
	memcpy(t->path, path, len + 1);
	return 0;
}

/* The colon in front of the port; the host is [*host, *host + *len). NULL: there is none. */
static const char *host_split(const char *text, const char **host, size_t *len)
{
	const char *colon;

	*host = text;
	if (*text == '[') {
		const char *end = strchr(text, ']');
		if (!end || end[1] != ':')
			return NULL;
		*host = text + 1;
		*len = (size_t)(end - *host);
		return end + 1;
	}
	colon = strrchr(text, ':');
	if (!colon || memchr(text, ':', (size_t)(colon - text)))
		return NULL;
	*len = (size_t)(colon - text);
	return colon;
}

static int tcp_parse(const char *text, struct net_target *t, struct err *err)
{
	const char *host;
	size_t len = 0;
	const char *colon = host_split(text, &host, &len);
	if (!colon) {
		(void)err_set(err, -EINVAL, "cannot use address \"%s\"", text);
		(void)err_hint(err, "write HOST:PORT, [IPv6]:PORT or unix:/path");
		return -EINVAL;
	}
	long port = number_parse(colon + 1, 65535);
	if (port < 0)
		return err_set(err, -EINVAL, "cannot use address \"%s\": port \"%s\" is not a number from 0 to 65535",
			text, colon + 1);
	if (len > NET_HOST_BYTES_MAX)
		return err_set(err, -EINVAL, "cannot use address \"%s\": the host has more than %d bytes", text,
			NET_HOST_BYTES_MAX);
	t->kind = NET_ADDR_TCP;
	memcpy(t->host, host, len);
	t->host[len] = '\0';
	if (strcmp(t->host, "*") == 0)
		t->host[0] = '\0';
	t->port = (uint16_t)port;
	return 0;
}

int net_target_parse(const char *text, struct net_target *ret, struct err *err)
{
	struct net_target t = {.fd = -1};
	int r = 0;

	if (strncmp(text, "unix:", 5) == 0) {
		r = unix_parse(text, text + 5, &t, err);
	} else if (strncmp(text, "fd:", 3) == 0) {
		long fd = number_parse(text + 3, INT32_MAX);
		t.kind = NET_ADDR_FD;
		t.fd = (int)fd;
		if (fd < 0)
			r = err_set(err, -EINVAL, "cannot use address \"%s\": \"%s\" is not a descriptor number", text,
				text + 3);
	} else {
		t.shared = strncmp(text, "shared:", 7) == 0;
		r = tcp_parse(t.shared ? text + 7 : text, &t, err);
	}
	if (r == 0)
		*ret = t;
	return r;
}

int net_addr_numeric(const struct net_target *t, struct net_addr *ret)
{
	struct net_addr a = {.in = {.sin_family = AF_INET, .sin_port = htons(t->port)}, .len = sizeof a.in};

	if (!t->host[0] || inet_pton(AF_INET, t->host, &a.in.sin_addr) == 1) {
		*ret = a;
		return 0;
	}
	a = (struct net_addr){.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(t->port)}, .len = sizeof a.in6};
	if (inet_pton(AF_INET6, t->host, &a.in6.sin6_addr) != 1)
		return -ENOENT;
	*ret = a;
	return 0;
}

int net_addr_resolve(const struct net_target *t, struct net_addr *ret, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL, *best = NULL;
	int r = getaddrinfo(t->host, NULL, &hints, &all);

	if (r == EAI_MEMORY)
		return err_set(err, -ENOMEM, "could not look up host \"%s\": out of memory", t->host);
	for (struct addrinfo *a = r ? NULL : all; a; a = a->ai_next)
		if (!best || (a->ai_family == AF_INET && best->ai_family != AF_INET))
			best = a;
	if (!best || best->ai_addrlen > sizeof ret->in6) {
		if (!r)
			freeaddrinfo(all);
		return err_set(err, -EHOSTUNREACH, "could not look up host \"%s\": %s", t->host,
			r ? gai_strerror(r) : "it has no address");
	}
	memset(ret, 0, sizeof *ret);
	memcpy(&ret->sa, best->ai_addr, best->ai_addrlen);
	ret->len = best->ai_addrlen;
	/* The port lies at the same place for both families. */
	ret->in.sin_port = htons(t->port);
	freeaddrinfo(all);
	return 0;
}

void net_addr_format(const struct net_addr *a, char ret[NET_ADDR_TEXT_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof host);
		snprintf(ret, NET_ADDR_TEXT_BYTES, "%s:%u", host, ntohs(a->in.sin_port));
	} else if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof host);
		snprintf(ret, NET_ADDR_TEXT_BYTES, "[%s]:%u", host, ntohs(a->in6.sin6_port));
	} else {
		snprintf(ret, NET_ADDR_TEXT_BYTES, "unix");
	}
}
