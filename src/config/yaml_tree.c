/* yaml_tree.c - walks over a tree that was read: duplicates, printing. */
#include "config/yaml.h"

#include "base/json_out.h"
#include "base/map.h"
#include "config/json_parse.h"
#include "config/suggest.h"
#include <string.h>

/* FNV-1a with hyphen and underscore alike. */
static uint64_t key_hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s; s++)
		h = (h ^ (unsigned char)(*s == '_' ? '-' : *s)) * 0x100000001b3u;
	return h;
}

static void check_map(struct yaml_node *map, struct diags *diags)
{
	struct map seen = {0};
	char first[512];

	for (struct yaml_node *n = map->first; n; n = n->next) {
		struct yaml_node *before = map_get_ptr(&seen, key_hash(n->key));
		if (!before) {
			/* Out of memory a duplicate may be missed, and the last one wins. */
			if (map_put_ptr(&seen, key_hash(n->key), n) < 0)
				break;
			continue;
		}
		if (!config_name_equal(before->key, n->key))
			continue;
		before->shadowed = true;
		diags_add(diags, DIAG_ERROR, &n->key_pos, "key \"%s\" is here a second time; the first is at %s",
			n->key, config_pos_text(&before->key_pos, first, sizeof first));
		if (strcmp(before->key, n->key))
			diags_hint(diags, "\"%s\" and \"%s\" are one key", before->key, n->key);
	}
	map_done(&seen);
}

void yaml_check_duplicates(struct yaml_node *root, struct diags *diags)
{
	if (root->type == YAML_MAP)
		check_map(root, diags);
	for (struct yaml_node *n = root->first; n; n = n->next)
		yaml_check_duplicates(n, diags);
}

/* Would the plain text read back as the same scalar? When in doubt, quote. */
static bool plain_is_safe(const char *s)
{
	if (!*s || strchr("-?:,[]{}#&*!|>'\"%@` ", *s))
		return *s == '-' && s[1] && s[1] != ' ' && !strpbrk(s, ":#{}[],\"'\n");
	return !strstr(s, ": ") && !strstr(s, " #") && !strchr(s, '\n') && s[strlen(s) - 1] != ':' &&
	       s[strlen(s) - 1] != ' ';
}

static void print_scalar(const struct yaml_node *n, struct buf *out)
{
	if (n->type == YAML_NULL)
		return;
	if (!n->quoted && plain_is_safe(n->text))
		buf_add_str(out, n->text);
	else
		json_out_cstr(out, n->text);
}

static void print_indent(uint32_t level, struct buf *out)
{
	for (uint32_t i = 0; i < level; i++)
		buf_add_str(out, "  ");
}

/* A list of scalars fits a line: [model, block-size]. */
static bool is_short_list(const struct yaml_node *n)
{
	if (n->type != YAML_SEQ)
		return false;
	for (const struct yaml_node *c = n->first; c; c = c->next)
		if (c->first || c->type == YAML_MAP || c->type == YAML_SEQ)
			return false;
	return true;
}

static void print_value(const struct yaml_node *n, uint32_t level, struct buf *out)
{
	if (is_short_list(n)) {
		buf_add_str(out, " [");
		for (const struct yaml_node *c = n->first; c; c = c->next) {
			print_scalar(c, out);
			buf_add_str(out, c->next ? ", " : "");
		}
		buf_add_str(out, "]\n");
	} else if (n->first) {
		buf_add_byte(out, '\n');
		yaml_print(n, level + 1, out);
	} else if (n->type == YAML_MAP) {
		buf_add_str(out, " {}\n");
	} else {
		buf_add_str(out, n->type == YAML_NULL ? "" : " ");
		print_scalar(n, out);
		buf_add_byte(out, '\n');
	}
}

void yaml_print(const struct yaml_node *node, uint32_t level, struct buf *out)
{
	if (node->type != YAML_MAP && node->type != YAML_SEQ) {
		print_indent(level, out);
		print_scalar(node, out);
		buf_add_byte(out, '\n');
		return;
	}
	for (const struct yaml_node *n = node->first; n; n = n->next) {
		print_indent(level, out);
		if (node->type == YAML_SEQ)
			buf_add_str(out, "-");
		else
			buf_printf(out, plain_is_safe(n->key) ? "%s:" : "\"%s\":", n->key);
		print_value(n, level, out);
	}
}

static void print_json_scalar(const struct yaml_node *n, struct buf *out)
{
	static const struct {
		const char *word, *json;
	} words[] = {{"true", "true"}, {"True", "true"}, {"false", "false"}, {"False", "false"}};

	if (n->type == YAML_NULL) {
		buf_add_str(out, "null");
		return;
	}
	for (size_t i = 0; !n->quoted && i < ARRAY_LEN(words); i++) {
		if (!strcmp(n->text, words[i].word)) {
			buf_add_str(out, words[i].json);
			return;
		}
	}
	json_t *j = n->quoted ? NULL : json_parse(n->text, strlen(n->text), JSON_DECODE_ANY, NULL);
	if (json_is_number(j))
		buf_add_str(out, n->text);
	else
		json_out_cstr(out, n->text);
	json_decref(j);
}

void yaml_print_json(const struct yaml_node *node, struct buf *out)
{
	bool map = node->type == YAML_MAP;

	if (!map && node->type != YAML_SEQ) {
		print_json_scalar(node, out);
		return;
	}
	buf_add_byte(out, map ? '{' : '[');
	for (const struct yaml_node *n = node->first; n; n = n->next) {
		if (map) {
			json_out_cstr(out, n->key);
			buf_add_byte(out, ':');
		}
		yaml_print_json(n, out);
		if (n->next)
			buf_add_byte(out, ',');
	}
	buf_add_byte(out, map ? '}' : ']');
}
