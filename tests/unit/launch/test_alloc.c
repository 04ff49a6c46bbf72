/* From a graph to command lines, and from logs to causes, where memory ends: each allocation fails in turn. */
#include "launch/causes.h"
#include "launch/deployment.h"
#include "launch/log_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"

#define TEXT(n)                                                                                                        \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_STRING, .help = "x"}, .arg = "X"                                     \
	}
static const struct flag worker_flags[] = {TEXT("name"), TEXT("engine"), TEXT("role"), TEXT("listen"),
	TEXT("status-fd"), TEXT("kv-secret-file"), TEXT("model"), TEXT("served-model-name"), TEXT("block-size")};
static const struct flag frontend_flags[] = {TEXT("listen"), TEXT("status-fd"), TEXT("workers"), TEXT("router"),
	TEXT("kv-secret-file"), TEXT("drain-timeout"), TEXT("min-workers"), TEXT("max-conns")};
static const struct flags_command worker = {
	.name = "worker", .args = "", .summary = "x", .flags = worker_flags, .count = ARRAY_LEN(worker_flags)};
static const struct flags_command frontend = {
	.name = "frontend", .args = "", .summary = "x", .flags = frontend_flags, .count = ARRAY_LEN(frontend_flags)};

static int build(void *ctx, struct err *err)
{
	struct cores cores = {.count = 2, .cpus = {0, 1}};
	struct gpu_inventory gpus = {0};
	const struct deployment_config config = {.graph = ctx,
		.cores = &cores,
		.dir = "/run/d",
		.demo_model = "/none",
		.listen_fd = -1,
		.url = "http://h:1",
		.drain_ms = 30000,
		.gpus = &gpus,
		.worker = &worker,
		.frontend = &frontend};
	struct deployment d = {0};

	int r = deployment_build(&d, &config, err);
	if (r == 0)
		assert_int_equal(d.count, 4);
	deployment_done(&d);
	return r;
}

static void a_deployment_is_built_or_there_is_no_memory(void **state)
{
	(void)state;
	static const char text[] = "Frontend:\n  max-conns: 7\nMockWorker:\n  block-size: 16\n"
				   "  ServiceArgs:\n    workers: 3\n    envs: {A: b}\n";
	struct graph *graph;
	struct diags diags;
	struct err err;

	diags_init(&diags);
	assert_int_equal(graph_parse(&graph, "g.yaml", text, sizeof text - 1, NULL, &diags, &err), 0);
	diags_done(&diags);
	assert_true(fail_nth_each(build, graph) > 0);
	graph_destroy(graph);
}

/* What a dead process's log says: a cause, or that nothing is known; never a failure of its own. */
static int find_cause(void *ctx, struct err *err)
{
	struct causes *c = causes_create(2);
	(void)ctx;
	(void)err;

	if (!c)
		return 0;
	for (uint32_t i = 0; i < 2; i++) {
		causes_line(c, i, i ? "b" : "a", "Loading weights");
		causes_line(
			c, i, i ? "b" : "a", "ValueError: No available memory for the cache blocks. Try increasing it");
	}
	(void)causes_find(c, 0);
	causes_reset(c, 0);
	(void)causes_find(c, 0);
	(void)causes_find(c, 1);
	causes_destroy(c);
	return 0;
}

static void causes_are_found_as_far_as_there_is_memory(void **state)
{
	(void)state;
	assert_int_equal(fail_nth_each(find_cause, NULL), 0);
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_deployment_is_built_or_there_is_no_memory),
		cmocka_unit_test(causes_are_found_as_far_as_there_is_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
