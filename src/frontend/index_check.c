#include "frontend/index_check.h"
#include "base/json_out.h"
#include "kv/hash.h"
#include "kv/index.h"

#include <stdio.h>

enum { CHECK_TIMEOUT_US = 10 * 1000 * 1000, REPLY_MAX = 1024 * 1024 };

enum kv_check_state { WAITS, FILLS, ENDED, OVER };

/* What one worker says it holds. */
struct kv_check {
	struct index_check *all;
	struct backend *backend; /* NULL: it is over */
	char name[64];
	const char *model, *why; /* why: literal, of a check without result */
	struct map blocks;
	uint64_t digest;
	enum kv_check_state state;
	uint32_t held, index_held, forgotten;
	uint64_t missing, extra;
	bool digest_equal;
};

struct index_check {
	struct frontend *fe;
	struct http_exchange *x;
	struct env_timer timer;
	uint32_t open, len;
	struct kv_check workers[];
};

static void out_worker(struct buf *b, const struct kv_check *k)
{
	bool equal = !k->why && !k->missing && !k->extra && k->digest_equal;

	buf_add_str(b, "{\"worker\":");
	json_out_cstr(b, k->name);
	buf_add_str(b, ",\"model\":");
	json_out_cstr(b, k->model);
	if (k->why)
		buf_printf(b, ",\"state\":\"unknown\",\"why\":\"%s\"}", k->why);
	else
		buf_printf(b,
			",\"state\":\"%s\",\"held\":%u,\"index_held\":%u,\"forgotten\":%u,\"missing\":%llu,\"extra\":%"
			"llu,"
			"\"digest_equal\":%s}",
			equal ? "equal" : "differs", k->held, k->index_held, k->forgotten,
			(unsigned long long)k->missing, (unsigned long long)k->extra,
			k->digest_equal ? "true" : "false");
}

static bool is_equal(const struct index_check *c)
{
	for (uint32_t i = 0; i < c->len; i++)
		if (c->workers[i].why || c->workers[i].missing || c->workers[i].extra || !c->workers[i].digest_equal)
			return false;
	return true;
}

static void answer(struct index_check *c)
{
	struct buf b;

	buf_init(&b, REPLY_MAX);
	buf_printf(&b, "{\"equal\":%s,\"workers\":[", is_equal(c) ? "true" : "false");
	for (uint32_t i = 0; i < c->len; i++) {
		buf_add_str(&b, i ? "," : "");
		out_worker(&b, &c->workers[i]);
	}
	buf_add_str(&b, "]}");
	http_set_ops(c->x, NULL, NULL);
	if (b.failed) {
		struct api_error e = {0};
		api_error_set(&e, 500, NULL, NULL, "out of memory");
		api_error_reply(c->x, &e);
	} else {
		http_reply(c->x, 200, "application/json", buf_str(&b), b.len);
	}
	c->x = NULL;
	buf_done(&b);
}

void index_check_destroy(struct frontend *fe)
{
	struct index_check *c = fe->check;

	if (!c)
		return;
	env_timer_cancel(fe->env, &c->timer);
	if (c->x) {
		http_set_ops(c->x, NULL, NULL);
		http_abort(c->x);
	}
	for (uint32_t i = 0; i < c->len; i++) {
		if (c->workers[i].backend)
			c->workers[i].backend->check = NULL;
		map_done(&c->workers[i].blocks);
	}
	free(c);
	fe->check = NULL;
}

/* One worker is through. From a turn of its own the last one answers: a reply must not run inside a frame's handler. */
static void end_one(struct kv_check *k)
{
	struct index_check *c = k->all;

	k->state = OVER;
	if (k->backend)
		k->backend->check = NULL;
	k->backend = NULL;
	map_done(&k->blocks);
	if (--c->open == 0)
		env_timer_set_in(c->fe->env, &c->timer, 0);
}

static void on_timer(void *ctx)
{
	struct index_check *c = ctx;

	for (uint32_t i = 0; i < c->len; i++)
		if (c->workers[i].backend) {
			c->workers[i].backend->check = NULL;
			c->workers[i].backend = NULL;
			c->workers[i].why = "it did not send its list in time";
		}
	if (c->x)
		answer(c);
	index_check_destroy(c->fe);
}

static void on_gone(void *user)
{
	struct index_check *c = user;

	c->x = NULL;
	env_timer_set_in(c->fe->env, &c->timer, 0);
}

static const struct http_exchange_ops exchange_ops = {.on_gone = on_gone};

static void add_worker(struct index_check *c, struct backend *b)
{
	struct kv_check *k = &c->workers[c->len++];

	*k = (struct kv_check){.all = c, .backend = b, .model = b->model->name};
	snprintf(k->name, sizeof k->name, "%s", b->name);
	if (!b->kv_known || !pool_worker_synced(b->worker)) {
		k->backend = NULL;
		k->state = OVER;
		k->why = b->kv_known ? "its first list is still coming" : "it has another KV secret or block size";
		return;
	}
	b->check = k;
	c->open++;
	link_resync(b->conn);
}

void index_check_start(struct frontend *fe, struct http_exchange *x)
{
	struct api_error e = {0};
	uint32_t count = 0;

	list_foreach(it, &fe->backends) count += list_entry(it, struct backend, link)->worker != NULL;
	struct index_check *c = fe->check ? NULL : calloc(1, sizeof *c + count * sizeof c->workers[0]);
	if (!c) {
		if (fe->check)
			api_error_set(&e, 503, "busy", NULL, "another check of the index is under way");
		else
			api_error_set(&e, 500, NULL, NULL, "out of memory");
		e.retry_after_s = 1;
		api_error_reply(x, &e);
		return;
	}
	c->fe = fe;
	c->x = x;
	c->timer = (struct env_timer){.fn = on_timer, .ctx = c};
	fe->check = c;
	http_set_ops(x, &exchange_ops, c);
	list_foreach(it, &fe->backends)
	{
		struct backend *b = list_entry(it, struct backend, link);
		if (b->worker)
			add_worker(c, b);
	}
	env_timer_set_in(fe->env, &c->timer, c->open ? CHECK_TIMEOUT_US : 0);
}

static bool gather(struct kv_check *k, const struct msg_kv *kv)
{
	for (uint32_t i = 0; i < kv->removed.len; i++)
		if (map_del(&k->blocks, kv->removed.v[i]))
			k->digest = kv_digest_remove(k->digest, kv->removed.v[i]);
	for (uint32_t i = 0; i < kv->stored.len; i++) {
		if (map_get(&k->blocks, kv->stored.v[i], NULL))
			continue;
		if (map_put(&k->blocks, kv->stored.v[i], 1) < 0)
			return false;
		k->digest = kv_digest_add(k->digest, kv->stored.v[i]);
	}
	return true;
}

bool index_check_take(struct backend *b, const struct msg_kv *kv)
{
	struct kv_check *k = b->check;

	if (!k || k->state >= ENDED || (k->state == WAITS && !kv->snapshot))
		return false; /* before the snapshot: it will hold this change */
	if (kv->cleared) {
		map_clear(&k->blocks);
		k->digest = 0;
	}
	k->state = kv->snapshot_end ? ENDED : FILLS;
	if (!gather(k, kv)) {
		index_check_leave(b, "out of memory");
		return kv->snapshot;
	}
	return kv->snapshot;
}

static void compare(struct kv_check *k)
{
	const struct kv_index *ix = pool_index(k->backend->model->pool);
	uint32_t slot = pool_worker_slot(k->backend->worker), pos = 0;
	uint64_t hash, value, present = 0;

	while (map_next(&k->blocks, &pos, &hash, &value)) {
		bool has = kv_index_has(ix, slot, KV_TIER_DEVICE, hash);
		present += has;
		k->missing += !has && kv_index_keeps(ix, KV_TIER_DEVICE, hash);
	}
	k->held = k->blocks.len;
	k->index_held = kv_index_held(ix, slot);
	k->forgotten = kv_index_forgotten(ix, slot);
	k->extra = kv_index_count(ix, slot) - present;
	k->digest_equal = kv_index_digest(ix, slot) == k->digest;
}

void index_check_settle(struct backend *b)
{
	struct kv_check *k = b->check;

	if (!k || k->state != ENDED || !b->worker)
		return;
	compare(k);
	if (k->missing || k->extra || !k->digest_equal)
		link_resync(b->conn); /* the pool takes that one, and is right again */
	end_one(k);
}

void index_check_leave(struct backend *b, const char *why)
{
	if (!b->check)
		return;
	b->check->why = why;
	end_one(b->check);
}
