/* compose.c - what goes into the next batch (sched.h has the rules). */
#include "worker/sched_priv.h"

enum {
	PREFILL_SHARE = 4, /* prefill gets at least this part (1/n) of a step's time and tokens, however many decode */
	PREFILL_PIECE_MIN = 4, /* tokens; smaller pieces only pay the step's fixed cost again */
	START_LOOK_MAX = 32, /* waiting requests passed over in one compose because they wait for another's prefill */
	GROWTH_SHARE = 8, /* see growth_room */
};

/* ---- starting requests ---- */

static struct seqs_key key_of(const struct sched *s, const struct req *r)
{
	return (struct seqs_key){
		r->tokens.v, r->hashes, r->tokens.len, r->hashes_count, r->q.kv_seed, r->alone ? s->piece : 0};
}

/* How much of what is cached it may start from, at most. What is alone computes the last piece of its prompt itself, with all of
 * its tokens, as it did when nothing was cached. */
static uint32_t reuse_max(const struct sched *s, const struct req *r)
{
	if (r->q.no_cache || (r->alone && s->seqs.reuse == SEQS_REUSE_WHOLE))
		return 0;
	return r->alone ? (r->q.prompt_len - 1) / s->piece * s->piece : r->tokens.len - 1;
}

/* Waiting saves a block, or the prompts are the same (the other choices of n > 1). */
static bool is_worth_waiting(const struct sched *s, uint32_t common, uint32_t matched, uint32_t most)
{
	return common > matched && (common == most || common - matched >= s->config.block_size);
}

/* Where a state cannot go back: have the other one pause where the two part, if it has not come so far. */
static bool pauses_for(const struct sched *s, struct req *other, uint32_t common, uint32_t matched, uint32_t most)
{
	uint32_t b = s->config.block_size, pos = common == most ? most : common / b * b;

	/* What is alone computes its own pieces. */
	return !other->alone && is_worth_waiting(s, pos, matched, most) && pos > seqs_len(&s->seqs, other->seq) &&
	       marks_add(&other->marks, pos, pos % b ? MARK_PAUSE : MARK_KEEP);
}

/* Another request is computing more of r's prompt than is there already. */
static bool waits_for_another(const struct sched *s, const struct req *r, uint32_t matched)
{
	struct seqs_key key = key_of(s, r);
	uint32_t most = reuse_max(s, r);

	if (s->seqs.reuse == SEQS_REUSE_NONE || !most)
		return false;
	list_foreach(it, &s->running)
	{
		struct req *other = req_of(it);
		if ((req_left(s, other) <= 1 && seqs_len(&s->seqs, other->seq) > 0) || (r->alone && !other->alone))
			continue;
		struct seqs_key theirs = key_of(s, other);
		uint32_t common = MIN(seqs_common(&s->seqs, &key, &theirs), most);
		if (r->alone)
			common = MIN(common, other->q.prompt_len) / s->piece * s->piece;
		if (s->seqs.reuse == SEQS_REUSE_WHOLE ? pauses_for(s, other, common, matched, most)
						      : is_worth_waiting(s, common, matched, most))
			return true;
	}
	return false;
}

/* Cells kept free for the answers of those who run, so that a newcomer does not cause a pre-emption at once: a block
 * each, but no more than an eighth of the cache. */
static uint32_t growth_room(const struct sched *s)
{
	return MIN(s->running_count * s->config.block_size, s->info.cells / GROWTH_SHARE);
}

static bool has_cells_for(const struct sched *s, const struct req *r, struct seqs_match m)
{
	uint64_t need = (uint64_t)r->tokens.len - m.len + seqs_match_inactive(&s->seqs, m) + growth_room(s);

	list_foreach(it, &s->running) need += req_left(s, req_of(it));
	return need <= seqs_available(&s->seqs);
}

static void start(struct sched *s, uint64_t now_us, struct req *r, struct seqs_match m)
{
	if (seqs_start(&s->seqs, m, r->q.kv_seed, r->end_max, &r->seq) < 0 ||
		seqs_set_uses(&s->seqs, r->seq, r->uses.v, r->uses.len) < 0) {
		s->broken = true;
		return;
	}
	list_del(&r->link);
	s->waiting_count--;
	s->waiting_tokens -= r->tokens.len;
	r->state = REQ_RUNNING;
	s->running_count++;
	req_insert(&s->running, r);
	r->queue_us += now_us - r->queued_us;
	r->kept_at = 0;
	marks_init(&r->marks, s->config.block_size, r->q.prompt_len, m);
	if (r->started)
		return;
	r->started = true;
	r->started_us = now_us;
	r->cached = MIN(m.len, r->q.prompt_len);
}

static void start_waiting(struct sched *s, uint64_t now_us)
{
	uint32_t passed_over = 0;

	list_foreach_safe(it, &s->waiting)
	{
		struct req *r = req_of(it);
		struct seqs_key key = key_of(s, r);
		if (s->broken || s->running_count >= s->config.running_max || passed_over > START_LOOK_MAX)
			return;
		struct seqs_match m = seqs_match(&s->seqs, &key, reuse_max(s, r));
		if (waits_for_another(s, r, m.len)) {
			passed_over++;
			continue;
		}
		if (!has_cells_for(s, r, m) || !seqs_startable(&s->seqs))
			return;
		start(s, now_us, r, m);
	}
}

/* Keep a copy of every state that is where its request wanted one. Before others start: they may start from it. */
static void keep_checkpoints(struct sched *s)
{
	list_foreach(it, &s->running)
	{
		struct req *r = req_of(it);
		uint32_t len = seqs_len(&s->seqs, r->seq);
		enum mark mark = len != r->kept_at ? marks_at(&r->marks, len) : MARK_NONE;
		r->kept_at = len;
		if (!s->broken && (mark == MARK_SPARE || mark == MARK_KEEP))
			s->broken |= seqs_checkpoint(&s->seqs, r->seq, mark == MARK_KEEP) < 0;
	}
}

/* ---- sharing the step ---- */

struct share {
	uint32_t tokens; /* given so far, over all */
	uint32_t decodes; /* requests that need one token */
	uint32_t prefills; /* requests that need more */
	uint32_t cells; /* that may be used */
};

static void count_needs(const struct sched *s, struct share *sh)
{
	*sh = (struct share){.cells = seqs_available(&s->seqs)};
	list_foreach(it, &s->running)
	{
		req_of(it)->give = 0;
		if (req_left(s, req_of(it)) == 1)
			sh->decodes++;
		else
			sh->prefills++;
	}
}

/* Every decode gets its token; when the batch is too small for all, they take turns. */
static void give_decodes(struct sched *s, struct share *sh)
{
	uint32_t batch = s->info.batch_tokens_max, max = batch - (sh->prefills ? MAX(batch / PREFILL_SHARE, 1u) : 0);
	uint32_t skip = sh->decodes > max ? s->decode_turn % sh->decodes : 0, i = 0;

	max = MIN(MIN(max, sh->decodes), sh->cells);
	list_foreach(it, &s->running)
	{
		if (req_left(s, req_of(it)) != 1)
			continue;
		/* The max ones from skip on, round the corner. */
		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): decodes counts the ones with one left, and here is one */
		if ((i++ + sh->decodes - skip) % sh->decodes < max) {
			req_of(it)->give = 1;
			sh->tokens++;
		}
	}
	s->decode_turn = skip + max;
}

/* How many tokens of prefill fit: in time by the learned model, in the batch, in the cells. */
static uint32_t prefill_room(const struct sched *s, const struct share *sh)
{
	uint32_t used = s->info.cells - s->seqs.cells.free_count;
	double base = step_model_predict_us(&s->model, MAX(sh->tokens, 1u), used);
	double budget = (double)(sh->tokens ? s->config.step_budget_us : s->config.idle_budget_us);
	double left = MAX(budget - base, budget / PREFILL_SHARE);
	double tokens = left / step_model_token_us(&s->model, used);
	uint32_t room = tokens < s->info.batch_tokens_max ? (uint32_t)tokens : s->info.batch_tokens_max;

	room = MAX(room, (uint32_t)PREFILL_PIECE_MIN);
	return MIN(room, MIN(s->info.batch_tokens_max - sh->tokens, sh->cells - sh->tokens));
}

/* A piece that is computed by itself is given whole or not at all, though it costs more time than there was: where it ends
 * depends on nothing but the prompt. */
static uint32_t give_alone(struct sched *s, struct share *sh, struct req *r, uint32_t most)
{
	uint32_t len = seqs_len(&s->seqs, r->seq);
	uint32_t piece = len < r->q.prompt_len ? MIN(s->piece - len % s->piece, r->q.prompt_len - len) : 1;

	if (r->give || !most || piece > MIN(s->info.batch_tokens_max, sh->cells) - sh->tokens)
		return 0;
	r->give = piece;
	sh->tokens += piece;
	return MIN(piece, most);
}

static uint32_t give_piece(struct sched *s, struct share *sh, struct req *r, uint32_t most)
{
	if (r->alone)
		return give_alone(s, sh, r, most);
	uint32_t piece =
		MIN(req_left(s, r) - r->give, MIN(most, MIN(s->info.batch_tokens_max, sh->cells) - sh->tokens));

	if (s->seqs.reuse == SEQS_REUSE_WHOLE) {
		uint32_t len = seqs_len(&s->seqs, r->seq);
		piece = MIN(piece, marks_next(&r->marks, len) - (len + r->give));
	}
	r->give += piece;
	sh->tokens += piece;
	return piece;
}

/* Half to the oldest, which so always moves; half to the one nearest its end, so that a short prompt does not wait behind
 * a book; what they leave to the others in order. */
static void give_prefills(struct sched *s, struct share *sh)
{
	struct req *oldest = NULL, *shortest = NULL;
	uint32_t room = sh->prefills ? prefill_room(s, sh) : 0;

	if (!room)
		return;
	list_foreach(it, &s->running)
	{
		struct req *r = req_of(it);
		if (req_left(s, r) == 1)
			continue;
		oldest = oldest ? oldest : r;
		if (!shortest || req_left(s, r) < req_left(s, shortest))
			shortest = r;
	}
	ASSERT(oldest && shortest); /* prefills counts them */
	room -= give_piece(s, sh, oldest, (room + 1) / 2);
	room -= give_piece(s, sh, shortest, room);
	list_foreach(it, &s->running) if (req_left(s, req_of(it)) > 1) room -= give_piece(s, sh, req_of(it), room);
}

/* Share out the step. Pre-empts until every decode has a cell and somebody gets something. */
static void share_step(struct sched *s, struct share *sh)
{
	for (;;) {
		count_needs(s, sh);
		struct req *youngest = sched_youngest(s);
		if (sh->decodes > sh->cells && youngest) {
			req_requeue(s, youngest);
			continue;
		}
		give_decodes(s, sh);
		give_prefills(s, sh);
		if (sh->tokens || !youngest)
			return;
		req_requeue(s, youngest);
	}
}

/* ---- the batch ---- */

static void add_item(struct sched *s, struct req *r)
{
	uint32_t pos = seqs_len(&s->seqs, r->seq), i = s->batch.items_count++;
	bool want = pos + r->give == r->tokens.len;

	r->in_flight = true;
	s->item_reqs[i] = r;
	s->items[i] = (struct engine_item){.seq = r->seq,
		.pos = pos,
		.count = r->give,
		.tokens = r->tokens.v + pos,
		.alone = r->alone,
		.want = want,
		.no_eog = r->q.ignore_eos || r->tokens.len - r->q.prompt_len < r->q.min_tokens,
		.top = r->q.logprobs ? r->q.logprobs - 1 : 0,
		.logprobs = r->q.logprobs > 0,
		.sampling = &r->q.sampling,
		.history = r->tokens.v,
		.history_len = pos + r->give,
		.prompt_len = r->q.prompt_len};
}

static const struct engine_batch *compose(struct sched *s, uint64_t now_us)
{
	struct share sh;

	if (s->seqs.reuse == SEQS_REUSE_WHOLE)
		keep_checkpoints(s);
	start_waiting(s, now_us);
	if (list_empty(&s->running) || s->broken)
		return NULL;
	share_step(s, &sh);
	ASSERT(sh.tokens > 0 && sh.tokens <= sh.cells);
	if (seqs_make_room(&s->seqs, sh.tokens) < 0) {
		s->broken = true;
		return NULL;
	}
	s->batch = (struct engine_batch){.items = s->items};
	list_foreach(it, &s->running) if (req_of(it)->give) add_item(s, req_of(it));
	/* The engine reads these ops while new ones gather. */
	struct seqs_ops done = s->ops;
	s->ops = s->seqs.ops;
	s->seqs.ops = done;
	s->seqs.ops.len = 0;
	s->batch.ops = s->ops.v;
	s->batch.ops_count = s->ops.len;
	s->cells_at_compose = s->info.cells - s->seqs.cells.free_count;
	s->out = true;
	return &s->batch;
}

const struct engine_batch *sched_compose(struct sched *s, uint64_t now_us)
{
	ASSERT(!s->out);
	s->tokens.len = 0;
	s->seqs.now_us = now_us;
	sched_expire(s, now_us);
	const struct engine_batch *b = compose(s, now_us);
	if (!b && s->broken)
		sched_fail_all(s, now_us, -ENOMEM, "the worker is out of memory");
	return b;
}
