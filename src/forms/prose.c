/* prose.c - what of a text for people is commands: its code blocks, and lines that are command lines by themselves. A program's name in
 * the middle of a sentence starts nothing, and an apostrophe opens no quote. */
#include "forms/form_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { QUOTED_LINES_MAX = 64 }; /* of one command: a quote that stays open longer is none */

/* What a command line begins with, beside an engine: it runs the rest, or sets it up. */
static const char *const carriers[] = {"sudo", "env", "exec", "nohup", "time", "nice", "ionice", "numactl", "taskset",
	"stdbuf", "timeout", "srun", "sbatch", "mpirun", "torchrun", "accelerate", "docker", "podman", "nerdctl",
	"apptainer", "singularity", "kubectl", "ssh", "bash", "sh", "zsh", "screen", "tmux", "python", "python3", "uv",
	"uvx", "poetry", "pipenv", "conda", "pixi", "ray", "then", "do", "else", "if", "while", "until", "export",
	"set", "CMD", "ENTRYPOINT", "RUN", "{", "(", "!", "source", ".", "cd", "echo", "printf", "cat", "pip", "pip3",
	"curl", "git", "for", "case", "local"};

struct slice {
	const char *at;
	size_t len;
};

static bool slice_is(struct slice s, const char *word)
{
	return s.len == strlen(word) && !memcmp(s.at, word, s.len);
}

/* The next word of a line, cut off it; empty at its end. */
static struct slice next_word(struct slice *line)
{
	while (line->len && isspace((unsigned char)*line->at))
		line->at++, line->len--;
	struct slice w = {line->at, 0};
	while (w.len < line->len && !isspace((unsigned char)line->at[w.len]))
		w.len++;
	line->at += w.len;
	line->len -= w.len;
	return w;
}

static struct slice trimmed(struct slice s)
{
	while (s.len && isspace((unsigned char)s.at[s.len - 1]))
		s.len--;
	while (s.len && isspace((unsigned char)*s.at))
		s.at++, s.len--;
	return s;
}

static struct slice base_of(struct slice w)
{
	const char *slash = memrchr(w.at, '/', w.len);

	return slash ? (struct slice){slash + 1, (size_t)(w.at + w.len - slash) - 1} : w;
}

/* "$", "%", ">", "user@host:~/models$", "(venv)" and marks of lists stand before what is typed. */
static bool is_prompt(struct slice w)
{
	char last = w.len ? w.at[w.len - 1] : '\0';

	if (w.len == 1)
		return strchr("$%>*-+", last) != NULL;
	return (strchr("$#>", last) && (memchr(w.at, '@', w.len) || memchr(w.at, ':', w.len))) ||
	       (*w.at == '(' && last == ')') || ((last == '.' || last == ')') && isdigit((unsigned char)*w.at));
}

static bool is_assignment(struct slice w)
{
	size_t n = 0;

	while (n < w.len && (isalnum((unsigned char)w.at[n]) || w.at[n] == '_'))
		n++;
	return n && n < w.len && w.at[n] == '=' && !isdigit((unsigned char)*w.at);
}

static bool is_carrier(struct slice w)
{
	struct slice base = base_of(w);

	for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
		if (slice_is(base, carriers[i]))
			return true;
	return base.len > 7 && !memcmp(base.at, "python3.", MIN(base.len, (size_t)8));
}

/* A word of a sentence: letters, perhaps in quotes or with a mark behind them. */
static bool is_plain(struct slice w)
{
	while (w.len && strchr("\"'`(*_[", *w.at))
		w.at++, w.len--;
	while (w.len && strchr("\"'`).,:;!?*_]", w.at[w.len - 1]))
		w.len--;
	for (size_t i = 0; i < w.len; i++)
		if (!isalpha((unsigned char)w.at[i]) && !strchr("'-", w.at[i]) && !((unsigned char)w.at[i] & 0x80))
			return false;
	return w.len > 0 && *w.at != '-';
}

/* What a line that may be typed begins with, behind prompts and assignments; *line is what follows. */
static struct slice first_word(struct slice *line)
{
	struct slice w = next_word(line);

	while (w.len && (is_prompt(w) || is_assignment(w)))
		w = next_word(line);
	return w;
}

/* "llama-server is what many use": behind the program stand words, not flags, files or names of models. */
static bool goes_on_in_words(struct slice rest)
{
	uint32_t plain = 0;

	for (struct slice w = next_word(&rest); w.len && is_plain(w); w = next_word(&rest))
		plain++;
	return plain >= 3;
}

static bool is_command_line(struct slice line)
{
	struct slice all = line, w = first_word(&line), behind;
	bool carried = false;

	if (!w.len) /* assignments alone */
		return is_assignment(next_word(&all));
	for (behind = line; is_carrier(w); carried = true, behind = line, w = next_word(&line))
		;
	if (form_names_program(base_of(w).at, base_of(w).len))
		return !goes_on_in_words(line);
	return carried && !goes_on_in_words(behind);
}

static bool has_operator(struct slice line)
{
	for (size_t i = 0; i + 1 < line.len; i++)
		if ((line.at[i] == '&' && line.at[i + 1] == '&') ||
			(line.at[i] == '|' && isspace((unsigned char)line.at[i + 1])) ||
			(line.at[i] == '$' && strchr("({", line.at[i + 1])))
			return true;
	/* "for x in a b c; do", "if test -f x; then" */
	return memmem(line.at, line.len, "; do", 4) || memmem(line.at, line.len, "; then", 6);
}

/* A sentence, or a line of one. */
static bool is_sentence(struct slice line)
{
	uint32_t words = 0, plain = 0;

	line = trimmed(line);
	if (!line.len || *line.at == '#' || is_command_line(line) || has_operator(line))
		return false;
	char last = line.at[line.len - 1];
	for (struct slice rest = line, w = first_word(&rest); w.len; w = next_word(&rest)) {
		words++;
		plain += is_plain(w);
	}
	/* Commands of programs nobody knows end without a mark, and consist of flags, files and numbers. */
	bool ends = strchr(".,:;!?", last);
	return words >= 4 && (ends ? plain * 2 >= words : plain >= 6 && plain * 10 >= words * 6 && last != '\\');
}

/* ---- the text, line by line ---- */

static struct slice next_line(struct slice *text)
{
	const char *end = text->len ? memchr(text->at, '\n', text->len) : NULL;
	struct slice line = {text->at, end ? (size_t)(end - text->at) : text->len};
	size_t all = line.len + (end ? 1 : 0);

	text->at += all;
	text->len -= all;
	return line;
}

static bool is_fence(struct slice line)
{
	line = trimmed(line);
	return line.len >= 3 && (!memcmp(line.at, "```", 3) || !memcmp(line.at, "~~~", 3));
}

bool form_begins_as_command(const char *text, size_t len)
{
	struct slice rest = {text, len};

	while (rest.len) {
		struct slice line = trimmed(next_line(&rest)), words = line;
		if (!line.len || *line.at == '#')
			continue;
		struct slice w = next_word(&words);
		/* "key: x" and "- x" are YAML's, whatever they begin with. */
		return !strchr("-{[\"'", *line.at) && w.at[w.len - 1] != ':' && is_command_line(line) && words.len;
	}
	return false;
}

bool form_is_prose(const char *text, size_t len)
{
	struct slice rest = {text, len};

	if (len > 1 && !memcmp(text, "#!", 2))
		return false;
	while (rest.len) {
		struct slice line = next_line(&rest);
		if (is_fence(line) || is_sentence(line))
			return true;
	}
	return false;
}

static bool goes_on(struct slice line)
{
	line = trimmed(line);
	return line.len && line.at[line.len - 1] == '\\';
}

/* Is a quote open at the end of text? */
static bool is_open(struct slice text)
{
	char quote = '\0';

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		if (c == '\\' && quote != '\'')
			i++;
		else if (quote ? c == quote : c == '\'' || c == '"')
			quote = quote ? '\0' : c;
	}
	return quote;
}

/* The whole command that begins with line: over lines that go on, and over quotes that are open. rest is left behind it. */
static struct slice whole_command(struct slice line, struct slice *rest)
{
	struct slice more = *rest, all = line;

	for (struct slice last = line; goes_on(last) && more.len;) {
		last = next_line(&more);
		all.len = (size_t)(last.at + last.len - all.at);
		*rest = more;
	}
	struct slice quoted = all;
	for (uint32_t i = 0; is_open(quoted) && more.len && i < QUOTED_LINES_MAX; i++) {
		struct slice last = next_line(&more);
		quoted.len = (size_t)(last.at + last.len - quoted.at);
	}
	if (quoted.len == all.len || is_open(quoted))
		return all;
	*rest = more;
	return quoted;
}

/* Keep a command, without the prompt before it. */
static void keep(char *out, const char *text, struct slice command)
{
	struct slice rest = command, w = next_word(&rest);

	while (w.len && is_prompt(w))
		w = next_word(&rest);
	size_t at = (size_t)(w.at - text), len = (size_t)(command.at + command.len - w.at);
	if (!is_open((struct slice){w.at, len})) /* an apostrophe: what follows would be its quote */
		memcpy(out + at, text + at, len);
}

static bool has_prompt(struct slice line)
{
	struct slice w = next_word(&line);

	return (slice_is(w, "$") || slice_is(w, ">") || (w.len > 1 && is_prompt(w) && w.at[w.len - 1] == '$')) &&
	       line.len;
}

/* Between two fences: with prompts, what stands behind them; else all of it, unless it shows what somebody says. */
static void keep_block(char *out, const char *text, struct slice block)
{
	bool prompts = false, sentences = false;

	for (struct slice rest = block; rest.len;) {
		struct slice line = next_line(&rest);
		prompts |= has_prompt(line);
		sentences |= is_sentence(line);
	}
	if (!prompts && !sentences && !is_open(block)) {
		memcpy(out + (block.at - text), block.at, block.len);
		return;
	}
	while (block.len) {
		struct slice line = next_line(&block);
		if (prompts ? has_prompt(line) : is_command_line(line))
			keep(out, text, whole_command(line, &block));
	}
}

char *form_prose_commands(struct arena *arena, const char *text, size_t len)
{
	struct slice rest = {text, len};
	char *out = arena_alloc(arena, len + 1);

	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i++)
		out[i] = text[i] == '\n' ? '\n' : ' ';
	out[len] = '\0';
	while (rest.len) {
		struct slice line = next_line(&rest), block = rest;
		if (!is_fence(line)) {
			if (is_command_line(line))
				keep(out, text, whole_command(line, &rest));
			continue;
		}
		do {
			line = next_line(&rest);
		} while (rest.len && !is_fence(line));
		block.len = (size_t)(line.at - block.at) + (is_fence(line) ? 0 : line.len);
		keep_block(out, text, block);
	}
	return out;
}
