#include "engine/mock.h"
#include "base/limits.h"
#include "base/rng.h"
#include "kv/cells.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* The hash of a prompt costs O(prompt), so it is kept per sequence between the tokens of one answer. */
struct mock_seq {
	uint64_t prompt_hash;
	uint32_t prompt_len;
	bool hashed;
	uint64_t step; /* whose batch it was last in */
};
struct mock {
	struct engine base;
	struct engine_info info;
	struct mock_config config;
	struct kv_cells cells;
	struct mock_seq *seqs;
	uint32_t *tokens; /* with verify: what each cell holds */
	uint64_t step;
};

/* ---- the tokens ---- */

enum { WORD_BYTES = 8 };
/* Seven letters and a space: so the byte at any position is found without the ones before it. */
static const char words[][WORD_BYTES + 1] = {"balance ", "battery ", "between ", "brought ", "captain ", "carried ",
	"century ", "circuit ", "compass ", "concert ", "copper, ", "country ", "current ", "digital ", "distant ",
	"dynamic ", "eastern ", "element ", "evening ", "factory ", "feather ", "finding ", "forward ", "freedom ",
	"gravity ", "harbour ", "harvest ", "history ", "horizon ", "journey ", "kingdom ", "lantern ", "library ",
	"machine ", "magnet, ", "measure ", "message ", "morning ", "natural ", "network ", "nothing ", "observe ",
	"outside ", "passage ", "pattern ", "picture ", "quarter ", "quickly ", "railway ", "reading ", "silence ",
	"station ", "stator, ", "stories ", "through ", "traffic ", "travels ", "turning ", "village ", "voltage ",
	"weather ", "winding ", "without ", "written "};
_Static_assert(ARRAY_LEN(words) == 64, "a word is chosen by six bits");

static uint64_t prompt_hash(const uint32_t *prompt, uint32_t len)
{
	return XXH3_64bits_withSeed(prompt, (size_t)len * sizeof *prompt, 0x57a702);
}

static uint32_t text_token(const struct mock_config *c, uint64_t key, uint32_t at)
{
	if (c->vocab) {
		uint32_t id = (uint32_t)(rng_keyed_u64(key, at) % (c->vocab - 1));
		return id >= c->eog_token ? id + 1 : id;
	}
	return (uint8_t)words[rng_keyed_u64(key, at / WORD_BYTES) % 64][at % WORD_BYTES];
}

static uint32_t eog_token(const struct mock_config *c)
{
	return c->vocab ? c->eog_token : BYTE_EOS;
}

/* at: how many tokens of the answer come before. */
static uint32_t token_at(const struct mock_config *c, uint64_t key, uint32_t at, bool no_eog)
{
	uint32_t end = c->answer_min + (uint32_t)(rng_keyed_u64(key, UINT64_MAX) % (c->answer_max - c->answer_min + 1));

	return at >= end && !no_eog ? eog_token(c) : text_token(c, key, at);
}

static uint64_t answer_key(uint64_t hash, bool sampled, uint64_t seed)
{
	return sampled ? rng_keyed_u64(hash, seed) : hash;
}

uint32_t mock_token(const struct mock_config *config, const uint32_t *prompt, uint32_t prompt_len, uint32_t history_len,
	bool sampled, uint64_t seed, bool no_eog)
{
	struct mock_config c = *config;

	if (!c.answer_max)
		c.answer_min = 16, c.answer_max = 256;
	uint64_t key = answer_key(prompt_hash(prompt, prompt_len), sampled, seed);
	return token_at(&c, key, history_len - prompt_len, no_eog);
}

static void draw(struct mock *m, const struct engine_item *it, struct engine_out *out)
{
	struct mock_seq *s = &m->seqs[it->seq];

	if (!s->hashed || s->prompt_len != it->prompt_len || it->pos < it->prompt_len) {
		s->prompt_hash = prompt_hash(it->history, it->prompt_len);
		s->prompt_len = it->prompt_len;
		s->hashed = true;
	}
	uint64_t key = answer_key(s->prompt_hash, it->sampling->temperature > 0, it->sampling->seed);
	uint32_t at = it->history_len - it->prompt_len;
	*out = (struct engine_out){.token = token_at(&m->config, key, at, it->no_eog)};
	out->eog = out->token == eog_token(&m->config);
	if (!it->logprobs)
		return;
	/* The chosen token first, then its neighbours, each less likely. */
	out->logprob = -(float)rng_keyed_unit(key ^ 1, at);
	out->top_count = MIN(it->top, (uint32_t)ENGINE_TOP_MAX);
	for (uint32_t i = 0; i < out->top_count; i++) {
		out->top_tokens[i] = (out->token + i) % m->info.vocab;
		out->top_logprobs[i] = out->logprob - (float)i;
	}
}

/* ---- the rules ---- */

static int check_op(const struct mock *m, uint32_t i, const struct engine_op *op, struct err *err)
{
	const struct kv_cells *c = &m->cells;

	if (op->dst >= c->seqs || (op->kind == ENGINE_SEQ_COPY && op->src >= c->seqs))
		return err_set(err, -EINVAL, "op %u: sequence out of range [0, %u)", i, c->seqs);
	if (op->kind == ENGINE_SEQ_TRIM) {
		if (op->count > kv_cells_len(c, op->dst))
			return err_set(err, -EINVAL, "op %u: trims sequence %u to %u cells, it holds %u", i, op->dst,
				op->count, kv_cells_len(c, op->dst));
		if ((m->config.no_copy || m->config.whole_copy) && op->count)
			return err_set(err, -EINVAL, "op %u: this model cannot keep a part of a sequence", i);
		return 0;
	}
	if (m->config.no_copy)
		return err_set(err, -EINVAL, "op %u: this model cannot copy sequences", i);
	if (op->src == op->dst || kv_cells_len(c, op->dst))
		return err_set(err, -EINVAL, "op %u: copies into sequence %u, which is not empty", i, op->dst);
	if (op->count > kv_cells_len(c, op->src))
		return err_set(err, -EINVAL, "op %u: copies %u cells of sequence %u, it holds %u", i, op->count,
			op->src, kv_cells_len(c, op->src));
	if (m->config.whole_copy && op->count != kv_cells_len(c, op->src))
		return err_set(err, -EINVAL,
			"op %u: copies %u of the %u cells of sequence %u, whose state cannot go back", i, op->count,
			kv_cells_len(c, op->src), op->src);
	return 0;
}

static int do_ops(struct mock *m, const struct engine_batch *batch, struct err *err)
{
	for (uint32_t i = 0; i < batch->ops_count; i++) {
		const struct engine_op *op = &batch->ops[i];
		int r = check_op(m, i, op, err);
		if (r < 0)
			return r;
		m->seqs[op->dst].hashed = false;
		if (op->kind == ENGINE_SEQ_TRIM)
			kv_cells_trim(&m->cells, op->dst, op->count);
		else if ((r = kv_cells_copy(&m->cells, op->src, op->dst, op->count)) < 0)
			return err_set(err, r, "out of memory");
	}
	return 0;
}

static int check_want(const struct engine_item *it, uint32_t i, struct err *err)
{
	if (!it->sampling || !it->history)
		return err_set(err, -EINVAL, "item %u: a token is wanted without sampling or history", i);
	if (it->history_len != it->pos + it->count || !it->prompt_len || it->prompt_len > it->history_len)
		return err_set(err, -EINVAL,
			"item %u: a history of %u (prompt %u) ends elsewhere than position %u + %u", i, it->history_len,
			it->prompt_len, it->pos, it->count);
	return 0;
}

static int check_history(const struct mock *m, const struct engine_item *it, uint32_t i, struct err *err)
{
	for (uint32_t p = 0; p < it->pos; p++)
		if (m->tokens[m->cells.seq[it->seq].cells.v[p]] != it->history[p])
			return err_set(
				err, -EINVAL, "item %u: sequence %u holds another token at position %u", i, it->seq, p);
	if (memcmp(it->history + it->pos, it->tokens, sizeof *it->tokens * it->count))
		return err_set(err, -EINVAL, "item %u: its tokens are not the end of its history", i);
	return 0;
}

static int check_item(struct mock *m, uint32_t i, const struct engine_item *it, struct err *err)
{
	if (it->seq >= m->cells.seqs)
		return err_set(err, -EINVAL, "item %u: sequence %u out of range [0, %u)", i, it->seq, m->cells.seqs);
	if (m->seqs[it->seq].step == m->step)
		return err_set(err, -EINVAL, "item %u: sequence %u is there twice", i, it->seq);
	m->seqs[it->seq].step = m->step;
	if (!it->count)
		return err_set(err, -EINVAL, "item %u has no tokens", i);
	if (it->pos != kv_cells_len(&m->cells, it->seq))
		return err_set(err, -EINVAL, "item %u: position %u, but sequence %u holds %u cells", i, it->pos,
			it->seq, kv_cells_len(&m->cells, it->seq));
	if (it->count > m->info.context_max - it->pos)
		return err_set(err, -EINVAL, "item %u: position %u + %u is past the context of %u", i, it->pos,
			it->count, m->info.context_max);
	for (uint32_t t = 0; t < it->count; t++)
		if (it->tokens[t] >= m->info.vocab)
			return err_set(err, -EINVAL, "item %u: token %u out of range [0, %u)", i, it->tokens[t],
				m->info.vocab);
	int r = it->want ? check_want(it, i, err) : 0;
	return r == 0 && it->want && m->config.verify ? check_history(m, it, i, err) : r;
}

static int check_items(struct mock *m, const struct engine_batch *batch, struct err *err)
{
	uint64_t tokens = 0;

	for (uint32_t i = 0; i < batch->items_count; i++) {
		int r = check_item(m, i, &batch->items[i], err);
		if (r < 0)
			return r;
		tokens += batch->items[i].count;
	}
	if (tokens > m->info.batch_tokens_max)
		return err_set(err, -EINVAL, "a batch of %llu tokens is larger than %u", (unsigned long long)tokens,
			m->info.batch_tokens_max);
	if (tokens > m->cells.free_count)
		return err_set(
			err, -ENOSPC, "%llu cells wanted, %u free", (unsigned long long)tokens, m->cells.free_count);
	return 0;
}

/* ---- the engine ---- */

static int compute(struct mock *m, const struct engine_item *it, struct engine_out *out, struct err *err)
{
	struct kv_cells_seq *s = &m->cells.seq[it->seq];

	if (it->pos < it->prompt_len || !it->want)
		m->seqs[it->seq].hashed = false;
	if (kv_cells_append(&m->cells, it->seq, it->count) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t t = 0; m->config.verify && t < it->count; t++)
		m->tokens[s->cells.v[it->pos + t]] = it->tokens[t];
	if (it->want)
		draw(m, it, out);
	return 0;
}

static const uint64_t HANG_US = 1000 * 3600ull * 1000000;

static void sleep_us(uint64_t us)
{
	struct timespec left = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

	while (us && clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

int mock_fault_parse(const char *name, enum mock_fault *ret)
{
	static const char *const names[] = {"none", "error", "hang", "crash", "garbage"};

	for (uint32_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i])) {
			*ret = (enum mock_fault)i;
			return 0;
		}
	return -EINVAL;
}

/* Before the step computes. */
static int go_wrong(const struct mock *m, struct err *err)
{
	switch (m->config.fault) {
	case MOCK_FAULT_ERROR:
		return err_set(err, -EIO, "step %llu fails as configured", (unsigned long long)m->step);
	case MOCK_FAULT_CRASH:
		abort();
	default:
		return 0;
	}
}

static int mock_step(struct engine *e, const struct engine_batch *batch, struct engine_result *ret, struct err *err)
{
	struct mock *m = CONTAINER_OF(e, struct mock, base);

	m->step++;
	bool is_wrong = m->config.fault && m->step > m->config.fault_after;
	int r = is_wrong ? go_wrong(m, err) : 0;
	if (r < 0)
		return r;
	r = do_ops(m, batch, err);
	if (r < 0)
		return r;
	if (m->config.fail_nospace_every && m->step % m->config.fail_nospace_every == 0)
		return err_set(err, -ENOSPC, "step %llu fails as configured", (unsigned long long)m->step);
	r = check_items(m, batch, err);
	if (r < 0)
		return r;
	/* Before the items: the model is over the state that the batch meets. */
	ret->duration_us = timing_model_us(&m->config.timing, batch, m->step);
	for (uint32_t i = 0; i < batch->items_count && r == 0; i++)
		r = compute(m, &batch->items[i], &ret->outs[i], err);
	if (is_wrong && m->config.fault == MOCK_FAULT_HANG)
		ret->duration_us = HANG_US;
	for (uint32_t i = 0; i < batch->items_count && is_wrong && m->config.fault == MOCK_FAULT_GARBAGE; i++)
		ret->outs[i].token = UINT32_MAX - i;
	if (m->config.real_time)
		sleep_us(ret->duration_us);
	return r;
}

static const struct engine_info *mock_info(const struct engine *e)
{
	return &CONTAINER_OF(e, const struct mock, base)->info;
}

static bool mock_is_eog(const struct engine *e, uint32_t token)
{
	return token == eog_token(&CONTAINER_OF(e, const struct mock, base)->config);
}

static void mock_destroy(struct engine *e)
{
	struct mock *m = CONTAINER_OF(e, struct mock, base);

	kv_cells_done(&m->cells);
	free(m->seqs);
	free(m->tokens);
	free(m);
}

static const struct engine_ops mock_ops = {
	.name = "mock", .info = mock_info, .step = mock_step, .is_eog = mock_is_eog, .destroy = mock_destroy};

static void set_defaults(struct mock_config *c)
{
	c->cells = c->cells ? c->cells : 32768;
	c->seqs = c->seqs ? c->seqs : SEQS_MAX;
	c->batch_tokens_max = c->batch_tokens_max ? c->batch_tokens_max : 2048;
	c->context_max = c->context_max ? c->context_max : c->cells;
	if (!c->answer_max)
		c->answer_min = 16, c->answer_max = 256;
}

static int check_config(const struct mock_config *c, struct err *err)
{
	if (c->seqs > MOCK_SEQS_MAX)
		return err_set(err, -EINVAL, "%u sequences; at most %d", c->seqs, MOCK_SEQS_MAX);
	if (c->batch_tokens_max < 2)
		return err_set(err, -EINVAL, "a batch of %u tokens; at least 2", c->batch_tokens_max);
	if (c->answer_min > c->answer_max)
		return err_set(err, -EINVAL, "answers of %u to %u tokens", c->answer_min, c->answer_max);
	if (c->vocab && (c->vocab < 2 || c->eog_token >= c->vocab))
		return err_set(err, -EINVAL, "end token %u of a vocabulary of %u", c->eog_token, c->vocab);
	return 0;
}

static void fill_info(struct mock *m)
{
	const struct mock_config *c = &m->config;

	m->info = (struct engine_info){.cells = c->cells,
		.seqs = c->seqs,
		.batch_tokens_max = c->batch_tokens_max,
		.context_max = MIN(c->context_max, c->cells),
		.vocab = c->vocab ? c->vocab : BYTE_VOCAB,
		.tokenizer_hash = c->tokenizer_hash,
		.exact = ENGINE_EXACT_ALWAYS,
		.prefix_copy = !c->no_copy && !c->whole_copy,
		.whole_copy = c->whole_copy && !c->no_copy,
		.virtual_time = !c->real_time};
	m->info.kv_domain = XXH3_64bits_withSeed("mock", 4, m->info.tokenizer_hash);
	snprintf(m->info.tokenizer, sizeof m->info.tokenizer, "%s", c->vocab ? c->tokenizer : "byte");
	snprintf(m->info.description, sizeof m->info.description, "mock, %u cells, %u sequence%s", c->cells, c->seqs,
		c->seqs == 1 ? "" : "s");
}

int mock_engine_create(struct engine **ret, const struct mock_config *config, struct err *err)
{
	struct mock *m = calloc(1, sizeof *m);

	if (!m)
		return err_set(err, -ENOMEM, "could not create the mock engine: out of memory");
	m->base.ops = &mock_ops;
	m->config = *config;
	set_defaults(&m->config);
	int r = check_config(&m->config, err);
	if (r == 0 && kv_cells_init(&m->cells, m->config.cells, m->config.seqs) < 0)
		r = err_set(err, -ENOMEM, "out of memory");
	m->seqs = calloc(m->config.seqs, sizeof *m->seqs);
	m->tokens = m->config.verify ? calloc(m->config.cells, sizeof *m->tokens) : NULL;
	if (r == 0 && (!m->seqs || (m->config.verify && !m->tokens)))
		r = err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		mock_destroy(&m->base);
		return err_wrap(err, "could not create the mock engine");
	}
	fill_info(m);
	*ret = &m->base;
	return 0;
}
