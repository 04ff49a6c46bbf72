#include "frontend/json_in.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "config/json_parse.h"
#include "frontend/request.h"

#include <math.h>

enum {
	CHEAP_BYTES_MAX = 16 * 1024, /* 14 ns each: 0.2 ms */
	CHEAP_VALUES_MAX = 1024, /* 60 to 400 ns each, to be made and freed */
};

struct place {
	unsigned long line, column;
};

static struct place place_of(const char *body, size_t offset)
{
	struct place p = {1, 1};

	for (size_t i = 0; i < offset; i++) {
		if (body[i] == '\n') {
			p.line++;
			p.column = 0;
		}
		p.column += ((unsigned char)body[i] & 0xc0) != 0x80; /* characters, not bytes */
	}
	return p;
}

static int refuse_at(struct api_error *e, const char *body, size_t offset, const char *why)
{
	struct place p = place_of(body, offset);
	return api_error_set(e, 400, NULL, NULL, "could not parse the body as JSON: line %lu, column %lu: %s", p.line,
		p.column, why);
}

static void decref(void *arg)
{
	json_decref(arg);
}

/* Values and containers at most, since each but the first has one of these in front. */
struct marks {
	uint32_t commas, opened;
};

static struct marks count_marks(const char *body, size_t len)
{
	struct marks ret = {0};

	for (size_t i = 0; i < len; i++) {
		ret.commas += body[i] == ',';
		ret.opened += (body[i] | 0x20) == '{'; /* [ too */
	}
	return ret;
}

bool api_json_is_cheap(const char *body, size_t len)
{
	if (len <= CHEAP_VALUES_MAX || len > CHEAP_BYTES_MAX) /* a value has a byte at least */
		return len <= CHEAP_VALUES_MAX;
	struct marks m = count_marks(body, len);
	return m.commas + m.opened <= CHEAP_VALUES_MAX;
}

/* Most bodies are far below every bound, and counting in full costs as much as half the parsing. */
static bool is_small(const char *body, size_t len)
{
	struct marks m = len > CHEAP_BYTES_MAX ? (struct marks){0, JSON_DEPTH_MAX} : count_marks(body, len);

	static_assert((int)CHEAP_VALUES_MAX < (int)MIN(JSON_VALUES_MAX, JSON_MEMBERS_MAX), "is below all bounds");
	return m.opened < JSON_DEPTH_MAX && m.commas < CHEAP_VALUES_MAX;
}

int api_json_parse(json_t **ret, const char *body, size_t len, struct arena *arena, struct api_error *e)
{
	static const char mark[] = "\xef\xbb\xbf"; /* UTF-8's, which editors and shells of Windows put before a text */
	json_error_t error;
	size_t offset;

	if (len >= strlen(mark) && !memcmp(body, mark, strlen(mark))) {
		body += strlen(mark);
		len -= strlen(mark);
	}
	size_t valid = utf8_check(body, len);
	if (valid != len)
		return api_error_set(e, 400, NULL, NULL,
			"could not parse the body as JSON: invalid UTF-8 at byte offset %zu (byte 0x%02x)", valid,
			(unsigned char)body[valid]);
	if (!len)
		return api_error_set(e, 400, NULL, NULL, "the request has no body; send a JSON object");
	struct json_bounds left = json_body_bounds;
	struct err err = {0};
	if (!is_small(body, len) && json_bounds_check(&left, &json_body_bounds, body, len, &offset, &err) < 0)
		return refuse_at(e, body, offset, err.msg);
	json_t *root = json_parse_wide(body, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	if (!root && json_is_no_memory(&error))
		return api_error_set(e, 500, NULL, NULL, "out of memory");
	if (!root)
		return api_error_set(e, 400, NULL, NULL, "could not parse the body as JSON: line %d, column %d: %s",
			error.line, error.column, error.text);
	if (arena_on_done(arena, decref, root) < 0) {
		json_decref(root);
		return api_error_set(e, 500, NULL, NULL, "out of memory");
	}
	if (!json_is_object(root))
		return api_error_set(
			e, 400, NULL, NULL, "the body must be a JSON object, not %s", json_in_type_name(root));
	*ret = root;
	return 0;
}

const char *json_in_type_name(const json_t *v)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "an array",
		[JSON_STRING] = "a string",
		[JSON_INTEGER] = "an integer",
		[JSON_REAL] = "a number with a fraction",
		[JSON_TRUE] = "true",
		[JSON_FALSE] = "false",
		[JSON_NULL] = "null",
	};
	return names[json_typeof(v)];
}

json_t *json_in_get(const json_t *object, const char *name)
{
	json_t *v = json_object_get(object, name);
	return v && !json_is_null(v) ? v : NULL;
}

int json_in_wrong_type(struct api_error *e, const char *name, const char *want, const json_t *got)
{
	return api_error_set(e, 400, NULL, name, "\"%s\" must be %s, not %s", name, want, json_in_type_name(got));
}

bool json_in_is(const json_t *v, const char *text)
{
	size_t len = strlen(text);

	return json_is_string(v) && json_string_length(v) == len && !memcmp(json_string_value(v), text, len);
}

int json_in_name(const json_t *v, const char *name, const char **ret, struct api_error *e)
{
	if (!json_is_string(v))
		return json_in_wrong_type(e, name, "a string", v);
	if (memchr(json_string_value(v), '\0', json_string_length(v)))
		return api_error_set(e, 400, NULL, name, "\"%s\" has a NUL character (\\u0000)", name);
	*ret = json_string_value(v);
	return 0;
}

bool json_in_whole(const json_t *v, int64_t *ret)
{
	if (json_is_integer(v)) {
		*ret = json_integer_value(v);
		return true;
	}
	double d = json_real_value(v);
	if (!json_is_real(v) || d != floor(d))
		return false;
	/* 2^63 and what is beyond cannot be converted. */
	*ret = d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (int64_t)d;
	return true;
}

struct json_in_shown json_in_show(const json_t *number)
{
	struct json_in_shown ret;
	double d = json_number_value(number);

	if (json_is_integer(number))
		snprintf(ret.text, sizeof ret.text, "%lld", (long long)json_integer_value(number));
	else
		snprintf(ret.text, sizeof ret.text, d == floor(d) && fabs(d) < 1e21 ? "%.0f" : "%.9g", d);
	return ret;
}

static int check_range(const struct json_in_field *f, const json_t *v, struct api_error *e)
{
	double number = json_number_value(v);

	if (number >= f->min && (number <= f->max || f->cut))
		return 0;
	if (f->cut)
		return api_error_set(e, 400, NULL, f->name, "\"%s\" must be %.9g or more, not %s", f->name, f->min,
			json_in_show(v).text);
	return api_error_set(e, 400, NULL, f->name, "\"%s\" must be between %.9g and %.9g, not %s", f->name, f->min,
		f->max, json_in_show(v).text);
}

static int read_u32(const struct json_in_field *f, const json_t *v, uint32_t *at, struct api_error *e)
{
	int64_t whole;

	if (!json_in_whole(v, &whole))
		return json_in_wrong_type(e, f->name, "an integer", v);
	if (check_range(f, v, e) < 0)
		return -EINVAL;
	*at = (uint32_t)MIN(whole, (int64_t)f->max);
	return 0;
}

static int read_field(const struct json_in_field *f, const json_t *v, void *at, struct api_error *e)
{
	switch (f->kind) {
	case JSON_IN_BOOL:
		if (!json_is_boolean(v))
			return json_in_wrong_type(e, f->name, "true or false", v);
		*(bool *)at = json_is_true(v);
		return 0;
	case JSON_IN_U32:
		return read_u32(f, v, at, e);
	case JSON_IN_F32:
		if (!json_is_number(v))
			return json_in_wrong_type(e, f->name, "a number", v);
		if (check_range(f, v, e) < 0)
			return -EINVAL;
		*(float *)at = (float)json_number_value(v);
		return 0;
	}
	return 0;
}

int json_in_fields(
	const json_t *object, const struct json_in_field *fields, uint32_t count, void *ret, struct api_error *e)
{
	for (uint32_t i = 0; i < count; i++) {
		const json_t *v = json_in_get(object, fields[i].name);
		if (v && read_field(&fields[i], v, (char *)ret + fields[i].offset, e) < 0)
			return -EINVAL;
	}
	return 0;
}

int json_in_tokens(
	const json_t *array, const char *name, struct arena *arena, struct msg_u32s *ret, struct api_error *e)
{
	size_t count = json_array_size(array);

	if (count > TOKENS_MAX)
		return api_error_set(
			e, 400, NULL, name, "\"%s\" has %zu token ids; at most %u are taken", name, count, TOKENS_MAX);
	uint32_t *v = arena_alloc(arena, MAX(count, 1u) * sizeof *v);
	if (!v)
		return api_error_set(e, 500, NULL, NULL, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(array, i);
		int64_t id;
		if (!json_in_whole(item, &id))
			return api_error_set(e, 400, NULL, name, "\"%s\" item %zu must be a token id, not %s", name, i,
				json_in_type_name(item));
		if (id < 0 || id > INT32_MAX)
			return api_error_set(e, 400, NULL, name, "\"%s\" item %zu is %s, which is no token id", name, i,
				json_in_show(item).text);
		v[i] = (uint32_t)id;
	}
	*ret = (struct msg_u32s){v, (uint32_t)count};
	return 0;
}
