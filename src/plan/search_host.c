/* search_host.c - llama workers on the cores of one host: how many, with which weights, KV and context; see search_parts.h.
 *
 *   RAM      weights once + workers x (KV + run time and buffers) <= what is available
 *   threads  the cores divided among the workers, and the memory's rate with them */
#include "plan/search_parts.h"

#include <string.h>

enum { HOST_WORKERS_MAX = 16, HOST_CONTEXTS_MAX = 24 };

struct host_search {
	struct search *x;
	const struct host_facts *host;
	uint64_t room; /* RAM that the workers may have together */
	uint64_t contexts[HOST_CONTEXTS_MAX];
	uint32_t contexts_len;
};

static void add_context(struct host_search *h, uint64_t n)
{
	for (uint32_t i = 0; i < h->contexts_len; i++)
		if (h->contexts[i] == n)
			return;
	if (h->contexts_len < HOST_CONTEXTS_MAX)
		h->contexts[h->contexts_len++] = n;
}

/* A worker's cells are shared by its streams: more than one request's worth of them serve more at once. */
static void contexts(struct host_search *h)
{
	const struct plan_axes *a = &h->x->axes;

	for (uint32_t i = 0; i < a->contexts_len; i++)
		add_context(h, a->contexts[i]);
	for (uint32_t times = 2; times <= 8 && a->contexts_len; times *= 2)
		add_context(h, a->contexts[0] * times);
}

static bool fits(const struct host_search *h, const struct plan_service *s, struct plan_host_need *ret)
{
	struct plan_service on = *s;

	on.room = plan_host_room(s, h->room, s->workers);
	plan_host_need(ret, &on);
	return ret->known && ret->weights && ret->weights + (ret->kv + ret->rest) * s->workers <= h->room;
}

/* Cores are soon busy: streams beyond that wait for each other and gain nothing. Half as many for as long as nine tenths of the
 * rate remain, and only so many if the user did not say how many there are to be. */
static void choose_streams(struct host_search *h, struct plan_service *s, struct plan_shape *shape,
	const struct roofline *line, struct plan_pace *pace, struct plan_predicted *ret)
{
	const struct plan_terms t = {.known = true, .kv_tokens = s->context};
	const struct gpu_device none = {0};
	double best = 0;

	for (uint64_t seqs = shape->seqs;; seqs /= 2) {
		struct plan_predicted p;
		struct plan_pace x;
		s->seqs = seqs;
		plan_pace(&x, s, line, &t, &h->x->out->load, &none);
		plan_predict_both(&p, &x, &shape->workers, 1, &h->x->out->load);
		best = MAX(best, p.tokens_s);
		if (best > 0 && p.tokens_s < 0.9 * best)
			break;
		shape->seqs = seqs;
		*pace = x;
		*ret = p;
		if (seqs < 2 || (s->engine == GRAPH_ENGINE_LLAMA && s->set[PLAN_SEQS]))
			break;
	}
}

static bool fits_with(const struct host_search *h, const struct plan_shape *shape, const char *kv)
{
	struct plan_service s = *search_main(h->x);
	struct plan_shape other = *shape;
	struct plan_host_need need;

	other.kv = kv;
	plan_service_on_host(&s, &other);
	return fits(h, &s, &need);
}

static void try_one(struct host_search *h, const struct plan_shape *tried, const struct roofline *line)
{
	const struct plan_load *load = &h->x->out->load;
	struct plan_service s = *search_main(h->x);
	struct plan_shape shape = *tried;
	struct plan_predicted predicted;
	struct plan_host_need need;
	struct plan_pace pace;

	h->x->out->tried++;
	plan_service_on_host(&s, &shape);
	if (!fits(h, &s, &need))
		return;
	choose_streams(h, &s, &shape, line, &pace, &predicted);
	/* Cells that no stream would use. */
	if (shape.context > h->contexts[0] && shape.seqs * ((uint64_t)load->prompt + load->answer) * 2 <= shape.context)
		return;
	search_keep(h->x, &shape, &predicted, &pace, (const uint32_t[]){1}, 1);
}

static bool line_of(const struct host_search *h, const struct plan_shape *shape, struct roofline *ret)
{
	struct plan_service s = *search_main(h->x);
	struct gpu_spec part;

	plan_service_on_host(&s, shape);
	roofline_host(&part, h->host, 1.0 / shape->workers);
	const struct roofline_ask ask = {.gpu = &part,
		.model = s.model->facts,
		.quant = plan_weights_on(&s, 0),
		.kv = plan_kv_type(&s),
		.host = true};
	return roofline_init(ret, &ask, NULL) == 0;
}

static void try_workers(struct host_search *h, uint32_t workers)
{
	const struct plan_axes *a = &h->x->axes;
	const struct plan_service *s = search_main(h->x);
	const char *const kvs[] = {kv_dtype_parse(s->kv) == KV_F16 ? s->kv : "f16", "q8_0"};
	struct roofline line;

	for (uint32_t q = 0; q < a->quants_len; q++)
		for (uint32_t k = 0; k < ARRAY_LEN(kvs); k++) {
			struct plan_shape shape = {.tp = 1,
				.workers = workers,
				.threads = h->host->cores / workers,
				.quant = a->quants[q],
				.quant_model = a->quant_models[q],
				.dtype = "auto",
				.kv = kvs[k],
				.seqs = s->engine == GRAPH_ENGINE_LLAMA ? s->seqs : PLAN_LLAMA_SEQS,
				.batch = PLAN_LLAMA_BATCH,
				.utilization = s->utilization};
			if (!line_of(h, &shape, &line))
				continue;
			for (uint32_t c = 0; c < h->contexts_len; c++) {
				shape.context = h->contexts[c];
				/* A smaller KV type is for what does not fit otherwise. */
				if (k == 0 || !fits_with(h, &shape, kvs[0]))
					try_one(h, &shape, &line);
			}
		}
}

void search_host(struct search *x)
{
	const struct host_facts *host = &x->asked->input.inventory->host_facts;
	struct host_search h = {.x = x, .host = host};
	struct gpu_spec whole;

	roofline_host(&whole, host, 1);
	x->out->bandwidth_measured = host->memory_mb_s > 0;
	x->out->bandwidth_gb_s = whole.memory_gb_s;
	h.room = host->ram_available ? MIN(host->ram_available, host->ram_total) : host->ram_total;
	contexts(&h);
	for (uint32_t w = 1; w <= MIN(host->cores, (uint32_t)HOST_WORKERS_MAX); w *= 2)
		try_workers(&h, w);
	if (host->numa_nodes > 2 && host->numa_nodes <= host->cores)
		try_workers(&h, host->numa_nodes);
}
