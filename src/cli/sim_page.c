/* sim_page.c - the page of stator sim --report: what the table says, drawn. */
#include "base/chart.h"
#include "cli/sim_cases.h"

#include <stdio.h>
#include <string.h>

enum { QUANTILES = 400, LINES_MAX = 16 };

static void cell(char *ret, size_t cap, double v, const char *unit)
{
	snprintf(ret, cap, v >= 100 ? "%.0f%s" : "%.2f%s", v, unit);
}

static void table_add(const struct sim_cases *c, struct buf *out)
{
	static const char *const columns[] = {"policy", "what if", "requests", "TTFT mean ms", "p50", "p90", "p99",
		"longest", "per token ms", "whole ms", "reuse %", "tokens/s"};
	char text[ARRAY_LEN(columns)][SIM_LABEL_BYTES];
	const char *cells[ARRAY_LEN(columns)];

	chart_table_begin(out, columns, ARRAY_LEN(columns));
	for (uint32_t i = 0; i < c->len; i++) {
		const struct replay_result *r = &c->v[i].result;
		const double values[] = {r->ttft.mean, r->ttft.p50, r->ttft.p90, r->ttft.p99, r->ttft.max, r->tpot.mean,
			r->e2e.mean, r->reuse * 100, r->output_tokens_per_s};
		snprintf(text[0], sizeof text[0], "%s", c->v[i].policy_text);
		sim_vary_text(c, c->v[i].value, text[1], sizeof text[1]);
		snprintf(text[2], sizeof text[2], "%u of %u", r->completed, r->requests);
		for (size_t k = 0; k < ARRAY_LEN(values); k++)
			cell(text[3 + k], sizeof text[0], values[k], "");
		for (size_t k = 0; k < ARRAY_LEN(columns); k++)
			cells[k] = text[k];
		chart_table_row(out, cells, ARRAY_LEN(columns));
	}
	chart_table_end(out);
}

static int cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Share of requests (%) by time (ms): which of two is better shows at a glance. Lines are allocated; freed by the caller. */
static double *distribution(const struct replay_result *r, bool whole, double *ret_y)
{
	double *all = malloc(sizeof *all * (r->requests + QUANTILES + 1u)), *ret = all ? all + r->requests : NULL;
	uint32_t n = 0;

	for (uint32_t i = 0; all && i < r->requests; i++) {
		double ms = whole ? r->v[i].e2e_ms : r->v[i].ttft_ms;
		if (ms >= 0)
			all[n++] = ms;
	}
	if (!all || !n) {
		free(all);
		return NULL;
	}
	qsort(all, n, sizeof *all, cmp);
	for (uint32_t i = 0; i <= QUANTILES; i++) {
		ret[i] = stats_quantile(all, n, (double)i / QUANTILES);
		ret_y[i] = 100.0 * i / QUANTILES;
	}
	memmove(all, ret, sizeof *all * (QUANTILES + 1));
	return all;
}

static void distributions_add(const struct sim_cases *c, bool whole, struct buf *out)
{
	struct chart_line lines[LINES_MAX];
	char names[LINES_MAX][SIM_LABEL_BYTES];
	double *x[LINES_MAX], y[QUANTILES + 1];
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->len && n < CHART_COLOURS; i++) {
		char vary[32];
		x[n] = distribution(&c->v[i].result, whole, y);
		if (!x[n])
			continue;
		sim_vary_text(c, c->v[i].value, vary, sizeof vary);
		snprintf(names[n], sizeof names[n], "%.60s%s%s", c->v[i].policy_text, *vary ? ", " : "", vary);
		lines[n] = (struct chart_line){.name = names[n], .x = x[n], .y = y, .count = QUANTILES + 1};
		n++;
	}
	const struct chart chart = {.title = whole ? "Whole answer" : "Time to first token",
		.x_label = "ms",
		.y_label = "% of requests that were faster",
		.lines = lines,
		.lines_count = n,
		.x_log = true,
		.y_max = 100};
	chart_svg(out, &chart);
	for (uint32_t i = 0; i < n; i++)
		free(x[i]);
}

/* One line a worker over time, of one member of the samples. */
static void workers_add(
	const struct sim_case *k, const char *title, const char *y_label, size_t member, double scale, struct buf *out)
{
	const struct replay_result *r = &k->result;
	uint32_t shown = MIN(r->workers, (uint32_t)CHART_COLOURS);
	struct chart_line lines[CHART_COLOURS];
	double x[REPLAY_SAMPLES], y[CHART_COLOURS][REPLAY_SAMPLES];
	char names[CHART_COLOURS][16];

	for (uint32_t w = 0; w < shown; w++) {
		for (uint32_t i = 0; i < REPLAY_SAMPLES; i++) {
			const char *sample = (const char *)&r->samples[(size_t)i * r->workers + w];
			x[i] = r->sample_s * (i + 1);
			y[w][i] = (double)*(const float *)(const void *)(sample + member) * scale;
		}
		snprintf(names[w], sizeof names[w], "worker %u", w);
		lines[w] = (struct chart_line){.name = names[w], .x = x, .y = y[w], .count = r->samples_len};
	}
	const struct chart chart = {
		.title = title, .x_label = "s", .y_label = y_label, .lines = lines, .lines_count = shown};
	chart_svg(out, &chart);
}

static void vary_add(const struct sim_cases *c, struct buf *out)
{
	struct chart_line lines[CHART_COLOURS];
	double x[64], y[CHART_COLOURS][64];
	uint32_t per = MIN(c->len / c->policies, 64u), shown = MIN(c->policies, (uint32_t)CHART_COLOURS);
	char title[96];

	for (uint32_t p = 0; p < shown; p++) {
		for (uint32_t i = 0; i < per; i++) {
			x[i] = c->v[p * per + i].value;
			y[p][i] = c->v[p * per + i].result.ttft.p99;
		}
		lines[p] = (struct chart_line){.name = c->v[p * per].policy_text, .x = x, .y = y[p], .count = per};
	}
	snprintf(title, sizeof title, "p99 time to first token by %s",
		c->vary == SIM_VARY_WORKERS  ? "workers"
		: c->vary == SIM_VARY_BLOCKS ? "blocks"
		: c->vary == SIM_VARY_SPEED  ? "speed"
					     : "frontends");
	const struct chart chart = {
		.title = title, .x_label = "", .y_label = "ms", .lines = lines, .lines_count = shown};
	chart_svg(out, &chart);
}

static void heading(struct buf *out, const char *text)
{
	buf_add_str(out, "<h2 style=\"grid-column:1/-1;margin:.8em 0 0\">");
	chart_text(out, text);
	buf_add_str(out, "</h2>\n");
}

void sim_print_page(const struct sim_cases *c, struct buf *out)
{
	char lead[512], vary[32], title[SIM_LABEL_BYTES];
	const struct sim_case *first = &c->v[0];

	snprintf(lead, sizeof lead,
		"%u requests over %.0f simulated seconds (%s, speed %g) on %u workers with %u blocks of %u tokens; "
		"engine model "
		"%s, eviction %s, seed %llu. The router is the one that serves; engines and time are simulated.",
		first->result.requests, first->result.simulated_s, c->trace_file ? c->trace_file : "a made-up load",
		first->speed, first->workers, first->blocks, c->block_size, c->model.name, c->base.evict->name,
		(unsigned long long)c->base.seed);
	chart_page_begin(out, "Stator simulation", lead);
	table_add(c, out);
	if (c->vary)
		vary_add(c, out);
	distributions_add(c, false, out);
	distributions_add(c, true, out);
	for (uint32_t i = 0; i < c->len && i < LINES_MAX; i++) {
		const struct sim_case *k = &c->v[i];
		sim_vary_text(c, k->value, vary, sizeof vary);
		snprintf(title, sizeof title, "%.60s%s%s", k->policy_text, *vary ? ", " : "", vary);
		heading(out, title);
		workers_add(k, "Requests at each worker", "requests", offsetof(struct replay_sample, requests), 1, out);
		workers_add(
			k, "Prompt tokens that wait", "tokens", offsetof(struct replay_sample, waiting_tokens), 1, out);
		workers_add(k, "Cache held by requests that run", "%", offsetof(struct replay_sample, cache_active),
			100, out);
	}
	chart_page_end(out);
}
