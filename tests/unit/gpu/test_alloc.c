/* Inventories and catalogues of cards where memory ends: each allocation fails in turn. */
#include "config/diag.h"
#include "gpu/catalogue.h"
#include "gpu/inventory.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/fail_nth.h"

static int from_spec(void *ctx, struct err *err)
{
	struct gpu_inventory inv;

	int r = gpu_inventory_from_spec(&inv, ctx, err);
	if (r == 0)
		gpu_inventory_done(&inv);
	return r;
}

static void a_list_of_cards_is_read_or_there_is_no_memory(void **state)
{
	(void)state;
	assert_true(fail_nth_each(from_spec, "4xT4,2xA100-80GB;8xH100") > 0);
}

struct text {
	const char *data;
	size_t len;
};

static int from_json(void *ctx, struct err *err)
{
	const struct text *t = ctx;
	struct gpu_inventory inv;

	int r = gpu_inventory_from_json(&inv, "doctor.json", t->data, t->len, err);
	if (r == 0)
		gpu_inventory_done(&inv);
	return r;
}

static int to_json(void *ctx, struct err *err)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	int r = gpu_inventory_to_json(ctx, &out);
	buf_done(&out);
	return r < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static void an_inventory_is_written_and_read_or_there_is_no_memory(void **state)
{
	(void)state;
	struct gpu_inventory inv;
	struct buf out;

	assert_int_equal(gpu_inventory_from_spec(&inv, "4xT4;2xH100", NULL), 0);
	assert_true(fail_nth_each(to_json, &inv) > 0);
	buf_init(&out, 1 << 20);
	assert_int_equal(gpu_inventory_to_json(&inv, &out), 0);
	struct text t = {out.data, out.len};
	assert_true(fail_nth_each(from_json, &t) > 10);
	buf_done(&out);
	gpu_inventory_done(&inv);
}

/* A card more: it is there, or it is not and that is said. */
static int add_card(void *ctx, struct err *err)
{
	static uint32_t number;
	const char *body = ctx;
	struct diags diags;
	char text[2048], name[32];

	snprintf(name, sizeof name, "Test-%u", number++);
	snprintf(text, sizeof text, body, name);
	diags_init(&diags);
	int r = gpu_catalogue_add("cards.txt", text, strlen(text), &diags);
	if (r < 0)
		err_set(err, r, "out of memory");
	assert_int_equal(gpu_spec_find(name) != NULL, r >= 0);
	diags_done(&diags);
	return r;
}

static void a_card_of_the_users_is_added_or_there_is_no_memory(void **state)
{
	(void)state;
	static char body[] = "%s capability=8.0 memory=10GiB bandwidth=500 fp32=20 source=me\n";

	if (gpu_spec_find("T4") == NULL)
		fail_msg("the catalogue is not there");
	assert_true(fail_nth_each(add_card, body) > 0);
}

int main(void)
{
	fail_nth_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_of_cards_is_read_or_there_is_no_memory),
		cmocka_unit_test(an_inventory_is_written_and_read_or_there_is_no_memory),
		cmocka_unit_test(a_card_of_the_users_is_added_or_there_is_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
