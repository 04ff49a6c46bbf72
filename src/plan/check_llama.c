/* check_llama.c - a llama-server (or Ollama) on cards: does each card hold its part, what stays in RAM, which card is left out. How the
 * model is divided is llama_split.h's; a sum is known to within some bytes only, and what lies between is not judged. */
#include "model/gguf_mix.h"
#include "plan/check.h"
#include "plan/llama_split.h"

#include <stdio.h>
#include <string.h>

enum { HOST_SMALL_GIB = 4 }; /* so much RAM has every machine that a card is in */

struct look {
	struct plan *p;
	const struct plan_service *s;
	const struct gpu_device *cards[LLAMA_CARDS_MAX];
	uint32_t devices[LLAMA_CARDS_MAX], len;
	struct plan_llama_layout l;
};

/* The cards of the service's first worker that has a place. False: none has. */
static bool look_at(struct look *k, struct plan *p, uint32_t service)
{
	const struct plan_placement *pl = &p->placement;

	*k = (struct look){.p = p, .s = &p->deployment.services[service]};
	for (uint32_t i = 0; i < pl->slots_len && !k->len; i++) {
		const struct plan_slot *slot = &pl->slots[i];
		for (uint32_t c = 0; slot->service == service && c < slot->count && k->len < LLAMA_CARDS_MAX; c++) {
			k->devices[k->len] = pl->cards[slot->first + c];
			k->cards[k->len] = &p->input.inventory->devices[k->devices[k->len]];
			k->len++;
		}
	}
	if (k->len && k->s->model->facts)
		plan_llama_divide(&k->l, k->s, k->cards, k->len, 0);
	return k->len > 0;
}

enum judged { HOLDS, OPEN, SHORT };

static enum judged judge(const struct plan_llama_share *c, const struct gpu_device *card)
{
	uint64_t sum = plan_llama_sum(c), free = card->memory_free;

	if (!c->layers && !c->output)
		return HOLDS;
	return sum > free && sum - MIN(c->less, sum) > free ? SHORT : sum + c->more > free ? OPEN : HOLDS;
}

/* The worst of them; *ret_card is one that is so. */
static enum judged judge_all(
	const struct plan_llama_layout *l, const struct gpu_device *const *cards, uint32_t *ret_card)
{
	enum judged worst = HOLDS;

	*ret_card = 0;
	for (uint32_t c = 0; c < l->len; c++) {
		enum judged j = judge(&l->cards[c], cards[c]);
		if (j > worst) {
			worst = j;
			*ret_card = c;
		}
	}
	return worst;
}

static enum judged judge_changed(const struct look *k, const struct plan_service *s)
{
	struct plan_llama_layout l;
	uint32_t at;

	plan_llama_divide(&l, s, k->cards, k->len, 0);
	return judge_all(&l, k->cards, &at);
}

/* ---- words ---- */

static void card_lines(const struct look *k)
{
	struct findings *f = &k->p->findings;

	for (uint32_t c = 0; c < k->l.len; c++) {
		const struct plan_llama_share *x = &k->l.cards[c];
		char layers[48];
		snprintf(layers, sizeof layers, "%u layer%s%s", x->layers, plan_s(x->layers),
			x->output ? " and the output" : "");
		findings_arithmetic(f, "%s, %s: %s: %s weights + %s KV + %s buffers + %s CUDA = %s of %s",
			PLAN_DEVICE(k->p, k->devices[c]), plan_card_name(k->cards[c]), layers, PLAN_BYTES(x->weights),
			PLAN_BYTES(x->kv), PLAN_BYTES(x->activations + x->states), PLAN_BYTES(x->runtime),
			PLAN_BYTES(plan_llama_sum(x)), PLAN_BYTES(k->cards[c]->memory_free));
	}
	if (k->l.host_weights || k->l.host_kv)
		findings_arithmetic(f, "RAM: %s of weights%s%s", PLAN_BYTES(k->l.host_weights + k->l.host_embedding),
			k->l.host_kv ? ", KV " : "", k->l.host_kv ? PLAN_BYTES(k->l.host_kv) : "");
}

/* What makes the sum unsure, for a sentence. */
static const char *unsure_of(const struct plan_service *s)
{
	const struct plan_llama *l = &s->llama;

	if (l->remote)
		return "--rpc takes memory of other machines";
	if (l->by_hand)
		return "where -ot puts tensors is not read whole";
	if (l->draft.given && !l->draft.known)
		return "the size of the draft model is not known";
	if (l->projector)
		return "with an image projector";
	if (l->adapters)
		return "the size of the adapters is not known";
	const char *quant = s->quant ? s->quant : s->model->facts->quant;
	if (*quant && gguf_mix_known(quant) && gguf_mix_loose(quant))
		return "makers of such files mix types by rules of their own";
	return "buffers, and what else holds memory, differ by so much";
}

/* ---- remedies: the flags themselves ---- */

static void name_context(const struct look *k)
{
	struct plan_service s = *k->s;
	uint64_t low = 0, high = s.context / 1024;

	s.set[PLAN_CONTEXT] = true;
	while (low < high) {
		uint64_t mid = (low + high + 1) / 2;
		s.context = mid * 1024;
		if (judge_changed(k, &s) == HOLDS)
			low = mid;
		else
			high = mid - 1;
	}
	if (low && low < k->s->context / 1024)
		findings_remedy(&k->p->findings, "%s %llu is the longest context that is sure to fit",
			k->s->llama.ollama ? "num_ctx" : "-c", (unsigned long long)low * 1024);
}

static void name_experts(const struct look *k)
{
	const struct model_facts *m = k->s->model->facts;
	struct plan_service s = *k->s;
	uint32_t layers = MIN(m->layers, (uint32_t)LLAMA_LAYERS_MAX);

	if (!m->experts || s.llama.ollama)
		return;
	for (uint32_t n = m->dense_layers + 1; n <= layers; n++) {
		for (uint32_t i = 0; i < n; i++)
			s.llama.host[i] |= LLAMA_EXPERTS;
		s.llama.experts_on_host = true;
		if (judge_changed(k, &s) != HOLDS)
			continue;
		findings_remedy(&k->p->findings, "--n-cpu-moe %u: the experts of so many layers stay in RAM", n);
		return;
	}
}

static void name_layers(const struct look *k)
{
	struct plan_service s = *k->s;
	uint32_t most = MIN(s.llama.layers, s.model->facts->layers + 1);

	for (uint32_t n = most; n-- > 1;) {
		s.llama.layers = n;
		if (judge_changed(k, &s) != HOLDS)
			continue;
		findings_remedy(&k->p->findings,
			"%s %u: so many of %u layers are on the GPU%s, and the others in RAM, which is slower",
			s.llama.ollama ? "num_gpu" : "-ngl", n, s.model->facts->layers + 1, plan_s(k->len));
		break;
	}
	if (s.llama.fit && !s.llama.fits_layers && !s.llama.ollama)
		findings_remedy(&k->p->findings,
			"or leave -ngl (and -ts, -ot) out: this release then fits the layers to the memory by itself");
}

static void name_weights(const struct look *k)
{
	static const char *const types[] = {"q8_0", "q6_k", "q5_k_m", "q4_k_m"};
	uint64_t now = model_weight_bytes(k->s->model->facts, k->s->quant);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct plan_service s = *k->s;
		struct model_facts facts = *s.model->facts;
		struct plan_model model = {.facts = &facts, .why = ""};
		facts.weight_exact = false;
		s.model = &model;
		s.quant = types[i];
		if (model_weight_bytes(&facts, types[i]) >= now || judge_changed(k, &s) != HOLDS)
			continue;
		findings_remedy(&k->p->findings, "or a file of %s", types[i]);
		return;
	}
}

static void remedies(const struct look *k)
{
	if (k->p->input.trial)
		return;
	name_context(k);
	name_experts(k);
	name_layers(k);
	name_weights(k);
}

/* ---- findings ---- */

static void check_short(struct look *k, uint32_t c)
{
	const struct plan_service *s = k->s;
	const struct plan_llama_share *x = &k->l.cards[c];
	bool weights = plan_llama_sum(x) - x->kv - MIN(x->less, plan_llama_sum(x) - x->kv) > k->cards[c]->memory_free;

	if (s->llama.remote || s->llama.by_hand) {
		findings_add(&k->p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-open", &s->pos[PLAN_GPUS],
			"%s: %s (%s) would get %s and has %s, but %s", s->name, PLAN_DEVICE(k->p, k->devices[c]),
			plan_card_name(k->cards[c]), PLAN_BYTES(plan_llama_sum(x)),
			PLAN_BYTES(k->cards[c]->memory_free), unsure_of(s));
		findings_unchecked(&k->p->findings);
		card_lines(k);
		return;
	}
	findings_add(&k->p->findings, FINDING_FATAL, FINDING_CAPACITY, weights ? "memory-weights" : "memory-context",
		weights ? &s->pos[PLAN_GPUS] : &s->pos[PLAN_CONTEXT], "%s: %s (%s) has %s, and its part takes %s%s",
		s->name, PLAN_DEVICE(k->p, k->devices[c]), plan_card_name(k->cards[c]),
		PLAN_BYTES(k->cards[c]->memory_free), PLAN_BYTES(plan_llama_sum(x)),
		weights ? "" : " with the KV cache");
	card_lines(k);
	remedies(k);
}

static void check_open(struct look *k, uint32_t c)
{
	const struct plan_service *s = k->s;
	const struct plan_llama_share *x = &k->l.cards[c];

	uint64_t sum = plan_llama_sum(x), free = k->cards[c]->memory_free;
	if (sum > free)
		findings_add(&k->p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-close", &s->pos[PLAN_GPUS],
			"%s: too near to say: its part takes %s of %s (%s), which has %s, and may take %s less: %s",
			s->name, PLAN_BYTES(sum), PLAN_DEVICE(k->p, k->devices[c]), plan_card_name(k->cards[c]),
			PLAN_BYTES(free), PLAN_BYTES(MIN(x->less, sum)), unsure_of(s));
	else
		findings_add(&k->p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-close", &s->pos[PLAN_GPUS],
			"%s: too near to say: its part takes %s of %s (%s), which has %s, and may take %s more: %s",
			s->name, PLAN_BYTES(sum), PLAN_DEVICE(k->p, k->devices[c]), plan_card_name(k->cards[c]),
			PLAN_BYTES(free), PLAN_BYTES(x->more), unsure_of(s));
	findings_unchecked(&k->p->findings);
	card_lines(k);
	remedies(k);
}

/* Weights and KV in RAM: how much, and whether there is so much. */
static void check_ram(struct look *k)
{
	const struct plan_service *s = k->s;
	const struct plan_llama_layout *l = &k->l;
	uint64_t there = k->p->input.inventory->host_facts.ram_total,
		 held = l->host_kv + (s->llama.held_in_ram ? l->host_weights : 0);
	uint64_t all = l->host_weights + l->host_kv;
	bool known = there > 0, enough = known ? all < there : all <= (uint64_t)HOST_SMALL_GIB << 30,
	     fatal = known && held > there;
	char what[96], experts[48] = "";

	if (!all)
		return;
	if (l->host_kv)
		snprintf(what, sizeof what, "%s of weights and %s of KV cache", PLAN_BYTES(l->host_weights),
			PLAN_BYTES(l->host_kv));
	else
		snprintf(what, sizeof what, "%s of weights", PLAN_BYTES(l->host_weights));
	if (s->llama.experts_on_host)
		snprintf(experts, sizeof experts, " (experts among them)");
	findings_add(&k->p->findings,
		fatal    ? FINDING_FATAL
		: enough ? FINDING_INFO
			 : FINDING_WARNING,
		FINDING_CAPACITY, fatal ? "ram" : "memory-host", &s->pos[PLAN_GPUS],
		"%s: %s%s stay in RAM%s, which is slower than a card%s%s", s->name, what, experts,
		l->moved ? " (it moves what does not fit, by itself)" : "",
		enough  ? ""
		: known ? "; the machine has "
			: "; how much RAM there is is not known here",
		enough || !known ? "" : PLAN_BYTES(there));
	if (!fatal && !enough)
		findings_unchecked(&k->p->findings);
	if (k->l.len)
		card_lines(k);
	if (fatal)
		findings_remedy(&k->p->findings,
			"without --no-mmap and --mlock weights are read from the file as needed; or a smaller file");
	else if (!known && !enough)
		findings_remedy(&k->p->findings, "--inventory of that machine (stator doctor --json) says its RAM");
}

static void check_context(struct look *k)
{
	const struct plan_service *s = k->s;
	const struct plan_llama *l = &s->llama;
	uint64_t context = k->l.len ? k->l.context : s->context;

	if (k->l.context_less) {
		findings_add(&k->p->findings, FINDING_INFO, FINDING_CAPACITY, "context-reduced", &s->pos[PLAN_CONTEXT],
			"%s: the model's %llu tokens of context do not fit, and -c is not said: it takes some %llu",
			s->name, (unsigned long long)s->context, (unsigned long long)context);
		findings_remedy(&k->p->findings, "-c sets it");
	}
	if (!l->slots_said || l->slots < 2 || l->unified)
		return;
	findings_add(&k->p->findings, FINDING_INFO, FINDING_CONFIGURATION, "context-divided", &s->pos[PLAN_SEQS],
		"%s: the context of %llu tokens is divided among %u slots: a request has %llu", s->name,
		(unsigned long long)context, l->slots, (unsigned long long)context / l->slots);
	findings_harmless(&k->p->findings);
}

/* All of it is in RAM, and nobody said how much there is. */
static void check_cpu_ram(struct plan *p, const struct plan_service *s)
{
	struct plan_host_need n;

	plan_host_need(&n, s);
	if (!n.known || p->input.inventory->host_facts.ram_total ||
		n.weights + n.kv + n.rest <= (uint64_t)HOST_SMALL_GIB << 30)
		return;
	findings_add(&p->findings, FINDING_WARNING, FINDING_CAPACITY, "memory-host", &s->pos[PLAN_GPUS],
		"%s: it computes on the CPU and takes %s of RAM; how much there is is not known here", s->name,
		PLAN_BYTES(n.weights + n.kv + n.rest));
	findings_unchecked(&p->findings);
	findings_remedy(&p->findings, "--inventory of that machine (stator doctor --json) says its RAM");
}

/* A card that the machine has, and nothing is computed on. */
static void check_unused(struct plan *p, const struct plan_service *s)
{
	const struct plan_llama *l = &s->llama;

	check_cpu_ram(p, s);
	if (!p->input.inventory->count) {
		if (l->layers_said && l->layers) {
			findings_add(&p->findings, FINDING_INFO, FINDING_CONFIGURATION, "gpu-layers",
				&s->pos[PLAN_GPUS],
				"%s: there is no GPU, and -ngl does nothing: it computes on the CPU", s->name);
			findings_harmless(&p->findings);
		}
		return;
	}
	if (l->layers) /* the environment hides the cards, or --device is none */
		return;
	findings_add(&p->findings, FINDING_WARNING, FINDING_CONFIGURATION, "gpu-layers", &s->pos[PLAN_GPUS],
		l->layers_said
			? "%s: no layer is on a GPU, by -ngl 0: it computes on the CPU, and the cards stay idle"
			: "%s: this release puts no layer on a GPU unless it is told to: it computes on the CPU, and the cards stay idle",
		s->name);
	findings_remedy(&p->findings, "-ngl 99 for all layers (of llama_cpp.server --n_gpu_layers -1)");
}

void plan_check_llama(struct plan *p, uint32_t service)
{
	struct look *k = calloc(1, sizeof *k);
	uint32_t at;

	if (!k) {
		p->findings.unchecked++;
		return;
	}
	if (!look_at(k, p, service)) {
		const struct plan_service *s = &p->deployment.services[service];
		if (!plan_on_gpu(s))
			check_unused(p, s);
		free(k);
		return;
	}
	if (k->s->model->facts) {
		enum judged j = judge_all(&k->l, k->cards, &at);
		if (j == SHORT)
			check_short(k, at);
		else if (j == OPEN)
			check_open(k, at);
		check_ram(k);
		check_context(k);
	}
	free(k);
}
