/* queue.h - requests that wait, in the order in which they should be looked at. No clock, no workers: a container.
 *
 *   lane = (priority class, tenant)   each with 64 lists by size, a quarter octave apart; each list is first come first served
 *
 * Within a list all are about equally large, so its oldest goes first by every order; the next of a lane is the best of at
 * most 64 heads. Among lanes: tenants share evenly. A tenant that has been served more than the quantum ahead of the one
 * served least (of those that wait) comes after all others; inside the quantum only the key counts, so that small
 * differences do not disturb the order. A priority class is worth a factor of 16 in the key (first come first served: having
 * waited 16 times as long; response ratio: 16 times the ratio), so that nobody starves. Tenants are hashed into 64: two that
 * meet share one share.
 *
 * Thread: one owner. Memory: 200 KiB of address space a queue, touched as used; items live in their owners. */
#ifndef STATOR_ROUTE_QUEUE_H
#define STATOR_ROUTE_QUEUE_H

#include "base/list.h"
#include "route/policy.h"

enum { QUEUE_CLASSES = 3, QUEUE_TENANTS = 64, QUEUE_SIZES = 64 };

struct queue_item {
	struct list link; /* private, as all but what queue_add takes */
	uint64_t since_us;
	double size_us;
	uint8_t class, tenant, size;
};

struct queue_lane;
struct queue {
	enum route_order order;
	struct queue_lane *lanes;
	double service_us[QUEUE_TENANTS]; /* served, against the others */
	double clock_us; /* service of the tenant served last */
	uint32_t tenant_len[QUEUE_TENANTS];
	uint64_t tenants; /* a bit each that has waiting items */
	uint32_t len;
};

int queue_init(struct queue *q, enum route_order order) MUST_USE;
void queue_done(struct queue *q);
/* size_us: the work it is, however well it is placed. O(1). */
void queue_add(
	struct queue *q, struct queue_item *item, uint64_t now_us, double size_us, int32_t priority, uint64_t tenant);
/* O(1). */
void queue_remove(struct queue *q, struct queue_item *item);
/* It is more or less work than it was (what is cached has changed). Not during a walk. O(1). */
void queue_resize(struct queue *q, struct queue_item *item, double size_us);
/* Its tenant has got so much work done. */
void queue_served(struct queue *q, const struct queue_item *item, double work_us);

/* One look at what waits, best first. The item returned last may be removed meanwhile, no other. */
struct queue_walk {
	struct queue *q;
	uint64_t now_us;
	double limit_us; /* service up to which a tenant is in time */
	uint32_t len; /* lanes that have more to show */
	struct queue_shown {
		uint16_t lane;
		uint8_t size;
		float key;
	} v[QUEUE_CLASSES * QUEUE_TENANTS];
};
void queue_walk_begin(struct queue_walk *w, struct queue *q, uint64_t now_us, double quantum_us);
/* NULL at the end. O(lanes with items + 64). */
struct queue_item *queue_walk_next(struct queue_walk *w);

#endif
