/* report_model.c - the deployments of a model as a table, the picture of the best, and the line that runs it; see report.h. */
#include "plan/check.h"
#include "plan/report.h"

#include <stdio.h>
#include <string.h>

static const struct plan_service *main_of(const struct plan_report *r, const struct plan *p)
{
	return &p->deployment.services[r->options && r->options->main != UINT32_MAX ? r->options->main : 0];
}

/* What the weights are in, as the table calls it. */
static const char *weights_of(const struct plan_service *s, const char *quant)
{
	const struct model_facts *m = s->model->facts;

	return quant                                   ? quant
	       : strcmp(s->dtype, "auto")              ? s->dtype
	       : *m->quant && strcmp(m->quant, "none") ? m->quant
						       : m->dtype;
}

static uint64_t kv_tokens_of(const struct plan_report *r, const struct plan *p)
{
	const struct plan_placement *pl = &p->placement;
	uint32_t main = r->options->main;

	for (uint32_t i = 0; i < pl->slots_len; i++)
		if (pl->slots[i].service == main && pl->slots[i].count)
			return plan_terms_of(pl, main, pl->class_of[pl->cards[pl->slots[i].first]])->kv_tokens;
	return 0;
}

static const char *roles_of(const struct plan_option *o, char *ret, size_t cap)
{
	if (o->shape.prefill)
		snprintf(ret, cap, "%u prefill + %u decode", o->shape.prefill, o->shape.workers - o->shape.prefill);
	else
		snprintf(ret, cap, "%u", o->shape.workers);
	return ret;
}

static void row_text(
	const struct plan_report *r, const struct plan_option *o, uint32_t number, int width, struct buf *out)
{
	const struct plan_service *s = main_of(r, &o->plan);
	char roles[48], speed[80];

	roles_of(o, roles, sizeof roles);
	if (o->predicted.known)
		snprintf(speed, sizeof speed, "%7llu  %8.0f  %8.0f ms  %6.0f ms",
			(unsigned long long)o->predicted.streams, o->predicted.tokens_s, o->predicted.ttft_ms,
			o->predicted.token_ms);
	else
		snprintf(speed, sizeof speed, "%7s  %8s  %11s  %9s", "?", "?", "?", "?");
	buf_printf(out, "  %-2u  %-*s  %4u  %-9s  %7llu  %9llu  %s\n", number, width, roles, s->gpus,
		weights_of(s, o->shape.quant), (unsigned long long)s->context,
		(unsigned long long)kv_tokens_of(r, &o->plan), speed);
}

/* "vllm serve MODEL --tensor-parallel-size 2 ...": one worker of it. */
static void command_text(const struct plan_service *s, struct buf *out)
{
	buf_printf(out, "vllm serve %s", s->graph->model);
	if (s->tp > 1)
		buf_printf(out, " --tensor-parallel-size %u", s->tp);
	if (s->pp > 1)
		buf_printf(out, " --pipeline-parallel-size %u --distributed-executor-backend ray", s->pp);
	if (s->model->facts && s->context && s->context != s->model->facts->context_max)
		buf_printf(out, " --max-model-len %llu", (unsigned long long)s->context);
	if (s->set[PLAN_SEQS])
		buf_printf(out, " --max-num-seqs %llu", (unsigned long long)s->seqs);
	if (s->set[PLAN_BATCH] && s->batch)
		buf_printf(out, " --max-num-batched-tokens %llu", (unsigned long long)s->batch);
	if (s->set[PLAN_UTILIZATION])
		buf_printf(out, " --gpu-memory-utilization %.2f", s->utilization);
	if (strcmp(s->dtype, "auto"))
		buf_printf(out, " --dtype %s", s->dtype);
	buf_add_byte(out, '\n');
}

static void headline(const struct plan_report *r, const char *model, struct buf *out)
{
	char cards[256];

	buf_printf(out, "%s on %s: ", model, plan_cards_text(r->asked, cards, sizeof cards));
	plan_verdict_text(r->asked, r->look.color, out);
	buf_add_byte(out, '\n');
}

/* The first plan that takes the weights as they are, from 1; 0: none does. */
static uint32_t as_it_is(const struct plan_options *o)
{
	for (uint32_t i = 0; o && i < o->len; i++)
		if (!o->items[i].shape.quant || o->items[i].shape.quant_model)
			return i + 1;
	return 0;
}

static void table_text(const struct plan_report *r, struct buf *out)
{
	const struct plan_options *o = r->options;
	int width = (int)strlen("workers");
	char roles[48];

	if (!o || o->len == 0)
		return;
	for (uint32_t i = 0; i < o->len; i++)
		width = MAX(width, (int)strlen(roles_of(&o->items[i], roles, sizeof roles)));
	buf_printf(out, "\n%s\n\n  %-2s  %-*s  %4s  %-9s  %7s  %9s  %7s  %8s  %11s  %9s\n",
		as_it_is(o) ? "The best deployments:" : "With other weights of the model, within a host:", "", width,
		"workers", "GPUs", "weights", "context", "KV tokens", "streams", "tokens/s", "first token",
		"per token");
	for (uint32_t i = 0; i < o->len; i++)
		row_text(r, &o->items[i], i + 1, width, out);
	buf_printf(out,
		"\nGPUs and KV tokens are those of a worker. Speeds are predictions from the cards' data sheets for\n"
		"requests of %u + %u tokens, not measurements; \"per token\" is the time from token to token under\n"
		"full load.\n",
		o->load.prompt, o->load.answer);
}

/* What the picture shows. */
static void picture_text(const struct plan_report *r, const struct plan_service *s, struct buf *out)
{
	uint32_t number = as_it_is(r->options);

	if (number > 0)
		buf_printf(out, "\nPlan %u, the best with the weights as they are:\n\n", number);
	else
		buf_printf(out,
			"\nWith the weights as they are, 1 worker of %u GPUs (tensor-parallel %u x pipeline-parallel %u):\n\n",
			s->gpus, s->tp, s->pp);
}

void plan_report_model(const struct plan_report *r, const char *model, struct buf *out)
{
	uint32_t columns = r->look.columns ? MAX(r->look.columns, 60u) : 100;
	const struct plan_service *s = main_of(r, r->asked);
	enum plan_verdict verdict = plan_verdict(r->asked);

	headline(r, model, out);
	if (verdict != PLAN_FITS) {
		buf_add_byte(out, '\n');
		findings_print(&r->asked->findings, &r->look, out);
	}
	if (verdict != PLAN_FITS || as_it_is(r->options))
		table_text(r, out);
	if (verdict == PLAN_FITS) {
		picture_text(r, s, out);
		plan_bars_text(r->asked, r->look.color, columns, out);
		if (r->asked->findings.len) {
			buf_add_byte(out, '\n');
			findings_print(&r->asked->findings, &r->look, out);
		}
		if (s->engine == GRAPH_ENGINE_VLLM) {
			buf_printf(out, "\n%s: ", s->workers == 1 ? "To run it" : "To run one of its workers");
			command_text(s, out);
		}
	}
	if (verdict == PLAN_FITS && !as_it_is(r->options))
		table_text(r, out);
	if (r->options && r->options->len)
		buf_printf(out, "To write plan N as a graph: %s --pick N --write FILE\n", r->command);
	else if (r->options && *r->options->why && verdict == PLAN_CANNOT)
		buf_printf(out, "\nNo plan near it fits: %s.\n", r->options->why);
	if (r->explain)
		plan_memory_text(r->asked, out);
}
