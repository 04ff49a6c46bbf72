/* llama.h - the engine over llama.cpp: continuous batches of several sequences in one unified cell pool.
 *
 * Sequences share prefixes cell by cell. Draws are keyed by (seed, position), so a stream does not depend on what was
 * batched beside it, up to the rounding of another batch shape. create loads the model and allocates the KV, which can
 * take long: progress tells how far. All faults of the file or of the sizes asked for are found here, with the
 * arithmetic, before memory is taken.
 * Thread: as engine.h says; compute threads are llama.cpp's own, bound to the CPUs of the params, and do not spin while
 * they wait. Memory: weights (mapped: shared by the workers of one host), KV, one row of logits a running sequence. */
#ifndef STATOR_ENGINE_LLAMA_H
#define STATOR_ENGINE_LLAMA_H

#include "engine/engine.h"
#include "llama/context.h"

struct llama_config {
	const char *path; /* of the GGUF; borrowed until create returns */
	struct ll_context_params context;
	/* Longest sequence, prompt + answer; 0: what model and cells allow. */
	uint32_t context_max;
	bool no_mmap;
	int32_t gpu_layers; /* -1: all */
	bool (*progress)(void *ctx, float done); /* loading, 0..1; false stops it. May be NULL */
	void *progress_ctx;
};

/* Returns owned. -ENOENT, -EINVAL, -ENOTSUP, -ENOMEM..., always with a sentence. */
int llama_engine_create(struct engine **ret, const struct llama_config *config, struct err *err) MUST_USE;

#endif
