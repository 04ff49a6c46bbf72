/* search_parts.h - what the search's two halves share: shapes on GPUs (search.c) and on the CPU (search_host.c). */
#ifndef STATOR_PLAN_SEARCH_PARTS_H
#define STATOR_PLAN_SEARCH_PARTS_H

#include "plan/search.h"

enum { OPTIONS_DEFAULT = 5, SHAPES_MAX = 512 };

/* Cards alike but for their host. */
struct kind {
	const struct gpu_device *card;
	enum gpu_link link; /* the best within its hosts */
	uint32_t places[PLAN_TP_MAX + 1]; /* groups of n cards it has */
};

struct found {
	struct plan_shape shape;
	struct plan_predicted predicted;
	struct plan_pace pace;
	struct plan_predicted divided; /* the same workers with divided roles */
	uint32_t divided_prefill;
	double worth;
};

struct search {
	const struct plan *asked;
	const struct plan_wish *wish;
	struct plan_options *out;
	struct plan_axes axes;
	const char *kv, *attention; /* as asked, unless the cards refuse it */
	struct kind kinds[PLAN_KINDS_MAX];
	uint32_t kinds_len;
	struct plan_predicted divided; /* of the shape that is being tried */
	uint32_t divided_prefill;
	struct found found[SHAPES_MAX]; /* the best of each tp, quantization and division of roles */
	uint32_t found_len;
	bool open; /* nothing surely fits: what is in no record is offered, too (plan_is_open) */
};

static inline const struct plan_service *search_main(const struct search *x)
{
	return &x->asked->deployment.services[x->out->main];
}
/* Do both run the same model on the same engine? */
bool search_same_model(const struct plan_service *a, const struct plan_service *b);
/* Kinds of cards, and the places on those that the services of other models leave and CUDA_VISIBLE_DEVICES allows. 0 or -ENOMEM. */
int search_places(struct search *x);
/* Keep the best of its form; count and paces are of each kind. */
void search_keep(struct search *x, const struct plan_shape *shape, const struct plan_predicted *predicted,
	const struct plan_pace *paces, const uint32_t *count, uint32_t kinds);
/* Nothing was found on GPUs: the reason, tried and not guessed. */
void search_why(struct search *x);
/* Look at llama workers on this host's cores: every count of workers, context, type of weights and of KV. */
void search_host(struct search *x);

#endif
