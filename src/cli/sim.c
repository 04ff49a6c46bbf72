/* sim.c - stator sim: a trace played against simulated workers behind the real router. */
#include "cli/catalogues.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/sim_cases.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct flag flags_table[] = {
	{.key = {.name = "trace", .type = CONFIG_STRING, .help = "the load: Mooncake JSONL, or the plain form"},
		.letter = 't',
		.arg = "FILE"},
	{.key = {.name = "workers",
		 .type = CONFIG_UINT,
		 .def = "8",
		 .min = 1,
		 .max = REPLAY_WORKERS_MAX,
		 .help = "simulated workers"},
		.letter = 'w',
		.arg = "N"},
	{.key = {.name = "engine-model",
		 .type = CONFIG_STRING,
		 .def = "dynamo-mocker",
		 .help = "how long a step takes: dynamo-mocker, mock, fit:FILE of recorded steps, or CARD:MODEL such "
			 "as 4xt4:R1-Distill-Qwen-14B"},
		.arg = "NAME"},
	CATALOGUE_FLAGS,
	{.key = {.name = "block-size",
		 .type = CONFIG_UINT,
		 .unit = "tokens",
		 .def = "0",
		 .max = 65536,
		 .help = "tokens of a KV block; 0: the engine model's"},
		.arg = "TOKENS"},
	{.key = {.name = "blocks",
		 .type = CONFIG_UINT,
		 .def = "0",
		 .max = 16777216,
		 .help = "KV blocks of each worker; 0: the engine model's"},
		.letter = 'b',
		.arg = "N"},
	{.key = {.name = "policy",
		 .type = CONFIG_STRING,
		 .def = "finish-time",
		 .help = "who gets a request; settings behind a colon, as in dynamo-kv:prefill_load_scale=16"},
		.letter = 'p',
		.arg = "NAME"},
	{.key = {.name = "evict",
		 .type = CONFIG_STRING,
		 .def = "lru",
		 .help = "which cached block goes first: lru or age-uses"},
		.arg = "NAME"},
	{.key = {.name = "speed",
		 .type = CONFIG_FLOAT,
		 .def = "1",
		 .min = 0.001,
		 .max = 1000,
		 .help = "divide the times between arrivals"},
		.letter = 'x',
		.arg = "X"},
	{.key = {.name = "jitter-ms",
		 .type = CONFIG_UINT,
		 .unit = "ms",
		 .def = "0",
		 .max = 3600000,
		 .help = "move each arrival by a draw of its own, up to so much later"},
		.arg = "MS"},
	{.key = {.name = "frontends",
		 .type = CONFIG_UINT,
		 .def = "1",
		 .min = 1,
		 .max = REPLAY_FRONTENDS_MAX,
		 .help = "routers in front of the same workers, which know of each other only by the workers' reports"},
		.arg = "N"},
	{.key = {.name = "worker-speed",
		 .type = CONFIG_STRING,
		 .help = "speed of each worker in turn, begun again when it is short: 1,0.5 makes every other one half "
			 "as fast"},
		.arg = "X,..."},
	{.key = {.name = "requests",
		 .type = CONFIG_UINT,
		 .def = "0",
		 .max = 4294967295.0,
		 .help = "only the first N of the trace; 0: all"},
		.letter = 'n',
		.arg = "N"},
	{.key = {.name = "generate",
		 .type = CONFIG_STRING,
		 .help = "make a load up instead: agent, chat or shared, settings behind a colon, as in "
			 "agent:rate=4,turns=6"},
		.arg = "KIND"},
	{.key = {.name = "compare",
		 .type = CONFIG_STRING,
		 .help = "several policies on the same load, commas between them"},
		.arg = "P1,P2,..."},
	{.key = {.name = "what-if",
		 .type = CONFIG_STRING,
		 .help = "several values of workers, blocks, speed or frontends: workers=4..16, speed=1,2,4"},
		.arg = "WHAT=FROM..TO"},
	{.key = {.name = "goal-ttft-ms",
		 .type = CONFIG_FLOAT,
		 .unit = "ms",
		 .def = "2000",
		 .min = 0.001,
		 .max = 1e9,
		 .help = "the p99 time to first token that --what-if looks for"},
		.arg = "MS"},
	{.key = {.name = "events-late-ms",
		 .type = CONFIG_UINT,
		 .unit = "ms",
		 .def = "0",
		 .max = 600000,
		 .help = "what workers report arrives so much later"},
		.arg = "MS"},
	{.key = {.name = "events-lost",
		 .type = CONFIG_FLOAT,
		 .def = "0",
		 .max = 1,
		 .help = "share of the cache events that never arrive, as from engines of others"},
		.arg = "X"},
	{.key = {.name = "fault",
		 .type = CONFIG_LIST,
		 .help = "lie=WORKER*FACTOR (reports its steps as so many times as long), join=WORKER@SECONDS, "
			 "die=WORKER@SECONDS; may be given several times"},
		.arg = "FAULT"},
	{.key = {.name = "report",
		 .type = CONFIG_STRING,
		 .help = "write a page with distributions and workers over time"},
		.arg = "FILE.html"},
	{.key = {.name = "requests-out", .type = CONFIG_STRING, .help = "write one JSON line a request (of one run)"},
		.arg = "FILE"},
	{.key = {.name = "save-trace",
		 .type = CONFIG_STRING,
		 .help = "write the load as it is played (without --speed), and stop"},
		.arg = "FILE"},
	{.key = {.name = "seed", .type = CONFIG_UINT, .def = "1", .help = "the same seed gives the same run"},
		.arg = "N"},
	{.key = {.name = "json", .type = CONFIG_BOOL, .def = "false", .help = "print one JSON object"}},
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

struct progress {
	const char *label;
	uint32_t at, of;
	int shown; /* per mille shown last */
	bool tty;
};

static bool on_progress(void *ctx, double done)
{
	struct progress *p = ctx;
	int now = (int)((p->at + done) / p->of * 1000);

	if (p->tty && now != p->shown)
		fprintf(stderr, "\r\033[Ksimulating %.40s: %.1f %%", p->label, now / 10.0);
	p->shown = now;
	return !interrupted;
}

static int file_write(const char *path, const struct buf *out, struct err *err)
{
	if (out->failed)
		return err_set(err, -ENOMEM, "out of memory");
	int fd = file_open_output("results", path, err);
	if (fd < 0)
		return fd;
	FILE *f = fdopen(fd, "w");
	if (!f || fwrite(out->data, 1, out->len, f) != out->len || fflush(f) != 0) {
		err_set_errno(err, -errno, "could not write \"%s\"", path);
		if (f)
			fclose(f);
		else
			close(fd);
		return err->code;
	}
	fclose(f);
	return 0;
}

static int case_run(
	const struct sim_cases *c, struct sim_case *k, struct progress *p, const char *requests_out, struct err *err)
{
	static struct replay_config config;
	struct trace trace = {0};
	int code = sim_cases_trace(c, k, &trace, err);

	if (code < 0)
		return code;
	config = c->base;
	config.trace = &trace;
	config.policy = k->policy;
	config.knobs = k->knobs;
	config.workers = k->workers;
	config.frontends = k->frontends;
	config.blocks = k->blocks;
	config.block_size = c->block_size;
	for (uint32_t i = 0; c->speeds_len && i < k->workers; i++)
		config.speeds[i] = c->speeds[i % c->speeds_len];
	config.progress = on_progress;
	config.ctx = p;
	code = replay_run(&k->result, &config, err);
	if (code == 0 && requests_out) {
		struct buf out;
		buf_init(&out, (size_t)1 << 32);
		sim_print_requests(k, &trace, &out);
		code = file_write(requests_out, &out, err);
		buf_done(&out);
	}
	trace_done(&trace);
	return code;
}

static int cases_run(struct sim_cases *c, const struct flags *flags, struct err *err)
{
	struct progress p = {.of = c->len, .shown = -1, .tty = isatty(STDERR_FILENO)};
	const struct sigaction action = {.sa_handler = on_interrupt};
	int code = 0;

	sigaction(SIGINT, &action, NULL);
	for (; p.at < c->len && code == 0 && !interrupted; p.at++) {
		p.label = c->v[p.at].policy_text;
		code = case_run(c, &c->v[p.at], &p, flags_str(flags, "requests-out"), err);
	}
	if (p.tty)
		fprintf(stderr, "\r\033[K");
	return code;
}

/* The load as the simulation sees it: what was made up as it was written, a trace with its jitter. */
static int trace_save(const struct sim_cases *c, const char *path, struct err *err)
{
	struct sim_case usual = {.speed = 1};
	struct trace trace = {0};
	struct buf out;

	if (!c->trace_file)
		return file_write(path, &c->trace_text, err);
	int code = sim_cases_trace(c, &usual, &trace, err);
	if (code < 0)
		return code;
	buf_init(&out, TRACE_BYTES_MAX);
	code = trace_print(&trace, &out, err);
	if (code == 0)
		code = file_write(path, &out, err);
	buf_done(&out);
	trace_done(&trace);
	return code;
}

static enum exit_status outcome_print(const struct sim_cases *c, const struct flags *flags, struct err *err)
{
	const char *report = flags_str(flags, "report");
	struct buf out;
	int code = 0;

	buf_init(&out, 64 * 1024 * 1024);
	if (report) {
		sim_print_page(c, &out);
		code = file_write(report, &out, err);
		buf_reset(&out);
	}
	if (flags_bool(flags, "json"))
		sim_print_json(c, &out);
	else
		sim_print_table(c, &out);
	enum exit_status status = command_print("sim", &out);
	buf_done(&out);
	if (code < 0) {
		command_complain("sim", "%s", err->msg);
		return EXIT_FAILED;
	}
	return status;
}

static enum exit_status sim_run(const struct flags *flags)
{
	static struct sim_cases cases;
	struct err err = {0};
	enum exit_status status = EXIT_USAGE;
	int code = sim_cases_read(&cases, flags, &err);

	if (code == 0 && flags_str(flags, "save-trace")) {
		status = EXIT_FAILED;
		code = trace_save(&cases, flags_str(flags, "save-trace"), &err);
		if (code == 0)
			status = EXIT_OK;
	} else if (code == 0) {
		status = EXIT_FAILED;
		code = cases_run(&cases, flags, &err);
		if (code == 0 && !interrupted)
			status = outcome_print(&cases, flags, &err);
	}
	if (interrupted)
		status = EXIT_INTERRUPTED;
	else if (code < 0)
		command_complain("sim", "%s", err.msg);
	sim_cases_done(&cases);
	return status;
}

const struct command command_sim = {
	.spec = {.name = "sim",
		.args = "[GRAPH.yaml]",
		.summary = "play a load against simulated workers behind the real router",
		.text = "The router is the one that serves; engines and time are simulated, so an hour of requests "
			"takes a second and "
			"the same seed gives the same figures. A graph gives workers and policy where no flag does.\n"
			"stator sim --trace bench/traces/conversation_trace.jsonl --jitter-ms 3000\n"
			"stator sim --generate agent --compare finish-time,dynamo-kv,round-robin --report page.html\n"
			"stator sim --generate chat:rate=20 --what-if workers=4..16",
		.flags = flags_table,
		.count = ARRAY_LEN(flags_table),
		.args_max = 1},
	.run = sim_run,
};
