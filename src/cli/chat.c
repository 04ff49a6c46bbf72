/* chat.c - stator chat: talk to a server from the terminal. */
#include "base/json_out.h"
#include "base/vec.h"
#include "cli/chat_client.h"
#include "cli/command.h"
#include "cli/deployments.h"
#include "cli/line_input.h"
#include "config/suggest.h"

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHAT_BYTES_MAX = 32 * 1024 * 1024 };

static const struct flag flags_table[] = {
	{.key = {.name = "model",
		 .type = CONFIG_STRING,
		 .help = "which model to talk to; by default the first one listed"},
		.letter = 'm',
		.arg = "NAME"},
	{.key = {.name = "system", .type = CONFIG_STRING, .help = "the system message"}, .letter = 's', .arg = "TEXT"},
	{.key = {.name = "api-key",
		 .type = CONFIG_STRING,
		 .help = "key to show the server; by default $STATOR_API_KEY or $OPENAI_API_KEY, which others on this "
			 "machine do "
			 "not see"},
		.arg = "KEY"},
	{.key = {.name = "temperature", .type = CONFIG_FLOAT, .max = 100, .help = "by default the server's"},
		.arg = "X"},
	{.key = {.name = "top-p", .type = CONFIG_FLOAT, .max = 1, .help = "by default the server's"}, .arg = "X"},
	{.key = {.name = "seed",
		 .type = CONFIG_INT,
		 .def = "-1",
		 .min = -1,
		 .max = -2, /* below min: no upper end */
		 .help = "the same seed gives the same answers; -1: a new one for each"},
		.arg = "N"},
	{.key = {.name = "max-tokens",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .min = 1,
		 .max = 2097152,
		 .help = "longest answer; by default the server's"},
		.letter = 'n',
		.arg = "N"},
};

struct message {
	const char *role; /* a literal */
	char *content; /* owned */
};

struct chat {
	const struct flags *flags;
	struct chat_client *client;
	struct line_input *input;
	bool interactive;
	char model[512]; /* "" until it is known */
	char *system; /* owned; NULL: none */
	VEC(struct message) messages;
	struct buf answer; /* the one that is coming */
	bool waiting; /* a line that says so is on the screen */
	bool failed; /* the last request was not answered */
	bool interrupted; /* and no terminal to go on at */
};

/* The handler can reach nothing else. */
static struct chat_client *interruptible;

static void on_interrupt(int signo)
{
	(void)signo;
	if (interruptible)
		chat_client_interrupt(interruptible);
}

/* Messages. */

static void messages_reset(struct chat *c)
{
	for (uint32_t i = 0; i < c->messages.len; i++)
		free(c->messages.v[i].content);
	c->messages.len = 0;
}

static int message_add(struct chat *c, const char *role, const char *content)
{
	struct message m = {role, strdup(content)};

	if (!m.content || vec_push(&c->messages, m) < 0) {
		free(m.content);
		return -ENOMEM;
	}
	return 0;
}

static void message_drop(struct chat *c)
{
	free(c->messages.v[--c->messages.len].content);
}

static void message_print(struct buf *out, const char *role, const char *content)
{
	buf_add_str(out, "{\"role\": ");
	json_out_cstr(out, role);
	buf_add_str(out, ", \"content\": ");
	json_out_cstr(out, content);
	buf_add_str(out, "}");
}

static void request_print(const struct chat *c, struct buf *out)
{
	const struct flags *f = c->flags;

	buf_add_str(out, "{\"stream\": true, \"model\": ");
	json_out_cstr(out, c->model);
	if (flags_is_set(f, "temperature"))
		buf_printf(out, ", \"temperature\": %g", flags_float(f, "temperature"));
	if (flags_is_set(f, "top-p"))
		buf_printf(out, ", \"top_p\": %g", flags_float(f, "top-p"));
	if (flags_int(f, "seed") >= 0)
		buf_printf(out, ", \"seed\": %lld", (long long)flags_int(f, "seed"));
	if (flags_is_set(f, "max-tokens"))
		buf_printf(out, ", \"max_tokens\": %llu", (unsigned long long)flags_uint(f, "max-tokens"));
	buf_add_str(out, ", \"messages\": [");
	if (c->system)
		message_print(out, "system", c->system);
	for (uint32_t i = 0; i < c->messages.len; i++) {
		if (i > 0 || c->system)
			buf_add_str(out, ", ");
		message_print(out, c->messages.v[i].role, c->messages.v[i].content);
	}
	buf_add_str(out, "]}");
}

/* Asking. */

/* A long prompt takes its time: show that it is worked on, on a line that the answer takes back. */
static void on_wait(void *ctx, uint32_t seconds)
{
	struct chat *c = ctx;

	fprintf(stderr, "\rwaiting for the first word, %u s (Ctrl-C stops)", seconds);
	c->waiting = true;
}

static void wait_clear(struct chat *c)
{
	if (c->waiting)
		fprintf(stderr, "\r\033[K");
	c->waiting = false;
}

/* Print the answer as it comes. On a terminal no byte of it may be a command to the terminal. */
static void on_text(void *ctx, const char *text, size_t len)
{
	struct chat *c = ctx;

	wait_clear(c);
	buf_add(&c->answer, text, len);
	command_text_shown(stdout, text, len);
}

static void problem_show(const struct chat *c, const struct err *err)
{
	bool nobody = err->code == -ECONNREFUSED || err->code == -ENOENT;
	struct err said = *err;

	bool others = nobody && deployments_hint(&said, "stator chat");
	command_complain("chat", "%s", said.msg);
	if (nobody && !others)
		fprintf(stderr, "Is a server running? \"stator serve\" starts one%s.\n",
			c->interactive ? ", in another terminal" : "");
}

static int model_find(struct chat *c, struct err *err)
{
	struct buf names;
	int r = 0;

	if (c->model[0])
		return 0;
	buf_init(&names, 1024 * 1024);
	r = chat_client_models(c->client, &names, err);
	if (r == 0)
		snprintf(c->model, sizeof c->model, "%.*s", (int)strcspn(buf_str(&names), "\n"), buf_str(&names));
	buf_done(&names);
	return r;
}

/* Send the conversation, keep what came back. An answer that was stopped stays in it as far as it came; a question that
 * got none is taken out, so that it can be asked again. */
static void ask(struct chat *c, const char *text)
{
	const struct chat_client_ops ops = {.on_text = on_text, .on_wait = c->interactive ? on_wait : NULL};
	struct err err = {0};
	struct buf body;
	int r = model_find(c, &err);

	c->failed = true;
	if (r == 0)
		r = message_add(c, "user", text) < 0 ? err_set(&err, -ENOMEM, "out of memory") : 0;
	if (r < 0) {
		problem_show(c, &err);
		return;
	}
	buf_init(&body, CHAT_BYTES_MAX);
	buf_reset(&c->answer);
	request_print(c, &body);
	r = body.failed ? err_set(&err, -E2BIG, "the conversation is too long; /reset starts a new one")
			: chat_client_ask(c->client, &body, &ops, c, &err);
	buf_done(&body);
	wait_clear(c);
	if (c->answer.len > 0 && c->answer.data[c->answer.len - 1] != '\n')
		putchar('\n');
	fflush(stdout);
	if (c->answer.len == 0 && r < 0)
		message_drop(c);
	else if (message_add(c, "assistant", buf_str(&c->answer)) < 0)
		messages_reset(c);
	c->interrupted = r == -ECANCELED && !c->interactive;
	if (r == -ECANCELED)
		fprintf(stderr, "(stopped)\n");
	else if (r < 0)
		problem_show(c, &err);
	else if (strcmp(chat_client_finish(c->client), "length") == 0)
		fprintf(stderr, "(cut: the answer has all the tokens it may have; -n gives it more)\n");
	c->failed = r < 0 && r != -ECANCELED;
}

/* Commands. */

static void slash_help(struct chat *c, const char *arg);

static void slash_reset(struct chat *c, const char *arg)
{
	(void)arg;
	messages_reset(c);
	fprintf(stderr, "a new conversation\n");
}

static void slash_system(struct chat *c, const char *arg)
{
	if (!*arg) {
		fprintf(stderr, "%s%s\n", c->system ? "system message: " : "no system message",
			c->system ? c->system : "");
		return;
	}
	free(c->system);
	c->system = strdup(arg);
	messages_reset(c);
	fprintf(stderr, "system message set, a new conversation\n");
}

static void slash_model(struct chat *c, const char *arg)
{
	struct err err = {0};
	struct buf names;

	if (*arg) {
		snprintf(c->model, sizeof c->model, "%s", arg);
		fprintf(stderr, "now talking to %s\n", c->model);
		return;
	}
	buf_init(&names, 1024 * 1024);
	if (chat_client_models(c->client, &names, &err) < 0)
		problem_show(c, &err);
	else
		fprintf(stderr, "talking to %s; there are:\n%s", c->model[0] ? c->model : "the first of these",
			buf_str(&names));
	buf_done(&names);
}

static const struct slash {
	const char *name, *arg, *help;
	void (*run)(struct chat *c, const char *arg); /* NULL: leaves */
} slashes[] = {
	{"help", "", "this list", slash_help},
	{"reset", "", "forget the conversation, keep the system message", slash_reset},
	{"system", "[TEXT]", "set the system message and start anew, or show it", slash_system},
	{"model", "[NAME]", "talk to another model, or list those there are", slash_model},
	{"exit", "", "leave, as Ctrl-D does", NULL},
};

static void slash_help(struct chat *c, const char *arg)
{
	(void)c, (void)arg;
	for (size_t i = 0; i < ARRAY_LEN(slashes); i++)
		fprintf(stderr, "  /%-7s %-7s %s\n", slashes[i].name, slashes[i].arg, slashes[i].help);
	fprintf(stderr, "Ctrl-C stops an answer, a backslash at the end of a line continues it on the next.\n");
}

static void slash_unknown(const char *name)
{
	struct suggest s;

	suggest_init(&s, name);
	for (size_t i = 0; i < ARRAY_LEN(slashes); i++)
		suggest_offer(&s, slashes[i].name);
	if (suggest_best(&s))
		fprintf(stderr, "unknown command \"/%s\"; did you mean \"/%s\"?\n", name, suggest_best(&s));
	else
		fprintf(stderr, "unknown command \"/%s\"; /help lists them\n", name);
}

/* False: leave. */
static bool slash_run(struct chat *c, const char *line)
{
	size_t len = strcspn(line, " \t");
	const char *arg = line + len + strspn(line + len, " \t");
	char name[64];

	snprintf(name, sizeof name, "%.*s", (int)MIN(len, sizeof name - 1), line);
	for (size_t i = 0; i < ARRAY_LEN(slashes); i++) {
		if (strcmp(slashes[i].name, name) != 0)
			continue;
		if (!slashes[i].run)
			return false;
		slashes[i].run(c, arg);
		return true;
	}
	slash_unknown(name);
	return true;
}

/* A word like /help; a path or code that begins with a slash is not one. */
static bool is_slash(const char *line)
{
	size_t len = strcspn(line + 1, " \t");

	if (*line != '/' || len == 0)
		return false;
	for (size_t i = 1; i <= len; i++)
		if (!isalpha((unsigned char)line[i]))
			return false;
	return true;
}

static void talk(struct chat *c)
{
	const char *line;

	for (;;) {
		enum line_input_what what = line_input_read(c->input, "> ", &line);

		if (what == LINE_INPUT_END)
			break;
		if (what == LINE_INPUT_INTERRUPTED && !c->interactive) {
			c->interrupted = true;
			return;
		}
		if (what == LINE_INPUT_INTERRUPTED) {
			fprintf(stderr, "\n(Ctrl-D or /exit leaves)\n");
			continue;
		}
		if (line[strspn(line, " \t\n")] == '\0')
			continue;
		if (!is_slash(line))
			ask(c, line);
		else if (!slash_run(c, line + 1))
			return;
		if (c->interrupted)
			return;
	}
	if (c->interactive)
		putchar('\n');
}

static const char *api_key(const struct flags *flags)
{
	static const char *const variables[] = {"STATOR_API_KEY", "OPENAI_API_KEY"};

	if (flags_is_set(flags, "api-key"))
		return flags_str(flags, "api-key");
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *value = getenv(variables[i]);

		if (value && *value)
			return value;
	}
	return NULL;
}

static int chat_open(struct chat *c, struct err *err)
{
	char history[PATH_MAX];
	uint32_t count;
	const char *const *args = flags_args(c->flags, &count);
	bool has_history = c->interactive && line_input_history_path(history, sizeof history);
	int r = count > 0 ? chat_server_check(args[0], err) : 0;

	if (r == 0)
		r = chat_client_create(
			&c->client, count > 0 ? args[0] : "http://127.0.0.1:8000", api_key(c->flags), err);

	if (r == 0)
		r = line_input_create(&c->input, c->interactive, has_history ? history : NULL, err);
	if (r == 0 && flags_is_set(c->flags, "system") && !(c->system = strdup(flags_str(c->flags, "system"))))
		r = err_set(err, -ENOMEM, "out of memory");
	if (flags_is_set(c->flags, "model"))
		snprintf(c->model, sizeof c->model, "%s", flags_str(c->flags, "model"));
	return r;
}

/* Greet, and find out at once whether anybody is there: better than after a long question was typed. */
static int greet(struct chat *c, struct err *err)
{
	int r = model_find(c, err);

	if (r == 0 && c->interactive)
		fprintf(stderr, "talking to %s (/help lists commands, Ctrl-D leaves)\n", c->model);
	return r;
}

static void chat_close(struct chat *c)
{
	interruptible = NULL;
	line_input_destroy(c->input);
	chat_client_destroy(c->client);
	messages_reset(c);
	vec_done(&c->messages);
	buf_done(&c->answer);
	free(c->system);
}

static enum exit_status chat_run(const struct flags *flags)
{
	struct chat c = {.flags = flags, .interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
	const struct sigaction action = {.sa_handler = on_interrupt};
	struct err err = {0};
	enum exit_status status = EXIT_FAILED;

	buf_init(&c.answer, CHAT_BYTES_MAX);
	if (chat_open(&c, &err) < 0) {
		command_complain("chat", "%s", err.msg);
		status = EXIT_USAGE;
	} else {
		interruptible = c.client;
		sigaction(SIGINT, &action, NULL);
		if (greet(&c, &err) < 0) {
			problem_show(&c, &err);
		} else {
			talk(&c);
			status = c.interrupted ? EXIT_INTERRUPTED : c.failed && !c.interactive ? EXIT_FAILED : EXIT_OK;
		}
	}
	chat_close(&c);
	return status;
}

const struct command command_chat = {
	.spec = {.name = "chat",
		.args = "[URL]",
		.summary = "talk to a server from the terminal",
		.text = "URL is any OpenAI-compatible server (http, https, or unix:/path/to.sock), by default "
			"http://127.0.0.1:8000. Ctrl-C stops an "
			"answer, Ctrl-D "
			"leaves; /help lists the commands. When standard input is no terminal, each line of it is a "
			"question.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = 1},
	.run = chat_run,
};
