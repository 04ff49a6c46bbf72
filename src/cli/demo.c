/* demo.c - the demo model's path; the same rule as in scripts/model. */
#include "cli/demo.h"
#include "base/file.h"
#include "config/suggest.h"

#include <pwd.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DEMO_FILE "models/SmolLM2-135M-Instruct.Q4_1.gguf"

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

const char *demo_model_path(struct arena *a)
{
	const char *dir;

	if ((dir = variable("STATOR_CACHE")))
		return arena_printf(a, "%s/" DEMO_FILE, dir);
	if ((dir = variable("XDG_CACHE_HOME")))
		return arena_printf(a, "%s/stator/" DEMO_FILE, dir);
	if (!(dir = variable("HOME"))) {
		const struct passwd *me = getpwuid(getuid());
		dir = me && me->pw_dir ? me->pw_dir : "";
	}
	return arena_printf(a, "%s/.cache/stator/" DEMO_FILE, dir);
}

const char *demo_hint(const char *path, const char *takes)
{
	return suggest_distance(path, "demo", 2) <= 1 ? "did you mean \"demo\"?" : takes;
}

bool arg_is_model(const char *arg)
{
	char magic[4] = {0};
	size_t len = strlen(arg);
	/* A graph may come through a pipe, from which a look would take its first bytes. */
	int fd = strcmp(arg, "demo") ? file_open_plain(arg, NULL, NULL) : -1;

	if (fd >= 0) {
		ssize_t n = read(fd, magic, sizeof magic);
		close(fd);
		if (n == (ssize_t)sizeof magic && memcmp(magic, "GGUF", 4) == 0)
			return true;
	}
	return strcmp(arg, "demo") == 0 || (len > 5 && strcasecmp(arg + len - 5, ".gguf") == 0);
}
