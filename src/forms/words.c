/* words.c - command lines as a shell cuts them: quotes, escapes, comments, continued lines, variables, arrays, here-documents. No globs,
 * and what a command would print is not known. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>

enum { WORD_BYTES_MAX = 1024 * 1024 };

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

static void step(struct form_cut *c, size_t n)
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

static char char_at(const struct form_cut *c, size_t ahead)
{
	return ahead < c->len - c->at ? c->text[c->at + ahead] : '\0';
}

static void begin(struct form_cut *c)
{
	if (!c->in_word) {
		c->word_pos = c->pos;
		c->word_at = c->at;
	}
	c->in_word = true;
}

static void put(struct form_cut *c, char ch)
{
	begin(c);
	buf_add_byte(&c->word, (uint8_t)ch);
}

static void end_word(struct form_cut *c)
{
	if (!c->in_word)
		return;
	if (!c->word.len && !c->word.failed && !c->quoted) { /* a variable that is empty */
		c->in_word = false;
		return;
	}
	const char *text = c->word.failed ? NULL : arena_strndup(c->arena, buf_str(&c->word), c->word.len);
	const struct form_word w = {
		.text = text, .pos = c->word_pos, .quoted = c->quoted, .unsure = c->unsure, .at = c->word_at};
	c->code = !text ? -ENOMEM : c->code < 0 ? c->code : form_push(c->arena, c->ret, w);
	buf_reset(&c->word);
	c->in_word = c->quoted = c->unsure = false;
}

/* ---- variables ---- */

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
	size_t n = isdigit((unsigned char)(len > 2 ? s[2] : '\0')) ? 0 : form_name_len(s + 2, len - 2);
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
static void part_words(struct form_cut *c, const char *value, size_t begins)
{
	const struct config_pos pos = c->pos;
	const size_t at = c->at;

	c->word.len = begins;
	c->in_word = begins > 0 || c->quoted;
	for (size_t n = 1; *value; value += n) {
		n = MAX(*value == '$' ? substitution_len(value, strlen(value)) : 1, (size_t)1);
		if (strchr(" \t\n", *value)) {
			end_word(c);
			continue;
		}
		if (!c->in_word) {
			c->word_pos = pos;
			c->word_at = at;
		}
		c->in_word = true;
		buf_add(&c->word, value, n);
	}
}

/* What a command would print is not known: its text stays, as one word. */
static bool substitution(struct form_cut *c)
{
	size_t n = substitution_len(c->text + c->at, c->len - c->at);
	int64_t value;

	if (!n)
		return false;
	if (n > 5 && char_at(c, 2) == '(' && form_arith(c->text + c->at + 3, n - 5, c->env, &value))
		return false; /* "$((1 + 2))": a variable's reader knows it */
	begin(c);
	if (c->text[c->at] == '`')
		buf_add_byte(&c->word, '$'); /* as the newer spelling has it */
	buf_add(&c->word, c->text + c->at, n);
	step(c, n);
	return true;
}

/* "$@", "${ARGS[@]}", and "$LINE" of a line whose words are marked: how long it is, and which; 0: none, or one that nobody knows. */
static size_t list_at(const struct form_cut *c, bool quoted, const struct form_env **ret)
{
	const char *s = c->text + c->at;
	size_t len = c->len - c->at, n, all, rest = 0;
	bool brace = len > 3 && s[1] == '{';

	n = brace ? form_name_len(s + 2, len - 2) : len > 1 ? form_name_len(s + 1, len - 1) : 0;
	const char *close = brace ? memchr(s, '}', len) : NULL;
	if (!n || (brace && !close))
		return 0;
	const char *name = s + (brace ? 2 : 1);
	all = brace ? (size_t)(close - s) + 1 : n + 1;
	rest = brace ? all - 3 - n : 0;
	*ret = form_env_find(c->env, name, n);
	if (!*ret || !(*ret)->list)
		return 0;
	bool every = (rest == 3 && name[n] == '[' && strchr("@*", name[n + 1])) || (rest == 0 && strchr("@*", *name));
	return every || ((*ret)->split && !rest && !quoted) ? all : 0;
}

/* Each of its elements is a word; the first goes on with what stands before it, as in "x${A[@]}". */
static bool list(struct form_cut *c, bool quoted)
{
	const struct form_env *e = NULL;
	size_t n = list_at(c, quoted, &e);

	if (!n)
		return false;
	begin(c);
	for (uint32_t i = 0; i < e->list->len && c->code == 0; i++) {
		const struct form_word *w = &e->list->v[i];
		if (i) {
			end_word(c);
			begin(c);
		}
		c->quoted |= quoted || w->quoted;
		c->unsure |= w->unsure;
		buf_add_str(&c->word, w->text);
		if (i + 1 == e->list->len)
			break;
	}
	/* An empty array is no word, not even in quotes. */
	if (!e->list->len && !c->word.len)
		c->quoted = false;
	step(c, n);
	return true;
}

/* A variable becomes its value; without quotes blanks in it part words. */
static void variable(struct form_cut *c, bool parts)
{
	size_t begins = c->in_word ? c->word.len : 0;

	if (substitution(c) || list(c, !parts))
		return;
	begin(c);
	size_t n = form_variable_put(&c->word, c->text + c->at, c->len - c->at, c->env);
	char *value = parts && !c->word.failed
			      ? arena_strndup(c->arena, buf_str(&c->word) + begins, c->word.len - begins)
			      : NULL;
	/* An assignment's value stays whole. */
	bool assigned = c->shell && begins && buf_str(&c->word)[begins - 1] == '=' && begins > 1 &&
			form_name_len(buf_str(&c->word), begins - 1) == begins - 1;
	if (value && n > 1 && strpbrk(value, " \t\n") && !assigned)
		part_words(c, value, begins);
	step(c, n);
}

/* ---- quotes ---- */

static void single_quotes(struct form_cut *c)
{
	begin(c);
	c->quoted = true;
	for (step(c, 1); c->at < c->len && c->text[c->at] != '\''; step(c, 1))
		put(c, c->text[c->at]);
	step(c, 1);
}

static void double_quotes(struct form_cut *c)
{
	bool empties;

	begin(c);
	c->quoted = true;
	step(c, 1);
	while (c->at < c->len && c->text[c->at] != '"') {
		char ch = c->text[c->at], next = char_at(c, 1);
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
	empties = !c->quoted;
	step(c, 1);
	if (empties && c->word.len)
		c->quoted = true;
}

static void backslash(struct form_cut *c)
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

/* ---- what only a shell has ---- */

/* The rest of the line at from. */
static size_t line_stop(const struct form_cut *c, size_t from)
{
	const char *n = from < c->len ? memchr(c->text + from, '\n', c->len - from) : NULL;
	return n ? (size_t)(n - c->text) : c->len;
}

/* "<<EOF": the document begins behind this line (or behind the last document of this line), and ends at a line that is the word. */
static void document(struct form_cut *c)
{
	struct form_document d = {.pos = c->pos};
	char word[128];
	size_t n = 0;

	step(c, 2);
	bool tabs = char_at(c, 0) == '-';
	step(c, tabs);
	while (c->at < c->len && strchr(" \t", c->text[c->at]))
		step(c, 1);
	while (c->at < c->len && !strchr(" \t\r\n;|&<>()", c->text[c->at]) && n + 1 < sizeof word) {
		if (strchr("'\"\\", c->text[c->at]))
			d.literal = true;
		else
			word[n++] = c->text[c->at];
		step(c, 1);
	}
	word[n] = '\0';
	size_t at = c->skip_to ? c->skip_to : MIN(line_stop(c, c->at) + 1, c->len);
	d.at = at;
	d.end = c->len;
	c->skip_to = c->len;
	while (n && at < c->len) {
		size_t stop = line_stop(c, at), from = at, to = stop;
		while (tabs && from < to && c->text[from] == '\t')
			from++;
		while (to > from && strchr(" \t\r", c->text[to - 1]))
			to--;
		if (to - from == n && !memcmp(c->text + from, word, n)) {
			d.end = at;
			c->skip_to = MIN(stop + 1, c->len);
			break;
		}
		at = stop + 1;
	}
	if (!n) {
		c->skip_to = 0;
		return;
	}
	c->code = c->code < 0 ? c->code : form_push(c->arena, &c->documents, d);
}

static void end_line(struct form_cut *c)
{
	step(c, 1);
	if (!c->skip_to)
		return;
	if (c->skip_to > c->at)
		step(c, c->skip_to - c->at);
	c->skip_to = 0;
}

static void operator(struct form_cut *c, enum form_op op, size_t n)
{
	end_word(c);
	if (c->shell) {
		c->op = op;
		if (op == FORM_OP_LINE)
			end_line(c);
		else
			step(c, n);
		return;
	}
	static const char *const texts[] = {[FORM_OP_LINE] = "\n",
		[FORM_OP_SEMI] = ";",
		[FORM_OP_PIPE] = "|",
		[FORM_OP_OR] = "|",
		[FORM_OP_AMP] = "&",
		[FORM_OP_AND] = "&",
		[FORM_OP_DSEMI] = ";"};
	const struct form_word w = {.text = texts[op], .pos = c->pos, .at = c->at};
	if (c->code == 0)
		c->code = form_push(c->arena, c->ret, w);
	step(c, n);
}

static bool is_assigning(const struct form_cut *c)
{
	size_t n = c->word.len;
	const char *t = c->in_word ? buf_str(&c->word) : "";

	if (n < 2 || t[n - 1] != '=' || c->quoted)
		return false;
	n -= 1 + (t[n - 2] == '+');
	return n && !isdigit((unsigned char)*t) && form_name_len(t, n) == n;
}

/* "NAME=(a b": its elements up to ")". Comments and line ends part them. */
static void array(struct form_cut *c)
{
	struct form_words *outer = c->ret, *list = arena_alloc(c->arena, sizeof *list);

	end_word(c);
	step(c, 1);
	if (!list || c->code < 0 || !outer->len) {
		c->code = c->code < 0 ? c->code : -ENOMEM;
		return;
	}
	c->ret = list;
	c->in_array = true;
	while (c->at < c->len && c->code == 0 && (c->text[c->at] != ')'))
		form_cut_one(c);
	end_word(c);
	c->in_array = false;
	step(c, 1);
	c->ret = outer;
	outer->v[outer->len - 1].list = list;
}

/* "<(", ">(": up to its bracket, as a part of the word. */
static void process(struct form_cut *c)
{
	uint32_t depth = 0;

	put(c, c->text[c->at]);
	step(c, 1);
	while (c->at < c->len) {
		char ch = c->text[c->at];
		depth += ch == '(';
		put(c, ch);
		step(c, 1);
		if (ch == ')' && --depth == 0)
			return;
	}
}

static enum form_op op_of(char ch, char next)
{
	return ch == ';'   ? (next == ';' ? FORM_OP_DSEMI : FORM_OP_SEMI)
	       : ch == '|' ? (next == '|' ? FORM_OP_OR : FORM_OP_PIPE)
			   : (next == '&' ? FORM_OP_AND : FORM_OP_AMP);
}

/* A character that only a shell's text gives a meaning. */
static bool shells_one(struct form_cut *c, char ch, char next)
{
	if (c->in_array && strchr("\n;|&", ch)) {
		end_word(c);
		step(c, 1);
	} else if (c->in_test && strchr("()|&;<>", ch) && !(c->in_word && !strcmp(buf_str(&c->word), "]]"))) {
		put(c, ch);
		step(c, 1);
	} else if (ch == '(' && is_assigning(c)) {
		array(c);
	} else if (ch == '(' || ch == ')') {
		operator(c, ch == '(' ? FORM_OP_OPEN : FORM_OP_CLOSE, 1);
	} else if (ch == '<' && next == '<' && char_at(c, 2) != '<') {
		end_word(c);
		document(c);
	} else if ((ch == '<' || ch == '>') && next == '(') {
		process(c);
	} else if (ch == '$' && next == '\'') {
		step(c, 1);
		single_quotes(c);
	} else {
		return false;
	}
	return true;
}

static bool is_redirected(const struct form_cut *c, char next)
{
	return next == '>' ||
	       (c->in_word && !c->quoted && c->word.len && strchr("<>", buf_str(&c->word)[c->word.len - 1]));
}

void form_cut_one(struct form_cut *c)
{
	char ch = c->text[c->at], next = char_at(c, 1);

	if (!ch) {
		step(c, 1); /* a NUL is no part of a word */
		return;
	}
	if (c->shell && shells_one(c, ch, next))
		return;
	if (ch == '\n')
		operator(c, FORM_OP_LINE, 1);
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
	else if (ch == '&' && is_redirected(c, next)) { /* "2>&1", "&>log" */
		put(c, ch);
		step(c, 1);
	} else if (ch == ';' || ch == '|' || ch == '&')
		operator(c, op_of(ch, next), next == ch ? 2 : 1);
	else {
		put(c, ch);
		step(c, 1);
	}
}

void form_cut_init(struct form_cut *c, struct arena *arena, const char *file, const char *text, size_t len,
	const struct config_pos *start, const struct form_env *env)
{
	*c = (struct form_cut){.arena = arena, .env = env, .text = text, .len = len};
	c->pos = start ? *start : (struct config_pos){.file = file, .line = 1, .column = 1};
	buf_init(&c->word, WORD_BYTES_MAX);
}

void form_cut_done(struct form_cut *c)
{
	buf_done(&c->word);
}

int form_cut_command(struct form_cut *c, struct form_words *ret, enum form_op *ret_op)
{
	c->shell = true;
	c->ret = ret;
	c->op = FORM_OP_NONE;
	c->in_test = false;
	while (c->at < c->len && c->code == 0 && !c->op) {
		form_cut_one(c);
		if (ret->len && !c->in_word && !c->in_array) {
			const struct form_word *first = &ret->v[0], *last = &ret->v[ret->len - 1];
			bool test = !first->quoted && !strcmp(first->text, "[[");
			for (uint32_t i = 1; i < ret->len && !test && i < 3; i++)
				test = !ret->v[i].quoted && !strcmp(ret->v[i].text, "[[");
			c->in_test = test && (last->quoted || strcmp(last->text, "]]") != 0);
		}
	}
	end_word(c);
	*ret_op = c->op ? c->op : FORM_OP_END;
	return c->code;
}

int form_words_cut(struct form_words *ret, struct arena *arena, const char *file, const char *text, size_t len,
	const struct config_pos *start, const struct form_env *env)
{
	struct form_cut c;

	form_cut_init(&c, arena, file, text, len, start, env);
	c.ret = ret;
	while (c.at < len && c.code == 0)
		form_cut_one(&c);
	end_word(&c);
	form_cut_done(&c);
	return c.code;
}
