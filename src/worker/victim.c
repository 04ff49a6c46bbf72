/* victim.c - which retained sequence goes first.
 *
 * Where any prefix can be used, the policy decides by the ends (kv/evict.h): the block to go first of all is always the end of
 * some retained sequence. One that running requests hold is worth nobody's text, and its second sequence may well go.
 *
 * Where only ends are used, a conversation is a chain of checkpoints, each of which extends the one before:
 *
 *     system prompt ─ turn 1 ─ turn 2 ─ turn 3 ─ end of the last answer
 *                                          └ the last turn, without what the template puts around the answer
 *
 * The last two serve a conversation that goes on, and one where chains part serves all of them; those in the middle serve
 * only an edit far back. So the middle goes first, whatever its age, and of the middle the one whose loss costs least to
 * compute again. The rest goes as the policy says; a block in use now counts as released now, because the request that
 * uses it is about to continue from it or to be followed. */
#include "worker/seqs_priv.h"

#include <string.h>

struct kv_evict_entry seqs_block_entry(const struct seqs *s, const struct seq *q, uint32_t i)
{
	const struct idle_block *b = i < q->hashes.len ? idle_find(&s->idle, q->hashes.v[i]) : NULL;
	struct kv_evict_entry ret = b ? b->entry : (struct kv_evict_entry){.released_us = q->released_us, .uses = 1};

	if (s->reuse == SEQS_REUSE_WHOLE && b && b->active)
		ret.released_us = s->now_us;
	return ret;
}

struct kv_evict_entry seqs_end_entry(const struct seqs *s, const struct seq *q)
{
	return seqs_block_entry(s, q, MAX(q->hashes.len, 1u) - 1);
}

bool seqs_extends(const struct seqs *s, const struct seq *a, const struct seq *b)
{
	uint32_t blocks = a->hashes.len, from = blocks * s->block_size;

	if (a == b || !a->tokens.len || a->tokens.len > b->tokens.len || a->kv_seed != b->kv_seed)
		return false;
	if (blocks && (b->hashes.len < blocks || a->hashes.v[blocks - 1] != b->hashes.v[blocks - 1]))
		return false;
	return !memcmp(a->tokens.v + from, b->tokens.v + from, (a->tokens.len - from) * sizeof *a->tokens.v);
}

struct candidate {
	uint32_t seq, gap; /* gap: tokens to compute again, from the longest one that it extends */
	bool middle;
	struct kv_evict_entry end;
};

/* All that extend q, two at least, lie on one chain. */
static bool is_middle(const struct seqs *s, const struct seq *q)
{
	const struct seq *last = NULL;
	uint32_t above = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		if (s->v[i].state == SEQ_FREE || !seqs_extends(s, q, &s->v[i]))
			continue;
		above++;
		last = !last || s->v[i].tokens.len > last->tokens.len ? &s->v[i] : last;
	}
	for (uint32_t i = 0; i < s->count && above > 1; i++) {
		const struct seq *x = &s->v[i];
		if (x->state != SEQ_FREE && x != last && seqs_extends(s, q, x) && !seqs_extends(s, x, last))
			return false;
	}
	return above > 1;
}

static struct candidate candidate_of(const struct seqs *s, uint32_t seq)
{
	const struct seq *q = &s->v[seq];
	struct candidate ret = {.seq = seq, .gap = q->tokens.len, .end = seqs_end_entry(s, q)};

	if (s->reuse != SEQS_REUSE_WHOLE)
		return ret;
	ret.middle = is_middle(s, q);
	for (uint32_t i = 0; i < s->count; i++)
		if (s->v[i].state != SEQ_FREE && seqs_extends(s, &s->v[i], q))
			ret.gap = MIN(ret.gap, q->tokens.len - s->v[i].tokens.len);
	return ret;
}

static bool goes_before(const struct seqs *s, const struct candidate *a, const struct candidate *b)
{
	if (s->reuse != SEQS_REUSE_WHOLE)
		return kv_evict_before(s->evict, &a->end, &b->end, s->now_us);
	if (a->middle != b->middle)
		return a->middle;
	if (a->middle)
		return a->gap < b->gap;
	if (kv_evict_before(s->evict, &a->end, &b->end, s->now_us))
		return true;
	return !kv_evict_before(s->evict, &b->end, &a->end, s->now_us) && a->gap < b->gap;
}

/* owning: only those that hold cells of their own. A checkpoint below another sequence has none, and dropping it frees none. */
static uint32_t first_to_go(const struct seqs *s, uint32_t except, bool owning)
{
	struct candidate best = {.seq = s->count};

	for (uint32_t i = 0; i < s->count; i++) {
		if (s->v[i].state != SEQ_RETAINED || i == except || (owning && !kv_cells_own(&s->cells, i)))
			continue;
		struct candidate c = candidate_of(s, i);
		if (best.seq == s->count || goes_before(s, &c, &best))
			best = c;
	}
	return best.seq;
}

uint32_t seqs_victim(const struct seqs *s, uint32_t except, bool cells)
{
	uint32_t seq = cells && s->reuse == SEQS_REUSE_WHOLE ? first_to_go(s, except, true) : s->count;

	return seq < s->count ? seq : first_to_go(s, except, false);
}
