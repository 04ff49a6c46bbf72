/* sim_print.c - the outcome of stator sim for programs (JSON) and people (a table, a plot). */
#include "base/json_out.h"
#include "cli/sim_cases.h"

#include <stdio.h>
#include <string.h>

static void stats_json(struct buf *out, const char *name, const struct stats *s)
{
	buf_printf(out, ",\"%s\":{\"mean\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f}", name, s->mean, s->p50, s->p90,
		s->p99);
}

void sim_print_json(const struct sim_cases *c, struct buf *out)
{
	for (uint32_t i = 0; i < c->len; i++) {
		const struct replay_result *r = &c->v[i].result;
		buf_add_str(out, "{\"policy\":");
		json_out_cstr(out, c->v[i].policy_text);
		buf_printf(out, ",\"requests\":%u,\"completed\":%u", r->requests, r->completed);
		stats_json(out, "ttft_ms", &r->ttft);
		stats_json(out, "tpot_ms", &r->tpot);
		stats_json(out, "e2e_ms", &r->e2e);
		buf_printf(out, ",\"reuse\":%.4f,\"wall_s\":%.3f}\n", r->reuse, r->wall_s);
	}
}

void sim_print_requests(const struct sim_case *k, const struct trace *t, struct buf *out)
{
	for (uint32_t i = 0; i < t->len; i++) {
		const struct replay_request *q = &k->result.v[i];
		buf_printf(out,
			"{\"id\":%u,\"at_ms\":%.3f,\"prompt_tokens\":%u,\"answer_tokens\":%u,\"cached_tokens\":%u,"
			"\"worker\":%u,"
			"\"frontend\":%u,\"restarts\":%u,",
			t->rows[i].id, (double)t->rows[i].at_us / 1e3, t->rows[i].prompt_tokens, q->generated,
			q->cached_tokens, q->worker, q->frontend, q->restarts);
		buf_add_str(out, "\"ttft_ms\":");
		q->ttft_ms < 0 ? (void)buf_add_str(out, "null") : (void)buf_printf(out, "%.3f", q->ttft_ms);
		buf_add_str(out, ",\"e2e_ms\":");
		q->e2e_ms < 0 ? (void)buf_add_str(out, "null") : (void)buf_printf(out, "%.3f", q->e2e_ms);
		buf_add_str(out, "}\n");
	}
}

/* "203 ms", "2.4 s": three digits that matter. */
static const char *ms_text(double ms, char *ret, size_t cap)
{
	if (ms >= 100e3)
		snprintf(ret, cap, "%.0f s", ms / 1e3);
	else if (ms >= 10e3)
		snprintf(ret, cap, "%.1f s", ms / 1e3);
	else if (ms >= 1e3)
		snprintf(ret, cap, "%.2f s", ms / 1e3);
	else
		snprintf(ret, cap, ms >= 100 ? "%.0f ms" : "%.1f ms", ms);
	return ret;
}

static void row_print(const struct sim_cases *c, const struct sim_case *k, int policy_width, struct buf *out)
{
	const struct replay_result *r = &k->result;
	const double columns[] = {
		r->ttft.mean, r->ttft.p50, r->ttft.p90, r->ttft.p99, r->ttft.max, r->tpot.mean, r->e2e.mean};
	char text[32];

	buf_printf(out, "%-*.*s", policy_width, policy_width, k->policy_text);
	if (c->vary)
		buf_printf(out, "  %-13s", sim_vary_text(c, k->value, text, sizeof text));
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_printf(out, " %9s", ms_text(columns[i], text, sizeof text));
	buf_printf(out, "  %5.1f %%", r->reuse * 100);
	if (r->completed != r->requests)
		buf_printf(out, "  %u of %u did not end", r->requests - r->completed, r->requests);
	buf_add_byte(out, '\n');
}

/* The least value from which on the goal is met. */
static void answer_print(const struct sim_cases *c, uint32_t policy, struct buf *out)
{
	uint32_t per = c->len / c->policies;
	const struct sim_case *v = &c->v[policy * per], *found = NULL;
	bool more_is_worse = c->vary == SIM_VARY_SPEED;
	char text[32], goal[32];

	for (uint32_t i = 0; i < per; i++) {
		bool good = v[i].result.ttft.p99 <= c->goal_ms && v[i].result.completed == v[i].result.requests;
		if (more_is_worse ? good : good && !found)
			found = &v[i];
	}
	ms_text(c->goal_ms, goal, sizeof goal);
	if (!found)
		buf_printf(out, "%s: none of these keeps the p99 time to first token under %s\n", v->policy_text, goal);
	else
		buf_printf(out, "%s: %s%s keeps the p99 time to first token (%.0f ms) under %s\n", v->policy_text,
			more_is_worse ? "up to " : "", sim_vary_text(c, found->value, text, sizeof text),
			found->result.ttft.p99, goal);
}

/* Bars of the p99 on a logarithmic scale: what matters is the knee. */
static void plot_print(const struct sim_cases *c, uint32_t policy, struct buf *out)
{
	enum { WIDTH = 48 };
	uint32_t per = c->len / c->policies;
	const struct sim_case *v = &c->v[policy * per];
	double max = 1;
	char text[32], ms[32];

	for (uint32_t i = 0; i < c->len; i++)
		max = MAX(max, c->v[i].result.ttft.p99);
	for (uint32_t i = 0; i < per; i++) {
		double p99 = v[i].result.ttft.p99, share = p99 / max;
		uint32_t bar = (uint32_t)MAX(1.0, share * WIDTH + 0.5);
		buf_printf(out, "  %-13s %9s ", sim_vary_text(c, v[i].value, text, sizeof text),
			ms_text(p99, ms, sizeof ms));
		for (uint32_t k = 0; k < bar; k++)
			buf_add_str(out, p99 <= c->goal_ms ? "█" : "░");
		buf_add_byte(out, '\n');
	}
}

void sim_print_table(const struct sim_cases *c, struct buf *out)
{
	int width = 6;

	for (uint32_t i = 0; i < c->len; i++)
		width = MAX(width, (int)MIN(strlen(c->v[i].policy_text), 40u));
	const struct sim_case *first = &c->v[0];
	buf_printf(out, "%u requests, %u workers with %u blocks of %u tokens (%s), speed %g", first->result.requests,
		first->workers, first->blocks, c->block_size, c->model.name, first->speed);
	buf_printf(out, ", %.0f s simulated in %.1f s\n\n", first->result.simulated_s, first->result.wall_s);
	if (c->model.steps)
		buf_printf(out, "engine model fitted to %u recorded steps, off by %.0f %% in the mean\n\n",
			c->model.steps, c->model.error_mean * 100);
	buf_printf(out, "%-*s", width, "");
	if (c->vary)
		buf_printf(out, "  %-13s", "");
	buf_printf(out, " %-49s %9s %9s\n", " time to first token", "per token", "whole");
	buf_printf(out, "%-*s", width, "policy");
	if (c->vary)
		buf_printf(out, "  %-13s", "what if");
	buf_printf(out, " %9s %9s %9s %9s %9s %9s %9s  %7s\n", "mean", "p50", "p90", "p99", "longest", "mean", "mean",
		"reuse");
	for (uint32_t i = 0; i < c->len; i++)
		row_print(c, &c->v[i], width, out);
	if (!c->vary)
		return;
	for (uint32_t p = 0; p < c->policies; p++) {
		buf_add_byte(out, '\n');
		answer_print(c, p, out);
		plot_print(c, p, out);
	}
}
