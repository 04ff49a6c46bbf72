#include "frontend/retry.h"
#include "base/log.h"

#include <stdio.h>

enum { UNREAD_TRIM_BYTES = 32 * 1024 }; /* of tokens kept, before a look whether they are still needed */

/* birth and end */

const char *completion_endpoint(const struct completion *c)
{
	return c->kind == API_CHAT ? "chat" : "completions";
}

static void choices_free(struct completion *c)
{
	for (uint32_t i = 0; i < c->choices_len; i++) {
		struct choice *ch = &c->choices[i];
		free(ch->in.tokens);
		free(ch->in.logprobs);
		free(ch->in.top_tokens);
		free(ch->in.top_logprobs);
		buf_done(&ch->text);
		detok_done(&ch->detok);
		detok_done(&ch->told_text);
	}
}

/* What was made of the body is gone: others may have its room. */
static void body_release(struct completion *c)
{
	http_body_release(c->fe->http, c->body_counted);
	c->body_counted = 0;
}

static void completion_free(struct completion *c)
{
	for (uint32_t i = 0; i < c->runs_len; i++)
		if (c->runs[i])
			run_abandon(c->runs[i]);
	choices_free(c);
	stops_destroy(c->stops);
	if (c->model)
		model_unuse(c->model);
	list_del(&c->link);
	list_del(&c->dirty_link);
	buf_done(&c->body);
	buf_done(&c->head);
	arena_done(&c->parse_arena);
	arena_done(&c->arena);
	body_release(c);
	free(c);
}

static void on_free(struct env_job *job)
{
	arena_done(&CONTAINER_OF(job, struct completion, free_job)->parse_arena);
}

static void on_freed(struct env_job *job)
{
	struct completion *c = CONTAINER_OF(job, struct completion, free_job);

	c->fe->jobs--;
	completion_free(c);
}

/* Hundreds of thousands of values take many milliseconds to free: not on the loop. */
static void completion_release(struct completion *c)
{
	c->free_job = (struct env_job){
		.work = on_free, .done = on_freed, .is_long = true, .cost_us = TEXT_FREE_US, .owner = c->demands.owner};
	if (c->tree_is_large && c->parse_arena.head && env_offload(c->fe->env, ENV_POOL_TEXT, &c->free_job) == 0)
		c->fe->jobs++;
	else
		completion_free(c);
}

/* The one end of every request. The exchange has been answered or is gone; a job may still hold the memory. */
static void completion_end(struct completion *c, int status)
{
	uint64_t now_us = env_now_us(c->fe->env);

	ASSERT(!c->x);
	list_del(&c->ping_link);
	if (c->model) {
		metric_observe(c->model->e2e, now_us - c->arrived_us);
		metric_add(c->model->prompt_tokens, c->prompt_tokens);
		metric_add(c->model->cached_tokens, c->cached_tokens);
	}
	log_debug("request ended", LOG_F("id", log_str(c->request_id)), LOG_F("status", log_i64(status)),
		LOG_F("prompt_tokens", log_u64(c->prompt_tokens)), LOG_F("generated", log_u64(c->generated_tokens)),
		LOG_F("ms", log_u64((now_us - c->arrived_us) / 1000)));
	frontend_request_ended(c->fe, c->model ? c->model->name : "", completion_endpoint(c), status);
	if (!c->in_job && !c->in_answer)
		completion_release(c);
	else if (c->in_job && !c->job_cancelled)
		text_task_cancel(&c->task, TEXT_END_CLIENT);
}

/* Who answers, and why that one. */
static void add_route(struct completion *c)
{
	if (c->worker)
		http_add_header(c->x, "x-stator-worker", c->worker);
	if (c->route)
		http_add_header(c->x, "x-stator-route", c->route);
}

static const char no_memory[] = "data: " API_ERROR_NO_MEMORY "\n\n";

void completion_fail(struct completion *c, const struct api_error *e)
{
	struct http_exchange *x = c->x;

	log_debug("request failed", LOG_F("id", log_str(c->request_id)), LOG_F("status", log_i64(e->status)),
		LOG_F("why", log_str(e->message)));
	if (x && c->begun) {
		respond_stream_error(c, e);
		if (out_of(c)->failed)
			http_write(x, no_memory, sizeof no_memory - 1);
		else
			http_write(x, out_of(c)->data, out_of(c)->len);
		c->x = NULL;
		http_end(x);
		completion_end(c, 599);
	} else {
		if (x)
			add_route(c);
		c->x = NULL;
		if (x)
			api_error_reply(x, e);
		completion_end(c, e->status);
	}
}

static void on_gone(void *user)
{
	struct completion *c = user;

	c->x = NULL;
	log_debug("client left", LOG_F("id", log_str(c->request_id)));
	completion_end(c, 499);
}

static void on_drain(void *user)
{
	struct completion *c = user;

	if (c->waits)
		completion_flush(c);
}

/* The client does not read what comes, or so many answers are being collected that there is no room for more of this one. */
static void on_unread(void *user)
{
	struct completion *c = user;
	struct api_error e = {.retry_after_s = 1};

	if (c->req.stream)
		api_error_set(&e, 503, "client_too_slow", NULL,
			"the client reads this stream too slowly: %zu KiB of tokens wait for it here, more than the "
			"server holds (max-unread-bytes, max-total-unread-bytes)",
			c->kept / 1024);
	else
		api_error_set(&e, 503, "answer_too_large", NULL,
			"the server has no room to collect this answer and its log-probabilities beside the others "
			"(max-total-unread-bytes); ask for fewer, or for a stream");
	completion_fail(c, &e);
}

static const struct http_exchange_ops exchange_ops = {.on_unread = on_unread, .on_drain = on_drain, .on_gone = on_gone};

void completion_fail_all(struct frontend *fe, const struct api_error *e)
{
	list_foreach_safe(it, &fe->completions)
	{
		struct completion *c = list_entry(it, struct completion, link);
		if (c->x)
			completion_fail(c, e);
	}
}

void completion_destroy_all(struct frontend *fe)
{
	list_foreach_safe(it, &fe->completions)
	{
		struct completion *c = list_entry(it, struct completion, link);
		struct http_exchange *x = c->x;
		if (!x)
			continue; /* ended already; its job frees it */
		http_set_ops(x, NULL, NULL);
		http_abort(x);
		on_gone(c);
	}
}

/* parse -> text -> run */

static void after_parse(struct completion *c);
static void after_text(struct completion *c);

static struct completion *completion_of(struct text_task *t)
{
	return CONTAINER_OF(t, struct completion, task);
}

static void on_work(struct text_task *t)
{
	struct completion *c = completion_of(t);

	if (c->state == COMPLETION_PARSE)
		prompt_parse(c);
	else
		prompt_tokenize(c);
}

static void on_worked(struct text_task *t)
{
	struct completion *c = completion_of(t);

	c->in_job = false;
	if (!c->x)
		completion_release(c); /* it ended while the job ran */
	else if (c->state == COMPLETION_PARSE)
		after_parse(c);
	else
		after_text(c);
}

/* Too late for the client; the job ends when it sees it. */
static void on_late(struct text_task *t, const struct api_error *e)
{
	text_task_cancel(t, e->status == 504 ? TEXT_END_DEADLINE : TEXT_END_WAIT);
	completion_of(t)->job_cancelled = true;
	completion_fail(completion_of(t), e);
}

static void start_job(struct completion *c, struct text_size size)
{
	struct api_error e = {0};

	c->task = (struct text_task){
		.size = size,
		.rates = c->model ? &c->model->rates : &c->fe->text.parse,
		.metric = c->model ? c->model->text_work : NULL,
		.owner = c->demands.owner,
		.deadline_us = c->demands.deadline_us,
		.arrived_us = c->arrived_us,
		.work = on_work,
		.done = on_worked,
		.late = on_late,
	};
	c->in_job = text_task_start(&c->task, c->fe, &e) == 0;
	if (!c->in_job)
		completion_fail(c, &e);
}

static void after_parse(struct completion *c)
{
	struct api_error e = {0};

	if (c->error.status) {
		completion_fail(c, &c->error);
		return;
	}
	c->model = model_find(c->fe, c->req.model, &e);
	if (!c->model) {
		completion_fail(c, &e);
		return;
	}
	if (demands_check_direct(c->model, c->demands.direct, &e) < 0) {
		c->model = NULL;
		completion_fail(c, &e);
		return;
	}
	c->model->users++;
	ping_watch(c);
	c->context_max = c->model->context_max;
	c->block_size = c->model->block_size;
	c->state = COMPLETION_TEXT;
	c->text_us = env_now_us(c->fe->env);
	start_job(c, prompt_size(c));
}

static int choices_init(struct completion *c)
{
	uint32_t n = c->req.n;

	c->choices = arena_alloc(&c->arena, c->runs_len * n * sizeof *c->choices);
	if (!c->choices)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->runs_len * n; i++) {
		struct choice *ch = &c->choices[i];
		ch->completion = c;
		ch->index = i;
		buf_init(&ch->text, COMPLETION_TEXT_BYTES_MAX);
		detok_init(&ch->detok, c->model->loaded.tokenizer, c->req.kind == API_CHAT);
		detok_init(&ch->told_text, c->model->loaded.tokenizer, false);
		c->choices_len++;
		if (c->stops && !(ch->scan = arena_alloc(&c->arena, sizeof *ch->scan)))
			return -ENOMEM;
		if (ch->scan)
			stop_scan_init(ch->scan, c->stops);
		c->runs[i / n]->flights[i % n].choice = ch;
	}
	c->choices_open = c->choices_len;
	return 0;
}

static void shed_error(const struct model *m, bool is_full, struct api_error *e)
{
	e->retry_after_s = pool_retry_after_s(m->pool);
	if (pool_is_deserted(m->pool))
		api_error_set(e, 503, "no_worker", NULL,
			"no worker of model \"%.100s\" answers: each has been silent for too long, as one whose process is stopped or whose host is cut off",
			m->name);
	else if (!pool_workers_up(m->pool))
		api_error_set(e, 503, "no_worker", NULL, "no worker of model \"%.100s\" is up", m->name);
	else if (is_full)
		api_error_set(e, 429, "queue_full", NULL,
			"all workers of model \"%.100s\" are busy and %u requests wait; try again in %u s", m->name,
			pool_waiting(m->pool), e->retry_after_s);
	else
		api_error_set(e, 503, "queue_timeout", NULL,
			"all workers of model \"%.100s\" stayed busy for as long as a request may wait", m->name);
}

/* It was at a worker that failed it, and then found no other. */
static void lost_error(const struct run *r, struct api_error *e)
{
	*e = *r->lost;
	size_t len = strlen(e->message);
	snprintf(e->message + len, sizeof e->message - len, "; and no other took it in time");
}

static void on_shed(struct pool_ticket *t, enum pool_shed why)
{
	struct run *r = CONTAINER_OF(t, struct run, ticket);
	struct api_error e = {0};

	if (why == POOL_SHED_DEADLINE)
		api_error_set(
			&e, 504, "deadline_exceeded", NULL, "the request's time was over before a worker was free");
	else if (r->lost)
		lost_error(r, &e);
	else
		shed_error(r->model, false, &e);
	completion_fail(r->completion, &e);
}

/* Keep why, also for the headers of the answer. */
static void explain(struct completion *c, struct run *r)
{
	char header[256];
	const struct explain_decision d = {
		.request_id = c->request_id,
		.model = c->model->name,
		.endpoint = completion_endpoint(c),
		.worker = r->backend->name,
		.owner = c->demands.key_id,
		.prompt = r->index,
		.block_size = c->block_size,
		.blocks = r->hashes_len,
		.now_us = env_now_us(c->fe->env),
		.pool = c->model->pool,
		.ticket = &r->ticket,
	};

	r->explained = explain_note(c->fe->explain, &d);
	if (r->index)
		return;
	explain_header(header, sizeof header, &d);
	c->worker = arena_strdup(&c->arena, r->backend->name);
	c->route = arena_strdup(&c->arena, header);
}

static int dispatch(struct run *r)
{
	struct completion *c = r->completion;

	metric_observe(c->model->queue, r->ticket.ready_us - r->ticket.submitted_us);
	int err = run_dispatch(r);
	if (err < 0)
		return err;
	explain(c, r);
	if (!r->index)
		c->dispatched_us = env_now_us(c->fe->env);
	return 0;
}

static void on_ready(struct pool_ticket *t)
{
	/* When it fails the completion has ended; nothing more to do either way. */
	int err = dispatch(CONTAINER_OF(t, struct run, ticket));
	(void)err;
}

static void ask(struct completion *c, struct run *r, uint32_t choices)
{
	r->ticket.request = (struct route_request){
		.prompt_tokens = r->prompt_len,
		.max_tokens = run_tokens_max(c, r),
		.choices = choices,
		.hashes = r->hashes,
		.hashes_count = r->hashes_len,
		.priority = c->demands.priority,
		.deadline_us = c->demands.deadline_us,
		.tenant = c->demands.tenant,
		.session = c->demands.session ? c->demands.session : c->req.session,
		.direct = c->demands.direct,
		.avoid = r->tried,
		.avoid_count = MIN(r->attempts, (uint32_t)ROUTE_AVOID_MAX),
	};
	r->ticket.uses = r->uses;
	r->ticket.on_ready = on_ready;
	r->ticket.on_shed = on_shed;
}

int completion_submit(struct completion *c, struct run *r, uint32_t choices)
{
	struct api_error e = {0};

	ask(c, r, choices);
	if (!r->attempts)
		route_metrics_note(c->model, r);
	switch (pool_submit(c->model->pool, &r->ticket)) {
	case POOL_READY:
		return dispatch(r);
	case POOL_FULL:
		shed_error(c->model, true, &e);
		completion_fail(c, r->lost ? r->lost : &e);
		return -EAGAIN;
	default:
		return 0;
	}
}

static uint32_t max_tokens(const struct completion *c)
{
	if (c->req.has_max_tokens)
		return MIN(c->req.max_tokens, c->context_max);
	return c->req.kind == API_CHAT ? c->context_max - c->runs[0]->prompt_len : COMPLETION_TOKENS_DEFAULT;
}

/* No token is asked for: the answer is what echo repeats, and no worker is needed. */
static void answer_at_once(struct completion *c)
{
	for (uint32_t i = 0; i < c->choices_len; i++) {
		c->choices[i].state = CHOICE_DONE;
		c->choices[i].finish = "length";
	}
	completion_flush(c);
}

static void after_text(struct completion *c)
{
	metric_observe(c->model->text, env_now_us(c->fe->env) - c->text_us);
	body_release(c);
	if (!c->error.status && (choices_init(c) < 0 || respond_init(c) < 0))
		api_error_set(&c->error, 500, NULL, NULL, "out of memory");
	if (c->error.status) {
		completion_fail(c, &c->error);
		return;
	}
	c->req.model = c->model->name;
	c->req.prompts = NULL;
	c->req.messages = NULL;
	c->req.stops = NULL;
	if (!c->req.has_seed)
		c->req.sampling.seed = env_rand(c->fe->env);
	c->max_tokens = max_tokens(c);
	for (uint32_t i = 0; i < c->runs_len; i++)
		c->prompt_tokens += c->runs[i]->prompt_len;
	c->state = COMPLETION_RUN;
	if (!c->max_tokens) {
		answer_at_once(c);
		return;
	}
	for (uint32_t i = 0; i < c->runs_len; i++)
		if (completion_submit(c, c->runs[i], c->runs[i]->flights_len) < 0)
			return;
}

static bool is_traceparent(const char *s)
{
	/* version-trace-parent-flags, W3C Trace Context */
	return s && strlen(s) == 55 && strspn(s, "0123456789abcdef-") == 55 && s[2] == '-' && s[35] == '-' &&
	       s[52] == '-';
}

static void bufs_init(struct completion *c)
{
	buf_init(&c->head, 4096);
	arena_init(&c->arena, REQUEST_ARENA_BYTES_MAX);
	arena_init(&c->parse_arena, REQUEST_ARENA_BYTES_MAX);
}

void completion_start(struct frontend *fe, struct http_exchange *x, enum api_kind kind)
{
	struct completion *c = calloc(1, sizeof *c);
	struct api_error e = {0};

	if (!c) {
		api_error_set(&e, 500, NULL, NULL, "out of memory");
		api_error_reply(x, &e);
		return;
	}
	c->fe = fe;
	c->scratch = &fe->scratch;
	c->x = x;
	c->kind = kind;
	c->arrived_us = env_now_us(fe->env);
	bufs_init(c);
	list_init(&c->dirty_link);
	list_init(&c->ping_link);
	list_add_tail(&fe->completions, &c->link);
	frontend_request_begun(fe);
	http_set_ops(x, &exchange_ops, c);
	api_request_id(fe, x, c->request_id, sizeof c->request_id);
	if (is_traceparent(http_header(x, "traceparent")))
		memcpy(c->traceparent, http_header(x, "traceparent"), 56);
	snprintf(c->id, sizeof c->id, "%s-%016llx%08x", kind == API_CHAT ? "chatcmpl" : "cmpl",
		(unsigned long long)env_rand(fe->env), (unsigned)(env_rand(fe->env) >> 32));
	/* A text thread may still read it when the client and its exchange are gone. */
	c->body_counted = http_body_take(x, &c->body);
	c->body_len = c->body.len;
	fe->body_bytes += c->body.len;
	if (demands_read(&c->demands, fe, x, &c->arena, &e) < 0) {
		completion_fail(c, &e);
	} else if (!api_json_is_cheap(buf_str(&c->body), c->body.len)) {
		c->tree_is_large = true;
		start_job(c, (struct text_size){.kind = TEXT_PARSE, .bytes = c->body.len});
	} else {
		prompt_parse(c);
		after_parse(c);
	}
}

/* tokens -> client */

void completion_dirty(struct completion *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	list_add_tail(&c->fe->dirty, &c->dirty_link);
}

void completions_flush(struct frontend *fe)
{
	while (!list_empty(&fe->dirty)) {
		struct completion *c = list_first(&fe->dirty, struct completion, dirty_link);
		list_del(&c->dirty_link);
		c->dirty = false;
		completion_flush(c);
	}
}

static bool has_room(const struct completion *c)
{
	return !c->req.stream || http_queued(c->x) + out_of(c)->len < COMPLETION_QUEUED_BYTES;
}

static void render(struct completion *c, struct choice *ch)
{
	if (ch->state == CHOICE_ENDED)
		return;
	if (has_room(c)) {
		respond_tokens(c, ch);
		if (ch->state == CHOICE_DONE && ch->in.taken == ch->in.len)
			respond_finish(c, ch);
	}
	c->waits |= ch->state == CHOICE_DONE || ch->in.taken < ch->in.len;
}

void completion_begin(struct completion *c)
{
	c->begun = true;
	add_route(c);
	http_add_header(c->x, "cache-control", "no-cache");
	http_add_header(c->x, "x-accel-buffering", "no");
	http_begin(c->x, 200, "text/event-stream");
	ping_begun(c);
}

static void write_out(struct completion *c)
{
	if (!out_of(c)->len)
		return;
	if (!c->begun)
		completion_begin(c);
	c->said = true;
	if (c->runs_kept)
		retry_said(c);
	c->sent_us = env_now_us(c->fe->env);
	http_write(c->x, out_of(c)->data, out_of(c)->len);
	buf_reset(out_of(c));
}

/* Usage counts what was cached, which a worker says at the end; without usage nobody waits for that. */
static bool is_over(const struct completion *c)
{
	bool needs_usage = !c->req.stream || c->req.include_usage;
	return !c->choices_open && !(needs_usage && c->flights_flying);
}

static void answer(struct completion *c)
{
	struct http_exchange *x = c->x;

	if (!c->req.stream)
		add_route(c);
	c->x = NULL;
	if (c->req.stream)
		http_end(x);
	else
		http_reply(x, 200, "application/json", out_of(c)->data, out_of(c)->len);
	completion_end(c, 200);
}

/* What JSON makes of it, by the usual sizes: 4 bytes of text a token, 48 a log-probability. */
static bool is_large(const struct completion *c)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < c->choices_len; i++)
		bytes += c->choices[i].text.len +
			 (c->req.logprobs ? (uint64_t)c->choices[i].rendered * (c->req.top_logprobs + 1) * 48 : 0);
	return bytes > COMPLETION_ANSWER_BYTES;
}

/* It did not fit, or memory was gone on the way. */
static void answer_failed(struct completion *c, const struct answer_scratch *s)
{
	struct api_error e = {0};

	if (s->out.len > COMPLETION_TEXT_BYTES_MAX / 2)
		api_error_set(&e, 400, "answer_too_large", NULL,
			"the answer is larger than %d MiB as JSON; ask for fewer choices, tokens or top_logprobs, or stream it",
			COMPLETION_TEXT_BYTES_MAX >> 20);
	else
		api_error_set(&e, 500, NULL, NULL, "out of memory");
	completion_fail(c, &e);
}

static void scratch_done(struct answer_scratch *s)
{
	buf_done(&s->out);
	buf_done(&s->piece);
	buf_done(&s->clean);
}

static bool is_failed(const struct answer_scratch *s)
{
	return s->out.failed || s->piece.failed || s->clean.failed;
}

static void on_answer_work(struct env_job *job)
{
	respond_whole(CONTAINER_OF(job, struct completion, answer_job));
}

static void on_answer_worked(struct env_job *job)
{
	struct completion *c = CONTAINER_OF(job, struct completion, answer_job);
	struct answer_scratch own = c->own_scratch; /* answer frees c */

	c->in_answer = false;
	c->fe->jobs--;
	if (!c->x)
		completion_release(c); /* it ended while the job ran */
	else if (is_failed(&own))
		answer_failed(c, &own);
	else
		answer(c);
	scratch_done(&own);
}

/* Nothing of c changes any more: its sequences have ended. False: no text thread takes it. */
static bool answer_on_text_thread(struct completion *c)
{
	struct answer_scratch *s = &c->own_scratch;

	buf_init(&s->out, COMPLETION_TEXT_BYTES_MAX);
	buf_init(&s->piece, PIECE_BYTES_MAX);
	buf_init(&s->clean, PIECE_BYTES_MAX);
	c->scratch = s;
	c->answer_job = (struct env_job){.work = on_answer_work,
		.done = on_answer_worked,
		.is_long = true,
		.cost_us = 20000,
		.owner = c->demands.owner};
	c->in_answer = env_offload(c->fe->env, ENV_POOL_TEXT, &c->answer_job) == 0;
	c->fe->jobs += c->in_answer;
	if (!c->in_answer)
		c->scratch = &c->fe->scratch;
	return c->in_answer;
}

static void scratch_trim(struct frontend *fe)
{
	if (fe->scratch.out.cap > SCRATCH_BYTES_KEPT)
		buf_done(&fe->scratch.out);
}

void completion_flush(struct completion *c)
{
	struct frontend *fe = c->fe;

	if (c->in_answer)
		return;
	buf_reset(&fe->scratch.out);
	buf_reset(&fe->scratch.piece);
	buf_reset(&fe->scratch.clean);
	fe->scratch.last = NULL;
	c->waits = false;
	for (uint32_t i = 0; i < c->choices_len; i++)
		render(c, &c->choices[i]);
	bool over = is_over(c);
	if (over && c->req.stream)
		respond_stream_end(c);
	else if (over && is_large(c) && answer_on_text_thread(c))
		return;
	else if (over)
		respond_whole(c);
	if (is_failed(c->scratch)) {
		answer_failed(c, c->scratch);
		return;
	}
	if (c->req.stream)
		write_out(c);
	if (over)
		answer(c);
	else if (c->kept > UNREAD_TRIM_BYTES && !c->waits)
		choices_count(c);
	scratch_trim(fe);
}
