/* python.c - programs in Python that make an engine (LLM(model=...), sgl.Engine(...), Llama(...)) or start one's command line (lists and
 * strings for subprocess). Nothing is run: values that are written out, and names that are given one, are known; all others are named.
 *
 * The names of arguments are those of the engines' own flags: vllm/engine/arg_utils.py (EngineArgs), sglang/srt/server_args.py, and of
 * llama-cpp-python llama_cpp/llama.py. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { NESTED_MAX = 32, CONSTANTS_MAX = 1024, LISTS_MAX = 64, EXPRESSION_BYTES_MAX = 64 };

enum kind { TOKEN_END, TOKEN_NAME, TOKEN_STRING, TOKEN_NUMBER, TOKEN_OTHER };
struct token {
	enum kind kind;
	const char *text; /* a string's without its quotes; in the arena */
	char sign; /* of OTHER */
	size_t at, end; /* in the text */
	struct config_pos pos;
	uint32_t indent; /* of its line */
};

struct pending {
	const char *name;
	struct form_words words;
	uint32_t indent;
};

struct reader {
	struct form_set *f;
	const struct form_service *around;
	const char *text;
	size_t len, at;
	struct config_pos pos;
	uint32_t indent;
	bool begins; /* nothing but blanks so far in the line */
	struct token now;
	const struct form_env *constants;
	uint32_t constants_len, depth;
	struct pending lists[LISTS_MAX];
	uint32_t lists_len;
	const char *line; /* the name of the line of a shell that was read */
	bool line_said;
	const char *program, *foreign;
	int code;
};

/* ---- tokens ---- */

static void step(struct reader *r, size_t n)
{
	for (; n && r->at < r->len; n--, r->at++) {
		if (r->text[r->at] == '\n') {
			r->pos.line++;
			r->pos.column = 1;
			r->begins = true;
			r->indent = 0;
		} else {
			r->pos.column += ((unsigned char)r->text[r->at] & 0xc0) != 0x80;
		}
	}
}

static char char_at(const struct reader *r, size_t ahead)
{
	return ahead < r->len - r->at ? r->text[r->at + ahead] : '\0';
}

/* The value of {NAME} in an f-string is its constant's; what is not known stays as a variable of a shell. */
static void put_field(struct reader *r, struct buf *out)
{
	size_t from = r->at + 1, to = from;

	while (to < r->len && r->text[to] != '}' && r->text[to] != '\n')
		to++;
	size_t n = strcspn(r->text + from, ":!}\n");
	const struct form_env *e = form_env_find(r->constants, r->text + from, MIN(n, to - from));
	if (e && e->value)
		buf_add_str(out, e->value);
	else if (n && strspn(r->text + from, "0123456789") == n)
		buf_add(out, r->text + from, n);
	else
		buf_printf(out, "${%.*s}", (int)MIN(MIN(n, to - from), (size_t)EXPRESSION_BYTES_MAX), r->text + from);
	step(r, to - r->at + (to < r->len));
}

/* From its first quote on; formatted: {NAME} is a value. */
static const char *string(struct reader *r, bool formatted, bool raw)
{
	char quote = r->text[r->at];
	bool three = char_at(r, 1) == quote && char_at(r, 2) == quote;
	struct buf out;

	buf_init(&out, YAML_BYTES_MAX);
	step(r, three ? 3 : 1);
	while (r->at < r->len) {
		char c = r->text[r->at], next = char_at(r, 1);
		if (c == quote && (!three || (next == quote && char_at(r, 2) == quote)))
			break;
		if (c == '\n' && !three)
			break;
		if (c == '\\' && next && !raw) {
			if (next == 'n' || next == 't')
				buf_add_byte(&out, next == 'n' ? '\n' : '\t');
			else if (next != '\n')
				buf_add_byte(&out, (uint8_t)next);
			step(r, 2);
		} else if (formatted && c == '{' && next == '{') {
			buf_add_byte(&out, '{');
			step(r, 2);
		} else if (formatted && c == '}' && next == '}') {
			buf_add_byte(&out, '}');
			step(r, 2);
		} else if (formatted && c == '{') {
			put_field(r, &out);
		} else {
			buf_add_byte(&out, (uint8_t)c);
			step(r, 1);
		}
	}
	step(r, r->at < r->len && r->text[r->at] == quote ? (three ? 3 : 1) : 0);
	const char *ret = out.failed ? NULL : arena_strndup(&r->f->arena, buf_str(&out), out.len);
	buf_done(&out);
	if (!ret)
		r->code = -ENOMEM;
	return ret ? ret : "";
}

static bool is_prefix(const struct reader *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr("rRbBfFuU", r->text[r->at + i]))
			return false;
	return n <= 2 && (char_at(r, n) == '"' || char_at(r, n) == '\'');
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->len) {
		char c = r->text[r->at];
		if (c == '#') {
			while (r->at < r->len && r->text[r->at] != '\n')
				step(r, 1);
		} else if (isspace((unsigned char)c) || c == '\\' || !c) {
			r->indent += r->begins && (c == ' ' || c == '\t');
			step(r, 1);
		} else {
			return;
		}
	}
}

static void next(struct reader *r)
{
	skip_blanks(r);
	r->now = (struct token){.pos = r->pos, .at = r->at, .end = r->at, .text = "", .indent = r->indent};
	r->begins = false;
	if (r->at >= r->len || r->code < 0)
		return;
	size_t n = 0;
	unsigned char c = (unsigned char)r->text[r->at];
	while (r->at + n < r->len &&
		(isalnum((unsigned char)r->text[r->at + n]) || r->text[r->at + n] == '_' ||
			(n && r->text[r->at + n] == '.' &&
				(isdigit(c) || isalpha((unsigned char)char_at(r, n + 1)) || char_at(r, n + 1) == '_'))))
		n++;
	if (c == '"' || c == '\'' || (n && is_prefix(r, n))) {
		bool formatted = memchr(r->text + r->at, 'f', n) || memchr(r->text + r->at, 'F', n),
		     raw = memchr(r->text + r->at, 'r', n) || memchr(r->text + r->at, 'R', n);
		step(r, n);
		r->now.kind = TOKEN_STRING;
		r->now.text = string(r, formatted, raw);
	} else if (n) {
		r->now.kind = isdigit(c) ? TOKEN_NUMBER : TOKEN_NAME;
		r->now.text = arena_strndup(&r->f->arena, r->text + r->at, n);
		r->code = r->now.text ? r->code : -ENOMEM;
		r->now.text = r->now.text ? r->now.text : "";
		step(r, n);
	} else {
		r->now.kind = TOKEN_OTHER;
		r->now.sign = (char)c;
		step(r, 1);
	}
	r->now.end = r->at;
}

static bool is_sign(const struct reader *r, char sign)
{
	return r->now.kind == TOKEN_OTHER && r->now.sign == sign;
}

/* ---- values ---- */

static bool closes(const struct reader *r)
{
	return r->now.kind == TOKEN_END || (r->now.kind == TOKEN_OTHER && strchr(")]},:", r->now.sign) && r->now.sign);
}

/* Up to what ends the value; brackets go by whole. */
static void skip_value(struct reader *r)
{
	uint32_t depth = 0;

	while (r->now.kind != TOKEN_END && (depth || !closes(r))) {
		if (r->now.kind == TOKEN_OTHER && strchr("([{", r->now.sign))
			depth++;
		else if (r->now.kind == TOKEN_OTHER && strchr(")]}", r->now.sign))
			depth--;
		next(r);
	}
}

static const char *literal(struct reader *r, const struct token *t)
{
	if (t->kind == TOKEN_STRING || t->kind == TOKEN_NUMBER)
		return t->text;
	if (t->kind != TOKEN_NAME)
		return NULL;
	if (!strcmp(t->text, "True") || !strcmp(t->text, "False"))
		return t->text[0] == 'T' ? "true" : "false";
	if (!strcmp(t->text, "None"))
		return "None";
	const struct form_env *e = form_env_find(r->constants, t->text, strlen(t->text));
	return e ? e->value : NULL;
}

/* {"a": 1} and dict(a=1) as JSON; NULL: something in it is not known. */
static const char *json(struct reader *r)
{
	struct yaml_node *root = NULL;
	struct diags quiet;
	struct buf out;
	size_t from = r->now.at;

	skip_value(r);
	size_t len = r->now.at - from;
	char *text = arena_strndup(&r->f->arena, r->text + from, len);
	const char *ret = NULL;
	r->code = text ? r->code : -ENOMEM;
	if (!text || memmem(text, len, "dict(", 5))
		return NULL;
	diags_init(&quiet);
	int code = yaml_parse(&root, &r->f->arena, r->pos.file, text, len, &quiet);
	r->code = code == -ENOMEM ? code : r->code;
	if (code == 0 && root->type != YAML_SCALAR) {
		buf_init(&out, YAML_BYTES_MAX);
		yaml_print_json(root, &out);
		ret = out.failed ? NULL : arena_strdup(&r->f->arena, buf_str(&out));
		buf_done(&out);
	}
	diags_done(&quiet);
	return ret;
}

/* One value; what is not known becomes "$(expression)" or "$name". Never NULL. */
static const char *value(struct reader *r)
{
	const struct token first = r->now;
	const char *known = NULL, *ret;

	if (is_sign(r, '{') || is_sign(r, '[')) {
		known = json(r);
	} else {
		bool minus = is_sign(r, '-');
		if (minus)
			next(r);
		struct token one = r->now;
		next(r);
		/* "a" "b" is one string; str(x), int(x) and float(x) are x. */
		if (one.kind == TOKEN_NAME && is_sign(r, '(') &&
			(!strcmp(one.text, "str") || !strcmp(one.text, "int") || !strcmp(one.text, "float"))) {
			next(r);
			one = r->now;
			next(r);
			if (is_sign(r, ')'))
				next(r);
		}
		known = literal(r, &one);
		while (known && one.kind == TOKEN_STRING && r->now.kind == TOKEN_STRING) {
			known = arena_printf(&r->f->arena, "%s%s", known, r->now.text);
			next(r);
		}
		known = known && minus ? arena_printf(&r->f->arena, "-%s", known) : known;
		/* os.environ.get("TP", "2"), os.getenv("TP", 2), args.get(..): the value that stands for what is not set. */
		if (one.kind == TOKEN_NAME && is_sign(r, '(') &&
			(!strcmp(one.text, "os.getenv") || !strcmp(one.text, "os.environ.get"))) {
			next(r);
			if (r->now.kind == TOKEN_STRING)
				next(r);
			if (is_sign(r, ',')) {
				next(r);
				known = literal(r, &r->now);
			}
			skip_value(r);
			if (is_sign(r, ')'))
				next(r);
		}
		if (!closes(r) && first.indent == r->now.indent && r->now.pos.line == first.pos.line) {
			skip_value(r);
			known = NULL;
		}
	}
	if (known)
		return known;
	size_t n = 0, max = MIN(r->now.at - first.at, (size_t)EXPRESSION_BYTES_MAX);
	const char *text = r->text + first.at;
	while (n < max && (isalnum((unsigned char)text[n]) || text[n] == '_'))
		n++;
	while (max > n && isspace((unsigned char)text[max - 1]))
		max--;
	ret = n == max ? arena_printf(&r->f->arena, "$%.*s", (int)n, text)
		       : arena_printf(&r->f->arena, "$(%.*s)", (int)max, text);
	if (!ret)
		r->code = -ENOMEM;
	return ret ? ret : "$";
}

static void note_constant(struct reader *r, const char *name, const char *text)
{
	struct form_env *e = r->constants_len < CONSTANTS_MAX ? arena_alloc(&r->f->arena, sizeof *e) : NULL;

	if (!e)
		return;
	*e = (struct form_env){.name = name, .value = strchr(text, '$') ? NULL : text, .next = r->constants};
	r->constants = e;
	r->constants_len++;
}

/* ---- command lines ---- */

static void add_command(struct reader *r, const struct form_words *words)
{
	struct form_service s = r->around ? *r->around : (struct form_service){.name = "", .replicas = 1};
	int code = form_command_read(r->f, &s, words->v, words->len, GRAPH_ENGINE_NONE, &r->program, &r->foreign);

	if (code == FORM_COMMAND_ENGINE)
		code = form_add(r->f, &s);
	r->code = code < 0 ? code : r->code;
}

/* The elements of a list, up to "]". */
static void elements(struct reader *r, struct form_words *ret, bool unsure)
{
	next(r);
	while (r->now.kind != TOKEN_END && !is_sign(r, ']') && !is_sign(r, ')') && r->code == 0) {
		struct form_word w = {.pos = r->now.pos, .quoted = true, .unsure = unsure};
		w.pos.column += r->now.kind == TOKEN_STRING;
		bool star = is_sign(r, '*');
		if (star) {
			next(r);
			w.text =
				arena_printf(&r->f->arena, "$%.64s", r->now.kind == TOKEN_NAME ? r->now.text : "(...)");
			skip_value(r);
		} else if (is_sign(r, '[') || is_sign(r, '{')) {
			w.text = "$[";
			skip_value(r);
		} else {
			w.text = value(r);
		}
		r->code = r->code < 0 ? r->code : w.text ? form_push(&r->f->arena, ret, w) : -ENOMEM;
		if (!is_sign(r, ','))
			break;
		next(r);
	}
	if (is_sign(r, ']'))
		next(r);
}

static bool is_command(const struct form_words *words)
{
	for (uint32_t i = 0; i < words->len && i < 12; i++) {
		const char *slash = strrchr(words->v[i].text, '/'), *name = slash ? slash + 1 : words->v[i].text;
		if (form_names_program(name, strlen(name)) ||
			(!strcmp(name, "-m") && i + 1 < words->len && form_names_module(words->v[i + 1].text)))
			return true;
	}
	return false;
}

static void keep_list(struct reader *r, const char *name, const struct form_words *words, uint32_t indent)
{
	if (!is_command(words))
		return;
	if (!name || r->lists_len == LISTS_MAX)
		add_command(r, words);
	else
		r->lists[r->lists_len++] = (struct pending){name, *words, indent};
}

static struct pending *pending_find(struct reader *r, const char *name, size_t len)
{
	for (uint32_t i = r->lists_len; i > 0; i--)
		if (strlen(r->lists[i - 1].name) == len && !memcmp(r->lists[i - 1].name, name, len))
			return &r->lists[i - 1];
	return NULL;
}

/* A string that is a line of a shell: it begins with an engine's program, perhaps behind variables and python3 -m. */
static void command_string(struct reader *r, const struct token *t, const char *text)
{
	struct form_words words = {0};
	struct err err;
	uint32_t i = 0;

	if (!strpbrk(text, " \n") || strlen(text) > 64 * 1024)
		return;
	int code = form_words_cut(&words, &r->f->arena, r->pos.file, text, strlen(text), &t->pos, NULL);
	while (code == 0 && i < words.len && strchr(words.v[i].text, '=') && words.v[i].text[0] != '-')
		i++;
	struct form_words rest = {.v = words.v + i, .len = words.len - i};
	rest.len = MIN(rest.len, 4u);
	if (code < 0 || !rest.len || !is_command(&rest) || form_is_prose(text, strlen(text))) {
		r->code = code < 0 ? code : r->code;
		return;
	}
	const struct form_script script = {.file = r->pos.file, .start = &t->pos, .around = r->around};
	code = form_script_read(r->f, &script, text, strlen(text), &err);
	r->code = code == -ENOMEM ? code : r->code;
	r->program = code > 0 ? "a string" : r->program;
}

/* ---- calls that make an engine ---- */

static enum graph_engine makes(const char *name, const char *text, size_t len)
{
	const char *dot = strrchr(name, '.'), *base = dot ? dot + 1 : name;

	if (!strcmp(base, "LLM") || !strcmp(base, "EngineArgs") || !strcmp(base, "AsyncEngineArgs") ||
		!strcmp(base, "LLMConfig"))
		return memmem(text, len, "vllm", 4) || !strcmp(base, "LLMConfig") ? GRAPH_ENGINE_VLLM
										  : GRAPH_ENGINE_NONE;
	if ((!strcmp(base, "Engine") || !strcmp(base, "ServerArgs")) && memmem(text, len, "sglang", 6))
		return GRAPH_ENGINE_SGLANG;
	return !strcmp(base, "Llama") && memmem(text, len, "llama_cpp", 9) ? GRAPH_ENGINE_LLAMA : GRAPH_ENGINE_NONE;
}

static void take_argument(
	struct reader *r, struct form_service *s, const char *name, const char *text, const struct config_pos *pos)
{
	static const char *const models[] = {"model", "model_path", "model_source", "model_id", "model_tag"};
	struct engine_flag flag;

	if (!strcmp(text, "None") || r->code < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		if (!strcmp(name, models[i])) {
			if (!s->model || strcmp(name, "model_id"))
				s->model = text, s->model_pos = *pos;
			return;
		}
	if (!strcmp(name, "min_replicas") || !strcmp(name, "num_replicas")) {
		unsigned long n = strtoul(text, NULL, 10);
		s->replicas = n && n < 100000 ? (uint32_t)n : s->replicas;
		s->replicas_pos = *pos;
		return;
	}
	char *spelling = arena_printf(&r->f->arena, "--%s", name);
	for (char *p = spelling; p && *p && s->program != ENGINE_LLAMA_CPP_PYTHON; p++)
		*p = *p == '_' ? '-' : *p;
	enum engine_flag_state state =
		spelling ? engine_flag_find(&flag, s->program, spelling, s->version, NULL) : ENGINE_FLAG_UNKNOWN;
	if (spelling && (state == ENGINE_FLAG_UNKNOWN || state == ENGINE_FLAG_AMBIGUOUS))
		r->code = form_remark(r->f, FORM_UNCHECKED, "argument-unknown", pos,
			arena_printf(&r->f->arena,
				"%.64s is no flag of the engine, and what it does as an argument is not known here",
				name),
			NULL);
	else if (spelling)
		r->code = form_flag_put(r->f, s, spelling + 2, text, pos);
	r->code = spelling ? r->code : -ENOMEM;
}

/* Arguments up to the bracket that closes; those of dictionaries in it too, when deep. */
static void arguments(struct reader *r, struct form_service *s, bool deep)
{
	bool first = true;

	if (r->depth++ > NESTED_MAX)
		return;
	next(r);
	while (r->now.kind != TOKEN_END && !is_sign(r, ')') && !is_sign(r, '}') && r->code == 0) {
		const struct token name = r->now;
		struct config_pos pos = name.pos;
		if (is_sign(r, '*')) {
			skip_value(r);
			r->code = form_remark(r->f, FORM_UNCHECKED, "argument-unknown", &pos,
				"arguments that are put together elsewhere (**) may be any of the engine's", NULL);
		} else if (name.kind == TOKEN_NAME || name.kind == TOKEN_STRING) {
			struct reader before = *r;
			next(r);
			bool named = (name.kind == TOKEN_NAME && is_sign(r, '=')) ||
				     (name.kind == TOKEN_STRING && is_sign(r, ':'));
			if (named) {
				next(r);
				pos = r->now.pos;
				pos.column += r->now.kind == TOKEN_STRING;
				if (deep && (is_sign(r, '{') ||
						    (r->now.kind == TOKEN_NAME && !strcmp(r->now.text, "dict")))) {
					if (!is_sign(r, '{'))
						next(r);
					arguments(r, s, true);
					next(r);
				} else {
					take_argument(r, s, name.text, value(r), &pos);
				}
			} else {
				int code = r->code;
				*r = before;
				r->code = code;
				pos.column += name.kind == TOKEN_STRING;
				const char *text = value(r);
				if (first && !s->model)
					s->model = text, s->model_pos = pos;
			}
		} else {
			skip_value(r);
		}
		first = false;
		if (!is_sign(r, ',') && !is_sign(r, ')') && !is_sign(r, '}'))
			skip_value(r);
		if (is_sign(r, ':') || is_sign(r, ']')) /* no argument list after all */
			next(r);
		if (is_sign(r, ','))
			next(r);
	}
	r->depth--;
}

static void make(struct reader *r, enum graph_engine engine, const char *name, const struct config_pos *pos)
{
	static const enum engine_program programs[] = {[GRAPH_ENGINE_VLLM] = ENGINE_VLLM_SERVE,
		[GRAPH_ENGINE_SGLANG] = ENGINE_SGLANG_SERVER,
		[GRAPH_ENGINE_LLAMA] = ENGINE_LLAMA_CPP_PYTHON};
	struct form_service s = {.name = "", .replicas = 1, .engine = engine, .program = programs[engine], .pos = *pos};
	bool deep = strstr(name, "LLMConfig") != NULL;

	s.version = r->f->pinned[engine == GRAPH_ENGINE_VLLM ? 0 : engine == GRAPH_ENGINE_SGLANG ? 1 : 2];
	arguments(r, &s, deep);
	if (r->code == 0 && s.model)
		r->code = form_add(r->f, &s);
}

/* ---- statements ---- */

/* ("a " "b"): strings in a bracket are one. NULL: it is something else. */
static const char *strings(struct reader *r, struct token *ret)
{
	struct buf out;

	next(r);
	if (r->now.kind != TOKEN_STRING)
		return NULL;
	*ret = r->now;
	buf_init(&out, YAML_BYTES_MAX);
	for (; r->now.kind == TOKEN_STRING; next(r))
		buf_add_str(&out, r->now.text);
	const char *text = out.failed ? NULL : arena_strdup(&r->f->arena, buf_str(&out));
	r->code = text ? r->code : -ENOMEM;
	bool whole = is_sign(r, ')');
	buf_done(&out);
	return whole ? text : NULL;
}

/* A line of a shell under a name: another under the same name is instead of it, as in the arms of an if. */
static void named_string(struct reader *r, const struct token *name, const struct token *at, const char *text)
{
	uint32_t before = r->f->services.len, remarks = r->f->remarks.len;

	command_string(r, at, text);
	if (r->f->services.len == before || r->code < 0)
		return;
	if (!r->line || strcmp(r->line, name->text) != 0) {
		r->line = name->text;
		return;
	}
	r->f->services.len = before;
	r->f->remarks.len = remarks;
	if (!r->line_said)
		r->code = form_remark(r->f, FORM_UNCHECKED, "script-choice", &at->pos,
			"which command starts is decided when the program runs; the plan is that of the first, not of this one",
			"plan each command by itself: stator plan -- COMMAND");
	r->line_said = true;
}

/* Behind NAME and "=" or "+=": a constant, a list, or neither. */
static void assignment(struct reader *r, const struct token *name, bool adds)
{
	const struct token first = r->now;

	if (first.kind == TOKEN_OTHER && first.sign == '[') {
		struct form_words words = {0};
		struct pending *p = adds ? pending_find(r, name->text, strlen(name->text)) : NULL;
		elements(r, p ? &p->words : &words, p && name->indent > p->indent);
		if (!p)
			keep_list(r, name->text, &words, name->indent);
		return;
	}
	if (first.kind == TOKEN_OTHER && first.sign == '(' && !adds) {
		struct token string = {0};
		const char *text = strings(r, &string);
		if (text) {
			note_constant(r, name->text, text);
			named_string(r, name, &string, text);
		}
		return;
	}
	if (first.kind == TOKEN_NAME) { /* a call: its value is none, what is in it is read */
		struct reader before = *r;
		next(r);
		bool call = is_sign(r, '(');
		int code = r->code;
		*r = before;
		r->code = code;
		if (call && strcmp(first.text, "str") && strcmp(first.text, "int") && strcmp(first.text, "float") &&
			strncmp(first.text, "os.", 3)) {
			note_constant(r, name->text, "$");
			return;
		}
	}
	if (first.kind != TOKEN_STRING && first.kind != TOKEN_NUMBER && first.kind != TOKEN_NAME)
		return;
	const char *text = value(r);
	note_constant(r, name->text, adds ? "$" : text);
	if (first.kind == TOKEN_STRING && !adds)
		named_string(r, name, &first, text);
}

/* cmd.append("--x"), cmd.extend(["--x", "4"]). True: it was one. */
static bool growth(struct reader *r, const struct token *name)
{
	const char *dot = strrchr(name->text, '.');
	struct pending *p = dot ? pending_find(r, name->text, (size_t)(dot - name->text)) : NULL;

	if (!p || (strcmp(dot, ".append") && strcmp(dot, ".extend")))
		return false;
	bool unsure = name->indent > p->indent;
	if (dot[1] == 'e') {
		next(r);
		if (is_sign(r, '['))
			elements(r, &p->words, unsure);
	} else {
		elements(r, &p->words, unsure); /* one */
	}
	return true;
}

/* print(...), logger.info(...): what they say starts nothing. */
static bool speaks(const char *name)
{
	static const char *const speakers[] = {
		"print", "info", "debug", "warning", "error", "write", "log", "echo", "add_argument"};
	const char *dot = strrchr(name, '.'), *base = dot ? dot + 1 : name;

	for (size_t i = 0; i < ARRAY_LEN(speakers); i++)
		if (!strcmp(base, speakers[i]))
			return true;
	return false;
}

static void statement(struct reader *r)
{
	const struct token t = r->now;

	if (t.kind == TOKEN_NAME) {
		next(r);
		bool adds = is_sign(r, '+') && char_at(r, 0) == '=';
		if (adds)
			next(r);
		if (is_sign(r, '=') && char_at(r, 0) != '=') {
			next(r);
			assignment(r, &t, adds);
		} else if (is_sign(r, '(')) {
			enum graph_engine engine = makes(t.text, r->text, r->len);
			if (engine) {
				make(r, engine, t.text, &t.pos);
			} else if (speaks(t.text)) {
				next(r);
				skip_value(r);
			} else if (!growth(r, &t)) {
				next(r);
			}
		}
		return;
	}
	if (t.kind == TOKEN_OTHER && (t.sign == '[' || t.sign == '(')) {
		struct reader before = *r;
		struct form_words words = {0};
		if (t.sign == '[')
			elements(r, &words, false);
		if (is_command(&words)) {
			keep_list(r, NULL, &words, t.indent);
			return;
		}
		uint32_t lists = r->lists_len;
		int code = r->code;
		*r = before;
		r->lists_len = lists;
		r->code = code;
	}
	next(r);
	if (t.kind == TOKEN_STRING)
		command_string(r, &t, t.text);
}

int form_python_part(struct form_set *f, const char *file, const char *text, size_t len, uint32_t line,
	const struct form_service *around)
{
	struct reader *r = arena_alloc(&f->arena, sizeof *r);

	if (!r)
		return -ENOMEM;
	*r = (struct reader){.f = f, .around = around, .text = text, .len = len, .begins = true};
	r->pos = (struct config_pos){.file = file, .line = line, .column = 1};
	next(r);
	while (r->now.kind != TOKEN_END && r->code == 0)
		statement(r);
	for (uint32_t i = 0; i < r->lists_len && r->code == 0; i++)
		add_command(r, &r->lists[i].words);
	return r->code;
}

int form_python_read(struct form_set *f, const char *file, const char *text, size_t len)
{
	uint32_t before = f->services.len;
	int code = form_python_part(f, file, text, len, 1, NULL);

	return code < 0 ? code : f->services.len > before;
}
