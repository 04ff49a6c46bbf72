/* Failures that no signature knows: what the form of a log's lines says, what a healthy start survives, and the verdict. */
#include "plan/diagnose.h"
#include "plan/diagnose_log.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"

struct look {
	struct diagnosis *diagnosis;
	struct findings findings;
	enum diagnosis_verdict verdict;
};

/* texts: logs, NULL behind the last. */
static struct look look_at(const char *const *texts, size_t piece)
{
	struct look l = {0};
	char name[16];

	assert_int_equal(diagnosis_create(&l.diagnosis, catalogue, NULL), 0);
	findings_init(&l.findings);
	for (int i = 0; texts[i]; i++) {
		snprintf(name, sizeof name, "%d.log", i);
		struct diagnosed_log *log = diagnosis_log(l.diagnosis, name);

		assert_non_null(log);
		for (size_t at = 0, len = strlen(texts[i]); at < len; at += piece)
			diagnosed_log_feed(log, texts[i] + at, MIN(piece, len - at));
		diagnosed_log_end(log);
	}
	diagnosis_conclude(l.diagnosis, NULL, NULL, &l.findings);
	l.verdict = diagnosis_verdict(l.diagnosis, NULL, &l.findings);
	return l;
}

static void look_done(struct look *l)
{
	findings_done(&l->findings);
	diagnosis_destroy(l->diagnosis);
}

#define TRACE "Traceback (most recent call last):\n  File \"/opt/x.py\", line 3, in f\n    g()\n"
#define SERVING "INFO:     Application startup complete.\n"
#define TRACE2                                                                                                         \
	"Traceback (most recent call last):\n(W pid=1) ERROR 01-02 10:00:00 [a.py:1]   File \"a.py\", line 1, in f\n"
#define TRACE3 "Traceback (most recent call last):\n    |   File \"a.py\", line 1, in f\n"
#define LINES10 "GET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\n"
#define LINES40 LINES10 LINES10 LINES10 LINES10 "GET 200\n"

struct failure_case {
	const char *text;
	uint32_t line;
	enum finding_class class;
	const char *word; /* of the sentence */
};

static const struct failure_case failures[] = {
	/* How ggml ends its process, and a progress bar that stops in a shell's word. */
	{"I srv init: 4 slots\n/x/llama.cpp/ggml/src/ggml-zork.cpp:82: the other side went away\n", 2, FINDING_CRASH,
		"the other side went away"},
	{"time=2026-01-02T10:00:00Z level=ERROR msg=\"zork went\"\nzork has terminated: exit status 0xe06d7363\n", 1,
		FINDING_CRASH, "zork went"},
	{"D:/src/ggml/src/ggml-zork.cu:9: valve not implemented\n", 1, FINDING_CRASH, "valve not"},
	{"x\nLoading weights:  40%|####| 2/5 [00:08<00:02]Killed\n", 2, FINDING_CRASH, "Killed"},
	{"x\nLoading: 30%|##  |\rLoading: 75%|### |\rLoading: 80%|### |Aborted\n", 2, FINDING_CRASH, "Aborted"},
	{TRACE "zork.FluxError: the flux is low\n", 4, FINDING_CRASH, "FluxError: the flux is low"},
	/* Chains: the first. */
	{TRACE "KeyError: 'rope_theta_2'\n\nDuring handling of the above exception, another exception "
	       "occurred:\n\n" TRACE "RuntimeError: cannot build the thing\n",
		4, FINDING_CONFIGURATION, "rope_theta_2"},
	{TRACE "OSError: [Errno 5] Input/output error\n\nThe above exception was the direct cause of the following "
	       "exception:\n\n" TRACE "ValueError: cannot read shard\n",
		4, FINDING_ENVIRONMENT, "Input/output"},
	/* A chain with a prefix whose clock ticks, and another process in between. */
	{"(EngineCore_0 pid=12) ERROR 10-01 11:22:33 [core.py:99] Traceback (most recent call last):\n"
	 "(EngineCore_0 pid=12) ERROR 10-01 11:22:33 [core.py:99]   File \"a.py\", line 1, in f\n"
	 "(APIServer pid=3) INFO 10-01 11:22:33 [x.py:1] waiting\n"
	 "(EngineCore_0 pid=12) ERROR 10-01 11:22:34 [core.py:99] ZeroDivisionError: integer modulo by zero\n"
	 "(APIServer pid=3) Traceback (most recent call last):\n"
	 "(APIServer pid=3)   File \"b.py\", line 1, in f\n"
	 "(APIServer pid=3) RuntimeError: the core is gone\n",
		4, FINDING_CRASH, "ZeroDivisionError"},
	/* The prefix is of the first line only. */
	{"[2026-02-02 01:02:03 TP1] Worker hit an exception: " TRACE "TypeError: f() takes 1 argument\n", 4,
		FINDING_CRASH, "TypeError"},
	{"{\"level\":\"ERROR\",\"message\":\"Traceback (most recent call last):\\n  File \\\"a.py\\\", line 1\\n    "
	 "f()\\nzork.ConnectionError: no zork there\"}\n",
		1, FINDING_ENVIRONMENT, "no zork there"},
	{"worker-1  | ERROR: boot\nworker-1  | RuntimeError: NIC 4 has no link\n", 2, FINDING_CRASH, "NIC 4"},
	/* Arguments and files. */
	{"usage: serve.py [-h]\nserve.py: error: argument --depth: invalid int value: 'two'\n", 2,
		FINDING_CONFIGURATION, "--depth"},
	{"error: the argument '--dpeth' cannot be used with '--zork'\n", 1, FINDING_CONFIGURATION, "--dpeth"},
	{TRACE "pydantic_core._pydantic_core.ValidationError: 1 validation error for ZorkConfig\n", 4,
		FINDING_CONFIGURATION, "ZorkConfig"},
	{TRACE "json.decoder.JSONDecodeError: Expecting ',' delimiter: line 4 column 2 (char 88)\n", 4,
		FINDING_CONFIGURATION, "Expecting ','"},
	{TRACE "yaml.scanner.ScannerError: mapping values are not allowed here\n", 4, FINDING_CONFIGURATION, "mapping"},
	{"Error: could not parse /etc/zork.yaml: yaml: line 3: did not find expected key\n", 1, FINDING_CONFIGURATION,
		"zork.yaml"},
	/* Memory. */
	{TRACE "zork.OutOfMemoryError: no arena left\n", 4, FINDING_CAPACITY, "no arena"},
	{TRACE "MemoryError\n", 4, FINDING_CAPACITY, "MemoryError"},
	/* Other languages. */
	{"panic: zork table is nil\n\ngoroutine 1 [running]:\nmain.main()\n", 1, FINDING_CRASH, "zork table"},
	{"terminate called after throwing an instance of 'zork::err'\n  what():  the ring is torn\nAborted (core "
	 "dumped)\n",
		2, FINDING_CRASH, "the ring is torn"},
	{"x: zork.cc:12: int f(int): Assertion `a == b' failed.\nAborted\n", 1, FINDING_CRASH, "a == b"},
	/* What no process lives on after is the end, whether it served before or not, and whatever happened to a request. */
	{SERVING "zork: zork.c:9: void f(void): Assertion `depth > 0' failed.\n", 2, FINDING_CRASH, "depth > 0"},
	{SERVING "/usr/include/c++/14/bits/zork.h:12: T zork<T>::at(int): Assertion 'i < n' failed.\n", 2,
		FINDING_CRASH, "i < n"},
	{SERVING TRACE
		"zork.PromptError: too long\nF0203 10:00:00.000001 71 zork.cc:8] Check failed: ring == nullptr\n",
		6, FINDING_CRASH, "ring == nullptr"},
	{SERVING "[zork][ERROR] Assertion failed: no block is free (zork.cpp:7)\n", 2, FINDING_CRASH, "no block"},
	{SERVING "panic: zork table is nil\n\ngoroutine 1 [running]:\n", 2, FINDING_CRASH, "zork table"},
	/* Messages that go on in the next line, with the prefix of the first or without. */
	{TRACE "RuntimeError: could not import zork because of the following error:\nzork.so is not installed\n", 4,
		FINDING_ENVIRONMENT, "zork.so is not installed"},
	{TRACE "zork.ZorkError: the file does not read:\n\n  yaml: line 3 is torn\n", 4, FINDING_CONFIGURATION,
		"line 3 is torn"},
	{"(W pid=1) ERROR 01-02 10:00:00 [a.py:1] " TRACE2 "(W pid=1) ERROR 01-02 10:00:00 [a.py:1] "
	 "pydantic_core.ValidationError: 1 validation error for Zork\n(W pid=1) ERROR 01-02 10:00:01 [a.py:1] depth\n"
	 "(W pid=1) ERROR 01-02 10:00:01 [a.py:1]   Input should be less than 4\n",
		3, FINDING_CONFIGURATION, "depth Input should be less than 4"},
	{"Error: could not start the zork\n\nCaused by:\n    0: could not open the ring\n    1: Permission denied (os "
	 "error 13)\n\nmore\n",
		1, FINDING_ENVIRONMENT, "could not open the ring Permission denied"},
	/* As it is carried: CRI, kubectl --timestamps, journalctl, compose. */
	{"2026-01-02T10:00:00.123456789Z stderr F zork.FluxError: the flux is low\n", 1, FINDING_CRASH,
		"the flux is low"},
	{"2026-01-02T10:00:00.123456789Z serve.py: error: argument --depth: invalid int value: 'two'\n", 1,
		FINDING_CONFIGURATION, "--depth"},
	{"2026/01/01 10:00:00 fatal: the zork is gone\n", 1, FINDING_CRASH, "the zork is gone"},
	{"Jan  2 10:00:00 n1 zork[77]: zork.FluxError: the flux is low\n", 1, FINDING_CRASH, "the flux is low"},
	{"zork-1  | 2026-01-02 10:00:00,120 zork.FluxError: the flux is low\n", 1, FINDING_CRASH, "the flux is low"},
	/* A logger that passes on what another program prints calls all of it INFO. */
	{"2026-01-02 10:00:00,120 - run - INFO - Traceback (most recent call last):\n"
	 "2026-01-02 10:00:00,120 - run - INFO -   File \"a.py\", line 1, in f\n"
	 "2026-01-02 10:00:00,121 - run - INFO - zork.FluxError: the flux is low\n",
		3, FINDING_CRASH, "the flux is low"},
	/* An exception group: what is in it. */
	{"  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in f\n  | ExceptionGroup: "
	 "unhandled errors in a TaskGroup (1 sub-exception)\n  +-+---------------- 1 ----------------\n    | " TRACE3
	 "    | zork.FluxError: the flux is low\n    +------------------------------------\n",
		7, FINDING_CRASH, "the flux is low"},
	/* The crash of a server, not the mistake of a request an hour before. */
	{SERVING TRACE "zork.PromptError: too long\n" LINES40 TRACE "zork.FluxError: the flux is low\nKilled\n", 50,
		FINDING_CRASH, "the flux is low"},
	/* A debugger's frames. */
	{"#0  __pthread_kill_implementation (no_tid=0, signo=6) at pthread_kill.c:44\n#3  0x00007f in __GI_abort () at "
	 "abort.c:79\n#9  0x000055 in zork_accept (z=0x1)\n",
		1, FINDING_CRASH, "pthread_kill"},
	{"loading\nTrace/breakpoint trap (core dumped)\n", 2, FINDING_CRASH, "breakpoint"},
	{"run.sh: line 3:  4711 Bus error               (core dumped) ./zork -m x\n", 1, FINDING_CRASH, "Bus error"},
	{"zork-1 exited with code 134\n", 1, FINDING_CRASH, "134"},
	/* A signature knows the signal, the lines before say why. */
	{"zork.FluxError: low\nSegmentation fault (core dumped)\n", 1, FINDING_CRASH, "FluxError"},
	{"    State:          Terminated\n      Reason:       Error\n      Exit Code:    2\n", 3, FINDING_CRASH,
		"Exit Code"},
	{"2026-01-01 INFO exited: zork (exit status 3; not expected)\n", 1, FINDING_CRASH, "exit status 3"},
	{"INFO:     Waiting for application startup.\nERROR:    Application startup failed. Exiting.\n", 2,
		FINDING_CRASH, "startup failed"},
	{"worker 3 was terminated by signal 11\n", 1, FINDING_CRASH, "signal 11"},
	/* What was logged as an error just before the death tells more. */
	{"0.00.5 I load: x\n0.00.6 E load: could not map the zork table\n0.00.7 E main: exiting due to model loading "
	 "error\n",
		2, FINDING_CRASH, "zork table"},
	{"CUDA error: zork toolchain\n  current device: 0\nGGML_ASSERT(x) failed\nAborted (core dumped)\n", 1,
		FINDING_CRASH, "zork toolchain"},
};

static void what_plainly_failed_is_told_by_its_form(void **state)
{
	uint32_t failed = 0;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(failures); i++)
		for (size_t piece = 1; piece < 2000; piece = piece * 7 + 300) {
			const struct failure_case *c = &failures[i];
			struct look l = look_at((const char *[]){c->text, NULL}, piece);
			const struct finding *f = l.findings.len ? &l.findings.items[0] : NULL;

			if (l.verdict != DIAGNOSIS_UNKNOWN_CAUSE || !f || f->severity != FINDING_FATAL ||
				f->line != c->line || f->kind != c->class || !strstr(f->what, c->word) ||
				!strstr(f->what, "not in the catalogue")) {
				fprintf(stderr, "case %zu, verdict %s: line %u, %s, %s; wanted line %u, %s, %s\n", i,
					diagnosis_verdict_name(l.verdict), f ? f->line : 0,
					f ? finding_class_name(f->kind) : "-", f ? f->what : "nothing", c->line,
					finding_class_name(c->class), c->word);
				failed++;
			}
			look_done(&l);
		}
	assert_int_equal(failed, 0);
}

static void what_only_looks_bad_is_no_failure(void **state)
{
	static const char *const texts[] = {
		"INFO 10-01 all fine\nWARNING 10-01 [x.py:1] Failed to import zork with ImportError: no zork\n" SERVING,
		"WARNING 10-01 [x.py:1] " TRACE "ImportError: no zork\n",
		"x.py:80: UserWarning: RuntimeError: zork is slow\n",
		"Exception ignored in: <function f>\n" SERVING,
		TRACE "KeyboardInterrupt\n",
		"zork-1 exited with code 0\nzork-2 exited with code 143\nreceived signal 15\n",
		"finished: 0 errors, exit code 0\n",
		"level=info msg=\"error rate 0\"\n{\"level\":\"INFO\",\"message\":\"last exit code 1: 0 times\"}\n",
		"[   14.650646] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  999.1\n",
		"I0123 10:22:31.312480 771 zork.cpp:112] no zork on this node\n",
		"n1:84:85 [0] NCCL INFO transport/zork.cc:7 -> 0\n",
		"{\"msg\":\"zork refused\",\"level\":30}\n",
		"{\"MESSAGE\":\"zork refused\",\"PRIORITY\":\"5\"}\n",
		"time=2026-01-02T10:00:00Z level=INFO msg=\"0 failed\" error=\"\"\n",
		"DEBUG 10-01 [x.py:1] Traceback (most recent call last):\nDEBUG 10-01 [x.py:1]   File \"a.py\", line 1\nDEBUG "
		"10-01 [x.py:1] ImportError: no zork\n",
		/* One request of a server that goes on. */
		SERVING "ERROR 10-01 [serving.py:5] Error in preprocessing\n" TRACE
			"zork.PromptError: too long\n" SERVING,
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct look l = look_at((const char *[]){texts[i], NULL}, 100000);

		if (l.verdict != DIAGNOSIS_HEALTHY || l.findings.fatals > 0)
			fprintf(stderr, "case %zu: %s, %s\n", i, diagnosis_verdict_name(l.verdict),
				l.findings.len ? l.findings.items[0].what : "nothing");
		assert_int_equal(l.verdict, DIAGNOSIS_HEALTHY);
		assert_int_equal(l.findings.fatals, 0);
		look_done(&l);
	}
}

static const char *const doubtful[] = {
	/* Other programs of C and C++. */
	"loaded 3 things\n/opt/zork/src/pump.c:88: fatal error\n",
	"zork.hip:12: the remote end crashed or sent a malformed answer\nwaiting for it\n",
	"[pump_compute] invalid valve pointer\n",
	"[pump_compute] invalid valve_ptr\n",
	"[pump_compute] failed to create valve 30 (id=98)\nwaiting\n",
	"Queue 0x7 aborting with error : ZORK_STATUS\n",
	"valve 3 crashed\nnext\nnext\n",
	/* Last words: a warning does. */
	"x\nWARNING 10-01 [x.py:1] could not reach the pump\n",
	"Loading: 30%\rLoading: 75%\nWARN pump: Failed to start\n\n\n",
	"Getötet\n",
	"run.sh: Zeile 3: 4711 Getötet\n",
	"已杀死",
	/* What no server says in passing. */
	SERVING LINES10 "pump.cc: the pump crashed\n" LINES10,
};

static void a_line_that_may_tell_of_a_failure_is_never_called_well(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(doubtful); i++)
		for (size_t piece = 1; piece < 2000; piece = piece * 7 + 300) {
			struct look l = look_at((const char *[]){doubtful[i], NULL}, piece);

			if (l.verdict != DIAGNOSIS_CANNOT_TELL || l.findings.warnings != 1)
				fprintf(stderr, "case %zu: %s, %s\n", i, diagnosis_verdict_name(l.verdict),
					l.findings.len ? l.findings.items[0].what : "nothing");
			assert_int_equal(l.verdict, DIAGNOSIS_CANNOT_TELL);
			assert_int_equal(l.findings.warnings, 1);
			look_done(&l);
		}
}

static void words_of_failures_that_tell_of_none_are_well(void **state)
{
	static const char *const texts[] = {
		"0 errors, no failures\nvalve errors: none\nerrors=0 failed=0\nfailed: 0\nfailures 0\n",
		"--abort-on-error=no --zork-abort x\n/srv/errors/log opened\non_error=stop error_rate 0.0\n",
		"zork: on failure it is tried again\n{'on_exit': 'abort'}\n",
		"crashkernel reserved: 0x60000000\nerrorless failover\n",
		"zork ended, exit status 0x0\n",
		"x.py:3: DeprecationWarning: invalid escape sequence\n",
		"/opt/ggml/src/ggml.c:88: warning: unused variable\n/opt/ggml/src/ggml.c:88: note: here\n",
		"time=2026-01-02T10:00:00Z level=INFO msg=\"it aborted\"\n",
		"WARN pump: Failed to start, tried again\npump started\n",
		"the pump crashed\nthe pump is back\n" SERVING,
		SERVING "client aborted its request\n",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct look l = look_at((const char *[]){texts[i], NULL}, 1000);

		if (l.verdict != DIAGNOSIS_HEALTHY)
			fprintf(stderr, "case %zu: %s, %s\n", i, diagnosis_verdict_name(l.verdict),
				l.findings.len ? l.findings.items[0].what : "nothing");
		assert_int_equal(l.verdict, DIAGNOSIS_HEALTHY);
		look_done(&l);
	}
}

static void an_exception_of_one_request_is_a_warning_and_one_that_kills_the_server_fatal(void **state)
{
	struct look l = look_at((const char *[]){SERVING TRACE "zork.PromptError: too long\n", NULL}, 1000);
	(void)state;

	assert_int_equal(l.verdict, DIAGNOSIS_HEALTHY);
	assert_int_equal(l.findings.warnings, 1);
	look_done(&l);
	l = look_at((const char *[]){SERVING TRACE "zork.PromptError: too long\nAborted (core dumped)\n", NULL}, 1000);
	assert_int_equal(l.verdict, DIAGNOSIS_UNKNOWN_CAUSE);
	assert_int_equal(l.findings.items[0].line, 5);
	look_done(&l);
}

static void a_start_that_was_tried_again_and_serves_is_healthy(void **state)
{
	static const char *const serving[] = {SERVING, "The server is fired up and ready to roll!\n",
		"main: server is listening on http://127.0.0.1:8080\n",
		"INFO:     Uvicorn running on http://0.0.0.0:8000\n"};
	static const char *const errors[] = {/* One that the catalogue knows, one it does not. */
		"NVML Shared Library Not Found\n", TRACE "zork.FluxError: low\n"};
	char text[1000];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(serving); i++)
		for (size_t k = 0; k < ARRAY_LEN(errors); k++) {
			snprintf(text, sizeof text, "%sretrying\n%s", errors[k], serving[i]);
			struct look l = look_at((const char *[]){text, NULL}, 10000);

			assert_int_equal(l.verdict, DIAGNOSIS_HEALTHY);
			assert_int_equal(l.findings.len, 1);
			assert_int_equal(l.findings.items[0].severity, FINDING_INFO);
			assert_non_null(strstr(l.findings.items[0].what, "survived"));
			look_done(&l);
			/* It comes again. */
			snprintf(text, sizeof text, "%sretrying\n%s%sKilled\n", errors[k], serving[i], errors[k]);
			l = look_at((const char *[]){text, NULL}, 10000);
			assert_int_equal(l.verdict, k == 0 ? DIAGNOSIS_FAILED : DIAGNOSIS_UNKNOWN_CAUSE);
			assert_true(l.findings.items[0].line > 2);
			look_done(&l);
		}
}

static void a_line_that_only_says_that_it_failed_is_enough(void **state)
{
	static const char *const texts[] = {"RuntimeError: Engine core initialization failed. See root cause above.\n",
		"INFO x\nRuntimeError: Executor worker returned error\n"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct look l = look_at((const char *[]){texts[i], NULL}, 1000);

		assert_int_equal(l.verdict, DIAGNOSIS_UNKNOWN_CAUSE);
		assert_int_equal(l.findings.fatals, 1);
		assert_int_equal(l.findings.items[0].line, i + 1);
		look_done(&l);
	}
}

static void another_process_that_serves_survives_nothing(void **state)
{
	static const char text[] = "worker-1    | NVML Shared Library Not Found\nfrontend-1  | " SERVING;
	struct look l = look_at((const char *[]){text, NULL}, 1000);
	(void)state;

	assert_int_equal(l.verdict, DIAGNOSIS_FAILED);
	look_done(&l);
	/* Neither does another log. */
	l = look_at((const char *[]){"NVML Shared Library Not Found\n", SERVING, NULL}, 1000);
	assert_int_equal(l.verdict, DIAGNOSIS_FAILED);
	look_done(&l);
	l = look_at((const char *[]){"[pod/w-0/main] zork.FluxError: low\n[pod/f-0/main] " SERVING, NULL}, 1000);
	assert_int_equal(l.verdict, DIAGNOSIS_UNKNOWN_CAUSE);
	look_done(&l);
}

static void a_known_cause_is_told_before_an_unknown_one_and_that_before_what_follows(void **state)
{
	struct look l =
		look_at((const char *[]){TRACE "zork.FluxError: low\nNVML Shared Library Not Found\n", NULL}, 1000);
	(void)state;

	assert_int_equal(l.verdict, DIAGNOSIS_FAILED);
	assert_string_equal(l.findings.items[0].code, "nvml-missing");
	look_done(&l);
	l = look_at((const char *[]){TRACE "zork.FluxError: low\n"
					   "RuntimeError: Engine core initialization failed. See root cause above.\n",
			    NULL},
		1000);
	assert_int_equal(l.verdict, DIAGNOSIS_UNKNOWN_CAUSE);
	assert_string_equal(l.findings.items[0].code, "unlisted-exception");
	assert_int_equal(l.findings.items[0].line, 4);
	assert_int_equal(l.findings.fatals, 1);
	look_done(&l);
}

static void of_several_logs_the_first_by_the_clock_is_the_root(void **state)
{
	struct look l = look_at((const char *[]){"2026-01-01 10:00:09 ERROR zork.LateError: late\n",
					"2026-01-01 10:00:01 ERROR zork.EarlyError: early\n", NULL},
		1000);
	(void)state;

	assert_int_equal(l.findings.fatals, 1);
	assert_string_equal(l.findings.items[0].file, "1.log");
	look_done(&l);
}

static void what_does_not_say_how_it_ended_is_not_called_healthy(void **state)
{
	static const char *const texts[] = {"", "INFO x\nERROR 10-01 [x.py:1] zork lost its table\n",
		"E0123 10:22:31.312480       1 zork.go:112] no zork on this node\n",
		/* Severities of other loggers, in lines that hold no word of an error. */
		"E0123 10:22:31.312480 771 zork.cpp:112] no zork on this node\n",
		"2026-01-02T10:00:00.123456789Z stderr F E0123 10:22:31.312480       1 zork.go:112] no zork on this node\n",
		"zork-1 | [7] 2026/01/02 10:00:00.120 [ERR] 10.0.0.7:4 - cid:3 - no zork there\n",
		"[01/02/2026-10:00:00] [ZORK] [E] zork timed out\n", "{\"msg\":\"zork refused\",\"level\":50}\n",
		"{\"MESSAGE\":\"zork refused\",\"PRIORITY\":\"3\"}\n",
		/* An error that is handed on by a line that is called INFO. */
		"time=2026-01-02T10:00:00Z level=INFO msg=\"load failed\" error=\"no zork there\"\n",
		/* The driver and the kernel write no severity at all. */
		"[   12.100000] NVRM: GPU1 _zorkWait: timeout waiting for the zork\n",
		"[   12.100000] EXT4-fs error (device zork): zork_find: inode 7\n",
		"INFO x\nTraceback (most recent call last):\n  File \"a.py\", line 4, in f\n"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct look l = look_at((const char *[]){texts[i], NULL}, 1000);

		if (l.verdict != DIAGNOSIS_CANNOT_TELL)
			fprintf(stderr, "%s: %s\n", texts[i], l.findings.len ? l.findings.items[0].what : "nothing");
		assert_int_equal(l.verdict, DIAGNOSIS_CANNOT_TELL);
		assert_int_equal(l.findings.fatals, 0);
		look_done(&l);
	}
}

static void the_level_of_a_line_is_read_in_each_form(void **state)
{
	static const struct {
		const char *line;
		enum line_level level;
	} cases[] = {{"ERROR 10-01 x", LEVEL_ERROR}, {"(W pid=1) WARNING 10-01 x", LEVEL_MILD},
		{"INFO: ERROR", LEVEL_INFO}, {"E0123 10:22:31.3 1 f.go:1] x", LEVEL_ERROR},
		{"I0123 10:22:31.3 1 f.go:1] x", LEVEL_INFO}, {"[E socket.cpp:1] x", LEVEL_ERROR},
		{"[W socket.cpp:1] x", LEVEL_MILD}, {"0.01.066 E f: x", LEVEL_ERROR},
		{"time=\"x\" level=fatal msg=x", LEVEL_FATAL}, {"{\"a\":1,\"level\":\"warn\"}", LEVEL_MILD},
		{"{\"severity\": \"ERROR\"}", LEVEL_ERROR}, {"2026-01-01T00:00:00Z ERROR a.b: x", LEVEL_ERROR},
		{"[01/02/2026-10:00:00] [ZORK] [RANK 0] [E] x", LEVEL_ERROR}, {"[ZORK] [W] x", LEVEL_MILD},
		{"[7] 2026/01/02 10:00:00.1 [ERR] x", LEVEL_ERROR}, {"10:00AM WRN x", LEVEL_MILD},
		{"10:00AM FTL x", LEVEL_FATAL},
		{"2026-01-02T10:00:00Z stdout F W0123 10:22:31.3 1 f.go:1] x", LEVEL_MILD},
		{"Jan  2 10:00:00 n1 kubelet[7]: E0123 10:22:31.3 1 f.go:1] x", LEVEL_ERROR},
		{"n1:8:9 [0] zork.cc:7 NCCL WARN x", LEVEL_ERROR}, {"{\"level\":40,\"msg\":\"x\"}", LEVEL_MILD},
		{"{\"PRIORITY\":\"2\"}", LEVEL_ERROR}, {"{\"PRIORITY\":\"6\"}", LEVEL_UNKNOWN},
		{"ZORK_ERR_7", LEVEL_UNKNOWN}, {"Errors of INFORMATION", LEVEL_UNKNOWN}, {"", LEVEL_UNKNOWN},
		{"MYERROR", LEVEL_UNKNOWN}};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (line_level(cases[i].line, strlen(cases[i].line)) != cases[i].level)
			fail_msg("%s", cases[i].line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_plainly_failed_is_told_by_its_form),
		cmocka_unit_test(what_only_looks_bad_is_no_failure),
		cmocka_unit_test(a_line_that_may_tell_of_a_failure_is_never_called_well),
		cmocka_unit_test(words_of_failures_that_tell_of_none_are_well),
		cmocka_unit_test(an_exception_of_one_request_is_a_warning_and_one_that_kills_the_server_fatal),
		cmocka_unit_test(a_start_that_was_tried_again_and_serves_is_healthy),
		cmocka_unit_test(a_line_that_only_says_that_it_failed_is_enough),
		cmocka_unit_test(another_process_that_serves_survives_nothing),
		cmocka_unit_test(a_known_cause_is_told_before_an_unknown_one_and_that_before_what_follows),
		cmocka_unit_test(of_several_logs_the_first_by_the_clock_is_the_root),
		cmocka_unit_test(what_does_not_say_how_it_ended_is_not_called_healthy),
		cmocka_unit_test(the_level_of_a_line_is_read_in_each_form),
	};

	return cmocka_run_group_tests_name("plan/diagnose_shape", tests, catalogue_open, catalogue_close);
}
