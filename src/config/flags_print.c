/* flags_print.c - help, man page, Markdown and bash completion from the tables. */
#include "config/flags.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 100 };

/* "(default 8000; from 0 to 65535)" or "". */
static void value_notes(const struct flag *f, char *ret, size_t cap)
{
	char choices[256] = "";
	const char *def = f->key.def;
	size_t n = 0;

	if (f->key.type == CONFIG_ENUM && f->key.choices)
		config_key_accepts(&f->key, choices, sizeof choices);
	/* A truth value that is off by default needs no mention. */
	if (def && f->key.type == CONFIG_BOOL && !strcmp(def, "false"))
		def = NULL;
	if (*choices || def)
		n = (size_t)snprintf(ret, cap, " (%s%s%s%s)", choices, *choices && def ? "; " : "",
			def ? "default " : "", def ? def : "");
	if (!n)
		*ret = '\0';
}

static const char *arg_name(const struct flag *f)
{
	static const char *const names[] = {
		[CONFIG_BOOL] = NULL,
		[CONFIG_INT] = "N",
		[CONFIG_UINT] = "N",
		[CONFIG_FLOAT] = "X",
		[CONFIG_STRING] = "TEXT",
		[CONFIG_DURATION] = "TIME",
		[CONFIG_BYTES] = "SIZE",
		[CONFIG_ENUM] = "WORD",
		[CONFIG_LIST] = "TEXT",
		[CONFIG_MAP] = "JSON",
		[CONFIG_JSON] = "JSON",
	};
	return f->arg ? f->arg : names[f->key.type];
}

/* "-p, --port PORT"; truth values that are on by default are shown as what turns them off. */
static void flag_form(const struct flag *f, char *ret, size_t cap)
{
	bool on = f->key.type == CONFIG_BOOL && f->key.def && !strcmp(f->key.def, "true");
	char letter[8] = "";

	if (f->letter && !on)
		snprintf(letter, sizeof letter, "-%c, ", f->letter);
	snprintf(ret, cap, "%s--%s%s%s%s", letter, on ? "no-" : "", f->key.name, arg_name(f) ? " " : "",
		arg_name(f) ? arg_name(f) : "");
}

/* Words of one line of text, broken at HELP_WIDTH, continued at column indent, where the cursor stands. */
static void print_wrapped(const char *text, size_t len_all, size_t indent, struct buf *out)
{
	const char *end = text + len_all;
	size_t at = indent;

	for (bool first = true; text < end; first = false) {
		size_t len = MIN(strcspn(text, " "), (size_t)(end - text));
		if (!first && at + 1 + len > HELP_WIDTH) {
			buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (!first) {
			buf_add_byte(out, ' ');
			at++;
		}
		buf_add(out, text, len);
		at += len;
		text += len + (text + len < end);
	}
	buf_add_byte(out, '\n');
}

static void print_paragraphs(const char *text, struct buf *out)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		print_wrapped(text, len, 0, out);
		text += len + (text[len] == '\n');
	}
}

static void print_row(const char *form, const char *text, struct buf *out)
{
	buf_printf(out, "  %-*s", HELP_COLUMN - 2, form);
	if (strlen(form) + 2 >= HELP_COLUMN)
		buf_printf(out, "\n%*s", HELP_COLUMN, "");
	print_wrapped(text, strlen(text), HELP_COLUMN, out);
}

static const char override_help[] = "set one key of the graph, for this run only";

void flags_print_help(const struct flags_command *cmd, const char *program, struct buf *out)
{
	char form[128], notes[512], text[1024];

	buf_printf(out, "%s\n\nusage: %s %s%s%s%s\n", cmd->summary, program, cmd->name, cmd->args[0] ? " " : "",
		cmd->args, cmd->count ? " [flags]" : "");
	if (cmd->text) {
		buf_add_byte(out, '\n');
		print_paragraphs(cmd->text, out);
	}
	buf_add_str(out, "\nflags:\n");
	for (size_t i = 0; i < cmd->count; i++) {
		const struct flag *f = &cmd->flags[i];
		flag_form(f, form, sizeof form);
		value_notes(f, notes, sizeof notes);
		snprintf(text, sizeof text, "%s%s", f->key.help, notes);
		print_row(form, text, out);
	}
	if (cmd->overrides)
		print_row("--SERVICE.KEY=VALUE", override_help, out);
	print_row("-h, --help", "show this", out);
}

void flags_print_commands(const struct flags_command *const *cmds, size_t count, struct buf *out)
{
	int width = 0;

	for (size_t i = 0; i < count; i++)
		width = MAX(width, (int)strlen(cmds[i]->name));
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "  %-*s  %s\n", width, cmds[i]->name, cmds[i]->summary);
}

/* Text for roff: no line may begin with a dot or a quote, and a hyphen or backslash is escaped. */
static void man_text(const char *text, struct buf *out)
{
	bool start = true;

	for (; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			buf_add_str(out, "\\&");
		start = *text == '\n';
		if (*text == '\\')
			buf_add_str(out, "\\e");
		else if (*text == '-')
			buf_add_str(out, "\\-");
		else
			buf_add_byte(out, (uint8_t)*text);
	}
}

static void man_flag(const char *form, const char *text, struct buf *out)
{
	buf_add_str(out, ".TP\n.B ");
	man_text(form, out);
	buf_add_byte(out, '\n');
	man_text(text, out);
	buf_add_byte(out, '\n');
}

static void man_paragraphs(const char *text, struct buf *out)
{
	for (const char *end; *text; text = end) {
		end = strstr(text, "\n\n");
		end = end ? end : text + strlen(text);
		char one[4096];
		snprintf(one, sizeof one, "%.*s", (int)(end - text), text);
		buf_add_str(out, ".PP\n");
		man_text(one, out);
		buf_add_byte(out, '\n');
		end += strspn(end, "\n");
	}
}

void flags_print_man(const struct flags_command *const *cmds, size_t count, const char *program, struct buf *out)
{
	char form[128], notes[512], text[1024];

	for (size_t i = 0; i < count; i++) {
		const struct flags_command *c = cmds[i];
		buf_add_str(out, ".SS ");
		man_text(program, out);
		buf_printf(out, " %s ", c->name);
		man_text(c->args, out);
		buf_add_byte(out, '\n');
		man_text(c->summary, out);
		buf_add_byte(out, '\n');
		if (c->text)
			man_paragraphs(c->text, out);
		for (size_t j = 0; j < c->count; j++) {
			flag_form(&c->flags[j], form, sizeof form);
			value_notes(&c->flags[j], notes, sizeof notes);
			snprintf(text, sizeof text, "%s%s", c->flags[j].key.help, notes);
			man_flag(form, text, out);
		}
		if (c->overrides)
			man_flag("--SERVICE.KEY=VALUE", override_help, out);
	}
}

void flags_print_markdown(const struct flags_command *const *cmds, size_t count, const char *program, struct buf *out)
{
	char form[128], notes[512];

	for (size_t i = 0; i < count; i++) {
		const struct flags_command *c = cmds[i];
		buf_printf(out, "## %s %s\n\n`%s %s%s%s%s`\n\n%s\n", program, c->name, program, c->name,
			c->args[0] ? " " : "", c->args, c->count ? " [flags]" : "", c->summary);
		if (c->text)
			buf_printf(out, "\n%s\n", c->text);
		if (c->count || c->overrides)
			buf_add_str(out, "\n| flag | meaning |\n|---|---|\n");
		for (size_t j = 0; j < c->count; j++) {
			flag_form(&c->flags[j], form, sizeof form);
			value_notes(&c->flags[j], notes, sizeof notes);
			buf_printf(out, "| `%s` | %s%s |\n", form, c->flags[j].key.help, notes);
		}
		if (c->overrides)
			buf_printf(out, "| `--SERVICE.KEY=VALUE` | %s |\n", override_help);
		if (i + 1 < count)
			buf_add_byte(out, '\n');
	}
}

/* Words a flag's value can be, as a case branch; other values complete as file names. */
bool flags_takes_file(const char *arg)
{
	return arg && (strstr(arg, "FILE") || strstr(arg, "PATH") || strstr(arg, "DIR") || strchr(arg, '.'));
}

void flags_print_words(
	const struct flags_command *c, const struct flags_command *const *cmds, size_t count, struct buf *out)
{
	if (!c->words)
		return;
	for (size_t i = 0; !strcmp(c->words, "*") && i < count; i++)
		buf_printf(out, i ? " %s" : "%s", cmds[i]->name);
	for (const char *p = c->words; *p && *p != '*'; p++)
		buf_add_byte(out, *p == '|' ? ' ' : (uint8_t)*p);
}

/* Words for the first argument; nothing where it can be no file. */
static void bash_arguments(const struct flags_command *const *cmds, size_t count, struct buf *out)
{
	buf_add_str(out, "\tif [ -z \"$words\" ] && [[ $before != --* ]]; then\n\t\tcase $command in\n");
	for (size_t i = 0; i < count; i++) {
		if (cmds[i]->words) {
			buf_printf(
				out, "\t\t%s) [ \"$before\" = %s ] || return; words=\"", cmds[i]->name, cmds[i]->name);
			flags_print_words(cmds[i], cmds, count, out);
			buf_add_str(out, "\" ;;\n");
		} else if (!flags_takes_file(cmds[i]->args)) {
			buf_printf(out, "\t\t%s) return ;;\n", cmds[i]->name);
		}
	}
	buf_add_str(out, "\t\tesac\n\tfi\n");
}

static void bash_choices(const struct flags_command *c, struct buf *out)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct flag *f = &c->flags[i];
		if (f->key.type != CONFIG_ENUM)
			continue;
		buf_printf(out, "\t\t%s:--%s) words=\"", c->name, f->key.name);
		for (const char *p = f->key.choices; *p; p++)
			buf_add_byte(out, *p == '|' ? ' ' : (uint8_t)*p);
		buf_add_str(out, "\" ;;\n");
	}
}

void flags_print_bash(const struct flags_command *const *cmds, size_t count, const char *program, struct buf *out)
{
	buf_printf(out, "# bash completion for %s\n_%s()\n{\n", program, program);
	buf_add_str(out, "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
			 "command=${COMP_WORDS[1]} words=\n"
			 /* bash makes three words of --flag=value */
			 "\tif [ \"$word\" = = ]; then word=\n"
			 "\telif [ \"$before\" = = ]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n\tCOMPREPLY=()\n");
	buf_add_str(out, "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W \"");
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s ", cmds[i]->name);
	buf_add_str(out, "--help\" -- \"$word\"))\n\t\treturn\n\tfi\n\tcase $command:$before in\n");
	for (size_t i = 0; i < count; i++)
		bash_choices(cmds[i], out);
	buf_add_str(out, "\tesac\n\tif [ -z \"$words\" ] && [[ $word == -* ]]; then\n\t\tcase $command in\n");
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "\t\t%s) words=\"", cmds[i]->name);
		for (size_t j = 0; j < cmds[i]->count; j++)
			buf_printf(out, "--%s ", cmds[i]->flags[j].key.name);
		buf_add_str(out, "--help\" ;;\n");
	}
	buf_add_str(out, "\t\tesac\n\tfi\n");
	bash_arguments(cmds, count, out);
	buf_add_str(out, "\tif [ -n \"$words\" ]; then\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- "
			 "\"$word\"))\n\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n\tfi\n}\n");
	buf_printf(out, "complete -o filenames -F _%s %s\n", program, program);
}
