#include "worker/worker_priv.h"
#include "base/log.h"
#include "base/rng.h"
#include "kv/hash.h"

#include <stdio.h>

enum {
	CHANGES_CHUNK = 8192, /* hashes in a frame: a millisecond of a frontend's loop */
	WATCH_US = 5 * 1000 * 1000,
	DRAIN_FLUSH_US = 2 * 1000 * 1000, /* for frontends to take the last frames */
};
static const uint64_t TIME_LEFT_MS_MAX = UINT64_MAX / 4000; /* later than any clock: no deadline */

/* ---- telling ---- */

static void items_add(const struct sched_token *t)
{
	struct wreq *r = t->user;
	const struct engine_out *o = t->out;
	struct msg_token_item item = {.id = r->id, .tokens = {&t->token, 1}};

	if (t->logprobs) {
		item.logprobs = (struct msg_f32s){&o->logprob, 1};
		item.top_tokens = (struct msg_u32s){o->top_tokens, o->top_count};
		item.top_logprobs = (struct msg_f32s){o->top_logprobs, o->top_count};
	}
	r->peer->urgent |= !r->begun;
	r->begun = true;
	/* No memory: a stream with a hole is worse than none. */
	if (vec_push(&r->peer->items, item) < 0)
		peer_close(r->peer);
}

static void send_tokens(struct worker *w)
{
	list_foreach(it, &w->peers)
	{
		struct peer *p = list_entry(it, struct peer, link);
		if (!p->items.len)
			continue;
		const struct msg_tokens m = {p->items.v, p->items.len};
		peer_send(p, MSG_TOKENS, &m);
		p->items.len = 0;
	}
}

static void send_done(struct worker *w, const struct sched_done *d)
{
	struct wreq *r = d->user;

	if (r->peer) {
		const struct msg_done m = {.id = r->id,
			.reason = d->reason,
			.code = d->code,
			.error = msg_str(d->error),
			.cached_tokens = d->cached_tokens,
			.generated = d->generated,
			.preemptions = d->preemptions,
			.queue_us = d->queue_us,
			.prefill_us = d->prefill_us,
			.decode_us = d->decode_us};
		peer_send(r->peer, MSG_DONE, &m);
		map_del(&r->peer->requests, r->id);
	}
	w->requests_count--;
	free(r);
}

/* Pass on what the scheduler has to say. */
static void empty_outbox(struct worker *w)
{
	struct sched_outbox o = sched_outbox(w->sched);

	for (uint32_t i = 0; i < o.tokens_count; i++)
		if (((const struct wreq *)o.tokens[i].user)->peer)
			items_add(&o.tokens[i]);
	send_tokens(w);
	/* Closing a peer above may have ended more. */
	o = sched_outbox(w->sched);
	for (uint32_t i = 0; i < o.dones_count; i++)
		send_done(w, &o.dones[i]);
	sched_outbox_clear(w->sched);
}

static void flush_peers(struct worker *w)
{
	list_foreach_safe(it, &w->peers) peer_flush(list_entry(it, struct peer, link));
}

static void send_up(struct worker *w, enum msg_type type, const void *msg)
{
	list_foreach(it, &w->peers)
	{
		struct peer *p = list_entry(it, struct peer, link);
		if (p->up)
			peer_send(p, type, msg);
	}
}

void worker_tell_changes(struct worker *w)
{
	struct kv_blocks *blocks = sched_blocks(w->sched);

	/* Without memory for the report it is made later: the account keeps the changes. */
	if (!kv_blocks_changed(blocks) || kv_blocks_drain(blocks, &w->changes) < 0)
		return;
	uint32_t gone = 0, came = 0;
	while (gone < w->changes.removed.len || came < w->changes.stored.len) {
		uint32_t removed = MIN(w->changes.removed.len - gone, (uint32_t)CHANGES_CHUNK);
		uint32_t stored = MIN(w->changes.stored.len - came, CHANGES_CHUNK - removed);
		for (uint32_t i = 0; i < removed; i++)
			w->told_digest = kv_digest_remove(w->told_digest, w->changes.removed.v[gone + i]);
		for (uint32_t i = 0; i < stored; i++)
			w->told_digest = kv_digest_add(w->told_digest, w->changes.stored.v[came + i]);
		w->told_held += stored - removed;
		const struct msg_kv kv = {.removed = {w->changes.removed.v + gone, removed},
			.stored = {w->changes.stored.v + came, stored},
			.digest = w->told_digest,
			.blocks_held = w->told_held};
		send_up(w, MSG_KV, &kv);
		gone += removed;
		came += stored;
	}
}

void worker_fill_card(const struct worker *w, struct msg_card *ret)
{
	const struct engine_info *in = w->info;

	*ret = (struct msg_card){.worker = msg_str(w->name),
		.instance = w->config.instance,
		.engine = msg_str(w->engine->ops->name),
		.role = msg_str(w->role),
		.model = msg_str(w->model),
		.tokenizer = msg_str(in->tokenizer),
		.tokenizer_hash = in->tokenizer_hash,
		.kv_domain = in->kv_domain,
		.kv_seed_check = kv_hash_seed_check(w->kv_seed),
		.block_size = w->config.sched.block_size,
		.blocks = in->cells / w->config.sched.block_size,
		.seqs_max = sched_running_max(w->sched),
		.context_max = MIN(in->context_max, in->cells),
		.kv_bytes = in->kv_bytes,
		.reuse = in->prefix_copy  ? MSG_REUSE_BLOCK
			 : in->whole_copy ? MSG_REUSE_CHECKPOINT
					  : MSG_REUSE_NONE,
		.resumable = true,
		.pid = w->config.pid,
		.pongs = true};
}

/* ---- steps ---- */

static bool compose_step(struct worker *w);
static void run_batch(struct worker *w);
static void go_on_draining(struct worker *w);

static bool is_out(const struct worker *w)
{
	return sched_in_flight(w->sched) != NULL;
}

static void fail(struct worker *w, const struct err *err)
{
	if (w->failed)
		return;
	w->failed = true;
	log_error("engine failed", LOG_F("worker", log_str(w->name)), LOG_F("error", log_str(err->msg)));
	if (w->config.on_failed)
		w->config.on_failed(w->config.ctx, err);
}

static void send_step(struct worker *w, uint64_t duration_us, uint64_t began_us)
{
	struct msg_step m = {.step = w->steps, .duration_us = duration_us};

	sched_report(w->sched, &m);
	ASSERT(kv_blocks_changed(sched_blocks(w->sched)) || m.digest == w->told_digest);
	send_up(w, MSG_STEP, &m);
	if (w->config.on_step)
		w->config.on_step(w->config.ctx, &m, began_us);
}

/* A step that was given up has ended after all. The frontends were told to send nothing: they connect anew. */
static void come_back(struct worker *w)
{
	w->stuck = false;
	log_warn("the step has ended after all", LOG_F("worker", log_str(w->name)), LOG_F("step", log_u64(w->steps)));
	list_foreach_safe(it, &w->peers) peer_close(list_entry(it, struct peer, link));
}

/* Nobody is to wait for a step that may never end, and nobody new is to come. */
static void get_stuck(struct worker *w, uint64_t us)
{
	char why[128];

	snprintf(why, sizeof why, "a step of its engine has not ended for %llu s", (unsigned long long)(us / 1000000));
	log_error("engine does not answer", LOG_F("worker", log_str(w->name)), LOG_F("why", log_str(why)));
	w->stuck = true;
	sched_fail_all(w->sched, env_now_us(w->env), -ETIMEDOUT, why);
	empty_outbox(w);
	send_up(w, MSG_DRAIN, &(struct msg_drain){0});
	flush_peers(w);
}

/* A process that was stopped itself, step and all, finds a late clock: that is not the step's fault. */
static uint64_t step_out_us(struct worker *w)
{
	uint64_t now_us = env_now_us(w->env);

	w->out_us += MIN(now_us - w->watched_us, 2ull * WATCH_US);
	w->watched_us = now_us;
	return w->out_us;
}

static void on_watch(void *ctx)
{
	struct worker *w = ctx;

	if (!is_out(w))
		return;
	uint64_t us = step_out_us(w);
	env_timer_set_in(w->env, &w->watch, WATCH_US);
	if (!w->stuck && us > WORKER_STEP_MS_MAX * 1000ull)
		get_stuck(w, us);
	if (us > WORKER_HANG_MS * 1000ull)
		fail(w, &(struct err){-ETIMEDOUT, "a step of the engine has not ended for 10 minutes"});
}
_Static_assert(WORKER_HANG_MS == 10 * 60 * 1000, "as the sentence says");

/* The engine has computed the batch, and its time has passed. The next one is composed before anything is written, so that
 * the report can say what runs now and all leaves in one write; and begins after, so that its threads do not take the cores
 * from those who pass these tokens on (docs/decisions.md). */
static void finish_step(struct worker *w)
{
	uint64_t duration_us = sched_result(w->sched)->duration_us, began_us = w->step_began_us;
	struct err err = w->step_err;
	int r = sched_apply(w->sched, env_now_us(w->env), w->step_code, &err);

	w->steps++;
	empty_outbox(w); /* before the next batch: the tokens' details lie in this one's result */
	bool more = r == 0 && compose_step(w);
	worker_tell_changes(w);
	send_step(w, duration_us, began_us);
	list_foreach(it, &w->peers)
	{
		struct peer *p = list_entry(it, struct peer, link);
		if (p->up)
			peer_snapshot_pump(p);
	}
	flush_peers(w);
	if (w->stuck)
		come_back(w);
	if (more)
		run_batch(w);
	else
		env_timer_cancel(w->env, &w->watch);
	if (r < 0)
		fail(w, &err);
	go_on_draining(w);
}

static void job_work(struct env_job *job)
{
	struct worker *w = CONTAINER_OF(job, struct worker, job);

	w->step_code = engine_step(w->engine, sched_in_flight(w->sched), sched_result(w->sched), &w->step_err);
}

static void job_done(struct env_job *job)
{
	struct worker *w = CONTAINER_OF(job, struct worker, job);

	w->job_out = false;
	finish_step(w);
}

static void on_virtual_end(void *ctx)
{
	finish_step(ctx);
}

static void run_batch(struct worker *w)
{
	err_clear(&w->step_err);
	sched_result(w->sched)->duration_us = 0;
	w->step_began_us = w->watched_us = env_now_us(w->env);
	w->out_us = 0;
	if (!env_timer_is_set(&w->watch))
		env_timer_set_in(w->env, &w->watch, WATCH_US);
	if (w->info->virtual_time) {
		job_work(&w->job);
		env_timer_set_in(w->env, &w->virtual_end, sched_result(w->sched)->duration_us);
		return;
	}
	w->job_out = true;
	if (env_offload(w->env, ENV_POOL_ENGINE, &w->job) == 0)
		return;
	w->step_code = err_set(&w->step_err, -ESHUTDOWN, "the process is stopping");
	job_done(&w->job);
}

/* ---- draining ---- */

/* Nothing runs and nothing waits: let what is queued leave, then say so. */
static void go_on_draining(struct worker *w)
{
	if (!w->draining || w->drained || is_out(w) || w->requests_count)
		return;
	list_foreach_safe(it, &w->peers)
	{
		struct peer *p = list_entry(it, struct peer, link);
		peer_flush(p);
	}
	list_foreach(it, &w->peers)
	{
		struct peer *p = list_entry(it, struct peer, link);
		if (!p->closing)
			peer_finish(p);
	}
	if (w->peers_count)
		return;
	w->drained = true;
	env_timer_cancel(w->env, &w->drain_end);
	if (w->config.on_drained)
		w->config.on_drained(w->config.ctx);
}

/* Time is up, for requests first and then for frontends that do not read. */
static void on_drain_end(void *ctx)
{
	struct worker *w = ctx;

	if (!w->requests_count && !is_out(w))
		list_foreach_safe(it, &w->peers) peer_close(list_entry(it, struct peer, link));
	sched_fail_all(w->sched, env_now_us(w->env), -ESHUTDOWN, "the worker is stopping");
	env_timer_set_in(w->env, &w->drain_end, DRAIN_FLUSH_US);
	worker_kick(w);
}

void worker_drain(struct worker *w, uint64_t time_left_ms)
{
	const struct msg_drain m = {.time_left_ms = time_left_ms};

	if (!w->draining) {
		w->draining = true;
		env_listener_pause(w->env, w->listener, true);
		send_up(w, MSG_DRAIN, &m);
		flush_peers(w);
	}
	env_timer_set_in(w->env, &w->drain_end, time_left_ms * 1000);
	worker_kick(w);
}

/* Compose the next batch, and pass on what ended by that. False: there is none. */
static bool compose_step(struct worker *w)
{
	const struct engine_batch *b = sched_compose(w->sched, env_now_us(w->env));

	empty_outbox(w);
	if (!b && sched_broken(w->sched))
		fail(w, &(struct err){-ENOMEM, "the worker is out of memory"});
	return b != NULL;
}

static void on_kick(void *ctx)
{
	struct worker *w = ctx;

	empty_outbox(w);
	bool more = !is_out(w) && compose_step(w);
	flush_peers(w);
	if (more)
		run_batch(w);
	go_on_draining(w);
}

void worker_kick(struct worker *w)
{
	if (!env_timer_is_set(&w->kick))
		env_timer_set_in(w->env, &w->kick, 0);
}

/* ---- requests ---- */

void worker_cancel(struct worker *w, struct wreq *r)
{
	sched_cancel(w->sched, env_now_us(w->env), r->sched_id);
	worker_kick(w);
}

/* Why this worker cannot take it, or NULL. */
static const char *unwanted(const struct worker *w, const struct msg_request *m, int *ret_code)
{
	*ret_code = -ENOTSUP;
	if (w->draining) {
		*ret_code = -ESHUTDOWN;
		return "the worker is draining";
	}
	if (w->stuck) {
		*ret_code = -EBUSY;
		return "a step of the worker's engine does not end";
	}
	if (m->model.len && strcmp(m->model.data, w->model)) {
		*ret_code = -ENOENT;
		return "the worker serves another model";
	}
	if (m->adapter.len)
		return "the worker has no adapters";
	if (m->grammar.len)
		return "the worker cannot follow a grammar";
	*ret_code = -EINVAL;
	if (m->sampling.bias_tokens.len != m->sampling.bias_values.len || m->sampling.bias_tokens.len > LOGIT_BIAS_MAX)
		return "the logit biases are not pairs, or too many";
	if (m->logprobs > TOP_LOGPROBS_MAX + 1)
		return "more log-probabilities are asked for than there can be";
	if (m->tokens.len > TOKENS_MAX)
		return "the prompt is too long";
	return NULL;
}

static struct sched_request to_sched(const struct worker *w, const struct msg_request *m, struct wreq *r)
{
	const struct msg_sampling *s = &m->sampling;
	uint64_t seed = w->kv_seed;

	if (m->salt.len)
		seed = kv_hash_seed(w->kv_secret, w->kv_secret_len, NULL, m->salt.data, m->salt.len);
	return (struct sched_request){.id = r->sched_id,
		.user = r,
		.tokens = m->tokens.v,
		.tokens_count = m->tokens.len,
		.prompt_len = m->prompt_len ? m->prompt_len : m->tokens.len,
		.max_tokens = m->max_tokens,
		.min_tokens = m->min_tokens,
		.ignore_eos = m->ignore_eos,
		.logprobs = m->logprobs,
		.deadline_us = m->time_left_ms ? env_now_us(w->env) + MIN(m->time_left_ms, TIME_LEFT_MS_MAX) * 1000 : 0,
		.priority = m->priority,
		.uses = (const uint8_t *)m->uses.data,
		.uses_count = m->uses.len,
		.kv_seed = seed,
		.no_cache = m->no_cache,
		.deterministic = m->deterministic,
		.sampling = {.temperature = s->temperature,
			.top_p = s->top_p,
			.min_p = s->min_p,
			.typical_p = s->typical_p,
			.repetition_penalty = s->repetition_penalty,
			.presence_penalty = s->presence_penalty,
			.frequency_penalty = s->frequency_penalty,
			.top_k = s->top_k,
			.penalty_last_n = s->penalty_last_n,
			.seed = s->seed,
			.bias_tokens = s->bias_tokens.v,
			.bias_values = s->bias_values.v,
			.bias_count = s->bias_tokens.len}};
}

static void refuse_request(struct peer *p, uint64_t id, int code, const char *why)
{
	const struct msg_done m = {.id = id, .reason = MSG_REASON_REFUSED, .code = code, .error = msg_str(why)};

	peer_send(p, MSG_DONE, &m);
}

int worker_request(struct worker *w, struct peer *p, const struct msg_request *m, struct err *err)
{
	int code;
	const char *why = unwanted(w, m, &code);

	if (map_get(&p->requests, m->id, NULL))
		return err_set(err, -EPROTO, "it used the request id %llu twice", (unsigned long long)m->id);
	if (why) {
		refuse_request(p, m->id, code, why);
		return 0;
	}
	struct wreq *r = malloc(sizeof *r);
	if (r)
		*r = (struct wreq){.peer = p, .id = m->id, .sched_id = ++w->next_sched_id};
	if (!r || map_put_ptr(&p->requests, m->id, r) < 0) {
		free(r);
		refuse_request(p, m->id, -ENOMEM, "the worker is out of memory");
		return 0;
	}
	struct sched_request q = to_sched(w, m, r);
	if (sched_admit(w->sched, env_now_us(w->env), &q) < 0) {
		map_del(&p->requests, m->id);
		free(r);
		refuse_request(p, m->id, -ENOMEM, "the worker is out of memory");
		return 0;
	}
	w->requests_count++;
	worker_kick(w);
	return 0;
}

/* ---- life ---- */

static void on_accept(void *ctx, struct env_conn *conn)
{
	peer_accept(ctx, conn);
}
static const struct env_listener_ops listener_ops = {.on_accept = on_accept};

static int begin_to_listen(struct worker *w, const char *addr, struct err *err)
{
	int r = env_listen(w->env, addr, &listener_ops, w, &w->listener, err);

	if (r < 0)
		return r;
	/* Whoever may open a Unix socket of mode 0600 may do anything here anyhow; across TCP the secret tells. */
	if (!strncmp(env_listener_addr(w->env, w->listener), "unix:", 5))
		w->config.secret = NULL;
	else if (!w->config.secret)
		return err_set(err, -EINVAL,
			"could not listen on \"%s\": a worker on TCP needs a shared secret (--secret-file)", addr);
	return 0;
}

static int fill(struct worker *w, const struct worker_config *c)
{
	w->name = strdup(c->name);
	w->model = strdup(c->model);
	w->role = strdup(c->role ? c->role : "both");
	w->kv_secret = malloc(c->kv_secret_len + 1);
	if (!w->name || !w->model || !w->role || !w->kv_secret)
		return -ENOMEM;
	if (c->kv_secret_len)
		memcpy(w->kv_secret, c->kv_secret, c->kv_secret_len);
	w->kv_secret_len = c->kv_secret_len;
	w->kv_seed = kv_hash_seed(w->kv_secret, w->kv_secret_len, NULL, NULL, 0);
	if (!w->config.queue_bytes_max)
		w->config.queue_bytes_max = FRAME_QUEUE_BYTES_MAX;
	if (!w->config.instance)
		rng_secret(&w->config.instance, sizeof w->config.instance);
	return 0;
}

int worker_create(struct worker **ret, struct env *env, struct engine *engine, const struct worker_config *config,
	struct err *err)
{
	struct worker *w = calloc(1, sizeof *w);

	if (!w)
		return err_set(err, -ENOMEM, "could not create the worker: out of memory");
	w->env = env;
	w->engine = engine;
	w->info = engine_info(engine);
	w->config = *config;
	list_init(&w->peers);
	w->kick = (struct env_timer){.fn = on_kick, .ctx = w};
	w->virtual_end = (struct env_timer){.fn = on_virtual_end, .ctx = w};
	w->watch = (struct env_timer){.fn = on_watch, .ctx = w};
	w->drain_end = (struct env_timer){.fn = on_drain_end, .ctx = w};
	w->job = (struct env_job){.work = job_work, .done = job_done};
	int r = fill(w, config);
	if (r < 0)
		err_set(err, r, "could not create the worker: out of memory");
	else if ((r = sched_create(&w->sched, w->info, &config->sched, err)) == 0)
		r = begin_to_listen(w, config->listen, err);
	if (r < 0) {
		worker_destroy(w);
		return r;
	}
	*ret = w;
	return 0;
}

const char *worker_addr(const struct worker *w)
{
	return env_listener_addr(w->env, w->listener);
}

bool worker_is_stepping(const struct worker *w)
{
	return w->job_out;
}

struct worker_counts worker_counts(const struct worker *w)
{
	return (struct worker_counts){w->peers_count, w->requests_count, w->steps, w->frontends_cut};
}

void worker_destroy(struct worker *w)
{
	if (!w)
		return;
	ASSERT(!w->job_out);
	if (w->listener)
		env_listener_close(w->env, w->listener);
	list_foreach_safe(it, &w->peers) peer_close(list_entry(it, struct peer, link));
	if (w->sched)
		empty_outbox(w);
	ASSERT(!w->requests_count);
	env_timer_cancel(w->env, &w->kick);
	env_timer_cancel(w->env, &w->virtual_end);
	env_timer_cancel(w->env, &w->watch);
	env_timer_cancel(w->env, &w->drain_end);
	sched_destroy(w->sched);
	kv_changes_done(&w->changes);
	if (w->kv_secret)
		explicit_bzero(w->kv_secret, w->kv_secret_len);
	free(w->kv_secret);
	free(w->name);
	free(w->model);
	free(w->role);
	free(w);
}
