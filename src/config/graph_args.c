/* graph_args.c - ServiceArgs: how many processes, which resources, which environment. */
#include "config/graph_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int add_env(struct graph_reader *r, struct graph_service *s, const char *name, const struct yaml_node *value)
{
	if (value->type == YAML_MAP || value->type == YAML_SEQ) {
		diags_add(r->diags, DIAG_ERROR, &value->pos, "environment variable \"%s\" of %s must be a single value",
			name, s->name);
		return 0;
	}
	for (uint32_t i = 0; i < s->envs_len; i++) {
		if (!strcmp(s->envs[i].name, name)) {
			s->envs[i].value = value->text;
			s->envs[i].pos = value->pos;
			return 0;
		}
	}
	if (!*name || strchr(name, '=')) {
		diags_add(r->diags, DIAG_ERROR, &value->key_pos, "\"%s\" cannot be the name of an environment variable",
			name);
		return 0;
	}
	/* read_envs made room for every one. */
	s->envs[s->envs_len++] = (struct graph_arg){.name = name, .value = value->text, .pos = value->pos};
	return 0;
}

/* - name: X
 *   value: y */
static int read_env_item(struct graph_reader *r, struct graph_service *s, const struct yaml_node *item)
{
	const struct yaml_node *name = yaml_find(item, "name"), *value = yaml_find(item, "value");

	if (!name || !value || name->type != YAML_SCALAR || item->count != 2) {
		diags_add(r->diags, DIAG_ERROR, &item->pos, "an item of envs of %s must have a name and a value",
			s->name);
		return 0;
	}
	return add_env(r, s, name->text, value);
}

static int read_envs(struct graph_reader *r, struct graph_service *s, const struct yaml_node *node)
{
	struct graph_arg *all = arena_alloc(&r->graph->arena, (s->envs_len + node->count + 1) * sizeof *all);
	int code = 0;

	if (!all)
		return -ENOMEM;
	if (s->envs_len)
		memcpy(all, s->envs, s->envs_len * sizeof *all);
	s->envs = all;
	if (node->type == YAML_SCALAR)
		diags_add(r->diags, DIAG_ERROR, &node->pos,
			"%s.ServiceArgs.%s must be a map, or a list of name and value", s->name, node->key);
	for (const struct yaml_node *c = node->first; c && code == 0; c = c->next)
		code = node->type == YAML_MAP ? add_env(r, s, c->key, c) : read_env_item(r, s, c);
	return code;
}

static bool is_group(const char *name)
{
	return !strcmp(name, "resources") || !strcmp(name, "dynamo");
}

static int read_level(struct graph_reader *r, struct graph_service *s, struct config_section *values,
	const struct yaml_node *map, const char *prefix)
{
	char name[512], owner[512], service_args[512];
	int code = 0;

	snprintf(owner, sizeof owner, "%s.ServiceArgs%s%s", s->name, *prefix ? "." : "", prefix);
	/* The tables' names have the group in front. */
	snprintf(service_args, sizeof service_args, "%s.ServiceArgs", s->name);
	for (const struct yaml_node *n = map->first; n && code == 0; n = n->next) {
		snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", n->key);
		if (!*prefix && (!strcmp(n->key, "envs") || !strcmp(n->key, "env"))) {
			code = read_envs(r, s, n);
		} else if (!*prefix && is_group(n->key)) {
			if (n->type == YAML_MAP)
				code = read_level(r, s, values, n, n->key);
			else if (n->type != YAML_NULL)
				diags_add(r->diags, DIAG_ERROR, &n->pos, "%s.%s must be a map", owner, n->key);
		} else {
			struct config_item *item = config_section_find(values, name);
			if (item)
				code = graph_set_value(r, item, n, service_args);
			else
				graph_unknown_key(r, n, "ServiceArgs", owner);
		}
	}
	return code;
}

static void check_gpus(struct graph_reader *r, const struct graph_service *s, const struct config_item *gpu)
{
	if (s->gpus > 1 && s->gpus != floor(s->gpus))
		diags_add(r->diags, DIAG_ERROR, &gpu->value.pos,
			"%s.ServiceArgs.resources.gpu: %g is neither a whole number of GPUs nor a share of one",
			s->name, s->gpus);
}

int graph_read_service_args(struct graph_reader *r, struct graph_service *s, const struct yaml_node *node)
{
	struct config_section values;

	int code = config_section_init(&values, "ServiceArgs", &r->graph->arena);
	if (code < 0)
		return code;
	if (node && node->type == YAML_MAP)
		code = read_level(r, s, &values, node, "");
	else if (node && node->type != YAML_NULL)
		diags_add(r->diags, DIAG_ERROR, &node->pos, "%s.ServiceArgs must be a map", s->name);
	if (code < 0)
		return code;
	s->workers = (uint32_t)config_uint(&values, "workers");
	s->gpus = config_float(&values, "resources.gpu");
	s->gpus_set = config_is_set(&values, "resources.gpu");
	s->workers_set = config_is_set(&values, "workers");
	s->workers_pos = config_section_find(&values, "workers")->value.pos;
	s->gpus_pos = config_section_find(&values, "resources.gpu")->value.pos;
	s->memory_bytes = config_bytes(&values, "resources.memory");
	s->cpus = config_str(&values, "resources.cpu");
	s->ns = config_str(&values, "dynamo.namespace");
	check_gpus(r, s, config_section_find(&values, "resources.gpu"));
	return 0;
}
