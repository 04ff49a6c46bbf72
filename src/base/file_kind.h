/* file_kind.h - what a file is that was taken for a model: downloads that went wrong, other formats, other tools' files.
 * Thread: any; pure. Memory: none. */
#ifndef STATOR_BASE_FILE_KIND_H
#define STATOR_BASE_FILE_KIND_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "\"PATH\" is not a GGUF file; it is a pointer of Git LFS: ...", by the first len bytes of the file (some hundred are enough).
 * Returns -EINVAL. */
int file_refuse_not_gguf(const char *path, const void *head, size_t len, struct err *err);
/* The same for a version of GGUF that nobody reads; one that is written in the other order of bytes is told so. Returns -ENOTSUP. */
int file_refuse_gguf_version(const char *path, uint32_t version, struct err *err);

#ifdef __cplusplus
}
#endif
#endif
