/* run.c - stator run: one answer of one model, in this process. */
#include "base/limits.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/local.h"
#include "config/nearby.h"
#include "launch/cores.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { PROMPT_BYTES_MAX = 32 * 1024 * 1024, TEMPLATE_BYTES_MAX = 1024 * 1024 };

#define SAMPLING(n, d, lo, hi, text)                                                                                   \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_FLOAT, .def = d, .min = lo, .max = hi, .help = text}, .arg = "X"     \
	}

static const struct flag flags_table[] = {
	{.key = {.name = "prompt",
		 .type = CONFIG_STRING,
		 .help = "what to answer; read from standard input when not given"},
		.letter = 'p',
		.arg = "TEXT"},
	{.key = {.name = "system", .type = CONFIG_STRING, .help = "the system message before it"}, .arg = "TEXT"},
	{.key = {.name = "raw",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "continue the prompt as it is, without the model's chat template; control tokens that it "
			 "names are tokens"}},
	{.key = {.name = "chat-template-file",
		 .type = CONFIG_STRING,
		 .help = "file with a chat template (Jinja) to use instead of the model's own, or for a model that has none"},
		.arg = "FILE"},
	{.key = {.name = "max-tokens",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "0",
		 .max = TOKENS_MAX,
		 .help = "length of the answer; 0: until the model ends it"},
		.letter = 'n',
		.arg = "N"},
	SAMPLING("temperature", "0", 0, 100, "0 takes the likeliest token each time"),
	SAMPLING("top-p", "1", 0, 1, "draw from the likeliest tokens that have this probability together"),
	SAMPLING("min-p", "0", 0, 1, "leave out tokens less likely than this share of the likeliest"),
	SAMPLING("repetition-penalty", "1", 0.01, 100, "above 1 makes tokens that were there less likely"),
	{.key = {.name = "top-k",
		 .type = CONFIG_INT,
		 .def = "0",
		 .min = -1,
		 .max = INT32_MAX,
		 .help = "draw from so many of the likeliest tokens; 0 or -1: all"},
		.arg = "N"},
	{.key = {.name = "seed",
		 .type = CONFIG_INT,
		 .def = "-1",
		 .min = -1,
		 .max = -2, /* below min: no upper end */
		 .help = "the same seed gives the same answer; -1: a new one"},
		.arg = "N"},
	{.key = {.name = "ignore-eos", .type = CONFIG_BOOL, .def = "false", .help = "go on when the model would end"}},
	{.key = {.name = "context-length",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "0",
		 .max = TOKENS_MAX,
		 .help = "room for prompt and answer; 0: what this prompt needs"},
		.arg = "TOKENS"},
	{.key = {.name = "threads",
		 .type = CONFIG_UINT,
		 .unit = "threads",
		 .def = "0",
		 .max = 1024,
		 .help = "compute threads; 0: one for each CPU this process may use"},
		.letter = 't',
		.arg = "N"},
	{.key = {.name = "verbose",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "say how long it took, on standard error"},
		.letter = 'v'},
};

static volatile sig_atomic_t interrupted;

struct run {
	const struct flags *flags;
	const char *model;
	struct buf prompt, chat_template;
	struct local_result result;
	struct err err;
	int code;
	bool tty, progress_shown;
	int output_failed; /* errno of the write that failed */
	char last; /* last byte written */
};

static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

/* Progress of loading: one line on a terminal, overwritten, and gone when the answer begins. */
static void on_progress(void *ctx, double done)
{
	struct run *r = ctx;

	if (!r->tty)
		return;
	const char *slash = strrchr(r->model, '/'); /* the name alone: a line that wraps cannot be drawn over */
	fprintf(stderr, "\rloading %.60s: %3.0f%%", slash ? slash + 1 : r->model, done * 100);
	r->progress_shown = true;
}

static void progress_clear(struct run *r)
{
	if (r->progress_shown)
		fprintf(stderr, "\r\033[K");
	r->progress_shown = false;
}

static bool on_text(void *ctx, const char *text, size_t len)
{
	struct run *r = ctx;

	progress_clear(r);
	r->last = text[len - 1];
	if (isatty(STDOUT_FILENO)) {
		command_text_shown(stdout, text, len);
		return true;
	}
	for (size_t at = 0; at < len;) {
		ssize_t n = write(STDOUT_FILENO, text + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* "| head" has seen enough: that is no mistake worth a message. */
			r->output_failed = errno == EPIPE ? 0 : errno;
			return false;
		}
		at += (size_t)n;
	}
	return true;
}

static bool stop_wanted(void *ctx)
{
	(void)ctx;
	return interrupted;
}

static const struct local_ops ops = {.on_progress = on_progress, .on_text = on_text, .stop_wanted = stop_wanted};

static int prompt_read(struct run *r)
{
	const char *given = flags_str(r->flags, "prompt");
	char data[64 * 1024];
	ssize_t n;

	if (given && strcmp(given, "-") != 0)
		return buf_add_str(&r->prompt, given);
	if (isatty(STDIN_FILENO))
		fprintf(stderr, "type the prompt, end it with Ctrl-D:\n");
	while ((n = read(STDIN_FILENO, data, sizeof data)) != 0) {
		if (n < 0 && errno == EINTR && !interrupted)
			continue;
		if (n < 0)
			return -errno;
		int code = buf_add(&r->prompt, data, (size_t)n);
		if (code < 0)
			return code;
	}
	return 0;
}

/* What cannot be a question. */
static int prompt_check(const struct run *r, struct err *err)
{
	const char *text = buf_str(&r->prompt);
	size_t blank = strspn(text, " \t\r\n"), valid = utf8_check(text, r->prompt.len);

	if (blank == r->prompt.len && !flags_bool(r->flags, "raw"))
		return err_set(err, -EINVAL, "the prompt is empty; give one with -p \"TEXT\" or on standard input");
	if (valid != r->prompt.len)
		return err_set(err, -EINVAL,
			"the prompt is not UTF-8: byte 0x%02x at offset %zu; iconv -t utf-8 converts a file",
			(unsigned char)text[valid], valid);
	return 0;
}

static uint32_t threads_get(const struct flags *flags)
{
	static struct cores cores;
	uint32_t asked = (uint32_t)flags_uint(flags, "threads");

	if (asked > 0 || cores_available(&cores, NULL) < 0)
		return asked;
	return cores_share(&cores, 1, 0).threads;
}

static uint64_t seed_get(const struct flags *flags)
{
	uint64_t seed = 0;

	if (flags_int(flags, "seed") >= 0)
		return (uint64_t)flags_int(flags, "seed");
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		seed = (uint64_t)getpid();
	return seed;
}

/* On a thread of its own: tokenizers need more stack than the first one has. */
static void *answer(void *arg)
{
	struct run *r = arg;
	const struct flags *f = r->flags;
	const struct local_request request = {.model = r->model,
		.prompt = buf_str(&r->prompt),
		.prompt_len = r->prompt.len,
		.system = flags_str(f, "system"),
		.chat_template = flags_is_set(f, "chat-template-file") ? buf_str(&r->chat_template) : NULL,
		.raw = flags_bool(f, "raw"),
		.max_tokens = (uint32_t)flags_uint(f, "max-tokens"),
		.context_length = (uint32_t)flags_uint(f, "context-length"),
		.threads = threads_get(f),
		.ignore_eos = flags_bool(f, "ignore-eos"),
		.sampling = {.temperature = (float)flags_float(f, "temperature"),
			.top_p = (float)flags_float(f, "top-p"),
			.min_p = (float)flags_float(f, "min-p"),
			.repetition_penalty = (float)flags_float(f, "repetition-penalty"),
			.top_k = (uint32_t)MAX(flags_int(f, "top-k"), 0),
			.seed = seed_get(f)}};

	r->code = local_answer(&r->result, &request, &ops, r, &r->err);
	return NULL;
}

static int answer_on_thread(struct run *r)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, TEXT_STACK_BYTES);
	int code = pthread_create(&thread, &attr, answer, r);
	pthread_attr_destroy(&attr);
	if (code != 0)
		return err_set_errno(&r->err, -code, "could not start a thread");
	pthread_join(thread, NULL);
	return r->code;
}

static double rate(uint32_t tokens, uint64_t us)
{
	return us > 0 ? tokens * 1e6 / (double)us : 0;
}

static void stats_print(const struct local_result *r)
{
	fprintf(stderr, "\nmodel   %s, loaded in %.2f s\n", r->description, (double)r->load_us / 1e6);
	fprintf(stderr, "prompt  %u tokens in %.2f s, %.0f tokens/s\n", r->prompt_tokens, (double)r->prefill_us / 1e6,
		rate(r->prompt_tokens, r->prefill_us));
	fprintf(stderr, "answer  %u tokens in %.2f s, %.1f tokens/s%s\n", r->tokens, (double)r->decode_us / 1e6,
		rate(r->tokens, r->decode_us), r->reason == MSG_REASON_LENGTH ? ", cut at its length" : "");
}

static int template_read(struct run *r, struct err *err)
{
	const char *path = flags_str(r->flags, "chat-template-file");

	if (!flags_is_set(r->flags, "chat-template-file"))
		return 0;
	int code = file_read_text(&r->chat_template, "the chat template", path, FILE_OR_PIPE, err);
	if (code == 0 && r->chat_template.len == 0)
		code = err_set(err, -EINVAL, "the chat template \"%s\" is empty", path);
	return code;
}

static enum exit_status run_prepared(struct run *r)
{
	const struct sigaction action = {.sa_handler = on_interrupt};

	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	int code = template_read(r, &r->err);
	if (code < 0) {
		command_complain("run", "%s", r->err.msg);
		return EXIT_USAGE;
	}
	code = prompt_read(r);
	if (code < 0 && !interrupted) {
		command_complain("run", "could not read the prompt: %s", strerror(-code));
		return EXIT_FAILED;
	}
	if (!interrupted && prompt_check(r, &r->err) < 0) {
		command_complain("run", "%s", r->err.msg);
		return EXIT_USAGE;
	}
	code = interrupted ? 0 : answer_on_thread(r);
	progress_clear(r);
	if (r->last && r->last != '\n' && !r->output_failed)
		on_text(r, "\n", 1);
	if (interrupted)
		return EXIT_INTERRUPTED;
	if (code < 0 || r->output_failed) {
		if (code < 0)
			nearby_hint(&r->err, r->model, ".gguf",
				demo_hint(r->model, "stator run takes a GGUF file, or demo"));
		if (code < 0)
			command_complain("run", "%s", r->err.msg);
		else
			command_complain("run", "could not write the answer: %s", strerror(r->output_failed));
		return EXIT_FAILED;
	}
	if (flags_bool(r->flags, "verbose"))
		stats_print(&r->result);
	else if (r->tty && r->result.reason == MSG_REASON_LENGTH)
		fprintf(stderr, "(cut after %u tokens; --max-tokens and --context-length set how many)\n",
			r->result.tokens);
	return EXIT_OK;
}

static enum exit_status demo_missing(const char *path)
{
	command_complain("run",
		"the demo model is not there (\"%s\"); \"make model\" in Stator's source folder fetches it; "
		"STATOR_CACHE "
		"names the folder it is looked for in",
		path);
	return EXIT_FAILED;
}

static enum exit_status run_run(const struct flags *flags)
{
	uint32_t count;
	const char *const *args = flags_args(flags, &count);

	if (count == 0) {
		command_complain("run", "which model? stator run MODEL.gguf -p \"Why is the sky blue?\"");
		return EXIT_USAGE;
	}
	struct run r = {.flags = flags, .model = args[0], .tty = isatty(STDERR_FILENO)};
	struct arena arena;
	arena_init(&arena, 64 * 1024);
	bool demo = strcmp(r.model, "demo") == 0;
	if (demo && !(r.model = demo_model_path(&arena)))
		r.model = "demo";
	buf_init(&r.prompt, PROMPT_BYTES_MAX);
	buf_init(&r.chat_template, TEMPLATE_BYTES_MAX);
	enum exit_status status = demo && access(r.model, F_OK) < 0 ? demo_missing(r.model) : run_prepared(&r);
	buf_done(&r.prompt);
	buf_done(&r.chat_template);
	arena_done(&arena);
	return status;
}

const struct command command_run = {
	.spec = {.name = "run",
		.args = "MODEL.gguf",
		.summary = "answer one prompt, without a server",
		.text = "Loads the model into this process, writes the answer to standard output as it comes, and "
			"ends. "
			"MODEL is a GGUF file, or demo for the demo model. Ctrl-C ends the answer.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = 1},
	.run = run_run,
};
