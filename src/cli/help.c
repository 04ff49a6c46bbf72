/* help.c - stator help, stator man, stator completion: everything that prints the tables. */
#include "cli/command.h"
#include "cli/print.h"

#include <string.h>

static enum exit_status print(const char *command, void (*printer)(struct buf *out))
{
	struct buf out;

	buf_init(&out, PRINT_BYTES_MAX);
	printer(&out);
	enum exit_status status = command_print(command, &out);
	buf_done(&out);
	return status;
}

static enum exit_status help_run(const struct flags *flags)
{
	uint32_t count;
	const char *const *args = flags_args(flags, &count);
	struct err err = {0};
	struct buf out;

	if (count == 0)
		return print("help", print_overview);
	const struct command *c = command_find(args[0], &err);
	if (!c) {
		command_complain("help", "%s", err.msg);
		return EXIT_USAGE;
	}
	buf_init(&out, PRINT_BYTES_MAX);
	flags_print_help(&c->spec, "stator", &out);
	enum exit_status status = command_print("help", &out);
	buf_done(&out);
	return status;
}

const struct command command_help = {
	.spec = {.name = "help",
		.args = "[COMMAND]",
		.words = "*",
		.summary = "list the commands, or the flags of one",
		.args_max = 1},
	.run = help_run,
};

static const struct flag man_flags[] = {
	{.key = {.name = "format",
		 .type = CONFIG_ENUM,
		 .def = "roff",
		 .choices = "roff|markdown",
		 .help = "roff for man(1), markdown for docs/reference/cli.md"},
		.arg = "FORMAT"},
};

static enum exit_status man_run(const struct flags *flags)
{
	return print("man", strcmp(flags_str(flags, "format"), "roff") == 0 ? print_man : print_reference);
}

const struct command command_man = {
	.spec = {.name = "man",
		.args = "",
		.summary = "print the manual page",
		.text = "To read it: stator man | man -l -",
		.flags = man_flags,
		.count = ARRAY_LEN(man_flags)},
	.run = man_run,
};

static const struct {
	const char *shell;
	void (*print)(struct buf *out);
} shells[] = {
	{"bash", print_completion_bash},
	{"zsh", print_completion_zsh},
	{"fish", print_completion_fish},
};

static enum exit_status completion_run(const struct flags *flags)
{
	uint32_t count;
	const char *const *args = flags_args(flags, &count);

	for (size_t i = 0; count > 0 && i < ARRAY_LEN(shells); i++)
		if (strcmp(args[0], shells[i].shell) == 0)
			return print("completion", shells[i].print);
	if (count == 0)
		command_complain("completion", "which shell? bash, zsh or fish");
	else
		command_complain("completion", "unknown shell \"%s\"; there are bash, zsh and fish", args[0]);
	return EXIT_USAGE;
}

const struct command command_completion = {
	.spec = {.name = "completion",
		.args = "bash|zsh|fish",
		.words = "bash|zsh|fish",
		.summary = "print a completion script for a shell",
		.text = "bash: source <(stator completion bash)\n"
			"zsh: stator completion zsh > a folder of $fpath, as _stator\n"
			"fish: stator completion fish > ~/.config/fish/completions/stator.fish",
		.args_max = 1},
	.run = completion_run,
};
