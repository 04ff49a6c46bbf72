/* http_server.h - HTTP/1.1 for clients we do not trust, over struct env, so that it runs on a fake clock as well.
 *
 * Parsing of heads is llhttp's; bodies, limits, deadlines, keep-alive, pipelining, chunked answers and back pressure are
 * here. Past a limit: 431 (headers), 413 (body), 408 (too slow), 503 + Retry-After and close (connections, memory for
 * requests). A request reaches the handler twice: on_headers may refuse it before a byte of its body is read, on_request has
 * it whole. Pipelined requests are answered one after another, in order.
 *
 * Thread: the env's loop. Memory: a connection holds at most its limits' bytes; an idle one a few hundred bytes. What
 * requests hold in all (headers, bodies, also bodies that the handler took) is at most bodies_bytes_max and one read of each
 * connection: a request that would pass it waits, is not read meanwhile, and is refused after body_wait_ms. An eighth
 * is kept for requests of at most HTTP_SMALL_BYTES. */
#ifndef STATOR_NET_HTTP_SERVER_H
#define STATOR_NET_HTTP_SERVER_H

#include "base/buf.h"
#include "base/env.h"

struct http_server;
struct http_exchange; /* one request and its answer; owned by the server */

struct http_limits {
	uint32_t conns_max, header_bytes_max, header_count_max;
	bool conns_by_fds; /* the limit of open files allows no more connections: whoever is refused hears it */
	size_t body_bytes_max;
	size_t bodies_bytes_max; /* of all requests that are being read or parsed; at least twice body_bytes_max counts */
	uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, stall_timeout_ms;
	size_t unread_bytes_max; /* of one answer in pieces, once its handler keeps some (http_hold) */
	size_t unread_total_max; /* of all answers */
	uint32_t body_wait_ms; /* for room in bodies_bytes_max */
	uint64_t large_rate; /* bytes a second of all bodies, beyond the first HTTP_UNPACED_BYTES of each; 0: any */
};
/* The values of base/limits.h; connections no more than the process has fds for. */
void http_limits_default(struct http_limits *ret);

struct http_handler {
	/* The headers of a request are whole and no byte of its body has been read, nor asked for. True: go on to its body.
	 * False: it has been answered inside, with http_reply; a short body is then read and dropped, behind a long one the
	 * connection ends. May be NULL. Headers added to the answer here stay when on_request follows. */
	bool (*on_headers)(void *ctx, struct http_exchange *x);
	/* A whole request. Answer now or later with the calls below, exactly once; or be told by on_gone. */
	void (*on_request)(void *ctx, struct http_exchange *x);
	/* Counts for metrics; may be NULL. name is a string literal: http_requests, http_conn_accepted, http_conn_refused
	 * (503, too many), http_bad_request (4xx of the parser), http_too_large (413, 431), http_refused (5xx of the
	 * parser), http_body_waited and http_body_refused (no room for it in bodies_bytes_max), http_unread_ended (too much of it was not read), http_header_timeout, http_body_timeout, http_idle_timeout, http_stalled (a reader that takes next to nothing),
	 * http_client_gone (while it was being answered), http_out_of_memory. */
	void (*on_count)(void *ctx, const char *name);
};
/* What an exchange tells while it is being answered. Any may be NULL. */
struct http_exchange_ops {
	void (*on_drain)(void *user); /* what was written has left */
	/* The client left, or stalled too long: x must not be used any more, nor inside it. A client that shut down its
	 * sending side alone is still there and gets its answer. */
	void (*on_gone)(void *user);
	/* What its client has not read is too much: end the answer now, inside. NULL: the connection is closed. */
	void (*on_unread)(void *user);
};

/* Listen on addr (forms as env_listen). */
int http_server_create(struct http_server **ret, struct env *env, const char *addr, const struct http_limits *limits,
	const struct http_handler *handler, void *ctx, struct err *err);
/* "127.0.0.1:8000" as bound. */
const char *http_server_addr(const struct http_server *s);
/* From now on each answer is the last of its connection and says so. Requests still come, also on new connections: the
 * handler tells them that the server is stopping. */
void http_server_drain(struct http_server *s);
/* Draining, and no new connections: the address is free at once, idle connections are closed. */
void http_server_close(struct http_server *s);
/* Connections whose last answer has not reached its client for sure. */
uint32_t http_server_closing(const struct http_server *s);
/* Bytes of answers that clients have not read, of unread_total_max. */
size_t http_server_unread(const struct http_server *s);
/* Bytes that requests hold, of bodies_bytes_max. */
size_t http_server_bodies(const struct http_server *s);
/* Connections that are open. */
uint32_t http_server_conns(const struct http_server *s);
/* Close everything; on_gone is called for exchanges under way. Not from inside a callback of the server's. */
void http_server_destroy(struct http_server *s);

/* The request. All borrowed until the exchange ends. */
const char *http_method(const struct http_exchange *x); /* "GET" */
const char *http_path(const struct http_exchange *x); /* without the query, percent-decoded */
const char *http_query(const struct http_exchange *x); /* after '?', "" when none */
const char *http_header(const struct http_exchange *x, const char *name); /* NULL when absent; name in lower case */
/* Take the body out of the exchange: ret (done or empty before) owns it now, http_body is empty. Returns the bytes that stay
 * counted among those of all requests until they are given back, with http_body_release, once. */
size_t http_body_take(struct http_exchange *x, struct buf *ret) MUST_USE;
void http_body_release(struct http_server *s, size_t bytes);
const char *http_body(const struct http_exchange *x, size_t *ret_len); /* NUL follows */
const char *http_peer(const struct http_exchange *x);
/* Whom the client thinks it asks, "host:port": of the target when that is a whole URL, else the Host header. NULL or "":
 * it did not say. */
const char *http_authority(const struct http_exchange *x);
/* How often a header of that name stands there. */
uint32_t http_header_count(const struct http_exchange *x, const char *name);

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
/* Bytes that the handler keeps for x, because its client does not read, or until the answer is whole. They count with those
 * that have not left; past unread_bytes_max, or when x holds most of all and they are too much, on_unread follows. */
void http_hold(struct http_exchange *x, size_t bytes);
/* End of the answer. x is gone after it. */
void http_end(struct http_exchange *x);
/* Break off an answer that has begun, so that the client sees it is not whole. x is gone after it. */
void http_abort(struct http_exchange *x);

#endif
