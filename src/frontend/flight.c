#include "frontend/retry.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

enum { KEPT_BYTES_MAX = 16 * 1024 }; /* of a choice's arrays, while nothing waits in them */

struct run *run_create(struct completion *c, uint32_t flights)
{
	struct run *r = calloc(1, sizeof *r + flights * sizeof r->flights[0]);

	if (!r)
		return NULL;
	r->completion = c;
	r->fe = c->fe;
	r->model = c->model;
	r->refs = 1;
	list_init(&r->lost_link);
	r->flights_len = flights;
	for (uint32_t i = 0; i < flights; i++)
		r->flights[i].run = r;
	return r;
}

void run_unref(struct run *r)
{
	ASSERT(r->refs);
	if (--r->refs)
		return;
	ASSERT(r->ticket.state == POOL_IDLE);
	retry_forget(r);
	vec_done(&r->prompt);
	free(r->hashes);
	free(r);
}

/* A flight has ended at its worker, or with it, or never left. */
static void flight_land(struct flight *f)
{
	struct run *r = f->run;

	ASSERT(f->flying);
	f->flying = false;
	r->fe->flights--;
	r->flying--;
	if (r->completion)
		r->completion->flights_flying--;
	if (f->choice)
		f->choice->flight = NULL;
	f->choice = NULL;
	pool_release(r->model->pool, &r->ticket);
	model_unuse(r->model);
	run_unref(r);
}

void choice_cancel(struct choice *ch)
{
	struct flight *f = ch->flight;

	if (!f || f->cancelled)
		return;
	f->cancelled = true;
	link_cancel(f->run->backend->conn, f->id);
}

void run_abandon(struct run *r)
{
	pool_cancel(r->model->pool, &r->ticket);
	list_del(&r->lost_link);
	for (uint32_t i = 0; i < r->flights_len; i++) {
		struct flight *f = &r->flights[i];
		if (!f->flying || !f->choice)
			continue;
		choice_cancel(f->choice);
		f->choice->flight = NULL;
		f->choice = NULL;
	}
	retry_forget(r);
	r->completion = NULL;
	run_unref(r);
}

/* 0: no deadline. One that has just passed is the worker's to end. */
static uint64_t time_left_ms(const struct completion *c)
{
	uint64_t now_us = env_now_us(c->fe->env), end_us = c->demands.deadline_us;

	return !end_us ? 0 : end_us > now_us ? (end_us - now_us) / 1000 + 1 : 1;
}

/* Choices of one prompt differ by their seed; the first has the one that was asked for, at each prompt. Where none was
 * asked for, prompts differ too: a text that is sent twice in one request is two samples. */
static uint64_t seed_of(const struct run *r, uint32_t index)
{
	uint64_t seed = r->completion->req.sampling.seed;

	if (!r->completion->req.has_seed && r->index)
		seed = rng_keyed_u64(seed, (uint64_t)r->index << 32);
	return index ? rng_keyed_u64(seed, index) : seed;
}

static void fill_request(const struct run *r, uint32_t index, struct msg_request *m)
{
	const struct completion *c = r->completion;

	*m = (struct msg_request){
		.id = r->flights[index].id,
		.request_id = msg_str(c->request_id),
		.traceparent = msg_str(c->traceparent),
		.model = msg_str(c->model->name),
		.salt = c->salt,
		.no_cache = !c->req.cache_prompt,
		.deterministic = c->req.deterministic,
		.tokens = {r->prompt.v, r->prompt.len},
		.prompt_len = r->prompt.len,
		.max_tokens = run_tokens_max(c, r),
		.min_tokens = c->req.min_tokens,
		.ignore_eos = c->req.ignore_eos,
		.logprobs = c->req.logprobs ? c->req.top_logprobs + 1 : 0,
		.sampling = c->req.sampling,
		.priority = c->demands.priority,
		.time_left_ms = time_left_ms(c),
		.uses = {(const char *)r->uses, r->uses ? r->hashes_len : 0},
	};
	m->sampling.seed = seed_of(r, index);
}

static int send(struct run *r, uint32_t index)
{
	struct backend *b = r->backend;
	struct flight *f = &r->flights[index];
	struct msg_request m;

	f->id = ++r->fe->next_id;
	fill_request(r, index, &m);
	int err = map_put_ptr(&b->flights, f->id, f);
	if (err < 0)
		return err;
	if (b->flights.len == 1)
		b->busy_us = env_now_us(r->fe->env);
	err = link_request(b->conn, &m);
	if (err < 0)
		map_del(&b->flights, f->id);
	else
		metric_add(b->dispatched, 1);
	return err;
}

static void take_off(struct flight *f)
{
	struct run *r = f->run;

	f->flying = true;
	r->refs++;
	r->flying++;
	r->fe->flights++;
	r->model->users++;
	r->completion->flights_flying++;
	f->choice->flight = f;
}

/* The worker does not read. Negative: its choice cannot be done elsewhere. */
static int not_sent(struct flight *f, struct api_error *e)
{
	struct run *r = f->run;
	struct choice *ch = f->choice;

	api_error_set(e, 503, "worker_not_reading", NULL, "worker \"%s\" takes no more requests", r->backend->name);
	e->retry_after_s = 1;
	flight_land(f);
	return retry_choice(r, ch, e) ? 0 : -EIO;
}

int run_dispatch(struct run *r)
{
	struct completion *c = r->completion;
	struct api_error e;
	int err = 0;

	r->backend = pool_worker_user(r->ticket.worker);
	retry_keep(r);
	if (r->attempts < ARRAY_LEN(r->tried))
		r->tried[r->attempts] = route_name_hash(r->backend->name);
	r->attempts++;
	for (uint32_t i = 0; i < r->flights_len; i++) {
		if (!r->flights[i].choice)
			continue; /* it has its answer from before */
		take_off(&r->flights[i]);
		if (send(r, i) < 0 && not_sent(&r->flights[i], &e) < 0)
			err = -EIO;
	}
	if (r->attempts >= RETRY_ATTEMPTS_MAX)
		retry_forget(r);
	if (!r->kept)
		vec_done(&r->prompt);
	if (err < 0)
		completion_fail(c, &e);
	return err;
}

static size_t token_bytes(const struct completion *c)
{
	size_t plain = sizeof(uint32_t), with = c->req.logprobs ? sizeof(float) : 0,
	       each = c->req.logprobs ? sizeof(uint32_t) + sizeof(float) : 0;

	return plain + with + each * c->req.top_logprobs;
}

/* A reader that was slow once and has caught up needs no large arrays. */
static void choice_trim(struct choice *ch, size_t bytes)
{
	if (ch->in.taken < ch->in.len || ch->in.cap * bytes <= KEPT_BYTES_MAX)
		return;
	free(ch->in.tokens);
	free(ch->in.logprobs);
	free(ch->in.top_tokens);
	free(ch->in.top_logprobs);
	memset(&ch->in, 0, sizeof ch->in);
}

void choices_count(struct completion *c)
{
	size_t bytes = token_bytes(c), kept = 0;

	for (uint32_t i = 0; i < c->choices_len; i++) {
		if (c->req.stream)
			choice_trim(&c->choices[i], bytes);
		kept += c->choices[i].in.cap * bytes;
	}
	if (kept == c->kept || !c->x)
		return;
	c->kept = kept;
	http_hold(c->x, kept);
}

/* The front that was rendered makes room, when it is the larger part. */
static void choice_compact(struct choice *ch, uint32_t top, bool logprobs)
{
	uint32_t taken = ch->in.taken, left = ch->in.len - taken;

	if (!taken || taken < left)
		return;
	memmove(ch->in.tokens, ch->in.tokens + taken, left * sizeof *ch->in.tokens);
	if (logprobs)
		memmove(ch->in.logprobs, ch->in.logprobs + taken, left * sizeof *ch->in.logprobs);
	if (top) {
		size_t at = (size_t)taken * top, count = (size_t)left * top;
		memmove(ch->in.top_tokens, ch->in.top_tokens + at, count * sizeof *ch->in.top_tokens);
		memmove(ch->in.top_logprobs, ch->in.top_logprobs + at, count * sizeof *ch->in.top_logprobs);
	}
	ch->in.taken = 0;
	ch->in.len = left;
}

/* Keep n tokens of item behind those that wait. Whole answers with log-probabilities keep everything; else the front
 * that was rendered is used again. */
static int keep(struct choice *ch, const struct msg_token_item *item, uint32_t n, uint32_t top, bool logprobs)
{
	bool keeps_all = logprobs && !ch->completion->req.stream;

	if (!keeps_all && (ch->in.taken == ch->in.len || ch->in.len + n > ch->in.cap))
		choice_compact(ch, top, logprobs);
	if (ch->in.len + n > ch->in.cap) {
		uint32_t cap = MAX(MAX(ch->in.len + n, ch->in.cap * 2), 16u);
		void *v = realloc(ch->in.tokens, cap * sizeof *ch->in.tokens);
		ch->in.tokens = v ? v : ch->in.tokens;
		if (v && logprobs && (v = realloc(ch->in.logprobs, cap * sizeof *ch->in.logprobs)))
			ch->in.logprobs = v;
		if (v && top && (v = realloc(ch->in.top_tokens, (size_t)cap * top * sizeof *ch->in.top_tokens)))
			ch->in.top_tokens = v;
		if (v && top && (v = realloc(ch->in.top_logprobs, (size_t)cap * top * sizeof *ch->in.top_logprobs)))
			ch->in.top_logprobs = v;
		if (!v)
			return -ENOMEM;
		ch->in.cap = cap;
	}
	memcpy(ch->in.tokens + ch->in.len, item->tokens.v, n * sizeof *ch->in.tokens);
	if (logprobs)
		memcpy(ch->in.logprobs + ch->in.len, item->logprobs.v, n * sizeof *ch->in.logprobs);
	if (top) {
		size_t at = (size_t)ch->in.len * top, count = (size_t)n * top;
		memcpy(ch->in.top_tokens + at, item->top_tokens.v, count * sizeof *ch->in.top_tokens);
		memcpy(ch->in.top_logprobs + at, item->top_logprobs.v, count * sizeof *ch->in.top_logprobs);
	}
	ch->in.len += n;
	return 0;
}

static void observe_arrival(struct completion *c, struct choice *ch, uint32_t n)
{
	uint64_t now_us = env_now_us(c->fe->env);

	if (!c->first_us) {
		c->first_us = now_us;
		metric_observe(c->model->ttft, now_us - c->arrived_us);
	}
	if (ch->last_us)
		metric_observe(c->model->inter_token, (now_us - ch->last_us) / n);
	ch->last_us = now_us;
	metric_add(c->model->generated_tokens, n);
}

/* What the worker says must fit what was asked, or it is not to be trusted with this request. */
static bool is_sane(const struct completion *c, const struct choice *ch, const struct msg_token_item *item)
{
	uint32_t n = item->tokens.len, top = c->req.top_logprobs;

	if (n > c->max_tokens - ch->received)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (item->tokens.v[i] >= tokenizer_vocab(c->model->loaded.tokenizer))
			return false;
	return !c->req.logprobs ||
	       (item->logprobs.len == n && item->top_tokens.len == n * top && item->top_logprobs.len == n * top);
}

static void why_failed(struct api_error *e, int status, const char *code, const char *why)
{
	*e = (struct api_error){0};
	api_error_set(e, status, code, NULL, "%s", why);
	if (status == 503)
		e->retry_after_s = 1;
}

static void fail_choice(struct choice *ch, int status, const char *code, const char *why)
{
	struct api_error e;

	why_failed(&e, status, code, why);
	completion_fail(ch->completion, &e);
}

/* The fault is the worker's: another may do better. */
static void fail_or_retry(struct run *r, struct choice *ch, int status, const char *code, const char *why)
{
	struct api_error e;

	why_failed(&e, status, code, why);
	if (!retry_choice(r, ch, &e))
		completion_fail(ch->completion, &e);
}

static void note_first_token(struct run *r)
{
	struct pool_ticket *t = &r->ticket;

	if (t->first_us)
		return;
	pool_first_token(r->model->pool, t);
	explain_first_token(r->fe->explain, r->explained, t->first_us - t->ready_us);
}

/* The last token that was asked for is known to be the last before the worker says so, and its text can travel with the reason. */
static void note_length(const struct run *r, struct choice *ch, uint32_t last)
{
	const struct completion *c = ch->completion;

	if (ch->received < run_tokens_max(c, r))
		return;
	ch->state = CHOICE_DONE;
	ch->finish = tokenizer_is_eog(c->model->loaded.tokenizer, last) ? "stop" : "length";
}

void flight_tokens(struct flight *f, const struct msg_token_item *item)
{
	struct choice *ch = f->choice;
	uint32_t n = item->tokens.len;

	note_first_token(f->run);
	if (!ch || ch->state != CHOICE_OPEN || !n)
		return;
	struct completion *c = ch->completion;
	if (!is_sane(c, ch, item)) {
		fail_choice(ch, 500, "worker_error", "the worker sent tokens that do not fit the request");
		return;
	}
	uint32_t cap = ch->in.cap;
	observe_arrival(c, ch, n);
	if (keep(ch, item, n, c->req.logprobs ? c->req.top_logprobs : 0, c->req.logprobs) < 0) {
		fail_choice(ch, 500, NULL, "out of memory");
		return;
	}
	ch->received += n;
	note_length(f->run, ch, item->tokens.v[n - 1]);
	if (ch->in.cap != cap)
		choices_count(c);
	completion_dirty(c);
}

static void fail_by_reason(struct run *r, struct choice *ch, const struct msg_done *done)
{
	char why[API_MESSAGE_BYTES_MAX];
	const char *error = done->error.len ? done->error.data : "it gave no reason";

	switch (done->reason) {
	case MSG_REASON_REFUSED:
		if (done->code == -E2BIG) {
			snprintf(why, sizeof why,
				"This model's maximum context length is exceeded at the worker: %s. Please reduce the "
				"length of the "
				"messages or completion.",
				error);
			fail_choice(ch, 400, "context_length_exceeded", why);
			break;
		}
		snprintf(why, sizeof why, "the worker refused the request: %s", error);
		if (done->code == -ENOTSUP)
			fail_choice(ch, 400, "unsupported_parameter", why);
		else if (done->code == -EINVAL || done->code == -ERANGE)
			fail_choice(ch, 400, NULL, why);
		else
			fail_or_retry(r, ch, 503, "worker_busy", why);
		break;
	case MSG_REASON_DEADLINE:
		fail_choice(ch, 504, "deadline_exceeded", "the request's time was over");
		break;
	case MSG_REASON_CANCELLED:
		fail_or_retry(r, ch, 503, "worker_stopped", "the worker stopped the request");
		break;
	default:
		snprintf(why, sizeof why, "the worker failed: %s", error);
		/* A step that did not end: the next worker would be held up for as long. */
		if (done->code == -ETIMEDOUT)
			fail_choice(ch, 500, "worker_error", why);
		else
			fail_or_retry(r, ch, 500, "worker_error", why);
	}
}

/* The first choice speaks for its prompt: the others find its blocks cached. */
static void note_outcome(struct run *r, const struct msg_done *done)
{
	struct pool_ticket *t = &r->ticket;
	const struct route_outcome outcome = {
		.ttft_us = t->first_us ? t->first_us - t->submitted_us : 0,
		.cached_tokens = MIN(done->cached_tokens, r->prompt_len),
		.generated = MIN(done->generated, t->request.max_tokens),
	};

	if (done->reason != MSG_REASON_EOS && done->reason != MSG_REASON_LENGTH)
		return;
	pool_outcome(r->model->pool, t, &outcome);
	explain_done(r->fe->explain, r->explained, outcome.cached_tokens, outcome.generated);
}

void flight_done(struct flight *f, const struct msg_done *done)
{
	struct choice *ch = f->choice;
	struct run *r = f->run;
	struct completion *c = r->completion;

	if (f == &r->flights[0])
		note_outcome(r, done);
	if (ch && f == &r->flights[0])
		c->cached_tokens += MIN(done->cached_tokens, r->prompt_len); /* it is the worker's word */
	flight_land(f);
	if (!ch)
		return;
	completion_dirty(c);
	bool is_answer = done->reason == MSG_REASON_EOS || done->reason == MSG_REASON_LENGTH;
	if (ch->state == CHOICE_OPEN && is_answer) {
		ch->state = CHOICE_DONE;
		ch->finish = done->reason == MSG_REASON_EOS ? "stop" : "length";
	}
	/* Else it found its stop string meanwhile. */
	if (ch->state == CHOICE_OPEN)
		fail_by_reason(r, ch, done);
	else
		retry_landed(r);
}

void flight_lost(struct flight *f, const char *why, bool hung)
{
	struct choice *ch = f->choice;
	struct run *r = f->run;
	char message[API_MESSAGE_BYTES_MAX];

	snprintf(message, sizeof message, "the worker \"%s\" was lost while it answered: %s", r->backend->name, why);
	flight_land(f);
	if (!ch)
		return;
	if (ch->state == CHOICE_OPEN && hung) {
		fail_choice(ch, 503, "worker_lost", message);
	} else if (ch->state == CHOICE_OPEN) {
		fail_or_retry(r, ch, 503, "worker_lost", message);
	} else {
		completion_dirty(ch->completion);
		retry_landed(r);
	}
}
