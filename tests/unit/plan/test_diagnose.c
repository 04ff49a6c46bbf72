/* The diagnoser: each entry of the catalogue by its own example, the collected logs of tests/logs, several logs together, logs
 * cut anywhere, and what is said of a graph. */
#include "plan/diagnose.h"
#include "plan/diagnose_graph.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

enum { FILE_BYTES_MAX = 1 << 20 };

static struct catalogue *catalogue;

static int catalogue_open(void **state)
{
	struct diags diags;
	struct err err = {0};
	struct buf text;
	(void)state;

	diags_init(&diags);
	int r = catalogue_create(&catalogue, NULL, &diags, &err);
	buf_init(&text, 1 << 20);
	diags_print(&diags, DIAG_NOTICE, &text);
	if (r < 0)
		fprintf(stderr, "%s\n%s", err.msg, buf_str(&text));
	buf_done(&text);
	diags_done(&diags);
	return r;
}

static int catalogue_close(void **state)
{
	(void)state;
	catalogue_destroy(catalogue);
	return 0;
}

struct look {
	struct diagnosis *diagnosis;
	struct findings findings;
};

static struct look look_begin(void)
{
	struct look l = {0};

	assert_int_equal(diagnosis_create(&l.diagnosis, catalogue, NULL), 0);
	findings_init(&l.findings);
	return l;
}

static void look_at(struct look *l, const char *name, const char *text, size_t len, size_t piece)
{
	struct diagnosed_log *log = diagnosis_log(l->diagnosis, name);

	assert_non_null(log);
	for (size_t at = 0; at < len; at += piece)
		diagnosed_log_feed(log, text + at, MIN(piece, len - at));
	diagnosed_log_end(log);
}

static void look_done(struct look *l)
{
	findings_done(&l->findings);
	diagnosis_destroy(l->diagnosis);
}

static struct look look_text(const char *text)
{
	struct look l = look_begin();

	look_at(&l, "x.log", text, strlen(text), strlen(text) + 1);
	diagnosis_conclude(l.diagnosis, NULL, NULL, &l.findings);
	return l;
}

/* The code of the root cause, or "none". */
static const char *root_of(const struct look *l)
{
	return findings_have_cause(&l->findings) ? l->findings.items[0].code : "none";
}

static void each_example_shows_its_signature(void **state)
{
	uint32_t failed = 0;
	(void)state;

	assert_true(catalogue_len(catalogue) >= 100);
	for (uint32_t i = 0; i < catalogue_len(catalogue); i++) {
		const struct signature *s = catalogue_at(catalogue, i);

		if (s->kind == SIGNATURE_MARKER)
			continue;
		struct look l = look_text(s->example);
		bool fatal = s->severity == FINDING_FATAL;
		const char *want = fatal ? s->id : "none";
		if (!*s->example || !findings_has(&l.findings, s->id) || strcmp(root_of(&l), want) != 0) {
			fprintf(stderr, "the example of %s: root cause %s, wanted %s%s\n", s->id, root_of(&l), want,
				findings_has(&l.findings, s->id) ? "" : "; the entry itself was not met");
			failed++;
		}
		for (uint32_t k = 0; k < l.findings.len; k++)
			if (strstr(l.findings.items[k].what, "?") && strcmp(l.findings.items[k].code, s->id) == 0) {
				fprintf(stderr, "the example of %s leaves a gap: %s\n", s->id,
					l.findings.items[k].what);
				failed++;
			}
		look_done(&l);
	}
	assert_int_equal(failed, 0);
}

static size_t file_read(const char *path, char *ret)
{
	FILE *f = fopen(path, "re");

	if (!f)
		fail_msg("could not open %s", path);
	size_t len = fread(ret, 1, FILE_BYTES_MAX - 1, f);
	fclose(f);
	ret[len] = '\0';
	return len;
}

static char *file_text;

static struct look look_file(const char *name)
{
	char path[256];
	struct look l = look_begin();

	snprintf(path, sizeof path, "tests/logs/%s.log", name);
	size_t len = file_read(path, file_text);
	look_at(&l, path, file_text, len, len + 1);
	diagnosis_conclude(l.diagnosis, NULL, NULL, &l.findings);
	return l;
}

static bool telling_has(const struct look *l, const char *word)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	diagnosis_telling(l->diagnosis, NULL, 100, &text);
	bool ret = strstr(buf_str(&text), word) != NULL;
	buf_done(&text);
	return ret;
}

static void each_collected_log_has_its_root_cause_first(void **state)
{
	char line[512], name[128], want[128], word[128];
	FILE *f = fopen("tests/logs/expected.txt", "re");
	uint32_t failed = 0, causes = 0, healthy = 0;
	(void)state;

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		int n = *line == '#' ? 0 : sscanf(line, "%127s %127s %127s", name, want, word);

		if (n < 2)
			continue;
		bool none = strcmp(want, "none") == 0, unlisted = strcmp(want, "unknown") == 0;
		struct look l = look_file(name);
		if (strcmp(root_of(&l), unlisted ? "unlisted-exception" : want) != 0 ||
			(unlisted && !strstr(l.findings.items[0].what, word)) || (n == 3 && !telling_has(&l, word))) {
			fprintf(stderr, "%s.log: root cause %s, wanted %s\n", name, root_of(&l), want);
			failed++;
		}
		causes += !none && !unlisted;
		healthy += strcmp(want, "none") == 0;
		look_done(&l);
	}
	fclose(f);
	assert_int_equal(failed, 0);
	assert_true(causes >= 25);
	assert_true(healthy >= 10);
}

static void the_rank_that_failed_first_is_named_among_those_that_waited(void **state)
{
	struct look l = look_begin();
	(void)state;

	for (int i = 0; i < 4; i++) {
		char path[64];

		snprintf(path, sizeof path, "tests/logs/ranks/rank%d.log", i);
		size_t len = file_read(path, file_text);
		look_at(&l, path, file_text, len, len + 1);
	}
	diagnosis_conclude(l.diagnosis, NULL, NULL, &l.findings);
	assert_string_equal(root_of(&l), "cuda-oom-running");
	assert_string_equal(l.findings.items[0].file, "tests/logs/ranks/rank2.log");
	assert_int_equal(l.findings.items[0].line, 6);
	assert_true(findings_has(&l.findings, "nccl-timeout"));
	assert_int_equal(l.findings.fatals, 1);
	look_done(&l);
}

static void the_same_message_of_several_logs_is_told_once(void **state)
{
	static const char text[] = "NVML Shared Library Not Found\n";
	struct look l = look_begin();
	(void)state;

	for (int i = 0; i < 7; i++) {
		char name[16];

		snprintf(name, sizeof name, "w%d", i);
		look_at(&l, name, text, strlen(text), 3);
	}
	diagnosis_conclude(l.diagnosis, NULL, NULL, &l.findings);
	assert_int_equal(l.findings.len, 1);
	assert_non_null(strstr(l.findings.items[0].evidence, "and in 3 more logs"));
	look_done(&l);
}

static void of_equal_causes_the_one_that_came_first_by_the_clock_is_the_root(void **state)
{
	static const char
		late[] = "2026-10-02 12:00:09 x RuntimeError: Failed to find C compiler. Please specify via CC "
			 "environment variable\n",
		early[] = "2026-10-02 12:00:03 x Error 804: forward compatibility was attempted on non supported HW\n";
	struct look l = look_begin();
	(void)state;

	look_at(&l, "a", late, strlen(late), 1000);
	look_at(&l, "b", early, strlen(early), 1000);
	diagnosis_conclude(l.diagnosis, NULL, NULL, &l.findings);
	assert_string_equal(root_of(&l), "cuda-compat");
	look_done(&l);
}

static void capacity_comes_before_configuration_before_environment(void **state)
{
	struct look l = look_text("libcuda.so.1: cannot open shared object file\n"
				  "vllm: error: unrecognized arguments: --x\n"
				  "ValueError: No available memory for the cache blocks.\n");
	(void)state;

	assert_int_equal(l.findings.len, 3);
	assert_int_equal(l.findings.items[0].kind, FINDING_CAPACITY);
	assert_int_equal(l.findings.items[1].kind, FINDING_CONFIGURATION);
	assert_int_equal(l.findings.items[2].kind, FINDING_ENVIRONMENT);
	assert_int_equal(l.findings.items[0].line, 3);
	look_done(&l);
}

static void print_json(const struct look *l, struct buf *out)
{
	buf_init(out, 1 << 20);
	diagnosis_json(diagnosis_verdict(l->diagnosis, NULL, &l->findings), &l->findings, out);
	diagnosis_telling(l->diagnosis, NULL, 100, out);
}

static void a_log_cut_anywhere_says_the_same(void **state)
{
	static const char *const names[] = {
		"vllm-no-weights", "dynamo-2025-t4-nvml", "vllm-unknown-failure", "vllm-healthy"};
	struct rng rng;
	(void)state;

	rng_init(&rng, 11);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct look whole = look_file(names[i]);
		struct buf want, got;
		char path[128];

		snprintf(path, sizeof path, "tests/logs/%s.log", names[i]);
		size_t len = file_read(path, file_text);
		print_json(&whole, &want);
		for (int k = 0; k < 20; k++) {
			struct look cut = look_begin();

			look_at(&cut, path, file_text, len, k == 0 ? 1 : 1 + rng_below(&rng, 300));
			diagnosis_conclude(cut.diagnosis, NULL, NULL, &cut.findings);
			print_json(&cut, &got);
			assert_string_equal(buf_str(&got), buf_str(&want));
			buf_done(&got);
			look_done(&cut);
		}
		buf_done(&want);
		look_done(&whole);
	}
}

static void a_line_longer_than_any_buffer_is_read(void **state)
{
	size_t len = 300 * 1000;
	char *text = malloc(len + 100);
	(void)state;

	assert_non_null(text);
	memset(text, 'x', len);
	snprintf(text + len, 100, "\nNVML Shared Library Not Found");
	struct look l = look_text(text);
	assert_string_equal(root_of(&l), "nvml-missing");
	look_done(&l);
	l = look_begin();
	look_at(&l, "x", text, strlen(text), 777);
	diagnosis_conclude(l.diagnosis, NULL, NULL, &l.findings);
	assert_int_equal(l.findings.items[0].line, 2);
	look_done(&l);
	free(text);
}

static void a_log_that_is_reset_forgets(void **state)
{
	struct look l = look_begin();
	struct diagnosed_log *log = diagnosis_log(l.diagnosis, "w");
	static const char text[] = "NVML Shared Library Not Found\nsome error\n";
	(void)state;

	diagnosed_log_feed(log, text, strlen(text));
	assert_true(diagnosed_log_is_fatal(log));
	assert_int_equal(diagnosed_log_lines(log), 2);
	diagnosed_log_reset(log);
	assert_false(diagnosed_log_is_fatal(log));
	diagnosis_conclude(l.diagnosis, log, NULL, &l.findings);
	assert_int_equal(l.findings.len, 0);
	assert_false(telling_has(&l, "error"));
	look_done(&l);
}

static void escape_sequences_do_not_reach_the_reader(void **state)
{
	struct look l = look_text("\033[2m2026\033[0m \033[31mERROR\033[0m NVML Shared Library Not Found\033[K\n");
	(void)state;

	assert_string_equal(l.findings.items[0].evidence, "2026 ERROR NVML Shared Library Not Found");
	look_done(&l);
}

/* With a graph. */

static void the_old_launchers_index_error_is_tied_to_the_graph(void **state)
{
	struct diagnose_graph *graph = NULL;
	struct diags diags;
	struct look l = look_begin();
	(void)state;

	diags_init(&diags);
	assert_int_equal(diagnose_graph_load(&graph, "tests/logs/t4-graph.yaml", 4, &diags, NULL), 0);
	size_t len = file_read("tests/logs/dynamo-2025-t4-nvml.log", file_text);
	look_at(&l, "d.log", file_text, len, len);
	diagnosis_conclude(l.diagnosis, NULL, graph, &l.findings);
	const struct finding *f = &l.findings.items[0];
	assert_non_null(strstr(f->what, "asked for GPU index 4 of 4: more workers x GPUs than devices"));
	assert_non_null(
		strstr(f->arithmetic, "tests/logs/t4-graph.yaml:12: VllmWorker asks for 4 workers x 4 GPUs = 16"));
	assert_non_null(strstr(f->arithmetic, "together 32 GPUs > 4 there are"));
	assert_non_null(strstr(f->remedy, "tests/logs/t4-graph.yaml:12"));
	assert_true(findings_has(&l.findings, "flashattention-turing"));
	assert_true(l.findings.items[l.findings.len - 1].harmless);
	look_done(&l);
	diagnose_graph_destroy(graph);
	diags_done(&diags);
}

static void a_key_to_change_is_shown_where_it_stands(void **state)
{
	static const char yaml[] = "Common:\n  max-model-len: 131072\nVllmWorker:\n  common-configs: [max-model-len]\n";
	struct diagnose_graph *graph = NULL;
	struct diags diags;
	struct look l = look_begin();
	(void)state;

	diags_init(&diags);
	assert_int_equal(diagnose_graph_parse(&graph, "g.yaml", yaml, strlen(yaml), 0, &diags, NULL), 0);
	size_t len = file_read("tests/logs/vllm-kv-too-small.log", file_text);
	look_at(&l, "d.log", file_text, len, len);
	diagnosis_conclude(l.diagnosis, NULL, graph, &l.findings);
	assert_non_null(strstr(l.findings.items[0].remedy, "g.yaml:2: max-model-len is 131072; make it 46464"));
	findings_reset(&l.findings);
	look_at(&l, "b.log", "Bfloat16 is only supported on GPUs with compute capability of at least\n", 72, 72);
	diagnosis_conclude(l.diagnosis, NULL, graph, &l.findings);
	assert_non_null(strstr(l.findings.items[1].remedy, "g.yaml:3: add \"dtype: half\" to VllmWorker"));
	look_done(&l);
	diagnose_graph_destroy(graph);
	diags_done(&diags);
}

static void numbers_of_devices_are_read(void **state)
{
	(void)state;
	assert_int_equal(diagnose_devices_parse("4xT4"), 4);
	assert_int_equal(diagnose_devices_parse("2xT4,1xL4"), 3);
	assert_int_equal(diagnose_devices_parse("8"), 8);
	assert_int_equal(diagnose_devices_parse("T4"), 0);
	assert_int_equal(diagnose_devices_parse("4yT4"), 0);
	assert_int_equal(diagnose_devices_parse(""), 0);
	assert_int_equal(diagnose_devices_parse("-1xT4"), 0);
}

static int text_make(void **state)
{
	file_text = malloc(FILE_BYTES_MAX);
	return file_text ? catalogue_open(state) : -1;
}

static int text_free(void **state)
{
	free(file_text);
	return catalogue_close(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_example_shows_its_signature),
		cmocka_unit_test(each_collected_log_has_its_root_cause_first),
		cmocka_unit_test(the_rank_that_failed_first_is_named_among_those_that_waited),
		cmocka_unit_test(the_same_message_of_several_logs_is_told_once),
		cmocka_unit_test(of_equal_causes_the_one_that_came_first_by_the_clock_is_the_root),
		cmocka_unit_test(capacity_comes_before_configuration_before_environment),
		cmocka_unit_test(a_log_cut_anywhere_says_the_same),
		cmocka_unit_test(a_line_longer_than_any_buffer_is_read),
		cmocka_unit_test(a_log_that_is_reset_forgets),
		cmocka_unit_test(escape_sequences_do_not_reach_the_reader),
		cmocka_unit_test(the_old_launchers_index_error_is_tied_to_the_graph),
		cmocka_unit_test(a_key_to_change_is_shown_where_it_stands),
		cmocka_unit_test(numbers_of_devices_are_read),
	};

	return cmocka_run_group_tests_name("plan/diagnose", tests, text_make, text_free);
}
