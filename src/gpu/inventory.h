/* inventory.h - which GPUs there are: from NVML, from a list the user gives, or from a file.
 *
 * What the environment hides is hidden here too: CUDA_VISIBLE_DEVICES is applied as CUDA does, by index and by UUID (a
 * prefix is enough when only one card has it), and an entry that names no card hides everything behind it.
 * Thread: one owner. Memory: about 400 bytes a device and count x count bytes of links. */
#ifndef STATOR_GPU_INVENTORY_H
#define STATOR_GPU_INVENTORY_H

#include "base/buf.h"
#include "base/err.h"
#include "gpu/catalogue.h"
#include "gpu/host.h"

enum { GPU_DEVICES_MAX = 4096 }; /* of one inventory, which may be a cluster's */

enum gpu_link { GPU_LINK_NONE, GPU_LINK_PCIE, GPU_LINK_NVLINK };

struct gpu_device {
	uint32_t index; /* as NVML numbers the host's devices, before anything is hidden; what nvidia-smi prints */
	char name[96], uuid[96]; /* uuid "": none (a given inventory) */
	const struct gpu_spec *spec; /* NULL: a card the catalogue does not know */
	uint64_t memory_total, memory_free; /* bytes an engine can have: total is at most spec->usable_bytes */
	uint32_t capability; /* 75 */
	bool mig_slice; /* an instance of a card; memory is the slice's */
	int32_t numa; /* -1: not known */
	uint32_t processes; /* that hold memory on it */
	uint64_t processes_bytes;
	uint32_t host; /* index of the machine it is in, from 0; equal: may be one tensor-parallel group */
};

struct gpu_inventory {
	char host[64]; /* this machine's name; "" when given */
	char driver[32]; /* "550.54.15" */
	char cuda[16]; /* newest CUDA the driver can run: "12.4" */
	struct gpu_device *devices; /* in CUDA's order */
	uint32_t count, hidden; /* hidden by CUDA_VISIBLE_DEVICES, or cards whose slices are listed instead */
	uint8_t *links; /* count x count of enum gpu_link, row by row; the diagonal is 0 */
	char note[256]; /* why there are none, or what is odd, with the remedy; "" else */
	bool given; /* not looked at: a list or a file */
	struct host_facts host_facts; /* of this machine, or of the file; zero when given as a list */
};

void gpu_inventory_init(struct gpu_inventory *inv);
void gpu_inventory_done(struct gpu_inventory *inv);
/* Look. No NVML, no driver, no cards: 0 with count 0 and the reason in note, for that is an answer; so is a driver that
 * fails (version mismatch, no permission, a lost card). Only memory running out is an error. library NULL:
 * "libnvidia-ml.so.1"; visible NULL: no CUDA_VISIBLE_DEVICES (pass getenv's answer). Up to some 100 ms. */
int gpu_inventory_from_nvml(struct gpu_inventory *ret, const char *library, const char *visible, struct err *err);
/* "4xT4", "2xT4,1xL4", "8xA100-80GB", "T4", "0" (no GPU), and hosts apart with ';': "4xT4;4xT4", or, when they
 * are alike, with their number in front: "2x4xT4". "x40GiB" after a name
 * sets the memory: "2xA100-80GB:20GiB" are slices of that size. Links inside a host: NVLink where both cards have it.
 * -EINVAL with the place in the text and did-you-mean. */
int gpu_inventory_from_spec(struct gpu_inventory *ret, const char *spec, struct err *err);
/* What gpu_inventory_to_json wrote (stator doctor --json). file is the name to say in errors: "inv.json:12:3: ...". */
int gpu_inventory_from_json(struct gpu_inventory *ret, const char *file, const char *text, size_t len, struct err *err);
int gpu_inventory_from_file(struct gpu_inventory *ret, const char *path, struct err *err);
/* Hide what CUDA_VISIBLE_DEVICES=visible hides, in its order; NULL: nothing. Indices are the devices' index. -ENOMEM. */
int gpu_inventory_show_only(struct gpu_inventory *inv, const char *visible, struct err *err);
/* One object, fields as above, indented by two. */
int gpu_inventory_to_json(const struct gpu_inventory *inv, struct buf *out);
static inline enum gpu_link gpu_inventory_link(const struct gpu_inventory *inv, uint32_t a, uint32_t b)
{
	return inv->links ? (enum gpu_link)inv->links[(size_t)a * inv->count + b] : GPU_LINK_NONE;
}
/* "4 x T4 (14.6 GiB)" for people; always terminated. Returns ret. */
const char *gpu_inventory_text(const struct gpu_inventory *inv, char *ret, size_t cap);

#endif
