/* completion.h - one request for text, from its body to the end of its answer. Shared by the files of this room only.
 *
 *   PARSE -> TEXT -> RUN -> ended        any step may end it: an error, the client leaving, the worker lost
 *
 * completion.c  the life cycle: exactly one end, whatever happens     prompt.c   body and prompt, on a text thread
 * flight.c      what runs at workers, and may outlive the request     respond.c  tokens to JSON and SSE
 * retry.c       to another worker, when nothing was sent yet          ping.c     signs of life of streams with nothing to say
 * logprobs.c    log-probabilities
 *
 * Tokens wait as ids in their choice and become text only when the client has room for it; a slow client costs four
 * bytes a token, at most max_tokens of them, and never pauses a worker. */
#ifndef STATOR_FRONTEND_COMPLETION_H
#define STATOR_FRONTEND_COMPLETION_H

#include "base/arena.h"
#include "base/limits.h"
#include "frontend/demands.h"
#include "frontend/request.h"
#include "frontend/text_work.h"
#include "text/detok.h"
#include "text/stops.h"

enum completion_state { COMPLETION_PARSE, COMPLETION_TEXT, COMPLETION_RUN };
enum {
	COMPLETION_QUEUED_BYTES = 32 * 1024, /* rendered text the client has not taken; past it tokens wait as ids */
	COMPLETION_ANSWER_BYTES =
		256 * 1024, /* whole answers that are likely larger are made on a text thread: some 5 ms */
	COMPLETION_TOKENS_DEFAULT = 16, /* max_tokens of /v1/completions when absent, as OpenAI documents */
};

struct choice;
struct completion;

/* One sequence at a worker. choice is NULL when nobody reads it any more; it lives until the worker says done. */
struct flight {
	uint64_t id;
	struct run *run;
	struct choice *choice;
	bool flying; /* the worker knows it and has not said done */
	bool cancelled; /* and was told to stop */
};

/* One prompt, its place in the pool's queue or at a worker, and its flights. Kept by its completion and by each flight
 * that flies. */
struct run {
	struct pool_ticket ticket;
	struct completion *completion; /* NULL when that has ended */
	struct frontend *fe;
	struct model *model;
	struct backend *backend;
	struct tokens prompt; /* gone when it was sent and will not be sent again */
	uint32_t prompt_len; /* also when prompt has been freed */
	uint32_t index; /* of the request's prompts */
	/* Prefix hashes of its whole blocks, and a byte for each: how many requests used it. One allocation. */
	uint64_t *hashes;
	uint8_t *uses;
	uint32_t hashes_len;
	uint64_t explained; /* number of its decision in explain */
	/* Doing it again: retry.c. */
	struct list lost_link; /* in frontend.lost: to be dispatched again */
	struct api_error *lost; /* why it was last; NULL: never */
	uint32_t lost_len; /* choices that wait for it */
	bool kept; /* prompt is there still */
	uint32_t attempts; /* dispatches so far */
	uint64_t tried[ROUTE_AVOID_MAX]; /* route_name_hash of the workers of the first of them */
	uint32_t refs;
	uint32_t flights_len, flying;
	struct flight flights[];
};

enum choice_state {
	CHOICE_OPEN, /* tokens may come */
	CHOICE_DONE, /* the worker has ended; what came may still be rendered */
	CHOICE_ENDED, /* its finish reason is written */
};

struct choice {
	struct completion *completion;
	uint32_t index;
	enum choice_state state;
	struct flight *flight; /* NULL before dispatch and after its end */
	const char *finish; /* "stop" or "length", once known */
	/* Tokens received: those before taken are rendered. Whole answers with log-probabilities keep them all. */
	struct {
		uint32_t *tokens;
		float *logprobs;
		uint32_t *top_tokens; /* top_logprobs of each token */
		float *top_logprobs;
		uint32_t len, taken, cap;
	} in;
	uint32_t received, rendered, generated; /* tokens in all; generated: as usage counts them */
	uint64_t last_us; /* when tokens came last */
	struct detok detok;
	struct stop_scan *scan; /* NULL: no stop strings */
	struct buf text; /* the whole text, when not streamed */
	/* Log-probabilities: tokens told, characters of their text, and what joins their bytes to count them. */
	uint32_t told;
	uint64_t text_chars;
	struct detok told_text;
	bool role_sent;
	bool lost; /* its flight was; it is done again */
	bool stopped; /* at a stop string: what follows is not text */
};

struct completion {
	struct list link, dirty_link, ping_link;
	struct frontend *fe;
	struct http_exchange *x; /* NULL: the client left */
	enum completion_state state;
	enum api_kind kind; /* req is a text thread's until the body is parsed */
	bool in_job, job_cancelled, dirty;
	bool in_answer; /* answer_job has not come back */
	struct env_job answer_job; /* makes the JSON of a large whole answer */
	struct answer_scratch own_scratch; /* what that job writes to */
	struct answer_scratch *scratch; /* the frontend's, or own_scratch */
	bool begun; /* the headers of its stream are sent, and maybe comments */
	bool said; /* and some of the answer */
	bool tree_is_large; /* the JSON tree, while there is one, is freed on a text thread only */
	bool waits; /* tokens are there that the client has no room for */
	uint32_t object_len; /* of head: up to "choices":[ */
	struct model *model;
	struct arena arena; /* what lives as long as the request */
	struct arena parse_arena; /* the JSON tree, until the prompt is tokens */
	struct buf body; /* until it is parsed */
	size_t body_counted; /* bytes of all requests' that are this one's, until its prompt is tokens */
	struct api_request req;
	struct demands demands;
	struct msg_str salt; /* of its cached prefixes; empty: none. In arena */
	struct api_error error; /* of the job */
	struct text_task task;
	struct env_job free_job;
	size_t body_len;
	uint64_t arrived_us, text_us, first_us;
	uint64_t dispatched_us; /* its first prompt; 0: not yet */
	uint64_t sent_us, looked_us; /* of its stream: by write_out or ping.c last, by ping.c last */
	const char *worker, *route; /* headers of the answer; NULL before dispatch */
	char request_id[REQUEST_ID_BYTES_MAX + 1], id[40], traceparent[64];
	struct run **runs;
	uint32_t runs_len;
	struct choice *choices;
	uint32_t choices_len, choices_open; /* open: not CHOICE_ENDED */
	uint32_t runs_kept; /* runs whose prompt is kept, to be sent again */
	uint32_t flights_flying, max_tokens;
	uint32_t context_max, block_size; /* the model's when the prompt was made; text threads must not look there */
	struct stops *stops;
	struct api_text *echo; /* one a prompt, with req.echo: what stands inside the JSON string */
	size_t kept; /* bytes of its choices' arrays of tokens, as the server was told */
	uint64_t prompt_tokens, cached_tokens, generated_tokens;
	struct buf head; /* the constant beginning of each event */
	const char *text_open, *text_close; /* what stands around the text of an event; constant */
};

/* Tokens that each of its choices may have. */
static inline uint32_t run_tokens_max(const struct completion *c, const struct run *r)
{
	return MIN(c->max_tokens, c->context_max - r->prompt_len);
}

/* What is about to be written; a token's text; what of it may be passed on. */
static inline struct buf *out_of(const struct completion *c)
{
	return &c->scratch->out;
}
static inline struct buf *piece_of(const struct completion *c)
{
	return &c->scratch->piece;
}
static inline struct buf *clean_of(const struct completion *c)
{
	return &c->scratch->clean;
}

/* prompt.c: jobs. Fill error on failure; what only they needed is freed in them. */
void prompt_parse(struct completion *c);
/* Make runs with their tokens. */
void prompt_tokenize(struct completion *c);
/* How much prompt_tokenize has to do. */
struct text_size prompt_size(const struct completion *c);

/* flight.c */
struct run *run_create(struct completion *c, uint32_t flights);
void run_unref(struct run *r);
/* Nobody waits for it any more: leave the queue, or tell the worker. Drops the completion's reference. */
void run_abandon(struct run *r);
/* Send all flights of a run that has a worker. Negative: that failed, and the completion has ended. */
int run_dispatch(struct run *r) MUST_USE;
/* Tell the server what the choices' arrays of tokens take, where that has changed; give back what is empty. */
void choices_count(struct completion *c);
/* The choice reads no further: tell the worker to stop. */
void choice_cancel(struct choice *ch);

/* completion.c */
/* Ask the pool for a worker for so many choices of r. Negative: c has ended. */
int completion_submit(struct completion *c, struct run *r, uint32_t choices) MUST_USE;
void completion_dirty(struct completion *c);
/* End it with an error: as the answer, or as the last event of a stream that has begun. c is gone. */
void completion_fail(struct completion *c, const struct api_error *e);
void completion_flush(struct completion *c);
/* Send the headers of a stream. */
void completion_begin(struct completion *c);
const char *completion_endpoint(const struct completion *c);

/* ping.c */
/* Headers and comments are sent for c when its tokens are long in coming, if it is a stream. */
void ping_watch(struct completion *c);
/* Its headers are sent. */
void ping_begun(struct completion *c);

/* respond.c */
/* Prepare head. */
int respond_init(struct completion *c);
/* Turn waiting tokens of ch into out (streams, as events, while there is room) or into ch->text. */
void respond_tokens(struct completion *c, struct choice *ch);
/* The worker is done with ch and nothing waits: the last text, and the finish reason. */
void respond_finish(struct completion *c, struct choice *ch);
/* What follows the last choice of a stream: usage, [DONE]. */
void respond_stream_end(struct completion *c);
void respond_stream_error(struct completion *c, const struct api_error *e);
/* The whole answer of a request that is not streamed, into out. */
void respond_whole(struct completion *c);

/* logprobs.c */
/* The value of "logprobs" for tokens from..to that ch has received, into out. Uses piece and clean. */
void respond_logprobs(struct completion *c, struct choice *ch, uint32_t from, uint32_t to);

#endif
