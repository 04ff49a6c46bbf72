/* Both forms of a trace are read, with their mistakes by file and line; what is made up can be read. */
#include "sim/generate.h"
#include "sim/trace.h"

#include "../lib/cmocka_all.h"

#include <stdio.h>

static struct trace parse(const char *text, uint32_t block_size)
{
	struct trace t;
	struct err err = {0};
	if (trace_parse(&t, "t", text, strlen(text), block_size, &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

static uint64_t hash(const struct trace *t, uint32_t row, uint32_t block)
{
	assert_true(block < t->rows[row].hashes_count);
	return t->hashes[t->rows[row].hashes + block];
}

static void equal_ids_are_equal_prefixes_at_any_block_size(void **state)
{
	static const char text[] =
		"{\"timestamp\": 5, \"input_length\": 1500, \"output_length\": 9, \"hash_ids\": [7, 8, 9]}\n"
		"{\"timestamp\": 9, \"input_length\": 1100, \"output_length\": 1, \"hash_ids\": [7, 8, 11]}\n";
	(void)state;
	for (uint32_t size = 16; size <= 1024; size *= 2) {
		struct trace t = parse(text, size);
		assert_int_equal(t.len, 2);
		assert_int_equal(t.rows[0].at_us, 0); /* times count from the first arrival */
		assert_int_equal(t.rows[1].at_us, 4000);
		assert_int_equal(t.rows[0].hashes_count, 1500 / size);
		assert_int_equal(t.rows[1].hashes_count, 1100 / size);
		for (uint32_t i = 0; i < 1100 / size; i++)
			assert_int_equal(hash(&t, 0, i) == hash(&t, 1, i), (i + 1) * size <= 1024);
		trace_done(&t);
	}
}

static void named_prefixes_and_sessions_are_shared(void **state)
{
	static const char text[] = "# a comment\n"
				   "0 1000 20 prefix=tools:800 session=a\n"
				   "10 900 20 prefix=tools:800\n"
				   "500.5 1100 5 session=a tenant=x priority=-2\n";
	(void)state;
	struct trace t = parse(text, 100);
	assert_int_equal(t.rows[2].at_us, 500500);
	assert_int_equal(t.rows[2].priority, -2);
	assert_true(t.rows[2].tenant != 0 && t.rows[0].tenant == 0);
	for (uint32_t i = 0; i < 8; i++)
		assert_true(hash(&t, 0, i) == hash(&t, 1, i));
	assert_false(hash(&t, 0, 8) == hash(&t, 1, 8));
	/* The third begins with all of the first: prompt and answer. */
	for (uint32_t i = 0; i < 10; i++)
		assert_true(hash(&t, 0, i) == hash(&t, 2, i));
	assert_float_equal(trace_reuse_max(&t), 1800.0 / 3000, 1e-9);
	trace_done(&t);
}

static void mistakes_are_named_by_file_and_line(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "t: there is no request in it"},
		{"\n# nothing\n", "t: there is no request in it"},
		{"1 2\n", "t:1: the number of answer tokens is missing"},
		{"1 2 3\n4 0 3\n", "t:2: the number of prompt tokens is 0; it goes from 1"},
		{"1 2 3 colour=red\n", "t:1: unknown key \"colour\""},
		{"1 20 3 prefix=a:30\n", "t:1: the prompt has 20 tokens, but what it begins with has 30"},
		{"1 20 3 prefix=a\n", "t:1: prefix \"a\" is not NAME:TOKENS"},
		{"x 2 3\n", "t:1: time \"x\" is not a number"},
		{"1 2 3\n\n{\"timestamp\": 1}\n", "t:3: time"},
		{"{\"timestamp\": 1\n", "t:1: not JSON"},
		{"{\"timestamp\": 1}\n", "t:1: key \"input_length\" is missing"},
		{"{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 1, \"hash_ids\": [1]}",
			"t:1: \"hash_ids\" has 1 items; a prompt of 600 tokens has 2"},
		{"{\"timestamp\": -1, \"input_length\": 600, \"output_length\": 1, \"hash_ids\": [1, 2]}",
			"t:1: \"timestamp\" is -1; it goes from 0"},
		{"{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 0, \"hash_ids\": [1, 2]}",
			"t:1: \"output_length\" is 0"},
		{"{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 1, \"hash_ids\": [\"a\", 2]}",
			"t:1: \"hash_ids\": item 1 is not a whole number"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct trace t;
		struct err err = {0};
		assert_true(trace_parse(&t, "t", cases[i].text, strlen(cases[i].text), 512, &err) < 0);
		if (strncmp(err.msg, cases[i].says, strlen(cases[i].says)) != 0)
			fail_msg("said \"%s\", not \"%s\"", err.msg, cases[i].says);
	}
}

static void jitter_moves_each_arrival_by_its_own_draw(void **state)
{
	char text[4096] = "";
	(void)state;
	for (int i = 0; i < 100; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%d 10 1\n", i * 10);
	struct trace a = parse(text, 16), b = parse(text, 16);
	trace_jitter(&a, 3000, 5);
	trace_jitter(&b, 3000, 5);
	uint32_t moved = 0;
	for (uint32_t i = 0; i < a.len; i++) {
		assert_int_equal(a.rows[i].at_us, b.rows[i].at_us);
		assert_int_equal(a.rows[i].at_us % 1000, 0);
		assert_true(a.rows[i].at_us >= a.rows[i].id * 10000ull &&
			    a.rows[i].at_us < a.rows[i].id * 10000ull + 3000000);
		assert_true(i == 0 || a.rows[i].at_us >= a.rows[i - 1].at_us);
		moved += a.rows[i].id != i;
	}
	assert_true(moved > 50);
	trace_speed_up(&a, 2);
	assert_int_equal(a.rows[7].at_us, (b.rows[7].at_us + 1) / 2);
	trace_done(&a);
	trace_done(&b);
}

static void what_is_written_is_read_again(void **state)
{
	struct buf load, out;
	struct err err = {0};
	struct trace again;
	(void)state;
	buf_init(&load, 1 << 22);
	buf_init(&out, 1 << 22);
	assert_int_equal(trace_generate(&load, "agent:requests=200", 3, &err), 0);
	struct trace t = parse(buf_str(&load), 512);
	assert_int_equal(t.len, 200);
	assert_int_equal(trace_print(&t, &out, &err), 0);
	assert_int_equal(trace_parse(&again, "out", out.data, out.len, 512, &err), 0);
	assert_int_equal(again.len, t.len);
	assert_int_equal(again.prompt_tokens, t.prompt_tokens);
	assert_float_equal(trace_reuse_max(&again), trace_reuse_max(&t), 1e-9);
	trace_done(&t);
	trace_done(&again);
	buf_done(&load);
	buf_done(&out);
}

static void made_up_loads_have_the_shape_that_was_asked_for(void **state)
{
	static const char *const specs[] = {
		"agent:requests=3000", "chat:requests=3000", "shared:requests=3000,groups=3"};
	struct err err = {0};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct buf a, b;
		buf_init(&a, 1 << 24);
		buf_init(&b, 1 << 24);
		assert_int_equal(trace_generate(&a, specs[i], 7, &err), 0);
		assert_int_equal(trace_generate(&b, specs[i], 7, &err), 0);
		assert_true(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
		struct trace t = parse(buf_str(&a), 16);
		assert_int_equal(t.len, 3000);
		/* They are made to be reused. */
		assert_true(trace_reuse_max(&t) > 0.5);
		trace_done(&t);
		buf_done(&a);
		buf_done(&b);
	}
	struct buf out;
	buf_init(&out, 1 << 20);
	assert_true(trace_generate(&out, "agnt", 1, &err) < 0);
	assert_non_null(strstr(err.msg, "did you mean \"agent\"?"));
	assert_true(trace_generate(&out, "agent:turn=3", 1, &err) < 0);
	assert_non_null(strstr(err.msg, "did you mean \"turns\"?"));
	assert_true(trace_generate(&out, "agent:turns=0", 1, &err) < 0);
	assert_non_null(strstr(err.msg, "from 1 to 1000"));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_ids_are_equal_prefixes_at_any_block_size),
		cmocka_unit_test(named_prefixes_and_sessions_are_shared),
		cmocka_unit_test(mistakes_are_named_by_file_and_line),
		cmocka_unit_test(jitter_moves_each_arrival_by_its_own_draw),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(made_up_loads_have_the_shape_that_was_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
