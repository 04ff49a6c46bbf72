/* nearby.c - see nearby.h. */
#include "config/nearby.h"
#include "base/utf8.h"
#include "config/suggest.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct nearby {
	const char *word, *ending;
	uint32_t distance; /* of best; beyond it nothing is near */
	char best[NAME_MAX + 1];
};

static bool ends_with(const char *name, const char *ending)
{
	size_t len = strlen(name), n = ending ? strlen(ending) : 0;

	return len > n && (!ending || strcasecmp(name + len - n, ending) == 0);
}

static const char *without_ending(const char *name, char *ret, size_t cap)
{
	const char *dot = strrchr(name, '.');

	snprintf(ret, cap, "%.*s", dot && dot > name ? (int)(dot - name) : (int)strlen(name), name);
	return ret;
}

static void offer(struct nearby *n, const char *name)
{
	char stem[NAME_MAX + 1], word[NAME_MAX + 1];

	if (*name == '.' || !ends_with(name, n->ending) || !utf8_is_plain(name, strlen(name)))
		return;
	without_ending(n->word, word, sizeof word);
	without_ending(name, stem, sizeof stem);
	/* "smollm" for "smollm.gguf", "graph.yml" for "graph.yaml" */
	uint32_t d = suggest_distance(n->word, name, n->distance);
	d = MIN(d, suggest_distance(n->word, stem, n->distance));
	d = MIN(d, suggest_distance(word, stem, n->distance));
	if (d >= n->distance)
		return;
	n->distance = d;
	snprintf(n->best, sizeof n->best, "%s", name);
}

/* ret has room for PATH_MAX. "": beside the caller. */
static const char *folder_of(const char *path, char *ret)
{
	const char *slash = strrchr(path, '/');

	snprintf(ret, PATH_MAX, "%.*s", slash ? (int)MAX((int)(slash - path), 1) : 0, path);
	return slash ? slash + 1 : path;
}

static bool each_name(const char *folder, struct nearby *n, void (*fn)(struct nearby *n, const char *name))
{
	DIR *dir = opendir(*folder ? folder : ".");
	struct dirent *e;

	if (!dir)
		return false;
	for (int i = 0; i < NEARBY_NAMES_MAX && (e = readdir(dir)); i++)
		fn(n, e->d_name);
	closedir(dir);
	return true;
}

static void first_name(struct nearby *n, const char *name)
{
	if (*name == '.' || !ends_with(name, n->ending) || !utf8_is_plain(name, strlen(name)))
		return;
	if (!*n->best || strcmp(name, n->best) < 0)
		snprintf(n->best, sizeof n->best, "%s", name);
}

static int hint_of_folder(struct err *err, const char *path, const char *ending, const char *otherwise)
{
	struct nearby n = {.ending = ending};
	const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";

	if (ending && each_name(path, &n, first_name) && *n.best)
		return err_hint(err, "in it lies \"%s%s%s\"", path, slash, n.best);
	return otherwise ? err_hint(err, "%s", otherwise) : err->code;
}

int nearby_hint(struct err *err, const char *path, const char *ending, const char *otherwise)
{
	char folder[PATH_MAX];
	struct nearby n = {.ending = ending};

	if (!err || !*path || strlen(path) >= sizeof folder)
		return err ? err->code : -ENOENT;
	if (err->code == -EISDIR)
		return hint_of_folder(err, path, ending, otherwise);
	if (err->code != -ENOENT)
		return err->code;
	n.word = folder_of(path, folder);
	n.distance = MAX(1, MIN(3, (uint32_t)strlen(n.word) / 3)) + 1;
	if (!each_name(folder, &n, offer))
		return err_hint(err, "there is no folder \"%s\"", folder);
	if (*n.best)
		return err_hint(
			err, "did you mean \"%s%s%s\"?", folder, *folder && strcmp(folder, "/") ? "/" : "", n.best);
	return otherwise ? err_hint(err, "%s", otherwise) : err->code;
}
