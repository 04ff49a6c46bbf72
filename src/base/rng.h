/* rng.h - seeded random numbers (xoshiro256**, Blackman and Vigna 2018, public domain algorithm) and keyed draws.
 * Not for secrets: those come from rng_secret. Thread: one owner a struct. */
#ifndef STATOR_BASE_RNG_H
#define STATOR_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* Uniform in [0, n), n > 0, without modulo bias. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* Uniform in [0, 1) with 53 bits. */
double rng_unit(struct rng *r);
/* A draw that depends on (seed, position) alone: splitmix64 of the two mixed. The same on every worker. */
uint64_t rng_keyed_u64(uint64_t seed, uint64_t position);
double rng_keyed_unit(uint64_t seed, uint64_t position);
/* Fill with the kernel's randomness (getrandom). Aborts when the kernel has none: nothing safe can follow. */
void rng_secret(void *ret, size_t len);

#endif
