/* The doctor: a made-up tree of files is looked at, and made-up hosts have the findings they deserve. */
#include "plan/doctor.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/cmocka_all.h"

static void make_file(const char *root, const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	FILE *f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(full, 0755);
}

static const struct doctor_package *find(const struct doctor_facts *f, const char *name)
{
	for (uint32_t i = 0; i < f->packages_len; i++)
		if (strcmp(f->packages[i].name, name) == 0)
			return &f->packages[i];
	return NULL;
}

static void engines_and_networks_are_found_without_starting_anything(void **state)
{
	char root[] = "/tmp/doctor-XXXXXX", command[64];
	struct doctor_facts f;
	struct buf out;
	(void)state;

	assert_non_null(mkdtemp(root));
	make_file(root, "/opt/v/bin/python", "");
	make_file(root, "/opt/v/lib/python3.11/site-packages/vllm-0.10.2+cu128.dist-info/METADATA",
		"Name: vllm\nRequires-Dist: torch==2.8.0\nRequires-Dist: transformers>=4.55\n"
		"Requires-Dist: flashinfer-python==0.3.0; extra == 'flashinfer'\n\nRequires-Dist: nixl==9 (in the "
		"text)\n");
	make_file(root, "/opt/v/lib/python3.11/site-packages/torch-2.7.1+cu126.dist-info/METADATA", "");
	make_file(root, "/opt/v/lib/python3.11/site-packages/nixl-1.5.1.dist-info/METADATA", "");
	make_file(root, "/usr/bin/llama-server", "");
	make_file(root, "/usr/lib/x86_64-linux-gnu/libucp.so.0", "");
	make_file(root, "/sys/class/net/eth0/operstate", "up\n");
	make_file(root, "/sys/class/net/eth0/speed", "10000\n");
	make_file(root, "/sys/class/net/lo/operstate", "unknown\n");
	make_file(root, "/sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
	make_file(root, "/sys/class/infiniband/mlx5_0/ports/1/rate", "200 Gb/sec (4X HDR)\n");
	assert_int_equal(doctor_look(&f, root, "/opt/v/bin:/usr/bin::/nowhere/bin", false, NULL), 0);
	assert_non_null(find(&f, "vllm"));
	assert_string_equal(find(&f, "vllm")->version, "0.10.2+cu128");
	assert_string_equal(find(&f, "vllm")->where, "/opt/v");
	assert_non_null(find(&f, "nixl"));
	assert_int_equal(f.pins_len, 2);
	assert_string_equal(f.pins[0].name, "torch");
	assert_string_equal(f.pins[0].version, "2.8.0");
	assert_string_equal(f.pins[1].name, "flashinfer");
	assert_string_equal(find(&f, "llama-server")->where, "/usr/bin/llama-server");
	assert_non_null(find(&f, "ucx"));
	assert_null(find(&f, "sglang"));
	assert_int_equal(f.nets_len, 2);
	buf_init(&out, 1 << 16);
	doctor_print(&f, &out);
	assert_non_null(strstr(buf_str(&out), "eth0, up, 10 Gbit/s"));
	assert_non_null(strstr(buf_str(&out), "mlx5_0 (RDMA), up, 200 Gbit/s"));
	assert_non_null(strstr(buf_str(&out), "vllm 0.10.2+cu128 (/opt/v)"));
	buf_done(&out);
	doctor_facts_done(&f);
	snprintf(command, sizeof command, "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

static struct doctor_facts good_host(const char *gpus)
{
	struct doctor_facts f = {.cuda_build = true, .open_files_hard = 65536};
	struct host_facts *h = &f.inventory.host_facts;

	gpu_inventory_init(&f.inventory);
	assert_int_equal(gpu_inventory_from_spec(&f.inventory, gpus, NULL), 0);
	*h = (struct host_facts){.cores = 8,
		.cores_all = 8,
		.avx = true,
		.avx2 = true,
		.f16c = true,
		.fma = true,
		.ram_total = 64ull << 30,
		.ram_available = 60ull << 30,
		.numa_nodes = 1,
		.shm_total = 32ull << 30,
		.disk_free = 100ull << 30,
		.open_files = 65536,
		.locked_memory = UINT64_MAX,
		.processes = UINT64_MAX};
	snprintf(h->cpu, sizeof h->cpu, "a good one");
	f.packages_len = 2;
	f.packages[0] = (struct doctor_package){"vllm", "0.30", "/v"};
	f.packages[1] = (struct doctor_package){"nixl", "1.5", "/v"};
	return f;
}

static void a_good_host_has_nothing_wrong(void **state)
{
	struct doctor_facts f = good_host("2xA100-80GB");
	struct findings findings;
	(void)state;

	findings_init(&findings);
	doctor_findings(&f, &findings);
	assert_int_equal(findings.len, 0);
	findings_done(&findings);
	doctor_facts_done(&f);
}

static void each_shortage_is_named(void **state)
{
	static const char *const codes[] = {"memory-low", "disk-low", "files-low", "shm-small", "memlock-low",
		"gpu-busy", "gpu-bfloat16", "no-cuda-build", "no-external-engine", "no-ucx"};
	struct doctor_facts f = good_host("1xT4");
	struct host_facts *h = &f.inventory.host_facts;
	struct findings findings;
	(void)state;

	h->ram_available = 1ull << 30;
	h->disk_free = 1ull << 30;
	h->shm_total = 64ull << 20;
	h->locked_memory = 64 * 1024;
	f.open_files_hard = 1024;
	f.cuda_build = false;
	f.packages_len = 0;
	f.nets_len = 1;
	f.nets[0] = (struct doctor_net){.name = "mlx5_0", .rdma = true, .up = true};
	f.inventory.devices[0].processes = 2;
	f.inventory.devices[0].processes_bytes = 7ull << 30;
	findings_init(&findings);
	doctor_findings(&f, &findings);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (!findings_has(&findings, codes[i]))
			fail_msg("no finding %s", codes[i]);
	assert_int_equal(findings.fatals, 0);
	findings_done(&findings);
	doctor_facts_done(&f);
}

static void versions(const char *gpus, const char *cuda, const char *torch, const char *code, const char *says)
{
	struct doctor_facts f = good_host(gpus);
	struct findings findings;

	snprintf(f.inventory.cuda, sizeof f.inventory.cuda, "%s", cuda);
	f.packages[f.packages_len] = (struct doctor_package){.name = "torch", .where = "/v"};
	snprintf(f.packages[f.packages_len++].version, 32, "%s", torch);
	f.pins[f.pins_len++] = (struct doctor_pin){"vllm", "/v", "torch", "2.8.0"};
	f.pins[f.pins_len++] = (struct doctor_pin){"vllm", "/elsewhere", "torch", "1.0"};
	findings_init(&findings);
	doctor_versions(&f, &findings);
	if (!code && findings.len)
		fail_msg("%s: %s", torch, findings.items[0].what);
	if (code && (!findings_has(&findings, code) || !strstr(findings.items[0].what, says)))
		fail_msg("%s on %s: no %s that says \"%s\"", torch, gpus, code, says);
	findings_done(&findings);
	doctor_facts_done(&f);
}

static void versions_that_do_not_go_together_are_named(void **state)
{
	(void)state;
	versions("1xA100-80GB", "12.4", "2.8.0+cu128", NULL, NULL); /* a minor more is compatible */
	versions("1xA100-80GB", "13.0", "2.8.0", NULL, NULL);
	versions("1xA100-80GB", "12.8", "2.7.1+cu126", "package-pin", "made with torch 2.8.0, and 2.7.1+cu126");
	versions("1xA100-80GB", "12.8", "2.8.0+cu130", "driver-cuda", "needs CUDA 13");
	versions("1xV100", "13.0", "2.8.0+cu130", "cuda-dropped-card", "capability 7.0");
	versions("1xT4", "13.0", "2.8.0+cu130", NULL, NULL);
	versions("1xRTX-5090", "12.8", "2.8.0+cu126", "cuda-before-card", "12.8 at least");
}

static void a_cpu_without_avx2_is_fatal_on_x86(void **state)
{
	struct doctor_facts f = good_host("0");
	struct findings findings;
	(void)state;

	f.inventory.host_facts.avx2 = false;
	findings_init(&findings);
	doctor_findings(&f, &findings);
#if defined(__x86_64__)
	assert_int_equal(findings.fatals, 1);
	assert_string_equal(findings.items[0].code, "cpu-old");
#endif
	assert_true(findings_has(&findings, "no-gpu"));
	findings_done(&findings);
	doctor_facts_done(&f);
}

static void what_it_prints_as_json_is_an_inventory(void **state)
{
	struct doctor_facts f = good_host("2xT4,1xL4");
	struct gpu_inventory again;
	struct buf out;
	struct err err = {0};
	(void)state;

	buf_init(&out, 1 << 20);
	gpu_inventory_to_json(&f.inventory, &out);
	gpu_inventory_init(&again);
	assert_int_equal(gpu_inventory_from_json(&again, "x", buf_str(&out), out.len, &err), 0);
	assert_int_equal(again.count, 3);
	assert_true(again.host_facts.ram_total == 64ull << 30);
	gpu_inventory_done(&again);
	buf_done(&out);
	doctor_facts_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engines_and_networks_are_found_without_starting_anything),
		cmocka_unit_test(a_good_host_has_nothing_wrong),
		cmocka_unit_test(each_shortage_is_named),
		cmocka_unit_test(versions_that_do_not_go_together_are_named),
		cmocka_unit_test(a_cpu_without_avx2_is_fatal_on_x86),
		cmocka_unit_test(what_it_prints_as_json_is_an_inventory),
	};

	return cmocka_run_group_tests_name("plan/doctor", tests, NULL, NULL);
}
