/* Findings: noted once, told worst first, and printed so that a terminal, a person and a script can read them. */
#include "plan/finding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* setjmp.h and stdarg.h come first: cmocka.h needs them */
#include <cmocka.h>
#include <jansson.h>

static const struct config_pos place = {.file = "deploy.yaml", .line = 38, .column = 7};

static void add_three(struct findings *f)
{
	findings_add(f, FINDING_INFO, FINDING_CONFIGURATION, "attention", NULL, "attention runs on Triton");
	findings_harmless(f);
	findings_add(f, FINDING_FATAL, FINDING_CONFIGURATION, "dtype", &place, "no bfloat16 here");
	findings_remedy(f, "write dtype: float16");
	findings_add(
		f, FINDING_FATAL, FINDING_CAPACITY, "gpus-short", &place, "32 GPUs are asked for, %u are there", 4u);
	findings_arithmetic(f, "VllmWorker  4 x 4 = 16");
	findings_arithmetic(f, "total       32 > 4");
}

static void worst_comes_first_and_capacity_before_configuration(void **state)
{
	struct findings f;

	(void)state;
	findings_init(&f);
	add_three(&f);
	findings_sort(&f);
	assert_string_equal(f.items[0].code, "gpus-short");
	assert_string_equal(f.items[1].code, "dtype");
	assert_string_equal(f.items[2].code, "attention");
	assert_int_equal(f.fatals, 2);
	assert_int_equal(f.infos, 1);
	findings_done(&f);
}

static void the_same_of_one_place_is_said_once(void **state)
{
	struct findings f;

	(void)state;
	findings_init(&f);
	assert_true(findings_add(&f, FINDING_FATAL, FINDING_CAPACITY, "a", &place, "x"));
	assert_false(findings_add(&f, FINDING_FATAL, FINDING_CAPACITY, "a", &place, "x"));
	findings_remedy(&f, "goes nowhere");
	assert_int_equal(f.len, 1);
	assert_int_equal(f.fatals, 1);
	assert_null(f.items[0].remedy);
	findings_done(&f);
}

static void text_has_place_arithmetic_and_remedy(void **state)
{
	struct findings f;
	struct buf out;

	(void)state;
	findings_init(&f);
	buf_init(&out, 1 << 20);
	add_three(&f);
	findings_sort(&f);
	findings_print(&f, &(struct findings_look){.least = FINDING_INFO}, &out);
	assert_string_equal(buf_str(&out), "deploy.yaml:38:7: fatal: 32 GPUs are asked for, 4 are there\n"
					   "      VllmWorker  4 x 4 = 16\n"
					   "      total       32 > 4\n"
					   "deploy.yaml:38:7: fatal: no bfloat16 here\n"
					   "    remedy: write dtype: float16\n"
					   "info: attention runs on Triton (harmless)\n");
	buf_done(&out);
	findings_done(&f);
}

static void only_the_asked_severities_are_printed(void **state)
{
	struct findings f;
	struct buf out;

	(void)state;
	findings_init(&f);
	buf_init(&out, 1 << 20);
	add_three(&f);
	findings_print(&f, &(struct findings_look){.least = FINDING_FATAL}, &out);
	assert_null(strstr(buf_str(&out), "Triton"));
	assert_non_null(strstr(buf_str(&out), "bfloat16"));
	buf_done(&out);
	findings_done(&f);
}

static void json_is_valid_and_complete(void **state)
{
	struct findings f;
	struct buf out;
	json_error_t error;

	(void)state;
	findings_init(&f);
	buf_init(&out, 1 << 20);
	add_three(&f);
	findings_add(&f, FINDING_WARNING, FINDING_CRASH, "odd", NULL, "quotes \" and \x01 bytes \xff");
	findings_sort(&f);
	findings_json(&f, &out);
	json_t *root = json_loads(buf_str(&out), 0, &error);
	assert_non_null(root);
	assert_int_equal(json_array_size(root), 4);
	json_t *first = json_array_get(root, 0);
	assert_string_equal(json_string_value(json_object_get(first, "severity")), "fatal");
	assert_string_equal(json_string_value(json_object_get(first, "class")), "capacity");
	assert_string_equal(json_string_value(json_object_get(first, "file")), "deploy.yaml");
	assert_int_equal(json_integer_value(json_object_get(first, "line")), 38);
	assert_int_equal(json_array_size(json_object_get(first, "arithmetic")), 2);
	assert_true(json_is_true(json_object_get(json_array_get(root, 3), "harmless")));
	json_decref(root);
	buf_done(&out);
	findings_done(&f);
}

static void past_the_maximum_they_are_counted(void **state)
{
	struct findings f;
	struct buf out;

	(void)state;
	findings_init(&f);
	buf_init(&out, 1 << 20);
	for (unsigned i = 0; i < FINDINGS_MAX + 5; i++)
		findings_add(&f, FINDING_WARNING, FINDING_CAPACITY, "n", NULL, "number %u", i);
	findings_remedy(&f, "goes nowhere");
	assert_int_equal(f.len, FINDINGS_MAX);
	assert_int_equal(f.warnings, FINDINGS_MAX + 5);
	findings_print(&f, &(struct findings_look){.least = FINDING_INFO}, &out);
	assert_non_null(strstr(buf_str(&out), "and 5 more\n"));
	assert_null(strstr(buf_str(&out), "goes nowhere"));
	buf_done(&out);
	findings_done(&f);
}

static void long_sentences_wrap_at_words(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 20);
	finding_wrap(&out, "one two three four\nfive", 2, 10, true);
	assert_string_equal(buf_str(&out), "  one two\n  three\n  four\n  five\n");
	buf_done(&out);
}

static void what_is_fatal_of_a_class_can_be_taken_away(void **state)
{
	struct findings f;

	(void)state;
	findings_init(&f);
	findings_add(&f, FINDING_FATAL, FINDING_CAPACITY, "a", NULL, "too big");
	findings_add(&f, FINDING_FATAL, FINDING_CONFIGURATION, "b", NULL, "no such flag");
	findings_add(&f, FINDING_WARNING, FINDING_CAPACITY, "c", NULL, "narrow");
	findings_drop_fatal(&f, FINDING_CAPACITY);
	assert_int_equal(f.len, 2);
	assert_int_equal(f.fatals, 1);
	assert_false(findings_has(&f, "a"));
	assert_true(findings_has(&f, "b") && findings_has(&f, "c"));
	findings_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worst_comes_first_and_capacity_before_configuration),
		cmocka_unit_test(the_same_of_one_place_is_said_once),
		cmocka_unit_test(text_has_place_arithmetic_and_remedy),
		cmocka_unit_test(only_the_asked_severities_are_printed),
		cmocka_unit_test(json_is_valid_and_complete),
		cmocka_unit_test(past_the_maximum_they_are_counted),
		cmocka_unit_test(long_sentences_wrap_at_words),
		cmocka_unit_test(what_is_fatal_of_a_class_can_be_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
