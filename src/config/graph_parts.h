/* graph_parts.h - what graph*.c share, and nobody else includes: the steps from a tree to a struct graph. */
#ifndef STATOR_CONFIG_GRAPH_PARTS_H
#define STATOR_CONFIG_GRAPH_PARTS_H

#include "config/graph.h"
#include "config/tables.h"
#include "config/yaml.h"

/* A section name of a graph file. */
struct graph_known {
	const char *name;
	enum graph_kind kind;
	enum graph_engine engine;
	enum graph_role role;
	const char *section; /* whose key tables; NULL for Common */
};
const struct graph_known *graph_known_find(const char *name);
/* All of them; ends with a NULL name. */
extern const struct graph_known graph_known_all[];
/* The section of an engine's keys: "LlamaWorker", ... */
const char *graph_engine_section(enum graph_engine engine);
static inline bool graph_engine_external(enum graph_engine e)
{
	return e == GRAPH_ENGINE_VLLM || e == GRAPH_ENGINE_SGLANG;
}
/* A key that some section's table has. */
bool graph_key_known_anywhere(const char *name);

/* Put keys that lost their indentation back below their service, and say so in one remark. Returns the tree to go on
 * with (root itself when nothing was lost); *ret_lost tells which. NULL: no memory. */
struct yaml_node *graph_restore_indentation(
	struct yaml_node *root, struct arena *arena, struct diags *diags, bool *ret_lost);

/* Apply one "--Service.key=value" to the tree. Mistakes go to diags. 0 or -ENOMEM. */
int graph_apply_override(struct yaml_node *root, const char *option, struct arena *arena, struct diags *diags);

/* What one reading needs. */
struct graph_reader {
	struct graph *graph;
	const struct graph_options *options;
	struct diags *diags;
	const struct yaml_node *common; /* NULL when there is none */
	bool lost; /* indentation was lost: what is missing may stand in the part that was not copied */
};
/* Read one service of the tree. 0 or -ENOMEM. */
int graph_read_service(
	struct graph_reader *r, struct graph_service *s, const struct graph_known *known, const struct yaml_node *node);
/* Read ServiceArgs of a service. */
int graph_read_service_args(struct graph_reader *r, struct graph_service *s, const struct yaml_node *node);
/* Set a value from a node; owner is how messages call the section. 0 (also when a mistake was noted) or -ENOMEM. */
int graph_set_value(struct graph_reader *r, struct config_item *item, const struct yaml_node *node, const char *owner);
/* Text of a node: a scalar as written, lists and maps as JSON. NULL: no memory. */
const char *graph_node_text(struct arena *arena, const struct yaml_node *node);
/* Say that key is unknown in owner, with the nearest of the section's keys. */
void graph_unknown_key(struct graph_reader *r, const struct yaml_node *node, const char *section, const char *owner);
/* Keys of Common that nobody takes. */
void graph_check_common(struct graph_reader *r, const struct yaml_node *root);
/* What no single service can tell: models, sizes that must agree, served names. 0 or -ENOMEM. */
int graph_check_whole(struct graph_reader *r);

#endif
