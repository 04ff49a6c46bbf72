/* search_places.c - which cards the services that are varied may take; see search_parts.h. */
#include "plan/search_parts.h"

#include <string.h>

bool search_same_model(const struct plan_service *a, const struct plan_service *b)
{
	return a->engine == b->engine && !strcmp(a->graph->model, b->graph->model);
}

static bool is_kind(const struct kind *k, const struct gpu_device *d)
{
	const struct gpu_device *c = k->card;

	return c->spec == d->spec && c->memory_total == d->memory_total && c->memory_free == d->memory_free &&
	       c->capability == d->capability && c->mig_slice == d->mig_slice;
}

static struct kind *kind_of(struct search *x, const struct gpu_device *d)
{
	for (uint32_t i = 0; i < x->kinds_len; i++)
		if (is_kind(&x->kinds[i], d))
			return &x->kinds[i];
	if (x->kinds_len == PLAN_KINDS_MAX)
		return NULL;
	x->kinds[x->kinds_len] = (struct kind){.card = d, .link = GPU_LINK_PCIE};
	return &x->kinds[x->kinds_len++];
}

/* free: of each class, cards that the services which are not varied leave. */
static void count_places(struct search *x, const struct plan_placement *others)
{
	const struct gpu_inventory *inv = others->inventory;

	for (uint32_t c = 0; c < others->classes_len; c++) {
		const struct plan_class *class = &others->classes[c];
		struct kind *k = kind_of(x, &inv->devices[class->first]);
		uint32_t free = 0, second = UINT32_MAX;
		for (uint32_t i = class->first; k && i < inv->count; i++) {
			if (others->class_of[i] != c)
				continue;
			free += others->users[i] == 0;
			second = second == UINT32_MAX && i > class->first ? i : second;
		}
		if (!k)
			continue;
		if (second != UINT32_MAX && gpu_inventory_link(inv, class->first, second) == GPU_LINK_NVLINK)
			k->link = GPU_LINK_NVLINK;
		for (uint32_t n = 1; n <= PLAN_TP_MAX; n++)
			k->places[n] += n == 1 || !k->card->mig_slice ? free / n : 0;
	}
}

/* Workers that are bound to cards stay on those: one worker, on the first of them, as many as are there, free, and alike. */
static void bind_places(struct search *x, const struct plan_placement *others)
{
	const struct plan_service *s = search_main(x);
	const struct gpu_inventory *inv = others->inventory;
	struct kind *of = NULL;
	uint32_t n = 0;

	for (uint32_t k = 0; k < s->pinned_len && n == k; k++)
		for (uint32_t i = 0; i < inv->count; i++) {
			const struct gpu_device *d = &inv->devices[i];
			if (d->host || d->index != s->pinned[k])
				continue;
			struct kind *here = kind_of(x, d);
			of = of ? of : here;
			n += here && here == of && !others->users[i];
			break;
		}
	for (uint32_t k = 0; k < x->kinds_len; k++)
		for (uint32_t tp = 1; tp <= PLAN_TP_MAX; tp++)
			x->kinds[k].places[tp] = &x->kinds[k] == of && tp <= n && x->kinds[k].places[tp];
}

/* Cards that the services of other models leave. */
int search_places(struct search *x)
{
	const struct plan_deployment *d = &x->asked->deployment;
	struct plan_deployment others = {.graph = d->graph, .len = d->len};
	struct plan_placement placement;

	others.services = calloc(d->len + 1, sizeof *others.services);
	if (!others.services)
		return -ENOMEM;
	memcpy(others.services, d->services, d->len * sizeof *others.services);
	for (uint32_t i = 0; i < d->len; i++)
		if (i == x->out->main || i == x->out->prefill || search_same_model(&d->services[i], search_main(x)))
			others.services[i].workers = 0;
	int r = plan_place(&placement, &others, x->asked->input.inventory);
	free(others.services);
	if (r < 0)
		return r;
	count_places(x, &placement);
	if (search_main(x)->pinned_len)
		bind_places(x, &placement);
	plan_placement_done(&placement);
	return 0;
}
