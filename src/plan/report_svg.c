/* report_svg.c - cards as bars, for a page or a slide; see report.h. Plain SVG 1.1, no scripts, no fonts from elsewhere. */
#include "plan/check.h"
#include "plan/report.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 960, MARGIN = 32, LABEL = 120, BAR_HEIGHT = 30, ROW = 52, SVG_ROWS = 24 };

#define INK "#1f2933"
#define MUTED "#7b8794"
#define PAPER "#ffffff"
#define TRACK "#eef1f4"
#define BLUE "#3b6fb6"
#define AMBER "#e0a030"
#define GREEN "#4c9f70"
#define GREY "#a5afb9"
#define RED "#c8402f"

struct svg {
	struct buf *out;
	double y;
};

static void escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			buf_add_str(out, "&amp;");
		else if (*text == '<')
			buf_add_str(out, "&lt;");
		else if (*text == '>')
			buf_add_str(out, "&gt;");
		else if ((unsigned char)*text >= 0x20)
			buf_add_byte(out, (uint8_t)*text);
	}
}

static void text_at(struct svg *s, double x, double y, const char *style, const char *text)
{
	buf_printf(s->out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style);
	escaped(s->out, text);
	buf_add_str(s->out, "</text>\n");
}

static void rect(struct svg *s, double x, double width, const char *fill, const char *title)
{
	if (width <= 0)
		return;
	buf_printf(s->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"><title>", x, s->y,
		width, BAR_HEIGHT, fill);
	escaped(s->out, title);
	buf_add_str(s->out, "</title></rect>\n");
}

struct piece {
	uint64_t bytes;
	const char *fill, *name;
};

/* The scale of a bar: the card, or what is asked of it when that is more. */
static void bar(struct svg *s, const struct plan_bar *b)
{
	const struct piece pieces[] = {{b->others, GREY, "held by others"}, {b->weights, BLUE, "weights"},
		{b->overhead, AMBER, "run time, activations, graphs"}, {b->kv, GREEN, "KV cache"}};
	uint64_t used = b->others + b->weights + b->overhead + b->kv;
	double room = WIDTH - 2 * MARGIN - LABEL - 96, scale = room / (double)MAX(MAX(used, b->total), 1);
	double x = MARGIN + LABEL, card = x + (double)b->total * scale;
	char text[200];

	text_at(s, MARGIN, s->y + 20, "class=\"label\"", b->label);
	rect(s, x, (double)b->total * scale, TRACK, "free");
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		double width = (double)pieces[i].bytes * scale;
		snprintf(text, sizeof text, "%s: %s", pieces[i].name, PLAN_BYTES(pieces[i].bytes));
		rect(s, x, width, pieces[i].fill, text);
		if (width > 74)
			text_at(s, x + width / 2, s->y + 20, "class=\"in\"", PLAN_BYTES(pieces[i].bytes));
		x += width;
	}
	/* Where the card ends, when more is asked of it. */
	if (used > b->total)
		buf_printf(s->out,
			"<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"3\"/>\n",
			card, card, s->y - 4, s->y + BAR_HEIGHT + 4, RED);
	text_at(s, WIDTH - MARGIN, s->y + 20, "class=\"total\"", PLAN_BYTES(b->total));
	if (b->alike)
		snprintf(text, sizeof text, "%s, and %u more like it", b->who, b->alike);
	else
		snprintf(text, sizeof text, "%s", b->who);
	text_at(s, MARGIN + LABEL, s->y + BAR_HEIGHT + 14, "class=\"who\"", text);
	if (b->over) {
		snprintf(text, sizeof text, "%s too much", PLAN_BYTES(b->over));
		text_at(s, WIDTH - MARGIN, s->y + BAR_HEIGHT + 14, "class=\"over\" text-anchor=\"end\"", text);
	}
	s->y += ROW;
}

static void panel(struct svg *s, const struct plan *p, const char *title, const char *line)
{
	struct plan_bar *bars = calloc(PLAN_BARS_MAX, sizeof *bars);
	uint32_t n = bars ? plan_bars(p, 8, bars, SVG_ROWS) : 0;
	uint32_t without = p->placement.slots_len - p->placement.placed;
	char text[200];

	text_at(s, MARGIN, s->y, "class=\"title\"", title);
	s->y += 22;
	text_at(s, MARGIN, s->y, plan_fits(p) ? "class=\"fits\"" : "class=\"over\"", line);
	s->y += 18;
	for (uint32_t i = 0; i < n; i++)
		bar(s, &bars[i]);
	if (without) {
		snprintf(text, sizeof text, "%u of %u worker%s ha%s no GPU", without, p->placement.slots_len,
			plural_s(p->placement.slots_len), plural(without, "s", "ve"));
		text_at(s, MARGIN + LABEL, s->y + 14, "class=\"over\"", text);
		s->y += 24;
	}
	if (!n) {
		text_at(s, MARGIN + LABEL, s->y + 8, "class=\"who\"", "no GPU");
		s->y += 24;
	}
	s->y += 34;
	free(bars);
}

static void legend(struct svg *s)
{
	static const struct {
		const char *fill, *name;
	} items[] = {{BLUE, "weights"}, {AMBER, "run time, activations, graphs"}, {GREEN, "KV cache"},
		{GREY, "held by others"}, {TRACK, "free"}};
	double x = MARGIN;

	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		buf_printf(s->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\" rx=\"3\" fill=\"%s\"/>\n", x,
			s->y - 12, items[i].fill);
		text_at(s, x + 20, s->y, "class=\"who\"", items[i].name);
		x += 42 + 7.0 * (double)strlen(items[i].name);
	}
	s->y += 24;
}

static void begin(struct buf *out, double height)
{
	buf_printf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\" "
		"font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n"
		"<style>text{fill:" INK ";font-size:13px}.title{font-size:19px;font-weight:600}.label{font-size:14px}"
		".who{fill:" MUTED ";font-size:12px}.total{text-anchor:end;fill:" MUTED
		"}.in{text-anchor:middle;fill:" PAPER ";font-size:12px;font-weight:600}.over{fill:" RED
		";font-weight:600}.fits{fill:" GREEN ";font-weight:600}</style>\n"
		"<rect width=\"%d\" height=\"%.0f\" rx=\"8\" fill=\"" PAPER "\"/>\n",
		WIDTH, height, WIDTH, height, WIDTH, height);
}

void plan_report_svg(const struct plan_report *r, struct buf *out)
{
	const struct plan *p = r->asked;
	struct buf body;
	struct svg s = {.out = &body, .y = 48};
	char title[512], line[512], name[256];

	buf_init(&body, 1 << 20);
	snprintf(title, sizeof title, "%s on %s", p->deployment.graph->file, plan_cards_text(p, name, sizeof name));
	if (plan_fits(p))
		snprintf(line, sizeof line, "fits");
	else if (plan_verdict(p) == PLAN_NOT_CHECKED)
		snprintf(line, sizeof line, "not checked");
	else
		snprintf(line, sizeof line, "cannot run: %s", p->findings.items[0].what);
	if (strlen(line) > 118)
		snprintf(line + 115, sizeof line - 115, "...");
	panel(&s, p, title, line);
	if (!plan_fits(p) && r->options && r->options->len) {
		const struct plan_option *o = &r->options->items[0];
		if (o->predicted.known)
			snprintf(line, sizeof line, "fits: about %.0f tokens/s, first token after %.0f ms (predicted)",
				o->predicted.tokens_s, o->predicted.ttft_ms);
		else
			snprintf(line, sizeof line, "fits");
		panel(&s, &o->plan, plan_option_title(r, o, title, sizeof title), line);
	}
	legend(&s);
	begin(out, s.y);
	buf_add(out, body.data, body.len);
	buf_add_str(out, "</svg>\n");
	out->failed |= body.failed;
	buf_done(&body);
}
