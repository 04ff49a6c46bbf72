/* value.c - text to a typed value, checked against its key's range. */
#include "config/json_parse.h"
#include "config/keys.h"

#include "config/suggest.h"
#include "config/units.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *config_type_name(enum config_type type)
{
	static const char *const names[] = {
		[CONFIG_BOOL] = "true or false",
		[CONFIG_INT] = "integer",
		[CONFIG_UINT] = "integer",
		[CONFIG_FLOAT] = "number",
		[CONFIG_STRING] = "string",
		[CONFIG_DURATION] = "duration",
		[CONFIG_BYTES] = "size",
		[CONFIG_ENUM] = "choice",
		[CONFIG_LIST] = "list",
		[CONFIG_MAP] = "map",
		[CONFIG_JSON] = "JSON",
	};
	return names[type];
}

static bool ranged(const struct config_key *key)
{
	return key->min != 0 || key->max != 0;
}

/* Sizes read better with their unit when they are whole ones. */
static void bound_text(const struct config_key *key, double v, char *ret, size_t cap)
{
	static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
	unsigned u = 0;

	if (key->type == CONFIG_BYTES)
		for (; v >= 1024 && fmod(v, 1024) == 0 && u + 1 < ARRAY_LEN(units); u++)
			v /= 1024;
	snprintf(ret, cap, "%.15g%s%s", v, units[u], key->type == CONFIG_DURATION && key->unit ? key->unit : "");
}

static void choices_text(const char *choices, char *ret, size_t cap)
{
	size_t n = (size_t)snprintf(ret, cap, "one of ");

	for (; *choices && n + 3 < cap; choices++) {
		if (*choices == '|') {
			ret[n++] = ',';
			ret[n++] = ' ';
		} else {
			ret[n++] = *choices;
		}
	}
	ret[n] = '\0';
}

const char *config_key_accepts(const struct config_key *key, char *ret, size_t cap)
{
	static const char *const what[] = {
		[CONFIG_BOOL] = "true or false",
		[CONFIG_INT] = "a whole number",
		[CONFIG_UINT] = "a whole number",
		[CONFIG_FLOAT] = "a number",
		[CONFIG_STRING] = "a text",
		[CONFIG_DURATION] = "a duration such as 250ms, 10s or 5m",
		[CONFIG_BYTES] = "a size such as 64MiB or 2Gi",
		[CONFIG_ENUM] = "",
		[CONFIG_LIST] = "a list",
		[CONFIG_MAP] = "a map",
		[CONFIG_JSON] = "JSON",
	};
	char lo[48], hi[48];
	bool number = key->type == CONFIG_INT || key->type == CONFIG_UINT || key->type == CONFIG_FLOAT;
	const char *unit = number && key->unit ? key->unit : NULL;

	if (key->type == CONFIG_ENUM) {
		choices_text(key->choices, ret, cap);
		return ret;
	}
	bound_text(key, key->min, lo, sizeof lo);
	bound_text(key, key->max, hi, sizeof hi);
	bool low_only = ranged(key) && key->max < key->min;
	snprintf(ret, cap, "%s%s%s%s%s%s%s%s", what[key->type],
		low_only      ? " of at least "
		: ranged(key) ? " from "
			      : "",
		ranged(key)                ? lo
		: key->type == CONFIG_UINT ? " of at least 0"
					   : "",
		ranged(key) && !low_only ? " to " : "", ranged(key) && !low_only ? hi : "", unit ? " (" : "",
		unit ? unit : "", unit ? ")" : "");
	return ret;
}

static int refuse(const struct config_key *key, int code, const char *text, struct err *err)
{
	char accepts[512];

	if (!*text)
		return err_set(err, code, "a value is missing; %s is accepted",
			config_key_accepts(key, accepts, sizeof accepts));
	return err_set(err, code, "\"%.80s\" is not %s", text, config_key_accepts(key, accepts, sizeof accepts));
}

static int in_range(const struct config_key *key, double v, const char *text, struct err *err)
{
	if (!ranged(key))
		return 0;
	if (v >= key->min && (v <= key->max || key->max < key->min))
		return 0;
	return refuse(key, -ERANGE, text, err);
}

static int parse_bool(struct config_value *v, const struct config_key *key, const char *text, struct err *err)
{
	static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcasecmp(text, yes[i]) && strcasecmp(text, no[i]))
			continue;
		v->b = !strcasecmp(text, yes[i]);
		return 0;
	}
	return refuse(key, -EINVAL, text, err);
}

static int parse_int(struct config_value *v, const struct config_key *key, const char *text, struct err *err)
{
	int64_t i = 0;
	uint64_t u = 0;

	int r = key->type == CONFIG_INT ? units_parse_int(text, &i) : units_parse_uint(text, &u);
	if (r < 0)
		return refuse(key, r, text, err);
	r = in_range(key, key->type == CONFIG_INT ? (double)i : (double)u, text, err);
	if (r < 0)
		return r;
	if (key->type == CONFIG_INT)
		v->i = i;
	else
		v->u = u;
	return 0;
}

static int parse_float(struct config_value *v, const struct config_key *key, const char *text, struct err *err)
{
	double f;

	if (units_parse_float(text, &f) < 0)
		return refuse(key, -EINVAL, text, err);
	int r = in_range(key, f, text, err);
	if (r == 0)
		v->f = f;
	return r;
}

static int parse_duration(struct config_value *v, const struct config_key *key, const char *text, struct err *err)
{
	uint64_t us, unit_us = units_duration_us(key->unit ? key->unit : "s");

	ASSERT(unit_us);
	if (units_parse_duration(text, unit_us, &us) < 0)
		return refuse(key, -EINVAL, text, err);
	int r = in_range(key, (double)us / (double)unit_us, text, err);
	if (r == 0)
		v->u = us;
	return r;
}

static int parse_bytes(struct config_value *v, const struct config_key *key, const char *text, struct err *err)
{
	uint64_t bytes;

	if (units_parse_bytes(text, &bytes) < 0)
		return refuse(key, -EINVAL, text, err);
	int r = in_range(key, (double)bytes, text, err);
	if (r == 0)
		v->u = bytes;
	return r;
}

static int parse_enum(struct config_value *v, const struct config_key *key, const char *text, struct err *err)
{
	char one[64];
	struct suggest s;
	uint32_t place = 0;
	/* Candidates must outlive the search for the nearest. */
	char near[64] = "";

	suggest_init(&s, text);
	for (const char *p = key->choices; *p; place++) {
		size_t len = strcspn(p, "|");
		snprintf(one, sizeof one, "%.*s", (int)len, p);
		if (config_name_equal(one, text)) {
			v->u = place;
			return 0;
		}
		uint32_t before = s.distance;
		suggest_offer(&s, one);
		if (s.distance < before)
			memcpy(near, one, sizeof near);
		p += len + (p[len] == '|');
	}
	int r = refuse(key, -EINVAL, text, err);
	if (suggest_best(&s))
		err_hint(err, "did you mean \"%s\"?", near);
	return r;
}

static int parse_json(const struct config_key *key, const char *text, struct err *err)
{
	json_error_t je;
	json_t *j = json_parse(text, strlen(text), JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &je);
	bool fits = j && (key->type != CONFIG_MAP || json_is_object(j));

	json_decref(j);
	if (j)
		return fits ? 0 : refuse(key, -EINVAL, text, err);
	if (json_is_no_memory(&je))
		return err_set(err, -ENOMEM, "out of memory");
	return err_set(err, -EINVAL, "this is not JSON: %s at its character %d", je.text, je.position);
}

/* "a,b, c" -> three strings. */
static int split_list(struct config_value *v, const char *text, struct arena *arena)
{
	uint32_t n = *text ? 1 : 0, i = 0;

	for (const char *p = text; *p; p++)
		n += *p == ',';
	const char **list = arena_alloc(arena, (n + 1) * sizeof *list);
	char *copy = arena_strdup(arena, text), *rest = copy;
	if (!list || !copy)
		return -ENOMEM;
	for (char *one; n && (one = strsep(&rest, ","));) {
		one += strspn(one, " ");
		for (size_t len = strlen(one); len && one[len - 1] == ' ';)
			one[--len] = '\0';
		if (*one)
			list[i++] = one;
	}
	v->list = list;
	v->list_len = i;
	return 0;
}

int config_value_parse(
	struct config_value *ret, const struct config_key *key, const char *text, struct arena *arena, struct err *err)
{
	struct config_value v = *ret;
	int r = 0;

	switch (key->type) {
	case CONFIG_BOOL:
		r = parse_bool(&v, key, text, err);
		break;
	case CONFIG_INT:
	case CONFIG_UINT:
		r = parse_int(&v, key, text, err);
		break;
	case CONFIG_FLOAT:
		r = parse_float(&v, key, text, err);
		break;
	case CONFIG_DURATION:
		r = parse_duration(&v, key, text, err);
		break;
	case CONFIG_BYTES:
		r = parse_bytes(&v, key, text, err);
		break;
	case CONFIG_ENUM:
		r = parse_enum(&v, key, text, err);
		break;
	case CONFIG_MAP:
	case CONFIG_JSON:
		r = parse_json(key, text, err);
		break;
	case CONFIG_LIST:
		r = split_list(&v, text, arena);
		break;
	case CONFIG_STRING:
		break;
	}
	if (r == 0 && !(v.text = arena_strdup(arena, text)))
		r = -ENOMEM;
	if (r == -ENOMEM)
		return err_set(err, r, "out of memory");
	if (r < 0)
		return r;
	v.has = true;
	*ret = v;
	return 0;
}
