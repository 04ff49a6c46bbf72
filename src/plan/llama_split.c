/* llama_split.c - layers over cards; see llama_split.h. */
#include "plan/llama_split.h"
#include "model/gguf_mix.h"
#include "model/memory.h"
#include "plan/need.h"

#include <string.h>

static const uint64_t MIB = 1024 * 1024;

enum {
	ROUND = 256, /* cells of a cache */
	COPIES = 3, /* of a step's input, beside the first: two cards or more compute at once */
	CONTEXT_LEAST = 4096, /* --fit goes no lower */
	CONTEXT_STEP = 1024,
	SLACK_MIB = 160, /* the pools of CUDA, what a desktop holds, rounding */
	SLACK_LOOSE = 10, /* of a card's weights, where makers mix by rules of their own */
	SLACK_NAMED = 100, /* where the name says the rules: 0.4 % at most over 50 files */
	SLACK_FILE = 64, /* where a file's sum is known, and its layers are taken as alike */
	PROJECTOR_MIB = 1800, /* of an unknown one, with its buffers */
	PROJECTOR_BUFFERS_MIB = 300,
	ADAPTERS_MIB = 1024, /* of unknown size: 400 MiB of rank 64 of an 8B */
	DRAFT_SHARE = 4, /* an unknown draft model is smaller than a part of the model */
};

/* What of a model lies where, in bytes. */
struct pieces {
	uint64_t embedding; /* on the host whatever is done */
	uint64_t output;
	uint64_t projector; /* 0: none, or not known */
	bool projector_known;
	double part
		[8]; /* of a layer, by the bits of enum plan_llama_part: of a dense one and of one with experts, where it has it */
	uint64_t kv_all, kv_full; /* bytes a token of all layers, of those without a window */
	uint64_t layers, dense;
	const struct model_facts *model;
	const char *mix; /* each layer by the rules of its name; NULL: all are alike */
	bool loose;
};

/* Of a file: its sum is known, and what its layers have of it follows from the shapes. */
static void set_parts(struct pieces *p, const struct model_facts *m, double body)
{
	double hidden = m->hidden, layers = m->layers, dense = m->experts ? m->dense_layers : m->layers,
	       moe = layers - dense;
	double experts = (double)m->params_expert, linear = (double)MAX(m->params_linear, 1u);

	if (!experts)
		experts = moe * m->experts * 3 * hidden * m->expert_intermediate;
	experts = MIN(experts, linear);
	double ffn = 3 * hidden * m->intermediate, shared = 3 * hidden * m->shared_intermediate;
	double rest = linear - experts - dense * ffn - moe * shared;
	double scale = body / linear, attention = MAX(rest, 0) / layers;

	p->part[0] = attention * scale;
	for (int i = 1; i <= 3; i++)
		p->part[i] = ffn / 3 * scale;
	for (int i = 4; i <= 6; i++)
		p->part[i] = moe > 0 ? experts / moe / 3 * scale : 0;
	p->part[7] = shared * scale;
}

static void set_kv(struct pieces *p, const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;
	const enum kv_dtype types[2] = {s->llama.keys, s->llama.values};
	uint64_t window = MAX(m->sliding_window, 1u);

	/* Keys and values are as large, but for MLA, which has keys alone. */
	for (int i = 0; i < 2; i++) {
		uint64_t all = model_kv_bytes_per_token(m, types[i]);
		uint64_t full =
			(model_kv_bytes(m, types[i], 2 * window) - model_kv_bytes(m, types[i], window)) / window;
		if (m->mla_rank && i == 1)
			break;
		p->kv_all += m->mla_rank ? all : all / 2;
		p->kv_full += m->mla_rank ? full : full / 2;
	}
}

/* The name of the file's quantization, where that alone says what it is made of; NULL: the file is there, or nothing is known. */
static const char *mix_of(const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;
	const char *name = s->quant                                ? s->quant
			   : m->weight_exact                       ? NULL
			   : *m->quant && strcmp(m->quant, "none") ? m->quant
								   : m->dtype;

	name = name && !strcmp(name, "bfloat16") ? "bf16" : name && !strcmp(name, "float16") ? "f16" : name;
	return name && gguf_mix_known(name) ? name : NULL;
}

static void take_apart(struct pieces *p, const struct plan_service *s)
{
	const struct model_facts *m = s->model->facts;
	uint64_t all = model_weight_bytes(m, s->quant), tower = m->weight_exact ? 0 : model_tower_params(m);
	const char *mix = mix_of(s);

	*p = (struct pieces){.layers = MAX(m->layers, 1u), .dense = m->experts ? m->dense_layers : m->layers};
	p->mix = mix;
	p->model = m;
	p->loose = mix && gguf_mix_loose(mix);
	if (mix)
		all = gguf_mix_bytes(m, mix);
	p->output = MIN(mix ? gguf_mix_output(m, mix) : model_output_bytes(m, s->quant), all / 2);
	p->embedding = p->output;
	if (!m->tied_embeddings)
		p->embedding = mix ? gguf_mix_embedding(m, mix) : m->weight_bytes_input;
	uint64_t ends = m->tied_embeddings ? p->output : p->output + p->embedding;
	set_parts(p, m, (double)(all - MIN(ends, all)));
	set_kv(p, s);
	p->projector_known = tower > 0;
	p->projector = tower * 2;
}

/* By the bits of enum plan_llama_part. */
static void parts_of(double ret[8], const struct pieces *p, uint64_t layer)
{
	bool dense = layer < p->dense;
	struct gguf_layer g;

	for (int i = 0; i < 8; i++)
		ret[i] = i == 0 || (i <= 3 ? dense : !dense) ? p->part[i] : 0;
	if (!p->mix)
		return;
	gguf_mix_layer(&g, p->model, p->mix, (uint32_t)layer);
	memset(ret, 0, 8 * sizeof *ret);
	ret[0] = g.attention;
	ret[g.experts ? 4 : 1] = g.up;
	ret[g.experts ? 5 : 2] = g.gate;
	ret[g.experts ? 6 : 3] = g.down;
	ret[7] = g.shared;
}

/* Bytes of a layer that lie on the card, and in *ret_host those that stay in RAM. */
static double layer_bytes(const struct pieces *p, const struct plan_llama *l, uint64_t layer, double *ret_host)
{
	double part[8], card = 0;

	parts_of(part, p, layer);
	for (int i = 0; i < 8; i++) {
		bool host = layer < LLAMA_LAYERS_MAX && l->host[layer] >> i & 1;
		if (host)
			*ret_host += part[i];
		else
			card += part[i];
	}
	return card;
}

static uint64_t round_up(uint64_t n)
{
	return (n + ROUND - 1) / ROUND * ROUND;
}

/* KV of all layers. */
static uint64_t kv_bytes(const struct pieces *p, const struct plan_service *s, uint64_t context)
{
	const struct plan_llama *l = &s->llama;
	uint64_t cells = round_up(context), slots = MAX(l->slots, 1u), window = s->model->facts->sliding_window;
	uint64_t kept = cells;

	if (window && !l->windows_whole && l->build >= LLAMA_BUILD_WINDOWS)
		kept = MIN(cells, round_up(window * slots + s->ubatch));
	return p->kv_full * cells + (p->kv_all - p->kv_full) * kept;
}

/* The largest matrix that a card borrows from RAM for a step: the output's, or an expert's of a whole layer. */
static uint64_t borrowed(const struct pieces *p, bool output_on_host, double layers_on_host, bool experts_on_host)
{
	double most = output_on_host ? (double)p->output : 0;

	if (experts_on_host)
		most = MAX(most, p->part[5]);
	if (layers_on_host > 0)
		most = MAX(most, MAX(p->part[1], p->part[0] / 2));
	return (uint64_t)most;
}

/* What a step computes in: a layer's results and the mask; or the logits, of one row a slot, or of each token in older releases. */
static uint64_t step_bytes(
	const struct pieces *p, const struct plan_service *s, uint64_t context, bool output, uint64_t *less)
{
	const struct model_facts *m = s->model->facts;
	const struct plan_llama *l = &s->llama;
	uint64_t cells = round_up(context), tokens = MAX(MIN(s->ubatch, MAX(context, 1u)), 1u);
	uint64_t bytes = llama_compute_bytes(m, tokens, cells) + tokens * m->hidden * 4;
	uint64_t logits = tokens * m->vocab * 4 + tokens * m->hidden * 4;

	(void)p;
	if (!l->flash) /* what each head gives for each cell, and little beside it */
		bytes = MAX(bytes, (uint64_t)m->heads * cells * tokens * 4 + 6 * tokens * m->hidden * 4);
	if (output && l->build < LLAMA_BUILD_OUTPUTS && logits > bytes) {
		*less += logits - bytes;
		bytes = logits;
	}
	return bytes;
}

static uint64_t runtime_of(const struct gpu_device *card)
{
	return plan_llama_runtime(card);
}

/* The card of a place in the row: the first whose part reaches beyond it. */
static uint32_t card_at(const double *until, uint32_t len, double place)
{
	uint32_t i = 0;

	while (i + 1 < len && place >= until[i])
		i++;
	return i;
}

static void shares_of(double *until, const struct plan_service *s, const struct gpu_device *const *cards, uint32_t len)
{
	const struct plan_llama *l = &s->llama;
	double sum = 0, said = 0;

	for (uint32_t i = 0; i < len && i < l->shares_len; i++)
		said += (double)l->shares[i];
	for (uint32_t i = 0; i < len; i++) {
		uint64_t free = cards[i]->memory_free;
		sum += said > 0 ? (i < l->shares_len ? (double)l->shares[i] : 0)
				: (double)(free - MIN(runtime_of(cards[i]) / 2, free));
		until[i] = sum;
	}
	for (uint32_t i = 0; i < len; i++)
		until[i] = sum > 0 ? until[i] / sum : (double)(i + 1) / len;
}

/* One layer after the other, from the first on a card to the output. */
static void by_layers(
	struct plan_llama_layout *r, const struct pieces *p, const struct plan_service *s, const double *until)
{
	const struct plan_llama *l = &s->llama;
	uint64_t units = p->layers + 1, on = MIN((uint64_t)l->layers, units), first = units - on;
	uint64_t kv = kv_bytes(p, s, r->context);
	double host = 0, card[LLAMA_CARDS_MAX] = {0};

	for (uint64_t i = 0; i < p->layers; i++) {
		double left = 0, bytes = layer_bytes(p, l, i, &left);
		host += left;
		if (i < first) {
			host += bytes;
			r->host_kv += kv / p->layers;
			continue;
		}
		uint32_t c = card_at(until, r->len, (double)(i - first) / (double)on);
		card[c] += bytes;
		r->cards[c].layers++;
		r->layers++;
		if (l->kv_on_host)
			r->host_kv += kv / p->layers;
		else
			r->cards[c].kv += kv / p->layers;
	}
	uint32_t last = card_at(until, r->len, (double)(p->layers - first) / (double)MAX(on, 1u));
	if (on) {
		card[last] += (double)p->output;
		r->cards[last].output = true;
	} else {
		host += (double)p->output;
	}
	for (uint32_t c = 0; c < r->len; c++)
		r->cards[c].weights = (uint64_t)card[c];
	r->host_weights = (uint64_t)host;
}

/* Every matrix over all cards: by rows with one card that keeps the rest, or with its heads. */
static void by_matrices(
	struct plan_llama_layout *r, const struct pieces *p, const struct plan_service *s, const double *until)
{
	bool rows = s->llama.mode == PLAN_LLAMA_ROWS;
	uint64_t kv = 0, weights = 0;
	struct plan_llama_layout whole = {.len = 1, .context = r->context};
	static const double all[1] = {1};

	by_layers(&whole, p, s, all);
	kv = whole.cards[0].kv;
	weights = whole.cards[0].weights;
	r->host_weights = whole.host_weights;
	r->host_kv = whole.host_kv;
	r->layers = whole.layers;
	for (uint32_t c = 0; c < r->len; c++) {
		double part = until[c] - (c ? until[c - 1] : 0);
		bool main = c == MIN(s->llama.main, r->len - 1);
		r->cards[c].weights = (uint64_t)((double)weights * part);
		r->cards[c].kv = rows ? (main ? kv : 0) : (uint64_t)((double)kv * part);
		r->cards[c].layers = whole.layers;
		r->cards[c].output = rows ? main : true;
	}
}

/* Then free memory divides the row evenly, whatever a little of it a desktop holds. */
static bool alike(const struct gpu_device *const *cards, uint32_t len)
{
	for (uint32_t i = 1; i < len; i++)
		if (cards[i]->memory_free != cards[0]->memory_free)
			return false;
	return true;
}

/* Buffers, states and what stands beside the model, of each card that has layers. */
static void add_rest(struct plan_llama_layout *r, const struct pieces *p, const struct plan_service *s,
	const struct gpu_device *const *cards)
{
	const struct model_facts *m = s->model->facts;
	const struct plan_llama *l = &s->llama;
	bool full = l->layers > p->layers, output = l->layers > 0;
	bool pipeline = r->len > 1 && full && l->mode == PLAN_LLAMA_LAYERS && !l->kv_on_host && !l->experts_on_host &&
			!l->by_hand;
	uint64_t tokens = MAX(MIN(s->ubatch, MAX(r->context, 1u)), 1u), cells = round_up(r->context);
	uint64_t lent =
		borrowed(p, !output, (double)(p->layers - MIN((uint64_t)r->layers, p->layers)), l->experts_on_host);
	uint64_t layers = MAX(r->layers, 1u);

	for (uint32_t c = 0; c < r->len; c++) {
		struct plan_llama_share *k = &r->cards[c];
		if (!k->layers && !k->output)
			continue;
		k->runtime = runtime_of(cards[c]);
		k->states = m->state_bytes * MAX(l->slots, 1u) * MIN(k->layers, layers) / layers;
		k->activations = step_bytes(p, s, r->context, k->output || !output, &k->less) + lent;
		if (pipeline) {
			uint64_t copies = COPIES * (2 * cells * tokens + 4 * m->hidden * tokens);
			k->activations += copies;
			k->less += copies; /* it does without where it has no room */
		}
		uint64_t mixed = k->weights / (p->loose ? SLACK_LOOSE : p->mix ? SLACK_NAMED : SLACK_FILE);
		k->more = SLACK_MIB * MIB + mixed + k->activations / 4 + lent;
		k->less += SLACK_MIB * MIB + mixed + k->activations / 4 + k->runtime / 2 + lent + k->kv / 32;
		if (m->mla_rank && l->build < LLAMA_BUILD_MLA)
			k->more += k->kv * 20; /* all heads, uncompressed */
		/* A layer more or less, where the row's places follow from memory that is free, or the release counts the output's. */
		if ((!full && l->build < LLAMA_BUILD_ALL_LAYERS) ||
			(r->len > 1 && !l->shares_len && !alike(cards, r->len)) || !p->mix) {
			uint64_t one = (k->weights + k->kv) / MAX(k->layers, 1u);
			k->more += full && r->len == 1 ? 0 : one;
			k->less += full && r->len == 1 ? 0 : one;
		}
	}
}

/* A draft model, an image projector, adapters: on the cards with the model, of sizes that are known or not. */
static void add_others(struct plan_llama_layout *r, const struct pieces *p, const struct plan_service *s)
{
	const struct plan_llama *l = &s->llama;
	const struct plan_llama_draft *d = &l->draft;
	uint64_t context = d->context ? d->context : r->context;
	uint64_t draft = d->weights + d->compute + d->kv_token * context, images = 0, unsure = 0;

	if (d->given && !d->known)
		unsure = model_weight_bytes(s->model->facts, s->quant) / DRAFT_SHARE;
	if (l->adapters)
		unsure += ADAPTERS_MIB * MIB;
	if (l->projector && p->projector_known)
		images = p->projector + PROJECTOR_BUFFERS_MIB * MIB;
	else if (l->projector)
		unsure += PROJECTOR_MIB * MIB;
	for (uint32_t c = 0; c < r->len; c++) {
		struct plan_llama_share *k = &r->cards[c];
		if (!k->layers && !k->output)
			continue;
		/* The projector is on the first card, a draft model divided as the model is. */
		uint64_t mine = (r->len > 1 ? draft / r->len : draft) + (c == 0 ? images : 0);
		k->weights += mine;
		k->less += mine / 4;
		k->more += unsure + (r->len > 1 ? draft - draft / r->len : mine / 8);
	}
}

static void divide_once(struct plan_llama_layout *r, const struct pieces *p, const struct plan_service *s,
	const struct gpu_device *const *cards, uint32_t len, uint64_t context)
{
	double until[LLAMA_CARDS_MAX];

	*r = (struct plan_llama_layout){.len = len, .context = context, .host_embedding = p->embedding};
	shares_of(until, s, cards, len);
	if (s->llama.mode == PLAN_LLAMA_ROWS || s->llama.mode == PLAN_LLAMA_TENSORS)
		by_matrices(r, p, s, until);
	else
		by_layers(r, p, s, until);
	add_rest(r, p, s, cards);
	add_others(r, p, s);
}

/* ---- what --fit does ---- */

static uint64_t target_of(const struct plan_service *s, const struct gpu_device *card)
{
	uint64_t margin = s->llama.margin;

	return card->memory_free - MIN(margin, card->memory_free);
}

/* Does each card keep its margin? The context of CUDA is gone already when it looks. */
static bool all_keep(
	const struct plan_llama_layout *r, const struct plan_service *s, const struct gpu_device *const *cards)
{
	for (uint32_t c = 0; c < r->len; c++)
		if (plan_llama_sum(&r->cards[c]) > target_of(s, cards[c]))
			return false;
	return true;
}

static bool sums_keep(
	const struct plan_llama_layout *r, const struct plan_service *s, const struct gpu_device *const *cards)
{
	uint64_t needed = 0, there = 0;

	for (uint32_t c = 0; c < r->len; c++) {
		needed += plan_llama_sum(&r->cards[c]) - r->cards[c].runtime;
		there += target_of(s, cards[c]) - MIN(runtime_of(cards[c]), target_of(s, cards[c]));
	}
	return needed <= there;
}

/* The longest context that fits the cards together, down to the least. */
static void shorten(struct plan_llama_layout *r, const struct pieces *p, const struct plan_service *s,
	const struct gpu_device *const *cards, uint64_t most)
{
	uint64_t low = MIN((uint64_t)CONTEXT_LEAST, most) / CONTEXT_STEP, high = most / CONTEXT_STEP;

	if (sums_keep(r, s, cards))
		return; /* it is a card that has too much, and not all of them */
	while (low < high) {
		uint64_t mid = (low + high + 1) / 2;
		divide_once(r, p, s, cards, r->len, mid * CONTEXT_STEP);
		if (sums_keep(r, s, cards))
			low = mid;
		else
			high = mid - 1;
	}
	divide_once(r, p, s, cards, r->len, MAX(low * CONTEXT_STEP, MIN(most, (uint64_t)ROUND)));
	r->context_less = r->context < most;
}

/* Cards are filled up to their margin; what remains of the weights goes to RAM, with its layers' KV where whole layers do. */
static void move_out(struct plan_llama_layout *r, const struct pieces *p, const struct plan_service *s,
	const struct gpu_device *const *cards)
{
	uint64_t model = 0, kv = 0, room = 0, experts = 0;

	for (uint64_t i = 0; i < p->layers; i++)
		experts += i >= p->dense ? (uint64_t)(p->part[4] + p->part[5] + p->part[6]) : 0;
	for (uint32_t c = 0; c < r->len; c++) {
		struct plan_llama_share *k = &r->cards[c];
		uint64_t fixed = k->activations + k->runtime + k->states, target = target_of(s, cards[c]);
		model += k->weights;
		kv += k->kv;
		room += target - MIN(target, fixed);
	}
	uint64_t over = model + kv > room ? model + kv - room : 0, moved = over;
	/* Experts go alone; then layers, with their part of the KV cache. */
	uint64_t whole = over > experts && experts ? over - experts : experts ? 0 : over;
	double per = model + kv ? (double)kv / (double)(model + kv) : 0;
	uint64_t kv_moved = (uint64_t)((double)whole * per);
	uint64_t weights_moved = MIN(moved - kv_moved, model);
	uint64_t layers_moved =
		model ? MIN(p->layers, whole * p->layers / MAX(model + kv - MIN(experts, model), 1u) + (whole > 0)) : 0;

	for (uint32_t c = 0; c < r->len; c++) {
		struct plan_llama_share *k = &r->cards[c];
		uint64_t fixed = k->activations + k->runtime + k->states, target = target_of(s, cards[c]);
		uint64_t mine = target - MIN(target, fixed);
		double part = room ? (double)mine / (double)room : 0;
		k->weights = (uint64_t)((double)(model - weights_moved) * part);
		k->kv = (uint64_t)((double)(kv - MIN(kv_moved, kv)) * part);
		k->less += k->weights + k->kv; /* it takes what there is */
		k->more = 0;
	}
	r->host_weights += weights_moved;
	r->host_kv += kv_moved;
	r->layers -= (uint32_t)MIN(layers_moved, (uint64_t)r->layers);
	r->moved = over > 0;
}

void plan_llama_divide(struct plan_llama_layout *ret, const struct plan_service *s,
	const struct gpu_device *const *cards, uint32_t len, uint64_t context)
{
	const struct plan_llama *l = &s->llama;
	uint64_t asked = context ? context : MAX(s->context, 1u);
	struct pieces p;

	len = MIN(len, (uint32_t)LLAMA_CARDS_MAX);
	take_apart(&p, s);
	divide_once(ret, &p, s, cards, len, asked);
	if (!l->fit || !len || all_keep(ret, s, cards))
		return;
	if (l->context_open && !s->set[PLAN_CONTEXT] && !context)
		shorten(ret, &p, s, cards, asked);
	bool less = ret->context_less;
	if (l->fits_layers && !all_keep(ret, s, cards))
		move_out(ret, &p, s, cards);
	ret->context_less = less;
}

static double fullness(const struct plan_llama_share *k, const struct gpu_device *card)
{
	return (double)plan_llama_sum(k) / (double)MAX(card->memory_free, 1u);
}

void plan_llama_terms(struct plan_terms *t, const struct plan_service *s, const struct gpu_device *const *cards,
	uint32_t len, const struct gpu_device *of)
{
	struct plan_llama_layout r;
	uint32_t worst = UINT32_MAX;

	plan_llama_divide(&r, s, cards, len, 0);
	for (uint32_t c = 0; c < r.len; c++)
		if ((cards[c] == of || !of) && (worst == UINT32_MAX || fullness(&r.cards[c], cards[c]) >
									       fullness(&r.cards[worst], cards[worst])))
			worst = c;
	if (worst == UINT32_MAX)
		return;
	const struct plan_llama_share *k = &r.cards[worst];
	t->weights = k->weights;
	t->runtime = k->runtime;
	t->activations = k->activations;
	t->states = k->states;
	t->more = k->more;
	t->less = k->less;
	t->context = r.context;
	t->kv_least = k->kv;
	t->kv_room = (int64_t)t->budget - (int64_t)plan_terms_fixed(t);
}
