/* file.h - open what must be a plain file, such as a model. Never waits: a FIFO that nobody writes to would hold the thread, and
 * with it whoever waits for it, for ever; a device would do what devices do. Thread: any. */
#ifndef STATOR_BASE_FILE_H
#define STATOR_BASE_FILE_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Open path for reading. Returns the descriptor, close-on-exec, and its size (ret_bytes may be NULL); or negative: the
 * system's code and words, -EISDIR for a folder, -EINVAL for a FIFO, a socket or a device, each named. */
int file_open_plain(const char *path, uint64_t *ret_bytes, struct err *err);
/* The length of the part of a GGUF file's name (without its folder) that names the model: not ".gguf", and not
 * "-00001-of-00003". All of it when nothing else is left. Pure. */
size_t file_gguf_stem(const char *base);
/* Read len bytes at a place. 0; -EIO: the file ends before, it was cut meanwhile (behind a mapping that is a signal, SIGBUS); or the
 * system's code. */
int file_read_at(int fd, uint64_t at, void *ret, size_t len);

#ifdef __cplusplus
}
#endif
#endif
