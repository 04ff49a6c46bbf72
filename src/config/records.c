#include "config/records.h"

#include "config/suggest.h"
#include "config/units.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS_ARENA_BYTES_MAX = 64 * 1024 * 1024 };

/* A place in the text. */
struct cursor {
	const char *file, *p, *end, *line_begin;
	uint32_t line;
	struct arena *arena;
	struct diags *diags;
	bool wrong; /* the record being read */
	bool no_memory, mistakes;
};

static struct config_pos here(const struct cursor *c, const char *p)
{
	return (struct config_pos){.file = c->file, .line = c->line, .column = (uint32_t)(p - c->line_begin) + 1};
}

static void mistake(struct cursor *c, const char *p, const char *text)
{
	struct config_pos pos = here(c, p);

	diags_add(c->diags, DIAG_ERROR, &pos, "%s", text);
	c->wrong = c->mistakes = true;
}

static const char *line_end(const struct cursor *c)
{
	const char *end = memchr(c->p, '\n', (size_t)(c->end - c->p));
	return end ? end : c->end;
}

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r';
}

static const char *copy(struct cursor *c, const char *from, const char *to)
{
	if (memchr(from, 0, (size_t)(to - from))) {
		mistake(c, from, "a NUL byte");
		return "";
	}
	const char *s = arena_strndup(c->arena, from, (size_t)(to - from));
	c->no_memory |= !s;
	return s ? s : "";
}

/* The value behind '=': a word, or up to the closing quote. */
static const char *value(struct cursor *c, const char *end)
{
	const char *begin = c->p;

	if (c->p < end && *c->p == '"') {
		const char *close = memchr(begin + 1, '"', (size_t)(end - begin - 1));
		if (!close) {
			mistake(c, begin, "this quote is not closed in its line");
			c->p = end;
			return "";
		}
		c->p = close + 1;
		if (c->p < end && !is_blank(*c->p))
			mistake(c, c->p, "a blank must follow the closing quote");
		return copy(c, begin + 1, close);
	}
	while (c->p < end && !is_blank(*c->p) && *c->p != '#')
		c->p++;
	if (c->p == begin)
		mistake(c, begin, "a value must follow '='");
	return copy(c, begin, c->p);
}

static void pair(struct cursor *c, const char *end, struct record *r)
{
	const char *begin = c->p;

	while (c->p < end && *c->p != '=' && !is_blank(*c->p))
		c->p++;
	if (c->p == end || *c->p != '=' || c->p == begin) {
		mistake(c, begin, "expected key=value; a name with blanks or a value with blanks needs double quotes");
		c->p = end;
		return;
	}
	struct record_pair p = {.pos = here(c, begin), .key = copy(c, begin, c->p)};
	c->p++;
	p.value = value(c, end);
	if (r->len == RECORD_PAIRS_MAX)
		mistake(c, begin, "too many keys in one record");
	else
		r->pairs[r->len++] = p;
}

/* The rest of a line: pairs, until a comment. */
static void pairs(struct cursor *c, const char *end, struct record *r)
{
	for (;;) {
		while (c->p < end && is_blank(*c->p))
			c->p++;
		if (c->p == end || *c->p == '#')
			return;
		pair(c, end, r);
	}
}

static void name(struct cursor *c, const char *end, struct record *r)
{
	const char *begin = c->p;

	while (c->p < end && !is_blank(*c->p))
		c->p++;
	*r = (struct record){.pos = here(c, begin), .name = copy(c, begin, c->p)};
	if (memchr(begin, '=', (size_t)(c->p - begin)))
		mistake(c, begin, "a record begins with its name at the left edge; indent lines that continue one");
}

static int finish(struct cursor *c, struct record *r, int (*each)(void *, const struct record *), void *ctx)
{
	int code = 0;

	if (c->no_memory)
		return -ENOMEM;
	if (r->name && !c->wrong)
		code = each(ctx, r);
	r->name = NULL;
	c->wrong = false;
	return code;
}

int records_parse(const char *file, const char *text, size_t len, struct arena *arena, struct diags *diags,
	int (*each)(void *ctx, const struct record *r), void *ctx)
{
	struct cursor c = {.file = file, .p = text, .end = text + len, .line = 1, .arena = arena, .diags = diags};
	struct record r = {0};
	uint32_t errors = diags->errors;
	int code = 0;

	for (; c.p < c.end && code == 0; c.line++) {
		const char *end = line_end(&c);
		c.line_begin = c.p;
		bool blank = *c.p == '#' || c.p == end || *c.p == '\r';
		if (!blank && !is_blank(*c.p)) {
			code = finish(&c, &r, each, ctx);
			name(&c, end, &r);
		}
		if (!blank && !r.name) {
			const char *p = c.p;
			while (p < end && is_blank(*p))
				p++;
			if (p < end && *p != '#')
				mistake(&c, p, "an indented line continues a record, and there is none above");
			c.wrong = false;
		} else if (!blank) {
			pairs(&c, end, &r);
		}
		c.p = end < c.end ? end + 1 : end;
	}
	code = code == 0 ? finish(&c, &r, each, ctx) : code;
	return code == 0 && (c.mistakes || diags->errors > errors) ? -EINVAL : code;
}

int records_read(const char *path, enum file_from from, char **ret, size_t *ret_len, struct err *err)
{
	struct buf text;

	buf_init(&text, RECORDS_BYTES_MAX);
	int code = file_read_text(&text, "", path, from, err);
	if (code == 0 && buf_reserve(&text, 0) < 0)
		code = err_set(err, -ENOMEM, "out of memory");
	if (code == 0) {
		*ret_len = text.len;
		*ret = TAKE(text.data);
	}
	buf_done(&text);
	return code;
}

int records_add_file(const char *path, struct diags *diags,
	int (*add)(const char *file, const char *text, size_t len, struct diags *diags), struct err *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t len = 0;
	int code = records_read(path, FILE_OR_PIPE, &text, &len, err);

	if (code < 0)
		return code;
	code = add(path, text, len, diags);
	return code == -EINVAL ? err_set(err, code, "\"%s\" has mistakes", path)
	       : code < 0      ? err_set(err, code, "out of memory")
			       : 0;
}

static const char *const yes_no[] = {"no", "yes", NULL};

static bool parse_word(const char *text, const char *const *words, uint32_t *ret)
{
	for (uint32_t i = 0; words[i]; i++)
		if (!strcmp(words[i], text)) {
			*ret = i;
			return true;
		}
	return false;
}

static bool parse_tenths(const char *text, uint32_t *ret)
{
	uint32_t whole, part;
	int end = 0;

	if (sscanf(text, "%4u.%1u%n", &whole, &part, &end) != 2 || text[end] || text[0] == '+' || text[0] == '-')
		return false;
	*ret = whole * 10 + part;
	return true;
}

static bool parse_number(const struct record_field *f, const char *text, void *at)
{
	uint64_t n = 0;

	if (f->kind == RECORD_F64)
		return units_parse_float(text, at) == 0 && *(double *)at >= 0;
	if (f->kind == RECORD_BYTES)
		return units_parse_bytes(text, at) == 0;
	if (f->kind == RECORD_TENTHS)
		return parse_tenths(text, at);
	if (units_parse_uint(text, &n) < 0 || (f->kind == RECORD_U32 && n > UINT32_MAX))
		return false;
	if (f->kind == RECORD_U32)
		*(uint32_t *)at = (uint32_t)n;
	else
		*(uint64_t *)at = n;
	return true;
}

static const char *wanted(enum record_kind kind)
{
	static const char *const names[] = {"a text", "a whole number", "a whole number", "a size such as 15360MiB",
		"a number", "yes or no", "two numbers and a point such as 7.5", "a known word"};
	return names[kind];
}

static bool fill_one(const struct record_field *f, const struct record_pair *p, void *ret, struct diags *d)
{
	union {
		double f64;
		uint64_t u64;
		uint32_t u32;
	} v = {0};
	char *at = (char *)ret + f->offset;
	bool ok = true;

	switch (f->kind) {
	case RECORD_TEXT:
		*(const char **)(void *)at = p->value;
		return true;
	case RECORD_BOOL:
		ok = parse_word(p->value, yes_no, &v.u32);
		if (ok)
			*(bool *)at = v.u32;
		break;
	case RECORD_WORD:
		ok = parse_word(p->value, f->words, &v.u32);
		if (ok)
			memcpy(at, &v.u32, sizeof v.u32);
		break;
	default:
		ok = parse_number(f, p->value, &v);
		if (ok)
			memcpy(at, &v, f->kind == RECORD_U32 || f->kind == RECORD_TENTHS ? sizeof v.u32 : sizeof v.u64);
	}
	if (!ok)
		diags_add(d, DIAG_ERROR, &p->pos, "%s=\"%s\" is not %s", p->key, p->value, wanted(f->kind));
	return ok;
}

static const struct record_field *field_find(const struct record_field *fields, uint32_t count, const char *key)
{
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(fields[i].key, key))
			return &fields[i];
	return NULL;
}

static bool unknown_key(const struct record_field *fields, uint32_t count, const struct record_pair *p, struct diags *d)
{
	struct suggest s;

	suggest_init(&s, p->key);
	for (uint32_t i = 0; i < count; i++)
		suggest_offer(&s, fields[i].key);
	diags_add(d, DIAG_ERROR, &p->pos, "unknown key \"%s\"", p->key);
	if (suggest_best(&s))
		diags_hint(d, "did you mean \"%s\"?", suggest_best(&s));
	return false;
}

static bool given(const struct record *r, const char *key, uint32_t below)
{
	for (uint32_t i = 0; i < below; i++)
		if (!strcmp(r->pairs[i].key, key))
			return true;
	return false;
}

bool record_fill(
	const struct record *r, const struct record_field *fields, uint32_t count, void *ret, struct diags *diags)
{
	bool ok = true;

	for (uint32_t i = 0; i < r->len; i++) {
		const struct record_pair *p = &r->pairs[i];
		const struct record_field *f = field_find(fields, count, p->key);
		if (!f) {
			ok = unknown_key(fields, count, p, diags);
		} else if (given(r, p->key, i)) {
			diags_add(diags, DIAG_ERROR, &p->pos, "\"%s\" is given twice", p->key);
			ok = false;
		} else {
			ok = fill_one(f, p, ret, diags) && ok;
		}
	}
	for (uint32_t i = 0; i < count; i++)
		if (fields[i].required && !given(r, fields[i].key, r->len)) {
			diags_add(diags, DIAG_ERROR, &r->pos, "\"%s\" lacks the key \"%s\"", r->name, fields[i].key);
			ok = false;
		}
	return ok;
}

int record_rows_load(struct record_rows *c, const char *file, const char *text, size_t len,
	int (*each)(void *ctx, const struct record *r))
{
	struct diags d;
	int code = 0;

	pthread_mutex_lock(&c->lock);
	if (!c->loaded) {
		arena_init(&c->arena, ROWS_ARENA_BYTES_MAX);
		diags_init(&d);
		code = records_parse(file, text, len, &c->arena, &d, each, &d);
		diags_done(&d);
		c->loaded = code == 0;
	}
	if (!c->loaded) {
		arena_done(&c->arena);
		c->len = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return code;
}

void record_rows_put(struct record_rows *c, void *old, const void *row, const struct record *r, struct diags *d)
{
	if (!old && c->len == c->max) {
		diags_add(d, DIAG_ERROR, &r->pos, "more than %u %s", c->max, c->what);
		return;
	}
	memcpy(old ? old : (char *)c->rows + c->row_bytes * c->len++, row, c->row_bytes);
}
