#include "cluster/discovery.h"
#include "base/limits.h"

#include <string.h>

_Static_assert((int)DISCOVERY_ADDRS_MAX == (int)WORKERS_MAX, "one address a worker");

static const struct discovery_ops *const kinds[] = {&discovery_static, &discovery_directory};

const struct discovery_ops *discovery_find(const char *name)
{
	for (uint32_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
	return NULL;
}

int discovery_create(struct discovery **ret, const struct discovery_ops *ops, struct env *env, const char *arg,
	const struct discovery_handler *handler, void *ctx, struct err *err)
{
	struct discovery *d;
	int r = ops->create(&d, env, arg, handler, ctx, err);

	if (r < 0)
		return err_wrap(err, "could not look for workers (%s \"%s\")", ops->name, arg);
	d->ops = ops;
	*ret = d;
	return 0;
}

void discovery_destroy(struct discovery *d)
{
	if (d)
		d->ops->destroy(d);
}
