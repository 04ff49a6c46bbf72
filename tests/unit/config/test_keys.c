/* Values and their ranges, sections, near words, remarks. */
#include "config/keys.h"

#include "../lib/cmocka_all.h"
#include "config/suggest.h"
#include "config/units.h"
#include "base/rng.h"
#include <stdio.h>
#include <string.h>

static void numbers_are_read_strictly(void **state UNUSED)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "1x", "-", "+", "_1", "1_", "1__0", "0x10", "1.0", "99999999999999999999"};
	int64_t i = 7;
	uint64_t u = 7;
	double f = 7;

	for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
		assert_true(units_parse_int(bad[k], &i) < 0);
		assert_true(units_parse_uint(bad[k], &u) < 0);
	}
	assert_true(i == 7 && u == 7);
	assert_true(units_parse_uint("-1", &u) < 0);
	assert_int_equal(units_parse_uint("1_000", &u), 0);
	assert_int_equal(u, 1000);
	assert_int_equal(units_parse_int("-9223372036854775808", &i), 0);
	assert_true(i == INT64_MIN);
	assert_true(units_parse_int("-9223372036854775809", &i) < 0);
	assert_int_equal(units_parse_uint("18446744073709551615", &u), 0);
	assert_int_equal(units_parse_float("-1.5e3", &f), 0);
	assert_true(f == -1500);
	assert_true(units_parse_float("nan", &f) < 0 && units_parse_float("inf", &f) < 0);
	assert_true(units_parse_float("1e999", &f) < 0 && units_parse_float("0x1p3", &f) < 0);
}

static void durations_and_sizes_have_units(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint64_t us;
	} durations[] = {{"250ms", 250000}, {"1.5s", 1500000}, {"2", 2000000}, {"3 m", 180000000},
		{"1h", 3600000000ull}, {"0", 0}, {"7us", 7}};
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {{"512", 512}, {"64KiB", 65536}, {"64ki", 65536}, {"1.5Gi", 3ull << 29}, {"2G", 2000000000},
		{"2GB", 2000000000}, {"1 TiB", 1ull << 40}, {"9223372036854775807", INT64_MAX}};
	static const char *const bad[] = {"", "ms", "-1s", "1x", "1 s s", "1e30h"};
	uint64_t v = 0;

	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		assert_int_equal(units_parse_duration(durations[i].text, 1000000, &v), 0);
		assert_true(v == durations[i].us);
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(units_parse_bytes(sizes[i].text, &v), 0);
		assert_true(v == sizes[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(units_parse_duration(bad[i], 1, &v) < 0);
		assert_true(units_parse_bytes(bad[i], &v) < 0);
	}
}

static void a_range_is_inclusive_and_said_in_the_message(void **state UNUSED)
{
	static const struct config_key up = {.name = "n", .type = CONFIG_UINT, .min = 2, .unit = "things"};
	static const struct config_key both = {.name = "n", .type = CONFIG_INT, .min = -1, .max = 3};
	struct config_value v = {0};
	struct arena a;
	struct err err;

	arena_init(&a, 1 << 16);
	assert_int_equal(config_value_parse(&v, &both, "-1", &a, &err), 0);
	assert_int_equal(config_value_parse(&v, &both, "3", &a, &err), 0);
	assert_int_equal(v.i, 3);
	assert_int_equal(config_value_parse(&v, &both, "4", &a, &err), -ERANGE);
	assert_string_equal(err.msg, "\"4\" is not a whole number from -1 to 3");
	assert_int_equal(v.i, 3);
	assert_int_equal(config_value_parse(&v, &up, "1", &a, &err), -ERANGE);
	assert_string_equal(err.msg, "\"1\" is not a whole number of at least 2 (things)");
	assert_int_equal(config_value_parse(&v, &up, "1000000000000", &a, &err), 0);
	arena_done(&a);
}

static void lists_split_at_commas(void **state UNUSED)
{
	static const struct config_key key = {.name = "l", .type = CONFIG_LIST};
	struct config_value v = {0};
	struct arena a;
	struct err err;

	arena_init(&a, 1 << 16);
	assert_int_equal(config_value_parse(&v, &key, " a, b ,,c", &a, &err), 0);
	assert_int_equal(v.list_len, 3);
	assert_string_equal(v.list[0], "a");
	assert_string_equal(v.list[1], "b");
	assert_string_equal(v.list[2], "c");
	assert_null(v.list[3]);
	arena_done(&a);
}

static void a_room_below_adds_keys_of_its_own(void **state UNUSED)
{
	static const struct config_key keys[] = {
		{.name = "temperature-ms", .type = CONFIG_FLOAT, .def = "1.5", .help = "how much chance there is"}};
	struct config_section s;
	struct arena a;

	arena_init(&a, 1 << 20);
	config_register("Router", keys, ARRAY_LEN(keys));
	assert_int_equal(config_section_init(&s, "Router", &a), 0);
	assert_true(config_float(&s, "temperature-ms") == 1.5);
	assert_int_equal(config_uint(&s, "min-workers"), 1);
	assert_ptr_equal(config_key_find("Router", "temperature_ms"), &keys[0]);
	config_register_reset();
	assert_null(config_key_find("Router", "temperature-ms"));
	arena_done(&a);
}

static void near_words_are_suggested_and_far_ones_are_not(void **state UNUSED)
{
	static const struct {
		const char *word, *candidate;
		bool near;
	} cases[] = {
		{"tensor-paralel-size", "tensor-parallel-size", true},
		{"prot", "port", true},
		{"Max_Seqs", "max-seqs", true},
		{"kvv", "kv", true},
		{"x", "y", false},
		{"blocks", "threads", false},
		{"", "port", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct suggest s;
		suggest_init(&s, cases[i].word);
		suggest_offer(&s, cases[i].candidate);
		assert_true((suggest_best(&s) != NULL) == cases[i].near);
	}
}

/* The definition, without the table's tricks: optimal string alignment by recursion. */
static uint32_t naive(const char *a, size_t i, const char *b, size_t j)
{
	if (!i || !j)
		return (uint32_t)(i + j);
	uint32_t best = naive(a, i - 1, b, j - 1) + (a[i - 1] != b[j - 1]);
	best = MIN(best, MIN(naive(a, i - 1, b, j), naive(a, i, b, j - 1)) + 1);
	if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
		best = MIN(best, naive(a, i - 2, b, j - 2) + 1);
	return best;
}

static void distance_agrees_with_its_definition(void **state UNUSED)
{
	struct rng r;

	rng_init(&r, 5);
	for (int i = 0; i < 2000; i++) {
		char a[7] = "", b[7] = "";
		size_t alen = rng_below(&r, 6), blen = rng_below(&r, 6);
		for (size_t k = 0; k < alen; k++)
			a[k] = (char)('a' + rng_below(&r, 3));
		for (size_t k = 0; k < blen; k++)
			b[k] = (char)('a' + rng_below(&r, 3));
		assert_int_equal(suggest_distance(a, b, 10), naive(a, alen, b, blen));
		assert_int_equal(suggest_distance(a, b, 1), MIN(naive(a, alen, b, blen), 2));
	}
}

static void remarks_are_bounded_sorted_and_said_once(void **state UNUSED)
{
	struct diags d;
	struct buf b;
	struct config_pos p = {.file = "f", .line = 1000, .column = 1};

	diags_init(&d);
	buf_init(&b, 1 << 20);
	for (uint32_t i = 0; i < DIAG_COUNT_MAX + 5; i++, p.line--)
		diags_add(&d, DIAG_ERROR, &p, "mistake %u", i);
	p.line = 1000;
	diags_add(&d, DIAG_ERROR, &p, "mistake 0");
	assert_int_equal(d.errors, DIAG_COUNT_MAX + 5);
	diags_sort(&d);
	diags_print(&d, DIAG_ERROR, &b);
	assert_memory_equal(buf_str(&b), "f:901:1: error: mistake 99\nf:902:1:", 35);
	assert_string_equal(buf_str(&b) + b.len - strlen("mistake 0\nand 5 more\n"), "mistake 0\nand 5 more\n");
	buf_done(&b);
	diags_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_strictly),
		cmocka_unit_test(durations_and_sizes_have_units),
		cmocka_unit_test(a_range_is_inclusive_and_said_in_the_message),
		cmocka_unit_test(lists_split_at_commas),
		cmocka_unit_test(a_room_below_adds_keys_of_its_own),
		cmocka_unit_test(near_words_are_suggested_and_far_ones_are_not),
		cmocka_unit_test(distance_agrees_with_its_definition),
		cmocka_unit_test(remarks_are_bounded_sorted_and_said_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
