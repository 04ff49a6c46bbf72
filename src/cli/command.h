/* command.h - the subcommands of stator: one file and one struct command each, listed in commands.c. The list drives
 * --help, the man page, shell completion and docs/reference/cli.md.
 * Thread: main's. */
#ifndef STATOR_CLI_COMMAND_H
#define STATOR_CLI_COMMAND_H

#include "config/flags.h"

#include <stdio.h>

/* What the process returns; printed in the man page and the reference. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* it could not do what was asked; the message says why */
	EXIT_USAGE = 2, /* a wrong command, flag or configuration: nothing was started */
	EXIT_NOT_CHECKED = 3, /* the question could not be answered: something needed for it is not known */
	EXIT_CANNOT_TELL = 4, /* what was given to be judged does not say enough */
	EXIT_INTERRUPTED = 130, /* stopped at once by a second Ctrl-C, or by one where nothing is drained */
};

struct command {
	struct flags_command spec;
	/* Do it. Messages for people have been printed when it returns. */
	enum exit_status (*run)(const struct flags *flags);
};

extern const struct command command_serve, command_run, command_chat, command_worker, command_frontend, command_version,
	command_sim, command_bench, command_help, command_completion, command_man;
extern const struct command command_diagnose, command_logs, command_doctor, command_explain, command_debug;

/* All commands in the order of the help, and their number. */
const struct command *const *commands_all(size_t *ret_count);
/* The tables alone, as config/flags.h prints them. Constant after the first call. */
const struct flags_command *const *commands_specs(size_t *ret_count);
/* By name; NULL with err (and a suggestion) when there is none. */
const struct command *command_find(const char *name, struct err *err);

/* Text of a model or of somebody else, piece by piece, each of whole characters; on a terminal without what may not be
 * shown there (base/utf8.h). */
void command_text_shown(FILE *out, const char *text, size_t len);
/* "stator serve: TEXT" and a line feed to stderr, without what may not be shown. */
void command_complain(const char *command, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Write all of out to stdout; EXIT_FAILED with a message when it cannot be written (disk full, pipe closed). */
enum exit_status command_print(const char *command, const struct buf *out);

extern const struct command command_plan;

#endif
