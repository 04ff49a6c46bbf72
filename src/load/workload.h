/* workload.h - what a load asks: sessions of turns whose prompts share prefixes, and prompts made from the block ids of
 * a trace.
 *
 * Prompts are short English words, most of which are one token in the usual vocabularies; how many tokens they became
 * is what the server's usage says. Everything follows from the seed, so the same load can be sent to two servers. A session
 * is a conversation: each turn carries all before it, with the answers that came.
 *
 *   turn 1:  [shared prefix of its group][own words]             turn 2:  turn 1 + answer 1 + [own words]  ...
 *
 * Thread: one owner. Memory: a session holds its conversation, at most WORKLOAD_BODY_BYTES_MAX. */
#ifndef STATOR_LOAD_WORKLOAD_H
#define STATOR_LOAD_WORKLOAD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"

enum workload_endpoint { WORKLOAD_CHAT, WORKLOAD_COMPLETIONS };
enum { WORKLOAD_BODY_BYTES_MAX = 16 * 1024 * 1024 };

struct workload {
	const char *model; /* outlives it */
	enum workload_endpoint endpoint;
	uint32_t prompt_min, prompt_max; /* own words of a turn, uniform */
	uint32_t output_min, output_max; /* max_tokens of a turn, uniform */
	uint32_t prefix_words; /* shared by the sessions of one group; 0: none */
	uint32_t prefix_groups; /* at least 1 */
	uint32_t turns; /* at least 1 */
	double temperature;
	bool ignore_eos; /* ask for answers of exactly max_tokens (a field OpenAI's own servers refuse) */
	uint64_t seed;
	uint32_t block_tokens; /* of a trace's blocks */
};

struct session {
	const struct workload *w;
	struct rng rng;
	uint32_t group, turn; /* turns asked */
	uint32_t output; /* max_tokens of the turn asked last */
	struct buf history; /* chat: JSON messages; completions: JSON string, inside */
};

/* Turn a zeroed or finished session into a new one, number n of the load. Borrows w for its life. */
void session_begin(struct session *s, const struct workload *w, uint64_t n);
void session_done(struct session *s);
/* Write the next turn's request body into out (which is reset). 0, or -E2BIG when the conversation has grown too long;
 * -ENOMEM. */
int session_ask(struct session *s, struct buf *out, struct err *err);
/* The answer of the turn asked last. */
void session_answered(struct session *s, const char *text, size_t len);
static inline bool session_over(const struct session *s)
{
	return s->turn >= s->w->turns;
}

/* A request of a trace, in order of at_us. */
struct workload_row {
	uint64_t at_us; /* from the start */
	/* Of the whole blocks of the prompt: equal hashes stand for equal beginnings. Borrowed. */
	const uint64_t *hashes;
	uint32_t hashes_count;
	uint32_t prompt_tokens, output_tokens;
};
/* The request body of row number n. What is behind its whole blocks is like no other's. 0 or -E2BIG. */
int workload_row_body(
	const struct workload *w, const struct workload_row *row, uint32_t n, struct buf *out, struct err *err);

#endif
