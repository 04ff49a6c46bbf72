/* YAML to a tree: places, bounds, aliases, and the words for what is no YAML. */
#include "config/yaml.h"

#include "../lib/cmocka_all.h"
#include <stdio.h>
#include <string.h>

struct reading {
	struct arena arena;
	struct diags diags;
	struct yaml_node *root;
	struct buf out;
	int code;
};

static void read_len(struct reading *r, const char *text, size_t len)
{
	*r = (struct reading){0};
	arena_init(&r->arena, YAML_ARENA_BYTES_MAX);
	diags_init(&r->diags);
	buf_init(&r->out, 1 << 22);
	r->code = yaml_parse(&r->root, &r->arena, "f", text, len, &r->diags);
}

static void read_text(struct reading *r, const char *text)
{
	read_len(r, text, strlen(text));
}

static void done(struct reading *r)
{
	arena_done(&r->arena);
	diags_done(&r->diags);
	buf_done(&r->out);
}

static void assert_json(const char *text, const char *json)
{
	struct reading r;

	read_text(&r, text);
	if (r.code < 0)
		fail_msg("%s: %s", text, r.diags.items[0].text);
	yaml_print_json(r.root, &r.out);
	assert_string_equal(buf_str(&r.out), json);
	done(&r);
}

static void assert_refused_len(const char *text, size_t len, const char *said)
{
	struct reading r;

	read_len(&r, text, len);
	assert_int_equal(r.code, -EINVAL);
	assert_null(r.root);
	diags_print(&r.diags, DIAG_NOTICE, &r.out);
	assert_string_equal(buf_str(&r.out), said);
	done(&r);
}

static void assert_refused(const char *text, const char *said)
{
	assert_refused_len(text, strlen(text), said);
}

static void all_shapes_are_read(void **state UNUSED)
{
	assert_json("a: 1\nb: [x, 'y', \"2\"]\nc: {d: true, e: }\nf:\n  - g\n  - h: ~\n",
		"{\"a\":1,\"b\":[\"x\",\"y\",\"2\"],\"c\":{\"d\":true,\"e\":null},\"f\":[\"g\",{\"h\":null}]}");
	assert_json("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}");
	assert_json("", "null");
	assert_json("# nothing\n", "null");
	assert_json("\xef\xbb\xbf"
		    "a: 'null'\r\nb: \xc3\xa4\r\n",
		"{\"a\":\"null\",\"b\":\"\xc3\xa4\"}");
	assert_json("a: 1.5.2\nb: 0x10\nc: -3e2\nd: .5\n", "{\"a\":\"1.5.2\",\"b\":\"0x10\",\"c\":-3e2,\"d\":\".5\"}");
}

static void every_key_and_value_knows_its_place(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "a:\n  \xc3\xa4\xc3\xb6: [x,  'y']\n  c: \"d\"\n");
	struct yaml_node *a = yaml_find(r.root, "a"), *list = a->first, *c = yaml_find(a, "c");
	assert_int_equal(a->key_pos.line, 1);
	assert_int_equal(list->key_pos.line, 2);
	assert_int_equal(list->key_pos.column, 3);
	assert_int_equal(list->pos.column, 7); /* characters, not bytes */
	assert_int_equal(list->last->pos.column, 12);
	assert_true(list->last->quoted);
	assert_int_equal(c->pos.line, 3);
	assert_int_equal(c->pos.column, 6);
	assert_string_equal(c->pos.file, "f");
	done(&r);
}

static void aliases_and_merges_are_expanded(void **state UNUSED)
{
	assert_json("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: &s text\ne: [*s, *s]\n",
		"{\"a\":{\"x\":1,\"y\":2},\"b\":{\"x\":1,\"y\":2},\"c\":{\"y\":3,\"x\":1},\"d\":\"text\",\"e\":["
		"\"text\",\"text\"]}");
	assert_json("a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b]}\n",
		"{\"a\":{\"x\":1},\"b\":{\"x\":2,\"z\":3},\"c\":{\"x\":1,\"z\":3}}");
	assert_refused("a: *b\n", "f:1:4: error: alias \"*b\" has no anchor before it\n");
	assert_refused("a: &a [*a]\n", "f:1:8: error: alias \"*a\" is inside its own anchor\n");
	assert_refused("a: {<<: 3}\n", "f:1:9: error: \"<<\" takes a map, usually an alias such as *defaults\n");
}

static void an_alias_bomb_is_refused(void **state UNUSED)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	buf_add_str(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 12; i++) {
		buf_printf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			buf_printf(&b, "%s*a%d", k ? ", " : "", i - 1);
		buf_add_str(&b, "]\n");
	}
	assert_refused(buf_str(&b),
		"f:5:10: error: too many keys and values; at most 20000 are read, aliases counted as often as used\n");
	buf_done(&b);
}

static void size_depth_and_bytes_are_bounded(void **state UNUSED)
{
	static char big[YAML_BYTES_MAX + 2];
	char deep[200];

	memset(big, ' ', sizeof big - 1);
	assert_refused(big, "f:1:1: error: the file has 1048577 bytes; at most 1048576 are read\n");
	memset(deep, '[', sizeof deep - 1);
	deep[sizeof deep - 1] = '\0';
	assert_refused(deep, "f:1:33: error: nested too deep; 32 levels are read\n");
	assert_refused("a: b\nc: \xff\n", "f:2:4: error: byte 0xff is not UTF-8\n");
	assert_refused_len("a: b\0c\n", 7, "f:1:5: error: control character 0x00 is not allowed\n");
	assert_refused("a: \x1b[31m\n", "f:1:4: error: control character 0x1b is not allowed\n");
}

static void what_is_no_yaml_is_explained(void **state UNUSED)
{
	assert_refused("a:\n\tb: 1\n", "f:2:1: error: this line is indented with a tab; YAML takes spaces only\n");
	assert_refused("a:\n  b: 1\n c: 2\n", "f:3:2: error: this is not YAML: invalid indentation in mapping; keys of "
					      "one level must start in the same column\n");
	assert_refused("a: [1, 2\n", "f:2:1: error: this is not YAML: flow sequence without a closing bracket\n");
	assert_refused("a:1\nb: 2\n",
		"f:1:1: error: this is not YAML: invalid multiline plain key; is a \":\" missing at the "
		"end of the line, or a space after it?\n");
	assert_refused("? [a]\n: b\n", "f:1:3: error: a map or list cannot be a key\n");
	assert_refused("---\na: 1\n---\nb: 1\n", "f:3:1: error: a second document starts here; a file holds one\n");
}

static void tabs_that_do_not_indent_are_fine(void **state UNUSED)
{
	assert_json("a: b\t# c\n\t\n\t# x\nc: d\n", "{\"a\":\"b\",\"c\":\"d\"}");
}

/* As people write them, and as Kubernetes takes them. */
static void a_bracket_closes_in_its_keys_column(void **state UNUSED)
{
	assert_json("a:\n  b: [\n    x,\n    y\n  ]\n  c: {\n    d: 1\n  }\n",
		"{\"a\":{\"b\":[\"x\",\"y\"],\"c\":{\"d\":1}}}");
	assert_json("a: [\n1\n]\n", "{\"a\":[1]}");
}

static void duplicates_are_kept_and_reported(void **state UNUSED)
{
	struct reading r;

	read_text(&r, "a-b: 1\nc:\n  d: 1\n  d: 2\na_b: 3\nd: 1\n");
	assert_int_equal(r.root->count, 4);
	assert_string_equal(yaml_find(r.root, "a-b")->text, "3");
	yaml_check_duplicates(r.root, &r.diags);
	diags_sort(&r.diags);
	diags_print(&r.diags, DIAG_ERROR, &r.out);
	assert_string_equal(buf_str(&r.out), "f:4:3: error: key \"d\" is here a second time; the first is at f:3:3\n"
					     "f:5:1: error: key \"a_b\" is here a second time; the first is at f:1:1; "
					     "\"a-b\" and \"a_b\" are one key\n");
	done(&r);
}

static void what_is_printed_reads_back_the_same(void **state UNUSED)
{
	static const char text[] =
		"a: 1\nb:\n  c: [x, 'y: z', '']\n  d: {}\n  e:\n    - f: 'true'\n      g: -1\n    - [1, 2]\n"
		"h: 'a # b'\n\"k: l\": \"\\n\"\nm:\n";
	struct reading r, again;

	read_text(&r, text);
	yaml_print(r.root, 0, &r.out);
	read_text(&again, buf_str(&r.out));
	if (again.code < 0)
		fail_msg("%s\n%s", again.diags.items[0].text, buf_str(&r.out));
	buf_reset(&r.out);
	yaml_print_json(r.root, &r.out);
	yaml_print_json(again.root, &again.out);
	assert_string_equal(buf_str(&again.out), buf_str(&r.out));
	done(&again);
	done(&r);
}

/* Memory that ends at any allocation gives -ENOMEM or a whole tree, and nothing else. */
static void running_out_of_memory_anywhere_is_an_error(void **state UNUSED)
{
	static const char text[] = "a: &a {b: 1, c: [x, y]}\nd: {<<: *a, e: *a}\nf: 'g'\n";
	bool succeeded = false;

	for (size_t max = 0; max < 64 * 1024 && !succeeded; max += 16) {
		struct arena arena;
		struct diags d;
		struct yaml_node *root = NULL;
		arena_init(&arena, max);
		diags_init(&d);
		int code = yaml_parse(&root, &arena, "f", text, strlen(text), &d);
		assert_true(code == 0 || code == -ENOMEM);
		assert_true((code == 0) == (root != NULL));
		assert_int_equal(d.errors, 0);
		succeeded = code == 0;
		arena_done(&arena);
		diags_done(&d);
	}
	assert_true(succeeded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_shapes_are_read),
		cmocka_unit_test(every_key_and_value_knows_its_place),
		cmocka_unit_test(aliases_and_merges_are_expanded),
		cmocka_unit_test(an_alias_bomb_is_refused),
		cmocka_unit_test(size_depth_and_bytes_are_bounded),
		cmocka_unit_test(what_is_no_yaml_is_explained),
		cmocka_unit_test(tabs_that_do_not_indent_are_fine),
		cmocka_unit_test(a_bracket_closes_in_its_keys_column),
		cmocka_unit_test(duplicates_are_kept_and_reported),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
