/* bench_route.c - the prefix index at 10 million blocks: a prompt of 8,192 blocks against 64 workers, events, removal.
 *
 *     build/bench/micro/bench_route [BLOCKS]      10000000 when not given; needs some 0.6 GiB then
 */
#include "base/rng.h"
#include "bench.h"
#include "kv/index.h"

#include <stdlib.h>
#include <string.h>

enum { WORKERS = 64, PROMPT = 8192, SHORT = 125, CHUNK = 256, PROMPTS = 64 };

struct bench {
	struct kv_index *ix;
	uint64_t *hashes; /* PROMPTS prompts one after another: no prompt is in the CPU's cache when its turn comes */
	struct kv_overlap got[WORKERS];
	uint32_t turn;
};

static void fill(struct bench *b, uint64_t blocks)
{
	uint64_t hashes[CHUNK], began = bench_now_ns();

	for (uint64_t i = 0; i < blocks; i += CHUNK) {
		for (uint32_t j = 0; j < CHUNK; j++)
			hashes[j] = rng_keyed_u64(1, i + j);
		(void)kv_index_store(b->ix, (uint32_t)(i / CHUNK % WORKERS), KV_TIER_DEVICE, hashes, CHUNK);
	}
	bench_print("store, growth from empty and hash making included, a block",
		(double)(bench_now_ns() - began) / (double)blocks);
}

/* Prompt p is held to `depths` different depths by 63 of the workers. */
static void hold(struct bench *b, uint32_t depths)
{
	for (uint32_t p = 0; p < PROMPTS; p++)
		for (uint32_t w = 0; w < WORKERS - 1; w++) {
			uint32_t depth = (w % depths + 1) * (PROMPT - 100) / depths;
			(void)kv_index_store(b->ix, w, KV_TIER_DEVICE, b->hashes + (size_t)p * PROMPT, depth);
		}
}

static void drop(struct bench *b)
{
	for (uint32_t w = 0; w < WORKERS - 1; w++)
		kv_index_drop(b->ix, w, KV_TIER_DEVICE, b->hashes, PROMPT * PROMPTS);
}

static void match(struct bench *b, uint32_t blocks)
{
	const uint64_t *hashes = b->hashes + (size_t)(b->turn++ % PROMPTS) * PROMPT;

	kv_index_match(b->ix, KV_TIER_DEVICE, hashes, blocks, b->got, WORKERS);
	bench_use(b->got);
}

static void bench_match(struct bench *b)
{
	static const uint32_t depths[] = {1, 2, 4, 8, 16, 63};
	char name[96];

	for (uint32_t i = 0; i < sizeof depths / sizeof *depths; i++) {
		hold(b, depths[i]);
		snprintf(name, sizeof name, "match 8,192 blocks, 64 workers, %u distinct depths", depths[i]);
		BENCH(name, 1, { match(b, PROMPT); });
		snprintf(name, sizeof name, "match 125 blocks (2,000 tokens), the same");
		BENCH(name, 1, { match(b, SHORT); });
		drop(b);
	}
	BENCH("match 8,192 blocks, nobody has them", 1, { match(b, PROMPT); });
}

/* The same with nothing of the table in the CPU's caches: each match is timed alone, after a walk over 128 MiB. */
static void bench_cold(struct bench *b)
{
	enum { BYTES = 128 << 20, TIMES = 100 };
	static const uint32_t depths[] = {1, 8, 63};
	char *wipe = malloc(BYTES), name[96];

	if (!wipe)
		exit(1);
	for (uint32_t i = 0; i < sizeof depths / sizeof *depths; i++) {
		uint64_t sum = 0;
		hold(b, depths[i]);
		for (uint32_t k = 0; k < TIMES; k++) {
			memset(wipe, (int)k, BYTES);
			bench_use(wipe);
			const uint64_t *hashes = b->hashes + (size_t)(b->turn % PROMPTS) * PROMPT;
			for (uint32_t h = 0; h < PROMPT; h++) /* the prompt's hashes were made just before */
				bench_use((void *)(uintptr_t)hashes[h]);
			uint64_t began = bench_now_ns();
			match(b, PROMPT);
			sum += bench_now_ns() - began;
		}
		snprintf(name, sizeof name, "match 8,192 blocks, %u distinct depths, cold caches", depths[i]);
		bench_print(name, (double)sum / TIMES);
		drop(b);
	}
	free(wipe);
}

/* Store what is new to the index into the filled table, then drop it again, 1 M blocks a round. */
static void bench_events(struct bench *b)
{
	enum { BLOCKS = 1000 * 1000 };
	uint64_t *hashes = malloc(BLOCKS * sizeof *hashes), store_ns = UINT64_MAX, drop_ns = UINT64_MAX, began;

	if (!hashes)
		exit(1);
	for (uint64_t i = 0; i < BLOCKS; i++)
		hashes[i] = rng_keyed_u64(3, i);
	for (uint32_t round = 0; round < BENCH_ROUNDS; round++) {
		began = bench_now_ns();
		(void)kv_index_store(b->ix, 1, KV_TIER_DEVICE, hashes, BLOCKS);
		store_ns = store_ns < bench_now_ns() - began ? store_ns : bench_now_ns() - began;
		began = bench_now_ns();
		kv_index_drop(b->ix, 1, KV_TIER_DEVICE, hashes, BLOCKS);
		drop_ns = drop_ns < bench_now_ns() - began ? drop_ns : bench_now_ns() - began;
	}
	bench_print("store, blocks that are new, a block", (double)store_ns / BLOCKS);
	bench_print("drop, the last holder, a block", (double)drop_ns / BLOCKS);
	free(hashes);
}

static void bench_leave(struct bench *b)
{
	uint64_t worst = 0, all = 0, steps = 0, began, took;

	for (uint32_t w = 0; w < 16; w++) {
		began = bench_now_ns();
		kv_index_worker_remove(b->ix, w * 4);
		took = bench_now_ns() - began;
		all += took;
		worst = took > worst ? took : worst;
	}
	bench_print("mask a worker, mean of 16", (double)all / 16);
	bench_print("mask a worker, the longest", (double)worst);
	all = worst = 0;
	for (bool more = true; more; steps++) {
		began = bench_now_ns();
		more = kv_index_scrub(b->ix, KV_INDEX_SCRUB_SLOTS);
		took = bench_now_ns() - began;
		all += took;
		worst = took > worst ? took : worst;
	}
	bench_print("scrub step, mean", (double)all / (double)steps);
	bench_print("scrub step, longest", (double)worst);
	printf("  %-58s %12llu\n", "scrub steps for the 16", (unsigned long long)steps);
}

int main(int argc, char **argv)
{
	uint64_t blocks = argc > 1 ? strtoull(argv[1], NULL, 10) : 10 * 1000 * 1000;
	struct bench b = {.hashes = malloc(sizeof(uint64_t) * PROMPT * PROMPTS)};
	struct kv_index_stats stats;
	uint32_t w;

	if (!b.hashes || kv_index_create(&b.ix, &(struct kv_index_config){.bytes_max = 2ull << 30}, NULL) < 0)
		return 1;
	for (uint32_t i = 0; i < WORKERS; i++)
		if (kv_index_worker_add(b.ix, &w) < 0)
			return 1;
	for (uint64_t i = 0; i < PROMPT * PROMPTS; i++)
		b.hashes[i] = rng_keyed_u64(2, i);
	printf("route\n");
	fill(&b, blocks);
	kv_index_stats(b.ix, &stats);
	printf("  %-58s %12.1f bytes\n", "memory, a block", (double)stats.bytes / (double)stats.blocks);
	printf("  %-58s %12.2f\n", "load of the table", (double)stats.blocks / (double)stats.slots);
	bench_match(&b);
	bench_cold(&b);
	bench_events(&b);
	bench_leave(&b);
	kv_index_destroy(b.ix);
	free(b.hashes);
	return 0;
}
