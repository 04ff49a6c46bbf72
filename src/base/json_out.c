#include "base/json_out.h"
#include "base/coverage.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>

static const char hex[] = "0123456789abcdef";

static void add_escaped(struct buf *b, unsigned char c)
{
	char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
	static const char shorts[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
	const char *at = c ? strchr(shorts, c) : NULL;

	if (at) {
		esc[1] = letters[at - shorts];
		buf_add(b, esc, 2);
	} else {
		buf_add(b, esc, 6);
	}
}

/* How many bytes from s on are written as they are. */
static NO_COVERAGE size_t plain_run(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

void json_out_str_inside(struct buf *b, const char *s, size_t len)
{
	size_t i = 0, from = 0; /* [from, i) waits to be copied as it is */

	while (i < len) {
		i += plain_run(s + i, len - i);
		if (i == len)
			break;
		unsigned char c = (unsigned char)s[i];
		int n = c < 0x80 ? 0 : utf8_step(s + i, len - i);
		if (n > 1) {
			i += (size_t)n;
			continue;
		}
		buf_add(b, s + from, i - from);
		if (c < 0x80)
			add_escaped(b, c);
		else
			buf_add(b, "\xef\xbf\xbd", 3);
		from = ++i;
	}
	buf_add(b, s + from, len - from);
}

void json_out_str(struct buf *b, const char *s, size_t len)
{
	buf_add_byte(b, '"');
	json_out_str_inside(b, s, len);
	buf_add_byte(b, '"');
}

void json_out_cstr(struct buf *b, const char *s)
{
	json_out_str(b, s, strlen(s));
}

static void add_unit(struct buf *b, uint32_t unit)
{
	const char esc[6] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};

	buf_add(b, esc, sizeof esc);
}

static void add_hidden(struct buf *b, uint32_t code)
{
	if (code >= 0x10000) {
		add_unit(b, 0xd800 | (code - 0x10000) >> 10);
		code = 0xdc00 | ((code - 0x10000) & 0x3ff);
	}
	add_unit(b, code);
}

void json_out_cstr_shown(struct buf *b, const char *s)
{
	size_t len = strlen(s), from = 0, i = 0;

	buf_add_byte(b, '"');
	while (i < len) {
		int n = utf8_step(s + i, len - i);
		if (n <= 1 || utf8_shown(s + i, len - i)) {
			i += n > 1 ? (size_t)n : 1;
			continue;
		}
		json_out_str_inside(b, s + from, i - from);
		add_hidden(b, utf8_code(s + i, (size_t)n));
		from = i += (size_t)n;
	}
	json_out_str_inside(b, s + from, len - from);
	buf_add_byte(b, '"');
}

void json_out_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, digits + at, sizeof digits - at);
}

void json_out_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_add_byte(b, '-');
	json_out_u64(b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void json_out_f64(struct buf *b, double v)
{
	char text[40];

	if (!isfinite(v)) {
		buf_add_str(b, "null");
		return;
	}
	snprintf(text, sizeof text, "%.9g", v);
	/* The decimal point must not follow the locale. We never call setlocale(LC_NUMERIC), and say so here. */
	buf_add_str(b, text);
}
