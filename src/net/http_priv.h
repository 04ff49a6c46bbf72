/* http_priv.h - what http_server.c, http_conn.c, http_request.c, http_framing.c, http_room.c, http_pace.c, http_unread.c and http_answer.c share. Not for other files. */
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
	HTTP_UNREAD_ENDS_A_TURN = 4, /* answers that are ended because all together are too much */
	HTTP_EXTRA_BYTES_MAX = 16 * 1024, /* headers a handler adds to one answer */
	HTTP_DATE_BYTES = 32,
	HTTP_SMALL_CHUNK_BYTES = 1024,
	HTTP_DISCARD_BYTES_MAX =
		64 * 1024, /* a refused request's body that is read and dropped; behind a longer one: close */
	HTTP_WAITERS_MAX = 256, /* requests that wait for room, a read of each kept; past this: 503 at once */
};

/* Where in a body the next byte stands. */
enum framing_state {
	FRAMING_NONE, /* there is no body */
	FRAMING_LENGTH, /* left bytes of a known length */
	FRAMING_SIZE, /* hexadecimal digits of a chunk's size */
	FRAMING_SIZE_LF,
	FRAMING_EXTENSION, /* between a chunk's size and the end of its line */
	FRAMING_QUOTED, /* in a quoted value of an extension */
	FRAMING_QUOTED_PAIR, /* behind its backslash */
	FRAMING_DATA, /* left bytes of a chunk */
	FRAMING_DATA_CR,
	FRAMING_DATA_LF,
	FRAMING_TRAILER, /* the beginning of a line behind the last chunk */
	FRAMING_TRAILER_NAME,
	FRAMING_TRAILER_VALUE,
	FRAMING_TRAILER_LF,
	FRAMING_END_LF,
	FRAMING_DONE,
};
struct framing {
	uint64_t left;
	uint64_t beside; /* bytes looked at one by one, until they are charged (http_pace.c) */
	uint8_t state; /* enum framing_state */
	bool has_digit, has_name;
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
	uint32_t authority; /* in head, of a target that is a whole URL; 0: it is not */
	uint64_t body_announced;
	uint8_t method;
	bool in_name, in_value, headers_done, is_http10, is_head, keep_alive;
	bool expects; /* 100 Continue before its body */
	bool early; /* it is at on_headers: its body has not been read */
	bool begun, chunked, is_sse;
};

enum conn_state {
	CONN_IDLE, /* between requests */
	CONN_HEAD, /* a request has begun */
	CONN_BODY,
	CONN_DISCARD, /* a request was refused by its headers; its body is dropped */
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
	struct framing framing;
	struct list waiter; /* in s->waiters, while it waits for room */
	size_t charged; /* bytes of s->bodies_bytes that are this one's */
	size_t reserved; /* of them, for a body that was announced */
	uint64_t body_us, body_byte_us; /* when the body began; when bytes of it came last */
	uint64_t wait_began_us, waited_us; /* for room; of this request in all */
	struct list pace; /* in s->paced, while it is held for the rate of large bodies */
	uint64_t paced_us; /* since when */
	uint64_t body_work; /* reading this request's body, dropped or not, in bytes of plain data */
	uint64_t written, taken; /* bytes given to the stream; of them left when it had last read enough */
	size_t kept, unread; /* by the handler, for want of a reader; that and what has not left, as last counted */
	uint32_t head_bytes; /* of the request being read; chunk extensions and trailers count */
	char head_last; /* the byte before */
	uint8_t line_blanks, line_version; /* of the request line so far: blanks, bytes of "HTTP/" behind the second */
	bool line_begun, line_done;
	uint16_t bad_status; /* what a parser callback found wrong */
	const char *bad_why;
	uint8_t state; /* enum conn_state */
	uint8_t quiet_ticks;
	uint8_t busy; /* frames on the stack that use this */
	bool head_done, message_done, room_asked, waits, paused, paced, eof, kick, refused, was_idle, broken, dead;
};

struct http_server {
	struct env *env;
	struct http_limits limits;
	const struct http_handler *handler;
	void *ctx;
	struct env_listener *listener; /* NULL once closed */
	char *addr;
	struct list conns;
	struct http_exchange *spares;
	uint32_t spare_count, conn_count, refused_count;
	bool draining;
	/* Room for requests (http_room.c). */
	size_t bodies_bytes, bodies_bytes_max;
	struct list waiters; /* longest first */
	uint32_t waiter_count;
	uint64_t reclaimed_us;
	struct env_timer room_timer;
	/* The rate of large bodies (http_pace.c). */
	struct list paced;
	struct env_timer pace_timer;
	uint64_t pace_paid_us;
	uint32_t paced_count;
	size_t unread_bytes; /* (http_unread.c) */
	struct env_timer unread_timer;
	struct buf scratch; /* an answer's header while it is put together */
	uint64_t date_s; /* what date shows */
	char date[HTTP_DATE_BYTES];
};

void http_count(const struct http_server *s, const char *name);

/* http_request.c: from bytes to a request. */
void http_request_init(struct http_conn *c);
/* Parse. Returns how many bytes were used; fewer than len when the headers became whole (head_done), the request did
 * (message_done), or something is wrong (bad_status). */
size_t http_request_feed(struct http_conn *c, const uint8_t *data, size_t len);
/* Something is wrong with the request; the first thing counts. Returns what llhttp wants of its callbacks then. */
int http_request_bad(struct http_conn *c, int status, const char *why);
struct http_exchange *http_exchange_new(struct http_server *s);
void http_exchange_free(struct http_server *s, struct http_exchange *x);

/* http_framing.c: where a body ends. */
bool http_is_token(char c);
/* Take bytes of the body, into x->body unless it is dropped. Returns how many were used; fewer than len when it is whole
 * (FRAMING_DONE) or wrong (bad_status). */
size_t http_framing_feed(struct http_conn *c, const uint8_t *data, size_t len);

/* http_room.c: the memory of all requests. */
void http_room_init(struct http_server *s);
/* May c take len bytes more? An announced body is given its room as a whole, at its first call. */
bool http_room_ask(struct http_conn *c, size_t len);
/* It may not: wait. False: too many wait already. */
bool http_room_wait(struct http_conn *c);
/* It waits no more. */
void http_room_wait_end(struct http_conn *c);
/* Bring what is counted for c up to date. */
void http_room_count(struct http_conn *c);

/* http_unread.c: the memory of all answers. */
void http_unread_init(struct http_server *s);
/* Bring what is counted for c up to date. */
void http_unread_count(struct http_conn *c);

/* http_conn.c: the life of a connection. */
/* Behind busy++: c may be gone. */
void http_conn_leave(struct http_conn *c);
/* http_pace.c: the rate of large bodies. */
void http_pace_init(struct http_server *s);
/* len bytes of c's body were read: it may be held now. False: too many are; there is no room for it. */
bool http_pace_read(struct http_conn *c, size_t len);
/* Its body is whole, or nobody reads it any more. */
void http_pace_end(struct http_conn *c);

/* Read from its stream, or not: as paused and paced say. */
void http_conn_pause(struct http_conn *c);
/* Parse what waits in pending, in a turn of its own. */
void http_conn_kick(struct http_conn *c);
/* There is no room for its request: refuse it. */
void http_conn_no_room(struct http_conn *c);
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
