/* Any bytes as an inventory's JSON, as a list of GPUs, and as CUDA_VISIBLE_DEVICES over eight cards. */
#include "gpu/inventory.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AGAIN_MAX = 12 }; /* GPUs: the links of more are most of what a run would cost */

/* What was read must be written and read again as the same. */
static void again(const struct gpu_inventory *inv)
{
	struct gpu_inventory b;
	struct buf one, two;

	if (inv->count > AGAIN_MAX)
		return;
	buf_init(&one, 1 << 26);
	buf_init(&two, 1 << 26);
	ASSERT(gpu_inventory_to_json(inv, &one) == 0);
	ASSERT(gpu_inventory_from_json(&b, "again", one.data, one.len, NULL) == 0);
	ASSERT(gpu_inventory_to_json(&b, &two) == 0);
	ASSERT(one.len == two.len && !memcmp(one.data, two.data, one.len));
	gpu_inventory_done(&b);
	buf_done(&one);
	buf_done(&two);
}

static void json(const char *text, size_t size)
{
	struct gpu_inventory inv;
	struct err err;

	if (gpu_inventory_from_json(&inv, "fuzz", text, size, &err) < 0)
		return;
	again(&inv);
	gpu_inventory_done(&inv);
}

/* Hundreds of cards are the same path some more times, and each is most of what a second can do. */
static bool has_hundreds(const char *text)
{
	for (const char *c = text; *c; c++)
		if (strspn(c, "0123456789") >= 3)
			return true;
	return false;
}

static void spec(const char *text)
{
	struct gpu_inventory inv;
	struct err err;

	if (has_hundreds(text))
		return;
	if (gpu_inventory_from_spec(&inv, text, &err) < 0)
		return;
	for (uint32_t i = 0; i < inv.count; i++)
		ASSERT(inv.devices[i].spec && inv.devices[i].memory_total > 0);
	if (inv.count <= AGAIN_MAX)
		again(&inv);
	gpu_inventory_done(&inv);
}

static void visible(const char *text)
{
	struct gpu_inventory inv;
	struct err err;

	ASSERT(gpu_inventory_from_spec(&inv, "8xT4", &err) == 0);
	ASSERT(gpu_inventory_show_only(&inv, text, &err) == 0);
	ASSERT(inv.count + inv.hidden == 8);
	gpu_inventory_done(&inv);
}

/* What begins with a brace is tried as JSON, what begins with "=" as CUDA_VISIBLE_DEVICES, all else as a list: one reader a
 * run, so that many runs fit into a second. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	ASSERT(text);
	if (size && (data[0] == '{' || data[0] == '['))
		json((const char *)data, size);
	else if (*text == '=')
		visible(text + 1);
	else
		spec(text);
	free(text);
	return 0;
}
