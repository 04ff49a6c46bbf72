/* A stand-in for libnvidia-ml.so.1. What it shows is in the environment, so that one library plays every machine:
 *   STANDIN_INIT=18              what nvmlInit gives (18: driver and library versions differ, 4: no permission...)
 *   STANDIN_CARDS="T4 T4 LOST"   cards: T4, L4, H100 (NVLink among themselves), A100MIG (two slices), LOST (error 15)
 *   STANDIN_BUSY=1               that card is held by a process of 8 GiB
 * It aborts when it is used after shutdown or before init. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))

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

struct card {
	const char *kind, *name;
	unsigned long long mib;
	int major, minor;
};

static const struct card kinds[] = {{"T4", "Tesla T4", 15360, 7, 5}, {"L4", "NVIDIA L4", 23034, 8, 9},
	{"H100", "NVIDIA H100 80GB HBM3", 81559, 9, 0}, {"A100MIG", "NVIDIA A100-SXM4-80GB", 81920, 8, 0},
	{"X9000", "NVIDIA X9000", 30000, 13, 0}, {"LOST", "", 0, 0, 0}};

struct handle {
	const struct card *card;
	unsigned int index, slice; /* slice from 1 */
};

static struct handle cards[64], slices[64][2];
static unsigned int count;
static int started;

int nvmlInit_v2(void);
int nvmlShutdown(void);
const char *nvmlErrorString(int code);
int nvmlSystemGetDriverVersion(char *text, unsigned int len);
int nvmlSystemGetCudaDriverVersion_v2(int *version);
int nvmlDeviceGetCount_v2(unsigned int *ret);
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **ret);
int nvmlDeviceGetName(void *device, char *text, unsigned int len);
int nvmlDeviceGetUUID(void *device, char *text, unsigned int len);
int nvmlDeviceGetMemoryInfo(void *device, struct memory *m);
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor);
int nvmlDeviceGetMigMode(void *device, unsigned int *now, unsigned int *pending);
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned int *ret);
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned int i, void **ret);
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *n, struct process *list);
int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci);
int nvmlDeviceGetP2PStatus(void *a, void *b, int what, int *status);

static const struct card *kind_of(const char *word, size_t len)
{
	for (unsigned int k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
		if (strlen(kinds[k].kind) == len && !strncmp(kinds[k].kind, word, len))
			return &kinds[k];
	abort();
}

API int nvmlInit_v2(void)
{
	const char *code = getenv("STANDIN_INIT"), *p = getenv("STANDIN_CARDS");

	if (code && atoi(code))
		return atoi(code);
	started = 1;
	count = 0;
	while (p && *p) {
		size_t len = strcspn(p, " ");
		cards[count] = (struct handle){kind_of(p, len), count, 0};
		for (unsigned int s = 0; s < 2; s++)
			slices[count][s] = (struct handle){cards[count].card, count, s + 1};
		count++;
		p += len + (p[len] == ' ');
	}
	return 0;
}

API int nvmlShutdown(void)
{
	if (!started)
		abort();
	started = 0;
	return 0;
}

API const char *nvmlErrorString(int code)
{
	return code == 18   ? "Driver/library version mismatch"
	       : code == 4  ? "Insufficient Permissions"
	       : code == 9  ? "Driver Not Loaded"
	       : code == 15 ? "GPU is lost"
			    : "Unknown Error";
}

API int nvmlSystemGetDriverVersion(char *text, unsigned int len)
{
	snprintf(text, len, "550.54.15");
	return 0;
}

API int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
	*version = 12040;
	return 0;
}

API int nvmlDeviceGetCount_v2(unsigned int *ret)
{
	if (!started)
		abort();
	*ret = count;
	return 0;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **ret)
{
	if (i >= count)
		return 2;
	if (!strcmp(cards[i].card->kind, "LOST"))
		return 15;
	*ret = &cards[i];
	return 0;
}

API int nvmlDeviceGetName(void *device, char *text, unsigned int len)
{
	const struct handle *h = device;

	snprintf(text, len, "%s%s", h->card->name, h->slice ? " MIG 3g.40gb" : "");
	return 0;
}

#ifndef OLD_DRIVER
API int nvmlDeviceGetUUID(void *device, char *text, unsigned int len)
{
	const struct handle *h = device;

	if (h->slice)
		snprintf(text, len, "MIG-%08x-0000-0000-0000-00000000000%u", 0xb0000000u + h->index, h->slice);
	else
		snprintf(text, len, "GPU-%08x-0000-0000-0000-000000000000", 0xa0000000u + h->index * 0x01000000u);
	return 0;
}
#endif

API int nvmlDeviceGetMemoryInfo(void *device, struct memory *m)
{
	const struct handle *h = device;
	const char *busy = getenv("STANDIN_BUSY");

	m->total = (h->slice ? 40192ull : h->card->mib) << 20;
	m->used = busy && (unsigned int)atoi(busy) == h->index ? 8ull << 30 : 0;
	m->free = m->total - m->used;
	return 0;
}

API int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor)
{
	const struct handle *h = device;

	*major = h->card->major;
	*minor = h->card->minor;
	return 0;
}

API int nvmlDeviceGetMigMode(void *device, unsigned int *now, unsigned int *pending)
{
	const struct handle *h = device;

	*now = *pending = !strcmp(h->card->kind, "A100MIG");
	return *now ? 0 : 3;
}

API int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned int *ret)
{
	(void)device;
	*ret = 7;
	return 0;
}

API int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned int i, void **ret)
{
	const struct handle *h = device;

	if (i >= 2)
		return 6;
	*ret = &slices[h->index][i];
	return 0;
}

API int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *n, struct process *list)
{
	const struct handle *h = device;
	const char *busy = getenv("STANDIN_BUSY");

	*n = busy && (unsigned int)atoi(busy) == h->index;
	if (*n)
		list[0] = (struct process){4711, 8ull << 30, ~0u, ~0u};
	return 0;
}

API int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci)
{
	const struct handle *h = device;

	*pci = (struct pci){.domain = 0xffff, .bus = h->index};
	return 0;
}

API int nvmlDeviceGetP2PStatus(void *a, void *b, int what, int *status)
{
	const struct handle *x = a, *y = b;

	*status = what == 2 && !strcmp(x->card->kind, "H100") && !strcmp(y->card->kind, "H100") ? 0 : 5;
	return 0;
}
