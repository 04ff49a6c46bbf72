/* commands.c - the list of subcommands; see command.h. */
#include "cli/command.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COMPLAINT_BYTES_MAX = 64 * 1024 };

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
	char text[COMPLAINT_BYTES_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* It may quote a file, a server or another program. */
	text[utf8_plain_text(text, strlen(text))] = '\0';
	fprintf(stderr, "stator%s%s: %s\n", *command ? " " : "", command, text);
}

void command_text_shown(FILE *out, const char *text, size_t len)
{
	bool terminal = isatty(fileno(out));

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_shown(text + i, len - i);
		if (n || !terminal || text[i] == '\n' || text[i] == '\t')
			fwrite(text + i, 1, n = MAX(n, (size_t)1), out);
		else
			n = (size_t)MAX(utf8_step(text + i, len - i), 1);
	}
	fflush(out);
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
