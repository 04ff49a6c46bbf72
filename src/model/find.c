/* find.c - what the user wrote: a file, a folder, or a name. */
#include "model/facts.h"

#include <string.h>
#include <sys/stat.h>

int model_facts_find(struct model_facts *ret, const char *text, struct err *err)
{
	struct stat st;
	size_t len = strlen(text);

	if (stat(text, &st) == 0 && S_ISDIR(st.st_mode))
		return model_facts_from_hf_folder(ret, text, err);
	if (stat(text, &st) == 0 || (len > 5 && !strcasecmp(text + len - 5, ".gguf")))
		return model_facts_from_gguf(ret, text, err);
	return model_facts_by_name(ret, text, err);
}
