/* expect.h - which models a deployment is to have, told before any worker has come.
 *
 * A model that is expected and has no worker yet is answered 503 with Retry-After, not 404, and the frontend is ready once
 * each has as many workers as it needs. From then on it is ready while each has one: a worker that dies in a running
 * deployment does not take the whole of it out of a load balancer.
 *
 * Thread: the loop's. Memory: the names, EXPECT_MODELS_MAX at most. */
#ifndef STATOR_FRONTEND_EXPECT_H
#define STATOR_FRONTEND_EXPECT_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { EXPECT_MODELS_MAX = 1024 };

struct expected {
	char *name;
	uint32_t workers; /* that it needs; 0: it may come, nobody waits for it */
};
struct expect {
	struct expected *v;
	uint32_t len;
};

/* items: "NAME=COUNT" each, from 0 to WORKERS_MAX; the same name twice adds up. Copies. -EINVAL: err says which and why. */
int expect_init(struct expect *e, const char *const *items, uint32_t len, struct err *err) MUST_USE;
void expect_done(struct expect *e);
/* NULL: not expected. */
const struct expected *expect_find(const struct expect *e, const char *name);

#endif
