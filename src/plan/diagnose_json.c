/* diagnose_json.c - see diagnose_json.h. */
#include "plan/diagnose_json.h"
#include "base/compiler.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void json_scan_init(struct json_scan *s, const struct json_scan_ops *ops, void *ctx, uint64_t line)
{
	/* Not the text: each line of a log may be a document. */
	memset(s, 0, offsetof(struct json_scan, text));
	s->ops = ops;
	s->ctx = ctx;
	s->line = line;
}

static void text_add(struct json_scan *s, char c)
{
	if (s->len < JSON_SCAN_TEXT_BYTES)
		s->text[s->len++] = c;
}

static void character_add(struct json_scan *s, uint32_t c)
{
	if (c < 0x80) {
		text_add(s, (char)c);
	} else if (c < 0x800) {
		text_add(s, (char)(0xc0 | c >> 6));
		text_add(s, (char)(0x80 | (c & 0x3f)));
	} else {
		if (c >= 0x10000) {
			text_add(s, (char)(0xf0 | c >> 18));
			text_add(s, (char)(0x80 | (c >> 12 & 0x3f)));
		} else {
			text_add(s, (char)(0xe0 | c >> 12));
		}
		text_add(s, (char)(0x80 | (c >> 6 & 0x3f)));
		text_add(s, (char)(0x80 | (c & 0x3f)));
	}
}

static void unit_add(struct json_scan *s, uint32_t unit)
{
	uint32_t high = s->high;

	s->high = 0;
	if (unit >= 0xd800 && unit < 0xdc00)
		s->high = unit;
	else if (unit >= 0xdc00 && unit < 0xe000)
		character_add(s, high ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : 0xfffd);
	else
		character_add(s, unit);
}

static bool in_list(const struct json_scan *s)
{
	return s->depth > 0 && s->list[s->depth - 1];
}

/* A string or a word has ended. */
static enum json_scan_state token_end(struct json_scan *s)
{
	bool word = s->token == JSON_SCAN_WORD;

	s->token = JSON_SCAN_NOTHING;
	s->text[s->len] = '\0';
	if (s->is_key) {
		text_keep(s->key, sizeof s->key, s->text);
		s->is_key = false;
		return JSON_SCAN_MORE;
	}
	/* A word is a number, true, false or null: a log line in brackets is none of them. */
	if (word && strcmp(s->text, "true") && strcmp(s->text, "false") && strcmp(s->text, "null") &&
		strspn(s->text, "0123456789+-.eE") != s->len)
		return JSON_SCAN_BAD;
	s->ops->value(s->ctx, in_list(s) ? "" : s->key, s->text, s->len, s->token_line);
	s->after_value = true;
	s->after_colon = false;
	return JSON_SCAN_MORE;
}

static enum json_scan_state string_byte(struct json_scan *s, char c)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *known;

	if (s->hex_left > 0) {
		if (!isxdigit((unsigned char)c))
			return JSON_SCAN_BAD;
		s->hex = s->hex << 4 | (uint32_t)(isdigit((unsigned char)c) ? c - '0' : (c | 32) - 'a' + 10);
		if (--s->hex_left == 0)
			unit_add(s, s->hex);
	} else if (s->escaped) {
		s->escaped = false;
		if (c == 'u') {
			s->hex_left = 4;
			s->hex = 0;
		} else if ((known = memchr(from, c, sizeof from - 1)) != NULL) {
			text_add(s, to[known - from]);
		} else {
			text_add(s, c);
		}
	} else if (c == '\\') {
		s->escaped = true;
	} else if (c == '"') {
		return token_end(s);
	} else if (c == '\n') {
		return JSON_SCAN_BAD;
	} else {
		text_add(s, c);
	}
	return JSON_SCAN_MORE;
}

static enum json_scan_state open(struct json_scan *s, bool list)
{
	if (s->depth == JSON_SCAN_DEPTH_MAX || (s->depth > 0 && (s->after_value || (!in_list(s) && !s->after_colon))))
		return JSON_SCAN_BAD;
	s->ops->open(s->ctx, s->depth == 0 || in_list(s) ? "" : s->key, list, s->line);
	s->list[s->depth++] = list;
	s->after_value = s->after_colon = false;
	return JSON_SCAN_MORE;
}

static enum json_scan_state close(struct json_scan *s, bool list)
{
	if (s->depth == 0 || in_list(s) != list || s->after_colon)
		return JSON_SCAN_BAD;
	s->depth--;
	s->ops->close(s->ctx);
	s->after_value = true;
	return s->depth == 0 ? JSON_SCAN_WHOLE : JSON_SCAN_MORE;
}

static enum json_scan_state token_begin(struct json_scan *s, char c)
{
	bool key = !in_list(s) && !s->after_colon;

	if (s->depth == 0 || s->after_value || (key && c != '"'))
		return JSON_SCAN_BAD;
	s->token = c == '"' ? JSON_SCAN_STRING : JSON_SCAN_WORD;
	s->is_key = key;
	s->len = 0;
	s->high = 0;
	s->token_line = s->line;
	if (c != '"')
		text_add(s, c);
	return JSON_SCAN_MORE;
}

static enum json_scan_state outside_byte(struct json_scan *s, char c)
{
	switch (c) {
	case '{':
	case '[':
		return open(s, c == '[');
	case '}':
	case ']':
		return close(s, c == ']');
	case ',':
		if (!s->after_value)
			return JSON_SCAN_BAD;
		s->after_value = false;
		return JSON_SCAN_MORE;
	case ':':
		if (in_list(s) || s->after_value || s->after_colon)
			return JSON_SCAN_BAD;
		s->after_colon = true;
		return JSON_SCAN_MORE;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return JSON_SCAN_MORE;
	default:
		return isalnum((unsigned char)c) || c == '-' || c == '"' ? token_begin(s, c) : JSON_SCAN_BAD;
	}
}

static enum json_scan_state byte(struct json_scan *s, char c)
{
	if (s->token == JSON_SCAN_STRING)
		return string_byte(s, c);
	if (s->token == JSON_SCAN_WORD) {
		if (isalnum((unsigned char)c) || strchr("+-.", c)) {
			text_add(s, c);
			return c && s->len < JSON_SCAN_KEY_BYTES ? JSON_SCAN_MORE : JSON_SCAN_BAD;
		}
		if (token_end(s) == JSON_SCAN_BAD)
			return JSON_SCAN_BAD;
	}
	return outside_byte(s, c);
}

enum json_scan_state json_scan_feed(struct json_scan *s, const char *data, size_t len, size_t *ret_used)
{
	for (size_t i = 0; i < len; i++) {
		enum json_scan_state state;

		/* The inside of a string in one go: most bytes are there. */
		if (s->token == JSON_SCAN_STRING && !s->escaped && s->hex_left == 0) {
			size_t n = i;
			while (n < len && data[n] != '"' && data[n] != '\\' && data[n] != '\n')
				n++;
			size_t kept = MIN(n - i, JSON_SCAN_TEXT_BYTES - s->len);
			memcpy(s->text + s->len, data + i, kept);
			s->len += kept;
			if ((i = n) == len)
				break;
		}
		state = byte(s, data[i]);
		if (state == JSON_SCAN_BAD) {
			*ret_used = i;
			return state;
		}
		s->line += data[i] == '\n';
		if (state == JSON_SCAN_WHOLE) {
			*ret_used = i + 1;
			return state;
		}
	}
	*ret_used = len;
	return JSON_SCAN_MORE;
}

void json_scan_cut(struct json_scan *s)
{
	if (s->token == JSON_SCAN_STRING && !s->is_key && s->depth > 0) {
		s->text[s->len] = '\0';
		s->ops->value(s->ctx, in_list(s) ? "" : s->key, s->text, s->len, s->token_line);
	}
	while (s->depth > 0) {
		s->depth--;
		s->ops->close(s->ctx);
	}
}
