/* catalogue.h - what is known of GPUs: data/gpus.txt, built in, and the user's own file of the same form.
 *
 *   T4 nvml="Tesla T4" memory=15360MiB usable=14913MiB capability=7.5 bandwidth=320 fp32=8.1 fp16=65 int8=130 pcie=16
 *      source="..."
 * One record an entry: a name, then key=value pairs; an indented line continues the record; # starts a comment.
 * gpu_key_help() prints the keys. A later entry of the same name replaces an earlier one.
 * Thread: reading from any thread; add files before threads start. Memory: some 30 KiB for the process's life. */
#ifndef STATOR_GPU_CATALOGUE_H
#define STATOR_GPU_CATALOGUE_H

#include "config/diag.h"
#include <stdbool.h>
#include <stdint.h>

struct gpu_spec {
	const char *name; /* "T4", "A100-80GB" */
	const char *nvml; /* what NVML (or its maker's tool) calls it, alternatives separated by '|' */
	const char *alias; /* what people call it besides, separated by '|' */
	const char *vendor; /* "NVIDIA", "AMD", "Intel", "Google", "AWS", "Huawei": CUDA is the first one's alone */
	uint64_t memory_bytes; /* in all, as NVML and nvidia-smi show it */
	uint64_t usable_bytes; /* what a CUDA program sees as total (cudaMemGetInfo): fit arithmetic uses this one */
	double memory_gb_s; /* GB = 1e9 bytes */
	/* Dense peak rates, 1e12 a second; 0: the card has no such units. fp16, bf16, fp8, fp4, int8 with 32-bit accumulation
	 * in the matrix units where there are any. */
	double tflops_fp32, tflops_fp16, tflops_bf16, tflops_fp8, tflops_fp4, tops_int8;
	double nvlink_gb_s; /* both directions together, per GPU; 0: none */
	double pcie_gb_s; /* one direction, practical: 16 (gen 3), 32, 64 */
	uint32_t capability; /* compute capability x 10: 75 = 7.5; 0 on AMD */
	uint32_t watts;
	uint32_t nvml_keys_len; /* of NVML's in keys */
	bool mig;
	bool unified; /* its memory is the system's too */
	const char *keys; /* private: its names as they are compared, NVML's first: "teslat4|t4|" */
	const char *source; /* where the figures come from, in words */
};

/* The card of that name, or of that NVML name: "T4", "a100-80gb", "Tesla T4", "NVIDIA A100-SXM4-80GB",
 * "GeForce RTX 3090", "NVIDIA A100-SXM4-80GB MIG 3g.40gb" (the whole card; its memory is the slice's business). Case,
 * spaces against hyphens and a leading "NVIDIA", "Tesla" or "GeForce" count nothing. NULL: not known. */
const struct gpu_spec *gpu_spec_find(const char *name);
/* As gpu_spec_find, for a card that was found to have so much memory: of cards of one name (RTX 4060 Ti, 8 and 16 GB) the
 * nearest. */
const struct gpu_spec *gpu_spec_match(const char *nvml_name, uint64_t memory_bytes);
/* The i-th, in the order of the file; NULL past the end. */
const struct gpu_spec *gpu_spec_at(uint32_t i);
/* "did you mean": the nearest known name, or NULL. */
const char *gpu_spec_suggest(const char *name);
/* The names that begin as this one does ("A100": A100-40GB, A100-80GB, ...), comma between; "" when there is none. Returns ret. */
const char *gpu_spec_beginning(const char *name, char *ret, size_t cap);
/* Does CUDA run on it? What has no record, or says no vendor, is NVIDIA's. */
static inline bool gpu_spec_is_cuda(const struct gpu_spec *s)
{
	return !s || s->capability > 0;
}
/* The built-in entries are read at the first use of any function here. To tell want of memory from a card that is not
 * known, call this first: 0 or -ENOMEM. */
int gpu_catalogue_load(struct err *err) MUST_USE;
/* Add the user's cards. Every mistake of the file goes to diags ("cards.txt:3:20: ..."). 0, or -EINVAL when there were
 * mistakes (the sound entries are added all the same), or what opening gave. path "-" is not special. */
int gpu_catalogue_add_file(const char *path, struct diags *diags, struct err *err);
/* The same from text in memory; file is the name to say. Copies. */
int gpu_catalogue_add(const char *file, const char *text, size_t len, struct diags *diags);
/* The generation for people: "Turing" of 75, "Ampere" of 80 and 86, "Hopper" of 90...; "unknown" otherwise. */
const char *gpu_generation(uint32_t capability);

#endif
