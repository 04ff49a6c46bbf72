/* The scheduler over an engine whose state cannot go back (the mock as a recurrent model): what is kept, what is reused, what goes
 * first, and what routers are told. */
#include "base/rng.h"
#include "engine/mock.h"
#include "kv/hash.h"
#include "worker/sched_priv.h"

#include "../lib/cmocka_all.h"

enum { B = 16, TEXT_CAP = 40000, LIVE = 64 };

struct text {
	uint32_t tokens[TEXT_CAP], count, got;
	struct sched_done done;
};
static struct text pool[LIVE];
static uint32_t pool_count;
static struct engine *engine;
static struct sched *s;
static uint64_t now_us;
static uint32_t computed, steps;

static void begin(uint32_t seqs, uint32_t cells, uint32_t running_max)
{
	struct err err;
	const struct mock_config mock = {.cells = cells,
		.seqs = seqs,
		.batch_tokens_max = 512,
		.whole_copy = true,
		.verify = true,
		.answer_min = 20,
		.answer_max = 40,
		.timing = {.base_us = 1000, .prefill_token_us = 1}};
	const struct sched_config config = {.block_size = B, .running_max = running_max};

	pool_count = 0;
	computed = 0;
	assert_int_equal(mock_engine_create(&engine, &mock, &err), 0);
	assert_int_equal(sched_create(&s, engine_info(engine), &config, &err), 0);
}

static void end(void)
{
	sched_destroy(s);
	engine_destroy(engine);
}

static void collect(void)
{
	struct sched_outbox o = sched_outbox(s);

	for (uint32_t i = 0; i < o.tokens_count; i++) {
		struct text *x = o.tokens[i].user;
		x->tokens[x->count++] = o.tokens[i].token;
		x->got++;
	}
	for (uint32_t i = 0; i < o.dones_count; i++)
		((struct text *)o.dones[i].user)->done = o.dones[i];
	sched_outbox_clear(s);
}

static bool step(void)
{
	struct err err;
	const struct engine_batch *b = sched_compose(s, ++now_us);

	collect();
	if (!b)
		return false;
	for (uint32_t i = 0; i < b->items_count; i++)
		computed += b->items[i].count;
	steps++;
	int r = engine_step(engine, b, sched_result(s), &err);
	if (r < 0)
		fail_msg("%s", err.msg);
	now_us += 1000000;
	assert_int_equal(sched_apply(s, now_us, 0, &err), 0);
	collect();
	return true;
}

static void run(void)
{
	while (sched_requests(s))
		assert_true(step());
}

/* So many tokens of another text, and so many of its own. */
static struct text *text(const struct text *from, uint32_t kept, uint32_t own)
{
	struct text *x = &pool[pool_count++];

	assert_true(pool_count <= LIVE && kept + own < TEXT_CAP - 100);
	*x = (struct text){.count = kept + own};
	for (uint32_t i = 0; i < kept + own; i++)
		x->tokens[i] = i < kept ? from->tokens[i] : (uint32_t)(rng_keyed_u64(pool_count, i) % 256);
	return x;
}

static void admit(struct text *x, uint32_t max_tokens)
{
	const struct sched_request q = {.id = (uint64_t)(x - pool) + 1,
		.user = x,
		.tokens = x->tokens,
		.tokens_count = x->count,
		.prompt_len = x->count,
		.max_tokens = max_tokens,
		.ignore_eos = true};

	assert_int_equal(sched_admit(s, now_us, &q), 0);
}

static struct text *say(const struct text *from, uint32_t kept, uint32_t own, uint32_t max_tokens)
{
	struct text *x = text(from, kept, own);

	admit(x, max_tokens);
	run();
	return x;
}

/* How many leading blocks of x the account says are held: what a router believes. */
static uint32_t told(const struct text *x)
{
	static uint64_t hashes[TEXT_CAP / B];
	uint32_t n = kv_hash_blocks(x->tokens, x->count, B, 0, hashes), i = 0;

	while (i < n && kv_blocks_refs(&s->seqs.blocks, hashes[i]))
		i++;
	return i;
}

static void each_turn_computes_what_is_new(void **state)
{
	(void)state;
	begin(8, 8192, 0);
	struct text *x = say(NULL, 0, 400, 10);
	for (uint32_t turn = 0; turn < 12; turn++) {
		uint32_t before = computed;
		struct text *next = say(x, x->count, 30, 10);
		assert_int_equal(next->done.cached_tokens, x->count - 1);
		assert_int_equal(computed - before, 31 + 9);
		x = next;
	}
	end();
}

/* A template that leaves the header of the answer, or the thoughts in it, out of the next prompt. */
static void a_turn_that_does_not_repeat_the_end_of_the_prompt_finds_the_checkpoint_before_it(void **state)
{
	(void)state;
	begin(8, 8192, 0);
	struct text *x = say(NULL, 0, 400, 10);
	uint32_t prompt = 400;
	for (uint32_t turn = 0; turn < 12; turn++) {
		struct text *next = say(x, prompt - MARKS_TAIL, 60, 10);
		assert_int_equal(next->done.cached_tokens, (prompt - MARKS_TAIL) / B * B);
		prompt = prompt - MARKS_TAIL + 60;
		x = next;
	}
	end();
}

static void a_long_conversation_leaves_the_ends_of_others(void **state)
{
	(void)state;
	begin(8, 32768, 0);
	struct text *other[2] = {say(NULL, 0, 300, 10), say(NULL, 0, 320, 10)};
	struct text *x = say(NULL, 0, 100, 10);
	for (uint32_t turn = 0; turn < 30; turn++)
		x = say(x, x->count, 100, 10);
	for (uint32_t i = 0; i < 2; i++) {
		struct text *next = say(other[i], other[i]->count, 20, 10);
		assert_int_equal(next->done.cached_tokens, other[i]->count - 1);
	}
	end();
}

static void an_edit_far_back_finds_a_stride(void **state)
{
	(void)state;
	begin(16, 65536, 0);
	struct text *x = say(NULL, 0, 9000, 5), *y = say(x, 5000, 300, 5);
	assert_true(y->done.cached_tokens > 5000 - 9000 / MARKS_STRIDES - B && y->done.cached_tokens <= 5000);
	/* The fork itself was marked then. */
	struct text *z = say(x, 5000, 310, 5);
	assert_int_equal(z->done.cached_tokens, 5000 / B * B);
	end();
}

static void strides_take_only_what_nobody_holds(void **state)
{
	(void)state;
	begin(4, 65536, 0);
	struct text *a = say(NULL, 0, 100, 5), *b = say(NULL, 0, 110, 5);
	/* Four sequences: two ends, and checkpoints of which the new one needs two. */
	say(NULL, 0, 9000, 5);
	struct text *again = say(b, b->count, 20, 5);
	assert_int_equal(again->done.cached_tokens, b->count - 1);
	(void)a;
	end();
}

static void those_that_come_together_meet_where_their_prompts_part(void **state)
{
	(void)state;
	begin(16, 65536, 0);
	struct text *x[5];
	x[0] = text(NULL, 0, 600);
	for (uint32_t i = 1; i < 5; i++)
		x[i] = text(x[0], 500, 40 + i);
	for (uint32_t i = 0; i < 5; i++)
		admit(x[i], 5);
	run();
	for (uint32_t i = 1; i < 5; i++)
		assert_int_equal(x[i]->done.cached_tokens, 496);
	assert_true(computed < 600 + 4 * 60 + 5 * 5);
	end();
}

static void nobody_pauses_where_less_than_a_block_is_saved(void **state)
{
	(void)state;
	begin(16, 65536, 0);
	/* The two start from 410 and part at 418: the block's border between is six tokens on. */
	struct text *first = say(NULL, 0, 410, 1), *x = text(first, 410, 600), *y = text(x, 418, 600);
	admit(x, 1);
	admit(y, 1);
	assert_true(step());
	const struct req *r = map_get_ptr(&s->by_id, (uint64_t)(x - pool) + 1);
	assert_non_null(r);
	assert_int_equal(r->marks.forks_count, 0);
	assert_int_equal(s->running_count, 2);
	run();
	assert_int_equal(y->done.cached_tokens, 410);
	end();
}

static void choices_of_one_prompt_start_from_its_last_token(void **state)
{
	(void)state;
	begin(16, 65536, 0);
	struct text *x[4];
	for (uint32_t i = 0; i < 4; i++) {
		x[i] = text(i ? x[0] : NULL, i ? 333 : 0, i ? 0 : 333);
		admit(x[i], 6);
	}
	run();
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(x[i]->done.cached_tokens, 332);
	assert_int_equal(computed, 332 + 4 * 6);
	end();
}

static void the_account_holds_ends_and_not_what_runs(void **state)
{
	(void)state;
	begin(8, 8192, 0);
	struct text *x = text(NULL, 0, 200);
	admit(x, 30);
	while (!x->got)
		assert_true(step());
	/* The checkpoint at 192, and nothing of the 200 that run. */
	assert_int_equal(told(x), 12);
	assert_int_equal(s->seqs.blocks.held, 12);
	run();
	assert_int_equal(told(x), (x->count - 1) / B);
	assert_int_equal(s->seqs.blocks.held, (x->count - 1) / B);
	end();
}

/* What a router counts as overlap is never more than what a prompt that goes on from there gets, but for the tail. */
static void what_is_told_can_be_had(void **state)
{
	(void)state;
	struct rng r;

	rng_init(&r, 5);
	begin(8, 4096, 0);
	const struct text *x = say(NULL, 0, 300, 10);
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t kept = rng_below(&r, 3) ? x->count : (uint32_t)rng_below(&r, x->count);
		struct text *next = text(x, kept, 10 + (uint32_t)rng_below(&r, 100));
		uint32_t overlap = told(next) * B;
		admit(next, 10);
		run();
		if (kept == x->count)
			assert_true(next->done.cached_tokens + B > overlap);
		x = next;
		if (x->count > 2500 || pool_count == LIVE) {
			pool[0] = *x;
			pool[0].count = MIN(pool[0].count, 300u);
			x = &pool[0];
			pool_count = 1;
		}
	}
	end();
}

static void equal_ends_are_kept_once(void **state)
{
	(void)state;
	begin(8, 8192, 0);
	for (uint32_t i = 0; i < 20; i++) {
		struct text *x = i ? text(&pool[0], 200, 0) : text(NULL, 0, 200);
		admit(x, 1);
		run();
	}
	/* The prompt's own end and the checkpoint before it. */
	assert_int_equal(s->seqs.retained_count, 2);
	end();
}

static void one_sequence_still_carries_one_conversation(void **state)
{
	(void)state;
	begin(1, 8192, 0);
	struct text *x = say(NULL, 0, 200, 10), *next = say(x, x->count, 30, 10);
	assert_int_equal(next->done.cached_tokens, x->count - 1);
	struct text *other = say(NULL, 0, 100, 10);
	assert_int_equal(other->done.cached_tokens, 0);
	end();
}

static void half_of_the_sequences_run_and_the_others_keep(void **state)
{
	(void)state;
	begin(8, 65536, 0);
	assert_int_equal(sched_running_max(s), 4);
	for (uint32_t i = 0; i < 8; i++)
		admit(text(NULL, 0, 100 + i), 20);
	step();
	struct msg_step report = {0};
	sched_report(s, &report);
	assert_int_equal(report.running, 4);
	run();
	for (uint32_t i = 4; i < 8; i++) {
		struct text *next = say(&pool[i], pool[i].count, 20, 1);
		assert_int_equal(next->done.cached_tokens, pool[i].count - 1);
	}
	end();
	begin(8, 65536, 8);
	assert_int_equal(sched_running_max(s), 8);
	end();
}

/* Cells run out: whole conversations go, the longest unused first. */
static void full_cells_drop_the_oldest_conversation(void **state)
{
	(void)state;
	begin(16, 1024, 0);
	struct text *a = say(NULL, 0, 300, 5), *b = say(NULL, 0, 300, 5), *c = say(NULL, 0, 500, 5);
	(void)a;
	struct text *next = say(c, c->count, 10, 5);
	assert_int_equal(next->done.cached_tokens, c->count - 1);
	next = say(b, b->count, 10, 5);
	assert_int_equal(next->done.cached_tokens, b->count - 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_turn_computes_what_is_new),
		cmocka_unit_test(a_turn_that_does_not_repeat_the_end_of_the_prompt_finds_the_checkpoint_before_it),
		cmocka_unit_test(a_long_conversation_leaves_the_ends_of_others),
		cmocka_unit_test(an_edit_far_back_finds_a_stride),
		cmocka_unit_test(strides_take_only_what_nobody_holds),
		cmocka_unit_test(those_that_come_together_meet_where_their_prompts_part),
		cmocka_unit_test(nobody_pauses_where_less_than_a_block_is_saved),
		cmocka_unit_test(choices_of_one_prompt_start_from_its_last_token),
		cmocka_unit_test(the_account_holds_ends_and_not_what_runs),
		cmocka_unit_test(what_is_told_can_be_had),
		cmocka_unit_test(equal_ends_are_kept_once),
		cmocka_unit_test(one_sequence_still_carries_one_conversation),
		cmocka_unit_test(half_of_the_sequences_run_and_the_others_keep),
		cmocka_unit_test(full_cells_drop_the_oldest_conversation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
