/* words.c - command lines as a shell cuts them. Enough of POSIX for what people paste: no globs, no substitution of
 * commands, no here-documents. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>

enum {
	WORD_BYTES_MAX = 1024 * 1024,
	EXPAND_DEPTH_MAX = 8,
	EXPANSIONS_MAX = 4096, /* of one word: values that name others again and again end there */
};

int form_grow(struct arena *arena, void **v, uint32_t len, uint32_t *cap, size_t item_bytes)
{
	if (len < *cap)
		return 0;
	uint32_t want = MAX(*cap * 2, 8u);
	void *p = arena_alloc(arena, want * item_bytes);
	if (!p)
		return -ENOMEM;
	if (len)
		memcpy(p, *v, len * item_bytes);
	*v = p;
	*cap = want;
	return 0;
}

/* ---- variables ---- */

static const char *env_value(const struct form_env *env, const char *name, size_t len)
{
	for (; env; env = env->next)
		if (strlen(env->name) == len && !memcmp(env->name, name, len))
			return env->value;
	return NULL;
}

static size_t name_len(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && (isalnum((unsigned char)s[n]) || s[n] == '_') && !(n == 0 && isdigit((unsigned char)s[n])))
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

/* A variable at s, which begins with "$". Appends its value, or the text as it stands when nothing is known. Returns how many
 * bytes it takes. */
static size_t put_variable(
	struct buf *out, const char *s, size_t len, const struct form_env *env, uint32_t depth, uint32_t *left)
{
	char close = len > 1 && s[1] == '{' ? '}' : len > 1 && s[1] == '(' ? ')' : '\0';
	size_t begin = close ? 2 : 1, n = name_len(s + begin, len - MIN(begin, len));
	const char *end = close ? closing(s, len, close) : s + begin + n;
	const char *value = n ? env_value(env, s + begin, n) : NULL, *rest = s + begin + n;

	if (!n || !end || (close && rest != end && (close == ')' || !strchr(":-=?+", *rest)))) {
		buf_add_byte(out, '$');
		return 1;
	}
	size_t all = (size_t)(end - s) + (close ? 1 : 0);
	bool colon = rest < end && *rest == ':';
	char what =
		rest + colon < end ? rest[colon] : '\0'; /* of ${NAME:-default}, ${NAME:+instead}, ${NAME:?complaint} */
	const char *word = rest + colon + 1;
	bool set = value && (*value || !colon), goes_on = depth < EXPAND_DEPTH_MAX && *left;

	if (set && what == '+') {
		value = NULL;
		set = false;
		what = '-';
	} else if (what == '+') {
		return all;
	}
	*left -= goes_on;
	if (set && goes_on)
		put_value(out, value, strlen(value), env, depth + 1, left);
	else if ((what == '-' || what == '=') && goes_on)
		put_value(out, word, (size_t)(end - word), env, depth + 1, left);
	else
		buf_add(out, s, all);
	return all;
}

const char *form_expand(struct arena *arena, const char *text, size_t len, const struct form_env *env)
{
	uint32_t left = EXPANSIONS_MAX;
	struct buf out;

	buf_init(&out, WORD_BYTES_MAX);
	for (size_t i = 0; i < len;)
		if (text[i] == '$')
			i += put_variable(&out, text + i, len - i, env, 0, &left);
		else
			buf_add_byte(&out, (uint8_t)text[i++]);
	/* What grows without end stays as it was written. */
	const char *ret = out.failed ? arena_strndup(arena, text, len) : arena_strndup(arena, buf_str(&out), out.len);
	buf_done(&out);
	return ret;
}

/* ---- cutting ---- */

struct cutter {
	struct form_words *ret;
	struct arena *arena;
	const struct form_env *env;
	const char *text;
	size_t len, at;
	struct config_pos pos; /* of at */
	struct buf word;
	struct config_pos word_pos;
	bool in_word, quoted;
	int code;
};

static void step(struct cutter *c, size_t n)
{
	for (; n && c->at < c->len; n--, c->at++) {
		if (c->text[c->at] == '\n') {
			c->pos.line++;
			c->pos.column = 1;
		} else {
			c->pos.column += ((unsigned char)c->text[c->at] & 0xc0) != 0x80;
		}
	}
}

static void begin(struct cutter *c)
{
	if (!c->in_word)
		c->word_pos = c->pos;
	c->in_word = true;
}

static void put(struct cutter *c, char ch)
{
	begin(c);
	buf_add_byte(&c->word, (uint8_t)ch);
}

static void end_word(struct cutter *c)
{
	if (!c->in_word)
		return;
	if (!c->word.len && !c->word.failed && !c->quoted) { /* a variable that is empty */
		c->in_word = false;
		return;
	}
	const char *text = c->word.failed ? NULL : arena_strndup(c->arena, buf_str(&c->word), c->word.len);
	const struct form_word w = {text, c->word_pos, c->quoted};
	c->code = !text ? -ENOMEM : c->code < 0 ? c->code : form_push(c->arena, c->ret, w);
	buf_reset(&c->word);
	c->in_word = c->quoted = false;
}

static void operator(struct cutter *c, const char *text, size_t n)
{
	end_word(c);
	const struct form_word w = {text, c->pos, false};
	if (c->code == 0)
		c->code = form_push(c->arena, c->ret, w);
	step(c, n);
}

/* Where what begins at s with "$(" or "`" ends, with the commands in it: 0 when it does not. Kubernetes' $(NAME) is a variable. */
static size_t substitution_len(const char *s, size_t len)
{
	uint32_t depth = 0;

	if (*s == '`') {
		const char *end = len > 1 ? memchr(s + 1, '`', len - 1) : NULL;
		return end ? (size_t)(end - s) + 1 : 0;
	}
	if (len < 2 || s[1] != '(')
		return 0;
	size_t n = name_len(s + 2, len - 2);
	if (n && 2 + n < len && s[2 + n] == ')')
		return 0;
	for (size_t i = 1; i < len; i++) {
		depth += s[i] == '(';
		if (s[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* Cut the value of a variable into words; its first goes on with what stands before it, its last with what follows. */
static void part_words(struct cutter *c, const char *value, size_t begins)
{
	const struct config_pos pos = c->pos;

	c->word.len = begins;
	c->in_word = begins > 0 || c->quoted;
	for (size_t n = 1; *value; value += n) {
		n = MAX(*value == '$' ? substitution_len(value, strlen(value)) : 1, (size_t)1);
		if (strchr(" \t\n", *value)) {
			end_word(c);
			continue;
		}
		if (!c->in_word)
			c->word_pos = pos;
		c->in_word = true;
		buf_add(&c->word, value, n);
	}
}

/* What a command would print is not known: its text stays, as one word. */
static bool substitution(struct cutter *c)
{
	size_t n = substitution_len(c->text + c->at, c->len - c->at);

	if (!n)
		return false;
	begin(c);
	if (c->text[c->at] == '`')
		buf_add_byte(&c->word, '$'); /* as the newer spelling has it */
	buf_add(&c->word, c->text + c->at, n);
	step(c, n);
	return true;
}

/* A variable becomes its value; without quotes blanks in it part words. */
static void variable(struct cutter *c, bool parts)
{
	uint32_t left = EXPANSIONS_MAX;
	size_t begins = c->in_word ? c->word.len : 0;

	if (substitution(c))
		return;
	begin(c);
	size_t n = put_variable(&c->word, c->text + c->at, c->len - c->at, c->env, 0, &left);
	char *value = parts && !c->word.failed
			      ? arena_strndup(c->arena, buf_str(&c->word) + begins, c->word.len - begins)
			      : NULL;
	if (value && n > 1 && strpbrk(value, " \t\n"))
		part_words(c, value, begins);
	step(c, n);
}

static void single_quotes(struct cutter *c)
{
	begin(c);
	c->quoted = true;
	for (step(c, 1); c->at < c->len && c->text[c->at] != '\''; step(c, 1))
		put(c, c->text[c->at]);
	step(c, 1);
}

static void double_quotes(struct cutter *c)
{
	begin(c);
	c->quoted = true;
	step(c, 1);
	while (c->at < c->len && c->text[c->at] != '"') {
		char ch = c->text[c->at], next = c->at + 1 < c->len ? c->text[c->at + 1] : '\0';
		if (ch == '\\' && next && strchr("\"\\$`\n", next)) {
			if (next != '\n')
				put(c, next);
			step(c, 2);
		} else if (ch == '$') {
			variable(c, false);
		} else if (ch == '`' && substitution(c)) {
			continue;
		} else {
			put(c, ch);
			step(c, 1);
		}
	}
	step(c, 1);
}

static void backslash(struct cutter *c)
{
	size_t blank = 1;

	/* A continued line; blanks behind the backslash are what a web page left there. */
	while (c->at + blank < c->len && strchr(" \t\r", c->text[c->at + blank]))
		blank++;
	if (c->at + blank >= c->len || c->text[c->at + blank] == '\n') {
		end_word(c);
		step(c, blank + 1);
		return;
	}
	step(c, 1);
	put(c, c->text[c->at]);
	step(c, 1);
}

static void one(struct cutter *c)
{
	char ch = c->text[c->at], next = c->at + 1 < c->len ? c->text[c->at + 1] : '\0';

	if (ch == '\n')
		operator(c, "\n", 1);
	else if (strchr(" \t\r", ch)) {
		end_word(c);
		step(c, 1);
	} else if (ch == '#' && !c->in_word) {
		while (c->at < c->len && c->text[c->at] != '\n')
			step(c, 1);
	} else if (ch == '\'')
		single_quotes(c);
	else if (ch == '"')
		double_quotes(c);
	else if (ch == '\\')
		backslash(c);
	else if (ch == '$')
		variable(c, true);
	else if (ch == '`' && substitution(c))
		return;
	else if (ch == ';' || ch == '|' || ch == '&')
		operator(c, ch == ';' ? ";" : ch == '|' ? "|" : "&", next == ch ? 2 : 1);
	else {
		put(c, ch);
		step(c, 1);
	}
}

int form_words_cut(struct form_words *ret, struct arena *arena, const char *file, const char *text, size_t len,
	const struct config_pos *start, const struct form_env *env)
{
	struct cutter c = {.ret = ret, .arena = arena, .env = env, .text = text, .len = len};

	c.pos = start ? *start : (struct config_pos){.file = file, .line = 1, .column = 1};
	buf_init(&c.word, WORD_BYTES_MAX);
	while (c.at < len && c.code == 0) {
		if (!text[c.at])
			step(&c, 1); /* a NUL is no part of a word */
		else
			one(&c);
	}
	end_word(&c);
	buf_done(&c.word);
	return c.code;
}
