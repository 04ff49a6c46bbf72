#include "frontend/cors.h"

#include <string.h>
#include <strings.h>

/* What a script may read besides the body. */
#define EXPOSED "x-request-id, x-stator-worker, x-stator-route, retry-after"

/* Origins are compared as browsers write them: no case in scheme and host, no slash at the end. */
static bool is_listed(const char *allowed, const char *origin)
{
	size_t len = strlen(origin);

	for (const char *at = allowed; *at;) {
		size_t n = strcspn(at, ", "), bare = n > 1 && at[n - 1] == '/' ? n - 1 : n;
		if (bare == len && !strncasecmp(at, origin, len))
			return true;
		at += n;
		at += strspn(at, ", ");
	}
	return false;
}

bool cors_is_preflight(const struct http_exchange *x)
{
	return !strcmp(http_method(x), "OPTIONS") && http_header(x, "access-control-request-method");
}

/* Of a browser: this method, these headers, from that page? */
static void answer_preflight(struct http_exchange *x)
{
	const char *headers = http_header(x, "access-control-request-headers");

	http_add_header(x, "access-control-allow-methods", "GET, POST");
	if (headers)
		http_add_header(x, "access-control-allow-headers", headers);
	/* From a page of the Internet to a machine of a private network. */
	if (http_header(x, "access-control-request-private-network"))
		http_add_header(x, "access-control-allow-private-network", "true");
	http_add_header(x, "access-control-max-age", "600");
	http_reply(x, 204, NULL, NULL, 0);
}

enum cors cors_serve(const char *allowed, struct http_exchange *x)
{
	const char *origin = http_header(x, "origin");

	if (!allowed || !*allowed || !origin || http_header_count(x, "origin") > 1)
		return CORS_NONE;
	bool all = !strcmp(allowed, "*");
	if (!all && !is_listed(allowed, origin))
		return CORS_NONE;
	http_add_header(x, "access-control-allow-origin", all ? "*" : origin);
	if (!all)
		http_add_header(x, "vary", "origin");
	http_add_header(x, "access-control-expose-headers", EXPOSED);
	if (!cors_is_preflight(x))
		return CORS_LISTED;
	answer_preflight(x);
	return CORS_ANSWERED;
}
