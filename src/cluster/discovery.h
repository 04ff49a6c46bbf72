/* discovery.h - which worker addresses there are. Kinds are one table of functions each, in one file each.
 *
 *   static     "unix:/run/x/w0.sock,10.0.0.7:7000"     the list, for ever; a comma or blank of a path has a backslash in front
 *   directory  "/run/x"                                every *.sock in it, looked at again and again
 *
 * An address that is told may be dead, and one that works may be told late: whoever connects tries and tries again.
 * Thread: the env's loop; handlers are called from turns of its own. Memory: ADDRS_MAX addresses. */
#ifndef STATOR_CLUSTER_DISCOVERY_H
#define STATOR_CLUSTER_DISCOVERY_H

#include "base/buf.h"
#include "base/env.h"

enum {
	DISCOVERY_ADDRS_MAX = 1024, /* WORKERS_MAX */
	DISCOVERY_POLL_US = 20 * 1000, /* at first, while a deployment starts */
	DISCOVERY_POLL_SLOW_US = 500 * 1000, /* after DISCOVERY_FAST_US without news; a look is one stat */
	DISCOVERY_FAST_US = 10 * 1000 * 1000,
	DISCOVERY_AGAIN_US = 1000 * 1000, /* after a handler had no memory for an address */
};

struct discovery;

struct discovery_handler {
	/* Borrows addr. Negative: there was no memory to take it; it is told again, a second later or so. */
	int (*on_found)(void *ctx, const char *addr);
	void (*on_lost)(void *ctx, const char *addr);
};

struct discovery_ops {
	const char *name;
	int (*create)(struct discovery **ret, struct env *env, const char *arg, const struct discovery_handler *handler,
		void *ctx, struct err *err);
	void (*destroy)(struct discovery *d);
};

/* First member of every kind's struct. */
struct discovery {
	const struct discovery_ops *ops;
};

extern const struct discovery_ops discovery_static, discovery_directory;
/* NULL when there is none of that name. */
const struct discovery_ops *discovery_find(const char *name);
int discovery_create(struct discovery **ret, const struct discovery_ops *ops, struct env *env, const char *arg,
	const struct discovery_handler *handler, void *ctx, struct err *err) MUST_USE;
/* One address more for a list, so that it is found again whatever its path has in it. out keeps failures. */
void discovery_list_add(struct buf *out, const char *addr);
/* The next address of a list in ret, and *at behind it. False: there is none any more, and ret is as it
 * was. What does not fit cap (at least 1 where there is one) is cut. */
bool discovery_list_next(const char **at, char *ret, size_t cap);
/* Calls nobody. NULL is fine. */
void discovery_destroy(struct discovery *d);

#endif
