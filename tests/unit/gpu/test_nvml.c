/* Looking at GPUs through stand-ins of NVML: sound machines, and the errors of real drivers. */
#include "../lib/cmocka_all.h"
#include "gpu/inventory.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[PATH_MAX];

static struct gpu_inventory look(const char *library, const char *init, const char *cards, const char *visible)
{
	struct gpu_inventory inv;
	struct err err;
	char path[PATH_MAX + 32];

	setenv("STANDIN_INIT", init, 1);
	setenv("STANDIN_CARDS", cards, 1);
	snprintf(path, sizeof path, "%s/%s", folder, library);
	assert_int_equal(gpu_inventory_from_nvml(&inv, path, visible, &err), 0);
	return inv;
}

static void says(const struct gpu_inventory *inv, const char *words)
{
	if (!strstr(inv->note, words))
		fail_msg("the note \"%s\" does not say \"%s\"", inv->note, words);
}

static void four_t4s_are_seen_whole(void **state)
{
	struct gpu_inventory inv = look("nvml.so", "", "T4 T4 T4 T4", NULL);
	char text[128];

	(void)state;
	assert_int_equal(inv.count, 4);
	assert_string_equal(inv.driver, "550.54.15");
	assert_string_equal(inv.cuda, "12.4");
	assert_string_equal(inv.note, "");
	assert_false(inv.given);
	assert_true(inv.host[0] && inv.host_facts.cores > 0);
	for (uint32_t i = 0; i < 4; i++) {
		const struct gpu_device *d = &inv.devices[i];
		assert_int_equal(d->index, i);
		assert_string_equal(d->spec->name, "T4");
		assert_int_equal(d->capability, 75);
		assert_int_equal(d->memory_total >> 20, 14913); /* not NVML's 15360 */
		assert_int_equal(d->memory_free, d->memory_total);
		assert_int_equal(d->numa, -1);
		assert_int_equal(d->processes, 0);
	}
	assert_int_equal(gpu_inventory_link(&inv, 0, 1), GPU_LINK_PCIE);
	assert_int_equal(gpu_inventory_link(&inv, 2, 2), GPU_LINK_NONE);
	assert_string_equal(gpu_inventory_text(&inv, text, sizeof text), "4 x T4 (14.6 GiB)");
	gpu_inventory_done(&inv);
}

static void nvlink_is_told_from_pcie(void **state)
{
	struct gpu_inventory inv = look("nvml.so", "", "H100 L4 H100", NULL);

	(void)state;
	assert_int_equal(gpu_inventory_link(&inv, 0, 2), GPU_LINK_NVLINK);
	assert_int_equal(gpu_inventory_link(&inv, 0, 1), GPU_LINK_PCIE);
	gpu_inventory_done(&inv);
}

static void memory_that_others_hold_is_counted(void **state)
{
	(void)state;
	setenv("STANDIN_BUSY", "2", 1);
	struct gpu_inventory inv = look("nvml.so", "", "T4 T4 T4 T4", NULL);
	unsetenv("STANDIN_BUSY");
	assert_int_equal(inv.devices[2].processes, 1);
	assert_int_equal(inv.devices[2].processes_bytes >> 30, 8);
	assert_int_equal(inv.devices[2].memory_free >> 20, 15360 - 8192);
	assert_int_equal(inv.devices[1].memory_free, inv.devices[1].memory_total);
	gpu_inventory_done(&inv);
}

static void slices_stand_in_for_their_card(void **state)
{
	struct gpu_inventory inv = look("nvml.so", "", "T4 A100MIG", NULL);

	(void)state;
	assert_int_equal(inv.count, 3);
	assert_int_equal(inv.hidden, 1);
	assert_true(inv.devices[1].mig_slice && inv.devices[2].mig_slice && !inv.devices[0].mig_slice);
	assert_int_equal(inv.devices[2].memory_total >> 20, 40192);
	assert_string_equal(inv.devices[2].spec->name, "A100-80GB");
	assert_int_equal(inv.devices[1].index, 1);
	gpu_inventory_done(&inv);
	inv = look("nvml.so", "", "T4 A100MIG", "1");
	assert_int_equal(inv.count, 1); /* CUDA takes a card's first slice */
	assert_string_equal(inv.devices[0].uuid, "MIG-b0000001-0000-0000-0000-000000000001");
	gpu_inventory_done(&inv);
	inv = look("nvml.so", "", "T4 A100MIG", "MIG-b0000001-0000-0000-0000-000000000002");
	assert_int_equal(inv.count, 1);
	assert_non_null(strstr(inv.devices[0].uuid, "000000000002"));
	gpu_inventory_done(&inv);
}

static void a_card_the_catalogue_does_not_know_is_kept(void **state)
{
	struct gpu_inventory inv = look("nvml.so", "", "X9000", NULL);

	(void)state;
	assert_int_equal(inv.count, 1);
	assert_null(inv.devices[0].spec);
	assert_int_equal(inv.devices[0].capability, 130);
	assert_int_equal(inv.devices[0].memory_total >> 20, 30000);
	gpu_inventory_done(&inv);
}

static void a_lost_card_costs_only_itself(void **state)
{
	struct gpu_inventory inv = look("nvml.so", "", "T4 LOST T4", NULL);

	(void)state;
	assert_int_equal(inv.count, 2);
	assert_int_equal(inv.devices[1].index, 2);
	says(&inv, "could not read GPU 1, so it is left out: GPU is lost");
	says(&inv, "Xid 79");
	gpu_inventory_done(&inv);
	inv = look("nvml.so", "", "T4 LOST T4", "2,1,0");
	assert_int_equal(inv.count, 1); /* CUDA cannot use it either */
	gpu_inventory_done(&inv);
}

static void errors_of_the_driver_are_answers_with_a_remedy(void **state)
{
	static const struct {
		const char *init, *words, *remedy;
	} table[] = {{"18", "Driver/library version mismatch", "reboot"},
		{"4", "Insufficient Permissions", "/dev/nvidia*"}, {"9", "Driver Not Loaded", "modprobe nvidia"},
		{"999", "Unknown Error", "NVML error 999"}};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		struct gpu_inventory inv = look("nvml.so", table[i].init, "T4", NULL);
		assert_int_equal(inv.count, 0);
		says(&inv, table[i].words);
		says(&inv, table[i].remedy);
		gpu_inventory_done(&inv);
	}
}

static void no_driver_no_card_and_an_old_driver(void **state)
{
	struct gpu_inventory inv = look("nowhere.so", "", "", NULL);

	(void)state;
	assert_int_equal(inv.count, 0);
	says(&inv, "no NVIDIA driver here");
	gpu_inventory_done(&inv);
	inv = look("nvml.so", "", "", NULL);
	says(&inv, "finds no GPU");
	gpu_inventory_done(&inv);
	inv = look("nvml_old.so", "", "T4", NULL);
	assert_int_equal(inv.count, 0);
	says(&inv, "lacks nvmlDeviceGetUUID");
	gpu_inventory_done(&inv);
}

static void the_order_of_unlike_cards_is_warned_of(void **state)
{
	struct gpu_inventory inv = look("nvml.so", "", "T4 H100", "0,1");

	(void)state;
	says(&inv, "CUDA_DEVICE_ORDER=PCI_BUS_ID");
	gpu_inventory_done(&inv);
	setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
	inv = look("nvml.so", "", "T4 H100", "0,1");
	assert_string_equal(inv.note, "");
	unsetenv("CUDA_DEVICE_ORDER");
	gpu_inventory_done(&inv);
}

static int find_folder(void **state)
{
	ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);

	(void)state;
	if (n <= 0)
		return -1;
	folder[n] = '\0';
	*strrchr(folder, '/') = '\0';
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_t4s_are_seen_whole),
		cmocka_unit_test(nvlink_is_told_from_pcie),
		cmocka_unit_test(memory_that_others_hold_is_counted),
		cmocka_unit_test(slices_stand_in_for_their_card),
		cmocka_unit_test(a_card_the_catalogue_does_not_know_is_kept),
		cmocka_unit_test(a_lost_card_costs_only_itself),
		cmocka_unit_test(errors_of_the_driver_are_answers_with_a_remedy),
		cmocka_unit_test(no_driver_no_card_and_an_old_driver),
		cmocka_unit_test(the_order_of_unlike_cards_is_warned_of),
	};
	return cmocka_run_group_tests(tests, find_folder, NULL);
}
