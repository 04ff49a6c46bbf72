/* JSON of strangers: what it may hold is counted as the parser will find it, and what jansson has no room for is taken. */
#include "base/limits.h"
#include "base/buf.h"
#include "base/rng.h"
#include "config/json_parse.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

static const size_t flags = JSON_ALLOW_NUL | JSON_DECODE_ANY;

static json_t *wide(const char *text)
{
	json_error_t error;
	json_t *root = json_parse_wide(text, strlen(text), flags, &error);

	if (!root)
		fail_msg("%s: %s", text, error.text);
	return root;
}

static double real_of(const char *number)
{
	char text[512];

	snprintf(text, sizeof text, "{\"a\":[0,%s,1],\"b\":7}", number);
	json_t *root = wide(text);
	assert_int_equal(json_integer_value(json_object_get(root, "b")), 7);
	const json_t *list = json_object_get(root, "a"), *v = json_array_get(list, 1);
	assert_int_equal(json_array_size(list), 3);
	assert_true(json_is_real(v));
	double d = json_real_value(v);
	json_decref(root);
	return d;
}

static void numbers_beyond_64_bits_are_the_nearest_reals(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double value;
	} table[] = {
		{"9223372036854775808", 0x1p63},
		{"18446744073709551615", 0x1p64},
		{"18446744073709551616", 0x1p64},
		{"9999999999999999999", 1e19},
		{"-9223372036854775809", -0x1p63},
		{"12345678901234567890123", 12345678901234567890123.0},
		{"-100000000000000000000000000000000000000", -1e38},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		double d = real_of(table[i].text), off = (d - table[i].value) / table[i].value;
		assert_true(off < 1e-15 && off > -1e-15);
	}
}

static void reals_beyond_a_double_are_very_large(void **state)
{
	(void)state;
	char digits[401];

	assert_true(real_of("1e309") == 9e307);
	assert_true(real_of("1e400") == 9e307);
	assert_true(real_of("-2E+99999") == -9e307);
	assert_true(real_of("123456.789e304") == 9e307);
	memset(digits, '7', 400);
	digits[400] = '\0';
	assert_true(real_of(digits) == 9e307);
	/* What fits stays what it is, beside them. */
	json_t *root = wide("[1e400, 1e308, 9223372036854775807, -9223372036854775808, 1e-400]");
	assert_true(json_real_value(json_array_get(root, 1)) == 1e308);
	assert_true(json_integer_value(json_array_get(root, 2)) == INT64_MAX);
	assert_true(json_integer_value(json_array_get(root, 3)) == INT64_MIN);
	assert_true(json_real_value(json_array_get(root, 4)) == 0);
	json_decref(root);
}

static void texts_that_look_like_numbers_stay_texts(void **state)
{
	(void)state;
	json_t *root =
		wide("{\"18446744073709551616\":\"1e400 \\\" 99999999999999999999\",\"x\":99999999999999999999}");

	assert_string_equal(
		json_string_value(json_object_get(root, "18446744073709551616")), "1e400 \" 99999999999999999999");
	json_decref(root);
}

/* Neither becomes JSON by it, and the error's place is that of the text as it was sent. */
static void what_is_no_json_stays_none(void **state)
{
	(void)state;
	static const char *const texts[] = {"[1e400.5]", "[99999999999999999999x]", "[-]", "[099999999999999999999]",
		"[99999999999999999999.]", "[1e400e]", "{\"a\":1e400", "[+99999999999999999999]", "[1e400 1e400]"};
	json_error_t error;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (json_parse_wide(texts[i], strlen(texts[i]), flags, &error))
			fail_msg("taken: %s", texts[i]);
	const char *late = "{\"a\": 18446744073709551616,\n \"b\": 1e999, oops}";
	assert_null(json_parse_wide(late, strlen(late), flags, &error));
	assert_int_equal(error.line, 2);
	assert_int_equal(error.column, 17);
}

static void a_nul_in_a_key_is_no_reason_to_refuse_a_body(void **state)
{
	(void)state;
	json_t *root = wide("{\"metadata\":{\"a\\u0000b\":1,\"\\\\u0000\":2},\"n\":\"x\\u0000y\"}");
	const json_t *metadata = json_object_get(root, "metadata");

	assert_int_equal(json_integer_value(json_object_get(metadata, "a\xef\xbf\xbd"
								      "b")),
		1);
	assert_int_equal(json_integer_value(json_object_get(metadata, "\\u0000")), 2);
	assert_int_equal(json_string_length(json_object_get(root, "n")), 3);
	json_decref(root);
}

static void a_member_can_be_had_with_all_its_64_bits(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool found;
		uint64_t value;
	} table[] = {
		{"{\"seed\":18446744073709551615}", true, UINT64_MAX},
		{" { \"a\" : [ { \"seed\" : 1 } ] , \"seed\" : 9223372036854775809 }", true, 0x8000000000000001u},
		{"{\"seed\":1,\"seed\":12345678901234567890}", true, 12345678901234567890u},
		{"{\"seed\":12345678901234567890,\"seed\":\"x\"}", false, 0},
		{"{\"seed\":[5]}", false, 0},
		{"{\"seeds\":5}", false, 0},
		{"{\"x\":\"seed\",\"y\":5}", false, 0},
		{"{\"seed\":18446744073709551616}", false, 0},
		{"{\"seed\":-5}", false, 0},
		{"{\"seed\":5e3}", false, 0},
		{"{\"x\":{\"seed\":5}}", false, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t v = 0;
		assert_int_equal(json_text_u64(table[i].text, strlen(table[i].text), "seed", &v), table[i].found);
		if (table[i].found)
			assert_true(v == table[i].value);
	}
}

/* bounds */

struct counts {
	uint32_t containers, values, numbers, members, depth;
};

static void count(const json_t *v, uint32_t depth, bool in_list, struct counts *ret)
{
	const char *key;
	json_t *item;

	if (json_is_object(v) || json_is_array(v)) {
		ret->containers++;
		ret->depth = MAX(ret->depth, depth + 1);
		ret->members = MAX(ret->members, (uint32_t)json_object_size(v));
	} else if (json_is_number(v) && in_list) {
		ret->numbers++;
	} else {
		ret->values++;
	}
	for (size_t i = 0; i < json_array_size(v); i++)
		count(json_array_get(v, i), depth + 1, true, ret);
	json_object_foreach((json_t *)(uintptr_t)v, key, item) count(item, depth + 1, false, ret);
}

static bool fits(const char *text, size_t len, struct counts c)
{
	const struct json_bounds max = {c.depth, c.containers, c.values, c.numbers, c.members};
	struct json_bounds left = max;
	struct err err;
	size_t offset;

	return json_bounds_check(&left, &max, text, len, &offset, &err) == 0;
}

static void make(struct rng *r, uint32_t depth, struct buf *out)
{
	static const char *const scalars[] = {
		"1", "-2.5e+3", "\"a,b]}\\\"\\\\\"", "true", "null", "\"\"", "0", "\"{[\""};
	uint64_t kind = rng_below(r, depth ? 10 : 6), items = rng_below(r, 6);

	if (kind < 6) {
		buf_add_str(out, scalars[rng_below(r, 8)]);
		return;
	}
	bool is_object = kind < 8;
	buf_add_str(out, is_object ? "{" : " [ ");
	for (uint32_t i = 0; i < items; i++) {
		buf_add_str(out, i ? " ,\n" : "");
		if (is_object)
			buf_printf(out, "\"k:%u\\\"\" : ", i);
		make(r, depth - 1, out);
	}
	buf_add_str(out, is_object ? "}" : "]");
}

/* One less of anything is too little; cut or damaged text that still is JSON is counted right, too. */
static void bounds_count_what_the_parser_makes(void **state)
{
	(void)state;
	struct rng r;
	uint32_t accepted = 0;

	rng_init(&r, 4);
	for (uint32_t round = 0; round < 20000; round++) {
		struct counts c = {.numbers = 1000, .values = 1000, .containers = 1000, .members = 1000, .depth = 60};
		struct counts is = {0};
		struct buf text;
		json_error_t error;

		buf_init(&text, 1 << 20);
		make(&r, 5, &text);
		if (round % 2 && text.len > 1)
			text.data[rng_below(&r, text.len)] = ",:[]{}\"1a \\-"[rng_below(&r, 12)];
		json_t *root = json_parse(buf_str(&text), text.len, flags, &error);
		if (root) {
			accepted++;
			count(root, 0, true, &is);
			/* 0 numbers would make them values. */
			c = is;
			c.numbers = MAX(is.numbers, 1u);
			/* Damage may make two members one, of which the parser keeps the last. */
			assert_true(round % 2 || fits(text.data, text.len, c));
			if (is.values) {
				c.values--;
				assert_false(fits(text.data, text.len, c));
				c.values++;
			}
			if (is.numbers > 1) {
				c.numbers--;
				assert_false(fits(text.data, text.len, c));
				c.numbers++;
			}
			if (is.containers) {
				c.containers--;
				assert_false(fits(text.data, text.len, c));
				c.containers++;
				c.depth--;
				assert_false(fits(text.data, text.len, c));
				c.depth++;
			}
			if (is.members) {
				c.members--;
				assert_false(fits(text.data, text.len, c));
			}
			json_decref(root);
		}
		buf_done(&text);
	}
	assert_true(accepted > 10000);
}

static void no_bound_is_missed(void **state)
{
	(void)state;
	static const struct {
		const char *open, *item, *close, *words;
		uint32_t count;
	} table[] = {
		{"{\"x\":{", "\"1\":1,", "\"\":1}}", "an object with more than 65536 members", JSON_MEMBERS_MAX},
		{"{\"x\":[", "1,", "1]}", "more than 2162688 numbers in lists", JSON_NUMBERS_MAX},
		{"{\"x\":[", "\"\",", "\"\"]}", "more than 262144 values", JSON_VALUES_MAX},
		{"{\"x\":[", "null,", "0]}", "more than 262144 values", JSON_VALUES_MAX + 1},
		{"{\"x\":[", "{},", "{}]}", "more than 131072 lists and objects", JSON_CONTAINERS_MAX},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct json_bounds left = json_body_bounds;
		struct err err = {0};
		struct buf text;
		size_t offset = 0;

		buf_init(&text, 1 << 25);
		buf_add_str(&text, table[i].open);
		for (uint32_t k = 0; k < table[i].count; k++)
			buf_add_str(&text, table[i].item);
		buf_add_str(&text, table[i].close);
		assert_int_equal(
			json_bounds_check(&left, &json_body_bounds, text.data, text.len, &offset, &err), -E2BIG);
		assert_string_equal(err.msg, table[i].words);
		assert_true(offset > text.len / 2);
		buf_done(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_beyond_64_bits_are_the_nearest_reals),
		cmocka_unit_test(reals_beyond_a_double_are_very_large),
		cmocka_unit_test(texts_that_look_like_numbers_stay_texts),
		cmocka_unit_test(what_is_no_json_stays_none),
		cmocka_unit_test(a_nul_in_a_key_is_no_reason_to_refuse_a_body),
		cmocka_unit_test(a_member_can_be_had_with_all_its_64_bits),
		cmocka_unit_test(bounds_count_what_the_parser_makes),
		cmocka_unit_test(no_bound_is_missed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
