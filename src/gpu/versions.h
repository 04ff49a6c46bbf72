/* versions.h - what releases of vLLM and SGLang know: data/engines.txt, read from their sources by scripts/engine-versions.
 *
 * A release is a number that compares as releases do; 0 is none. What is asked without a release is answered for the newest one
 * that was read.
 * Thread: any. Memory: some 200 KiB for the process's life, made at the first use. */
#ifndef STATOR_GPU_VERSIONS_H
#define STATOR_GPU_VERSIONS_H

#include "gpu/rules.h"
#include <stddef.h>

enum engine_kind {
	ENGINE_ITSELF,
	ENGINE_ARCHITECTURE,
	ENGINE_QUANTIZATION,
	ENGINE_ATTENTION,
	ENGINE_CARDS,
	ENGINE_RULE,
	ENGINE_FAMILY,
	ENGINE_NO_PIPELINE /* architectures whose layers a release does not divide into stages */
};

/* "0.10.2", "v0.9.0.1", "0.8.5.post1", "v0.11.0-cu128", "0.11.1rc7.dev109": by its first three numbers and what follows ".post"
 * or as a fourth. 0: no release ("latest", "nightly"). */
uint64_t engine_version_parse(const char *text);
/* "0.10.2" again, "0.8.5.post1". Returns ret. */
const char *engine_version_text(uint64_t version, char *ret, size_t cap);
enum { ENGINE_VERSION_TEXT = 32 };
#define ENGINE_VERSION(v) engine_version_text((v), (char[ENGINE_VERSION_TEXT]){0}, ENGINE_VERSION_TEXT)

/* The releases that have a name; first 0: none that was read. last 0: the newest read has it. */
struct engine_span {
	uint64_t first, last;
};
struct engine_span engine_span_of(enum rule_engine e, enum engine_kind kind, const char *name);
static inline bool engine_span_holds(struct engine_span s, uint64_t version)
{
	return s.first && version >= s.first && (!s.last || version <= s.last);
}
/* The releases that were read. */
struct engine_span engine_releases(enum rule_engine e);
/* The least compute capability that vLLM's release asks of a quantization ("fp8", "compressed-tensors:wna16"); 0: it does not say. */
uint32_t engine_quantization_least(const char *name, uint64_t version);
/* Are the kernels of vLLM's release built for cards of that capability? Code for 8.0 runs on 8.6 too, for 8.6 not on 8.0. */
bool engine_built_for(uint64_t version, uint32_t capability);
/* The first release read that is; 0: none. */
uint64_t engine_first_built_for(uint32_t capability);
/* The class that config.json's model_type stands for ("qwen3" is "Qwen3ForCausalLM"); NULL: not known. */
const char *engine_class_of(const char *model_type);
/* The i-th name of a kind; NULL past the end. For tests. */
const char *engine_name_at(enum engine_kind kind, uint32_t i);

#endif
