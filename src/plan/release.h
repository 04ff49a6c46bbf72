/* release.h - the releases of vLLM and SGLang from which on a start's memory is another.
 *
 * Of a version (gpu/versions.h) minor and patch count here: MINOR x 100 + PATCH. 0: not known; then need.h asks each range of releases
 * that take alike, from V1 (vLLM 0.8) on: the newest range gives the terms, and the others whether they agree.
 * Pure; any thread. */
#ifndef STATOR_PLAN_RELEASE_H
#define STATOR_PLAN_RELEASE_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VLLM_CONTEXT_OUTSIDE = 606, /* the CUDA context is outside the budget; before, inside */
	VLLM_STARTS_HELD = 600, /* no start of a release before it is among bench/memory/starts, but of 0.2 */
	VLLM_ABSORBED = 700, /* MLA's matrices are absorbed: kept beside those of the files */
	VLLM_V1 = 800, /* V1: chunked prefill as default, sampling is profiled, 1024 sequences on large cards */
	VLLM_ASKS_FREE =
		900, /* it stops where less than its share is free at the start; before, it runs out of memory later */
	VLLM_WINDOWS_KEPT = 901, /* layers with a sliding window keep that many tokens; before, all */
	VLLM_LINKS_FIRST = 1100, /* NCCL is there before it looks at what is free */
	VLLM_STATES_IN_V1 =
		1002, /* hybrids run on V1; before, their states lie beside the pool, for all sequences at once */
	VLLM_STATES_IN_POOL = 1100, /* V0 is gone: all recurrent states come from the KV pool */
	VLLM_STATES_CAPPED = 1800, /* fewer blocks of states than sequences: fewer graphs are captured */
	VLLM_STATES_CHECKED = 2000, /* the same ends the start */
	VLLM_SAMPLER_TRITON = 1700, /* top-k and top-p without sorting; MoE work space held beside the logits */
	VLLM_FUSED_ALLREDUCE = 1800, /* FlashInfer's all-reduce and symmetric memory on NVLink cards of 9.x and 10.x */
	VLLM_GRAPHS_INSIDE = 2100, /* CUDA graphs are profiled and inside the budget; before, they come on top of it */
	VLLM_MARLIN_PADS = 2400, /* matrices that are not whole tiles of Marlin's kernels are padded */
	VLLM_MARLIN_PADS_EXPERTS = 2500, /* and experts */
	SGLANG_FRACTION_COUNTED =
		410, /* mem-fraction-static follows from chunk, graphs and parallel size; before, a table */
	SGLANG_FIRST = 300,
	RELEASE_LAST_PATCH = 99,
	RELEASE_NEWEST = 99999,
};

/* Of a version's parts of 16 bits each: major, minor, patch, what follows. */
static inline uint32_t release_of(uint64_t version)
{
	if (version >> 48)
		return RELEASE_NEWEST;
	return (uint32_t)(version >> 32 & 0xffff) * 100 + (uint32_t)MIN(version >> 16 & 0xffff, 99u);
}
/* release is known, and before that one. */
static inline bool release_before(uint32_t release, uint32_t first)
{
	return release && release < first;
}

/* Releases that a service may run on when its own is not stated, by ranges that take alike. */
enum { RELEASE_RANGES_MAX = 8, RELEASE_RANGES_TEXT = 160 };
struct release_ranges {
	uint32_t first[RELEASE_RANGES_MAX]; /* of each range, the newest range first */
	uint32_t len;
	uint32_t until; /* the last release of the newest range; 0: it goes on */
};
/* Those of an engine from release since to until (0: from the first, to the newest). Never none. */
void release_ranges(struct release_ranges *ret, bool sglang, uint32_t since, uint32_t until);
/* "0.8 to 0.16 and 0.21 and later" of the ranges whose bits are set in mask. Returns ret. */
const char *release_ranges_text(const struct release_ranges *r, uint32_t mask, char *ret, size_t cap);
/* "0.9.1"; "0.20" of any patch of it (RELEASE_LAST_PATCH). Returns ret. */
const char *release_text(uint32_t release, char *ret, size_t cap);

#endif
