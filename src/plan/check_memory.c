/* check_memory.c - weights, KV, and what others hold, card by card. */
#include "plan/check.h"
#include "plan/check_states.h"

#include <stdio.h>
#include <string.h>

/* The card a service is judged by: where its first placed worker is, else the class it would be happiest on. */
static uint32_t class_judged(const struct plan *p, uint32_t service)
{
	const struct plan_placement *pl = &p->placement;
	uint32_t chosen = UINT32_MAX;

	for (uint32_t i = 0; i < pl->slots_len; i++) {
		const struct plan_slot *slot = &pl->slots[i];
		if (slot->service != service || !slot->count)
			continue;
		for (uint32_t k = 0; k < slot->count; k++) {
			uint32_t c = pl->class_of[pl->cards[slot->first + k]];
			const struct plan_terms *t = plan_terms_of(pl, service, c);
			/* The worst one there is. */
			if (chosen == UINT32_MAX || !plan_terms_surely_fit(t))
				chosen = c;
			if (!plan_terms_fit(t))
				return c;
		}
	}
	return chosen != UINT32_MAX ? chosen : plan_class_for(pl, service);
}

static void line(struct plan *p, const char *what, uint64_t bytes, const char *how)
{
	findings_arithmetic(&p->findings, "%-28s %10s   %s", what, PLAN_BYTES(bytes), how);
}

static void table(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	const char *type = plan_weights_on(s, card->capability);
	char how[160];

	if (!type)
		type = *m->quant && strcmp(m->quant, "none") ? m->quant : m->dtype;
	snprintf(how, sizeof how, s->tp > 1 ? "%s of %s / %u cards" : "%s of %s", PLAN_BYTES(t->weights * s->tp), type,
		s->tp);
	line(p, "weights on each card", t->weights, how);
	line(p, "CUDA, libraries", t->runtime, plan_guess_text(t, PLAN_GUESS_RUNTIME, ""));
	if (t->links)
		line(p, "buffers between cards", t->links, plan_guess_text(t, PLAN_GUESS_LINKS, "NCCL"));
	snprintf(how, sizeof how, "%llu tokens a step, %llu sequences%s", (unsigned long long)plan_batch_on(s, card),
		(unsigned long long)plan_seqs_on(s, card), t->guessed & PLAN_GUESS_ACTIVATIONS ? "; a guess" : "");
	line(p, "activations at their peak", t->activations, how);
	if (t->graphs)
		line(p, "CUDA graphs", t->graphs, plan_guess_text(t, PLAN_GUESS_GRAPHS, ""));
	if (t->states)
		line(p, "recurrent states", t->states, "of all its sequences");
	snprintf(how, sizeof how, "one request of %llu tokens", (unsigned long long)t->context);
	line(p, "KV cache, at least", t->kv_least, how);
	const char *than = plan_terms_fit(t) ? "<=" : ">";
	snprintf(how, sizeof how, "%s %s = %s of %s x %.2f", than, PLAN_BYTES(t->budget), plan_card_name(card),
		PLAN_BYTES(t->total), plan_share_on(s, card));
	if (s->engine == GRAPH_ENGINE_SGLANG)
		snprintf(how, sizeof how, "%s %s of %s with %s, %.3f of it weights and KV cache", than,
			PLAN_BYTES(t->budget), plan_card_name(card), PLAN_BYTES(t->total), plan_share_on(s, card));
	if (s->engine == GRAPH_ENGINE_LLAMA)
		snprintf(how, sizeof how, "%s %s of %s", than, PLAN_BYTES(t->total), plan_card_name(card));
	line(p, "together", plan_terms_fixed(t) + t->kv_least, how);
}

/* ---- a release that is not stated ---- */

static const char *engine_word(const struct plan_service *s)
{
	return s->engine == GRAPH_ENGINE_SGLANG ? "SGLang" : "vLLM";
}

/* It fits with the newest releases and not with older ones: nobody knows which runs. The figures are those of the newest that it does
 * not fit with. */
static bool release_decides(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	struct plan_service other = *s;
	struct release_ranges ranges;
	struct plan_terms then;
	char with[RELEASE_RANGES_TEXT], without[RELEASE_RANGES_TEXT];
	uint32_t i = 0;

	if (!t->missing || !plan_terms_fit(t))
		return false;
	plan_releases_of(&ranges, s);
	while (!(t->missing >> i & 1))
		i++;
	other.release = ranges.first[i];
	plan_need(&then, &other, card);
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-release", &s->pos[PLAN_UTILIZATION],
		"%s: whether it fits depends on the release of %s: %s leaves %s for KV cache on each card, %s %s, and one request of %llu tokens needs %s",
		s->name, engine_word(s), release_ranges_text(&ranges, t->fitting, with, sizeof with),
		PLAN_BYTES((uint64_t)t->kv_room), release_ranges_text(&ranges, t->missing, without, sizeof without),
		PLAN_BYTES((uint64_t)MAX(then.kv_room, 0)), (unsigned long long)t->context, PLAN_BYTES(t->kv_least));
	findings_unchecked(&p->findings);
	table(p, &other, &then, card);
	findings_remedy(&p->findings, "--engine-version %s=VERSION says which it is", graph_engine_name(s->engine));
	plan_remedies(p, s, card);
	return true;
}

/* With the newest releases it is a matter of less than is known of them. */
static bool close_call(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	int64_t spare = t->kv_room - (int64_t)t->kv_least;

	if (!t->close)
		return false;
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-close", &s->pos[PLAN_UTILIZATION],
		"%s: one request of %llu tokens needs %s of KV cache on each card, and some %s are left for it: the difference of %s is less than the newest releases are known by",
		s->name, (unsigned long long)t->context, PLAN_BYTES(t->kv_least),
		PLAN_BYTES((uint64_t)MAX(t->kv_room, 0)), PLAN_BYTES((uint64_t)(spare < 0 ? -spare : spare)));
	findings_unchecked(&p->findings);
	table(p, s, t, card);
	findings_remedy(&p->findings, "--engine-version %s=VERSION says which it is", graph_engine_name(s->engine));
	plan_remedies(p, s, card);
	return true;
}

/* It does not fit with the newest releases, which are those that people install, and would with others. */
static void only_with(struct plan *p, const struct plan_service *s, const struct plan_terms *t)
{
	struct release_ranges ranges;
	char with[RELEASE_RANGES_TEXT], without[RELEASE_RANGES_TEXT], one[16];
	uint32_t i = 0;

	if (!t->fitting)
		return;
	plan_releases_of(&ranges, s);
	while (!(t->fitting >> i & 1))
		i++;
	release_ranges_text(&ranges, t->fitting, with, sizeof with);
	findings_releases(&p->findings, "%s %s; %s starts it", engine_word(s),
		release_ranges_text(&ranges, t->missing, without, sizeof without), with);
	findings_remedy(&p->findings, "%s %s as it is: --engine-version %s=%s plans for it", engine_word(s), with,
		graph_engine_name(s->engine), release_text(ranges.first[i], one, sizeof one));
}

static void weights_too_big(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "memory-weights",
		s->set[PLAN_TP] ? &s->pos[PLAN_TP] : &s->pos[PLAN_GPUS],
		"%s%s: %s of weights%s on a card with %s, of which the engine may take %s", s->name,
		PLAN_HOST(p, card->host), PLAN_BYTES(t->weights), s->tp > 1 ? " (its part)" : "", PLAN_BYTES(t->total),
		PLAN_BYTES(t->budget));
	table(p, s, t, card);
	plan_remedies(p, s, card);
	only_with(p, s, t);
}

static void context_too_long(
	struct plan *p, const struct plan_service *s, const struct plan_terms *t, const struct gpu_device *card)
{
	findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "memory-context", &s->pos[PLAN_CONTEXT],
		"%s%s: one request of %llu tokens needs %s of KV cache on each card, and %s are left for it", s->name,
		PLAN_HOST(p, card->host), (unsigned long long)s->context, PLAN_BYTES(t->kv_least),
		PLAN_BYTES((uint64_t)MAX(t->kv_room, 0)));
	table(p, s, t, card);
	plan_remedies(p, s, card);
	only_with(p, s, t);
}

static void taken_by_others(struct plan *p, uint32_t service, uint32_t device)
{
	const struct plan_service *s = &p->deployment.services[service];
	const struct gpu_device *card = &p->input.inventory->devices[device];
	const struct plan_terms *t = plan_terms_of(&p->placement, service, p->placement.class_of[device]);
	double share = plan_share_free(s, card);
	struct plan_service smaller = *s;
	struct plan_terms then;

	findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "memory-taken", &s->pos[PLAN_UTILIZATION],
		"%s: %s (%s) has %s free of %s, and the engine wants %s at the start", s->name, PLAN_DEVICE(p, device),
		plan_card_name(card), PLAN_BYTES(t->free), PLAN_BYTES(t->total), PLAN_BYTES(t->budget));
	if (s->engine != GRAPH_ENGINE_LLAMA)
		findings_arithmetic(&p->findings, "%s x %.2f = %s > %s", PLAN_BYTES(t->total), plan_share_on(s, card),
			PLAN_BYTES(t->budget), PLAN_BYTES(t->free));
	if (card->processes)
		findings_arithmetic(&p->findings, "%u process%s hold%s %s of it", card->processes,
			card->processes == 1 ? "" : "es", card->processes == 1 ? "s" : "",
			PLAN_BYTES(card->processes_bytes));
	smaller.utilization = share;
	plan_need(&then, &smaller, card);
	if (s->engine != GRAPH_ENGINE_LLAMA && then.known && plan_terms_surely_fit(&then))
		findings_remedy(&p->findings, "stop what holds it, or %s: %.2f, with which it still fits",
			plan_key_name(s->engine, PLAN_UTILIZATION), share);
	else
		findings_remedy(&p->findings, "stop what holds it, or leave this card out (CUDA_VISIBLE_DEVICES)");
}

/* The card is free, and its share still is not: vLLM looks when its own context is there. Up to what is known to be gone at the
 * least it is said to fail, up to what may be gone to be open. */
static void start_short(struct plan *p, uint32_t service, uint32_t device, bool fatal)
{
	const struct plan_service *s = &p->deployment.services[service];
	const struct gpu_device *card = &p->input.inventory->devices[device];
	const struct plan_terms *t = plan_terms_of(&p->placement, service, p->placement.class_of[device]);

	if (!findings_add(&p->findings, fatal ? FINDING_FATAL : FINDING_WARNING, FINDING_CAPACITY, "memory-start",
		    &s->pos[PLAN_UTILIZATION],
		    "%s: a share of %.2f of %s is %s, and vLLM's own CUDA context is on the card before it looks whether so much is free: %s",
		    s->name, plan_share_on(s, card), plan_card_name(card), PLAN_BYTES(t->budget),
		    fatal ? "it stops at the start" : "it may stop at the start, or run out of memory later"))
		return;
	if (!fatal)
		findings_unchecked(&p->findings);
	findings_arithmetic(&p->findings, "%s x %.2f = %s > %s - %s", PLAN_BYTES(t->total), plan_share_on(s, card),
		PLAN_BYTES(t->budget), PLAN_BYTES(t->free), PLAN_BYTES(fatal ? t->started : t->starting));
	findings_remedy(
		&p->findings, "%s: %.2f at most", plan_key_name(s->engine, PLAN_UTILIZATION), plan_share_free(s, card));
}

static void check_card_free(struct plan *p, uint32_t service, uint32_t device)
{
	const struct plan_terms *t = plan_terms_of(&p->placement, service, p->placement.class_of[device]);

	if (!t->total)
		return;
	if (t->budget > t->free)
		taken_by_others(p, service, device);
	else if (!plan_terms_free(t))
		start_short(p, service, device, true);
	else if (!plan_terms_surely_free(t))
		start_short(p, service, device, false);
}

/* Free memory is looked at card by card; one finding a card and service. */
static void check_free(struct plan *p)
{
	const struct plan_placement *pl = &p->placement;

	for (uint32_t i = 0; i < pl->slots_len; i++)
		for (uint32_t k = 0; k < pl->slots[i].count; k++) {
			uint32_t dev = pl->cards[pl->slots[i].first + k], service = pl->slots[i].service;
			check_card_free(p, service, dev);
		}
}

/* What all weights together would take, when the cards are too few: the count alone does not say how far off it is. */
static void check_total(struct plan *p)
{
	uint64_t there = 0, needed = 0, copies = 0;
	const struct plan_service *first = NULL;

	for (uint32_t i = 0; i < p->input.inventory->count; i++)
		there += p->input.inventory->devices[i].memory_total;
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		uint32_t c = plan_class_for(&p->placement, i);
		if (!plan_on_gpu(s) || s->share < 1 || c == UINT32_MAX || !plan_terms_of(&p->placement, i, c)->known)
			continue;
		needed += plan_terms_of(&p->placement, i, c)->weights * s->gpus * s->workers;
		copies += s->workers;
		first = first || !s->workers ? first : s;
	}
	if (!first || needed <= there || !findings_has(&p->findings, "gpus-short"))
		return;
	findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "memory-total", &first->pos[PLAN_WORKERS],
		"%llu cop%s of the weights take%s %s, and all cards together have %s", (unsigned long long)copies,
		plural(copies, "y", "ies"), plural(copies, "s", ""), PLAN_BYTES(needed), PLAN_BYTES(there));
	findings_arithmetic(&p->findings, "%llu worker%s x %s = %s > %s = %u x %s", (unsigned long long)copies,
		plural_s(copies), PLAN_BYTES(needed / copies), PLAN_BYTES(needed), PLAN_BYTES(there),
		p->input.inventory->count, PLAN_BYTES(there / MAX(p->input.inventory->count, 1u)));
	findings_remedy(
		&p->findings, "sharing cards between workers would not help: fewer workers, or smaller weights");
}

/* Something of what is known of the model is a guess: said, and then nothing "fits". */
static void unsure_model(struct plan *p, const struct plan_service *s)
{
	if (s->engine == GRAPH_ENGINE_MOCK || !s->model->facts || !*s->model->facts->unsure)
		return;
	/* It takes Q4_K_M then, where there is one (common/download.cpp). */
	bool chosen = s->llama.server && strstr(s->model->facts->unsure, MODEL_NO_FILE);
	findings_add(&p->findings, chosen ? FINDING_INFO : FINDING_WARNING, FINDING_CAPACITY, "model-unsure",
		&s->pos[PLAN_MODEL], "%s: %s", s->name, s->model->facts->unsure);
	if (!chosen)
		findings_unchecked(&p->findings);
}

void plan_context_reduced(struct plan *p, const struct plan_service *s, uint64_t context)
{
	if (s->engine == GRAPH_ENGINE_SGLANG) {
		findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "context-short", &s->pos[PLAN_CONTEXT],
			"%s: the KV cache holds some %llu tokens and not the context's %llu: longer requests are refused",
			s->name, (unsigned long long)context, (unsigned long long)s->context);
		findings_remedy(&p->findings,
			"context-length: %llu says so to clients; more cards or smaller weights hold more",
			(unsigned long long)context);
		return;
	}
	findings_add(&p->findings, FINDING_INFO, FINDING_CAPACITY, "context-reduced", &s->pos[PLAN_CONTEXT],
		"%s: the model's %llu tokens of context do not fit: the worker will take %llu", s->name,
		(unsigned long long)s->context, (unsigned long long)context);
	findings_remedy(&p->findings, "context-length sets it");
}

/* "nvidia.com/mig-3g.40gb" -> 40 GiB, which is some more than it has; 0: its name does not say. */
static uint64_t slice_bytes(const char *resource)
{
	const char *dot = strrchr(resource, '.');
	char *end = NULL;
	unsigned long n = dot && strstr(resource, "/mig-") ? strtoul(dot + 1, &end, 10) : 0;

	return n && n < 4096 && !strncmp(end, "gb", 2) ? (uint64_t)n << 30 : 0;
}

/* Parts of cards where the plan has whole ones: more than a slice has cannot be; how many there are of a card is not known. */
static void check_slice(struct plan *p, uint32_t i, const struct gpu_device *card)
{
	const struct plan_service *s = &p->deployment.services[i];
	const struct form_service *f = plan_form_service(&p->deployment, p->input.form, i);
	uint64_t bytes = f && f->slice ? slice_bytes(f->slice) : 0;
	struct gpu_device slice = *card;
	struct plan_terms t;

	if (!f || !f->slice || (card->mig_slice && bytes))
		return;
	if (bytes && bytes < card->memory_total) {
		slice.memory_total = slice.memory_free = bytes;
		slice.mig_slice = true;
		plan_need(&t, s, &slice);
		if (t.known && !plan_terms_fit(&t)) {
			findings_add(&p->findings, FINDING_FATAL, FINDING_CAPACITY, "memory-slice", &s->pos[PLAN_GPUS],
				"%s: a slice (%s) has at most %s, and %s are needed", s->name, f->slice,
				PLAN_BYTES(bytes), PLAN_BYTES(plan_terms_fixed(&t) + t.kv_least));
			table(p, s, &t, &slice);
			findings_remedy(&p->findings, "a larger slice, a whole card, or smaller weights");
			return;
		}
	}
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "gpu-slice", &s->pos[PLAN_GPUS],
		"%s: it gets %s, which is a part of a card or a turn on it, and the plan counts whole cards: who else is on them is not known",
		s->name, f->slice);
	findings_unchecked(&p->findings);
	findings_remedy(&p->findings, "--inventory of a host that lists its slices, or whole cards (nvidia.com/gpu)");
}

static void check_service(struct plan *p, uint32_t i)
{
	const struct plan_service *s = &p->deployment.services[i];
	uint32_t c = class_judged(p, i);

	if (s->workers == 0)
		return;
	plan_check_unknown(p, s, c == UINT32_MAX ? NULL : plan_card_of(p, c));
	unsure_model(p, s);
	if (s->llama.server)
		plan_check_llama(p, i);
	if (!plan_on_gpu(s) || c == UINT32_MAX)
		return;
	const struct plan_terms *t = plan_terms_of(&p->placement, i, c);
	check_slice(p, i, plan_card_of(p, c));
	if (s->llama.server)
		return;
	if (t->known && plan_terms_fit(t) && t->context < s->context)
		plan_context_reduced(p, s, t->context);
	if (!t->known)
		return;
	if (plan_terms_surely_fit(t)) {
		plan_check_open(p, s, t, plan_card_of(p, c));
		plan_check_states(p, s, t, plan_card_of(p, c));
		return;
	}
	const struct gpu_device *card = plan_card_of(p, c);
	if (release_decides(p, s, t, card) || close_call(p, s, t, card))
		return;
	/* Not even a short request: then it is the weights. */
	if (t->kv_room <= 0 || t->context_fits < MIN(s->context, 256))
		weights_too_big(p, s, t, card);
	else
		context_too_long(p, s, t, card);
}

void plan_check_memory(struct plan *p)
{
	for (uint32_t i = 0; i < p->deployment.len; i++)
		check_service(p, i);
	check_total(p);
	check_free(p);
}
