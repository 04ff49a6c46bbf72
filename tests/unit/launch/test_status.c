/* Status lines of starting processes, the last lines of dying ones, and the wait before they are started again. */
#include "launch/backoff.h"
#include "launch/status.h"
#include "launch/tail.h"
#include "base/buf.h"

#include <stdio.h>

#include "../lib/cmocka_all.h"

static struct status parse(char *line)
{
	struct status s;

	status_parse(line, &s);
	return s;
}
#define PARSE(text) parse((char[]){text "\0"})

static void each_word_is_understood(void **state)
{
	(void)state;
	struct status s = PARSE("progress 0.42 loading weights");
	assert_int_equal(s.kind, STATUS_PROGRESS);
	assert_true(s.progress > 0.419 && s.progress < 0.421);
	assert_string_equal(s.text, "loading weights");
	s = PARSE("progress 1");
	assert_int_equal(s.kind, STATUS_PROGRESS);
	assert_string_equal(s.text, "");
	s = PARSE("info 512 blocks  \r");
	assert_int_equal(s.kind, STATUS_INFO);
	assert_string_equal(s.text, "512 blocks");
	s = PARSE("ready unix:/run/w0.sock");
	assert_int_equal(s.kind, STATUS_READY);
	assert_string_equal(s.text, "unix:/run/w0.sock");
	s = PARSE("error could not load model \"q\": no such file");
	assert_int_equal(s.kind, STATUS_ERROR);
	assert_string_equal(s.text, "could not load model \"q\": no such file");
	assert_int_equal(PARSE("ready").kind, STATUS_READY);
}

static void other_lines_are_unknown(void **state)
{
	(void)state;
	assert_int_equal(PARSE("").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("readyness high").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("Ready x").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("progress").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("progress fast").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("progress 1.01 x").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("progress -0.1 x").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("progress nan x").kind, STATUS_UNKNOWN);
	assert_int_equal(PARSE("progress 0.5x").kind, STATUS_UNKNOWN);
}

static void collect(void *ctx, char *line)
{
	buf_printf(ctx, "[%s]", line);
}

static void lines_are_the_same_whatever_the_pieces(void **state)
{
	(void)state;
	const char text[] = "one\n\nthree is longer\r\nlast";

	for (size_t piece = 1; piece < sizeof text; piece++) {
		struct line_cutter c = {0};
		struct buf got;

		buf_init(&got, 1000);
		for (size_t at = 0; at < sizeof text - 1; at += piece)
			line_cutter_feed(&c, text + at, MIN(piece, sizeof text - 1 - at), collect, &got);
		line_cutter_finish(&c, collect, &got);
		assert_string_equal(buf_str(&got), "[one][][three is longer\r][last]");
		buf_done(&got);
	}
}

static void a_line_too_long_is_cut_and_the_next_is_whole(void **state)
{
	(void)state;
	struct line_cutter c = {0};
	struct buf got;

	buf_init(&got, 10000);
	for (int i = 0; i < 5000; i++)
		line_cutter_feed(&c, "x", 1, collect, &got);
	line_cutter_feed(&c, "\nshort\n", 7, collect, &got);
	line_cutter_finish(&c, collect, &got);
	assert_int_equal(got.len, STATUS_LINE_BYTES_MAX - 1 + 2 + 7);
	assert_string_equal(buf_str(&got) + got.len - 8, "][short]");
	buf_done(&got);
}

static void a_nul_does_not_hide_the_rest_of_a_line(void **state)
{
	(void)state;
	struct line_cutter c = {0};
	struct buf got;

	buf_init(&got, 100);
	line_cutter_feed(&c, "a\0b\n", 4, collect, &got);
	assert_string_equal(buf_str(&got), "[a?b]");
	buf_done(&got);
}

static void the_tail_keeps_the_last_lines_in_order(void **state)
{
	(void)state;
	static struct tail t;
	char line[2 * TAIL_LINE_BYTES];

	assert_int_equal(t.count, 0);
	for (int i = 0; i < 3; i++) {
		snprintf(line, sizeof line, "line %d", i);
		tail_add(&t, line);
	}
	assert_int_equal(t.count, 3);
	assert_string_equal(tail_line(&t, 0), "line 0");
	for (int i = 3; i < 100; i++) {
		snprintf(line, sizeof line, "line %d", i);
		tail_add(&t, line);
	}
	assert_int_equal(t.count, TAIL_LINES);
	assert_string_equal(tail_line(&t, 0), "line 80");
	assert_string_equal(tail_line(&t, TAIL_LINES - 1), "line 99");
	memset(line, 'y', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	tail_add(&t, line);
	assert_int_equal(strlen(tail_line(&t, TAIL_LINES - 1)), TAIL_LINE_BYTES - 1);
	tail_reset(&t);
	assert_int_equal(t.count, 0);
}

static void waits_double_up_to_ten_seconds_and_start_over_after_a_minute_up(void **state)
{
	(void)state;
	static const uint32_t waits[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
	struct backoff b = {0};

	for (size_t i = 0; i < ARRAY_LEN(waits); i++)
		assert_int_equal(backoff_next_ms(&b, 59999), waits[i]);
	assert_int_equal(b.deaths, ARRAY_LEN(waits));
	assert_int_equal(backoff_next_ms(&b, 60000), 100);
	assert_int_equal(b.deaths, 1);
	assert_int_equal(backoff_next_ms(&b, 10), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_is_understood),
		cmocka_unit_test(other_lines_are_unknown),
		cmocka_unit_test(lines_are_the_same_whatever_the_pieces),
		cmocka_unit_test(a_line_too_long_is_cut_and_the_next_is_whole),
		cmocka_unit_test(a_nul_does_not_hide_the_rest_of_a_line),
		cmocka_unit_test(the_tail_keeps_the_last_lines_in_order),
		cmocka_unit_test(waits_double_up_to_ten_seconds_and_start_over_after_a_minute_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
