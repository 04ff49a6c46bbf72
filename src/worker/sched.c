#include "worker/sched_priv.h"
#include "kv/hash.h"

#include <stdio.h>

/* ---- create ---- */

static void set_defaults(struct sched_config *c, const struct engine_info *info)
{
	/* Checkpoints need sequences: with all of them running none could be kept. */
	uint32_t all = info->whole_copy && !info->prefix_copy ? MAX(info->seqs / 2, 1u) : info->seqs;
	uint32_t most = info->items_max ? MIN(info->items_max, info->seqs) : info->seqs;

	c->running_max = MIN(c->running_max ? c->running_max : all, most);
	c->waiting_max = c->waiting_max ? c->waiting_max : SCHED_WAITING_MAX;
	c->waiting_tokens_max = c->waiting_tokens_max ? c->waiting_tokens_max : SCHED_WAITING_TOKENS_MAX;
	c->step_budget_us = c->step_budget_us ? c->step_budget_us : SCHED_STEP_BUDGET_US;
	c->idle_budget_us = c->idle_budget_us ? c->idle_budget_us : SCHED_IDLE_BUDGET_US;
	c->evict = c->evict ? c->evict : &kv_evict_age_uses;
}

static int check(const struct engine_info *info, const struct sched_config *config, struct err *err)
{
	if (!config->block_size)
		return err_set(err, -EINVAL, "the block size is 0");
	if (info->batch_tokens_max < 2)
		return err_set(err, -EINVAL, "a batch of %u tokens; at least 2", info->batch_tokens_max);
	if (!info->seqs || info->cells < 2 || info->context_max < 2)
		return err_set(err, -EINVAL, "an engine of %u cells, %u sequences, context %u cannot serve a request",
			info->cells, info->seqs, info->context_max);
	if (config->deterministic && info->exact == ENGINE_EXACT_NO)
		return err_set(err, -ENOTSUP, "%s", SCHED_NOT_EXACT);
	return 0;
}

int sched_create(struct sched **ret, const struct engine_info *info, const struct sched_config *config, struct err *err)
{
	int r = check(info, config, err);
	if (r < 0)
		return err_wrap(err, "could not create the scheduler");
	struct sched *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(err, -ENOMEM, "could not create the scheduler: out of memory");
	s->info = *info;
	s->config = *config;
	set_defaults(&s->config, info);
	/* Decodes leave a quarter of a batch to prompts (compose.c). */
	s->piece = MAX(MIN((uint32_t)SCHED_PIECE, info->batch_tokens_max / 4), 1u);
	list_init(&s->waiting);
	list_init(&s->running);
	step_model_init(&s->model);
	s->items = calloc(info->seqs, sizeof *s->items);
	s->item_reqs = calloc(info->seqs, sizeof *s->item_reqs);
	s->result.outs = calloc(info->seqs, sizeof *s->result.outs);
	if (!s->items || !s->item_reqs || !s->result.outs || vec_reserve(&s->tokens, info->seqs) < 0 ||
		seqs_init(&s->seqs, info, config->block_size, s->config.evict) < 0) {
		sched_destroy(s);
		return err_set(err, -ENOMEM, "could not create the scheduler: out of memory");
	}
	*ret = s;
	return 0;
}

static void req_free(struct sched *s, struct req *r)
{
	timer_heap_cancel(&s->deadlines, &r->deadline);
	if (map_get_ptr(&s->by_id, r->q.id) == r)
		map_del(&s->by_id, r->q.id);
	list_del(&r->link);
	vec_done(&r->tokens);
	vec_done(&r->uses);
	free(r->hashes);
	free((void *)r->q.sampling.bias_tokens);
	free((void *)r->q.sampling.bias_values);
	free(r);
}

void sched_destroy(struct sched *s)
{
	if (!s)
		return;
	list_foreach_safe(it, &s->waiting) req_free(s, req_of(it));
	list_foreach_safe(it, &s->running) req_free(s, req_of(it));
	seqs_done(&s->seqs);
	map_done(&s->by_id);
	timer_heap_done(&s->deadlines);
	vec_done(&s->ops);
	vec_done(&s->tokens);
	vec_done(&s->dones);
	free(s->items);
	free(s->item_reqs);
	free(s->result.outs);
	free(s);
}

/* ---- the end of a request ---- */

static uint32_t generated(const struct req *r)
{
	return r->tokens.len - r->q.prompt_len;
}

static void push_done(struct sched *s, uint64_t now_us, const struct req *r, enum msg_reason reason, int code,
	const char *fmt, va_list ap)
{
	struct sched_done d = {.id = r->q.id,
		.user = r->q.user,
		.reason = reason,
		.code = code,
		.cached_tokens = r->cached,
		.generated = generated(r),
		.preemptions = r->preemptions,
		.queue_us = r->queue_us + (r->state == REQ_WAITING ? now_us - r->queued_us : 0)};

	if (r->first_token_us) {
		d.prefill_us = r->first_token_us - r->started_us;
		d.decode_us = now_us - r->first_token_us;
	} else if (r->started) {
		d.prefill_us = now_us - r->started_us;
	}
	if (fmt)
		vsnprintf(d.error, sizeof d.error, fmt, ap);
	int r_push = vec_push(&s->dones, d);
	ASSERT(r_push == 0); /* admit made room */
}

/* Take r out of the lists and give back its sequence. */
static void req_remove(struct sched *s, struct req *r)
{
	if (r->state == REQ_WAITING) {
		s->waiting_count--;
		s->waiting_tokens -= r->tokens.len;
	} else {
		s->running_count--;
		s->broken |= seqs_release(&s->seqs, r->seq) < 0;
	}
	req_free(s, r);
}

void req_end(struct sched *s, uint64_t now_us, struct req *r, enum msg_reason reason, int code, const char *fmt, ...)
{
	va_list ap;

	if (r->ended)
		return;
	s->seqs.now_us = now_us;
	va_start(ap, fmt);
	push_done(s, now_us, r, reason, code, fmt, ap);
	va_end(ap);
	r->ended = true;
	/* The engine may be reading its tokens: apply removes it. Its id is free from now on. */
	map_del(&s->by_id, r->q.id);
	timer_heap_cancel(&s->deadlines, &r->deadline);
	if (!r->in_flight)
		req_remove(s, r);
}

bool sched_cancel(struct sched *s, uint64_t now_us, uint64_t id)
{
	struct req *r = map_get_ptr(&s->by_id, id);

	if (!r)
		return false;
	req_end(s, now_us, r, MSG_REASON_CANCELLED, 0, NULL);
	return true;
}

void sched_expire(struct sched *s, uint64_t now_us)
{
	struct env_timer *t;

	while ((t = timer_heap_pop(&s->deadlines, now_us)))
		req_end(s, now_us, CONTAINER_OF(t, struct req, deadline), MSG_REASON_DEADLINE, -ETIMEDOUT,
			"the request ran out of time");
}

uint64_t sched_next_deadline_us(const struct sched *s)
{
	return timer_heap_next_us(&s->deadlines);
}

void sched_fail_all(struct sched *s, uint64_t now_us, int code, const char *why)
{
	list_foreach_safe(it, &s->running) req_end(s, now_us, req_of(it), MSG_REASON_FAILED, code, "%s", why);
	list_foreach_safe(it, &s->waiting) req_end(s, now_us, req_of(it), MSG_REASON_FAILED, code, "%s", why);
}

/* ---- admission ---- */

void req_insert(struct list *head, struct req *r)
{
	struct list *at = head;

	while (at->prev != head && req_before(r, req_of(at->prev)))
		at = at->prev;
	list_add_tail(at, &r->link);
}

static void enqueue(struct sched *s, struct req *r)
{
	r->state = REQ_WAITING;
	s->waiting_count++;
	s->waiting_tokens += r->tokens.len;
	req_insert(&s->waiting, r);
}

static int copy_bias(struct engine_sampling *ret, const struct engine_sampling *from)
{
	size_t n = from->bias_count;
	uint32_t *tokens = malloc(n * sizeof *tokens + 1);
	float *values = malloc(n * sizeof *values + 1);

	ret->bias_tokens = tokens;
	ret->bias_values = values;
	if (!tokens || !values)
		return -ENOMEM;
	if (n) {
		memcpy(tokens, from->bias_tokens, n * sizeof *tokens);
		memcpy(values, from->bias_values, n * sizeof *values);
	}
	return 0;
}

/* Hashes of all tokens it has now. */
static int hash_tokens(struct sched *s, struct req *r)
{
	uint64_t *hashes = realloc(r->hashes, (r->tokens.len / s->config.block_size + 1) * sizeof *hashes);

	if (!hashes)
		return -ENOMEM;
	r->hashes = hashes;
	r->hashes_count = kv_hash_blocks(r->tokens.v, r->tokens.len, s->config.block_size, r->q.kv_seed, r->hashes);
	return 0;
}

static int req_create(struct sched *s, const struct sched_request *q, struct req **ret)
{
	struct req *r = calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	list_init(&r->link);
	r->q = *q;
	r->q.tokens = NULL;
	r->q.uses = NULL;
	r->q.deterministic |= s->config.deterministic;
	r->alone = r->q.deterministic && s->info.exact == ENGINE_EXACT_ALONE;
	int code = copy_bias(&r->q.sampling, &q->sampling);
	if (code == 0)
		code = vec_reserve(&r->tokens, q->tokens_count);
	if (code == 0 && q->tokens_count)
		memcpy(r->tokens.v, q->tokens, q->tokens_count * sizeof *q->tokens);
	r->tokens.len = q->tokens_count;
	uint32_t uses = MIN(q->uses_count, q->tokens_count / s->config.block_size);
	if (code == 0 && uses && (code = vec_reserve(&r->uses, uses)) == 0) {
		memcpy(r->uses.v, q->uses, uses);
		r->uses.len = uses;
	}
	/* Room for everybody's done, so that an end never needs memory. */
	if (code == 0)
		code = vec_reserve(&s->dones, s->waiting_count + s->running_count + 1);
	if (code == 0)
		code = map_put_ptr(&s->by_id, q->id, r);
	if (code < 0) {
		req_free(s, r);
		return code;
	}
	*ret = r;
	return 0;
}

/* Limits that no waiting can change. True when it may run. */
static bool check_request(struct sched *s, uint64_t now_us, struct req *r)
{
	uint32_t room = MIN(s->info.context_max, s->info.cells), n = r->tokens.len;

	if (!r->q.prompt_len || r->q.prompt_len > n) {
		req_end(s, now_us, r, MSG_REASON_REFUSED, -EINVAL, "the prompt has no tokens");
		return false;
	}
	for (uint32_t i = 0; i < n; i++)
		if (r->tokens.v[i] >= s->info.vocab) {
			req_end(s, now_us, r, MSG_REASON_REFUSED, -EINVAL,
				"token id %u is not in the vocabulary of %u tokens", r->tokens.v[i], s->info.vocab);
			return false;
		}
	if (n >= room) {
		bool cells = s->info.cells < s->info.context_max;
		req_end(s, now_us, r, MSG_REASON_REFUSED, -E2BIG,
			"%u tokens leave no room for an answer in %s of %u tokens", n,
			cells ? "the worker's KV cache" : "the context", room);
		return false;
	}
	if (r->q.deterministic && s->info.exact == ENGINE_EXACT_NO) {
		req_end(s, now_us, r, MSG_REASON_REFUSED, -ENOTSUP, "%s", SCHED_NOT_EXACT);
		return false;
	}
	/* The last token drawn needs no cell, but a context is counted with it. */
	uint32_t more = r->q.max_tokens ? r->q.max_tokens : room;
	r->end_max = MIN(room, MIN(r->q.prompt_len, UINT32_MAX - more) + more);
	if (n >= r->end_max) {
		req_end(s, now_us, r, MSG_REASON_LENGTH, 0, NULL);
		return false;
	}
	if (s->waiting_count > s->config.waiting_max || s->waiting_tokens > s->config.waiting_tokens_max) {
		req_end(s, now_us, r, MSG_REASON_REFUSED, -EAGAIN,
			"the worker's queue is full (%u requests, %llu tokens)", s->waiting_count - 1,
			(unsigned long long)(s->waiting_tokens - n));
		return false;
	}
	return true;
}

int sched_admit(struct sched *s, uint64_t now_us, const struct sched_request *q)
{
	struct req *r;

	ASSERT(!map_get(&s->by_id, q->id, NULL));
	int code = req_create(s, q, &r);
	if (code < 0)
		return code;
	r->arrival = ++s->arrivals;
	r->queued_us = now_us;
	enqueue(s, r);
	if (s->broken) {
		req_end(s, now_us, r, MSG_REASON_FAILED, -EIO, "the engine of this worker has failed");
		return 0;
	}
	if (!check_request(s, now_us, r))
		return 0;
	code = hash_tokens(s, r);
	if (code == 0 && q->deadline_us)
		code = timer_heap_set(&s->deadlines, &r->deadline, q->deadline_us);
	if (code < 0)
		req_remove(s, r);
	return code;
}

/* ---- pre-emption ---- */

void req_requeue(struct sched *s, struct req *r)
{
	ASSERT(r->state == REQ_RUNNING && !r->in_flight);
	r->preempt = false;
	r->preemptions++;
	s->preemptions++;
	s->running_count--;
	list_del(&r->link);
	s->broken |= seqs_release(&s->seqs, r->seq) < 0;
	/* Without new hashes it only finds less of itself again. */
	(void)hash_tokens(s, r);
	enqueue(s, r);
}

struct req *sched_youngest(struct sched *s)
{
	for (struct list *it = s->running.prev; it != &s->running && it->prev != &s->running; it = it->prev)
		if (!req_of(it)->ended && !req_of(it)->preempt)
			return req_of(it);
	return NULL;
}

bool sched_preempt(struct sched *s)
{
	struct req *r = sched_youngest(s);

	if (!r)
		return false;
	if (r->in_flight)
		r->preempt = true;
	else
		req_requeue(s, r);
	return true;
}

/* ---- what a step did ---- */

static void take_token(struct sched *s, uint64_t now_us, struct req *r, const struct engine_out *out)
{
	if (vec_push(&r->tokens, out->token) < 0) {
		req_end(s, now_us, r, MSG_REASON_FAILED, -ENOMEM, "out of memory");
		return;
	}
	if (!r->first_token_us)
		r->first_token_us = MAX(now_us, 1u);
	ASSERT(s->tokens.len < s->tokens.cap);
	s->tokens.v[s->tokens.len++] = (struct sched_token){r->q.id, r->q.user, out->token, r->q.logprobs > 0, out};
	if (out->eog)
		req_end(s, now_us, r, MSG_REASON_EOS, 0, NULL);
	else if (r->tokens.len >= r->end_max)
		req_end(s, now_us, r, MSG_REASON_LENGTH, 0, NULL);
}

/* r is no longer read by the engine: do what had to wait. */
static void settle(struct sched *s, struct req *r)
{
	r->in_flight = false;
	if (r->ended)
		req_remove(s, r);
	else if (r->preempt)
		req_requeue(s, r);
}

/* What the batch holds. A request's first token counts as the prompt's, whatever piece it came with. */
static struct step_load load_of(const struct sched *s)
{
	struct step_load ret = {0};

	for (uint32_t i = 0; i < s->batch.items_count; i++) {
		const struct engine_item *it = &s->items[i];
		if (s->item_reqs[i]->first_token_us && it->count == 1)
			ret.decode++;
		else
			ret.prefill += it->count;
		ret.context += (uint64_t)it->pos + it->count;
	}
	return ret;
}

static int apply_item(struct sched *s, uint64_t now_us, uint32_t i)
{
	const struct engine_item *it = &s->items[i];
	struct req *r = s->item_reqs[i];

	int code = seqs_append(&s->seqs, r->seq, it->tokens, it->count);
	if (code < 0)
		return code;
	if (it->alone && it->pos == s->seqs.v[it->seq].exact && it->count == s->piece)
		seqs_set_exact(&s->seqs, it->seq, it->pos + it->count);
	/* What was computed for a request that has ended meanwhile stays cached; its token goes nowhere. */
	if (it->want && !r->ended)
		take_token(s, now_us, r, &s->result.outs[i]);
	return 0;
}

/* Cells that should have sufficed did not: make some room, so that the next batch has more or is smaller. */
static void no_space(struct sched *s, uint64_t now_us)
{
	if (seqs_drop_one(&s->seqs) || sched_preempt(s) || list_empty(&s->running))
		return;
	req_end(s, now_us, req_of(s->running.next), MSG_REASON_FAILED, -ENOSPC,
		"the KV cache of %u cells did not hold the request", s->info.cells);
}

static void settle_all(struct sched *s)
{
	for (uint32_t i = 0; i < s->batch.items_count; i++)
		settle(s, s->item_reqs[i]);
	s->batch.items_count = 0;
}

/* The engine or our account of it cannot be trusted any more. */
static int give_up(struct sched *s, uint64_t now_us, int code, struct err *err)
{
	s->broken = true;
	sched_fail_all(s, now_us, code, err->msg);
	return err_wrap(err, "the engine failed");
}

int sched_apply(struct sched *s, uint64_t now_us, int code, struct err *err)
{
	struct err local = {0};

	ASSERT(s->out);
	err = err ? err : &local;
	s->seqs.now_us = now_us;
	s->out = false;
	s->last = code == 0 ? load_of(s) : (struct step_load){0};
	for (uint32_t i = 0; i < s->batch.items_count && code == 0; i++) {
		code = apply_item(s, now_us, i);
		if (code < 0)
			err_set(err, code, "out of memory");
	}
	if (code == 0)
		step_model_learn(
			&s->model, s->last.prefill + s->last.decode, s->cells_at_compose, s->result.duration_us);
	settle_all(s);
	if (code == -ENOSPC)
		no_space(s, now_us);
	else if (code < 0)
		return give_up(s, now_us, code, err);
	if (s->broken)
		return give_up(s, now_us, err_set(err, -ENOMEM, "out of memory"), err);
	return 0;
}

/* ---- looking in ---- */

struct engine_result *sched_result(struct sched *s)
{
	return &s->result;
}

const struct engine_batch *sched_in_flight(const struct sched *s)
{
	return s->out ? &s->batch : NULL;
}

struct sched_outbox sched_outbox(const struct sched *s)
{
	return (struct sched_outbox){s->tokens.v, s->dones.v, s->tokens.len, s->dones.len};
}

void sched_outbox_clear(struct sched *s)
{
	s->tokens.len = s->dones.len = 0;
}

struct kv_blocks *sched_blocks(struct sched *s)
{
	return &s->seqs.blocks;
}

uint32_t sched_running_max(const struct sched *s)
{
	return s->config.running_max;
}

uint32_t sched_requests(const struct sched *s)
{
	return s->by_id.len;
}

bool sched_broken(const struct sched *s)
{
	return s->broken;
}

void sched_report(const struct sched *s, struct msg_step *ret)
{
	const struct kv_cells *c = &s->seqs.cells;

	const struct step_load next = s->out ? load_of(s) : (struct step_load){0};

	ret->prefill_tokens = s->last.prefill;
	ret->decode_tokens = s->last.decode;
	ret->context_tokens = s->last.context;
	ret->next_prefill_tokens = next.prefill;
	ret->next_decode_tokens = next.decode;
	ret->next_context_tokens = next.context;
	ret->running = s->running_count;
	ret->waiting = s->waiting_count;
	ret->waiting_tokens = s->waiting_tokens;
	list_foreach(it, &s->running)
	{
		/* One token left is a decode, or as good as one. */
		uint32_t left = req_left(s, req_of(it));
		ret->waiting_tokens += left > 1 ? left : 0;
	}
	ret->cells = c->cells;
	ret->cells_used = c->cells - c->free_count;
	ret->cells_active = c->active_count;
	ret->digest = s->seqs.blocks.digest;
	ret->blocks_held = s->seqs.blocks.held;
	ret->preemptions = s->preemptions;
}
