/* Memory that ends: each allocation in turn fails, and a graph is read, refused with its mistakes, or refused for want of
 * memory; nothing else, and nothing leaks.
 *
 * The arena and buffers are compiled into this program with an allocator that fails when told to, and with blocks that
 * hold one allocation each, so that every one of them is met (and a sanitizer sees the end of every one). */
#include "base/arena.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdlib.h>

static uint32_t allocations, fail_at; /* fail_at 0: never */

static bool fails(void)
{
	return ++allocations == fail_at;
}
static void *failing_malloc(size_t n)
{
	return fails() ? NULL : malloc(n);
}
static void *failing_realloc(void *p, size_t n)
{
	return fails() ? NULL : realloc(p, n);
}
#define malloc failing_malloc
#define realloc failing_realloc
#undef MAX
#define MAX(a, b) (a)
#include "../../../src/base/arena.c"
#undef MAX
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#include "../../../src/base/buf.c"
#undef malloc
#undef realloc

#include "../lib/cmocka_all.h"
#include "config/flags.h"
#include "config/graph.h"

/* Read text with each allocation failing in turn, until there is none left to fail. Returns how many there were. */
static uint32_t exhaust(const char *text, const struct graph_options *options, int expected)
{
	int code;

	fail_at = 0;
	do {
		struct graph *g = NULL;
		struct diags d;
		struct buf said;
		struct err err;
		allocations = 0;
		fail_at++;
		diags_init(&d);
		buf_init(&said, 1 << 20);
		code = graph_parse(&g, "g.yaml", text, strlen(text), options, &d, &err);
		diags_print(&d, DIAG_NOTICE, &said);
		assert_true(code == expected || code == -ENOMEM);
		assert_true((code == 0) == (g != NULL));
		assert_true(code != -EINVAL || d.errors);
		graph_destroy(g);
		diags_done(&d);
		buf_done(&said);
	} while (allocations >= fail_at);
	fail_at = 0;
	assert_int_equal(code, expected);
	return allocations;
}

static void a_good_graph_is_whole_or_refused(void **state UNUSED)
{
	static const char *const list[] = {
		"--VllmWorker.ServiceArgs.workers=2", "--VllmWorker.hf-overrides={\"a\": [1]}"};
	struct graph_options o = {.overrides = list, .overrides_len = ARRAY_LEN(list)};

	assert_true(exhaust("Common: &c {model: m}\n"
			    "Frontend: {endpoints: [a, b]}\n"
			    "VllmWorker:\n"
			    "  <<: *c\n"
			    "  common-configs: [model]\n"
			    "  kv-transfer-config: {a: 1}\n"
			    "  ServiceArgs: {resources: {gpu: 1}, envs: {A: 1}, env: [{name: B, value: 2}]}\n"
			    "Two: {engine: llama, model: a/b.gguf}\n",
			    &o, 0) > 100);
}

static void a_graph_with_mistakes_is_refused_in_any_case(void **state UNUSED)
{
	exhaust("Frontend: {prot: 1, port: x}\nMokWorker:\nMockWorker: {max-seqs: 1, max_seqs: 2, workers: 3}\n", NULL,
		-EINVAL);
	exhaust("VllmWorker:\nmodel: m\nServiceArgs:\nworkers: 4\nresources:\ngpu: 1\n", NULL, -EINVAL);
}

static void a_command_line_is_whole_or_refused(void **state UNUSED)
{
	static const struct flag flags[] = {
		{{.name = "port", .type = CONFIG_UINT, .def = "80"}, 'p', "PORT", NULL},
		{{.name = "key", .type = CONFIG_LIST}, 0, "KEY", NULL},
	};
	static const struct flags_command cmd = {
		.name = "x", .args = "A", .summary = "", .flags = flags, .count = 2, .args_max = 1, .overrides = true};
	char *const argv[] = {(char[]){"--port=1"}, (char[]){"--key"}, (char[]){"a"}, (char[]){"b"}, (char[]){"--A.b"},
		(char[]){"1"}};
	int code;

	fail_at = 0;
	do {
		struct flags *f = NULL;
		struct err err;
		allocations = 0;
		fail_at++;
		code = flags_parse(&f, &cmd, ARRAY_LEN(argv), argv, &err);
		assert_true((code == 0) == (f != NULL));
		assert_true(code == 0 || code == -ENOMEM);
		flags_destroy(f);
	} while (allocations >= fail_at);
	assert_int_equal(code, 0);
	fail_at = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_graph_is_whole_or_refused),
		cmocka_unit_test(a_graph_with_mistakes_is_refused_in_any_case),
		cmocka_unit_test(a_command_line_is_whole_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
