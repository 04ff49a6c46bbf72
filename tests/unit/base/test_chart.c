/* Charts as SVG: points land inside the drawing, peaks survive thinning, text is escaped. */
#include "base/chart.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/cmocka_all.h"

enum { MANY = 100000, WIDTH = 760, HEIGHT = 300 };
static double x[MANY], y[MANY];

/* The points of the first line; returns how many, and the least and greatest height. */
static uint32_t read_points(const struct buf *out, double *ret_top, double *ret_bottom)
{
	const char *at = strstr(buf_str(out), "points=\"");
	uint32_t n = 0;
	double px, py;
	int used;

	assert_non_null(at);
	*ret_top = INFINITY;
	*ret_bottom = -INFINITY;
	for (at += 8; sscanf(at, "%lf,%lf %n", &px, &py, &used) == 2; at += used, n++) {
		assert_true(px >= 0 && px <= WIDTH && py >= 0 && py <= HEIGHT);
		*ret_top = fmin(*ret_top, py);
		*ret_bottom = fmax(*ret_bottom, py);
	}
	return n;
}

static void draw(struct buf *out, struct chart c, uint32_t count)
{
	const struct chart_line line = {.name = "a < b", .x = x, .y = y, .count = count};

	c.title = "T & U";
	c.x_label = c.y_label = "l";
	c.lines = &line;
	c.lines_count = 1;
	buf_reset(out);
	chart_svg(out, &c);
	assert_false(out->failed);
	assert_non_null(strstr(buf_str(out), "T &amp; U"));
	assert_non_null(strstr(buf_str(out), "a &lt; b"));
}

static void random_lines_stay_inside_the_drawing(void **state)
{
	(void)state;
	struct rng r;
	struct buf out;
	double top, bottom;

	buf_init(&out, 1 << 20);
	rng_init(&r, 9);
	for (int world = 0; world < 300; world++) {
		uint32_t n = 1 + (uint32_t)rng_below(&r, 3000);
		double scale = pow(10, (double)rng_below(&r, 12) - 5), at = world % 3 ? 0 : -5 * scale;
		for (uint32_t i = 0; i < n; i++) {
			at += rng_unit(&r) * scale;
			x[i] = at;
			y[i] = (rng_unit(&r) - (world % 2 ? 0.5 : 0)) * scale;
		}
		draw(&out, (struct chart){.x_log = world % 3 == 1, .steps = world % 5 == 0}, n);
		if (strstr(buf_str(&out), "polyline"))
			assert_true(read_points(&out, &top, &bottom) <= 2 * CHART_POINTS_MAX);
	}
	buf_done(&out);
}

static void one_peak_among_many_points_is_still_seen(void **state)
{
	(void)state;
	struct buf out;
	double top, bottom;

	buf_init(&out, 1 << 20);
	for (uint32_t i = 0; i < MANY; i++) {
		x[i] = i;
		y[i] = 1;
	}
	y[77777] = 100;
	draw(&out, (struct chart){0}, MANY);
	assert_true(read_points(&out, &top, &bottom) <= CHART_POINTS_MAX);
	assert_true(bottom - top > 200);
	buf_done(&out);
}

static void nothing_to_draw_is_said(void **state)
{
	(void)state;
	struct buf out;

	buf_init(&out, 1 << 20);
	x[0] = y[0] = NAN;
	buf_reset(&out);
	chart_svg(&out, &(struct chart){.title = "t", .x_label = "x", .y_label = "y"});
	assert_non_null(strstr(buf_str(&out), "nothing to show"));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lines_stay_inside_the_drawing),
		cmocka_unit_test(one_peak_among_many_points_is_still_seen),
		cmocka_unit_test(nothing_to_draw_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
