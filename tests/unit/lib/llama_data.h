/* llama_data.h - where the tokenizer files, chat templates and the demo model lie, for tests. Tests run in the root of
 * the tree; the scripts there know. Each call may run a script (some milliseconds; the first model fetch: seconds). */
#ifndef STATOR_TESTS_LLAMA_DATA_H
#define STATOR_TESTS_LLAMA_DATA_H

#include <stddef.h>
#include <stdint.h>

/* Path of a file in the llama.cpp build ("vocab/ggml-vocab-qwen2.gguf"). A static string, good until the next call. */
const char *llama_data(const char *file);
/* Path of the demo model. */
const char *demo_model(void);
/* The whole file, NUL-terminated; fails the test when it cannot be read. Caller frees. */
char *file_text(const char *path, size_t *ret_len);
/* Run fn(arg) on a thread with a text pool's stack. Fails the test when it cannot. */
void on_text_stack(void (*fn)(void *arg), void *arg);

#endif
