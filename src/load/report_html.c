#include "base/chart.h"
#include "load/report.h"

#include <math.h>
#include <stdio.h>

/* Values of all records in order, as the points of a distribution: x the value in ms, y the share at or below it. */
struct points {
	double *x, *y;
	uint32_t count;
};

static void points_done(struct points *p)
{
	free(p->x);
	free(p->y);
}

static bool points_init(struct points *p, uint32_t count)
{
	*p = (struct points){calloc(count + 1, sizeof(double)), calloc(count + 1, sizeof(double)), count};
	return p->x && p->y;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static bool distribution(const struct stats *s, enum stats_what what, struct points *ret)
{
	uint32_t n = 0;

	if (!points_init(ret, s->records.len))
		return false;
	for (uint32_t i = 0; i < s->records.len; i++)
		if (what != STATS_TPOT || s->records.v[i].tokens > 1)
			ret->x[n++] = stats_value(&s->records.v[i], what) / 1000.0;
	ret->count = n;
	qsort(ret->x, n, sizeof *ret->x, by_value);
	for (uint32_t i = 0; i < n; i++)
		ret->y[i] = 100.0 * (i + 1) / n;
	return true;
}

static void distribution_draw(struct buf *out, const struct stats *s, enum stats_what what, const char *title)
{
	struct points p;

	if (!distribution(s, what, &p)) {
		out->failed = true;
	} else {
		const struct chart_line line = {.x = p.x, .y = p.y, .count = p.count};
		const struct chart c = {.title = title,
			.x_label = "ms",
			.y_label = "% of answers at or below",
			.lines = &line,
			.lines_count = 1,
			.x_log = true,
			.y_max = 100};
		chart_svg(out, &c);
	}
	points_done(&p);
}

static double seconds_of(const struct stats *s, uint64_t us)
{
	return us > s->first_due_us ? (double)(us - s->first_due_us) / 1e6 : 0;
}

/* Tokens of answers, spread evenly from their first token to their end, over slots of the run. */
static void course(const struct stats *s, struct points *p, double slot_s)
{
	for (uint32_t i = 0; i < s->records.len; i++) {
		const struct stats_record *r = &s->records.v[i];
		double from = seconds_of(s, r->due_us + r->ttft_us), to = seconds_of(s, r->due_us + r->e2e_us);
		uint32_t first = (uint32_t)(from / slot_s), last = MIN((uint32_t)(to / slot_s), p->count - 1);

		for (uint32_t k = MIN(first, last); k <= last; k++)
			p->y[k] += r->tokens / (last - MIN(first, last) + 1.0) / slot_s;
	}
	for (uint32_t k = 0; k < p->count; k++)
		p->x[k] = k * slot_s;
}

static void course_draw(struct buf *out, const struct stats *s)
{
	enum { SLOTS = 120 };
	double slot = fmax(stats_seconds(s) / SLOTS, 0.001);
	struct points p;

	if (!points_init(&p, SLOTS)) {
		out->failed = true;
	} else {
		course(s, &p, slot);
		const struct chart_line line = {.x = p.x, .y = p.y, .count = p.count};
		const struct chart c = {.title = "Output over time",
			.x_label = "seconds",
			.y_label = "tokens/s",
			.lines = &line,
			.lines_count = 1,
			.steps = true};
		chart_svg(out, &c);
	}
	points_done(&p);
}

static int by_due(const void *a, const void *b)
{
	const struct stats_record *x = a, *y = b;
	return (x->due_us > y->due_us) - (x->due_us < y->due_us);
}

/* Records are kept in the order of their ends; here they stand in the order in which they were due. */
static bool ttft_course(const struct stats *s, struct points *p)
{
	CLEANUP(free_p) struct stats_record *v = calloc(s->records.len + 1, sizeof *v);

	if (!points_init(p, s->records.len) || !v)
		return false;
	if (s->records.len)
		memcpy(v, s->records.v, s->records.len * sizeof *v);
	qsort(v, p->count, sizeof *v, by_due);
	for (uint32_t i = 0; i < p->count; i++) {
		p->x[i] = seconds_of(s, v[i].due_us);
		p->y[i] = v[i].ttft_us / 1000.0;
	}
	return true;
}

static void ttft_course_draw(struct buf *out, const struct stats *s)
{
	struct points p;

	if (!ttft_course(s, &p)) {
		out->failed = true;
	} else {
		const struct chart_line line = {.x = p.x, .y = p.y, .count = p.count};
		const struct chart c = {.title = "Time to first token over time",
			.x_label = "seconds, when it was due",
			.y_label = "ms",
			.lines = &line,
			.lines_count = 1};
		chart_svg(out, &c);
	}
	points_done(&p);
}

static void figures_row(struct buf *out, const char *name, const struct stats_figure *f)
{
	const double v[] = {f->mean, f->p50, f->p90, f->p99, f->max};
	char text[ARRAY_LEN(v)][32];
	const char *cells[ARRAY_LEN(v) + 1] = {name};

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		snprintf(text[i], sizeof text[i], "%.4g ms", v[i]);
		cells[i + 1] = text[i];
	}
	chart_table_row(out, cells, ARRAY_LEN(cells));
}

static void figures_table(struct buf *out, const struct stats *s)
{
	static const char *const columns[] = {"", "mean", "p50", "p90", "p99", "max"};
	struct stats_figure f;

	chart_table_begin(out, columns, ARRAY_LEN(columns));
	out->failed |= stats_figure(s, STATS_TTFT, &f) < 0;
	figures_row(out, "time to first token", &f);
	out->failed |= stats_figure(s, STATS_TPOT, &f) < 0;
	figures_row(out, "time per output token", &f);
	out->failed |= stats_figure(s, STATS_E2E, &f) < 0;
	figures_row(out, "whole answer", &f);
	f = stats_gaps(s);
	figures_row(out, "between pieces of text", &f);
	chart_table_end(out);
}

void report_html(const struct report *r, const struct stats *s, struct buf *out)
{
	double seconds = stats_seconds(s);
	char lead[1024];

	snprintf(lead, sizeof lead,
		"%s, model %s: %s. %llu requests in %.1f s, %llu failed; %.1f tokens/s out, %.1f %% of the prompt "
		"tokens "
		"found in a cache.",
		r->url, r->model, r->load, (unsigned long long)s->sent, seconds, (unsigned long long)s->failed,
		seconds > 0 ? (double)s->tokens / seconds : 0,
		s->prompt_tokens ? 100.0 * (double)s->cached_tokens / (double)s->prompt_tokens : 0);
	chart_page_begin(out, "Load test", lead);
	figures_table(out, s);
	distribution_draw(out, s, STATS_TTFT, "Time to first token");
	distribution_draw(out, s, STATS_TPOT, "Time per output token");
	distribution_draw(out, s, STATS_E2E, "Whole answer");
	course_draw(out, s);
	ttft_course_draw(out, s);
	chart_page_end(out);
}
