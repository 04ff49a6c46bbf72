/* local.c - one request on a model in this process; see local.h. */
#include "cli/local.h"
#include "base/limits.h"
#include "engine/llama.h"
#include "model/refusal.h"
#include "text/detok.h"
#include "text/template.h"
#include "worker/sched.h"

#include <string.h>
#include <time.h>

enum { LOCAL_SEQS = 4, ANSWER_PIECE_BYTES_MAX = 1024 * 1024, REQUEST_ID = 1 };

DEFINE_CLEANUP(chat_template_destroy, struct chat_template)

struct local {
	const struct local_request *in;
	const struct local_ops *ops;
	void *ctx;
	struct tokenizer *tokenizer;
	struct tokens prompt;
	struct engine *engine;
	struct sched *sched;
	struct detok detok;
	struct buf text;
	struct local_result *ret;
	bool ended, unwanted;
	struct err end_err; /* why it was refused or failed; code 0: it was not */
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int prompt_raw(struct local *l, struct err *err)
{
	/* A prompt that was asked for raw may have a template applied; a model without one does not make text raw. */
	unsigned flags = TOKENIZE_BOS_EOS | (l->in->raw ? TOKENIZE_SPECIAL : 0u);

	return tokenizer_encode(l->tokenizer, l->in->prompt, l->in->prompt_len, flags, TOKENS_MAX, &l->prompt, err);
}

/* With the model's chat template; -ENOENT when it has none. */
static int prompt_chat(struct local *l, struct err *err)
{
	CLEANUP(chat_template_destroy_p) struct chat_template *t = NULL;
	struct ll_message messages[2];
	struct chat_request request = {.messages = messages, .tokens_max = TOKENS_MAX};
	const struct chat_template_params params = {.source = l->in->chat_template};
	int r = chat_template_load(&t, l->tokenizer, &params, err);

	if (r < 0)
		return r;
	if (l->in->system)
		messages[request.message_count++] = (struct ll_message){
			.role = "system", .content = l->in->system, .content_len = strlen(l->in->system)};
	messages[request.message_count++] =
		(struct ll_message){.role = "user", .content = l->in->prompt, .content_len = l->in->prompt_len};
	return chat_render(t, &request, &l->prompt, err);
}

static int prompt_make(struct local *l, struct err *err)
{
	int r = refusal_check(l->in->model, err);

	if (r < 0 || (r = tokenizer_load(&l->tokenizer, l->in->model, err)) < 0)
		return r;
	if (!l->in->raw) {
		r = prompt_chat(l, err);
		if (r == -ENOENT && l->in->system)
			return err_set(err, -ENOTSUP,
				"the model has no chat template, so a system message has no place; put its text before "
				"the prompt");
		if (r != -ENOENT)
			return r;
		err_clear(err);
	}
	return prompt_raw(l, err);
}

static bool on_progress(void *ctx, float done)
{
	const struct local *l = ctx;

	l->ops->on_progress(l->ctx, done);
	return !l->ops->stop_wanted(l->ctx);
}

static int engine_load(struct local *l, struct err *err)
{
	uint32_t answer = l->in->max_tokens ? l->in->max_tokens : LOCAL_ANSWER_TOKENS;
	const struct llama_config config = {.path = l->in->model,
		.context = {.cells = l->in->context_length ? l->in->context_length : l->prompt.len + answer,
			.seqs_max = LOCAL_SEQS,
			.flash_attention = true,
			.threads = l->in->threads},
		.gpu_layers = -1,
		.progress = on_progress,
		.progress_ctx = l};
	const struct sched_config sched_config = {.block_size = 64};
	int r = llama_engine_create(&l->engine, &config, err);

	if (r < 0)
		return r;
	memcpy(l->ret->description, engine_info(l->engine)->description, sizeof l->ret->description);
	return sched_create(&l->sched, engine_info(l->engine), &sched_config, err);
}

static void token_take(struct local *l, uint32_t token)
{
	l->ret->tokens++;
	buf_reset(&l->text);
	if (detok_push(&l->detok, token, &l->text) == 0 && l->text.len > 0 && !l->unwanted)
		l->unwanted = !l->ops->on_text(l->ctx, l->text.data, l->text.len);
}

static void done_take(struct local *l, const struct sched_done *done)
{
	l->ended = true;
	l->ret->reason = done->reason;
	l->ret->prefill_us = done->prefill_us;
	l->ret->decode_us = done->decode_us;
	if (done->reason == MSG_REASON_REFUSED || done->reason == MSG_REASON_FAILED)
		err_set(&l->end_err, done->code < 0 ? done->code : -EIO, "%s", done->error);
	buf_reset(&l->text);
	if (detok_finish(&l->detok, &l->text) == 0 && l->text.len > 0 && !l->unwanted)
		l->ops->on_text(l->ctx, l->text.data, l->text.len);
}

static void outbox_take(struct local *l)
{
	struct sched_outbox out = sched_outbox(l->sched);

	for (uint32_t i = 0; i < out.tokens_count; i++)
		token_take(l, out.tokens[i].token);
	for (uint32_t i = 0; i < out.dones_count; i++)
		done_take(l, &out.dones[i]);
	sched_outbox_clear(l->sched);
}

static int step(struct local *l, struct err *err)
{
	const struct engine_batch *batch = sched_compose(l->sched, now_us());
	int r = 0;

	if (batch) {
		r = engine_step(l->engine, batch, sched_result(l->sched), err);
		r = sched_apply(l->sched, now_us(), r, err);
	}
	outbox_take(l);
	if (r == 0 && !batch && !l->ended)
		return err_set(err, -EIO, "the scheduler has nothing to do, yet the request has not ended");
	return r;
}

static int generate(struct local *l, struct err *err)
{
	const struct sched_request request = {.id = REQUEST_ID,
		.tokens = l->prompt.v,
		.tokens_count = l->prompt.len,
		.prompt_len = l->prompt.len,
		.max_tokens = l->in->max_tokens,
		.ignore_eos = l->in->ignore_eos,
		.kv_seed = 1,
		.sampling = l->in->sampling};
	int r = sched_admit(l->sched, now_us(), &request);

	if (r < 0)
		return err_set(err, r, "out of memory");
	outbox_take(l);
	while (!l->ended && r == 0) {
		if (l->unwanted || l->ops->stop_wanted(l->ctx)) {
			sched_cancel(l->sched, now_us(), REQUEST_ID);
			outbox_take(l);
		}
		if (!l->ended)
			r = step(l, err);
	}
	if (r == 0 && l->end_err.code < 0) {
		if (err)
			*err = l->end_err;
		return l->end_err.code;
	}
	return r;
}

static void local_done(struct local *l)
{
	if (l->sched)
		sched_destroy(l->sched);
	engine_destroy(l->engine);
	detok_done(&l->detok);
	buf_done(&l->text);
	vec_done(&l->prompt);
	tokenizer_destroy(l->tokenizer);
}

int local_answer(struct local_result *ret, const struct local_request *in, const struct local_ops *ops, void *ctx,
	struct err *err)
{
	struct local l = {.in = in, .ops = ops, .ctx = ctx, .ret = ret};
	uint64_t start_us = now_us();
	int r;

	*ret = (struct local_result){0};
	buf_init(&l.text, ANSWER_PIECE_BYTES_MAX);
	if ((r = prompt_make(&l, err)) == 0 && (r = engine_load(&l, err)) == 0) {
		ret->prompt_tokens = l.prompt.len;
		ret->load_us = now_us() - start_us;
		detok_init(&l.detok, l.tokenizer, !in->raw);
		r = generate(&l, err);
	}
	local_done(&l);
	return r;
}
