/* log_file.h - what a process logs, on disk: NAME.log in the runtime folder, and NAME.log.1, the piece before it.
 *
 * A log that cannot be written (disk full) is a log that is not there: it never stops the process. One that somebody has
 * removed begins anew.
 * Thread: one owner. Memory: fixed. Disk: at most twice LOG_FILE_BYTES_MAX a process. */
#ifndef STATOR_LAUNCH_LOG_FILE_H
#define STATOR_LAUNCH_LOG_FILE_H

#include <stddef.h>
#include <stdint.h>

enum { LOG_FILE_BYTES_MAX = 8 * 1024 * 1024, LOG_FILE_PATH_BYTES = 160 };
#define LOG_FILE_SUFFIX ".log"

struct log_file {
	char path[LOG_FILE_PATH_BYTES];
	int fd; /* -1: none */
	uint64_t bytes;
};

/* dir NULL: no file. */
void log_file_open(struct log_file *f, const char *dir, const char *name);
/* Append; past LOG_FILE_BYTES_MAX the file becomes NAME.log.1 and a new one begins, at a line's end where there is one. */
void log_file_write(struct log_file *f, const char *data, size_t len);
void log_file_close(struct log_file *f);

#endif
