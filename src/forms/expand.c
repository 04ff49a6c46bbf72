/* expand.c - variables in words: $NAME, ${NAME:-default} and its kin, elements of arrays, arithmetic. What is not known stays as it is
 * written, so that whoever needs the value can name what is missing. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum {
	EXPAND_DEPTH_MAX = 8,
	EXPANSIONS_MAX = 4096, /* of one word: values that name others again and again end there */
	WORD_BYTES_MAX = 1024 * 1024,
	TRIM_BYTES_MAX = 4096, /* of a value that a pattern is cut off: longer ones stay as they are written */
	ARITH_DEPTH_MAX = 32,
};

const struct form_env *form_env_find(const struct form_env *env, const char *name, size_t len)
{
	for (; env; env = env->next)
		if (strlen(env->name) == len && !memcmp(env->name, name, len))
			return env->value || env->list ? env : NULL;
	return NULL;
}

/* "NAME", "1", "@" */
size_t form_name_len(const char *s, size_t len)
{
	size_t n = 0;

	if (len && (isdigit((unsigned char)*s) || strchr("@*#?!$-", *s))) {
		while (isdigit((unsigned char)*s) && n < len && isdigit((unsigned char)s[n]))
			n++;
		return *s ? MAX(n, (size_t)1) : 0;
	}
	while (n < len && (isalnum((unsigned char)s[n]) || s[n] == '_'))
		n++;
	return n;
}

/* Where the bracket at s + 1 is closed; NULL: nowhere. */
static const char *closing(const char *s, size_t len, char close)
{
	uint32_t depth = 0;

	for (size_t i = 1; i < len; i++) {
		depth += s[i] == s[1];
		if (s[i] == close && --depth == 0)
			return s + i;
	}
	return NULL;
}

/* ---- arithmetic ---- */

struct arith {
	const char *at, *end;
	const struct form_env *env;
	uint32_t depth;
	bool failed;
};

static void arith_blanks(struct arith *a)
{
	while (a->at < a->end && isspace((unsigned char)*a->at))
		a->at++;
}

static bool arith_takes(struct arith *a, const char *op)
{
	size_t n = strlen(op);

	arith_blanks(a);
	if ((size_t)(a->end - a->at) < n || memcmp(a->at, op, n))
		return false;
	a->at += n;
	return true;
}

static int64_t arith_any(struct arith *a, int level);

/* A number, a variable with or without "$", a bracket. */
static int64_t arith_one(struct arith *a)
{
	if (a->depth++ > ARITH_DEPTH_MAX) {
		a->failed = true;
		return 0;
	}
	int64_t ret = 0;
	if (arith_takes(a, "(")) {
		ret = arith_any(a, 0);
		a->failed |= !arith_takes(a, ")");
	} else if (arith_takes(a, "-")) {
		ret = -arith_one(a);
	} else if (arith_takes(a, "!")) {
		ret = !arith_one(a);
	} else {
		bool brace = false;
		if (arith_takes(a, "$"))
			brace = arith_takes(a, "{");
		char text[64];
		size_t n = form_name_len(a->at, (size_t)(a->end - a->at));
		const struct form_env *e =
			isdigit((unsigned char)(n ? *a->at : '0')) ? NULL : form_env_find(a->env, a->at, n);
		const char *value = e ? e->value : NULL;
		char *stop;
		snprintf(text, sizeof text, "%.*s", (int)MIN(n, sizeof text - 1), value ? "" : a->at);
		value = value ? value : text;
		long long number = strtoll(value, &stop, 10);
		a->failed |= !n || !*value || *stop || number > 1ll << 40 || number < -(1ll << 40);
		ret = number;
		a->at += n;
		a->failed |= brace && !arith_takes(a, "}");
	}
	a->depth--;
	return ret;
}

static int64_t arith_apply(struct arith *a, char op, int64_t x, int64_t y)
{
	int64_t ret = 0;

	if ((op == '/' || op == '%') && y == 0) {
		a->failed = true;
		return 0;
	}
	switch (op) {
	case '+':
		ret = x + y;
		break;
	case '-':
		ret = x - y;
		break;
	case '*':
		a->failed |= __builtin_mul_overflow(x, y, &ret);
		break;
	case '/':
		ret = x / y;
		break;
	case '%':
		ret = x % y;
		break;
	case '<':
		ret = x < y;
		break;
	case '>':
		ret = x > y;
		break;
	case 'l':
		ret = x <= y;
		break;
	case 'g':
		ret = x >= y;
		break;
	case '=':
		ret = x == y;
		break;
	default:
		ret = x != y;
	}
	a->failed |= ret > 1ll << 40 || ret < -(1ll << 40);
	return ret;
}

static int64_t arith_any(struct arith *a, int level)
{
	static const struct {
		int level;
		const char *text;
		char op;
	} ops[] = {{0, "==", '='}, {0, "!=", '!'}, {0, "<=", 'l'}, {0, ">=", 'g'}, {0, "<", '<'}, {0, ">", '>'},
		{1, "+", '+'}, {1, "-", '-'}, {2, "*", '*'}, {2, "/", '/'}, {2, "%", '%'}};
	int64_t ret = level == 3 ? arith_one(a) : arith_any(a, level + 1);

	while (level < 3 && !a->failed) {
		size_t i = 0;
		while (i < ARRAY_LEN(ops) && !(ops[i].level == level && arith_takes(a, ops[i].text)))
			i++;
		if (i == ARRAY_LEN(ops))
			break;
		ret = arith_apply(a, ops[i].op, ret, arith_any(a, level + 1));
	}
	return ret;
}

bool form_arith(const char *text, size_t len, const struct form_env *env, int64_t *ret)
{
	struct arith a = {.at = text, .end = text + len, .env = env};
	int64_t value = arith_any(&a, 0);

	arith_blanks(&a);
	if (a.failed || a.at != a.end)
		return false;
	*ret = value;
	return true;
}

/* ---- one variable ---- */

static size_t put_variable(
	struct buf *out, const char *s, size_t len, const struct form_env *env, uint32_t depth, uint32_t *left);

/* Values may name others, and so may what stands for a variable that is not set. */
static void put_value(
	struct buf *out, const char *text, size_t len, const struct form_env *env, uint32_t depth, uint32_t *left)
{
	for (size_t i = 0; i < len;)
		if (text[i] == '$')
			i += put_variable(out, text + i, len - i, env, depth, left);
		else
			buf_add_byte(out, (uint8_t)text[i++]);
}

/* "$((A * 2))": 0 when it is none, or cannot be counted. */
static size_t put_arith(struct buf *out, const char *s, size_t len, const struct form_env *env)
{
	const char *end = len > 3 && s[1] == '(' && s[2] == '(' ? closing(s, len, ')') : NULL;
	int64_t value;

	if (!end || end[-1] != ')' || end < s + 4 || !form_arith(s + 3, (size_t)(end - s) - 4, env, &value))
		return 0;
	buf_printf(out, "%lld", (long long)value);
	return (size_t)(end - s) + 1;
}

static void put_list(struct buf *out, const struct form_words *list)
{
	for (uint32_t i = 0; i < list->len; i++) {
		if (i)
			buf_add_byte(out, ' ');
		buf_add_str(out, list->v[i].text);
	}
}

/* ${NAME%pattern}, ${NAME##pattern}: what is left of value. */
static bool put_trimmed(struct buf *out, const char *value, const char *rest, size_t rest_len)
{
	char pattern[256], part[TRIM_BYTES_MAX];
	size_t len = strlen(value), best = 0;
	bool twice = rest_len > 1 && rest[1] == *rest, found = false;

	if (len >= sizeof part || rest_len - 1 - twice >= sizeof pattern)
		return false;
	snprintf(pattern, sizeof pattern, "%.*s", (int)(rest_len - 1 - twice), rest + 1 + twice);
	if (strchr(pattern, '$'))
		return false;
	for (size_t n = 0; n <= len; n++) { /* n: how much falls away */
		bool head = *rest == '#';
		snprintf(part, sizeof part, "%.*s", (int)(head ? n : len), head ? value : value + (len - n));
		if (fnmatch(pattern, part, 0) || (found && !twice))
			continue;
		found = true;
		best = n;
	}
	buf_add(out, *rest == '#' ? value + best : value, len - best);
	return true;
}

/* ${NAME/old/new}, ${NAME//old/new} of plain text. */
static bool put_replaced(struct buf *out, const char *value, const char *rest, size_t rest_len)
{
	bool all = rest_len > 1 && rest[1] == '/';
	const char *old = rest + 1 + all, *end = rest + rest_len, *slash = memchr(old, '/', (size_t)(end - old));
	size_t old_len = (size_t)((slash ? slash : end) - old);

	if (!old_len || memchr(old, '$', (size_t)(end - old)) || memchr(old, '*', old_len) || memchr(old, '[', old_len))
		return false;
	for (bool done = false; *value;) {
		if (done || strncmp(value, old, old_len)) {
			buf_add_byte(out, (uint8_t)*value++);
			continue;
		}
		if (slash)
			buf_add(out, slash + 1, (size_t)(end - slash) - 1);
		value += old_len;
		done = !all;
	}
	return true;
}

static bool put_cased(struct buf *out, const char *value, const char *rest, size_t rest_len)
{
	bool twice = rest_len == 2 && rest[1] == *rest;

	if (rest_len > 2 || (rest_len == 2 && !twice))
		return false;
	for (size_t i = 0; value[i]; i++) {
		unsigned char c = (unsigned char)value[i];
		buf_add_byte(out, (uint8_t)(!twice && i ? c : *rest == ',' ? tolower(c) : toupper(c)));
	}
	return true;
}

/* ${NAME:offset}, ${NAME:offset:length} */
static bool put_part(struct buf *out, const char *value, const char *rest, size_t rest_len)
{
	char text[64], *end;
	size_t len = strlen(value);

	if (rest_len >= sizeof text)
		return false;
	snprintf(text, sizeof text, "%.*s", (int)rest_len, rest);
	unsigned long from = strtoul(text + 1, &end, 10), take = len;
	if (end == text + 1)
		return false;
	if (*end == ':') {
		char *begin = end + 1;
		take = strtoul(begin, &end, 10);
		if (end == begin)
			return false;
	}
	if (*end)
		return false;
	from = MIN(from, len);
	buf_add(out, value + from, MIN(take, len - from));
	return true;
}

/* What stands behind the name in braces, when it changes the value; false: it is not known what that gives. */
static bool put_changed(struct buf *out, const char *value, const char *rest, size_t rest_len)
{
	size_t before = out->len;
	bool good = *rest == '%' || *rest == '#'   ? put_trimmed(out, value, rest, rest_len)
		    : *rest == '/'                 ? put_replaced(out, value, rest, rest_len)
		    : *rest == ',' || *rest == '^' ? put_cased(out, value, rest, rest_len)
		    : *rest == ':'                 ? put_part(out, value, rest, rest_len)
						   : false;
	if (!good && out->len > before) {
		out->len = before;
		out->data[before] = '\0';
	}
	return good;
}

/* "NAME[@]", "NAME[2]" in braces; 0: none, or not known. */
static bool put_element(struct buf *out, const struct form_env *e, const char *index, size_t len)
{
	char *end;

	if (len < 3 || *index != '[' || index[len - 1] != ']' || !e || !e->list)
		return false;
	if (len == 3 && (index[1] == '@' || index[1] == '*')) {
		put_list(out, e->list);
		return true;
	}
	unsigned long i = strtoul(index + 1, &end, 10);
	if (end != index + len - 1 || i >= e->list->len)
		return false;
	buf_add_str(out, e->list->v[i].text);
	return true;
}

/* ${#NAME[@]}, ${#NAME} */
static bool put_count(struct buf *out, const char *inner, size_t len, const struct form_env *env)
{
	size_t n = len > 1 ? form_name_len(inner + 1, len - 1) : 0;
	const struct form_env *e = n ? form_env_find(env, inner + 1, n) : NULL;

	if (!e || (n + 1 != len && (len != n + 4 || inner[n + 1] != '[' || !e->list)))
		return false;
	buf_printf(out, "%zu", n + 1 != len ? (size_t)e->list->len : strlen(e->value ? e->value : ""));
	return true;
}

/* A variable at s, which begins with "$". Appends its value, or the text as it stands when nothing is known. Returns how many
 * bytes it takes. */
static size_t put_variable(
	struct buf *out, const char *s, size_t len, const struct form_env *env, uint32_t depth, uint32_t *left)
{
	size_t counted = put_arith(out, s, len, env);
	if (counted)
		return counted;
	char close = len > 1 && s[1] == '{' ? '}' : len > 1 && s[1] == '(' ? ')' : '\0';
	size_t begin = close ? 2 : 1, n = form_name_len(s + begin, len - MIN(begin, len));
	const char *end = close ? closing(s, len, close) : s + begin + n;
	const struct form_env *e = n ? form_env_find(env, s + begin, n) : NULL;
	const char *value = e ? e->value : NULL, *rest = s + begin + n;

	if (close == '}' && end && s[2] == '#' && end > s + 3 && put_count(out, s + 2, (size_t)(end - s) - 2, env))
		return (size_t)(end - s) + 1;
	if (close == '}' && end && n && *rest == '[' && put_element(out, e, rest, (size_t)(end - rest)))
		return (size_t)(end - s) + 1;
	if (!n || !end || (close == ')' && rest != end) ||
		(close && !isalnum((unsigned char)s[2]) && s[2] != '_' && !e) ||
		(close && rest != end && !strchr(":-=?+%#/,^[", *rest))) {
		buf_add_byte(out, '$');
		return 1;
	}
	size_t all = (size_t)(end - s) + (close ? 1 : 0);
	bool colon = rest < end && *rest == ':';
	char what =
		rest + colon < end ? rest[colon] : '\0'; /* of ${NAME:-default}, ${NAME:+instead}, ${NAME:?complaint} */
	const char *word = rest + colon + 1;
	bool set = (value && (*value || !colon)) || (e && e->list && e->list->len),
	     goes_on = depth < EXPAND_DEPTH_MAX && *left;

	if (rest < end && close == '}' && !strchr("-=?+", what)) {
		struct buf known;
		buf_init(&known, WORD_BYTES_MAX);
		if (value && goes_on) {
			*left -= 1;
			put_value(&known, value, strlen(value), env, depth + 1, left);
		}
		bool good = value && !strchr(buf_str(&known), '$') &&
			    put_changed(out, buf_str(&known), rest, (size_t)(end - rest));
		buf_done(&known);
		if (!good)
			buf_add(out, s, all);
		return all;
	}
	if (set && what == '+') {
		value = NULL;
		set = false;
		what = '-';
	} else if (what == '+') {
		return all;
	}
	*left -= goes_on;
	if (set && goes_on && e->list && !value)
		put_list(out, e->list);
	else if (set && goes_on)
		put_value(out, value, strlen(value), env, depth + 1, left);
	else if ((what == '-' || what == '=') && goes_on)
		put_value(out, word, (size_t)(end - word), env, depth + 1, left);
	else
		buf_add(out, s, all);
	return all;
}

size_t form_variable_put(struct buf *out, const char *s, size_t len, const struct form_env *env)
{
	uint32_t left = EXPANSIONS_MAX;

	return put_variable(out, s, len, env, 0, &left);
}

const char *form_expand(struct arena *arena, const char *text, size_t len, const struct form_env *env)
{
	uint32_t left = EXPANSIONS_MAX;
	struct buf out;

	buf_init(&out, WORD_BYTES_MAX);
	put_value(&out, text, len, env, 0, &left);
	/* What grows without end stays as it was written. */
	const char *ret = out.failed ? arena_strndup(arena, text, len) : arena_strndup(arena, buf_str(&out), out.len);
	buf_done(&out);
	return ret;
}
