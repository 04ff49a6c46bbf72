/* mock.h - an engine without a model: exact KV accounting, modelled time, and tokens that depend on (prompt, seed, position).
 *
 * The token at a position depends on the prompt and the position, and on the seed too unless the temperature is 0; on
 * nothing else. So any path (batched, re-used, pre-empted, migrated) gives the same stream, which tests rely on. The
 * answer reads as words. It ends after a length that the prompt (and seed) decides, unless the end may not be drawn.
 * Penalties and biases do not change it.
 * Every rule of engine.h is checked; a batch that breaks one is refused with a sentence: the mock is also the referee of
 * the scheduler. With verify it remembers the token in each cell and checks the whole history of each item (tests only).
 * Thread and memory: as engine.h says; 16 bytes a cell. */
#ifndef STATOR_ENGINE_MOCK_H
#define STATOR_ENGINE_MOCK_H

#include "engine/engine.h"
#include "engine/timing.h"

enum { MOCK_SEQS_MAX = 4096 };

/* Test aid: what goes wrong, and from which step on. */
enum mock_fault {
	MOCK_FAULT_NONE,
	MOCK_FAULT_ERROR, /* the step fails, as an engine's whose GPU has no memory left */
	MOCK_FAULT_HANG, /* the step does not end for a thousand hours */
	MOCK_FAULT_CRASH, /* the process ends by SIGABRT */
	MOCK_FAULT_GARBAGE, /* tokens that no vocabulary has */
};
/* "none", "error", "hang", "crash", "garbage". -EINVAL: none of these. */
int mock_fault_parse(const char *name, enum mock_fault *ret);

struct mock_config {
	uint32_t cells, seqs, batch_tokens_max, context_max; /* 0: 32,768; 256; 2,048; = cells */
	uint32_t vocab; /* 0: the byte tokenizer's; else ids are spread over [0, vocab) */
	uint32_t eog_token; /* with vocab */
	char tokenizer[512]; /* with vocab: the GGUF that holds it */
	uint64_t tokenizer_hash; /* goes to info */
	uint32_t answer_min, answer_max; /* tokens before the end token; 0: 16, 256 */
	struct timing_model timing;
	bool real_time; /* step sleeps for its duration; else virtual_time: the caller lets it pass */
	bool whole_copy; /* as a recurrent model: only whole sequences are copied or freed */
	bool no_copy; /* nothing is copied, only whole sequences are freed */
	bool verify;
	/* Test aid: the step with this number (from 1) and each multiple fails with -ENOSPC. 0: never. */
	uint32_t fail_nospace_every;
	enum mock_fault fault;
	uint64_t fault_after; /* so many steps are well */
};

/* 0, -EINVAL (a size makes no sense) or -ENOMEM. */
int mock_engine_create(struct engine **ret, const struct mock_config *config, struct err *err);

/* The reference: the token after history_len tokens whose first prompt_len are prompt. seed counts only when sampled. */
uint32_t mock_token(const struct mock_config *config, const uint32_t *prompt, uint32_t prompt_len, uint32_t history_len,
	bool sampled, uint64_t seed, bool no_eog);

#endif
