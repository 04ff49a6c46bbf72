/* doctor.h - what this host has for serving models, and what will not work on it: a look around, and pure findings from it.
 *
 * Thread: any. Memory: what the inventory takes, and fixed arrays. */
#ifndef STATOR_PLAN_DOCTOR_H
#define STATOR_PLAN_DOCTOR_H

#include "gpu/inventory.h"
#include "plan/finding.h"

enum { DOCTOR_PACKAGES_MAX = 64, DOCTOR_NETS_MAX = 32, DOCTOR_PINS_MAX = 64 };

/* A Python package or program that runs models or moves KV. */
struct doctor_package {
	char name[24]; /* "vllm", "sglang", "llama-server", "ai-dynamo", "nixl", "torch", "ucx" */
	char version[32]; /* "" when nobody says */
	char where[160]; /* the folder of its environment, or the file */
};
/* What an engine's package says it was made with: "torch" "2.8.0" of vllm in the same environment. Exact versions only. */
struct doctor_pin {
	char owner[24], where[160], name[24], version[32];
};
struct doctor_net {
	char name[24];
	bool rdma; /* an InfiniBand or RoCE device */
	bool up;
	uint32_t mbit_s; /* 0: not known */
};

struct doctor_facts {
	struct gpu_inventory inventory; /* with host_facts */
	struct doctor_package packages[DOCTOR_PACKAGES_MAX];
	struct doctor_net nets[DOCTOR_NETS_MAX];
	struct doctor_pin pins[DOCTOR_PINS_MAX];
	uint32_t packages_len, nets_len, pins_len;
	uint64_t open_files_hard;
	bool cuda_build; /* this program can use GPUs itself */
};

/* Look around: NVML, /proc, /sys, and the environments on path (a PATH). root "" is the real file system; tests give another
 * (then NVML is not asked). Never fails but for memory. Some 100 ms where there are GPUs. */
int doctor_look(struct doctor_facts *ret, const char *root, const char *path, bool cuda_build, struct err *err);
void doctor_facts_done(struct doctor_facts *f);
/* What will not work, or badly, worst first. Pure. */
void doctor_findings(const struct doctor_facts *f, struct findings *ret);
/* Of these, what the versions of the packages say: pins that are broken, CUDA newer than the driver or too new or too old for a
 * card. Pure. */
void doctor_versions(const struct doctor_facts *f, struct findings *ret);
/* The page for people, without the findings. Pure. */
void doctor_print(const struct doctor_facts *f, struct buf *out);

#endif
