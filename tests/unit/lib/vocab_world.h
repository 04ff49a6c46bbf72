/* vocab_world.h - small GGUF files with a vocabulary alone, of each kind that llama.cpp reads, for tests and fuzzing. */
#ifndef STATOR_TESTS_VOCAB_WORLD_H
#define STATOR_TESTS_VOCAB_WORLD_H

#include "base/buf.h"

struct vocab_world {
	const char *kind, *pre; /* tokenizer.ggml.model, .pre; pre may be NULL */
	const char *const *tokens; /* count of them */
	const uint32_t *types; /* of the tokens; may be NULL: all normal */
	uint32_t count;
	const char *merges; /* of a byte-pair vocabulary: one; or NULL */
};
/* One of each kind, whole: "llama", "bert", "gpt2", "t5", "rwkv", "plamo2"; NULL past the end. */
const struct vocab_world *vocab_world_at(uint32_t i);
void vocab_world_write(struct buf *ret, const struct vocab_world *v);
/* The path of a file in memory with these bytes, good until it is closed by its number in *ret_fd. */
void vocab_world_file(const void *data, size_t len, char *ret_path, size_t cap, int *ret_fd);

#endif
