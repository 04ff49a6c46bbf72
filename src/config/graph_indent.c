/* graph_indent.c - a graph whose indentation was lost on its way through a web page or a chat.
 *
 *   VllmWorker:                    VllmWorker:
 *   tensor-parallel-size: 1          tensor-parallel-size: 1
 *   ServiceArgs:             ->      ServiceArgs:
 *   workers: 4                         workers: 4
 *   resources:                         resources:
 *   gpu: 1                               gpu: 1
 *
 * To YAML the left side is another document: sections nobody knows, some of them twice. The order of lines still tells
 * what was meant: a key that is no section belongs to the last section above it, and ServiceArgs and resources have so
 * few members that theirs are known by name. The same is done one level deeper, where only ServiceArgs lost its
 * members. The tree is rebuilt in any case; when nothing moved it is the same tree. */
#include "config/graph_parts.h"

#include "config/suggest.h"
#include <string.h>

struct restore {
	struct arena *arena;
	struct yaml_node *root; /* the new one */
	struct yaml_node *service, *args, *resources; /* where keys go now; NULL when there is none */
	bool service_empty, args_empty, resources_empty; /* nothing is written below it, where it should be */
	struct yaml_node *first_moved;
	struct yaml_node *touched; /* a map of the services that got keys back, to show */
	uint32_t moved;
	bool failed; /* no memory */
};

static bool is_one_of(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (config_name_equal(*list, name))
			return true;
	return false;
}

static const char *const args_members[] = {"workers", "resources", "envs", "env", "dynamo", NULL};
static const char *const resources_members[] = {"gpu", "cpu", "memory", NULL};

/* The same key with nothing below it yet. It stays null when nothing comes. */
static struct yaml_node *shell(struct restore *r, struct yaml_node *parent, const struct yaml_node *of)
{
	struct yaml_node *n = yaml_node_create(r->arena, of->type, &of->pos);

	if (!n) {
		r->failed = true;
		return NULL;
	}
	n->key = of->key;
	n->key_pos = of->key_pos;
	n->text = of->text;
	n->quoted = of->quoted;
	yaml_append(parent, n);
	return n;
}

static void put(struct yaml_node *parent, struct yaml_node *child)
{
	if (parent->type == YAML_NULL)
		parent->type = YAML_MAP;
	yaml_append(parent, child);
}

/* Remember that entry stood elsewhere. */
static void note_moved(struct restore *r, struct yaml_node *entry)
{
	if (!r->moved++)
		r->first_moved = entry;
	if (yaml_find(r->touched, r->service->key))
		return;
	struct yaml_node *t = yaml_node_create(r->arena, YAML_MAP, &r->service->pos);
	if (!t) {
		r->failed = true;
		return;
	}
	t->key = r->service->key;
	yaml_append(r->touched, t);
}

static void open_resources(struct restore *r, struct yaml_node *entry)
{
	struct yaml_node *children = entry->first;

	if (r->args->type == YAML_NULL)
		r->args->type = YAML_MAP;
	r->resources = shell(r, r->args, entry);
	r->resources_empty = entry->type == YAML_NULL;
	for (struct yaml_node *c = children, *next; c && r->resources; c = next) {
		next = c->next;
		yaml_append(r->resources, c);
	}
}

static void add_to_args(struct restore *r, struct yaml_node *entry, bool moved)
{
	if (r->resources && r->resources_empty && is_one_of(entry->key, resources_members)) {
		note_moved(r, entry);
		put(r->resources, entry);
		return;
	}
	if (moved)
		note_moved(r, entry);
	if (config_name_equal(entry->key, "resources"))
		open_resources(r, entry);
	else
		put(r->args, entry);
}

static void open_args(struct restore *r, struct yaml_node *entry)
{
	struct yaml_node *children = entry->first;

	if (r->service->type == YAML_NULL)
		r->service->type = YAML_MAP;
	r->args = shell(r, r->service, entry);
	r->args_empty = entry->type == YAML_NULL;
	r->resources = NULL;
	for (struct yaml_node *c = children, *next; c && r->args; c = next) {
		next = c->next;
		if (entry->type == YAML_MAP)
			add_to_args(r, c, false);
		else
			yaml_append(r->args, c);
	}
}

/* An entry of a service, or one that stands at the margin below it. */
static void add_to_service(struct restore *r, struct yaml_node *entry, bool moved)
{
	if (config_name_equal(entry->key, "ServiceArgs")) {
		if (moved)
			note_moved(r, entry);
		open_args(r, entry);
		return;
	}
	bool for_resources = r->args && r->resources && r->resources_empty && is_one_of(entry->key, resources_members);
	if (for_resources || (r->args && r->args_empty && is_one_of(entry->key, args_members))) {
		add_to_args(r, entry, !for_resources);
		return;
	}
	if (moved)
		note_moved(r, entry);
	put(r->service, entry);
}

/* Does a key at the margin belong to the section above it? Only then is it better than an unknown section. */
static bool is_orphan(const struct restore *r, const struct yaml_node *entry)
{
	if (!r->service || graph_known_find(entry->key) || yaml_find(entry, "engine"))
		return false;
	if (config_name_equal(entry->key, "ServiceArgs"))
		return true;
	bool member = is_one_of(entry->key, args_members) || is_one_of(entry->key, resources_members);
	if (member && r->args)
		return true;
	return r->service_empty &&
	       (member || config_name_equal(entry->key, "common-configs") || graph_key_known_anywhere(entry->key));
}

static void add_to_root(struct restore *r, struct yaml_node *entry)
{
	if (is_orphan(r, entry)) {
		add_to_service(r, entry, true);
		return;
	}
	r->args = r->resources = r->service = NULL;
	if (entry->type != YAML_MAP && entry->type != YAML_NULL) {
		yaml_append(r->root, entry);
		return;
	}
	struct yaml_node *children = entry->first;
	r->service = shell(r, r->root, entry);
	r->service_empty = entry->type == YAML_NULL;
	for (struct yaml_node *c = children, *next; c && r->service; c = next) {
		next = c->next;
		add_to_service(r, c, false);
	}
	/* Only sections we know can have lost anything: keys after an unknown one are left to be reported as they are.
	 */
	if (r->service && !graph_known_find(entry->key))
		r->service = NULL;
}

static void name_services(const struct restore *r, struct buf *out)
{
	uint32_t i = 0;

	for (const struct yaml_node *t = r->touched->first; t; t = t->next, i++) {
		if (i)
			buf_add_str(out, i + 1 == r->touched->count ? " and " : ", ");
		buf_add_str(out, t->key);
	}
}

static void show(const struct restore *r, struct buf *out)
{
	for (const struct yaml_node *s = r->root->first; s; s = s->next) {
		if (s->type != YAML_MAP || !yaml_find(r->touched, s->key))
			continue;
		buf_printf(out, "%s:\n", s->key);
		yaml_print(s, 1, out);
	}
}

static void report(const struct restore *r, struct diags *diags)
{
	struct buf names, snippet;

	buf_init(&names, 1024);
	buf_init(&snippet, 16 * 1024);
	name_services(r, &names);
	show(r, &snippet);
	if (r->moved == 1)
		diags_add(diags, DIAG_ERROR, &r->first_moved->key_pos,
			"the indentation was lost: \"%s\" belongs deeper, in %s; this is probably what was meant:",
			r->first_moved->key, buf_str(&names));
	else
		diags_add(diags, DIAG_ERROR, &r->first_moved->key_pos,
			"the indentation was lost: %u keys, the first of them \"%s\", belong deeper, in %s; this is "
			"probably what was "
			"meant:",
			r->moved, r->first_moved->key, buf_str(&names));
	diags_detail(diags, buf_str(&snippet));
	buf_done(&names);
	buf_done(&snippet);
}

struct yaml_node *graph_restore_indentation(
	struct yaml_node *root, struct arena *arena, struct diags *diags, bool *ret_lost)
{
	struct restore r = {.arena = arena};

	*ret_lost = false;
	if (root->type != YAML_MAP)
		return root;
	r.root = yaml_node_create(arena, YAML_MAP, &root->pos);
	r.touched = yaml_node_create(arena, YAML_MAP, &root->pos);
	if (!r.root || !r.touched)
		return NULL;
	for (struct yaml_node *entry = root->first, *next; entry && !r.failed; entry = next) {
		next = entry->next;
		add_to_root(&r, entry);
	}
	if (r.failed)
		return NULL;
	*ret_lost = r.moved > 0;
	if (r.moved)
		report(&r, diags);
	return r.root;
}
