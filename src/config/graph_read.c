/* graph_read.c - one service: its own keys over the ones it takes from Common, checked by its tables. */
#include "config/graph_parts.h"

#include "config/suggest.h"
#include <string.h>

/* A key to read, in order: Common's first. */
struct entry {
	const struct yaml_node *node;
	bool from_common;
};

/* Keys of external engines that mean the same on ours. */
static const struct {
	const char *external, *llama, *mock;
} translations[] = {
	{"model-path", "model", "model"},
	{"max-model-len", "max-model-len", "context-length"},
	{"context-length", "max-model-len", "context-length"},
	{"max-num-seqs", "max-seqs", "max-seqs"},
	{"max-running-requests", "max-seqs", "max-seqs"},
	{"max-num-batched-tokens", "batch-size", "batch-size"},
	{"page-size", "block-size", "block-size"},
};

static bool runs_elsewhere(const struct graph_reader *r, enum graph_engine engine)
{
	return r->options && r->options->engine && graph_engine_external(engine);
}

/* --engine: the same service on an engine of ours. A value that does not fit there is left out, not a mistake. */
static int translate(struct graph_reader *r, struct graph_service *s, const struct yaml_node *node)
{
	const char *name = node->key;
	struct config_item *item;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(translations); i++) {
		if (config_name_equal(translations[i].external, node->key)) {
			name = s->engine == GRAPH_ENGINE_LLAMA ? translations[i].llama : translations[i].mock;
			break;
		}
	}
	item = config_section_find(&s->settings, name);
	const char *text = graph_node_text(&r->graph->arena, node);
	if (!text)
		return -ENOMEM;
	if (item && config_value_parse(&item->value, item->key, text, &r->graph->arena, &err) == 0) {
		item->value.set = true;
		item->value.pos = node->pos;
		return 0;
	}
	diags_add(r->diags, DIAG_NOTICE, &node->key_pos, "\"%s\" of %s is left out: %s", node->key, s->name,
		item ? err.msg : "the engine asked for does not have it");
	return 0;
}

static bool is_for_engine(const char *name)
{
	for (size_t i = 0; i < CONFIG_KEYS_WORKER; i++)
		if (config_name_equal(config_keys_worker[i].name, name))
			return config_name_equal(name, "served-model-name");
	return true;
}

static int pass_on(struct graph_reader *r, struct graph_service *s, const struct yaml_node *node)
{
	const char *value = graph_node_text(&r->graph->arena, node);
	char *name = arena_strdup(&r->graph->arena, node->key);

	if (!value || !name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = *p == '_' ? '-' : *p;
	s->args[s->args_len++] = (struct graph_arg){.name = name, .value = value, .pos = node->pos};
	return 0;
}

static int read_entry(struct graph_reader *r, struct graph_service *s, enum graph_engine asked, const struct entry *e)
{
	struct config_item *item = config_section_find(&s->settings, e->node->key);
	int code = 0;

	if (asked != s->engine)
		return translate(r, s, e->node);
	if (graph_engine_external(s->engine) && is_for_engine(e->node->key))
		code = pass_on(r, s, e->node);
	if (code == 0 && item)
		return graph_set_value(r, item, e->node, e->from_common ? "Common" : s->name);
	if (code == 0)
		graph_unknown_key(r, e->node, s->settings.name, e->from_common ? "Common" : s->name);
	return code;
}

/* A key that common-configs lists: find it in Common, unless the service says it itself. */
static void take_common(struct graph_reader *r, const struct graph_service *s, const struct yaml_node *service,
	const struct yaml_node *item, struct entry *entries, uint32_t *len)
{
	const struct yaml_node *node = r->common ? yaml_find(r->common, item->text) : NULL;
	struct suggest near;

	if (node) {
		bool external = graph_engine_external(s->engine) || runs_elsewhere(r, GRAPH_ENGINE_VLLM);
		if (!external && !config_section_find(&s->settings, item->text))
			diags_add(r->diags, DIAG_ERROR, &item->pos,
				"%s.common-configs takes \"%s\", but %s has no such key", s->name, item->text, s->name);
		else if (!yaml_find(service, item->text))
			entries[(*len)++] = (struct entry){node, true};
		return;
	}
	/* A key that the service says itself needs no Common. */
	if (yaml_find(service, item->text) || (r->lost && !r->common))
		return;
	diags_add(r->diags, DIAG_ERROR, &item->pos, "%s.common-configs takes \"%s\", but Common has no such key",
		s->name, item->text);
	suggest_init(&near, item->text);
	for (const struct yaml_node *c = r->common ? r->common->first : NULL; c; c = c->next)
		suggest_offer(&near, c->key);
	if (suggest_best(&near))
		diags_hint(r->diags, "did you mean \"%s\"?", suggest_best(&near));
}

static void collect_common(struct graph_reader *r, const struct graph_service *s, const struct yaml_node *service,
	struct entry *entries, uint32_t *len)
{
	const struct yaml_node *list = yaml_find(service, "common-configs");

	if (!list || list->type == YAML_NULL)
		return;
	if (list->type != YAML_SEQ) {
		diags_add(r->diags, DIAG_ERROR, &list->pos,
			"%s.common-configs must be a list of keys of Common: [model]", s->name);
		return;
	}
	for (const struct yaml_node *item = list->first; item; item = item->next) {
		bool again = false;
		for (const struct yaml_node *b = list->first; b != item; b = b->next)
			again |= b->type == YAML_SCALAR && config_name_equal(b->text, item->text);
		if (item->type != YAML_SCALAR)
			diags_add(r->diags, DIAG_ERROR, &item->pos, "%s.common-configs lists names of keys only",
				s->name);
		else if (!again)
			take_common(r, s, service, item, entries, len);
	}
}

static int read_entries(
	struct graph_reader *r, struct graph_service *s, enum graph_engine asked, const struct yaml_node *node)
{
	const struct yaml_node *list = yaml_find(node, "common-configs");
	uint32_t max = node->count + (list ? list->count : 0), len = 0;
	struct entry *entries = arena_alloc(&r->graph->arena, (max + 1) * sizeof *entries);

	s->args = arena_alloc(&r->graph->arena, (max + 1) * sizeof *s->args);
	if (!entries || !s->args)
		return -ENOMEM;
	collect_common(r, s, node, entries, &len);
	for (const struct yaml_node *n = node->first; n; n = n->next) {
		if (config_name_equal(n->key, "common-configs") || config_name_equal(n->key, "ServiceArgs"))
			continue;
		/* Of a key written twice (reported already) the last counts. */
		if (!n->shadowed)
			entries[len++] = (struct entry){n, false};
	}
	int code = 0;
	for (uint32_t i = 0; i < len && code == 0; i++)
		code = read_entry(r, s, asked, &entries[i]);
	return code;
}

/* GRAPH_ENGINE_NONE: there is a name, but of no engine. */
static enum graph_engine engine_asked(const struct graph_known *known, const struct yaml_node *node)
{
	const struct yaml_node *n = yaml_find(node, "engine");

	for (int e = GRAPH_ENGINE_LLAMA; n && e <= GRAPH_ENGINE_SGLANG; e++)
		if (!strcmp(n->text, graph_engine_name((enum graph_engine)e)))
			return (enum graph_engine)e;
	return n ? GRAPH_ENGINE_NONE : known->engine;
}

static enum graph_engine engine_by_name(const char *name)
{
	return !strcmp(name, "mock") ? GRAPH_ENGINE_MOCK : GRAPH_ENGINE_LLAMA;
}

static void set_facts(struct graph_service *s, const struct graph_known *known)
{
	const char *model = config_section_find(&s->settings, "model") ? config_str(&s->settings, "model") : "";

	if (!*model && config_section_find(&s->settings, "model-path"))
		model = config_str(&s->settings, "model-path");
	s->model = model;
	s->role = known->role;
	if (config_is_set(&s->settings, "role"))
		s->role = (enum graph_role)config_enum(&s->settings, "role");
}

/* A worker whose engine nobody knows: say so, and nothing about its other keys. */
static int read_unknown_engine(struct graph_reader *r, struct graph_service *s, const struct yaml_node *node)
{
	int code = config_section_init(&s->settings, graph_engine_section(GRAPH_ENGINE_LLAMA), &r->graph->arena);

	if (code < 0)
		return code;
	return graph_set_value(r, config_section_find(&s->settings, "engine"), yaml_find(node, "engine"), s->name);
}

int graph_read_service(
	struct graph_reader *r, struct graph_service *s, const struct graph_known *known, const struct yaml_node *node)
{
	bool worker = known->kind == GRAPH_WORKER;
	enum graph_engine asked = worker ? engine_asked(known, node) : GRAPH_ENGINE_NONE;

	s->kind = known->kind;
	s->pos = node->key_pos;
	s->model = s->served_name = s->cpus = s->ns = "";
	if (worker && !asked)
		return read_unknown_engine(r, s, node);
	s->engine = runs_elsewhere(r, asked) ? engine_by_name(r->options->engine) : asked;
	const char *section = worker ? graph_engine_section(s->engine) : known->section;
	int code = config_section_init(&s->settings, section, &r->graph->arena);
	if (code < 0)
		return code;
	if (node->type != YAML_MAP && node->type != YAML_NULL) {
		diags_add(r->diags, DIAG_ERROR, &node->pos, "%s must be a map of settings", s->name);
		s->engine = GRAPH_ENGINE_NONE; /* no more is said of it */
		return 0;
	}
	code = read_entries(r, s, asked, node);
	if (code == 0)
		code = graph_read_service_args(r, s, yaml_find(node, "ServiceArgs"));
	if (code == 0 && worker)
		set_facts(s, known);
	return code;
}
