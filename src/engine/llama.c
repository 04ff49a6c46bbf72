#include "engine/llama.h"

#include "base/limits.h"
#include "base/rng.h"
#include "base/vec.h"
#include "llama/draws.h"
#include "llama/vocab.h"
#include "model/name.h"
#include "model/refusal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* One draw of a step. */
struct pending {
	uint32_t item;
	struct ll_sampling sampling;
};

/* Items of a batch that are computed together; the n-th is the n-th run. */
struct group {
	const uint32_t *items;
	uint32_t count;
};

struct llama_engine {
	struct engine base;
	struct engine_info info;
	struct ll_model *model;
	struct ll_context *context;
	struct ll_draws *draws;
	const struct ll_vocab *vocab;
	char shown[80]; /* what people call the model */
	struct ll_run *runs; /* info.seqs of them: a batch has at most one item a sequence */
	uint32_t *items; /* as many: those computed together */
	struct pending *pending; /* as many: the draws of a group */
	struct ll_draw_in *ins;
	struct ll_draw *drawn;
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
static int roll_back(struct llama_engine *l, const struct engine_batch *b, int code)
{
	for (uint32_t i = 0; i < b->items_count; i++)
		if (ll_seq_len(l->context, b->items[i].seq) > b->items[i].pos &&
			ll_seq_trim(l->context, b->items[i].seq, b->items[i].pos, NULL) < 0)
			return -EIO; /* a state that cannot go back */
	return code;
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

/* What the n-th draw of a group needs. Asked for all rows before any is drawn: llama.cpp may put them in order when the first is. */
static int prepare(struct llama_engine *l, const struct engine_batch *b, const struct group *g, uint32_t run,
	uint32_t n, struct err *err)
{
	uint32_t i = g->items[run];
	const struct engine_item *it = &b->items[i];
	struct pending *p = &l->pending[n];

	*p = (struct pending){i, to_ll(l, it)};
	l->ins[n] = (struct ll_draw_in){
		.logits = ll_logits(l->context, run),
		.sampling = &p->sampling,
		.history = it->history,
		.history_len = it->history_len,
		.prompt_len = it->prompt_len,
		.key = rng_keyed_u64(it->sampling->seed, it->history_len),
		.logprobs = it->logprobs,
		.top = MIN(it->top, (uint32_t)ENGINE_TOP_MAX),
	};
	if (!l->ins[n].logits)
		return err_set(err, -EIO, "llama.cpp has no logits for sequence %u", it->seq);
	return 0;
}

static void hand_out(const struct llama_engine *l, const struct ll_draw *drawn, struct engine_out *ret)
{
	*ret = (struct engine_out){
		.token = drawn->token,
		.eog = ll_vocab_is_eog(l->vocab, drawn->token),
		.logprob = drawn->logprob,
		.top_count = drawn->top_count,
	};
	memcpy(ret->top_tokens, drawn->top_tokens, sizeof *ret->top_tokens * drawn->top_count);
	memcpy(ret->top_logprobs, drawn->top_logprobs, sizeof *ret->top_logprobs * drawn->top_count);
}
_Static_assert((int)ENGINE_TOP_MAX <= (int)LL_TOP_MAX, "a draw holds all that a request may ask for");

static int draw(struct llama_engine *l, const struct engine_batch *b, const struct group *g, struct engine_out *outs,
	struct err *err)
{
	uint32_t count = 0;

	for (uint32_t run = 0; run < g->count; run++) {
		bool want = b->items[g->items[run]].want;
		int r = want ? prepare(l, b, g, run, count, err) : 0;
		if (r < 0)
			return r;
		count += want;
	}
	if (count)
		ll_draws_run(l->draws, l->ins, l->drawn, count);
	for (uint32_t n = 0; n < count; n++)
		hand_out(l, &l->drawn[n], &outs[l->pending[n].item]);
	return 0;
}

static int compute(struct llama_engine *l, const struct engine_batch *b, const struct group *g, struct engine_out *outs,
	struct err *err)
{
	for (uint32_t run = 0; run < g->count; run++) {
		const struct engine_item *it = &b->items[g->items[run]];
		l->runs[run] = (struct ll_run){
			.seq = it->seq,
			.pos = it->pos,
			.count = it->count,
			.tokens = it->tokens,
			.want = it->want,
		};
	}
	int r = ll_decode(l->context, l->runs, g->count, err);
	return r < 0 ? r : draw(l, b, g, outs, err);
}

/* Those that are alone one after another, all the others together. */
static int compute_all(struct llama_engine *l, const struct engine_batch *b, struct engine_out *outs, struct err *err)
{
	struct group together = {.items = l->items};
	int r = 0;

	if (b->items_count > l->info.seqs)
		return err_set(
			err, -EINVAL, "a batch of %u runs; the context has %u sequences", b->items_count, l->info.seqs);
	for (uint32_t i = 0; i < b->items_count; i++)
		if (!b->items[i].alone)
			l->items[together.count++] = i;
	if (together.count)
		r = compute(l, b, &together, outs, err);
	for (uint32_t i = 0; i < b->items_count && r == 0; i++)
		if (b->items[i].alone)
			r = compute(l, b, &(struct group){&i, 1}, outs, err);
	return r < 0 ? roll_back(l, b, r) : 0;
}

static int step(struct engine *e, const struct engine_batch *b, struct engine_result *ret, struct err *err)
{
	struct llama_engine *l = of(e);
	uint64_t begin_us = clock_us();
	int r = run_ops(l, b, err);

	if (r == 0 && b->items_count)
		r = compute_all(l, b, ret->outs, err);
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

	ll_draws_destroy(l->draws);
	ll_context_destroy(l->context);
	ll_model_destroy(l->model);
	vec_done(&l->eogs);
	free(l->runs);
	free(l->items);
	free(l->pending);
	free(l->ins);
	free(l->drawn);
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

static void name_take(struct llama_engine *l, const struct llama_config *config)
{
	char base[80];

	if (ll_model_meta(l->model, "general.basename", base, sizeof base) < 0)
		base[0] = '\0';
	model_shown_name(l->shown, sizeof l->shown, config->path, ll_model_facts(l->model)->name, base);
}

/* Refuse what cannot generate text, before the KV is paid for. */
static int check_model(
	const struct ll_model_facts *f, const char *name, const struct llama_config *config, struct err *err)
{
	if (!f->decoder)
		return err_set(err, -ENOTSUP,
			"model \"%s\" (%s) is an encoder: it makes embeddings and cannot generate text", name,
			f->file.arch);
	if (f->encoder)
		return err_set(err, -ENOTSUP,
			"model \"%s\" (%s) needs an encoder pass before it decodes, which is not supported", name,
			f->file.arch);
	if (config->context_max > f->ctx_train)
		return err_set(err, -EINVAL,
			"a context of %u tokens a request was asked for, but model \"%s\" was trained for %u; ask for "
			"%u or less",
			config->context_max, name, f->ctx_train, f->ctx_train);
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

/* "KV 180 MiB (8192 tokens)", "KV 12 MiB (8192 tokens) and 64 recurrent states of 2 MiB". */
static void describe_memory(char *ret, size_t cap, const struct ll_context_facts *c)
{
	uint64_t states = c->state_bytes_seq * c->seqs_max, kv = c->kv_bytes > states ? c->kv_bytes - states : 0;
	char cells[64], and[64] = "";

	if (c->cells < c->cells_wanted)
		snprintf(cells, sizeof cells, "%u tokens, all that memory holds of %u", c->cells, c->cells_wanted);
	else
		snprintf(cells, sizeof cells, "%u tokens", c->cells);
	bool small = c->state_bytes_seq < 1048576;
	if (states)
		snprintf(and, sizeof and, " and %u recurrent states of %.0f %s", c->seqs_max,
			(double)c->state_bytes_seq / (small ? 1024 : 1048576), small ? "KiB" : "MiB");
	snprintf(ret, cap, "KV %.0f MiB (%s)%s%s", (double)kv / 1048576, cells, and,
		c->whole_copy ? "" : ", no prompt is reused");
}

/* "Q4_1" of llama.cpp's "llama 256M Q4_1": its size is by its own table, and seldom the one in the model's name. */
static const char *weight_type(const char *desc, char *ret, size_t cap)
{
	const char *size = strchr(desc, ' '), *type = size ? strchr(size + 1, ' ') : NULL;

	snprintf(ret, cap, "%.*s", (int)cap - 1, type ? type + 1 : desc);
	return ret;
}

static void fill_info(struct llama_engine *l, const struct llama_config *config)
{
	const struct ll_model_facts *f = ll_model_facts(l->model);
	const struct ll_context_facts *c = ll_context_facts(l->context);
	struct engine_info *in = &l->info;
	uint32_t longest = MIN(f->ctx_train, c->cells), asked = config->context.cells;

	/* llama.cpp rounds cells up to 256; what was asked for bounds a request all the same. */
	longest = asked ? MIN(longest, asked) : longest;

	*in = (struct engine_info){
		.cells = c->cells,
		.seqs = c->seqs_max,
		.items_max = c->runs_max,
		.batch_tokens_max = c->batch_tokens_max,
		.context_max = config->context_max ? MIN(config->context_max, longest) : longest,
		.vocab = f->vocab,
		.kv_bytes = c->kv_bytes,
		.weight_bytes = f->weight_bytes,
		.kv_domain = XXH3_64bits_withSeed(c->layout, strlen(c->layout), f->file.fingerprint),
		.tokenizer_hash = f->file.vocab_hash,
		.prefix_copy = c->prefix_copy,
		.whole_copy = c->whole_copy,
		.exact = !c->cells_alike ? ENGINE_EXACT_NO
			 : c->rows_alike ? ENGINE_EXACT_ALWAYS
					 : ENGINE_EXACT_ALONE,
		.hand_off = c->prefix_copy,
	};
	snprintf(in->tokenizer, sizeof in->tokenizer, "%s", config->path);
	char memory[200];
	describe_memory(memory, sizeof memory, c);
	char type[40];
	snprintf(in->description, sizeof in->description, "%.60s, %.24s %.24s, weights %u MiB, %.96s, %u thread%s",
		l->shown, f->file.arch, weight_type(f->desc, type, sizeof type),
		(uint32_t)((f->weight_bytes + (1u << 19)) >> 20), memory, c->threads, c->threads == 1 ? "" : "s");
}

static int make_tables(struct llama_engine *l)
{
	uint32_t n = l->info.seqs;

	l->runs = calloc(n, sizeof *l->runs);
	l->items = calloc(n, sizeof *l->items);
	l->pending = calloc(n, sizeof *l->pending);
	l->ins = calloc(n, sizeof *l->ins);
	l->drawn = calloc(n, sizeof *l->drawn);
	return l->runs && l->items && l->pending && l->ins && l->drawn ? 0 : -ENOMEM;
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
	int r = refusal_check(config->path, err);
	if (r < 0 || (r = ll_model_load(&l->model, config->path, &params, err)) < 0)
		return r;
	l->vocab = ll_model_vocab(l->model);
	const struct ll_model_facts *facts = ll_model_facts(l->model);
	name_take(l, config);
	if ((r = check_model(facts, l->shown, config, err)) < 0)
		return r;
	if ((r = ll_context_create(&l->context, l->model, &config->context, err)) < 0)
		return err_wrap(err, "could not make room for model \"%s\"", l->shown);
	fill_info(l, config);
	if ((r = ll_draws_create(&l->draws, facts->vocab, MIN(ll_context_facts(l->context)->threads, l->info.seqs),
		     config->context.cpus, config->context.cpus_count, err)) < 0)
		return r;
	if (make_tables(l) < 0 || collect_eogs(l) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	ll_context_pin(l->context); /* after the threads that draw are there: they have all CPUs */
	*ret = TAKE(owned);
	return 0;
}
