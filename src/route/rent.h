/* rent.h - rent or buy: when is a second copy of a prefix worth computing?
 *
 * Each request that waits for a busy worker because its prefix is there, while another worker stands idle, pays rent. What
 * a prefix has cost in rent since it was last copied is what its next copy may cost: then no prefix costs much more
 * than the best that could have been done knowing the future, whether few requests of it come or many. A prefix stands for
 * the last block of it that any worker holds, so turns of one conversation pay nothing together.
 *
 * Thread: one owner. Memory: 64 KiB. A prefix may push out another's account; it then begins again. O(1). */
#ifndef STATOR_ROUTE_RENT_H
#define STATOR_ROUTE_RENT_H

#include <stdint.h>

enum { RENT_PREFIXES = 4096 };

struct rents {
	struct rent {
		uint64_t hash; /* 0: free */
		double us;
	} v[RENT_PREFIXES];
};

/* Paid since the last copy; 0 for hash 0. */
double rent_paid(const struct rents *r, uint64_t hash);
void rent_pay(struct rents *r, uint64_t hash, double us);
/* It is copied. */
void rent_clear(struct rents *r, uint64_t hash);

#endif
