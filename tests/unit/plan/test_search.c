/* The planner on random deployments: what it must never do, whatever it is asked. PLAN_WORLDS sets how many (make soak
 * asks for a million small ones), PLAN_SEED the first seed. */
#include "plan/report.h"

#include "../lib/cmocka_all.h"
#include "../lib/plan_world.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct plan_wish wish = {.quants = {{"awq", NULL}, {"fp8", NULL}}, .quants_len = 2};

static uint64_t number_from(const char *name, uint64_t def)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : def;
}

static uint32_t cards_of_host(const struct gpu_inventory *inv, uint32_t host)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < inv->count; i++)
		n += inv->devices[i].host == host;
	return n;
}

/* A worker is in one host, unless none has so many cards: then each of its hosts gives as many, all alike. */
static void check_hosts(const struct plan_placement *pl, const struct plan_slot *s, uint64_t seed)
{
	const struct gpu_inventory *inv = pl->inventory;
	const struct gpu_device *first = &inv->devices[pl->cards[s->first]];
	uint32_t here = 0;

	for (uint32_t k = 0; k < s->count; k++)
		here += inv->devices[pl->cards[s->first + k]].host == first->host;
	for (uint32_t k = 0; here < s->count && k < s->count; k++) {
		const struct gpu_device *d = &inv->devices[pl->cards[s->first + k]];
		uint32_t there = 0;
		for (uint32_t i = 0; i < s->count; i++)
			there += inv->devices[pl->cards[s->first + i]].host == d->host;
		if (cards_of_host(inv, d->host) >= s->count || there != here || d->spec != first->spec ||
			d->memory_total != first->memory_total || d->mig_slice)
			fail_msg("seed %llu: a worker of %u cards is spread badly", (unsigned long long)seed, s->count);
	}
}

/* Cards exist, are in one host where one has enough, and no whole worker shares one, unless the user bound it there. */
static void check_placement(const struct plan *p, uint64_t seed)
{
	const struct plan_placement *pl = &p->placement;
	uint8_t *taken = calloc(pl->inventory->count + 1, 1);

	for (uint32_t i = 0; i < pl->slots_len; i++) {
		const struct plan_slot *s = &pl->slots[i];
		for (uint32_t k = 0; k < s->count; k++) {
			uint32_t card = pl->cards[s->first + k];
			if (card >= pl->inventory->count)
				fail_msg("seed %llu: card %u", (unsigned long long)seed, card);
			if (taken[card] && !s->pinned && p->deployment.services[s->service].share >= 1)
				fail_msg("seed %llu: card %u is used twice", (unsigned long long)seed, card);
			taken[card] = 1;
		}
		if (s->count && !s->pinned)
			check_hosts(pl, s, seed);
		if (!s->pinned && s->count && s->count != p->deployment.services[s->service].gpus)
			fail_msg("seed %llu: worker with %u cards", (unsigned long long)seed, s->count);
	}
	free(taken);
}

/* What it says fits does: every worker has its cards, and every card has the room, counted anew. */
static void check_inequality(const struct plan *p, uint64_t seed)
{
	const struct plan_placement *pl = &p->placement;

	if (!plan_fits(p))
		return;
	if (pl->placed != pl->slots_len)
		fail_msg("seed %llu: fits, but a worker has no card", (unsigned long long)seed);
	for (uint32_t i = 0; i < pl->slots_len; i++)
		for (uint32_t k = 0; k < pl->slots[i].count; k++) {
			const struct gpu_device *d = &pl->inventory->devices[pl->cards[pl->slots[i].first + k]];
			struct plan_terms t;
			plan_need(&t, &p->deployment.services[pl->slots[i].service], d);
			if (!t.known)
				continue;
			if (plan_terms_fixed(&t) + t.kv_least > t.budget || t.budget > d->memory_free)
				fail_msg("seed %llu: GPU %u has no room", (unsigned long long)seed, d->index);
		}
}

static void report(const struct plan *p, const struct plan_options *o, struct buf *out)
{
	const struct plan_report r = {
		.asked = p, .options = o, .command = "stator plan x", .explain = true, .look = {.least = FINDING_INFO}};

	plan_report_text(&r, out);
	plan_report_json(&r, out);
	plan_report_svg(&r, out);
	assert_false(out->failed);
}

/* It fits, or nothing but what its image encoder takes is not known, or what FP8 weights come as: an option of other weights is
 * written here without naming them, which makes it one of weights that become FP8 as they load. */
static bool is_sound(const struct plan *p)
{
	return plan_fits(p) ||
	       (plan_verdict(p) == PLAN_NOT_CHECKED &&
		       (findings_has(&p->findings, "memory-encoder") || findings_has(&p->findings, "memory-made")));
}

/* An option written to the graph's text, read and planned again. */
static void check_written(struct plan_world *w, const struct plan *asked, const struct plan_option *o, uint64_t seed)
{
	struct plan_edits edits;
	struct plan_world again = *w;
	struct buf text;
	struct plan p;
	struct err err = {0};

	buf_init(&text, 1 << 20);
	again.graph = NULL;
	plan_edits(&edits, &asked->deployment, &o->plan.deployment, NULL);
	if (plan_edit_text(&edits, "world.yaml", buf_str(&w->yaml), w->yaml.len, &text, &err) < 0)
		fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, err.msg, buf_str(&w->yaml));
	plan_world_read(&again, buf_str(&text), text.len, "again.yaml");
	again.input.models = again.models;
	assert_int_equal(plan_make(&p, &again.input, &err), 0);
	if (!is_sound(&p))
		fail_msg("seed %llu: written, it does not fit: %s\n%s\n---\n%s", (unsigned long long)seed,
			p.findings.items[0].what, buf_str(&w->yaml), buf_str(&text));
	plan_done(&p);
	graph_destroy(again.graph);
	buf_done(&text);
}

static void check_options(struct plan_world *w, const struct plan *p, const struct plan_options *o, uint64_t seed)
{
	for (uint32_t i = 0; i < o->len; i++) {
		check_placement(&o->items[i].plan, seed);
		check_inequality(&o->items[i].plan, seed);
		if (!is_sound(&o->items[i].plan))
			fail_msg("seed %llu: an option does not fit: %s\n%s", (unsigned long long)seed,
				o->items[i].plan.findings.items[0].what, buf_str(&w->yaml));
		check_written(w, p, &o->items[i], seed);
		if (i > 0 &&
			plan_option_compare(&o->items[i - 1].shape, &o->items[i - 1].predicted, o->items[i - 1].worth,
				&o->items[i].shape, &o->items[i].predicted, o->items[i].worth) > 0)
			fail_msg("seed %llu: options out of order", (unsigned long long)seed);
	}
}

static void one_world(uint64_t seed, bool small)
{
	struct plan_world w;
	struct plan p;
	struct plan_options o;
	struct buf first, second;
	struct err err = {0};

	plan_world_make(&w, seed, small);
	buf_init(&first, 1 << 24);
	buf_init(&second, 1 << 24);
	for (int turn = 0; turn < (seed % 16 ? 1 : 2); turn++) {
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		check_placement(&p, seed);
		check_inequality(&p, seed);
		assert_int_equal(plan_search(&o, &p, &wish, &err), 0);
		check_options(&w, &p, &o, seed);
		if (seed % 16 == 0)
			report(&p, &o, turn ? &second : &first);
		plan_options_done(&o);
		plan_done(&p);
	}
	if (seed % 16 == 0 && strcmp(buf_str(&first), buf_str(&second)))
		fail_msg("seed %llu: two answers to one question", (unsigned long long)seed);
	buf_done(&first);
	buf_done(&second);
	plan_world_done(&w);
}

static void no_random_deployment_gets_what_is_not_there(void **state)
{
	uint64_t worlds = number_from("PLAN_WORLDS", 10000), from = number_from("PLAN_SEED", 1);

	(void)state;
	for (uint64_t seed = from; seed < from + worlds; seed++)
		one_world(seed, worlds > 100000 || seed % 2);
}

/* The reference: every value of every axis, every number of workers, every division, each planned whole. */

struct reference {
	struct plan_shape shape;
	struct plan_predicted predicted;
	double worth;
	bool any;
};

static void predict_placed(
	const struct plan *p, const struct plan_options *o, const struct plan_shape *shape, struct plan_predicted *ret)
{
	const struct plan_placement *pl = &p->placement;
	struct plan_pace *paces = calloc(pl->classes_len + 1, sizeof *paces);
	uint32_t *count = calloc(pl->classes_len + 1, sizeof *count);

	for (uint32_t i = 0; i < pl->slots_len; i++) {
		uint32_t c = pl->class_of[pl->cards[pl->slots[i].first]];
		const struct plan_service *s = &p->deployment.services[o->main];
		const struct gpu_device *card = &pl->inventory->devices[pl->classes[c].first];
		enum gpu_link link = GPU_LINK_PCIE;
		for (uint32_t k = 0; k < pl->inventory->count; k++)
			if (k != pl->classes[c].first && pl->class_of[k] == c)
				link = MAX(link, gpu_inventory_link(pl->inventory, pl->classes[c].first, k));
		struct roofline r;
		count[c]++;
		if (plan_roofline(&r, s, card, link, NULL) == 0)
			plan_pace(&paces[c], s, &r, plan_terms_of(pl, o->main, c), &o->load, card);
	}
	if (shape->prefill)
		plan_predict_split(ret, paces, count, pl->classes_len, shape->prefill, &o->load);
	else
		plan_predict_both(ret, paces, count, pl->classes_len, &o->load);
	free(paces);
	free(count);
}

/* The search offers no group of unlike cards: the slower one would set the pace, and the roofline knows one card. */
static bool has_mixed(const struct plan *p)
{
	for (uint32_t i = 0; i < p->placement.slots_len; i++)
		if (p->placement.slots[i].mixed)
			return true;
	return false;
}

static void try_one(
	struct reference *best, const struct plan *asked, const struct plan_options *o, const struct plan_shape *shape)
{
	struct plan_deployment d;
	struct plan_predicted predicted;
	struct plan p;
	struct err err;

	assert_int_equal(plan_search_apply(&d, asked, o->main, o->prefill, shape), 0);
	assert_int_equal(plan_make_of(&p, &asked->input, &d, &err), 0);
	if (plan_fits(&p) && !has_mixed(&p)) {
		predict_placed(&p, o, shape, &predicted);
		double worth = plan_worth(&predicted, shape->context, o->context_asked);
		if (!best->any ||
			plan_option_compare(shape, &predicted, worth, &best->shape, &best->predicted, best->worth) < 0)
			*best = (struct reference){*shape, predicted, worth, true};
	}
	plan_done(&p);
}

static const char *dtype_that_runs(const struct plan *asked, uint32_t main)
{
	const struct plan_service *s = &asked->deployment.services[main];

	for (uint32_t i = 0; i < asked->input.inventory->count; i++)
		if (strcmp(plan_dtype_on(s, asked->input.inventory->devices[i].capability), "bfloat16"))
			return plan_dtype_on(s, asked->input.inventory->devices[i].capability);
	return s->dtype;
}

static void try_everything(struct reference *best, const struct plan *asked, const struct plan_options *o)
{
	struct plan_axes a;
	uint32_t cards = asked->input.inventory->count;

	plan_search_axes(&a, asked, o->main, &wish);
	for (uint32_t t = 0; t < a.tps_len; t++)
		for (uint32_t q = 0; q < a.quants_len; q++)
			for (uint32_t u = 0; u < a.utilizations_len; u++)
				for (uint32_t c = 0; c < a.contexts_len; c++)
					for (uint32_t n = 0; n < a.batches_len * a.seqs_len; n++)
						for (uint32_t w = 1; w <= cards / a.tps[t]; w++)
							for (uint32_t pre = 0; pre < (o->prefill == UINT32_MAX ? 1 : w);
								pre++) {
								const struct plan_shape shape = {.tp = a.tps[t],
									.workers = w,
									.prefill = pre,
									.quant = a.quants[q],
									.dtype = dtype_that_runs(asked, o->main),
									.kv = "auto",
									.context = a.contexts[c],
									.batch = a.batches[n / a.seqs_len],
									.seqs = a.seqs[n % a.seqs_len],
									.utilization = a.utilizations[u]};
								if (shape.seqs <= (shape.batch ? shape.batch : 2048))
									try_one(best, asked, o, &shape);
							}
}

static void the_best_of_the_search_is_the_best_there_is(void **state)
{
	uint64_t worlds = number_from("PLAN_REFERENCES", 12), from = number_from("PLAN_SEED", 1);

	(void)state;
	for (uint64_t seed = from; seed < from + worlds; seed++) {
		struct reference best = {0};
		struct plan_world w;
		struct plan p;
		struct plan_options o;
		struct err err;

		plan_world_make(&w, seed, true);
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		assert_int_equal(plan_search(&o, &p, &wish, &err), 0);
		if (o.main != UINT32_MAX)
			try_everything(&best, &p, &o);
		if (best.any != (o.len > 0))
			fail_msg("seed %llu: the search found %u, the reference %d", (unsigned long long)seed, o.len,
				best.any);
		if (best.any && fabs(best.worth - o.items[0].worth) > 1e-6 * best.worth &&
			plan_option_compare(&best.shape, &best.predicted, best.worth, &o.items[0].shape,
				&o.items[0].predicted, o.items[0].worth) < 0)
			fail_msg("seed %llu: the reference has %.1f (tp %u, %u workers, %u prefill, context %llu, "
				 "batch %llu, "
				 "seqs %llu), the search %.1f (tp %u, %u workers, %u prefill, context %llu, batch "
				 "%llu, seqs %llu)\n%s",
				(unsigned long long)seed, best.worth, best.shape.tp, best.shape.workers,
				best.shape.prefill, (unsigned long long)best.shape.context,
				(unsigned long long)best.shape.batch, (unsigned long long)best.shape.seqs,
				o.items[0].worth, o.items[0].shape.tp, o.items[0].shape.workers,
				o.items[0].shape.prefill, (unsigned long long)o.items[0].shape.context,
				(unsigned long long)o.items[0].shape.batch, (unsigned long long)o.items[0].shape.seqs,
				buf_str(&w.yaml));
		plan_options_done(&o);
		plan_done(&p);
		plan_world_done(&w);
	}
}

/* Cards that CUDA_VISIBLE_DEVICES names are those of every plan; where they are too few there is none. */
static void plans_stay_on_the_cards_that_workers_are_bound_to(void **state)
{
	static const struct {
		const char *devices;
		uint32_t most; /* cards of the widest plan; 0: none */
	} cases[] = {{"2,3", 2}, {"1", 1}, {"3,0,1,2", 4}, {"6,7", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char yaml[512];
		struct plan_world w;
		struct plan_options o;
		struct plan p;
		struct err err;
		uint32_t widest = 0;

		snprintf(yaml, sizeof yaml,
			"VllmWorker:\n  model: Qwen/Qwen2.5-7B-Instruct\n  tensor-parallel-size: 4\n  ServiceArgs:\n    workers: 2\n"
			"    resources: {gpu: 4}\n    envs: {CUDA_VISIBLE_DEVICES: \"%s\"}\n",
			cases[i].devices);
		plan_world_of(&w, yaml, "4xL40S");
		assert_int_equal(plan_make(&p, &w.input, &err), 0);
		assert_int_equal(plan_search(&o, &p, &wish, &err), 0);
		for (uint32_t k = 0; k < o.len; k++) {
			const struct plan_placement *pl = &o.items[k].plan.placement;
			assert_int_equal(plan_verdict(&o.items[k].plan), PLAN_FITS);
			assert_int_equal(o.items[k].shape.workers, 1);
			for (uint32_t c = 0; c < pl->cards_len; c++)
				assert_non_null(strchr(cases[i].devices, (char)('0' + pl->cards[c])));
			widest = MAX(widest, o.items[k].shape.tp);
			check_written(&w, &p, &o.items[k], 0);
		}
		assert_int_equal(widest, cases[i].most);
		if (!cases[i].most)
			assert_non_null(strstr(o.why, "CUDA_VISIBLE_DEVICES"));
		plan_options_done(&o);
		plan_done(&p);
		plan_world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_random_deployment_gets_what_is_not_there),
		cmocka_unit_test(plans_stay_on_the_cards_that_workers_are_bound_to),
		cmocka_unit_test(the_best_of_the_search_is_the_best_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
