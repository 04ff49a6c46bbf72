/* cors.h - pages of other origins in a browser: may their scripts read our answers? By default none may, since a page
 * from anywhere could then use a server that asks for no key. Thread: the frontend's loop. */
#ifndef STATOR_FRONTEND_CORS_H
#define STATOR_FRONTEND_CORS_H

#include "net/http_server.h"

/* CORS_LISTED: x's origin is one of allowed; the headers that let its page read the answer are on it. CORS_ANSWERED: it was,
 * and x was a browser's question before its request (OPTIONS): x is gone. */
enum cors { CORS_NONE, CORS_LISTED, CORS_ANSWERED };
/* allowed: "*", or origins with a comma between; NULL: none. */
enum cors cors_serve(const char *allowed, struct http_exchange *x);
/* Is x a browser's question whether a page may make a request? */
bool cors_is_preflight(const struct http_exchange *x);

#endif
