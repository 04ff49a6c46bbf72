/* tasks.c - tasks and services of SkyPilot and dstack: commands, with what they ask for around them. Their variables of what they got
 * (SKYPILOT_NUM_GPUS_PER_NODE, DSTACK_GPUS_NUM) are those of the file. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct task {
	struct form_set *f;
	const struct form_env *env;
	uint32_t gpus, nodes, replicas; /* gpus of one node; 0: not said */
	struct config_pos gpus_pos, replicas_pos;
	struct buf text; /* its commands, on the lines they stand on */
	struct config_pos at; /* of the text's end */
};

static const struct yaml_node *map_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map && map->type == YAML_MAP ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_MAP ? n : NULL;
}

static const char *text_in(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = map && map->type == YAML_MAP ? yaml_find(map, key) : NULL;
	return n && n->type == YAML_SCALAR ? n->text : NULL;
}

static int add_env(struct task *t, const char *name, const char *value, bool exported)
{
	struct form_env *e = arena_alloc(&t->f->arena, sizeof *e);

	if (!e || !name || !value)
		return -ENOMEM;
	*e = (struct form_env){.name = name, .value = value, .next = t->env, .exported = exported};
	t->env = e;
	return 0;
}

/* {A: b}, [A=b]; a name alone is given by who starts it. */
static int take_envs(struct task *t, const struct yaml_node *map)
{
	int code = 0;

	for (const struct yaml_node *n = map ? map->first : NULL; n && code == 0; n = n->next) {
		const char *equals = n->type == YAML_SCALAR && !n->key ? strchr(n->text, '=') : NULL;
		if (equals)
			code = add_env(
				t, arena_strndup(&t->f->arena, n->text, (size_t)(equals - n->text)), equals + 1, true);
		else if (n->type == YAML_SCALAR && n->key)
			code = add_env(t, n->key, n->text, true);
	}
	return code;
}

/* "H100:8", "nvidia:A100:80GB:4", "MI300X", "24GB": the number that stands alone between colons. */
static uint32_t count_of(const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ":");
		if (n && strspn(p, "0123456789") == n)
			return (uint32_t)MIN(strtoul(p, NULL, 10), 4096ul);
		p += n + (p[n] == ':');
	}
	return *text ? 1 : 0;
}

static void take_gpus(struct task *t, const struct yaml_node *n)
{
	if (!n)
		return;
	t->gpus_pos = n->pos;
	if (n->type == YAML_SCALAR) {
		t->gpus = count_of(n->text);
	} else if (n->type == YAML_SEQ && n->first) {
		take_gpus(t, n->first);
	} else if (n->type == YAML_MAP && text_in(n, "count")) { /* dstack */
		t->gpus = (uint32_t)MIN(strtoul(text_in(n, "count"), NULL, 10), 4096ul);
	} else if (n->type == YAML_MAP && n->first && strchr(n->first->key, ':')) { /* {H100:8, A100:8}: a set */
		t->gpus = count_of(n->first->key);
	} else if (n->type == YAML_MAP && n->first && n->first->type == YAML_SCALAR) { /* {A100: 8} */
		t->gpus = (uint32_t)MIN(strtoul(n->first->text, NULL, 10), 4096ul);
		t->gpus = t->gpus ? t->gpus : 1;
	}
}

static void take_number(const struct yaml_node *map, const char *key, uint32_t *ret, struct config_pos *pos)
{
	const char *text = text_in(map, key);
	unsigned long n = text ? strtoul(text, NULL, 10) : 0; /* of "1..4" the first */

	if (n && n < 100000) {
		*ret = (uint32_t)n;
		*pos = yaml_find(map, key)->pos;
	}
}

/* Commands behind those that are there. */
static void put_commands(struct task *t, const struct yaml_node *n)
{
	for (const struct yaml_node *c = n && n->type == YAML_SEQ ? n->first : NULL; c; c = c->next)
		put_commands(t, c);
	if (!n || n->type != YAML_SCALAR)
		return;
	if (t->text.len)
		buf_add_byte(&t->text, '\n');
	t->at.line += t->text.len > 0;
	t->at.column = 1;
	for (; t->at.line < n->pos.line; t->at.line++)
		buf_add_byte(&t->text, '\n');
	for (; t->at.column < n->pos.column; t->at.column++)
		buf_add_byte(&t->text, ' ');
	buf_add_str(&t->text, n->text);
	for (const char *p = n->text; *p; p++)
		t->at.line += *p == '\n';
}

static int add_numbers(struct task *t)
{
	static const char *const per_node[] = {"SKYPILOT_NUM_GPUS_PER_NODE", "DSTACK_GPUS_PER_NODE", NULL},
				 *const nodes[] = {"SKYPILOT_NUM_NODES", "DSTACK_NODES_NUM", NULL};
	int code = 0;

	for (size_t i = 0; per_node[i] && t->gpus && code == 0; i++)
		code = add_env(t, per_node[i], arena_printf(&t->f->arena, "%u", t->gpus), false);
	if (t->gpus && code == 0)
		code = add_env(t, "DSTACK_GPUS_NUM", arena_printf(&t->f->arena, "%u", t->gpus * t->nodes), false);
	for (size_t i = 0; nodes[i] && code == 0; i++)
		code = add_env(t, nodes[i], arena_printf(&t->f->arena, "%u", t->nodes), false);
	if (code == 0)
		code = add_env(t, "SKYPILOT_NODE_RANK", "0", false);
	return code < 0 ? code : add_env(t, "DSTACK_NODE_RANK", "0", false);
}

static int read_task(struct task *t, const struct yaml_node *root, const char *image, struct err *err)
{
	struct form_service around = {.name = "", .replicas = t->replicas, .replicas_pos = t->replicas_pos};
	const struct form_script script = {.file = root->pos.file, .env = t->env, .around = &around};
	uint32_t before = t->f->services.len;

	if (text_in(root, "name"))
		around.name = text_in(root, "name");
	if (image && (around.engine = form_engine_of_image(image)))
		form_image_version(t->f, &around, image);
	int code = t->text.failed ? -ENOMEM : form_script_read(t->f, &script, buf_str(&t->text), t->text.len, err);
	for (uint32_t i = before; i < t->f->services.len && code > 0; i++) {
		struct form_service *s = &t->f->services.v[i];
		for (const struct form_env *e = t->env; e && code > 0; e = e->next)
			if (e->exported && form_arg_add(t->f, &s->envs, e->name, e->value, &s->pos) < 0)
				code = -ENOMEM;
		if (t->gpus && form_flags_gpus(s) > t->gpus * t->nodes) {
			s->gpus = t->gpus * t->nodes;
			s->gpus_pos = t->gpus_pos;
		}
	}
	return code;
}

const char *form_task_kind(const struct yaml_node *root)
{
	const char *type = text_in(root, "type");
	const struct yaml_node *resources = map_in(root, "resources");

	if (type && (!strcmp(type, "service") || !strcmp(type, "task") || !strcmp(type, "dev-environment")) &&
		(yaml_find(root, "commands") || yaml_find(root, "image") || resources))
		return !strcmp(type, "service") ? "a service of dstack" : "a task of dstack";
	if (yaml_find(root, "run") && (resources || yaml_find(root, "setup") || yaml_find(root, "num_nodes")))
		return "a task of SkyPilot";
	return NULL;
}

int form_task_read(struct form_set *f, const struct yaml_node *root, struct err *err)
{
	struct task t = {.f = f, .nodes = 1, .replicas = 1, .at = {.line = 1, .column = 1}};
	const struct yaml_node *resources = map_in(root, "resources"), *service = map_in(root, "service");
	struct config_pos pos;
	const char *image = text_in(root, "image") ? text_in(root, "image") : text_in(resources, "image_id");

	if (resources)
		take_gpus(&t, yaml_find(resources, "gpu") ? yaml_find(resources, "gpu")
							  : yaml_find(resources, "accelerators"));
	take_number(root, "nodes", &t.nodes, &pos);
	take_number(root, "num_nodes", &t.nodes, &pos);
	take_number(root, "replicas", &t.replicas, &t.replicas_pos);
	take_number(service, "replicas", &t.replicas, &t.replicas_pos);
	take_number(map_in(service, "replica_policy"), "min_replicas", &t.replicas, &t.replicas_pos);
	int code = take_envs(&t, yaml_find(root, "env"));
	if (code == 0)
		code = take_envs(&t, yaml_find(root, "envs"));
	if (code == 0)
		code = add_numbers(&t);
	buf_init(&t.text, YAML_BYTES_MAX);
	if (code == 0) {
		put_commands(&t, yaml_find(root, "setup"));
		put_commands(&t, yaml_find(root, "run"));
		put_commands(&t, yaml_find(root, "commands"));
		code = read_task(&t, root, image, err);
	} else {
		err_set(err, code, "out of memory");
	}
	buf_done(&t.text);
	return code;
}
