#include "base/chart.h"

#include <math.h>

enum {
	WIDTH = 760,
	HEIGHT = 300,
	LEFT = 64,
	RIGHT = 16,
	TOP = 34,
	BOTTOM = 46,
	TICKS_MAX = 12,
	LOG_FROM = 8 /* a narrower span has too few round numbers for a logarithmic axis */
};

static const char style[] =
	":root{--ink:#1d2733;--soft:#66788a;--line:#e3e8ee;--page:#fff;--card:#f7f9fb}"
	"@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#93a4b5;--line:#2b3640;--page:#0f151b;--card:#"
	"161e26}}"
	"body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1600px;margin:2rem "
	"auto;"
	"padding:0 1.2rem}h1{font-size:1.5rem;margin:0 0 .2rem}p.lead{color:var(--soft);margin:0 0 1.2rem}"
	"main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:1rem}"
	"figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.6rem}"
	"svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}"
	"svg text.t{font-size:14px;font-weight:600;fill:var(--ink)}svg .g{stroke:var(--line)}"
	"svg polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}"
	"table{border-collapse:collapse;grid-column:1/-1;font-variant-numeric:tabular-nums;width:100%}"
	"th,td{padding:.35rem .7rem;border-bottom:1px solid var(--line);text-align:right}"
	"th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600}";

/* Distinct for most colour-blind readers too (Okabe and Ito 2008, darkened where it is too light on white). */
static const char *const colours[CHART_COLOURS] = {
	"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f3fbf", "#6b6b6b"};

void chart_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		const char *as = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;

		if (as)
			buf_add_str(out, as);
		else
			buf_add_byte(out, (uint8_t)*text);
	}
}

void chart_page_begin(struct buf *out, const char *title, const char *lead)
{
	buf_add_str(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
			 "content=\"width=device-width,initial-scale=1\"><title>");
	chart_text(out, title);
	buf_printf(out, "</title><style>%s</style></head><body>\n<h1>", style);
	chart_text(out, title);
	buf_add_str(out, "</h1>\n<p class=\"lead\">");
	chart_text(out, lead);
	buf_add_str(out, "</p>\n<main>\n");
}

void chart_page_end(struct buf *out)
{
	buf_add_str(out, "</main></body></html>\n");
}

void chart_table_begin(struct buf *out, const char *const *columns, uint32_t count)
{
	buf_add_str(out, "<table><thead><tr>");
	for (uint32_t i = 0; i < count; i++) {
		buf_add_str(out, "<th>");
		chart_text(out, columns[i]);
		buf_add_str(out, "</th>");
	}
	buf_add_str(out, "</tr></thead><tbody>\n");
}

void chart_table_row(struct buf *out, const char *const *cells, uint32_t count)
{
	buf_add_str(out, "<tr>");
	for (uint32_t i = 0; i < count; i++) {
		buf_add_str(out, "<td>");
		chart_text(out, cells[i]);
		buf_add_str(out, "</td>");
	}
	buf_add_str(out, "</tr>\n");
}

void chart_table_end(struct buf *out)
{
	buf_add_str(out, "</tbody></table>\n");
}

/* An axis: values from lo to hi lie between two places of the drawing. */
struct axis {
	double lo, hi, from, to;
	bool log;
};

static double place(const struct axis *a, double v)
{
	double lo = a->lo, hi = a->hi;

	if (a->log) {
		v = log10(v);
		lo = log10(lo);
		hi = log10(hi);
	}
	return a->from + (v - lo) / (hi - lo) * (a->to - a->from);
}

static bool drawn(const struct chart *c, const struct chart_line *l, uint32_t i)
{
	return isfinite(l->x[i]) && isfinite(l->y[i]) && (!c->x_log || l->x[i] > 0);
}

/* The span of all points; false when there are none. */
static bool span(const struct chart *c, struct axis *x, struct axis *y)
{
	x->lo = INFINITY;
	x->hi = -INFINITY;
	y->lo = 0;
	y->hi = c->y_max;
	for (uint32_t n = 0; n < c->lines_count; n++)
		for (uint32_t i = 0; i < c->lines[n].count; i++) {
			const struct chart_line *l = &c->lines[n];
			if (!drawn(c, l, i))
				continue;
			x->lo = fmin(x->lo, l->x[i]);
			x->hi = fmax(x->hi, l->x[i]);
			y->lo = fmin(y->lo, l->y[i]);
			y->hi = fmax(y->hi, l->y[i]);
		}
	if (x->lo > x->hi)
		return false;
	if (x->lo == x->hi)
		x->hi = x->lo > 0 ? x->lo * 2 : x->lo + 1;
	if (y->lo == y->hi)
		y->hi = y->lo + 1;
	x->log = c->x_log && x->hi / x->lo >= LOG_FROM;
	return true;
}

/* A round step of 1, 2 or 5 times a power of ten that gives about six ticks. */
static double round_step(double width)
{
	double step = pow(10, floor(log10(width / 6)));

	for (int i = 0; width / step > 8; i++)
		step *= i % 3 == 1 ? 2.5 : 2;
	return step;
}

static uint32_t ticks(const struct axis *a, double v[TICKS_MAX])
{
	uint32_t n = 0;

	if (a->log) {
		bool few = a->hi / a->lo < 100;
		for (double ten = pow(10, floor(log10(a->lo))); ten <= a->hi && n < TICKS_MAX; ten *= 10)
			for (int k = 1; k < 10 && n < TICKS_MAX; k += few ? (k == 1 ? 1 : 3) : 9)
				if (ten * k >= a->lo && ten * k <= a->hi)
					v[n++] = ten * k;
		return n;
	}
	double step = round_step(a->hi - a->lo);
	for (double t = ceil(a->lo / step) * step; t <= a->hi * (1 + 1e-9) && n < TICKS_MAX; t += step)
		v[n++] = fabs(t) < step / 1e6 ? 0 : t;
	return n;
}

static void number(struct buf *out, double v)
{
	double a = fabs(v);

	if (a >= 1e6)
		buf_printf(out, "%gM", v / 1e6);
	else if (a >= 1e4)
		buf_printf(out, "%gk", v / 1e3);
	else
		buf_printf(out, "%.4g", v);
}

static void axes_draw(struct buf *out, const struct chart *c, const struct axis *x, const struct axis *y)
{
	double v[TICKS_MAX];
	uint32_t n = ticks(y, v);

	for (uint32_t i = 0; i < n; i++) {
		double at = place(y, v[i]);
		buf_printf(out,
			"<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
			"text-anchor=\"end\">",
			LEFT, WIDTH - RIGHT, at, at, LEFT - 8, at + 4);
		number(out, v[i]);
		buf_add_str(out, "</text>");
	}
	n = ticks(x, v);
	for (uint32_t i = 0; i < n; i++) {
		double at = place(x, v[i]);
		buf_printf(out,
			"<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\" y=\"%d\" "
			"text-anchor=\"middle\">",
			at, at, TOP, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 17);
		number(out, v[i]);
		buf_add_str(out, "</text>");
	}
	buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, HEIGHT - 8);
	chart_text(out, c->x_label);
	buf_printf(out, "</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, TOP - 8);
	chart_text(out, c->y_label);
	buf_add_str(out, "</text>");
}

static void legend_draw(struct buf *out, const struct chart *c)
{
	double at = LEFT;

	for (uint32_t i = 0; i < c->lines_count; i++) {
		if (!c->lines[i].name)
			continue;
		buf_printf(out,
			"<rect x=\"%.0f\" y=\"%d\" width=\"10\" height=\"10\" rx=\"2\" fill=\"%s\"/>"
			"<text x=\"%.0f\" y=\"%d\">",
			at, HEIGHT - 17, colours[i % CHART_COLOURS], at + 15, HEIGHT - 8);
		chart_text(out, c->lines[i].name);
		buf_add_str(out, "</text>");
		at += 30 + 7 * (double)strlen(c->lines[i].name);
	}
}

struct pen {
	struct buf *out;
	const struct chart *chart;
	const struct axis *x, *y;
	double last_y;
	bool any;
};

static void point(struct pen *p, double x, double y)
{
	double at = place(p->x, x), up = place(p->y, y);

	if (p->chart->steps && p->any)
		buf_printf(p->out, "%.1f,%.1f ", at, p->last_y);
	buf_printf(p->out, "%.1f,%.1f ", at, up);
	p->last_y = up;
	p->any = true;
}

/* Of each piece of a long line its least and greatest value, in their order. */
static void piece_draw(struct pen *p, const struct chart_line *l, uint32_t from, uint32_t to)
{
	uint32_t low = to, high = to;

	for (uint32_t i = from; i < to; i++) {
		if (!drawn(p->chart, l, i))
			continue;
		if (low == to || l->y[i] < l->y[low])
			low = i;
		if (high == to || l->y[i] > l->y[high])
			high = i;
	}
	if (low == to)
		return;
	uint32_t first = MIN(low, high), second = MAX(low, high);
	point(p, l->x[first], l->y[first]);
	if (second != first)
		point(p, l->x[second], l->y[second]);
}

static void line_draw(struct buf *out, const struct chart *c, uint32_t n, const struct axis *x, const struct axis *y)
{
	const struct chart_line *l = &c->lines[n];
	uint32_t pieces = MIN(l->count, l->count > CHART_POINTS_MAX ? CHART_POINTS_MAX / 2u : UINT32_MAX);
	struct pen pen = {.out = out, .chart = c, .x = x, .y = y};

	buf_printf(out, "<polyline stroke=\"%s\" points=\"", colours[n % CHART_COLOURS]);
	for (uint32_t i = 0; i < pieces; i++)
		piece_draw(&pen, l, (uint32_t)((uint64_t)i * l->count / pieces),
			(uint32_t)((uint64_t)(i + 1) * l->count / pieces));
	buf_add_str(out, "\"/>\n");
}

void chart_svg(struct buf *out, const struct chart *c)
{
	struct axis x = {.from = LEFT, .to = WIDTH - RIGHT}, y = {.from = HEIGHT - BOTTOM, .to = TOP};

	buf_printf(out,
		"<figure><svg viewBox=\"0 0 %d %d\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\"><text "
		"class=\"t\" "
		"x=\"%d\" "
		"y=\"18\">",
		WIDTH, HEIGHT, LEFT - 48);
	chart_text(out, c->title);
	buf_add_str(out, "</text>\n");
	if (span(c, &x, &y)) {
		axes_draw(out, c, &x, &y);
		for (uint32_t i = 0; i < c->lines_count; i++)
			line_draw(out, c, i, &x, &y);
		legend_draw(out, c);
	} else {
		buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">nothing to show</text>", WIDTH / 2,
			HEIGHT / 2);
	}
	buf_add_str(out, "</svg></figure>\n");
}
