/* process_flags.h - what the worker and the frontend command have in common. Thread: main's. */
#ifndef STATOR_CLI_PROCESS_FLAGS_H
#define STATOR_CLI_PROCESS_FLAGS_H

#include "config/flags.h"

#define FLAG_SECRET_FILE(text)                                                                                         \
	{                                                                                                              \
		.key = {.name = "secret-file", .type = CONFIG_STRING, .help = text}, .arg = "FILE"                     \
	}
#define FLAG_DRAIN(text)                                                                                               \
	{                                                                                                              \
		.key = {.name = "drain-timeout",                                                                       \
			.type = CONFIG_DURATION,                                                                       \
			.unit = "s",                                                                                   \
			.def = "30s",                                                                                  \
			.max = 86400,                                                                                  \
			.help = text},                                                                                 \
		.arg = "TIME"                                                                                          \
	}
#define FLAG_FLOAT(n, d, hi, text)                                                                                     \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_FLOAT, .def = d, .max = hi, .help = text}, .arg = "X"                \
	}
#define FLAG_STATUS_FD                                                                                                 \
	{                                                                                                              \
		.key = {.name = "status-fd",                                                                           \
			.type = CONFIG_INT,                                                                            \
			.def = "-1",                                                                                   \
			.min = -1,                                                                                     \
			.max = 1048576,                                                                                \
			.help = "file descriptor to tell progress and readiness to; serve gives one"},                 \
		.arg = "FD"                                                                                            \
	}
#define FLAG_LOG_LEVEL                                                                                                 \
	{                                                                                                              \
		.key = {.name = "log-level",                                                                           \
			.type = CONFIG_ENUM,                                                                           \
			.choices = "error|warn|info|debug",                                                            \
			.def = "info",                                                                                 \
			.help = "how much to log"},                                                                    \
		.arg = "LEVEL"                                                                                         \
	}
#define FLAG_LOG_JSON                                                                                                  \
	{                                                                                                              \
		.key = {.name = "log-json",                                                                            \
			.type = CONFIG_BOOL,                                                                           \
			.def = "false",                                                                                \
			.help = "log one JSON object a line" }                                                         \
	}

/* Set the log up as --log-level and --log-json say. */
void process_log_setup(const struct flags *flags);

#endif
