#include "../lib/cmocka_all.h"
#include "config/records.h"

#include <stdio.h>
#include <string.h>

struct thing {
	const char *text;
	uint32_t number, tenths, word;
	uint64_t bytes;
	double f;
	bool flag;
};

static const char *const words[] = {"red", "green", NULL};
static const struct record_field fields[] = {
	{"text", RECORD_TEXT, offsetof(struct thing, text), false, NULL, NULL},
	{"number", RECORD_U32, offsetof(struct thing, number), true, NULL, NULL},
	{"tenths", RECORD_TENTHS, offsetof(struct thing, tenths), false, NULL, NULL},
	{"colour", RECORD_WORD, offsetof(struct thing, word), false, words, NULL},
	{"bytes", RECORD_BYTES, offsetof(struct thing, bytes), false, NULL, NULL},
	{"float", RECORD_F64, offsetof(struct thing, f), false, NULL, NULL},
	{"flag", RECORD_BOOL, offsetof(struct thing, flag), false, NULL, NULL},
};

struct got {
	struct diags diags;
	struct thing things[8];
	char names[8][32];
	uint32_t len;
	bool filled;
};

static int each(void *ctx, const struct record *r)
{
	struct got *g = ctx;

	assert_true(g->len < 8);
	g->filled = record_fill(r, fields, ARRAY_LEN(fields), &g->things[g->len], &g->diags);
	snprintf(g->names[g->len++], 32, "%s", r->name);
	return 0;
}

static int parse(struct got *g, struct arena *a, const char *text)
{
	*g = (struct got){0};
	diags_init(&g->diags);
	return records_parse("f.txt", text, strlen(text), a, &g->diags, each, g);
}

static void a_record_spans_indented_lines_and_comments_end_lines(void **state)
{
	struct arena a;
	struct got g;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(
		parse(&g, &a,
			"# head\n\nT4 number=3 text=\"Tesla T4\" # tail\n\tfloat=1.5\n\n  flag=yes tenths=7.5\n"
			"L4 number=4 colour=green bytes=2MiB\r\n"),
		0);
	assert_int_equal(g.len, 2);
	assert_string_equal(g.names[0], "T4");
	assert_string_equal(g.things[0].text, "Tesla T4");
	assert_int_equal(g.things[0].number, 3);
	assert_int_equal(g.things[0].tenths, 75);
	assert_true(g.things[0].flag);
	assert_true(g.things[0].f == 1.5);
	assert_int_equal(g.things[1].word, 1);
	assert_int_equal(g.things[1].bytes, 2 << 20);
	diags_done(&g.diags);
	arena_done(&a);
}

static void expect(const char *text, const char *pos, const char *words_of_it)
{
	struct arena a;
	struct got g;

	arena_init(&a, 1 << 20);
	parse(&g, &a, text);
	assert_true(g.diags.len > 0);
	assert_string_equal(g.diags.items[0].pos, pos);
	if (!strstr(g.diags.items[0].text, words_of_it))
		fail_msg("\"%s\" does not say \"%s\"", g.diags.items[0].text, words_of_it);
	diags_done(&g.diags);
	arena_done(&a);
}

static void each_mistake_has_its_place_and_reason(void **state)
{
	(void)state;
	expect("T4 number=1 numbr=3\n", "f.txt:1:13", "did you mean \"number\"");
	expect("T4 number=1\n   tenths=75\n", "f.txt:2:4", "two numbers and a point");
	expect("T4 number=x\n", "f.txt:1:4", "is not a whole number");
	expect("T4 number=4294967296\n", "f.txt:1:4", "is not a whole number");
	expect("T4 text=a\n", "f.txt:1:1", "lacks the key \"number\"");
	expect("T4 number=1 number=2\n", "f.txt:1:13", "given twice");
	expect("T4 number=1 text=\"open\nL4 number=2\n", "f.txt:1:18", "not closed");
	expect("T4 number=1 text=\"a\"b\n", "f.txt:1:21", "blank must follow");
	expect("T4 number=1 two words\n", "f.txt:1:13", "expected key=value");
	expect("T4 number=\n", "f.txt:1:11", "a value must follow");
	expect("  number=1\n", "f.txt:1:3", "none above");
	expect("number=1\n", "f.txt:1:1", "begins with its name");
	expect("T4 number=1 colour=blue\n", "f.txt:1:13", "not a known word");
	expect("T4 number=1 float=-2\n", "f.txt:1:13", "is not a number");
	expect("T4 number=1 flag=maybe\n", "f.txt:1:13", "yes or no");
}

static void a_wrong_record_leaves_the_others(void **state)
{
	struct arena a;
	struct got g;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(parse(&g, &a, "A number=1\nB number=2 text=\"open\nC number=3\n"), -EINVAL);
	assert_int_equal(g.len, 2);
	assert_string_equal(g.names[1], "C");
	assert_int_equal(g.diags.errors, 1);
	diags_done(&g.diags);
	arena_done(&a);
}

static void memory_that_runs_out_is_an_error(void **state)
{
	struct arena a;
	struct got g;

	(void)state;
	arena_init(&a, 16);
	assert_int_equal(parse(&g, &a, "A number=1 text=a_longer_text_than_there_is_room_for\n"), -ENOMEM);
	diags_done(&g.diags);
	arena_done(&a);
}

static void reading_says_what_is_wrong_with_the_file(void **state)
{
	char *text = NULL;
	size_t len;
	struct err err;

	(void)state;
	assert_int_equal(records_read("/nowhere/x.txt", FILE_PLAIN, &text, &len, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nowhere/x.txt"));
	assert_int_equal(records_read("/tmp", FILE_PLAIN, &text, &len, &err), -EISDIR);
	assert_non_null(strstr(err.msg, "is a folder, not a file"));
	assert_null(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_spans_indented_lines_and_comments_end_lines),
		cmocka_unit_test(each_mistake_has_its_place_and_reason),
		cmocka_unit_test(a_wrong_record_leaves_the_others),
		cmocka_unit_test(memory_that_runs_out_is_an_error),
		cmocka_unit_test(reading_says_what_is_wrong_with_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
