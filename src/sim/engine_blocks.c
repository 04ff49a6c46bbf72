/* engine_blocks.c - vLLM's scheduler with a cache of blocks, as NVIDIA's mocker models it.
 *
 * A pass gives running requests tokens first, in the order they came, then starts waiting ones while tokens, sequences
 * and blocks last. When a running request finds no block, the request that came last gives all of its blocks back and
 * waits at the head of the queue. The blocks of a prompt can be hit from the moment their computation starts. A prompt
 * whose last piece was in a pass has its first token when that pass ends.
 *
 *     block:  free -> held by n requests -> (n = 0) in the evict lists, still found by its hash -> free
 *
 * Blocks of answers have no hash others could know, but stay cached until their turn, as in the original. */
#include "base/map.h"
#include "base/vec.h"
#include "kv/hash.h"
#include "sim/engine.h"

#include <math.h>

enum { NO_BLOCK = UINT32_MAX };

struct block {
	struct kv_evict_entry entry;
	uint64_t hash; /* 0: nobody can find it */
	uint32_t refs, next_free;
};

struct seq {
	struct sim_request q;
	struct seq *next; /* in the queue */
	uint32_t computed, generated, cached;
	uint32_t give; /* tokens in the pass that runs */
	bool admitted_before, decoding;
	VEC(uint32_t) blocks;
};

struct blocks {
	struct sim_engine engine;
	struct sim_engine_config config;
	uint32_t seqs_max, batch_tokens;
	struct block *v;
	uint32_t free_first, free_count;
	struct kv_evict lists;
	struct map table;
	VEC(struct seq *) running; /* in the order they were started */
	struct seq *waiting, **waiting_tail;
	uint32_t waiting_count;
	uint64_t waiting_tokens; /* of the prompts in the queue */
	VEC(struct sim_event) events;
	VEC(uint64_t) stored, removed, all;
	uint64_t digest;
	uint32_t held;
	struct sim_load load;
	uint64_t started_us, steps, preemptions;
};

static struct blocks *blocks_of(struct sim_engine *e)
{
	return CONTAINER_OF(e, struct blocks, engine);
}

/* A simulation that is out of memory has nothing to say. */
static void must(int code)
{
	ASSERT(code == 0);
}

/* blocks */

static void forget(struct blocks *b, struct block *k)
{
	if (!k->hash)
		return;
	map_del(&b->table, k->hash);
	must(vec_push(&b->removed, k->hash));
	b->digest = kv_digest_remove(b->digest, k->hash);
	b->held--;
	k->hash = 0;
}

static uint32_t available(const struct blocks *b)
{
	return b->free_count + b->lists.count;
}

static uint32_t block_take(struct blocks *b, uint64_t now_us)
{
	uint32_t at = b->free_first;

	if (at != NO_BLOCK) {
		b->free_first = b->v[at].next_free;
		b->free_count--;
		return at;
	}
	struct kv_evict_entry *e = kv_evict_victim(&b->lists, now_us);
	if (!e)
		return NO_BLOCK;
	kv_evict_take(&b->lists, e);
	struct block *k = CONTAINER_OF(e, struct block, entry);
	forget(b, k);
	k->entry = (struct kv_evict_entry){0};
	return (uint32_t)(k - b->v);
}

static void block_free(struct blocks *b, uint32_t at)
{
	b->v[at].next_free = b->free_first;
	b->v[at].entry = (struct kv_evict_entry){0};
	b->free_first = at;
	b->free_count++;
}

static void block_ref(struct blocks *b, struct seq *s, uint32_t at)
{
	struct block *k = &b->v[at];

	if (k->refs++ == 0)
		kv_evict_take(&b->lists, &k->entry);
	must(vec_push(&s->blocks, at));
}

/* Give all blocks back, deepest first, each with at most what the one before it counts. */
static void seq_release(struct blocks *b, struct seq *s, uint64_t now_us)
{
	for (uint32_t i = s->blocks.len; i-- > 0;) {
		struct block *k = &b->v[s->blocks.v[i]];
		if (--k->refs > 0)
			continue;
		if (!k->hash && (uint64_t)(i + 1) * b->config.block_size > s->computed) {
			block_free(b, s->blocks.v[i]);
			continue;
		}
		uint8_t uses = s->q.uses && i < s->q.hashes_count ? s->q.uses[i] : 1;
		kv_evict_release(&b->lists, &k->entry, now_us, uses);
	}
	s->blocks.len = 0;
}

/* How many of the prompt's blocks are there. At least its last token is computed, so that there is something to go on
 * from. */
static uint32_t hits(const struct blocks *b, const struct seq *s, uint32_t *ret_idle)
{
	uint32_t max = MIN(s->q.hashes_count, (s->q.prompt_tokens + s->generated - 1) / b->config.block_size), n = 0;
	uint64_t at;

	*ret_idle = 0;
	while (n < max && map_get(&b->table, s->q.hashes[n], &at)) {
		*ret_idle += b->v[at].refs == 0;
		n++;
	}
	return n;
}

/* Hold blocks for the first tokens; those of the prompt can be found from now on. False: there are not enough. */
static bool blocks_reach(struct blocks *b, struct seq *s, uint32_t tokens, uint64_t now_us)
{
	uint32_t want = (tokens + b->config.block_size - 1) / b->config.block_size;

	while (s->blocks.len < want) {
		uint64_t known;
		if (s->blocks.len < s->q.hashes_count && map_get(&b->table, s->q.hashes[s->blocks.len], &known)) {
			/* Computed anew all the same, but held once. */
			block_ref(b, s, (uint32_t)known);
			continue;
		}
		uint32_t at = block_take(b, now_us);
		if (at == NO_BLOCK)
			return false;
		b->v[at].refs = 1;
		b->v[at].hash = 0;
		must(vec_push(&s->blocks, at));
	}
	return true;
}

static void blocks_publish(struct blocks *b, struct seq *s, uint32_t from, uint32_t to)
{
	uint32_t last = MIN(s->q.hashes_count, to / b->config.block_size);

	for (uint32_t i = from / b->config.block_size; i < last; i++) {
		struct block *k = &b->v[s->blocks.v[i]];
		uint64_t known;
		if (k->hash)
			continue;
		if (map_get(&b->table, s->q.hashes[i], &known)) {
			/* Another request brought it meanwhile: one copy is enough. */
			block_free(b, s->blocks.v[i]);
			if (b->v[known].refs++ == 0)
				kv_evict_take(&b->lists, &b->v[known].entry);
			s->blocks.v[i] = (uint32_t)known;
			continue;
		}
		k->hash = s->q.hashes[i];
		must(map_put(&b->table, k->hash, s->blocks.v[i]));
		must(vec_push(&b->stored, k->hash));
		b->digest = kv_digest_add(b->digest, k->hash);
		b->held++;
	}
}

/* requests */

static uint32_t seq_total(const struct seq *s)
{
	return s->q.prompt_tokens + s->generated;
}

static void seq_free(struct seq *s)
{
	vec_done(&s->blocks);
	free(s);
}

static int admit(struct sim_engine *e, uint64_t now_us, const struct sim_request *q)
{
	struct blocks *b = blocks_of(e);
	struct seq *s = calloc(1, sizeof *s);

	(void)now_us;
	if (!s)
		return -ENOMEM;
	s->q = *q;
	*b->waiting_tail = s;
	b->waiting_tail = &s->next;
	b->waiting_count++;
	b->waiting_tokens += q->prompt_tokens;
	return 0;
}

static void queue_push_front(struct blocks *b, struct seq *s)
{
	s->next = b->waiting;
	if (!b->waiting)
		b->waiting_tail = &s->next;
	b->waiting = s;
	b->waiting_count++;
	b->waiting_tokens += s->q.prompt_tokens;
}

static struct seq *queue_pop(struct blocks *b)
{
	struct seq *s = b->waiting;

	b->waiting = s->next;
	if (!b->waiting)
		b->waiting_tail = &b->waiting;
	s->next = NULL;
	b->waiting_count--;
	b->waiting_tokens -= s->q.prompt_tokens;
	return s;
}

static void preempt_last(struct blocks *b, uint64_t now_us)
{
	struct seq *s = b->running.v[--b->running.len];

	seq_release(b, s, now_us);
	s->computed = 0;
	s->give = 0;
	s->decoding = false;
	b->preemptions++;
	queue_push_front(b, s);
}

/* a pass */

static void load_add(struct blocks *b, struct seq *s, uint32_t tokens)
{
	s->give = tokens;
	s->decoding = s->generated > 0 && tokens == 1 && s->computed + 1 == seq_total(s);
	if (s->decoding) {
		b->load.decoding++;
		b->load.decode_context += seq_total(s);
	} else {
		b->load.prefilling++;
		b->load.prefill_tokens += tokens;
	}
}

/* True when somebody had to give way. */
static bool give_running(struct blocks *b, uint32_t *budget, uint64_t now_us)
{
	bool preempted = false;

	for (uint32_t i = 0; i < b->running.len && *budget; i++) {
		struct seq *s = b->running.v[i];
		uint32_t tokens = MIN(*budget, seq_total(s) - s->computed);
		bool fits;
		while (!(fits = blocks_reach(b, s, s->computed + tokens, now_us)) && b->running.len > i) {
			preempted = true;
			preempt_last(b, now_us);
		}
		if (!fits || b->running.len <= i)
			break;
		blocks_publish(b, s, s->computed, s->computed + tokens);
		load_add(b, s, tokens);
		*budget -= tokens;
	}
	return preempted;
}

/* The head of the queue starts. False: it has to wait. */
static bool start_head(struct blocks *b, uint32_t *budget, uint64_t now_us)
{
	struct seq *s = b->waiting;
	uint32_t idle, found = hits(b, s, &idle), cached = found * b->config.block_size;
	uint32_t tokens = MIN(*budget, seq_total(s) - cached);
	/* It starts only when there is room for all of it that is known, though the pass may take but a piece. */
	uint32_t want = (seq_total(s) + b->config.block_size - 1) / b->config.block_size - found;

	if (want > available(b) - idle)
		return false;
	queue_pop(b);
	for (uint32_t i = 0; i < found; i++) {
		uint64_t at = 0;
		map_get(&b->table, s->q.hashes[i], &at);
		block_ref(b, s, (uint32_t)at);
	}
	bool fits = blocks_reach(b, s, cached + tokens, now_us);
	ASSERT(fits);
	if (!s->admitted_before)
		s->cached = MIN(cached, s->q.prompt_tokens);
	s->admitted_before = true;
	s->computed = cached;
	blocks_publish(b, s, cached, cached + tokens);
	must(vec_push(&b->running, s));
	load_add(b, s, tokens);
	*budget -= tokens;
	return true;
}

static void event_add(struct blocks *b, const struct seq *s, bool first, bool done, bool refused)
{
	must(vec_push(&b->events, ((struct sim_event){.user = s->q.user,
					  .first = first,
					  .done = done,
					  .refused = refused,
					  .cached_tokens = s->cached,
					  .generated = s->generated})));
}

/* Those that could not run here even alone must not stand in the way for ever. */
static void refuse_too_long(struct blocks *b)
{
	while (b->waiting && (uint64_t)b->waiting->q.prompt_tokens + b->waiting->q.answer_tokens >
				     (uint64_t)b->config.blocks * b->config.block_size) {
		struct seq *s = queue_pop(b);
		event_add(b, s, false, true, true);
		seq_free(s);
	}
}

/* All of it happens when a pass is put together: its end only lets blocks go that stay to be found. */
static void kv_changes(const struct blocks *b, struct sim_pass *ret)
{
	*ret = (struct sim_pass){.kv = {.removed = {b->removed.v, b->removed.len},
					 .stored = {b->stored.v, b->stored.len},
					 .digest = b->digest,
					 .blocks_held = b->held},
		.kv_changed = b->removed.len || b->stored.len};
}

static uint64_t begin(struct sim_engine *e, uint64_t now_us, struct sim_pass *ret)
{
	struct blocks *b = blocks_of(e);
	uint32_t budget = b->batch_tokens;

	b->events.len = b->stored.len = b->removed.len = 0;
	b->load = (struct sim_load){.capacity = (uint64_t)b->config.blocks * b->config.block_size};
	bool preempted = give_running(b, &budget, now_us);
	refuse_too_long(b);
	while (!preempted && budget && b->waiting && b->running.len < b->seqs_max && start_head(b, &budget, now_us))
		refuse_too_long(b);
	kv_changes(b, ret);
	if (!b->load.prefilling && !b->load.decoding)
		return b->events.len ? 1 : 0;
	b->started_us = now_us;
	double us = sim_model_ms(b->config.model, &b->load) * 1000 / b->config.speed;
	return (uint64_t)MAX(1.0, round(us));
}

static void apply(struct blocks *b, uint64_t now_us, struct msg_step *step)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < b->running.len; i++) {
		struct seq *s = b->running.v[i];
		bool token = false;
		s->computed += s->give;
		if (s->give && s->computed == seq_total(s)) {
			token = true;
			s->generated++;
		}
		s->give = 0;
		bool done = s->generated >= s->q.answer_tokens;
		if (token && (s->generated == 1 || done))
			event_add(b, s, s->generated == 1, done, false);
		if (done) {
			seq_release(b, s, now_us);
			seq_free(s);
			continue;
		}
		if (s->computed < s->q.prompt_tokens)
			step->waiting_tokens += s->q.prompt_tokens - s->computed;
		b->running.v[left++] = s;
	}
	b->running.len = left;
}

static void end(struct sim_engine *e, uint64_t now_us, struct sim_pass *ret)
{
	struct blocks *b = blocks_of(e);

	*ret = (struct sim_pass){0};
	struct msg_step *step = &ret->step;
	apply(b, now_us, step);
	step->step = ++b->steps;
	step->duration_us = now_us - b->started_us;
	step->prefill_tokens = b->load.prefill_tokens;
	step->decode_tokens = b->load.decoding;
	step->running = b->running.len;
	step->waiting = b->waiting_count;
	step->waiting_tokens += b->waiting_tokens;
	step->cells = b->config.blocks * b->config.block_size;
	step->cells_active = (b->config.blocks - available(b)) * b->config.block_size;
	step->cells_used = (b->config.blocks - b->free_count) * b->config.block_size;
	step->digest = b->digest;
	step->blocks_held = b->held;
	step->preemptions = b->preemptions;
	ret->events = b->events.v;
	ret->events_count = b->events.len;
}

static void snapshot(struct sim_engine *e, struct msg_kv *ret)
{
	struct blocks *b = blocks_of(e);
	uint32_t pos = 0;
	uint64_t hash, at;

	b->all.len = 0;
	while (map_next(&b->table, &pos, &hash, &at))
		must(vec_push(&b->all, hash));
	ret->stored = (struct msg_u64s){b->all.v, b->all.len};
	ret->digest = b->digest;
	ret->blocks_held = b->held;
}

static void destroy(struct sim_engine *e)
{
	struct blocks *b = blocks_of(e);

	for (uint32_t i = 0; i < b->running.len; i++)
		seq_free(b->running.v[i]);
	while (b->waiting)
		seq_free(queue_pop(b));
	vec_done(&b->running);
	vec_done(&b->events);
	vec_done(&b->stored);
	vec_done(&b->removed);
	vec_done(&b->all);
	map_done(&b->table);
	free(b->v);
	free(b);
}

static const struct sim_engine_ops ops = {
	.admit = admit, .begin = begin, .end = end, .snapshot = snapshot, .destroy = destroy};

int sim_blocks_create(struct sim_engine **ret, const struct sim_engine_config *config, struct err *err)
{
	struct blocks *b = calloc(1, sizeof *b);

	if (b)
		b->v = calloc(config->blocks, sizeof *b->v);
	if (!b || !b->v) {
		free(b);
		return err_set(err, -ENOMEM, "out of memory");
	}
	b->engine.ops = &ops;
	b->config = *config;
	b->seqs_max = config->seqs_max ? config->seqs_max : config->model->seqs_max;
	b->batch_tokens = config->batch_tokens ? config->batch_tokens : config->model->batch_tokens;
	b->waiting_tail = &b->waiting;
	b->free_first = NO_BLOCK;
	for (uint32_t i = config->blocks; i-- > 0;)
		block_free(b, i);
	kv_evict_init(&b->lists, config->evict ? config->evict : &kv_evict_lru);
	*ret = &b->engine;
	return 0;
}
