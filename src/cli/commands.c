/* commands.c - the list of subcommands; see command.h. */
#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const struct command *const commands[] = {
	&command_serve,
	&command_plan,
	&command_run,
	&command_chat,
	&command_bench,
	&command_diagnose,
	&command_logs,
	&command_doctor,
	&command_explain,
	&command_debug,
	&command_worker,
	&command_frontend,
	&command_sim,
	&command_version,
	&command_help,
	&command_completion,
	&command_man,
};

const struct command *const *commands_all(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(commands);
	return commands;
}

const struct flags_command *const *commands_specs(size_t *ret_count)
{
	static const struct flags_command *specs[ARRAY_LEN(commands)];

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		specs[i] = &commands[i]->spec;
	*ret_count = ARRAY_LEN(commands);
	return specs;
}

const struct command *command_find(const char *name, struct err *err)
{
	size_t count;
	const struct flags_command *const *specs = commands_specs(&count);
	const struct flags_command *spec = flags_command_find(specs, count, name, err);

	return spec ? CONTAINER_OF(spec, struct command, spec) : NULL;
}

void command_complain(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "stator%s%s: ", *command ? " " : "", command);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

enum exit_status command_print(const char *command, const struct buf *out)
{
	if (out->failed) {
		command_complain(command, "out of memory");
		return EXIT_FAILED;
	}
	for (size_t at = 0; at < out->len;) {
		ssize_t n = write(STDOUT_FILENO, out->data + at, out->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			command_complain(command, "could not write the output: %s", strerror(errno));
			return EXIT_FAILED;
		}
		at += (size_t)n;
	}
	return EXIT_OK;
}
