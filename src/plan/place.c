/* place.c - cards for workers; see place.h. */
#include "plan/place.h"

#include <string.h>

enum { SPREAD_KINDS_MAX = 16 };

struct placer {
	struct plan_placement *p;
	const struct plan_deployment *d;
	const struct gpu_inventory *inv;
	double *load; /* of each device: shares given away */
	uint32_t *left; /* of each class: cards nobody has */
	uint32_t *next; /* of each class: no card before this one is free */
	uint32_t hosts, widest; /* machines; cards of the one that has most */
	uint32_t unspread; /* service + 1 that found no hosts for a worker: the next finds none either */
};

/* Classes. */

static bool is_alike(const struct gpu_device *a, const struct gpu_device *b)
{
	return a->host == b->host && a->memory_total == b->memory_total && a->memory_free == b->memory_free &&
	       a->capability == b->capability && a->spec == b->spec && a->mig_slice == b->mig_slice;
}

static void classify(struct placer *x)
{
	struct plan_placement *p = x->p;

	for (uint32_t i = 0; i < x->inv->count; i++) {
		const struct gpu_device *dev = &x->inv->devices[i];
		uint32_t c = p->classes_len;
		/* Neighbours are mostly alike: look at the newest class first. */
		while (c > 0 && !is_alike(dev, &x->inv->devices[p->classes[c - 1].first]))
			c--;
		if (c == 0) {
			p->classes[p->classes_len] = (struct plan_class){.host = dev->host, .first = i};
			c = ++p->classes_len;
		}
		p->classes[c - 1].count++;
		p->class_of[i] = c - 1;
		x->left[c - 1]++;
		x->hosts = MAX(x->hosts, dev->host + 1);
	}
	for (uint32_t i = 0, count = 0; i < x->inv->count; i++) { /* hosts follow one another */
		count = i && x->inv->devices[i].host == x->inv->devices[i - 1].host ? count + 1 : 1;
		x->widest = MAX(x->widest, count);
	}
	for (uint32_t c = 0; c < p->classes_len; c++)
		x->next[c] = p->classes[c].first;
}

/* A server of llama.cpp divides a model over the cards it is bound to, which need not be alike: of each class the worst card's terms. */
static bool needs_of_server(struct placer *x, const struct plan_service *s, struct plan_terms *row)
{
	struct plan_placement *p = x->p;
	const struct gpu_device *cards[LLAMA_CARDS_MAX];
	uint32_t len = 0, class[LLAMA_CARDS_MAX];

	if (!s->llama.server || !plan_on_gpu(s) || !s->pinned_len)
		return false;
	for (uint32_t k = 0; k < s->pinned_len; k++)
		for (uint32_t i = 0; i < x->inv->count && len < LLAMA_CARDS_MAX; i++)
			if (x->inv->devices[i].host == 0 && x->inv->devices[i].index == s->pinned[k]) {
				class[len] = p->class_of[i];
				cards[len++] = &x->inv->devices[i];
				break;
			}
	for (uint32_t c = 0; c < p->classes_len; c++) /* of cards that it does not take: as if it took such ones */
		plan_need(&row[c], s, &x->inv->devices[p->classes[c].first]);
	for (uint32_t k = 0; k < len; k++) {
		struct plan_terms t;
		bool first = true;
		plan_need_server(&t, s, cards, len, cards[k]);
		for (uint32_t i = 0; i < k; i++)
			first &= class[i] != class[k];
		struct plan_terms *have = &row[class[k]];
		uint64_t sum = plan_terms_fixed(&t) + t.kv_least;
		if (first || (plan_terms_fit(have) && !plan_terms_fit(&t)) ||
			sum > plan_terms_fixed(have) + have->kv_least)
			*have = t;
	}
	return true;
}

void plan_terms_at(struct plan_terms *ret, const struct plan_placement *p, const struct plan_deployment *d,
	const struct plan_slot *slot, uint32_t k)
{
	const struct plan_service *s = &d->services[slot->service];
	const struct gpu_device *cards[LLAMA_CARDS_MAX];
	uint32_t len = MIN(slot->count, (uint32_t)LLAMA_CARDS_MAX);

	*ret = *plan_terms_of(p, slot->service, p->class_of[p->cards[slot->first + k]]);
	if (!s->llama.server || k >= len)
		return;
	for (uint32_t i = 0; i < len; i++)
		cards[i] = &p->inventory->devices[p->cards[slot->first + i]];
	plan_need_server(ret, s, cards, len, cards[k]);
}

static int needs(struct placer *x)
{
	struct plan_placement *p = x->p;

	p->terms = calloc((size_t)x->d->len * p->classes_len + 1, sizeof *p->terms);
	if (!p->terms)
		return -ENOMEM;
	for (uint32_t s = 0; s < x->d->len; s++) {
		if (needs_of_server(x, &x->d->services[s], &p->terms[(size_t)s * p->classes_len]))
			continue;
		for (uint32_t c = 0; plan_on_gpu(&x->d->services[s]) && c < p->classes_len; c++)
			plan_need(&p->terms[(size_t)s * p->classes_len + c], &x->d->services[s],
				&x->inv->devices[p->classes[c].first]);
	}
	return 0;
}

static bool class_fits(const struct plan_placement *p, uint32_t service, uint32_t c)
{
	const struct plan_terms *t = plan_terms_of(p, service, c);

	return plan_terms_surely_fit(t) && plan_terms_surely_free(t);
}

static uint64_t class_bytes(const struct plan_placement *p, uint32_t c)
{
	return p->inventory->devices[p->classes[c].first].memory_total;
}

uint32_t plan_class_for(const struct plan_placement *p, uint32_t service)
{
	uint32_t best = UINT32_MAX;
	bool best_fits = false;

	for (uint32_t c = 0; c < p->classes_len; c++) {
		bool fits = class_fits(p, service, c);
		if (best == UINT32_MAX || (fits && !best_fits) ||
			(fits == best_fits && !fits && class_bytes(p, c) > class_bytes(p, best))) {
			best = c;
			best_fits = fits;
		}
	}
	return best;
}

/* Taking cards. */

static void take(struct placer *x, struct plan_slot *slot, uint32_t device, double share)
{
	struct plan_placement *p = x->p;

	if (x->load[device] == 0)
		x->left[p->class_of[device]]--;
	x->load[device] += share;
	p->users[device]++;
	p->cards[p->cards_len++] = device;
	slot->count++;
}

/* The next free card of a class: linked by NVLink to the slot's first one when there is such, else the first. */
static uint32_t next_card(struct placer *x, const struct plan_slot *slot, uint32_t c)
{
	struct plan_placement *p = x->p;
	uint32_t plain = UINT32_MAX;

	while (x->next[c] < x->inv->count && (p->class_of[x->next[c]] != c || x->load[x->next[c]] > 0))
		x->next[c]++;
	for (uint32_t i = x->next[c]; i < x->inv->count; i++) {
		if (p->class_of[i] != c || x->load[i] > 0)
			continue;
		if (slot->count == 0 || gpu_inventory_link(x->inv, p->cards[slot->first], i) == GPU_LINK_NVLINK)
			return i;
		plain = MIN(plain, i);
		if (!x->inv->links)
			break;
	}
	return plain;
}

static uint32_t choose_class(struct placer *x, const struct plan_slot *slot, uint32_t gpus, bool must_fit)
{
	struct plan_placement *p = x->p;
	uint32_t best = UINT32_MAX;

	for (uint32_t c = 0; c < p->classes_len; c++) {
		if (x->left[c] < gpus || (must_fit && !class_fits(p, slot->service, c)))
			continue;
		if (best == UINT32_MAX) {
			best = c;
			continue;
		}
		uint64_t mine = class_bytes(p, c), other = class_bytes(p, best);
		/* The smallest that fits, so that larger ones stay for those who need them; else the largest. */
		if (mine != other ? (mine < other) == must_fit : x->left[c] < x->left[best])
			best = c;
	}
	return best;
}

/* A host that has enough free cards of different classes. */
static bool take_mixed(struct placer *x, struct plan_slot *slot, uint32_t gpus)
{
	for (uint32_t host = 0; host < x->hosts; host++) {
		uint32_t count = 0;
		for (uint32_t c = 0; c < x->p->classes_len; c++)
			count += x->p->classes[c].host == host ? x->left[c] : 0;
		if (count < gpus)
			continue;
		for (uint32_t i = 0; i < x->inv->count && slot->count < gpus; i++)
			if (x->inv->devices[i].host == host && x->load[i] == 0)
				take(x, slot, i, 1);
		slot->mixed = true;
		return true;
	}
	return false;
}

/* ---- a worker that is wider than any host ---- */

/* Are they alike but for the host and what is free? */
static bool is_kin(const struct placer *x, uint32_t c, uint32_t like)
{
	const struct gpu_device *a = &x->inv->devices[x->p->classes[c].first],
				*b = &x->inv->devices[x->p->classes[like].first];

	return a->memory_total == b->memory_total && a->capability == b->capability && a->spec == b->spec &&
	       !a->mig_slice && !b->mig_slice;
}

struct spread {
	uint32_t hosts, part; /* so many hosts, so many cards of each */
	uint32_t like; /* the class they are alike to */
	bool must_fit;
};

/* Take them all or none. Classes follow the hosts. */
static bool spread_over(struct placer *x, struct plan_slot *slot, const struct spread *w)
{
	uint32_t chosen[PLAN_SPAN_MAX], n = 0;

	for (uint32_t c = 0; c < x->p->classes_len && n < w->hosts; c++) {
		bool new_host = !n || x->p->classes[c].host != x->p->classes[chosen[n - 1]].host;
		if (new_host && x->left[c] >= w->part && is_kin(x, c, w->like) &&
			(!w->must_fit || class_fits(x->p, slot->service, c)))
			chosen[n++] = c;
	}
	for (uint32_t i = 0; n == w->hosts && i < n; i++)
		for (uint32_t k = 0; k < w->part; k++) {
			uint32_t card = x->next[chosen[i]];
			while (x->p->class_of[card] != chosen[i] || x->load[card] > 0)
				card++;
			take(x, slot, card, 1);
		}
	return n == w->hosts;
}

/* Each kind of card once, in the order of the inventory. */
static uint32_t kinds(const struct placer *x, uint32_t *ret)
{
	uint32_t n = 0;

	for (uint32_t c = 0; c < x->p->classes_len && n < SPREAD_KINDS_MAX; c++) {
		bool known = false;
		for (uint32_t i = 0; i < n; i++)
			known |= is_kin(x, c, ret[i]);
		if (!known && is_kin(x, c, c))
			ret[n++] = c;
	}
	return n;
}

/* As few hosts as will do, with as many cards each, all alike: what vLLM and SGLang start over several nodes. */
static bool take_spread(struct placer *x, struct plan_slot *slot, const struct plan_service *s)
{
	uint32_t like[SPREAD_KINDS_MAX], most = MIN(x->hosts, (uint32_t)PLAN_SPAN_MAX);

	if (s->engine == GRAPH_ENGINE_LLAMA || s->gpus <= x->widest || x->unspread == slot->service + 1)
		return false;
	uint32_t n = kinds(x, like);
	for (int must_fit = 1; must_fit >= 0; must_fit--)
		for (uint32_t hosts = 2; hosts <= most; hosts++)
			for (uint32_t i = 0; s->gpus % hosts == 0 && i < n; i++) {
				const struct spread w = {hosts, s->gpus / hosts, like[i], must_fit};
				if (spread_over(x, slot, &w))
					return true;
			}
	x->unspread = slot->service + 1;
	return false;
}

/* A share of a card that others have a share of already. */
static bool take_share(struct placer *x, struct plan_slot *slot, double share)
{
	for (uint32_t i = 0; i < x->inv->count; i++) {
		if (x->load[i] > 0 && x->load[i] + share <= 1.0001 &&
			class_fits(x->p, slot->service, x->p->class_of[i])) {
			take(x, slot, i, share);
			return true;
		}
	}
	return false;
}

static void take_pinned(struct placer *x, struct plan_slot *slot, const struct plan_service *s)
{
	slot->pinned = true;
	for (uint32_t k = 0; k < s->pinned_len && slot->count < s->gpus; k++)
		for (uint32_t i = 0; i < x->inv->count; i++)
			if (x->inv->devices[i].index == s->pinned[k] && x->inv->devices[i].host == 0) {
				take(x, slot, i, s->share);
				break;
			}
}

static void place_one(struct placer *x, struct plan_slot *slot)
{
	const struct plan_service *s = &x->d->services[slot->service];

	slot->first = x->p->cards_len;
	if (s->pinned_len) {
		take_pinned(x, slot, s);
		return;
	}
	if (s->share < 1 && take_share(x, slot, s->share))
		return;
	uint32_t c = choose_class(x, slot, s->gpus, true);
	if (c == UINT32_MAX)
		c = choose_class(x, slot, s->gpus, false);
	if (c == UINT32_MAX) {
		if (!take_mixed(x, slot, s->gpus))
			take_spread(x, slot, s);
		return;
	}
	for (uint32_t k = 0; k < s->gpus; k++)
		take(x, slot, next_card(x, slot, c), s->share);
}

/* Slots. */

static int make_slots(struct placer *x)
{
	struct plan_placement *p = x->p;
	uint64_t slots = 0, cards = 0;

	for (uint32_t i = 0; i < x->d->len; i++) {
		const struct plan_service *s = &x->d->services[i];
		slots += plan_on_gpu(s) ? s->workers : 0;
		cards += (uint64_t)s->pinned_len * s->workers;
	}
	slots = MIN(slots, (uint64_t)PLAN_SLOTS_MAX);
	p->slots = calloc(slots + 1, sizeof *p->slots);
	/* A card is taken once, or by shares of a hundredth at least, or by pinned workers. */
	p->cards = calloc(x->inv->count + slots + cards + 1, sizeof *p->cards);
	if (!p->slots || !p->cards)
		return -ENOMEM;
	for (uint32_t i = 0; i < x->d->len; i++)
		for (uint32_t w = 0; plan_on_gpu(&x->d->services[i]) && w < x->d->services[i].workers; w++)
			if (p->slots_len < slots)
				p->slots[p->slots_len++] = (struct plan_slot){.service = i, .worker = w};
	return 0;
}

/* The bound ones first, then the widest: rounds by width, so that the order among equals is the file's. */
static void place_all(struct placer *x)
{
	struct plan_placement *p = x->p;
	uint32_t width = UINT32_MAX;

	for (uint32_t i = 0; i < p->slots_len; i++)
		if (x->d->services[p->slots[i].service].pinned_len)
			place_one(x, &p->slots[i]);
	while (width > 0) {
		uint32_t next = 0;
		for (uint32_t i = 0; i < p->slots_len; i++) {
			const struct plan_service *s = &x->d->services[p->slots[i].service];
			if (s->pinned_len)
				continue;
			if (s->gpus == width)
				place_one(x, &p->slots[i]);
			else if (s->gpus < width)
				next = MAX(next, s->gpus);
		}
		width = next;
	}
	for (uint32_t i = 0; i < p->slots_len; i++)
		p->placed += p->slots[i].count > 0;
}

int plan_place(struct plan_placement *ret, const struct plan_deployment *d, const struct gpu_inventory *inventory)
{
	struct plan_placement p = {.inventory = inventory};
	uint32_t n = inventory->count + 1;
	struct placer x = {.p = &p, .d = d, .inv = inventory};
	int r = -ENOMEM;

	p.classes = calloc(n, sizeof *p.classes);
	p.class_of = calloc(n, sizeof *p.class_of);
	p.users = calloc(n, sizeof *p.users);
	x.load = calloc(n, sizeof *x.load);
	x.left = calloc(n, sizeof *x.left);
	x.next = calloc(n, sizeof *x.next);
	if (p.classes && p.class_of && p.users && x.load && x.left && x.next) {
		classify(&x);
		r = needs(&x);
	}
	if (r == 0)
		r = make_slots(&x);
	if (r == 0)
		place_all(&x);
	free(x.load);
	free(x.left);
	free(x.next);
	if (r < 0)
		plan_placement_done(&p);
	else
		*ret = p;
	return r;
}

void plan_placement_done(struct plan_placement *p)
{
	free(p->classes);
	free(p->class_of);
	free(p->slots);
	free(p->cards);
	free(p->users);
	free(p->terms);
	*p = (struct plan_placement){0};
}
