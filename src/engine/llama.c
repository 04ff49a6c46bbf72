#include "engine/llama.h"

#include "base/limits.h"
#include "base/rng.h"
#include "base/vec.h"
#include "llama/sampler.h"
#include "llama/vocab.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct llama_engine {
	struct engine base;
	struct engine_info info;
	struct ll_model *model;
	struct ll_context *context;
	struct ll_sampler *sampler;
	const struct ll_vocab *vocab;
	struct ll_run *runs; /* info.seqs of them: a batch has at most one item a sequence */
	VEC(uint32_t) eogs; /* all end-of-generation tokens, for no_eog */
};

static struct llama_engine *of(struct engine *e)
{
	return CONTAINER_OF(e, struct llama_engine, base);
}

/* The real time a batch takes is what the scheduler learns from, so the engine measures it itself. */
static uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int run_ops(struct llama_engine *l, const struct engine_batch *b, struct err *err)
{
	for (uint32_t i = 0; i < b->ops_count; i++) {
		const struct engine_op *op = &b->ops[i];
		int r = op->kind == ENGINE_SEQ_COPY ? ll_seq_copy(l->context, op->src, op->dst, 0, op->count, err)
						    : ll_seq_trim(l->context, op->dst, op->count, err);
		if (r < 0)
			return err_wrap(err, "could not %s sequence %u to %u tokens",
				op->kind == ENGINE_SEQ_COPY ? "copy" : "trim", op->dst, op->count);
	}
	return 0;
}

/* After a failure in the middle of a batch some sequences hold more than the scheduler believes. Put them back. */
static void roll_back(struct llama_engine *l, const struct engine_batch *b)
{
	for (uint32_t i = 0; i < b->items_count; i++)
		if (ll_seq_len(l->context, b->items[i].seq) > b->items[i].pos)
			ll_seq_trim(l->context, b->items[i].seq, b->items[i].pos, NULL);
}

static int compute(struct llama_engine *l, const struct engine_batch *b, struct err *err)
{
	if (b->items_count > l->info.seqs)
		return err_set(
			err, -EINVAL, "a batch of %u runs; the context has %u sequences", b->items_count, l->info.seqs);
	for (uint32_t i = 0; i < b->items_count; i++) {
		const struct engine_item *it = &b->items[i];
		l->runs[i] = (struct ll_run){
			.seq = it->seq,
			.pos = it->pos,
			.count = it->count,
			.tokens = it->tokens,
			.want = it->want,
		};
	}
	int r = ll_decode(l->context, l->runs, b->items_count, err);
	if (r < 0 && r != -ENOSPC && r != -EINVAL)
		roll_back(l, b);
	return r;
}

/* engine.h says 0 for "off" or "all" throughout; llama/sampler.h has each step's neutral value. */
static struct ll_sampling to_ll(const struct llama_engine *l, const struct engine_item *it)
{
	const struct engine_sampling *s = it->sampling;
	struct ll_sampling ret = {
		.temperature = s->temperature,
		.top_k = s->top_k,
		.top_p = s->top_p > 0 ? s->top_p : 1,
		.min_p = s->min_p,
		.typical_p = s->typical_p > 0 ? s->typical_p : 1,
		.penalty_last_n = s->penalty_last_n ? s->penalty_last_n : UINT32_MAX,
		.repetition_penalty = s->repetition_penalty > 0 ? s->repetition_penalty : 1,
		.presence_penalty = s->presence_penalty,
		.frequency_penalty = s->frequency_penalty,
		.bias_tokens = s->bias_tokens,
		.bias_values = s->bias_values,
		.bias_count = s->bias_count,
	};

	if (it->no_eog) {
		ret.banned = l->eogs.v;
		ret.banned_count = l->eogs.len;
	}
	return ret;
}

static int draw(
	struct llama_engine *l, const struct engine_item *it, uint32_t i, struct engine_out *ret, struct err *err)
{
	struct ll_sampling sampling = to_ll(l, it);
	struct ll_draw drawn;
	struct ll_draw_in in = {
		.logits = ll_logits(l->context, i),
		.sampling = &sampling,
		.history = it->history,
		.history_len = it->history_len,
		.key = rng_keyed_u64(it->sampling->seed, it->history_len),
		.logprobs = it->logprobs,
		.top = MIN(it->top, (uint32_t)ENGINE_TOP_MAX),
	};

	if (!in.logits)
		return err_set(err, -EIO, "llama.cpp has no logits for sequence %u", it->seq);
	ll_sampler_draw(l->sampler, &in, &drawn);
	*ret = (struct engine_out){
		.token = drawn.token,
		.eog = ll_vocab_is_eog(l->vocab, drawn.token),
		.logprob = drawn.logprob,
		.top_count = drawn.top_count,
	};
	memcpy(ret->top_tokens, drawn.top_tokens, sizeof *ret->top_tokens * drawn.top_count);
	memcpy(ret->top_logprobs, drawn.top_logprobs, sizeof *ret->top_logprobs * drawn.top_count);
	return 0;
}
_Static_assert((int)ENGINE_TOP_MAX <= (int)LL_TOP_MAX, "a draw holds all that a request may ask for");

static int step(struct engine *e, const struct engine_batch *b, struct engine_result *ret, struct err *err)
{
	struct llama_engine *l = of(e);
	uint64_t begin_us = clock_us();
	int r = run_ops(l, b, err);

	if (r == 0 && b->items_count)
		r = compute(l, b, err);
	for (uint32_t i = 0; r == 0 && i < b->items_count; i++)
		if (b->items[i].want)
			r = draw(l, &b->items[i], i, &ret->outs[i], err);
	ret->duration_us = clock_us() - begin_us;
	return r;
}

static const struct engine_info *info(const struct engine *e)
{
	return &CONTAINER_OF(e, const struct llama_engine, base)->info;
}

static bool is_eog(const struct engine *e, uint32_t token)
{
	return ll_vocab_is_eog(CONTAINER_OF(e, const struct llama_engine, base)->vocab, token);
}

static void destroy(struct engine *e)
{
	struct llama_engine *l = of(e);

	ll_sampler_destroy(l->sampler);
	ll_context_destroy(l->context);
	ll_model_destroy(l->model);
	vec_done(&l->eogs);
	free(l->runs);
	free(l);
}
DEFINE_CLEANUP(engine_destroy, struct engine)

static const struct engine_ops llama_ops = {
	.name = "llama",
	.info = info,
	.step = step,
	.is_eog = is_eog,
	.destroy = destroy,
};

/* Refuse what cannot generate text, before the KV is paid for. */
static int check_model(const struct ll_model_facts *f, const struct llama_config *config, struct err *err)
{
	if (!f->decoder)
		return err_set(err, -ENOTSUP,
			"model \"%s\" (%s) is an encoder: it makes embeddings and cannot generate text", f->name,
			f->file.arch);
	if (f->encoder)
		return err_set(err, -ENOTSUP,
			"model \"%s\" (%s) needs an encoder pass before it decodes, which is not supported", f->name,
			f->file.arch);
	if (config->context_max > f->ctx_train)
		return err_set(err, -EINVAL,
			"a context of %u tokens a request was asked for, but model \"%s\" was trained for %u; ask for "
			"%u or less",
			config->context_max, f->name, f->ctx_train, f->ctx_train);
	return 0;
}

static int collect_eogs(struct llama_engine *l)
{
	uint32_t vocab = ll_vocab_size(l->vocab);

	for (uint32_t id = 0; id < vocab; id++)
		if (ll_vocab_is_eog(l->vocab, id) && vec_push(&l->eogs, id) < 0)
			return -ENOMEM;
	return 0;
}

static void fill_info(struct llama_engine *l, const struct llama_config *config)
{
	const struct ll_model_facts *f = ll_model_facts(l->model);
	const struct ll_context_facts *c = ll_context_facts(l->context);
	struct engine_info *in = &l->info;
	uint32_t longest = MIN(f->ctx_train, c->cells);

	*in = (struct engine_info){
		.cells = c->cells,
		.seqs = c->seqs_max,
		.batch_tokens_max = c->batch_tokens_max,
		.context_max = config->context_max ? MIN(config->context_max, longest) : longest,
		.vocab = f->vocab,
		.kv_bytes = c->kv_bytes,
		.weight_bytes = f->weight_bytes,
		.kv_domain = XXH3_64bits_withSeed(c->layout, strlen(c->layout), f->file.fingerprint),
		.tokenizer_hash = f->file.vocab_hash,
		.prefix_copy = c->prefix_copy,
		.hand_off = c->prefix_copy,
	};
	snprintf(in->tokenizer, sizeof in->tokenizer, "%s", config->path);
	char cells[80];
	if (c->cells < c->cells_wanted)
		snprintf(cells, sizeof cells, "%u tokens, all that memory holds of %u", c->cells, c->cells_wanted);
	else
		snprintf(cells, sizeof cells, "%u tokens", c->cells);
	snprintf(in->description, sizeof in->description,
		"%.80s, %.48s, weights %.0f MiB, KV %.0f MiB (%s), %u thread%s", f->name, f->desc,
		(double)f->weight_bytes / 1048576, (double)c->kv_bytes / 1048576, cells, c->threads,
		c->threads == 1 ? "" : "s");
}

int llama_engine_create(struct engine **ret, const struct llama_config *config, struct err *err)
{
	struct llama_engine *l = calloc(1, sizeof *l);
	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->base.ops = &llama_ops;
	CLEANUP(engine_destroy_p) struct engine *owned = &l->base;

	struct ll_model_params params = {
		.no_mmap = config->no_mmap,
		.gpu_layers = config->gpu_layers,
		.progress = config->progress,
		.progress_ctx = config->progress_ctx,
	};
	int r = ll_model_load(&l->model, config->path, &params, err);
	if (r < 0)
		return r;
	l->vocab = ll_model_vocab(l->model);
	const struct ll_model_facts *facts = ll_model_facts(l->model);
	if ((r = check_model(facts, config, err)) < 0)
		return r;
	if ((r = ll_context_create(&l->context, l->model, &config->context, err)) < 0)
		return err_wrap(err, "could not make room for model \"%s\"", facts->name);
	if ((r = ll_sampler_create(&l->sampler, facts->vocab, err)) < 0)
		return r;
	fill_info(l, config);
	l->runs = calloc(l->info.seqs, sizeof *l->runs);
	if (!l->runs || collect_eogs(l) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	*ret = TAKE(owned);
	return 0;
}
