#include "worker/seqs_priv.h"
#include "kv/hash.h"

/* A trim scans every cell of the engine (65 us per 2,048 measured), so eviction takes a bite that lasts a few steps:
 * so many cells, or a sixteenth of a small cache. */
enum { EVICT_BITE = 256, EVICT_BITE_SHARE = 16 };

int seqs_init(struct seqs *s, const struct engine_info *info, uint32_t block_size, const struct kv_evict_policy *evict)
{
	*s = (struct seqs){.count = info->seqs,
		.block_size = block_size,
		.free_count = info->seqs,
		.reuse = info->prefix_copy  ? SEQS_REUSE_PREFIX
			 : info->whole_copy ? SEQS_REUSE_WHOLE
					    : SEQS_REUSE_NONE,
		.evict = evict};
	s->v = calloc(info->seqs, sizeof *s->v);
	if (s->v && kv_cells_init(&s->cells, info->cells, info->seqs) == 0)
		return 0;
	seqs_done(s);
	return -ENOMEM;
}

void seqs_done(struct seqs *s)
{
	for (uint32_t i = 0; s->v && i < s->count; i++) {
		vec_done(&s->v[i].tokens);
		vec_done(&s->v[i].hashes);
		vec_done(&s->v[i].uses);
	}
	free(s->v);
	idle_done(&s->idle);
	vec_done(&s->ops);
	kv_cells_done(&s->cells);
	kv_blocks_done(&s->blocks);
	*s = (struct seqs){0};
}

/* ---- finding ---- */

static struct seqs_key key_of(const struct seq *q)
{
	return (struct seqs_key){q->tokens.v, q->hashes.v, q->tokens.len, q->hashes.len, q->kv_seed, 0};
}

uint32_t seqs_common(const struct seqs *s, const struct seqs_key *a, const struct seqs_key *b)
{
	uint32_t end = MIN(a->tokens_count, b->tokens_count);

	if (a->kv_seed != b->kv_seed)
		return 0;
	uint32_t len = kv_hash_common(a->hashes, a->hashes_count, b->hashes, b->hashes_count) * s->block_size;
	/* Less than a block is left, unless one side has tokens whose hashes are not known yet. */
	end = MIN(end, len + s->block_size);
	while (len < end && a->tokens[len] == b->tokens[len])
		len++;
	return len;
}

/* How much of its common part a sequence can give: a state that cannot go back gives all that it holds, or nothing. */
static uint32_t usable(const struct seqs *s, const struct seq *q, uint32_t common)
{
	return s->reuse == SEQS_REUSE_WHOLE && common < q->tokens.len ? 0 : common;
}

struct seqs_match seqs_match(const struct seqs *s, const struct seqs_key *key, uint32_t len_max)
{
	struct seqs_match best = {0};
	bool best_retained = false;

	if (s->reuse == SEQS_REUSE_NONE)
		return best;
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->v[i].state == SEQ_FREE)
			continue;
		struct seqs_key held = key_of(&s->v[i]);
		uint32_t common = MIN(seqs_common(s, key, &held), len_max);
		if (key->piece)
			common = MIN(common, s->v[i].exact) / key->piece * key->piece;
		uint32_t len = usable(s, &s->v[i], common);
		best.common = MAX(best.common, common);
		bool retained = s->v[i].state == SEQ_RETAINED && held.tokens_count - len < s->block_size;
		/* Of equals, one that can be taken over whole saves a copy and a sequence. */
		if (len < best.len || !len || (len == best.len && (best_retained || !retained)))
			continue;
		/* A collision of hashes must cost time and never another's text. */
		if (memcmp(held.tokens, key->tokens, len * sizeof *key->tokens))
			continue;
		best.seq = i;
		best.len = len;
		best_retained = retained;
	}
	return best;
}

uint32_t seqs_match_inactive(const struct seqs *s, struct seqs_match m)
{
	return m.len ? kv_cells_inactive(&s->cells, m.seq, m.len) : 0;
}

/* ---- changing ---- */

/* Its blocks are in the account: others can use them. */
static bool is_told(const struct seqs *s, const struct seq *q)
{
	return s->reuse == SEQS_REUSE_PREFIX || (s->reuse == SEQS_REUSE_WHOLE && q->state == SEQ_RETAINED);
}

static void forget_unused(struct seqs *s, uint64_t hash)
{
	const struct idle_block *b = idle_find(&s->idle, hash);

	if (b && !b->active && !kv_blocks_refs(&s->blocks, hash))
		idle_forget(&s->idle, hash);
}

static int unref_hashes(struct seqs *s, struct seq *q, uint32_t keep)
{
	while (q->hashes.len > keep) {
		uint64_t hash = q->hashes.v[q->hashes.len - 1];
		int r = is_told(s, q) ? kv_blocks_unref(&s->blocks, hash) : 0;
		if (r < 0)
			return r;
		q->hashes.len--;
		forget_unused(s, hash);
	}
	return 0;
}

static int tell(struct seqs *s, uint64_t hash, bool held)
{
	return held ? kv_blocks_ref(&s->blocks, hash) : kv_blocks_unref(&s->blocks, hash);
}

/* q changes its state, and with it whether it is in the account. 0 or -ENOMEM (nothing changed). */
static int retell(struct seqs *s, struct seq *q, enum seq_state state)
{
	enum seq_state before = q->state;
	bool was = is_told(s, q);
	uint32_t i = 0;
	int r = 0;

	q->state = state;
	if (is_told(s, q) == was)
		return 0;
	while (i < q->hashes.len && (r = tell(s, q->hashes.v[i], !was)) == 0)
		i++;
	if (r == 0)
		return 0;
	/* What was just noted as changed is noted back without memory. */
	while (i-- > 0 && tell(s, q->hashes.v[i], was) == 0)
		;
	q->state = before;
	return r;
}

static int trim(struct seqs *s, uint32_t seq, uint32_t len)
{
	struct seq *q = &s->v[seq];

	if (len == q->tokens.len)
		return 0;
	int r = vec_push(&s->ops, ((struct engine_op){.kind = ENGINE_SEQ_TRIM, .dst = seq, .count = len}));
	if (r < 0)
		return r;
	kv_cells_trim(&s->cells, seq, len);
	q->tokens.len = len;
	q->exact = MIN(q->exact, len);
	return unref_hashes(s, q, len / s->block_size);
}

/* Its blocks are used by one active sequence less, the deepest first. A count above the one before it is not believed:
 * who uses a block uses its parent too. */
static void release_blocks(struct seqs *s, struct seq *q)
{
	uint32_t told = MIN(q->uses.len, q->hashes.len);

	for (uint32_t i = 0; i < told; i++)
		q->uses.v[i] = MIN(MAX(q->uses.v[i], 1), i ? q->uses.v[i - 1] : UINT8_MAX);
	for (uint32_t i = q->hashes.len; i-- > 0;)
		idle_release(&s->idle, q->hashes.v[i], s->now_us, i < told ? q->uses.v[i] : 1);
	q->uses.len = 0;
	q->released_us = s->now_us;
}

/* Active ones come from seqs_start, which has counted their blocks. */
static int set_state(struct seqs *s, uint32_t seq, enum seq_state state)
{
	struct seq *q = &s->v[seq];
	enum seq_state before = q->state;
	int r = retell(s, q, state);

	if (r < 0)
		return r;
	s->free_count += (state == SEQ_FREE) - (uint32_t)(before == SEQ_FREE);
	s->retained_count += (state == SEQ_RETAINED) - (uint32_t)(before == SEQ_RETAINED);
	if (before == SEQ_ACTIVE && state != SEQ_ACTIVE)
		release_blocks(s, q);
	kv_cells_set_active(&s->cells, seq, state == SEQ_ACTIVE);
	return 0;
}

static int drop(struct seqs *s, uint32_t seq)
{
	int r = s->v[seq].state == SEQ_ACTIVE ? set_state(s, seq, SEQ_RETAINED) : 0;

	if (r == 0)
		r = trim(s, seq, 0);
	return r == 0 ? set_state(s, seq, SEQ_FREE) : r;
}

static uint32_t find_free(const struct seqs *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->v[i].state == SEQ_FREE)
			return i;
	return s->count;
}

static bool is_extended(const struct seqs *s, const struct seq *q)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->v[i].state != SEQ_FREE && seqs_extends(s, q, &s->v[i]))
			return true;
	return false;
}

/* A retained sequence whose end is worth less than a block is continued in place: no copy, no second sequence. Where only ends
 * are used, the end of a conversation stays behind as long as there is a sequence to spare: it serves another try. */
static bool take_over(const struct seqs *s, struct seqs_match m)
{
	if (!m.len || s->v[m.seq].state != SEQ_RETAINED)
		return false;
	if (s->free_count == 0 && s->retained_count == 1)
		return true;
	if (s->reuse == SEQS_REUSE_WHOLE)
		return s->free_count == 0 && !is_extended(s, &s->v[m.seq]);
	return s->v[m.seq].tokens.len - m.len < s->block_size;
}

/* dst is free. */
static int copy_prefix(struct seqs *s, struct seqs_match m, uint32_t dst)
{
	const struct seq *from = &s->v[m.seq];
	struct seq *to = &s->v[dst];
	uint32_t blocks = m.len / s->block_size;

	if (vec_reserve(&to->tokens, m.len) < 0 || vec_reserve(&to->hashes, blocks) < 0 || vec_reserve(&s->ops, 1) < 0)
		return -ENOMEM;
	int r = kv_cells_copy(&s->cells, m.seq, dst, m.len);
	if (r < 0)
		return r;
	s->ops.v[s->ops.len++] = (struct engine_op){ENGINE_SEQ_COPY, m.seq, dst, m.len};
	memcpy(to->tokens.v, from->tokens.v, m.len * sizeof *to->tokens.v);
	to->tokens.len = m.len;
	to->exact = MIN(from->exact, m.len);
	for (uint32_t i = 0; i < blocks && r == 0; i++) {
		r = is_told(s, to) ? kv_blocks_ref(&s->blocks, from->hashes.v[i]) : 0;
		if (r == 0)
			to->hashes.v[to->hashes.len++] = from->hashes.v[i];
	}
	return r;
}

/* A free sequence, made from the least useful retained one when there is none. s->count: no memory for it. */
static uint32_t obtain(struct seqs *s, uint32_t except)
{
	uint32_t seq = find_free(s);

	if (seq < s->count)
		return seq;
	seq = seqs_victim(s, except, false);
	return seq < s->count && drop(s, seq) == 0 ? seq : s->count;
}

int seqs_start(struct seqs *s, struct seqs_match m, uint64_t kv_seed, uint32_t len_max, uint32_t *ret_seq)
{
	uint32_t seq = m.seq;
	int r;

	if (take_over(s, m)) {
		if ((r = trim(s, seq, m.len)) < 0)
			return r;
	} else {
		seq = obtain(s, m.len ? m.seq : s->count);
		if (seq == s->count)
			return -ENOMEM;
		s->v[seq].kv_seed = kv_seed;
		if (m.len && (r = copy_prefix(s, m, seq)) < 0)
			return r;
	}
	struct seq *q = &s->v[seq];
	for (uint32_t i = 0; i < q->hashes.len; i++)
		if ((r = idle_use(&s->idle, q->hashes.v[i])) < 0)
			return r;
	if (kv_cells_reserve(&s->cells, seq, len_max) < 0 || vec_reserve(&q->tokens, len_max - q->tokens.len) < 0 ||
		vec_reserve(&q->hashes, len_max / s->block_size + 1 - q->hashes.len) < 0)
		return -ENOMEM;
	*ret_seq = seq;
	return set_state(s, seq, SEQ_ACTIVE);
}

int seqs_append(struct seqs *s, uint32_t seq, const uint32_t *tokens, uint32_t count)
{
	struct seq *q = &s->v[seq];
	uint32_t b = s->block_size;

	if (vec_reserve(&q->tokens, count) < 0 || vec_reserve(&q->hashes, count / b + 1) < 0)
		return -ENOMEM;
	int r = kv_cells_append(&s->cells, seq, count);
	if (r < 0)
		return r;
	memcpy(q->tokens.v + q->tokens.len, tokens, count * sizeof *tokens);
	q->tokens.len += count;
	while (q->hashes.len < q->tokens.len / b) {
		uint32_t i = q->hashes.len;
		uint64_t hash =
			kv_hash_next(i ? q->hashes.v[i - 1] : 0, i > 0, q->tokens.v + (size_t)i * b, b, q->kv_seed);
		if (is_told(s, q) && (r = kv_blocks_ref(&s->blocks, hash)) < 0)
			return r;
		if ((r = idle_use(&s->idle, hash)) < 0)
			return r;
		q->hashes.v[q->hashes.len++] = hash;
	}
	return 0;
}

void seqs_set_exact(struct seqs *s, uint32_t seq, uint32_t len)
{
	ASSERT(len <= s->v[seq].tokens.len);
	s->v[seq].exact = len;
}

int seqs_set_uses(struct seqs *s, uint32_t seq, const uint8_t *uses, uint32_t count)
{
	struct seq *q = &s->v[seq];

	q->uses.len = 0;
	if (!count)
		return 0;
	if (vec_reserve(&q->uses, count) < 0)
		return -ENOMEM;
	memcpy(q->uses.v, uses, count);
	q->uses.len = count;
	return 0;
}

/* Where only ends are used, a second retained sequence of the same tokens serves nobody. */
static bool has_twin(const struct seqs *s, uint32_t seq)
{
	const struct seq *q = &s->v[seq];

	for (uint32_t i = 0; i < s->count && s->reuse == SEQS_REUSE_WHOLE; i++) {
		const struct seq *x = &s->v[i];
		if (x->state == SEQ_RETAINED && x->tokens.len == q->tokens.len && seqs_extends(s, q, x) &&
			!memcmp(x->tokens.v, q->tokens.v, q->tokens.len * sizeof *q->tokens.v))
			return true;
	}
	return false;
}

int seqs_release(struct seqs *s, uint32_t seq)
{
	if (s->reuse == SEQS_REUSE_NONE || !s->v[seq].tokens.len || has_twin(s, seq))
		return drop(s, seq);
	return set_state(s, seq, SEQ_RETAINED);
}

int seqs_checkpoint(struct seqs *s, uint32_t seq, bool evict)
{
	uint32_t len = s->v[seq].tokens.len, dst = find_free(s);
	int r = 0;

	ASSERT(s->reuse == SEQS_REUSE_WHOLE && s->v[seq].state == SEQ_ACTIVE);
	if (!len || has_twin(s, seq))
		return 1;
	if (dst == s->count && evict) {
		dst = seqs_victim(s, s->count, false);
		r = dst < s->count ? drop(s, dst) : 0;
	}
	if (r < 0 || dst == s->count)
		return r;
	s->v[dst].kv_seed = s->v[seq].kv_seed;
	s->v[dst].released_us = s->now_us;
	r = copy_prefix(s, (struct seqs_match){.seq = seq, .len = len}, dst);
	if (r == 0)
		r = set_state(s, dst, SEQ_RETAINED);
	return r < 0 ? r : 1;
}

/* How much of the victim stays when about bite cells are wanted of it: the bite ends where a block is to be kept longer than
 * the victim's last. Of what other sequences hold too a shorter copy is worth no sequence: then nothing stays. */
static uint32_t keep_of(const struct seqs *s, uint32_t victim, uint32_t bite)
{
	const struct seq *q = &s->v[victim];
	uint32_t len = q->tokens.len, own = kv_cells_own(&s->cells, victim), least = bite < own ? len - bite : 0;
	struct kv_evict_entry end = seqs_end_entry(s, q);

	for (uint32_t i = MAX(q->hashes.len, 1u) - 1; i-- > 0 && (i + 1) * s->block_size > MAX(least, len - own);) {
		struct kv_evict_entry block = seqs_block_entry(s, q, i);
		if (kv_evict_before(s->evict, &end, &block, s->now_us))
			return (i + 1) * s->block_size;
	}
	return least;
}

int seqs_make_room(struct seqs *s, uint32_t cells)
{
	uint32_t bite_min = MIN((uint32_t)EVICT_BITE, s->cells.cells / EVICT_BITE_SHARE);

	while (s->cells.free_count < cells) {
		uint32_t victim = seqs_victim(s, s->count, true);
		if (victim == s->count)
			return -ENOSPC;
		uint32_t keep = s->reuse == SEQS_REUSE_WHOLE
					? 0
					: keep_of(s, victim, MAX(cells - s->cells.free_count, bite_min));
		int r = keep ? trim(s, victim, keep) : drop(s, victim);
		if (r < 0)
			return r;
	}
	return 0;
}

bool seqs_drop_one(struct seqs *s)
{
	uint32_t victim = seqs_victim(s, s->count, true);

	return victim < s->count && drop(s, victim) == 0;
}
