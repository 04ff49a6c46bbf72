/* text_api.c - POST /tokenize and /detokenize, in the forms that vLLM and llama-server take.
 *
 *   {"prompt": "text"} or {"content": "text"} or {"messages": [...]}, "add_special_tokens": true   ->
 *       {"tokens": [1, 2], "count": 2, "max_model_len": 4096}      and "token_strs": [...] with "return_token_strs": true
 *   {"tokens": [1, 2]}   ->   {"prompt": "text", "content": "text"}
 * The body is read on the loop, the text is worked on a text thread. */
#include "base/json_out.h"
#include "base/limits.h"
#include "frontend/internal.h"
#include "frontend/json_in.h"
#include "text/detok.h"

struct text_call {
	struct frontend *fe;
	struct http_exchange *x; /* NULL: the client left */
	struct model *model;
	uint32_t context_max; /* the model's, copied for the text thread */
	struct arena arena;
	struct env_job job;
	struct api_error error;
	bool detokenize, no_specials, want_strings;
	struct api_request chat; /* with messages */
	const char *text;
	size_t text_len;
	struct tokens tokens;
	struct msg_u32s ids;
	struct buf out;
};

static void call_free(struct text_call *t)
{
	if (t->model)
		model_unuse(t->model);
	vec_done(&t->tokens);
	buf_done(&t->out);
	arena_done(&t->arena);
	free(t);
}

static void call_end(struct text_call *t)
{
	int status = t->error.status ? t->error.status : 200;

	if (!t->x)
		status = 499;
	else if (t->error.status)
		api_error_reply(t->x, &t->error);
	else
		http_reply(t->x, 200, "application/json", buf_str(&t->out), t->out.len);
	frontend_request_ended(
		t->fe, t->model ? t->model->name : "", t->detokenize ? "detokenize" : "tokenize", status);
	call_free(t);
}

static void on_gone(void *user)
{
	((struct text_call *)user)->x = NULL;
}

static const struct http_exchange_ops ops = {.on_gone = on_gone};

/* on a text thread */

static void out_token_strings(struct text_call *t)
{
	struct buf piece;

	buf_init(&piece, PIECE_BYTES_MAX);
	for (uint32_t i = 0; i < t->tokens.len; i++) {
		buf_reset(&piece);
		t->out.failed |= tokenizer_piece(t->model->loaded.tokenizer, t->tokens.v[i], true, &piece) < 0;
		buf_add_str(&t->out, i ? "," : ",\"token_strs\":[");
		json_out_str(&t->out, buf_str(&piece), piece.len);
	}
	buf_add_str(&t->out, t->tokens.len ? "]" : ",\"token_strs\":[]");
	buf_done(&piece);
}

static void out_tokens(struct text_call *t)
{
	buf_add_str(&t->out, "{\"tokens\":[");
	for (uint32_t i = 0; i < t->tokens.len; i++) {
		if (i)
			buf_add_byte(&t->out, ',');
		json_out_u64(&t->out, t->tokens.v[i]);
	}
	buf_printf(&t->out, "],\"count\":%u,\"max_model_len\":%u", t->tokens.len, t->context_max);
	if (t->want_strings)
		out_token_strings(t);
	buf_add_byte(&t->out, '}');
}

static int tokenize(struct text_call *t, struct err *err)
{
	unsigned flags =
		(t->no_specials ? 0u : TOKENIZE_BOS_EOS) | (t->fe->config.user_specials ? TOKENIZE_SPECIAL : 0u);

	if (!t->chat.messages)
		return tokenizer_encode(
			t->model->loaded.tokenizer, t->text, t->text_len, flags, TOKENS_MAX, &t->tokens, err);
	const struct chat_request chat = {
		.messages = t->chat.messages,
		.message_count = t->chat.messages_len,
		.no_generation_prompt = t->chat.no_generation_prompt,
		.kwargs_json = t->chat.kwargs_json,
		.tokens_max = TOKENS_MAX,
	};
	if (!t->model->loaded.template)
		return err_set(err, -ENOENT, "the model has no usable chat template");
	return chat_render(t->model->loaded.template, &chat, &t->tokens, err);
}

/* As it was before it was tokens: control tokens, which are no text in an answer, have their names here. */
static int push_token(struct text_call *t, struct detok *d, uint32_t token, struct buf *text, struct buf *piece)
{
	buf_reset(piece);
	int code = tokenizer_piece(t->model->loaded.tokenizer, token, false, piece);
	if (code < 0)
		return code;
	if (piece->len)
		return detok_push(d, token, text);
	code = detok_finish(d, text);
	return code < 0 ? code : tokenizer_piece(t->model->loaded.tokenizer, token, true, text);
}

static void detokenize(struct text_call *t)
{
	struct detok d;
	struct buf text, piece;
	int code = 0;

	buf_init(&text, t->out.len_max / 2);
	buf_init(&piece, PIECE_BYTES_MAX);
	detok_init(&d, t->model->loaded.tokenizer, true);
	for (uint32_t i = 0; i < t->ids.len; i++)
		code = code < 0 ? code : push_token(t, &d, t->ids.v[i], &text, &piece);
	t->out.failed |= code < 0 || detok_finish(&d, &text) < 0;
	detok_done(&d);
	buf_add_str(&t->out, "{\"prompt\":");
	json_out_str(&t->out, buf_str(&text), text.len);
	buf_add_str(&t->out, ",\"content\":");
	json_out_str(&t->out, buf_str(&text), text.len);
	buf_add_byte(&t->out, '}');
	t->out.failed |= text.failed;
	buf_done(&piece);
	buf_done(&text);
}

static void on_work(struct env_job *job)
{
	struct text_call *t = CONTAINER_OF(job, struct text_call, job);
	struct err err = {0};

	if (t->detokenize)
		detokenize(t);
	else if (tokenize(t, &err) < 0)
		api_error_set(
			&t->error, err.code == -ENOMEM ? 500 : 400, NULL, NULL, "could not tokenize: %s", err.msg);
	else
		out_tokens(t);
	if (t->out.failed)
		api_error_set(&t->error, 500, NULL, NULL, "out of memory");
}

static void on_done(struct env_job *job)
{
	struct text_call *t = CONTAINER_OF(job, struct text_call, job);

	t->fe->jobs--;
	call_end(t);
}

/* on the loop */

static int read_tokenize(struct text_call *t, const char *body, size_t len, json_t *root)
{
	const json_t *text = json_in_get(root, "prompt"), *specials = json_in_get(root, "add_special_tokens");

	t->want_strings = json_is_true(json_in_get(root, "return_token_strs"));
	if (json_in_get(root, "messages"))
		return api_request_parse(&t->chat, API_CHAT, body, len, &t->arena, &t->error);
	if (!text)
		text = json_in_get(root, "content");
	if (!text)
		return api_error_set(&t->error, 400, NULL, "prompt",
			"there is nothing to tokenize: \"prompt\" or \"messages\" is missing");
	if (!json_is_string(text))
		return json_in_wrong_type(&t->error, "prompt", "a string", text);
	if (specials && !json_is_boolean(specials))
		return json_in_wrong_type(&t->error, "add_special_tokens", "true or false", specials);
	t->no_specials = json_is_false(specials);
	t->text = json_string_value(text);
	t->text_len = json_string_length(text);
	return 0;
}

static int read_detokenize(struct text_call *t, json_t *root)
{
	const json_t *ids = json_in_get(root, "tokens");

	if (!ids)
		return api_error_set(&t->error, 400, NULL, "tokens", "\"tokens\" is missing");
	if (!json_is_array(ids))
		return json_in_wrong_type(&t->error, "tokens", "an array of token ids", ids);
	return json_in_tokens(ids, "tokens", &t->arena, &t->ids, &t->error);
}

static int read_call(struct text_call *t)
{
	size_t len;
	const char *body = http_body(t->x, &len);
	json_t *root, *model;

	if (api_json_parse(&root, body, len, &t->arena, &t->error) < 0)
		return -EINVAL;
	model = json_in_get(root, "model");
	if (model && !json_is_string(model))
		return json_in_wrong_type(&t->error, "model", "a string", model);
	if ((t->detokenize ? read_detokenize(t, root) : read_tokenize(t, body, len, root)) < 0)
		return -EINVAL;
	t->model = model_find(t->fe, model ? json_string_value(model) : "", &t->error);
	if (!t->model)
		return -EINVAL;
	t->model->users++;
	t->context_max = t->model->context_max;
	return 0;
}

static void start(struct frontend *fe, struct http_exchange *x, bool detokenize)
{
	struct text_call *t = calloc(1, sizeof *t);
	struct api_error e = {0};
	char id[REQUEST_ID_BYTES_MAX + 1];

	if (!t) {
		api_error_set(&e, 500, NULL, NULL, "out of memory");
		api_error_reply(x, &e);
		return;
	}
	*t = (struct text_call){.fe = fe, .x = x, .detokenize = detokenize};
	t->job = (struct env_job){.work = on_work, .done = on_done};
	arena_init(&t->arena, REQUEST_ARENA_BYTES_MAX);
	buf_init(&t->out, REQUEST_ARENA_BYTES_MAX);
	frontend_request_begun(fe);
	api_request_id(fe, x, id, sizeof id);
	if (read_call(t) < 0) {
		call_end(t);
		return;
	}
	if (env_offload(fe->env, ENV_POOL_TEXT, &t->job) < 0) {
		api_error_set(&t->error, 503, "stopping", NULL, "the server is stopping");
		call_end(t);
		return;
	}
	fe->jobs++;
	http_set_ops(x, &ops, t);
}

void text_api_tokenize(struct frontend *fe, struct http_exchange *x)
{
	start(fe, x, false);
}

void text_api_detokenize(struct frontend *fe, struct http_exchange *x)
{
	start(fe, x, true);
}
