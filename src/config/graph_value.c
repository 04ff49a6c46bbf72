/* graph_value.c - one key of a section: from a node to a value, and what to say when it is unknown. */
#include "config/graph_parts.h"

#include "config/engine_flags.h"
#include "config/suggest.h"
#include <stdio.h>
#include <string.h>

const char *graph_node_text(struct arena *arena, const struct yaml_node *node)
{
	struct buf b;

	if (node->type != YAML_MAP && node->type != YAML_SEQ)
		return node->text;
	buf_init(&b, YAML_BYTES_MAX * 2);
	yaml_print_json(node, &b);
	const char *text = b.failed ? NULL : arena_strdup(arena, buf_str(&b));
	buf_done(&b);
	return text;
}

static const char *shape_name(const struct yaml_node *n)
{
	return n->type == YAML_MAP ? "a map" : n->type == YAML_SEQ ? "a list" : "a single value";
}

/* "a,b,c", as a command line has it. */
static const char *joined(struct arena *arena, const char *const *list, uint32_t len)
{
	struct buf b;

	buf_init(&b, YAML_BYTES_MAX);
	for (uint32_t i = 0; i < len; i++) {
		buf_add_str(&b, i ? "," : "");
		buf_add_str(&b, list[i]);
	}
	const char *text = b.failed ? NULL : arena_strdup(arena, buf_str(&b));
	buf_done(&b);
	return text;
}

static int set_list(struct graph_reader *r, struct config_item *item, const struct yaml_node *node, const char *owner)
{
	const char **list = arena_alloc(&r->graph->arena, (node->count + 1) * sizeof *list);
	uint32_t n = 0;

	if (!list)
		return -ENOMEM;
	for (const struct yaml_node *c = node->first; c; c = c->next) {
		if (c->type == YAML_SCALAR)
			list[n++] = c->text;
		else
			diags_add(r->diags, DIAG_ERROR, &c->pos, "%s.%s: an item is %s, but a text is expected", owner,
				item->key->name, c->type == YAML_NULL ? "empty" : shape_name(c));
	}
	const char *text = joined(&r->graph->arena, list, n);
	if (!text)
		return -ENOMEM;
	item->value = (struct config_value){
		.has = true, .set = true, .pos = node->pos, .list = list, .list_len = n, .text = text};
	return 0;
}

int graph_set_value(struct graph_reader *r, struct config_item *item, const struct yaml_node *node, const char *owner)
{
	const struct config_key *key = item->key;
	bool structured = key->type == CONFIG_MAP || key->type == CONFIG_JSON;
	bool nested = node->type == YAML_MAP || node->type == YAML_SEQ;
	char accepts[512];
	struct err err;

	if (node->type == YAML_NULL) {
		diags_add(r->diags, DIAG_ERROR, &node->key_pos, "%s.%s has no value; %s is expected", owner, key->name,
			config_key_accepts(key, accepts, sizeof accepts));
		return 0;
	}
	if (key->type == CONFIG_LIST && node->type == YAML_SEQ)
		return set_list(r, item, node, owner);
	if (nested && (!structured || (key->type == CONFIG_MAP && node->type != YAML_MAP))) {
		diags_add(r->diags, DIAG_ERROR, &node->pos, "%s.%s is %s, but %s is expected", owner, key->name,
			shape_name(node), config_key_accepts(key, accepts, sizeof accepts));
		return 0;
	}
	const char *text = graph_node_text(&r->graph->arena, node);
	if (!text)
		return -ENOMEM;
	struct config_value v = {0};
	int code = config_value_parse(&v, key, text, &r->graph->arena, &err);
	if (code == -ENOMEM)
		return code;
	if (code < 0) {
		diags_add(r->diags, DIAG_ERROR, &node->pos, "%s.%s: %s", owner, key->name, err.msg);
		return 0;
	}
	v.set = true;
	v.pos = node->pos;
	item->value = v;
	return 0;
}

static void offer_section(struct suggest *s, const char *section)
{
	uint32_t pos = 0;

	for (const struct config_table *t; (t = config_table_next(section, &pos));)
		for (size_t i = 0; i < t->count; i++) {
			/* Of a name with a group in front, the user wrote the last part only. */
			const char *dot = strrchr(t->keys[i].name, '.');
			suggest_offer(s, dot ? dot + 1 : t->keys[i].name);
		}
}

/* "ServiceArgs.resources.gpu" when the key is a member of ServiceArgs that stands too high, else NULL. */
static const char *misplaced(struct arena *arena, const char *name)
{
	uint32_t pos = 0;

	for (const struct config_table *t; (t = config_table_next("ServiceArgs", &pos));) {
		for (size_t i = 0; i < t->count; i++) {
			const char *full = t->keys[i].name, *dot = strrchr(full, '.');
			if (config_name_equal(full, name) ||
				(dot && !strncmp(full, "resources.", 10) && config_name_equal(dot + 1, name)))
				return arena_printf(arena, "ServiceArgs.%s", full);
		}
	}
	return config_name_equal(name, "resources") ? "ServiceArgs.resources" : NULL;
}

/* Flags that no table here checks, and that some release of the engine has. */
static bool is_flag_of_engine(const char *section, const char *key)
{
	char spelling[ENGINE_FLAG_BYTES];
	struct engine_flag flag;

	snprintf(spelling, sizeof spelling, "--%s", key);
	for (char *p = spelling; *p; p++)
		*p = *p == '_' ? '-' : *p;
	return engine_flag_find(&flag, !strcmp(section, "VllmWorker") ? ENGINE_VLLM_SERVE : ENGINE_SGLANG_SERVER,
		       spelling, NULL, NULL) != ENGINE_FLAG_UNKNOWN;
}

void graph_unknown_key(struct graph_reader *r, const struct yaml_node *node, const char *section, const char *owner)
{
	struct suggest s;
	const char *place = strcmp(section, "ServiceArgs") ? misplaced(&r->graph->arena, node->key) : NULL;
	bool passes = !strcmp(section, "VllmWorker") || !strcmp(section, "SglangWorker");

	if (passes && !place && (is_flag_of_engine(section, node->key) || (r->options && r->options->planned)))
		return;
	suggest_init(&s, node->key);
	if (!diags_full(r->diags))
		offer_section(&s, section);
	if (strcmp(section, "ServiceArgs")) {
		suggest_offer(&s, "ServiceArgs");
		suggest_offer(&s, "common-configs");
	}
	if (place) {
		diags_add(r->diags, DIAG_ERROR, &node->key_pos, "\"%s\" does not belong in %s itself; write it as %s",
			node->key, owner, place);
	} else if (passes) {
		diags_add(r->diags, suggest_best(&s) ? DIAG_WARNING : DIAG_NOTICE, &node->key_pos,
			"\"%s\" of %s is not a flag known here; it is passed on unchecked", node->key, owner);
		if (suggest_best(&s))
			diags_hint(r->diags, "did you mean \"%s\"?", suggest_best(&s));
	} else {
		diags_add(r->diags, DIAG_ERROR, &node->key_pos, "unknown key \"%s\" in %s", node->key, owner);
		if (suggest_best(&s))
			diags_hint(r->diags, "did you mean \"%s\"?", suggest_best(&s));
	}
}
