/* doctor.c - the page of a host, and what is wrong with it; see doctor.h. */
#include "plan/doctor.h"
#include "gpu/rules.h"

#include <stdio.h>
#include <string.h>

#define GIB (1024.0 * 1024 * 1024)

enum {
	OPEN_FILES_LEAST = 4096, /* a connection and a pipe each for some thousand clients */
	MEMORY_LEAST_MIB = 2048, /* the demo model, its KV and two processes */
	SHM_LEAST_MIB = 1024, /* what the processes of one tensor-parallel worker hand each other */
	DISK_LEAST_MIB = 5120,
	LOCKED_LEAST_MIB = 64, /* UCX registers memory with RDMA devices */
};

static const struct doctor_package *package_find(const struct doctor_facts *f, const char *name)
{
	for (uint32_t i = 0; i < f->packages_len; i++)
		if (strcmp(f->packages[i].name, name) == 0)
			return &f->packages[i];
	return NULL;
}

static bool has_rdma(const struct doctor_facts *f)
{
	for (uint32_t i = 0; i < f->nets_len; i++)
		if (f->nets[i].rdma)
			return true;
	return false;
}

/* Findings. */

static void add_cpu(const struct doctor_facts *f, struct findings *ret)
{
	const struct host_facts *h = &f->inventory.host_facts;

#if defined(__x86_64__)
	if (h->cpu[0] && (!h->avx2 || !h->f16c || !h->fma)) {
		findings_add(ret, FINDING_FATAL, FINDING_ENVIRONMENT, "cpu-old", NULL,
			"the CPU lacks AVX2, F16C or FMA, which the llama engine is built for");
		findings_remedy(
			ret, "in a virtual machine pass the host's CPU through (-cpu host); else use another host");
	}
#endif
	if (h->ram_available > 0 && h->ram_available < (uint64_t)MEMORY_LEAST_MIB << 20) {
		findings_add(ret, FINDING_WARNING, FINDING_CAPACITY, "memory-low", NULL,
			"%.1f GiB of memory are available; the demo model on two workers wants %.0f GiB",
			(double)h->ram_available / GIB, MEMORY_LEAST_MIB / 1024.0);
		findings_remedy(
			ret, h->ram_cgroup ? "raise the memory limit of the container or unit (memory.max, MemoryMax=)"
					   : "stop other programs, or serve smaller models");
	}
	if (h->disk_free > 0 && h->disk_free < (uint64_t)DISK_LEAST_MIB << 20) {
		findings_add(ret, FINDING_WARNING, FINDING_CAPACITY, "disk-low", NULL,
			"%.1f GiB of disk are free here; models take from 0.1 to some hundred GiB",
			(double)h->disk_free / GIB);
		findings_remedy(ret, "free space, or put models elsewhere (STATOR_CACHE, HF_HOME)");
	}
}

static void add_limits(const struct doctor_facts *f, struct findings *ret)
{
	const struct host_facts *h = &f->inventory.host_facts;

	if (f->open_files_hard > 0 && f->open_files_hard < OPEN_FILES_LEAST) {
		findings_add(ret, FINDING_WARNING, FINDING_ENVIRONMENT, "files-low", NULL,
			"a process may open %llu files, and not raise that; each client takes one",
			(unsigned long long)f->open_files_hard);
		findings_remedy(ret, "ulimit -n 65536 (LimitNOFILE= in systemd, --ulimit nofile= in Docker)");
	}
	if (h->shm_total > 0 && h->shm_total < (uint64_t)SHM_LEAST_MIB << 20) {
		findings_add(ret, FINDING_WARNING, FINDING_ENVIRONMENT, "shm-small", NULL,
			"/dev/shm has %.0f MiB; vLLM and SGLang workers of several GPUs need more and die with a bus "
			"error",
			(double)h->shm_total / (1 << 20));
		findings_remedy(
			ret, "docker run --shm-size=10g (or --ipc=host); Kubernetes: an emptyDir with medium: Memory");
	}
	if (has_rdma(f) && h->locked_memory < (uint64_t)LOCKED_LEAST_MIB << 20) {
		findings_add(ret, FINDING_WARNING, FINDING_ENVIRONMENT, "memlock-low", NULL,
			"a process may lock %.1f MiB of memory; RDMA transfers of KV lock what they move",
			(double)h->locked_memory / (1 << 20));
		findings_remedy(ret, "ulimit -l unlimited (LimitMEMLOCK=infinity, --ulimit memlock=-1)");
	}
}

static void add_gpu(const struct gpu_device *d, struct findings *ret)
{
	struct rule_answer rule;

	if (d->processes > 0) {
		findings_add(ret, FINDING_WARNING, FINDING_CAPACITY, "gpu-busy", NULL,
			"GPU %u is in use: %u process%s hold %.1f GiB, %.1f GiB are free", d->index, d->processes,
			d->processes == 1 ? "" : "es", (double)d->processes_bytes / GIB, (double)d->memory_free / GIB);
		findings_remedy(ret, "nvidia-smi names them; stop them, or plan with what is free");
	}
	rule_engine_runs(&rule, RULE_VLLM, d->capability);
	if (d->capability && rule.verdict == RULE_NO) {
		findings_add(ret, FINDING_WARNING, FINDING_CONFIGURATION, "gpu-old", NULL, "GPU %u (%s): %s", d->index,
			d->name, rule.text);
		findings_remedy(ret, "use the llama engine, or an older release of vLLM");
	}
	rule_dtype(&rule, RULE_VLLM, d->capability, "bfloat16", true, NULL);
	if (d->capability && rule.verdict == RULE_NO) {
		findings_add(ret, FINDING_INFO, FINDING_CONFIGURATION, "gpu-bfloat16", NULL, "GPU %u (%s): %s",
			d->index, d->name, rule.text);
		findings_remedy(ret, "dtype: half");
	}
	if (!d->spec)
		findings_add(ret, FINDING_INFO, FINDING_CONFIGURATION, "gpu-unknown", NULL,
			"GPU %u (%s) is in no catalogue: plans for it know its memory, not its speed", d->index,
			d->name);
}

static void add_gpus(const struct doctor_facts *f, struct findings *ret)
{
	const struct gpu_inventory *inv = &f->inventory;

	for (uint32_t i = 0; i < inv->count; i++)
		add_gpu(&inv->devices[i], ret);
	if (inv->count > 0 && !f->cuda_build) {
		findings_add(ret, FINDING_WARNING, FINDING_CONFIGURATION, "no-cuda-build", NULL,
			"this stator was built without CUDA: its llama engine leaves the GPU%s alone",
			inv->count == 1 ? "" : "s");
		findings_remedy(ret, "build it with make CUDA=1");
	}
	if (inv->count == 0) {
		findings_add(ret, FINDING_INFO, FINDING_ENVIRONMENT, "no-gpu", NULL, "no GPU: %s",
			inv->note[0] ? inv->note : "none was found");
		findings_remedy(ret,
			"the llama and mock engines run on the CPU; services with resources.gpu cannot start here");
	} else if (inv->note[0]) {
		findings_add(ret, FINDING_WARNING, FINDING_ENVIRONMENT, "gpu-note", NULL, "%s", inv->note);
	}
}

static void add_engines(const struct doctor_facts *f, struct findings *ret)
{
	const struct doctor_package *vllm = package_find(f, "vllm"), *sglang = package_find(f, "sglang");

	if (!vllm && !sglang) {
		findings_add(ret, FINDING_INFO, FINDING_ENVIRONMENT, "no-external-engine", NULL,
			"neither vLLM nor SGLang is installed where PATH points: graphs with VllmWorker or "
			"SglangWorker need one");
		findings_remedy(ret, "put the bin folder of its virtual environment into PATH, or run the graph with "
				     "--engine llama");
	}
	if ((vllm || sglang) && !package_find(f, "nixl"))
		findings_add(ret, FINDING_INFO, FINDING_ENVIRONMENT, "no-nixl", NULL,
			"nixl is not installed: vLLM and SGLang workers cannot hand KV to each other (prefill and "
			"decode apart)");
	if (has_rdma(f) && !package_find(f, "ucx"))
		findings_add(ret, FINDING_INFO, FINDING_ENVIRONMENT, "no-ucx", NULL,
			"there is an RDMA device, and no UCX library to use it with");
}

void doctor_findings(const struct doctor_facts *f, struct findings *ret)
{
	add_cpu(f, ret);
	add_limits(f, ret);
	add_gpus(f, ret);
	add_engines(f, ret);
	doctor_versions(f, ret);
	findings_sort(ret);
}

/* The page. */

static void print_host(const struct doctor_facts *f, struct buf *out)
{
	const struct host_facts *h = &f->inventory.host_facts;
	const struct {
		bool has;
		const char *name;
	} flags[] = {{h->avx2, "avx2"}, {h->f16c, "f16c"}, {h->fma, "fma"}, {h->avx512, "avx512"},
		{h->avx512_vnni, "vnni"}, {h->avx512_bf16, "bf16"}, {h->amx, "amx"}};

	buf_printf(out, "host     %s%s\n", f->inventory.host, h->container ? ", in a container" : "");
	buf_printf(out, "CPU      %s, %u of %u cores, %u NUMA node%s;", h->cpu[0] ? h->cpu : "unknown", h->cores,
		h->cores_all, MAX(h->numa_nodes, 1u), h->numa_nodes > 1 ? "s" : "");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].has)
			buf_printf(out, " %s", flags[i].name);
	buf_printf(
		out, "\nmemory   %.1f GiB, %.1f available", (double)h->ram_total / GIB, (double)h->ram_available / GIB);
	if (h->ram_cgroup)
		buf_printf(out, " (its control group may use %.1f)", (double)h->ram_cgroup / GIB);
	buf_printf(out, "; /dev/shm %.1f GiB; disk here %.1f GiB free\n", (double)h->shm_total / GIB,
		(double)h->disk_free / GIB);
}

static void limit_print(struct buf *out, const char *what, uint64_t value, uint64_t unit, const char *unit_name)
{
	/* "No limit" comes as the largest number, or nearly. */
	if (value >= UINT64_MAX / 4)
		buf_printf(out, "%s unlimited", what);
	else
		buf_printf(out, "%s %llu%s", what, (unsigned long long)(value / unit), unit_name);
}

static void print_limits(const struct doctor_facts *f, struct buf *out)
{
	const struct host_facts *h = &f->inventory.host_facts;

	buf_add_str(out, "limits   ");
	limit_print(out, "open files", h->open_files, 1, "");
	limit_print(out, " (at most", f->open_files_hard, 1, ")");
	if (f->open_files_hard >= UINT64_MAX / 4)
		buf_add_byte(out, ')');
	limit_print(out, ", locked memory", h->locked_memory, 1 << 20, " MiB");
	limit_print(out, ", processes", h->processes, 1, "");
	buf_add_byte(out, '\n');
}

static void print_gpus(const struct doctor_facts *f, struct buf *out)
{
	const struct gpu_inventory *inv = &f->inventory;

	if (inv->count == 0) {
		buf_add_str(out, "GPUs     none\n");
		return;
	}
	buf_printf(out, "driver   %s, CUDA up to %s\n", inv->driver[0] ? inv->driver : "unknown",
		inv->cuda[0] ? inv->cuda : "unknown");
	for (uint32_t i = 0; i < inv->count; i++) {
		const struct gpu_device *d = &inv->devices[i];

		buf_printf(out, "%s%u %s, %.1f of %.1f GiB free, capability %u.%u (%s)%s",
			i == 0 ? "GPUs     " : "         ", d->index, d->name, (double)d->memory_free / GIB,
			(double)d->memory_total / GIB, d->capability / 10, d->capability % 10,
			gpu_generation(d->capability), d->mig_slice ? ", a MIG slice" : "");
		if (d->numa >= 0 && inv->host_facts.numa_nodes > 1)
			buf_printf(out, ", NUMA node %d", d->numa);
		buf_add_byte(out, '\n');
	}
	for (uint32_t a = 0; a < inv->count; a++)
		for (uint32_t b = a + 1; b < inv->count; b++)
			if (gpu_inventory_link(inv, a, b) == GPU_LINK_NVLINK)
				buf_printf(out, "         %u and %u are joined by NVLink\n", inv->devices[a].index,
					inv->devices[b].index);
}

static void print_software(const struct doctor_facts *f, struct buf *out)
{
	buf_printf(out, "engines  llama (in this program%s), mock (in this program)\n",
		f->cuda_build ? ", with CUDA" : ", CPU only");
	for (uint32_t i = 0; i < f->packages_len; i++) {
		const struct doctor_package *p = &f->packages[i];

		buf_printf(out, "         %s%s%s (%s)\n", p->name, p->version[0] ? " " : "", p->version, p->where);
	}
	if (f->nets_len == 0)
		buf_add_str(out, "network  none but the loopback\n");
	for (uint32_t i = 0; i < f->nets_len; i++) {
		const struct doctor_net *n = &f->nets[i];

		buf_printf(out, "%s%s%s, %s", i == 0 ? "network  " : "         ", n->name, n->rdma ? " (RDMA)" : "",
			n->up ? "up" : "down");
		if (n->mbit_s)
			buf_printf(out, ", %g Gbit/s", n->mbit_s / 1000.0);
		buf_add_byte(out, '\n');
	}
}

void doctor_print(const struct doctor_facts *f, struct buf *out)
{
	print_host(f, out);
	print_limits(f, out);
	print_gpus(f, out);
	print_software(f, out);
}
