/* The prefix index with hashes chosen by somebody who knows its secret: whatever is stored, dropped, cleared and swept, it
 * invents nothing, its account of each worker is right, and no call looks at more than a bounded number of slots (the slowest
 * inputs would be found by the fuzzer's own limit). Three bytes an operation: what and who, and which blocks. */
#include "kv/hash.h"
#include "kv/index.h"

#include "base/compiler.h"

#include <string.h>

enum { BLOCKS = 4096, WORKERS = 4, HOMES = 1024 };

static const uint64_t secret[2] = {0x243f6a8885a308d3, 0x13198a2e03707345};

static uint64_t inverse(uint64_t odd)
{
	uint64_t x = odd;

	for (int i = 0; i < 6; i++)
		x *= 2 - odd * x;
	return x;
}

/* Block number i: eight homes for half of them, a run of neighbours for the rest. src/kv/index_internal.h, kv_key. */
static uint64_t hash_of(uint32_t i)
{
	uint64_t home = i < BLOCKS / 2 ? 17 + i % 8 : 100 + i % 900;
	uint64_t key = (uint64_t)(((unsigned __int128)home << 64) / HOMES) + 4 + 2 * (uint64_t)i;
	uint64_t z = key * inverse(secret[1] | 1), y = z ^ z >> 32;

	return (y * inverse(0xd6e8feb86659fd93ull)) ^ secret[0];
}

struct model {
	struct kv_index *ix;
	uint32_t worker[WORKERS];
	bool there[WORKERS], held[WORKERS][BLOCKS];
	uint64_t digest[WORKERS];
	uint32_t count[WORKERS];
};

static void forget(struct model *m, uint32_t w)
{
	memset(m->held[w], 0, sizeof m->held[w]);
	m->digest[w] = m->count[w] = 0;
}

/* Each event once: while blocks are forgotten the index does not notice a doubled one. */
static void change(struct model *m, uint32_t w, uint32_t block, bool store)
{
	uint64_t hash = hash_of(block);

	if (m->held[w][block] == store)
		return;
	m->held[w][block] = store;
	m->count[w] += store ? 1 : (uint32_t)-1;
	m->digest[w] = store ? kv_digest_add(m->digest[w], hash) : kv_digest_remove(m->digest[w], hash);
	if (store)
		(void)kv_index_store(m->ix, m->worker[w], KV_TIER_DEVICE, &hash, 1);
	else
		kv_index_drop(m->ix, m->worker[w], KV_TIER_DEVICE, &hash, 1);
}

static void come_or_go(struct model *m, uint32_t w)
{
	if (m->there[w])
		kv_index_worker_remove(m->ix, m->worker[w]);
	else
		ASSERT(kv_index_worker_add(m->ix, &m->worker[w]) == 0);
	m->there[w] = !m->there[w];
	forget(m, w);
}

static void look(struct model *m, uint32_t w, uint32_t block)
{
	uint64_t hash = hash_of(block);
	struct kv_overlap who[WORKERS];
	uint32_t n = kv_index_match(m->ix, KV_TIER_DEVICE, &hash, 1, who, WORKERS);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = 0;
		while (k < WORKERS && !(m->there[k] && m->worker[k] == who[i].worker))
			k++;
		ASSERT(k < WORKERS && m->held[k][block]);
	}
	if (m->there[w]) {
		ASSERT(kv_index_digest(m->ix, m->worker[w]) == m->digest[w]);
		ASSERT(kv_index_held(m->ix, m->worker[w]) == m->count[w]);
		ASSERT(kv_index_forgotten(m->ix, m->worker[w]) <= m->count[w]);
		ASSERT(!kv_index_has(m->ix, m->worker[w], KV_TIER_DEVICE, hash) || m->held[w][block]);
	}
}

static void operate(struct model *m, const uint8_t *op)
{
	uint32_t w = op[0] % WORKERS, block = (uint32_t)(op[1] << 8 | op[2]) % BLOCKS;
	uint32_t many = op[0] & 0x80 ? 64 : 1;

	switch (op[0] >> 2 & 7) {
	case 0:
		come_or_go(m, w);
		break;
	case 1:
		if (m->there[w] && kv_index_clear(m->ix, m->worker[w]))
			forget(m, w);
		break;
	case 2:
		kv_index_scrub(m->ix, 1 + op[1] * 16u);
		break;
	case 3:
		look(m, w, block);
		break;
	default:
		for (uint32_t i = 0; i < many && m->there[w]; i++)
			change(m, w, (block + i) % BLOCKS, !(op[0] >> 2 & 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct model m;

	m = (struct model){0};
	ASSERT(kv_index_create(&m.ix, &(struct kv_index_config){KV_INDEX_BYTES_MIN, {secret[0], secret[1]}}, NULL) ==
		0);
	for (size_t at = 0; at + 3 <= len; at += 3)
		operate(&m, data + at);
	for (uint32_t w = 0; w < WORKERS; w++)
		for (uint32_t i = 0; i < BLOCKS; i += 61)
			look(&m, w, i);
	kv_index_destroy(m.ix);
	return 0;
}
