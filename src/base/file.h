/* file.h - open and read what users name. Never waits for ever: a FIFO that nobody writes to would hold the thread, and with it
 * whoever waits for it; a device would do what devices do. Thread: any. */
#ifndef STATOR_BASE_FILE_H
#define STATOR_BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Open path for reading. Returns the descriptor, close-on-exec, and its size (ret_bytes may be NULL); or negative: the
 * system's code and words, -EISDIR for a folder, -EINVAL for a FIFO, a socket or a device, each named. */
int file_open_plain(const char *path, uint64_t *ret_bytes, struct err *err);
/* What a text may come from. Where a file is opened more than once, or by another process, a pipe would be empty then. */
enum file_from {
	FILE_PLAIN, /* a plain file only */
	FILE_OR_PIPE, /* also a pipe: "-" and /dev/stdin (standard input, a terminal too), /dev/fd/N (what a shell puts in
			 the place of "<(command)"), a FIFO that somebody writes to */
};
enum {
	FILE_WRITER_WAIT_MS = 2000, /* for the first writer of a FIFO */
	FILE_PIPE_WAIT_MS = 30000, /* for the next byte of a pipe; standard input waits as long as it likes */
};
/* Append all of path to ret, at most as much as its len_max allows; what names its kind in errors ("graph"). 0, or negative: the
 * system's code, -EISDIR for a folder, -EINVAL for what is refused by its kind, -EFBIG, -ETIMEDOUT for a pipe nobody writes to,
 * -ENOMEM. What was appended stays. */
int file_read_text(struct buf *ret, const char *what, const char *path, enum file_from from, struct err *err);
/* Open path for writing from its beginning, as ">" of a shell does. Returns the descriptor, close-on-exec, or negative: the
 * system's code, -EISDIR, -EINVAL for a block device or a socket, -ENXIO for a FIFO that nobody reads. */
int file_open_output(const char *what, const char *path, struct err *err);
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
