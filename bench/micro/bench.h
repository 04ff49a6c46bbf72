/* bench.h - nanoseconds of one operation: run it for a while, take the best of a few rounds (others share the machine).
 *
 *     BENCH("frame, encode", 1, { op(); });      prints "frame, encode        123 ns"
 *
 * units divides: how many tokens, blocks, ... one run of the body handles. */
#ifndef STATOR_BENCH_H
#define STATOR_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { BENCH_ROUNDS = 5 };
static const uint64_t BENCH_ROUND_NS = 40 * 1000 * 1000;

static inline uint64_t bench_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Makes the compiler believe that p is looked at. */
static inline void bench_use(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

static inline void bench_print(const char *name, double ns)
{
	printf("  %-58s %12.1f ns\n", name, ns);
}

#define BENCH(name, units, ...)                                                                                        \
	do {                                                                                                           \
		double bench_best = 0;                                                                                 \
		uint64_t bench_runs = 1;                                                                               \
		for (int bench_round = 0; bench_round < BENCH_ROUNDS;) {                                               \
			uint64_t bench_began = bench_now_ns();                                                         \
			for (uint64_t bench_i = 0; bench_i < bench_runs; bench_i++)                                    \
				__VA_ARGS__;                                                                           \
			uint64_t bench_took = bench_now_ns() - bench_began;                                            \
			if (bench_took < BENCH_ROUND_NS / 2) {                                                         \
				bench_runs *= 2;                                                                       \
				continue;                                                                              \
			}                                                                                              \
			double bench_ns = (double)bench_took / (double)bench_runs / (double)(units);                   \
			bench_best = bench_round == 0 || bench_ns < bench_best ? bench_ns : bench_best;                \
			bench_round++;                                                                                 \
		}                                                                                                      \
		bench_print(name, bench_best);                                                                         \
	} while (0)

#endif
