#include "config/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void diags_init(struct diags *d)
{
	*d = (struct diags){0};
	arena_init(&d->arena, DIAG_BYTES_MAX);
}

void diags_done(struct diags *d)
{
	free(d->items);
	arena_done(&d->arena);
	*d = (struct diags){0};
}

const char *config_pos_text(const struct config_pos *pos, char *ret, size_t cap)
{
	if (pos->option)
		snprintf(ret, cap, "%s", pos->option);
	else if (pos->line)
		snprintf(ret, cap, "%s:%u:%u", pos->file ? pos->file : "", pos->line, pos->column);
	else
		snprintf(ret, cap, "%s", pos->file ? pos->file : "");
	return ret;
}

static void count(struct diags *d, enum diag_severity severity)
{
	d->errors += severity == DIAG_ERROR;
	d->warnings += severity == DIAG_WARNING;
	d->notices += severity == DIAG_NOTICE;
}

static bool make_room(struct diags *d)
{
	if (d->len < d->cap)
		return true;
	if (d->len == DIAG_COUNT_MAX)
		return false;
	uint32_t cap = MIN(MAX(d->cap * 2, 8u), (uint32_t)DIAG_COUNT_MAX);
	struct diag *items = realloc(d->items, cap * sizeof *items);
	if (!items)
		return false;
	d->items = items;
	d->cap = cap;
	return true;
}

/* Keys of Common are read once for each service that takes them; their mistakes are one mistake. */
static bool is_known(const struct diags *d, const char *pos, const char *text)
{
	for (uint32_t i = 0; i < d->len; i++) {
		const struct diag *item = &d->items[i];
		if (!strcmp(item->pos, pos) && !strncmp(item->text, text, strlen(text)))
			return true;
	}
	return false;
}

void diags_add(struct diags *d, enum diag_severity severity, const struct config_pos *pos, const char *fmt, ...)
{
	char where[512], text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	config_pos_text(pos, where, sizeof where);
	if (is_known(d, where, text))
		return;
	count(d, severity);
	if (!make_room(d))
		return;
	d->items[d->len] = (struct diag){
		.severity = severity,
		.pos = arena_strdup(&d->arena, where),
		.text = arena_strdup(&d->arena, text),
		/* Overrides come after the file. */
		.line = pos->option ? UINT32_MAX : pos->line,
		.column = pos->option ? UINT32_MAX : pos->column,
		.order = d->len,
	};
	if (d->items[d->len].pos && d->items[d->len].text)
		d->len++;
}

void diags_hint(struct diags *d, const char *fmt, ...)
{
	char hint[1024];
	va_list ap;

	if (d->len == 0)
		return;
	va_start(ap, fmt);
	vsnprintf(hint, sizeof hint, fmt, ap);
	va_end(ap);
	struct diag *last = &d->items[d->len - 1];
	char *text = arena_printf(&d->arena, "%s; %s", last->text, hint);
	if (text)
		last->text = text;
}

void diags_detail(struct diags *d, const char *lines)
{
	if (d->len)
		d->items[d->len - 1].detail = arena_strdup(&d->arena, lines);
}

static int by_place(const void *va, const void *vb)
{
	const struct diag *a = va, *b = vb;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

void diags_sort(struct diags *d)
{
	if (d->len)
		qsort(d->items, d->len, sizeof *d->items, by_place);
}

static void print_detail(const char *lines, struct buf *out)
{
	while (*lines) {
		size_t len = strcspn(lines, "\n");
		if (len)
			buf_printf(out, "    %.*s", (int)len, lines);
		buf_add_byte(out, '\n');
		lines += len + (lines[len] == '\n');
	}
}

void diags_print(const struct diags *d, enum diag_severity least, struct buf *out)
{
	static const char *const words[] = {"error", "warning", "notice"};
	uint32_t kept = d->errors + d->warnings + d->notices;

	for (uint32_t i = 0; i < d->len; i++) {
		const struct diag *item = &d->items[i];
		if (item->severity > least)
			continue;
		buf_printf(out, "%s: %s: %s\n", item->pos, words[item->severity], item->text);
		if (item->detail)
			print_detail(item->detail, out);
	}
	if (kept > d->len)
		buf_printf(out, "and %u more\n", kept - d->len);
}
