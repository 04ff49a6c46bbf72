/* request.h - the JSON body of /v1/chat/completions and /v1/completions to a checked struct.
 *
 * What OpenAI documents and what vLLM and llama-server users send besides (top_k, min_p, ignore_eos, ...). Unknown
 * fields are ignored, null is absent; a wrong type or range is refused by the field's name; text that is no JSON by line
 * and column, bytes that are no UTF-8 by their offset. Nesting is bounded by JSON_DEPTH_MAX.
 *
 * Thread: pure, any (bodies that are not cheap are parsed on a text thread). Memory: the caller's arena, which also holds the JSON
 * tree that the result points into. Cost: linear in the body. */
#ifndef STATOR_FRONTEND_REQUEST_H
#define STATOR_FRONTEND_REQUEST_H

#include "base/arena.h"
#include "frontend/error.h"
#include "llama/template.h"
#include "wire/msg.h"

enum api_kind { API_CHAT, API_COMPLETION };

struct api_text {
	const char *data;
	size_t len;
};

/* One prompt of a completion: text, or token ids as they are. */
struct api_prompt {
	bool is_tokens;
	struct api_text text;
	struct msg_u32s tokens;
};

struct api_request {
	enum api_kind kind;
	uint32_t n; /* choices of each prompt */
	const char *model; /* "" when the body names none */
	/* API_COMPLETION: at least one; API_CHAT: none, but messages. */
	struct api_prompt *prompts;
	struct ll_message *messages;
	uint32_t prompts_len, messages_len;
	const char *kwargs_json; /* chat_template_kwargs and other variables of the template, or NULL */
	const char *tools_json; /* for the template, where none is to be called; or NULL */

	/* Without has_max_tokens: the endpoint's default. At most TOKENS_MAX, which stands for "no limit" too; 0 only with echo. */
	uint32_t max_tokens, min_tokens;
	struct api_text *stops;
	uint32_t stops_len, top_logprobs; /* top_logprobs: with logprobs */
	struct msg_u32s stop_tokens; /* each ends an answer, once min_tokens are there */
	struct msg_sampling sampling; /* seed set when has_seed */
	struct api_text cache_salt; /* prefixes are shared only with prompts of the same; empty: none */
	uint64_t session; /* hash of prompt_cache_key, else of user; 0: none */
	bool has_max_tokens, has_seed;
	bool stream, include_usage, continuous_usage, echo, ignore_eos;
	bool no_generation_prompt;
	/* API_COMPLETION: no BOS or EOS around the prompt's text; are control tokens that it names tokens, if that was said. */
	bool no_specials, has_parse_special, parse_special;
	bool deterministic; /* equal answers to equal requests whatever else runs, or refused */
	bool cache_prompt; /* cached prefixes may be used */
	bool keep_stop; /* the stop string that was found is part of the text */
	bool logprobs, tokens_as_ids; /* tokens_as_ids: their names are "token_id:N" */
};

/* 0, or -EINVAL with e filled. body must be followed by a NUL. Borrows body until return; ret lives as long as
 * arena's content. */
int api_request_parse(struct api_request *ret, enum api_kind kind, const char *body, size_t len, struct arena *arena,
	struct api_error *e);

struct json_t;
/* The model that a body names, "" when it names none. Borrows from the tree. */
int api_request_model(const char **ret, const struct json_t *root, struct api_error *e);
/* The same from a tree that api_json_parse made. */
int api_request_read(
	struct api_request *ret, enum api_kind kind, struct json_t *root, struct arena *arena, struct api_error *e);
/* May a body be parsed, and its tree be freed, on the loop? Some 0.3 ms at most; 64 KiB of "{}," would be 8. */
bool api_json_is_cheap(const char *body, size_t len);
/* Parse any body under the same bounds, for the small endpoints. The tree lives in arena. */
int api_json_parse(struct json_t **ret, const char *body, size_t len, struct arena *arena, struct api_error *e);

#endif
