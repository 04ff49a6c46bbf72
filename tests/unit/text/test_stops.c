#include "../lib/cmocka_all.h"
#include "base/rng.h"
#include "text/stops.h"

static struct stops *stops_of(const char *const *texts, uint32_t count)
{
	struct stop_string list[STOPS_MAX];
	for (uint32_t i = 0; i < count; i++)
		list[i] = (struct stop_string){texts[i], strlen(texts[i])};
	struct stops *s = NULL;
	assert_int_equal(stops_create(&s, list, count, NULL), 0);
	return s;
}

/* The first to end; of those that end together the longest. */
static int naive(const char *text, size_t len, const char *const *stops, uint32_t count, size_t *ret_pos)
{
	for (size_t end = 1; end <= len; end++) {
		int found = STOP_NONE;
		for (uint32_t i = 0; i < count; i++) {
			size_t n = strlen(stops[i]);
			if (n <= end && memcmp(text + end - n, stops[i], n) == 0 &&
				(found == STOP_NONE || n > strlen(stops[found])))
				found = (int)i;
		}
		if (found != STOP_NONE) {
			*ret_pos = end - strlen(stops[found]);
			return found;
		}
	}
	return STOP_NONE;
}

static void check(const char *text, size_t len, const char *const *texts, uint32_t count, struct rng *r)
{
	struct stops *s = stops_of(texts, count);
	struct stop_scan scan;
	struct buf out;
	uint64_t pos = 0;
	size_t want_pos = len;
	int want = naive(text, len, texts, count, &want_pos), got = STOP_NONE;
	buf_init(&out, 1 << 20);
	stop_scan_init(&scan, s);
	for (size_t i = 0; i < len && got == STOP_NONE;) {
		size_t piece = r ? 1 + rng_below(r, 5) : 1, n = MIN(piece, len - i);
		got = stop_scan_push(&scan, text + i, n, &out, &pos);
		i += n;
		if (got == STOP_NONE)
			assert_true(out.len <= want_pos);
	}
	if (got == STOP_NONE)
		stop_scan_finish(&scan, &out);
	assert_int_equal(got, want);
	if (want != STOP_NONE)
		assert_int_equal(pos, want_pos);
	assert_int_equal(out.len, want_pos);
	assert_memory_equal(buf_str(&out), text, want_pos);
	buf_done(&out);
	stops_destroy(s);
}

static void a_stop_across_many_pieces_is_found(void **state)
{
	(void)state;
	const char *stops[] = {"\n\nUser:", "</s>"};
	const char *text = "one\n\nUsed\n\nUser: two";
	check(text, strlen(text), stops, 2, NULL);
}

static void of_stops_that_end_together_the_longest_wins(void **state)
{
	(void)state;
	const char *stops[] = {"c", "abc", "bc"};
	check("xxabc", 5, stops, 3, NULL);
}

static void text_is_not_held_longer_than_needed(void **state)
{
	(void)state;
	const char *stops[] = {"abcd"};
	struct stops *s = stops_of(stops, 1);
	struct stop_scan scan;
	struct buf out;
	buf_init(&out, 100);
	stop_scan_init(&scan, s);
	stop_scan_push(&scan, "xxab", 4, &out, NULL);
	assert_string_equal(buf_str(&out), "xx");
	stop_scan_push(&scan, "a", 1, &out, NULL);
	assert_string_equal(buf_str(&out), "xxab");
	stop_scan_push(&scan, "z", 1, &out, NULL);
	assert_string_equal(buf_str(&out), "xxabaz");
	buf_done(&out);
	stops_destroy(s);
}

static void random_texts_match_a_naive_search(void **state)
{
	(void)state;
	struct rng r;
	rng_init(&r, 7);
	for (int round = 0; round < 20000; round++) {
		char strings[STOPS_MAX][12], text[64];
		const char *list[STOPS_MAX];
		uint32_t count = 1 + (uint32_t)rng_below(&r, 4);
		for (uint32_t i = 0; i < count; i++) {
			size_t n = 1 + rng_below(&r, 6);
			for (size_t j = 0; j < n; j++)
				strings[i][j] = (char)('a' + rng_below(&r, 2));
			strings[i][n] = '\0';
			list[i] = strings[i];
		}
		size_t len = rng_below(&r, sizeof text);
		for (size_t j = 0; j < len; j++)
			text[j] = (char)('a' + rng_below(&r, 3));
		check(text, len, list, count, round % 2 ? &r : NULL);
	}
}

static void the_longest_stop_string_works(void **state)
{
	(void)state;
	char stop[STOP_BYTES_MAX + 1], text[3 * STOP_BYTES_MAX];
	memset(stop, 'a', STOP_BYTES_MAX);
	stop[STOP_BYTES_MAX - 1] = 'b';
	stop[STOP_BYTES_MAX] = '\0';
	memset(text, 'a', sizeof text);
	text[sizeof text - 9] = 'b';
	const char *list[] = {stop};
	check(text, sizeof text, list, 1, NULL);
}

static void bad_sets_are_refused(void **state)
{
	(void)state;
	struct stops *s = NULL;
	struct err err = {0};
	struct stop_string empty = {"", 0}, list[STOPS_MAX + 1];
	assert_int_equal(stops_create(&s, &empty, 1, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "1 to 256"));
	for (uint32_t i = 0; i < ARRAY_LEN(list); i++)
		list[i] = (struct stop_string){"x", 1};
	assert_int_equal(stops_create(&s, list, ARRAY_LEN(list), &err), -EINVAL);
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stop_across_many_pieces_is_found),
		cmocka_unit_test(of_stops_that_end_together_the_longest_wins),
		cmocka_unit_test(text_is_not_held_longer_than_needed),
		cmocka_unit_test(random_texts_match_a_naive_search),
		cmocka_unit_test(the_longest_stop_string_works),
		cmocka_unit_test(bad_sets_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
