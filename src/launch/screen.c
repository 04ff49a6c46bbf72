/* screen.c - the start-up table; see screen.h. */
#include "launch/screen.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { SCREEN_BYTES_MAX = 256 * 1024 };

static const struct {
	const char *word, *color;
} states[] = {
	[SCREEN_STARTING] = {"starting", ""},
	[SCREEN_PROGRESS] = {"", ""},
	[SCREEN_READY] = {"ready", "\033[32m"},
	[SCREEN_WAITING] = {"restarting", "\033[33m"},
	[SCREEN_STOPPING] = {"stopping", "\033[33m"},
	[SCREEN_STOPPED] = {"stopped", ""},
	[SCREEN_FAILED] = {"failed", "\033[31m"},
};

void screen_init(
	struct screen *s, int fd, bool live, bool color, uint32_t columns, struct screen_row *rows, uint32_t count)
{
	*s = (struct screen){.fd = fd, .live = live, .color = color, .columns = columns, .rows = rows, .count = count};
	for (uint32_t i = 0; i < count; i++)
		s->name_width = MAX(s->name_width, (uint32_t)strlen(rows[i].name));
}

static void write_all(int fd, const struct buf *b)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = write(fd, b->data + at, b->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

char *screen_clean(char *s)
{
	return utf8_plain(s);
}

static void state_print(struct buf *out, const struct screen_row *row, bool color)
{
	const char *begin = color ? states[row->state].color : "", *end = *begin ? "\033[0m" : "";

	if (row->state != SCREEN_PROGRESS) {
		buf_printf(out, "%s%-*s%s", begin, SCREEN_BAR_CELLS, states[row->state].word, end);
		return;
	}
	uint32_t full = (uint32_t)(row->progress * SCREEN_BAR_CELLS);
	for (uint32_t i = 0; i < SCREEN_BAR_CELLS; i++)
		buf_add_byte(out, i < full ? '#' : '.');
	buf_printf(out, " %3u%%", (uint32_t)(row->progress * 100));
}

/* How many bytes of s fill at most columns character cells (every code point counts as one). */
static size_t cut(const char *s, uint32_t columns)
{
	size_t i = 0;

	for (uint32_t n = 0; s[i]; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80 && ++n > columns)
			break;
	return i;
}

void screen_row_print(struct buf *out, const struct screen_row *row, uint32_t name_width, uint32_t columns, bool color)
{
	uint32_t used = 2 + name_width + 2 + SCREEN_BAR_CELLS + (row->state == SCREEN_PROGRESS ? 5 : 0) + 2;
	size_t len = strlen(row->text);

	buf_printf(out, "  %-*s  ", (int)name_width, row->name);
	state_print(out, row, color);
	if (columns > 0)
		len = columns > used ? cut(row->text, columns - used) : 0;
	if (len > 0)
		buf_printf(out, "  %.*s", (int)len, row->text);
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
}

/* Move up to the table's first line and clear from there. */
static void erase(struct screen *s, struct buf *out)
{
	if (s->drawn > 0)
		buf_printf(out, "\033[%uA\r\033[J", s->drawn);
	s->drawn = 0;
}

static void draw(struct screen *s, struct buf *out)
{
	if (!s->live)
		return;
	for (uint32_t i = 0; i < s->count; i++) {
		/* One column stays free: a terminal that wraps at the last one would spoil the count of lines. */
		screen_row_print(out, &s->rows[i], s->name_width, s->columns > 1 ? s->columns - 1 : 0, s->color);
		buf_add_byte(out, '\n');
	}
	s->drawn = s->count;
}

void screen_line(struct screen *s, const char *fmt, ...)
{
	struct buf out;
	va_list ap;

	buf_init(&out, SCREEN_BYTES_MAX);
	erase(s, &out);
	va_start(ap, fmt);
	buf_vprintf(&out, fmt, ap);
	va_end(ap);
	buf_add_byte(&out, '\n');
	draw(s, &out);
	write_all(s->fd, &out);
	buf_done(&out);
}

/* Plain output shows each change of state, and progress in steps of a quarter. */
static bool worth_a_line(struct screen_row *row)
{
	uint32_t quarter = (uint32_t)(row->progress * 4);

	if (row->state != SCREEN_PROGRESS) {
		row->printed_quarters = 0;
		return true;
	}
	if (quarter <= row->printed_quarters)
		return false;
	row->printed_quarters = quarter;
	return true;
}

void screen_changed(struct screen *s, uint32_t i)
{
	struct buf out;

	ASSERT(i < s->count);
	if (!s->live && !worth_a_line(&s->rows[i]))
		return;
	buf_init(&out, SCREEN_BYTES_MAX);
	if (s->live) {
		erase(s, &out);
		draw(s, &out);
	} else {
		screen_row_print(&out, &s->rows[i], s->name_width, 0, s->color);
		buf_add_byte(&out, '\n');
	}
	write_all(s->fd, &out);
	buf_done(&out);
}

void screen_close(struct screen *s)
{
	s->live = false;
	s->drawn = 0;
}
