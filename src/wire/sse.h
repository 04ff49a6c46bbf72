/* sse.h - server-sent events (the WHATWG HTML standard, section 9.2), as OpenAI's streams use them.
 * Thread: pure functions and one owner a parser. Memory: a parser holds one event, at most the bytes given at init. */
#ifndef STATOR_WIRE_SSE_H
#define STATOR_WIRE_SSE_H

#include "base/buf.h"
#include "base/err.h"

/* Append "data: TEXT\n\n". text holds no line ends (JSON written by json_out.h never does). Errors show as b->failed. */
void sse_data(struct buf *b, const char *text, size_t len);
/* Append the end mark, "data: [DONE]\n\n". */
void sse_done(struct buf *b);
static inline bool sse_is_done(const char *data, size_t len)
{
	return len == 6 && memcmp(data, "[DONE]", 6) == 0;
}

struct sse_parser {
	struct buf line, data;
	char event[32]; /* "" for an unnamed one, which means "message" */
	bool skip_lf; /* the last line ended in CR: an LF now belongs to it */
	bool has_data;
	bool at_start; /* nothing but perhaps a byte order mark was seen */
};
/* An event is whole. Borrows. A handler must not push into the same parser. */
typedef void sse_event_fn(void *ctx, const char *event, const char *data, size_t len);

void sse_parser_init(struct sse_parser *p, size_t event_bytes_max);
void sse_parser_done(struct sse_parser *p);
/* Take the next bytes of the stream, in pieces of any size; fn is called for each event that they complete. 0, -ENOBUFS
 * (one event larger than the maximum) or -ENOMEM; then the stream cannot be read further. An event without its empty
 * line at the end of the stream is dropped, as the standard says. */
int sse_parser_push(struct sse_parser *p, const char *bytes, size_t len, sse_event_fn *fn, void *ctx, struct err *err);

#endif
