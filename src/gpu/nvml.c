/* nvml.c - looking at the GPUs through the driver's own library, which is opened when it is there.
 *
 * The entries and structures below are NVML's stable binary interface (the driver's libnvidia-ml.so.1); newer entries may
 * be missing in old drivers and are then gone without. A card that fails alone is left out and named in the note. */
#include "gpu/inventory.h"

#include "base/compiler.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	NVML_SUCCESS = 0,
	NVML_NOT_SUPPORTED = 3,
	NVML_NO_PERMISSION = 4,
	NVML_NOT_FOUND = 6,
	NVML_INSUFFICIENT_SIZE = 7,
	NVML_DRIVER_NOT_LOADED = 9,
	NVML_GPU_IS_LOST = 15,
	NVML_RESET_REQUIRED = 16,
	NVML_LIB_RM_VERSION_MISMATCH = 18,
	P2P_NVLINK = 2, /* what to ask nvmlDeviceGetP2PStatus for; it answers 0 when it is so */
	CARDS_MAX = 256, /* of one machine, MIG slices included */
	PROCESSES_MAX = 256,
};

struct memory {
	unsigned long long total, free, used;
};
struct process {
	unsigned int pid;
	unsigned long long used;
	unsigned int gpu_instance, compute_instance;
};
struct pci {
	char legacy_id[16];
	unsigned int domain, bus, device, device_id, subsystem_id;
	char id[32];
};

struct nvml {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	const char *(*error_string)(int);
	int (*driver_version)(char *, unsigned int);
	int (*cuda_version)(int *);
	int (*count)(unsigned int *);
	int (*by_index)(unsigned int, void **);
	int (*name)(void *, char *, unsigned int);
	int (*uuid)(void *, char *, unsigned int);
	int (*memory)(void *, struct memory *);
	int (*capability)(void *, int *, int *);
	int (*mig_mode)(void *, unsigned int *, unsigned int *);
	int (*mig_count)(void *, unsigned int *);
	int (*mig_by_index)(void *, unsigned int, void **);
	int (*processes)(void *, unsigned int *, struct process *);
	int (*pci)(void *, struct pci *);
	int (*p2p)(void *, void *, int, int *);
};

static const struct {
	const char *name;
	uint32_t offset;
	bool required;
} symbols[] = {
	{"nvmlInit_v2", offsetof(struct nvml, init), true},
	{"nvmlShutdown", offsetof(struct nvml, shutdown), true},
	{"nvmlErrorString", offsetof(struct nvml, error_string), false},
	{"nvmlSystemGetDriverVersion", offsetof(struct nvml, driver_version), false},
	{"nvmlSystemGetCudaDriverVersion_v2", offsetof(struct nvml, cuda_version), false},
	{"nvmlDeviceGetCount_v2", offsetof(struct nvml, count), true},
	{"nvmlDeviceGetHandleByIndex_v2", offsetof(struct nvml, by_index), true},
	{"nvmlDeviceGetName", offsetof(struct nvml, name), true},
	{"nvmlDeviceGetUUID", offsetof(struct nvml, uuid), true},
	{"nvmlDeviceGetMemoryInfo", offsetof(struct nvml, memory), true},
	{"nvmlDeviceGetCudaComputeCapability", offsetof(struct nvml, capability), true},
	{"nvmlDeviceGetMigMode", offsetof(struct nvml, mig_mode), false},
	{"nvmlDeviceGetMaxMigDeviceCount", offsetof(struct nvml, mig_count), false},
	{"nvmlDeviceGetMigDeviceHandleByIndex", offsetof(struct nvml, mig_by_index), false},
	{"nvmlDeviceGetComputeRunningProcesses_v3", offsetof(struct nvml, processes), false},
	{"nvmlDeviceGetPciInfo_v3", offsetof(struct nvml, pci), false},
	{"nvmlDeviceGetP2PStatus", offsetof(struct nvml, p2p), false},
};

static void note(struct gpu_inventory *inv, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct gpu_inventory *inv, const char *fmt, ...)
{
	size_t len = strlen(inv->note);
	va_list ap;

	if (len && len < sizeof inv->note - 3)
		len += (size_t)snprintf(inv->note + len, sizeof inv->note - len, "; ");
	va_start(ap, fmt);
	vsnprintf(inv->note + len, sizeof inv->note - len, fmt, ap);
	va_end(ap);
}

/* What people can do about an error; NULL: only NVML's own words. */
static const char *remedy(int code)
{
	switch (code) {
	case NVML_NO_PERMISSION:
		return "this user may not open /dev/nvidia*: add it to the group that owns them, or give the container "
		       "the GPUs";
	case NVML_DRIVER_NOT_LOADED:
		return "load the driver (modprobe nvidia), or reboot after installing it";
	case NVML_LIB_RM_VERSION_MISMATCH:
		return "the driver was upgraded while it was loaded: reboot, or unload and load the nvidia modules";
	case NVML_GPU_IS_LOST:
		return "the card fell off the bus: look for Xid 79 in dmesg, then reset or power-cycle it";
	case NVML_RESET_REQUIRED:
		return "reset it (nvidia-smi --gpu-reset), or reboot";
	default:
		return NULL;
	}
}

static void note_error(const struct nvml *n, struct gpu_inventory *inv, const char *doing, int code)
{
	const char *words = n->error_string ? n->error_string(code) : NULL;

	note(inv, "%s: %s (NVML error %d)%s%s", doing, words ? words : "it failed", code, remedy(code) ? "; " : "",
		remedy(code) ? remedy(code) : "");
}

static bool open_library(struct nvml *n, const char *path, struct gpu_inventory *inv)
{
	*n = (struct nvml){.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
	if (!n->library) {
		note(inv,
			"no NVIDIA driver here: \"%s\" could not be opened; install the driver, or start the container "
			"with its GPUs (--gpus all)",
			path);
		return false;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(symbols); i++) {
		void *fn = dlsym(n->library, symbols[i].name);
		if (!fn && symbols[i].required) {
			note(inv,
				"\"%s\" lacks %s: the driver is too old for this program, or is no NVML; install a "
				"newer "
				"driver",
				path, symbols[i].name);
			dlclose(n->library);
			return false;
		}
		memcpy((char *)n + symbols[i].offset, &fn, sizeof fn);
	}
	return true;
}

static void read_processes(const struct nvml *n, void *handle, struct gpu_device *d)
{
	struct process list[PROCESSES_MAX];
	unsigned int count = PROCESSES_MAX;

	int code = n->processes ? n->processes(handle, &count, list) : NVML_NOT_SUPPORTED;
	d->processes = code == NVML_SUCCESS || code == NVML_INSUFFICIENT_SIZE ? count : 0;
	for (unsigned int i = 0; code == NVML_SUCCESS && i < MIN(count, (unsigned int)PROCESSES_MAX); i++)
		if (list[i].used != ~0ull) /* not told inside containers */
			d->processes_bytes += list[i].used;
}

/* The kernel knows the node of the card's place on the bus; -1: not known. */
static int32_t read_numa(const struct nvml *n, void *handle)
{
	struct pci pci = {0};
	char path[128], text[16] = "";

	if (!n->pci || n->pci(handle, &pci) != NVML_SUCCESS)
		return -1;
	snprintf(path, sizeof path, "/sys/bus/pci/devices/%04x:%02x:%02x.0/numa_node", pci.domain, pci.bus, pci.device);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	const char *line = fgets(text, sizeof text, f);
	fclose(f);
	return line ? (int32_t)strtol(text, NULL, 10) : -1;
}

/* Name, UUID, memory. Returns NVML's code. */
static int read_basics(const struct nvml *n, void *handle, struct gpu_device *d)
{
	struct memory m = {0};
	int code = n->name(handle, d->name, sizeof d->name);

	if (code == NVML_SUCCESS)
		code = n->uuid(handle, d->uuid, sizeof d->uuid);
	if (code == NVML_SUCCESS)
		code = n->memory(handle, &m);
	d->name[sizeof d->name - 1] = d->uuid[sizeof d->uuid - 1] = '\0';
	d->memory_total = m.total;
	d->memory_free = m.free;
	return code;
}

/* What engines can have is less than NVML's total by what the driver keeps. */
static void settle_memory(struct gpu_device *d)
{
	d->spec = gpu_spec_match(d->name, d->memory_total);
	if (d->spec && !d->mig_slice)
		d->memory_total = MIN(d->memory_total, d->spec->usable_bytes);
	d->memory_free = MIN(d->memory_free, d->memory_total);
}

struct found {
	struct gpu_device devices[CARDS_MAX];
	void *handles[CARDS_MAX];
	uint32_t count, hidden;
};

static int add_slices(const struct nvml *n, void *parent, const struct gpu_device *card, struct found *f)
{
	unsigned int slices = 0;
	int code = n->mig_count && n->mig_by_index ? n->mig_count(parent, &slices) : NVML_NOT_SUPPORTED;

	for (unsigned int i = 0; code == NVML_SUCCESS && i < slices && f->count < CARDS_MAX; i++) {
		struct gpu_device d = *card;
		void *handle;
		if (n->mig_by_index(parent, i, &handle) != NVML_SUCCESS) /* places may be empty */
			continue;
		d.mig_slice = true;
		d.processes = 0;
		d.processes_bytes = 0;
		code = read_basics(n, handle, &d);
		if (code != NVML_SUCCESS)
			continue;
		read_processes(n, handle, &d);
		settle_memory(&d);
		f->handles[f->count] = parent;
		f->devices[f->count++] = d;
	}
	return code;
}

static int read_card(const struct nvml *n, unsigned int index, struct found *f)
{
	struct gpu_device d = {.index = index, .numa = -1};
	unsigned int mig = 0, pending = 0;
	int major = 0, minor = 0;
	void *handle;
	int code = n->by_index(index, &handle);

	if (code == NVML_SUCCESS)
		code = read_basics(n, handle, &d);
	if (code == NVML_SUCCESS)
		code = n->capability(handle, &major, &minor);
	if (code != NVML_SUCCESS)
		return code;
	d.capability = (uint32_t)(major * 10 + minor);
	d.numa = read_numa(n, handle);
	if (n->mig_mode && n->mig_mode(handle, &mig, &pending) == NVML_SUCCESS && mig) {
		f->hidden++;
		return add_slices(n, handle, &d, f);
	}
	read_processes(n, handle, &d);
	settle_memory(&d);
	f->handles[f->count] = handle;
	f->devices[f->count++] = d;
	return NVML_SUCCESS;
}

static void read_cards(const struct nvml *n, struct found *f, struct gpu_inventory *inv)
{
	unsigned int count = 0;
	int code = n->count(&count);
	char doing[64];

	if (code != NVML_SUCCESS)
		note_error(n, inv, "could not count the GPUs", code);
	else if (count == 0)
		note(inv, "the driver runs, and finds no GPU; look for the card with lspci, and in dmesg for NVRM");
	for (unsigned int i = 0; i < count && f->count < CARDS_MAX; i++) {
		code = read_card(n, i, f);
		snprintf(doing, sizeof doing, "could not read GPU %u, so it is left out", i);
		if (code != NVML_SUCCESS)
			note_error(n, inv, doing, code);
	}
	if (count && !f->count && f->hidden)
		note(inv, "MIG mode is on, and there are no instances; make some (nvidia-smi mig -cgi ... -C) or "
			  "switch it off");
}

static void read_versions(const struct nvml *n, struct gpu_inventory *inv)
{
	int cuda = 0;

	if (n->driver_version && n->driver_version(inv->driver, sizeof inv->driver) != NVML_SUCCESS)
		inv->driver[0] = '\0';
	inv->driver[sizeof inv->driver - 1] = '\0';
	if (n->cuda_version && n->cuda_version(&cuda) == NVML_SUCCESS && cuda > 0)
		snprintf(inv->cuda, sizeof inv->cuda, "%d.%d", cuda / 1000, cuda % 1000 / 10);
}

static uint8_t link_of(const struct nvml *n, void *a, void *b)
{
	int status = -1;

	if (a == b || !n->p2p || n->p2p(a, b, P2P_NVLINK, &status) != NVML_SUCCESS)
		return GPU_LINK_PCIE;
	return status == 0 ? GPU_LINK_NVLINK : GPU_LINK_PCIE;
}

static int take(const struct nvml *n, const struct found *f, struct gpu_inventory *inv, struct err *err)
{
	inv->devices = calloc(f->count + 1, sizeof *inv->devices);
	inv->links = calloc(f->count + 1, f->count + 1);
	if (!inv->devices || !inv->links)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(inv->devices, f->devices, f->count * sizeof *inv->devices);
	inv->count = f->count;
	inv->hidden = f->hidden;
	for (uint32_t a = 0; a < f->count; a++)
		for (uint32_t b = 0; b < f->count; b++)
			if (a != b)
				inv->links[(size_t)a * f->count + b] = link_of(n, f->handles[a], f->handles[b]);
	return 0;
}

static int look(struct nvml *n, struct gpu_inventory *inv, struct err *err)
{
	CLEANUP(free_p) struct found *f = calloc(1, sizeof *f);

	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	int code = n->init();
	if (code != NVML_SUCCESS) {
		note_error(n, inv, "the NVIDIA driver does not start", code);
		return 0;
	}
	read_versions(n, inv);
	read_cards(n, f, inv);
	code = take(n, f, inv, err);
	n->shutdown();
	return code;
}

/* Numbers count in CUDA's order, which puts the fastest card first unless told otherwise; NVML's is the bus's. */
static void warn_of_order(struct gpu_inventory *inv, const char *visible)
{
	const char *order = getenv("CUDA_DEVICE_ORDER");

	if (!visible || !strncmp(visible, "GPU-", 4) || !strncmp(visible, "MIG-", 4) ||
		(order && !strcmp(order, "PCI_BUS_ID")))
		return;
	for (uint32_t i = 1; i < inv->count; i++)
		if (strcmp(inv->devices[i].name, inv->devices[0].name) != 0) {
			note(inv, "cards differ, and CUDA numbers the fastest first; set CUDA_DEVICE_ORDER=PCI_BUS_ID");
			return;
		}
}

int gpu_inventory_from_nvml(struct gpu_inventory *ret, const char *library, const char *visible, struct err *err)
{
	struct gpu_inventory inv;
	struct nvml n;
	int code = gpu_catalogue_load(err);

	if (code < 0)
		return code;
	gpu_inventory_init(&inv);
	if (gethostname(inv.host, sizeof inv.host) < 0)
		inv.host[0] = '\0';
	inv.host[sizeof inv.host - 1] = '\0';
	host_facts_read(&inv.host_facts);
	if (open_library(&n, library ? library : "libnvidia-ml.so.1", &inv)) {
		code = look(&n, &inv, err);
		dlclose(n.library);
	}
	if (code == 0) {
		warn_of_order(&inv, visible);
		code = gpu_inventory_show_only(&inv, visible, err);
	}
	if (code < 0) {
		gpu_inventory_done(&inv);
		return code;
	}
	*ret = inv;
	return 0;
}
