/* agents.h - a made-up load of tool-using agents, from a seed: long prompts that many sessions share, many short turns.
 *
 * There are a few kinds of agent, each with a system prompt and tools of thousands of tokens. Sessions begin as a Poisson
 * stream, each of one kind (the first kinds are more popular, as 1 / rank). A session takes turns: its prompt is the
 * kind's prompt, all that was said before, and a tool's result; its answer is short (a call). Between turns a tool runs.
 * What such a load asks of a router: prefixes are worth almost everything, decoding is a large part of the rest.
 *
 * The result is a trace in Mooncake's form (sim/trace.h), blocks of 512 tokens. Thread: pure. Memory: the text. */
#ifndef STATOR_SIM_AGENTS_H
#define STATOR_SIM_AGENTS_H

#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

struct agents_config {
	uint64_t seed;
	uint32_t kinds; /* of agent */
	uint32_t kind_tokens_min, kind_tokens_max; /* of a kind's prompt */
	uint32_t seconds; /* in which sessions begin */
	double sessions_per_s;
	double turns_mean; /* geometric, at least one */
	uint32_t result_tokens_min, result_tokens_max; /* a tool's result, evenly in the logarithm */
	uint32_t answer_tokens_min, answer_tokens_max; /* the same */
	double tool_s_mean; /* exponential */
};
/* 24 kinds of 4,000 to 20,000 tokens, 20 minutes, 1 session a second of 8 turns, results of 100 to 3,000 tokens, answers
 * of 20 to 300, tools of 4 s. */
void agents_config_default(struct agents_config *ret, uint64_t seed);
/* Append the trace to out. 0, or negative: out's maximum, or no memory. */
int agents_generate(struct buf *out, const struct agents_config *config, struct err *err) MUST_USE;

#endif
