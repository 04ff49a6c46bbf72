/* The parts of the diagnoser: the word automaton against a naive search, patterns and their captures, the catalogue's mistakes. */
#include "plan/diagnose_catalogue.h"
#include "plan/diagnose_log.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"

/* The automaton. */

struct counts {
	uint32_t count[16];
	uint64_t ends;
};

static void count_word(void *ctx, uint32_t word, size_t end)
{
	struct counts *c = ctx;

	c->count[word]++;
	c->ends += end * (word + 1);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void naive(
	const char *const *list, const uint32_t *lens, uint32_t n, const char *text, size_t len, struct counts *ret)
{
	for (size_t end = 1; end <= len; end++)
		for (uint32_t w = 0; w < n; w++) {
			bool same = lens[w] <= end;

			for (uint32_t k = 0; k < lens[w] && same; k++)
				same = lower(text[end - lens[w] + k]) == list[w][k];
			if (same)
				count_word(ret, w, end);
		}
}

static void the_automaton_finds_what_a_naive_search_finds(void **state)
{
	struct rng rng;
	(void)state;

	rng_init(&rng, 3);
	for (int round = 0; round < 2000; round++) {
		char words[16][8], text[200];
		const char *list[16];
		uint32_t lens[16], n = 1 + (uint32_t)rng_below(&rng, 16);
		struct counts want = {0}, got = {0};
		struct words *w = NULL;

		for (uint32_t i = 0; i < n; i++) {
			lens[i] = 1 + (uint32_t)rng_below(&rng, 6);
			for (uint32_t k = 0; k < lens[i]; k++)
				words[i][k] = (char)('a' + rng_below(&rng, 3));
			list[i] = words[i];
		}
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = "abcABC x"[rng_below(&rng, 8)];
		assert_int_equal(words_create(&w, list, lens, n, NULL), 0);
		naive(list, lens, n, text, sizeof text, &want);
		uint32_t at = 0;
		size_t cut = rng_below(&rng, sizeof text);
		at = words_scan(w, at, text, cut, count_word, &got);
		/* Ends count from where a scan began. */
		struct counts rest = {0};
		words_scan(w, at, text + cut, sizeof text - cut, count_word, &rest);
		for (uint32_t i = 0; i < n; i++)
			got.ends += (uint64_t)rest.count[i] * cut * (i + 1);
		got.ends += rest.ends;
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(got.count[i] + rest.count[i], want.count[i]);
		assert_int_equal(got.ends, want.ends);
		words_destroy(w);
	}
}

static void too_many_letters_are_refused(void **state)
{
	static char big[WORDS_STATES_MAX + 10];
	const char *list[] = {big};
	uint32_t len = sizeof big;
	struct words *w = NULL;
	struct err err = {0};
	(void)state;

	memset(big, 'a', sizeof big);
	assert_int_equal(words_create(&w, list, &len, 1, &err), -E2BIG);
	assert_null(w);
	for (size_t i = 0; i < 200; i++)
		big[i] = (char)(i + 1);
	len = 200;
	assert_int_equal(words_create(&w, list, &len, 1, &err), -E2BIG);
}

/* Patterns. */

static struct arena arena;

static bool match(const char *pattern, const char *line, struct captures *ret)
{
	struct pattern p;
	struct err err = {0};

	if (pattern_parse(&p, pattern, &arena, &err) < 0)
		fail_msg("%s: %s", pattern, err.msg);
	return pattern_match(&p, line, strlen(line), ret);
}

static void expect(const struct captures *c, const char *name, const char *want)
{
	const struct capture *found = captures_find(c, name, strlen(name));
	char text[256];

	assert_non_null(found);
	snprintf(text, sizeof text, "%.*s", (int)found->len, found->text);
	assert_string_equal(text, want);
}

static void captures_take_what_stands_between(void **state)
{
	struct captures c;
	(void)state;

	assert_true(match("Tried to allocate {size}. GPU {gpu:number} has a total capacity of {total} of",
		"x: tried to Allocate 136.00 MiB. GPU 0 has a total capacity of 14.56 GiB of which", &c));
	expect(&c, "size", "136.00 MiB");
	expect(&c, "gpu", "0");
	expect(&c, "total", "14.56 GiB");
	assert_true(match("limit is {n:number}", "the limit is 16384.", &c));
	expect(&c, "n", "16384");
	assert_true(match("flag: {f:word}", "flag: --x y", &c));
	expect(&c, "f", "--x");
	assert_true(match("error {rest}", "error  it broke  ", &c));
	expect(&c, "rest", " it broke");
	assert_false(match("limit is {n:number} tokens", "limit is x tokens", &c));
	/* The first place does not match, the second does. */
	assert_true(match("size {n:number} bytes", "size x, size 12 bytes", &c));
	expect(&c, "n", "12");
	assert_int_equal(c.count, 1);
	assert_true(match("abcd {} efgh {x:number}", "abcd 1 efgh y efgh 7", &c));
	expect(&c, "x", "7");
}

static void sentences_leave_out_what_is_not_known(void **state)
{
	struct captures c;
	char text[128];
	(void)state;

	assert_true(match("size {n:number}", "size 12", &c));
	captures_fill(&c, "has {n}[ of {m}][, {n} again] {m} [[x] {{y}", text, sizeof text);
	assert_string_equal(text, "has 12, 12 again ? [x] {y}");
	captures_fill(&c, "long {n} and more", text, 8);
	assert_string_equal(text, "long 12");
	captures_fill(&c, "open {n [x", text, sizeof text);
	assert_string_equal(text, "open {n x");
}

static void bad_patterns_are_refused(void **state)
{
	static const char *const bad[] = {
		"abc", "{x} is wrong", "text {a}{b} text", "text {a", "text {a:colour} x", "text {a b} x", "{}", ""};
	struct pattern p;
	struct err err;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(pattern_parse(&p, bad[i], &arena, &err), -EINVAL);
}

/* Lines. */

static void times_of_one_form_compare(void **state)
{
	static const char *const rising[] = {"2026-11-27T10:30:16.123Z x", "x 2026-11-27 10:30:16,124 y",
		"2026-11-27 10:30:17", "2026-12-01 00:00:00"};
	uint64_t before = 0;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rising); i++) {
		uint64_t now = log_line_time_ms(rising[i], strlen(rising[i]));
		assert_true(now > before);
		before = now;
	}
	assert_true(log_line_time_ms("INFO 11-27 10:30:16 [x]", 23) < log_line_time_ms("INFO 11-27 10:30:17 [x]", 23));
	assert_int_equal(log_line_time_ms("no time here at all, really", 27), 0);
}

/* The catalogue. */

static void mistakes_of_a_catalogue_are_told_with_their_lines(void **state)
{
	static const char text[] = "- id: a\n  match: ['abcd']\n  cause: c\n  remedy: r\n  after: [nobody]\n"
				   "- id: b\n  match: ['x{']\n  colour: red\n  class: none\n"
				   "- id: c\n  cause: c\n";
	struct catalogue *c = NULL;
	struct diags diags;
	struct err err = {0};
	struct buf out;
	(void)state;

	diags_init(&diags);
	buf_init(&out, 1 << 16);
	assert_int_equal(catalogue_parse(&c, "x.yaml", text, strlen(text), &diags, &err), -EINVAL);
	diags_print(&diags, DIAG_ERROR, &out);
	assert_non_null(strstr(buf_str(&out), "x.yaml:5:"));
	assert_non_null(strstr(buf_str(&out), "\"nobody\""));
	assert_non_null(strstr(buf_str(&out), "x.yaml:8:3: error: unknown key \"colour\""));
	assert_non_null(strstr(buf_str(&out), "unknown class \"none\""));
	assert_non_null(strstr(buf_str(&out), "\"c\" has no pattern"));
	assert_non_null(strstr(buf_str(&out), "\"b\" has no cause"));
	buf_done(&out);
	diags_done(&diags);
}

static void a_users_file_adds_and_replaces(void **state)
{
	char path[] = "/tmp/stator-signatures-XXXXXX";
	int fd = mkstemp(path);
	struct catalogue *base = NULL, *more = NULL;
	struct diags diags;
	FILE *f = fdopen(fd, "w");
	(void)state;

	fprintf(f, "- id: our-own\n  match: ['flux capacitor']\n  cause: c\n  remedy: r\n"
		   "- id: port-in-use\n  match: ['other words']\n  cause: c\n  remedy: r\n");
	fclose(f);
	diags_init(&diags);
	assert_int_equal(catalogue_create(&base, NULL, &diags, NULL), 0);
	assert_int_equal(catalogue_create(&more, path, &diags, NULL), 0);
	remove(path);
	assert_int_equal(catalogue_len(more), catalogue_len(base) + 1);
	assert_int_equal(catalogue_at(more, catalogue_find(more, "port-in-use"))->patterns_len, 1);
	assert_int_equal(catalogue_create(&(struct catalogue *){NULL}, "/nowhere.yaml", &diags, NULL), -ENOENT);
	catalogue_destroy(base);
	catalogue_destroy(more);
	diags_done(&diags);
}

static int arena_make(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int arena_free(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_automaton_finds_what_a_naive_search_finds),
		cmocka_unit_test(too_many_letters_are_refused),
		cmocka_unit_test(captures_take_what_stands_between),
		cmocka_unit_test(sentences_leave_out_what_is_not_known),
		cmocka_unit_test(bad_patterns_are_refused),
		cmocka_unit_test(times_of_one_form_compare),
		cmocka_unit_test(mistakes_of_a_catalogue_are_told_with_their_lines),
		cmocka_unit_test(a_users_file_adds_and_replaces),
	};

	return cmocka_run_group_tests_name("plan/diagnose_parts", tests, arena_make, arena_free);
}
