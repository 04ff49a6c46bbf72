/* file.h - small files of /proc and /sys, below a root ("" is the real one). Thread: any. No allocation. */
#ifndef STATOR_HOST_FILE_H
#define STATOR_HOST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The start of root + path, at most cap - 1 bytes; false, and "", when it cannot be read. */
bool host_file_text(const char *root, const char *path, char *ret, size_t cap);
/* The whole number it begins with; none when there is none ("max", "-1", no such file). */
uint64_t host_file_number(const char *root, const char *path, uint64_t none);
/* The number behind key where a line of text begins with it; none when there is none. */
uint64_t host_line_number(const char *text, const char *key, uint64_t none);

#endif
