/* check.h - the checks of plan.c, by theme. Each looks at a placed plan and adds findings; nobody else includes this. */
#ifndef STATOR_PLAN_CHECK_H
#define STATOR_PLAN_CHECK_H

#include "base/plural.h"
#include "plan/plan.h"

void plan_check_counts(struct plan *p); /* cards asked for against cards there; who shares one; who is bound where */
void plan_check_given(
	struct plan *p); /* of plan_check_counts: the cards a worker is given against those it computes on */
void plan_check_memory(struct plan *p); /* weights, KV, memory that others hold */
/* Of plan_check_memory: a model that is not known, on such a card (NULL: none), by what its name says. */
void plan_check_unknown(struct plan *p, const struct plan_service *s, const struct gpu_device *card);
/* Of plan_check_memory: a server of llama.cpp, whose parts are judged card by card. */
void plan_check_llama(struct plan *p, uint32_t service);
/* Of plan_check_memory: what leaves the answer open for a service whose terms fit on such a card. */
void plan_check_open(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card);
/* Would that leave the answer open? */
bool plan_is_open(const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card);
void plan_check_engine(
	struct plan *p); /* what an engine refuses on such a card: types, quantization, divisors, sizes */
/* Of plan_check_engine: names and sizes that an engine's own start-up refuses on every card. */
void plan_check_names(struct plan *p, const struct plan_service *s);
/* Of plan_check_engine: what the engine's release does not know yet, or no more. */
void plan_check_release(struct plan *p, const struct plan_service *s);
/* The same on such a card. */
void plan_check_release_on(struct plan *p, const struct plan_service *s, const struct gpu_device *card);
void plan_check_flags(
	struct plan *p); /* flags that a release does not have, and those that the arithmetic leaves out */
void plan_check_links(struct plan *p); /* cards that work together over a slow link, or are not alike */
void plan_check_pairs(struct plan *p); /* services that must agree: block size, hand-off of KV */
/* Where a variable that nobody sets is a count, a share or a length, what does not fit was found of another deployment. Last. */
void plan_doubt_variables(struct plan *p);
void plan_check_host(struct plan *p); /* cores, RAM, NUMA, shared memory, limits, disk, ports, programs, files */

/* What a setting is called in the form that was read: "ServiceArgs.resources.gpu" of a graph, "the limit of nvidia.com/gpu" of a
 * Kubernetes object. NULL: the engine has none. */
const char *plan_word(const struct plan *p, const struct plan_service *s, enum plan_key key);
/* Append remedies to the finding added last, which says that s has too little memory on such a card: fewer sequences or tokens
 * a step, a shorter context, a larger share of the card, smaller weights, more cards, in this order, each tried first. */
void plan_remedies(struct plan *p, const struct plan_service *s, const struct gpu_device *card);
/* A llama worker takes less context than its model's, since nobody said how much: a notice. */
void plan_context_reduced(struct plan *p, const struct plan_service *s, uint64_t context);
/* "4 T4", "2 T4 and 1 L4", "no GPU". Returns ret. */
const char *plan_cards_text(const struct plan *p, char *ret, size_t cap);
/* "GPU 0", or "host 2, GPU 0" where there are several hosts, counted from 1. Returns ret. */
const char *plan_device_text(const struct plan *p, uint32_t device, char *ret, size_t cap);
enum { PLAN_DEVICE_TEXT = 48 };
#define PLAN_DEVICE(p, device) plan_device_text((p), (device), (char[PLAN_DEVICE_TEXT]){0}, PLAN_DEVICE_TEXT)
/* " on host 2" of a class of cards, "" where there is one host. Returns ret. */
const char *plan_host_text(const struct plan *p, uint32_t host, char *ret, size_t cap);
#define PLAN_HOST(p, host) plan_host_text((p), (host), (char[PLAN_DEVICE_TEXT]){0}, PLAN_DEVICE_TEXT)
/* "T4" of a device: its catalogue name, else what the driver calls it. */
const char *plan_card_name(const struct gpu_device *d);
static inline const struct gpu_device *plan_card_of(const struct plan *p, uint32_t class)
{
	return &p->input.inventory->devices[p->placement.classes[class].first];
}
static inline const char *plan_s(uint64_t n)
{
	return plural_s(n);
}

#endif
