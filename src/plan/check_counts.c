/* check_counts.c - cards asked for against cards there. */
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

static uint64_t cards_asked(const struct plan_service *s)
{
	return (uint64_t)s->workers * s->gpus;
}

static uint32_t name_width(const struct plan *p)
{
	size_t width = 5;

	for (uint32_t i = 0; i < p->deployment.len; i++)
		if (plan_on_gpu(&p->deployment.services[i]))
			width = MAX(width, strlen(p->deployment.services[i].name));
	return (uint32_t)MIN(width, 40);
}

/* One line a service, and the sum. */
static void arithmetic(struct plan *p, double asked, uint32_t there)
{
	uint32_t width = name_width(p);

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (!plan_on_gpu(s) || s->pinned_len)
			continue;
		if (s->share < 1)
			findings_arithmetic(&p->findings, "%-*s  %2u worker%s x %g of a GPU = %g", (int)width, s->name,
				s->workers, plan_s(s->workers), s->share, s->workers * s->share);
		else
			findings_arithmetic(&p->findings, "%-*s  %2u worker%s x %u GPU%s = %2llu", (int)width, s->name,
				s->workers, plan_s(s->workers), s->gpus, plan_s(s->gpus),
				(unsigned long long)cards_asked(s));
	}
	findings_arithmetic(&p->findings, "%-*s  %g > %u", (int)width, "total", asked, there);
}

/* The service that asks for most, at its count of workers. */
static const struct plan_service *greediest(const struct plan *p)
{
	const struct plan_service *best = NULL;

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (plan_on_gpu(s) && s->workers && (!best || cards_asked(s) > cards_asked(best)))
			best = s;
	}
	return best;
}

/* Does the model run on the CPU of this host, as a GGUF file? One worker, and the longest context there is RAM for. */
static void remedy_cpu(struct plan *p, const struct plan_service *s)
{
	uint64_t ram = p->input.inventory->host_facts.ram_total;
	struct model_facts four;
	struct plan_model model = {.facts = &four, .why = ""};
	struct plan_service other = *s;
	struct plan_host_need n = {0};

	findings_remedy(&p->findings, "run it where there are GPUs, or on the CPU, with a GGUF file of the model");
	if (!ram || !s->model->facts || !model_quant_known("q4_k_m"))
		return;
	four = *s->model->facts;
	four.weight_bytes = model_weight_bytes(&four, "q4_k_m");
	other.model = &model;
	other.engine = GRAPH_ENGINE_LLAMA;
	other.kv = "f16";
	other.seqs = 16;
	for (other.context = MIN(s->context, 131072); other.context >= 1024; other.context /= 2) {
		plan_host_need(&n, &other);
		if (n.weights + n.kv + n.rest <= ram / 10 * 9)
			break;
	}
	if (other.context < 1024)
		return;
	findings_remedy(&p->findings,
		"as Q4_K_M it needs %s weights + %s KV of %llu tokens + %s = %s of %s RAM: "
		"stator serve MODEL.gguf --context-length %llu (some tokens a second: RAM is read once a token)",
		PLAN_BYTES(n.weights), PLAN_BYTES(n.kv), (unsigned long long)other.context, PLAN_BYTES(n.rest),
		PLAN_BYTES(n.weights + n.kv + n.rest), PLAN_BYTES(ram), (unsigned long long)other.context);
}

static void no_cards(struct plan *p, const struct plan_service *s, double asked)
{
	const struct gpu_inventory *inv = p->input.inventory;

	findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "gpus-none", &s->pos[PLAN_GPUS],
		"the services ask for %g GPU%s, and there is none", asked, plan_s((uint64_t)asked));
	arithmetic(p, asked, 0);
	if (*inv->note)
		findings_evidence(&p->findings, "%s", inv->note);
	remedy_cpu(p, s);
}

static uint32_t widest_host(const struct plan *p)
{
	uint32_t most = 0, count = 0, host = UINT32_MAX;
	const struct gpu_inventory *inv = p->input.inventory;

	for (uint32_t i = 0; i < inv->count; i++) { /* hosts follow one another */
		count = inv->devices[i].host == host ? count + 1 : 1;
		host = inv->devices[i].host;
		most = MAX(most, count);
	}
	return most;
}

/* How many workers of the asked width there would be room for. */
static void remedy_counts(struct plan *p, const struct plan_service *s)
{
	uint32_t there = p->input.inventory->count, fit = s->gpus ? there / s->gpus : 0;

	if (fit == 0)
		findings_remedy(&p->findings,
			"one worker alone of %s takes %u: lower tensor-parallel-size and %s together, if the model still fits",
			s->name, s->gpus, plan_word(p, s, PLAN_GPUS));
	else
		findings_remedy(&p->findings,
			"%s x %s, added over all services, must be at most %u: with %u GPU%s a worker there is room for %u worker%s in all",
			plan_word(p, s, PLAN_WORKERS), plan_word(p, s, PLAN_GPUS), there, s->gpus, plan_s(s->gpus), fit,
			plan_s(fit));
}

static double cards_asked_all(const struct plan *p)
{
	double asked = 0;

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		asked += plan_on_gpu(s) && !s->pinned_len ? (double)cards_asked(s) * s->share : 0;
	}
	return asked;
}

static void check_sum(struct plan *p)
{
	const struct plan_service *s = greediest(p);
	double asked = cards_asked_all(p);
	char cards[256];

	if (!s || asked <= p->input.inventory->count)
		return;
	if (p->input.inventory->count == 0) {
		no_cards(p, s, asked);
		return;
	}
	findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "gpus-short", &s->pos[PLAN_GPUS],
		"the services ask for %g GPUs, and there %s %u (%s)", asked,
		p->input.inventory->count == 1 ? "is" : "are", p->input.inventory->count,
		plan_cards_text(p, cards, sizeof cards));
	arithmetic(p, asked, p->input.inventory->count);
	remedy_counts(p, s);
}

static bool all_placed(const struct plan *p, uint32_t service)
{
	for (uint32_t i = 0; i < p->placement.slots_len; i++)
		if (p->placement.slots[i].service == service && !p->placement.slots[i].count)
			return false;
	return true;
}

/* Enough cards in all, but the worker's cannot be had from several hosts in equal parts. */
static void check_hosts(struct plan *p)
{
	uint32_t most = widest_host(p);

	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (!plan_on_gpu(s) || s->workers == 0 || s->gpus <= most || !most ||
			s->gpus > p->input.inventory->count || all_placed(p, i))
			continue;
		findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "gpus-host", &s->pos[PLAN_GPUS],
			"a worker of %s computes on %u GPUs at once, and no host has more than %u", s->name, s->gpus,
			most);
		findings_remedy(&p->findings,
			"tensor-parallel-size and %s of at most %u, or a number that several hosts have in equal parts, of the same cards",
			plan_word(p, s, PLAN_GPUS), most);
	}
}

static void check_left_over(struct plan *p)
{
	uint32_t without = 0, service = 0;
	const struct plan_placement *pl = &p->placement;

	for (uint32_t i = 0; i < pl->slots_len; i++) {
		if (pl->slots[i].count || pl->slots[i].pinned)
			continue;
		service = pl->slots[i].service;
		without++;
	}
	if (!without || findings_has(&p->findings, "gpus-short") || findings_has(&p->findings, "gpus-none") ||
		findings_has(&p->findings, "gpus-host"))
		return;
	const struct plan_service *s = &p->deployment.services[service];
	findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "gpus-apart", &s->pos[PLAN_GPUS],
		"%u worker%s of %s find%s no %u free GPU%s in one place, though there are enough in all", without,
		plan_s(without), s->name, without == 1 ? "s" : "", s->gpus, plan_s(s->gpus));
	findings_remedy(&p->findings, "a number of GPUs for each worker that divides what each host has");
}

/* Bound to devices by hand: they must be there. This is what NVML answers with InvalidArgument. */
static void check_pinned(struct plan *p)
{
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		for (uint32_t k = 0; plan_on_gpu(s) && s->workers && k < s->pinned_len; k++) {
			bool there = false;
			for (uint32_t n = 0; n < p->input.inventory->count; n++)
				there |= p->input.inventory->devices[n].host == 0 &&
					 p->input.inventory->devices[n].index == s->pinned[k];
			if (there)
				continue;
			findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "device-absent", &s->pinned_pos,
				"%s is bound to GPU index %u, and there %s %u: the first is 0", s->name, s->pinned[k],
				p->input.inventory->count == 1 ? "is" : "are", p->input.inventory->count);
			findings_remedy(
				&p->findings, "leave CUDA_VISIBLE_DEVICES out: Stator hands out devices itself");
		}
		if (plan_on_gpu(s) && s->workers && s->pinned_len && s->pinned_len < s->gpus) {
			findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "device-few", &s->pinned_pos,
				"%s is bound to %u GPU%s, and each worker computes on %u", s->name, s->pinned_len,
				plan_s(s->pinned_len), s->gpus);
			findings_remedy(&p->findings, "name %u device%s, or leave CUDA_VISIBLE_DEVICES out", s->gpus,
				plan_s(s->gpus));
		}
	}
}

/* Several whole workers on one card: their shares of its memory add up. */
static void check_shared(struct plan *p)
{
	const struct plan_placement *pl = &p->placement;

	for (uint32_t dev = 0; dev < p->input.inventory->count; dev++) {
		const struct gpu_device *card = &p->input.inventory->devices[dev];
		uint64_t budget = 0, less = 0;
		bool yields = false; /* one of them takes what there is */
		char who[512] = "";
		size_t len = 0;
		const struct plan_service *last = NULL;

		if (pl->users[dev] < 2)
			continue;
		for (uint32_t i = 0; i < pl->slots_len; i++)
			for (uint32_t k = 0; k < pl->slots[i].count; k++) {
				if (pl->cards[pl->slots[i].first + k] != dev)
					continue;
				last = &p->deployment.services[pl->slots[i].service];
				struct plan_terms t;
				plan_terms_at(&t, pl, &p->deployment, &pl->slots[i], k);
				budget += t.budget;
				less += t.less;
				yields |= last->llama.server && last->llama.fits_layers;
				if (len < sizeof who)
					len += (size_t)snprintf(who + len, sizeof who - len, "%s%s %u", len ? ", " : "",
						last->name, pl->slots[i].worker);
			}
		if (!last)
			continue;
		bool fatal = card->memory_total && budget > card->memory_free && !yields &&
			     budget - MIN(less, budget) > card->memory_free;
		findings_add(&p->findings, fatal ? FINDING_FATAL : FINDING_WARNING, FINDING_CAPACITY, "device-shared",
			last->pinned_len ? &last->pinned_pos : &last->pos[PLAN_GPUS],
			"%u workers compute on %s (%s): %s", pl->users[dev], PLAN_DEVICE(p, dev), plan_card_name(card),
			who);
		if (!fatal && card->memory_total && budget > card->memory_free)
			findings_unchecked(&p->findings);
		findings_arithmetic(&p->findings, "their memory together  %s %s %s free on it", PLAN_BYTES(budget),
			budget > card->memory_free ? ">" : "<=", PLAN_BYTES(card->memory_free));
		findings_remedy(
			&p->findings, fatal ? "give each worker cards of its own, or lower gpu-memory-utilization "
					      "so that the shares add up to less than 1"
					    : "they take turns: each is slower while the other computes");
	}
}

static void check_idle(struct plan *p)
{
	uint32_t idle = 0;
	bool any = false;

	for (uint32_t i = 0; i < p->input.inventory->count; i++)
		idle += p->placement.users[i] == 0;
	for (uint32_t i = 0; i < p->deployment.len; i++)
		any |= plan_on_gpu(&p->deployment.services[i]);
	if (!any || !idle || p->placement.placed < p->placement.slots_len)
		return;
	findings_add(&p->findings, FINDING_INFO, FINDING_CAPACITY, "gpus-idle", NULL, "%u of %u GPU%s stay%s idle",
		idle, p->input.inventory->count, plan_s(p->input.inventory->count), idle == 1 ? "s" : "");
}

/* All there is to run has workers: 0. */
static void check_none(struct plan *p)
{
	const struct plan_service *first = p->deployment.services;

	for (uint32_t i = 0; i < p->deployment.len; i++)
		if (p->deployment.services[i].workers)
			return;
	if (!p->deployment.len)
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CONFIGURATION, "workers-none", &first->pos[PLAN_WORKERS],
		"no worker runs: %s has workers: 0", p->deployment.len == 1 ? first->name : "every service");
	findings_remedy(&p->findings, "%s: 1 or more", plan_word(p, first, PLAN_WORKERS));
}

void plan_check_counts(struct plan *p)
{
	check_none(p);
	plan_check_given(p);
	check_sum(p);
	check_hosts(p);
	check_left_over(p);
	check_pinned(p);
	check_shared(p);
	check_idle(p);
}
