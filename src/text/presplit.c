#include "text/presplit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 0x110000 / 256, OUT_OF_RANGE = -1 };
struct page {
	uint8_t classes[256];
};
static _Atomic(struct page *) pages[PAGES];

/* A page's classes never change, so of two threads that make it at once either is right. */
static __attribute__((noinline)) uint8_t page_make(uint32_t c)
{
	struct page *p = malloc(sizeof *p), *none = NULL;
	uint8_t found;

	if (!p) {
		ll_char_classes(c, 1, &found);
		return found;
	}
	ll_char_classes(c & ~255u, 256, p->classes);
	found = p->classes[c & 255];
	if (!atomic_compare_exchange_strong(&pages[c >> 8], &none, p))
		free(p);
	return found;
}

static uint8_t page_class(uint32_t c)
{
	const struct page *p = atomic_load_explicit(&pages[c >> 8], memory_order_acquire);

	return p ? p->classes[c & 255] : page_make(c);
}

/* One character: its code point, class bits and length in bytes; past the end nothing at all. */
struct ch {
	int32_t c;
	uint8_t class, len;
};
struct span {
	const uint8_t *s;
	size_t end;
};

static struct ch at(const struct span *t, size_t pos)
{
	if (pos >= t->end)
		return (struct ch){OUT_OF_RANGE, 0, 0};
	const uint8_t *s = t->s + pos;
	uint32_t c = s[0];
	uint8_t len = 1;
	if (c >= 0xf0)
		c = (c & 7) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63u), len = 4;
	else if (c >= 0xe0)
		c = (c & 15) << 12 | (s[1] & 63u) << 6 | (s[2] & 63u), len = 3;
	else if (c >= 0xc0)
		c = (c & 31) << 6 | (s[1] & 63u), len = 2;
	return (struct ch){(int32_t)c, page_class(c), len};
}

static bool is_letter(struct ch c)
{
	return c.class & LL_CHAR_LETTER;
}
static bool is_number(struct ch c)
{
	return c.class & LL_CHAR_NUMBER;
}
static bool is_space(struct ch c)
{
	return c.class & LL_CHAR_SPACE;
}
/* [^\s\p{L}\p{N}] */
static bool is_mark(struct ch c)
{
	return c.class && !(c.class & (LL_CHAR_LETTER | LL_CHAR_NUMBER | LL_CHAR_SPACE));
}
static bool is_line(struct ch c)
{
	return c.c == '\r' || c.c == '\n';
}

static size_t skip(const struct span *t, size_t pos, bool (*is)(struct ch))
{
	for (struct ch c = at(t, pos); is(c); c = at(t, pos))
		pos += c.len;
	return pos;
}

/* 's 't 'm 'd 're 've 'll behind an apostrophe at pos: where it ends; 0: there is none. */
static size_t contraction(const struct span *t, size_t pos, bool any_case)
{
	if (pos + 1 >= t->end || t->s[pos] != '\'')
		return 0;
	uint8_t fold = any_case ? 0x20 : 0, a = t->s[pos + 1] | fold, b = pos + 2 < t->end ? t->s[pos + 2] | fold : 0;
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return pos + 2;
	return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? pos + 3 : 0;
}

/* \s+(?!\S) | \s+ from pos on; with lines, \s*[\r\n]+ comes first. A character no rule takes is a word of its own. */
static size_t spaces(const struct span *t, size_t pos, bool lines)
{
	size_t end = pos, last = pos, line_end = 0;

	for (struct ch c = at(t, end); is_space(c); c = at(t, end)) {
		last = end;
		end += c.len;
		if (is_line(c))
			line_end = end;
	}
	if (lines && line_end)
		return line_end;
	if (last > pos && end < t->end)
		return last;
	return end > pos ? end : pos + at(t, pos).len;
}

static size_t next_gpt2(const struct span *t, size_t pos)
{
	size_t end = contraction(t, pos, false);

	if (end)
		return end;
	size_t begin = pos + (t->s[pos] == ' ');
	struct ch c = at(t, begin);
	if (is_letter(c))
		return skip(t, begin, is_letter);
	if (is_number(c))
		return skip(t, begin, is_number);
	if (is_mark(c))
		return skip(t, begin, is_mark);
	return spaces(t, pos, false);
}

static size_t next_llama3(const struct span *t, size_t pos, int digits_max)
{
	size_t end = contraction(t, pos, true);
	struct ch c = at(t, pos);

	if (end)
		return end;
	if (!is_line(c) && !is_number(c) && (is_letter(c) || is_letter(at(t, pos + c.len))))
		return skip(t, pos + c.len, is_letter);
	if (is_number(c)) {
		for (int i = 0; i < digits_max && is_number(c); i++) {
			pos += c.len;
			c = at(t, pos);
		}
		return pos;
	}
	/* A space at the very end counts as one before no marks at all. */
	size_t begin = pos + (c.c == ' ');
	struct ch first = c.c == ' ' ? at(t, begin) : c;
	if (is_mark(first) || first.c == OUT_OF_RANGE)
		return skip(t, skip(t, begin, is_mark), is_line);
	return spaces(t, pos, true);
}

/* Each number character is a word, and an end of the text for what stands before it. *hint: the next one. */
static size_t next_digits_gpt2(const struct span *t, size_t pos, size_t *hint)
{
	struct ch c = at(t, pos);

	if (is_number(c))
		return pos + c.len;
	if (*hint <= pos)
		for (*hint = pos; *hint < t->end; *hint += c.len)
			if (c = at(t, *hint), is_number(c))
				break;
	const struct span piece = {t->s, *hint};
	return next_gpt2(&piece, pos);
}

size_t presplit_next(enum ll_split split, const char *text, size_t len, size_t pos, size_t *hint)
{
	const struct span t = {(const uint8_t *)text, len};

	switch (split) {
	case LL_SPLIT_DIGITS_GPT2:
		return next_digits_gpt2(&t, pos, hint);
	case LL_SPLIT_LLAMA3:
		return next_llama3(&t, pos, 3);
	case LL_SPLIT_QWEN2:
		return next_llama3(&t, pos, 1);
	default:
		return next_gpt2(&t, pos);
	}
}
