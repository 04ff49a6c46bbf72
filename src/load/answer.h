/* answer.h - reads one streamed answer of an OpenAI-compatible server, cheaply: when its tokens came, how many, what the
 * usage says. An event that brings text is told by its key alone; only usage, errors and (where the text is wanted)
 * content are parsed as JSON.
 * Thread: one owner. Memory: one event (ANSWER_EVENT_BYTES_MAX) and, when kept, the text. */
#ifndef STATOR_LOAD_ANSWER_H
#define STATOR_LOAD_ANSWER_H

#include "base/hist.h"
#include "wire/sse.h"

enum { ANSWER_EVENT_BYTES_MAX = 1024 * 1024, ANSWER_TEXT_BYTES_MAX = 8 * 1024 * 1024 };

struct answer {
	struct sse_parser events;
	struct buf text; /* what was said, when keep_text */
	struct buf body; /* an answer that is no stream: a refusal */
	bool keep_text;
	bool streaming, ended; /* [DONE] was seen */
	int status;
	uint64_t now_us, first_us, last_us; /* of tokens; 0: none came */
	uint32_t pieces; /* events that brought text */
	uint32_t prompt_tokens, cached_tokens, completion_tokens; /* by usage; 0: it said nothing */
	bool has_usage;
	struct hist *gaps; /* time between pieces goes here; NULL: nowhere */
	struct err err; /* what the server or the stream said of a failure */
};

void answer_init(struct answer *a);
void answer_done(struct answer *a);
/* A new request is sent. */
void answer_begin(struct answer *a, bool keep_text, struct hist *gaps);
void answer_head(struct answer *a, int status, const char *content_type);
/* Bytes that came at now_us. */
void answer_body(struct answer *a, uint64_t now_us, const char *data, size_t len);
/* The answer is over (code and why as of http_client): 0 when it was whole, else a->err says what was wrong. */
int answer_judge(struct answer *a, int code, const char *why);
/* Tokens of the answer: by the usage, or counted. */
uint32_t answer_tokens(const struct answer *a);

#endif
