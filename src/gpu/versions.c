/* versions.c - see versions.h. */
#include "gpu/versions.h"

#include "base/embed.h"
#include "config/records.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

EMBED_FILE(data_engines, "data/engines.txt");

enum { NAMES_MAX = 4096 };

struct row {
	const char *name, *vllm, *sglang; /* "0.8.4-", "0.5.0-0.10.2"; "": none */
	const char *least, *cards, *class_name, *read;
	uint32_t kind;
};

static struct row rows[NAMES_MAX];
static struct record_rows table = {.rows = rows,
	.row_bytes = sizeof *rows,
	.max = NAMES_MAX,
	.what = "names of engines",
	.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const kinds[] = {
	"engine", "architecture", "quantization", "attention", "cards", "rule", "family", "no-pipeline", NULL};

#define FIELD(key, kind, member, required, words)                                                                      \
	{                                                                                                              \
		key, kind, offsetof(struct row, member), required, words, NULL                                         \
	}
static const struct record_field fields[] = {
	FIELD("kind", RECORD_WORD, kind, true, kinds),
	FIELD("vllm", RECORD_TEXT, vllm, false, NULL),
	FIELD("sglang", RECORD_TEXT, sglang, false, NULL),
	FIELD("least", RECORD_TEXT, least, false, NULL),
	FIELD("cards", RECORD_TEXT, cards, false, NULL),
	FIELD("class", RECORD_TEXT, class_name, false, NULL),
	FIELD("read", RECORD_TEXT, read, false, NULL),
};

static int add(void *ctx, const struct record *r)
{
	struct row x = {
		.name = r->name, .vllm = "", .sglang = "", .least = "", .cards = "", .class_name = "", .read = ""};

	if (record_fill(r, fields, ARRAY_LEN(fields), &x, ctx))
		record_rows_put(&table, NULL, &x, r, ctx);
	return 0;
}

/* As written. An architecture is a class of Python: LLaMAForCausalLM is not LlamaForCausalLM, and the engines have them at other
 * releases. Other names the engines take in any case, so one that is not there as written is looked for so. */
static const struct row *find(enum engine_kind kind, const char *name)
{
	const struct row *ret = NULL;

	(void)record_rows_load(&table, "data/engines.txt", data_engines_text, data_engines_len, add);
	for (uint32_t i = 0; i < table.len; i++) {
		if (rows[i].kind != kind)
			continue;
		if (!strcmp(rows[i].name, name))
			return &rows[i];
		if (!ret && kind != ENGINE_ARCHITECTURE && !strcasecmp(rows[i].name, name))
			ret = &rows[i];
	}
	return ret;
}

/* Major, minor, patch and what follows a patch, 16 bits each. */
uint64_t engine_version_parse(const char *text)
{
	uint64_t ret = 0;
	int parts = 0;

	if (*text == 'v' || *text == 'V')
		text++;
	for (; parts < 4 && isdigit((unsigned char)*text); parts++) {
		char *end;
		unsigned long n = strtoul(text, &end, 10);
		if (n > 0xfffe)
			return 0;
		ret = ret << 16 | n;
		text = end;
		if (!strncmp(text, ".post", 5))
			text += 5;
		else if (*text == '.')
			text++;
		else {
			parts++;
			break;
		}
	}
	if (parts < 2)
		return 0;
	for (; parts < 4; parts++)
		ret <<= 16;
	return ret;
}

const char *engine_version_text(uint64_t v, char *ret, size_t cap)
{
	unsigned more = (unsigned)(v & 0xffff);
	int n = snprintf(
		ret, cap, "%u.%u.%u", (unsigned)(v >> 48), (unsigned)(v >> 32 & 0xffff), (unsigned)(v >> 16 & 0xffff));

	if (more && n > 0 && (size_t)n < cap)
		snprintf(ret + n, cap - (size_t)n, ".post%u", more);
	return ret;
}

struct engine_span engine_span_of(enum rule_engine e, enum engine_kind kind, const char *name)
{
	const struct row *r = e == RULE_LLAMA ? NULL : find(kind, name);
	const char *text = !r ? "" : e == RULE_SGLANG ? r->sglang : r->vllm;
	const char *dash = strchr(text, '-');

	if (!dash)
		return (struct engine_span){0};
	return (struct engine_span){engine_version_parse(text), engine_version_parse(dash + 1)};
}

struct engine_span engine_releases(enum rule_engine e)
{
	return engine_span_of(e, ENGINE_ITSELF, e == RULE_SGLANG ? "sglang" : "vllm");
}

/* "0.6.0:80,0.13.0:75": the value of the last release that is not newer. Returns its text, "" when there is none. */
static const char *value_at(const char *changes, uint64_t version)
{
	const char *ret = "";

	for (const char *p = changes; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
		const char *colon = strchr(p, ':');
		if (colon && engine_version_parse(p) <= version)
			ret = colon + 1;
	}
	return ret;
}

uint32_t engine_quantization_least(const char *name, uint64_t version)
{
	const struct row *r = find(ENGINE_QUANTIZATION, name);

	return r ? (uint32_t)strtoul(value_at(r->least, version), NULL, 10) : 0;
}

/* "7.0;8.0;9.0", up to a comma. */
static bool list_has(const char *list, uint32_t capability)
{
	for (const char *p = list; isdigit((unsigned char)*p);) {
		char *end;
		unsigned long major = strtoul(p, &end, 10), minor = *end == '.' ? strtoul(end + 1, &end, 10) : 0;
		if (major == capability / 10 && minor <= capability % 10)
			return true;
		p = end + (*end == ';');
	}
	return false;
}

bool engine_built_for(uint64_t version, uint32_t capability)
{
	const struct row *r = find(ENGINE_CARDS, "cuda");
	const char *list = r ? value_at(r->cards, version) : "";

	return !*list || list_has(list, capability);
}

uint64_t engine_first_built_for(uint32_t capability)
{
	const struct row *r = find(ENGINE_CARDS, "cuda");

	for (const char *p = r ? r->cards : ""; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
		const char *colon = strchr(p, ':');
		if (colon && list_has(colon + 1, capability))
			return engine_version_parse(p);
	}
	return 0;
}

const char *engine_class_of(const char *model_type)
{
	const struct row *r = find(ENGINE_FAMILY, model_type);

	return r ? r->class_name : NULL;
}

const char *engine_name_at(enum engine_kind kind, uint32_t i)
{
	(void)find(kind, "");
	for (uint32_t k = 0; k < table.len; k++)
		if (rows[k].kind == kind && i-- == 0)
			return rows[k].name;
	return NULL;
}
