/* file.c - see file.h. */
#include "host/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool host_file_text(const char *root, const char *path, char *ret, size_t cap)
{
	char full[2048];
	size_t len = 0;

	ret[0] = '\0';
	if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
		return false;
	int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	for (ssize_t n; len < cap - 1 && (n = read(fd, ret + len, cap - 1 - len)) != 0;) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	ret[len] = '\0';
	return true;
}

static uint64_t number_at(const char *text, uint64_t none)
{
	text += strspn(text, " \t");
	return isdigit((unsigned char)*text) ? strtoull(text, NULL, 10) : none;
}

uint64_t host_file_number(const char *root, const char *path, uint64_t none)
{
	char text[64];

	return host_file_text(root, path, text, sizeof text) ? number_at(text, none) : none;
}

uint64_t host_line_number(const char *text, const char *key, uint64_t none)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (strncmp(line, key, len) == 0)
			return number_at(line + len, none);
	return none;
}
