/* llama_files.h - where the test data of the llama.cpp build lies, for fuzz targets. They run in the root of the tree. */
#ifndef STATOR_FUZZ_LLAMA_FILES_H
#define STATOR_FUZZ_LLAMA_FILES_H

#include <stdio.h>
#include <string.h>

static inline void llama_folder(char *ret, size_t cap)
{
	FILE *f = popen("scripts/llama dir", "r");

	ret[0] = '\0';
	if (f && fgets(ret, (int)cap, f))
		ret[strcspn(ret, "\n")] = '\0';
	if (f)
		pclose(f);
}

#endif
