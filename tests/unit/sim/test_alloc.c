/* Traces where memory ends: each allocation fails in turn. (A replay is not tried: a simulation without memory for its own
 * events ends the program, by design: sim/env_priv.h. What it drives is tried in the rooms it comes from.) */
#include "sim/generate.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"

static int generate_and_read(void *ctx, struct err *err)
{
	struct trace t = {0}, again = {0};
	struct buf text, out;

	buf_init(&text, 1 << 24);
	buf_init(&out, 1 << 24);
	int r = trace_generate(&text, ctx, 3, err);
	r = r < 0 ? r : trace_parse(&t, "made up", buf_str(&text), text.len, 512, err);
	if (r == 0) {
		r = trace_print(&t, &out, err);
		r = r < 0 ? r : trace_parse(&again, "printed", buf_str(&out), out.len, 512, err);
		if (r == 0)
			trace_done(&again);
		trace_done(&t);
	}
	buf_done(&text);
	buf_done(&out);
	return r;
}

static void a_load_is_made_and_read_or_there_is_no_memory(void **state)
{
	(void)state;
	assert_true(fail_nth_each(generate_and_read, "agent:requests=12,prefix=300,rate=40") > 5);
}

static int read_mooncake(void *ctx, struct err *err)
{
	static const char text[] =
		"{\"timestamp\": 1, \"input_length\": 1024, \"output_length\": 3, \"hash_ids\": [1, 2]}\n"
		"{\"timestamp\": 9, \"input_length\": 600, \"output_length\": 4, \"hash_ids\": [1, 3]}\n";
	struct trace t;
	(void)ctx;

	int r = trace_parse(&t, "t.jsonl", text, sizeof text - 1, 512, err);
	if (r == 0)
		trace_done(&t);
	return r;
}

static void a_trace_of_objects_is_read_or_there_is_no_memory(void **state)
{
	(void)state;
	assert_true(fail_nth_each(read_mooncake, NULL) > 10);
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_load_is_made_and_read_or_there_is_no_memory),
		cmocka_unit_test(a_trace_of_objects_is_read_or_there_is_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
