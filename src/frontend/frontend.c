#include "frontend/frontend.h"
#include "base/log.h"
#include "cluster/discovery.h"
#include "frontend/guard.h"
#include "frontend/index_check.h"
#include "kv/hash.h"

#include <malloc.h>
#include <stdio.h>

enum {
	SERIES_MAX = 20000,
	WAITING_MAX = 1024,
	WAIT_MS_MAX = 30 * 1000,
	PING_MS = 5000,
	TEXT_MS_MAX = 30 * 1000,
	DRAIN_LOOK_US = 5000,
	LAST_WORDS_US = 1000 * 1000, /* for answers to leave, when nothing runs any more */
	STOPPING_RETRY_S = 5, /* another may be up then */
	WATCH_US = 1000 * 1000,
	TRIM_AFTER_BYTES = 4 * 1024 * 1024, /* of bodies */
	TRIM_PAD_BYTES = 256 * 1024,
};

static void on_drain_timer(void *ctx);
static void on_ready_timer(void *ctx);
static void on_watch_timer(void *ctx);

void frontend_config_default(struct frontend_config *ret)
{
	*ret = (struct frontend_config){
		.listen = "127.0.0.1:8000",
		.discovery = "static",
		.policy = "kv",
		.waiting_max = WAITING_MAX,
		.wait_ms_max = WAIT_MS_MAX,
		.ping_ms = PING_MS,
		.text_ms_max = TEXT_MS_MAX,
		.raw_specials = true,
		.software = "stator " STATOR_VERSION,
	};
	http_limits_default(&ret->http);
}

static struct backend *backend_find(struct frontend *fe, const char *addr)
{
	list_foreach(it, &fe->backends)
	{
		struct backend *b = list_entry(it, struct backend, link);
		if (!strcmp(link_addr(b->conn), addr))
			return b;
	}
	return NULL;
}

static int on_found(void *ctx, const char *addr)
{
	struct frontend *fe = ctx;
	struct err err;
	int r = 0;

	struct backend *b = backend_find(fe, addr);
	if (b)
		b->gone = false;
	else if ((r = backend_create(fe, addr, &err)) < 0)
		log_error("worker not used", LOG_F("addr", log_str(addr)), LOG_F("why", log_str(err.msg)));
	return r;
}

static void on_lost(void *ctx, const char *addr)
{
	struct frontend *fe = ctx;
	struct backend *b = backend_find(fe, addr);

	/* A socket that is gone from a folder may still be connected: such a worker is let go when it hangs up. */
	if (!b)
		return;
	b->gone = true;
	if (link_is_up(b->conn))
		return;
	backend_destroy(b);
	completions_flush(fe);
}

static const struct discovery_handler discovery_handler = {.on_found = on_found, .on_lost = on_lost};

static int find_policy(struct frontend *fe, struct err *err)
{
	fe->policy = route_policy_parse(fe->config.policy, &fe->knobs, err);
	if (!fe->policy)
		return -EINVAL;
	return 0;
}

static int start(struct frontend *fe, struct err *err)
{
	const struct frontend_config *c = &fe->config;
	const struct discovery_ops *ops = discovery_find(c->discovery);

	if (!ops)
		return err_set(err, -EINVAL, "unknown discovery \"%s\"", c->discovery);
	int r = find_policy(fe, err);
	if (r < 0)
		return r;
	r = expect_init(&fe->expect, c->expect, c->expect_len, err);
	if (r < 0)
		return err_wrap(err, "could not read the expected models");
	if (explain_create(&fe->explain) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	/* Without a secret of the deployment, one that no worker has. */
	fe->kv_seed = c->kv_secret ? kv_hash_seed(c->kv_secret, c->kv_secret_len, NULL, NULL, 0) : env_rand(fe->env);
	r = metrics_create(&fe->metrics, frontend_metric_defs, FM_COUNT, SERIES_MAX, err);
	if (r < 0)
		return r;
	fe->m_running = metrics_get(fe->metrics, FM_REQUESTS_RUNNING, NULL);
	fe->m_conns = metrics_get(fe->metrics, FM_HTTP_CONNS, NULL);
	r = http_server_create(&fe->http, fe->env, c->listen, &c->http, &api_handler, fe, err);
	if (r < 0)
		return r;
	return discovery_create(&fe->discovery, ops, fe->env, c->discovery_arg, &discovery_handler, fe, err);
}

int frontend_create(struct frontend **ret, struct env *env, const struct frontend_config *config, struct err *err)
{
	struct frontend *fe = calloc(1, sizeof *fe);

	if (!fe)
		return err_set(err, -ENOMEM, "out of memory");
	fe->env = env;
	fe->config = *config;
	list_init(&fe->models);
	list_init(&fe->backends);
	list_init(&fe->preloads);
	list_init(&fe->completions);
	list_init(&fe->text_calls);
	text_work_init(&fe->text, config->text_threads);
	buf_init(&fe->scratch.out, COMPLETION_TEXT_BYTES_MAX);
	buf_init(&fe->scratch.piece, PIECE_BYTES_MAX);
	buf_init(&fe->scratch.clean, PIECE_BYTES_MAX);
	list_init(&fe->dirty);
	fe->drain_timer = (struct env_timer){.fn = on_drain_timer, .ctx = fe};
	fe->ready_timer = (struct env_timer){.fn = on_ready_timer, .ctx = fe};
	list_init(&fe->lost);
	fe->retry_timer = (struct env_timer){.fn = retry_on_timer, .ctx = fe};
	list_init(&fe->unbegun);
	list_init(&fe->begun);
	fe->ping_timer = (struct env_timer){.fn = ping_look, .ctx = fe};
	fe->watch_timer = (struct env_timer){.fn = on_watch_timer, .ctx = fe};
	int r = start(fe, err);
	if (r < 0) {
		frontend_destroy(fe);
		return err_wrap(err, "could not start the frontend");
	}
	preload_start(fe, config->preload);
	fe->watched_us = env_now_us(env);
	env_timer_set_in(env, &fe->watch_timer, WATCH_US);
	*ret = fe;
	return 0;
}

const char *frontend_addr(const struct frontend *fe)
{
	return http_server_addr(fe->http);
}

struct guard frontend_guard(const struct frontend *fe)
{
	return (struct guard){
		.bound = http_server_addr(fe->http),
		.listen = fe->config.listen,
		.name = fe->config.listen_name,
		.allow_host = fe->config.allow_host,
		.allow_origin = fe->config.allow_origin,
		.has_keys = fe->config.keys,
	};
}

void frontend_destroy(struct frontend *fe)
{
	if (!fe)
		return;
	env_timer_cancel(fe->env, &fe->drain_timer);
	env_timer_cancel(fe->env, &fe->ready_timer);
	env_timer_cancel(fe->env, &fe->retry_timer);
	env_timer_cancel(fe->env, &fe->watch_timer);
	env_timer_cancel(fe->env, &fe->ping_timer);
	fe->on_drained = NULL;
	index_check_destroy(fe);
	completion_destroy_all(fe);
	discovery_destroy(fe->discovery);
	list_foreach_safe(b, &fe->backends) backend_destroy(list_entry(b, struct backend, link));
	preload_destroy_all(fe);
	list_foreach_safe(m, &fe->models) model_destroy(list_entry(m, struct model, link));
	if (fe->http)
		http_server_destroy(fe->http);
	metrics_destroy(fe->metrics);
	explain_destroy(fe->explain);
	expect_done(&fe->expect);
	buf_done(&fe->scratch.out);
	buf_done(&fe->scratch.piece);
	buf_done(&fe->scratch.clean);
	free(fe);
}

/* watching */

/* Off the loop: it walks the heap, some milliseconds after a burst. */
static void trim_work(struct env_job *job)
{
	(void)job;
	malloc_trim(TRIM_PAD_BYTES);
}

static void trim_done(struct env_job *job)
{
	struct frontend *fe = CONTAINER_OF(job, struct frontend, trim_job);

	fe->trimming = false;
	fe->jobs--;
}

/* What a burst of long prompts took lies in holes of the heap, which the allocator does not give back by itself. */
static void give_memory_back(struct frontend *fe)
{
	if (fe->trimming || fe->body_bytes < TRIM_AFTER_BYTES)
		return;
	fe->trim_job = (struct env_job){.work = trim_work, .done = trim_done, .is_long = true, .cost_us = TEXT_FREE_US};
	if (env_offload(fe->env, ENV_POOL_TEXT, &fe->trim_job) < 0)
		return;
	fe->body_bytes = 0;
	fe->trimming = true;
	fe->jobs++;
}

static void on_watch_timer(void *ctx)
{
	struct frontend *fe = ctx;
	uint64_t now_us = env_now_us(fe->env), passed_us = MIN(now_us - fe->watched_us, 2ull * WATCH_US);

	fe->watched_us = now_us;
	list_foreach_safe(it, &fe->backends) backend_watch(list_entry(it, struct backend, link), passed_us);
	backends_watched(fe);
	give_memory_back(fe);
	env_timer_set_in(fe->env, &fe->watch_timer, WATCH_US);
}

/* ready */

uint32_t frontend_workers_of(struct frontend *fe, const char *name)
{
	const struct model *m = model_known(fe, name);

	return m && m->state == MODEL_READY ? pool_workers_up(m->pool) : 0;
}

/* least: of each model as many as that, or as it needs when that is less. */
static bool has_expected(struct frontend *fe, uint32_t least)
{
	for (uint32_t i = 0; i < fe->expect.len; i++)
		if (frontend_workers_of(fe, fe->expect.v[i].name) < MIN(least, fe->expect.v[i].workers))
			return false;
	return true;
}

static bool has_all(struct frontend *fe)
{
	struct frontend_counts counts;

	frontend_counts(fe, &counts);
	fe->was_ready |= counts.workers_up >= fe->ready_workers && has_expected(fe, UINT32_MAX);
	return fe->was_ready;
}

bool frontend_is_ready(struct frontend *fe)
{
	struct frontend_counts counts;

	frontend_counts(fe, &counts);
	return has_all(fe) && counts.workers_up && has_expected(fe, 1) && !fe->draining;
}

static void on_ready_timer(void *ctx)
{
	struct frontend *fe = ctx;
	void (*ready)(void *) = fe->on_ready, (*hopeless)(void *, const char *) = fe->on_hopeless;

	if (has_all(fe) && ready) {
		fe->on_ready = NULL;
		ready(fe->ready_ctx);
	} else if (!fe->was_ready && fe->hopeless.code && hopeless) {
		fe->on_hopeless = NULL;
		hopeless(fe->hopeless_ctx, fe->hopeless.msg);
	}
}

void frontend_worker_up(struct frontend *fe)
{
	if (!fe->was_ready)
		env_timer_set_in(fe->env, &fe->ready_timer, 0);
}

void frontend_note_hopeless(struct frontend *fe, const char *model, const char *worker, const struct err *why)
{
	const struct expected *e = expect_find(&fe->expect, model);

	if (!e || !e->workers || why->code == -ENOMEM || fe->was_ready || fe->hopeless.code)
		return;
	fe->hopeless = *why;
	if (worker)
		err_wrap(&fe->hopeless, "the worker \"%s\" cannot be used", worker);
	else
		err_wrap(&fe->hopeless, "the model \"%s\" cannot be served", model);
	env_timer_set_in(fe->env, &fe->ready_timer, 0);
}

void frontend_when_hopeless(struct frontend *fe, void (*on_hopeless)(void *ctx, const char *why), void *ctx)
{
	fe->on_hopeless = on_hopeless;
	fe->hopeless_ctx = ctx;
	env_timer_set_in(fe->env, &fe->ready_timer, 0);
}

void frontend_when_ready(struct frontend *fe, uint32_t workers, void (*on_ready)(void *ctx), void *ctx)
{
	fe->ready_workers = workers;
	fe->on_ready = on_ready;
	fe->ready_ctx = ctx;
	env_timer_set_in(fe->env, &fe->ready_timer, 0);
}

/* draining */

/* What still runs is told so, and does not just break. */
static void end_all(struct frontend *fe)
{
	struct api_error e = {.retry_after_s = STOPPING_RETRY_S};

	api_error_set(&e, 503, "server_stopping", NULL,
		"the server is stopping, and the time that requests had to finish is over");
	completion_fail_all(fe, &e);
	text_api_fail_all(fe, &e);
}

/* Nothing runs: give the port up, and let the last answers leave. */
static bool has_said_all(struct frontend *fe, uint64_t now_us)
{
	if (!fe->last_words_us)
		fe->last_words_us = now_us + LAST_WORDS_US;
	http_server_close(fe->http);
	return now_us >= fe->last_words_us || !http_server_closing(fe->http);
}

int frontend_check_stopping(const struct frontend *fe, struct api_error *e)
{
	if (!fe->draining)
		return 0;
	e->retry_after_s = STOPPING_RETRY_S;
	return api_error_set(e, 503, "server_stopping", NULL, "the server is stopping; what runs may finish");
}

static void on_drain_timer(void *ctx)
{
	struct frontend *fe = ctx;
	void (*fn)(void *) = fe->on_drained;
	uint64_t now_us = env_now_us(fe->env);

	if (fe->requests && now_us >= fe->drain_at_us) {
		log_warn("time to drain is over", LOG_F("requests", log_u64(fe->requests)));
		end_all(fe);
	}
	/* Requests tell their end; jobs on other threads are looked at, and so are the last answers on their way. */
	if (fe->requests || fe->jobs || !has_said_all(fe, now_us)) {
		env_timer_set_in(fe->env, &fe->drain_timer, DRAIN_LOOK_US);
		return;
	}
	fe->on_drained = NULL;
	if (fn)
		fn(fe->drain_ctx);
}

void frontend_drain(struct frontend *fe, uint64_t deadline_us, void (*on_drained)(void *ctx), void *ctx)
{
	if (fe->config.shares_port)
		http_server_close(fe->http); /* its clients are the others' now */
	else
		http_server_drain(fe->http);
	fe->draining = true;
	fe->on_drained = on_drained;
	fe->drain_ctx = ctx;
	fe->drain_at_us = env_now_us(fe->env) + deadline_us;
	/* From a turn of our own, also when there is nothing to wait for. */
	env_timer_set_in(fe->env, &fe->drain_timer, 0);
}

/* counting */

void frontend_request_begun(struct frontend *fe)
{
	fe->requests++;
	fe->accepted++;
}

void frontend_request_ended(struct frontend *fe, const char *model, const char *endpoint, int status)
{
	char text[12];
	const char *labels[] = {model, endpoint, text};

	ASSERT(fe->requests);
	snprintf(text, sizeof text, "%d", status);
	metric_add(metrics_get(fe->metrics, FM_REQUESTS, labels), 1);
	fe->requests--;
	fe->ended++;
	if (!fe->requests && fe->on_drained)
		env_timer_set_in(fe->env, &fe->drain_timer, 0);
}

void frontend_counts(const struct frontend *fe, struct frontend_counts *ret)
{
	*ret = (struct frontend_counts){
		.requests = fe->requests,
		.flights = fe->flights,
		.jobs = fe->jobs,
		.accepted = fe->accepted,
		.ended = fe->ended,
	};
	list_foreach(it, &fe->models)
	{
		const struct model *m = list_entry(it, struct model, link);
		ret->waiting += pool_waiting(m->pool);
		ret->workers_up += pool_workers_up(m->pool);
		ret->models += m->state == MODEL_READY;
	}
}
