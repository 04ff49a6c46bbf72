#include "gpu/instances.h"

#include "base/compiler.h"
#include "base/embed.h"
#include "config/records.h"
#include "config/suggest.h"
#include <ctype.h>
#include <string.h>

EMBED_FILE(data_instances, "data/instances.txt");

enum { INSTANCES_MAX = 512, KEY_BYTES_MAX = 64 };

struct instance {
	const char *name, *gpus;
};

static struct instance instances[INSTANCES_MAX];
static struct record_rows table = {.rows = instances,
	.row_bytes = sizeof *instances,
	.max = INSTANCES_MAX,
	.what = "instances",
	.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct record_field fields[] = {
	{"gpus", RECORD_TEXT, offsetof(struct instance, gpus), true, NULL, NULL},
};

static int add(void *ctx, const struct record *r)
{
	struct instance one = {.name = r->name};

	if (record_fill(r, fields, ARRAY_LEN(fields), &one, ctx))
		record_rows_put(&table, NULL, &one, r, ctx);
	return 0;
}

/* Letters and digits in lower case, without what clouds put in front. */
static void letters(const char *name, char ret[KEY_BYTES_MAX])
{
	static const char *const fronts[] = {"standard", "ml"};
	size_t n = 0;

	for (; *name && n < KEY_BYTES_MAX - 1; name++)
		if (isalnum((unsigned char)*name))
			ret[n++] = (char)tolower((unsigned char)*name);
	ret[n] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(fronts); i++) {
		size_t len = strlen(fronts[i]);
		if (!strncmp(ret, fronts[i], len) && ret[len])
			memmove(ret, ret + len, n + 1 - len);
	}
}

const char *gpu_instance_find(const char *name)
{
	char wanted[KEY_BYTES_MAX], key[KEY_BYTES_MAX];

	if (record_rows_load(&table, "data/instances.txt", data_instances_text, data_instances_len, add) < 0)
		return NULL;
	letters(name, wanted);
	for (uint32_t i = 0; i < table.len; i++) {
		letters(instances[i].name, key);
		if (!strcmp(key, wanted))
			return instances[i].gpus;
	}
	return NULL;
}

const char *gpu_instance_suggest(const char *name)
{
	struct suggest s;

	if (gpu_instance_find(name))
		return NULL;
	suggest_init(&s, name);
	for (uint32_t i = 0; i < table.len; i++)
		suggest_offer(&s, instances[i].name);
	return suggest_best(&s);
}
