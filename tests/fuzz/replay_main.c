/* Runs a fuzz target over the files it is given, without libFuzzer: what make test does with the corpus. The exit status
 * is 0 when every file came back; a crash is the shell's to count, so a name is printed before its file is run. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Optional in a target, as with libFuzzer. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { FILE_BYTES_MAX = 64 * 1024 * 1024 };

static int run(const char *path)
{
	FILE *f = fopen(path, "re");
	if (!f) {
		fprintf(stderr, "could not open \"%s\": %s\n", path, strerror(errno));
		return -1;
	}
	fseek(f, 0, SEEK_END);
	long size = ftell(f);
	rewind(f);
	/* Exactly as large as the file, so that a sanitizer sees a read past its end. */
	uint8_t *data = size >= 0 && size <= FILE_BYTES_MAX ? malloc((size_t)size + (size == 0)) : NULL;
	int r = data && fread(data, 1, (size_t)size, f) == (size_t)size ? 0 : -1;
	fclose(f);
	if (r == 0)
		LLVMFuzzerTestOneInput(data, (size_t)size);
	else
		fprintf(stderr, "could not read \"%s\"\n", path);
	free(data);
	return r;
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		failed |= run(argv[i]) < 0;
	return failed;
}
