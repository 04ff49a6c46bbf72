/* search.c - the search itself; see search.h. Cards of one kind are interchangeable, so a shape is judged by one card
 * of each kind and a count of places: nothing grows with the number of cards. */
#include "plan/check.h"
#include "plan/check_states.h"
#include "plan/search_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_external(const struct plan_service *s)
{
	return s->engine == GRAPH_ENGINE_VLLM || s->engine == GRAPH_ENGINE_SGLANG;
}

static bool computes(const struct plan_service *s)
{
	return (is_external(s) || s->engine == GRAPH_ENGINE_LLAMA) && s->model->facts;
}

/* The services that are varied: the first that decodes, and the first that prefills for it. */
static bool choose_services(struct search *x)
{
	const struct plan_deployment *d = &x->asked->deployment;

	x->out->main = x->out->prefill = UINT32_MAX;
	for (uint32_t i = 0; i < d->len; i++) {
		const struct plan_service *s = &d->services[i];
		if (computes(s) && s->role != GRAPH_ROLE_PREFILL && x->out->main == UINT32_MAX)
			x->out->main = i;
	}
	if (x->out->main == UINT32_MAX)
		return false;
	for (uint32_t i = 0; i < d->len; i++) {
		const struct plan_service *s = &d->services[i];
		if (s->role == GRAPH_ROLE_PREFILL && search_same_model(s, search_main(x)) &&
			x->out->prefill == UINT32_MAX)
			x->out->prefill = i;
	}
	return true;
}

/* Axes. */

static void add_u64(uint64_t *list, uint32_t *len, uint32_t cap, uint64_t value)
{
	for (uint32_t i = 0; i < *len; i++)
		if (list[i] == value)
			return;
	if (*len < cap)
		list[(*len)++] = value;
}

static void axis_sizes(struct plan_axes *a, const struct plan_service *s, const struct plan_load *load)
{
	uint64_t asked = s->context ? s->context : 32768, least = (uint64_t)load->prompt + load->answer;
	const uint32_t cap = s->model->facts->context_max;

	if (cap)
		asked = MIN(asked, cap);
	add_u64(a->contexts, &a->contexts_len, ARRAY_LEN(a->contexts), asked);
	for (uint64_t n = 131072; n >= 2048; n /= 2)
		if (n < asked && n >= least)
			add_u64(a->contexts, &a->contexts_len, ARRAY_LEN(a->contexts), n);
	add_u64(a->seqs, &a->seqs_len, ARRAY_LEN(a->seqs), s->seqs);
	for (uint64_t n = 128; n >= 8; n /= 2)
		if (n < s->seqs)
			add_u64(a->seqs, &a->seqs_len, ARRAY_LEN(a->seqs), n);
	add_u64(a->batches, &a->batches_len, ARRAY_LEN(a->batches), s->batch);
	for (uint64_t n = 8192; n >= 2048; n /= 2)
		if (n < (s->batch ? s->batch : 8192))
			add_u64(a->batches, &a->batches_len, ARRAY_LEN(a->batches), n);
}

/* What a GGUF file would be made as, of the methods that other engines' files have. */
static const char *gguf_method(const char *method)
{
	if (!strcmp(method, "awq") || !strcmp(method, "gptq"))
		return "q4_k_m";
	if (!strcmp(method, "fp8") || !strcmp(method, "int8"))
		return "q8_0";
	return method;
}

static bool is_quantized(const struct plan_service *s)
{
	const char *quant = s->quant ? s->quant : s->model->facts->quant;

	return *quant && strcmp(quant, "none") && strcmp(quant, "f16") && strcmp(quant, "bf16") && strcmp(quant, "f32");
}

/* llama: the workers that are looked for read GGUF files, whatever the service's own engine reads. */
static void axis_quants(struct plan_axes *a, const struct plan_service *s, const struct plan_wish *wish, bool llama)
{
	bool other = llama && s->engine != GRAPH_ENGINE_LLAMA;

	a->quants[a->quants_len++] = other ? "f16" : NULL;
	for (uint32_t i = 0; i < wish->quants_len && (!is_quantized(s) || other); i++) {
		const char *method = llama ? gguf_method(wish->quants[i].method) : wish->quants[i].method;
		bool same = !strcmp(method, wish->quants[i].method); /* its model is of the form that was asked for */
		if (!model_quant_known(method) || a->quants_len == ARRAY_LEN(a->quants))
			continue;
		if (other && !strcmp(method, "f16")) {
			a->quant_models[0] = wish->quants[i].model;
			continue;
		}
		a->quant_models[a->quants_len] = same ? wish->quants[i].model : NULL;
		a->quants[a->quants_len++] = method;
	}
}

static void add_share(struct plan_axes *a, double share)
{
	for (uint32_t k = 0; k < a->utilizations_len; k++)
		if (a->utilizations[k] == share)
			return;
	if (share >= 0.1 && a->utilizations_len < ARRAY_LEN(a->utilizations))
		a->utilizations[a->utilizations_len++] = share;
}

/* Where others hold memory, a smaller share may be what fits, and what leaves room for what an older vLLM takes beside it. One that
 * no card has free is not tried. */
static void axis_utilization(struct plan_axes *a, const struct plan *asked, const struct plan_service *s)
{
	bool any = false;

	a->utilizations[a->utilizations_len++] = s->utilization;
	for (uint32_t i = 0; i < asked->placement.classes_len; i++) {
		const struct gpu_device *d = plan_card_of(asked, i);
		double share = d->memory_total ? plan_share_free(s, d) : 1;
		uint64_t outside = s->model->facts ? plan_outside_on(s, d) : 0;
		any |= share >= s->utilization;
		if (share < s->utilization)
			add_share(a, share);
		if (outside > (uint64_t)((double)d->memory_total * (1 - MIN(share, s->utilization))) &&
			outside < d->memory_total)
			add_share(a, floor((double)(d->memory_total - outside) * 100 / (double)d->memory_total) / 100);
	}
	if (!any && a->utilizations_len > 1 && s->set[PLAN_UTILIZATION])
		a->utilizations[0] = a->utilizations[--a->utilizations_len];
}

/* Without cards, or with workers that ask for none, the host's cores are what there is. */
bool plan_search_on_host(const struct plan *asked, uint32_t main)
{
	const struct plan_service *s = &asked->deployment.services[main];

	return asked->input.inventory->count == 0 || (s->engine == GRAPH_ENGINE_LLAMA && !plan_on_gpu(s));
}

void plan_search_axes(struct plan_axes *ret, const struct plan *asked, uint32_t main, const struct plan_wish *wish)
{
	const struct plan_service *s = &asked->deployment.services[main];
	const struct plan_load load = {wish->load.prompt ? wish->load.prompt : PLAN_PROMPT_DEFAULT,
		wish->load.answer ? wish->load.answer : PLAN_ANSWER_DEFAULT};

	*ret = (struct plan_axes){0};
	bool llama = s->engine == GRAPH_ENGINE_LLAMA || plan_search_on_host(asked, main);
	for (uint32_t tp = 1; tp <= PLAN_TP_MAX && tp <= asked->input.inventory->count; tp++)
		if (llama ? tp <= 8
			  : model_tp_valid(s->model->facts, tp)) /* llama.cpp divides layers: any number will do */
			ret->tps[ret->tps_len++] = tp;
	axis_sizes(ret, s, &load);
	axis_quants(ret, s, wish, llama);
	axis_utilization(ret, asked, s);
}

/* Shapes to services. */

static void shape_service(struct plan_service *s, const struct plan_shape *shape, uint32_t workers)
{
	s->workers = workers;
	s->gpus = shape->tp;
	s->given = 0;
	s->tp = s->engine == GRAPH_ENGINE_LLAMA ? 1 : shape->tp;
	s->pp = s->dp = 1;
	s->share = 1;
	s->context = shape->context;
	s->batch = shape->batch;
	s->seqs = shape->seqs;
	s->utilization = shape->utilization;
	s->dtype = shape->dtype;
	s->attention = shape->attention;
	s->kv = shape->kv;
	if (shape->quant)
		s->quant = shape->quant;
}

void plan_service_on_host(struct plan_service *s, const struct plan_shape *shape)
{
	shape_service(s, shape, shape->workers);
	s->ubatch = s->engine == GRAPH_ENGINE_LLAMA ? s->ubatch : 512;
	s->block = s->engine == GRAPH_ENGINE_LLAMA ? s->block : 16;
	s->engine = GRAPH_ENGINE_LLAMA;
	s->tp = 1;
	s->gpus = s->given = 0;
	s->threads = s->set[PLAN_THREADS] ? shape->threads : 0; /* the launcher divides the cores by itself */
	s->role = GRAPH_ROLE_BOTH;
	s->remote_prefill = s->transfer = s->conditional = false;
}

int plan_search_apply(struct plan_deployment *ret, const struct plan *asked, uint32_t main, uint32_t prefill,
	const struct plan_shape *shape)
{
	const struct plan_deployment *d = &asked->deployment;
	struct plan_deployment n = {.graph = d->graph, .len = d->len};

	n.services = calloc(d->len + 1, sizeof *n.services);
	if (!n.services)
		return -ENOMEM;
	memcpy(n.services, d->services, d->len * sizeof *n.services);
	for (uint32_t i = 0; i < d->len; i++) {
		struct plan_service *s = &n.services[i];
		if (i == main && shape->threads) {
			plan_service_on_host(s, shape);
		} else if (i == main) {
			shape_service(s, shape, shape->workers - shape->prefill);
			s->role = shape->prefill ? s->role : GRAPH_ROLE_BOTH;
			s->remote_prefill = shape->prefill > 0;
		} else if (i == prefill) {
			s->block = d->services[main].block;
			shape_service(s, shape, shape->prefill);
		} else if (search_same_model(s, &d->services[main])) {
			s->workers = 0;
		}
	}
	*ret = n;
	return 0;
}

/* The number type to write: "auto" is left alone where it does what it says. */
static const char *dtype_of(const struct search *x, const bool *used)
{
	const struct plan_service *s = search_main(x);
	const struct model_facts *m = s->model->facts;
	const char *type = NULL;

	if (s->engine == GRAPH_ENGINE_LLAMA) /* as the file is */
		return s->dtype;
	for (uint32_t k = 0; k < x->kinds_len; k++) {
		const char *here = plan_dtype_on(s, x->kinds[k].card->capability);
		if (used[k] && (!type || strcmp(here, "bfloat16")))
			type = here;
	}
	bool as_said = !type || (!strcmp(s->dtype, "auto") && !strcmp(type, m->dtype)) || !strcmp(type, s->dtype);
	return as_said ? s->dtype : type;
}

/* Judging. */

static bool quant_runs(const struct search *x, const char *quant, uint32_t kind)
{
	struct rule_answer a;

	if (!quant)
		return true;
	rule_quantization(&a, plan_rules_of(search_main(x)), x->kinds[kind].card->capability, quant);
	return a.verdict == RULE_YES || a.verdict == RULE_INSTEAD;
}

static bool kind_fits(const struct search *x, const struct plan_service *s, uint32_t k, struct plan_terms *ret)
{
	struct rule_answer a;

	if (x->kinds[k].places[s->gpus] == 0 || !quant_runs(x, s->quant, k))
		return false;
	rule_engine_runs(&a, plan_rules_of(s), x->kinds[k].card->capability);
	if (a.verdict == RULE_NO)
		return false;
	plan_need(ret, s, x->kinds[k].card);
	return ret->known && plan_terms_surely_fit(ret) && plan_terms_surely_free(ret) &&
	       !plan_states_short(s, ret, x->kinds[k].card) && (x->open || !plan_is_open(s, ret, x->kinds[k].card));
}

double plan_worth(const struct plan_predicted *p, uint64_t context, uint64_t asked)
{
	double kept = asked ? MIN((double)context / (double)asked, 1) : 1;

	return (p->known ? p->tokens_s : 1) * sqrt(kept);
}

static int by_number(double a, double b)
{
	return a < b ? -1 : a > b;
}

/* The engine's default counts as the largest: it is nothing to write. */
static double batch_rank(uint64_t batch)
{
	return batch ? (double)batch : 1e18;
}

int plan_option_compare(const struct plan_shape *a, const struct plan_predicted *pa, double worth_a,
	const struct plan_shape *b, const struct plan_predicted *pb, double worth_b)
{
	/* Steps of 5 %, so that the order is one. */
	double step_a = floor(log(MAX(worth_a, 1e-9)) / log(1.05)), step_b = floor(log(MAX(worth_b, 1e-9)) / log(1.05));
	int c = by_number(step_b, step_a);

	c = c ? c : by_number(pa->ttft_ms, pb->ttft_ms);
	c = c ? c : (a->quant != NULL) - (b->quant != NULL);
	c = c ? c : by_number((double)b->context, (double)a->context);
	c = c ? c : by_number((double)b->seqs, (double)a->seqs);
	c = c ? c : by_number(batch_rank(b->batch), batch_rank(a->batch));
	c = c ? c : by_number(worth_b, worth_a);
	c = c ? c : by_number(a->prefill, b->prefill);
	c = c ? c : by_number(a->tp, b->tp);
	c = c ? c : by_number(b->threads, a->threads);
	c = c ? c : by_number(b->utilization, a->utilization);
	c = c ? c : strcmp(a->quant ? a->quant : "", b->quant ? b->quant : "");
	return c ? c : strcmp(a->kv, b->kv);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

void search_keep(struct search *x, const struct plan_shape *shape, const struct plan_predicted *predicted,
	const struct plan_pace *paces, const uint32_t *count, uint32_t kinds)
{
	struct found f = {
		.shape = *shape, .predicted = *predicted, .divided = x->divided, .divided_prefill = x->divided_prefill};

	f.worth = plan_worth(predicted, shape->context, x->out->context_asked);
	/* Several workers on one host's cores: a request that is alone has a part of them only. */
	if (shape->threads && shape->workers > 1)
		f.worth *= pow(0.9, log2(shape->workers));
	for (uint32_t k = kinds; k-- > 0;)
		f.pace = count[k] ? paces[k] : f.pace;

	for (uint32_t i = 0; i < x->found_len; i++) {
		struct found *o = &x->found[i];
		if (o->shape.tp != shape->tp || o->shape.threads != shape->threads ||
			!same_text(o->shape.quant, shape->quant) || !o->shape.prefill != !shape->prefill)
			continue;
		if (plan_option_compare(&f.shape, &f.predicted, f.worth, &o->shape, &o->predicted, o->worth) < 0)
			*o = f;
		return;
	}
	if (x->found_len < SHAPES_MAX)
		x->found[x->found_len++] = f;
}

/* The division that balances both sides: one of two whole numbers. Returns how many only prefill. */
static uint32_t best_division(const struct search *x, uint32_t workers, const struct plan_pace *paces,
	const uint32_t *count, struct plan_predicted *ret)
{
	struct plan_predicted one, best = {0};
	uint32_t low = 1, high = workers - 1, prefill = 1;

	/* As prefill workers are added their rate grows and the others' falls: halve to where they cross. */
	while (low < high) {
		uint32_t mid = (low + high) / 2;
		plan_predict_split(&one, paces, count, x->kinds_len, mid, &x->out->load);
		if (one.prefill_bound)
			low = mid + 1;
		else
			high = mid;
	}
	for (uint32_t p = low > 1 ? low - 1 : low; p <= low; p++) {
		plan_predict_split(&one, paces, count, x->kinds_len, p, &x->out->load);
		if (!best.known || (one.known && one.tokens_s > best.tokens_s)) {
			best = one;
			prefill = p;
		}
	}
	*ret = best;
	return prefill;
}

/* The service that prefills may have another release, or graphs of its own. */
static bool prefill_fits(const struct search *x, const struct plan_shape *shape, const uint32_t *count)
{
	struct plan_service s = x->asked->deployment.services[x->out->prefill];
	struct plan_terms t;

	shape_service(&s, shape, 1);
	for (uint32_t k = 0; k < x->kinds_len; k++)
		if (count[k] && !kind_fits(x, &s, k, &t))
			return false;
	return true;
}

static void try_split(struct search *x, struct plan_shape *shape, const struct plan_pace *paces, const uint32_t *count)
{
	struct plan_predicted best;

	if (!prefill_fits(x, shape, count))
		return;

	shape->prefill = best_division(x, shape->workers, paces, count, &best);
	search_keep(x, shape, &best, paces, count, x->kinds_len);
}

static void try_shape(struct search *x, struct plan_shape *shape, const struct roofline *lines, const bool *lines_known)
{
	struct plan_service s = *search_main(x);
	struct plan_pace paces[PLAN_KINDS_MAX] = {0};
	uint32_t count[PLAN_KINDS_MAX] = {0};
	bool used[PLAN_KINDS_MAX] = {false};
	struct plan_predicted both;
	struct plan_terms t;

	x->out->tried++;
	shape_service(&s, shape, 1);
	shape->workers = shape->prefill = 0;
	for (uint32_t k = 0; k < x->kinds_len; k++) {
		if (!kind_fits(x, &s, k, &t))
			continue;
		used[k] = true;
		count[k] = x->kinds[k].places[shape->tp];
		shape->workers += count[k];
		if (lines_known[k])
			plan_pace(&paces[k], &s, &lines[k], &t, &x->out->load, x->kinds[k].card);
	}
	if (!shape->workers)
		return;
	shape->dtype = dtype_of(x, used);
	plan_predict_both(&both, paces, count, x->kinds_len, &x->out->load);
	if (shape->workers >= 2 && is_external(&s))
		x->divided_prefill = best_division(x, shape->workers, paces, count, &x->divided);
	search_keep(x, shape, &both, paces, count, x->kinds_len);
	x->divided = (struct plan_predicted){0};
	if (x->out->prefill != UINT32_MAX && shape->workers >= 2)
		try_split(x, shape, paces, count);
}

static void lines_for(struct search *x, uint32_t tp, const char *quant, struct roofline *lines, bool *known)
{
	struct plan_service s = *search_main(x);

	s.quant = quant ? quant : s.quant;
	s.tp = tp;
	for (uint32_t k = 0; k < x->kinds_len; k++) {
		const struct gpu_device *card = x->kinds[k].card;
		known[k] = card->spec && plan_roofline(&lines[k], &s, card, x->kinds[k].link, NULL) == 0;
	}
}

static void try_all(struct search *x)
{
	const struct plan_axes *a = &x->axes;
	struct roofline lines[PLAN_KINDS_MAX];
	bool known[PLAN_KINDS_MAX];

	for (uint32_t t = 0; t < a->tps_len; t++)
		for (uint32_t q = 0; q < a->quants_len; q++) {
			lines_for(x, a->tps[t], a->quants[q], lines, known);
			for (uint32_t u = 0; u < a->utilizations_len; u++)
				for (uint32_t c = 0; c < a->contexts_len; c++)
					for (uint32_t b = 0; b < a->batches_len; b++)
						for (uint32_t n = 0; n < a->seqs_len; n++) {
							struct plan_shape shape = {.tp = a->tps[t],
								.quant = a->quants[q],
								.quant_model = a->quant_models[q],
								.dtype = search_main(x)->dtype,
								.kv = x->kv,
								.attention = x->attention,
								.context = a->contexts[c],
								.batch = a->batches[b],
								.seqs = a->seqs[n],
								.utilization = a->utilizations[u]};
							if (shape.seqs <= (shape.batch ? shape.batch : 2048))
								try_shape(x, &shape, lines, known);
						}
		}
}

/* Choosing among what was found. */

static int best_first(const void *va, const void *vb)
{
	const struct found *a = va, *b = vb;

	return plan_option_compare(&a->shape, &a->predicted, a->worth, &b->shape, &b->predicted, b->worth);
}

/* Worse in everything than one of the same weights already chosen. */
static bool is_beaten(const struct search *x, const struct found *f)
{
	for (uint32_t i = 0; i < x->out->len; i++) {
		const struct plan_option *o = &x->out->items[i];
		if (same_text(o->shape.quant, f->shape.quant) && o->predicted.known && f->predicted.known &&
			!o->shape.prefill == !f->shape.prefill && o->predicted.tokens_s >= f->predicted.tokens_s &&
			o->predicted.ttft_ms <= f->predicted.ttft_ms && o->shape.context >= f->shape.context)
			return true;
	}
	return false;
}

static bool depends(const struct plan *p)
{
	return findings_has(&p->findings, "memory-release") || findings_has(&p->findings, "memory-close");
}

/* Does something leave it open that does not concern the asked plan? */
static bool opens(const struct plan *p, const struct plan *asked)
{
	for (uint32_t i = 0; i < p->findings.len; i++)
		if (p->findings.items[i].unchecked && !findings_has(&asked->findings, p->findings.items[i].code))
			return true;
	return false;
}

static int offer(struct search *x, const struct found *f, struct err *err)
{
	struct plan_option *o = &x->out->items[x->out->len];
	struct plan_deployment d;

	int r = plan_search_apply(&d, x->asked, x->out->main, x->out->prefill, &f->shape);
	struct plan_input input = x->asked->input;
	input.flags_told = true;
	if (r == 0)
		r = plan_make_of(&o->plan, &input, &d, err);
	if (r < 0)
		return err_set(err, r, "out of memory");
	if (plan_verdict(&o->plan) == PLAN_CANNOT || depends(&o->plan) ||
		(!x->open && opens(&o->plan, x->asked))) {
		plan_done(&o->plan);
		return 0;
	}
	o->shape = f->shape;
	o->predicted = f->predicted;
	o->pace = f->pace;
	o->divided = f->divided;
	o->divided_prefill = f->divided_prefill;
	o->worth = f->worth;
	x->out->len++;
	return 0;
}

static bool is_offered(const struct search *x, const struct found *f)
{
	for (uint32_t i = 0; i < x->out->len; i++)
		if (plan_option_compare(&x->out->items[i].shape, &x->out->items[i].predicted, x->out->items[i].worth,
			    &f->shape, &f->predicted, f->worth) == 0)
			return true;
	return false;
}

/* What each round looks for: the first of them in rank that is not offered yet. */
enum round { OF_METHOD, DIVIDED, ONE_CARD, ANY };

static bool suits(const struct search *x, const struct found *f, enum round round, const char *quant)
{
	switch (round) {
	case OF_METHOD:
		return same_text(f->shape.quant, quant);
	case DIVIDED:
		return f->shape.prefill > 0;
	case ONE_CARD:
		return f->shape.tp == 1;
	default:
		return !is_beaten(x, f);
	}
}

/* Offer the best that suits and really fits. */
static int offer_best(struct search *x, enum round round, const char *quant, uint32_t most, struct err *err)
{
	uint32_t before = x->out->len;

	for (uint32_t i = 0; i < x->found_len && x->out->len == before && before < most; i++) {
		const struct found *f = &x->found[i];
		if (!suits(x, f, round, quant))
			continue;
		if (is_offered(x, f) && round != ANY)
			return 0;
		int r = is_offered(x, f) ? 0 : offer(x, f, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int by_worth(const void *va, const void *vb)
{
	const struct plan_option *a = va, *b = vb;

	return plan_option_compare(&a->shape, &a->predicted, a->worth, &b->shape, &b->predicted, b->worth);
}

/* The best of each kind of weights first, the best with divided roles, the best without tensor parallelism, so that none
 * hides the others; then by rank. What is offered is in the order of rank. */
static int choose(struct search *x, uint32_t most, struct err *err)
{
	int r = 0;

	if (x->found_len)
		qsort(x->found, x->found_len, sizeof *x->found, best_first);
	for (uint32_t q = 0; q < x->axes.quants_len && r == 0; q++)
		r = offer_best(x, OF_METHOD, x->axes.quants[q], most, err);
	if (r == 0)
		r = offer_best(x, DIVIDED, NULL, most, err);
	if (r == 0)
		r = offer_best(x, ONE_CARD, NULL, most, err);
	for (uint32_t before = UINT32_MAX; r == 0 && before != x->out->len;) {
		before = x->out->len;
		r = offer_best(x, ANY, NULL, most, err);
	}
	if (x->out->len)
		qsort(x->out->items, x->out->len, sizeof *x->out->items, by_worth);
	return r;
}

static bool is_refused(const struct plan *p, const char *code)
{
	for (uint32_t i = 0; i < p->findings.len; i++)
		if (p->findings.items[i].severity == FINDING_FATAL && !strcmp(p->findings.items[i].code, code))
			return true;
	return false;
}

static int look_for(struct search *x, uint32_t most, struct err *err)
{
	if (x->out->on_host)
		search_host(x);
	else
		try_all(x);
	return choose(x, most, err);
}

int plan_search(struct plan_options *ret, const struct plan *asked, const struct plan_wish *wish, struct err *err)
{
	struct search *x = calloc(1, sizeof *x);
	int r = 0;

	*ret = (struct plan_options){0};
	if (!x)
		return err_set(err, -ENOMEM, "out of memory");
	*x = (struct search){.asked = asked, .wish = wish, .out = ret};
	ret->load.prompt = wish->load.prompt ? wish->load.prompt : PLAN_PROMPT_DEFAULT;
	ret->load.answer = wish->load.answer ? wish->load.answer : PLAN_ANSWER_DEFAULT;
	if (!choose_services(x)) {
		snprintf(ret->why, sizeof ret->why, "no service of a known model computes on GPUs or with llama.cpp");
	} else if (plan_search_on_host(asked, ret->main) && !asked->input.inventory->host_facts.cores) {
		snprintf(ret->why, sizeof ret->why,
			"there is no GPU to plan with, and nothing is known of the host's cores and memory");
	} else {
		ret->on_host = plan_search_on_host(asked, ret->main);
		plan_search_axes(&x->axes, asked, ret->main, wish);
		ret->context_asked = x->axes.contexts[0];
		x->kv = is_refused(asked, "kv-dtype") ? "auto" : search_main(x)->kv;
		x->attention = is_refused(asked, "attention") ? NULL : search_main(x)->attention;
		r = search_places(x);
		if (r == 0) {
			uint32_t most = wish->options ? MIN(wish->options, PLAN_OPTIONS_MAX) : OPTIONS_DEFAULT;
			r = look_for(x, most, err);
			x->open = true;
			if (r == 0 && !ret->len && !ret->on_host)
				r = look_for(x, most, err);
		}
		if (r == 0 && !ret->len && ret->on_host)
			snprintf(ret->why, sizeof ret->why,
				"the host's RAM does not hold the model, even with a short context");
		else if (r == 0 && !ret->len)
			search_why(x);
	}
	free(x);
	if (r < 0)
		plan_options_done(ret);
	return r < 0 ? err_set(err, r, "out of memory") : 0;
}

void plan_options_done(struct plan_options *o)
{
	for (uint32_t i = 0; i < o->len; i++)
		plan_done(&o->items[i].plan);
	o->len = 0;
}
