/* model.h - a GGUF model held by llama.cpp: load, facts, checks before loading.
 *
 * llama/ is the edge to llama.cpp and the only C++ in the tree. Nothing thrown crosses it: every entry catches, and
 * turns what was thrown, or what llama.cpp logged before it failed, into a struct err. A failed assertion inside
 * llama.cpp still aborts the process, so arguments are checked here first.
 * Thread: load and destroy on any thread, one at a time a model; everything const is safe from many threads at once.
 * Memory: the weights (mapped from the file unless told otherwise), about 20 MiB for a vocabulary. */
#ifndef STATOR_LLAMA_MODEL_H
#define STATOR_LLAMA_MODEL_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ll_model;
struct ll_vocab;

enum ll_log_level { LL_LOG_DEBUG, LL_LOG_INFO, LL_LOG_WARN, LL_LOG_ERROR };
/* Where llama.cpp's own lines go (whole lines, no newline, any thread). Without a sink they are dropped; either way the
 * last error lines are kept, to explain a failure. Call once, before threads start. Never needed. */
void ll_log_sink(void (*fn)(void *ctx, enum ll_log_level level, const char *line), void *ctx);

/* What a file says of itself, read from its header only: some milliseconds, no weights touched. */
struct ll_file_facts {
	char arch[64]; /* "llama", "qwen2"... */
	uint64_t file_bytes; /* of all its parts, when split */
	uint64_t tensor_count;
	/* XXH3 of metadata, tensor table and samples of the data spread over the file. Equal files, equal numbers. */
	uint64_t fingerprint;
	/* XXH3 of the vocabulary, merges, special tokens, pre-tokenizer and chat template alone: equal for all
	 * quantizations of one model. */
	uint64_t vocab_hash;
	uint32_t vocab_tokens; /* 0: it has none */
	uint32_t eos_token; /* UINT32_MAX: it does not say */
	uint64_t header_bytes; /* of path itself: what stands before the data */
};
/* Is path a whole GGUF file of an architecture this build knows? Refuses with the cause: missing, not GGUF, another
 * version, cut short (with how much is there and how much there should be), unknown architecture. -ENOENT, -EACCES,
 * -EINVAL, -ENOTSUP. want_weights false also takes vocabulary-only files. */
int ll_file_check(const char *path, bool want_weights, struct ll_file_facts *ret, struct err *err);

struct ll_model_params {
	bool vocab_only; /* tokenizer, metadata and template only: tens of milliseconds up to 2 s for 262k tokens */
	bool no_mmap; /* read the weights into memory: not shared between processes */
	bool check_tensors; /* look for NaN and infinities in the weights: reads all of them */
	int32_t gpu_layers; /* -1: all; 0: none. Without GPU support in this build it is ignored */
	/* Called now and then with 0..1 on the loading thread; false stops the load with -ECANCELED. May be NULL. */
	bool (*progress)(void *ctx, float done);
	void *progress_ctx;
};
/* Check the file, then load. Returns owned. */
int ll_model_load(
	struct ll_model **ret, const char *path, const struct ll_model_params *params, struct err *err) MUST_USE;
/* Contexts, vocabularies and templates of it must be gone. NULL is fine. */
void ll_model_destroy(struct ll_model *m);

struct ll_model_facts {
	struct ll_file_facts file;
	char name[128]; /* general.name, or the file's name */
	char desc[128]; /* "llama 135M Q4_1" */
	uint64_t weight_bytes, params;
	uint32_t ctx_train, layers, embd, heads, heads_kv, vocab;
	uint32_t swa; /* sliding window in tokens, 0: none */
	bool recurrent, hybrid; /* some state is not cells: no prefix copy, no trim */
	bool encoder; /* needs an encoder pass; generation is not supported */
	bool decoder;
};
/* Borrowed, constant. With vocab_only layers, heads and params are 0. */
const struct ll_model_facts *ll_model_facts(const struct ll_model *m);
const struct ll_vocab *ll_model_vocab(const struct ll_model *m);
/* The chat template's source in the file, NULL when it has none. Borrowed. */
const char *ll_model_template(const struct ll_model *m);
/* A metadata value as text into ret (always NUL-terminated). -ENOENT when there is no such key. */
int ll_model_meta(const struct ll_model *m, const char *key, char *ret, size_t cap);

/* One accelerator llama.cpp sees. */
struct ll_device {
	char name[32], description[128];
	uint64_t free_bytes, total_bytes;
};
/* Fill at most cap; returns how many there are. The CPU does not count. */
uint32_t ll_devices(struct ll_device *ret, uint32_t cap);
/* "0.5.0". */
const char *ll_version(void);

#ifdef __cplusplus
}
#endif
#endif
