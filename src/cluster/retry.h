/* retry.h - how long to wait before an address is tried again: 5 ms eight times (a worker of the same start is
 * about to listen), then doubled up to 1 s, less up to a quarter by chance, so that many frontends do not knock in step.
 * Thread: one owner. Zero it before first use; zero it again when a connection proved good, which takes
 * more than that it was made. */
#ifndef STATOR_CLUSTER_RETRY_H
#define STATOR_CLUSTER_RETRY_H

#include "base/compiler.h"
#include <stdint.h>

enum { RETRY_FIRST_US = 5 * 1000, RETRY_FIRST_TIMES = 8, RETRY_MAX_US = 1000 * 1000 };

struct retry {
	uint64_t last_us; /* 0: none yet */
	uint32_t times; /* up to RETRY_FIRST_TIMES */
};

static inline uint64_t retry_next_us(struct retry *r, uint64_t random)
{
	if (r->times < RETRY_FIRST_TIMES) {
		r->last_us = RETRY_FIRST_US;
		r->times++;
	} else {
		r->last_us = MIN(r->last_us * 2, (uint64_t)RETRY_MAX_US);
	}
	return r->last_us - random % (r->last_us / 4 + 1);
}

#endif
