#include "frontend/expect.h"

#include "base/compiler.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

const struct expected *expect_find(const struct expect *e, const char *name)
{
	for (uint32_t i = 0; i < e->len; i++) {
		ASSERT(e->v[i].name);
		if (!strcmp(e->v[i].name, name))
			return &e->v[i];
	}
	return NULL;
}

static int expect_add(struct expect *e, const char *item, struct err *err)
{
	const char *sign = strrchr(item, '=');
	char *end = NULL;
	unsigned long count = sign ? strtoul(sign + 1, &end, 10) : 0;

	if (!sign || sign == item || end == sign + 1 || *end || sign[1] < '0' || sign[1] > '9' || count > WORKERS_MAX)
		return err_set(
			err, -EINVAL, "\"%.200s\" is not NAME=COUNT with a count from 0 to %d", item, WORKERS_MAX);
	char *name = strndup(item, (size_t)(sign - item));
	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	const struct expected *known = expect_find(e, name);
	if (known) {
		e->v[known - e->v].workers += (uint32_t)count;
		free(name);
	} else {
		e->v[e->len++] = (struct expected){name, (uint32_t)count};
	}
	return 0;
}

int expect_init(struct expect *e, const char *const *items, uint32_t len, struct err *err)
{
	int r = 0;

	*e = (struct expect){0};
	if (len > EXPECT_MODELS_MAX)
		return err_set(err, -EINVAL, "%u models are expected; at most %d can be", len, EXPECT_MODELS_MAX);
	if (!len)
		return 0;
	e->v = calloc(len, sizeof *e->v);
	if (!e->v)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < len && r == 0; i++)
		r = expect_add(e, items[i], err);
	if (r < 0)
		expect_done(e);
	return r;
}

void expect_done(struct expect *e)
{
	for (uint32_t i = 0; i < e->len; i++)
		free(e->v[i].name);
	free(e->v);
	*e = (struct expect){0};
}
