/* complete.c - completion for zsh and fish, from the tables; bash's is printed by config/flags.h. */
#include "cli/command.h"
#include "cli/print.h"

#include <string.h>

void print_completion_bash(struct buf *out)
{
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);

	flags_print_bash(specs, count, "stator", out);
}

/* Inside single quotes of a shell; also with a backslash before each character of special. */
static void quoted(struct buf *out, const char *text, const char *special)
{
	for (; *text; text++) {
		if (*text == '\'') {
			buf_add_str(out, "'\\''");
			continue;
		}
		if (strchr(special, *text))
			buf_add_byte(out, '\\');
		buf_add_byte(out, (uint8_t)*text);
	}
}

/* "a|b|c" as "a b c". */
static void choices(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_add_byte(out, *text == '|' ? ' ' : (uint8_t)*text);
}

/* zsh: '--port[help]:PORT:' as _arguments reads it. */
static void zsh_flag(struct buf *out, const struct flag *f)
{
	buf_printf(out, " \\\n\t\t'--%s%s[", f->key.name, f->key.type == CONFIG_BOOL ? "" : "=");
	quoted(out, f->key.help, "[]:\\");
	buf_add_str(out, "]");
	if (f->key.type != CONFIG_BOOL) {
		buf_add_str(out, ":");
		quoted(out, f->arg ? f->arg : "VALUE", ":\\");
		buf_add_str(out, ":");
		if (f->key.choices) {
			buf_add_str(out, "(");
			choices(out, f->key.choices);
			buf_add_str(out, ")");
		} else if (flags_takes_file(f->arg)) {
			buf_add_str(out, "_files");
		}
	}
	buf_add_str(out, "'");
}

static void zsh_command(
	struct buf *out, const struct flags_command *c, const struct flags_command *const *all, size_t count)
{
	buf_printf(out, "\t%s)\n\t\t_arguments '--help[show help]'", c->name);
	for (size_t i = 0; i < c->count; i++)
		zsh_flag(out, &c->flags[i]);
	if (flags_takes_file(c->args))
		buf_add_str(out, " \\\n\t\t'*:file:_files'");
	if (c->words) {
		buf_add_str(out, " \\\n\t\t'1:word:(");
		flags_print_words(c, all, count, out);
		buf_add_str(out, ")'");
	}
	buf_add_str(out, "\n\t\t;;\n");
}

void print_completion_zsh(struct buf *out)
{
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);

	buf_add_str(out, "#compdef stator\n"
			 "# Printed by \"stator completion zsh\". Put it in a folder of $fpath as _stator.\n"
			 "_stator() {\n\tlocal -a commands\n\tcommands=(\n");
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "\t\t'%s:", specs[i]->name);
		quoted(out, specs[i]->summary, ":\\");
		buf_add_str(out, "'\n");
	}
	buf_add_str(out, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n"
			 "\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $command in\n");
	for (size_t i = 0; i < count; i++)
		zsh_command(out, specs[i], specs, count);
	buf_add_str(out, "\tesac\n}\n"
			 "if [[ $funcstack[1] == _stator ]]; then _stator \"$@\"; else compdef _stator stator; fi\n");
}

static void fish_flag(struct buf *out, const char *command, const struct flag *f)
{
	buf_printf(out, "complete -c stator -n '__fish_seen_subcommand_from %s' -l %s", command, f->key.name);
	if (f->letter)
		buf_printf(out, " -s %c", f->letter);
	if (f->key.type != CONFIG_BOOL) {
		buf_add_str(out, flags_takes_file(f->arg) ? " -r -F" : " -x");
		if (f->key.choices) {
			buf_add_str(out, " -a '");
			choices(out, f->key.choices);
			buf_add_str(out, "'");
		}
	}
	buf_add_str(out, " -d '");
	quoted(out, f->key.help, "\\");
	buf_add_str(out, "'\n");
}

void print_completion_fish(struct buf *out)
{
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);

	buf_add_str(out, "# Printed by \"stator completion fish\". Put it in ~/.config/fish/completions/stator.fish.\n"
			 "complete -c stator -f\n");
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "complete -c stator -n __fish_use_subcommand -a %s -d '", specs[i]->name);
		quoted(out, specs[i]->summary, "\\");
		buf_add_str(out, "'\n");
		if (flags_takes_file(specs[i]->args))
			buf_printf(out, "complete -c stator -n '__fish_seen_subcommand_from %s' -F\n", specs[i]->name);
		if (specs[i]->words) {
			buf_printf(out, "complete -c stator -n '__fish_seen_subcommand_from %s' -a '", specs[i]->name);
			flags_print_words(specs[i], specs, count, out);
			buf_add_str(out, "'\n");
		}
		for (size_t k = 0; k < specs[i]->count; k++)
			fish_flag(out, specs[i]->name, &specs[i]->flags[k]);
	}
}
