/* From a graph to command lines. */
#include "launch/deployment.h"

#include <stdio.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

#define TEXT(n)                                                                                                        \
	{                                                                                                              \
		.key = {.name = n, .type = CONFIG_STRING, .help = "x"}, .arg = "X"                                     \
	}
static const struct flag worker_flags[] = {TEXT("name"), TEXT("engine"), TEXT("role"), TEXT("listen"),
	TEXT("status-fd"), TEXT("kv-secret-file"), TEXT("model"), TEXT("served-model-name"), TEXT("threads"),
	TEXT("block-size"), TEXT("memory-share")};
static const struct flag frontend_flags[] = {TEXT("listen"), TEXT("status-fd"), TEXT("workers"), TEXT("router"),
	TEXT("kv-secret-file"), TEXT("drain-timeout"), TEXT("min-workers"), TEXT("max-conns"), TEXT("api-keys-file"),
	TEXT("expect")};
static const struct flags_command worker = {
	.name = "worker", .args = "", .summary = "x", .flags = worker_flags, .count = ARRAY_LEN(worker_flags)};
static const struct flags_command frontend = {
	.name = "frontend", .args = "", .summary = "x", .flags = frontend_flags, .count = ARRAY_LEN(frontend_flags)};

struct fixture {
	struct graph *graph;
	struct deployment d;
	struct cores cores;
	struct err err;
	char model[32];
	enum deployment_start start;
	bool keep_going;
	uint64_t memory;
	struct gpu_inventory gpus;
};

static int build(struct fixture *f, const char *text, const char *engine)
{
	struct graph_options options = {.engine = engine};
	struct diags diags;
	struct deployment_config config = {.cores = &f->cores,
		.dir = "/run/d",
		.demo_model = f->model,
		.listen_fd = -1,
		.url = "http://h:1",
		.drain_ms = 30000,
		.start = f->start,
		.keep_going = f->keep_going,
		.memory_available = f->memory,
		.gpus = &f->gpus,
		.worker = &worker,
		.frontend = &frontend};

	diags_init(&diags);
	assert_int_equal(graph_parse(&f->graph, "g.yaml", text, strlen(text), &options, &diags, &f->err), 0);
	diags_done(&diags);
	config.graph = f->graph;
	return deployment_build(&f->d, &config, &f->err);
}

static const char *command(const struct fixture *f, uint32_t i)
{
	static char line[2048];

	assert_in_range(i, 0, f->d.count - 1);
	line[0] = '\0';
	for (const char *const *a = f->d.processes[i].process.spec.argv; *a; a++)
		snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s", *line ? " " : "", *a);
	return line;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->cores.count = 4;
	for (uint16_t i = 0; i < 4; i++)
		f->cores.cpus[i] = i;
	strcpy(f->model, "/tmp/stator-model-XXXXXX");
	close(mkstemp(f->model));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->model);
	deployment_done(&f->d);
	graph_destroy(f->graph);
	free(f);
	return 0;
}

static void mock_workers_get_names_sockets_and_their_settings(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		build(f,
			"Frontend:\n  max-conns: 7\nMockWorker:\n  block-size: 16\n  ServiceArgs:\n    workers: 2\n"
			"    envs: {A: b}\nRouter:\n  mode: random\n",
			NULL),
		0);
	assert_int_equal(f->d.count, 3);
	assert_string_equal(f->d.model, "mock");
	assert_string_equal(f->d.title, "mock on 2 mock workers, 4 CPUs");
	assert_true(f->d.processes[0].process.is_frontend);
	assert_string_equal(command(f, 0),
		"stator frontend --listen=fd:4 --status-fd=3 --workers=unix:/run/d/mock-0.sock,unix:/run/d/mock-1.sock "
		"--min-workers=2 --expect=mock=2 --router=random --kv-secret-file=/run/d/secret "
		"--drain-timeout=30000ms --max-conns=7");
	assert_string_equal(f->d.processes[2].process.name, "mock-1");
	assert_string_equal(command(f, 2),
		"stator worker --name=mock-1 --engine=mock --role=both --listen=unix:/run/d/mock-1.sock --status-fd=3 "
		"--kv-secret-file=/run/d/secret --served-model-name=mock --block-size=16");
	assert_string_equal(f->d.processes[1].process.spec.envs[0], "A=b");
	assert_null(f->d.processes[1].process.spec.envs[1]);
	assert_int_equal(f->d.processes[1].process.spec.cpus_len, 0);
}

static void llama_workers_share_the_cpus(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f,
				 "LlamaWorker:\n  model: demo\n  ServiceArgs: {workers: 2}\n"
				 "Big:\n  engine: llama\n  model: demo\n  served-model-name: big\n",
				 NULL),
		0);
	assert_int_equal(f->d.count, 4);
	assert_string_equal(f->d.processes[3].process.name, "big-0");
	assert_int_equal(f->d.processes[1].process.spec.cpus_len, 2);
	assert_int_equal(f->d.processes[2].process.spec.cpus[0], 2);
	assert_int_equal(f->d.processes[3].process.spec.cpus[0], 3);
	assert_string_equal(f->d.processes[1].facts, "on CPUs 0-1");
	assert_string_equal(f->d.processes[3].facts, "on CPU 3");
	assert_non_null(strstr(command(f, 1), "--threads=2"));
	assert_non_null(strstr(command(f, 3), f->model));
	assert_non_null(strstr(command(f, 3), "--served-model-name=big"));
}

static void threads_of_the_user_are_left_alone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "LlamaWorker:\n  model: demo\n  threads: 3\n", NULL), 0);
	assert_int_equal(f->d.processes[1].process.spec.cpus_len, 0);
	assert_non_null(strstr(command(f, 1), "--threads=3"));
}

static void services_of_one_base_name_count_on(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "MockWorker: {}\nmock:\n  engine: mock\n", NULL), 0);
	assert_string_equal(f->d.processes[1].process.name, "mock-0");
	assert_string_equal(f->d.processes[2].process.name, "mock-1");
}

static void vllm_workers_are_refused_with_a_way_out(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "VllmWorker:\n  model: some/model\n", NULL), -ENOTSUP);
	assert_non_null(strstr(f->err.msg, "--engine llama"));
	assert_non_null(strstr(f->err.msg, "vllm"));
}

static void vllm_workers_run_on_the_mock_when_asked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		build(f, "VllmWorker:\n  model: some/model\nPrefillWorker:\n  model: some/model\n", "mock"), 0);
	assert_string_equal(f->d.processes[1].process.name, "vllm-0");
	assert_string_equal(f->d.processes[2].process.name, "prefill-0");
	assert_non_null(strstr(command(f, 1), "--engine=mock"));
	assert_non_null(strstr(command(f, 2), "--role=prefill"));
	assert_string_equal(f->d.model, "some/model");
}

static void a_model_that_is_no_file_is_explained(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "VllmWorker:\n  model: some/model\n", "llama"), -ENOENT);
	assert_non_null(strstr(f->err.msg, "No such file"));
	assert_non_null(strstr(f->err.msg, "GGUF"));
}

static void a_missing_demo_model_names_what_fetches_it(void **state)
{
	struct fixture *f = *state;

	unlink(f->model);
	assert_int_equal(build(f, "LlamaWorker:\n  model: demo\n", NULL), -ENOENT);
	assert_non_null(strstr(f->err.msg, "make model"));
	assert_non_null(strstr(f->err.msg, f->model));
}

static void a_folder_is_no_model(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "LlamaWorker:\n  model: /tmp\n", NULL), -EISDIR);
}

static void no_workers_at_all_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "MockWorker:\n  ServiceArgs: {workers: 0}\n", NULL), -EINVAL);
}

static const char *env_of(const struct fixture *f, uint32_t i, const char *name)
{
	const char *const *envs = f->d.processes[i].process.spec.envs;

	for (; *envs; envs++)
		if (strncmp(*envs, name, strlen(name)) == 0)
			return *envs;
	return NULL;
}

static void the_first_of_each_kind_is_proven_and_mocks_start_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "MockWorker: {ServiceArgs: {workers: 3}}\nOther: {engine: mock}\n", NULL), 0);
	assert_int_equal(f->d.count, 5);
	for (uint32_t i = 1; i < 5; i++) {
		assert_int_equal(f->d.processes[i].prove, i == 1 || i == 4);
		assert_false(f->d.processes[i].later);
	}
	assert_false(f->d.processes[0].prove);
}

static void workers_wait_for_the_first_when_memory_is_not_sure_to_hold_all(void **state)
{
	struct fixture *f = *state;

	f->memory = 600ull << 20; /* one worker's half GiB, not three */
	assert_int_equal(build(f, "LlamaWorker: {model: demo, ServiceArgs: {workers: 3}}\n", NULL), 0);
	assert_false(f->d.processes[1].later);
	assert_true(f->d.processes[2].later && f->d.processes[3].later);
}

static void with_room_for_all_they_start_together_unless_steps_are_asked_for(void **state)
{
	struct fixture *f = *state;

	f->memory = 8ull << 30;
	assert_int_equal(build(f, "LlamaWorker: {model: demo, ServiceArgs: {workers: 3}}\n", NULL), 0);
	assert_false(f->d.processes[3].later);
	deployment_done(&f->d);
	graph_destroy(f->graph);
	f->start = DEPLOYMENT_START_STEPS;
	assert_int_equal(build(f, "MockWorker: {ServiceArgs: {workers: 2}}\n", NULL), 0);
	assert_true(f->d.processes[2].later);
}

static void to_keep_going_the_frontend_waits_for_one_worker(void **state)
{
	struct fixture *f = *state;

	f->keep_going = true;
	assert_int_equal(build(f, "MockWorker: {ServiceArgs: {workers: 3}}\n", NULL), 0);
	assert_non_null(strstr(command(f, 0), "--min-workers=1 --expect=mock=0 "));
}

static void the_frontend_is_told_what_the_graph_has(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f,
				 "Small: {engine: mock, served-model-name: small, ServiceArgs: {workers: 3}}\n"
				 "Large: {engine: mock, served-model-name: la rge}\n"
				 "Off: {engine: mock, served-model-name: off, ServiceArgs: {workers: 0}}\n",
				 NULL),
		0);
	assert_non_null(strstr(command(f, 0), "--min-workers=4 --expect=small=3 --expect=la rge=1 --router"));
	/* Started again later, one of each is enough. */
	f->d.processes[0].process.spec.argv = f->d.frontend_again;
	assert_non_null(strstr(command(f, 0), "--min-workers=1 --expect=small=1 --expect=la rge=1 --router"));
	deployment_done(&f->d);
	graph_destroy(f->graph);
	assert_int_equal(build(f, "Router: {min-workers: 2}\nMockWorker: {ServiceArgs: {workers: 3}}\n", NULL), 0);
	assert_non_null(strstr(command(f, 0), "--expect=mock=1 "));
	assert_non_null(strstr(command(f, 0), "--min-workers=2"));
}

static void gpus_are_bound_by_uuid_and_never_twice(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "MockWorker: {ServiceArgs: {workers: 2, resources: {gpu: 2}}}\n";

	gpu_inventory_init(&f->gpus);
	assert_int_equal(gpu_inventory_from_spec(&f->gpus, "4xT4", &f->err), 0);
	strcpy(f->gpus.devices[0].uuid, "GPU-aaaa");
	strcpy(f->gpus.devices[1].uuid, "GPU-bbbb");
	assert_int_equal(build(f, text, NULL), 0);
	assert_string_equal(env_of(f, 1, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=GPU-aaaa,GPU-bbbb");
	assert_string_equal(env_of(f, 2, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=2,3");
	deployment_done(&f->d);
	graph_destroy(f->graph);
	f->graph = NULL;
	assert_int_equal(build(f, "MockWorker: {ServiceArgs: {workers: 3, resources: {gpu: 2}}}\n", NULL), -EINVAL);
	assert_non_null(strstr(f->err.msg, "mock-2 asks for 2 GPUs, and 0 of 4 are left"));
	gpu_inventory_done(&f->gpus);
}

static void workers_that_take_a_part_of_a_gpu_share_it(void **state)
{
	struct fixture *f = *state;

	gpu_inventory_init(&f->gpus);
	assert_int_equal(gpu_inventory_from_spec(&f->gpus, "2xT4", &f->err), 0);
	assert_int_equal(build(f, "MockWorker: {ServiceArgs: {workers: 4, resources: {gpu: 0.5}}}\n", NULL), 0);
	assert_string_equal(env_of(f, 1, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=0");
	assert_string_equal(env_of(f, 2, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=0");
	assert_string_equal(env_of(f, 3, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=1");
	assert_string_equal(env_of(f, 4, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=1");
	assert_non_null(strstr(f->d.processes[4].facts, "GPU 1"));
	deployment_done(&f->d);
	graph_destroy(f->graph);
	f->graph = NULL;
	assert_int_equal(build(f, "MockWorker: {ServiceArgs: {workers: 3, resources: {gpu: 0.6}}}\n", NULL), -EINVAL);
	assert_non_null(strstr(f->err.msg, "mock-2 asks for 1 GPU, and 0 of 2 are left"));
	gpu_inventory_done(&f->gpus);
}

static void frontends_and_llama_workers_without_a_gpu_see_none(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "LlamaWorker: {model: demo, ServiceArgs: {workers: 2}}\n", NULL), 0);
	assert_non_null(strstr(command(f, 1), "--memory-share=0.5000"));
	assert_string_equal(env_of(f, 0, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=");
	assert_string_equal(env_of(f, 1, "CUDA_VISIBLE_DEVICES"), "CUDA_VISIBLE_DEVICES=");
	deployment_done(&f->d);
	graph_destroy(f->graph);
	f->graph = NULL;
	assert_int_equal(build(f, "LlamaWorker: {model: demo, gpu-layers: 12}\n", NULL), 0);
	assert_null(env_of(f, 1, "CUDA_VISIBLE_DEVICES"));
}

static void a_thousand_workers_have_names_and_sockets_of_their_own(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f, "MockWorker:\n  ServiceArgs:\n    workers: 1024\n", NULL), 0);
	assert_int_equal(f->d.count, 1025);
	assert_string_equal(f->d.processes[1024].process.name, "mock-1023");
	for (const char *const *a = f->d.processes[0].process.spec.argv; *a; a++)
		if (strncmp(*a, "--workers=", 10) == 0) {
			const char *last = strrchr(*a, ',');
			assert_non_null(last);
			assert_string_equal(last, ",unix:/run/d/mock-1023.sock");
			return;
		}
	fail_msg("the frontend is told of no workers");
}

static void the_headline_counts_the_workers_of_each_model(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(build(f,
				 "Small:\n  engine: mock\n  served-model-name: small\n  ServiceArgs:\n    workers: 1\n"
				 "Big:\n  engine: mock\n  served-model-name: big\n  ServiceArgs:\n    workers: 2\n"
				 "More:\n  engine: mock\n  served-model-name: small\n  ServiceArgs:\n    workers: 3\n",
				 NULL),
		0);
	assert_string_equal(f->d.title, "small on 4 mock workers, big on 2 mock workers, 4 CPUs");
}

static void more_processes_than_memory_holds_are_refused_with_the_arithmetic(void **state)
{
	struct fixture *f = *state;

	f->memory = 1ull << 30;
	assert_int_equal(build(f, "MockWorker:\n  ServiceArgs:\n    workers: 1000\n", NULL), -E2BIG);
	assert_non_null(
		strstr(f->err.msg, "1001 processes take 4004 MiB before they load anything (4 each), and 1024 MiB"));
}

static void cpus_that_are_not_there_are_said_or_refused(void **state)
{
	struct fixture *f = *state;
	char graph[256];

	snprintf(graph, sizeof graph, "LlamaWorker:\n  model: %s\n  cpus: 2-9\n", f->model);
	assert_int_equal(build(f, graph, NULL), 0);
	assert_string_equal(f->d.processes[1].facts, "2 of the 8 CPUs of \"2-9\" are there");
	deployment_done(&f->d);
	graph_destroy(f->graph);
	f->graph = NULL;
	snprintf(graph, sizeof graph, "LlamaWorker:\n  model: %s\n  cpus: 5-7\n", f->model);
	assert_int_equal(build(f, graph, NULL), -EINVAL);
	assert_non_null(
		strstr(f->err.msg, "LlamaWorker: cpus \"5-7\" names none of the CPUs there are for this process: 0-3"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_of_each_kind_is_proven_and_mocks_start_at_once),
		TEST(workers_wait_for_the_first_when_memory_is_not_sure_to_hold_all),
		TEST(with_room_for_all_they_start_together_unless_steps_are_asked_for),
		TEST(the_frontend_is_told_what_the_graph_has),
		TEST(to_keep_going_the_frontend_waits_for_one_worker),
		TEST(gpus_are_bound_by_uuid_and_never_twice),
		TEST(workers_that_take_a_part_of_a_gpu_share_it),
		TEST(frontends_and_llama_workers_without_a_gpu_see_none),
		TEST(mock_workers_get_names_sockets_and_their_settings),
		TEST(a_thousand_workers_have_names_and_sockets_of_their_own),
		TEST(the_headline_counts_the_workers_of_each_model),
		TEST(more_processes_than_memory_holds_are_refused_with_the_arithmetic),
		TEST(cpus_that_are_not_there_are_said_or_refused),
		TEST(llama_workers_share_the_cpus),
		TEST(threads_of_the_user_are_left_alone),
		TEST(services_of_one_base_name_count_on),
		TEST(vllm_workers_are_refused_with_a_way_out),
		TEST(vllm_workers_run_on_the_mock_when_asked),
		TEST(a_model_that_is_no_file_is_explained),
		TEST(a_missing_demo_model_names_what_fetches_it),
		TEST(a_folder_is_no_model),
		TEST(no_workers_at_all_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
