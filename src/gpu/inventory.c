#include "gpu/inventory.h"

#include "base/compiler.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gpu_inventory_init(struct gpu_inventory *inv)
{
	*inv = (struct gpu_inventory){0};
}

void gpu_inventory_done(struct gpu_inventory *inv)
{
	free(inv->devices);
	free(inv->links);
	*inv = (struct gpu_inventory){0};
}

/* --- CUDA_VISIBLE_DEVICES --- */

/* What CUDA reads of an entry: as strtoul does, "1gpu" is 1; -1 when there is no number. */
static int64_t ordinal(const char *entry, size_t len)
{
	char text[16];
	char *end;

	while (len && isspace((unsigned char)*entry)) {
		entry++;
		len--;
	}
	snprintf(text, sizeof text, "%.*s", (int)MIN(len, sizeof text - 1), entry);
	long n = strtol(text, &end, 10);
	return end == text ? -1 : n;
}

static bool is_uuid(const char *entry)
{
	return !strncmp(entry, "GPU-", 4) || !strncmp(entry, "MIG-", 4);
}

/* The device an entry names, -1: none. A card in MIG mode stands for its first slice; a UUID may be cut short as long as
 * one device alone begins with it. */
static int64_t device_named(const struct gpu_inventory *inv, const char *entry, size_t len, bool by_uuid)
{
	int64_t found = -1, wanted = by_uuid ? 0 : ordinal(entry, len);

	if (by_uuid && len <= 4) /* "GPU-" alone: a driver of 2026 finds no device */
		return -1;

	for (uint32_t i = 0; i < inv->count; i++) {
		const struct gpu_device *d = &inv->devices[i];
		if (!by_uuid && d->index == wanted)
			return i;
		if (!by_uuid || strncmp(d->uuid, entry, len) != 0)
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

/* The devices of visible in its order; entries from the first one that names none on are lost, and a device named twice
 * hides all, as CUDA has it. The first entry decides whether all are UUIDs. */
static uint32_t chosen(const struct gpu_inventory *inv, const char *visible, uint32_t *ret)
{
	bool by_uuid = is_uuid(visible);
	uint32_t n = 0;

	for (const char *p = visible; *p;) {
		size_t len = strcspn(p, ",");
		int64_t i = by_uuid && !is_uuid(p) ? -1 : device_named(inv, p, len, by_uuid);
		if (i < 0)
			break;
		for (uint32_t k = 0; k < n; k++)
			if (ret[k] == i)
				return 0;
		ret[n++] = (uint32_t)i;
		p += len + (p[len] == ',');
	}
	return n;
}

static void keep(
	struct gpu_inventory *inv, const uint32_t *which, uint32_t n, struct gpu_device *devices, uint8_t *links)
{
	for (uint32_t a = 0; a < n; a++) {
		devices[a] = inv->devices[which[a]];
		for (uint32_t b = 0; b < n; b++)
			links[(size_t)a * n + b] = (uint8_t)gpu_inventory_link(inv, which[a], which[b]);
	}
	free(inv->devices);
	free(inv->links);
	inv->devices = devices;
	inv->links = links;
	inv->hidden += inv->count - n;
	inv->count = n;
}

int gpu_inventory_show_only(struct gpu_inventory *inv, const char *visible, struct err *err)
{
	if (!visible || !inv->count)
		return 0;
	CLEANUP(free_p) uint32_t *which = calloc(inv->count, sizeof *which);
	CLEANUP(free_p) struct gpu_device *devices = calloc(inv->count, sizeof *devices);
	CLEANUP(free_p) uint8_t *links = calloc(inv->count, inv->count);
	if (!which || !devices || !links)
		return err_set(err, -ENOMEM, "out of memory");
	uint32_t n = chosen(inv, visible, which);
	keep(inv, which, n, TAKE(devices), TAKE(links));
	if (n == 0)
		snprintf(inv->note, sizeof inv->note,
			"CUDA_VISIBLE_DEVICES=\"%.80s\" hides all %u GPUs; unset it, or name devices from 0 to %u",
			visible, inv->hidden, inv->hidden - 1);
	else if (inv->hidden && !inv->note[0])
		snprintf(inv->note, sizeof inv->note, "CUDA_VISIBLE_DEVICES=\"%.80s\" hides %u of %u GPUs", visible,
			inv->hidden, inv->hidden + n);
	return 0;
}

/* --- for people --- */

static bool alike(const struct gpu_device *a, const struct gpu_device *b)
{
	return !strcmp(a->name, b->name) && a->memory_total == b->memory_total;
}

const char *gpu_inventory_text(const struct gpu_inventory *inv, char *ret, size_t cap)
{
	size_t len = 0;

	ret[0] = '\0';
	for (uint32_t i = 0; i < inv->count;) {
		const struct gpu_device *d = &inv->devices[i];
		uint32_t n = 1;
		while (i + n < inv->count && alike(d, &inv->devices[i + n]))
			n++;
		if (len < cap)
			len += (size_t)snprintf(ret + len, cap - len, "%s%u x %s (%.1f GiB)", i ? ", " : "", n,
				d->spec ? d->spec->name : d->name, (double)d->memory_total / (1 << 30));
		i += n;
	}
	if (!inv->count)
		snprintf(ret, cap, "no GPU");
	return ret;
}
