/* http_priv.h - what http_server.c, http_conn.c, http_request.c and http_answer.c share. Not for other files. */
#ifndef STATOR_NET_HTTP_PRIV_H
#define STATOR_NET_HTTP_PRIV_H

#include "base/buf.h"
#include "base/vec.h"
#include "net/http_server.h"

#include <llhttp.h>

enum {
	HTTP_REFUSED_MAX = 512, /* connections past the limit that are being told so; past this they are just closed */
	HTTP_BACKLOG_BYTES_MAX = 1024 * 1024, /* unsent answers; pipelined requests wait behind them */
	HTTP_SPARE_MAX = 64, /* exchanges kept for reuse */
	HTTP_SPARE_BYTES_MAX = 8 * 1024, /* buffers of a spare exchange above this are given back */
	HTTP_STALL_TICKS = 4, /* progress of a slow reader is looked at so often in the time it has */
	HTTP_EXTRA_BYTES_MAX = 16 * 1024, /* headers a handler adds to one answer */
	HTTP_DATE_BYTES = 32,
	HTTP_SMALL_CHUNK_BYTES = 1024,
};

/* Where a header's texts begin in head. */
struct http_field {
	uint32_t name, value;
};

struct http_exchange {
	struct http_exchange *next_spare;
	struct http_conn *conn;
	const struct http_exchange_ops *ops;
	void *user;
	/* The request: every text of it NUL-terminated, one after another, target first. */
	struct buf head, body, extra;
	VEC(struct http_field) fields;
	uint32_t value_at; /* the value being collected */
	uint32_t path, query; /* in head, once whole */
	uint64_t body_announced;
	uint8_t method;
	bool in_value, headers_done, is_http10, is_head, keep_alive;
	bool begun, chunked, is_sse;
};

enum conn_state {
	CONN_IDLE, /* between requests */
	CONN_HEAD, /* a request has begun */
	CONN_BODY,
	CONN_ANSWER, /* with the handler */
	CONN_CLOSING, /* the last answer is on its way */
};

struct http_conn {
	struct http_server *s;
	struct list link; /* in s->conns */
	struct env_conn *stream;
	struct http_exchange *x; /* being read or answered */
	struct buf pending; /* bytes behind the request that is being answered */
	struct env_timer
		timer; /* the deadline of the state, or the next look at a slow reader, or: go on with pending */
	llhttp_t parser;
	uint64_t written, taken; /* bytes given to the stream; of them left when last looked at */
	uint32_t head_bytes; /* of the request being read */
	uint16_t bad_status; /* what a parser callback found wrong */
	const char *bad_why;
	uint8_t state; /* enum conn_state */
	uint8_t quiet_ticks;
	uint8_t busy; /* frames on the stack that use this */
	bool message_done, paused, eof, kick, refused, broken, dead;
};

struct http_server {
	struct env *env;
	struct http_limits limits;
	const struct http_handler *handler;
	void *ctx;
	struct env_listener *listener; /* NULL once draining */
	char *addr;
	struct list conns;
	struct http_exchange *spares;
	uint32_t spare_count, conn_count, refused_count;
	bool draining;
	struct buf scratch; /* an answer's header while it is put together */
	uint64_t date_s; /* what date shows */
	char date[HTTP_DATE_BYTES];
};

void http_count(const struct http_server *s, const char *name);

/* http_request.c: from bytes to a request. */
void http_request_init(struct http_conn *c);
/* Parse. Returns how many bytes were used; fewer than len when a request became whole (message_done) or something is
 * wrong (bad_status). */
size_t http_request_feed(struct http_conn *c, const uint8_t *data, size_t len);
struct http_exchange *http_exchange_new(struct http_server *s);
void http_exchange_free(struct http_server *s, struct http_exchange *x);

/* http_conn.c: the life of a connection. */
void http_conn_accepted(struct http_server *s, struct env_conn *stream);
void http_conn_close(struct http_conn *c);
/* Send what is left, then close. */
void http_conn_finish(struct http_conn *c);
/* Its answer has ended: next request, or the end of the connection. Frees x. */
void http_conn_answered(struct http_conn *c);
/* Note that bytes were given to the stream. */
void http_conn_wrote(struct http_conn *c, size_t len);
/* Memory is gone in the middle of an answer: end the connection in the next turn. */
void http_conn_broken(struct http_conn *c);

/* http_answer.c */
/* An answer of the server's own, for a request that never reached the handler; the connection ends with it. */
void http_answer_error(struct http_conn *c, int status, const char *why);
/* Something harmless to send that makes the kernel find out whether the client still reads. */
void http_answer_probe(struct http_conn *c);
void http_answer_continue(struct http_conn *c);
/* Tell the handler that its exchange is over, and free it. */
void http_exchange_gone(struct http_conn *c);

#endif
