/* serve.c - stator serve: read what is to be served, then hand over to launch/. */
#include "base/json_out.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/gate.h"
#include "cli/serve_graph.h"
#include "config/graph.h"
#include "config/suggest.h"
#include "frontend/alias.h"
#include "frontend/keys.h"
#include "launch/deployment.h"
#include "launch/listen.h"
#include "launch/runtime_dir.h"
#include "net/loop.h"
#include "net/unix_socket.h"
#include "plan/write_form.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SERVE_ARENA_BYTES_MAX = 8 * 1024 * 1024 };

static const struct flag flags_table[] = {
	{.key = {.name = "port",
		 .type = CONFIG_UINT,
		 .def = "8000",
		 .max = 65535,
		 .help = "TCP port to listen on; 0 takes any that is free"},
		.letter = 'p',
		.arg = "PORT"},
	{.key = {.name = "host",
		 .type = CONFIG_STRING,
		 .def = "127.0.0.1",
		 .help = "address to listen on; 0.0.0.0 lets other machines in, unix:/PATH makes a socket in the file "
			 "system, for this user alone"},
		.arg = "ADDRESS"},
	{.key = {.name = "engine",
		 .type = CONFIG_ENUM,
		 .choices = "llama|mock",
		 .help = "what runs the model; also runs a graph of vLLM or SGLang workers on this one"},
		.arg = "ENGINE"},
	{.key = {.name = "workers",
		 .type = CONFIG_UINT,
		 .unit = "processes",
		 .min = 1,
		 .max = 1024,
		 .help = "worker processes; 1 for a model, 2 for the demo model"},
		.letter = 'w',
		.arg = "N"},
	{.key = {.name = "context-length",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .max = 16777216,
		 .help = "KV cells of each worker; 0 takes the model's own context, or what fits"},
		.arg = "TOKENS"},
	{.key = {.name = "threads",
		 .type = CONFIG_UINT,
		 .unit = "threads",
		 .max = 1024,
		 .help = "compute threads of each worker; by default the CPUs are divided among the workers"},
		.arg = "N"},
	{.key = {.name = "router",
		 .type = CONFIG_ENUM,
		 .choices = CONFIG_ROUTERS,
		 .help = "how a worker is picked for a request; kv when no one says, which is finish-time"},
		.arg = "POLICY"},
	{.key = {.name = "policy", .type = CONFIG_ENUM, .choices = CONFIG_ROUTERS, .help = "the same as --router"},
		.arg = "POLICY"},
	{.key = {.name = "api-keys",
		 .type = CONFIG_STRING,
		 .help = "file with one API key a line; without it no key is asked for"},
		.arg = "FILE"},
	{.key = {.name = "chat-template-file",
		 .type = CONFIG_STRING,
		 .help = "file with a chat template (Jinja) to use instead of the model's own, or for a model that has none"},
		.arg = "FILE"},
	{.key = {.name = "drain-seconds",
		 .type = CONFIG_UINT,
		 .unit = "s",
		 .max = 86400,
		 .help = "how long running streams may take after Ctrl-C; 30 when no one says"},
		.arg = "N"},
	{.key = {.name = "log-json", .type = CONFIG_BOOL, .help = "log one JSON object a line, and show no table"}},
	{.key = {.name = "quiet",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "do not show the processes' logs; the last lines of one that dies are shown still"},
		.letter = 'q'},
	{.key = {.name = "force",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "start even when the plan says that it cannot run; says what it overrides"}},
	{.key = {.name = "start",
		 .type = CONFIG_ENUM,
		 .def = "auto",
		 .choices = "auto|all|steps",
		 .help = "all workers at once, or the others only when the first of each kind has generated a token; "
			 "auto: in steps where memory is not sure to hold all"},
		.arg = "HOW"},
	{.key = {.name = "keep-going",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "serve with the workers that come up; without it one that cannot start ends the start"},
		.letter = 'k'},
	{.key = {.name = "check",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "read and check everything, say what would be started, start nothing"}},
};

/* What is put together before the processes start, and taken down after. */
struct serve {
	const struct flags *flags;
	struct arena arena;
	struct graph *graph;
	int listen_fd;
	ino_t listen_inode; /* of its file, when it is a Unix socket; 0: there is none of ours */
	char addr[LISTEN_ADDR_BYTES], url[LISTEN_ADDR_BYTES + 16];
	struct runtime_dir dir;
	struct cores cores;
	struct serve_gpus gpus;
	struct deployment deployment;
	bool json;
	int repair_told; /* what runtime_dir_repair said last */
};

/* Preparing. */

static void unlisten(struct serve *s)
{
	if (s->listen_inode)
		unix_socket_remove(listen_unix_path(s->addr), s->listen_inode);
	s->listen_inode = 0;
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	s->listen_fd = -1;
}

static int http_listen(struct serve *s, struct err *err)
{
	const struct config_section *front = &graph_find(s->graph, GRAPH_FRONTEND)->settings;
	const char *host = config_str(front, "host");
	uint16_t port = (uint16_t)config_uint(front, "port");

	if (flags_bool(s->flags, "check")) { /* a deployment may be serving there: to look is not to take */
		char bare[LISTEN_ADDR_BYTES];
		listen_bare_host(host, bare);
		if (listen_unix_path(host))
			snprintf(s->addr, sizeof s->addr, "%s", host);
		else
			snprintf(s->addr, sizeof s->addr, strchr(bare, ':') ? "[%.70s]:%u" : "%.70s:%u", bare, port);
		listen_url(s->addr, s->url, sizeof s->url);
		return 0;
	}
	int fd = listen_open(host, port, config_bool(front, "reuse-port"), s->addr, err);
	if (fd < 0)
		return fd;
	s->listen_fd = fd;
	struct stat st;
	if (listen_unix_path(s->addr) && lstat(listen_unix_path(s->addr), &st) == 0)
		s->listen_inode = st.st_ino;
	listen_url(s->addr, s->url, sizeof s->url);
	return 0;
}

static bool is_served(const struct graph *g, const char *name)
{
	for (uint32_t i = 0; i < g->len; i++)
		if (g->services[i].kind == GRAPH_WORKER && g->services[i].workers &&
			!strcmp(g->services[i].served_name, name))
			return true;
	return false;
}

/* A frontend cannot know which models are still to come; of a graph they are known. */
static int aliases_check(const struct graph *g, const char *list, struct err *err)
{
	char alias[ALIAS_NAME_BYTES], name[ALIAS_NAME_BYTES];
	struct suggest like;

	if (alias_check(list, err) < 0)
		return -EINVAL;
	while (alias_next(&list, alias, name)) {
		if (is_served(g, alias))
			return err_set(
				err, -EINVAL, "model-aliases: \"%.200s\" is the name of a model of this graph", alias);
		if (is_served(g, name))
			continue;
		suggest_init(&like, name);
		for (uint32_t i = 0; i < g->len; i++)
			if (g->services[i].kind == GRAPH_WORKER && g->services[i].workers)
				suggest_offer(&like, g->services[i].served_name);
		err_set(err, -EINVAL,
			"model-aliases: \"%.200s\" means \"%.200s\", which no worker of this graph serves", alias,
			name);
		return suggest_best(&like) ? err_hint(err, "did you mean \"%.200s\"?", suggest_best(&like)) : -EINVAL;
	}
	return 0;
}

/* Before anything starts: the frontend would say so only among its log lines. */
static int front_check(const struct serve *s, struct err *err)
{
	const struct config_section *front = &graph_find(s->graph, GRAPH_FRONTEND)->settings;
	const char *path = config_has(front, "api-keys-file") ? config_str(front, "api-keys-file") : NULL;

	if (config_has(front, "model-aliases") && aliases_check(s->graph, config_str(front, "model-aliases"), err) < 0)
		return -EINVAL;
	if (!path)
		return 0;
	struct api_keys *keys = NULL;
	int r = api_keys_read(&keys, path, err);
	api_keys_destroy(keys);
	return r;
}

static uint32_t drain_ms(const struct serve *s)
{
	return (uint32_t)(config_duration_us(&graph_find(s->graph, GRAPH_FRONTEND)->settings, "drain-timeout") / 1000);
}

static enum deployment_start start_of(const struct flags *flags)
{
	const char *how = flags_str(flags, "start");

	return strcmp(how, "all") == 0     ? DEPLOYMENT_START_ALL
	       : strcmp(how, "steps") == 0 ? DEPLOYMENT_START_STEPS
					   : DEPLOYMENT_START_AUTO;
}

/* Look for GPUs only when the graph asks for some: a driver takes some 100 ms to answer. */
static int gpus_of_graph(struct serve *s, struct err *err)
{
	for (uint32_t i = 0; i < s->graph->len; i++)
		if (s->graph->services[i].kind == GRAPH_WORKER && s->graph->services[i].gpus > 0)
			return serve_gpus_look(&s->gpus, err);
	return 0;
}

static int prepare(struct serve *s, struct err *err)
{
	struct host_facts host;

	struct deployment_config config = {.graph = s->graph,
		.cores = &s->cores,
		.demo_model = demo_model_path(&s->arena),
		.url = s->url,
		.drain_ms = drain_ms(s),
		.worker = &command_worker.spec,
		.frontend = &command_frontend.spec};
	int r;

	if (!config.demo_model)
		return err_set(err, -ENOMEM, "out of memory");
	s->json = config_bool(&graph_find(s->graph, GRAPH_FRONTEND)->settings, "log-json");
	if ((r = front_check(s, err)) < 0 || (r = cores_available(&s->cores, err)) < 0 || (r = http_listen(s, err)) < 0)
		return r;
	if ((r = runtime_dir_create(&s->dir, NULL, err)) < 0 || (r = runtime_dir_write_secret(&s->dir, err)) < 0)
		return r;
	if ((r = gpus_of_graph(s, err)) < 0)
		return r;
	host_facts_read(&host);
	config.gpus = &s->gpus.inventory;
	config.memory_available = host.ram_available;
	config.start = start_of(s->flags);
	config.look_into_models = !flags_bool(s->flags, "keep-going"); /* then a bad one is one that does not come up */
	config.keep_going = flags_bool(s->flags, "keep-going");
	config.dir = s->dir.path;
	config.listen_fd = s->listen_fd;
	if ((r = deployment_build(&s->deployment, &config, err)) < 0)
		return r;
	/* For commands that look for a deployment: they show it. */
	char about[RUNTIME_KEPT_BYTES];
	snprintf(about, sizeof about, "%s  %.256s\n", s->url, s->deployment.title);
	return runtime_dir_keep(&s->dir, "about", about, err);
}

static void serve_done(struct serve *s)
{
	deployment_done(&s->deployment);
	gpu_inventory_done(&s->gpus.inventory);
	runtime_dir_destroy(&s->dir);
	unlisten(s);
	graph_destroy(s->graph);
	arena_done(&s->arena);
}

/* Showing. */

/* Inside single quotes of a shell. */
static void shell_quoted(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			buf_add_str(out, "'\\''");
		else
			buf_add_byte(out, (uint8_t)*text);
	}
}

static void curl_print(struct buf *out, const struct serve *s)
{
	bool chats = s->deployment.chats;
	struct buf body;

	buf_init(&body, 64 * 1024);
	buf_add_str(&body, "{\"model\": ");
	json_out_cstr(&body, s->deployment.model);
	buf_add_str(&body, ", \"stream\": true, ");
	buf_add_str(&body, chats ? "\"messages\": [{\"role\": \"user\", \"content\": \"Why is the sky blue?\"}]}"
				 : "\"prompt\": \"Once upon a time\", \"max_tokens\": 64}");
	const char *path = listen_unix_path(s->url);
	if (path) {
		buf_add_str(out, "curl -N --unix-socket '");
		shell_quoted(out, path);
		buf_add_str(out, "' http://localhost");
	} else {
		buf_printf(out, "curl -N %s", s->url);
	}
	buf_printf(out, "/v1/%s -H 'content-type: application/json'", chats ? "chat/completions" : "completions");
	if (config_has(&graph_find(s->graph, GRAPH_FRONTEND)->settings, "api-keys-file"))
		buf_add_str(out, " -H \"authorization: Bearer $API_KEY\"");
	buf_add_str(out, " -d '");
	shell_quoted(out, buf_str(&body));
	buf_add_str(out, "'");
	if (!chats)
		buf_printf(out,
			"\n\n  %s has no chat template; --chat-template-file FILE (in a graph: chat-template-file) gives it one",
			s->deployment.model);
	buf_done(&body);
}

static void on_ready(void *ctx, struct screen *screen, uint64_t took_us)
{
	struct serve *s = ctx;
	struct buf curl;

	s->deployment.processes[0].process.spec.argv = s->deployment.frontend_again;
	if (s->json) {
		log_info("deployment ready", LOG_F("url", log_str(s->url)),
			LOG_F("model", log_str(s->deployment.model)), LOG_F("workers", log_u64(s->deployment.workers)),
			LOG_F("took_us", log_u64(took_us)));
		return;
	}
	buf_init(&curl, 128 * 1024);
	curl_print(&curl, s);
	screen_line(screen, "\nReady in %.2f s at %s (Ctrl-C stops)\n\n  %s\n", (double)took_us / 1e6, s->url,
		buf_str(&curl));
	buf_done(&curl);
}

static void on_unserved(void *ctx)
{
	unlisten(ctx);
}

static void on_drain(void *ctx)
{
	const struct serve *s = ctx;

	if (config_bool(&graph_find(s->graph, GRAPH_FRONTEND)->settings, "reuse-port"))
		on_unserved(ctx);
}

/* A cleaner of /tmp takes what is old, however much it is needed. */
static void tend(void *ctx, struct screen *screen)
{
	struct serve *s = ctx;
	struct err err;
	int r = runtime_dir_repair(&s->dir, &err);

	bool told = r < 0 && s->repair_told == r; /* a trouble that stays is told once */

	s->repair_told = r;
	if (r == 0 || told)
		return;
	if (s->json && r > 0)
		log_warn("files of the runtime folder were gone and are put back", LOG_F("dir", log_str(s->dir.path)));
	else if (s->json)
		log_error("could not put back files of the runtime folder", LOG_F("error", log_str(err.msg)));
	else if (r > 0)
		screen_line(
			screen, "somebody removed files in %s (a cleaner of /tmp?); they are put back", s->dir.path);
	else
		screen_line(screen, "somebody removed files in %s, and %s; a process that dies cannot come back",
			s->dir.path, err.msg);
}

/* The table is drawn in place when it fits a terminal. */
static void terminal_look(struct supervisor_config *c)
{
	const char *term = getenv("TERM");
	struct winsize size;

	if (!isatty(c->fd) || !term || strcmp(term, "dumb") == 0)
		return;
	c->color = !getenv("NO_COLOR");
	if (ioctl(c->fd, TIOCGWINSZ, &size) == 0 && size.ws_row > c->count + 2) {
		c->live = true;
		c->columns = size.ws_col;
	}
}

static enum exit_status supervise(struct serve *s)
{
	const struct loop_config loop_config = {0};
	struct loop *loop = NULL;
	struct err err = {0};

	struct notify notify;

	notify_init(&notify);
	loop_raise_fd_limit(); /* the processes inherit it */
	if (loop_create(&loop, &loop_config, &err) < 0) {
		command_complain("serve", "%s", err.msg);
		return EXIT_FAILED;
	}
	struct supervisor_config config = {.loop = loop,
		.processes = s->deployment.processes,
		.count = s->deployment.count,
		.drain_ms = drain_ms(s),
		.join_ms = s->deployment.waits_for_others ? UINT32_MAX : 0,
		.one_wish_ms = SUPERVISOR_ONE_WISH_MS,
		.log_dir = s->dir.path,
		.notify = &notify,
		.keep_going = flags_bool(s->flags, "keep-going"),
		.quiet = flags_bool(s->flags, "quiet"),
		.json = s->json,
		.fd = STDOUT_FILENO,
		.on_ready = on_ready,
		.on_drain = on_drain,
		.tend = tend,
		.on_unserved = on_unserved,
		.ctx = s};
	terminal_look(&config);
	if (!s->json)
		dprintf(STDOUT_FILENO, "stator %s: %s\n\n", STATOR_VERSION, s->deployment.title);
	/* The loop puts back what it finds: when all processes have ended, one Ctrl-C more, while the rest is put away, changes
	 * nothing. Children are not touched by it: the loop's handler stands when they are started. */
	signal(SIGINT, SIG_IGN);
	int end = supervisor_run(&config, &err);
	if (end == SUPERVISOR_FAILED) /* "stator logs" can still show them */
		runtime_dir_leave(&s->dir);
	loop_destroy(loop);
	notify_done(&notify);
	if (end < 0)
		command_complain("serve", "%s", err.msg);
	return end == SUPERVISOR_STOPPED ? EXIT_OK : end == SUPERVISOR_KILLED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

/* What would be started, one command line each. */
static enum exit_status check_print(const struct serve *s)
{
	struct buf out;

	buf_init(&out, SERVE_ARENA_BYTES_MAX);
	buf_printf(&out, "%s\n", s->deployment.title);
	for (uint32_t i = 0; i < s->deployment.count; i++) {
		const struct supervised *p = &s->deployment.processes[i];

		buf_printf(&out, "\n%s: %s\n ", p->process.name, p->facts);
		for (const char *const *a = p->process.spec.argv; *a; a++) {
			buf_add_byte(&out, ' ');
			plan_shell_word(&out, *a);
		}
		buf_add_byte(&out, '\n');
	}
	enum exit_status status = command_print("serve", &out);
	buf_done(&out);
	return status;
}

static const char *plan_name(const struct flags *flags)
{
	uint32_t count;
	const char *const *args = flags_args(flags, &count);

	return count ? args[0] : "demo";
}

static enum exit_status serve_run(const struct flags *flags)
{
	struct serve s = {.flags = flags, .listen_fd = -1, .dir = RUNTIME_DIR_NONE};
	struct err err = {0};
	enum exit_status status;
	int r;

	arena_init(&s.arena, SERVE_ARENA_BYTES_MAX);
	gpu_inventory_init(&s.gpus.inventory);
	if ((r = serve_graph_read(&s.graph, flags, &s.arena, &s.gpus, &err)) < 0 ||
		(r = gate_check(s.graph, plan_name(flags), flags_bool(flags, "force"), &err)) < 0 ||
		(r = prepare(&s, &err)) < 0) {
		command_complain("serve", "%s", err.msg);
		status = r == -EINVAL || r == -ENOTSUP ? EXIT_USAGE : EXIT_FAILED;
	} else {
		log_setup(STDERR_FILENO, LOG_INFO, s.json);
		status = flags_bool(flags, "check") ? check_print(&s) : supervise(&s);
	}
	serve_done(&s);
	return status;
}

const struct command command_serve = {
	.spec = {.name = "serve",
		.args = "[GRAPH.yaml | MODEL.gguf]",
		.summary = "start a deployment: workers and a frontend with an OpenAI-compatible API",
		.text = "Takes a graph file, or a GGUF model, or nothing: then the demo model is served by two "
			"workers. "
			"Keys of a graph are overridden with --Service.key=value, such as "
			"--LlamaWorker.ServiceArgs.workers=2; docs/reference/config.md lists them.\n\n"
			"Ctrl-C lets running streams finish and stops; a second Ctrl-C stops at once. A process that "
			"dies is "
			"started again, and its last log lines are shown. When serve itself is killed, its processes "
			"end too.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = 1,
		.overrides = true},
	.run = serve_run,
};
