/* Simulated worlds: the same seed gives the same run; whatever fails, every request ends once and nothing is left over. */
#include "base/rng.h"
#include "sim/generate.h"
#include "sim/replay.h"

#include "../lib/cmocka_all.h"

#include <stdio.h>

/* Worlds tried here; the long run asks for more with STATOR_WORLDS, and one is repeated with STATOR_WORLD=SEED. */
enum { WORLDS = 1000 };

static struct sim_model model;
static struct replay_config config;

static struct trace make_trace(const char *spec, uint64_t seed, uint32_t block_size)
{
	struct buf text;
	struct err err = {0};
	struct trace t = {0};

	buf_init(&text, 1 << 24);
	if (trace_generate(&text, spec, seed, &err) < 0 ||
		trace_parse(&t, "made up", text.data, text.len, block_size, &err) < 0)
		fail_msg("%s", err.msg);
	buf_done(&text);
	return t;
}

static void setup(const char *policy)
{
	struct err err = {0};

	assert_int_equal(sim_model_find(&model, "dynamo-mocker", &err), 0);
	replay_config_default(&config);
	config.model = &model;
	config.policy = route_policy_parse(policy, &config.knobs, &err);
	assert_non_null(config.policy);
	config.workers = 4;
	config.blocks = 400;
	config.block_size = 64;
}

static void the_same_seed_gives_the_same_run(void **state)
{
	struct replay_result a, b;
	struct err err;
	(void)state;
	setup("finish-time");
	struct trace t = make_trace("agent:requests=400,prefix=1000,rate=40", 3, 64);
	config.trace = &t;
	config.events_late_us = 20000;
	config.events_lost = 0.1;
	assert_int_equal(replay_run(&a, &config, &err), 0);
	assert_int_equal(replay_run(&b, &config, &err), 0);
	assert_memory_equal(a.v, b.v, sizeof *a.v * t.len);
	assert_memory_equal(&a.ttft, &b.ttft, sizeof a.ttft);
	assert_int_equal(a.passes, b.passes);
	assert_int_equal(a.completed, 400);
	replay_result_done(&a);
	replay_result_done(&b);
	trace_done(&t);
}

/* One request alone: its times are the polynomials' own. */
static void one_request_takes_what_the_model_says(void **state)
{
	static const char text[] = "0 1000 3\n";
	struct replay_result r;
	struct trace t;
	struct err err;
	(void)state;
	setup("round-robin");
	assert_int_equal(trace_parse(&t, "t", text, strlen(text), 64, &err), 0);
	config.trace = &t;
	config.workers = 1;
	assert_int_equal(replay_run(&r, &config, &err), 0);
	double ttft = 16.50142 + 1.518344e-02 * 1000 + 4.209989e-07 * 1e6, decode = 0;
	for (int context = 1001; context <= 1002; context++) {
		double p = context / (400 * 64.0);
		decode += 5.74 + 54.01 * p - 25.74 * p * p;
	}
	assert_float_equal(r.v[0].ttft_ms, ttft, 0.001);
	assert_float_equal(r.v[0].e2e_ms, ttft + decode, 0.002);
	assert_int_equal(r.passes, 3);
	replay_result_done(&r);
	trace_done(&t);
}

static void a_prompt_seen_before_is_computed_only_behind_what_is_there(void **state)
{
	static const char text[] = "0 640 2 prefix=a:640\n1000 640 2 prefix=a:640\n2000 700 2 prefix=a:640\n";
	struct replay_result r;
	struct trace t;
	struct err err;
	(void)state;
	setup("round-robin");
	assert_int_equal(trace_parse(&t, "t", text, strlen(text), 64, &err), 0);
	config.trace = &t;
	config.workers = 1;
	assert_int_equal(replay_run(&r, &config, &err), 0);
	assert_int_equal(r.v[0].cached_tokens, 0);
	assert_int_equal(r.v[1].cached_tokens, 576); /* its last token is computed in any case */
	assert_int_equal(r.v[2].cached_tokens, 640);
	replay_result_done(&r);
	trace_done(&t);
}

/* Shared prefixes must pay, and a policy that knows of them must see them sooner than one that takes turns. */
static void a_policy_that_sees_caches_reuses_more(void **state)
{
	double reuse[2];
	struct err err;
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct replay_result r;
		setup(i ? "finish-time" : "round-robin");
		struct trace t = make_trace("agent:requests=500,prefix=1500,groups=6,rate=30", 5, 64);
		config.trace = &t;
		assert_int_equal(replay_run(&r, &config, &err), 0);
		assert_int_equal(r.completed, 500);
		reuse[i] = r.reuse;
		replay_result_done(&r);
		trace_done(&t);
	}
	assert_true(reuse[1] > reuse[0] + 0.1);
}

static void a_worker_that_dies_loses_no_request(void **state)
{
	struct replay_result r;
	struct err err;
	(void)state;
	setup("finish-time");
	struct trace t = make_trace("chat:requests=300,rate=60", 9, 64);
	config.trace = &t;
	config.faults[0] = (struct replay_fault){.kind = REPLAY_DIE, .worker = 1, .at_us = 2000000};
	config.faults[1] = (struct replay_fault){.kind = REPLAY_JOIN, .worker = 2, .at_us = 2500000};
	config.faults_count = 2;
	assert_int_equal(replay_run(&r, &config, &err), 0);
	assert_int_equal(r.completed, 300);
	assert_true(r.restarts > 0);
	replay_result_done(&r);
	trace_done(&t);
}

static void faults_draw(struct rng *rng)
{
	config.events_late_us = rng_below(rng, 3) ? 0 : rng_below(rng, 500000);
	config.events_lost = rng_below(rng, 4) ? 0 : rng_unit(rng) * 0.5;
	config.faults_count = 0;
	/* Worker 0 stays, or nobody could serve what is left. */
	for (uint32_t w = 1; w < config.workers; w++) {
		if (rng_below(rng, 2))
			continue;
		struct replay_fault *f = &config.faults[config.faults_count++];
		*f = (struct replay_fault){.kind = (enum replay_fault_kind)rng_below(rng, 3),
			.worker = w,
			.factor = 0.2 + rng_unit(rng) * 4,
			.at_us = rng_below(rng, 6000000)};
	}
}

/* replay_run frees every pool, which asserts that nothing waits or is out; here every request must have ended as well. */
static void world_run(uint64_t seed)
{
	static const char *const policies[] = {"finish-time", "dynamo-kv",
		"dynamo-kv:prefill_load_scale=16,router_queue_threshold=0.25,wspt", "prefix", "round-robin", "random",
		"least-loaded", "p2c", "session"};
	static const char *const loads[] = {"agent", "chat", "shared"};
	struct rng rng;
	char spec[256];
	struct replay_result r;
	struct err err;

	rng_init(&rng, seed);
	setup(policies[rng_below(&rng, ARRAY_LEN(policies))]);
	if (rng_below(&rng, 4) == 0)
		assert_int_equal(sim_model_find(&model, "mock", &err), 0);
	config.seed = seed;
	config.workers = 1 + (uint32_t)rng_below(&rng, 5);
	config.frontends = 1 + (uint32_t)rng_below(&rng, 3);
	config.block_size = 16u << rng_below(&rng, 3);
	config.blocks = 4000 / config.block_size + (uint32_t)rng_below(&rng, 8000 / config.block_size);
	config.evict = rng_below(&rng, 2) ? &kv_evict_lru : &kv_evict_age_uses;
	for (uint32_t i = 0; i < config.workers; i++)
		config.speeds[i] = rng_below(&rng, 2) ? 1 : 0.3 + rng_unit(&rng) * 2;
	faults_draw(&rng);
	snprintf(spec, sizeof spec, "%s:requests=%u,rate=%u,prefix=%u,own=80,answer=25,turns=4,think=0.5",
		loads[rng_below(&rng, ARRAY_LEN(loads))], 10 + (uint32_t)rng_below(&rng, 40),
		1 + (uint32_t)rng_below(&rng, 60), (uint32_t)rng_below(&rng, 900));
	struct trace t = make_trace(spec, seed, config.block_size);
	config.trace = &t;
	if (replay_run(&r, &config, &err) < 0)
		fail_msg("world %llu: %s", (unsigned long long)seed, err.msg);
	uint32_t refused = 0;
	for (uint32_t i = 0; i < t.len; i++)
		refused += t.rows[i].prompt_tokens + t.rows[i].answer_tokens > config.blocks * config.block_size;
	if (r.completed + refused != t.len || r.shed > refused)
		fail_msg(
			"world %llu: %u of %u requests ended, %u were too long, %u shed (STATOR_WORLD=%llu repeats it)",
			(unsigned long long)seed, r.completed, t.len, refused, r.shed, (unsigned long long)seed);
	replay_result_done(&r);
	trace_done(&t);
}

static void every_request_ends_in_every_world(void **state)
{
	const char *one = getenv("STATOR_WORLD"), *many = getenv("STATOR_WORLDS");
	uint64_t count = many ? strtoull(many, NULL, 10) : WORLDS;

	(void)state;
	if (one) {
		world_run(strtoull(one, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= count; seed++)
		world_run(seed);
}

/* The same objects that a worker runs: their cache must pay here too. */
static void our_own_scheduler_reuses_what_it_holds(void **state)
{
	struct replay_result r;
	struct err err;
	(void)state;
	setup("finish-time");
	assert_int_equal(sim_model_find(&model, "mock", &err), 0);
	config.block_size = 16;
	config.blocks = 2048;
	struct trace t = make_trace("agent:requests=200,prefix=1000,own=60,groups=2,rate=4", 3, 16);
	config.trace = &t;
	assert_int_equal(replay_run(&r, &config, &err), 0);
	assert_int_equal(r.completed, 200);
	assert_true(r.reuse > 0.7);
	replay_result_done(&r);
	trace_done(&t);
}

static void a_fit_finds_the_terms_the_steps_were_made_with(void **state)
{
	struct buf text;
	struct err err = {0};
	struct rng rng;
	struct sim_model m;
	(void)state;
	rng_init(&rng, 4);
	buf_init(&text, 1 << 20);
	for (int i = 0; i < 400; i++) {
		double prefill = rng_below(&rng, 3) ? 0 : (double)rng_below(&rng, 400),
		       decode = 1 + (double)rng_below(&rng, 16),
		       context = (prefill + decode) * (double)rng_below(&rng, 2000),
		       noise = 0.98 + 0.04 * rng_unit(&rng);
		buf_printf(&text,
			"{\"duration_us\":%.0f,\"prefill_tokens\":%.0f,\"decode_tokens\":%.0f,\"context_tokens\":%.0f,"
			"\"cells\":8192,\"running\":3}\n",
			noise * (4000 + 70 * prefill + 250 * decode + 0.05 * context), prefill, decode, context);
	}
	assert_int_equal(sim_model_fit(&m, "steps", text.data, text.len, &err), 0);
	assert_float_equal(m.base_us, 4000, 200);
	assert_float_equal(m.prefill_token_us, 70, 3);
	assert_float_equal(m.decode_seq_us, 250, 25);
	assert_float_equal(m.context_token_us, 0.05, 0.005);
	assert_true(m.error_mean < 0.02);
	assert_int_equal(m.blocks, 512);
	assert_int_equal(m.steps, 400);
	buf_reset(&text);
	buf_printf(&text, "{\"duration_us\":1}\n");
	assert_true(sim_model_fit(&m, "steps", text.data, text.len, &err) < 0);
	assert_non_null(strstr(err.msg, "steps:1: key \"prefill_tokens\""));
	buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_seed_gives_the_same_run),
		cmocka_unit_test(one_request_takes_what_the_model_says),
		cmocka_unit_test(a_prompt_seen_before_is_computed_only_behind_what_is_there),
		cmocka_unit_test(a_policy_that_sees_caches_reuses_more),
		cmocka_unit_test(a_worker_that_dies_loses_no_request),
		cmocka_unit_test(our_own_scheduler_reuses_what_it_holds),
		cmocka_unit_test(a_fit_finds_the_terms_the_steps_were_made_with),
		cmocka_unit_test(every_request_ends_in_every_world),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
