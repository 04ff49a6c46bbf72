#include "route/queue.h"
#include "base/compiler.h"

#include <errno.h>
#include <math.h>

/* One list; a zeroed one is empty. */
struct queue_list {
	struct list head;
	struct list *cursor; /* what the walk shows next */
};
struct queue_lane {
	struct queue_list sizes[QUEUE_SIZES];
	uint64_t used; /* a bit for each list that is not empty */
	uint64_t walk; /* the same, of those with more to show */
};

enum { LANES = QUEUE_CLASSES * QUEUE_TENANTS, INSERT_LOOK_MAX = 32 };
static const double class_factor =
	16; /* what a priority class is worth in the key: waiting so many times longer, say */
/* A wait counts double after five minutes: under overload the largest wait some 7 minutes, not 10, for 4 % more mean. */
static const double patience_us = 300e6;
static const float late_key = 1e6; /* of tenants ahead of their share: behind all others */

int queue_init(struct queue *q, enum route_order order)
{
	*q = (struct queue){.order = order};
	q->lanes = calloc(LANES, sizeof *q->lanes);
	return q->lanes ? 0 : -ENOMEM;
}

void queue_done(struct queue *q)
{
	free(q->lanes);
	*q = (struct queue){0};
}

static struct queue_lane *lane_of(struct queue *q, const struct queue_item *item)
{
	return &q->lanes[item->class * QUEUE_TENANTS + item->tenant];
}

/* Quarter octaves from a millisecond to a minute. */
static uint8_t size_class(double size_us)
{
	double at = 4 * log2(fmax(size_us, 1) / 1000);
	return (uint8_t)fmin(fmax(at, 0), QUEUE_SIZES - 1);
}

static uint8_t tenant_slot(uint64_t tenant)
{
	return tenant ? (uint8_t)((tenant * 0x9e3779b97f4a7c15ull) >> 58) : 0;
}

/* A tenant that comes back has not saved up what it did not ask for. */
static void tenant_joins(struct queue *q, uint8_t tenant)
{
	if (q->tenant_len[tenant]++)
		return;
	q->tenants |= 1ull << tenant;
	q->service_us[tenant] = fmax(q->service_us[tenant], q->clock_us);
}

void queue_add(
	struct queue *q, struct queue_item *item, uint64_t now_us, double size_us, int32_t priority, uint64_t tenant)
{
	item->since_us = now_us;
	item->size_us = size_us;
	item->class = priority > 0 ? 0 : priority == 0 ? 1 : 2;
	item->tenant = tenant_slot(tenant);
	item->size = q->order == ROUTE_FCFS ? 0 : size_class(size_us);
	struct queue_lane *lane = lane_of(q, item);
	struct queue_list *l = &lane->sizes[item->size];
	if (!l->head.next)
		list_init(&l->head);
	list_add_tail(&l->head, &item->link);
	lane->used |= 1ull << item->size;
	tenant_joins(q, item->tenant);
	q->len++;
}

void queue_remove(struct queue *q, struct queue_item *item)
{
	struct queue_lane *lane = lane_of(q, item);

	list_del(&item->link);
	if (list_empty(&lane->sizes[item->size].head))
		lane->used &= ~(1ull << item->size);
	ASSERT(q->len && q->tenant_len[item->tenant]);
	q->len--;
	if (--q->tenant_len[item->tenant] == 0)
		q->tenants &= ~(1ull << item->tenant);
}

/* The oldest first, as if it had come into this list at its time; among very many, near there. */
static void insert_by_age(struct queue_list *l, struct queue_item *item)
{
	struct list *at = l->head.next;

	for (int i = 0; i < INSERT_LOOK_MAX && at != &l->head; i++, at = at->next)
		if (list_entry(at, struct queue_item, link)->since_us > item->since_us)
			break;
	list_add_tail(at, &item->link);
}

void queue_resize(struct queue *q, struct queue_item *item, double size_us)
{
	struct queue_lane *lane = lane_of(q, item);
	uint8_t size = q->order == ROUTE_FCFS ? 0 : size_class(size_us);

	item->size_us = size_us;
	if (size == item->size)
		return;
	list_del(&item->link);
	if (list_empty(&lane->sizes[item->size].head))
		lane->used &= ~(1ull << item->size);
	item->size = size;
	if (!lane->sizes[size].head.next)
		list_init(&lane->sizes[size].head);
	insert_by_age(&lane->sizes[size], item);
	lane->used |= 1ull << size;
}

void queue_served(struct queue *q, const struct queue_item *item, double work_us)
{
	q->clock_us = fmax(q->clock_us, q->service_us[item->tenant]);
	q->service_us[item->tenant] += work_us;
}

/* walking */

static float key_of(const struct queue_walk *w, const struct queue_item *item, uint32_t lane)
{
	double waited_us = (double)(w->now_us - item->since_us), key;

	waited_us *= 1 + waited_us / patience_us;
	if (w->q->order == ROUTE_RESPONSE_RATIO)
		key = item->size_us / (waited_us + item->size_us);
	else if (w->q->order == ROUTE_SHORTEST)
		key = item->size_us / (item->size_us + 1e6);
	else
		key = 1 / (1 + waited_us);
	bool is_late = w->q->service_us[lane % QUEUE_TENANTS] > w->limit_us;
	for (uint32_t class = 0; class < lane / QUEUE_TENANTS; class ++)
		key *= class_factor;
	return (float)key + late_key * is_late;
}

/* The best head of a lane, into v[at]; drops the lane when it has nothing more to show. */
static void show(struct queue_walk *w, uint32_t at)
{
	uint32_t number = w->v[at].lane;
	struct queue_lane *lane = &w->q->lanes[number];
	float best = INFINITY;

	for (uint64_t left = lane->walk; left; left &= left - 1) {
		uint32_t size = (uint32_t)__builtin_ctzll(left);
		float key = key_of(w, list_entry(lane->sizes[size].cursor, struct queue_item, link), number);
		if (key < best) {
			best = key;
			w->v[at].size = (uint8_t)size;
		}
	}
	w->v[at].key = best;
	if (!lane->walk)
		w->v[at] = w->v[--w->len];
}

static void begin_lane(struct queue_walk *w, uint32_t number)
{
	struct queue_lane *lane = &w->q->lanes[number];

	if (!lane->used)
		return;
	lane->walk = lane->used;
	for (uint64_t left = lane->walk; left; left &= left - 1) {
		struct queue_list *l = &lane->sizes[__builtin_ctzll(left)];
		l->cursor = l->head.next;
	}
	w->v[w->len].lane = (uint16_t)number;
	show(w, w->len++);
}

void queue_walk_begin(struct queue_walk *w, struct queue *q, uint64_t now_us, double quantum_us)
{
	double least = INFINITY;

	w->q = q;
	w->now_us = now_us;
	w->len = 0;
	for (uint64_t left = q->tenants; left; left &= left - 1)
		least = fmin(least, q->service_us[__builtin_ctzll(left)]);
	w->limit_us = least + quantum_us;
	for (uint64_t left = q->tenants; left; left &= left - 1)
		for (uint32_t c = 0; c < QUEUE_CLASSES; c++)
			begin_lane(w, c * QUEUE_TENANTS + (uint32_t)__builtin_ctzll(left));
}

struct queue_item *queue_walk_next(struct queue_walk *w)
{
	uint32_t at = 0;

	if (!w->len)
		return NULL;
	for (uint32_t i = 1; i < w->len; i++)
		if (w->v[i].key < w->v[at].key)
			at = i;
	struct queue_lane *lane = &w->q->lanes[w->v[at].lane];
	struct queue_list *l = &lane->sizes[w->v[at].size];
	struct queue_item *item = list_entry(l->cursor, struct queue_item, link);
	l->cursor = l->cursor->next;
	if (l->cursor == &l->head)
		lane->walk &= ~(1ull << w->v[at].size);
	show(w, at);
	return item;
}
