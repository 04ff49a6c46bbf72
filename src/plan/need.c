/* need.c - memory terms; see need.h. Constants were fitted to what the engines say of themselves at their start, on cards from
 * T4 to H200: bench/memory/starts, docs/memory.md. */
#include "plan/need_external.h"
#include "model/memory.h"
#include "plan/llama_split.h"

#include <stdio.h>
#include <string.h>

static const uint64_t MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

enum {
	HOST_RESERVE_MIB = 256, /* llama/context.h's memory_reserve_bytes */
	LLAMA_SEQS_LEAST = 8, /* llama/context.h's */
};

uint64_t plan_seqs_on(const struct plan_service *s, const struct gpu_device *card)
{
	/* Half of a llama worker's sequences keep the states of conversations. */
	if (s->engine == GRAPH_ENGINE_LLAMA && s->model->facts && s->model->facts->state_bytes)
		return MAX(plan_llama_seqs(s, s->room) / 2, 1);
	return s->engine == GRAPH_ENGINE_VLLM ? plan_vllm_seqs(s, card) : s->seqs;
}

uint64_t plan_llama_seqs(const struct plan_service *s, uint64_t room)
{
	uint64_t state = s->model->facts ? s->model->facts->state_bytes : 0;

	if (s->set[PLAN_SEQS] || !state || !room)
		return s->seqs;
	return MIN(s->seqs, MAX(room / 4 / state, LLAMA_SEQS_LEAST));
}

uint64_t plan_host_room(const struct plan_service *s, uint64_t ram, uint32_t workers)
{
	const struct model_facts *m = s->model->facts;
	uint64_t taken = (m ? MAX(m->file_bytes, m->weight_bytes) : 0) + HOST_RESERVE_MIB * MIB;

	if (!ram)
		return 0;
	return ram > taken ? (ram - taken) / MAX(workers, 1u) : 1;
}

uint64_t plan_batch_on(const struct plan_service *s, const struct gpu_device *card)
{
	if (s->engine == GRAPH_ENGINE_VLLM)
		return plan_vllm_batch(s, card);
	return s->engine == GRAPH_ENGINE_SGLANG ? plan_sglang_batch(s, card) : s->batch;
}

/* Of the stage with the most layers. */
static uint64_t kv_of(const struct plan_service *s, enum kv_dtype type, uint64_t tokens)
{
	if (s->engine == GRAPH_ENGINE_LLAMA) /* layers are divided, not heads; sliding ones keep all their cells too */
		return model_kv_bytes_per_token(s->model->facts, type) * llama_cells(tokens) / MAX(s->gpus, 1u);
	/* A hybrid's request takes its states from the same pool. */
	uint32_t tp = plan_extra_attention_tp(&s->extra, s->tp);
	uint64_t states = s->model->facts->state_bytes / tp;
	bool whole = s->engine == GRAPH_ENGINE_VLLM && release_before(s->release, VLLM_WINDOWS_KEPT);
	uint64_t all = states + (whole ? model_kv_bytes_per_token_tp(s->model->facts, type, tp) * tokens
				       : model_kv_bytes_tp(s->model->facts, type, tokens, tp));
	uint64_t layers = MAX(s->model->facts->layers, 1u);
	return s->pp > 1 ? all * ((layers + s->pp - 1) / s->pp) / layers : all;
}

/* The longest request whose KV is at most room: whole blocks. KV grows with tokens, so halving finds it. */
static uint64_t longest(const struct plan_service *s, enum kv_dtype type, int64_t room)
{
	const struct model_facts *m = s->model->facts;
	uint64_t block = MAX(s->block, 1), low = 0,
		 high = MAX(m->context_max ? m->context_max : 1u << 20, block) / block;

	if (room <= 0)
		return 0;
	while (low < high) {
		uint64_t mid = (low + high + 1) / 2;
		if (kv_of(s, type, mid * block) <= (uint64_t)room)
			low = mid;
		else
			high = mid - 1;
	}
	return low * block;
}

/* CUDA context, kernels, cuBLAS and its work space, the pool of scratch memory of ggml, at their largest: measured on an H100,
 * on others by the number of their processors. */
uint64_t plan_llama_runtime(const struct gpu_device *card)
{
	static const struct {
		uint32_t least;
		uint64_t mib;
	} table[] = {{100, 790}, {90, 700}, {89, 470}, {86, 370}, {80, 540}, {75, 200}, {70, 370}, {0, 225}};
	uint32_t i = 0;

	while (card->capability < table[i].least)
		i++;
	return table[i].mib * MIB;
}

/* Whole layers a card; the output matrix is on the last one, hence some more than an even share. */
static void terms_llama(struct plan_terms *t, const struct plan_service *s, const struct gpu_device *card)
{
	const struct model_facts *m = s->model->facts;
	uint64_t all = model_weight_bytes(m, s->quant);
	/* The input embedding stays on the host, where it is a matrix of its own. */
	uint64_t input = s->quant && all != m->weight_bytes ? model_embedding_bytes(m, s->quant) : m->weight_bytes_input;
	uint64_t weights = all - MIN(input, all);

	t->weights = s->gpus > 1 ? weights / s->gpus + weights / 32 : weights;
	t->runtime = plan_llama_runtime(card);
	uint64_t room = t->budget > t->weights ? (t->budget - t->weights) * MAX(s->gpus, 1u) : 1;
	t->states = m->state_bytes * plan_llama_seqs(s, room) / MAX(s->gpus, 1u);
	t->activations = llama_compute_bytes(m, s->ubatch, s->context) + MAX(s->ubatch, 1) * m->hidden * 4;
}

/* The longest context with which the worst of so many alike cards holds what is asked of it. */
static uint64_t longest_of_server(
	const struct plan_service *s, const struct gpu_device *const *cards, uint32_t len, uint64_t budget)
{
	enum { STEP = 256 };
	const struct model_facts *m = s->model->facts;
	uint64_t low = 0, high = MAX(m->context_max ? m->context_max : 1u << 20, s->context) / STEP;

	while (low < high) {
		uint64_t mid = (low + high + 1) / 2;
		struct plan_service other = *s;
		struct plan_terms t = {.budget = budget};
		other.context = mid * STEP;
		other.set[PLAN_CONTEXT] = true;
		plan_llama_terms(&t, &other, cards, len, NULL);
		if (t.kv_room >= (int64_t)t.kv_least)
			low = mid;
		else
			high = mid - 1;
	}
	return low * STEP;
}

/* A llama-server on so many cards like this one, or on those. */
void plan_need_server(struct plan_terms *ret, const struct plan_service *s, const struct gpu_device *const *cards,
	uint32_t len, const struct gpu_device *of)
{
	struct plan_terms t = {.total = of->memory_total, .free = of->memory_free, .budget = of->memory_free};

	if (s->model->facts && t.total) {
		t.known = true;
		plan_llama_terms(&t, s, cards, len, of);
		bool fits = plan_terms_fit(&t);
		t.context_fits = fits ? t.context : longest_of_server(s, cards, len, t.budget);
		t.kv_tokens = t.context;
		if (fits) {
			t.budget = plan_terms_fixed(&t) + t.kv_least;
			t.kv_room = (int64_t)t.kv_least;
		}
	}
	*ret = t;
}

static void need_of(struct plan_terms *ret, const struct plan_service *s, const struct gpu_device *card)
{
	struct plan_terms t = {.total = card->memory_total, .free = card->memory_free};
	bool llama = s->engine == GRAPH_ENGINE_LLAMA;
	enum kv_dtype kv = plan_kv_on(s, card->capability);

	if (llama && s->llama.server) {
		const struct gpu_device *cards[LLAMA_CARDS_MAX];
		uint32_t len = MIN(MAX(s->gpus, 1u), (uint32_t)LLAMA_CARDS_MAX);
		for (uint32_t i = 0; i < len; i++)
			cards[i] = card;
		plan_need_server(ret, s, cards, len, card);
		return;
	}
	t.budget =
		llama ? (uint64_t)((double)t.total * s->share) : (uint64_t)((double)t.total * plan_share_on(s, card));
	if (s->model->facts && t.total) {
		t.known = true;
		if (llama)
			terms_llama(&t, s, card);
		else
			plan_need_external(&t, s, card);
		t.kv_room = (int64_t)t.budget - (int64_t)plan_terms_fixed(&t);
		t.context = MAX(s->context, 1);
		t.context_fits = longest(s, kv, t.kv_room);
		if (plan_context_yields(s) && t.context_fits < t.context && t.context_fits >= PLAN_CONTEXT_LEAST)
			t.context = t.context_fits / 256 * 256;
		t.kv_least = kv_of(s, kv, t.context);
		double token = (double)t.kv_least / (double)t.context;
		t.kv_tokens = t.kv_room > 0 && token > 0 ? (uint64_t)((double)t.kv_room / token) : 0;
		/* llama.cpp takes its cells at the start and no more. */
		if (llama && plan_terms_fit(&t)) {
			t.kv_tokens = t.context;
			t.budget = plan_terms_fixed(&t) + t.kv_least;
			t.kv_room = (int64_t)t.kv_least;
		}
	}
	*ret = t;
}

void plan_releases_of(struct release_ranges *ret, const struct plan_service *s)
{
	release_ranges(ret, s->engine == GRAPH_ENGINE_SGLANG, s->since, s->until);
}

void plan_need(struct plan_terms *ret, const struct plan_service *s, const struct gpu_device *card)
{
	struct plan_service one = *s;
	struct release_ranges ranges;
	bool sglang = s->engine == GRAPH_ENGINE_SGLANG;

	if (s->release || (s->engine != GRAPH_ENGINE_VLLM && !sglang)) {
		need_of(ret, s, card);
		return;
	}
	plan_releases_of(&ranges, s);
	one.release = ranges.first[0];
	need_of(ret, &one, card);
	if (!ret->known)
		return;
	ret->started = 0; /* whether it looks at all depends on the release */
	int64_t spare = ret->kv_room - (int64_t)ret->kv_least, margin = (int64_t)(ret->total / PLAN_CLOSE);
	ret->fitting = plan_terms_fit(ret);
	ret->missing = !plan_terms_fit(ret);
	ret->close = !sglang && spare < margin && -spare < margin;
	if (!sglang)
		ret->context_fits = longest(s, plan_kv_on(s, card->capability), ret->kv_room - margin);
	for (uint32_t i = 1; i < ranges.len; i++) {
		struct plan_terms then;

		one.release = ranges.first[i];
		need_of(&then, &one, card);
		bool fits = plan_terms_fit(&then);
		ret->fitting |= fits ? 1u << i : 0;
		ret->missing |= fits || sglang ? 0 : 1u << i;
		ret->context_fits = sglang ? ret->context_fits : MIN(ret->context_fits, then.context_fits);
	}
}

void plan_host_need(struct plan_host_need *ret, const struct plan_service *s)
{
	struct llama_memory m;

	*ret = (struct plan_host_need){0};
	if (!s->model->facts)
		return;
	const struct llama_memory_ask ask = {.context = s->context,
		.kv = plan_kv_type(s),
		.quant = s->quant && model_quant_known(s->quant) ? s->quant : NULL,
		.sequences = (uint32_t)MIN(plan_llama_seqs(s, s->room), 256),
		.batch = (uint32_t)s->ubatch};
	llama_memory_predict(&m, s->model->facts, &ask);
	*ret = (struct plan_host_need){.known = true,
		.weights = m.weights,
		.kv = m.kv,
		.rest = m.vocab + m.compute + m.overhead + m.states,
		.states = m.states};
}

double plan_share_free(const struct plan_service *s, const struct gpu_device *card)
{
	uint64_t free = card->memory_free - MIN(plan_start_on(s, card), card->memory_free);
	uint64_t hundredths = card->memory_total ? free * 100 / card->memory_total : 0;

	return (double)hundredths / 100;
}

const char *plan_bytes_text(uint64_t bytes, char *ret, size_t cap)
{
	double gib = (double)bytes / (double)GIB;

	if (gib >= 99.95)
		snprintf(ret, cap, "%.0f GiB", gib);
	else if (gib >= 0.995)
		snprintf(ret, cap, gib >= 9.995 ? "%.1f GiB" : "%.2f GiB", gib);
	else
		snprintf(ret, cap, "%.0f MiB", (double)bytes / (double)MIB);
	return ret;
}
