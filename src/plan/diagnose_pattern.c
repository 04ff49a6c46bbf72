/* diagnose_pattern.c - patterns of log messages; see diagnose_pattern.h.
 *
 * {name} captures split a pattern into runs of text and typed captures. A run matches at a place or not, without a choice;
 * so taking the leftmost place for each run finds a match whenever there is one, as with file name patterns. */
#include "plan/diagnose_pattern.h"
#include "base/coverage.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Reading a pattern. */

static int piece_add(struct pattern *p, enum pattern_piece_kind kind, const char *text, uint32_t len, struct err *err)
{
	if (p->count == PATTERN_PIECES_MAX)
		return err_set(err, -EINVAL, "more than %d pieces", PATTERN_PIECES_MAX);
	if (kind != PATTERN_TEXT && (p->count == 0 || p->pieces[p->count - 1].kind != PATTERN_TEXT))
		return err_set(err, -EINVAL, "text must stand before each capture");
	p->pieces[p->count++] = (struct pattern_piece){.kind = kind, .text = text, .len = len};
	if (kind == PATTERN_TEXT && len > p->key_len) {
		p->key = text;
		p->key_len = len;
	}
	return 0;
}

static bool xid_kind_find(const char *name, enum xid_kind *ret)
{
	const char *known;

	for (int kind = 0; (known = xid_kind_name((enum xid_kind)kind)) != NULL; kind++)
		if (strcmp(known, name) == 0) {
			*ret = (enum xid_kind)kind;
			return true;
		}
	return false;
}

static int capture_parse(struct pattern *p, char *inside, struct err *err)
{
	char *colon = strchr(inside, ':');
	enum pattern_piece_kind kind = PATTERN_ANY;
	enum xid_kind xid = XID_UNKNOWN;

	if (colon) {
		*colon = '\0';
		if (strcmp(colon + 1, "number") == 0)
			kind = PATTERN_NUMBER;
		else if (strcmp(colon + 1, "positive") == 0)
			kind = PATTERN_POSITIVE;
		else if (strcmp(colon + 1, "word") == 0)
			kind = PATTERN_WORD;
		else if (strncmp(colon + 1, "xid_", 4) == 0 && xid_kind_find(colon + 5, &xid))
			kind = PATTERN_XID;
		else
			return err_set(err, -EINVAL,
				"unknown kind \"%s\" of a capture; there are number, positive, word and xid_KIND",
				colon + 1);
	}
	for (const char *c = inside; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_')
			return err_set(err, -EINVAL, "the name \"%s\" of a capture has more than letters, digits and _",
				inside);
	int r = piece_add(p, kind, inside, (uint32_t)strlen(inside), err);
	if (r == 0)
		p->pieces[p->count - 1].xid = xid;
	return r;
}

static int text_parse(struct pattern *p, char *text, size_t len, struct err *err)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)tolower((unsigned char)text[i]);
	return len > 0 ? piece_add(p, PATTERN_TEXT, text, (uint32_t)len, err) : 0;
}

int pattern_parse(struct pattern *ret, const char *text, struct arena *arena, struct err *err)
{
	struct pattern p = {.pieces = arena_alloc(arena, PATTERN_PIECES_MAX * sizeof *p.pieces)};
	char *at = arena_strdup(arena, text);
	int r = 0;

	if (!p.pieces || !at)
		return err_set(err, -ENOMEM, "out of memory");
	if (strlen(text) > PATTERN_BYTES_MAX || strchr(text, '\n'))
		return err_set(err, -EINVAL, "a pattern is one line of at most %d bytes", PATTERN_BYTES_MAX);
	while (*at && r == 0) {
		char *open = strchr(at, '{'), *close = open ? strchr(open, '}') : NULL;

		if (open && !close)
			return err_set(err, -EINVAL, "a { without its }");
		r = text_parse(&p, at, open ? (size_t)(open - at) : strlen(at), err);
		if (!open)
			break;
		*close = '\0';
		if (r == 0)
			r = capture_parse(&p, open + 1, err);
		at = close + 1;
	}
	if (r < 0)
		return r;
	if (p.key_len < PATTERN_KEY_BYTES_MIN)
		return err_set(err, -EINVAL, "it needs a piece of text of at least %d bytes", PATTERN_KEY_BYTES_MIN);
	*ret = p;
	return 0;
}

/* Matching. */

static bool text_at(const char *line, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (tolower((unsigned char)line[i]) != (unsigned char)text[i])
			return false;
	return true;
}

/* Where a letter is from at on, before end; else end. */
static NO_COVERAGE size_t letter_find(const char *line, size_t end, size_t at, char letter)
{
	while (at < end && tolower((unsigned char)line[at]) != (unsigned char)letter)
		at++;
	return at;
}

/* Offset of text in line from at on, or len. */
static size_t text_find(const char *line, size_t len, size_t at, const struct pattern_piece *t)
{
	size_t end = len >= t->len ? len - t->len + 1 : 0; /* behind the last place where it may begin */

	for (; (at = letter_find(line, end, at, t->text[0])) < end; at++)
		if (text_at(line + at, t->text, t->len))
			return at;
	return len;
}

static size_t number_end(const char *line, size_t len, size_t at)
{
	while (at < len && (isdigit((unsigned char)line[at]) || ((line[at] == '.' || line[at] == ',') && at + 1 < len &&
									isdigit((unsigned char)line[at + 1]))))
		at++;
	return at;
}

/* The same for a number that is not 0. */
static size_t positive_end(const char *line, size_t len, size_t at)
{
	size_t end = number_end(line, len, at);

	for (size_t i = at; i < end; i++)
		if (line[i] >= '1' && line[i] <= '9')
			return end;
	return at;
}

/* A word ends at a blank, or where the text that must follow begins. */
static size_t word_end(const char *line, size_t len, size_t at, const struct pattern_piece *next)
{
	while (at < len && !isspace((unsigned char)line[at]) &&
		!(next && at + next->len <= len && text_at(line + at, next->text, next->len)))
		at++;
	return at;
}

static void keep(struct captures *ret, const struct pattern_piece *piece, const char *text, size_t len)
{
	if (ret && piece->len > 0 && ret->count < CAPTURES_MAX)
		ret->items[ret->count++] = (struct capture){piece->text, text, (uint32_t)len};
}

/* A number of this kind of Xid: where it ends, or at. Its meaning is a capture of its own. */
static size_t xid_end(const char *line, size_t len, size_t at, const struct pattern_piece *piece, struct captures *ret)
{
	uint32_t number = 0;
	size_t end = at;

	while (end < len && isdigit((unsigned char)line[end]) && end < at + 6)
		number = number * 10 + (uint32_t)(line[end++] - '0');
	if (end == at || (end < len && isdigit((unsigned char)line[end])) || xid_kind(number) != piece->xid)
		return at;
	const char *meaning = xid_meaning(number);
	if (ret && meaning && ret->count + 1 < CAPTURES_MAX)
		ret->items[ret->count++] = (struct capture){"meaning", meaning, (uint32_t)strlen(meaning)};
	return end;
}

/* Match the run of pieces from i on at this place. Returns the end, 0 when it does not match (a run is never empty), and the
 * piece after the run. */
static size_t run_match(
	const struct pattern *p, uint32_t *i, const char *line, size_t len, size_t at, struct captures *ret)
{
	for (; *i < p->count && p->pieces[*i].kind != PATTERN_ANY; ++*i) {
		const struct pattern_piece *piece = &p->pieces[*i], *next = *i + 1 < p->count ? piece + 1 : NULL;
		size_t end;

		if (piece->kind == PATTERN_TEXT) {
			if (at + piece->len > len || !text_at(line + at, piece->text, piece->len))
				return 0;
			at += piece->len;
			continue;
		}
		end = piece->kind == PATTERN_NUMBER     ? number_end(line, len, at)
		      : piece->kind == PATTERN_POSITIVE ? positive_end(line, len, at)
		      : piece->kind == PATTERN_XID      ? xid_end(line, len, at, piece, ret)
							: word_end(line, len, at, next);
		if (end == at)
			return 0;
		size_t kept = end - at;
		/* A sign that ends a clause is none of a word's. */
		while (piece->kind == PATTERN_WORD && kept > 1 && strchr(",;", line[at + kept - 1]))
			kept--;
		keep(ret, piece, line + at, kept);
		at = end;
	}
	return at;
}

/* The leftmost place from at on where the run from piece i on matches. */
static bool run_find(const struct pattern *p, uint32_t *i, const char *line, size_t len, size_t *at, size_t *ret_end,
	struct captures *ret)
{
	while ((*at = text_find(line, len, *at, &p->pieces[*i])) < len) {
		uint32_t next = *i, count = ret ? ret->count : 0;
		size_t end = run_match(p, &next, line, len, *at, ret);

		if (end > 0) {
			*i = next;
			*ret_end = end;
			return true;
		}
		if (ret)
			ret->count = count;
		++*at;
	}
	return false;
}

bool pattern_match(const struct pattern *p, const char *line, size_t len, struct captures *ret)
{
	uint32_t i = 0;
	size_t at = 0, end = 0;

	if (ret)
		ret->count = 0;
	if (!run_find(p, &i, line, len, &at, &end, ret))
		return false;
	while (i < p->count) {
		const struct pattern_piece *any = &p->pieces[i++];
		size_t from = end;

		if (i == p->count) {
			while (len > from && isspace((unsigned char)line[len - 1]))
				len--;
			keep(ret, any, line + from, len - from);
			return true;
		}
		uint32_t kept = ret ? ret->count : 0;
		keep(ret, any, line + from, 0);
		at = from;
		if (!run_find(p, &i, line, len, &at, &end, ret))
			return false;
		if (ret && ret->count > kept && ret->items[kept].name == any->text)
			ret->items[kept].len = (uint32_t)(at - from);
	}
	return true;
}

/* Sentences. */

const struct capture *captures_find(const struct captures *c, const char *name, size_t name_len)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (strlen(c->items[i].name) == name_len && memcmp(c->items[i].name, name, name_len) == 0)
			return &c->items[i];
	return NULL;
}

struct filler {
	const struct captures *captures;
	char *ret;
	size_t len, cap;
};

static void put(struct filler *f, const char *text, size_t len)
{
	f->len += utf8_plain_copy(f->ret + f->len, f->cap - f->len, text, len);
}

/* One {name} at s. Returns its end; notes in known whether there was such a capture. */
static const char *put_capture(struct filler *f, const char *s, bool *known)
{
	const char *close = strchr(s, '}');
	const struct capture *c = close ? captures_find(f->captures, s + 1, (size_t)(close - s) - 1) : NULL;

	if (!close) {
		put(f, s, 1);
		return s + 1;
	}
	if (c)
		put(f, c->text, c->len);
	else
		put(f, "?", 1);
	*known = *known && c;
	return close + 1;
}

static const char *put_until(struct filler *f, const char *s, char end, bool *known)
{
	while (*s && *s != end) {
		if ((s[0] == '{' || s[0] == '[') && s[1] == s[0]) {
			put(f, s, 1);
			s += 2;
		} else if (*s == '{') {
			s = put_capture(f, s, known);
		} else if (*s == '[' && end == '\0') {
			size_t before = f->len;
			bool all = true;

			s = put_until(f, s + 1, ']', &all);
			f->len = all ? f->len : before;
			s += *s == ']';
		} else {
			put(f, s++, 1);
		}
	}
	return s;
}

void captures_fill(const struct captures *c, const char *sentence, char *ret, size_t cap)
{
	struct filler f = {c, ret, 0, cap};
	bool known = true;

	put_until(&f, sentence, '\0', &known);
	ret[f.len] = '\0';
}
