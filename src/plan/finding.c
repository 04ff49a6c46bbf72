/* finding.c - noting, ordering and printing findings; see finding.h. */
#include "plan/finding.h"
#include "base/json_out.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS_DEFAULT = 100, COLUMNS_LEAST = 40, INDENT = 4, TEXT_BYTES_MAX = 4096 };

void findings_init(struct findings *f)
{
	*f = (struct findings){0};
	arena_init(&f->arena, FINDINGS_BYTES_MAX);
}

void findings_done(struct findings *f)
{
	free(f->items);
	arena_done(&f->arena);
	*f = (struct findings){0};
}

void findings_reset(struct findings *f)
{
	arena_reset(&f->arena);
	f->len = f->fatals = f->warnings = f->infos = 0;
	f->open = false;
}

/* Noting. */

static bool make_room(struct findings *f)
{
	if (f->len < f->cap)
		return true;
	if (f->len == FINDINGS_MAX)
		return false;
	uint32_t cap = MIN(MAX(f->cap * 2, 8u), (uint32_t)FINDINGS_MAX);
	struct finding *items = realloc(f->items, cap * sizeof *items);
	if (!items)
		return false;
	f->items = items;
	f->cap = cap;
	return true;
}

static bool is_known(const struct findings *f, const struct finding *x)
{
	for (uint32_t i = 0; i < f->len; i++) {
		const struct finding *y = &f->items[i];
		if (y->line == x->line && y->column == x->column && !strcmp(y->file, x->file) &&
			!strcmp(y->what, x->what))
			return true;
	}
	return false;
}

static void count(struct findings *f, enum finding_severity severity)
{
	f->fatals += severity == FINDING_FATAL;
	f->warnings += severity == FINDING_WARNING;
	f->infos += severity == FINDING_INFO;
}

/* Further words go to the item added last; after one that was not kept they go nowhere. */
static struct finding *last_of(struct findings *f)
{
	return f->open ? &f->items[f->len - 1] : NULL;
}

bool findings_add(struct findings *f, enum finding_severity severity, enum finding_class kind, const char *code,
	const struct config_pos *pos, const char *fmt, ...)
{
	char text[TEXT_BYTES_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	struct finding x = {.severity = severity, .kind = kind, .code = code, .what = text};
	const char *file = !pos ? NULL : pos->option ? pos->option : pos->file;
	x.file = file ? file : "";
	x.line = pos && !pos->option ? pos->line : 0;
	x.column = x.line ? pos->column : 0;
	f->open = false;
	if (is_known(f, &x))
		return false;
	count(f, severity);
	x.order = f->fatals + f->warnings + f->infos;
	x.file = arena_strdup(&f->arena, x.file);
	x.what = arena_strdup(&f->arena, text);
	if (!x.file || !x.what || !make_room(f))
		return false;
	f->items[f->len++] = x;
	f->open = true;
	return true;
}

static void append_line(struct findings *f, const char **field, const char *fmt, va_list ap)
{
	char text[TEXT_BYTES_MAX];

	vsnprintf(text, sizeof text, fmt, ap);
	const char *both = *field ? arena_printf(&f->arena, "%s\n%s", *field, text) : arena_strdup(&f->arena, text);
	*field = both ? both : *field;
}

void findings_arithmetic(struct findings *f, const char *fmt, ...)
{
	struct finding *x = last_of(f);
	va_list ap;

	va_start(ap, fmt);
	if (x)
		append_line(f, &x->arithmetic, fmt, ap);
	va_end(ap);
}

void findings_evidence(struct findings *f, const char *fmt, ...)
{
	struct finding *x = last_of(f);
	va_list ap;

	va_start(ap, fmt);
	if (x)
		append_line(f, &x->evidence, fmt, ap);
	va_end(ap);
}

void findings_remedy(struct findings *f, const char *fmt, ...)
{
	struct finding *x = last_of(f);
	va_list ap;

	va_start(ap, fmt);
	if (x)
		append_line(f, &x->remedy, fmt, ap);
	va_end(ap);
}

void findings_releases(struct findings *f, const char *fmt, ...)
{
	struct finding *x = last_of(f);
	va_list ap;

	va_start(ap, fmt);
	if (x)
		append_line(f, &x->releases, fmt, ap);
	va_end(ap);
}

void findings_harmless(struct findings *f)
{
	struct finding *x = last_of(f);

	if (x)
		x->harmless = true;
}

void findings_wraps(struct findings *f)
{
	struct finding *x = last_of(f);

	if (x)
		x->wraps = true;
}

void findings_unchecked(struct findings *f)
{
	struct finding *x = last_of(f);

	f->unchecked++;
	if (x)
		x->unchecked = true;
}

static int worst_first(const void *va, const void *vb)
{
	const struct finding *a = va, *b = vb;

	if (a->severity != b->severity)
		return a->severity < b->severity ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

void findings_drop_fatal(struct findings *f, enum finding_class kind)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < f->len; i++)
		if (f->items[i].severity != FINDING_FATAL || f->items[i].kind != kind)
			f->items[kept++] = f->items[i];
	f->fatals -= f->len - kept;
	f->len = kept;
	f->open = false;
}

void findings_sort(struct findings *f)
{
	f->open = false;
	if (f->len)
		qsort(f->items, f->len, sizeof *f->items, worst_first);
}

bool findings_has(const struct findings *f, const char *code)
{
	for (uint32_t i = 0; i < f->len; i++)
		if (!strcmp(f->items[i].code, code))
			return true;
	return false;
}

const char *finding_severity_name(enum finding_severity severity)
{
	static const char *const names[] = {"fatal", "warning", "info"};

	return names[severity];
}

const char *finding_class_name(enum finding_class kind)
{
	static const char *const names[] = {"capacity", "configuration", "environment", "crash"};

	return names[kind];
}

/* Text. */

/* Characters, not bytes: continuation bytes of UTF-8 take no column. */
static uint32_t width_of(const char *s, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

void finding_wrap(struct buf *out, const char *text, uint32_t indent, uint32_t columns, bool first_indented)
{
	uint32_t at = indent;

	if (first_indented)
		buf_printf(out, "%*s", (int)indent, "");
	for (bool begin = true; *text;) {
		size_t len = strcspn(text, " \n");
		uint32_t width = width_of(text, len);
		if (!begin && len && at + 1 + width > columns) {
			buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
			begin = true;
		}
		if (!begin && len)
			buf_add_byte(out, ' ');
		at += width + (!begin && len);
		buf_add(out, text, len);
		begin = begin && !len;
		text += len;
		if (*text == '\n') {
			buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
			begin = true;
		}
		text += *text != '\0';
	}
	buf_add_byte(out, '\n');
}

static void print_lines(struct buf *out, const char *lines, const char *before)
{
	while (*lines) {
		size_t len = strcspn(lines, "\n");
		buf_printf(out, "%s%.*s\n", before, (int)len, lines);
		lines += len + (lines[len] == '\n');
	}
}

static void print_place(struct buf *out, const struct finding *x)
{
	if (!*x->file)
		return;
	buf_add_str(out, x->file);
	if (x->line)
		buf_printf(out, ":%u", x->line);
	if (x->column)
		buf_printf(out, ":%u", x->column);
	buf_add_str(out, ": ");
}

static void print_one(const struct finding *x, const struct findings_look *look, uint32_t columns, struct buf *out)
{
	static const char *const colors[] = {"\033[1;31m", "\033[1;33m", "\033[1;36m"};
	const char *on = look->color ? colors[x->severity] : "", *off = look->color ? "\033[0m" : "";
	struct buf head;

	buf_init(&head, 2 * TEXT_BYTES_MAX);
	print_place(out, x);
	buf_printf(out, "%s%s%s: ", on, finding_severity_name(x->severity), off);
	print_place(&head, x);
	buf_printf(&head, "%s: ", finding_severity_name(x->severity));
	/* The sentence goes on behind its place when a good part of it fits there, else below. */
	uint32_t used = width_of(buf_str(&head), head.len), first = width_of(x->what, strlen(x->what));
	buf_done(&head);
	if (used + first <= columns) {
		buf_printf(out, "%s%s\n", x->what, x->harmless ? " (harmless)" : "");
	} else {
		buf_printf(out, "%s\n", x->harmless ? "(harmless)" : finding_class_name(x->kind));
		finding_wrap(out, x->what, INDENT, columns, true);
	}
	if (x->releases)
		buf_printf(out, "    with %s\n", x->releases);
	if (x->evidence)
		print_lines(out, x->evidence, "    | ");
	if (x->arithmetic)
		print_lines(out, x->arithmetic, "      ");
	if (x->remedy) {
		buf_printf(out, "    %sremedy:%s ", look->color ? "\033[1m" : "", off);
		finding_wrap(out, x->remedy, INDENT + 8, columns, false);
	}
}

void findings_print(const struct findings *f, const struct findings_look *look, struct buf *out)
{
	uint32_t columns = look->columns ? MAX(look->columns, (uint32_t)COLUMNS_LEAST) : COLUMNS_DEFAULT;
	uint32_t kept = f->fatals + f->warnings + f->infos;

	for (uint32_t i = 0; i < f->len; i++)
		if (f->items[i].severity <= look->least)
			print_one(&f->items[i], look, columns, out);
	if (kept > f->len)
		buf_printf(out, "and %u more\n", kept - f->len);
}

/* JSON. */

static void json_field(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	json_out_cstr(out, text ? text : "");
}

static void json_lines(struct buf *out, const char *name, const char *lines)
{
	buf_printf(out, ",\"%s\":[", name);
	for (bool first = true; lines && *lines; first = false) {
		size_t len = strcspn(lines, "\n");
		buf_add_str(out, first ? "" : ",");
		json_out_str(out, lines, len);
		lines += len + (lines[len] == '\n');
	}
	buf_add_byte(out, ']');
}

static void json_one(const struct finding *x, struct buf *out)
{
	buf_printf(out, "{\"severity\":\"%s\",\"class\":\"%s\"", finding_severity_name(x->severity),
		finding_class_name(x->kind));
	json_field(out, "code", x->code);
	json_field(out, "cause", x->what);
	json_field(out, "file", x->file);
	buf_printf(out, ",\"line\":%u,\"column\":%u", x->line, x->column);
	json_lines(out, "arithmetic", x->arithmetic);
	json_lines(out, "evidence", x->evidence);
	json_field(out, "remedy", x->remedy);
	json_field(out, "releases", x->releases);
	buf_printf(out, ",\"harmless\":%s,\"unchecked\":%s}", x->harmless ? "true" : "false",
		x->unchecked ? "true" : "false");
}

void findings_json(const struct findings *f, struct buf *out)
{
	buf_add_byte(out, '[');
	for (uint32_t i = 0; i < f->len; i++) {
		buf_add_str(out, i ? ",\n " : "");
		json_one(&f->items[i], out);
	}
	buf_add_byte(out, ']');
}
