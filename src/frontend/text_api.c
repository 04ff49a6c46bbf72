/* text_api.c - POST /tokenize and /detokenize, in the forms that vLLM and llama-server take.
 *
 *   {"prompt": "text"} (vLLM's form), {"content": "text"} (llama-server's) or {"messages": [...]}   ->
 *       {"tokens": [1, 2], "count": 2, "max_model_len": 4096, "token_strs": null}
 *   {"tokens": [1, 2]}   ->   {"prompt": "text", "content": "text"}
 * Large bodies are read, and all text is worked, on a text thread. */
#include "base/json_out.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "frontend/demands.h"
#include "frontend/request_priv.h"
#include "frontend/text_work.h"
#include "text/detok.h"

enum {
	LOOK_TOKENS = 1024, /* detokenized between two looks at whether anybody waits */
};

enum call_state { CALL_PARSE, CALL_TEXT };

struct text_call {
	struct list link; /* in frontend.text_calls */
	struct frontend *fe;
	struct http_exchange *x; /* NULL: the client left, or has its answer */
	struct model *model;
	uint32_t context_max; /* the model's, copied for the text thread */
	enum call_state state;
	bool in_job, job_cancelled;
	bool tree_is_large; /* while there is one, it is freed on a text thread only */
	struct arena arena; /* the tree, and what was read of it */
	struct buf body; /* until it is parsed */
	size_t body_counted; /* bytes of all requests' that are this one's, until its end */
	size_t body_len;
	struct text_task task;
	struct env_job free_job;
	struct demands demands;
	uint64_t arrived_us;
	struct api_error error;
	const char *model_name;
	bool detokenize, edges, want_strings, want_pieces;
	unsigned flags; /* TOKENIZE_* */
	struct api_request chat; /* with messages */
	const char *text;
	size_t text_len;
	struct tokens tokens;
	struct msg_u32s ids;
	struct buf out;
};

static void call_free(struct text_call *t)
{
	list_del(&t->link);
	if (t->model)
		model_unuse(t->model);
	buf_done(&t->body);
	vec_done(&t->tokens);
	buf_done(&t->out);
	arena_done(&t->arena);
	http_body_release(t->fe->http, t->body_counted);
	free(t);
}

static void on_free(struct env_job *job)
{
	arena_done(&CONTAINER_OF(job, struct text_call, free_job)->arena);
}

static void on_freed(struct env_job *job)
{
	struct text_call *t = CONTAINER_OF(job, struct text_call, free_job);

	t->fe->jobs--;
	call_free(t);
}

/* A large tree is not freed on the loop. */
static void call_release(struct text_call *t)
{
	t->free_job = (struct env_job){
		.work = on_free, .done = on_freed, .is_long = true, .cost_us = TEXT_FREE_US, .owner = t->demands.owner};
	if (t->tree_is_large && t->arena.head && env_offload(t->fe->env, ENV_POOL_TEXT, &t->free_job) == 0)
		t->fe->jobs++;
	else
		call_free(t);
}

/* The one end: the client has its answer, or has left. A job may still hold the memory. */
static void call_end(struct text_call *t, const struct api_error *e)
{
	int status = e->status ? e->status : 200;
	struct http_exchange *x = t->x;

	t->x = NULL;
	if (!x)
		status = 499;
	else if (e->status)
		api_error_reply(x, e);
	else
		http_reply(x, 200, "application/json", buf_str(&t->out), t->out.len);
	frontend_request_ended(
		t->fe, t->model ? t->model->name : "", t->detokenize ? "detokenize" : "tokenize", status);
	if (!t->in_job)
		call_release(t);
	else if (!t->job_cancelled)
		text_task_cancel(&t->task, TEXT_END_CLIENT);
}

static void on_gone(void *user)
{
	struct text_call *t = user;

	const struct api_error none = {0};

	t->x = NULL;
	call_end(t, &none);
}

static const struct http_exchange_ops ops = {.on_gone = on_gone};

/* on a text thread */

static bool is_cancelled(const struct text_call *t)
{
	return atomic_load_explicit(&t->task.job.cancelled, memory_order_relaxed);
}

static void take_piece(struct text_call *t, uint32_t token, struct buf *piece)
{
	buf_reset(piece);
	t->out.failed |= tokenizer_piece(t->model->loaded.tokenizer, token, true, piece) < 0;
}

static void out_token_strings(struct text_call *t, struct buf *piece)
{
	buf_add_byte(&t->out, '[');
	for (uint32_t i = 0; i < t->tokens.len && !(i % LOOK_TOKENS == 0 && is_cancelled(t)); i++) {
		take_piece(t, t->tokens.v[i], piece);
		if (i)
			buf_add_byte(&t->out, ',');
		json_out_str(&t->out, buf_str(piece), piece->len);
	}
	buf_add_byte(&t->out, ']');
}

/* llama-server's "with_pieces": the text, or the bytes of what is no text by itself. */
static void out_piece(struct text_call *t, uint32_t token, struct buf *piece)
{
	take_piece(t, token, piece);
	buf_add_str(&t->out, "{\"id\":");
	json_out_u64(&t->out, token);
	buf_add_str(&t->out, ",\"piece\":");
	if (utf8_check(buf_str(piece), piece->len) == piece->len) {
		json_out_str(&t->out, buf_str(piece), piece->len);
	} else {
		for (size_t i = 0; i < piece->len; i++) {
			buf_add_byte(&t->out, i ? ',' : '[');
			json_out_u64(&t->out, (unsigned char)piece->data[i]);
		}
		buf_add_byte(&t->out, ']');
	}
	buf_add_byte(&t->out, '}');
}

static void out_tokens(struct text_call *t)
{
	struct buf piece;

	buf_init(&piece, PIECE_BYTES_MAX);
	buf_add_str(&t->out, "{\"tokens\":[");
	for (uint32_t i = 0; i < t->tokens.len && !(i % LOOK_TOKENS == 0 && is_cancelled(t)); i++) {
		if (i)
			buf_add_byte(&t->out, ',');
		if (t->want_pieces)
			out_piece(t, t->tokens.v[i], &piece);
		else
			json_out_u64(&t->out, t->tokens.v[i]);
	}
	buf_printf(&t->out, "],\"count\":%u,\"max_model_len\":%u,\"token_strs\":", t->tokens.len, t->context_max);
	if (t->want_strings)
		out_token_strings(t, &piece);
	else
		buf_add_str(&t->out, "null");
	buf_add_byte(&t->out, '}');
	buf_done(&piece);
}

static int tokenize(struct text_call *t, struct err *err)
{
	if (!t->chat.messages)
		return tokenizer_encode_unless(t->model->loaded.tokenizer, t->text, t->text_len, t->flags, TOKENS_MAX,
			&t->task.job.cancelled, &t->tokens, err);
	const struct chat_request chat = {
		.messages = t->chat.messages,
		.message_count = t->chat.messages_len,
		.no_generation_prompt = t->chat.no_generation_prompt,
		.kwargs_json = t->chat.kwargs_json,
		.tools_json = t->chat.tools_json,
		.tokens_max = TOKENS_MAX,
		.cancelled = &t->task.job.cancelled,
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

static int check_ids(struct text_call *t)
{
	uint32_t vocab = tokenizer_vocab(t->model->loaded.tokenizer);

	for (uint32_t i = 0; i < t->ids.len; i++)
		if (t->ids.v[i] >= vocab)
			return api_error_set(&t->error, 400, NULL, "tokens",
				"\"tokens\" has the token id %u at place %u; the model has %u tokens", t->ids.v[i], i,
				vocab);
	return 0;
}

static void detokenize(struct text_call *t)
{
	struct detok d;
	struct buf text, piece;
	int code = 0;

	if (check_ids(t) < 0)
		return;
	buf_init(&text, t->out.len_max / 2);
	buf_init(&piece, PIECE_BYTES_MAX);
	detok_init(&d, t->model->loaded.tokenizer, true);
	for (uint32_t i = 0; i < t->ids.len && code == 0 && !(i % LOOK_TOKENS == 0 && is_cancelled(t)); i++)
		code = push_token(t, &d, t->ids.v[i], &text, &piece);
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

static void work_text(struct text_call *t)
{
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
	arena_done(&t->arena);
}

#define CALL_BOOL(member, name) FIELD(struct text_call, member, name, JSON_IN_BOOL, 0, 0)

/* To take one and pass over the other would answer a question that was not asked. */
static int check_one_form(struct text_call *t, const json_t *root)
{
	static const char *const forms[] = {"prompt", "content", "messages"};
	const char *first = NULL;

	for (uint32_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (!json_in_get(root, forms[i]))
			continue;
		if (first)
			return api_error_set(&t->error, 400, NULL, forms[i],
				"\"%s\" and \"%s\" are both given; one of them is tokenized: leave the other out",
				first, forms[i]);
		first = forms[i];
	}
	return 0;
}

static int read_tokenize(struct text_call *t, json_t *root)
{
	static const struct json_in_field fields[] = {
		CALL_BOOL(want_strings, "return_token_strs"),
		CALL_BOOL(want_pieces, "with_pieces"),
		CALL_BOOL(edges, "add_special"), /* llama-server's name, and vLLM's */
		CALL_BOOL(edges, "add_special_tokens"),
	};
	static const struct json_in_field parse_field = {.name = "parse_special", .kind = JSON_IN_BOOL};
	const char *name = json_in_get(root, "prompt") ? "prompt" : "content";
	const json_t *text = json_in_get(root, name);
	bool asked = false;

	if (check_one_form(t, root) < 0)
		return -EINVAL;
	/* Each form as its server has it. */
	t->edges = !strcmp(name, "prompt");
	if (json_in_fields(root, fields, ARRAY_LEN(fields), t, &t->error) < 0 ||
		json_in_fields(root, &parse_field, 1, &asked, &t->error) < 0)
		return -EINVAL;
	if (json_in_get(root, "messages"))
		return api_request_read(&t->chat, API_CHAT, root, &t->arena, &t->error);
	if (!text)
		return api_error_set(&t->error, 400, NULL, "prompt",
			"there is nothing to tokenize: \"prompt\", \"content\" or \"messages\" is missing");
	if (!json_is_string(text))
		return json_in_wrong_type(&t->error, name, "a string", text);
	t->text = json_string_value(text);
	t->text_len = json_string_length(text);
	return raw_prompt_flags(
		t->fe, t->edges, json_in_get(root, "parse_special") ? &asked : NULL, &t->flags, &t->error);
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

static int read_body(struct text_call *t)
{
	json_t *root;

	if (api_json_parse(&root, buf_str(&t->body), t->body.len, &t->arena, &t->error) < 0)
		return -EINVAL;
	if (api_request_model(&t->model_name, root, &t->error) < 0)
		return -EINVAL;
	return t->detokenize ? read_detokenize(t, root) : read_tokenize(t, root);
}

static void work_parse(struct text_call *t)
{
	if (read_body(t) < 0)
		arena_done(&t->arena);
	buf_done(&t->body);
}

static struct text_call *call_of(struct text_task *task)
{
	return CONTAINER_OF(task, struct text_call, task);
}

static void on_work(struct text_task *task)
{
	struct text_call *t = call_of(task);

	(t->state == CALL_PARSE ? work_parse : work_text)(t);
}

/* on the loop */

static void start_text(struct text_call *t);

static void on_done(struct text_task *task)
{
	struct text_call *t = call_of(task);

	t->in_job = false;
	if (!t->x)
		call_release(t);
	else if (t->state == CALL_PARSE)
		start_text(t);
	else
		call_end(t, &t->error);
}

static void on_late(struct text_task *task, const struct api_error *e)
{
	struct text_call *t = call_of(task);

	text_task_cancel(task, e->status == 504 ? TEXT_END_DEADLINE : TEXT_END_WAIT);
	t->job_cancelled = true;
	call_end(t, e); /* error is the job's until that has ended */
}

static void start_job(struct text_call *t, struct text_size size)
{
	struct api_error e = {0};

	t->task = (struct text_task){
		.size = size,
		.rates = t->model ? &t->model->rates : &t->fe->text.parse,
		.metric = t->model ? t->model->text_work : NULL,
		.owner = t->demands.owner,
		.deadline_us = t->demands.deadline_us,
		.arrived_us = t->arrived_us,
		.work = on_work,
		.done = on_done,
		.late = on_late,
	};
	t->in_job = text_task_start(&t->task, t->fe, &e) == 0;
	if (!t->in_job)
		call_end(t, &e);
}

static void start_text(struct text_call *t)
{
	struct text_size size = {.kind = TEXT_PROMPT, .bytes = t->body_len, .items = t->chat.messages_len};

	if (!t->error.status)
		t->model = model_find(t->fe, t->model_name, &t->error);
	if (!t->model) {
		call_end(t, &t->error);
		return;
	}
	t->model->users++;
	t->context_max = t->model->context_max;
	t->state = CALL_TEXT;
	size.kind = t->detokenize ? TEXT_IDS : t->chat.messages ? TEXT_CHAT : TEXT_PROMPT;
	start_job(t, size);
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
	*t = (struct text_call){.fe = fe, .x = x, .detokenize = detokenize, .arrived_us = env_now_us(fe->env)};
	arena_init(&t->arena, REQUEST_ARENA_BYTES_MAX);
	buf_init(&t->out, REQUEST_ARENA_BYTES_MAX);
	list_add_tail(&fe->text_calls, &t->link);
	frontend_request_begun(fe);
	http_set_ops(x, &ops, t);
	api_request_id(fe, x, id, sizeof id);
	t->body_counted = http_body_take(x, &t->body);
	t->body_len = t->body.len;
	fe->body_bytes += t->body.len;
	if (demands_read(&t->demands, fe, x, &t->arena, &t->error) < 0) {
		call_end(t, &t->error);
	} else if (!api_json_is_cheap(buf_str(&t->body), t->body_len)) {
		t->tree_is_large = true;
		start_job(t, (struct text_size){.kind = TEXT_PARSE, .bytes = t->body_len});
	} else {
		work_parse(t);
		start_text(t);
	}
}

void text_api_fail_all(struct frontend *fe, const struct api_error *e)
{
	list_foreach_safe(it, &fe->text_calls)
	{
		struct text_call *t = list_entry(it, struct text_call, link);
		if (t->x)
			call_end(t, e);
	}
}

void text_api_tokenize(struct frontend *fe, struct http_exchange *x)
{
	start(fe, x, false);
}

void text_api_detokenize(struct frontend *fe, struct http_exchange *x)
{
	start(fe, x, true);
}
