#include "config/units.h"

#include "base/compiler.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Digits with underscores between them, as YAML allows. */
static int parse_digits(const char *p, uint64_t *ret)
{
	uint64_t v = 0;
	bool digit = false;

	for (; *p; p++) {
		if (*p == '_' && digit && isdigit((unsigned char)p[1]))
			continue;
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		digit = true;
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	}
	if (!digit)
		return -EINVAL;
	*ret = v;
	return 0;
}

int units_parse_uint(const char *text, uint64_t *ret)
{
	return parse_digits(text + (*text == '+'), ret);
}

int units_parse_int(const char *text, int64_t *ret)
{
	uint64_t u;
	bool minus = *text == '-';
	int r = parse_digits(text + (minus || *text == '+'), &u);

	if (r < 0)
		return r;
	if (u > (uint64_t)INT64_MAX + minus)
		return -ERANGE;
	*ret = minus ? (int64_t)-u : (int64_t)u;
	return 0;
}

/* A decimal number at the front of text; *end is what follows. No hexadecimal, no "inf". */
static int parse_front(const char *text, double *ret, const char **end)
{
	const char *p = text + (*text == '-' || *text == '+');
	char *stop;

	if (!isdigit((unsigned char)*p) && !(*p == '.' && isdigit((unsigned char)p[1])))
		return -EINVAL;
	if (*p == '0' && (p[1] == 'x' || p[1] == 'X'))
		return -EINVAL;
	double v = strtod(text, &stop);
	if (!isfinite(v))
		return -ERANGE;
	*ret = v;
	*end = stop;
	return 0;
}

int units_parse_float(const char *text, double *ret)
{
	double v;
	const char *end;
	int r = parse_front(text, &v, &end);

	if (r < 0 || *end)
		return r < 0 ? r : -EINVAL;
	*ret = v;
	return 0;
}

static const struct {
	const char *name;
	uint64_t scale;
} durations[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60 * 1000000ull}, {"min", 60 * 1000000ull},
	{"h", 3600 * 1000000ull}, {"d", 86400 * 1000000ull}},
  sizes[] = {{"", 1}, {"b", 1}, {"k", 1000}, {"kb", 1000}, {"ki", 1ull << 10}, {"kib", 1ull << 10}, {"m", 1000000},
	  {"mb", 1000000}, {"mi", 1ull << 20}, {"mib", 1ull << 20}, {"g", 1000000000}, {"gb", 1000000000},
	  {"gi", 1ull << 30}, {"gib", 1ull << 30}, {"t", 1000000000000}, {"tb", 1000000000000}, {"ti", 1ull << 40},
	  {"tib", 1ull << 40}};

uint64_t units_duration_us(const char *unit)
{
	for (size_t i = 0; i < ARRAY_LEN(durations); i++)
		if (!strcmp(durations[i].name, unit))
			return durations[i].scale;
	return 0;
}

static int scaled(double v, uint64_t scale, uint64_t *ret)
{
	double d = v * (double)scale;

	/* 2^63: beyond it no one means what they wrote. */
	if (d < 0 || d >= 9223372036854775808.0)
		return -ERANGE;
	*ret = (uint64_t)(d + 0.5);
	return 0;
}

int units_parse_duration(const char *text, uint64_t bare_us, uint64_t *ret_us)
{
	double v;
	const char *end;
	int r = parse_front(text, &v, &end);

	if (r < 0)
		return r;
	end += strspn(end, " ");
	uint64_t scale = *end ? units_duration_us(end) : bare_us;
	return scale ? scaled(v, scale, ret_us) : -EINVAL;
}

int units_parse_bytes(const char *text, uint64_t *ret)
{
	double v;
	const char *end;

	if (units_parse_uint(text, ret) == 0)
		return 0;
	int r = parse_front(text, &v, &end);
	if (r < 0)
		return r;
	end += strspn(end, " ");
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		if (!strcasecmp(sizes[i].name, end))
			return scaled(v, sizes[i].scale, ret);
	return -EINVAL;
}
