/* retry.c - a request of which nothing has been sent to its client is done again when its worker fails it: on another worker
 * where there is one, with the same prompt and seed, so with the same answer.
 *
 * Nothing sent: of a stream no event (headers and comments do not count), of a whole answer ever. What may be done again
 * is a choice; a run is dispatched again for those of its choices that were lost, in a turn of its own, when none of the
 * others is at the worker any more. Prompts are kept for it, within RETRY_BYTES_MAX for all requests together: of a stream
 * until each choice has said something, of a whole answer until its end.
 *
 * RETRY_ATTEMPTS_MAX dispatches in all, so that a prompt that kills engines kills few of them; a worker that failed it gets
 * it again only where there is no other, and none gets it three times. Steps that did not end are not tried again: each
 * would hold a worker for minutes. */
#include "frontend/retry.h"

#include "base/log.h"

#include <stdio.h>

static bool has_said(const struct completion *c, const struct choice *ch)
{
	return c->req.stream && (ch->role_sent || ch->state == CHOICE_ENDED);
}

/* ---- prompts that are kept ---- */

static size_t prompt_bytes(const struct run *r)
{
	return r->prompt.len * sizeof *r->prompt.v;
}

void retry_keep(struct run *r)
{
	struct frontend *fe = r->fe;

	if (r->kept)
		return;
	if (fe->kept_bytes + prompt_bytes(r) > RETRY_BYTES_MAX)
		return;
	r->kept = true;
	r->completion->runs_kept++;
	fe->kept_bytes += prompt_bytes(r);
}

void retry_forget(struct run *r)
{
	if (!r->kept)
		return;
	r->kept = false;
	r->fe->kept_bytes -= prompt_bytes(r);
	if (r->completion)
		r->completion->runs_kept--;
	vec_done(&r->prompt);
}

void retry_said(struct completion *c)
{
	for (uint32_t i = 0; i < c->runs_len; i++) {
		struct run *r = c->runs[i];
		uint32_t silent = 0;

		for (uint32_t k = 0; k < c->req.n; k++)
			silent += !has_said(c, &c->choices[i * c->req.n + k]);
		if (!silent)
			retry_forget(r);
	}
}

/* ---- again ---- */

static bool may_try(const struct run *r, const struct choice *ch)
{
	return r->kept && !has_said(r->completion, ch);
}

/* As if it had never been sent. */
static void choice_reset(struct choice *ch)
{
	struct completion *c = ch->completion;

	c->generated_tokens -= ch->generated;
	ch->generated = ch->received = ch->rendered = 0;
	ch->in.len = ch->in.taken = 0;
	ch->last_us = ch->text_chars = ch->told = 0;
	ch->role_sent = ch->stopped = false;
	ch->finish = NULL;
	buf_reset(&ch->text);
	detok_done(&ch->detok);
	detok_init(&ch->detok, c->model->loaded.tokenizer, c->req.kind == API_CHAT);
	detok_done(&ch->told_text);
	detok_init(&ch->told_text, c->model->loaded.tokenizer, false);
	if (ch->scan)
		stop_scan_init(ch->scan, c->stops);
}

static void retry_soon(struct run *r)
{
	struct frontend *fe = r->fe;

	if (r->flying || !r->lost_len || !list_empty(&r->lost_link))
		return;
	list_add_tail(&fe->lost, &r->lost_link);
	env_timer_set_in(fe->env, &fe->retry_timer, 0);
}

bool retry_choice(struct run *r, struct choice *ch, const struct api_error *e)
{
	struct completion *c = r->completion;

	if (!may_try(r, ch))
		return false;
	if (!r->lost && !(r->lost = arena_alloc(&c->arena, sizeof *r->lost)))
		return false;
	*r->lost = *e;
	choice_reset(ch);
	ch->lost = true;
	r->lost_len++;
	retry_soon(r);
	return true;
}

void retry_landed(struct run *r)
{
	if (r->completion)
		retry_soon(r);
}

static bool has_attempt_left(const struct run *r)
{
	if (r->attempts >= RETRY_ATTEMPTS_MAX)
		return false;
	return r->attempts < 2 || r->tried[0] != r->tried[1] || pool_has_other(r->model->pool, r->tried, 2);
}
_Static_assert(RETRY_ATTEMPTS_MAX == 3 && ROUTE_AVOID_MAX == 2, "all tried but the last are remembered");

static void run_again(struct run *r)
{
	struct completion *c = r->completion;
	uint32_t lost = 0;

	for (uint32_t i = 0; i < r->flights_len; i++) {
		struct choice *ch = &c->choices[r->index * c->req.n + i];
		struct flight *f = &r->flights[i];

		*f = (struct flight){.run = r, .choice = ch->lost ? ch : NULL};
		lost += ch->lost;
		ch->lost = false;
	}
	ASSERT(lost && lost == r->lost_len);
	r->lost_len = 0;
	if (!has_attempt_left(r)) {
		completion_fail(c, r->lost);
		return;
	}
	c->dispatched_us = 0;
	log_debug("request goes to another worker", LOG_F("id", log_str(c->request_id)),
		LOG_F("attempt", log_u64(r->attempts + 1)), LOG_F("why", log_str(r->lost->message)));
	metric_add(c->model->retried, lost);
	/* Negative: it has ended. */
	int err = completion_submit(c, r, lost);
	(void)err;
}

void retry_on_timer(void *ctx)
{
	struct frontend *fe = ctx;

	while (!list_empty(&fe->lost)) {
		struct run *r = list_first(&fe->lost, struct run, lost_link);
		list_del(&r->lost_link);
		/* One that could not be sent, beside others that were: the last of them to land brings it back here. */
		if (!r->flying)
			run_again(r);
	}
}
