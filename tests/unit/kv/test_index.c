/* kv/index.h against a naive reference: a tree of blocks, and for each block a flag for each worker.
 * STATOR_INDEX_SECONDS makes the random runs longer (make soak). */
#include "base/rng.h"
#include "kv/hash.h"
#include "kv/index.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NODES = 6000, DEPTH_MAX = 400, SLOTS = KV_INDEX_WORKERS_MAX };

struct naive {
	struct rng rng;
	struct kv_index *ix;
	uint32_t parent[NODES], depth[NODES]; /* parent of a root: itself; depth of a root: 1 */
	uint64_t hash[NODES];
	uint8_t held[NODES][SLOTS];
	bool there[SLOTS];
	uint32_t there_count, workers; /* workers: at most at once */
	bool closed; /* holdings are closed under prefixes */
	bool once; /* no event comes twice */
	uint64_t ops, matches, named;
};

static uint32_t pick(struct naive *n, uint32_t below)
{
	return (uint32_t)rng_below(&n->rng, below);
}

static double seconds(void)
{
	const char *s = getenv("STATOR_INDEX_SECONDS");
	return s ? atof(s) : 1.0;
}
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void plant(struct naive *n)
{
	for (uint32_t i = 0; i < NODES; i++) {
		uint32_t parent = i && pick(n, 50) ? (pick(n, 25) ? i - 1 : pick(n, i)) : i;
		if (parent != i && n->depth[parent] == DEPTH_MAX)
			parent = i;
		n->parent[i] = parent;
		n->depth[i] = parent == i ? 1 : n->depth[parent] + 1;
		n->hash[i] = rng_u64(&n->rng);
	}
}

static struct naive *begin(uint64_t seed, uint32_t workers, uint64_t bytes, bool closed)
{
	struct naive *n = calloc(1, sizeof *n);
	struct err err;

	assert_non_null(n);
	rng_init(&n->rng, seed);
	assert_int_equal(kv_index_create(&n->ix, &(struct kv_index_config){.bytes_max = bytes}, &err), 0);
	n->workers = workers;
	n->closed = closed;
	plant(n);
	return n;
}

static void end(struct naive *n)
{
	kv_index_destroy(n->ix);
	free(n);
}

static uint32_t path(const struct naive *n, uint32_t node, uint64_t *ret)
{
	uint32_t count = n->depth[node];

	for (uint32_t i = count; i-- > 0; node = n->parent[node])
		ret[i] = n->hash[node];
	return count;
}

static uint32_t some_worker(struct naive *n)
{
	uint32_t w = pick(n, SLOTS);
	while (!n->there[w])
		w = (w + 1) % SLOTS;
	return w;
}

static void come(struct naive *n)
{
	uint32_t w;

	if (n->there_count == n->workers)
		return;
	assert_int_equal(kv_index_worker_add(n->ix, &w), 0);
	assert_false(n->there[w]);
	assert_int_equal(kv_index_held(n->ix, w), 0);
	n->there[w] = true;
	n->there_count++;
}

static void forget_all(struct naive *n, uint32_t w)
{
	for (uint32_t i = 0; i < NODES; i++)
		n->held[i][w] = 0;
}

/* Too many that wait for their clean-up are a reason to do it first. */
static void clear(struct naive *n, uint32_t w)
{
	while (!kv_index_clear(n->ix, w))
		kv_index_scrub(n->ix, KV_INDEX_SCRUB_SLOTS);
}

static void go(struct naive *n)
{
	uint32_t w = some_worker(n);

	forget_all(n, w);
	if (pick(n, 2)) {
		clear(n, w);
	} else if (n->there_count > 1) {
		kv_index_worker_remove(n->ix, w);
		n->there[w] = false;
		n->there_count--;
	} else {
		clear(n, w);
	}
}

/* The whole path (a doubled event for what of it is there already), or only what is new; in two calls. */
static void store(struct naive *n)
{
	uint64_t hashes[DEPTH_MAX];
	uint32_t w = some_worker(n), node = pick(n, NODES), count = path(n, node, hashes), from = 0, cut;

	if (!n->closed)
		from = pick(n, count);
	for (uint32_t i = count, at = node; n->once && i-- > 0 && !from; at = n->parent[at])
		from = n->held[at][w] ? i + 1 : 0;
	cut = from + pick(n, count - from + 1);
	(void)kv_index_store(n->ix, w, KV_TIER_DEVICE, hashes + from, cut - from);
	(void)kv_index_store(n->ix, w, KV_TIER_DEVICE, hashes + cut, count - cut);
	for (uint32_t i = count; i-- > from; node = n->parent[node])
		n->held[node][w] = 1;
}

static bool below(const struct naive *n, uint32_t node, uint32_t top)
{
	while (n->depth[node] > n->depth[top])
		node = n->parent[node];
	return node == top;
}

/* A block and all behind it; without closure the block alone. Half of the events come twice. */
static void drop(struct naive *n)
{
	static uint64_t hashes[NODES];
	uint32_t w = some_worker(n), top = pick(n, NODES), count = 0;

	for (uint32_t i = top; i < NODES; i++)
		if (n->held[i][w] && (n->closed ? below(n, i, top) : i == top)) {
			n->held[i][w] = 0;
			hashes[count++] = n->hash[i];
		}
	kv_index_drop(n->ix, w, KV_TIER_DEVICE, hashes, count);
	if (!kv_index_forgotten(n->ix, w) && pick(n, 2))
		kv_index_drop(n->ix, w, KV_TIER_DEVICE, hashes, count);
}

/* How many leading blocks of the path the worker holds, as far as the index keeps them. */
static uint32_t truth(const struct naive *n, uint32_t w, uint32_t node)
{
	uint32_t blocks = 0;

	for (uint32_t at = node;; at = n->parent[at]) {
		if (!n->held[at][w])
			blocks = 0;
		else if (!blocks && kv_index_keeps(n->ix, KV_TIER_DEVICE, n->hash[at]))
			blocks = n->depth[at];
		if (n->parent[at] == at)
			return blocks;
	}
}

static void check_match(struct naive *n, bool exact)
{
	uint64_t hashes[DEPTH_MAX + 20];
	struct kv_overlap got[SLOTS];
	uint32_t node = pick(n, NODES), count = path(n, node, hashes), extra = pick(n, 20), found, last = UINT32_MAX;
	uint32_t said[SLOTS] = {0}, cap = pick(n, 4) ? SLOTS : 1 + pick(n, 5), lowest = 0;

	for (uint32_t i = 0; i < extra; i++)
		hashes[count + i] = rng_u64(&n->rng);
	found = kv_index_match(n->ix, KV_TIER_DEVICE, hashes, count + extra, got, cap);
	assert_true(found <= cap);
	for (uint32_t i = 0; i < found; i++) {
		assert_true(n->there[got[i].worker]);
		assert_true(got[i].blocks > 0 && got[i].blocks <= last);
		assert_int_equal(said[got[i].worker], 0);
		said[got[i].worker] = lowest = last = got[i].blocks;
	}
	n->matches++;
	n->named += found;
	for (uint32_t w = 0; w < SLOTS; w++) {
		uint32_t is = n->there[w] ? truth(n, w, node) : 0;
		if (exact && (said[w] || found < cap || is > lowest))
			assert_int_equal(said[w], is);
		if (n->closed)
			assert_true(said[w] <= is);
		if (said[w]) { /* even of holdings with holes it says only what is there */
			uint32_t at = node;
			while (n->depth[at] > said[w])
				at = n->parent[at];
			assert_int_equal(n->held[at][w], 1);
		}
	}
}

static void check_account(struct naive *n, bool all_recorded)
{
	uint32_t w = some_worker(n), held = 0, recorded = 0;
	uint64_t digest = 0;

	for (uint32_t i = 0; i < NODES; i++)
		if (n->held[i][w]) {
			held++;
			digest = kv_digest_add(digest, n->hash[i]);
			recorded += kv_index_has(n->ix, w, KV_TIER_DEVICE, n->hash[i]);
		}
	assert_int_equal(kv_index_held(n->ix, w), held);
	assert_true(kv_index_digest(n->ix, w) == digest);
	assert_int_equal(kv_index_forgotten(n->ix, w), held - recorded);
	if (all_recorded)
		assert_int_equal(recorded, held);
	if (n->ops % 64 == 0)
		assert_int_equal(kv_index_count(n->ix, w), recorded);
}

static void turn(struct naive *n, bool exact)
{
	uint32_t what = pick(n, 100);

	if (!n->there_count || what < 3)
		come(n);
	else if (what < 5)
		go(n);
	else if (what < 45)
		store(n);
	else if (what < 75)
		drop(n);
	else if (what < 80)
		(void)kv_index_scrub(n->ix, pick(n, 3000));
	else if (what < 85)
		check_account(n, exact);
	else
		check_match(n, exact);
	n->ops++;
}

/* At the end everybody leaves; then nothing is left, and all numbers are free again. */
static void all_leave(struct naive *n)
{
	struct kv_index_stats stats;

	for (uint32_t w = 0; w < SLOTS; w++)
		if (n->there[w])
			kv_index_worker_remove(n->ix, w);
	while (kv_index_scrub(n->ix, 1000))
		;
	kv_index_stats(n->ix, &stats);
	assert_int_equal(stats.blocks, 0);
	assert_int_equal(stats.wide_sets, 0);
	assert_int_equal(stats.workers, 0);
	assert_false(stats.growing || stats.scrubbing);
	for (uint32_t i = 0; i < SLOTS; i++) {
		uint32_t w;
		assert_int_equal(kv_index_worker_add(n->ix, &w), 0);
		assert_int_equal(w, i);
	}
	assert_int_equal(kv_index_worker_add(n->ix, &(uint32_t){0}), -ENOSPC);
}

static void run(uint64_t seed, uint32_t workers, bool closed)
{
	struct naive *n = begin(seed, workers, 16 << 20, closed);
	double until = now() + seconds();

	while (now() < until)
		for (int i = 0; i < 100; i++)
			turn(n, closed);
	assert_true(n->matches > 100 && n->named > 100);
	all_leave(n);
	end(n);
}

static void equals_the_naive_reference_with_few_workers(void **state)
{
	(void)state;
	run(1, 5, true);
}
static void equals_the_naive_reference_with_more_workers_than_bits_in_a_word(void **state)
{
	(void)state;
	run(2, 90, true);
}
static void equals_the_naive_reference_with_all_1024_workers(void **state)
{
	(void)state;
	run(3, SLOTS, true);
}
static void never_invents_when_holdings_are_not_closed_under_prefixes(void **state)
{
	(void)state;
	run(4, 70, false);
}

/* A budget too small for what is held: prefixes stay known, lengths are rounded down, the account stays exact. */
static void a_full_index_keeps_every_second_block_and_stays_right(void **state)
{
	(void)state;
	struct err err;
	struct naive *n = begin(5, 40, KV_INDEX_BYTES_MIN, true);
	struct kv_index_stats stats = {0};
	uint32_t filler;

	double until = now() + seconds();

	n->once = true;

	/* A worker with far more blocks than fit: some 32,000 do. */
	assert_int_equal(kv_index_worker_add(n->ix, &filler), 0);
	for (uint64_t i = 0; i < 300 * 1000; i++) {
		uint64_t hash = rng_keyed_u64(77, i);
		(void)kv_index_store(n->ix, filler, KV_TIER_DEVICE, &hash, 1);
	}
	kv_index_stats(n->ix, &stats);
	assert_true(stats.keep_log2 >= 3 && stats.keep_log2 <= 5);
	assert_true(stats.bytes <= KV_INDEX_BYTES_MIN);
	assert_int_equal(kv_index_held(n->ix, filler), 300 * 1000);
	while (now() < until)
		for (int i = 0; i < 100; i++)
			turn(n, false);
	assert_true(n->named > 100);
	for (uint64_t i = 0; i < 300 * 1000; i++) {
		uint64_t hash = rng_keyed_u64(77, i);
		kv_index_drop(n->ix, filler, KV_TIER_DEVICE, &hash, 1);
	}
	assert_int_equal(kv_index_held(n->ix, filler), 0);
	assert_int_equal(kv_index_forgotten(n->ix, filler), 0);
	assert_true(kv_index_digest(n->ix, filler) == 0);
	kv_index_worker_remove(n->ix, filler);
	all_leave(n);
	assert_int_equal(
		kv_index_create(&(struct kv_index *){0}, &(struct kv_index_config){.bytes_max = 1000}, &err), -EINVAL);
	end(n);
}

/* Growth from 1,024 slots on, many times over, while a worker that left is cleaned up in steps. */
static void grows_in_place_and_finds_everything(void **state)
{
	(void)state;
	struct err err;
	struct kv_index *ix;
	struct kv_index_stats stats;
	struct rng rng;
	uint32_t a, b, gone;
	enum { N = 700 * 1000 };

	rng_init(&rng, 9);
	assert_int_equal(kv_index_create(&ix, &(struct kv_index_config){.bytes_max = 64 << 20}, &err), 0);
	assert_int_equal(kv_index_worker_add(ix, &gone), 0);
	assert_int_equal(kv_index_worker_add(ix, &a), 0);
	assert_int_equal(kv_index_worker_add(ix, &b), 0);
	for (uint64_t i = 0; i < N; i++) {
		uint64_t hash = rng_keyed_u64(1, i), seen = rng_keyed_u64(1, rng_below(&rng, i + 1));
		assert_int_equal(kv_index_store(ix, i % 3 ? a : b, KV_TIER_DEVICE, &hash, 1), 0);
		assert_int_equal(kv_index_store(ix, gone, KV_TIER_HOST, &hash, 1), 0);
		if (i % 100000 == 50000) {
			kv_index_worker_remove(ix, gone);
			assert_int_equal(kv_index_worker_add(ix, &gone), 0);
		}
		if (i % 100 == 0)
			(void)kv_index_scrub(ix, 5000);
		assert_true(kv_index_has(ix, a, KV_TIER_DEVICE, seen) != kv_index_has(ix, b, KV_TIER_DEVICE, seen));
	}
	assert_int_equal(kv_index_held(ix, a) + kv_index_held(ix, b), N);
	assert_int_equal(kv_index_count(ix, a) + kv_index_count(ix, b), N);
	kv_index_worker_remove(ix, gone);
	while (kv_index_scrub(ix, 5000))
		;
	kv_index_stats(ix, &stats);
	assert_int_equal(stats.blocks, N);
	assert_int_equal(stats.forgotten, 0);
	assert_true(stats.slots >= N);
	kv_index_destroy(ix);
}

/* ---- chosen hashes ---- */

/* What a worker that knows the secret can do: the hash whose block would lie at home first + i of so many (index_internal.h). */
static uint64_t inverse(uint64_t odd)
{
	uint64_t x = odd;

	for (int i = 0; i < 6; i++)
		x *= 2 - odd * x;
	return x;
}

static uint64_t hash_of_home(const uint64_t secret[2], uint64_t home, uint64_t homes, uint32_t nth)
{
	uint64_t key = (uint64_t)(((unsigned __int128)home << 64) / homes) + 4 + 2 * (uint64_t)nth;
	uint64_t z = key * inverse(secret[1] | 1), y = z ^ z >> 32;

	return (y * inverse(0xd6e8feb86659fd93ull)) ^ secret[0];
}

enum { RUN = 150000, HONEST = 3000 };
static const uint64_t known[2] = {0x1234567890abcdef, 0x0fedcba987654321};

/* The slowest call in milliseconds; other processes share the machine, so it is the thread's own time. */
static double slowest_ms;
static double thread_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
#define TIMED(call)                                                                                                    \
	do {                                                                                                           \
		double began = thread_ms();                                                                            \
		call;                                                                                                  \
		double took = thread_ms() - began;                                                                     \
		slowest_ms = took > slowest_ms ? took : slowest_ms;                                                    \
	} while (0)

/* A table of RUN neighbours, and some for each of a few homes, of a worker that then leaves; beside an honest one. */
static struct kv_index_stats attack(const uint64_t secret[2])
{
	static uint64_t honest[HONEST], chosen[RUN];
	struct kv_index *ix;
	struct kv_index_stats stats;
	struct kv_overlap best;
	uint32_t good, bad;
	struct rng r;

	rng_init(&r, 3);
	slowest_ms = 0;
	assert_int_equal(kv_index_create(&ix, &(struct kv_index_config){64 << 20, {secret[0], secret[1]}}, NULL), 0);
	assert_int_equal(kv_index_worker_add(ix, &good), 0);
	assert_int_equal(kv_index_worker_add(ix, &bad), 0);
	for (uint32_t i = 0; i < HONEST; i++)
		honest[i] = rng_u64(&r);
	(void)kv_index_store(ix, good, KV_TIER_DEVICE, honest, HONEST);
	/* So large that the run is half of it. */
	for (uint32_t i = 0; i < RUN; i++)
		chosen[i] = rng_u64(&r);
	(void)kv_index_store(ix, bad, KV_TIER_DEVICE, chosen, RUN);
	while (kv_index_stats(ix, &stats), stats.growing)
		kv_index_scrub(ix, 1 << 20);
	kv_index_drop(ix, bad, KV_TIER_DEVICE, chosen, RUN);
	uint64_t homes = stats.slots;
	for (uint32_t i = 0; i < RUN; i++)
		chosen[i] = i < RUN / 2 ? hash_of_home(known, 5000 + i, homes, 0)
					: hash_of_home(known, 5000 + i % 7 * 997, homes, i);
	for (uint32_t i = 0; i < RUN; i += 1000)
		TIMED((void)kv_index_store(ix, bad, KV_TIER_DEVICE, chosen + i, 1000));
	for (uint32_t i = 0; i < RUN; i += 999)
		TIMED(kv_index_match(ix, KV_TIER_DEVICE, chosen + i, 1, &best, 1));
	for (uint32_t i = 0; i < RUN / 2; i += 5000)
		TIMED(kv_index_drop(ix, bad, KV_TIER_DEVICE, chosen + i, 100));
	assert_int_equal(kv_index_held(ix, good), HONEST);
	kv_index_worker_remove(ix, bad);
	bool more = true;
	while (more)
		TIMED(more = kv_index_scrub(ix, KV_INDEX_SCRUB_SLOTS));
	kv_index_stats(ix, &stats);
	/* Nothing is invented, whatever was forgotten, and the index is as good as new for what comes. */
	uint32_t n = kv_index_match(ix, KV_TIER_DEVICE, honest, HONEST, &best, 1);
	assert_true(!n || (best.worker == good && best.blocks <= HONEST));
	while (!kv_index_clear(ix, good))
		kv_index_scrub(ix, KV_INDEX_SCRUB_SLOTS);
	assert_int_equal(kv_index_store(ix, good, KV_TIER_DEVICE, honest, HONEST), 0);
	assert_int_equal(kv_index_match(ix, KV_TIER_DEVICE, honest, HONEST, &best, 1), 1);
	assert_int_equal(best.blocks, HONEST);
	kv_index_destroy(ix);
	return stats;
}

static void chosen_hashes_are_as_any_where_the_secret_is_not_known(void **state)
{
	static const uint64_t other[2] = {0x5ca1ab1e5ca1ab1e, 0xfeedfacecafebeef};

	(void)state;
	struct kv_index_stats s = attack(other);
	assert_int_equal(s.resets, 0);
	assert_int_equal(s.forgotten, 0);
	assert_true(slowest_ms < 20);
}

static void no_call_is_long_even_where_the_secret_is_known(void **state)
{
	(void)state;
	struct kv_index_stats s = attack(known);
	assert_int_equal(s.resets, 1); /* the first removal from the run; after it nobody knows the secret */
	assert_true(s.forgotten > RUN / 2 - 7 * 512);
	assert_true(slowest_ms < 50);
}

static void clearing_again_and_again_is_not_a_long_call(void **state)
{
	(void)state;
	struct kv_index *ix;
	uint32_t w, other, refused = 0;

	assert_int_equal(kv_index_create(&ix, &(struct kv_index_config){64 << 20, {1, 2}}, NULL), 0);
	assert_int_equal(kv_index_worker_add(ix, &w), 0);
	slowest_ms = 0;
	for (uint64_t i = 0; i < 5000; i++) {
		bool done;
		TIMED(done = kv_index_clear(ix, w));
		refused += !done;
		(void)kv_index_store(ix, w, KV_TIER_DEVICE, &i, 1);
	}
	assert_true(refused > 4000);
	TIMED(assert_int_equal(kv_index_worker_add(ix, &other), 0));
	assert_true(slowest_ms < 5);
	while (kv_index_scrub(ix, KV_INDEX_SCRUB_SLOTS))
		;
	assert_true(kv_index_clear(ix, w));
	assert_int_equal(kv_index_held(ix, w), 0);
	kv_index_destroy(ix);
}

static uint64_t resident_kb(void)
{
	char line[128];
	uint64_t kb = 0;
	FILE *f = fopen("/proc/self/status", "re");

	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		sscanf(line, "VmRSS: %lu kB", &kb);
	fclose(f);
	return kb;
}

static void memory_goes_back_when_the_last_block_has_gone(void **state)
{
	(void)state;
	struct kv_index *ix;
	struct kv_index_stats stats;
	uint32_t w;
	struct rng r;

	rng_init(&r, 9);
	assert_int_equal(kv_index_create(&ix, &(struct kv_index_config){512 << 20, {3, 4}}, NULL), 0);
	for (int again = 0; again < 2; again++) {
		uint64_t before_kb = resident_kb(), first = 0;
		struct kv_overlap best;
		assert_int_equal(kv_index_worker_add(ix, &w), 0);
		for (uint32_t i = 0; i < 2000000; i++) {
			uint64_t hash = rng_u64(&r);
			first = i ? first : hash;
			(void)kv_index_store(ix, w, KV_TIER_DEVICE, &hash, 1);
		}
		assert_true(resident_kb() > before_kb + 40000);
		kv_index_worker_remove(ix, w);
		slowest_ms = 0;
		bool more = true;
		while (more)
			TIMED(more = kv_index_scrub(ix, KV_INDEX_SCRUB_SLOTS));
		assert_true(resident_kb() < before_kb + 4000);
		assert_true(slowest_ms < 20);
		kv_index_stats(ix, &stats);
		assert_int_equal(stats.blocks, 0);
		assert_true(stats.bytes < 1 << 20);
		assert_int_equal(kv_index_match(ix, KV_TIER_DEVICE, &first, 1, &best, 1), 0);
	}
	/* It may grow again while it gives back. */
	assert_int_equal(kv_index_worker_add(ix, &w), 0);
	static uint64_t hashes[300000];
	for (uint32_t i = 0; i < 300000; i++)
		hashes[i] = rng_u64(&r);
	(void)kv_index_store(ix, w, KV_TIER_DEVICE, hashes, 300000);
	kv_index_worker_remove(ix, w);
	do
		kv_index_scrub(ix, 1 << 20);
	while (kv_index_stats(ix, &stats), stats.blocks);
	assert_int_equal(kv_index_worker_add(ix, &w), 0);
	for (uint32_t i = 0; i < 300000; i += 100) {
		assert_int_equal(kv_index_store(ix, w, KV_TIER_DEVICE, hashes + i, 100), 0);
		kv_index_scrub(ix, 100);
	}
	for (uint32_t i = 0; i < 300000; i++)
		assert_true(kv_index_has(ix, w, KV_TIER_DEVICE, hashes[i]));
	kv_index_destroy(ix);
}

static void tiers_are_apart_and_enter_one_account(void **state)
{
	(void)state;
	struct err err;
	struct kv_index *ix;
	struct kv_overlap got[2];
	uint64_t hashes[3] = {11, 22, 33}, digest = 0;
	uint32_t w;

	assert_int_equal(kv_index_create(&ix, &(struct kv_index_config){.bytes_max = 0}, &err), 0);
	assert_int_equal(kv_index_worker_add(ix, &w), 0);
	assert_int_equal(kv_index_store(ix, w, KV_TIER_DEVICE, hashes, 2), 0);
	assert_int_equal(kv_index_store(ix, w, KV_TIER_HOST, hashes, 3), 0);
	assert_int_equal(kv_index_match(ix, KV_TIER_DEVICE, hashes, 3, got, 2), 1);
	assert_int_equal(got[0].blocks, 2);
	assert_int_equal(kv_index_match(ix, KV_TIER_HOST, hashes, 3, got, 2), 1);
	assert_int_equal(got[0].blocks, 3);
	assert_int_equal(kv_index_match(ix, KV_TIER_DISK, hashes, 3, got, 2), 0);
	for (int i = 0; i < 3; i++) {
		digest = i < 2 ? kv_digest_add(digest, hashes[i]) : digest;
		digest = kv_digest_add(digest, kv_index_tier_hash(KV_TIER_HOST, hashes[i]));
	}
	assert_true(kv_index_digest(ix, w) == digest);
	assert_int_equal(kv_index_held(ix, w), 5);
	kv_index_destroy(ix);
}

static void memory_that_cannot_be_had_is_an_error(void **state)
{
	(void)state;
	struct err err;
	struct kv_index *ix = NULL;

	assert_int_equal(kv_index_create(&ix, &(struct kv_index_config){.bytes_max = 1ull << 60}, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "could not reserve"));
	assert_null(ix);
	kv_index_destroy(ix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_naive_reference_with_few_workers),
		cmocka_unit_test(equals_the_naive_reference_with_more_workers_than_bits_in_a_word),
		cmocka_unit_test(equals_the_naive_reference_with_all_1024_workers),
		cmocka_unit_test(never_invents_when_holdings_are_not_closed_under_prefixes),
		cmocka_unit_test(a_full_index_keeps_every_second_block_and_stays_right),
		cmocka_unit_test(grows_in_place_and_finds_everything),
		cmocka_unit_test(chosen_hashes_are_as_any_where_the_secret_is_not_known),
		cmocka_unit_test(no_call_is_long_even_where_the_secret_is_known),
		cmocka_unit_test(clearing_again_and_again_is_not_a_long_call),
		cmocka_unit_test(memory_goes_back_when_the_last_block_has_gone),
		cmocka_unit_test(tiers_are_apart_and_enter_one_account),
		cmocka_unit_test(memory_that_cannot_be_had_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
