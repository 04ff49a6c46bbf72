#include "frontend/index_check.h"

#include "base/limits.h"
#include "base/log.h"
#include "kv/hash.h"
#include "kv/index.h"

#include <stdio.h>

enum { RESYNC_EVERY_US = 1000 * 1000 };

int backend_create(struct frontend *fe, const char *addr, struct err *err)
{
	struct backend *b = calloc(1, sizeof *b);
	const struct link_config config = {
		.software = fe->config.software,
		.secret = fe->config.secret,
		.secret_len = fe->config.secret_len,
	};

	if (!b)
		return err_set(err, -ENOMEM, "out of memory");
	b->fe = fe;
	int r = link_create(&b->conn, fe->env, addr, &config, &backend_link_handler, b, err);
	if (r < 0) {
		free(b);
		return r;
	}
	list_add_tail(&fe->backends, &b->link);
	return 0;
}

static void add_metrics(struct backend *b)
{
	struct metrics *all = b->fe->metrics;
	const char *labels[] = {b->model->name, b->name};

	b->up = metrics_get(all, FM_WORKER_UP, labels);
	b->known = metrics_get(all, FM_WORKER_KV_KNOWN, labels);
	b->lost = metrics_get(all, FM_WORKER_LOST, labels);
	b->dispatched = metrics_get(all, FM_WORKER_DISPATCHED, labels);
	b->running = metrics_get(all, FM_WORKER_RUNNING, labels);
	b->waiting = metrics_get(all, FM_WORKER_WAITING, labels);
	b->step = metrics_get(all, FM_WORKER_STEP, labels);
	b->preemptions = metrics_get(all, FM_WORKER_PREEMPTIONS, labels);
	b->cells = metrics_get(all, FM_KV_CELLS, labels);
	b->cells_used = metrics_get(all, FM_KV_CELLS_USED, labels);
	b->blocks = metrics_get(all, FM_KV_BLOCKS, labels);
	b->mismatches = metrics_get(all, FM_KV_MISMATCHES, labels);
	b->bad_reports = metrics_get(all, FM_WORKER_BAD_REPORTS, labels);
}

void backend_model_ready(struct backend *b)
{
	if (b->worker || b->draining || b->model->state != MODEL_READY)
		return;
	const struct msg_card *card = link_card(b->conn);
	const struct pool_worker_facts facts = {
		.name = b->name,
		.slots = card->seqs_max,
		.blocks = card->blocks,
		.block_size = card->block_size,
		.context_max = card->context_max,
	};
	b->worker = pool_worker_add(b->model->pool, &facts, b);
	if (!b->worker) {
		b->starved = pool_workers(b->model->pool) < WORKERS_MAX;
		log_error("worker not used", LOG_F("worker", log_str(b->name)),
			LOG_F("why", log_str(b->starved ? "out of memory" : "too many workers")));
		return;
	}
	if (b->kv_missed)
		link_resync(b->conn);
	b->kv_missed = false;
	metric_set(b->up, 1);
	frontend_worker_up(b->fe);
	log_info("worker is up", LOG_F("worker", log_str(b->name)), LOG_F("model", log_str(b->model->name)),
		LOG_F("addr", log_str(link_addr(b->conn))));
}

/* Prefix hashes mean the same on both sides only with one secret and one block size. A worker of another is used all the
 * same, by load: prefixes only save time, and a secret that is replaced worker by worker must not stop a deployment. What
 * it has cached is not taken into the index, where it would fill room and match nothing. */
static void check_kv(struct backend *b)
{
	const struct msg_card *card = link_card(b->conn);
	bool same_secret = card->kv_seed_check == kv_hash_seed_check(b->fe->kv_seed);

	b->kv_known = same_secret && card->block_size == b->model->block_size;
	if (!same_secret && !b->fe->config.kv_secret)
		log_info("worker's cached prefixes are not known here: this frontend was started without a KV secret "
			 "(give it "
			 "and the workers the same --kv-secret-file to route by prefixes); it gets requests by load "
			 "alone",
			LOG_F("worker", log_str(b->name)));
	else if (!same_secret)
		log_warn("worker's cached prefixes are not known here: it was started with another KV secret (give "
			 "both the same --kv-secret-file); it gets requests by load alone",
			LOG_F("worker", log_str(b->name)));
	else if (card->block_size != b->model->block_size)
		log_warn("worker's cached prefixes are not known here: its blocks are of another size than those of "
			 "the model's first worker",
			LOG_F("worker", log_str(b->name)), LOG_F("block_size", log_u64(card->block_size)),
			LOG_F("first", log_u64(b->model->block_size)));
}

/* Another worker that is up and of the same model and name. */
static struct backend *twin_of(const struct backend *b)
{
	list_foreach(it, &b->fe->backends)
	{
		struct backend *other = list_entry(it, struct backend, link);
		if (other != b && other->model == b->model && other->worker && !strcmp(other->name, b->name))
			return other;
	}
	return NULL;
}

static void warn_of_twin(const struct backend *b)
{
	const struct backend *other = twin_of(b);

	if (other)
		log_warn("another worker has its name: both are used, their metrics cannot be told apart (give each a "
			 "--name "
			 "of its own)",
			LOG_F("worker", log_str(b->name)), LOG_F("addr", log_str(link_addr(b->conn))),
			LOG_F("other", log_str(link_addr(other->conn))));
}

static void on_up(void *ctx, struct link *l)
{
	struct backend *b = ctx;
	struct err err;

	snprintf(b->name, sizeof b->name, "%s", link_card(l)->worker.data);
	b->served_hash = route_name_hash(link_card(l)->model.data);
	b->draining = b->kv_missed = b->starved = b->hung = false;
	b->silent_us = b->idle_us = b->queued = 0;
	b->asked_us = b->given_up_us = 0;
	b->bad_report_told = b->resync_due = false;
	report_check_init(&b->report, env_now_us(b->fe->env));
	b->model = model_of_card(b->fe, link_card(l), &err);
	if (!b->model) {
		b->starved = err.code == -ENOMEM;
		log_error("worker not used", LOG_F("worker", log_str(b->name)), LOG_F("why", log_str(err.msg)));
		frontend_note_hopeless(b->fe, link_card(l)->model.data, b->name, &err);
		return;
	}
	b->model->users++;
	model_fit_context(b->model);
	check_kv(b);
	add_metrics(b);
	metric_set(b->known, b->kv_known);
	warn_of_twin(b);
	backend_model_ready(b);
}

/* Every flight ends, then the worker leaves the pool. */
static void detach(struct backend *b, const char *why)
{
	uint32_t pos = 0;
	uint64_t id, value;

	while (pos = 0, map_next(&b->flights, &pos, &id, &value)) {
		map_del(&b->flights, id);
		flight_lost((struct flight *)(uintptr_t)value, why, b->hung);
	}
	struct model *m = b->model;
	if (!m)
		return;
	index_check_leave(b, "the worker was lost");
	const struct backend *twin = twin_of(b);
	b->model = NULL;
	metric_set(b->known, twin && twin->kv_known);
	if (b->worker) {
		pool_worker_remove(m->pool, b->worker);
		metric_set(b->up, twin && !twin->draining);
		metric_set(b->running, 0);
		metric_set(b->waiting, 0);
	}
	b->worker = NULL;
	model_fit_context(m);
	model_unuse(m);
}

static void on_down(void *ctx, struct link *l, const char *why)
{
	struct backend *b = ctx;

	log_warn("worker lost", LOG_F("worker", log_str(b->name)), LOG_F("addr", log_str(link_addr(l))),
		LOG_F("why", log_str(why)), LOG_F("requests", log_u64(b->flights.len)));
	if (b->model)
		metric_add(b->lost, 1);
	struct frontend *fe = b->fe;
	detach(b, why);
	if (b->gone)
		backend_destroy(b);
	completions_flush(fe);
}

/* How long it has owed us a word. Counted from call to call, so that time in which this process was stopped itself, with
 * what the worker said meanwhile still unread, is nobody's silence. */
static uint64_t silence_us(const struct backend *b, uint64_t before_us, uint64_t passed_us, uint64_t heard_us)
{
	uint64_t owes_us = b->asked_us ? b->asked_us : b->busy_us;

	return MIN(before_us + passed_us, env_now_us(b->fe->env) - MAX(heard_us, owes_us));
}

static void count_silence(struct backend *b, uint64_t passed_us)
{
	size_t queued = link_queued(b->conn);
	bool takes = queued < b->queued; /* a long prompt on a slow line */

	if (link_heard_us(b->conn) >= b->asked_us)
		b->asked_us = 0;
	b->queued = queued;
	b->silent_us = silence_us(b, b->silent_us, passed_us, link_heard_us(b->conn));
	b->idle_us = silence_us(b, b->idle_us, passed_us, link_worked_us(b->conn));
	if (!b->flights.len || takes)
		b->idle_us = 0;
	if ((!b->flights.len && !b->asked_us) || takes)
		b->silent_us = 0;
}

static void watch_silence(struct backend *b, uint64_t passed_us)
{
	bool pongs = link_card(b->conn)->pongs;
	uint64_t most_us = (pongs ? WORKER_STOPPED_MS : WORKER_SILENT_MS) * 1000ull;

	count_silence(b, passed_us);
	b->hung = b->idle_us > WORKER_IDLE_MS * 1000ull;
	if (b->silent_us > most_us) {
		b->given_up_us = env_now_us(b->fe->env);
		link_drop(b->conn, "it has been silent for too long");
	} else if (b->hung) {
		link_drop(b->conn, "it has done nothing for too long");
	} else if (pongs && b->silent_us >= WORKER_ASK_MS * 1000ull) {
		link_ping(b->conn);
		if (b->model)
			b->model->doubted = true;
	}
}

/* ---- workers beside a silent one ---- */

static void ask_beside(struct backend *b)
{
	if (!b->model || !b->model->doubted || b->flights.len || b->asked_us || !link_card(b->conn)->pongs)
		return;
	b->asked_us = env_now_us(b->fe->env);
	b->silent_us = 0;
	link_ping(b->conn);
}

/* Is it, or may it come to be, a worker of m? */
static bool may_serve(const struct backend *b, const struct model *m)
{
	if (link_is_up(b->conn))
		return b->model == m;
	return !b->served_hash || b->served_hash == route_name_hash(m->name);
}

static bool is_lost(const struct backend *b)
{
	return b->given_up_us && link_sign_us(b->conn) < b->given_up_us &&
	       env_now_us(b->fe->env) - b->given_up_us >= WORKER_RETURN_MS * 1000ull;
}

static bool is_deserted(const struct model *m)
{
	uint32_t lost = 0;

	if (pool_workers_up(m->pool))
		return false;
	list_foreach(it, &m->fe->backends)
	{
		const struct backend *b = list_entry(it, struct backend, link);
		if (!may_serve(b, m))
			continue;
		if (!is_lost(b))
			return false;
		lost++;
	}
	return lost > 0;
}

void backends_watched(struct frontend *fe)
{
	list_foreach(it, &fe->backends)
	{
		struct backend *b = list_entry(it, struct backend, link);
		if (link_is_up(b->conn))
			ask_beside(b);
	}
	list_foreach(it, &fe->models)
	{
		struct model *m = list_entry(it, struct model, link);
		m->doubted = false;
		pool_desert(m->pool, is_deserted(m));
	}
}

/* At once, and then no more often than the watch looks: one whose account is never right must not keep us busy. */
static void ask_for_snapshot(struct backend *b)
{
	uint64_t now_us = env_now_us(b->fe->env);

	b->resync_due = b->resynced_us && now_us - b->resynced_us < RESYNC_EVERY_US;
	if (b->resync_due)
		return;
	b->resynced_us = now_us;
	link_resync(b->conn);
}

void backend_watch(struct backend *b, uint64_t passed_us)
{
	if (link_is_up(b->conn))
		watch_silence(b, passed_us);
	if (link_is_up(b->conn) && b->resync_due)
		ask_for_snapshot(b);
	if (link_is_up(b->conn) && (b->starved || (b->model && model_is_starved(b->model))))
		link_drop(b->conn, "there was no memory to use it; trying again");
}

static void on_trouble(void *ctx, struct link *l, const char *why)
{
	(void)ctx;
	log_info("worker not reached", LOG_F("addr", log_str(link_addr(l))), LOG_F("why", log_str(why)));
}

void backend_destroy(struct backend *b)
{
	detach(b, "the worker was taken out of the deployment");
	list_del(&b->link);
	link_destroy(b->conn);
	map_done(&b->flights);
	free(b);
}

static void on_tokens(void *ctx, struct link *l, const struct msg_token_item *item)
{
	struct backend *b = ctx;
	struct flight *f = map_get_ptr(&b->flights, item->id);

	(void)l;
	if (f)
		flight_tokens(f, item);
}

static void on_done(void *ctx, struct link *l, const struct msg_done *done)
{
	struct backend *b = ctx;
	struct flight *f = map_get_ptr(&b->flights, done->id);

	(void)l;
	if (!f)
		return;
	map_del(&b->flights, done->id);
	flight_done(f, done);
}

static void on_turn(void *ctx, struct link *l)
{
	(void)l;
	completions_flush(((struct backend *)ctx)->fe);
}

static void note_bad_report(struct backend *b, const char *what)
{
	metric_add(b->bad_reports, 1);
	if (!b->bad_report_told)
		log_warn("worker reports what cannot be, by its registration or the clock; such reports are not used",
			LOG_F("worker", log_str(b->name)), LOG_F("figure", log_str(what)));
	b->bad_report_told = true;
}

/* More blocks than its registration says would take the room of others in the index. */
static bool has_room_for(const struct backend *b, const struct msg_kv *kv)
{
	uint64_t most = link_card(b->conn)->blocks,
		 held = kv_index_held(pool_index(b->model->pool), pool_worker_slot(b->worker));

	if (!most || kv->tier != MSG_TIER_DEVICE)
		return true;
	held = kv->cleared || (kv->snapshot && pool_worker_synced(b->worker)) ? 0 : held - MIN(held, kv->removed.len);
	return held + kv->stored.len <= most + most / 8 + 1;
}

/* What we know of its cache and what it says are two things: count, say so once, and ask for all of it again. */
static void resync(struct backend *b)
{
	metric_add(b->mismatches, 1);
	if (!b->mismatch_told)
		log_warn("worker's cached prefixes differ from what it reported; asking again",
			LOG_F("worker", log_str(b->name)));
	b->mismatch_told = true;
	index_check_leave(b, "its account was found wrong meanwhile");
	ask_for_snapshot(b);
}

static void on_kv(void *ctx, struct link *l, const struct msg_kv *kv)
{
	struct backend *b = ctx;

	(void)l;
	if (!b->kv_known)
		return;
	if (!b->worker) {
		b->kv_missed = true; /* its model is being loaded */
		return;
	}
	if (!has_room_for(b, kv)) {
		note_bad_report(b, "blocks");
		return;
	}
	if (!index_check_take(b, kv) && pool_worker_kv(b->model->pool, b->worker, kv))
		resync(b);
	index_check_settle(b);
}

/* What it says that its last step was and what it has to do, as far as that can be. */
static void on_step(void *ctx, struct link *l, const struct msg_step *told)
{
	struct backend *b = ctx;
	struct msg_step step = *told;
	bool usable;

	if (!b->model)
		return;
	const char *bad = report_check(&b->report, link_card(l), env_now_us(b->fe->env), &step, &usable);
	if (bad)
		note_bad_report(b, bad);
	if (!usable)
		return;
	metric_set(b->running, step.running);
	metric_set(b->waiting, step.waiting);
	if (!bad)
		metric_observe(b->step, step.duration_us);
	metric_set(b->preemptions, (int64_t)step.preemptions);
	metric_set(b->cells, step.cells);
	metric_set(b->cells_used, step.cells_used);
	if (!b->worker)
		return;
	metric_set(b->blocks, kv_index_held(pool_index(b->model->pool), pool_worker_slot(b->worker)));
	if (pool_worker_report(b->model->pool, b->worker, &step))
		resync(b);
}

static void on_drain(void *ctx, struct link *l)
{
	struct backend *b = ctx;

	(void)l;
	b->draining = true;
	if (!b->worker)
		return;
	pool_worker_drain(b->model->pool, b->worker);
	metric_set(b->up, 0);
	log_info("worker drains", LOG_F("worker", log_str(b->name)));
}

const struct link_handler backend_link_handler = {
	.on_up = on_up,
	.on_down = on_down,
	.on_trouble = on_trouble,
	.on_tokens = on_tokens,
	.on_done = on_done,
	.on_turn = on_turn,
	.on_step = on_step,
	.on_kv = on_kv,
	.on_drain = on_drain,
};
