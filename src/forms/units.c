/* units.c - files whose lines are commands in a frame of their own: units of systemd, makefiles and justfiles. The frame becomes blanks, so
 * that what is left is a script whose places are the file's. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool begins(const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);
	return len >= n && !memcmp(line, word, n);
}

static size_t line_len(const char *text, size_t len, size_t at)
{
	const char *end = memchr(text + at, '\n', len - at);
	return end ? (size_t)(end - text) - at : len - at;
}

static char *blank(struct arena *arena, const char *text, size_t len)
{
	char *out = arena_alloc(arena, len + 1);

	for (size_t i = 0; out && i < len; i++)
		out[i] = text[i] == '\n' ? '\n' : ' ';
	return out;
}

/* ---- systemd ---- */

bool form_is_unit(const char *text, size_t len)
{
	bool service = false, exec = false;

	for (size_t at = 0, n; at < len; at += n + 1) {
		n = line_len(text, len, at);
		service |= begins(text + at, n, "[Service]") || begins(text + at, n, "[Container]");
		exec |= begins(text + at, n, "ExecStart=") || begins(text + at, n, "Exec=");
	}
	return service && exec;
}

static bool goes_on(const char *line, size_t n)
{
	n -= n && line[n - 1] == '\r';
	return n && line[n - 1] == '\\';
}

/* A line with all that go on behind it. */
static size_t whole_len(const char *text, size_t len, size_t at)
{
	size_t n = line_len(text, len, at);

	while (at + n < len && goes_on(text + at, n))
		n += 1 + line_len(text, len, at + n + 1);
	return n;
}

int form_unit_read(struct form_set *f, const char *file, const char *text, size_t len, struct err *err)
{
	static const char environment[] = "Environment=", exec[] = "ExecStart=";
	const struct form_script script = {.file = file};
	char *out = blank(&f->arena, text, len);

	if (!out)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t at = 0, n; at < len; at += n + 1) {
		n = whole_len(text, len, at);
		if (begins(text + at, n, environment)) {
			memcpy(out + at + strlen(environment), text + at + strlen(environment),
				n - strlen(environment));
			memcpy(out + at, "export", 6);
		} else if (begins(text + at, n, exec)) {
			size_t skip = strlen(exec);
			while (skip < n && strchr("-@:+!", text[at + skip]))
				skip++;
			memcpy(out + at + skip, text + at + skip, n - skip);
		}
		n = MIN(n, len - at);
	}
	return form_script_read(f, &script, out, len, err);
}

/* ---- make, just ---- */

static bool is_target(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && (isalnum((unsigned char)line[n]) || strchr("_.-/%$() *='\"", line[n])))
		n++;
	return n && n < len && line[n] == ':' && !isspace((unsigned char)*line) &&
	       (n + 1 == len || line[n + 1] != '=') && (!memchr(line, '=', n) || memchr(line, ' ', n));
}

/* "NAME ?= value", "NAME := value", "export NAME = value": where the value begins; 0: none. */
static size_t is_set(const char *line, size_t len, size_t *ret_name, size_t *ret_name_len)
{
	size_t at = begins(line, len, "export ") ? 7 : 0, n;

	*ret_name = at;
	while (at < len && (isalnum((unsigned char)line[at]) || line[at] == '_' || line[at] == '-'))
		at++;
	*ret_name_len = at - *ret_name;
	n = at;
	while (n < len && line[n] == ' ')
		n++;
	if (n < len && strchr("?:+", line[n]))
		n += 1 + (n + 1 < len && line[n + 1] == ':');
	if (!*ret_name_len || n >= len || line[n] != '=')
		return 0;
	for (n++; n < len && (line[n] == ' ' || line[n] == '\t');)
		n++;
	return n;
}

static bool is_body(const char *line, size_t len, bool tabs)
{
	return len && (*line == '\t' || (!tabs && *line == ' '));
}

/* What else only a makefile has at the beginning of a line. */
static bool is_makes(const char *line, size_t len)
{
	static const char *const words[] = {"ifeq", "ifneq", "ifdef", "ifndef", "endif", "else", "include", "-include",
		"define", "endef", "export", "unexport", "vpath", "override", "$("};
	size_t name, name_len;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (begins(line, len, words[i]))
			return true;
	return is_set(line, len, &name, &name_len) > 0;
}

bool form_is_makefile(const char *file, const char *text, size_t len)
{
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	bool just = !strcasecmp(name, "justfile") || !strcasecmp(name, ".justfile"), target = false, body = false;
	size_t n_name = strlen(name), others = 0;
	bool named = just || strcasestr(name, "makefile") || (n_name > 3 && !strcmp(name + n_name - 3, ".mk"));

	if (len > 1 && !memcmp(text, "#!", 2))
		return false;
	for (size_t at = 0, n; at < len; at += n + 1) {
		n = line_len(text, len, at);
		body |= target && is_body(text + at, n, !just);
		if (!n || strchr("#\r", text[at]) || is_body(text + at, n, !just))
			continue;
		target = is_target(text + at, n);
		others += !target && !is_makes(text + at, n);
		n = target ? n : whole_len(text, len, at);
	}
	return body && (named || !others);
}

static int take_set(struct form_set *f, const char *line, size_t len, const struct form_env **env)
{
	size_t name, name_len, at = is_set(line, len, &name, &name_len);
	struct form_env *e;

	if (!at)
		return 0;
	while (len > at && isspace((unsigned char)line[len - 1]))
		len--;
	bool quoted = len > at + 1 && strchr("\"'", line[at]) && line[len - 1] == line[at];
	e = arena_alloc(&f->arena, sizeof *e);
	const char *key = arena_strndup(&f->arena, line + name, name_len),
		   *value = arena_strndup(&f->arena, line + at + quoted, len - at - 2 * quoted);
	if (!e || !key || !value)
		return -ENOMEM;
	*e = (struct form_env){.name = key, .value = value, .next = *env};
	*env = e;
	return 0;
}

/* A recipe's line: no "@" before it; "$$" is a shell's "$". What stands before is dropped by the cutter as a NUL is. */
static void put_recipe(char *out, const char *line, size_t len)
{
	size_t i = 0;

	while (i < len && strchr(" \t@+-", line[i]) && !(line[i] == '-' && i + 1 < len && line[i + 1] == '-'))
		i++;
	for (; i < len; i++) {
		bool twice = line[i] == '$' && i + 1 < len && line[i + 1] == '$';
		out[i] = twice ? '\0' : line[i];
		i += twice;
		if (twice)
			out[i] = '$';
	}
}

/* "{{model}}" of a justfile: its value, where it is short enough to stand in its place, else a variable's name. */
static void put_braces(char *out, size_t len)
{
	for (size_t i = 0; i + 3 < len; i++) {
		size_t from = i + 2, n = 0;
		if (out[i] != '{' || out[i + 1] != '{')
			continue;
		while (from < len && out[from] == ' ')
			from++;
		while (from + n < len && (isalnum((unsigned char)out[from + n]) || strchr("_-", out[from + n])))
			n++;
		size_t end = from + n;
		while (end < len && out[end] == ' ')
			end++;
		if (!n || end + 1 >= len || out[end] != '}' || out[end + 1] != '}')
			continue;
		/* "{{ x }}" -> "${x}" */
		char name[64];
		if (n >= sizeof name)
			continue;
		memcpy(name, out + from, n);
		memset(out + i, '\0', end + 2 - i);
		out[i] = '$';
		out[i + 1] = '{';
		memcpy(out + i + 2, name, n);
		for (size_t k = 0; k < n; k++)
			out[i + 2 + k] = (char)(name[k] == '-' ? '_' : name[k]);
		out[i + 2 + n] = '}';
	}
}

int form_makefile_read(struct form_set *f, const char *file, const char *text, size_t len, struct err *err)
{
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	bool just = !strcasecmp(name, "justfile") || !strcasecmp(name, ".justfile"), said = false;
	const struct form_env *env = NULL;
	uint32_t kept = 0, remarks = 0;
	int code = 0;

	for (size_t at = 0, n; at < len && code == 0; at += n + 1) {
		n = whole_len(text, len, at);
		if (!is_body(text + at, n, !just))
			code = take_set(f, text + at, n, &env);
	}
	/* Each target is a choice of who calls make: the first that starts an engine is planned. */
	for (size_t at = 0, n; at < len && code == 0; at += n + 1) {
		n = line_len(text, len, at);
		if (!is_target(text + at, n) || is_body(text + at, n, !just))
			continue;
		char *out = blank(&f->arena, text, len);
		if (!out)
			return err_set(err, -ENOMEM, "out of memory");
		size_t from = at + n + 1, to = from;
		for (size_t k; to < len; to += k + 1) {
			k = line_len(text, len, to);
			if (k && !is_body(text + to, k, !just))
				break;
			put_recipe(out + to, text + to, k);
		}
		to = MIN(to, len);
		if (from < len)
			put_braces(out + from, to - from);
		const struct form_script script = {.file = file, .env = env, .several = true};
		code = form_script_read(f, &script, out, len, err);
		if (code == -ENOTSUP || code > 0)
			code = code < 0 && !f->services.len ? code : 0;
		if (f->services.len > kept && kept) {
			const struct config_pos pos = f->services.v[kept].pos;
			f->services.len = kept;
			f->remarks.len = remarks;
			if (!said)
				code = form_remark(f, FORM_UNCHECKED, "script-choice", &pos,
					"several targets start engines; the plan is that of the first, not of this one",
					"plan each command by itself: stator plan -- COMMAND");
			said = true;
		}
		kept = kept ? kept : f->services.len;
		remarks = f->remarks.len;
	}
	if (code == -ENOMEM)
		return err_set(err, code, "out of memory");
	return code < 0 ? code : f->services.len > 0;
}
