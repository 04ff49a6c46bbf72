/* edit.c - a graph's text with some values changed; see edit.h. */
#include "plan/edit.h"
#include "config/yaml.h"

#include <stdio.h>
#include <string.h>

/* What changes. */

static void number(char *ret, uint64_t n)
{
	snprintf(ret, PLAN_VALUE_BYTES, "%llu", (unsigned long long)n);
}

void plan_edit_value(char *ret, const struct plan_service *s, enum plan_key key)
{
	*ret = '\0';
	switch (key) {
	case PLAN_WORKERS:
		number(ret, s->workers);
		break;
	case PLAN_GPUS:
		snprintf(ret, PLAN_VALUE_BYTES, "%g", s->share < 1 ? s->share : s->given ? s->given : s->gpus);
		break;
	case PLAN_TP:
		number(ret, s->tp);
		break;
	case PLAN_PP:
		number(ret, s->pp);
		break;
	case PLAN_DP:
		number(ret, s->dp);
		break;
	case PLAN_DTYPE:
		snprintf(ret, PLAN_VALUE_BYTES, "%s", s->dtype);
		break;
	case PLAN_QUANT:
		snprintf(ret, PLAN_VALUE_BYTES, "%s", s->quant ? s->quant : "");
		break;
	case PLAN_KV:
		snprintf(ret, PLAN_VALUE_BYTES, "%s", s->kv);
		break;
	case PLAN_ATTENTION:
		snprintf(ret, PLAN_VALUE_BYTES, "%s", s->attention ? s->attention : "");
		break;
	case PLAN_UTILIZATION:
		snprintf(ret, PLAN_VALUE_BYTES, "%.2f", s->utilization);
		break;
	case PLAN_CONTEXT:
		number(ret, s->context);
		break;
	case PLAN_BATCH:
		number(ret, s->batch);
		break;
	case PLAN_SEQS:
		number(ret, s->seqs);
		break;
	case PLAN_BLOCK:
		number(ret, s->block);
		break;
	case PLAN_THREADS:
		if (s->threads)
			number(ret, s->threads);
		break;
	case PLAN_REMOTE_PREFILL:
		snprintf(ret, PLAN_VALUE_BYTES, "%s", s->remote_prefill ? "true" : "false");
		break;
	case PLAN_CONDITIONAL:
		snprintf(ret, PLAN_VALUE_BYTES, "%s", s->conditional ? "true" : "false");
		break;
	case PLAN_ROLE:
		snprintf(ret, PLAN_VALUE_BYTES, "%s", graph_role_name(s->role));
		break;
	default:
		break;
	}
}

static void add(
	struct plan_edits *e, const struct plan_service *s, enum plan_key key, const char *before, const char *after)
{
	const char *name = plan_key_name(s->engine, key);
	/* What gpu stands for when it is not written is another key's value. */
	bool set = key == PLAN_GPUS ? s->graph->gpus_set : s->set[key];

	if (!name || e->len == PLAN_EDITS_MAX)
		return;
	struct plan_edit *x = &e->items[e->len++];
	*x = (struct plan_edit){.service = s->name, .key = name};
	snprintf(x->before, sizeof x->before, "%s", set ? before : "");
	snprintf(x->after, sizeof x->after, "%s", after);
	if (set)
		x->pos = s->pos[key];
}

static void diff(struct plan_edits *e, const struct plan_service *a, const struct plan_service *b, const char *model)
{
	for (enum plan_key key = 0; key < PLAN_KEYS; key++) {
		char before[PLAN_VALUE_BYTES], after[PLAN_VALUE_BYTES];
		plan_edit_value(before, a, key);
		plan_edit_value(after, b, key);
		if (key == PLAN_MODEL && model && a->quant != b->quant)
			add(e, a, key, a->graph->model, model);
		/* A service that gets no worker keeps its other settings. */
		else if (strcmp(before, after) && *after && (b->workers || key == PLAN_WORKERS))
			add(e, a, key, before, after);
	}
}

void plan_edits(struct plan_edits *ret, const struct plan_deployment *a, const struct plan_deployment *b,
	const char *quant_model)
{
	ret->len = 0;
	for (uint32_t i = 0; i < a->len; i++)
		diff(ret, &a->services[i], &b->services[i], quant_model);
}

/* The text. One change of it: what stood from at to end becomes text. */

struct splice {
	size_t at, end;
	const char *text; /* in the arena, or an edit's */
	uint32_t order;
};

struct patch {
	const char *file, *text;
	size_t len;
	struct arena *arena;
	struct yaml_node *root;
	struct splice splices[PLAN_EDITS_MAX];
	uint32_t count;
	struct err *err;
};

/* Byte of a line and column (in characters), both from 1. */
static size_t offset_of(const struct patch *p, const struct config_pos *pos)
{
	size_t at = 0;

	for (uint32_t line = 1; line < pos->line && at < p->len; at++)
		line += p->text[at] == '\n';
	for (uint32_t column = 1; column < pos->column && at < p->len && p->text[at] != '\n'; column++)
		for (at++; at < p->len && ((unsigned char)p->text[at] & 0xc0) == 0x80;)
			at++;
	return at;
}

static size_t line_end(const struct patch *p, size_t at)
{
	while (at < p->len && p->text[at] != '\n')
		at++;
	return at;
}

/* Behind the scalar that begins at at; at itself when it is none that can be replaced. */
static size_t scalar_end(const struct patch *p, size_t at)
{
	char quote = at < p->len ? p->text[at] : '\0';
	size_t end = at;

	if (quote == '"' || quote == '\'') {
		for (end++; end < p->len && p->text[end] != quote; end++)
			if (quote == '"' && p->text[end] == '\\')
				end++;
		return MIN(end + 1, p->len);
	}
	if (!quote || strchr("&*!|>[{", quote))
		return at;
	while (end < p->len && !strchr(" \t\r\n,]}", p->text[end]))
		end++;
	return end;
}

static int splice(struct patch *p, size_t at, size_t end, const char *text)
{
	for (uint32_t i = 0; i < p->count; i++) /* a value of Common that two services take */
		if (end > at && p->splices[i].at == at && p->splices[i].end == end)
			return 0;
	if (p->count == PLAN_EDITS_MAX)
		return err_set(p->err, -E2BIG, "too many changes");
	struct splice *s = &p->splices[p->count];
	*s = (struct splice){.at = at, .end = end, .text = text, .order = p->count++};
	return text ? 0 : err_set(p->err, -ENOMEM, "out of memory");
}

static int replace(struct patch *p, const struct plan_edit *e)
{
	char where[512];

	if (e->pos.option)
		return err_set(p->err, -EINVAL,
			"%s.%s is set by \"%s\" and not in the file; leave that out and plan again", e->service, e->key,
			e->pos.option);
	size_t at = offset_of(p, &e->pos), end = scalar_end(p, at);
	if (end == at)
		return err_set(p->err, -EINVAL, "%s: the value of %s.%s is written in a form that cannot be replaced",
			config_pos_text(&e->pos, where, sizeof where), e->service, e->key);
	return splice(p, at, end, e->after);
}

static const char *line_break(const struct patch *p)
{
	const char *n = memchr(p->text, '\n', p->len);

	return n && n > p->text && n[-1] == '\r' ? "\r\n" : "\n";
}

static bool in_braces(const struct patch *p, const struct yaml_node *map)
{
	size_t at = offset_of(p, &map->pos);

	return map->type == YAML_MAP && at < p->len && p->text[at] == '{';
}

/* member as the first line (or, in braces, the first member) of a map: "key: value" and what is below it, lines of their
 * own indented as for a map at column 0. */
static int insert_into(struct patch *p, const struct yaml_node *map, const char *member)
{
	uint32_t indent = map->first ? map->first->key_pos.column - 1 : map->key_pos.column + 1;
	struct buf text;

	if (in_braces(p, map)) {
		size_t at = offset_of(p, &map->pos) + 1;
		return splice(p, at, at, arena_printf(p->arena, "%s%s", member, map->count ? ", " : ""));
	}
	/* Before the first child; a map without children is a bare key, and the lines follow it. */
	size_t at = map->first ? offset_of(p, &(struct config_pos){.line = map->first->key_pos.line, .column = 1})
			       : line_end(p, offset_of(p, &map->key_pos));
	buf_init(&text, YAML_BYTES_MAX);
	for (const char *line = member; *line;) {
		size_t len = strcspn(line, "\n");
		buf_printf(&text, "%s%*s%.*s%s", map->first ? "" : line_break(p), (int)indent, "", (int)len, line,
			map->first ? line_break(p) : "");
		line += len + (line[len] == '\n');
	}
	const char *copy = text.failed ? NULL : arena_strdup(p->arena, buf_str(&text));
	buf_done(&text);
	return splice(p, at, at, copy);
}

/* "resources.gpu" and 4 as a member of a map: two lines, or "resources: {gpu: 4}" in braces. */
static void member_add(struct buf *out, const char *path, const char *value, bool braces, uint32_t indent)
{
	const char *dot = strchr(path, '.');

	if (!braces)
		buf_printf(out, "%*s", (int)indent, "");
	if (!dot) {
		buf_printf(out, "%s: %s", path, value);
	} else {
		buf_printf(out, "%.*s:%s", (int)(dot - path), path, braces ? " {" : "\n");
		member_add(out, dot + 1, value, braces, indent + 2);
		buf_add_str(out, braces ? "}" : "");
	}
}

/* A map that is missing gets all the members that edits put into it, with the first of them. */
static int insert_map(struct patch *p, const struct plan_edits *edits, const struct plan_edit *e,
	const struct yaml_node *map, const char *rest)
{
	size_t prefix = (size_t)(rest - e->key) + strcspn(rest, ".") + 1;
	bool braces = in_braces(p, map), first = true;
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	buf_printf(&text, "%.*s:%s", (int)strcspn(rest, "."), rest, braces ? " {" : "");
	for (uint32_t i = 0; i < edits->len; i++) {
		const struct plan_edit *x = &edits->items[i];
		if (strcmp(x->service, e->service) || strncmp(x->key, e->key, prefix) || x->pos.line || x->pos.option)
			continue;
		if (first && x != e) { /* done already */
			buf_done(&text);
			return 0;
		}
		buf_add_str(&text, braces ? (first ? "" : ", ") : "\n");
		member_add(&text, x->key + prefix, x->after, braces, 2);
		first = false;
	}
	buf_add_str(&text, braces ? "}" : "");
	const char *copy = text.failed ? NULL : arena_strdup(p->arena, buf_str(&text));
	buf_done(&text);
	return copy ? insert_into(p, map, copy) : err_set(p->err, -ENOMEM, "out of memory");
}

/* A key that is not in the file: below its service, and below maps on the way that may be missing too. */
static int insert(struct patch *p, const struct plan_edits *edits, const struct plan_edit *e)
{
	const struct yaml_node *map = yaml_find(p->root, e->service);
	char key[PLAN_VALUE_BYTES];
	const char *rest = e->key;

	if (!map || (map->type != YAML_MAP && map->type != YAML_NULL))
		return err_set(p->err, -EINVAL, "%s: there is no section \"%s\" to write %s into", p->file, e->service,
			e->key);
	for (;;) {
		size_t part = strcspn(rest, ".");
		if (!rest[part])
			break;
		snprintf(key, sizeof key, "%.*s", (int)part, rest);
		const struct yaml_node *below = yaml_find(map, key);
		if (!below || (below->type != YAML_MAP && below->type != YAML_NULL))
			return insert_map(p, edits, e, map, rest);
		map = below;
		rest += part + 1;
	}
	const char *member = arena_printf(p->arena, "%s: %s", rest, e->after);
	return member ? insert_into(p, map, member) : err_set(p->err, -ENOMEM, "out of memory");
}

static int by_place(const void *va, const void *vb)
{
	const struct splice *a = va, *b = vb;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

static int apply(struct patch *p, struct buf *out)
{
	size_t done = 0;

	if (p->count)
		qsort(p->splices, p->count, sizeof *p->splices, by_place);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct splice *s = &p->splices[i];
		if (s->at < done)
			return err_set(p->err, -EINVAL, "%s: two changes are in each other's way", p->file);
		buf_add(out, p->text + done, s->at - done);
		buf_add_str(out, s->text);
		done = s->end;
	}
	buf_add(out, p->text + done, p->len - done);
	return out->failed ? err_set(p->err, -ENOMEM, "out of memory") : 0;
}

int plan_edit_text(const struct plan_edits *edits, const char *file, const char *text, size_t len, struct buf *out,
	struct err *err)
{
	struct patch *p = calloc(1, sizeof *p);
	struct arena arena;
	struct diags diags;
	int r = -ENOMEM;

	arena_init(&arena, YAML_ARENA_BYTES_MAX);
	diags_init(&diags);
	if (p) {
		*p = (struct patch){.file = file, .text = text, .len = len, .arena = &arena, .err = err};
		r = yaml_parse(&p->root, &arena, file, text, len, &diags);
	}
	if (r < 0)
		err_set(err, r, "%s cannot be read", file);
	for (uint32_t i = 0; r == 0 && i < edits->len; i++) {
		const struct plan_edit *e = &edits->items[i];
		r = e->pos.line || e->pos.option ? replace(p, e) : insert(p, edits, e);
	}
	if (r == 0)
		r = apply(p, out);
	free(p);
	diags_done(&diags);
	arena_done(&arena);
	return r;
}
