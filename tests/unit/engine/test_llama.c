/* The llama engine under the scheduler, with the demo model: whatever path a stream takes, it is the same to the bit. */
#include "base/rng.h"
#include "engine/llama.h"
#include "text/tokenizer.h"
#include "worker/sched.h"

#include "../lib/cmocka_all.h"
#include "../lib/llama_data.h"
#include <stdio.h>
#include <string.h>

enum { STREAM = 24, PROMPT_MAX = 300, SEQS = 8, CELLS = 512 };

static char path[512];
static struct engine *engine;
static struct tokenizer *tokenizer;

struct stream {
	struct tokens prompt;
	uint32_t tokens[STREAM * 4], count;
	float gap[STREAM * 4]; /* between the likeliest two */
	struct sched_done done;
	bool ended;
};

static const char *const texts[] = {"The three largest cities of France are", "Once upon a time there was a small",
	"Water boils at a temperature of", "def fibonacci(n):\n    if n < 2:\n        return"};

static struct sched *sched_new(uint64_t step_budget_us)
{
	struct sched *s;
	struct err err;
	const struct sched_config config = {
		.block_size = 16, .step_budget_us = step_budget_us, .idle_budget_us = step_budget_us};

	if (sched_create(&s, engine_info(engine), &config, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static void stream_init(struct stream *x, const char *text)
{
	struct err err;

	*x = (struct stream){0};
	if (tokenizer_encode(tokenizer, text, strlen(text), TOKENIZE_BOS_EOS, PROMPT_MAX, &x->prompt, &err) < 0)
		fail_msg("%s", err.msg);
}

static void admit(struct sched *s, uint64_t id, struct stream *x, uint32_t max_tokens, float temperature)
{
	const struct sched_request q = {.id = id,
		.user = x,
		.tokens = x->prompt.v,
		.tokens_count = x->prompt.len,
		.prompt_len = x->prompt.len,
		.max_tokens = max_tokens,
		.ignore_eos = true,
		.logprobs = 3,
		.sampling = {.temperature = temperature, .seed = 7}};

	assert_int_equal(sched_admit(s, 0, &q), 0);
}

static void collect(struct sched *s)
{
	struct sched_outbox o = sched_outbox(s);

	for (uint32_t i = 0; i < o.tokens_count; i++) {
		struct stream *x = o.tokens[i].user;
		const struct engine_out *out = o.tokens[i].out;
		assert_int_equal(out->top_count, 2);
		x->gap[x->count] = out->top_logprobs[0] - out->top_logprobs[1];
		x->tokens[x->count++] = o.tokens[i].token;
	}
	for (uint32_t i = 0; i < o.dones_count; i++) {
		struct stream *x = o.dones[i].user;
		assert_false(x->ended);
		x->ended = true;
		x->done = o.dones[i];
	}
	sched_outbox_clear(s);
}

static bool step(struct sched *s)
{
	struct err err = {0};
	const struct engine_batch *b = sched_compose(s, 0);

	collect(s);
	if (!b)
		return false;
	int r = engine_step(engine, b, sched_result(s), &err);
	if (r < 0)
		fail_msg("the step failed: %s", err.msg);
	assert_int_equal(sched_apply(s, 0, r, &err), 0);
	collect(s);
	return true;
}

/* The engine outlives each test's scheduler: take its sequences back. */
static void sched_end(struct sched *s)
{
	struct engine_op ops[SEQS];
	struct engine_result res = {0};
	struct err err;
	const struct engine_batch b = {.ops = ops, .ops_count = SEQS};

	for (uint32_t i = 0; i < SEQS; i++)
		ops[i] = (struct engine_op){ENGINE_SEQ_TRIM, 0, i, 0};
	assert_int_equal(engine_step(engine, &b, &res, &err), 0);
	sched_destroy(s);
}

static void run(struct sched *s)
{
	while (sched_requests(s))
		assert_true(step(s));
}

/* The stream of a prompt that runs alone in large batches. */
static void reference(struct stream *x, const char *text, uint32_t max_tokens)
{
	struct sched *s = sched_new(60 * 1000 * 1000);

	stream_init(x, text);
	admit(s, 1, x, max_tokens, 0);
	run(s);
	assert_int_equal(x->count, max_tokens);
	sched_end(s);
}

/* The same tokens, and the same log-probabilities to the bit. */
static void same_to_the_bit(const struct stream *a, const struct stream *b)
{
	assert_int_equal(a->count, b->count);
	for (uint32_t i = 0; i < a->count; i++)
		if (a->tokens[i] != b->tokens[i] || a->gap[i] != b->gap[i])
			fail_msg("token %u of %u: %u here and %u there, at gaps of %.9g and %.9g", i, a->count,
				a->tokens[i], b->tokens[i], (double)a->gap[i], (double)b->gap[i]);
}

static void stream_done(struct stream *x)
{
	vec_done(&x->prompt);
}

static void a_stream_is_the_same_alone_and_in_a_batch(void **state)
{
	(void)state;
	struct stream alone[4], together[4];

	for (int i = 0; i < 4; i++)
		reference(&alone[i], texts[i], STREAM);
	struct sched *s = sched_new(60 * 1000 * 1000);
	for (int i = 0; i < 4; i++) {
		stream_init(&together[i], texts[i]);
		admit(s, 1 + (uint64_t)i, &together[i], STREAM, 0);
	}
	run(s);
	sched_end(s);
	for (int i = 0; i < 4; i++) {
		same_to_the_bit(&alone[i], &together[i]);
		stream_done(&alone[i]);
		stream_done(&together[i]);
	}
}

static void prefill_in_small_pieces_changes_nothing(void **state)
{
	(void)state;
	struct stream whole, pieces;

	reference(&whole, texts[3], STREAM);
	struct sched *s = sched_new(1); /* the smallest pieces there are */
	stream_init(&pieces, texts[3]);
	admit(s, 1, &pieces, STREAM, 0);
	run(s);
	sched_end(s);
	same_to_the_bit(&whole, &pieces);
	stream_done(&whole);
	stream_done(&pieces);
}

static void a_reused_prefix_gives_the_same_stream(void **state)
{
	(void)state;
	struct stream first, again, longer;
	char text[600];

	reference(&first, texts[0], STREAM);
	struct sched *s = sched_new(60 * 1000 * 1000);
	stream_init(&again, texts[0]);
	admit(s, 1, &again, STREAM, 0);
	run(s);
	stream_done(&again);
	stream_init(&again, texts[0]);
	admit(s, 2, &again, STREAM, 0);
	run(s);
	assert_int_equal(again.done.cached_tokens, again.prompt.len - 1);
	same_to_the_bit(&first, &again);
	/* A longer prompt takes the shared part of a retained one. */
	snprintf(text, sizeof text, "%s Paris, Marseille and Lyon. The two largest rivers are", texts[0]);
	stream_init(&longer, text);
	admit(s, 3, &longer, STREAM, 0);
	run(s);
	assert_true(longer.done.cached_tokens >= first.prompt.len - 1);
	sched_end(s);
	struct stream fresh;
	reference(&fresh, text, STREAM);
	same_to_the_bit(&fresh, &longer);
	stream_done(&first);
	stream_done(&again);
	stream_done(&longer);
	stream_done(&fresh);
}

static void a_preempted_stream_goes_on_as_if_nothing_had_been(void **state)
{
	(void)state;
	struct stream alone[2], x[2];

	for (int i = 0; i < 2; i++)
		reference(&alone[i], texts[i], STREAM);
	struct sched *s = sched_new(60 * 1000 * 1000);
	for (int i = 0; i < 2; i++) {
		stream_init(&x[i], texts[i]);
		admit(s, 1 + (uint64_t)i, &x[i], STREAM, 0);
	}
	for (uint32_t steps = 0; sched_requests(s); steps++) {
		assert_true(step(s));
		if (steps % 6 == 5)
			sched_preempt(s);
	}
	sched_end(s);
	assert_true(x[1].done.preemptions >= 2);
	for (int i = 0; i < 2; i++) {
		same_to_the_bit(&alone[i], &x[i]);
		stream_done(&alone[i]);
		stream_done(&x[i]);
	}
}

/* Eight answers of 90 tokens do not fit into 512 cells. */
static void full_cells_preempt_and_everybody_ends(void **state)
{
	(void)state;
	enum { MANY = 8, LONG = 80 };
	static struct stream x[MANY];
	struct sched *s = sched_new(60 * 1000 * 1000);
	uint32_t preemptions = 0;
	char text[200];

	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(text, sizeof text, "%s %u", texts[i % 4], i);
		stream_init(&x[i], text);
		admit(s, 1 + i, &x[i], LONG, 0);
	}
	run(s);
	sched_end(s);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(x[i].done.reason, MSG_REASON_LENGTH);
		assert_int_equal(x[i].count, LONG);
		preemptions += x[i].done.preemptions;
		stream_done(&x[i]);
	}
	assert_true(preemptions > 0);
}

static void cancel_gives_the_cells_to_others(void **state)
{
	(void)state;
	struct stream alone, kept, gone;
	struct sched *s = sched_new(60 * 1000 * 1000);
	struct msg_step report = {0};

	stream_init(&kept, texts[1]);
	stream_init(&gone, texts[2]);
	admit(s, 1, &kept, STREAM, 0);
	admit(s, 2, &gone, 90, 0);
	for (int i = 0; i < 8; i++)
		step(s);
	assert_true(sched_cancel(s, 0, 2));
	run(s);
	assert_int_equal(gone.done.reason, MSG_REASON_CANCELLED);
	sched_report(s, &report);
	assert_int_equal(report.cells_active, 0);
	sched_end(s);
	reference(&alone, texts[1], STREAM);
	same_to_the_bit(&alone, &kept);
	stream_done(&alone);
	stream_done(&kept);
	stream_done(&gone);
}

static void draws_are_keyed_by_seed_and_position(void **state)
{
	(void)state;
	struct stream a, b, greedy;

	for (int round = 0; round < 2; round++) {
		struct sched *s = sched_new(60 * 1000 * 1000);
		stream_init(round ? &b : &a, texts[1]);
		admit(s, 1, round ? &b : &a, STREAM, 1);
		run(s);
		sched_end(s);
	}
	assert_memory_equal(a.tokens, b.tokens, STREAM * sizeof *a.tokens);
	reference(&greedy, texts[1], STREAM);
	assert_memory_not_equal(a.tokens, greedy.tokens, STREAM * sizeof *a.tokens);
	stream_done(&a);
	stream_done(&b);
	stream_done(&greedy);
}

/* Six requests, some of them beginning alike, drawn and greedy, with penalties and without, again and again in another order, at
 * other times, pre-empted and reusing each other's prefixes in 512 cells that soon are full. */
enum { MIX = 6, MIX_ROUNDS = 30, MIX_STREAM = 16 };

static void mix_init(struct stream *x, uint32_t i)
{
	static const char *const more[] = {
		"", " Think of the sea, of ships, of sand, of salt and of the wind in old sails, and then"};
	char text[400];

	snprintf(text, sizeof text, "%s%s", texts[i % 3], more[i / 3]);
	stream_init(x, text);
}

static void mix_admit(struct sched *s, uint32_t i, struct stream *x)
{
	const struct sched_request q = {.id = 1 + i,
		.user = x,
		.tokens = x->prompt.v,
		.tokens_count = x->prompt.len,
		.prompt_len = x->prompt.len,
		.max_tokens = MIX_STREAM,
		.ignore_eos = true,
		.logprobs = 3,
		.no_cache = i == 5,
		.sampling = {.temperature = i % 2 ? 1 : 0,
			.seed = 7 + i,
			.frequency_penalty = i == 2 ? 1.5f : 0,
			.presence_penalty = i == 3 ? -1 : 0,
			.repetition_penalty = i == 4 ? 1.3f : 1}};

	assert_int_equal(sched_admit(s, 0, &q), 0);
}

static void no_mix_of_requests_changes_a_bit_of_one(void **state)
{
	(void)state;
	struct stream alone[MIX];
	uint32_t preemptions = 0, cached = 0;
	struct rng r;

	rng_init(&r, 12);
	for (uint32_t i = 0; i < MIX; i++) {
		struct sched *s = sched_new(60 * 1000 * 1000);
		mix_init(&alone[i], i);
		mix_admit(s, i, &alone[i]);
		run(s);
		sched_end(s);
	}
	struct sched *s = sched_new(30 * 1000);
	for (uint32_t round = 0; round < MIX_ROUNDS; round++) {
		struct stream x[MIX];
		uint32_t first = (uint32_t)rng_below(&r, MIX), count = 1 + (uint32_t)rng_below(&r, MIX);
		for (uint32_t n = 0; n < count; n++) {
			uint32_t i = (first + n * 5) % MIX;
			mix_init(&x[n], i);
			mix_admit(s, i, &x[n]);
			for (uint64_t steps = rng_below(&r, 4); steps; steps--)
				step(s);
			if (!rng_below(&r, 3))
				sched_preempt(s);
		}
		run(s);
		for (uint32_t n = 0; n < count; n++) {
			uint32_t i = (first + n * 5) % MIX;
			same_to_the_bit(&alone[i], &x[n]);
			assert_true(i != 5 || !x[n].done.cached_tokens);
			preemptions += x[n].done.preemptions;
			cached += x[n].done.cached_tokens;
			stream_done(&x[n]);
		}
	}
	sched_end(s);
	assert_true(preemptions > 0 && cached > 0);
	for (uint32_t i = 0; i < MIX; i++)
		stream_done(&alone[i]);
}

static void a_missing_model_is_a_sentence(void **state)
{
	(void)state;
	const struct llama_config config = {.path = "/nowhere/x.gguf"};
	struct engine *e = NULL;
	struct err err = {0};

	assert_true(llama_engine_create(&e, &config, &err) < 0);
	assert_non_null(strstr(err.msg, "/nowhere/x.gguf"));
	assert_null(e);
}

static void a_context_larger_than_the_models_is_refused_with_both_numbers(void **state)
{
	(void)state;
	const struct llama_config config = {.path = path,
		.context = {.cells = CELLS, .seqs_max = SEQS, .flash_attention = true, .threads = 1},
		.context_max = 100000};
	struct engine *e = NULL;
	struct err err = {0};

	assert_int_equal(llama_engine_create(&e, &config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "100000"));
	assert_non_null(strstr(err.msg, "8192"));
}

static int set_up(void **state)
{
	(void)state;
	struct err err;

	snprintf(path, sizeof path, "%s", demo_model());
	const struct llama_config config = {
		.path = path, .context = {.cells = CELLS, .seqs_max = SEQS, .flash_attention = true, .threads = 1}};
	if (llama_engine_create(&engine, &config, &err) < 0 || tokenizer_load(&tokenizer, path, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	engine_destroy(engine);
	tokenizer_destroy(tokenizer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_the_same_alone_and_in_a_batch),
		cmocka_unit_test(prefill_in_small_pieces_changes_nothing),
		cmocka_unit_test(a_reused_prefix_gives_the_same_stream),
		cmocka_unit_test(a_preempted_stream_goes_on_as_if_nothing_had_been),
		cmocka_unit_test(full_cells_preempt_and_everybody_ends),
		cmocka_unit_test(cancel_gives_the_cells_to_others),
		cmocka_unit_test(draws_are_keyed_by_seed_and_position),
		cmocka_unit_test(no_mix_of_requests_changes_a_bit_of_one),
		cmocka_unit_test(a_missing_model_is_a_sentence),
		cmocka_unit_test(a_context_larger_than_the_models_is_refused_with_both_numbers),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
