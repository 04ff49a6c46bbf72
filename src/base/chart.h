/* chart.h - line charts as SVG, and the page they stand on: HTML that needs nothing from elsewhere and follows the
 * reader's light or dark theme.
 *
 * A long line is thinned: at most CHART_POINTS_MAX points are written, by the least and the greatest value of each piece,
 * so peaks stay. Thread: pure functions. Errors show as out->failed. */
#ifndef STATOR_BASE_CHART_H
#define STATOR_BASE_CHART_H

#include "base/buf.h"

enum { CHART_POINTS_MAX = 800, CHART_COLOURS = 8 };

struct chart_line {
	const char *name; /* for the legend; NULL: none */
	const double *x, *y; /* x rising; borrowed */
	uint32_t count;
};
struct chart {
	const char *title, *x_label, *y_label;
	const struct chart_line *lines; /* colours go by their place */
	uint32_t lines_count;
	bool x_log; /* a logarithmic x axis where the span is wide; points at x <= 0 are left out */
	bool steps; /* hold a value until the next point */
	double y_max; /* the axis ends at least here; 0: as the values need */
};

/* Append <figure> with the drawing. A chart without points says so. */
void chart_svg(struct buf *out, const struct chart *c);
/* Begin and end a page. text is plain; it is escaped. */
void chart_page_begin(struct buf *out, const char *title, const char *lead);
void chart_page_end(struct buf *out);
/* A table: a head of columns, then rows of cells, all plain text; numbers stand right. */
void chart_table_begin(struct buf *out, const char *const *columns, uint32_t count);
void chart_table_row(struct buf *out, const char *const *cells, uint32_t count);
void chart_table_end(struct buf *out);
/* Plain text inside HTML. */
void chart_text(struct buf *out, const char *text);

#endif
