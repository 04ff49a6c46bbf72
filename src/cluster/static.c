/* static: addresses from a comma-separated list, told once, in the first turn (and those again that found no memory). */
#include "cluster/discovery.h"

#include <string.h>

struct fixed {
	struct discovery base;
	struct env *env;
	const struct discovery_handler *handler;
	void *ctx;
	struct env_timer timer;
	char *addrs; /* NUL between addresses */
	const char *next; /* not told yet */
	uint32_t len, told;
};

static void on_timer(void *ctx)
{
	struct fixed *f = ctx;

	for (; f->told < f->len; f->told++, f->next += strlen(f->next) + 1)
		if (f->handler->on_found(f->ctx, f->next) < 0) {
			env_timer_set_in(f->env, &f->timer, DISCOVERY_AGAIN_US);
			return;
		}
}

static void destroy(struct discovery *d)
{
	struct fixed *f = CONTAINER_OF(d, struct fixed, base);

	env_timer_cancel(f->env, &f->timer);
	free(f->addrs);
	free(f);
}
DEFINE_CLEANUP(destroy, struct discovery)

#define BETWEEN ", \t\n"

void discovery_list_add(struct buf *out, const char *addr)
{
	if (out->len > 0)
		buf_add_byte(out, ',');
	for (; *addr; addr++) {
		if (strchr(BETWEEN "\\", *addr))
			buf_add_byte(out, '\\');
		buf_add_byte(out, (uint8_t)*addr);
	}
}

bool discovery_list_next(const char **at, char *ret, size_t cap)
{
	const char *p = *at + strspn(*at, BETWEEN);
	size_t len = 0;
	bool found = *p;

	for (; *p && !strchr(BETWEEN, *p); p++) {
		if (*p == '\\' && p[1])
			p++;
		if (len + 1 < cap)
			ret[len++] = *p;
	}
	if (found)
		ret[len] = '\0';
	*at = p;
	return found;
}

static int split(struct fixed *f, const char *list, struct err *err)
{
	size_t left = strlen(list) + 1;

	for (char *to = f->addrs; discovery_list_next(&list, to, left); f->len++) {
		size_t len = strlen(to) + 1;
		to += len;
		left -= len;
	}
	if (!f->len)
		return err_set(err, -EINVAL, "the list of addresses is empty");
	if (f->len > DISCOVERY_ADDRS_MAX)
		return err_set(err, -EINVAL, "%u addresses are more than %u", f->len, DISCOVERY_ADDRS_MAX);
	return 0;
}

static int create(struct discovery **ret, struct env *env, const char *arg, const struct discovery_handler *handler,
	void *ctx, struct err *err)
{
	struct fixed *f = calloc(1, sizeof *f);

	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	*f = (struct fixed){.env = env, .handler = handler, .ctx = ctx, .timer = {.fn = on_timer, .ctx = f}};
	CLEANUP(destroy_p) struct discovery *d = &f->base;
	f->addrs = malloc(strlen(arg) + 1);
	if (!f->addrs)
		return err_set(err, -ENOMEM, "out of memory");
	int r = split(f, arg, err);
	if (r < 0)
		return r;
	f->next = f->addrs;
	env_timer_set_in(env, &f->timer, 0);
	*ret = TAKE(d);
	return 0;
}

const struct discovery_ops discovery_static = {.name = "static", .create = create, .destroy = destroy};
