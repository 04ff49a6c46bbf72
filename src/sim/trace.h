/* trace.h - recorded or made-up loads: when a request comes, how long its prompt and answer are, and which of its prompt
 * others share.
 *
 * Two forms are read, told apart by the first character that is not blank:
 *
 *   Mooncake JSONL, one object a line:
 *     {"timestamp": 27000, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2354]}
 *     timestamp in ms; one id for each 512 tokens of the prompt (the last may be partial); equal ids: equal text up to there.
 *
 *   plain, one request a line, "#" begins a comment:
 *     TIME_MS PROMPT_TOKENS ANSWER_TOKENS [prefix=NAME:TOKENS]... [session=NAME] [tenant=NAME] [priority=N]
 *     prefix: the prompt begins with the first TOKENS tokens of the text called NAME; several follow one another.
 *     session: it begins with all that was said before in that conversation (prompts and answers), and only the rest of
 *     PROMPT_TOKENS is new; PROMPT_TOKENS counts everything.
 *
 * Thread: one owner. Memory: 8 bytes a block of a prompt, 64 bytes a request; the file is read at once, TRACE_BYTES_MAX
 * at most. Every mistake is an error "FILE:LINE: what". */
#ifndef STATOR_SIM_TRACE_H
#define STATOR_SIM_TRACE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

enum {
	TRACE_ID_TOKENS = 512, /* tokens a Mooncake id stands for */
	TRACE_PREFIXES_MAX = 16,
	TRACE_PROMPT_TOKENS_MAX = 4 * 1024 * 1024,
	TRACE_NAME_BYTES_MAX = 63,
};
#define TRACE_BYTES_MAX (1024ull * 1024 * 1024)

struct trace_row {
	uint64_t at_us; /* from the start of the trace */
	uint32_t prompt_tokens, answer_tokens;
	uint32_t hashes, hashes_count; /* place in trace.hashes: prefix hashes of the whole blocks of the prompt */
	int32_t priority;
	uint64_t tenant, session; /* 0: none */
	uint32_t id; /* place in the file: names the request, and keys its draws */
};

struct trace {
	struct trace_row *rows; /* by at_us, then by id */
	uint32_t len;
	uint64_t *hashes;
	uint32_t hashes_len;
	uint32_t block_size;
	uint64_t prompt_tokens; /* of all rows */
};

/* Read a file (or text, for tests and generators: name is for messages) with blocks of block_size tokens: it must divide
 * 512 or be a multiple of it for Mooncake traces. 0 or negative. */
int trace_read(struct trace *ret, const char *path, uint32_t block_size, struct err *err);
int trace_parse(
	struct trace *ret, const char *name, const char *text, size_t len, uint32_t block_size, struct err *err);
void trace_done(struct trace *t);

/* Move each arrival by a draw of its own from [0, jitter_ms) (whole milliseconds, keyed by seed and the row's place in the
 * file) and sort again. */
void trace_jitter(struct trace *t, uint32_t jitter_ms, uint64_t seed);
/* Divide all times: 2 makes twice the load. */
void trace_speed_up(struct trace *t, double speed);
/* Keep the first requests_max rows. */
void trace_cut(struct trace *t, uint32_t requests_max);
/* Write it as Mooncake JSONL (needs a block size of 512, since ids stand for so many tokens). */
int trace_print(const struct trace *t, struct buf *out, struct err *err);

/* The share of prompt tokens that a cache without bound would have spared. */
double trace_reuse_max(const struct trace *t);

#endif
