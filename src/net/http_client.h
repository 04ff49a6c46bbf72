/* http_client.h - a small HTTP/1.1 client over struct env, for our own tools: one connection, one request at a time.
 *
 * The connection is kept for the next request when the server allows it, and made anew when it is gone. Answers come in
 * pieces as they arrive. No redirects, no compression. https by tls_client.h.
 * Thread: the env's loop. Memory: one head (HTTP_HEADER_BYTES_MAX) and what env queues. */
#ifndef STATOR_NET_HTTP_CLIENT_H
#define STATOR_NET_HTTP_CLIENT_H

#include "base/env.h"

struct http_client;

/* A URL in parts: "http://host:8000/v1" to addr "host:8000", host "host:8000", path "/v1" ("" when none).
 * "unix:/path/to.sock": addr is that, host "localhost", no path. */
struct http_url {
	char addr[256]; /* for env_connect */
	char host[256]; /* for the Host header */
	char path[512]; /* without a slash at its end */
	char tls_name[256]; /* https: what the server's certificate must be for; "" for http */
};
/* "http://" may be left out. -EINVAL for what is not a URL. */
int http_url_parse(struct http_url *ret, const char *url, struct err *err);

struct http_client_request {
	const char *method; /* "POST" */
	const char *path; /* "/v1/models" */
	const char *headers; /* more header lines, each ended by "\r\n"; NULL: none */
	const char *content_type; /* NULL: application/json when there is a body */
	const void *body;
	size_t body_len;
	uint32_t head_timeout_ms; /* from send to the end of the answer's headers; 0: 600,000 */
	uint32_t idle_timeout_ms; /* between pieces of the answer; 0: 600,000 */
};
/* What the answer tells, in this order. on_head and on_body may be NULL. */
struct http_client_ops {
	void (*on_head)(void *ctx, int status);
	void (*on_body)(void *ctx, const char *data, size_t len); /* borrows */
	/* The last call of a request. code 0: whole; else negative and why says what happened ("could not connect to
	 * 127.0.0.1:8000: Connection refused"). A new request may be sent from here. */
	void (*on_done)(void *ctx, int code, const char *why);
};

/* Whom to ask; url's path is the caller's to use. Copies. */
int http_client_create(struct http_client **ret, struct env *env, const struct http_url *url, struct err *err);
/* Send (copies everything but ops and ctx). on_done follows, in a later turn. -EBUSY while one is under way. */
int http_client_send(struct http_client *c, const struct http_client_request *in, const struct http_client_ops *ops,
	void *ctx, struct err *err);
/* Value of an answer's header, NULL when absent; name in lower case. Valid from on_head until on_done returns. */
const char *http_client_header(const struct http_client *c, const char *name);
/* Give up the request under way: the connection closes, no callback follows. Allowed in every callback; the next send
 * comes later than on_head and on_body. */
void http_client_cancel(struct http_client *c);
/* Cancels. Not from inside on_head or on_body. NULL is fine. */
void http_client_destroy(struct http_client *c);

#endif
