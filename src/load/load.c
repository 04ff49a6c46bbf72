#include "load/load.h"
#include "base/list.h"
#include "load/answer.h"

#include <math.h>
#include <stdio.h>

/*
 *   idle --due--> asking --answer--> (thinking --> asking ...) --> idle
 *
 * A closed loop's clients are never idle until the load stops: the end of a session is the begin of the next.
 */
struct client {
	struct list link; /* in load.idle, or none */
	struct load *load;
	struct http_client *http;
	struct session session;
	struct answer answer;
	struct env_timer think;
	uint64_t due_us, sent_us;
	bool busy; /* a request is under way */
	bool counted; /* it was due after the warm-up */
};

/* Something due for which no client was free. */
struct due {
	uint64_t at_us;
	uint32_t row;
};

struct load {
	struct env *env;
	struct load_config config;
	struct stats stats;
	struct client **clients;
	uint32_t clients_count, running;
	struct list idle;
	struct buf body;
	struct rng rng;
	char path[600];
	uint64_t start_us, sessions, asked;
	uint32_t next_row;
	uint64_t next_at_us; /* of the next arrival */
	struct env_timer arrival, over, done_timer;
	VEC(struct due) backlog;
	uint32_t backlog_pos;
	bool stopping, done;
	void (*on_done)(void *ctx);
	void *ctx;
};

static void next_turn(struct client *c);

enum { RETRY_US = 100 * 1000 };

static bool is_open(const struct load *l)
{
	return l->config.rate > 0 || l->config.rows;
}

static bool may_begin(const struct load *l)
{
	return !l->stopping && (!l->config.requests_max || l->asked < l->config.requests_max);
}

uint32_t load_backlog(const struct load *l)
{
	return l->backlog.len - l->backlog_pos;
}

static bool more_to_come(const struct load *l)
{
	if (!may_begin(l))
		return false;
	if (!is_open(l))
		return l->clients_count > 0;
	return load_backlog(l) || l->config.rate > 0 || l->next_row < l->config.rows_count;
}

/* Clients that think have a next question; they count as long as it may be asked. */
static bool anybody_thinks(const struct load *l)
{
	for (uint32_t i = 0; i < l->clients_count; i++)
		if (env_timer_is_set(&l->clients[i]->think))
			return true;
	return false;
}

static void look_whether_done(struct load *l)
{
	if (l->running || l->done || more_to_come(l) || (may_begin(l) && anybody_thinks(l)))
		return;
	l->done = true;
	env_timer_set_in(l->env, &l->done_timer, 0);
}

static void on_done_timer(void *ctx)
{
	struct load *l = ctx;
	l->on_done(l->ctx);
}

/* an answer */

static void on_head(void *ctx, int status)
{
	struct client *c = ctx;
	answer_head(&c->answer, status, http_client_header(c->http, "content-type"));
}

static void on_body(void *ctx, const char *data, size_t len)
{
	struct client *c = ctx;
	answer_body(&c->answer, env_now_us(c->load->env), data, len);
}

static uint32_t span(uint64_t from, uint64_t to)
{
	return to > from ? (uint32_t)MIN(to - from, (uint64_t)UINT32_MAX) : 0;
}

static void record(struct client *c, uint64_t now)
{
	const struct answer *a = &c->answer;
	uint32_t tokens = answer_tokens(a);
	const struct stats_record r = {
		.due_us = c->due_us,
		.late_us = span(c->due_us, c->sent_us),
		.ttft_us = span(c->due_us, a->first_us ? a->first_us : now),
		.e2e_us = span(c->due_us, now),
		.tpot_us = tokens > 1 ? span(a->first_us, a->last_us) / (tokens - 1) : 0,
		.prompt_tokens = a->prompt_tokens,
		.cached_tokens = a->cached_tokens,
		.tokens = tokens,
	};

	c->load->stats.pieces += a->pieces;
	stats_complete(&c->load->stats, now, &r);
}

static void client_ended(struct client *c, int code, const char *why)
{
	struct load *l = c->load;
	uint64_t now = env_now_us(l->env);
	bool failed = answer_judge(&c->answer, code, why) < 0;

	c->busy = false;
	l->running--;
	if (c->counted && failed)
		stats_fail(&l->stats, now, c->answer.err.msg);
	else if (c->counted)
		record(c, now);
	if (!failed && c->answer.keep_text)
		session_answered(&c->session, buf_str(&c->answer.text), c->answer.text.len);
	if (failed)
		c->session.turn = l->config.workload.turns; /* a conversation with a hole in it would be another load */
	next_turn(c);
	look_whether_done(l);
}

static void on_done(void *ctx, int code, const char *why)
{
	client_ended(ctx, code, why);
}

static const struct http_client_ops http_ops = {.on_head = on_head, .on_body = on_body, .on_done = on_done};

/* a question */

/* A request that cannot be sent ends its session, and the client pauses a little, so that a server that is gone does not
 * make this spin. */
static void send_body(struct client *c, uint64_t due_us, bool keep_text, struct err *err)
{
	struct load *l = c->load;
	const struct http_client_request in = {.method = "POST",
		.path = l->path,
		.headers = l->config.headers,
		.body = l->body.data,
		.body_len = l->body.len,
		.head_timeout_ms = l->config.timeout_ms,
		.idle_timeout_ms = l->config.timeout_ms};

	c->counted = due_us >= l->start_us + l->config.warmup_us;
	if (c->counted && !l->stats.sent++)
		l->stats.first_due_us = due_us;
	l->asked++;
	c->due_us = due_us;
	c->sent_us = env_now_us(l->env);
	answer_begin(&c->answer, keep_text, c->counted ? &l->stats.gaps : NULL);
	if (err->code == 0)
		http_client_send(c->http, &in, &http_ops, c, err);
	if (err->code == 0) {
		c->busy = true;
		l->running++;
		return;
	}
	if (c->counted)
		stats_fail(&l->stats, c->sent_us, err->msg);
	c->session.turn = l->config.workload.turns;
	env_timer_set_in(l->env, &c->think, RETRY_US);
}

static void ask(struct client *c, uint64_t due_us)
{
	struct load *l = c->load;
	struct err err = {0};

	session_ask(&c->session, &l->body, &err);
	send_body(c, due_us, !session_over(&c->session), &err);
}

static void ask_row(struct client *c, uint32_t row, uint64_t due_us)
{
	struct load *l = c->load;
	struct err err = {0};

	workload_row_body(&l->config.workload, &l->config.rows[row], row, &l->body, &err);
	send_body(c, due_us, false, &err);
}

static void begin(struct client *c, const struct due *d)
{
	struct load *l = c->load;

	if (l->config.rows) {
		ask_row(c, d->row, d->at_us);
	} else {
		session_begin(&c->session, &l->config.workload, l->sessions++);
		ask(c, d->at_us);
	}
}

static bool client_over(const struct client *c)
{
	return !c->session.w || session_over(&c->session);
}

static void on_think(void *ctx)
{
	struct client *c = ctx;
	struct load *l = c->load;
	uint64_t now = env_now_us(l->env);

	if (client_over(c) && is_open(l)) {
		next_turn(c);
	} else if (may_begin(l)) {
		if (client_over(c))
			session_begin(&c->session, &l->config.workload, l->sessions++);
		ask(c, now);
	}
	look_whether_done(l);
}

static uint64_t exponential(struct load *l, double mean_us)
{
	return (uint64_t)(-log(1 - rng_unit(&l->rng)) * mean_us);
}

/* The client is free: it goes on with its session, takes what is due, or becomes idle. */
static void next_turn(struct client *c)
{
	struct load *l = c->load;
	bool over = client_over(c);

	if (!may_begin(l) || (over && is_open(l) && !load_backlog(l))) {
		list_add_tail(&l->idle, &c->link);
	} else if (over && is_open(l)) {
		struct due d = l->backlog.v[l->backlog_pos++];
		begin(c, &d);
	} else {
		env_timer_set_in(
			l->env, &c->think, l->config.think_us ? exponential(l, (double)l->config.think_us) : 0);
	}
}

/* arrivals */

static struct client *client_new(struct load *l, struct err *err)
{
	struct client *c = calloc(1, sizeof *c);

	if (!c) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	c->load = l;
	list_init(&c->link);
	c->think = (struct env_timer){.fn = on_think, .ctx = c};
	answer_init(&c->answer);
	if (http_client_create(&c->http, l->env, &l->config.url, err) < 0) {
		free(c);
		return NULL;
	}
	l->clients[l->clients_count++] = c;
	return c;
}

static struct client *client_free(struct load *l)
{
	struct err err = {0};

	if (!list_empty(&l->idle)) {
		struct client *c = list_first(&l->idle, struct client, link);
		list_del(&c->link);
		return c;
	}
	return l->clients_count < l->config.clients ? client_new(l, &err) : NULL;
}

static void due_now(struct load *l, struct due d)
{
	struct client *c = client_free(l);

	if (c) {
		begin(c, &d);
		return;
	}
	if (l->backlog_pos > 1024 && l->backlog_pos * 2 > l->backlog.len) {
		l->backlog.len -= l->backlog_pos;
		memmove(l->backlog.v, l->backlog.v + l->backlog_pos, l->backlog.len * sizeof *l->backlog.v);
		l->backlog_pos = 0;
	}
	if (vec_push(&l->backlog, d) < 0)
		stats_fail(&l->stats, d.at_us, "out of memory for what is due");
}

static uint64_t row_at_us(const struct load *l, uint32_t row)
{
	double speed = l->config.speed > 0 ? l->config.speed : 1;
	return l->start_us + (uint64_t)((double)l->config.rows[row].at_us / speed);
}

static void arm_arrival(struct load *l)
{
	if (l->config.rows && l->next_row < l->config.rows_count)
		l->next_at_us = row_at_us(l, l->next_row);
	else if (l->config.rate > 0)
		l->next_at_us += exponential(l, 1e6 / l->config.rate);
	else
		return;
	env_timer_set(l->env, &l->arrival, l->next_at_us);
}

static void on_arrival(void *ctx)
{
	struct load *l = ctx;
	uint64_t now = env_now_us(l->env);

	while (may_begin(l) && l->next_at_us <= now) {
		due_now(l, (struct due){l->next_at_us, l->next_row});
		l->next_row += l->config.rows != NULL;
		env_timer_cancel(l->env, &l->arrival);
		arm_arrival(l);
		if (!env_timer_is_set(&l->arrival))
			break;
	}
	look_whether_done(l);
}

static void on_over(void *ctx)
{
	load_stop(ctx);
}

/* life */

int load_create(struct load **ret, struct env *env, const struct load_config *config, void (*on_done_fn)(void *ctx),
	void *ctx, struct err *err)
{
	struct load *l = calloc(1, sizeof *l);

	if (!l || !(l->clients = calloc(config->clients, sizeof(struct client *)))) {
		free(l);
		return err_set(err, -ENOMEM, "out of memory");
	}
	ASSERT(config->clients > 0 && config->workload.turns > 0);
	l->env = env;
	l->config = *config;
	l->on_done = on_done_fn;
	l->ctx = ctx;
	list_init(&l->idle);
	buf_init(&l->body, WORKLOAD_BODY_BYTES_MAX);
	rng_init(&l->rng, config->workload.seed);
	l->arrival = (struct env_timer){.fn = on_arrival, .ctx = l};
	l->over = (struct env_timer){.fn = on_over, .ctx = l};
	l->done_timer = (struct env_timer){.fn = on_done_timer, .ctx = l};
	size_t path_len = strlen(config->url.path);
	bool has_v1 = path_len >= 3 && strcmp(config->url.path + path_len - 3, "/v1") == 0;
	snprintf(l->path, sizeof l->path, "%s%s%s", config->url.path, has_v1 ? "" : "/v1",
		config->workload.endpoint == WORKLOAD_CHAT ? "/chat/completions" : "/completions");
	*ret = l;
	return 0;
}

static void start_closed(struct load *l)
{
	struct err err = {0};

	for (uint32_t i = 0; i < l->config.clients && may_begin(l); i++) {
		struct client *c = client_new(l, &err);
		if (!c) {
			stats_fail(&l->stats, l->start_us, err.msg);
			return;
		}
		session_begin(&c->session, &l->config.workload, l->sessions++);
		ask(c, l->start_us);
	}
}

void load_start(struct load *l)
{
	l->start_us = l->next_at_us = env_now_us(l->env);
	if (l->config.duration_us)
		env_timer_set(l->env, &l->over, l->start_us + l->config.duration_us);
	if (is_open(l))
		arm_arrival(l);
	else
		start_closed(l);
	look_whether_done(l);
}

void load_stop(struct load *l)
{
	l->stopping = true;
	env_timer_cancel(l->env, &l->arrival);
	env_timer_cancel(l->env, &l->over);
	for (uint32_t i = 0; i < l->clients_count; i++)
		env_timer_cancel(l->env, &l->clients[i]->think);
	look_whether_done(l);
}

void load_abort(struct load *l)
{
	load_stop(l);
	for (uint32_t i = 0; i < l->clients_count; i++) {
		struct client *c = l->clients[i];
		if (!c->busy)
			continue;
		http_client_cancel(c->http);
		client_ended(c, -ECANCELED, "stopped before the answer was whole");
	}
	look_whether_done(l);
}

static void client_destroy(struct client *c)
{
	env_timer_cancel(c->load->env, &c->think);
	http_client_destroy(c->http);
	session_done(&c->session);
	answer_done(&c->answer);
	free(c);
}

void load_destroy(struct load *l)
{
	if (!l)
		return;
	env_timer_cancel(l->env, &l->arrival);
	env_timer_cancel(l->env, &l->over);
	env_timer_cancel(l->env, &l->done_timer);
	for (uint32_t i = 0; i < l->clients_count; i++)
		client_destroy(l->clients[i]);
	free(l->clients);
	vec_done(&l->backlog);
	buf_done(&l->body);
	stats_done(&l->stats);
	free(l);
}

const struct stats *load_stats(const struct load *l)
{
	return &l->stats;
}

uint32_t load_running(const struct load *l)
{
	return l->running;
}
