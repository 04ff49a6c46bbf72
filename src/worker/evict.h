/* evict.h - which retained sequence gives up cells first: one policy a table entry.
 *
 * A policy sees a snapshot and answers with an index: pure, so easy to test. Whatever it picks is trimmed from its end
 * (deepest first), so holdings stay closed under prefixes and an index elsewhere may forget but never invents. */
#ifndef STATOR_WORKER_EVICT_H
#define STATOR_WORKER_EVICT_H

#include <stdint.h>

struct evict_candidate {
	uint32_t seq;
	uint32_t len; /* tokens it holds */
	uint32_t own; /* of these, at its end, that nobody else holds: what trimming frees */
	uint64_t used; /* when it was last used, in uses: larger is later */
};
struct evict_ops {
	const char *name;
	/* The index of the candidate to trim; count > 0. */
	uint32_t (*pick)(const struct evict_candidate *c, uint32_t count);
};
extern const struct evict_ops evict_lru;
/* NULL when there is no policy of that name. */
const struct evict_ops *evict_find(const char *name);

#endif
