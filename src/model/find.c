/* find.c - what the user wrote: a file, a folder, or a name. */
#include "model/facts.h"
#include "model/hub_cache.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), tail = strlen(end);

	return len > tail && !strcasecmp(text + len - tail, end);
}

/* A model that no record has, and that the hub's cache of this machine holds: whole, or its config.json alone. */
static int from_hub_cache(struct model_facts *ret, const char *name)
{
	char folder[PATH_MAX], config[PATH_MAX + sizeof "/config.json"];

	if (!hub_cache_folder(folder, sizeof folder, name))
		return -ENOENT;
	int r = model_facts_from_hf_folder(ret, folder, NULL);
	if (r == 0 && ret->file_bytes == 0) {
		snprintf(config, sizeof config, "%s/config.json", folder);
		r = model_facts_from_config_file(ret, config, NULL);
	}
	if (r == 0)
		snprintf(ret->name, sizeof ret->name, "%s", strchr(name, '/') + 1);
	return r;
}

int model_facts_given(struct model_facts *ret, const char *text, struct err *err)
{
	char config[PATH_MAX];
	struct stat st;

	if (ends_in(text, ".json") && stat(text, &st) == 0 && !S_ISDIR(st.st_mode))
		return model_facts_from_config_file(ret, text, err);
	int r = model_facts_find(ret, text, err);
	if (r < 0 || ret->file_bytes > 0 || stat(text, &st) < 0 || !S_ISDIR(st.st_mode))
		return r;
	snprintf(config, sizeof config, "%s/config.json", text);
	return model_facts_from_config_file(ret, config, err);
}

int model_facts_find(struct model_facts *ret, const char *text, struct err *err)
{
	struct stat st;
	bool there = stat(text, &st) == 0;

	if (there && S_ISDIR(st.st_mode))
		return model_facts_from_hf_folder(ret, text, err);
	if (there || ends_in(text, ".gguf"))
		return model_facts_from_gguf(ret, text, err);
	int r = model_facts_by_name(ret, text, err);
	if (r != -ENOENT)
		return r;
	if (from_hub_cache(ret, text) < 0)
		return r;
	err_clear(err);
	return 0;
}
