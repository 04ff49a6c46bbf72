/* yaml.h - YAML text to a tree where every key and value knows its file, line and column.
 *
 * Untyped on purpose: a scalar is its text, and the key that takes it decides what it means (so "1", 1 and '1' are the
 * same number, and "no" is only false where a truth value is expected). Everything is bounded before it is built:
 * bytes, depth, and nodes after aliases are expanded, so an alias bomb is an error. Nothing is printed.
 *
 * Thread: one owner. Memory: from the caller's arena. */
#ifndef STATOR_CONFIG_YAML_H
#define STATOR_CONFIG_YAML_H

#include "base/arena.h"
#include "config/diag.h"

enum {
	YAML_BYTES_MAX = 1024 * 1024, /* a graph is a few KiB; this leaves room for generated ones */
	YAML_DEPTH_MAX = 32,
	YAML_NODES_MAX = 20000, /* keys and values, after aliases are expanded: a hundred services of a hundred keys */
	YAML_ARENA_BYTES_MAX = 64 * 1024 * 1024,
};

enum yaml_type { YAML_NULL, YAML_SCALAR, YAML_SEQ, YAML_MAP };

struct yaml_node {
	enum yaml_type type;
	bool shadowed; /* the same key comes again further down, and that one counts (set by yaml_check_duplicates) */
	bool quoted; /* the scalar was written in quotes or as a block: never null */
	const char *text; /* scalar; "" for null */
	const char *key; /* in a map; else NULL */
	struct config_pos pos, key_pos; /* key_pos is pos in a list */
	struct yaml_node *first, *last, *next; /* children in the order written; duplicate keys are all there */
	uint32_t count;
};

/* Parse text. *ret is a null node for an empty document. 0; -EINVAL when something was added to diags as an error;
 * -ENOMEM. Borrows file until the arena is done; copies the rest. */
int yaml_parse(struct yaml_node **ret, struct arena *arena, const char *file, const char *text, size_t len,
	struct diags *diags);
/* The last child of that key (hyphen and underscore alike), or NULL. */
struct yaml_node *yaml_find(const struct yaml_node *map, const char *key);
/* Report keys that occur twice in one map, anywhere below root, naming both places, and mark all but the last. */
void yaml_check_duplicates(struct yaml_node *root, struct diags *diags);
/* A new node. NULL: no memory. */
struct yaml_node *yaml_node_create(struct arena *arena, enum yaml_type type, const struct config_pos *pos);
/* Append child to a map or list; child->key must be set for a map. */
void yaml_append(struct yaml_node *parent, struct yaml_node *child);
/* Print a tree as YAML, two spaces a level, at the given indent (in levels). */
void yaml_print(const struct yaml_node *node, uint32_t level, struct buf *out);
/* Print a tree as JSON. Plain scalars that read as JSON numbers, true, false or null stay bare. */
void yaml_print_json(const struct yaml_node *node, struct buf *out);

#endif
