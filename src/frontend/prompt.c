/* prompt.c - from the body to tokens. Runs on text threads: touches the completion's own memory, the model's tokenizer
 * and template (safe from many threads), nothing of the loop's. */
#include "base/json_out.h"
#include "frontend/completion.h"
#include "kv/hash.h"

#include <stdio.h>

void prompt_parse(struct completion *c)
{
	api_request_parse(&c->req, c->kind, buf_str(&c->body), c->body.len, &c->parse_arena, &c->error);
	buf_done(&c->body); /* the tree has copies */
	if (c->error.status)
		arena_done(&c->parse_arena);
}

struct text_size prompt_size(const struct completion *c)
{
	bool is_tokens = c->req.prompts_len && c->req.prompts[0].is_tokens;

	if (c->req.kind == API_CHAT)
		return (struct text_size){.kind = TEXT_CHAT, .bytes = c->body_len, .items = c->req.messages_len};
	return (struct text_size){
		.kind = is_tokens ? TEXT_IDS : TEXT_PROMPT, .bytes = c->body_len, .items = c->req.prompts_len};
}

static void out_of_memory(struct completion *c)
{
	api_error_set(&c->error, 500, NULL, NULL, "out of memory");
}

static void refuse(struct completion *c, const char *param, const struct err *err)
{
	if (err->code == -ENOMEM)
		out_of_memory(c);
	else
		api_error_set(&c->error, 400, NULL, param, "could not make a prompt of \"%s\": %s", param, err->msg);
}

/* In the words that clients look for in a message (LiteLLM, LangChain), OpenAI's and vLLM's. at_least: there are more tokens, it
 * was not counted how many. */
static void refuse_long(struct completion *c, const struct run *r, uint32_t tokens, bool at_least)
{
	char param[API_PARAM_BYTES_MAX] = "messages";
	/* "No limit" is no number to tell anybody. */
	uint32_t answer = c->req.has_max_tokens && c->req.max_tokens < TOKENS_MAX ? c->req.max_tokens : 1;

	if (c->req.kind == API_COMPLETION && c->runs_len > 1)
		snprintf(param, sizeof param, "prompt[%u]", r->index);
	else if (c->req.kind == API_COMPLETION)
		snprintf(param, sizeof param, "prompt");
	api_error_set(&c->error, 400, "context_length_exceeded", param,
		"This model's maximum context length is %u tokens. However, you requested %s%u tokens (%u in the "
		"messages, %u "
		"in the completion). Please reduce the length of the messages or completion.",
		c->context_max, at_least ? "at least " : "", tokens + answer, tokens, answer);
}

/* A prompt that does not fit is counted no further than to twice the context: who trims it by the number is told the right one
 * when it is little too long, and more of it is not worked on. */
static uint32_t counted_max(const struct completion *c)
{
	return MIN(c->context_max, TOKENS_MAX / 2) * 2;
}

/* No tokens could be made. */
static void refuse_prompt(struct completion *c, const struct run *r, const char *param, const struct err *err)
{
	if (err->code == -E2BIG)
		refuse_long(c, r, counted_max(c) + 1, true);
	else
		refuse(c, param, err);
}

static bool fits(struct completion *c, const struct run *r)
{
	uint32_t context = c->context_max;

	if (!r->prompt.len) {
		api_error_set(&c->error, 400, NULL, c->req.kind == API_CHAT ? "messages" : "prompt",
			"the prompt is empty: it has no tokens");
		return false;
	}
	bool no_answer = c->req.has_max_tokens && !c->req.max_tokens;
	if (r->prompt.len < context || (no_answer && r->prompt.len == context))
		return true;
	refuse_long(c, r, r->prompt.len, false);
	return false;
}

static bool render_chat(struct completion *c, struct run *r)
{
	const struct chat_request chat = {
		.messages = c->req.messages,
		.message_count = c->req.messages_len,
		.no_generation_prompt = c->req.no_generation_prompt,
		.kwargs_json = c->req.kwargs_json,
		.tools_json = c->req.tools_json,
		.tokens_max = counted_max(c),
		.cancelled = &c->task.job.cancelled,
	};
	struct err err = {0};

	if (!c->model->loaded.template) {
		api_error_set(&c->error, 400, "no_chat_template", NULL,
			"the model \"%.100s\" has no usable chat template (%.300s); use /v1/completions",
			c->model->name, c->model->loaded.template_err.msg);
		return false;
	}
	if (chat_render(c->model->loaded.template, &chat, &r->prompt, &err) == 0)
		return true;
	refuse_prompt(c, r, "messages", &err);
	return false;
}

static bool take_ids(struct completion *c, const struct msg_u32s *ids, struct tokens *ret)
{
	uint32_t vocab = tokenizer_vocab(c->model->loaded.tokenizer);

	for (uint32_t i = 0; i < ids->len; i++)
		if (ids->v[i] >= vocab) {
			api_error_set(&c->error, 400, NULL, "prompt",
				"\"prompt\" has the token id %u at place %u; the model has %u tokens", ids->v[i], i,
				vocab);
			return false;
		}
	if (vec_reserve(ret, ids->len) < 0) {
		out_of_memory(c);
		return false;
	}
	memcpy(ret->v, ids->v, ids->len * sizeof *ret->v);
	ret->len = ids->len;
	return true;
}

int raw_prompt_flags(const struct frontend *fe, bool edges, const bool *asked, unsigned *ret_flags, struct api_error *e)
{
	bool allowed = fe->config.raw_specials || fe->config.user_specials;

	if (asked && *asked && !allowed)
		return api_error_set(e, 400, "parameter_not_allowed", "parse_special",
			"this server takes no control tokens in a prompt's text; its operator can allow them with "
			"raw-control-tokens");
	*ret_flags = (edges ? TOKENIZE_BOS_EOS : 0u) | ((asked ? *asked : allowed) ? TOKENIZE_SPECIAL : 0u);
	return 0;
}

static bool encode(struct completion *c, const struct api_prompt *p, struct run *r)
{
	const bool *asked = c->req.has_parse_special ? &c->req.parse_special : NULL;
	unsigned flags;
	struct err err = {0};

	if (p->is_tokens)
		return take_ids(c, &p->tokens, &r->prompt);
	if (raw_prompt_flags(c->fe, !c->req.no_specials, asked, &flags, &c->error) < 0)
		return false;
	if (tokenizer_encode_unless(c->model->loaded.tokenizer, p->text.data, p->text.len, flags, counted_max(c),
		    &c->task.job.cancelled, &r->prompt, &err) == 0)
		return true;
	refuse_prompt(c, r, "prompt", &err);
	return false;
}

static bool is_cancelled(const struct completion *c)
{
	return atomic_load_explicit(&c->task.job.cancelled, memory_order_relaxed);
}

/* The text of token ids. */
static int add_pieces(const struct completion *c, const struct msg_u32s *ids, struct buf *ret)
{
	int code = 0;

	for (uint32_t i = 0; i < ids->len && code == 0 && !is_cancelled(c); i++)
		code = tokenizer_piece(c->model->loaded.tokenizer, ids->v[i], true, ret);
	return code;
}

/* What echo repeats: the text as it was sent, or that of the token ids, as it stands inside a JSON string, since the loop
 * should only have to copy it. */
static bool keep_echo(struct completion *c, const struct api_prompt *p, struct api_text *ret)
{
	struct buf text, json;

	buf_init(&text, COMPLETION_TEXT_BYTES_MAX);
	buf_init(&json, COMPLETION_TEXT_BYTES_MAX);
	bool ok = !p->is_tokens || add_pieces(c, &p->tokens, &text) == 0;
	if (ok && p->is_tokens)
		json_out_str_inside(&json, buf_str(&text), text.len);
	else if (ok)
		json_out_str_inside(&json, p->text.data, p->text.len);
	ret->len = json.len;
	ret->data = ok && !json.failed ? arena_strndup(&c->arena, buf_str(&json), json.len) : NULL;
	buf_done(&text);
	buf_done(&json);
	if (!ret->data)
		out_of_memory(c);
	return ret->data != NULL;
}

/* The stop strings' memory is the JSON tree's, which goes when the prompt is ready; the set copies them. */
static bool make_stops(struct completion *c)
{
	struct stop_string strings[STOPS_MAX];
	struct err err = {0};

	if (!c->req.stops_len)
		return true;
	for (uint32_t i = 0; i < c->req.stops_len; i++)
		strings[i] = (struct stop_string){c->req.stops[i].data, c->req.stops[i].len};
	if (stops_create(&c->stops, strings, c->req.stops_len, &err) == 0)
		return true;
	refuse(c, "stop", &err);
	return false;
}

static bool keep_stop_tokens(struct completion *c)
{
	struct msg_u32s *ids = &c->req.stop_tokens;
	uint32_t *kept = arena_alloc(&c->arena, ids->len * sizeof *kept + 1);

	if (!kept) {
		out_of_memory(c);
		return false;
	}
	for (uint32_t i = 0; i < ids->len; i++)
		kept[i] = ids->v[i];
	ids->v = kept;
	return true;
}

/* logit_bias lies in the tree's arena, too. */
static bool keep_bias(struct completion *c)
{
	struct msg_u32s *tokens = &c->req.sampling.bias_tokens;
	struct msg_f32s *values = &c->req.sampling.bias_values;
	uint32_t *t = arena_alloc(&c->arena, tokens->len * sizeof *t + 1);
	float *v = arena_alloc(&c->arena, values->len * sizeof *v + 1);

	if (!t || !v) {
		out_of_memory(c);
		return false;
	}
	for (uint32_t i = 0; i < tokens->len; i++)
		if (tokens->v[i] >= tokenizer_vocab(c->model->loaded.tokenizer)) {
			api_error_set(&c->error, 400, NULL, "logit_bias",
				"\"logit_bias\" has the token id %u; the model has %u tokens", tokens->v[i],
				tokenizer_vocab(c->model->loaded.tokenizer));
			return false;
		}
	if (tokens->len) {
		memcpy(t, tokens->v, tokens->len * sizeof *t);
		memcpy(v, values->v, values->len * sizeof *v);
	}
	tokens->v = t;
	values->v = v;
	return true;
}

/* Whose prefixes this request may meet: those of its key and of its own salt. Worker and frontend make the same seed of it. The
 * key's part has 16 digits or none, so no salt can stand for another key's. */
static bool make_salt(struct completion *c)
{
	const struct api_text *own = &c->req.cache_salt;
	uint64_t owner = c->fe->config.share_prefixes ? 0 : c->demands.key_id;
	char key[17] = "";

	if (!owner && !own->len)
		return true;
	if (owner)
		snprintf(key, sizeof key, "%016llx", (unsigned long long)owner);
	char *salt = arena_alloc(&c->arena, strlen(key) + 1 + own->len);
	if (!salt) {
		out_of_memory(c);
		return false;
	}
	memcpy(salt, key, strlen(key));
	salt[strlen(key)] = '/';
	if (own->len)
		memcpy(salt + strlen(key) + 1, own->data, own->len);
	c->salt = (struct msg_str){salt, (uint32_t)(strlen(key) + 1 + own->len)};
	return true;
}

static uint64_t kv_seed_of(const struct completion *c)
{
	const struct frontend_config *config = &c->fe->config;

	if (!c->salt.len)
		return c->fe->kv_seed;
	return config->kv_secret
		       ? kv_hash_seed(config->kv_secret, config->kv_secret_len, NULL, c->salt.data, c->salt.len)
		       : kv_hash_seed(&c->fe->kv_seed, sizeof c->fe->kv_seed, NULL, c->salt.data, c->salt.len);
}

/* What the router looks up: the identity of each whole block. None where nothing that is cached may be used. */
static int hash_prompt(const struct completion *c, struct run *r)
{
	uint32_t block_size = c->block_size, count = c->req.cache_prompt ? r->prompt.len / block_size : 0;

	r->hashes = malloc(count * (sizeof *r->hashes + sizeof *r->uses) + 1);
	if (!r->hashes)
		return -ENOMEM;
	r->uses = memset(r->hashes + count, 0, count);
	r->hashes_len = kv_hash_blocks(r->prompt.v, count * block_size, block_size, kv_seed_of(c), r->hashes);
	return 0;
}

static bool make_run(struct completion *c, uint32_t i)
{
	struct run *r = c->runs[i] = run_create(c, c->req.n);

	if (!r) {
		out_of_memory(c);
		return false;
	}
	r->index = i;
	if (!(c->req.kind == API_CHAT ? render_chat(c, r) : encode(c, &c->req.prompts[i], r)) || !fits(c, r))
		return false;
	r->prompt_len = r->prompt.len;
	if (hash_prompt(c, r) < 0) {
		out_of_memory(c);
		return false;
	}
	return !c->req.echo || keep_echo(c, &c->req.prompts[i], &c->echo[i]);
}

static void make_runs(struct completion *c)
{
	uint32_t count = c->req.kind == API_CHAT ? 1 : c->req.prompts_len;

	c->runs = arena_alloc(&c->arena, count * sizeof *c->runs);
	c->echo = arena_alloc(&c->arena, count * sizeof *c->echo);
	if (!c->runs || !c->echo) {
		out_of_memory(c);
		return;
	}
	c->runs_len = count;
	if (!make_stops(c) || !keep_stop_tokens(c) || !keep_bias(c) || !make_salt(c))
		return;
	for (uint32_t i = 0; i < count && !is_cancelled(c); i++)
		if (!make_run(c, i))
			return;
}

void prompt_tokenize(struct completion *c)
{
	make_runs(c);
	arena_done(&c->parse_arena); /* what outlives it has been copied */
}
