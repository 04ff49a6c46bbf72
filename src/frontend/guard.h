/* guard.h - which requests are looked at: those that ask for a name of this server, and that no page of a stranger made.
 *
 * A browser runs pages from anywhere on the machine of the person at it, so what listens on the loopback is in reach of every
 * page that this person opens, firewall or not:
 * - A page whose name its owner points at 127.0.0.1 (DNS rebinding) is of the same origin as this server. Its requests carry
 *   that name as Host. So on a loopback address without API keys only local names are accepted, and those of allow-host.
 *   Local are addresses of the loopback and names of one label ("localhost", "vllm"), which nobody can register.
 *   Where allow-host is set, that holds on any address.
 * - Any page may send a form or a GET here, unread. Browsers say so (Origin, Sec-Fetch-Site); such requests are refused
 *   unless allow-origin names the page's origin. What a page may read is cors.h's.
 * Programs that are no browsers send neither header and are not concerned.
 *
 * Thread: the frontend's loop. Memory: none kept. */
#ifndef STATOR_FRONTEND_GUARD_H
#define STATOR_FRONTEND_GUARD_H

#include "frontend/error.h"

struct guard {
	const char *bound; /* the address listened on, "127.0.0.1:8000", "[::1]:80", "unix:/path" */
	const char *listen; /* as configured: its host is a name of ours too; NULL: none */
	const char *name; /* one more name of that address; NULL: none */
	const char *allow_host; /* names or name:port with a comma between, "*": any; NULL: none */
	const char *allow_origin; /* as in cors.h */
	bool has_keys;
};

/* 0, or -EINVAL with e filled (403). authority: "host", "host:port", NULL or "" when the client named none. */
int guard_host(const struct guard *g, const char *authority, struct api_error *e);
/* Is the page that makes the request, if it is one, of this very server? 0, or -EINVAL with e filled (403). For requests whose
 * origin allow-origin does not name. */
int guard_origin(const struct guard *g, const struct http_exchange *x, struct api_error *e);
/* Does a browser send it? */
bool guard_is_browser(const struct http_exchange *x);
/* Is the body what its content-type has to say of JSON? 0, or -EINVAL with e filled (415). Absent is fine. A form's type is,
 * from a program: curl -d says so of anything. Other types never are, and from a page (which cannot send JSON unasked) none. */
int guard_content_type(const struct http_exchange *x, struct api_error *e);

#endif
