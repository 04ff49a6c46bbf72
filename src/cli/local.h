/* local.h - a model in this very process, one request at a time: the engine and scheduler a worker runs, without frames.
 * Thread: one, with TEXT_STACK_BYTES of stack (tokenizers recurse). Memory: weights, and KV for one request. */
#ifndef STATOR_CLI_LOCAL_H
#define STATOR_CLI_LOCAL_H

#include "engine/engine.h"
#include "wire/msg.h"

struct local_request {
	const char *model; /* path of a GGUF */
	const char *prompt; /* prompt_len bytes */
	size_t prompt_len;
	const char *system; /* NULL: none */
	const char *chat_template; /* source to use instead of the model's; NULL: the model's */
	bool raw; /* continue the prompt as it is; otherwise the model's chat template goes around it, when it has one */
	uint32_t max_tokens; /* 0: until the model ends or the context is full */
	uint32_t context_length; /* cells; 0: the prompt and max_tokens, or LOCAL_ANSWER_TOKENS when that is 0 */
	uint32_t threads;
	bool ignore_eos;
	struct engine_sampling sampling;
};
enum { LOCAL_ANSWER_TOKENS = 4096 };

struct local_result {
	char description[256]; /* of the model */
	uint32_t prompt_tokens, tokens;
	uint64_t load_us, prefill_us, decode_us;
	enum msg_reason reason;
};
struct local_ops {
	/* The model is being loaded, 0 to 1. */
	void (*on_progress)(void *ctx, double done);
	/* More of the answer, whole UTF-8 characters. False: nobody wants more. */
	bool (*on_text)(void *ctx, const char *text, size_t len);
	/* Asked after each token: true stops. */
	bool (*stop_wanted)(void *ctx);
};

/* Load, answer, unload. 0 with ret filled; or negative, with a sentence (what was answered so far was told). */
int local_answer(struct local_result *ret, const struct local_request *in, const struct local_ops *ops, void *ctx,
	struct err *err);

#endif
