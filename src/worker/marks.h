/* marks.h - where the computing of a request pauses so that its state can be kept: models whose state cannot go back (seqs.h).
 *
 * A prefix of such a model can be used only where a copy of the state was kept, so the places are chosen beforehand:
 *
 *     end       the last whole block that ends MARKS_TAIL tokens before the prompt does. What the template puts last (the
 *               header of the answer, an opening <think>) is often not in the next prompt; what comes before it is, so the
 *               next turn finds this one even when the answer comes back in other tokens than it went out.
 *     fork      where the prompt parts from another that is held or waits: after a common system prompt, say. The second
 *               request with it pays for it once more and leaves a checkpoint; those that arrive together wait for it.
 *     stride    between them in a long prompt, for an edit far back: at most MARKS_STRIDES of them, MARKS_STRIDE_MIN tokens
 *               apart at least, and only in sequences that nobody holds.
 *
 * The end of the answer is the state of the retained sequence itself and needs no mark. Marks lie on block borders, which is
 * where routers count; only requests for one and the same prompt (n > 1) meet inside a block, before its last token.
 *
 * Thread: the scheduler's. Memory: in the request. */
#ifndef STATOR_WORKER_MARKS_H
#define STATOR_WORKER_MARKS_H

#include "worker/seqs.h"

enum {
	MARKS_TAIL =
		8, /* tokens: Qwen3's "<|im_start|>assistant\n<think>\n\n</think>\n\n" less what the next prompt has too */
	MARKS_STRIDES = 8,
	MARKS_STRIDE_MIN = 512, /* tokens */
	MARKS_FORKS_MAX = 8, /* a request; past it others compute for themselves */
};

enum mark {
	MARK_NONE,
	MARK_PAUSE, /* others start from here in this very step; nothing is kept */
	MARK_SPARE, /* keep a copy if a sequence is free */
	MARK_KEEP, /* keep a copy, a retained sequence may go for it */
};
struct marks {
	uint32_t start; /* the first position of its own; marks lie beyond it */
	uint32_t end; /* 0: none */
	uint32_t stride; /* 0: none */
	uint32_t block_size;
	uint32_t forks_count;
	struct {
		uint32_t pos;
		enum mark kind;
	} forks[MARKS_FORKS_MAX];
};

/* The marks of a prompt of prompt_len tokens that starts from a match. */
void marks_init(struct marks *m, uint32_t block_size, uint32_t prompt_len, struct seqs_match from);
/* Pause at pos too, or keep a copy there. False: there is no room for one more. */
bool marks_add(struct marks *m, uint32_t pos, enum mark kind);
/* What is to be done when so many tokens are computed. */
enum mark marks_at(const struct marks *m, uint32_t len);
/* The next mark behind len; UINT32_MAX: none. */
uint32_t marks_next(const struct marks *m, uint32_t len);

#endif
