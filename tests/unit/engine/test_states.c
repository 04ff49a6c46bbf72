/* Models whose state cannot go back, under the scheduler: tiny ones of every architecture that llama.cpp keeps such a state for. A
 * stream that starts from a kept copy of the state is that of a request which runs alone, up to the first near tie. */
#include "base/rng.h"
#include "engine/llama.h"
#include "llama/context.h"
#include "model/facts.h"
#include "worker/sched.h"

#include "../lib/cmocka_all.h"
#include "../lib/tiny_model.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SEQS = 8, CELLS = 4096, TOKENS_CAP = 900, STREAMS = 40, VOCAB = 259 };
/* A smaller gap is a near tie. Weights and states are 32-bit floats and attention goes by positions, so hardly anything is; a state
 * that was not quite the right one would show. */
#define NOISE 0.00005f
#define WIDE (60 * 1000 * 1000)

struct stream {
	uint32_t tokens[TOKENS_CAP], count, prompt_len;
	float gap[TOKENS_CAP]; /* between the likeliest two, where a token was drawn */
	uint64_t kv_seed;
	struct sched_done done;
	bool ended;
};
static struct stream streams[STREAMS];
static uint32_t streams_count;
static struct engine *engine;
static struct sched *sched;
static uint64_t computed; /* tokens */
static uint64_t now_us;

static void sched_begin(uint64_t step_budget_us)
{
	struct err err;
	const struct sched_config config = {
		.block_size = 16, .step_budget_us = step_budget_us, .idle_budget_us = step_budget_us};

	if (sched_create(&sched, engine_info(engine), &config, &err) < 0)
		fail_msg("%s", err.msg);
}

static void sched_end(void)
{
	struct engine_op ops[SEQS];
	struct engine_result res = {0};
	struct err err;
	const struct engine_batch b = {.ops = ops, .ops_count = SEQS};

	for (uint32_t i = 0; i < SEQS; i++)
		ops[i] = (struct engine_op){ENGINE_SEQ_TRIM, 0, i, 0};
	assert_int_equal(engine_step(engine, &b, &res, &err), 0);
	sched_destroy(sched);
	sched = NULL;
}

static void collect(void)
{
	struct sched_outbox o = sched_outbox(sched);

	for (uint32_t i = 0; i < o.tokens_count; i++) {
		struct stream *x = o.tokens[i].user;
		assert_true(x->count < TOKENS_CAP);
		x->gap[x->count] = o.tokens[i].out->top_logprobs[0] - o.tokens[i].out->top_logprobs[1];
		x->tokens[x->count++] = o.tokens[i].token;
	}
	for (uint32_t i = 0; i < o.dones_count; i++) {
		struct stream *x = o.dones[i].user;
		assert_false(x->ended);
		x->ended = true;
		x->done = o.dones[i];
	}
	sched_outbox_clear(sched);
}

static bool step(void)
{
	struct err err = {0};
	const struct engine_batch *b = sched_compose(sched, ++now_us);

	collect();
	if (!b)
		return false;
	for (uint32_t i = 0; i < b->items_count; i++)
		computed += b->items[i].count;
	int r = engine_step(engine, b, sched_result(sched), &err);
	if (r < 0)
		fail_msg("the step failed: %s", err.msg);
	assert_int_equal(sched_apply(sched, now_us, r, &err), 0);
	collect();
	return true;
}

static void run(void)
{
	while (sched_requests(sched))
		assert_true(step() || !sched_requests(sched));
}

static void admit(struct stream *x, uint32_t max_tokens)
{
	const struct sched_request q = {.id = (uint64_t)(x - streams) + 1,
		.user = x,
		.tokens = x->tokens,
		.tokens_count = x->count,
		.prompt_len = x->count,
		.max_tokens = max_tokens,
		.ignore_eos = true,
		.logprobs = 3,
		.kv_seed = x->kv_seed};

	x->prompt_len = x->count;
	assert_int_equal(sched_admit(sched, now_us, &q), 0);
}

/* A prompt that begins with so many tokens of another, and goes on with its own. */
static struct stream *add(const struct stream *from, uint32_t kept, uint32_t own)
{
	struct stream *x = &streams[streams_count++];

	assert_true(streams_count <= STREAMS && kept + own < TOKENS_CAP);
	memset(x, 0, sizeof *x);
	if (from)
		memcpy(x->tokens, from->tokens, kept * sizeof *x->tokens);
	x->kv_seed = from ? from->kv_seed : 0;
	for (uint32_t i = 0; i < own; i++)
		x->tokens[kept + i] = 3 + (uint32_t)(rng_keyed_u64(streams_count, i) % 256);
	x->count = kept + own;
	return x;
}

/* What the prompt of x gives when it runs alone, against what it gave. */
static void check(const struct stream *x)
{
	static struct stream alone;

	alone = *x;
	alone.count = x->prompt_len;
	alone.ended = false;
	sched_begin(WIDE);
	const struct sched_request q = {.id = 1,
		.user = &alone,
		.tokens = alone.tokens,
		.tokens_count = alone.count,
		.prompt_len = alone.count,
		.max_tokens = x->count - x->prompt_len,
		.ignore_eos = true,
		.logprobs = 3};
	if (x->count > x->prompt_len) {
		assert_int_equal(sched_admit(sched, 0, &q), 0);
		run();
	}
	sched_end();
	for (uint32_t i = x->prompt_len; i < x->count; i++) {
		if (alone.tokens[i] == x->tokens[i])
			continue;
		if (alone.gap[i] > NOISE)
			fail_msg("stream %d: token %u differs (prompt %u, %u cached), though the gap was %.4f",
				(int)(x - streams), i, x->prompt_len, x->done.cached_tokens, (double)alone.gap[i]);
		print_message("             streams part at token %u, at a gap of %.5f\n", i, (double)alone.gap[i]);
		return;
	}
}

static void check_all(void)
{
	for (uint32_t i = 0; i < streams_count; i++)
		check(&streams[i]);
	streams_count = 0;
}

static void open_model(const char *kind)
{
	char path[256];
	struct err err;
	const struct llama_config config = {.path = tiny_model(kind, path, sizeof path),
		.context = {.cells = CELLS, .seqs_max = SEQS, .flash_attention = true, .threads = 1}};

	if (llama_engine_create(&engine, &config, &err) < 0)
		fail_msg("%s: %s", kind, err.msg);
	unlink(path);
	assert_int_equal(engine_info(engine)->vocab, VOCAB);
	streams_count = 0;
}

static void close_model(void)
{
	engine_destroy(engine);
	engine = NULL;
}

static const char *const kinds[] = {"mamba", "mamba2", "rwkv6", "rwkv7", "lfm2", "jamba", "granite", "falcon-h1",
	"nemotron-h", "qwen35", "qwen3next", "plamo2"};

/* ---- conversations ---- */

static void a_conversation_grows(void)
{
	sched_begin(WIDE);
	struct stream *first = add(NULL, 0, 150);
	admit(first, 12);
	run();
	assert_int_equal(first->done.cached_tokens, 0);
	/* All but the last token of the answer, which was never computed. */
	struct stream *second = add(first, first->count, 40);
	admit(second, 12);
	run();
	assert_int_equal(second->done.cached_tokens, first->count - 1);
	/* The template left out what it had put at the end: the last block that ends MARKS_TAIL before the prompt's end. */
	struct stream *third = add(second, second->prompt_len - 3, 30);
	admit(third, 12);
	run();
	assert_int_equal(third->done.cached_tokens, (second->prompt_len - 8) / 16 * 16);
	/* The same prompt once more. */
	struct stream *again = add(third, third->prompt_len, 0);
	computed = 0;
	admit(again, 12);
	run();
	assert_true(again->done.cached_tokens >= third->prompt_len - 8 - 16);
	assert_true(computed < 12 + 24);
	sched_end();
	check_all();
}

static void a_system_prompt_is_shared(void)
{
	sched_begin(WIDE);
	struct stream *a = add(NULL, 0, 200), *b = add(a, 120, 50), *c = add(a, 120, 60);
	admit(a, 4);
	run();
	/* The second pays for it once more and leaves a copy for the third. */
	admit(b, 4);
	run();
	assert_int_equal(b->done.cached_tokens, 0);
	admit(c, 4);
	run();
	assert_int_equal(c->done.cached_tokens, 112);
	sched_end();
	check_all();
}

static void choices_share_their_prompt(void)
{
	sched_begin(WIDE);
	computed = 0;
	struct stream *x[3];
	for (int i = 0; i < 3; i++) {
		x[i] = i ? add(x[0], 75, 0) : add(NULL, 0, 75);
		admit(x[i], 6);
	}
	run();
	bool together = sched_running_max(sched) > 1; /* else from the last block's border, one after the other */
	for (int i = 1; i < 3; i++)
		assert_int_equal(x[i]->done.cached_tokens, together ? 74 : 64);
	assert_int_equal(computed, together ? 74 + 3 * 6 : 64 + 3 * (11 + 5));
	sched_end();
	check_all();
}

static void every_architecture_keeps_a_conversation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		print_message("             %s\n", kinds[i]);
		open_model(kinds[i]);
		assert_false(engine_info(engine)->prefix_copy);
		assert_true(engine_info(engine)->whole_copy);
		a_conversation_grows();
		a_system_prompt_is_shared();
		choices_share_their_prompt();
		close_model();
	}
}

/* ---- disorder ---- */

static void admit_something(struct rng *r)
{
	const struct stream *from = streams_count ? &streams[rng_below(r, streams_count)] : NULL;
	uint32_t kept = 0;

	if (from && from->count < TOKENS_CAP / 2 && rng_below(r, 4))
		kept = rng_below(r, 2) ? from->count : (uint32_t)rng_below(r, from->count + 1);
	struct stream *x = add(from, kept, (uint32_t)rng_below(r, 90) + (kept ? 0 : 20));
	admit(x, 1 + (uint32_t)rng_below(r, 20));
}

/* Requests that begin like others, come while others run, are cancelled and pre-empted, with pieces large and small. */
static void disorder(uint64_t seed)
{
	struct rng r;

	rng_init(&r, seed);
	sched_begin(rng_below(&r, 2) ? WIDE : 1);
	while (streams_count < STREAMS) {
		switch (rng_below(&r, 6)) {
		case 0:
			if (streams_count)
				sched_cancel(sched, now_us, rng_below(&r, streams_count) + 1);
			collect();
			break;
		case 1:
			sched_preempt(sched);
			break;
		case 2:
			admit_something(&r);
			break;
		default:
			step();
		}
	}
	run();
	sched_end();
	check_all();
}

static void whatever_happens_streams_are_those_of_requests_that_run_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		print_message("             %s\n", kinds[i]);
		open_model(kinds[i]);
		for (uint64_t seed = 1; seed <= 3; seed++)
			disorder(seed * 100 + i);
		close_model();
	}
}

/* ---- cells ---- */

static void a_sliding_window_is_still_reused_at_any_place(void **state)
{
	(void)state;
	open_model("gemma3");
	assert_true(engine_info(engine)->prefix_copy);
	sched_begin(WIDE);
	struct stream *a = add(NULL, 0, 200);
	admit(a, 8);
	run();
	struct stream *b = add(a, 100, 50);
	admit(b, 8);
	run();
	assert_int_equal(b->done.cached_tokens, 100);
	sched_end();
	check_all();
	for (uint64_t seed = 1; seed <= 5; seed++)
		disorder(seed);
	close_model();
}

/* ---- memory ---- */

/* What is asked for before anything is allocated is what llama.cpp then allocates: all but the padding of its buffers. */
static void memory_is_foreseen_to_the_byte(void **state)
{
	(void)state;
	static const char *const more[] = {"llama", "gemma3", "qwen35-ahead"};
	static const enum ll_kv_type types[] = {LL_KV_F16, LL_KV_F32};

	for (size_t i = 0; i < (ARRAY_LEN(kinds) + ARRAY_LEN(more)) * ARRAY_LEN(types); i++) {
		size_t k = i / ARRAY_LEN(types);
		const char *kind = k < ARRAY_LEN(kinds) ? kinds[k] : more[k - ARRAY_LEN(kinds)];
		const struct ll_context_params params = {.cells = 512,
			.seqs_max = 3 + (uint32_t)i,
			.flash_attention = true,
			.type_k = types[i % 2],
			.type_v = types[i % 2],
			.threads = 1};
		struct ll_model *m;
		struct ll_context *c;
		char path[256];
		struct err err;
		struct model_facts facts;
		const struct ll_model_params load = {.gpu_layers = 0};
		if (ll_model_load(&m, tiny_model(kind, path, sizeof path), &load, &err) < 0 ||
			model_facts_from_gguf(&facts, path, &err) < 0)
			fail_msg("%s: %s", kind, err.msg);
		unlink(path);
		if (ll_context_create(&c, m, &params, &err) < 0)
			fail_msg("%s: %s", kind, err.msg);
		uint64_t foreseen = ll_kv_bytes(m, &params), held = ll_context_facts(c)->kv_bytes;
		if (held < foreseen || held > foreseen + 64 * 1024 || held > foreseen * 1.02 + 256)
			fail_msg("%s: %llu bytes foreseen, %llu allocated", kind, (unsigned long long)foreseen,
				(unsigned long long)held);
		/* And what plan says, which reads the file's header only. */
		uint64_t kv = model_kv_bytes_per_token(&facts, types[i % 2] == LL_KV_F16 ? KV_F16 : KV_F32);
		assert_int_equal(facts.state_bytes, ll_context_facts(c)->state_bytes_seq);
		assert_int_equal(kv * params.cells + facts.state_bytes * params.seqs_max, foreseen);
		ll_context_destroy(c);
		ll_model_destroy(m);
	}
}

static uint32_t seqs_of(const char *kind, uint32_t seqs, bool fit, double share)
{
	const struct ll_context_params params = {.cells = 256,
		.seqs_max = seqs,
		.seqs_fit = fit,
		.flash_attention = true,
		.threads = 1,
		.memory_share = share};
	const struct ll_model_params load = {.gpu_layers = 0};
	struct ll_model *m;
	struct ll_context *c;
	char path[256];
	struct err err;

	assert_int_equal(ll_model_load(&m, tiny_model(kind, path, sizeof path), &load, &err), 0);
	unlink(path);
	if (ll_context_create(&c, m, &params, &err) < 0)
		fail_msg("%s: %s", kind, err.msg);
	uint32_t ret = ll_context_facts(c)->seqs_max;
	ll_context_destroy(c);
	ll_model_destroy(m);
	return ret;
}

/* Eight conversations of 4,000 tokens do not fit into one context of 4,096, and need not. */
static void without_attention_every_sequence_has_a_context_of_its_own(void **state)
{
	(void)state;
	char path[256];
	struct err err;
	struct llama_config config = {.path = tiny_model("mamba", path, sizeof path),
		.context = {.seqs_max = SEQS, .flash_attention = true, .threads = 1}};

	assert_int_equal(llama_engine_create(&engine, &config, &err), 0);
	assert_int_equal(engine_info(engine)->cells, SEQS * 4096);
	assert_int_equal(engine_info(engine)->context_max, 4096);
	close_model();
	config.context.cells = 2048;
	assert_int_equal(llama_engine_create(&engine, &config, &err), 0);
	assert_int_equal(engine_info(engine)->cells, 2048);
	close_model();
	unlink(path);
}

static void states_that_nobody_asked_for_leave_memory_for_the_rest(void **state)
{
	(void)state;
	assert_int_equal(seqs_of("mamba", 64, true, 0), 64);
	assert_int_equal(seqs_of("mamba", 64, true, 1e-9), LL_SEQS_LEAST);
	assert_int_equal(seqs_of("mamba", 4, true, 1e-9), 4);
	assert_int_equal(seqs_of("granite", 64, true, 1e-9), LL_SEQS_LEAST);
	/* What was asked for is tried, and what costs nothing is not cut. */
	assert_int_equal(seqs_of("granite", 40, false, 1e-9), 40);
	assert_int_equal(seqs_of("llama", 64, true, 1e-9), 64);
	assert_int_equal(seqs_of("gemma3", 200, false, 0), 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_architecture_keeps_a_conversation),
		cmocka_unit_test(whatever_happens_streams_are_those_of_requests_that_run_alone),
		cmocka_unit_test(a_sliding_window_is_still_reused_at_any_place),
		cmocka_unit_test(memory_is_foreseen_to_the_byte),
		cmocka_unit_test(without_attention_every_sequence_has_a_context_of_its_own),
		cmocka_unit_test(states_that_nobody_asked_for_leave_memory_for_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
