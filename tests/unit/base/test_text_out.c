/* JSON out is always valid JSON, checked by jansson; UTF-8 is judged as the standard does; a log line stays one line.
 */
#include "base/json_out.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

static void random_bytes_become_valid_json(void **state)
{
	(void)state;
	struct rng r;
	struct buf b;

	rng_init(&r, 11);
	buf_init(&b, 1 << 16);
	for (int round = 0; round < 20000; round++) {
		char text[64];
		size_t len = rng_below(&r, sizeof text);
		for (size_t i = 0; i < len; i++)
			text[i] = (char)(rng_below(&r, 4) ? rng_u64(&r) : 0xe2 + rng_below(&r, 3));
		buf_reset(&b);
		json_out_str(&b, text, len);
		json_error_t e;
		json_t *v = json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
		if (!v)
			fail_msg("%s: %s", e.text, b.data);
		if (utf8_valid(text, len)) {
			assert_int_equal(json_string_length(v), len);
			assert_memory_equal(json_string_value(v), text, len);
		}
		json_decref(v);
	}
	buf_done(&b);
}

static void numbers_read_back(void **state)
{
	(void)state;
	struct buf b;

	buf_init(&b, 1000);
	json_out_u64(&b, UINT64_MAX);
	buf_add_byte(&b, ' ');
	json_out_i64(&b, INT64_MIN);
	buf_add_byte(&b, ' ');
	json_out_u64(&b, 0);
	buf_add_byte(&b, ' ');
	json_out_f64(&b, -0.5);
	buf_add_byte(&b, ' ');
	json_out_f64(&b, 1.0 / 0.0);
	assert_string_equal(buf_str(&b), "18446744073709551615 -9223372036854775808 0 -0.5 null");
	buf_done(&b);
}

/* A terminal takes each of these for something else than a letter. */
static const char *const hidden[] = {"\x01", "\x1b", "\x7f", "\xc2\x80", "\xc2\x9b", "\xc2\x9f", "\xd8\x9c",
	"\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa", "\xe2\x80\xae", "\xe2\x81\xa6",
	"\xe2\x81\xa9", "\xef\xbf\xb9", "\xf3\xa0\x81\x81"};
/* These are letters, blanks and signs beside them. */
static const char *const shown[] = {"a", " ", "~", "\xc2\xa0", "\xc3\xa9", "\xe2\x80\x8d", "\xe2\x80\xa7",
	"\xe2\x80\xaf", "\xe2\x81\xa5", "\xe4\xb8\xad", "\xd7\xa9", "\xd8\xb9", "\xf0\x9f\x99\x82"};

static void what_may_not_be_shown_is_replaced_and_the_rest_kept(void **state)
{
	(void)state;
	char text[64], copy[64];

	for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
		snprintf(text, sizeof text, "a%sb", hidden[i]);
		assert_false(utf8_is_plain(text, strlen(text)));
		assert_int_equal(utf8_plain_copy(copy, sizeof copy, text, strlen(text)), 3);
		assert_string_equal(copy, "a?b");
		assert_string_equal(utf8_plain(text), "a?b");
	}
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		snprintf(text, sizeof text, "a%sb", shown[i]);
		assert_true(utf8_is_plain(text, strlen(text)));
		snprintf(copy, sizeof copy, "%s", text);
		assert_string_equal(utf8_plain(text), copy);
	}
	snprintf(text, sizeof text, "%s",
		"\x9b"
		"2J\tx\xe2\x80\n\xc3");
	assert_string_equal(utf8_plain(text), "?2J x???"
					      "?");
	snprintf(text, sizeof text, "%s", "one\ttwo\r\nthree\xc2\x85");
	text[utf8_plain_text(text, strlen(text))] = '\0';
	assert_string_equal(text, "one\ttwo?\nthree?");
	/* Never half a character. */
	assert_int_equal(utf8_plain_copy(copy, 4, "ab\xc3\xa9", 4), 2);
	assert_string_equal(copy, "ab");
	assert_int_equal(utf8_plain_copy(copy, 5, "ab\xc3\xa9", 4), 4);
}

/* Whatever the bytes: what comes out is plain, valid, not longer; and what was plain is not touched. */
static void any_bytes_become_plain_text(void **state)
{
	(void)state;
	struct rng r;

	rng_init(&r, 5);
	for (int round = 0; round < 50000; round++) {
		char text[48], before[48];
		size_t len = rng_below(&r, sizeof text);
		for (size_t i = 0; i < len; i++)
			text[i] = (char)(rng_below(&r, 3) ? 1 + rng_below(&r, 255) : 0xe2 - rng_below(&r, 2) * 0x62);
		text[len] = '\0';
		len = strlen(text);
		memcpy(before, text, sizeof text);
		bool was_plain = utf8_is_plain(text, len);
		utf8_plain(text);
		assert_true(strlen(text) <= len);
		assert_true(utf8_is_plain(text, strlen(text)));
		assert_true(!was_plain || !strcmp(text, before));
	}
}

static void a_log_line_shows_no_commands_to_a_terminal(void **state)
{
	(void)state;
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
		char text[64];
		json_error_t e;
		snprintf(text, sizeof text, "na%sme", hidden[i]);
		buf_reset(&b);
		json_out_cstr_shown(&b, text);
		assert_true(utf8_is_plain(b.data, b.len));
		json_t *v = json_loadb(b.data, b.len, JSON_DECODE_ANY, &e);
		assert_non_null(v);
		assert_string_equal(json_string_value(v), text);
		json_decref(v);
	}
	buf_reset(&b);
	json_out_cstr_shown(&b, "a\"\x9b\xc3\xa9\xe2\x80\xae");
	assert_string_equal(buf_str(&b), "\"a\\\"\xef\xbf\xbd\xc3\xa9\\u202e\"");
	buf_done(&b);
}

static void utf8_is_judged_as_the_standard_does(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int step;
	} cases[] = {
		{"a", 1},
		{"\xc3\xa9", 2},
		{"\xe2\x82\xac", 3},
		{"\xf0\x9f\x98\x80", 4},
		{"\xf4\x8f\xbf\xbf", 4},
		{"\xc0\x80", 0},
		{"\xc1\xbf", 0},
		{"\xe0\x80\x80", 0},
		{"\xed\xa0\x80", 0},
		{"\xf0\x80\x80\x80", 0},
		{"\xf4\x90\x80\x80", 0},
		{"\xf5\x80\x80\x80", 0},
		{"\x80", 0},
		{"\xff", 0},
		{"\xc3(", 0},
		{"\xe2\x82(", 0},
		{"\xc3", -1},
		{"\xe2\x82", -1},
		{"\xf0\x9f\x98", -1},
		{"\xe0", -1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(utf8_step(cases[i].text, strlen(cases[i].text)), cases[i].step);
	assert_int_equal(utf8_check("ab\xff"
				    "c",
				 4),
		2);
	assert_int_equal(utf8_check("ab\xe2\x82", 4), 2);
	/* Eight bytes at a time: a fault at each place of a word and behind it, after ASCII and after what is none. */
	for (size_t at = 0; at < 24; at++) {
		char text[32];
		memset(text, 'a', sizeof text);
		text[at] = '\x80';
		assert_int_equal(utf8_check(text, sizeof text), at);
		memcpy(text + at, "\xe6\x88\x91", 3);
		assert_int_equal(utf8_check(text, sizeof text), sizeof text);
		assert_int_equal(utf8_check(text, at + 2), at);
	}
	assert_true(utf8_valid("", 0));
}

/* Log into a pipe and give back what came out. */
static size_t logged(bool json, char *ret, size_t cap, const char *value)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	log_setup(fds[1], LOG_INFO, json);
	log_info("user said", LOG_F("text", log_str(value)), LOG_F("n", log_u64(3)));
	log_debug("never seen");
	log_setup(2, LOG_INFO, false);
	close(fds[1]);
	ssize_t n = read(fds[0], ret, cap - 1);
	assert_true(n > 0);
	ret[n] = '\0';
	close(fds[0]);
	return (size_t)n;
}

static void a_user_cannot_forge_a_log_line(void **state)
{
	(void)state;
	char line[1000];

	size_t n = logged(false, line, sizeof line, "x\n2026 error fake=\"1\"");
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	assert_non_null(strstr(line, " info user said text=\"x\\n2026 error fake=\\\"1\\\"\" n=3\n"));
	n = logged(true, line, sizeof line, "a\"b");
	json_t *v = json_loadb(line, n, 0, NULL);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "text")), "a\"b");
	assert_string_equal(json_string_value(json_object_get(v, "event")), "user said");
	json_decref(v);
}

static void a_run_of_ascii_ends_before_the_first_byte_that_is_none(void **state)
{
	char text[41];
	(void)state;

	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < 40; at++) {
			bool printable = c >= 0x20 && c < 0x7f;

			memset(text, '~', sizeof text);
			text[at] = (char)c;
			assert_int_equal(utf8_ascii_run(text, 40), printable ? 40 : at);
			/* What is behind the end is not looked at. */
			assert_int_equal(utf8_ascii_run(text, at), at);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_of_ascii_ends_before_the_first_byte_that_is_none),
		cmocka_unit_test(random_bytes_become_valid_json),
		cmocka_unit_test(numbers_read_back),
		cmocka_unit_test(what_may_not_be_shown_is_replaced_and_the_rest_kept),
		cmocka_unit_test(any_bytes_become_plain_text),
		cmocka_unit_test(a_log_line_shows_no_commands_to_a_terminal),
		cmocka_unit_test(utf8_is_judged_as_the_standard_does),
		cmocka_unit_test(a_user_cannot_forge_a_log_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
