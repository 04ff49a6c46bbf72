#include "config/yaml.h"

#include "base/map.h"
#include "base/utf8.h"
#include "config/suggest.h"
#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

enum { ANCHORS_MAX = 256 };

struct anchor {
	const char *name;
	struct yaml_node *node;
	bool open; /* its node is still being read: an alias to it would be endless */
};

/* One map or list being read. */
struct level {
	struct yaml_node *node;
	const char *key; /* a map's key that waits for its value */
	struct config_pos key_pos;
	struct anchor *anchor;
};

struct builder {
	struct arena *arena;
	const char *file;
	struct diags *diags;
	struct yaml_node *root;
	struct level levels[YAML_DEPTH_MAX];
	uint32_t depth, nodes, documents;
	struct anchor anchors[ANCHORS_MAX];
	uint32_t anchors_len;
};

struct yaml_node *yaml_node_create(struct arena *arena, enum yaml_type type, const struct config_pos *pos)
{
	struct yaml_node *n = arena_alloc(arena, sizeof *n);

	if (n)
		*n = (struct yaml_node){.type = type, .text = "", .pos = *pos, .key_pos = *pos};
	return n;
}

void yaml_append(struct yaml_node *parent, struct yaml_node *child)
{
	child->next = NULL;
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->count++;
}

struct yaml_node *yaml_find(const struct yaml_node *map, const char *key)
{
	struct yaml_node *found = NULL;

	if (map->type != YAML_MAP)
		return NULL;
	for (struct yaml_node *n = map->first; n; n = n->next)
		if (config_name_equal(n->key, key))
			found = n;
	return found;
}

static int refuse(struct builder *b, const struct config_pos *pos, const char *what)
{
	diags_add(b->diags, DIAG_ERROR, pos, "%s", what);
	return -EINVAL;
}

static int too_many(struct builder *b, const struct config_pos *pos)
{
	diags_add(b->diags, DIAG_ERROR, pos,
		"too many keys and values; at most %d are read, aliases counted as often as used", YAML_NODES_MAX);
	return -EINVAL;
}

static struct config_pos pos_of(struct builder *b, struct fy_token *token)
{
	const struct fy_mark *m = token ? fy_token_start_mark(token) : NULL;

	return (struct config_pos){
		.file = b->file, .line = m ? (uint32_t)m->line + 1 : 1, .column = m ? (uint32_t)m->column + 1 : 1};
}

static char *token_text(struct builder *b, struct fy_token *token)
{
	size_t len = 0;
	const char *text = token ? fy_token_get_text(token, &len) : NULL;

	return arena_strndup(b->arena, text ? text : "", text ? len : 0);
}

static bool is_null_word(const char *s)
{
	return !*s || !strcmp(s, "~") || !strcmp(s, "null") || !strcmp(s, "Null") || !strcmp(s, "NULL");
}

/* Put a whole node where it belongs: under the open map or list, or as the root. */
static int place(struct builder *b, struct yaml_node *node)
{
	if (++b->nodes > YAML_NODES_MAX)
		return too_many(b, &node->pos);
	if (b->depth == 0) {
		b->root = node;
		return 0;
	}
	struct level *top = &b->levels[b->depth - 1];
	if (top->node->type == YAML_SEQ) {
		yaml_append(top->node, node);
		return 0;
	}
	if (!top->key) {
		if (node->type != YAML_SCALAR && node->type != YAML_NULL)
			return refuse(b, &node->pos, "a map or list cannot be a key");
		top->key = node->text;
		top->key_pos = node->pos;
		return 0;
	}
	node->key = top->key;
	node->key_pos = top->key_pos;
	top->key = NULL;
	yaml_append(top->node, node);
	return 0;
}

static int note_anchor(struct builder *b, struct fy_token *token, struct yaml_node *node, struct anchor **ret)
{
	*ret = NULL;
	if (!token)
		return 0;
	if (b->anchors_len == ANCHORS_MAX)
		return refuse(b, &node->pos, "too many anchors; a file may hold 256");
	const char *name = token_text(b, token);
	if (!name)
		return -ENOMEM;
	*ret = &b->anchors[b->anchors_len++];
	**ret = (struct anchor){.name = name, .node = node, .open = node->type == YAML_MAP || node->type == YAML_SEQ};
	return 0;
}

static int on_scalar(struct builder *b, struct fy_event *e)
{
	struct config_pos pos = pos_of(b, e->scalar.value);
	struct yaml_node *n = yaml_node_create(b->arena, YAML_SCALAR, &pos);
	struct anchor *anchor;

	if (!n || !(n->text = token_text(b, e->scalar.value)))
		return -ENOMEM;
	enum fy_scalar_style style = e->scalar.value ? fy_token_scalar_style(e->scalar.value) : FYSS_PLAIN;
	n->quoted = style != FYSS_PLAIN;
	/* The library's mark is behind the opening quote. */
	if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && n->pos.column > 1)
		n->pos.column = n->key_pos.column = n->pos.column - 1;
	if (!n->quoted && !e->scalar.tag && is_null_word(n->text))
		n->type = YAML_NULL;
	int r = note_anchor(b, e->scalar.anchor, n, &anchor);
	return r < 0 ? r : place(b, n);
}

static int on_start(struct builder *b, enum yaml_type type, struct fy_token *start, struct fy_token *anchor)
{
	struct config_pos pos = pos_of(b, start);
	struct yaml_node *n = yaml_node_create(b->arena, type, &pos);
	struct anchor *a;

	if (!n)
		return -ENOMEM;
	if (b->depth == YAML_DEPTH_MAX)
		return refuse(b, &pos, "nested too deep; 32 levels are read");
	/* A key must be a scalar: refuse a map in its place before it is read. */
	int r = place(b, n);
	if (r == 0)
		r = note_anchor(b, anchor, n, &a);
	if (r < 0)
		return r;
	b->levels[b->depth++] = (struct level){.node = n, .anchor = a};
	return 0;
}

static int copy_children(
	struct builder *b, struct yaml_node *dst, const struct yaml_node *src, const struct config_pos *at);

/* Depth is bounded: src was read under YAML_DEPTH_MAX, and each copy of a copy is counted as nodes. */
static int copy_node(
	struct builder *b, const struct yaml_node *src, const struct config_pos *at, struct yaml_node **ret)
{
	struct yaml_node *n = yaml_node_create(b->arena, src->type, &src->pos);

	if (!n)
		return -ENOMEM;
	if (++b->nodes > YAML_NODES_MAX)
		return too_many(b, at);
	n->text = src->text;
	n->quoted = src->quoted;
	n->key = src->key;
	n->key_pos = src->key_pos;
	*ret = n;
	return copy_children(b, n, src, at);
}

static int copy_children(
	struct builder *b, struct yaml_node *dst, const struct yaml_node *src, const struct config_pos *at)
{
	for (const struct yaml_node *c = src->first; c; c = c->next) {
		struct yaml_node *copy;
		int r = copy_node(b, c, at, &copy);
		if (r < 0)
			return r;
		yaml_append(dst, copy);
	}
	return 0;
}

static uint32_t depth_of(const struct yaml_node *n)
{
	uint32_t deepest = 0;

	for (const struct yaml_node *c = n->first; c; c = c->next)
		deepest = MAX(deepest, depth_of(c) + 1);
	return deepest;
}

static int on_alias(struct builder *b, struct fy_event *e)
{
	struct config_pos pos = pos_of(b, e->alias.anchor);
	const char *name = token_text(b, e->alias.anchor);
	const struct anchor *a = NULL;
	struct yaml_node *copy;

	if (!name)
		return -ENOMEM;
	pos.column -= pos.column > 1; /* the library's mark is behind the star */
	for (uint32_t i = b->anchors_len; i-- > 0 && !a;)
		if (!strcmp(b->anchors[i].name, name))
			a = &b->anchors[i];
	if (!a || a->open) {
		diags_add(b->diags, DIAG_ERROR, &pos, "alias \"*%s\" %s", name,
			a ? "is inside its own anchor" : "has no anchor before it");
		return -EINVAL;
	}
	if (b->depth + depth_of(a->node) > YAML_DEPTH_MAX)
		return refuse(b, &pos, "nested too deep; 32 levels are read");
	int r = copy_node(b, a->node, &pos, &copy);
	if (r < 0)
		return r;
	if (copy->type == YAML_SCALAR || copy->type == YAML_NULL)
		copy->pos = pos;
	return place(b, copy);
}

/* "<<: *defaults": what is written beside it wins. */
static int merge_into(struct builder *b, struct yaml_node *map, const struct yaml_node *from)
{
	if (from->type == YAML_SEQ) {
		for (const struct yaml_node *c = from->first; c; c = c->next) {
			int r = c->type == YAML_MAP ? merge_into(b, map, c) : -EINVAL;
			if (r < 0)
				return r == -EINVAL ? refuse(b, &c->pos, "\"<<\" takes maps only") : r;
		}
		return 0;
	}
	if (from->type != YAML_MAP)
		return refuse(b, &from->pos, "\"<<\" takes a map, usually an alias such as *defaults");
	for (const struct yaml_node *c = from->first; c; c = c->next) {
		struct yaml_node *copy;
		if (yaml_find(map, c->key))
			continue;
		int r = copy_node(b, c, &from->pos, &copy);
		if (r < 0)
			return r;
		yaml_append(map, copy);
	}
	return 0;
}

static int apply_merges(struct builder *b, struct yaml_node *map)
{
	struct yaml_node *children = map->first, *merge = NULL;

	map->first = map->last = NULL;
	map->count = 0;
	for (struct yaml_node *c = children, *next; c; c = next) {
		next = c->next;
		if (strcmp(c->key, "<<"))
			yaml_append(map, c);
		else
			merge = c;
	}
	return merge ? merge_into(b, map, merge) : 0;
}

static int on_end(struct builder *b)
{
	ASSERT(b->depth);
	struct level *top = &b->levels[--b->depth];

	if (top->anchor)
		top->anchor->open = false;
	return top->node->type == YAML_MAP ? apply_merges(b, top->node) : 0;
}

static int on_event(struct builder *b, struct fy_event *e)
{
	struct config_pos pos;

	switch (e->type) {
	case FYET_DOCUMENT_START:
		pos = pos_of(b, e->document_start.document_start);
		if (b->documents++)
			return refuse(b, &pos, "a second document starts here; a file holds one");
		return 0;
	case FYET_SCALAR:
		return on_scalar(b, e);
	case FYET_ALIAS:
		return on_alias(b, e);
	case FYET_MAPPING_START:
		return on_start(b, YAML_MAP, e->mapping_start.mapping_start, e->mapping_start.anchor);
	case FYET_SEQUENCE_START:
		return on_start(b, YAML_SEQ, e->sequence_start.sequence_start, e->sequence_start.anchor);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		return on_end(b);
	default:
		return 0;
	}
}

static void ignore_output(struct fy_diag *diag UNUSED, void *user UNUSED, const char *buf UNUSED, size_t len UNUSED)
{
}

/* What the library says, in the words it has; the first is the cause, later ones are echoes. */
static void report_syntax(struct builder *b, struct fy_diag *diag)
{
	void *iter = NULL;
	const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iter);
	struct config_pos pos = {.file = b->file, .line = 1, .column = 1};

	if (e && e->line > 0 && e->column > 0) {
		pos.line = (uint32_t)e->line;
		pos.column = (uint32_t)e->column;
	}
	diags_add(b->diags, DIAG_ERROR, &pos, "this is not YAML: %s", e && e->msg ? e->msg : "it cannot be read");
	if (e && e->msg && strstr(e->msg, "multiline plain key"))
		diags_hint(b->diags, "is a \":\" missing at the end of the line, or a space after it?");
	else if (e && e->msg && (strstr(e->msg, "indentation") || strstr(e->msg, "plain multiline")))
		diags_hint(b->diags, "keys of one level must start in the same column");
}

static int read_events(struct builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
	struct fy_event *e;
	int r = 0;

	while (r == 0 && (e = fy_parser_parse(parser))) {
		r = on_event(b, e);
		fy_parser_event_free(parser, e);
	}
	if (r < 0)
		return r;
	if (fy_parser_get_stream_error(parser) || fy_diag_got_error(diag)) {
		report_syntax(b, diag);
		return -EINVAL;
	}
	return 0;
}

static struct config_pos pos_at(const char *file, const char *text, size_t at)
{
	struct config_pos pos = {.file = file, .line = 1, .column = 1};

	for (size_t i = 0; i < at; i++) {
		if (text[i] == '\n') {
			pos.line++;
			pos.column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			pos.column++;
		}
	}
	return pos;
}

/* What must be refused before the library sees it. */
static int check_bytes(struct builder *b, const char *text, size_t len)
{
	struct config_pos start = {.file = b->file, .line = 1, .column = 1};

	if (len > YAML_BYTES_MAX) {
		diags_add(b->diags, DIAG_ERROR, &start, "the file has %zu bytes; at most %d are read", len,
			(int)YAML_BYTES_MAX);
		return -EINVAL;
	}
	size_t bad = utf8_check(text, len);
	if (bad < len) {
		struct config_pos pos = pos_at(b->file, text, bad);
		diags_add(b->diags, DIAG_ERROR, &pos, "byte 0x%02x is not UTF-8", (unsigned char)text[bad]);
		return -EINVAL;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t' || c == '\r')
			continue;
		struct config_pos pos = pos_at(b->file, text, i);
		diags_add(b->diags, DIAG_ERROR, &pos, "control character 0x%02x is not allowed", c);
		return -EINVAL;
	}
	return 0;
}

/* YAML forbids tabs in indentation, and people who meet it for the first time need to be told in these words. */
static int check_tabs(struct builder *b, const char *text, size_t len)
{
	for (size_t i = 0, line = 0; i < len; i++) {
		if (text[i] == '\n') {
			line = i + 1;
			continue;
		}
		if (text[i] != '\t' || strspn(text + line, " \t") < i - line)
			continue;
		size_t end = i + strspn(text + i, " \t");
		i = end;
		if (end >= len || text[end] == '\n' || text[end] == '\r' || text[end] == '#')
			continue;
		struct config_pos pos = pos_at(b->file, text, line);
		diags_add(b->diags, DIAG_ERROR, &pos, "this line is indented with a tab; YAML takes spaces only");
		return -EINVAL;
	}
	return 0;
}

static int parse_checked(struct builder *b, const char *text, size_t len)
{
	struct fy_diag_cfg diag_cfg;
	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	diag_cfg.output_fn = ignore_output;
	struct fy_diag *diag = fy_diag_create(&diag_cfg);
	if (!diag)
		return -ENOMEM;
	fy_diag_set_collect_errors(diag, true);
	struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_SLOPPY_FLOW_INDENTATION, .diag = diag};
	struct fy_parser *parser = fy_parser_create(&cfg);
	int r = parser && fy_parser_set_string(parser, text, len) == 0 ? read_events(b, parser, diag) : -ENOMEM;

	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	return r;
}

int yaml_parse(struct yaml_node **ret, struct arena *arena, const char *file, const char *text, size_t len,
	struct diags *diags)
{
	struct config_pos start = {.file = file, .line = 1, .column = 1};
	CLEANUP(free_p) struct builder *b = calloc(1, sizeof *b);

	if (!b)
		return -ENOMEM;
	b->arena = arena;
	b->file = file;
	b->diags = diags;
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	int r = check_bytes(b, text, len);
	/* A copy: the library wants a text that stays, and check_tabs a NUL at its end. */
	CLEANUP(free_p) char *copy = r < 0 ? NULL : strndup(text, len);
	if (r == 0 && !copy)
		r = -ENOMEM;
	if (r == 0)
		r = check_tabs(b, copy, len);
	/* The library is asked only when there is something: it treats an empty stream as an error. */
	if (r == 0 && len)
		r = parse_checked(b, copy, len);
	if (r < 0)
		return r;
	if (!b->root)
		b->root = yaml_node_create(arena, YAML_NULL, &start);
	if (!b->root)
		return -ENOMEM;
	*ret = b->root;
	return 0;
}
