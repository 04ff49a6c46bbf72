#include "base/rng.h"
#include "base/compiler.h"

#include <sys/random.h>

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static double to_unit(uint64_t x)
{
	return (double)(x >> 11) * 0x1.0p-53;
}

void rng_init(struct rng *r, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(r->s); i++)
		r->s[i] = splitmix(&seed);
}

uint64_t rng_u64(struct rng *r)
{
	uint64_t *s = r->s, ret = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return ret;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	ASSERT(n > 0);
	/* Reject the few lowest values that would make small remainders likelier. */
	uint64_t reject_below = -n % n, x;
	do
		x = rng_u64(r);
	while (x < reject_below);
	return x % n;
}

double rng_unit(struct rng *r)
{
	return to_unit(rng_u64(r));
}

uint64_t rng_keyed_u64(uint64_t seed, uint64_t position)
{
	uint64_t state = seed ^ 0x6a09e667f3bcc909ull;
	state = splitmix(&state) ^ position;
	return splitmix(&state);
}

double rng_keyed_unit(uint64_t seed, uint64_t position)
{
	return to_unit(rng_keyed_u64(seed, position));
}

void rng_secret(void *ret, size_t len)
{
	unsigned char *p = ret;

	while (len) {
		ssize_t n = getrandom(p, len, 0);
		if (n <= 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}
