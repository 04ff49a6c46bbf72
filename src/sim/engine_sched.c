/* engine_sched.c - this program's own scheduler and prefix cache (worker/) over its mock engine, in simulated time.
 *
 * Prompts are made of tokens that depend on their blocks' hashes, so equal prefixes are equal token by token; what the
 * scheduler calls its blocks by is translated back, so that the router sees the hashes of the trace. */
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"
#include "engine/mock.h"
#include "kv/hash.h"
#include "sim/engine.h"
#include "worker/sched.h"

#include <math.h>

enum { KV_SEED = 1, WAITING_MAX = 1 << 24, LETTERS = 26 };

struct asked {
	void *user;
	bool first_said;
};

struct sched_engine {
	struct sim_engine engine;
	struct sim_engine_config config;
	struct engine *mock;
	struct sched *sched;
	struct map names; /* the scheduler's hash of a prompt block -> the trace's */
	struct kv_changes changes;
	VEC(uint64_t) stored, removed, all;
	VEC(uint32_t) tokens;
	VEC(uint64_t) hashes;
	VEC(struct sim_event) events;
	struct map held; /* of the trace's hashes */
	uint64_t digest, next_id, steps, duration_us;
	int code; /* of the engine's step */
};

static struct sched_engine *sched_engine_of(struct sim_engine *e)
{
	return CONTAINER_OF(e, struct sched_engine, engine);
}

static void must(int code)
{
	ASSERT(code == 0);
}

static void prompt_make(struct sched_engine *e, const struct sim_request *q)
{
	uint32_t size = e->config.block_size;

	e->tokens.len = e->hashes.len = 0;
	must(vec_reserve(&e->tokens, q->prompt_tokens));
	must(vec_reserve(&e->hashes, q->prompt_tokens / size + 1));
	for (uint32_t i = 0; i < q->prompt_tokens; i++) {
		uint64_t text = i / size < q->hashes_count ? q->hashes[i / size] : rng_keyed_u64(~q->id, i / size);
		e->tokens.v[i] = 'a' + (uint32_t)(rng_keyed_u64(text, i % size) % LETTERS);
	}
	e->tokens.len = q->prompt_tokens;
	e->hashes.len = kv_hash_blocks(e->tokens.v, q->prompt_tokens, size, KV_SEED, e->hashes.v);
	for (uint32_t i = 0; i < e->hashes.len && i < q->hashes_count; i++)
		must(map_put(&e->names, e->hashes.v[i], q->hashes[i]));
}

static int admit(struct sim_engine *engine, uint64_t now_us, const struct sim_request *q)
{
	struct sched_engine *e = sched_engine_of(engine);
	struct asked *a = calloc(1, sizeof *a);

	if (!a)
		return -ENOMEM;
	a->user = q->user;
	prompt_make(e, q);
	const struct sched_request request = {.id = ++e->next_id,
		.user = a,
		.tokens = e->tokens.v,
		.tokens_count = e->tokens.len,
		.prompt_len = e->tokens.len,
		.max_tokens = q->answer_tokens,
		.min_tokens = q->answer_tokens,
		.ignore_eos = true,
		.priority = q->priority,
		.uses = q->uses,
		.uses_count = q->uses ? q->hashes_count : 0,
		.kv_seed = KV_SEED};
	int code = sched_admit(e->sched, now_us, &request);
	if (code < 0)
		free(a);
	return code;
}

static uint64_t begin(struct sim_engine *engine, uint64_t now_us, struct sim_pass *ret)
{
	struct sched_engine *e = sched_engine_of(engine);
	const struct engine_batch *batch = sched_compose(e->sched, now_us);
	struct err err;

	*ret = (struct sim_pass){0};
	e->duration_us = 0;
	if (!batch) {
		struct sched_outbox o = sched_outbox(e->sched);
		return o.dones_count ? 1 : 0; /* refused: said when this moment is over */
	}
	e->code = engine_step(e->mock, batch, sched_result(e->sched), &err);
	ASSERT(e->code == 0 || e->code == -ENOSPC);
	e->duration_us = (uint64_t)MAX(1.0, round((double)sched_result(e->sched)->duration_us / e->config.speed));
	sched_result(e->sched)->duration_us = e->duration_us;
	return e->duration_us;
}

static void outbox_read(struct sched_engine *e)
{
	struct sched_outbox o = sched_outbox(e->sched);

	for (uint32_t i = 0; i < o.tokens_count; i++) {
		struct asked *a = o.tokens[i].user;
		if (!a->first_said)
			must(vec_push(
				&e->events, ((struct sim_event){.user = a->user, .first = true, .generated = 1})));
		a->first_said = true;
	}
	for (uint32_t i = 0; i < o.dones_count; i++) {
		const struct sched_done *d = &o.dones[i];
		struct asked *a = d->user;
		struct sim_event event = {.user = a->user,
			.done = true,
			.refused = d->reason != MSG_REASON_LENGTH && d->reason != MSG_REASON_EOS,
			.cached_tokens = d->cached_tokens,
			.generated = d->generated};
		must(vec_push(&e->events, event));
		free(a);
	}
	sched_outbox_clear(e->sched);
}

/* Blocks of answers keep the scheduler's own name: nobody asks for them here. */
static uint64_t name_of(const struct sched_engine *e, uint64_t own)
{
	uint64_t name = own;
	map_get(&e->names, own, &name);
	return name;
}

static void kv_read(struct sched_engine *e, struct sim_pass *ret)
{
	must(kv_blocks_drain(sched_blocks(e->sched), &e->changes));
	e->stored.len = e->removed.len = 0;
	for (uint32_t i = 0; i < e->changes.removed.len; i++) {
		uint64_t name = name_of(e, e->changes.removed.v[i]);
		if (!map_del(&e->held, name))
			continue;
		e->digest = kv_digest_remove(e->digest, name);
		must(vec_push(&e->removed, name));
	}
	for (uint32_t i = 0; i < e->changes.stored.len; i++) {
		uint64_t name = name_of(e, e->changes.stored.v[i]);
		if (map_get(&e->held, name, NULL))
			continue;
		must(map_put(&e->held, name, 1));
		e->digest = kv_digest_add(e->digest, name);
		must(vec_push(&e->stored, name));
	}
	ret->kv = (struct msg_kv){.removed = {e->removed.v, e->removed.len},
		.stored = {e->stored.v, e->stored.len},
		.digest = e->digest,
		.blocks_held = e->held.len};
	ret->kv_changed = e->removed.len || e->stored.len;
}

static void end(struct sim_engine *engine, uint64_t now_us, struct sim_pass *ret)
{
	struct sched_engine *e = sched_engine_of(engine);
	struct err err;

	*ret = (struct sim_pass){0};
	e->events.len = 0;
	if (sched_in_flight(e->sched))
		must(sched_apply(e->sched, now_us, e->code, &err));
	outbox_read(e);
	kv_read(e, ret);
	sched_report(e->sched, &ret->step);
	ret->step.step = ++e->steps;
	ret->step.duration_us = e->duration_us;
	ret->step.digest = e->digest;
	ret->step.blocks_held = e->held.len;
	ret->events = e->events.v;
	ret->events_count = e->events.len;
}

static void snapshot(struct sim_engine *engine, struct msg_kv *ret)
{
	struct sched_engine *e = sched_engine_of(engine);
	uint32_t pos = 0;
	uint64_t hash, value;

	e->all.len = 0;
	while (map_next(&e->held, &pos, &hash, &value))
		must(vec_push(&e->all, hash));
	ret->stored = (struct msg_u64s){e->all.v, e->all.len};
	ret->digest = e->digest;
	ret->blocks_held = e->held.len;
}

static void destroy(struct sim_engine *engine)
{
	struct sched_engine *e = sched_engine_of(engine);
	struct err err;

	if (e->sched) {
		if (sched_in_flight(e->sched))
			(void)sched_apply(e->sched, 0, e->code, &err);
		sched_fail_all(e->sched, 0, -ESHUTDOWN, "the worker died");
		outbox_read(e);
		sched_destroy(e->sched);
	}
	engine_destroy(e->mock);
	map_done(&e->names);
	map_done(&e->held);
	kv_changes_done(&e->changes);
	vec_done(&e->stored);
	vec_done(&e->removed);
	vec_done(&e->all);
	vec_done(&e->tokens);
	vec_done(&e->hashes);
	vec_done(&e->events);
	free(e);
}

static const struct sim_engine_ops ops = {
	.admit = admit, .begin = begin, .end = end, .snapshot = snapshot, .destroy = destroy};

int sim_sched_create(struct sim_engine **ret, const struct sim_engine_config *config, struct err *err)
{
	const struct sim_model *m = config->model;
	struct sched_engine *e = calloc(1, sizeof *e);
	const struct mock_config mock = {.cells = config->blocks * config->block_size,
		.seqs = config->seqs_max ? config->seqs_max : m->seqs_max,
		.batch_tokens_max = config->batch_tokens ? config->batch_tokens : m->batch_tokens,
		.timing = {.base_us = m->base_us,
			.prefill_token_us = m->prefill_token_us,
			.decode_seq_us = m->decode_seq_us,
			.context_token_us = m->context_token_us,
			.seed = config->seed}};
	const struct sched_config sched = {.block_size = config->block_size,
		.waiting_max = WAITING_MAX,
		.waiting_tokens_max = UINT64_MAX / 2,
		.evict = config->evict};

	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	e->engine.ops = &ops;
	e->config = *config;
	if (mock_engine_create(&e->mock, &mock, err) < 0 ||
		sched_create(&e->sched, engine_info(e->mock), &sched, err) < 0) {
		destroy(&e->engine);
		return err ? err->code : -EINVAL;
	}
	*ret = &e->engine;
	return 0;
}
