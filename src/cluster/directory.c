/* directory: every *.sock in a folder is a worker. The folder is looked at on a timer: its time of change first, its
 * entries only when that moved (or is so young that a second change could hide in the same tick). No inotify: it cannot
 * watch what does not exist yet, misses network file systems, and a poll is one stat. */
#include "base/vec.h"
#include "cluster/discovery.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct entry {
	char *addr; /* "unix:/run/x/w0.sock" */
	bool seen; /* in the look under way */
};

struct directory {
	struct discovery base;
	struct env *env;
	const struct discovery_handler *handler;
	void *ctx;
	struct env_timer timer;
	char *path;
	struct timespec changed;
	uint64_t news_us; /* when something changed last */
	bool looked; /* and everything that was seen has been taken */
	VEC(struct entry) entries;
};

static bool is_socket_name(const char *name)
{
	size_t len = strlen(name);
	return name[0] != '.' && len > 5 && !strcmp(name + len - 5, ".sock");
}

static struct entry *find(struct directory *d, const char *addr)
{
	for (uint32_t i = 0; i < d->entries.len; i++)
		if (!strcmp(d->entries.v[i].addr, addr))
			return &d->entries.v[i];
	return NULL;
}

static void take(struct directory *d, const char *name)
{
	char addr[4200];
	struct entry *e;

	if ((size_t)snprintf(addr, sizeof addr, "unix:%s/%s", d->path, name) >= sizeof addr)
		return;
	e = find(d, addr);
	if (e) {
		e->seen = true;
		return;
	}
	if (d->entries.len >= DISCOVERY_ADDRS_MAX)
		return;
	struct entry fresh = {.addr = strdup(addr), .seen = true};
	if (!fresh.addr || vec_reserve(&d->entries, 1) < 0 || d->handler->on_found(d->ctx, addr) < 0) {
		free(fresh.addr);
		d->looked = false; /* no memory: the next look is not spared */
		return;
	}
	d->entries.v[d->entries.len++] = fresh;
	d->news_us = env_now_us(d->env);
}

static void forget_unseen(struct directory *d)
{
	for (uint32_t i = 0; i < d->entries.len;) {
		struct entry e = d->entries.v[i];
		if (e.seen) {
			i++;
			continue;
		}
		vec_remove(&d->entries, i);
		d->news_us = env_now_us(d->env);
		d->handler->on_lost(d->ctx, e.addr);
		free(e.addr);
	}
}

static bool may_have_changed(struct directory *d)
{
	struct stat st;
	uint64_t wall_s = env_wall_us(d->env) / 1000000;

	if (stat(d->path, &st) < 0)
		return d->entries.len > 0;
	bool moved = !d->looked || st.st_mtim.tv_sec != d->changed.tv_sec || st.st_mtim.tv_nsec != d->changed.tv_nsec;
	d->changed = st.st_mtim;
	d->looked = true;
	return moved || (uint64_t)st.st_mtim.tv_sec + 2 > wall_s;
}

static void look(struct directory *d)
{
	DIR *dir = opendir(d->path);

	/* Out of memory or descriptors: that says nothing of who is there. */
	if (!dir && errno != ENOENT && errno != ENOTDIR) {
		d->looked = false;
		return;
	}
	for (uint32_t i = 0; i < d->entries.len; i++)
		d->entries.v[i].seen = false;
	for (struct dirent *e; dir && (e = readdir(dir));)
		if (is_socket_name(e->d_name))
			take(d, e->d_name);
	if (dir)
		closedir(dir);
	forget_unseen(d);
}

static void on_timer(void *ctx)
{
	struct directory *d = ctx;

	if (may_have_changed(d))
		look(d);
	bool fast = env_now_us(d->env) - d->news_us < DISCOVERY_FAST_US;
	env_timer_set_in(d->env, &d->timer, fast ? DISCOVERY_POLL_US : DISCOVERY_POLL_SLOW_US);
}

static void destroy(struct discovery *base)
{
	struct directory *d = CONTAINER_OF(base, struct directory, base);

	env_timer_cancel(d->env, &d->timer);
	for (uint32_t i = 0; i < d->entries.len; i++)
		free(d->entries.v[i].addr);
	vec_done(&d->entries);
	free(d->path);
	free(d);
}

static int create(struct discovery **ret, struct env *env, const char *arg, const struct discovery_handler *handler,
	void *ctx, struct err *err)
{
	struct stat st;

	/* A folder that is not there yet may come; a file in its place never becomes one. */
	if (stat(arg, &st) == 0 && !S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "it is not a directory");
	struct directory *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	*d = (struct directory){.env = env, .handler = handler, .ctx = ctx, .timer = {.fn = on_timer, .ctx = d}};
	d->news_us = env_now_us(env);
	d->path = strdup(arg);
	if (!d->path) {
		destroy(&d->base);
		return err_set(err, -ENOMEM, "out of memory");
	}
	env_timer_set_in(env, &d->timer, 0);
	*ret = &d->base;
	return 0;
}

const struct discovery_ops discovery_directory = {.name = "directory", .create = create, .destroy = destroy};
