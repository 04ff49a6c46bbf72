/* Which of several lines is the root, and how a log ended: a cause before what follows from it, a line that passes on a reason before one
 * that does not, what was printed last before a death; a start that is not over, a server whose last words are an error, requests that
 * failed. */
#include "plan/diagnose.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"

#define SERVING "INFO:     Application startup complete.\n"
#define REQUEST "INFO:     10.0.0.9:5000 - \"POST /v1/completions HTTP/1.1\" 200 OK\n"
#define LINES10 "GET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\nGET 200\n"

struct want {
	const char *text;
	enum diagnosis_verdict verdict;
	uint32_t fatals, line; /* of the finding told first; 0: there is none but for information */
	enum finding_class class;
	const char *word; /* of its sentence; NULL: any */
};

static bool is_as_wanted(const struct want *w, size_t piece)
{
	struct diagnosis *d = NULL;
	struct findings f;

	assert_int_equal(diagnosis_create(&d, catalogue, NULL), 0);
	struct diagnosed_log *log = diagnosis_log(d, "x.log");
	for (size_t at = 0, len = strlen(w->text); at < len; at += piece)
		diagnosed_log_feed(log, w->text + at, MIN(piece, len - at));
	diagnosed_log_end(log);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	enum diagnosis_verdict verdict = diagnosis_verdict(d, NULL, &f);
	const struct finding *first = f.len > 0 && f.items[0].severity != FINDING_INFO ? &f.items[0] : NULL;
	bool right = verdict == w->verdict && f.fatals == w->fatals && (first ? first->line : 0) == w->line;
	right = right && (!first || first->kind == w->class) && (!w->word || (first && strstr(first->what, w->word)));
	if (!right)
		fprintf(stderr, "pieces of %zu: %s, %u fatal, line %u, %s: %s, of:\n%s\n", piece,
			diagnosis_verdict_name(verdict), f.fatals, first ? first->line : 0,
			first ? finding_class_name(first->kind) : "", first ? first->what : "", w->text);
	findings_done(&f);
	diagnosis_destroy(d);
	return right;
}

static void all_as_wanted(const struct want *wants, size_t count)
{
	uint32_t failed = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t piece = 1; piece < 4000; piece = piece * 9 + 60)
			failed += !is_as_wanted(&wants[i], piece);
	assert_int_equal(failed, 0);
}

#define OOM                                                                                                            \
	"ggml_backend_cuda_buffer_type_alloc_buffer: allocating 812.00 MiB on device 0: cudaMalloc failed: out of memory\n"
#define CHECK "/src/ggml/src/ggml-zork.cpp:20: GGML_ASSERT(valves > 0) failed\n"

static void a_cause_is_told_before_what_only_follows_from_it(void **state)
{
	static const struct want wants[] = {
		/* A crash behind a lack of memory, near and far; of another process it is another cause. */
		{OOM "waiting\n" CHECK, DIAGNOSIS_FAILED, 1, 1, FINDING_CAPACITY, NULL},
		{OOM LINES10 LINES10 LINES10 CHECK, DIAGNOSIS_FAILED, 1, 1, FINDING_CAPACITY, NULL},
		{"pump-1   | " OOM "valve-1  | " CHECK, DIAGNOSIS_FAILED, 2, 1, FINDING_CAPACITY, NULL},
		{CHECK OOM, DIAGNOSIS_FAILED, 2, 2, FINDING_CAPACITY, NULL},
		/* Close behind it what else is known follows; what comes later is another thing. */
		{"E0101 1 x.go:1] Failed to initialize NVML: Unknown Error.\nI0101 1 x.go:2] No devices found. Waiting indefinitely.\n",
			DIAGNOSIS_FAILED, 1, 1, FINDING_ENVIRONMENT, NULL},
		{"OSError: [Errno 98] Address already in use\n" LINES10 LINES10 LINES10
		 "RuntimeError: Could not find nvcc\n",
			DIAGNOSIS_FAILED, 2, 1, FINDING_CONFIGURATION, NULL},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

static void a_compiler_says_more_than_who_called_it(void **state)
{
	static const struct want wants[] = {
		{"RuntimeError: Ninja build failed. Ninja output:\nFAILED: a.o\nnvcc fatal   : the zork table is torn\nninja: "
		 "build stopped: subcommand failed.\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 3, FINDING_CRASH, "zork table"},
		{"(W pid=3) ERROR 01-01 10:00:00 [a.py:1] RuntimeError: Error building extension 'zork'\n(W pid=3) ERROR 01-01 10:00:00 [a.py:1] "
		 "collect2: error: ld returned 1 exit status\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 2, FINDING_CRASH, "ld returned"},
		{"ptxas fatal   : the table of zorks is torn\nninja: build stopped: subcommand failed.\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CRASH, "of zorks"},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

static void a_line_that_passes_on_a_reason_is_better_than_one_that_does_not(void **state)
{
	static const struct want wants[] = {
		{"load: begins\nllama_model_load: error loading model: unable to allocate zork buffer\nzork: load failed\n ERR [ load_model] no model | "
		 "tid=\"7\"\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 2, FINDING_CAPACITY, "zork buffer"},
		{"llama_model_load: error loading model: the key zork.depth must be a number\nE srv main: no model\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CONFIGURATION, "zork.depth"},
		/* An error before it is the root. */
		{"E pump: the disk of shard 3 failed, a bad sector\nllama_model_load: error loading model: read error\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CRASH, "bad sector"},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

static void what_says_why_in_a_line_beside_its_error_is_the_root(void **state)
{
	static const struct want wants[] = {
		/* NCCL's own line, not the error that points at it. */
		{"n:1:2 [0] valves.cc:9 NCCL WARN the valve of rank 3 is torn\nRuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for "
		 "details)\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_ENVIRONMENT, "valve of rank 3"},
		{"RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)\n",
			DIAGNOSIS_FAILED, 1, 1, FINDING_ENVIRONMENT, NULL},
		/* What a panic says stands behind it. */
		{"thread 'zork' panicked at src/pump.rs:3:1:\nno such file or directory: /etc/zork\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_ENVIRONMENT, "/etc/zork"},
		{"thread 'zork' panicked at src/pump.rs:3:1:\ncalled `Result::unwrap()` on an `Err` value: Os { code: 98, kind: AddrInUse, message: \"Address "
		 "already in use\" }\n",
			DIAGNOSIS_FAILED, 1, 2, FINDING_CONFIGURATION, "port"},
		/* An event of any scheduler. */
		{"  Warning  Unschedulable  3s  zork-scheduler  2 node(s) didn't have enough valves\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CAPACITY, NULL},
		{"  Warning  DNSConfigForming  3s  kubelet  Search Line limits were not kept\n", DIAGNOSIS_HEALTHY, 0,
			0, 0, NULL},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

static void what_was_printed_last_before_a_death_is_told_with_it(void **state)
{
	static const struct want wants[] = {
		{"pump is made ready\nThe flux of valve 7 was torn by the pump\nAborted (core dumped)\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 3, FINDING_CRASH, "valve 7"},
		{"x\nvalve 9: Permission denied by the pump of this host\n\n\nservice exited with code 3\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 5, FINDING_ENVIRONMENT, "valve 9"},
		/* What a logger calls milder does not say why, nor does another death. */
		{"INFO pump: all 7 valves are open\nAborted (core dumped)\n", DIAGNOSIS_UNKNOWN_CAUSE, 1, 2,
			FINDING_CRASH, "catalogue: Aborted"},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

static void what_an_assertion_says_of_the_world_classes_it(void **state)
{
	static const struct want wants[] = {
		{"AssertionError: depth (8) must be a multiple of 3\n", DIAGNOSIS_UNKNOWN_CAUSE, 1, 1,
			FINDING_CONFIGURATION, NULL},
		{"AssertionError: valve 3 is torn\n", DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CRASH, NULL},
		/* An exception that wraps another names it. */
		{"zork.tasks.TaskError(FluxError): zork::run() (pid=7)\n", DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CRASH,
			"TaskError(FluxError)"},
		/* A shell that finds no program, at the end and not. */
		{"x\nrun.sh: line 8: zorkd: command not found\n", DIAGNOSIS_UNKNOWN_CAUSE, 1, 2, FINDING_ENVIRONMENT,
			"zorkd"},
		{"run.sh: line 8: zork-smi: command not found\n" SERVING, DIAGNOSIS_HEALTHY, 0, 0, 0, NULL},
		{"TypeError: depth must be a zork\n", DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CRASH, NULL},
		{"$ zorkd --serve\nIllegal instruction\n", DIAGNOSIS_UNKNOWN_CAUSE, 1, 2, FINDING_ENVIRONMENT, NULL},
		/* The Xid that was before it is named in it. */
		{"NVRM: Xid (PCI:0000:0c:00): 45, pid=7, name=zork, Ch 00000001 caused by previous Xid 149\n",
			DIAGNOSIS_FAILED, 1, 1, FINDING_ENVIRONMENT, "0000:0c:00"},
		{"NVRM: Xid (PCI:0000:0c:00): 45, pid=7, name=zork, Ch 00000001 caused by previous Xid 48\n",
			DIAGNOSIS_FAILED, 1, 1, FINDING_ENVIRONMENT, "memory of the GPU"},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

static void a_log_that_ends_while_an_engine_starts_does_not_tell(void **state)
{
	static const struct want wants[] = {
		{"INFO 01-01 [core.py:58] Initializing a V1 LLM engine (v0.20.1) with config: x\n",
			DIAGNOSIS_CANNOT_TELL, 0, 0, 0, NULL},
		{"INFO [gpu_model_runner.py:1] Starting to load model /m...\nLoading safetensors checkpoint shards:  50% Completed | 1/2\n",
			DIAGNOSIS_CANNOT_TELL, 0, 0, 0, NULL},
		{"[2026-01-01 10:00:00 TP0] Load weight begin. avail mem=70.1 GB\n", DIAGNOSIS_CANNOT_TELL, 0, 0, 0,
			NULL},
		{"srv    load_model: loading model '/m/x.gguf'\nllama_context: constructing llama_context\n",
			DIAGNOSIS_CANNOT_TELL, 0, 0, 0, NULL},
		/* It came up, of a worker that has no server too. */
		{"srv    load_model: loading model '/m/x.gguf'\nmain: server is listening on http://127.0.0.1:80\n",
			DIAGNOSIS_HEALTHY, 0, 0, 0, NULL},
		{"INFO Initializing a V1 LLM engine (v0.20.1) with config: x\nINFO init engine (profile, create kv cache, warmup model) took 7 s\n",
			DIAGNOSIS_HEALTHY, 0, 0, 0, NULL},
		{"[TP0] Load weight begin. avail mem=70.1 GB\n[TP0] Decode batch, #running-req: 1\n", DIAGNOSIS_HEALTHY,
			0, 0, 0, NULL},
		/* And starts again. */
		{"llama_context: constructing llama_context\nmain: server is listening on x\nsrv    load_model: loading model '/m/y.gguf'\n",
			DIAGNOSIS_CANNOT_TELL, 0, 0, 0, NULL},
		/* A part of a log without any start. */
		{REQUEST REQUEST, DIAGNOSIS_HEALTHY, 0, 0, 0, NULL},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

static void a_server_whose_requests_fail_or_whose_last_words_are_an_error_is_not_called_well(void **state)
{
	static const struct want wants[] = {
		{SERVING REQUEST "ERROR 01-01 10:00:00 [pump.py:3] the valve of request 7 is torn\n",
			DIAGNOSIS_CANNOT_TELL, 0, 3, FINDING_CRASH, "request 7"},
		{SERVING "ERROR 01-01 10:00:00 [pump.py:3] the valve of request 7 is torn\n" REQUEST, DIAGNOSIS_HEALTHY,
			0, 2, FINDING_CRASH, NULL},
		{SERVING "WARNING 01-01 10:00:00 [pump.py:3] the valve of request 7 is slow\n", DIAGNOSIS_HEALTHY, 0, 0,
			0, NULL},
		{SERVING
			"INFO:     1.2.3.4:5 - \"POST /v1/chat/completions HTTP/1.1\" 500 Internal Server Error\n" REQUEST,
			DIAGNOSIS_CANNOT_TELL, 0, 2, FINDING_CRASH, "HTTP 500"},
		{SERVING "1.2.3.4 - - [01/Jan/2026:10:00:00 +0000] \"POST /v1/x HTTP/1.1\" 500 177 \"-\" \"curl\"\n",
			DIAGNOSIS_CANNOT_TELL, 0, 2, FINDING_CRASH, "HTTP 500"},
		{"[GIN] 2026/01/01 - 10:00:00 | 500 |  1.2s | 127.0.0.1 | POST     \"/api/chat\"\n",
			DIAGNOSIS_CANNOT_TELL, 0, 1, FINDING_CRASH, "/api/chat"},
		{"srv  log_server_r: done request: POST /v1/chat/completions 127.0.0.1 500\n", DIAGNOSIS_CANNOT_TELL, 0,
			1, FINDING_CRASH, "/v1/chat/completions"},
		/* The client's own mistakes, and what only has the number. */
		{SERVING
			"INFO:     1.2.3.4:5 - \"POST /v1/chat/completions HTTP/1.1\" 400 Bad Request\nINFO:     1.2.3.4:5 - \"GET /x HTTP/1.1\" 404 "
			"Not Found\nsrv  log_server_r: done request: POST /v1/x 127.0.0.1 200\nprompt of 500 tokens\n",
			DIAGNOSIS_HEALTHY, 0, 0, 0, NULL},
		/* Of a start that failed they only follow. */
		{"llama_model_load: error loading model: zork\n[GIN] x | 500 |  1.2s | 127.0.0.1 | POST     \"/api/chat\"\n",
			DIAGNOSIS_UNKNOWN_CAUSE, 1, 1, FINDING_CRASH, NULL},
	};
	(void)state;

	all_as_wanted(wants, ARRAY_LEN(wants));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cause_is_told_before_what_only_follows_from_it),
		cmocka_unit_test(a_compiler_says_more_than_who_called_it),
		cmocka_unit_test(a_line_that_passes_on_a_reason_is_better_than_one_that_does_not),
		cmocka_unit_test(what_says_why_in_a_line_beside_its_error_is_the_root),
		cmocka_unit_test(what_was_printed_last_before_a_death_is_told_with_it),
		cmocka_unit_test(what_an_assertion_says_of_the_world_classes_it),
		cmocka_unit_test(a_log_that_ends_while_an_engine_starts_does_not_tell),
		cmocka_unit_test(a_server_whose_requests_fail_or_whose_last_words_are_an_error_is_not_called_well),
	};

	return cmocka_run_group_tests(tests, catalogue_open, catalogue_close);
}
