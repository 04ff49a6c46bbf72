/* template.h - chat templates (Jinja) of models, rendered by llama.cpp's Jinja engine.
 *
 * The source is analysed once (1 to 3 ms); rendering costs 0.05 to 0.1 ms a message. A result is a list of parts that
 * says which text came from the caller (is_input), so that a user's text is never read as the template's special
 * tokens. Thread: a template is constant after create; render may run on many threads at once. Bounds: source bytes and
 * nesting (templates come with model files and recurse), bytes of a result. */
#ifndef STATOR_LLAMA_TEMPLATE_H
#define STATOR_LLAMA_TEMPLATE_H

#include "base/budget.h"
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	LL_TEMPLATE_BYTES_MAX = 256 * 1024, /* the largest known one has 30 KiB */
	LL_TEMPLATE_NESTING_MAX = 200, /* brackets and blocks; the parser recurses */
	/* Of memory that a render holds at one time, the values of the request among it; where those are more than half of it,
	 * the template has the other half beside them. The heap's holes come on top, up to a fifth, and for a moment the copies
	 * of one text. */
	LL_TEMPLATE_HELD_BYTES_MAX = 224 * 1024 * 1024,
	LL_TEMPLATE_STACK_BYTES =
		4 * 1024 * 1024, /* what a render recurses into at most, and as much again behind it */
};

struct ll_template;
struct ll_template_caps {
	bool tools, tool_calls, parallel_tool_calls, system_role, thinking;
};

/* Copies source. name is for messages ("model \"x\""). -EINVAL with the place of the mistake. */
int ll_template_create(struct ll_template **ret, const char *source, size_t len, struct err *err) MUST_USE;
void ll_template_destroy(struct ll_template *t);
const struct ll_template_caps *ll_template_caps(const struct ll_template *t);

/* Is name one of the variables and functions that the server or the engine sets (messages, bos_token, raise_exception...)?
 * A request's keyword arguments must not replace them: who checks messages before they come here would be passed by, and a
 * bos_token of a megabyte is written once a message. */
bool ll_template_sets(const char *name);

struct ll_message {
	const char *role; /* "system", "user", "assistant", "tool" or whatever the template knows */
	const char *content; /* may be NULL: null in the template (an assistant's message with tool calls only) */
	size_t content_len;
	const char
		*extra_json; /* an object whose members join the message (tool_calls, tool_call_id, name...); or NULL */
};

struct ll_render {
	const struct ll_message *messages;
	uint32_t message_count;
	const char *bos, *eos; /* text of the tokens, "" when there is none */
	bool add_generation_prompt;
	bool enable_thinking;
	const char *date; /* for date_string and strftime_now, "26 Jul 2024"; NULL: today. Fixed, it keeps the prefix
			   * over midnight */
	const char *tools_json; /* an array as in the request; or NULL */
	const char *kwargs_json; /* an object: chat_template_kwargs; or NULL */
	size_t bytes_max; /* of the result, and of any text that is made on the way to it */
	uint32_t cpu_ms_max; /* of this thread's time; 0: no bound */
	const budget_flag *cancelled; /* set by anybody: the result is wanted no more (base/budget.h). May be NULL */
	/* Called for each text of the caller (contents, roles, strings and keys in the JSON), so that it cannot turn
	 * into something else on its way through the template's filters. Writes what the template shall see to ret and
	 * returns 1; or 0: as it is; or -ENOMEM. May be NULL. */
	int (*guard)(void *ctx, const char *text, size_t len, struct buf *ret);
	void *guard_ctx;
};

struct ll_part {
	const char *text; /* not NUL-terminated */
	size_t len;
	bool is_input; /* came from messages, tools or kwargs */
};
/* What render gives; zero it before. */
struct ll_parts {
	struct ll_part *v;
	uint32_t len;
	void *owner; /* private */
};
/* -EINVAL: the template refuses these messages (its own words), needs more memory than LL_TEMPLATE_HELD_BYTES_MAX for them, or extra_json is no object. -E2BIG: past bytes_max. -ETIME:
 * past cpu_ms_max. -ECANCELED. Each ends within a millisecond or so. */
int ll_template_render(
	const struct ll_template *t, const struct ll_render *in, struct ll_parts *ret, struct err *err) MUST_USE;
void ll_parts_done(struct ll_parts *p);

#ifdef __cplusplus
}
#endif
#endif
