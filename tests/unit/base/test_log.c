/* What a log line looks like, and what is held back. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

static FILE *file;
static char text[64 * 1024];

static int setup(void **state)
{
	(void)state;
	file = tmpfile();
	return file ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	log_setup(2, LOG_INFO, false);
	fclose(file);
	return 0;
}

static void written(void)
{
	ssize_t len = pread(fileno(file), text, sizeof text - 1, 0);

	assert_true(len >= 0);
	text[len] = '\0';
}

static uint32_t lines_with(const char *what)
{
	uint32_t count = 0;

	written();
	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		count++;
	return count;
}

static void a_line_has_the_event_and_its_fields(void **state)
{
	(void)state;
	log_setup(fileno(file), LOG_INFO, false);
	log_info("worker ready", LOG_F("worker", log_str("w0")), LOG_F("blocks", log_u64(512)),
		LOG_F("ok", log_bool(true)));
	written();
	assert_non_null(strstr(text, "Z info worker ready worker=w0 blocks=512 ok=true\n"));
}

static void a_value_cannot_forge_a_line(void **state)
{
	(void)state;
	log_setup(fileno(file), LOG_INFO, false);
	log_info("asked", LOG_F("by", log_str("eve\n2026-01-01T00:00:00.000Z error all is lost")));
	assert_int_equal(lines_with("\n"), 1);
	assert_int_equal(lines_with("eve\\n2026"), 1);
}

static void json_lines_are_objects(void **state)
{
	(void)state;
	log_setup(fileno(file), LOG_INFO, true);
	log_warn("slow \"client\"", LOG_F("ms", log_f64(1.5)));
	written();
	assert_non_null(strstr(text, "\"level\":\"warn\",\"event\":\"slow \\\"client\\\"\",\"ms\":1.5}"));
}

static void what_is_below_the_level_is_not_written(void **state)
{
	(void)state;
	log_setup(fileno(file), LOG_WARN, false);
	log_info("quiet");
	log_debug("quieter");
	log_error("loud");
	assert_int_equal(lines_with("\n"), 1);
}

static void a_flood_of_one_event_is_held_back_but_not_of_what_is_for_debugging(void **state)
{
	(void)state;
	log_setup(fileno(file), LOG_DEBUG, false);
	for (uint32_t i = 0; i < 300; i++) {
		log_info("flood");
		log_debug("detail");
	}
	assert_in_range(lines_with(" info flood"), 1, 299);
	assert_int_equal(lines_with(" debug detail"), 300);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_has_the_event_and_its_fields),
		TEST(a_value_cannot_forge_a_line),
		TEST(json_lines_are_objects),
		TEST(what_is_below_the_level_is_not_written),
		TEST(a_flood_of_one_event_is_held_back_but_not_of_what_is_for_debugging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
