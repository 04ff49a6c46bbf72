/* place.h - which worker computes on which cards: never one that does not exist, never more than a card can give.
 *
 * Cards are grouped into classes (same host, same card, same free memory). The widest workers choose first; a worker
 * takes the smallest class it fits in, all its cards in one host, neighbours by NVLink where there are such. A worker of an
 * external engine that is wider than every host takes as many alike cards of each of as few hosts as will do. Workers
 * bound by CUDA_VISIBLE_DEVICES get exactly those. What finds no place stays without one; findings say why.
 * Deterministic. Thread: any. Memory: a few words a card and a worker. */
#ifndef STATOR_PLAN_PLACE_H
#define STATOR_PLAN_PLACE_H

#include "plan/need.h"

struct plan_class {
	uint32_t host;
	uint32_t first; /* a card of it: index into the inventory's devices */
	uint32_t count; /* cards */
};

/* One worker process. */
struct plan_slot {
	uint32_t service; /* index into the deployment's services */
	uint32_t worker; /* which of the service's */
	uint32_t first, count; /* its cards: placement.cards[first .. first+count); 0: it has no place */
	bool pinned, mixed; /* bound by the user; cards of several classes */
};

struct plan_placement {
	const struct gpu_inventory *inventory; /* borrowed */
	struct plan_class *classes;
	uint32_t *class_of; /* of each device */
	uint32_t classes_len;
	struct plan_slot *slots; /* services in order, workers in order; services without GPUs have none */
	uint32_t slots_len, placed;
	uint32_t *cards, cards_len; /* indices into the inventory's devices */
	uint32_t *users; /* of each device: how many workers compute on it */
	struct plan_terms *terms; /* services x classes, row by row: plan_need of a service on a class */
};

enum { PLAN_SPAN_MAX = 64 }; /* hosts of one worker */
enum { PLAN_SLOTS_MAX = 65536 }; /* more workers than this are counted, not placed */

/* 0 or -ENOMEM. */
int plan_place(struct plan_placement *ret, const struct plan_deployment *d, const struct gpu_inventory *inventory);
void plan_placement_done(struct plan_placement *p);
static inline const struct plan_terms *plan_terms_of(const struct plan_placement *p, uint32_t service, uint32_t class)
{
	return &p->terms[(size_t)service * p->classes_len + class];
}
/* The terms of a worker's k-th card: of a server of llama.cpp its own part, which differs among cards alike. */
void plan_terms_at(struct plan_terms *ret, const struct plan_placement *p, const struct plan_deployment *d,
	const struct plan_slot *slot, uint32_t k);
/* Cards of the class a service would be happiest on: fits, else the largest. UINT32_MAX when there are no cards. */
uint32_t plan_class_for(const struct plan_placement *p, uint32_t service);

#endif
