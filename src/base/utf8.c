#include "base/utf8.h"
#include "base/compiler.h"
#include "base/coverage.h"

#include <string.h>

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The second byte's range carries all the odd rules (RFC 3629, section 4): overlong E0/F0, surrogates ED, end F4. */
static bool second_ok(unsigned char lead, unsigned char c)
{
	switch (lead) {
	case 0xe0:
		return c >= 0xa0 && c <= 0xbf;
	case 0xed:
		return c >= 0x80 && c <= 0x9f;
	case 0xf0:
		return c >= 0x90 && c <= 0xbf;
	case 0xf4:
		return c >= 0x80 && c <= 0x8f;
	default:
		return is_tail(c);
	}
}

int utf8_step(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	if (p[0] < 0x80)
		return 1;
	int need = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
	if (!need)
		return 0;
	if (len < 2)
		return -1;
	if (!second_ok(p[0], p[1]))
		return 0;
	for (int i = 2; i < need; i++) {
		if ((size_t)i >= len)
			return -1;
		if (!is_tail(p[i]))
			return 0;
	}
	return need;
}

/* Most of most bodies is ASCII: eight bytes at a time. */
static size_t skip_ascii(const char *s, size_t len, size_t i)
{
	uint64_t word;

	for (; len - i >= sizeof word; i += sizeof word) {
		memcpy(&word, s + i, sizeof word);
		if (word & 0x8080808080808080u)
			break;
	}
	return i;
}

size_t utf8_check(const char *s, size_t len)
{
	for (size_t i = 0; (i = skip_ascii(s, len, i)) < len;) {
		int n = utf8_step(s + i, len - i);
		if (n <= 0)
			return i;
		i += (size_t)n;
	}
	return len;
}

/* ---- what may be shown ---- */

uint32_t utf8_code(const char *s, size_t n)
{
	uint32_t code = (unsigned char)s[0] & (n == 1 ? 0x7fu : 0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)s[i] & 0x3f);
	return code;
}

static bool is_hidden(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x0000, 0x001f}, {0x007f, 0x009f}, /* DEL, C1 */
		{0x061c, 0x061c}, /* Arabic letter mark */
		{0x200e, 0x200f}, /* left-to-right and right-to-left marks */
		{0x2028, 0x202e}, /* separators; bidi embeddings and overrides */
		{0x2066, 0x206f}, /* bidi isolates; deprecated format characters */
		{0xfff9, 0xfffb}, /* interlinear annotation */
		{0xe0000, 0xe007f}, /* tags */
	};

	/* Most of what is asked about. */
	if ((code >= 0x20 && code < 0x7f) || (code > 0x9f && code < 0x061c))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	return false;
}

/* Of a step that was taken. */
static size_t shown_of_step(const char *s, int n)
{
	return n > 0 && !is_hidden(utf8_code(s, (size_t)n)) ? (size_t)n : 0;
}

size_t utf8_shown(const char *s, size_t len)
{
	return shown_of_step(s, utf8_step(s, len));
}

bool utf8_is_plain(const char *s, size_t len)
{
	for (size_t i = 0, n; i < len; i += n)
		if (!(n = utf8_shown(s + i, len - i)))
			return false;
	return true;
}

NO_COVERAGE size_t utf8_ascii_run(const char *s, size_t len)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	size_t n = 0;

	for (uint64_t word; n + sizeof word <= len; n += sizeof word) {
		memcpy(&word, s + n, sizeof word);
		uint64_t rubout = word ^ (ones * 0x7f);
		/* A byte with its high bit, one below a blank, one that is DEL. */
		if ((word & high) | ((word - ones * 0x20) & ~word & high) | ((rubout - ones) & ~rubout & high))
			break;
	}
	while (n < len && (unsigned char)s[n] >= 0x20 && (unsigned char)s[n] < 0x7f)
		n++;
	return n;
}

/* s and ret may be one: nothing grows. */
static size_t plain(char *ret, size_t cap, const char *s, size_t len, bool keep_lines)
{
	size_t out = 0;

	for (size_t i = 0; i < len && out < cap;) {
		size_t run = utf8_ascii_run(s + i, MIN(len - i, cap - out));

		if (run > 0) {
			memmove(ret + out, s + i, run);
			out += run;
			i += run;
			continue;
		}
		int step = utf8_step(s + i, len - i);
		size_t n = step > 0 ? (size_t)step : 1, shown = shown_of_step(s + i, step);
		bool kept = shown || (keep_lines && (s[i] == '\n' || s[i] == '\t'));
		if (kept && out + n > cap)
			break;
		if (kept)
			memmove(ret + out, s + i, n);
		else
			ret[out] = s[i] == '\t' ? ' ' : '?';
		out += kept ? n : 1;
		i += n;
	}
	return out;
}

char *utf8_plain(char *s)
{
	size_t len = strlen(s);

	s[plain(s, len, s, len, false)] = '\0';
	return s;
}

size_t utf8_plain_text(char *s, size_t len)
{
	return plain(s, len, s, len, true);
}

size_t utf8_plain_copy(char *ret, size_t cap, const char *s, size_t len)
{
	size_t n = plain(ret, cap - 1, s, len, false);

	ret[n] = '\0';
	return n;
}
