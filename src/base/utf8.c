#include "base/utf8.h"

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

size_t utf8_check(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		int n = utf8_step(s + i, len - i);
		if (n <= 0)
			return i;
		i += (size_t)n;
	}
	return len;
}
