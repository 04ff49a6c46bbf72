#include "../lib/cmocka_all.h"
#include "gpu/inventory.h"

#include "base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gpu_inventory given(const char *spec)
{
	struct gpu_inventory inv;
	struct err err;

	err_clear(&err);
	if (gpu_inventory_from_spec(&inv, spec, &err) < 0)
		fail_msg("%s: %s", spec, err.msg);
	return inv;
}

static void a_list_gives_cards_in_order(void **state)
{
	struct gpu_inventory inv = given("2xT4, 1 x L4,H100");
	char text[128];

	(void)state;
	assert_int_equal(inv.count, 4);
	assert_true(inv.given);
	assert_string_equal(inv.devices[2].name, "NVIDIA L4");
	assert_int_equal(inv.devices[3].index, 3);
	assert_int_equal(inv.devices[0].memory_total >> 20, 14913);
	assert_int_equal(gpu_inventory_link(&inv, 0, 1), GPU_LINK_PCIE);
	assert_string_equal(gpu_inventory_text(&inv, text, sizeof text),
		"2 x T4 (14.6 GiB), 1 x L4 (22.0 GiB), 1 x H100 (79.1 GiB)");
	gpu_inventory_done(&inv);
}

/* A machine's name stands for its GPUs, on a host of their own. */
static void machines_of_clouds_have_their_gpus(void **state)
{
	static const struct {
		const char *spec, *card;
		uint32_t count, last_host;
	} cases[] = {{"g5.12xlarge", "A10G", 4, 0}, {"2xp5.48xlarge", "H100", 16, 1}, {"ml.g6e.xlarge", "L40S", 1, 0},
		{"Standard_ND96amsr_A100_v4", "A100-80GB", 8, 0}, {"nc80adis_h100_v5", "H100-NVL", 2, 0},
		{"3 x a3-highgpu-2g", "H100", 6, 2}, {"1xL4;g2-standard-24", "L4", 3, 1}, {"DGX-B200", "B200", 8, 0},
		{"BM.GPU.L40S.4", "L40S", 4, 0}};
	struct gpu_inventory inv;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		inv = given(cases[i].spec);
		assert_int_equal(inv.count, cases[i].count);
		assert_string_equal(inv.devices[inv.count - 1].spec->name, cases[i].card);
		assert_int_equal(inv.devices[inv.count - 1].host, cases[i].last_host);
		gpu_inventory_done(&inv);
	}
	assert_int_equal(gpu_inventory_from_spec(&inv, "9000xg5.12xlarge", &err), -EINVAL);
	assert_int_equal(gpu_inventory_from_spec(&inv, "p5.48xlrge", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "did you mean \"p5.48xlarge\""));
}

static void each_machine_has_gpus_that_are_known(void **state)
{
	FILE *f = fopen("data/instances.txt", "r");
	char line[256], name[64], gpus[64];
	uint32_t n = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%63s gpus=%63s", name, gpus) != 2 || *name == '#')
			continue;
		struct gpu_inventory inv = given(name), same = given(gpus);
		assert_int_equal(inv.count, same.count);
		assert_ptr_equal(inv.devices[0].spec, same.devices[0].spec);
		gpu_inventory_done(&inv);
		gpu_inventory_done(&same);
		n++;
	}
	fclose(f);
	assert_true(n > 100);
}

/* A slice by its profile has the profile's memory, and is never taken for the whole card. */
static void a_mig_profile_is_a_slice(void **state)
{
	static const struct {
		const char *spec;
		uint32_t count;
		uint64_t mib;
	} cases[] = {{"2xA100-80GB MIG 3g.40gb", 2, 40 * 1024 * 95 / 100},
		{"H100-mig-1g.10gb", 1, 10 * 1024 * 95 / 100}, {"A100-40GB MIG 1g.5gb", 1, 5 * 1024 * 95 / 100},
		{"NVIDIA H100 80GB HBM3 MIG 2g.20gb", 1, 20 * 1024 * 95 / 100}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gpu_inventory inv = given(cases[i].spec);
		assert_int_equal(inv.count, cases[i].count);
		assert_true(inv.devices[0].mig_slice);
		assert_int_equal(inv.devices[0].memory_total >> 20, cases[i].mib);
		gpu_inventory_done(&inv);
	}
	struct gpu_inventory inv;
	struct err err;
	assert_int_equal(gpu_inventory_from_spec(&inv, "H100 MIG 7g.160gb", &err), -EINVAL);
	assert_int_equal(gpu_inventory_from_spec(&inv, "H100 MIG", &err), -EINVAL);
}

/* "HOSTSxCOUNTxNAME": hosts that are alike, also beside others. */
static void hosts_of_the_same_have_their_number_in_front(void **state)
{
	static const struct {
		const char *spec;
		uint32_t count, last_host;
	} cases[] = {{"2x4xT4", 8, 1}, {"3x1xL4", 3, 2}, {"2x2xT4;1xL4", 5, 2}, {"1xL4;2x2xT4", 5, 2}, {"1x4xT4", 4, 0},
		{"2x2xA100-80GB:20GiB", 4, 1}};
	(void)state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gpu_inventory inv;

		assert_int_equal(gpu_inventory_from_spec(&inv, cases[i].spec, NULL), 0);
		assert_int_equal(inv.count, cases[i].count);
		assert_int_equal(inv.devices[0].host, 0);
		assert_int_equal(inv.devices[inv.count - 1].host, cases[i].last_host);
		gpu_inventory_done(&inv);
	}
	struct gpu_inventory inv;
	struct err err;
	assert_int_equal(gpu_inventory_from_spec(&inv, "2x0xT4", &err), -EINVAL);
	assert_int_equal(gpu_inventory_from_spec(&inv, "4000x4000xT4", &err), -EINVAL);
	assert_int_equal(gpu_inventory_from_spec(&inv, "2x4x", &err), -EINVAL);
}

/* Those that NVML does not know either, and as JSON it is read again. */
static void each_card_of_the_catalogue_has_a_name(void **state)
{
	const struct gpu_spec *spec;
	(void)state;

	for (uint32_t i = 0; (spec = gpu_spec_at(i)) != NULL; i++) {
		struct gpu_inventory inv = given(spec->name), again;
		struct err err;
		struct buf json;

		assert_true(*inv.devices[0].name);
		buf_init(&json, 1 << 20);
		assert_int_equal(gpu_inventory_to_json(&inv, &json), 0);
		if (gpu_inventory_from_json(&again, "again", json.data, json.len, &err) < 0)
			fail_msg("%s: %s", spec->name, err.msg);
		assert_string_equal(again.devices[0].name, inv.devices[0].name);
		gpu_inventory_done(&again);
		gpu_inventory_done(&inv);
		buf_done(&json);
	}
}

static void hosts_and_slices(void **state)
{
	struct gpu_inventory inv = given("2xH100;2xA100-80GB:40GiB");

	(void)state;
	assert_int_equal(inv.devices[2].host, 1);
	assert_int_equal(inv.devices[2].index, 0);
	assert_true(inv.devices[2].mig_slice);
	assert_int_equal(inv.devices[2].memory_total >> 30, 40);
	assert_int_equal(gpu_inventory_link(&inv, 0, 1), GPU_LINK_NVLINK);
	assert_int_equal(gpu_inventory_link(&inv, 0, 2), GPU_LINK_NONE);
	assert_int_equal(gpu_inventory_link(&inv, 2, 3), GPU_LINK_PCIE); /* slices have no NVLink */
	gpu_inventory_done(&inv);
	inv = given("0");
	assert_int_equal(inv.count, 0);
	assert_string_equal(inv.note, "the list says there is no GPU");
	gpu_inventory_done(&inv);
}

static void a_wrong_list_says_where_and_what_was_meant(void **state)
{
	static const char *const table[][2] = {{"4xT5", "unknown GPU \"T5\""},
		{"2xA100-80QB", "did you mean \"A100-80GB\"?"},
		{"8xA100", "write which: A100-40GB, A100-PCIE-40GB, A100-80GB"}, {"1xMI35", "MI350X, MI355X"},
		{"", "empty part"}, {"2xT4,", "empty part"}, {"99999xT4", "at most 4096"},
		{"2xT4:64GiB", "a T4 has 15360 MiB"}, {"2xT4:lots", "no memory size"}, {"4x", "unknown GPU \"\""},
		{"-1xT4", "unknown GPU"}, {"18446744073709551617xT4", "at most 4096"}};
	struct gpu_inventory inv;
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(gpu_inventory_from_spec(&inv, table[i][0], &err), -EINVAL);
		if (!strstr(err.msg, table[i][1]))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, table[i][1]);
	}
}

static void visible(const char *text, const char *wanted)
{
	struct gpu_inventory inv = given("8xT4");
	struct err err;
	char got[64] = "";

	for (uint32_t i = 0; i < inv.count; i++)
		snprintf(inv.devices[i].uuid, sizeof inv.devices[i].uuid, "GPU-%c%u000000-0000", i < 4 ? 'a' : 'b', i);
	assert_int_equal(gpu_inventory_show_only(&inv, text, &err), 0);
	for (uint32_t i = 0; i < inv.count; i++)
		snprintf(got + strlen(got), 8, "%u", inv.devices[i].index);
	if (strcmp(got, wanted) != 0)
		fail_msg("CUDA_VISIBLE_DEVICES=%s shows \"%s\", not \"%s\"", text, got, wanted);
	assert_int_equal(inv.hidden, 8 - inv.count);
	assert_true((inv.count == 8) == !inv.note[0]);
	gpu_inventory_done(&inv);
}

static void cuda_visible_devices_as_cuda_reads_it(void **state)
{
	(void)state;
	visible(NULL, "01234567");
	visible("", "");
	visible("3", "3");
	visible("3,1", "31");
	visible(" 3, 1", "31");
	visible("0,1,9,2", "01"); /* an index that names none hides what follows */
	visible("0,-1,2", "0");
	visible("-1", "");
	visible("NoDevFiles", "");
	visible("1gpu,2", "12"); /* strtoul's reading */
	visible("1,,2", "1");
	visible("1,", "1");
	visible("2,1,2", ""); /* twice: none at all */
	visible("99999999999999999999,1", "");
	visible("GPU-a2000000-0000", "2");
	visible("GPU-a2,GPU-b7", "27");
	visible("GPU-a", ""); /* four cards begin so */
	visible("GPU-b4,GPU-zz,GPU-a1", "4");
	visible("GPU-b4,GPU-b4", "");
	visible("GPU-", "");
	visible(",0", "");
	visible("GPU-b4,1", "4"); /* no mixing: the first entry decides */
	visible("1,GPU-b4", "1");
}

/* Against a slow reading of the same rule. */
static void random_lists_of_indices(void **state)
{
	struct rng r;
	struct err err;

	(void)state;
	rng_init(&r, 7);
	for (uint32_t round = 0; round < 2000; round++) {
		struct gpu_inventory inv = given("5xT4");
		char text[128] = "", wanted[16] = "", got[16] = "";
		uint32_t n = (uint32_t)rng_below(&r, 6), seen = 0;
		bool stopped = false, twice = false;
		for (uint32_t i = 0; i < n; i++) {
			uint32_t x = (uint32_t)rng_below(&r, 7);
			snprintf(text + strlen(text), 8, "%s%u", i ? "," : "", x);
			stopped |= x > 4;
			twice |= !stopped && seen >> x & 1;
			seen |= stopped ? 0 : 1u << x;
			if (!stopped)
				snprintf(wanted + strlen(wanted), 4, "%u", x);
		}
		gpu_inventory_show_only(&inv, text, &err);
		for (uint32_t i = 0; i < inv.count; i++)
			snprintf(got + strlen(got), 4, "%u", inv.devices[i].index);
		if (strcmp(got, twice ? "" : wanted) != 0)
			fail_msg("CUDA_VISIBLE_DEVICES=%s shows \"%s\", not \"%s\"", text, got, twice ? "" : wanted);
		gpu_inventory_done(&inv);
	}
}

static void json_says_the_same_again(void **state)
{
	struct gpu_inventory a = given("2xH100,1xT4;1xL4"), b;
	struct buf one, two;
	struct err err;

	(void)state;
	host_facts_read(&a.host_facts);
	snprintf(a.devices[0].uuid, sizeof a.devices[0].uuid, "GPU-\"x\"");
	snprintf(a.host, sizeof a.host, "node1");
	buf_init(&one, 1 << 20);
	buf_init(&two, 1 << 20);
	assert_int_equal(gpu_inventory_to_json(&a, &one), 0);
	err_clear(&err);
	if (gpu_inventory_from_json(&b, "i.json", one.data, one.len, &err) < 0)
		fail_msg("%s", err.msg);
	gpu_inventory_to_json(&b, &two);
	assert_string_equal(one.data, two.data);
	assert_ptr_equal(b.devices[2].spec, gpu_spec_find("T4"));
	assert_int_equal(gpu_inventory_link(&b, 0, 1), GPU_LINK_NVLINK);
	assert_int_equal(b.host_facts.open_files, a.host_facts.open_files);
	buf_done(&one);
	buf_done(&two);
	gpu_inventory_done(&a);
	gpu_inventory_done(&b);
}

static void json_by_hand_may_be_short(void **state)
{
	static const char text[] =
		"{\"inventory\": {\"devices\": [{\"name\": \"T4\"}, {\"name\": \"T4\", \"host\": 1, \"more\": 3},"
		"{\"name\": \"X\", \"memory_total\": 1000000000, \"capability\": 75}]}}";
	struct gpu_inventory inv;
	struct err err;

	(void)state;
	assert_int_equal(gpu_inventory_from_json(&inv, "i.json", text, strlen(text), &err), 0);
	assert_int_equal(inv.devices[0].memory_free >> 20, 14913);
	assert_int_equal(inv.devices[1].capability, 75);
	assert_int_equal(gpu_inventory_link(&inv, 0, 1), GPU_LINK_NONE);
	assert_int_equal(gpu_inventory_link(&inv, 0, 2), GPU_LINK_PCIE);
	assert_null(inv.devices[2].spec);
	gpu_inventory_done(&inv);
}

static void wrong_json_says_where(void **state)
{
	static const char *const table[][2] = {{"{\n  \"devices\": [}", "i.json:2:"}, {"[]", "an object is wanted"},
		{"{\"devices\": 3}", "\"devices\" must be an array"},
		{"{\"devices\": [3]}", "device 0: an object is wanted"},
		{"{\"devices\": [{}]}", "device 0: \"name\" must be given"},
		{"{\"devices\": [{\"name\": \"X\"}]}", "device 0: \"memory_total\" must be given"},
		{"{\"devices\": [{\"name\": \"T4\", \"index\": -1}]}", "device 0: \"index\" must be a whole number"},
		{"{\"devices\": [{\"name\": \"T4\", \"mig_slice\": 1}]}", "true or false"},
		{"{\"devices\": [{\"name\": \"T4\"}], \"links\": []}", "a row for each of 1 devices"},
		{"{\"devices\": [{\"name\": \"T4\"}], \"links\": [[]]}", "row 0 of \"links\""},
		{"{\"devices\": [{\"name\": \"T4\"}], \"links\": [[\"usb\"]]}", "a link must be"},
		{"{\"host_facts\": {\"cores\": \"2\"}}", "host_facts: \"cores\""}, {"", "i.json:"}};
	struct gpu_inventory inv;
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(
			gpu_inventory_from_json(&inv, "i.json", table[i][0], strlen(table[i][0]), &err), -EINVAL);
		if (!strstr(err.msg, table[i][1]))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, table[i][1]);
	}
	assert_int_equal(gpu_inventory_from_file(&inv, "/nowhere.json", &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_gives_cards_in_order),
		cmocka_unit_test(machines_of_clouds_have_their_gpus),
		cmocka_unit_test(each_machine_has_gpus_that_are_known),
		cmocka_unit_test(a_mig_profile_is_a_slice),
		cmocka_unit_test(hosts_of_the_same_have_their_number_in_front),
		cmocka_unit_test(each_card_of_the_catalogue_has_a_name),
		cmocka_unit_test(hosts_and_slices),
		cmocka_unit_test(a_wrong_list_says_where_and_what_was_meant),
		cmocka_unit_test(cuda_visible_devices_as_cuda_reads_it),
		cmocka_unit_test(random_lists_of_indices),
		cmocka_unit_test(json_says_the_same_again),
		cmocka_unit_test(json_by_hand_may_be_short),
		cmocka_unit_test(wrong_json_says_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
