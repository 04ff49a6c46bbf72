/* A graph's text with some values changed: only these, wherever and however they were written. */
#include "plan/edit.h"

#include "../lib/cmocka_all.h"

static const struct plan_edit workers = {.service = "VllmWorker", .key = "ServiceArgs.workers", .after = "2"};
static const struct plan_edit gpu = {.service = "VllmWorker", .key = "ServiceArgs.resources.gpu", .after = "4"};
static const struct plan_edit dtype = {.service = "VllmWorker", .key = "dtype", .after = "float16"};

static struct plan_edit at(struct plan_edit e, uint32_t line, uint32_t column)
{
	e.pos = (struct config_pos){.file = "g.yaml", .line = line, .column = column};
	return e;
}

static void check(const char *text, const struct plan_edit *list, uint32_t len, const char *wanted)
{
	struct plan_edits edits = {.len = len};
	struct buf out;
	struct err err = {0};

	memcpy(edits.items, list, len * sizeof *list);
	buf_init(&out, 1 << 20);
	if (plan_edit_text(&edits, "g.yaml", text, strlen(text), &out, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(buf_str(&out), wanted);
	buf_done(&out);
}

static void a_value_is_replaced_where_it_stands(void **state)
{
	const struct plan_edit e[] = {at(workers, 4, 14)};

	(void)state;
	check("# top\nVllmWorker:   # a\n  ServiceArgs:\n    workers: 16  # many\n    other: x\n", e, 1,
		"# top\nVllmWorker:   # a\n  ServiceArgs:\n    workers: 2  # many\n    other: x\n");
}

static void quotes_and_braces_are_seen(void **state)
{
	const struct plan_edit quoted[] = {at(workers, 2, 12)}, braces[] = {at(workers, 2, 27)};

	(void)state;
	check("VllmWorker:\n  workers: \"16\" # q\n", quoted, 1, "VllmWorker:\n  workers: 2 # q\n");
	check("VllmWorker:\n  ServiceArgs: { workers: 16, x: y }\n", braces, 1,
		"VllmWorker:\n  ServiceArgs: { workers: 2, x: y }\n");
}

static void columns_count_characters_not_bytes(void **state)
{
	const struct plan_edit e[] = {at(workers, 1, 20)};

	(void)state;
	check("{\"\xc3\xa4\xc3\xb6\": 1, workers: 16}\n", e, 1, "{\"\xc3\xa4\xc3\xb6\": 1, workers: 2}\n");
}

static void a_key_that_is_not_there_gets_a_line_below_its_service(void **state)
{
	(void)state;
	check("VllmWorker:\n    # why\n    block-size: 16\n", &dtype, 1,
		"VllmWorker:\n    # why\n    dtype: float16\n    block-size: 16\n");
	check("VllmWorker:\nFrontend:\n  port: 1\n", &dtype, 1,
		"VllmWorker:\n  dtype: float16\nFrontend:\n  port: 1\n");
	check("VllmWorker: {block-size: 16}\n", &dtype, 1, "VllmWorker: {dtype: float16, block-size: 16}\n");
}

static void maps_that_are_missing_are_written_once(void **state)
{
	const struct plan_edit both[] = {workers, gpu};

	(void)state;
	check("VllmWorker:\n  block-size: 16\n", both, 2,
		"VllmWorker:\n  ServiceArgs:\n    workers: 2\n    resources:\n      gpu: 4\n  block-size: 16\n");
	check("VllmWorker: {}\n", both, 2, "VllmWorker: {ServiceArgs: {workers: 2, resources: {gpu: 4}}}\n");
	check("VllmWorker:\n  ServiceArgs:\n    workers: 1\n", &gpu, 1,
		"VllmWorker:\n  ServiceArgs:\n    resources:\n      gpu: 4\n    workers: 1\n");
}

static void one_value_of_common_is_changed_once(void **state)
{
	struct plan_edit e[] = {at(dtype, 2, 10), at(dtype, 2, 10)};

	(void)state;
	e[1].service = "PrefillWorker";
	check("Common:\n  dtype: bfloat16\n", e, 2, "Common:\n  dtype: float16\n");
}

static void line_ends_of_windows_stay(void **state)
{
	(void)state;
	check("VllmWorker:\r\n  block-size: 16\r\n", &dtype, 1,
		"VllmWorker:\r\n  dtype: float16\r\n  block-size: 16\r\n");
}

static void what_cannot_be_changed_is_said(void **state)
{
	struct plan_edits edits = {.items = {at(workers, 2, 12)}, .len = 1};
	const char *text = "VllmWorker:\n  workers: *n\n";
	struct buf out;
	struct err err = {0};

	(void)state;
	buf_init(&out, 1 << 20);
	assert_true(plan_edit_text(&edits, "g.yaml", text, strlen(text), &out, &err) < 0);
	text = "a: &n 1\nVllmWorker:\n  workers: *n\n";
	edits.items[0].pos.line = 3;
	assert_int_equal(plan_edit_text(&edits, "g.yaml", text, strlen(text), &out, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "g.yaml:3:12"));
	edits.items[0].pos = (struct config_pos){.option = "--VllmWorker.workers=3"};
	assert_int_equal(plan_edit_text(&edits, "g.yaml", text, strlen(text), &out, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "--VllmWorker.workers=3"));
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_replaced_where_it_stands),
		cmocka_unit_test(quotes_and_braces_are_seen),
		cmocka_unit_test(columns_count_characters_not_bytes),
		cmocka_unit_test(a_key_that_is_not_there_gets_a_line_below_its_service),
		cmocka_unit_test(maps_that_are_missing_are_written_once),
		cmocka_unit_test(one_value_of_common_is_changed_once),
		cmocka_unit_test(line_ends_of_windows_stay),
		cmocka_unit_test(what_cannot_be_changed_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
