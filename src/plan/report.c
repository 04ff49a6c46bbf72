/* report.c - the report as text; see report.h. */
#include "plan/host_graph.h"
#include "plan/report.h"
#include "plan/check.h"

#include <stdio.h>
#include <string.h>

static bool is_quantized(const char *quant, const char *method)
{
	return quant && !strncmp(quant, method, strlen(method));
}

/* "4-bit weights (awq)", for people who know neither. */
static const char *weights_words(const char *quant, char *ret, size_t cap)
{
	if (is_quantized(quant, "awq") || is_quantized(quant, "gptq") || is_quantized(quant, "q4"))
		snprintf(ret, cap, "4-bit weights (%s)", quant);
	else if (is_quantized(quant, "fp8") || is_quantized(quant, "int8") || is_quantized(quant, "q8"))
		snprintf(ret, cap, "8-bit weights (%s)", quant);
	else
		snprintf(ret, cap, "%s weights", quant);
	return ret;
}

static const char *card_names(const struct plan *p, char *ret, size_t cap)
{
	const char *name = NULL;
	bool slice = false;

	for (uint32_t i = 0; i < p->input.inventory->count; i++) {
		slice |= p->placement.users[i] && p->input.inventory->devices[i].mig_slice;
		const char *here = plan_card_name(&p->input.inventory->devices[i]);
		if (p->placement.users[i] && name && strcmp(name, here))
			name = "GPU";
		else if (p->placement.users[i] && !name)
			name = here;
	}
	snprintf(ret, cap, "%s%s", name ? name : "GPU", slice ? " slice" : "");
	return ret;
}

const char *plan_option_title(const struct plan_report *r, const struct plan_option *o, char *ret, size_t cap)
{
	const struct plan_shape *s = &o->shape;
	const struct model_facts *m = o->plan.deployment.services[r->options->main].model->facts;
	char name[64], weights[64], roles[64];
	const char *type = s->quant                                ? NULL
			   : strcmp(s->dtype, "auto")              ? s->dtype
			   : *m->quant && strcmp(m->quant, "none") ? m->quant
								   : m->dtype;

	card_names(&o->plan, name, sizeof name);
	if (s->quant)
		weights_words(s->quant, weights, sizeof weights);
	else
		snprintf(weights, sizeof weights, "%s", type);
	if (s->prefill)
		snprintf(roles, sizeof roles, "%u prefill + %u decode", s->prefill, s->workers - s->prefill);
	else
		snprintf(roles, sizeof roles, "%s", s->workers == 1 ? "both roles" : "each both roles");
	if (s->threads) {
		snprintf(ret, cap, "%u llama worker%s of %u thread%s on the CPU, %s%s%s", s->workers,
			plan_s(s->workers), s->threads, plan_s(s->threads), weights,
			strcmp(s->kv, "q8_0") ? "" : ", KV in 8 bits", s->workers == 1 ? "" : ", each both roles");
		return ret;
	}
	if (s->tp > 1 && o->plan.deployment.services[r->options->main].engine == GRAPH_ENGINE_LLAMA)
		snprintf(ret, cap, "%u worker%s of %u %s (layers divided), %s, %s", s->workers, plan_s(s->workers),
			s->tp, name, weights, roles);
	else if (s->tp > 1)
		snprintf(ret, cap, "%u worker%s of %u %s (tensor-parallel %u), %s, %s", s->workers, plan_s(s->workers),
			s->tp, name, s->tp, weights, roles);
	else
		snprintf(ret, cap, "%u worker%s of 1 %s, %s, %s", s->workers, plan_s(s->workers), name, weights, roles);
	return ret;
}

/* What the user asked for and does not get. */
static void given_up(const struct plan_report *r, const struct plan_option *o, struct buf *out)
{
	const struct plan_deployment *a = &r->asked->deployment;
	const struct plan_service *main = &a->services[r->options->main],
				  *now = &o->plan.deployment.services[r->options->main];
	uint32_t asked = main->workers, prefill = 0;
	const char *between = "";

	if (r->options->prefill != UINT32_MAX)
		prefill = a->services[r->options->prefill].workers;
	asked += prefill;
	if (prefill && !o->shape.prefill) {
		buf_printf(out, "prefill on workers of its own: a long prompt delays the streams beside it");
		between = "; ";
	}
	if (o->shape.workers < asked) {
		buf_printf(out, "%s%u of %u worker%s", between, asked - o->shape.workers, asked, plan_s(asked));
		between = "; ";
	}
	if (now->context < r->options->context_asked) {
		buf_printf(out, "%srequests longer than %llu tokens (asked: %llu)", between,
			(unsigned long long)now->context, (unsigned long long)r->options->context_asked);
		between = "; ";
	}
	if (now->seqs < main->seqs) {
		buf_printf(out, "%smore than %llu streams a worker at once", between, (unsigned long long)now->seqs);
		between = "; ";
	}
	if (o->shape.quant) {
		buf_printf(out, "%ssome quality: the weights are rounded, and they are other files than \"%s\"",
			between, main->graph->model);
		between = "; ";
	}
	if (o->shape.threads && !strcmp(now->kv, "q8_0") && strcmp(main->kv, "q8_0")) {
		buf_printf(out, "%sa little accuracy: the KV cache is kept in 8 bits", between);
		between = "; ";
	}
	if (!strcmp(now->dtype, "float16") && strcmp(main->dtype, "float16") &&
		!strcmp(main->model->facts->dtype, "bfloat16")) {
		buf_printf(out, "%sbfloat16's range (float16 has more digits, less range)", between);
		between = "; ";
	}
	if (!*between)
		buf_add_str(out, "nothing");
}

static void paragraph(struct buf *out, const char *head, const char *text, uint32_t columns)
{
	buf_printf(out, "     %-11s", head);
	finding_wrap(out, text, 16, columns, false);
}

static void predicted_text(const struct plan_option *o, struct buf *out)
{
	if (!o->predicted.known) {
		buf_add_str(out, "not known for these cards");
		return;
	}
	buf_printf(out,
		"%.0f tokens/s over %llu streams; alone, a request's first token after %.0f ms; under full load "
		"%.0f ms from token to token",
		o->predicted.tokens_s, (unsigned long long)o->predicted.streams, o->predicted.ttft_ms,
		o->predicted.token_ms);
}

static void terms_text(const char *what, const struct roofline_terms *t, struct buf *out)
{
	char text[256];

	buf_printf(out, "%s%s: %s", out->len ? "\n" : "", what, roofline_text(t, text, sizeof text));
}

static void host_memory_text(const struct plan_report *r, const struct plan_option *o, struct buf *out)
{
	const struct plan_service *s = &o->plan.deployment.services[r->options->main];
	const struct host_facts *h = &o->plan.input.inventory->host_facts;
	struct plan_host_need n;

	plan_host_need(&n, s);
	buf_printf(out,
		"%s weights, mapped once + %u x (%s KV of %llu tokens + %s run time and buffers) = %s of %s RAM",
		PLAN_BYTES(n.weights), s->workers, PLAN_BYTES(n.kv), (unsigned long long)s->context, PLAN_BYTES(n.rest),
		PLAN_BYTES(n.weights + s->workers * (n.kv + n.rest)), PLAN_BYTES(h->ram_total));
	if (h->ram_available && h->ram_available < h->ram_total)
		buf_printf(out, ", of which %s are available", PLAN_BYTES(h->ram_available));
	buf_printf(out, "\nalone, a token reads %.2f GB from memory: %.1f of %.0f GB/s (%s)%s", o->pace.one.bytes / 1e9,
		r->options->bandwidth_gb_s / s->workers, r->options->bandwidth_gb_s,
		r->options->bandwidth_measured ? "measured"
					       : "guessed from the cores: stator doctor --json measures it",
		s->workers > 1 ? ", all workers busy" : "");
}

static void memory_text(const struct plan_report *r, const struct plan_option *o, struct buf *out)
{
	if (o->shape.threads) {
		host_memory_text(r, o, out);
		return;
	}
	const struct plan *p = &o->plan;
	const struct plan_placement *pl = &p->placement;

	for (uint32_t i = 0; i < pl->slots_len; i++) {
		if (pl->slots[i].service != r->options->main || !pl->slots[i].count)
			continue;
		const struct plan_terms *t =
			plan_terms_of(pl, pl->slots[i].service, pl->class_of[pl->cards[pl->slots[i].first]]);
		buf_printf(out,
			"on each card %s weights + %s run time and activations + %s KV cache = %s of %s; KV for %llu "
			"tokens a worker",
			PLAN_BYTES(t->weights), PLAN_BYTES(plan_terms_fixed(t) - t->weights),
			PLAN_BYTES((uint64_t)MAX(t->kv_room, 0)), PLAN_BYTES(t->budget), PLAN_BYTES(t->total),
			(unsigned long long)t->kv_tokens);
		return;
	}
}

static void changes_text(const struct plan_report *r, const struct plan_option *o, struct buf *out)
{
	if (plan_option_converts(r->asked, r->options, o)) {
		buf_printf(out,
			"a graph of its own: LlamaWorker, a GGUF file of %s weights (--allow-quantization %s=FILE.gguf "
			"names "
			"it), context-length: %llu, workers: %u",
			o->shape.quant, o->shape.quant, (unsigned long long)o->shape.context, o->shape.workers);
		return;
	}
	struct plan_edits *e = calloc(1, sizeof *e);
	const char *service = NULL;

	if (!e)
		return;
	plan_edits(e, &r->asked->deployment, &o->plan.deployment, o->shape.quant_model);
	for (uint32_t i = 0; i < e->len; i++) {
		const struct plan_edit *x = &e->items[i];
		if (!service || strcmp(service, x->service))
			buf_printf(out, "%s%s: ", service ? "\n" : "", x->service);
		else
			buf_add_str(out, ", ");
		service = x->service;
		const char *key = strrchr(x->key, '.') ? strrchr(x->key, '.') + 1 : x->key;
		if (*x->before)
			buf_printf(out, "%s %s -> %s", key, x->before, x->after);
		else
			buf_printf(out, "%s: %s", key, x->after);
	}
	if (!e->len && !o->shape.quant)
		buf_add_str(out, "none of these settings");
	if (o->shape.quant && !o->shape.quant_model)
		buf_printf(out, "\nmodel: one with %s weights (--allow-quantization %s=NAME names it)", o->shape.quant,
			o->shape.quant);
	free(e);
}

/* It is told once, unless all is wanted: of the best plan whose workers do both. */
static bool is_first_undivided(const struct plan_report *r, const struct plan_option *o)
{
	for (uint32_t i = 0; i < r->options->len; i++)
		if (r->options->items[i].divided.known && !r->options->items[i].shape.prefill)
			return &r->options->items[i] == o;
	return false;
}

/* Is it worth dividing the workers into those that prefill and those that decode? With the numbers that decide. */
static void divided_text(const struct plan_report *r, const struct plan_option *o, struct buf *out)
{
	const struct plan_load *load = &r->options->load;
	const struct plan_predicted *a = &o->predicted, *d = &o->divided;
	double decode_us = load->answer * o->pace.decode_us / (double)MAX(o->pace.streams, 1);
	double share = o->pace.prefill_us / (o->pace.prefill_us + decode_us) * 100;
	uint32_t n = o->shape.workers, p = o->divided_prefill;
	bool worth = d->tokens_s >= a->tokens_s;

	buf_printf(out,
		"%s: %u prefill + %u decode would do %.0f tokens/s against %.0f, with %.0f ms from token to token "
		"instead of "
		"%.0f and the first token after %.0f ms instead of %.0f",
		worth                              ? "worth it"
		: d->tokens_s >= 0.9 * a->tokens_s ? "for even streams only"
						   : "not worth it",
		p, n - p, d->tokens_s, a->tokens_s, d->token_ms, a->token_ms, d->ttft_ms, a->ttft_ms);
	buf_printf(out,
		"\na request is %.0f ms of prefill and %u x %.1f ms / %llu streams = %.0f ms of decode: prefill is "
		"%.0f %% of the "
		"work, and %u of %u workers are %.0f %% of them",
		o->pace.prefill_us / 1e3, load->answer, o->pace.decode_us / 1e3, (unsigned long long)o->pace.streams,
		decode_us / 1e3, share, p, n, 100.0 * p / n);
	if (r->options->prefill == UINT32_MAX)
		buf_add_str(out, "\nto divide: a PrefillWorker service of its own, kv-transfer-config for both, "
				 "remote-prefill: true here");
}

static void option_text(const struct plan_report *r, uint32_t i, uint32_t columns, struct buf *out)
{
	const struct plan_option *o = &r->options->items[i];
	char title[256];
	struct buf b;

	buf_init(&b, 64 * 1024);
	buf_printf(out, "\n  %s%u  %s%s\n", r->look.color ? "\033[1m" : "", i + 1,
		plan_option_title(r, o, title, sizeof title), r->look.color ? "\033[0m" : "");
	predicted_text(o, &b);
	paragraph(out, "predicted", buf_str(&b), columns);
	buf_reset(&b);
	if (r->explain && o->pace.known) {
		terms_text("a step of all a worker's streams", &o->pace.step, &b);
		terms_text("a prompt alone", &o->pace.prompt, &b);
		paragraph(out, "of which", buf_str(&b), columns);
		buf_reset(&b);
	}
	memory_text(r, o, &b);
	paragraph(out, "memory", buf_str(&b), columns);
	buf_reset(&b);
	if (o->divided.known && !o->shape.prefill && (r->explain || is_first_undivided(r, o))) {
		divided_text(r, o, &b);
		paragraph(out, "divided", buf_str(&b), columns);
		buf_reset(&b);
	}
	given_up(r, o, &b);
	paragraph(out, "given up", buf_str(&b), columns);
	buf_reset(&b);
	changes_text(r, o, &b);
	paragraph(out, "changes", buf_str(&b), columns);
	for (uint32_t k = 0; k < o->plan.findings.len; k++)
		if (o->plan.findings.items[k].unchecked &&
			!findings_has(&r->asked->findings, o->plan.findings.items[k].code))
			paragraph(out, "not known", o->plan.findings.items[k].what, columns);
	buf_done(&b);
	if (r->explain)
		plan_bars_text(&o->plan, r->look.color, columns, out);
}

static bool needs_weights(const struct plan_option *o, const char *method)
{
	const struct plan_shape *s = &o->shape;
	return s->quant && !s->quant_model && (!method || !strcmp(s->quant, method));
}

/* Plans of other weights can be written once it is said where these are. */
static void other_weights_text(const struct plan_options *o, uint32_t columns, struct buf *out)
{
	const char *comma = "";
	struct buf line;

	buf_init(&line, 4096);
	for (uint32_t i = 0; i < o->len; i++) {
		const char *method = o->items[i].shape.quant;
		bool told = false;
		for (uint32_t k = 0; k < i && method; k++)
			told |= needs_weights(&o->items[k], method);
		if (told || !needs_weights(&o->items[i], NULL))
			continue;
		buf_printf(&line, "%sfor", comma);
		for (uint32_t k = i; k < o->len; k++)
			if (needs_weights(&o->items[k], method))
				buf_printf(&line, "%s %u", k > i ? "," : "", k + 1);
		buf_printf(&line, " add --allow-quantization %s=MODEL", method);
		comma = "; ";
	}
	if (line.len) {
		buf_add_str(&line, " (where those weights are)");
		finding_wrap(out, buf_str(&line), 2, columns, true);
	}
	buf_done(&line);
}

static void options_text(const struct plan_report *r, uint32_t columns, struct buf *out)
{
	const struct plan_options *o = r->options;

	if (!o->len) {
		if (plan_verdict(r->asked) == PLAN_CANNOT && o->main != UINT32_MAX)
			buf_printf(out, "\nNo plan near it fits: %s.\n", o->why);
		return;
	}
	bool counted =
		plan_verdict(&o->items[0].plan) == PLAN_NOT_CHECKED; /* what the asked plan has that no plan counts */
	buf_printf(out, "\n%s\n",
		plan_fits(r->asked) ? "Other plans that fit, best first:"
		: counted           ? "Plans that fit as far as is counted here (not: see above), best first:"
				    : "Plans that fit, best first:");
	for (uint32_t i = 0; i < o->len; i++)
		option_text(r, i, columns, out);
	buf_add_byte(out, '\n');
	char text[256];
	snprintf(text, sizeof text,
		"Speeds are predictions from the %s for requests of %u + %u tokens, not measurements.",
		o->on_host ? "host's cores and memory" : "cards' data sheets", o->load.prompt, o->load.answer);
	finding_wrap(out, text, 0, columns, false);
	buf_printf(out, "To write plan N: %s --pick N --write FILE%s\n", r->command,
		r->command_tail ? r->command_tail : "");
	if (r->form)
		buf_add_str(out, "  as a graph of stator; in its own form with --write-as same\n");
	other_weights_text(o, columns, out);
}

static void headline(const struct plan_report *r, struct buf *out)
{
	char cards[256];

	buf_add_str(out, r->asked->deployment.graph->file);
	if (r->form)
		buf_printf(out, " (%s)", r->form);
	buf_printf(out, " on %s: ", plan_cards_text(r->asked, cards, sizeof cards));
	plan_verdict_text(r->asked, r->look.color, out);
	buf_add_str(out, "\n\n");
}

static void unplaced_text(const struct plan *p, struct buf *out)
{
	uint32_t without = p->placement.slots_len - p->placement.placed;

	if (without)
		buf_printf(out, "  %u worker%s of %u ha%s no GPU.\n", without, plan_s(without), p->placement.slots_len,
			without == 1 ? "s" : "ve");
}

void plan_report_text(const struct plan_report *r, struct buf *out)
{
	uint32_t columns = r->look.columns ? MAX(r->look.columns, 60u) : 100;

	headline(r, out);
	findings_print(&r->asked->findings, &r->look, out);
	if (r->explain || plan_verdict(r->asked) != PLAN_CANNOT) {
		if (r->asked->findings.len)
			buf_add_byte(out, '\n');
		plan_bars_text(r->asked, r->look.color, columns, out);
		unplaced_text(r->asked, out);
	}
	/* Where there are no cards to draw, the table is the picture. */
	if (r->explain || !r->asked->input.inventory->count)
		plan_memory_text(r->asked, out);
	if (r->explain) {
		if (r->options)
			plan_speed_text(r->asked, &r->options->load, out);
	}
	if (r->options && (!plan_fits(r->asked) || r->explain))
		options_text(r, columns, out);
}

/* The table. */

static void row(struct buf *out, const char *what, uint64_t bytes, const char *how)
{
	buf_printf(out, "    %-26s %10s  %s\n", what, PLAN_BYTES(bytes), how);
}

/* An empty line between what was said and what follows, once. */
static void gap(struct buf *out)
{
	if (out->len < 2 || memcmp(out->data + out->len - 2, "\n\n", 2))
		buf_add_byte(out, '\n');
}

static void rows(const struct plan *p, uint32_t service, uint32_t class, struct buf *out)
{
	const struct plan_service *s = &p->deployment.services[service];
	const struct plan_terms *t = plan_terms_of(&p->placement, service, class);
	const struct gpu_device *card = plan_card_of(p, class);
	char how[128];

	gap(out);
	buf_printf(out, "  %s, a worker, on each %s:\n", s->name, plan_card_name(card));
	row(out, "memory of the card", t->total, "");
	snprintf(how, sizeof how, "%.2f of it", plan_share_on(s, card));
	if (s->engine == GRAPH_ENGINE_SGLANG)
		snprintf(how, sizeof how, "%.3f of what is free before the weights, for them and KV",
			plan_share_on(s, card));
	row(out, "the engine may take", t->budget, s->engine == GRAPH_ENGINE_LLAMA ? "" : how);
	if (!t->known)
		return;
	const struct model_facts *m = s->model->facts;
	const char *type = plan_weights_on(s, card->capability);
	type = type ? type : *m->quant && strcmp(m->quant, "none") ? m->quant : m->dtype;
	snprintf(how, sizeof how, "%s, %s", type, m->weight_exact ? "from the files" : "from the shapes");
	row(out, "- weights", t->weights, plan_guess_text(t, PLAN_GUESS_WEIGHTS, how));
	row(out, "- CUDA, libraries", t->runtime, plan_guess_text(t, PLAN_GUESS_RUNTIME, ""));
	if (t->links)
		row(out, "- buffers between cards", t->links, plan_guess_text(t, PLAN_GUESS_LINKS, ""));
	snprintf(how, sizeof how, "%llu tokens a step, %llu sequences%s", (unsigned long long)plan_batch_on(s, card),
		(unsigned long long)plan_seqs_on(s, card), t->guessed & PLAN_GUESS_ACTIVATIONS ? "; a guess" : "");
	row(out, "- activations", t->activations, how);
	if (t->graphs)
		row(out, "- CUDA graphs", t->graphs, plan_guess_text(t, PLAN_GUESS_GRAPHS, ""));
	if (t->states)
		row(out, "- recurrent states", t->states, "of all its sequences");
	if (t->kv_room >= 0)
		row(out, "= KV cache", (uint64_t)t->kv_room, "");
	else
		buf_printf(out, "    %-26s %10s  too little by so much\n", "= KV cache",
			PLAN_BYTES((uint64_t)-t->kv_room));
	snprintf(how, sizeof how, "%llu tokens: %.1f of them at once", (unsigned long long)t->context,
		t->kv_least && t->kv_room > 0 ? (double)t->kv_room / (double)t->kv_least : 0.0);
	row(out, "  one request", t->kv_least, how);
	buf_printf(out, "    %-26s %10llu  tokens\n", "  longest that fits", (unsigned long long)t->context_fits);
}

static void host_rows(const struct plan_service *s, struct buf *out)
{
	struct plan_host_need n;

	plan_host_need(&n, s);
	if (!n.known)
		return;
	gap(out);
	buf_printf(out, "  %s, %u worker%s on the CPU:\n", s->name, s->workers, plan_s(s->workers));
	row(out, "weights", n.weights, "mapped once, shared by its workers");
	char how[64];
	snprintf(how, sizeof how, "each worker, %llu tokens", (unsigned long long)s->context);
	row(out, "KV cache", n.kv, how);
	if (n.states)
		row(out, "recurrent states", n.states, "each worker, of all its sequences");
	row(out, "run time, buffers", n.rest - n.states, "each worker");
	row(out, "together", n.weights + (n.kv + n.rest) * s->workers, "");
}

void plan_memory_text(const struct plan *p, struct buf *out)
{
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		if (!s->workers)
			continue;
		if (s->engine == GRAPH_ENGINE_LLAMA && !plan_on_gpu(s)) {
			host_rows(s, out);
			continue;
		}
		if (!plan_on_gpu(s))
			continue;
		uint32_t class = UINT32_MAX;
		for (uint32_t k = 0; k < p->placement.slots_len && class == UINT32_MAX; k++)
			if (p->placement.slots[k].service == i && p->placement.slots[k].count)
				class = p->placement.class_of[p->placement.cards[p->placement.slots[k].first]];
		if (class == UINT32_MAX)
			class = plan_class_for(&p->placement, i);
		if (class != UINT32_MAX)
			rows(p, i, class, out);
	}
}
