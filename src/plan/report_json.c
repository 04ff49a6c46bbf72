/* report_json.c - the report for programs; see report.h. The form is in docs/reference/plan-json.md. */
#include "base/json_out.h"
#include "plan/check.h"
#include "plan/report.h"

#include <string.h>

static void text_field(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	json_out_cstr(out, text ? text : "");
}

static void number_field(struct buf *out, const char *name, double n)
{
	buf_printf(out, ",\"%s\":", name);
	json_out_f64(out, n);
}

static void bytes_field(struct buf *out, const char *name, uint64_t n)
{
	buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)n);
}

static void guesses(struct buf *out, uint32_t guessed)
{
	static const char *const names[] = {
		"weights", "runtime", "links", "activations", "graphs"}; /* enum plan_guess */
	const char *between = "";

	buf_add_str(out, ",\"guesses\":[");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (guessed & (1u << i)) {
			buf_printf(out, "%s\"%s\"", between, names[i]);
			between = ",";
		}
	buf_add_byte(out, ']');
}

static void terms(struct buf *out, const struct plan_terms *t)
{
	buf_printf(out, ",\"memory\":{\"known\":%s", t->known ? "true" : "false");
	bytes_field(out, "card_bytes", t->total);
	bytes_field(out, "budget_bytes", t->budget);
	bytes_field(out, "weights_bytes", t->weights);
	bytes_field(out, "runtime_bytes", t->runtime);
	bytes_field(out, "links_bytes", t->links);
	bytes_field(out, "activations_bytes", t->activations);
	bytes_field(out, "graphs_bytes", t->graphs);
	bytes_field(out, "states_bytes", t->states);
	bytes_field(out, "kv_request_bytes", t->kv_least);
	buf_printf(out, ",\"kv_room_bytes\":%lld", (long long)t->kv_room);
	bytes_field(out, "kv_tokens", t->kv_tokens);
	guesses(out, t->guessed);
	bytes_field(out, "context_that_fits", t->context_fits);
	buf_add_byte(out, '}');
}

/* Each worker and its cards, by the numbers that nvidia-smi shows. */
static void placement(struct buf *out, const struct plan *p)
{
	const struct plan_placement *pl = &p->placement;

	buf_add_str(out, ",\"placement\":[");
	for (uint32_t i = 0; i < pl->slots_len; i++) {
		const struct plan_slot *s = &pl->slots[i];
		buf_add_str(out, i ? ",\n  {\"service\":" : "\n  {\"service\":");
		json_out_cstr(out, p->deployment.services[s->service].name);
		buf_printf(out, ",\"worker\":%u,\"devices\":[", s->worker);
		for (uint32_t k = 0; k < s->count; k++)
			buf_printf(
				out, "%s%u", k ? "," : "", p->input.inventory->devices[pl->cards[s->first + k]].index);
		buf_add_str(out, "],\"hosts\":[");
		for (uint32_t k = 0; k < s->count; k++)
			buf_printf(
				out, "%s%u", k ? "," : "", p->input.inventory->devices[pl->cards[s->first + k]].host);
		buf_printf(out, "],\"host\":%u", s->count ? p->input.inventory->devices[pl->cards[s->first]].host : 0);
		if (s->count)
			terms(out, plan_terms_of(pl, s->service, pl->class_of[pl->cards[s->first]]));
		buf_add_byte(out, '}');
	}
	buf_add_byte(out, ']');
}

/* Each worker service and the card it is judged on, also where it has no place. */
static void services(struct buf *out, const struct plan *p)
{
	const char *between = "";

	buf_add_str(out, ",\"services\":[");
	for (uint32_t i = 0; i < p->deployment.len; i++) {
		const struct plan_service *s = &p->deployment.services[i];
		uint32_t class = plan_on_gpu(s) ? plan_class_for(&p->placement, i) : UINT32_MAX;
		buf_printf(out, "%s\n  {\"name\":", between);
		json_out_cstr(out, s->name);
		text_field(out, "engine", graph_engine_name(s->engine));
		if (class != UINT32_MAX) {
			text_field(out, "card", plan_card_name(plan_card_of(p, class)));
			terms(out, plan_terms_of(&p->placement, i, class));
		}
		buf_add_byte(out, '}');
		between = ",";
	}
	buf_add_byte(out, ']');
}

static void devices(struct buf *out, const struct plan *p)
{
	const struct gpu_inventory *inv = p->input.inventory;

	buf_add_str(out, ",\"devices\":[");
	for (uint32_t i = 0; i < inv->count; i++) {
		const struct gpu_device *d = &inv->devices[i];
		buf_printf(out, "%s{\"index\":%u,\"host\":%u", i ? ",\n  " : "\n  ", d->index, d->host);
		text_field(out, "name", plan_card_name(d));
		text_field(out, "uuid", d->uuid);
		bytes_field(out, "memory_bytes", d->memory_total);
		bytes_field(out, "free_bytes", d->memory_free);
		buf_printf(out, ",\"capability\":\"%u.%u\",\"workers\":%u}", d->capability / 10, d->capability % 10,
			p->placement.users[i]);
	}
	buf_add_byte(out, ']');
}

static void changes(struct buf *out, const struct plan_report *r, const struct plan_option *o)
{
	struct plan_edits *e = calloc(1, sizeof *e);

	if (!e) {
		out->failed = true;
		return;
	}
	plan_edits(e, &r->asked->deployment, &o->plan.deployment, o->shape.quant_model);
	buf_add_str(out, ",\"changes\":[");
	for (uint32_t i = 0; i < e->len; i++) {
		buf_add_str(out, i ? ",{\"service\":" : "{\"service\":");
		json_out_cstr(out, e->items[i].service);
		text_field(out, "key", e->items[i].key);
		text_field(out, "before", e->items[i].before);
		text_field(out, "after", e->items[i].after);
		buf_add_byte(out, '}');
	}
	buf_add_byte(out, ']');
	free(e);
}

static void option(struct buf *out, const struct plan_report *r, const struct plan_option *o)
{
	char title[256];

	buf_add_str(out, "{\"title\":");
	json_out_cstr(out, plan_option_title(r, o, title, sizeof title));
	text_field(out, "verdict", plan_verdict_name(plan_verdict(&o->plan)));
	bytes_field(out, "workers", o->shape.workers);
	bytes_field(out, "prefill_workers", o->shape.prefill);
	bytes_field(out, "tensor_parallel", o->shape.tp);
	bytes_field(out, "threads", o->shape.threads);
	text_field(out, "engine", graph_engine_name(o->plan.deployment.services[r->options->main].engine));
	text_field(out, "dtype", o->shape.dtype);
	text_field(out, "quantization", o->shape.quant);
	buf_printf(out, ",\"other_weights\":%s", o->shape.quant ? "true" : "false");
	bytes_field(out, "context", o->shape.context);
	bytes_field(out, "sequences", o->shape.seqs);
	number_field(out, "utilization", o->shape.utilization);
	buf_printf(out, ",\"predicted\":{\"known\":%s", o->predicted.known ? "true" : "false");
	number_field(out, "tokens_per_second", o->predicted.tokens_s);
	number_field(out, "first_token_ms", o->predicted.ttft_ms);
	number_field(out, "token_ms", o->predicted.token_ms);
	bytes_field(out, "streams", o->predicted.streams);
	buf_add_byte(out, '}');
	if (o->divided.known) {
		buf_printf(out, ",\"divided\":{\"prefill_workers\":%u", o->divided_prefill);
		number_field(out, "tokens_per_second", o->divided.tokens_s);
		number_field(out, "first_token_ms", o->divided.ttft_ms);
		number_field(out, "token_ms", o->divided.token_ms);
		buf_add_byte(out, '}');
	}
	changes(out, r, o);
	placement(out, &o->plan);
	buf_add_byte(out, '}');
}

void plan_error_json(const char *file, const char *verdict, const char *error, struct buf *out)
{
	buf_printf(out, "{\"verdict\":\"%s\",\"fits\":false", verdict);
	text_field(out, "error", error);
	text_field(out, "graph", file);
	buf_add_str(out, ",\"findings\":[],\"plans\":[]}\n");
}

void plan_report_json(const struct plan_report *r, struct buf *out)
{
	const struct plan *p = r->asked;

	buf_printf(out, "{\"verdict\":\"%s\",\"fits\":%s", plan_verdict_name(plan_verdict(p)),
		plan_fits(p) ? "true" : "false");
	text_field(out, "error", r->error);
	text_field(out, "releases", plan_report_releases(p));
	text_field(out, "graph", p->deployment.graph->file);
	text_field(out, "form", r->form ? r->form : "a graph");
	devices(out, p);
	placement(out, p);
	services(out, p);
	buf_add_str(out, ",\n\"findings\":");
	findings_json(&p->findings, out);
	buf_add_str(out, ",\n\"plans\":[");
	for (uint32_t i = 0; r->options && i < r->options->len; i++) {
		buf_add_str(out, i ? ",\n " : "\n ");
		option(out, r, &r->options->items[i]);
	}
	buf_add_str(out, "]");
	if (r->options)
		plan_speed_json(p, &r->options->load, out);
	if (r->options)
		buf_printf(out, ",\"load\":{\"prompt\":%u,\"answer\":%u}", r->options->load.prompt,
			r->options->load.answer);
	buf_add_str(out, "}\n");
}
