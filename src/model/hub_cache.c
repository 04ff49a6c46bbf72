/* hub_cache.c - see hub_cache.h. */
#include "model/hub_cache.h"

#include "base/file.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = 200, COMMIT_BYTES_MAX = 64 };

bool model_is_hub_name(const char *name)
{
	const char *slash = strchr(name, '/');

	if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/') || strlen(name) > NAME_BYTES_MAX)
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_./", *c))
			return false;
	return name[0] != '.' && slash[1] != '.';
}

/* printf into ret; false when it does not fit. */
#define WRITE(ret, cap, ...) ((size_t)snprintf((ret), (cap), __VA_ARGS__) < (cap))

static bool hub_root(char *ret, size_t cap)
{
	const char *direct = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *xdg = getenv("XDG_CACHE_HOME"),
		   *user = getenv("HOME");

	if (!direct || !*direct)
		direct = getenv("HUGGINGFACE_HUB_CACHE");
	if (direct && *direct)
		return WRITE(ret, cap, "%s", direct);
	if (home && *home)
		return WRITE(ret, cap, "%s/hub", home);
	if (xdg && *xdg)
		return WRITE(ret, cap, "%s/huggingface/hub", xdg);
	return user && *user && WRITE(ret, cap, "%s/.cache/huggingface/hub", user);
}

/* The commit that main is, of hexadecimal digits. */
static bool commit_of(char ret[COMMIT_BYTES_MAX + 1], const char *repo)
{
	char path[PATH_MAX];
	struct buf text;

	if (!WRITE(path, sizeof path, "%s/refs/main", repo))
		return false;
	buf_init(&text, COMMIT_BYTES_MAX);
	bool read = file_read_text(&text, "commit", path, FILE_PLAIN, NULL) == 0;
	size_t len = read ? strspn(buf_str(&text), "0123456789abcdef") : 0;
	memcpy(ret, buf_str(&text), len);
	ret[len] = '\0';
	buf_done(&text);
	return len > 0;
}

bool hub_cache_folder(char *ret, size_t cap, const char *name)
{
	char root[PATH_MAX], repo[PATH_MAX], commit[COMMIT_BYTES_MAX + 1], config[PATH_MAX];

	if (!model_is_hub_name(name) || !hub_root(root, sizeof root))
		return false;
	int owner = (int)(strchr(name, '/') - name);
	return WRITE(repo, sizeof repo, "%s/models--%.*s--%s", root, owner, name, name + owner + 1) &&
	       commit_of(commit, repo) && WRITE(ret, cap, "%s/snapshots/%s", repo, commit) &&
	       WRITE(config, sizeof config, "%s/config.json", ret) && access(config, R_OK) == 0;
}
