#include "launch/devices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SHARE_SLACK 1e-9 /* three thirds are a whole */

int devices_take(struct devices_share *ret, struct devices *d, double gpus, const char *worker, struct err *err)
{
	uint32_t there = d->inventory->count, left = there - d->next;

	*ret = (struct devices_share){.first = d->next, .count = (uint32_t)ceil(gpus)};
	if (gpus < 1 && d->rest > 0 && d->rest + SHARE_SLACK >= gpus) {
		d->rest -= gpus;
		ret->first = d->next - 1;
		return 0;
	}
	if (ret->count > left)
		return err_set(err, -EINVAL,
			"%s asks for %u GPU%s, and %u of %u %s left: workers x resources.gpu of all services are more "
			"than the devices "
			"(\"stator plan\" shows what fits)",
			worker, ret->count, ret->count == 1 ? "" : "s", left, there, left == 1 ? "is" : "are");
	d->next += ret->count;
	d->rest = gpus < 1 ? 1 - gpus : 0;
	return 0;
}

void devices_print(struct buf *out, const struct devices *d, struct devices_share share)
{
	buf_add_str(out, "CUDA_VISIBLE_DEVICES=");
	for (uint32_t i = share.first; i < share.first + share.count; i++) {
		const struct gpu_device *g = &d->inventory->devices[i];

		if (i > share.first)
			buf_add_byte(out, ',');
		if (g->uuid[0])
			buf_add_str(out, g->uuid);
		else
			buf_printf(out, "%u", g->index);
	}
}

void devices_tell(char *text, size_t cap, const struct devices *d, struct devices_share share)
{
	size_t at = strlen(text);

	for (uint32_t i = 0; i < share.count && at < cap; i++) {
		const char *lead = i > 0 || at > 0 ? ", " : "", *kind = i > 0 ? "" : share.count > 1 ? "GPUs " : "GPU ";

		at += (size_t)snprintf(
			text + at, cap - at, "%s%s%u", lead, kind, d->inventory->devices[share.first + i].index);
	}
}
