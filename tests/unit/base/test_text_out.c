/* JSON out is always valid JSON, checked by jansson; UTF-8 is judged as the standard does; a log line stays one line.
 */
#include "base/json_out.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <jansson.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bytes_become_valid_json),
		cmocka_unit_test(numbers_read_back),
		cmocka_unit_test(utf8_is_judged_as_the_standard_does),
		cmocka_unit_test(a_user_cannot_forge_a_log_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
