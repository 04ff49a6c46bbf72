/* cors.h - pages of other origins in a browser: may their scripts read our answers? By default none may, since a page
 * from anywhere could then use a server that asks for no key. Thread: the frontend's loop. */
#ifndef STATOR_FRONTEND_CORS_H
#define STATOR_FRONTEND_CORS_H

#include "net/http_server.h"

/* allowed: "*", or origins with a comma between; NULL: none. Puts the headers for x's origin on its answer, when it is one
 * of those, and answers a browser's question before its request (OPTIONS): true, x is gone then. */
bool cors_serve(const char *allowed, struct http_exchange *x);

#endif
