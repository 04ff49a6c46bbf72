/* keys.h - tables of settings: what parses a value, checks it, gives its default and prints its line in the reference.
 *
 * A section ("Frontend", "LlamaWorker", ...) is one or more tables; a room below adds its own with config_register at
 * program start, so that a new setting touches no central switch. Values land in a struct config_section and are read
 * by typed getters; asking for a name that is in no table, or by another type, is our bug and ASSERTs.
 * Keys are written with hyphens; a user may write underscores.
 *
 * Thread: register before threads start; tables are constant afterwards. A section belongs to whoever loaded it and is
 * constant once loaded. */
#ifndef STATOR_CONFIG_KEYS_H
#define STATOR_CONFIG_KEYS_H

#include "base/arena.h"
#include "base/err.h"
#include "config/diag.h"
#include <stdbool.h>
#include <stdint.h>

/* The policies of route/policy.h by name (a test compares them): a room below this one knows them. */
#define CONFIG_ROUTERS "finish-time|kv|dynamo-kv|prefix|round-robin|random|least-loaded|p2c|session|direct"

enum config_type {
	CONFIG_BOOL, /* true, false, yes, no, on, off */
	CONFIG_INT, /* int64_t */
	CONFIG_UINT, /* uint64_t */
	CONFIG_FLOAT,
	CONFIG_STRING,
	CONFIG_DURATION, /* "250ms", "10s", "5m"; a bare number is in the key's unit; read in microseconds */
	CONFIG_BYTES, /* "32MiB", "20Gi", "1GB"; a bare number is bytes */
	CONFIG_ENUM, /* one of choices; read as its string or its place in choices */
	CONFIG_LIST, /* list of strings; a single scalar is a list of one, commas separate on a command line */
	CONFIG_MAP, /* map of scalars; kept as JSON text */
	CONFIG_JSON, /* JSON text, or the same written as YAML; read as JSON text */
};
enum config_when { CONFIG_RESTART, CONFIG_LIVE };

struct config_key {
	const char *name;
	enum config_type type;
	enum config_when when; /* a change takes effect */
	const char *unit; /* "tokens", "ms"; NULL when it has none */
	const char *def; /* as a user would write it; NULL: unset */
	/* Numbers: both ends are in; max below min: no upper end; both 0: any. Durations in the key's unit, sizes in
	 * bytes. */
	double min, max;
	const char *choices; /* enum: "f16|q8_0" */
	const char *help; /* one line, lower case start, no full stop */
};

struct config_value {
	bool set; /* by the user (false: the default, or nothing) */
	bool has; /* there is a value */
	struct config_pos pos; /* of the value, when set */
	union {
		bool b;
		int64_t i;
		uint64_t u; /* also microseconds, bytes, and the place of an enum in choices */
		double f;
	};
	const char *text; /* strings, enums, JSON; for others as written, lists with commas: what a flag would take */
	const char *const *list; /* list_len strings and a NULL */
	uint32_t list_len;
};

/* Read text as a value of key. On failure ret is untouched and err is a cause: what was refused, what is accepted.
 * Copies into arena. -EINVAL, -ERANGE, -ENOMEM. Does not touch set or pos. */
int config_value_parse(
	struct config_value *ret, const struct config_key *key, const char *text, struct arena *arena, struct err *err);
/* "a number from 1 to 1024 (tokens)", "one of f16, q8_0": what a key accepts, for messages and help. Returns ret. */
const char *config_key_accepts(const struct config_key *key, char *ret, size_t cap);
const char *config_type_name(enum config_type type);

/* Sections. */
struct config_table {
	const char *section;
	const struct config_key *keys;
	size_t count;
};
/* Add keys to a section. The table must live as long as the program. ASSERTs on a name that is already there. */
void config_register(const char *section, const struct config_key *keys, size_t count);
/* Forget what config_register added (for tests). */
void config_register_reset(void);
/* Iterate over all tables of a section (NULL: of all sections), built in first: start with *pos = 0; NULL at the end.
 */
const struct config_table *config_table_next(const char *section, uint32_t *pos);
/* The key of a section by any spelling, or NULL. */
const struct config_key *config_key_find(const char *section, const char *name);

struct config_item {
	const struct config_key *key;
	struct config_value value;
};
struct config_section {
	const char *name; /* whose tables */
	struct config_item *items;
	uint32_t len;
};

/* Every key of the section's tables with its default. Memory from arena, which must outlive ret. 0 or -ENOMEM. */
int config_section_init(struct config_section *ret, const char *section, struct arena *arena);
/* The item of a name in any spelling, or NULL. */
struct config_item *config_section_find(const struct config_section *s, const char *name);

/* Getters: name as in the table. Without a value: false, 0, "" and an empty list; ask config_has to tell. */
bool config_has(const struct config_section *s, const char *name);
bool config_is_set(const struct config_section *s, const char *name); /* by the user */
bool config_bool(const struct config_section *s, const char *name);
int64_t config_int(const struct config_section *s, const char *name);
uint64_t config_uint(const struct config_section *s, const char *name);
double config_float(const struct config_section *s, const char *name);
const char *config_str(const struct config_section *s, const char *name); /* string, enum, JSON, map */
uint64_t config_duration_us(const struct config_section *s, const char *name);
uint64_t config_bytes(const struct config_section *s, const char *name);
uint32_t config_enum(const struct config_section *s, const char *name); /* place in choices */
const char *const *config_list(const struct config_section *s, const char *name, uint32_t *ret_len);

#endif
