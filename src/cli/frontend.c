/* frontend.c - stator frontend: HTTP API and router as a process. serve starts one; several may run beside each other. */
#include "base/limits.h"
#include "cli/command.h"
#include "cli/process_flags.h"
#include "cluster/discovery.h"
#include "frontend/alias.h"
#include "frontend/frontend_main.h"
#include "gpu/host.h"
#include "net/addr.h"

#include <stdio.h>
#include <string.h>

static const struct flag flags_table[] = {
	{.key = {.name = "listen",
		 .type = CONFIG_STRING,
		 .def = "127.0.0.1:8000",
		 .help = "where clients connect: HOST:PORT, unix:/PATH for a socket in the file system (mode 0600), or "
			 "fd:N for "
			 "an inherited listening socket"},
		.letter = 'l',
		.arg = "ADDRESS"},
	{.key = {.name = "reuse-port",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "share HOST:PORT with other frontends of this user that do so too (SO_REUSEPORT); the system "
			 "shares connections out among them"}},
	{.key = {.name = "workers",
		 .type = CONFIG_STRING,
		 .help = "addresses of workers, comma between: unix:/PATH, or HOST:PORT, which needs --secret-file; in a path "
			 "a backslash stands before a comma or blank"},
		.letter = 'w',
		.arg = "LIST"},
	{.key = {.name = "workers-dir",
		 .type = CONFIG_STRING,
		 .help = "folder whose *.sock are workers, looked at again and again; instead of --workers"},
		.arg = "DIR"},
	FLAG_SECRET_FILE("shared with workers that are reached over TCP"),
	{.key = {.name = "kv-secret-file",
		 .type = CONFIG_STRING,
		 .help = "file with the secret of the KV domain, as the workers have it; without it nothing is known "
			 "of "
			 "their cached prefixes"},
		.arg = "FILE"},
	{.key = {.name = "router",
		 .type = CONFIG_ENUM,
		 .choices = CONFIG_ROUTERS,
		 .def = "kv",
		 .help = "how a worker is picked for a request; kv is finish-time"},
		.arg = "POLICY"},
	{.key = {.name = "policy", .type = CONFIG_ENUM, .choices = CONFIG_ROUTERS, .help = "the same as --router"},
		.arg = "POLICY"},
#define FLAG_KNOB(n, hi, text)                                                                                         \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_FLOAT, .max = hi, .help = "setting of dynamo-kv: " text}, .arg = "X" \
	}
	FLAG_KNOB("temperature", 100, "0 takes the best worker always"),
	FLAG_KNOB("prefill-load-scale", 1000, "what a block to be computed costs against one that is decoded from"),
	FLAG_KNOB("overlap-score-credit", 100, "what a cached block is worth"),
	FLAG_KNOB("router-queue-threshold", 1000, "batches of prefill at each worker before requests are held back"),
	{.key = {.name = "wspt",
		 .type = CONFIG_BOOL,
		 .help = "setting of dynamo-kv: short prompts held back go first, not the first to come"}},
	{.key = {.name = "index-bytes-max",
		 .type = CONFIG_BYTES,
		 .min = 1048576,
		 .max = 1099511627776,
		 .help = "memory that each model's index of cached prefixes may take, 23 to 46 bytes a block; when it "
			 "is full every 2nd, 4th, ... block is kept. 1 GiB when not given"},
		.arg = "SIZE"},
	{.key = {.name = "allow-direct",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "let clients name the worker of a request (header x-stator-worker)"}},
	{.key = {.name = "allow-tenant",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "take tenant and priority of a request from headers (x-stator-tenant, x-stator-priority): for "
			 "servers behind a gateway that sets them"}},
	{.key = {.name = "min-workers",
		 .type = CONFIG_UINT,
		 .unit = "workers",
		 .def = "1",
		 .max = 1024,
		 .help = "say that it is ready when so many workers are up"},
		.arg = "N"},
	{.key = {.name = "expect",
		 .type = CONFIG_LIST,
		 .help = "a model that is to come and how many workers it needs before the server is ready; until it "
			 "comes requests for it get 503. May be given several times"},
		.arg = "NAME=COUNT"},
	{.key = {.name = "api-keys-file",
		 .type = CONFIG_STRING,
		 .help = "file with one API key a line, an admin's as admin:KEY; without it no key is asked for"},
		.arg = "FILE"},
	{.key = {.name = "share-prefixes",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "with API keys: let prompts of different keys use each other's cached prefixes"}},
	{.key = {.name = "model-aliases",
		 .type = CONFIG_STRING,
		 .help = "other names that clients may call models by: ALIAS=MODEL, comma between"},
		.arg = "LIST"},
	{.key = {.name = "allow-host",
		 .type = CONFIG_STRING,
		 .help = "names that clients may ask for (the Host of a request) besides the address's own, comma "
			 "between, or *"},
		.arg = "LIST"},
	{.key = {.name = "listen-name",
		 .type = CONFIG_STRING,
		 .help = "a name of the address that --listen is, which clients may ask for; serve passes its host on"},
		.arg = "NAME"},
	{.key = {.name = "allow-origin",
		 .type = CONFIG_STRING,
		 .help = "whose pages may use this server in a browser and read its answers (CORS): origins such as "
			 "http://localhost:3000, comma between, or *"},
		.arg = "LIST"},
	{.key = {.name = "chat-template-file",
		 .type = CONFIG_STRING,
		 .help = "file with a chat template (Jinja) to use instead of the models' own"},
		.arg = "FILE"},
	{.key = {.name = "chat-template",
		 .type = CONFIG_LIST,
		 .help = "the same for one model, by the name clients call it. May be given several times"},
		.arg = "NAME=FILE"},
	{.key = {.name = "preload",
		 .type = CONFIG_STRING,
		 .help = "model files whose vocabularies are read while the workers start, comma between; a wrong one "
			 "does no harm"},
		.arg = "LIST"},
	{.key = {.name = "allow-control-tokens",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "let a user's text become control tokens of the model, in chats too"}},
	{.key = {.name = "raw-control-tokens",
		 .type = CONFIG_BOOL,
		 .def = "true",
		 .help = "control tokens that the text of a /v1/completions prompt names are tokens, unless it says "
			 "parse_special: false"}},
	{.key = {.name = "text-threads",
		 .type = CONFIG_UINT,
		 .unit = "threads",
		 .def = "0",
		 .max = 256,
		 .help = "threads that render templates and tokenize; 0 picks by the number of cores"},
		.arg = "N"},
	{.key = {.name = "text-timeout",
		 .type = CONFIG_DURATION,
		 .unit = "s",
		 .def = "30s",
		 .min = 0.1,
		 .max = 86400,
		 .help = "how long a request's text may wait for a thread (503), and then take (400); more ahead of "
			 "it: 429"},
		.arg = "TIME"},
	{.key = {.name = "text-cache-bytes",
		 .type = CONFIG_BYTES,
		 .def = "8MiB",
		 .min = 65536,
		 .max = 17179869184,
		 .help = "memory of each model for tokenized pieces of chat prompts; the least recently used go first"},
		.arg = "SIZE"},
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
	{.key = {.name = "max-total-body-bytes",
		 .type = CONFIG_BYTES,
		 .min = 65536,
		 .max = 1099511627776,
		 .help = "memory of all requests that are being read or parsed; what does not fit waits, then 503. An "
			 "eighth of memory when not given, at most 1 GiB"},
		.arg = "SIZE"},
	{.key = {.name = "max-unread-bytes",
		 .type = CONFIG_BYTES,
		 .min = 65536,
		 .max = 1099511627776,
		 .help = "of one stream, kept while its client does not read; past it: an error event. 1 MiB when not "
			 "given"},
		.arg = "SIZE"},
	{.key = {.name = "max-total-unread-bytes",
		 .type = CONFIG_BYTES,
		 .min = 65536,
		 .max = 1099511627776,
		 .help = "of all answers; past it the one that holds most ends first. An eighth of memory when not "
			 "given, at most 1 GiB"},
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
	{.key = {.name = "sse-ping-interval",
		 .type = CONFIG_DURATION,
		 .unit = "s",
		 .def = "5s",
		 .max = 3600,
		 .help = "a stream that has no text to send sends a comment after this long at most; 0: never"},
		.arg = "TIME"},
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

/* An eighth of what this process may have. */
static size_t eighth(size_t most)
{
	struct host_facts host;

	host_facts_read(&host);
	return host.ram_total ? MIN(host.ram_total / 8, most) : most;
}

static void take_bytes(const struct flags *f, const char *name, size_t *ret)
{
	if (flags_is_set(f, name))
		*ret = flags_bytes(f, name);
}

/* What is not given stays at http_limits_default. */
static void limits_take(const struct flags *f, struct http_limits *l)
{
	take_u32(f, "max-conns", &l->conns_max);
	l->conns_by_fds = l->conns_by_fds && !flags_is_set(f, "max-conns");
	take_ms(f, "header-timeout", &l->header_timeout_ms);
	take_ms(f, "body-timeout", &l->body_timeout_ms);
	take_ms(f, "idle-timeout", &l->idle_timeout_ms);
	take_ms(f, "stall-timeout", &l->stall_timeout_ms);
	if (flags_is_set(f, "max-header-bytes"))
		l->header_bytes_max = (uint32_t)flags_bytes(f, "max-header-bytes");
	if (flags_is_set(f, "max-body-bytes"))
		l->body_bytes_max = flags_bytes(f, "max-body-bytes");
	l->bodies_bytes_max = eighth(HTTP_BODIES_BYTES_MAX);
	l->unread_total_max = eighth(HTTP_UNREAD_TOTAL_MAX);
	take_bytes(f, "max-total-body-bytes", &l->bodies_bytes_max);
	take_bytes(f, "max-unread-bytes", &l->unread_bytes_max);
	take_bytes(f, "max-total-unread-bytes", &l->unread_total_max);
}

static const struct {
	const char *flag, *name; /* as route_policy_parse calls it */
} knobs[] = {
	{"temperature", "router_temperature"},
	{"prefill-load-scale", "prefill_load_scale"},
	{"overlap-score-credit", "overlap_score_credit"},
	{"router-queue-threshold", "router_queue_threshold"},
};

static const char *policy_name(const struct flags *f)
{
	return flags_str(f, flags_is_set(f, "policy") ? "policy" : "router");
}

/* A setting that would do nothing is a mistake. NULL, or the flag that is one. */
static const char *idle_knob(const struct flags *f)
{
	if (!strcmp(policy_name(f), "dynamo-kv"))
		return NULL;
	for (uint32_t i = 0; i < ARRAY_LEN(knobs); i++)
		if (flags_is_set(f, knobs[i].flag))
			return knobs[i].flag;
	return flags_is_set(f, "wspt") ? "wspt" : NULL;
}

/* The policy's name with its settings behind a colon, as route_policy_parse reads it. They are checked there. */
static const char *policy_text(const struct flags *f, char *ret, size_t cap)
{
	char sep = ':';
	int n = snprintf(ret, cap, "%s", policy_name(f));

	for (uint32_t i = 0; i < ARRAY_LEN(knobs); i++) {
		if (!flags_is_set(f, knobs[i].flag))
			continue;
		n += snprintf(ret + n, cap - (size_t)n, "%c%s=%g", sep, knobs[i].name, flags_float(f, knobs[i].flag));
		sep = ',';
	}
	if (flags_is_set(f, "wspt") && flags_bool(f, "wspt"))
		snprintf(ret + n, cap - (size_t)n, "%cwspt", sep);
	return ret;
}

/* As env_listen takes it. NULL: such an address cannot be shared. */
static const char *listen_addr(const struct flags *f)
{
	static char shared[512]; /* as long as the process */
	const char *addr = flags_str(f, "listen");

	if (!flags_bool(f, "reuse-port") || !strncmp(addr, "fd:", 3)) /* who made the socket shares it, or not */
		return addr;
	if (!strncmp(addr, "unix:", 5))
		return NULL;
	snprintf(shared, sizeof shared, "shared:%s", addr);
	return shared;
}

static void options_get(const struct flags *f, struct frontend_main_options *o)
{
	static char policy[256]; /* as long as the process, like all options */
	bool in_dir = flags_is_set(f, "workers-dir");

	frontend_main_options_default(o);
	limits_take(f, &o->config.http);
	o->config.software = "stator " STATOR_VERSION;
	o->config.listen = listen_addr(f);
	o->config.shares_port = flags_bool(f, "reuse-port");
	o->config.discovery = in_dir ? "directory" : "static";
	o->config.discovery_arg = flags_str(f, in_dir ? "workers-dir" : "workers");
	o->config.policy = policy_text(f, policy, sizeof policy);
	o->config.allow_direct = flags_bool(f, "allow-direct");
	o->config.model_aliases = flags_str(f, "model-aliases");
	o->config.allow_host = flags_str(f, "allow-host");
	o->config.listen_name = flags_str(f, "listen-name");
	o->config.allow_origin = flags_str(f, "allow-origin");
	o->config.allow_tenant = flags_bool(f, "allow-tenant");
	o->config.share_prefixes = flags_bool(f, "share-prefixes");
	if (flags_is_set(f, "index-bytes-max"))
		o->config.index_bytes_max = flags_bytes(f, "index-bytes-max");
	o->kv_secret_file = flags_str(f, "kv-secret-file");
	take_u32(f, "queue-len-max", &o->config.waiting_max);
	take_ms(f, "sse-ping-interval", &o->config.ping_ms);
	o->config.preload = flags_is_set(f, "preload") ? flags_str(f, "preload") : NULL;
	o->config.user_specials = flags_bool(f, "allow-control-tokens");
	o->config.raw_specials = flags_bool(f, "raw-control-tokens");
	o->api_keys_file = flags_str(f, "api-keys-file");
	o->secret_file = flags_str(f, "secret-file");
	o->chat_template_file = flags_str(f, "chat-template-file");
	if (flags_is_set(f, "chat-template"))
		o->chat_templates = flags_list(f, "chat-template", &o->chat_templates_len);
	o->text_threads = (uint32_t)flags_uint(f, "text-threads");
	o->config.text_cache_bytes_max = flags_bytes(f, "text-cache-bytes");
	o->config.text_ms_max = (uint32_t)(flags_duration_us(f, "text-timeout") / 1000);
	o->drain_us = flags_duration_us(f, "drain-timeout");
	o->min_workers = (uint32_t)flags_uint(f, "min-workers");
	if (flags_is_set(f, "expect"))
		o->config.expect = flags_list(f, "expect", &o->config.expect_len);
	o->status_fd = (int)flags_int(f, "status-fd");
}

/* An address that can never be one is refused at once; one that does not answer is tried again and again. */
static int addresses_check(const char *list, struct err *err)
{
	char addr[NET_HOST_BYTES_MAX + 64];
	struct net_target target;

	while (discovery_list_next(&list, addr, sizeof addr))
		if (net_target_parse(addr, &target, err) < 0)
			return -EINVAL;
	return 0;
}

static enum exit_status frontend_run(const struct flags *flags)
{
	struct frontend_main_options options;
	struct err err = {0};

	if (flags_is_set(flags, "workers") == flags_is_set(flags, "workers-dir")) {
		command_complain("frontend", "say where the workers are, with either --workers or --workers-dir");
		return EXIT_USAGE;
	}
	if (!listen_addr(flags)) {
		command_complain("frontend", "--reuse-port needs --listen HOST:PORT; only TCP ports can be shared");
		return EXIT_USAGE;
	}
	if (alias_check(flags_str(flags, "model-aliases"), &err) < 0) {
		command_complain("frontend", "%s", err.msg);
		return EXIT_USAGE;
	}
	if (idle_knob(flags)) {
		command_complain("frontend", "--%s is a setting of the router dynamo-kv, but the router is %s",
			idle_knob(flags), policy_name(flags));
		return EXIT_USAGE;
	}
	if (flags_is_set(flags, "workers") && addresses_check(flags_str(flags, "workers"), &err) < 0) {
		command_complain("frontend", "--workers: %s", err.msg);
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
