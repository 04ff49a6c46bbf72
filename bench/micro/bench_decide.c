/* bench_decide.c - a whole routing decision: overlap of every worker, prediction, choice, bookkeeping, and the end of the
 * request; 64 workers, a million blocks in the index. And a step report while thousands of requests wait.
 *
 *     build/bench/micro/bench_decide
 */
#include "base/rng.h"
#include "bench.h"
#include "kv/hash.h"
#include "route/pool.h"
#include "sim/env.h"

#include <stdlib.h>

enum { WORKERS = 64, BLOCK = 16, PROMPT = 8192, SHORT = 125, PROMPTS = 16, HELD = 16384, WAITING = 4000 };

struct bench {
	struct sim *sim;
	struct pool *pool;
	struct pool_worker *workers[WORKERS];
	uint64_t *hashes, steps;
	uint32_t turn;
};

static void on_ready(struct pool_ticket *t)
{
	(void)t;
}

static void on_shed(struct pool_ticket *t, enum pool_shed why)
{
	(void)t;
	(void)why;
}

/* Each worker holds other blocks, and of each prompt one of eight depths. */
static void give(struct bench *b, uint32_t w)
{
	uint64_t *v = malloc(HELD * sizeof *v);

	for (uint32_t i = 0; v && i < HELD; i++)
		v[i] = rng_keyed_u64(w + 10, i);
	struct msg_kv kv = {.stored = {v, HELD}, .snapshot = true};
	(void)pool_worker_kv(b->pool, b->workers[w], &kv);
	for (uint32_t p = 0; p < PROMPTS; p++) {
		kv.stored = (struct msg_u64s){b->hashes + (size_t)p * PROMPT, (w % 8) * PROMPT / 8};
		(void)pool_worker_kv(b->pool, b->workers[w], &kv);
	}
	free(v);
}

static void report(struct bench *b, uint32_t w, uint32_t prefill, uint32_t running)
{
	const struct msg_step step = {.step = ++b->steps,
		.duration_us = 5000 + 100 * prefill,
		.prefill_tokens = prefill,
		.decode_tokens = 8,
		.running = running,
		.waiting = running,
		.waiting_tokens = running * 1000,
		.cells = 1 << 20,
		.cells_used = 1 << 19,
		.cells_active = 8000};
	(void)pool_worker_report(b->pool, b->workers[w], &step);
}

static void decide(struct bench *b, const struct route_policy *policy, uint32_t blocks)
{
	const struct route_request r = {.prompt_tokens = blocks * BLOCK + 1,
		.max_tokens = 100,
		.choices = 1,
		.hashes = b->hashes + (size_t)(b->turn++ % PROMPTS) * PROMPT,
		.hashes_count = blocks};
	struct pool_ticket t = {.request = r, .on_ready = on_ready, .on_shed = on_shed};

	(void)policy;
	if (pool_submit(b->pool, &t) == POOL_READY)
		pool_release(b->pool, &t);
	else
		pool_cancel(b->pool, &t);
}

static void setup(struct bench *b, const struct route_policy *policy)
{
	struct sim_config config;
	const struct pool_config pool = {
		.policy = policy, .knobs = route_knobs_default, .waiting_max = 100000, .wait_us_max = 1ull << 40};

	sim_config_default(&config, 1);
	if (sim_create(&b->sim, &config, NULL) < 0 || pool_create(&b->pool, sim_env(b->sim), &pool, NULL) < 0)
		exit(1);
	for (uint32_t w = 0; w < WORKERS; w++) {
		const struct pool_worker_facts facts = {
			.name = "w", .blocks = 1 << 16, .block_size = BLOCK, .batch_tokens = 8192};
		b->workers[w] = pool_worker_add(b->pool, &facts, NULL);
		give(b, w);
		for (uint32_t i = 1; i < 64; i++)
			report(b, w, i % 4 ? 0 : 100 * i, 0);
	}
}

static void done(struct bench *b)
{
	for (uint32_t w = 0; w < WORKERS; w++)
		pool_worker_remove(b->pool, b->workers[w]);
	pool_destroy(b->pool);
	sim_destroy(b->sim);
}

/* Thousands wait; a worker reports the end of a step, and those that wait are looked at. */
static void bench_queue(struct bench *b)
{
	static struct pool_ticket waiting[WAITING];

	for (uint32_t w = 0; w < WORKERS; w++)
		report(b, w, 8192, 8);
	for (uint32_t i = 0; i < WAITING; i++) {
		waiting[i] = (struct pool_ticket){.request = {.prompt_tokens = SHORT * BLOCK + 1,
							  .choices = 1,
							  .hashes = b->hashes + (size_t)(i % PROMPTS) * PROMPT,
							  .hashes_count = SHORT},
			.on_ready = on_ready,
			.on_shed = on_shed};
		if (pool_submit(b->pool, &waiting[i]) != POOL_WAITING)
			abort();
	}
	uint32_t w = 0;
	BENCH("a step report and the look it causes, 4,000 wait", 1, {
		report(b, w++ % WORKERS, 8192, 8);
		sim_run_for(b->sim, 0);
	});
	for (uint32_t i = 0; i < WAITING; i++) {
		pool_cancel(b->pool, &waiting[i]);
		if (waiting[i].state == POOL_READY)
			pool_release(b->pool, &waiting[i]);
	}
}

int main(void)
{
	struct bench b = {.hashes = malloc(sizeof(uint64_t) * PROMPT * PROMPTS)};
	char name[96];

	for (uint64_t i = 0; b.hashes && i < PROMPT * PROMPTS; i++)
		b.hashes[i] = rng_keyed_u64(2, i);
	printf("decide, 64 workers\n");
	for (uint32_t i = 0; b.hashes && route_policy_at(i); i++) {
		const struct route_policy *p = route_policy_at(i);
		setup(&b, p);
		snprintf(name, sizeof name, "%s: 125 blocks (2,000 tokens), and its end", p->name);
		BENCH(name, 1, { decide(&b, p, SHORT); });
		snprintf(name, sizeof name, "%s: 8,192 blocks, 8 depths, and its end", p->name);
		BENCH(name, 1, { decide(&b, p, PROMPT); });
		if (p == &route_finish_time) {
			BENCH("a step report, nobody waits", 1, { report(&b, b.turn++ % WORKERS, 0, 0); });
			bench_queue(&b);
		}
		done(&b);
	}
	free(b.hashes);
	return 0;
}
