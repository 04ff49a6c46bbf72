#include "route/rent.h"
#include "base/compiler.h"

/* Fibonacci hashing: the top bits of the product. */
enum { RENT_BITS = 12 };
_Static_assert(1 << RENT_BITS == RENT_PREFIXES, "a slot for each value of the bits");

static uint32_t slot_of(uint64_t hash)
{
	return (uint32_t)(hash * 0x9e3779b97f4a7c15ull >> (64 - RENT_BITS));
}

double rent_paid(const struct rents *r, uint64_t hash)
{
	const struct rent *e = &r->v[slot_of(hash)];

	return hash && e->hash == hash ? e->us : 0;
}

void rent_pay(struct rents *r, uint64_t hash, double us)
{
	struct rent *e = &r->v[slot_of(hash)];

	if (!hash)
		return;
	if (e->hash != hash)
		*e = (struct rent){.hash = hash};
	e->us += us;
}

void rent_clear(struct rents *r, uint64_t hash)
{
	struct rent *e = &r->v[slot_of(hash)];

	if (e->hash == hash)
		*e = (struct rent){0};
}
