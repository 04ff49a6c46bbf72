/* The planner and the diagnoser where memory ends: each allocation fails in turn. */
#include "plan/diagnose.h"
#include "plan/diagnose_graph.h"
#include "plan/diagnose_input.h"
#include "plan/edit.h"
#include "plan/report.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"
#include "../lib/plan_world.h"

static const char yaml[] = "Frontend:\n  port: 0\nVllmWorker:\n  model: Qwen2.5-7B\n  dtype: bfloat16\n"
			   "  tensor-parallel-size: 3\n  max-model-len: 32768\n  remote-prefill: true\n"
			   "  ServiceArgs: {workers: 4, resources: {gpu: 3}}\n"
			   "PrefillWorker:\n  model: Qwen2.5-7B\n  ServiceArgs: {workers: 2}\n";

static int plan(void *ctx, struct err *err)
{
	const struct plan_world *w = ctx;
	struct plan p;

	int r = plan_make(&p, &w->input, err);
	if (r == 0)
		plan_done(&p);
	return r;
}

static void a_plan_is_made_or_there_is_no_memory(void **state)
{
	(void)state;
	struct plan_world w;

	plan_world_of(&w, yaml, "4xT4");
	assert_true(fail_nth_each(plan, &w) > 0);
	plan_world_done(&w);
}

static int search(void *ctx, struct err *err)
{
	const struct plan *asked = ctx;
	const struct plan_wish wish = {.quants = {{"awq", "org/model-awq"}}, .quants_len = 1, .options = 3};
	struct plan_options found;

	int r = plan_search(&found, asked, &wish, err);
	if (r == 0)
		plan_options_done(&found);
	return r;
}

static void a_search_ends_or_there_is_no_memory(void **state)
{
	(void)state;
	struct plan_world w;
	struct plan asked;

	plan_world_of(&w, "VllmWorker:\n  model: Qwen2.5-7B\n  ServiceArgs: {workers: 4}\n", "2xT4");
	assert_int_equal(plan_make(&asked, &w.input, NULL), 0);
	assert_true(fail_nth_each(search, &asked) > 0);
	plan_done(&asked);
	plan_world_done(&w);
}

static struct catalogue *catalogue;

static int read_catalogue(void *ctx, struct err *err)
{
	struct catalogue *c = NULL;
	struct diags diags;
	(void)ctx;

	diags_init(&diags);
	int r = catalogue_create(&c, NULL, &diags, err);
	catalogue_destroy(c);
	diags_done(&diags);
	return r;
}

static void the_catalogue_of_messages_is_read_or_there_is_no_memory(void **state)
{
	(void)state;
	assert_true(fail_nth_each(read_catalogue, NULL) > 10);
}

/* Nothing in here fails: what there is no memory for is missing. */
static int diagnose(void *ctx, struct err *err)
{
	static const char log[] =
		"INFO something\nNVMLError_InvalidArgument: Invalid Argument\n"
		"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\nan unknown Error: x\n";
	CLEANUP(diagnosis_destroy_p) struct diagnosis *d = NULL;
	struct findings f;
	struct buf out;
	(void)ctx;

	int r = diagnosis_create(&d, catalogue, err);
	if (r < 0)
		return r;
	findings_init(&f);
	buf_init(&out, 1 << 20);
	for (int i = 0; i < 2; i++) {
		struct diagnosed_log *l = diagnosis_log(d, i ? "b.log" : "a.log");
		if (!l)
			continue;
		for (size_t at = 0; at < sizeof log - 1; at += 7)
			diagnosed_log_feed(l, log + at, MIN((size_t)7, sizeof log - 1 - at));
		diagnosed_log_end(l);
		(void)diagnosed_log_is_fatal(l);
	}
	diagnosis_conclude(d, NULL, NULL, &f);
	(void)diagnosis_telling(d, NULL, 10, &out);
	diagnosis_json(diagnosis_verdict(d, NULL, &f), &f, &out);
	buf_done(&out);
	findings_done(&f);
	return 0;
}

/* An archive of a document and of a log, packed: what there is no memory for is missed or named, and nothing else. */
struct bundle {
	char data[65536];
	size_t len;
};

static int bundle_read(void *ctx, struct err *err)
{
	CLEANUP(diagnosis_destroy_p) struct diagnosis *d = NULL;
	const struct bundle *b = ctx;
	struct diagnose_input in;
	struct findings f;
	bool more = true;

	int r = diagnosis_create(&d, catalogue, err);
	if (r < 0)
		return r;
	diagnose_input_init(&in, d);
	r = diagnose_input_begin(&in, "all.tar", err);
	for (size_t at = 0; at < b->len && more && r == 0; at += 999)
		more = diagnose_input_feed(&in, b->data + at, MIN((size_t)999, b->len - at));
	if (r == 0)
		diagnose_input_end(&in);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	findings_done(&f);
	diagnose_input_done(&in);
	return r;
}

static void a_bundle_is_read_as_far_as_there_is_memory(void **state)
{
	struct bundle *b = calloc(1, sizeof *b);
	struct diags diags;
	(void)state;

	assert_non_null(b);
	FILE *f = fopen("tests/fuzz/corpus/bundle/two.tar", "re"); /* behind a byte of the fuzzer's */
	assert_non_null(f);
	assert_int_equal(fread(b->data, 1, 1, f), 1);
	b->len = fread(b->data, 1, sizeof b->data, f);
	fclose(f);
	diags_init(&diags);
	assert_int_equal(catalogue_create(&catalogue, NULL, &diags, NULL), 0);
	diags_done(&diags);
	assert_true(fail_nth_each(bundle_read, b) > 0);
	for (size_t i = 0; i < 2; i++) {
		f = fopen(i ? "tests/logs/tools/pod-oom.json" : "tests/fuzz/corpus/bundle/packed.gz", "re");
		assert_non_null(f);
		if (!i)
			assert_int_equal(fread(b->data, 1, 1, f), 1);
		b->len = fread(b->data, 1, sizeof b->data, f);
		fclose(f);
		assert_true(fail_nth_each(bundle_read, b) > 0);
	}
	catalogue_destroy(catalogue);
	free(b);
}

static void a_diagnosis_misses_at_most_what_there_is_no_memory_for(void **state)
{
	(void)state;
	struct diags diags;

	diags_init(&diags);
	assert_int_equal(catalogue_create(&catalogue, NULL, &diags, NULL), 0);
	diags_done(&diags);
	assert_true(fail_nth_each(diagnose, NULL) > 0);
	catalogue_destroy(catalogue);
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_is_made_or_there_is_no_memory),
		cmocka_unit_test(a_search_ends_or_there_is_no_memory),
		cmocka_unit_test(the_catalogue_of_messages_is_read_or_there_is_no_memory),
		cmocka_unit_test(a_diagnosis_misses_at_most_what_there_is_no_memory_for),
		cmocka_unit_test(a_bundle_is_read_as_far_as_there_is_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
