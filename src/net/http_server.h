/* http_server.h - HTTP/1.1 for clients we do not trust, over struct env, so that it runs on a fake clock as well.
 *
 * Parsing is llhttp's; limits, deadlines, keep-alive, pipelining, chunked answers and back pressure are here. Past a
 * limit: 431 (headers), 413 (body), 408 (too slow), 503 + Retry-After and close (connections). A request reaches the
 * handler when its body is whole. Pipelined requests are answered one after another, in order.
 *
 * Thread: the env's loop. Memory: a connection holds at most its limits' bytes; an idle one a few hundred bytes. */
#ifndef STATOR_NET_HTTP_SERVER_H
#define STATOR_NET_HTTP_SERVER_H

#include "base/buf.h"
#include "base/env.h"

struct http_server;
struct http_exchange; /* one request and its answer; owned by the server */

struct http_limits {
	uint32_t conns_max, header_bytes_max, header_count_max;
	size_t body_bytes_max;
	uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, stall_timeout_ms;
};
/* The values of base/limits.h; connections no more than the process has fds for. */
void http_limits_default(struct http_limits *ret);

struct http_handler {
	/* A whole request. Answer now or later with the calls below, exactly once; or be told by on_gone. */
	void (*on_request)(void *ctx, struct http_exchange *x);
	/* Counts for metrics; may be NULL. name is a string literal: http_requests, http_conn_accepted, http_conn_refused
	 * (503, too many), http_bad_request (4xx of the parser), http_too_large (413, 431), http_refused (5xx of the
	 * parser), http_header_timeout, http_body_timeout, http_idle_timeout, http_stalled (a reader that takes nothing),
	 * http_client_gone (while it was being answered), http_out_of_memory. */
	void (*on_count)(void *ctx, const char *name);
};
/* What an exchange tells while it is being answered. Either may be NULL. */
struct http_exchange_ops {
	void (*on_drain)(void *user); /* what was written has left */
	/* The client left, or stalled too long: x must not be used any more, nor inside it. A client that shut down its
	 * sending side alone is still there and gets its answer. */
	void (*on_gone)(void *user);
};

/* Listen on addr (forms as env_listen). */
int http_server_create(struct http_server **ret, struct env *env, const char *addr, const struct http_limits *limits,
	const struct http_handler *handler, void *ctx, struct err *err);
/* "127.0.0.1:8000" as bound. */
const char *http_server_addr(const struct http_server *s);
/* Accept no more (the address is free at once); close idle connections; answers under way say "connection: close". */
void http_server_drain(struct http_server *s);
/* Connections that are open. */
uint32_t http_server_conns(const struct http_server *s);
/* Close everything; on_gone is called for exchanges under way. Not from inside a callback of the server's. */
void http_server_destroy(struct http_server *s);

/* The request. All borrowed until the exchange ends. */
const char *http_method(const struct http_exchange *x); /* "GET" */
const char *http_path(const struct http_exchange *x); /* without the query, percent-decoded */
const char *http_query(const struct http_exchange *x); /* after '?', "" when none */
const char *http_header(const struct http_exchange *x, const char *name); /* NULL when absent; name in lower case */
/* Take the body out of the exchange: ret (done or empty before) owns it now, http_body is empty. */
void http_body_take(struct http_exchange *x, struct buf *ret);
const char *http_body(const struct http_exchange *x, size_t *ret_len); /* NUL follows */
const char *http_peer(const struct http_exchange *x);

void http_set_ops(struct http_exchange *x, const struct http_exchange_ops *ops, void *user);
/* Add a header to the answer; before reply or begin. Copies. Values with control characters are dropped (and asserted
 * in tests): nobody splits our answers. */
void http_add_header(struct http_exchange *x, const char *name, const char *value);
/* The whole answer. x is gone after it. Copies body. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len);
/* An answer in pieces (chunked). Writes of one turn leave together. */
void http_begin(struct http_exchange *x, int status, const char *content_type);
void http_write(struct http_exchange *x, const void *data, size_t len);
/* Bytes written that the client has not taken. */
size_t http_queued(const struct http_exchange *x);
/* End of the answer. x is gone after it. */
void http_end(struct http_exchange *x);
/* Break off an answer that has begun, so that the client sees it is not whole. x is gone after it. */
void http_abort(struct http_exchange *x);

#endif
