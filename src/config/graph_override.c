/* graph_override.c - --Service.key=value: a small tree laid over the file's. */
#include "config/graph_parts.h"

#include <stdio.h>
#include <string.h>

static void set_pos(struct yaml_node *n, const struct config_pos *pos)
{
	n->pos = n->key_pos = *pos;
	for (struct yaml_node *c = n->first; c; c = c->next)
		set_pos(c, pos);
}

/* Lists, maps and quoted texts are read as YAML; all else is a plain text, so that "a: b" and "*" need no quotes. */
static int read_value(struct yaml_node **ret, const char *text, const struct config_pos *pos, struct arena *arena,
	struct diags *diags)
{
	if (*text && strchr("[{\"'", *text)) {
		struct diags inner;
		diags_init(&inner);
		int r = yaml_parse(ret, arena, "", text, strlen(text), &inner);
		if (r == -EINVAL)
			diags_add(diags, DIAG_ERROR, pos, "%s",
				inner.len ? inner.items[0].text : "the value cannot be read");
		diags_done(&inner);
		if (r == 0)
			set_pos(*ret, pos);
		return r;
	}
	bool null = !strcmp(text, "null") || !strcmp(text, "~");
	*ret = yaml_node_create(arena, null ? YAML_NULL : YAML_SCALAR, pos);
	if (!*ret)
		return -ENOMEM;
	(*ret)->text = text;
	return 0;
}

static void replace(struct yaml_node *old, const struct yaml_node *value)
{
	old->type = value->type;
	old->text = value->text;
	old->quoted = value->quoted;
	old->pos = value->pos;
	old->first = value->first;
	old->last = value->last;
	old->count = value->count;
}

/* Put value under map as key: maps merge, all else replaces. */
static void lay_over(struct yaml_node *map, struct yaml_node *value)
{
	struct yaml_node *old = yaml_find(map, value->key);

	if (!old) {
		yaml_append(map, value);
		return;
	}
	if (old->type != YAML_MAP || value->type != YAML_MAP) {
		replace(old, value);
		return;
	}
	for (struct yaml_node *c = value->first, *next; c; c = next) {
		next = c->next;
		lay_over(old, c);
	}
}

/* The map called name below map, made when it is not there. NULL: noted in diags, or no memory (*ret_code). */
static struct yaml_node *descend(struct yaml_node *map, const char *name, const struct config_pos *pos,
	struct arena *arena, struct diags *diags, int *ret_code)
{
	struct yaml_node *n = yaml_find(map, name);

	if (!n) {
		n = yaml_node_create(arena, YAML_MAP, pos);
		*ret_code = n ? 0 : -ENOMEM;
		if (n) {
			n->key = name;
			yaml_append(map, n);
		}
		return n;
	}
	if (n->type == YAML_NULL)
		n->type = YAML_MAP;
	if (n->type == YAML_MAP)
		return n;
	char where[512];
	diags_add(diags, DIAG_ERROR, pos, "\"%s\" is a %s at %s, so nothing can be set below it", name,
		n->type == YAML_SEQ ? "list" : "single value", config_pos_text(&n->pos, where, sizeof where));
	return NULL;
}

static int malformed(const struct config_pos *pos, struct diags *diags)
{
	diags_add(diags, DIAG_ERROR, pos, "an override has the form --Service.key=value");
	return 0;
}

int graph_apply_override(struct yaml_node *root, const char *option, struct arena *arena, struct diags *diags)
{
	struct config_pos pos = {.option = option};
	size_t path_len = strcspn(option, "=");
	char *path = arena_strndup(arena, option, path_len), *part, *last;
	struct yaml_node *map = root, *value;
	int code = 0;

	if (!path)
		return -ENOMEM;
	path += strspn(path, "-");
	if (!option[path_len] || !strchr(path, '.') || path_len > 512)
		return malformed(&pos, diags);
	last = strrchr(path, '.');
	*last++ = '\0';
	if (!*last)
		return malformed(&pos, diags);
	for (int depth = 0; (part = strsep(&path, ".")); depth++) {
		if (!*part || depth >= YAML_DEPTH_MAX - 1)
			return malformed(&pos, diags);
		map = descend(map, part, &pos, arena, diags, &code);
		if (!map)
			return code;
	}
	int r = read_value(&value, option + path_len + 1, &pos, arena, diags);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	value->key = last;
	lay_over(map, value);
	return 0;
}
