/* bench.c - stator bench: load for any OpenAI-compatible server, and what came back. */
#include "cli/chat_client.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/deployments.h"
#include "config/nearby.h"
#include "load/load.h"
#include "load/report.h"
#include "net/loop.h"
#include "sim/trace.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { REPORT_BYTES_MAX = 64 * 1024 * 1024, PROGRESS_US = 500 * 1000, HEADERS_BYTES_MAX = 8192 };

#define COUNT(n, l, d, lo, hi, u, a, text)                                                                             \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_UINT, .def = d, .min = lo, .max = hi, .unit = u, .help = text},      \
		.letter = l, .arg = a                                                                                  \
	}
#define DURATION(n, l, d, text)                                                                                        \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_DURATION, .def = d, .unit = "s", .help = text}, .letter = l,         \
		.arg = "TIME"                                                                                          \
	}

static const struct flag flags_table[] = {
	COUNT("clients", 'c', "8", 1, LOAD_CLIENTS_MAX, "clients", "N",
		"clients that ask, wait for the answer and ask again; with --rate: connections at most"),
	{.key = {.name = "rate",
		 .type = CONFIG_FLOAT,
		 .def = "0",
		 .max = 1e6,
		 .help = "begin so many conversations a second at random moments, whether or not answers have come; 0: "
			 "clients ask in a "
			 "loop"},
		.letter = 'r',
		.arg = "X"},
	{.key = {.name = "trace",
		 .type = CONFIG_STRING,
		 .help = "replay the requests of a trace (Mooncake JSONL, or the plain form) at their times"},
		.arg = "FILE"},
	{.key = {.name = "speed",
		 .type = CONFIG_FLOAT,
		 .def = "1",
		 .min = 1e-6,
		 .max = 1e6,
		 .help = "divide the times of the trace by this"},
		.letter = 'x',
		.arg = "X"},
	COUNT("requests", 'n', "0", 0, -1, "requests", "N", "stop after so many requests; 0: after --duration"),
	DURATION("duration", 'd', "10s", "begin nothing after this; 0 with --requests: no end"),
	DURATION("warmup", 0, "0s", "what is asked before this is not counted"),
	{.key = {.name = "prompt-tokens",
		 .type = CONFIG_STRING,
		 .def = "200",
		 .help = "new text of a turn, in short words of about a token each: N or MIN-MAX"},
		.letter = 'p',
		.arg = "N"},
	{.key = {.name = "output-tokens", .type = CONFIG_STRING, .def = "64", .help = "longest answer: N or MIN-MAX"},
		.letter = 'o',
		.arg = "N"},
	COUNT("prefix-tokens", 0, "0", 0, 1000000, "tokens", "N",
		"length of a beginning (a system message) that conversations share"),
	COUNT("prefix-groups", 0, "1", 1, 1000000, "groups", "N", "how many different such beginnings there are"),
	COUNT("turns", 't', "1", 1, 1000, "turns", "N", "questions of a conversation; each carries all before it"),
	DURATION("think-time", 0, "0s", "mean pause between an answer and the next question (exponential)"),
	{.key = {.name = "endpoint",
		 .type = CONFIG_ENUM,
		 .choices = "chat|completions",
		 .def = "chat",
		 .help = "which endpoint to ask"},
		.arg = "NAME"},
	{.key = {.name = "model", .type = CONFIG_STRING, .help = "which model to ask; by default the first listed"},
		.letter = 'm',
		.arg = "NAME"},
	{.key = {.name = "api-key",
		 .type = CONFIG_STRING,
		 .help = "key to show the server; by default $STATOR_API_KEY or $OPENAI_API_KEY"},
		.arg = "KEY"},
	{.key = {.name = "temperature", .type = CONFIG_FLOAT, .def = "0", .max = 100, .help = "of the answers"},
		.arg = "X"},
	{.key = {.name = "ignore-eos",
		 .type = CONFIG_BOOL,
		 .def = "true",
		 .help = "answers of exactly --output-tokens; servers other than Stator, vLLM and SGLang may refuse "
			 "it"}},
	COUNT("seed", 0, "1", 0, -1, NULL, "N", "the same seed asks the same questions"),
	DURATION("slo-ttft", 0, "0s", "goodput counts answers whose first token came within this"),
	DURATION("slo-tpot", 0, "0s", "and whose tokens took at most this each, on average"),
	DURATION("timeout", 0, "600s", "give an answer up when nothing came for so long"),
	{.key = {.name = "json",
		 .type = CONFIG_BOOL,
		 .def = "false",
		 .help = "print one JSON object instead of a table"}},
	{.key = {.name = "report", .type = CONFIG_STRING, .help = "write a page with the figures and their course"},
		.arg = "FILE.html"},
};

struct bench {
	const struct flags *flags;
	struct loop *loop;
	struct load *load;
	struct load_config config;
	struct trace trace;
	struct workload_row *rows; /* of the trace */
	struct report report;
	char model[512], headers[HEADERS_BYTES_MAX];
	uint64_t start_us, shown_tokens, shown_us;
	struct env_timer progress;
	bool tty;
	uint32_t interrupts;
};

/* "200" or "100-300". */
static int range_parse(const char *flag, const char *text, uint32_t *ret_min, uint32_t *ret_max, struct err *err)
{
	unsigned min, max;
	int end = 0, n = sscanf(text, "%u%n-%u%n", &min, &end, &max, &end);

	if (n == 1)
		max = min;
	if (n < 1 || text[end] || *text == '-' || !min || max < min || max > 10 * 1000 * 1000)
		return err_set(err, -EINVAL, "--%s: \"%s\" is not a number from 1, nor MIN-MAX", flag, text);
	*ret_min = min;
	*ret_max = max;
	return 0;
}

static const char *api_key(const struct flags *f)
{
	const char *key = flags_str(f, "api-key");

	if (!key || !*key)
		key = getenv("STATOR_API_KEY");
	return key && *key ? key : getenv("OPENAI_API_KEY");
}

/* The model to ask: named, or the first that the server lists; this also shows whether anybody is there. */
static int model_find(struct bench *b, const char *url, struct err *err)
{
	struct chat_client *client = NULL;
	struct buf names;
	int r;

	buf_init(&names, 1024 * 1024);
	if ((r = chat_client_create(&client, url, api_key(b->flags), err)) == 0 &&
		(r = chat_client_models(client, &names, err)) == 0)
		snprintf(b->model, sizeof b->model, "%.*s", (int)strcspn(buf_str(&names), "\n"), buf_str(&names));
	chat_client_destroy(client);
	buf_done(&names);
	return r;
}

/* The rows of a trace; its hashes stay with b->trace. */
static int trace_rows(struct bench *b, const char *path, struct err *err)
{
	int r = trace_read(&b->trace, path, TRACE_ID_TOKENS, err);

	if (r < 0)
		return nearby_hint(err, path, NULL, NULL);
	if (!b->trace.len)
		return err_set(err, -EINVAL, "the trace \"%s\" has no requests", path);
	b->rows = calloc(b->trace.len, sizeof *b->rows);
	if (!b->rows)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < b->trace.len; i++) {
		const struct trace_row *t = &b->trace.rows[i];

		b->rows[i] = (struct workload_row){
			t->at_us, b->trace.hashes + t->hashes, t->hashes_count, t->prompt_tokens, t->answer_tokens};
	}
	b->config.rows = b->rows;
	b->config.rows_count = b->trace.len;
	b->config.speed = flags_float(b->flags, "speed");
	b->config.workload.block_tokens = b->trace.block_size;
	return 0;
}

/* When it ends: a loop needs an end given, a trace has its own. */
static int ends_read(struct bench *b, struct err *err)
{
	const struct flags *f = b->flags;
	struct load_config *c = &b->config;

	c->requests_max = flags_uint(f, "requests");
	c->duration_us = flags_duration_us(f, "duration");
	if ((c->requests_max || c->rows) && !flags_is_set(f, "duration"))
		c->duration_us = 0;
	if (!c->requests_max && !c->duration_us && !c->rows)
		return err_set(err, -EINVAL, "this load would never end; give --duration or --requests");
	c->warmup_us = flags_duration_us(f, "warmup");
	if (c->duration_us && c->warmup_us >= c->duration_us)
		return err_set(err, -EINVAL, "--warmup is as long as --duration: nothing would be counted");
	return 0;
}

static int config_read(struct bench *b, const char *url, struct err *err)
{
	const struct flags *f = b->flags;
	struct load_config *c = &b->config;
	struct workload *w = &c->workload;
	int r;

	if ((r = http_url_parse(&c->url, url, err)) < 0 ||
		(r = range_parse("prompt-tokens", flags_str(f, "prompt-tokens"), &w->prompt_min, &w->prompt_max, err)) <
			0 ||
		(r = range_parse("output-tokens", flags_str(f, "output-tokens"), &w->output_min, &w->output_max, err)) <
			0)
		return r;
	c->clients = (uint32_t)flags_uint(f, "clients");
	c->rate = flags_float(f, "rate");
	if (flags_str(f, "trace") && c->rate > 0)
		return err_set(err, -EINVAL, "--trace has times of its own; leave --rate out");
	if (flags_str(f, "trace") && (r = trace_rows(b, flags_str(f, "trace"), err)) < 0)
		return r;
	if ((c->rate > 0 || c->rows) && !flags_is_set(f, "clients"))
		c->clients = LOAD_CLIENTS_MAX;
	if ((r = ends_read(b, err)) < 0)
		return r;
	c->think_us = flags_duration_us(f, "think-time");
	c->timeout_ms = (uint32_t)(flags_duration_us(f, "timeout") / 1000);
	w->prefix_words = (uint32_t)flags_uint(f, "prefix-tokens");
	w->prefix_groups = (uint32_t)flags_uint(f, "prefix-groups");
	w->turns = (uint32_t)flags_uint(f, "turns");
	w->endpoint = strcmp(flags_str(f, "endpoint"), "chat") ? WORKLOAD_COMPLETIONS : WORKLOAD_CHAT;
	w->temperature = flags_float(f, "temperature");
	w->ignore_eos = flags_bool(f, "ignore-eos");
	w->seed = flags_uint(f, "seed");
	return 0;
}

static void range_print(struct buf *out, uint32_t min, uint32_t max)
{
	if (min == max)
		buf_printf(out, "%u", min);
	else
		buf_printf(out, "%u to %u", min, max);
}

/* The load in words. */
static void describe(struct bench *b)
{
	const struct workload *w = &b->config.workload;
	struct buf out;

	if (b->config.rows) {
		snprintf(b->report.load, sizeof b->report.load, "%u requests of %s at speed %g", b->config.rows_count,
			flags_str(b->flags, "trace"), b->config.speed);
		return;
	}
	buf_init(&out, sizeof b->report.load - 1);
	if (b->config.rate > 0)
		buf_printf(&out, "%g conversations/s", b->config.rate);
	else
		buf_printf(&out, "%u client%s", b->config.clients, b->config.clients == 1 ? "" : "s");
	if (w->turns > 1)
		buf_printf(&out, ", %u turns", w->turns);
	if (w->prefix_words)
		buf_printf(&out, ", %u shared beginning%s of %u words", w->prefix_groups,
			w->prefix_groups == 1 ? "" : "s", w->prefix_words);
	buf_add_str(&out, ", prompts of ");
	range_print(&out, w->prompt_min, w->prompt_max);
	buf_add_str(&out, " words, answers of ");
	range_print(&out, w->output_min, w->output_max);
	buf_add_str(&out, " tokens");
	snprintf(b->report.load, sizeof b->report.load, "%s", buf_str(&out));
	buf_done(&out);
}

static int headers_write(struct bench *b, struct err *err)
{
	const char *key = api_key(b->flags);

	if (!key || !*key)
		return 0;
	if (strpbrk(key, "\r\n") ||
		snprintf(b->headers, sizeof b->headers, "authorization: Bearer %s\r\n", key) >= (int)sizeof b->headers)
		return err_set(err, -EINVAL, "the API key is too long or holds a line end");
	b->config.headers = b->headers;
	return 0;
}

/* running */

static void progress_show(void *ctx)
{
	struct bench *b = ctx;
	struct env *env = loop_env(b->loop);
	const struct stats *s = load_stats(b->load);
	uint64_t now = env_now_us(env), span = now - b->shown_us, pieces = s->gaps.count;

	fprintf(stderr, "\r\033[K%5.1f s  %llu answered, %u under way", (double)(now - b->start_us) / 1e6,
		(unsigned long long)s->completed, load_running(b->load));
	if (load_backlog(b->load))
		fprintf(stderr, ", %u due", load_backlog(b->load));
	if (s->failed)
		fprintf(stderr, ", %llu failed", (unsigned long long)s->failed);
	fprintf(stderr, "  %.0f tokens/s", span ? (double)(pieces - b->shown_tokens) * 1e6 / (double)span : 0);
	if (s->completed)
		fprintf(stderr, "  TTFT p50 %.1f p99 %.1f ms", (double)hist_quantile(&s->ttft, 0.5) / 1000,
			(double)hist_quantile(&s->ttft, 0.99) / 1000);
	b->shown_tokens = pieces;
	b->shown_us = now;
	env_timer_set_in(env, &b->progress, PROGRESS_US);
}

static void on_done(void *ctx)
{
	struct bench *b = ctx;

	env_timer_cancel(loop_env(b->loop), &b->progress);
	if (b->tty)
		fprintf(stderr, "\r\033[K");
	loop_stop(b->loop);
}

/* The first Ctrl-C waits for the answers under way, a second one gives them up. */
static void on_interrupt(void *ctx, int signo)
{
	struct bench *b = ctx;
	(void)signo;

	b->report.stopped = true;
	if (b->interrupts++ == 0)
		load_stop(b->load);
	else
		load_abort(b->load);
}

static double cpu_us(struct timeval t)
{
	return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static int measure(struct bench *b, struct err *err)
{
	const struct loop_config loop_config = {0};
	struct rusage before, after;
	int r;

	loop_raise_fd_limit();
	if ((r = loop_create(&b->loop, &loop_config, err)) < 0 ||
		(r = load_create(&b->load, loop_env(b->loop), &b->config, on_done, b, err)) < 0 ||
		(r = loop_on_signal(b->loop, SIGINT, on_interrupt, b, err)) < 0)
		return r;
	b->progress = (struct env_timer){.fn = progress_show, .ctx = b};
	b->start_us = b->shown_us = env_now_us(loop_env(b->loop));
	getrusage(RUSAGE_SELF, &before);
	load_start(b->load);
	if (b->tty)
		env_timer_set_in(loop_env(b->loop), &b->progress, PROGRESS_US);
	loop_run(b->loop);
	getrusage(RUSAGE_SELF, &after);
	b->report.cpu_user_us = cpu_us(after.ru_utime) - cpu_us(before.ru_utime);
	b->report.cpu_sys_us = cpu_us(after.ru_stime) - cpu_us(before.ru_stime);
	return 0;
}

/* results */

static int page_write(const struct bench *b, const char *path, const struct buf *page, struct err *err)
{
	(void)b;
	if (page->failed)
		return err_set(err, -ENOMEM, "could not make the report: out of memory");
	int fd = file_open_output("the report", path, err);
	if (fd < 0)
		return fd;
	FILE *f = fdopen(fd, "w");
	if (!f) {
		close(fd);
		return err_set_errno(err, -errno, "could not write the report \"%s\"", path);
	}
	size_t n = fwrite(page->data, 1, page->len, f);
	if (fclose(f) != 0 || n != page->len)
		return err_set_errno(err, -errno, "could not write the report \"%s\"", path);
	return 0;
}

static enum exit_status results(struct bench *b)
{
	const struct stats *s = load_stats(b->load);
	const char *path = flags_str(b->flags, "report");
	struct err err = {0};
	struct buf out;

	buf_init(&out, REPORT_BYTES_MAX);
	(flags_bool(b->flags, "json") ? report_json : report_table)(&b->report, s, &out);
	enum exit_status status = command_print("bench", &out);
	if (path) {
		buf_reset(&out);
		report_html(&b->report, s, &out);
		if (page_write(b, path, &out, &err) < 0) {
			command_complain("bench", "%s", err.msg);
			status = EXIT_FAILED;
		} else {
			fprintf(stderr, "wrote %s\n", path);
		}
	}
	buf_done(&out);
	if (b->interrupts > 1)
		return EXIT_INTERRUPTED;
	return status == EXIT_OK && (s->failed || (s->sent && !s->completed)) ? EXIT_FAILED : status;
}

static enum exit_status bench_run(const struct flags *flags)
{
	uint32_t args;
	const char *const *arg = flags_args(flags, &args);
	const char *url = args ? arg[0] : "http://127.0.0.1:8000";
	struct bench b = {.flags = flags, .tty = isatty(STDERR_FILENO)};
	struct err err = {0};
	enum exit_status status = EXIT_USAGE;

	if (flags_str(flags, "model"))
		snprintf(b.model, sizeof b.model, "%s", flags_str(flags, "model"));
	if (chat_server_check(url, &err) < 0 || config_read(&b, url, &err) < 0 || headers_write(&b, &err) < 0) {
		command_complain("bench", "%s", err.msg);
		trace_done(&b.trace);
		free(b.rows);
		return status;
	}
	b.report.url = url;
	b.report.model = b.config.workload.model = b.model;
	b.report.slo_ttft_us = flags_duration_us(flags, "slo-ttft");
	b.report.slo_tpot_us = flags_duration_us(flags, "slo-tpot");
	describe(&b);
	if ((!b.model[0] && model_find(&b, url, &err) < 0) || measure(&b, &err) < 0) {
		if (err.code == -ECONNREFUSED || err.code == -ENOENT)
			deployments_hint(&err, "stator bench");
		command_complain("bench", "%s", err.msg);
		status = EXIT_FAILED;
	} else {
		status = results(&b);
	}
	load_destroy(b.load);
	if (b.loop)
		loop_destroy(b.loop);
	trace_done(&b.trace);
	free(b.rows);
	return status;
}

const struct command command_bench = {
	.spec = {.name = "bench",
		.args = "[URL]",
		.summary = "send a load to a server and measure what comes back",
		.text = "URL is any OpenAI-compatible server, by default http://127.0.0.1:8000. Without --rate, "
			"clients "
			"ask, wait for the answer and ask again (a closed loop). With --rate, conversations begin at "
			"random moments (Poisson), with --trace requests come at the trace's times, and times count "
			"from when a request was due, so a server that "
			"stalls "
			"does not look better for it. Ctrl-C stops asking and shows what was measured; a second one "
			"gives up the answers under way.\n\n"
			"A URL may begin with https://, or be unix:/path/to.sock. Exit status: 0 every request was "
			"answered, 1 some "
			"were not, 2 the command line is wrong.",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = 1},
	.run = bench_run,
};
