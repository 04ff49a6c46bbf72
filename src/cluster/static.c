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

static int split(struct fixed *f, const char *list, struct err *err)
{
	char *to = f->addrs;

	for (const char *at = list; *at;) {
		size_t len = strcspn(at, ", \t\n");
		if (len) {
			memcpy(to, at, len);
			to[len] = '\0';
			to += len + 1;
			f->len++;
		}
		at += len;
		at += strspn(at, ", \t\n");
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
