/* What tools print of pods, containers, nodes and events is read by what it means: files of tests/logs/tools, and that what is
 * none of them stays what it is, however it is cut. */
#include "plan/diagnose_form.h"
#include "plan/diagnose_log.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"

enum { FILE_BYTES_MAX = 1 << 18 };

/* As text: the verdict, the lines there are, and of each finding its code, line, cause and evidence. */
static void answer_of(const char *text, size_t len, size_t piece, struct buf *ret)
{
	CLEANUP(diagnosis_destroy_p) struct diagnosis *d = NULL;
	CLEANUP(log_reader_destroy_p) struct log_reader *r = NULL;
	struct findings f;

	assert_int_equal(diagnosis_create(&d, catalogue, NULL), 0);
	struct diagnosed_log *log = diagnosis_log(d, "x");
	assert_int_equal(log_reader_create(&r, log, text, len, NULL), 0);
	for (size_t at = 0; at < len; at += piece)
		log_reader_feed(r, text + at, MIN(piece, len - at));
	log_reader_end(r);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	buf_init(ret, 1 << 20);
	buf_printf(ret, "%s%s %llu lines\n", diagnosis_verdict_name(diagnosis_verdict(d, NULL, &f)),
		log_reader_only_wishes(r) ? ", only wishes" : "", (unsigned long long)diagnosed_log_lines(log));
	for (uint32_t i = 0; i < f.len; i++) {
		assert_true(f.items[i].line >= 1 && f.items[i].line <= diagnosed_log_lines(log));
		buf_printf(ret, "%s %s:%u: %s | %s\n", finding_severity_name(f.items[i].severity), f.items[i].code,
			f.items[i].line, f.items[i].what, f.items[i].evidence ? f.items[i].evidence : "");
	}
	findings_done(&f);
}

static size_t file_read(const char *name, char *ret)
{
	char path[256];

	snprintf(path, sizeof path, "tests/logs/tools/%s", name);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	size_t len = fread(ret, 1, FILE_BYTES_MAX, f);
	fclose(f);
	assert_true(len > 0 && len < FILE_BYTES_MAX);
	return len;
}

struct expected {
	const char *file, *verdict, *first; /* first: how the first finding begins; "": there is none */
	const char *says[3]; /* somewhere in the answer */
};

static const struct expected table[] = {
	{"describe-oom.txt", "failed 62",
		"fatal pod-memory:33:", {"main of pod llm/decode-0", "memory limit 48Gi", "restarted 7 times"}},
	{"describe-probe.txt", "failed 62", "fatal pod-probe:33:", {"ran for 92 s where its probes give it 90 s"}},
	{"describe-exit-137.txt", "failed 61", "fatal pod-killed:33:", {"exit code 137", "ran for 92 s"}},
	{"describe-exit-1.txt", "failed-unknown-cause 62", "fatal pod-error:33:", {"its log says which"}},
	{"describe-pending.txt", "failed 17",
		"fatal kubernetes-no-gpu:17:", {"no node has enough free GPUs for the pod, which asks for 8,"}},
	{"describe-image.txt", "failed 15", "fatal kubernetes-image:14:", {"registry.local/router:1.2.4"}},
	{"describe-message.txt", "failed-unknown-cause 17",
		"fatal unlisted-exception:8:", {"zork.FluxError: the flux is low"}},
	{"describe-ready.txt", "healthy 20",
		"warning pod-runs-again:12:", {"exit code 1, ran for 9 s, restarted 1 time"}},
	{"describe-node.txt", "failed 21", "fatal node-gpus-missing:17:", {"offers 7 of its 8 GPUs"}},
	{"pod-oom.yaml", "failed 60",
		"fatal pod-memory:48:", {"engine of pod prod/web-5f", "memory limit 24Gi", "restarted 4 times"}},
	{"pod-oom.json", "failed 88", "fatal pod-memory:68:", {"engine of pod prod/web-5f", "memory limit 24Gi"}},
	{"podlist.json", "failed 97", "fatal pod-memory:71:", {"engine of pod prod/web-5f", "restarted 4 times"}},
	{"podlist-compact.json", "failed 1", "fatal pod-memory:1:", {"engine of pod prod/web-5f"}},
	{"inspect-oom.json", "failed 33",
		"fatal pod-memory:15:", {"vllm-1", "memory limit 16 GiB", "restarted 2 times"}},
	{"inspect-bus.json", "failed 33", "fatal pod-bus:15:", {"/dev/shm of 64 MiB"}},
	{"inspect-no-program.json", "failed 33", "fatal pod-program-missing:16:", {"not on its PATH: vllm"}},
	{"inspect-ok.json", "healthy 33", "", {NULL}},
	{"crictl.json", "failed 36", "fatal pod-segfault:5:", {"main of pod llm/w-0", "memory limit 8 GiB"}},
	{"events.json", "failed 23", "fatal kubernetes-no-gpu:13:", {NULL}},
	{"events.yaml", "failed 16", "fatal kubernetes-no-gpu:10:", {NULL}},
	{"docker-log.json", "failed-unknown-cause 6",
		"fatal unlisted-exception:5:", {"zork.FluxError: the flux is low"}},
	{"journald.json", "failed 4", "fatal nvml-missing:4:", {"vllm[77]: NVML Shared"}},
	{"pods.txt", "failed 4", "fatal pod-image:4:", {"llm/frontend-5d"}},
	{"pods-oom.txt", "failed 2", "fatal pod-memory:2:", {"in pod decode-0", "restarted 3 times"}},
	{"ps.txt", "failed 3", "fatal pod-segfault:2:", {"vllm-1"}},
	{"compose.txt", "failed 2", "fatal pod-program-missing:2:", {"x-vllm-1"}},
	{"describe-unready.txt", "failed 20", "fatal pod-unready:20:", {"connection refused"}},
	{"describe-ready-now.txt", "healthy 20", "", {NULL}},
	{"describe-live.txt", "failed 22", "fatal pod-probe:12:", {"ran for 5 min where its probes give it 4 min"}},
	{"describe-evicted.txt", "failed 14", "fatal kubernetes-evicted:7:", {"ran out of memory"}},
	{"pods-lost.txt", "failed 4", "fatal pod-node-lost:2:", {"decode-0"}},
	{"inspect-driver.json", "failed 17", "fatal docker-driver-init:9:", {"driver not loaded"}},
	{"inspect-unhealthy.json", "failed 1", "fatal pod-unready:1:", {"Failed to connect"}},
	{"node-bad.yaml", "failed 16", "fatal node-not-ready:12:", {"cni plugin not initialized"}},
	{"pod-healthy.yaml", "healthy 22", "", {NULL}},
	{"job-failed.yaml", "failed 15", "fatal object-condition:11:", {"BackoffLimitExceeded"}},
	{"pod-pending.yaml", "failed 22", "fatal kubernetes-no-gpu:17:", {"for the pod, which asks for 4,"}},
	{"gcp.json", "failed-unknown-cause 16", "fatal unlisted-exception:13:", {"zork.FluxError: the flux is low"}},
	{"cloudwatch.json", "failed 15", "fatal nvml-missing:10:", {NULL}},
	{"crictl-ps.txt", "failed-unknown-cause 3", "fatal pod-crashes:2:", {"decode-0/main", "7 times"}},
	{"nodes.txt", "failed 3", "fatal node-table:3:", {"gpu-3"}},
	{"nvidia-smi.txt", "healthy 16", "warning smi-memory-errors:9:", {"(3)"}},
	{"dmesg-noise.txt", "healthy 13", "info kernel-noise:3:", {NULL}},
	{"bug-report.txt", "failed 47", "fatal gpu-ecc:39:", {"Xid 48"}},
	{"systemctl.txt", "failed 7", "fatal systemd-memory:3:", {NULL}},
	{"cluster-dump.txt", "failed 27", "fatal nvml-missing:26:", {NULL}},
	{"deployment.yaml", "healthy, only wishes 12", "", {NULL}},
};

static bool is_right(const struct expected *e, const char *answer)
{
	const char *line = strchr(answer, '\n') + 1;
	bool right = strncmp(answer, e->verdict, strlen(e->verdict)) == 0 &&
		     (*e->first ? strncmp(line, e->first, strlen(e->first)) == 0 : *line == '\0');

	for (size_t i = 0; i < ARRAY_LEN(e->says) && e->says[i]; i++)
		right = right && strstr(answer, e->says[i]);
	if (!right)
		fprintf(stderr, "%s: wanted \"%s\", \"%s\"; got\n%s", e->file, e->verdict, e->first, answer);
	return right;
}

static void each_form_tells_its_cause_with_its_numbers_however_it_is_cut(void **state)
{
	static const size_t pieces[] = {FILE_BYTES_MAX, 1, 7, 100};
	char *text = malloc(FILE_BYTES_MAX);
	uint32_t wrong = 0;
	(void)state;

	assert_non_null(text);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		size_t len = file_read(table[i].file, text);
		struct buf whole, cut;

		answer_of(text, len, pieces[0], &whole);
		wrong += !is_right(&table[i], buf_str(&whole));
		for (size_t k = 1; k < ARRAY_LEN(pieces); k++) {
			answer_of(text, len, pieces[k], &cut);
			assert_string_equal(buf_str(&cut), buf_str(&whole));
			buf_done(&cut);
		}
		buf_done(&whole);
	}
	free(text);
	assert_int_equal(wrong, 0);
}

static void the_end_of_a_container_is_told_by_its_code_and_reason(void **state)
{
	static const struct {
		const char *code, *reason, *want;
	} cases[] = {{"137", "OOMKilled", "fatal pod-memory"}, {"0", "OOMKilled", "fatal pod-memory"},
		{"137", "Error", "fatal pod-killed"}, {"139", "Error", "fatal pod-segfault"},
		{"134", "Error", "fatal pod-abort"}, {"135", "Error", "fatal pod-bus"},
		{"132", "Error", "fatal pod-illegal"}, {"143", "Error", "warning pod-stopped"},
		{"159", "Error", "fatal pod-signal"}, {"126", "Error", "fatal pod-not-executable"},
		{"127", "Error", "fatal pod-program-missing"}, {"128", "StartError", "fatal pod-not-started"},
		{"2", "Error", "fatal pod-usage"}, {"1", "Error", "fatal pod-error"},
		{"77", "Error", "fatal pod-error"}, {"255", "Error", "fatal pod-error"},
		{"0", "Completed", "fatal pod-ends-well"}, {"137", "ContainerStatusUnknown", "fatal pod-node-lost"}};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[1024];
		struct buf answer;

		snprintf(text, sizeof text,
			"{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"p-%zu\"},\n"
			"\"status\": {\"containerStatuses\": [{\"name\": \"c\", \"ready\": false, \"restartCount\": 3,\n"
			"\"lastState\": {\"terminated\": {\"exitCode\": %s, \"reason\": \"%s\"}},\n"
			"\"state\": {\"waiting\": {\"reason\": \"CrashLoopBackOff\"}}}]}}\n",
			i, cases[i].code, cases[i].reason);
		answer_of(text, strlen(text), 1000, &answer);
		const char *first = strchr(buf_str(&answer), '\n') + 1;
		if (strncmp(first, cases[i].want, strlen(cases[i].want)) != 0)
			fail_msg("%s %s: wanted %s, got %s", cases[i].code, cases[i].reason, cases[i].want,
				buf_str(&answer));
		buf_done(&answer);
	}
}

/* What begins as a document and is none is a part of the log, with the line numbers of the file. */
static void text_that_only_looks_like_a_document_stays_a_log(void **state)
{
	static const char *const logs[] = {
		"[rank0]: Traceback (most recent call last):\n[rank0]:   File \"x\"\n[rank0]: zork.FluxError: low\n",
		"{\n  \"level\": \"error\",\n  \"message\": \"no\"\n}\nzork.FluxError: low\n",
		"{not json\nzork.FluxError: low\n",
		"{\"a\": [1, 2,\nzork.FluxError: low\n",
		"NAME  the name\nzork.FluxError: low\n",
		"Name:  x is what I am called\nzork.FluxError: low\n",
		"kind: of strange\nzork.FluxError: low\n",
		"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: b\nzork.FluxError: low\n",
		"[{\"a\": 1}]\nINFO fine\nzork.FluxError: low",
		"{\"log\":\"zork.FluxError: low\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-30T10:00:00Z\"}",
	};
	static const unsigned lines[] = {3, 5, 2, 2, 2, 2, 2, 5, 3, 1};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		char want[80];
		struct buf whole, cut;

		snprintf(want, sizeof want, "failed-unknown-cause %u lines\nfatal unlisted-exception:%u:", lines[i],
			lines[i]);
		answer_of(logs[i], strlen(logs[i]), 4096, &whole);
		if (strncmp(buf_str(&whole), want, strlen(want)) != 0)
			fail_msg("%s: wanted %s, got %s", logs[i], want, buf_str(&whole));
		answer_of(logs[i], strlen(logs[i]), 1, &cut);
		assert_string_equal(buf_str(&cut), buf_str(&whole));
		buf_done(&whole);
		buf_done(&cut);
	}
}

/* A document that ends early says what stands in it; a line of any length and depth is read. */
static void documents_that_are_cut_or_strange_are_read_as_far_as_they_go(void **state)
{
	char *text = malloc(FILE_BYTES_MAX), deep[2048];
	struct buf answer;
	(void)state;

	assert_non_null(text);
	size_t len = file_read("pod-oom.json", text);
	const char *ready = strstr(text, "\"ready\"");
	assert_non_null(ready);
	for (size_t n = 0; n < len; n += 97) {
		answer_of(text, n, 1000, &answer);
		if (n > (size_t)(ready - text)) /* its end has been read */
			assert_non_null(strstr(buf_str(&answer), "fatal pod-memory:68:"));
		buf_done(&answer);
	}
	free(text);
	memset(deep, '[', sizeof deep);
	deep[1] = '{';
	answer_of(deep, sizeof deep, 100, &answer);
	buf_done(&answer);
	struct buf wide;
	buf_init(&wide, 1 << 20);
	buf_add_str(&wide, "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"annotations\": {\"x\": \"");
	for (int i = 0; i < 20000; i++)
		buf_add_str(&wide, "error \\u00e9 ");
	buf_add_str(&wide, "\"}}, \"status\": {\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": "
			   "\"The node was low on resource: memory.\"}}");
	answer_of(buf_str(&wide), wide.len, 5000, &answer);
	assert_non_null(strstr(buf_str(&answer), "fatal kubernetes-evicted:1:"));
	buf_done(&answer);
	buf_done(&wide);
}

static void an_object_that_is_not_closed_is_not_called_well(void **state)
{
	static const char head[] =
		"[\n {\n  \"Name\": \"/zork\",\n  \"State\": {\n   \"Status\": \"running\",\n   \"Running\": true\n";
	static const char tail[] = "  }\n }\n]\n";
	char text[sizeof head + sizeof tail];
	struct buf whole, cut;
	(void)state;

	snprintf(text, sizeof text, "%s%s", head, tail);
	answer_of(text, strlen(text), 1000, &whole);
	answer_of(head, strlen(head), 1000, &cut);
	assert_non_null(strstr(buf_str(&whole), "healthy"));
	assert_non_null(strstr(buf_str(&cut), "cannot-tell"));
	buf_done(&whole);
	buf_done(&cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_form_tells_its_cause_with_its_numbers_however_it_is_cut),
		cmocka_unit_test(the_end_of_a_container_is_told_by_its_code_and_reason),
		cmocka_unit_test(text_that_only_looks_like_a_document_stays_a_log),
		cmocka_unit_test(documents_that_are_cut_or_strange_are_read_as_far_as_they_go),
		cmocka_unit_test(an_object_that_is_not_closed_is_not_called_well),
	};
	return cmocka_run_group_tests(tests, catalogue_open, catalogue_close);
}
