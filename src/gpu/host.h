/* host.h - facts of the machine itself that decide whether an engine can run: cores, memory, shared memory, limits, disk.
 * Read once from /proc, /sys and system calls; a fact that cannot be read is 0 (or -1 where 0 means something).
 * Thread: any. No allocation. */
#ifndef STATOR_GPU_HOST_H
#define STATOR_GPU_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct host_facts {
	uint32_t cores; /* that this process may use (host/limits.h) */
	uint32_t cores_all; /* of the machine */
	char cpu[96]; /* "Intel(R) Xeon(R) ..." */
	bool avx, avx2, f16c, fma, avx512, avx512_vnni, avx512_bf16,
		amx; /* f16c and fma: what llama.cpp's x86 build asks for */
	uint64_t ram_total, ram_available; /* the smaller of the machine's and the control groups' */
	uint64_t ram_cgroup; /* the control groups' limit; 0: none */
	uint32_t numa_nodes;
	uint32_t memory_mb_s; /* 1e6 bytes a second, read by all cores at once; 0: not measured (host_memory_measure) */
	uint64_t shm_total, shm_free; /* /dev/shm */
	uint64_t disk_free; /* of the current folder's file system */
	uint64_t open_files; /* RLIMIT_NOFILE, soft; UINT64_MAX: no limit */
	uint64_t locked_memory; /* RLIMIT_MEMLOCK, soft */
	uint64_t processes; /* RLIMIT_NPROC, soft */
	bool container; /* a cgroup or a well-known file says so */
};

void host_facts_read(struct host_facts *ret);
/* What so many threads together read from memory, 1e6 bytes a second: some 50 ms, 32 MiB a thread, 32 threads at most. 0 when
 * that memory or the threads are not to be had. */
uint32_t host_memory_measure(uint32_t cores);
/* The same of a tree of files under root ("" is the real one): what tests use. Limits and affinity are the process's. */
void host_facts_read_at(struct host_facts *ret, const char *root);

#endif
