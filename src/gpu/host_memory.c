/* host_memory.c - how fast this host's memory is read: threads that add up blocks of their own; see host.h. */
#include "gpu/host.h"

#include "base/compiler.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK_BYTES = 32 * 1024 * 1024, THREADS_MAX = 32, ROUNDS = 5 };

struct reader {
	pthread_t thread;
	uint64_t *block;
	uint64_t sum; /* kept, so that the reading is done */
	double seconds; /* of its fastest round: neighbours disturb the others */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *read_block(void *arg)
{
	struct reader *r = arg;
	uint64_t sum[4] = {0};

	memset(r->block, 1, BLOCK_BYTES);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		double from = now();
		for (size_t i = 0; i < BLOCK_BYTES / sizeof *r->block; i += 4)
			for (size_t k = 0; k < 4; k++)
				sum[k] += r->block[i + k];
		double seconds = now() - from;
		r->seconds = round == 0 ? seconds : MIN(r->seconds, seconds);
	}
	r->sum = sum[0] + sum[1] + sum[2] + sum[3];
	return NULL;
}

/* All read at the same time, for they begin together but for the start of a thread. */
static uint32_t measure(struct reader *readers, uint32_t count)
{
	uint32_t started = 0;
	double bytes_s = 0;

	while (started < count && pthread_create(&readers[started].thread, NULL, read_block, &readers[started]) == 0)
		started++;
	for (uint32_t i = 0; i < started; i++) {
		pthread_join(readers[i].thread, NULL);
		bytes_s += readers[i].seconds > 0 ? BLOCK_BYTES / readers[i].seconds : 0;
	}
	return (uint32_t)(bytes_s / 1e6);
}

uint32_t host_memory_measure(uint32_t cores)
{
	uint32_t count = MIN(MAX(cores, 1u), (uint32_t)THREADS_MAX), ret = 0;
	struct reader *readers = calloc(count, sizeof *readers);
	bool all = readers != NULL;

	for (uint32_t i = 0; all && i < count; i++) {
		readers[i].block = malloc(BLOCK_BYTES);
		all = readers[i].block != NULL;
	}
	if (all)
		ret = measure(readers, count);
	for (uint32_t i = 0; readers && i < count; i++)
		free(readers[i].block);
	free(readers);
	return ret;
}
