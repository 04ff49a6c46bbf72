/* replay_notice.c - what workers tell the frontends: step reports and cache events, on time, late, or lost. */
#include "kv/hash.h"
#include "sim/replay_priv.h"

static void step_tell(struct site *s, const struct msg_step *step)
{
	for (uint32_t i = 0; i < s->replay->config->frontends; i++)
		if (pool_worker_report(s->replay->pools[i], s->seats[i], step) > 0)
			notice_snapshot(s, i);
}

static void kv_tell(struct site *s, const struct msg_kv *kv)
{
	for (uint32_t i = 0; i < s->replay->config->frontends; i++)
		if (pool_worker_kv(s->replay->pools[i], s->seats[i], kv) > 0)
			notice_snapshot(s, i);
}

/* The whole of what it holds; at once, for the order of a connection is kept. */
void notice_snapshot(struct site *s, uint32_t frontend)
{
	struct msg_kv kv = {.snapshot = true, .snapshot_end = true};

	s->replay->resyncs += s->up;
	sim_engine_snapshot(s->engine, &kv);
	int again = pool_worker_kv(s->replay->pools[frontend], s->seats[frontend], &kv);
	ASSERT(again == 0 || s->replay->config->events_late_us);
}

static void later(struct site *s, const struct sim_pass *pass, bool is_kv)
{
	struct replay *r = s->replay;
	uint32_t removed = is_kv ? pass->kv.removed.len : 0, stored = is_kv ? pass->kv.stored.len : 0;
	struct notice *n = malloc(sizeof *n + sizeof(uint64_t) * ((size_t)removed + stored));

	ASSERT(n);
	*n = (struct notice){.site = s,
		.at_us = env_now_us(r->env) + r->config->events_late_us,
		.is_kv = is_kv,
		.step = pass->step,
		.kv = pass->kv};
	if (removed)
		memcpy(n->hashes, pass->kv.removed.v, sizeof(uint64_t) * removed);
	if (stored)
		memcpy(n->hashes + removed, pass->kv.stored.v, sizeof(uint64_t) * stored);
	n->kv.removed.v = n->hashes;
	n->kv.stored.v = n->hashes + removed;
	list_add_tail(&r->notices, &n->link);
	if (!env_timer_is_set(&r->notice))
		env_timer_set(r->env, &r->notice, n->at_us);
}

void notice_on_timer(void *ctx)
{
	struct replay *r = ctx;

	while (!list_empty(&r->notices)) {
		struct notice *n = list_first(&r->notices, struct notice, link);
		if (n->at_us > env_now_us(r->env)) {
			env_timer_set(r->env, &r->notice, n->at_us);
			return;
		}
		list_del(&n->link);
		if (n->is_kv)
			kv_tell(n->site, &n->kv);
		else
			step_tell(n->site, &n->step);
		free(n);
	}
}

void notice_drop(struct replay *r, struct site *s)
{
	if (!r->notices.next)
		return;
	list_foreach_safe(it, &r->notices)
	{
		struct notice *n = list_entry(it, struct notice, link);
		if (s && n->site != s)
			continue;
		list_del(&n->link);
		free(n);
	}
}

/* An adapter of a foreign engine answers for what it heard, not for what its engine holds: digest and count are of what
 * was told. */
static void told_apply(struct site *s, const struct msg_kv *kv)
{
	for (uint32_t i = 0; i < kv->removed.len; i++)
		if (map_del(&s->told, kv->removed.v[i]))
			s->told_digest = kv_digest_remove(s->told_digest, kv->removed.v[i]);
	for (uint32_t i = 0; i < kv->stored.len; i++)
		if (!map_get(&s->told, kv->stored.v[i], NULL)) {
			ASSERT(map_put(&s->told, kv->stored.v[i], 1) == 0);
			s->told_digest = kv_digest_add(s->told_digest, kv->stored.v[i]);
		}
}

static void send(struct site *s, const struct sim_pass *pass, bool is_kv)
{
	if (s->replay->config->events_late_us)
		later(s, pass, is_kv);
	else if (is_kv)
		kv_tell(s, &pass->kv);
	else
		step_tell(s, &pass->step);
}

void notice_kv(struct site *s, const struct sim_pass *pass)
{
	double lost = s->replay->config->events_lost;
	struct sim_pass told = *pass;

	if (lost > 0) {
		if (rng_unit(&s->replay->faults_rng) < lost)
			return;
		told_apply(s, &told.kv);
		told.kv.digest = s->told_digest;
		told.kv.blocks_held = s->told.len;
	}
	send(s, &told, true);
}

void notice_step(struct site *s, const struct sim_pass *pass)
{
	struct sim_pass told = *pass;

	told.step.duration_us = (uint64_t)((double)told.step.duration_us * s->lie + 0.5);
	if (s->replay->config->events_lost > 0) {
		told.step.digest = s->told_digest;
		told.step.blocks_held = s->told.len;
	}
	send(s, &told, false);
}
