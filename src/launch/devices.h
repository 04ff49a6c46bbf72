/* devices.h - which GPUs each worker of a deployment gets: one after the other, in the inventory's order.
 *
 * Thread: one owner. Memory: none of its own. */
#ifndef STATOR_LAUNCH_DEVICES_H
#define STATOR_LAUNCH_DEVICES_H

#include "gpu/inventory.h"

struct devices {
	const struct gpu_inventory *inventory; /* borrowed; NULL: none */
	uint32_t next; /* the first that nobody has */
	double rest; /* of the one before it: what workers that take a part of a GPU have left */
};

/* Devices first, first + 1, ... of the inventory. */
struct devices_share {
	uint32_t first, count;
};

/* gpus of them for one worker, more than 0; a part of one (0.5) goes beside other parts as long as they are not more than
 * the whole. -EINVAL: there are not so many left; the sentence names worker. */
int devices_take(struct devices_share *ret, struct devices *d, double gpus, const char *worker, struct err *err);
/* "CUDA_VISIBLE_DEVICES=GPU-a,GPU-b"; a device without a UUID by its index. */
void devices_print(struct buf *out, const struct devices *d, struct devices_share share);
/* Append "GPU 0" or "GPUs 0, 1" to text, after a comma when there is something already. */
void devices_tell(char *text, size_t cap, const struct devices *d, struct devices_share share);

#endif
