/* template.h - messages of a chat to the tokens of a prompt.
 *
 * The model's template is rendered, cut at the special tokens the template itself wrote, and each segment between them
 * is tokenized; so the result is what the whole prompt tokenizes to, except that text of a user never becomes a control
 * token. Segments tokenize independently, so a cache of them (bounded, least recently used goes first) makes a
 * growing conversation cost only its new text, exactly.
 * Thread: load and destroy on one thread; render is safe from many at once and needs TEXT_STACK_BYTES of stack. */
#ifndef STATOR_TEXT_TEMPLATE_H
#define STATOR_TEXT_TEMPLATE_H

#include "llama/template.h"
#include "text/tokenizer.h"

struct chat_template;

struct chat_template_params {
	const char *source; /* a template to use instead of the model's; NULL: the model's (or ChatML for "byte") */
	size_t cache_bytes_max; /* of the segment cache; 0: TEXT_CACHE_BYTES_MAX */
	bool user_specials; /* the operator lets users write control tokens */
};
/* Borrows the tokenizer. params may be NULL. -ENOENT when the model has no template and none is given. */
int chat_template_load(struct chat_template **ret, const struct tokenizer *t, const struct chat_template_params *params,
	struct err *err) MUST_USE;
void chat_template_destroy(struct chat_template *c);
const struct ll_template_caps *chat_template_caps(const struct chat_template *c);

struct chat_request {
	const struct ll_message *messages; /* see llama/template.h */
	uint32_t message_count;
	bool no_generation_prompt; /* the last message is to be continued by the model */
	bool no_thinking;
	const char *date, *tools_json, *kwargs_json; /* as in struct ll_render; may be NULL */
	/* What the model takes: no more is rendered or tokenized than it takes to see that a prompt has more. */
	uint32_t tokens_max;
	const budget_flag *cancelled; /* env_job.cancelled: looked at every millisecond or so. May be NULL */
};
/* Append the prompt's tokens to ret. -EINVAL: the template refuses these messages, in its own words. -E2BIG: more than
 * tokens_max. -EFBIG: more text than any prompt may be. -ETIME: the template took more than TEMPLATE_CPU_MS_MAX of this
 * thread's time. -ECANCELED. Nothing is appended on failure. */
int chat_render(
	const struct chat_template *c, const struct chat_request *in, struct tokens *ret, struct err *err) MUST_USE;
/* The same as text, for people and tests; appended to ret. */
int chat_render_text(
	const struct chat_template *c, const struct chat_request *in, struct buf *ret, struct err *err) MUST_USE;

struct chat_cache_stats {
	uint64_t hits, misses; /* segments */
	uint64_t bytes_used, bytes_max;
};
void chat_template_stats(const struct chat_template *c, struct chat_cache_stats *ret);

#endif
