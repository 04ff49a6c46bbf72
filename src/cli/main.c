/* main.c - stator COMMAND: find the command, read its flags, run it. Everything else is in the command's own file. */
#include "cli/command.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_BYTES_MAX = 1024 * 1024 };

static enum exit_status help_print(const struct command *c)
{
	struct buf out;

	buf_init(&out, HELP_BYTES_MAX);
	flags_print_help(&c->spec, "stator", &out);
	enum exit_status status = command_print(c->spec.name, &out);
	buf_done(&out);
	return status;
}

static enum exit_status run(const struct command *c, int argc, char **argv)
{
	struct flags *flags = NULL;
	struct err err = {0};
	enum exit_status status;

	if (flags_parse(&flags, &c->spec, argc, argv, &err) < 0) {
		command_complain(c->spec.name, "%s", err.msg);
		fprintf(stderr, "\"stator %s --help\" lists what there is.\n", c->spec.name);
		return err.code == -ENOMEM ? EXIT_FAILED : EXIT_USAGE;
	}
	status = flags_help_wanted(flags) ? help_print(c) : c->run(flags);
	flags_destroy(flags);
	return status;
}

/* "stator --help" and "stator --version" are commands too, for the fingers of those used to them. */
static const char *command_name(const char *word)
{
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return "help";
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		return "version";
	return word;
}

int main(int argc, char **argv)
{
	struct err err = {0};

	/* A failed assertion in ggml starts a debugger on its own process, which then is neither alive nor dead. For us and all we
	 * start; whoever sets it decides. */
	setenv("GGML_NO_BACKTRACE", "1", 0);
	/* A limit of file sizes (ulimit -f) is an error of the write that meets it: a log may not end a deployment. */
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2) {
		command_complain(
			"", "which command? \"stator serve\" starts a deployment, \"stator help\" lists them all");
		return EXIT_USAGE;
	}
	const struct command *c = command_find(command_name(argv[1]), &err);
	if (!c) {
		command_complain("", "%s", err.msg);
		fprintf(stderr, "\"stator help\" lists the commands.\n");
		return EXIT_USAGE;
	}
	return run(c, argc - 2, argv + 2);
}
