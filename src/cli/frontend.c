/* frontend.c - stator frontend: HTTP API and router as a process. serve starts one; several may run beside each other. */
#include "cli/command.h"
#include "cli/process_flags.h"
#include "frontend/frontend_main.h"

#include <string.h>

static const struct flag flags_table[] = {
	{.key = {.name = "listen",
		 .type = CONFIG_STRING,
		 .def = "127.0.0.1:8000",
		 .help = "where clients connect: HOST:PORT, or fd:N for an inherited listening socket"},
		.letter = 'l',
		.arg = "ADDRESS"},
	{.key = {.name = "workers",
		 .type = CONFIG_STRING,
		 .help = "addresses of workers, comma between: unix:/PATH, or HOST:PORT, which needs --secret-file"},
		.letter = 'w',
		.arg = "LIST"},
	{.key = {.name = "workers-dir",
		 .type = CONFIG_STRING,
		 .help = "folder whose *.sock are workers, looked at again and again; instead of --workers"},
		.arg = "DIR"},
	FLAG_SECRET_FILE("shared with workers that are reached over TCP"),
	{.key = {.name = "policy",
		 .type = CONFIG_ENUM,
		 .choices = "round-robin|random|least-loaded|kv",
		 .def = "least-loaded",
		 .help = "how a worker is picked for a request"},
		.arg = "POLICY"},
	{.key = {.name = "min-workers",
		 .type = CONFIG_UINT,
		 .unit = "workers",
		 .def = "1",
		 .max = 1024,
		 .help = "say that it is ready when so many workers are up"},
		.arg = "N"},
	{.key = {.name = "api-keys-file",
		 .type = CONFIG_STRING,
		 .help = "file with one API key a line; without it no key is asked for"},
		.arg = "FILE"},
	{.key = {.name = "chat-template-file",
		 .type = CONFIG_STRING,
		 .help = "file with a chat template (Jinja) to use instead of the models' own"},
		.arg = "FILE"},
	{.key = {.name = "allow-control-tokens",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "let a user's text become control tokens of the model"}},
	{.key = {.name = "text-threads",
		 .type = CONFIG_UINT,
		 .unit = "threads",
		 .def = "0",
		 .max = 256,
		 .help = "threads that render templates and tokenize; 0 picks by the number of cores"},
		.arg = "N"},
	{.key = {.name = "queue-len-max",
		 .type = CONFIG_UINT,
		 .unit = "requests",
		 .min = 1,
		 .max = 1000000,
		 .help = "requests of a model that wait for a worker; more are refused with 429"},
		.arg = "N"},
	{.key = {.name = "max-conns",
		 .type = CONFIG_UINT,
		 .unit = "connections",
		 .min = 1,
		 .max = 1000000,
		 .help = "open client connections; more are refused with 503"},
		.arg = "N"},
	{.key = {.name = "max-header-bytes", .type = CONFIG_BYTES, .min = 1024, .max = 1048576, .help = "past it: 431"},
		.arg = "SIZE"},
	{.key = {.name = "max-body-bytes",
		 .type = CONFIG_BYTES,
		 .min = 1024,
		 .max = 1073741824,
		 .help = "past it: 413"},
		.arg = "SIZE"},
#define FLAG_TIMEOUT(n, hi, text)                                                                                      \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_DURATION, .unit = "s", .min = 0.1, .max = hi, .help = text},         \
		.arg = "TIME"                                                                                          \
	}
	FLAG_TIMEOUT("header-timeout", 3600, "from a request's first byte to the end of its headers"),
	FLAG_TIMEOUT("body-timeout", 3600, "from the end of the headers to the end of the body"),
	FLAG_TIMEOUT("idle-timeout", 86400, "a kept connection without a request is closed after this"),
	FLAG_TIMEOUT("stall-timeout", 86400, "a client that reads nothing for so long is closed"),
	FLAG_DRAIN("how long running answers may go on after SIGTERM"),
	FLAG_STATUS_FD,
	FLAG_LOG_LEVEL,
	FLAG_LOG_JSON,
};

static void take_u32(const struct flags *f, const char *name, uint32_t *ret)
{
	if (flags_is_set(f, name))
		*ret = (uint32_t)flags_uint(f, name);
}

static void take_ms(const struct flags *f, const char *name, uint32_t *ret)
{
	if (flags_is_set(f, name))
		*ret = (uint32_t)(flags_duration_us(f, name) / 1000);
}

/* What is not given stays at http_limits_default. */
static void limits_take(const struct flags *f, struct http_limits *l)
{
	take_u32(f, "max-conns", &l->conns_max);
	take_ms(f, "header-timeout", &l->header_timeout_ms);
	take_ms(f, "body-timeout", &l->body_timeout_ms);
	take_ms(f, "idle-timeout", &l->idle_timeout_ms);
	take_ms(f, "stall-timeout", &l->stall_timeout_ms);
	if (flags_is_set(f, "max-header-bytes"))
		l->header_bytes_max = (uint32_t)flags_bytes(f, "max-header-bytes");
	if (flags_is_set(f, "max-body-bytes"))
		l->body_bytes_max = flags_bytes(f, "max-body-bytes");
}

static void options_get(const struct flags *f, struct frontend_main_options *o)
{
	bool in_dir = flags_is_set(f, "workers-dir");

	frontend_main_options_default(o);
	limits_take(f, &o->config.http);
	o->config.software = "stator " STATOR_VERSION;
	o->config.listen = flags_str(f, "listen");
	o->config.discovery = in_dir ? "directory" : "static";
	o->config.discovery_arg = flags_str(f, in_dir ? "workers-dir" : "workers");
	o->config.policy = flags_str(f, "policy");
	take_u32(f, "queue-len-max", &o->config.waiting_max);
	o->config.user_specials = flags_bool(f, "allow-control-tokens");
	o->api_keys_file = flags_str(f, "api-keys-file");
	o->secret_file = flags_str(f, "secret-file");
	o->chat_template_file = flags_str(f, "chat-template-file");
	o->text_threads = (uint32_t)flags_uint(f, "text-threads");
	o->drain_us = flags_duration_us(f, "drain-timeout");
	o->min_workers = (uint32_t)flags_uint(f, "min-workers");
	o->status_fd = (int)flags_int(f, "status-fd");
}

static enum exit_status frontend_run(const struct flags *flags)
{
	struct frontend_main_options options;

	if (flags_is_set(flags, "workers") == flags_is_set(flags, "workers-dir")) {
		command_complain("frontend", "say where the workers are, with either --workers or --workers-dir");
		return EXIT_USAGE;
	}
	process_log_setup(flags);
	options_get(flags, &options);
	return frontend_main(&options) == 0 ? EXIT_OK : EXIT_FAILED;
}

const struct command command_frontend = {
	.spec = {.name = "frontend",
		.args = "",
		.summary = "run the HTTP API and router in front of workers; serve starts one by itself",
		.text = "Connects to the workers it is told of and to those that come later, learns their models from "
			"them, and "
			"serves an OpenAI-compatible API. Several frontends may use the same workers. SIGTERM drains.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table)},
	.run = frontend_run,
};
