#include "gpu/catalogue.h"

#include "base/buf.h"
#include "base/embed.h"
#include "config/records.h"
#include "config/suggest.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

EMBED_FILE(data_gpus, "data/gpus.txt");

enum { CATALOGUE_MAX = 1024, KEY_BYTES_MAX = 96 };

static struct gpu_spec specs[CATALOGUE_MAX];
static struct record_rows catalogue = {.rows = specs,
	.row_bytes = sizeof *specs,
	.max = CATALOGUE_MAX,
	.what = "cards",
	.lock = PTHREAD_MUTEX_INITIALIZER};

#define FIELD(key, kind, member, required, help)                                                                       \
	{                                                                                                              \
		key, kind, offsetof(struct gpu_spec, member), required, NULL, help                                     \
	}
static const struct record_field fields[] = {
	FIELD("nvml", RECORD_TEXT, nvml, false, "names that NVML gives it, divided by |"),
	FIELD("alias", RECORD_TEXT, alias, false, "other names, divided by |"),
	FIELD("vendor", RECORD_TEXT, vendor, false, "who makes it; NVIDIA when not given"),
	FIELD("capability", RECORD_TENTHS, capability, false, "CUDA compute capability"),
	FIELD("memory", RECORD_BYTES, memory_bytes, true, "in all, as nvidia-smi shows it"),
	FIELD("usable", RECORD_BYTES, usable_bytes, false, "what a CUDA program sees as total; else 97 % of memory"),
	FIELD("bandwidth", RECORD_F64, memory_gb_s, true, "of the memory, GB/s"),
	FIELD("fp32", RECORD_F64, tflops_fp32, true, "dense TFLOPS"),
	FIELD("fp16", RECORD_F64, tflops_fp16, false, "dense TFLOPS"),
	FIELD("bf16", RECORD_F64, tflops_bf16, false, "dense TFLOPS"),
	FIELD("fp8", RECORD_F64, tflops_fp8, false, "dense TFLOPS"),
	FIELD("fp4", RECORD_F64, tflops_fp4, false, "dense TFLOPS"),
	FIELD("int8", RECORD_F64, tops_int8, false, "dense TOPS"),
	FIELD("nvlink", RECORD_F64, nvlink_gb_s, false, "GB/s, both directions together"),
	FIELD("pcie", RECORD_F64, pcie_gb_s, false, "GB/s, one direction"),
	FIELD("watts", RECORD_U32, watts, false, "power limit"),
	FIELD("mig", RECORD_BOOL, mig, false, "may be cut into slices"),
	FIELD("unified", RECORD_BOOL, unified, false, "its memory is the system's too"),
	FIELD("source", RECORD_TEXT, source, true, "where the figures come from"),
};

static const struct gpu_spec *exact(const char *name);

static bool sound(const struct gpu_spec *s, const struct record *r, struct diags *d)
{
	if (s->usable_bytes > s->memory_bytes) {
		diags_add(d, DIAG_ERROR, &r->pos, "\"%s\" has more usable memory than memory", r->name);
		return false;
	}
	if (!s->capability && !strcmp(s->vendor, "NVIDIA")) {
		diags_add(d, DIAG_ERROR, &r->pos, "\"%s\" needs capability, or another vendor", r->name);
		return false;
	}
	if (s->memory_gb_s <= 0 || s->tflops_fp32 <= 0 || s->memory_bytes < 1 << 20) {
		diags_add(d, DIAG_ERROR, &r->pos, "\"%s\" needs memory, bandwidth and fp32 above 0", r->name);
		return false;
	}
	return true;
}

/* Letters and digits in lower case, what vendors put in front or behind left out: "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
 * "nvidia a100 sxm4 80gb" -> "a100sxm480gb". */
static void normalize(const char *name, size_t len, char ret[KEY_BYTES_MAX])
{
	static const char *const fronts[] = {
		"nvidia", "amd", "intel", "google", "radeon", "instinct", "tesla", "geforce", "quadro"};
	uint32_t n = 0;

	for (size_t i = 0; i < len && n < KEY_BYTES_MAX - 1; i++) {
		if (len - i > 5 && !strncasecmp(name + i, " MIG ", 5))
			break;
		if (isalnum((unsigned char)name[i]))
			ret[n++] = (char)tolower((unsigned char)name[i]);
	}
	ret[n] = '\0';
	for (uint32_t f = 0; f < ARRAY_LEN(fronts); f++) {
		size_t front = strlen(fronts[f]);
		if (!strncmp(ret, fronts[f], front) && ret[front])
			memmove(ret, ret + front, strlen(ret + front) + 1);
	}
}

static bool keys_make(struct gpu_spec *s)
{
	char key[KEY_BYTES_MAX];
	struct buf keys;

	buf_init(&keys, 64 * 1024);
	for (const char *p = s->nvml; *p;) {
		size_t len = strcspn(p, "|");
		normalize(p, len, key);
		buf_printf(&keys, "%s|", key);
		p += len + (p[len] == '|');
	}
	s->nvml_keys_len = (uint32_t)keys.len;
	normalize(s->name, strlen(s->name), key);
	buf_printf(&keys, "%s|", key);
	for (const char *p = s->alias; *p;) {
		size_t len = strcspn(p, "|");
		normalize(p, len, key);
		buf_printf(&keys, "%s|", key);
		p += len + (p[len] == '|');
	}
	s->keys = keys.failed ? NULL : arena_strdup(&catalogue.arena, buf_str(&keys));
	buf_done(&keys);
	return s->keys != NULL;
}

static int add(void *ctx, const struct record *r)
{
	struct diags *d = ctx;
	struct gpu_spec s = {.name = r->name, .nvml = "", .alias = "", .vendor = "NVIDIA", .source = ""};

	if (!record_fill(r, fields, ARRAY_LEN(fields), &s, d) || !sound(&s, r, d))
		return 0;
	if (!s.usable_bytes)
		s.usable_bytes = s.memory_bytes / 100 * 97;
	if (!keys_make(&s))
		return -ENOMEM;
	record_rows_put(&catalogue, (struct gpu_spec *)exact(r->name), &s, r, d);
	return 0;
}

static int load(void)
{
	return record_rows_load(&catalogue, "data/gpus.txt", data_gpus_text, data_gpus_len, add);
}

int gpu_catalogue_add(const char *file, const char *text, size_t len, struct diags *diags)
{
	int code = load();

	return code < 0 ? code : records_parse(file, text, len, &catalogue.arena, diags, add, diags);
}

int gpu_catalogue_load(struct err *err)
{
	int code = load();

	return code < 0 ? err_set(err, code, "could not read the catalogue of GPUs: out of memory") : 0;
}

int gpu_catalogue_add_file(const char *path, struct diags *diags, struct err *err)
{
	return records_add_file(path, diags, gpu_catalogue_add, err);
}

const struct gpu_spec *gpu_spec_at(uint32_t i)
{
	(void)load();
	return i < catalogue.len ? &specs[i] : NULL;
}

static const struct gpu_spec *exact(const char *name)
{
	for (uint32_t i = 0; i < catalogue.len; i++)
		if (!strcasecmp(specs[i].name, name))
			return &specs[i];
	return NULL;
}

/* Is key one of the first len bytes of keys? */
static bool has_key(const char *keys, uint32_t len, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = keys; p < keys + len; p += strcspn(p, "|") + 1)
		if (!strncmp(p, key, n) && p[n] == '|')
			return true;
	return false;
}

static bool has_nvml_name(const struct gpu_spec *s, const char *key)
{
	return has_key(s->keys, s->nvml_keys_len, key);
}

static bool is_name(const struct gpu_spec *s, const char *key)
{
	const char *own = s->keys + s->nvml_keys_len;
	return has_key(own, (uint32_t)strlen(own), key);
}

static const struct gpu_spec *find_key(const char *key)
{
	for (uint32_t i = 0; *key && i < catalogue.len; i++)
		if (has_nvml_name(&specs[i], key))
			return &specs[i];
	for (uint32_t i = 0; *key && i < catalogue.len; i++)
		if (is_name(&specs[i], key))
			return &specs[i];
	return NULL;
}

/* "T4-16GB": a card's name and the memory that people write behind it, which must be its own within a tenth. The digits of both may
 * run together ("rtx308010gb"), so each border is tried. key is changed. */
static const struct gpu_spec *find_sized(char *key)
{
	enum { DIGITS_MAX = 3 };
	size_t end = strlen(key) < 2 ? 0 : strlen(key) - 2;

	if (!end || strcmp(key + end, "gb") != 0)
		return NULL;
	key[end] = '\0';
	for (size_t digits = 1; digits <= DIGITS_MAX && digits < end && isdigit((unsigned char)key[end - digits]);
		digits++) {
		char *size = key + end - digits, first = *size;
		uint64_t bytes = strtoull(size, NULL, 10) << 30;
		*size = '\0';
		const struct gpu_spec *s = first == '0' ? NULL : find_key(key);
		*size = first;
		if (s && s->memory_bytes / 10 * 9 <= bytes && bytes <= s->memory_bytes / 10 * 11)
			return s;
	}
	return NULL;
}

/* As it is, with a size behind it, and with one that lacks its last letter ("40G"). */
static const struct gpu_spec *find_written(const char *front, const char *key)
{
	char full[KEY_BYTES_MAX + 8];
	int n = snprintf(full, sizeof full - 2, "%s%s", front, key);
	const struct gpu_spec *s = find_key(full);

	if (!s && n > 2 && n < KEY_BYTES_MAX && full[n - 1] == 'g' && isdigit((unsigned char)full[n - 2])) {
		full[n] = 'b';
		full[n + 1] = '\0';
		s = find_key(full);
	}
	return s ? s : find_sized(full);
}

/* "4090" and "1080 Ti" are GeForce cards, and no others of such numbers; "A5000" is an RTX A5000. */
static const struct gpu_spec *find_short(const char *key)
{
	static const char *const fronts[] = {"rtx", "gtx"};

	for (uint32_t f = 0; f < ARRAY_LEN(fronts); f++) {
		const struct gpu_spec *s = find_written(fronts[f], key);
		if (s && (!isdigit((unsigned char)*key) || strstr(s->nvml, "GeForce")))
			return s;
	}
	return NULL;
}

/* NVML's names first: "Quadro RTX 5000" and "RTX 5000 Ada" are other cards, and a name given in full is never a guess. A size behind
 * the name must be the card's own, within a tenth. */
const struct gpu_spec *gpu_spec_find(const char *name)
{
	char key[KEY_BYTES_MAX];
	const struct gpu_spec *s;

	(void)load();
	if (!name || exact(name))
		return name ? exact(name) : NULL;
	normalize(name, strlen(name), key);
	s = find_written("", key);
	return s ? s : find_short(key);
}

static uint64_t apart(const struct gpu_spec *s, uint64_t memory_bytes)
{
	return s->memory_bytes > memory_bytes ? s->memory_bytes - memory_bytes : memory_bytes - s->memory_bytes;
}

const struct gpu_spec *gpu_spec_match(const char *nvml_name, uint64_t memory_bytes)
{
	const struct gpu_spec *ret = gpu_spec_find(nvml_name);
	char key[KEY_BYTES_MAX];

	normalize(nvml_name, strlen(nvml_name), key);
	for (uint32_t i = 0; ret && i < catalogue.len; i++) {
		const struct gpu_spec *s = &specs[i];
		if (has_nvml_name(s, key) && apart(s, memory_bytes) < apart(ret, memory_bytes))
			ret = s;
	}
	return ret;
}

const char *gpu_spec_suggest(const char *name)
{
	struct suggest s;

	(void)load();
	suggest_init(&s, name);
	for (uint32_t i = 0; i < catalogue.len; i++)
		suggest_offer(&s, specs[i].name);
	return suggest_best(&s);
}

/* One of the own names in keys begins with key: "a10040gb|" with "a100". */
static bool begins(const struct gpu_spec *s, const char *key)
{
	return !strncmp(s->keys + s->nvml_keys_len, key, strlen(key));
}

const char *gpu_spec_beginning(const char *name, char *ret, size_t cap)
{
	char key[KEY_BYTES_MAX];
	size_t len = 0;

	(void)load();
	*ret = '\0';
	normalize(name, strlen(name), key);
	for (uint32_t i = 0; strlen(key) >= 2 && i < catalogue.len; i++) {
		size_t wanted = strlen(specs[i].name) + (len ? 2 : 0);
		if (!begins(&specs[i], key) || len + wanted + 1 > cap)
			continue;
		memcpy(ret + len, ", ", len ? 2 : 0);
		memcpy(ret + len + (len ? 2 : 0), specs[i].name, strlen(specs[i].name) + 1);
		len += wanted;
	}
	return ret;
}

const char *gpu_generation(uint32_t capability)
{
	static const struct {
		uint32_t least;
		const char *name;
	} table[] = {{120, "Blackwell"}, {100, "Blackwell"}, {90, "Hopper"}, {89, "Ada"}, {80, "Ampere"},
		{75, "Turing"}, {70, "Volta"}, {60, "Pascal"}, {50, "Maxwell"}, {30, "Kepler"}};

	for (uint32_t i = 0; i < ARRAY_LEN(table); i++)
		if (capability >= table[i].least)
			return table[i].name;
	return "unknown";
}
