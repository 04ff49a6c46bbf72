#include "tiny_model.h"
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *tiny_model(const char *kind, char *ret, size_t cap)
{
	char command[512];
	const char *tmp = getenv("TMPDIR");

	snprintf(ret, cap, "%s/tiny-%s-XXXXXX", tmp && *tmp ? tmp : "/tmp", kind);
	int fd = mkstemp(ret);
	assert_true(fd >= 0);
	close(fd);
	snprintf(command, sizeof command, "python3 tests/tiny_model.py %s %s", kind, ret);
	/* NOLINTNEXTLINE(cert-env33-c): both words are of the test */
	assert_int_equal(system(command), 0);
	return ret;
}
