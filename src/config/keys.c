#include "config/keys.h"

#include "config/suggest.h"
#include "config/tables.h"
#include <string.h>

enum { TABLES_MAX = 64 };

static struct config_table added[TABLES_MAX];
static uint32_t added_len;

const struct config_table *config_table_next(const char *section, uint32_t *pos)
{
	uint32_t built_in_len;
	const struct config_table *const *built_in = config_tables(&built_in_len);

	while (*pos < built_in_len + added_len) {
		uint32_t i = (*pos)++;
		const struct config_table *t = i < built_in_len ? built_in[i] : &added[i - built_in_len];
		if (!section || !strcmp(section, t->section))
			return t;
	}
	return NULL;
}

const struct config_key *config_key_find(const char *section, const char *name)
{
	uint32_t pos = 0;

	for (const struct config_table *t; (t = config_table_next(section, &pos));)
		for (size_t i = 0; i < t->count; i++)
			if (config_name_equal(t->keys[i].name, name))
				return &t->keys[i];
	return NULL;
}

void config_register(const char *section, const struct config_key *keys, size_t count)
{
	ASSERT(added_len < TABLES_MAX);
	for (size_t i = 0; i < count; i++)
		ASSERT(!config_key_find(section, keys[i].name));
	added[added_len++] = (struct config_table){section, keys, count};
}

void config_register_reset(void)
{
	added_len = 0;
}

int config_section_init(struct config_section *ret, const char *section, struct arena *arena)
{
	struct config_section s = {.name = section};
	uint32_t pos = 0, count = 0;

	for (const struct config_table *t; (t = config_table_next(section, &pos));)
		count += (uint32_t)t->count;
	s.items = arena_alloc(arena, MAX(count, 1u) * sizeof *s.items);
	if (!s.items)
		return -ENOMEM;
	pos = 0;
	for (const struct config_table *t; (t = config_table_next(section, &pos));) {
		for (size_t i = 0; i < t->count; i++) {
			struct config_item *item = &s.items[s.len++];
			struct err err;
			item->key = &t->keys[i];
			if (!item->key->def)
				continue;
			int r = config_value_parse(&item->value, item->key, item->key->def, arena, &err);
			if (r == -ENOMEM)
				return r;
			ASSERT(r == 0); /* a default that its own key refuses is our mistake */
		}
	}
	*ret = s;
	return 0;
}

struct config_item *config_section_find(const struct config_section *s, const char *name)
{
	for (uint32_t i = 0; i < s->len; i++)
		if (config_name_equal(s->items[i].key->name, name))
			return &s->items[i];
	return NULL;
}

static const struct config_item *get(const struct config_section *s, const char *name)
{
	const struct config_item *item = config_section_find(s, name);

	ASSERT(item);
	return item;
}

static const struct config_value *get_typed(const struct config_section *s, const char *name, enum config_type type)
{
	const struct config_item *item = get(s, name);

	ASSERT(item->key->type == type);
	return &item->value;
}

bool config_has(const struct config_section *s, const char *name)
{
	return get(s, name)->value.has;
}

bool config_is_set(const struct config_section *s, const char *name)
{
	return get(s, name)->value.set;
}

bool config_bool(const struct config_section *s, const char *name)
{
	return get_typed(s, name, CONFIG_BOOL)->b;
}

int64_t config_int(const struct config_section *s, const char *name)
{
	return get_typed(s, name, CONFIG_INT)->i;
}

uint64_t config_uint(const struct config_section *s, const char *name)
{
	return get_typed(s, name, CONFIG_UINT)->u;
}

double config_float(const struct config_section *s, const char *name)
{
	return get_typed(s, name, CONFIG_FLOAT)->f;
}

const char *config_str(const struct config_section *s, const char *name)
{
	const struct config_item *item = get(s, name);
	enum config_type type = item->key->type;

	ASSERT(type == CONFIG_STRING || type == CONFIG_ENUM || type == CONFIG_JSON || type == CONFIG_MAP);
	return item->value.text ? item->value.text : "";
}

uint64_t config_duration_us(const struct config_section *s, const char *name)
{
	return get_typed(s, name, CONFIG_DURATION)->u;
}

uint64_t config_bytes(const struct config_section *s, const char *name)
{
	return get_typed(s, name, CONFIG_BYTES)->u;
}

uint32_t config_enum(const struct config_section *s, const char *name)
{
	return (uint32_t)get_typed(s, name, CONFIG_ENUM)->u;
}

const char *const *config_list(const struct config_section *s, const char *name, uint32_t *ret_len)
{
	static const char *const none[] = {NULL};
	const struct config_value *v = get_typed(s, name, CONFIG_LIST);

	*ret_len = v->list_len;
	return v->list ? v->list : none;
}
