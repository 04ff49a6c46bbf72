/* The scheduler against the mock engine as referee: random worlds with few cells, and one test for each rule. */
#include "base/rng.h"
#include "engine/mock.h"
#include "kv/hash.h"
#include "worker/sched_priv.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>

enum { REQUESTS_MAX = 64, TOKENS_CAP = 512, SEQS_CAP = 16 };

/* One request as the test knows it. */
struct want {
	uint32_t tokens[TOKENS_CAP];
	uint32_t count, got, dones;
	struct sched_request q;
	struct sched_done done;
	bool admitted, cancelled;
};
/* With what a cell was computed. */
struct shape {
	uint32_t pos, count;
	bool alone;
};
struct world {
	enum engine_exact exact; /* what the engine is said to be */
	struct shape shapes[SEQS_CAP][TOKENS_CAP]; /* of each sequence's cells */
	uint32_t alone; /* items that were */
	struct mock_config mock;
	struct engine *engine;
	struct sched *sched;
	uint64_t now_us, steps;
	uint32_t computed; /* tokens, over all steps */
	uint32_t largest_step; /* tokens */
	struct want want[REQUESTS_MAX];
	uint32_t count;
};

static void world_init_exact(
	struct world *w, struct mock_config mock, struct sched_config config, enum engine_exact exact)
{
	struct err err = {0};

	memset(w, 0, sizeof *w);
	w->exact = exact;
	w->mock = mock;
	w->mock.verify = true;
	assert_int_equal(mock_engine_create(&w->engine, &w->mock, &err), 0);
	struct engine_info info = *engine_info(w->engine);
	info.exact = exact;
	assert_true(info.seqs <= SEQS_CAP);
	assert_int_equal(sched_create(&w->sched, &info, &config, &err), 0);
}

static void world_init(struct world *w, struct mock_config mock, struct sched_config config)
{
	world_init_exact(w, mock, config, ENGINE_EXACT_ALWAYS);
}

static void world_done(struct world *w)
{
	sched_destroy(w->sched);
	engine_destroy(w->engine);
}

/* A request whose prompt is `shared` tokens that depend on family and then tokens of its own. */
static struct want *add(struct world *w, uint32_t family, uint32_t shared, uint32_t own)
{
	struct want *x = &w->want[w->count];

	for (uint32_t i = 0; i < shared + own; i++)
		x->tokens[i] = (uint32_t)(rng_keyed_u64(i < shared ? family : 1000 + w->count, i) % 256);
	x->count = shared + own;
	x->q = (struct sched_request){
		.id = ++w->count, .user = x, .tokens = x->tokens, .tokens_count = x->count, .prompt_len = x->count};
	return x;
}

static void collect(struct world *w)
{
	struct sched_outbox o = sched_outbox(w->sched);

	for (uint32_t i = 0; i < o.tokens_count; i++) {
		struct want *x = o.tokens[i].user;
		assert_int_equal(x->dones, 0);
		assert_true(x->count < TOKENS_CAP);
		x->tokens[x->count++] = o.tokens[i].token;
		x->got++;
	}
	for (uint32_t i = 0; i < o.dones_count; i++) {
		struct want *x = o.dones[i].user;
		x->dones++;
		x->done = o.dones[i];
	}
	sched_outbox_clear(w->sched);
}

static void admit(struct world *w, struct want *x)
{
	assert_int_equal(sched_admit(w->sched, w->now_us, &x->q), 0);
	x->admitted = true;
	collect(w);
}

/* Each cell of a deterministic request was computed as if nothing else had ever run: by itself, its prompt in whole pieces from the
 * first token on, its answer token by token; whoever computed it, and whatever became of that one. */
static void expect_exact(
	const struct world *w, const struct engine_item *it, const struct shape *shapes, uint32_t count)
{
	uint32_t piece = w->sched->piece;

	for (uint32_t p = 0; p < count; p++) {
		uint32_t begin = p < it->prompt_len ? p / piece * piece : p;
		uint32_t len = p < it->prompt_len ? MIN(piece, it->prompt_len - begin) : 1;
		if (!shapes[p].alone || shapes[p].pos != begin || shapes[p].count != len)
			fail_msg("cell %u of a prompt of %u was computed in %u tokens from %u%s, not %u from %u", p,
				it->prompt_len, shapes[p].count, shapes[p].pos, shapes[p].alone ? "" : " beside others",
				len, begin);
	}
}

static void move_shapes(struct world *w, const struct engine_batch *b)
{
	for (uint32_t i = 0; i < b->ops_count; i++)
		if (b->ops[i].kind == ENGINE_SEQ_COPY)
			memcpy(w->shapes[b->ops[i].dst], w->shapes[b->ops[i].src],
				b->ops[i].count * sizeof **w->shapes);
}

static void note_shapes(struct world *w, const struct engine_batch *b)
{
	for (uint32_t i = 0; i < b->items_count; i++) {
		const struct engine_item *it = &b->items[i];
		assert_true(it->pos + it->count <= TOKENS_CAP);
		for (uint32_t k = 0; k < it->count; k++)
			w->shapes[it->seq][it->pos + k] = (struct shape){it->pos, it->count, it->alone};
		if (it->alone)
			expect_exact(w, it, w->shapes[it->seq], it->pos + it->count);
		w->alone += it->alone;
	}
}

/* Compute what compose gave. */
static void finish_step(struct world *w, const struct engine_batch *b)
{
	struct err err = {0};
	struct engine_result *res = sched_result(w->sched);
	uint32_t tokens = 0;

	int r = engine_step(w->engine, b, res, &err);
	move_shapes(w, b);
	if (r == 0)
		note_shapes(w, b);
	if (r < 0 && r != -ENOSPC)
		fail_msg("the scheduler broke a rule: %s", err.msg);
	if (r == -ENOSPC && !w->mock.fail_nospace_every)
		fail_msg("the mirror of the cells is wrong: %s", err.msg);
	for (uint32_t i = 0; i < b->items_count && r == 0; i++)
		tokens += b->items[i].count;
	w->computed += tokens;
	w->largest_step = MAX(w->largest_step, tokens);
	w->now_us += res->duration_us + 1;
	w->steps++;
	assert_int_equal(sched_apply(w->sched, w->now_us, r, &err), 0);
	collect(w);
}

static bool step(struct world *w)
{
	const struct engine_batch *b = sched_compose(w->sched, w->now_us);

	collect(w);
	if (b)
		finish_step(w, b);
	return b != NULL;
}

static void run_to_the_end(struct world *w)
{
	for (uint32_t i = 0; sched_requests(w->sched); i++) {
		assert_true(step(w) || !sched_requests(w->sched));
		if (i > 100000)
			fail_msg("no end in sight");
	}
}

/* The stream a request must have got, however it came about. */
static void check_stream(const struct world *w, const struct want *x)
{
	for (uint32_t i = x->q.tokens_count; i < x->count; i++) {
		uint32_t made = i - x->q.prompt_len;
		uint32_t token = mock_token(&w->mock, x->tokens, x->q.prompt_len, i, x->q.sampling.temperature > 0,
			x->q.sampling.seed, x->q.ignore_eos || made < x->q.min_tokens);
		assert_int_equal(x->tokens[i], token);
	}
	bool ended = x->got && engine_is_eog(w->engine, x->tokens[x->count - 1]);
	assert_int_equal(x->done.reason == MSG_REASON_EOS, ended);
	if (x->done.reason == MSG_REASON_LENGTH && x->q.max_tokens && x->count < w->mock.context_max)
		assert_true(x->count - x->q.prompt_len == x->q.max_tokens || !x->got);
	if (!x->cancelled)
		assert_int_equal(x->done.generated, x->count - x->q.prompt_len);
}

/* What must hold of the account whenever no batch is out. */
static void check_account(const struct world *w)
{
	const struct seqs *s = &w->sched->seqs;
	uint64_t digest = 0;
	uint32_t held = 0, pos = 0;
	struct map seen = {0};

	for (uint32_t i = 0; i < s->count; i++) {
		const struct seq *q = &s->v[i];
		uint64_t hashes[TOKENS_CAP];
		assert_int_equal(q->tokens.len, kv_cells_len(&s->cells, i));
		assert_true(q->state != SEQ_FREE || q->tokens.len == 0);
		uint32_t n = kv_hash_blocks(q->tokens.v, q->tokens.len, s->block_size, q->kv_seed, hashes);
		assert_int_equal(n, q->hashes.len);
		bool told = s->reuse == SEQS_REUSE_PREFIX || (s->reuse == SEQS_REUSE_WHOLE && q->state == SEQ_RETAINED);
		for (uint32_t k = 0; k < n; k++) {
			assert_true(q->hashes.v[k] == hashes[k]);
			assert_int_equal(told ? map_put(&seen, hashes[k], 1) : 0, 0);
		}
	}
	for (uint64_t h; map_next(&seen, &pos, &h, NULL); held++)
		digest = kv_digest_add(digest, h);
	map_done(&seen);
	struct msg_step report = {0};
	sched_report(w->sched, &report);
	assert_true(report.digest == digest);
	assert_int_equal(report.blocks_held, held);
}

static void check_all_is_over(struct world *w)
{
	struct msg_step report = {0};

	for (uint32_t i = 0; i < w->count; i++) {
		assert_int_equal(w->want[i].dones, w->want[i].admitted);
		if (w->want[i].admitted && w->want[i].done.reason != MSG_REASON_REFUSED)
			check_stream(w, &w->want[i]);
	}
	sched_report(w->sched, &report);
	assert_int_equal(report.running, 0);
	assert_int_equal(report.waiting, 0);
	assert_int_equal(report.waiting_tokens, 0);
	assert_int_equal(report.cells_active, 0);
	assert_int_equal(w->sched->by_id.len, 0);
	assert_int_equal(w->sched->deadlines.len, 0);
	check_account(w);
}

/* ---- random worlds ---- */

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
	return low + (uint32_t)rng_below(r, high - low + 1);
}

static void random_request(struct world *w, struct rng *r)
{
	uint32_t shared = between(r, 0, 24), own = between(r, shared ? 0 : 1, 24);
	struct want *x = add(w, (uint32_t)rng_below(r, 3), shared, own);

	x->q.max_tokens = (uint32_t)rng_below(r, 3) ? between(r, 1, 30) : 0;
	x->q.min_tokens = (uint32_t)rng_below(r, 4) ? 0 : between(r, 0, 20);
	x->q.ignore_eos = rng_below(r, 5) == 0 && x->q.max_tokens;
	x->q.priority = rng_below(r, 6) ? 0 : (int32_t)between(r, 0, 2) - 1;
	x->q.deadline_us = rng_below(r, 12) ? 0 : w->now_us + rng_below(r, 60000);
	x->q.logprobs = (uint32_t)rng_below(r, 4);
	x->q.kv_seed = rng_below(r, 5) ? 1 : 2;
	x->q.sampling.temperature = rng_below(r, 2) ? 0 : 0.8f;
	x->q.sampling.seed = rng_below(r, 3);
	x->q.no_cache = rng_below(r, 10) == 0;
	x->q.deterministic = w->exact == ENGINE_EXACT_ALONE && rng_below(r, 2);
	if (rng_below(r, 5) == 0) {
		/* Begun elsewhere: some of its answer is there already. */
		uint32_t more = between(r, 1, 6);
		for (uint32_t i = 0; i < more; i++, x->count++)
			x->tokens[x->count] = mock_token(&w->mock, x->tokens, x->q.prompt_len, x->count,
				x->q.sampling.temperature > 0, x->q.sampling.seed, true);
		x->q.tokens_count = x->count;
		x->q.min_tokens = more + x->q.min_tokens;
		x->q.max_tokens = x->q.max_tokens ? x->q.max_tokens + more : 0;
	}
	admit(w, x);
}

/* What a request said and got, and a little more: the next turn, or an edit of it. */
static void random_next_turn(struct world *w, struct rng *r)
{
	const struct want *before = &w->want[rng_below(r, w->count)];
	uint32_t more = between(r, 1, 12);

	if (before->count + more >= TOKENS_CAP - 200)
		return;
	struct want *x = add(w, 0, 0, before->count + more);
	uint32_t kept = rng_below(r, 3) ? before->count : (uint32_t)rng_below(r, before->count + 1);
	memcpy(x->tokens, before->tokens, kept * sizeof *x->tokens);
	x->q.kv_seed = before->q.kv_seed;
	x->q.max_tokens = between(r, 1, 30);
	x->q.deterministic = w->exact == ENGINE_EXACT_ALONE && rng_below(r, 2);
	admit(w, x);
}

static void random_event(struct world *w, struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0:
	case 1:
		if (w->count < REQUESTS_MAX)
			(w->count && rng_below(r, 3) == 0 ? random_next_turn : random_request)(w, r);
		break;
	case 2:
		if (w->count) {
			struct want *x = &w->want[rng_below(r, w->count)];
			bool running = x->dones == 0;
			x->cancelled |= running;
			assert_int_equal(sched_cancel(w->sched, w->now_us, x->q.id), running);
			collect(w);
		}
		break;
	case 3:
		if (rng_below(r, 4) == 0)
			sched_preempt(w->sched);
		break;
	default:
		break;
	}
}

/* Returns how many items were computed alone. */
static uint32_t random_world(uint64_t seed, enum engine_exact exact)
{
	static struct world w;
	struct rng r;

	rng_init(&r, seed);
	struct mock_config mock = {.cells = between(&r, 16, 160),
		.seqs = between(&r, 1, 9),
		.batch_tokens_max = between(&r, 2, 40),
		.answer_min = 0,
		.answer_max = between(&r, 1, 40),
		.timing = {.base_us = 1000, .prefill_token_us = 300, .decode_seq_us = 500, .context_token_us = 1},
		.whole_copy = rng_below(&r, 3) == 0,
		.no_copy = rng_below(&r, 8) == 0,
		.fail_nospace_every = rng_below(&r, 6) ? 0 : between(&r, 2, 9)};
	mock.context_max = between(&r, 8, mock.cells);
	struct sched_config config = {.block_size = between(&r, 1, 12),
		.running_max = (uint32_t)rng_below(&r, 2) ? 0 : between(&r, 1, 9),
		.waiting_max = rng_below(&r, 3) ? 0 : between(&r, 1, 6),
		.step_budget_us = between(&r, 1000, 20000),
		.idle_budget_us = between(&r, 1000, 40000)};
	world_init_exact(&w, mock, config, exact);
	for (uint32_t turn = 0; turn < 150; turn++) {
		random_event(&w, &r);
		const struct engine_batch *b = sched_compose(w.sched, w.now_us);
		collect(&w);
		while (b && rng_below(&r, 3) == 0)
			random_event(&w, &r);
		if (b)
			finish_step(&w, b);
		check_account(&w);
	}
	run_to_the_end(&w);
	check_all_is_over(&w);
	world_done(&w);
	return w.alone;
}

static void random_worlds_end_every_request_once_with_the_right_stream(void **state)
{
	(void)state;
	const char *only = getenv("STATOR_TEST_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : 3000;

	for (uint64_t seed = first; seed <= last; seed++) {
		if (only)
			print_message("seed %llu\n", (unsigned long long)seed);
		assert_int_equal(random_world(seed, ENGINE_EXACT_ALWAYS), 0);
	}
}

static void deterministic_requests_are_computed_as_if_nothing_else_had_run(void **state)
{
	(void)state;
	const char *only = getenv("STATOR_TEST_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : 1500;
	uint64_t alone = 0;

	for (uint64_t seed = first; seed <= last; seed++) {
		if (only)
			print_message("seed %llu\n", (unsigned long long)seed);
		alone += random_world(seed, ENGINE_EXACT_ALONE);
	}
	assert_true(alone > 20 * (last - first + 1));
}

/* ---- the rules, one by one ---- */

static const struct mock_config roomy = {.cells = 4096,
	.seqs = 16,
	.batch_tokens_max = 512,
	.context_max = 1024,
	.answer_min = 5,
	.answer_max = 20,
	.timing = {.base_us = 1000, .prefill_token_us = 10, .decode_seq_us = 10}};
static const struct sched_config blocks16 = {.block_size = 16};
static struct world w;

static void a_repeated_prompt_computes_its_last_token_only(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	struct want *a = add(&w, 1, 100, 0), *b = add(&w, 1, 100, 0);
	a->q.max_tokens = b->q.max_tokens = 3;
	admit(&w, a);
	run_to_the_end(&w);
	assert_int_equal(a->done.cached_tokens, 0);
	assert_int_equal(w.computed, 102);
	admit(&w, b);
	run_to_the_end(&w);
	assert_int_equal(b->done.cached_tokens, 99);
	assert_int_equal(w.computed, 102 + 3);
	check_all_is_over(&w);
	world_done(&w);
}

static void a_conversation_continues_in_its_own_sequence(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	struct want *a = add(&w, 1, 50, 0);
	admit(&w, a);
	run_to_the_end(&w);
	struct want *b = add(&w, 1, 50, 0);
	memcpy(b->tokens, a->tokens, sizeof b->tokens);
	b->tokens[a->count] = 7;
	b->count = b->q.tokens_count = b->q.prompt_len = a->count + 1;
	admit(&w, b);
	run_to_the_end(&w);
	/* All but the last token of the answer, which was never computed. */
	assert_int_equal(b->done.cached_tokens, a->count - 1);
	assert_int_equal(w.sched->seqs.retained_count, 1);
	check_all_is_over(&w);
	world_done(&w);
}

static void equal_prompts_that_arrive_together_are_computed_once(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	for (uint32_t i = 0; i < 8; i++) {
		struct want *x = add(&w, 1, 200, 0);
		x->q.sampling.temperature = 1;
		x->q.sampling.seed = i;
		x->q.max_tokens = 1;
		admit(&w, x);
	}
	run_to_the_end(&w);
	assert_int_equal(w.computed, 200 + 7);
	for (uint32_t i = 1; i < 8; i++)
		assert_int_equal(w.want[i].done.cached_tokens, 199);
	/* Shared, not copied: each has one cell of its own. */
	assert_int_equal(w.sched->seqs.cells.cells - w.sched->seqs.cells.free_count <= 208, 1);
	check_all_is_over(&w);
	world_done(&w);
}

static void a_shared_prefix_in_the_making_is_waited_for(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	admit(&w, add(&w, 1, 160, 10));
	admit(&w, add(&w, 1, 160, 20));
	run_to_the_end(&w);
	assert_int_equal(w.want[1].done.cached_tokens, 160);
	check_all_is_over(&w);
	world_done(&w);
}

static void tenants_with_different_seeds_share_nothing(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	struct want *a = add(&w, 1, 100, 0), *b = add(&w, 1, 100, 0);
	a->q.kv_seed = 1;
	b->q.kv_seed = 2;
	admit(&w, a);
	run_to_the_end(&w);
	admit(&w, b);
	run_to_the_end(&w);
	assert_int_equal(b->done.cached_tokens, 0);
	check_all_is_over(&w);
	world_done(&w);
}

static void what_is_not_to_use_the_cache_computes_everything(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	struct want *a = add(&w, 1, 100, 0), *b = add(&w, 1, 100, 0), *c = add(&w, 1, 100, 0);
	b->q.no_cache = true;
	admit(&w, a);
	run_to_the_end(&w);
	uint32_t before = w.computed;
	admit(&w, b);
	run_to_the_end(&w);
	assert_int_equal(b->done.cached_tokens, 0);
	assert_true(w.computed - before >= 100);
	admit(&w, c);
	run_to_the_end(&w);
	assert_int_equal(c->done.cached_tokens, 99);
	check_all_is_over(&w);
	world_done(&w);
}

/* Where results depend on what is computed together, and on nothing else: its own pieces are used again, the last but one. */
static void a_deterministic_prompt_is_reused_in_whole_pieces(void **state)
{
	(void)state;
	world_init_exact(&w, roomy, blocks16, ENGINE_EXACT_ALONE);
	struct want *plain = add(&w, 1, 100, 0), *first = add(&w, 1, 100, 0), *again = add(&w, 1, 100, 0),
		    *longer = add(&w, 1, 100, 70), *border = add(&w, 1, 96, 0);
	first->q.deterministic = again->q.deterministic = longer->q.deterministic = border->q.deterministic = true;
	struct want *const in_turn[] = {plain, first, again, longer, border};
	const uint32_t cached[] = {0, 0, 96, 96, 64};
	for (size_t i = 0; i < ARRAY_LEN(in_turn); i++) {
		admit(&w, in_turn[i]);
		run_to_the_end(&w);
		assert_int_equal(in_turn[i]->done.cached_tokens, cached[i]);
	}
	check_all_is_over(&w);
	world_done(&w);
}

static void what_cannot_be_deterministic_is_refused_by_name(void **state)
{
	(void)state;
	world_init_exact(&w, roomy, blocks16, ENGINE_EXACT_NO);
	struct want *a = add(&w, 1, 20, 0), *b = add(&w, 1, 20, 0);
	a->q.deterministic = true;
	admit(&w, a);
	admit(&w, b);
	run_to_the_end(&w);
	assert_int_equal(a->done.reason, MSG_REASON_REFUSED);
	assert_int_equal(a->done.code, -ENOTSUP);
	assert_non_null(strstr(a->done.error, "\"deterministic\" is not possible here"));
	assert_int_equal(b->done.reason, MSG_REASON_EOS);
	world_done(&w);
	struct engine_info info = {.cells = 64, .seqs = 2, .batch_tokens_max = 16, .context_max = 64, .vocab = 256};
	struct sched_config config = {.block_size = 16, .deterministic = true};
	struct sched *s;
	struct err err;
	assert_int_equal(sched_create(&s, &info, &config, &err), -ENOTSUP);
}

static void a_hash_collision_costs_time_and_not_another_text(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	struct want *a = add(&w, 1, 64, 0), *b = add(&w, 2, 64, 0);
	admit(&w, a);
	run_to_the_end(&w);
	/* Forge: what a holds claims the hashes of b's prompt. */
	struct seq *held = &w.sched->seqs.v[0];
	uint64_t hashes[4], real[4];
	memcpy(real, held->hashes.v, sizeof real);
	kv_hash_blocks(b->tokens, 64, 16, 0, hashes);
	memcpy(held->hashes.v, hashes, sizeof hashes);
	admit(&w, b);
	assert_true(step(&w));
	memcpy(held->hashes.v, real, sizeof real);
	run_to_the_end(&w);
	assert_int_equal(b->done.cached_tokens, 0);
	check_all_is_over(&w);
	world_done(&w);
}

static void full_cells_preempt_the_youngest_and_fail_nobody(void **state)
{
	(void)state;
	struct mock_config tight = roomy;
	tight.cells = 100;
	tight.context_max = 100;
	world_init(&w, tight, (struct sched_config){.block_size = 4});
	for (uint32_t i = 0; i < 4; i++) {
		struct want *x = add(&w, 10 + i, 15, 0);
		x->q.max_tokens = 60;
		x->q.ignore_eos = true;
		admit(&w, x);
	}
	run_to_the_end(&w);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(w.want[i].done.reason, MSG_REASON_LENGTH);
	assert_int_equal(w.want[0].done.preemptions, 0);
	assert_true(w.want[3].done.preemptions > 0);
	check_all_is_over(&w);
	world_done(&w);
}

static void what_can_never_fit_is_refused_with_both_numbers(void **state)
{
	(void)state;
	struct mock_config small = roomy;
	small.cells = 64;
	small.context_max = 64;
	world_init(&w, small, blocks16);
	struct want *a = add(&w, 1, 64, 0), *b = add(&w, 1, 63, 0), *c = add(&w, 1, 3, 0);
	c->tokens[1] = 99999;
	admit(&w, a);
	admit(&w, b);
	admit(&w, c);
	run_to_the_end(&w);
	assert_int_equal(a->done.reason, MSG_REASON_REFUSED);
	assert_non_null(strstr(a->done.error, "64 tokens"));
	assert_int_equal(b->done.reason, MSG_REASON_LENGTH);
	assert_int_equal(b->got, 1);
	assert_int_equal(c->done.reason, MSG_REASON_REFUSED);
	assert_non_null(strstr(c->done.error, "99999"));
	check_all_is_over(&w);
	world_done(&w);
}

static void a_full_queue_refuses_and_serves_what_it_has(void **state)
{
	(void)state;
	world_init(&w, roomy, (struct sched_config){.block_size = 16, .waiting_max = 2});
	for (uint32_t i = 0; i < 3; i++)
		admit(&w, add(&w, i, 10, 0));
	assert_int_equal(w.want[2].done.reason, MSG_REASON_REFUSED);
	assert_int_equal(w.want[2].done.code, -EAGAIN);
	run_to_the_end(&w);
	assert_int_equal(w.want[0].dones + w.want[1].dones, 2);
	check_all_is_over(&w);
	world_done(&w);
}

static void a_deadline_ends_a_request_wherever_it_is(void **state)
{
	(void)state;
	world_init(&w, roomy, (struct sched_config){.block_size = 16, .running_max = 1});
	struct want *a = add(&w, 1, 10, 0), *b = add(&w, 2, 10, 0);
	a->q.max_tokens = 500;
	a->q.ignore_eos = true;
	a->q.deadline_us = 20000;
	b->q.deadline_us = 10000;
	admit(&w, a);
	admit(&w, b);
	assert_int_equal(sched_next_deadline_us(w.sched), 10000);
	run_to_the_end(&w);
	assert_int_equal(a->done.reason, MSG_REASON_DEADLINE);
	assert_int_equal(b->done.reason, MSG_REASON_DEADLINE);
	assert_true(a->got > 0 && b->got == 0);
	check_all_is_over(&w);
	world_done(&w);
}

static void cancel_frees_the_cells_after_the_step_that_is_out(void **state)
{
	(void)state;
	world_init(&w, roomy, blocks16);
	struct want *a = add(&w, 1, 40, 0);
	a->cancelled = true;
	admit(&w, a);
	const struct engine_batch *b = sched_compose(w.sched, w.now_us);
	assert_non_null(b);
	assert_true(sched_cancel(w.sched, w.now_us, a->q.id));
	collect(&w);
	assert_int_equal(a->dones, 1);
	finish_step(&w, b);
	assert_int_equal(a->got, 0);
	assert_null(sched_compose(w.sched, w.now_us));
	check_all_is_over(&w);
	world_done(&w);
}

static void higher_priority_goes_first(void **state)
{
	(void)state;
	world_init(&w, roomy, (struct sched_config){.block_size = 16, .running_max = 1});
	struct want *a = add(&w, 1, 10, 0), *b = add(&w, 2, 10, 0);
	b->q.priority = 1;
	admit(&w, a);
	admit(&w, b);
	step(&w);
	assert_int_equal(b->got, 1);
	assert_int_equal(a->got, 0);
	run_to_the_end(&w);
	check_all_is_over(&w);
	world_done(&w);
}

/* A decode costs 6 ms and so does a prefill token, as measured on one core. */
static const struct mock_config slow = {.cells = 8192,
	.seqs = 16,
	.batch_tokens_max = 512,
	.context_max = 4096,
	.answer_min = 200,
	.answer_max = 200,
	.timing = {.base_us = 5000, .prefill_token_us = 6000, .decode_seq_us = 6000}};

static void prefill_keeps_the_cadence_of_those_who_decode(void **state)
{
	(void)state;
	world_init(&w, slow, blocks16);
	struct want *a = add(&w, 1, 20, 0), *b = add(&w, 2, 0, 300);
	a->q.max_tokens = 150;
	admit(&w, a);
	while (a->got < 20)
		step(&w);
	admit(&w, b);
	uint32_t steps = 0;
	for (; b->got == 0; steps++) {
		uint64_t before = w.now_us;
		uint32_t got = a->got;
		step(&w);
		assert_int_equal(a->got, got + 1);
		/* The budget, and the slack of a model that is still learning. */
		assert_true(w.now_us - before < 120 * 1000);
	}
	/* And still makes progress: about 14 tokens fit beside one decode. */
	assert_true(steps < 300 / 10);
	run_to_the_end(&w);
	check_all_is_over(&w);
	world_done(&w);
}

static void prefill_gets_its_share_however_many_decode(void **state)
{
	(void)state;
	struct mock_config crowded = slow;
	crowded.timing.decode_seq_us = 20000; /* eight take 160 ms: more than the whole budget */
	world_init(&w, crowded, blocks16);
	for (uint32_t i = 0; i < 8; i++) {
		struct want *x = add(&w, 1 + i, 8, 0);
		x->q.max_tokens = 100;
		admit(&w, x);
	}
	for (uint32_t i = 0; i < 20; i++)
		step(&w);
	struct want *b = add(&w, 99, 0, 100);
	admit(&w, b);
	uint32_t steps = 0;
	for (; b->got == 0; steps++)
		step(&w);
	assert_true(steps <= 100 / 4 + 1);
	run_to_the_end(&w);
	check_all_is_over(&w);
	world_done(&w);
}

static void prefill_gets_its_share_of_time_however_slow_a_step_is(void **state)
{
	(void)state;
	struct mock_config heavy = slow;
	/* Eight decodes leave next to nothing of the budget; a quarter of it is 25 tokens. */
	heavy.timing = (struct timing_model){.base_us = 90000, .prefill_token_us = 1000, .decode_seq_us = 1000};
	world_init(&w, heavy, blocks16);
	for (uint32_t i = 0; i < 8; i++) {
		struct want *x = add(&w, 1 + i, 8 + i, 0);
		x->q.max_tokens = 60;
		admit(&w, x);
		step(&w);
	}
	struct want *b = add(&w, 99, 0, 100);
	b->q.max_tokens = 1;
	admit(&w, b);
	uint32_t steps = 0;
	for (; b->got == 0; steps++)
		step(&w);
	assert_true(steps <= 12);
	run_to_the_end(&w);
	check_all_is_over(&w);
	world_done(&w);
}

static void a_prompt_waits_for_room_rather_than_be_preempted(void **state)
{
	(void)state;
	struct mock_config tight = roomy;
	tight.cells = 128;
	tight.context_max = 128;
	world_init(&w, tight, (struct sched_config){.block_size = 8});
	for (uint32_t i = 0; i < 4; i++) {
		struct want *x = add(&w, 10 + i, 70, 0);
		x->q.max_tokens = 10;
		x->q.ignore_eos = true;
		admit(&w, x);
	}
	run_to_the_end(&w);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(w.want[i].done.preemptions, 0);
	check_all_is_over(&w);
	world_done(&w);
}

static void an_idle_engine_uses_large_batches(void **state)
{
	(void)state;
	struct mock_config fast = roomy;
	fast.timing = (struct timing_model){.base_us = 1000, .prefill_token_us = 20, .decode_seq_us = 20};
	world_init(&w, fast, blocks16);
	for (uint32_t i = 0; i < 6; i++)
		admit(&w, add(&w, 1 + i, 0, 400));
	run_to_the_end(&w);
	assert_int_equal(w.largest_step, 512);
	check_all_is_over(&w);
	world_done(&w);
}

static void a_short_prompt_does_not_wait_behind_a_book(void **state)
{
	(void)state;
	world_init(&w, slow, blocks16);
	struct want *book = add(&w, 1, 0, 500), *note = add(&w, 2, 0, 10);
	book->q.max_tokens = 5;
	admit(&w, book);
	step(&w);
	admit(&w, note);
	uint64_t before = w.now_us;
	while (!note->got)
		step(&w);
	assert_true(w.now_us - before < 600 * 1000);
	assert_int_equal(book->got, 0);
	run_to_the_end(&w);
	check_all_is_over(&w);
	world_done(&w);
}

static void the_least_recently_used_prefix_goes_first(void **state)
{
	(void)state;
	struct mock_config small = roomy;
	small.cells = 128;
	small.context_max = 128;
	world_init(&w, small, (struct sched_config){.block_size = 8});
	uint32_t family[] = {1, 2, 1, 3, 1, 2};
	for (uint32_t i = 0; i < 6; i++) {
		struct want *x = add(&w, family[i], 48, 0);
		x->q.max_tokens = 1;
		admit(&w, x);
		run_to_the_end(&w);
	}
	/* 1 stayed because it was used; 3 pushed the end of 2 out, deepest first: its beginning is still there. */
	assert_int_equal(w.want[2].done.cached_tokens, 47);
	assert_int_equal(w.want[4].done.cached_tokens, 47);
	assert_true(w.want[5].done.cached_tokens < 47);
	assert_int_equal(w.want[5].done.cached_tokens, 128 - 2 * 48);
	check_all_is_over(&w);
	world_done(&w);
}

static void a_broken_engine_fails_everybody_once(void **state)
{
	(void)state;
	struct err err = {0};
	world_init(&w, roomy, blocks16);
	struct want *a = add(&w, 1, 10, 0), *b = add(&w, 2, 10, 0), *c = add(&w, 3, 10, 0);
	admit(&w, a);
	assert_non_null(sched_compose(w.sched, 0));
	admit(&w, b);
	err_set(&err, -EIO, "the device is gone");
	assert_int_equal(sched_apply(w.sched, 1, -EIO, &err), -EIO);
	collect(&w);
	assert_int_equal(a->done.reason, MSG_REASON_FAILED);
	assert_int_equal(b->done.reason, MSG_REASON_FAILED);
	assert_string_equal(b->done.error, "the device is gone");
	admit(&w, c);
	assert_int_equal(c->done.reason, MSG_REASON_FAILED);
	assert_int_equal(a->dones + b->dones + c->dones, 3);
	world_done(&w);
}

static void the_step_model_learns_and_survives_outliers(void **state)
{
	(void)state;
	struct step_model m;
	struct rng r;

	rng_init(&r, 11);
	step_model_init(&m);
	for (int i = 0; i < 400; i++) {
		uint32_t tokens = rng_below(&r, 3) ? between(&r, 1, 8) : between(&r, 16, 256),
			 cells = between(&r, 0, 8000);
		double us = 2000 + 50.0 * tokens + 0.01 * tokens * cells;
		/* A neighbour takes the CPU for a second. */
		if (rng_below(&r, 50) == 0)
			us += 1e6;
		step_model_learn(&m, tokens, cells, (uint64_t)us);
	}
	for (int i = 0; i < 50; i++)
		step_model_learn(&m, 1 + (uint32_t)i % 40, 4000, (uint64_t)(2000 + (1 + i % 40) * 90.0));
	double b = step_model_token_us(&m, 4000), t = step_model_predict_us(&m, 100, 4000);
	assert_true(b > 60 && b < 130);
	assert_true(t > 7000 && t < 16000);
	/* Ten thousand equal steps must not make it burst. */
	for (int i = 0; i < 10000; i++)
		step_model_learn(&m, 4, 4000, 2360);
	t = step_model_predict_us(&m, 4, 4000);
	assert_true(t > 2300 && t < 2420);
	b = step_model_token_us(&m, 4000);
	assert_true(b > 0 && b < 600);
}

static void a_report_says_what_the_last_step_held_and_what_the_running_one_holds(void **state)
{
	(void)state;

	struct msg_step m = {0};

	world_init(&w,
		(struct mock_config){.cells = 256, .seqs = 4, .batch_tokens_max = 64, .context_max = 200, .vocab = 256},
		(struct sched_config){.block_size = 4});
	struct want *x = add(&w, 1, 0, 20);
	x->q.ignore_eos = true;
	x->q.max_tokens = 3;
	admit(&w, x);
	const struct engine_batch *b = sched_compose(w.sched, w.now_us);
	sched_report(w.sched, &m);
	assert_int_equal(m.prefill_tokens + m.decode_tokens, 0);
	assert_int_equal(m.next_prefill_tokens, 20);
	assert_int_equal(m.next_context_tokens, 20);
	finish_step(&w, b);
	sched_report(w.sched, &m);
	assert_int_equal(m.prefill_tokens, 20);
	assert_int_equal(m.context_tokens, 20);
	assert_int_equal(m.next_prefill_tokens + m.next_decode_tokens, 0);
	b = sched_compose(w.sched, w.now_us);
	sched_report(w.sched, &m);
	assert_int_equal(m.next_decode_tokens, 1);
	assert_int_equal(m.next_context_tokens, 21);
	finish_step(&w, b);
	sched_report(w.sched, &m);
	assert_int_equal(m.decode_tokens, 1);
	assert_int_equal(m.prefill_tokens, 0);
	assert_int_equal(m.context_tokens, 21);
	run_to_the_end(&w);
	world_done(&w);
}

/* An old prefix of many requests, then a new one of a single request; a third needs the room of one. Returns how much of
 * the old one is still there. */
static uint32_t cached_of_the_shared_one(const struct kv_evict_policy *policy)
{
	static const uint8_t nine[] = {9, 9, 9, 9, 9}, one[] = {1, 1, 1, 1, 1};

	world_init(&w,
		(struct mock_config){.cells = 64, .seqs = 4, .batch_tokens_max = 64, .context_max = 60, .vocab = 256},
		(struct sched_config){.block_size = 4, .evict = policy});
	for (uint32_t i = 0; i < 3; i++) { /* the third finds 40 of 64 cells held */
		struct want *x = add(&w, i, i < 2 ? 20 : 40, 0);
		x->q.uses = i ? one : nine;
		x->q.uses_count = 5;
		x->q.max_tokens = 1;
		w.now_us += 1000000;
		admit(&w, x);
		run_to_the_end(&w);
	}
	struct want *again = add(&w, 0, 20, 0);
	again->q.max_tokens = 1;
	admit(&w, again);
	run_to_the_end(&w);
	uint32_t cached = again->done.cached_tokens;
	world_done(&w);
	return cached;
}

static void age_uses_keeps_what_many_requests_shared_where_lru_gives_it_up(void **state)
{
	(void)state;
	assert_int_equal(cached_of_the_shared_one(&kv_evict_age_uses), 19);
	assert_true(cached_of_the_shared_one(&kv_evict_lru) < 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(age_uses_keeps_what_many_requests_shared_where_lru_gives_it_up),
		cmocka_unit_test(a_report_says_what_the_last_step_held_and_what_the_running_one_holds),
		cmocka_unit_test(a_repeated_prompt_computes_its_last_token_only),
		cmocka_unit_test(a_conversation_continues_in_its_own_sequence),
		cmocka_unit_test(equal_prompts_that_arrive_together_are_computed_once),
		cmocka_unit_test(a_shared_prefix_in_the_making_is_waited_for),
		cmocka_unit_test(tenants_with_different_seeds_share_nothing),
		cmocka_unit_test(what_is_not_to_use_the_cache_computes_everything),
		cmocka_unit_test(deterministic_requests_are_computed_as_if_nothing_else_had_run),
		cmocka_unit_test(a_deterministic_prompt_is_reused_in_whole_pieces),
		cmocka_unit_test(what_cannot_be_deterministic_is_refused_by_name),
		cmocka_unit_test(a_hash_collision_costs_time_and_not_another_text),
		cmocka_unit_test(full_cells_preempt_the_youngest_and_fail_nobody),
		cmocka_unit_test(what_can_never_fit_is_refused_with_both_numbers),
		cmocka_unit_test(a_full_queue_refuses_and_serves_what_it_has),
		cmocka_unit_test(a_deadline_ends_a_request_wherever_it_is),
		cmocka_unit_test(cancel_frees_the_cells_after_the_step_that_is_out),
		cmocka_unit_test(higher_priority_goes_first),
		cmocka_unit_test(prefill_keeps_the_cadence_of_those_who_decode),
		cmocka_unit_test(prefill_gets_its_share_however_many_decode),
		cmocka_unit_test(prefill_gets_its_share_of_time_however_slow_a_step_is),
		cmocka_unit_test(a_prompt_waits_for_room_rather_than_be_preempted),
		cmocka_unit_test(an_idle_engine_uses_large_batches),
		cmocka_unit_test(a_short_prompt_does_not_wait_behind_a_book),
		cmocka_unit_test(the_least_recently_used_prefix_goes_first),
		cmocka_unit_test(a_broken_engine_fails_everybody_once),
		cmocka_unit_test(the_step_model_learns_and_survives_outliers),
		cmocka_unit_test(random_worlds_end_every_request_once_with_the_right_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
