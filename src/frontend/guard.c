/* guard.c - see guard.h. */
#include "frontend/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

enum { HOST_BYTES = 256, PORT_BYTES = 8 };

/* An authority in parts: host in lower case, without brackets and without the dot that ends a full name. */
struct place {
	char host[HOST_BYTES], port[PORT_BYTES];
};

static bool place_parse(struct place *ret, const char *text, size_t len)
{
	bool bracket = len && *text == '[';
	const char *end = text + len, *host = text + bracket, *host_end = bracket ? memchr(text, ']', len) : NULL;

	*ret = (struct place){0};
	if (!bracket) {
		host_end = memchr(text, ':', len);
		host_end = host_end ? host_end : end;
	}
	if (!host_end || (size_t)(host_end - host) >= sizeof ret->host)
		return false;
	const char *port = host_end + bracket;
	if (port < end && (*port != ':' || (size_t)(end - port) > sizeof ret->port))
		return false;
	for (size_t i = 0; host + i < host_end; i++)
		ret->host[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] | 0x20 : host[i]);
	size_t n = strlen(ret->host);
	if (n > 1 && ret->host[n - 1] == '.')
		ret->host[n - 1] = '\0';
	if (port < end)
		memcpy(ret->port, port + 1, (size_t)(end - port) - 1);
	return ret->host[0];
}

/* 127.0.0.0/8 and ::1, written in any of their forms. Short forms (127.1) are not: browsers write them out. */
static bool is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &six) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

static bool same_host(const char *a, const char *b)
{
	struct in6_addr six_a, six_b;

	if (!strcmp(a, b))
		return true;
	return inet_pton(AF_INET6, a, &six_a) == 1 && inet_pton(AF_INET6, b, &six_b) == 1 &&
	       !memcmp(&six_a, &six_b, sizeof six_a);
}

static bool is_host_of(const char *address, const struct place *p)
{
	struct place own;

	if (!address || !strncmp(address, "unix:", 5) || !strncmp(address, "fd:", 3))
		return false;
	if (!strncmp(address, "shared:", 7))
		address += 7;
	return place_parse(&own, address, strlen(address)) && same_host(own.host, p->host);
}

static bool is_listed(const char *list, const struct place *p)
{
	for (const char *at = list; at && *at; at += strspn(at, ", ")) {
		size_t len = strcspn(at, ", ");
		struct place listed;

		if (len == 1 && *at == '*')
			return true;
		/* A bare IPv6 address has colons of its own. */
		bool is_bare = memchr(at, ':', len) != memrchr(at, ':', len) && *at != '[';
		char text[HOST_BYTES + 2];
		snprintf(text, sizeof text, is_bare ? "[%.*s]" : "%.*s", (int)MIN(len, (size_t)HOST_BYTES - 1), at);
		if (place_parse(&listed, text, strlen(text)) && same_host(listed.host, p->host) &&
			(!listed.port[0] || !strcmp(listed.port, p->port)))
			return true;
		at += len;
	}
	return false;
}

static bool is_guarded(const struct guard *g)
{
	struct place bound;

	if (g->allow_host && *g->allow_host)
		return true;
	return !g->has_keys && strncmp(g->bound, "unix:", 5) != 0 && place_parse(&bound, g->bound, strlen(g->bound)) &&
	       is_loopback(bound.host);
}

/* One label: nobody can register it, so no stranger's page has it. Containers and scripts on the same machine do. */
static bool is_single_label(const char *host)
{
	return !strpbrk(host, ".:");
}

int guard_host(const struct guard *g, const char *authority, struct api_error *e)
{
	struct place p;

	/* A browser always says whom it asks. */
	if (!authority || !*authority || !is_guarded(g))
		return 0;
	if (place_parse(&p, authority, strlen(authority)) &&
		(is_single_label(p.host) || is_loopback(p.host) || is_host_of(g->bound, &p) ||
			is_host_of(g->listen, &p) || (g->name && is_listed(g->name, &p)) ||
			is_listed(g->allow_host, &p)))
		return 0;
	return api_error_set(e, 403, "host_not_allowed", NULL,
		"this server is not known as \"%.200s\" (the Host of the request); if that is a name of its own, add "
		"it to Frontend.allow-host (--allow-host of stator frontend)",
		authority);
}

/* http://host:port of a page against the authority that it asks: the scheme is not known here (a proxy in front may speak
 * TLS), so an absent port is the page's scheme's. */
static bool is_own_origin(const char *origin, const char *authority)
{
	bool is_https = strncasecmp(origin, "https://", 8) == 0;
	const char *usual = is_https ? "443" : "80", *at = origin + (is_https ? 8 : 7);
	struct place page, asked;

	if (!is_https && strncasecmp(origin, "http://", 7) != 0)
		return false;
	if (!authority || !place_parse(&page, at, strlen(at)) || !place_parse(&asked, authority, strlen(authority)))
		return false;
	return same_host(page.host, asked.host) &&
	       !strcmp(page.port[0] ? page.port : usual, asked.port[0] ? asked.port : usual);
}

static int refuse(const char *who, struct api_error *e)
{
	return api_error_set(e, 403, "origin_not_allowed", NULL,
		"pages of %.200s may not use this server; to let them, add their origin to Frontend.allow-origin "
		"(--allow-origin of stator frontend)",
		who);
}

int guard_origin(const struct guard *g, const struct http_exchange *x, struct api_error *e)
{
	const char *origin = http_header(x, "origin"), *site = http_header(x, "sec-fetch-site"),
		   *mode = http_header(x, "sec-fetch-mode");
	bool all = g->allow_origin && !strcmp(g->allow_origin, "*"), is_post = !strcmp(http_method(x), "POST");

	if (origin && http_header_count(x, "origin") == 1 && is_own_origin(origin, http_authority(x)))
		return 0;
	if (origin)
		return all ? 0 : refuse(origin, e);
	/* A GET without Origin: an image, a script, a frame of a page elsewhere. Its page cannot read the answer, but can cause
	 * work. A link that a person follows is no page's doing. */
	if (!site || strcasecmp(site, "cross-site") != 0 || all || (mode && !strcasecmp(mode, "navigate") && !is_post))
		return 0;
	return refuse("other sites", e);
}

bool guard_is_browser(const struct http_exchange *x)
{
	return http_header(x, "origin") || http_header(x, "sec-fetch-site") || http_header(x, "sec-fetch-mode") ||
	       http_header(x, "sec-fetch-dest");
}

/* type/subtype of a content-type, without blanks and parameters. */
static bool is_type(const char *header, const char *type)
{
	size_t n = strcspn(header, "; \t");

	return n == strlen(type) && !strncasecmp(header, type, n);
}

static bool is_json(const char *header)
{
	size_t n = strcspn(header, "; \t");

	return is_type(header, "application/json") || is_type(header, "text/json") ||
	       (n > 17 && !strncasecmp(header, "application/", 12) && !strncasecmp(header + n - 5, "+json", 5));
}

int guard_content_type(const struct http_exchange *x, struct api_error *e)
{
	const char *type = http_header(x, "content-type");
	bool is_form = type && is_type(type, "application/x-www-form-urlencoded");

	if (!type || !*type || (is_json(type) && http_header_count(x, "content-type") == 1) ||
		(is_form && !guard_is_browser(x)))
		return 0;
	return api_error_set(e, 415, "unsupported_media_type", NULL,
		"this takes JSON; send the header \"content-type: application/json\", not \"%.100s\"", type);
}
