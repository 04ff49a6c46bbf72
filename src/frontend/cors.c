#include "frontend/cors.h"

#include <string.h>

/* What a script may read besides the body. */
#define EXPOSED "x-request-id, x-stator-worker, x-stator-route, retry-after"

static bool is_listed(const char *allowed, const char *origin)
{
	size_t len = strlen(origin);

	for (const char *at = allowed; *at;) {
		size_t n = strcspn(at, ", ");
		if (n == len && !strncmp(at, origin, n))
			return true;
		at += n;
		at += strspn(at, ", ");
	}
	return false;
}

/* Of a browser: this method, these headers, from that page? */
static bool answer_preflight(struct http_exchange *x)
{
	const char *headers = http_header(x, "access-control-request-headers");

	if (strcmp(http_method(x), "OPTIONS") || !http_header(x, "access-control-request-method"))
		return false;
	http_add_header(x, "access-control-allow-methods", "GET, POST");
	if (headers)
		http_add_header(x, "access-control-allow-headers", headers);
	http_add_header(x, "access-control-max-age", "600");
	http_reply(x, 204, NULL, NULL, 0);
	return true;
}

bool cors_serve(const char *allowed, struct http_exchange *x)
{
	const char *origin = http_header(x, "origin");

	if (!allowed || !*allowed || !origin)
		return false;
	bool all = !strcmp(allowed, "*");
	if (!all && !is_listed(allowed, origin))
		return false;
	http_add_header(x, "access-control-allow-origin", all ? "*" : origin);
	if (!all)
		http_add_header(x, "vary", "origin");
	http_add_header(x, "access-control-expose-headers", EXPOSED);
	return answer_preflight(x);
}
