#include "frontend/demands.h"

#include "frontend/keys.h"
#include "kv/hash.h"

#include <stdio.h>

enum { PRIORITY_MAX = 100, DEADLINE_MS_MAX = 24 * 3600 * 1000 };

static uint64_t hash_of(const char *text)
{
	return text && *text ? route_name_hash(text) : 0;
}

static int read_number(const char *name, const char *text, long min, long max, long *ret, struct api_error *e)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	if (end != text && *end == '.') /* "1500.0", as bodies may write whole numbers too */
		end += 1 + strspn(end + 1, "0");
	if (end != text && !*end && !errno && *ret >= min && *ret <= max)
		return 0;
	return api_error_set(e, 400, NULL, name, "the header %s takes a whole number from %ld to %ld, not \"%.40s\"",
		name, min, max, text);
}

/* A header that would be obeyed elsewhere must not be dropped here in silence. */
static int allowed(const char *name, const char *value, bool allow, const char *setting, struct api_error *e)
{
	if (!value || allow)
		return 0;
	return api_error_set(e, 400, "header_not_allowed", name,
		"this server does not take the header %s; its operator can allow it with %s", name, setting);
}

static int read_deadline(struct demands *d, struct frontend *fe, struct http_exchange *x, struct api_error *e)
{
	const char *text = http_header(x, "x-stator-deadline-ms");
	long ms;

	if (!text)
		return 0;
	if (read_number("x-stator-deadline-ms", text, 1, DEADLINE_MS_MAX, &ms, e) < 0)
		return -EINVAL;
	d->deadline_us = env_now_us(fe->env) + (uint64_t)ms * 1000;
	return 0;
}

static int read_tenant(struct demands *d, struct frontend *fe, struct http_exchange *x, struct api_error *e)
{
	const char *tenant = http_header(x, "x-stator-tenant"), *priority = http_header(x, "x-stator-priority");
	long number = 0;

	if (allowed("x-stator-tenant", tenant, fe->config.allow_tenant, "allow-tenant", e) < 0 ||
		allowed("x-stator-priority", priority, fe->config.allow_tenant, "allow-tenant", e) < 0)
		return -EINVAL;
	if (priority && read_number("x-stator-priority", priority, -PRIORITY_MAX, PRIORITY_MAX, &number, e) < 0)
		return -EINVAL;
	d->priority = (int32_t)number;
	d->tenant = hash_of(tenant);
	/* With keys, each key is a tenant, however the header that has it is written. */
	if (!d->tenant)
		d->tenant = d->key_id;
	return 0;
}

bool demands_caller(struct frontend *fe, struct http_exchange *x, struct api_caller *ret)
{
	const char *given = http_header(x, "authorization");

	return given ? api_keys_find(fe->config.keys, given, ret)
		     : api_keys_know(fe->config.keys, http_header(x, "x-api-key"), ret);
}

/* Never the key, nor what it could be found from without the deployment's secret. */
void demands_read_key(struct demands *d, struct frontend *fe, struct http_exchange *x)
{
	struct api_caller caller;

	if (!fe->config.keys || !demands_caller(fe, x, &caller))
		return;
	d->key_id = kv_hash_seed(
		&fe->kv_seed, sizeof fe->kv_seed, "owner of an API key", caller.digest, sizeof caller.digest);
	d->key_id += !d->key_id;
	d->admin = caller.admin;
}

static int read_direct(
	struct demands *d, struct frontend *fe, struct http_exchange *x, struct arena *arena, struct api_error *e)
{
	const char *name = http_header(x, "x-stator-worker");

	if (allowed("x-stator-worker", name, fe->config.allow_direct, "allow-direct", e) < 0)
		return -EINVAL;
	if (!name || !*name)
		return 0;
	d->direct = arena_strndup(arena, name, strlen(name));
	return d->direct ? 0 : api_error_set(e, 500, NULL, NULL, "out of memory");
}

static uint64_t peer_hash(struct http_exchange *x)
{
	char host[128];
	const char *peer = http_peer(x), *port = strrchr(peer, ':');

	snprintf(host, sizeof host, "%.*s", port ? (int)(port - peer) : (int)strlen(peer), peer);
	return route_name_hash(host);
}

int demands_read(
	struct demands *ret, struct frontend *fe, struct http_exchange *x, struct arena *arena, struct api_error *e)
{
	*ret = (struct demands){.session = hash_of(http_header(x, "x-session-id"))};
	demands_read_key(ret, fe, x);
	if (read_deadline(ret, fe, x, e) < 0 || read_tenant(ret, fe, x, e) < 0)
		return -EINVAL;
	ret->owner = ret->tenant ? ret->tenant : peer_hash(x);
	return read_direct(ret, fe, x, arena, e);
}

int demands_check_direct(const struct model *m, const char *name, struct api_error *e)
{
	char there[512] = "";
	size_t len = 0;

	if (!name)
		return 0;
	list_foreach(it, &m->fe->backends)
	{
		const struct backend *b = list_entry(it, struct backend, link);
		if (b->model != m || !b->worker || b->draining)
			continue;
		if (!strcmp(b->name, name))
			return 0;
		int n = snprintf(there + len, sizeof there - len, "%s\"%s\"", len ? ", " : "", b->name);
		len = MIN(len + (size_t)n, sizeof there - 1);
	}
	return api_error_set(e, 400, "unknown_worker", "x-stator-worker",
		"no worker \"%.64s\" of model \"%.100s\" takes requests; there %s%s", name, m->name,
		len ? "are " : "is none", there);
}
