/* bench_kv.c - the identity of prefixes, beside the raw hash of the same bytes. */
#include "bench.h"
#include "kv/hash.h"
#include <stdlib.h>
#include <xxhash.h>

enum { TOKENS = 128 * 1024, BLOCK = 64 };

int main(void)
{
	uint32_t *tokens = malloc(TOKENS * sizeof *tokens);
	uint64_t *hashes = malloc(TOKENS / BLOCK * sizeof *hashes);
	uint64_t sum = 0;
	if (!tokens || !hashes)
		return 1;
	for (uint32_t i = 0; i < TOKENS; i++)
		tokens[i] = i * 2654435761u % 49152;
	printf("kv\n");
	BENCH("block hashes of 128k tokens, blocks of 64, a block", TOKENS / BLOCK, {
		kv_hash_blocks(tokens, TOKENS, BLOCK, 42, hashes);
		bench_use(hashes);
	});
	BENCH("raw XXH3 of the same bytes, block by block, a block", TOKENS / BLOCK, {
		for (uint32_t i = 0; i < TOKENS; i += BLOCK)
			sum += XXH3_64bits_withSeed(tokens + i, BLOCK * sizeof *tokens, 42);
		bench_use(&sum);
	});
	free(tokens);
	free(hashes);
	return 0;
}
