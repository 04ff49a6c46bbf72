/* seqs.h - the worker's prefix cache: what every sequence of the engine holds, token by token, and whom it can serve.
 *
 * In libllama a cell lives only while a sequence holds it, so the cache is made of retained sequences. A new request
 * takes over a retained sequence that it continues, or shares a copied prefix of any other (running ones too). Prefixes
 * are found by their block hashes and taken only after every token id was compared. What happens here to sequences is
 * written down as engine ops, to be done before the items of the next batch; the mirror is ahead of the engine by those.
 *
 * A model with a recurrent state (Mamba, and hybrids with attention) can copy a sequence as it stands and never go back in it.
 * There a prefix can be used only where some sequence ends, so the scheduler has copies kept at chosen positions: checkpoints.
 * A checkpoint is a retained sequence like any other: it shares the cells of the attention layers and costs one sequence,
 * which is one state of the pool the engine allocated at start. Only ends are reported as cached: what runs, and what cannot be
 * reused at all, is in no account.
 * Thread: one owner. Memory: 8 bytes a token held and 8 a block, for each sequence that holds it. */
#ifndef STATOR_WORKER_SEQS_H
#define STATOR_WORKER_SEQS_H

#include "engine/engine.h"
#include "kv/blocks.h"
#include "kv/cells.h"
#include "worker/idle.h"

enum seq_state { SEQ_FREE, SEQ_ACTIVE, SEQ_RETAINED };
enum seqs_reuse {
	SEQS_REUSE_NONE, /* nothing is retained */
	SEQS_REUSE_WHOLE, /* a prefix is used only where a sequence ends */
	SEQS_REUSE_PREFIX, /* any prefix of any sequence is used */
};
struct seq {
	enum seq_state state;
	uint64_t kv_seed;
	VEC(uint32_t) tokens; /* beside the cells of the mirror */
	uint32_t exact; /* so many leading tokens were computed in whole pieces of one size, each by itself */
	VEC(uint64_t) hashes; /* of its whole blocks */
	VEC(uint8_t) uses; /* of the running request's blocks, told by the router; the rest counts as 1 */
	uint64_t released_us;
};
/* A VEC of ops with a name, so that two can be swapped. */
struct seqs_ops {
	struct engine_op *v;
	uint32_t len, cap;
};
struct seqs {
	struct kv_cells cells;
	struct kv_blocks blocks;
	struct seq *v;
	uint32_t count, block_size;
	uint32_t free_count, retained_count;
	enum seqs_reuse reuse;
	const struct kv_evict_policy *evict;
	struct idle_blocks idle;
	uint64_t now_us; /* the owner sets it before a call that releases or evicts */
	struct seqs_ops ops; /* for the next batch */
};

/* A prefix that is there: the first len tokens of seq. len 0: none. common: of the longest prefix that anybody holds, which is
 * more than len where a state cannot go back to it. */
struct seqs_match {
	uint32_t seq, len, common;
};
/* What is looked for: tokens with the hashes of their whole blocks. */
struct seqs_key {
	const uint32_t *tokens;
	const uint64_t *hashes;
	uint32_t tokens_count, hashes_count;
	uint64_t kv_seed;
	uint32_t piece; /* only what was computed in whole pieces of this size, each by itself, counts; 0: all does */
};

/* Borrows evict. 0 or -ENOMEM. */
int seqs_init(struct seqs *s, const struct engine_info *info, uint32_t block_size, const struct kv_evict_policy *evict);
void seqs_done(struct seqs *s);
/* How many leading tokens two keys share: hashes first, then the tokens of the block where they part. */
uint32_t seqs_common(const struct seqs *s, const struct seqs_key *a, const struct seqs_key *b);
/* The longest prefix of key, of at most len_max tokens, that some sequence holds; its token ids were compared.
 * O(sequences * log blocks + len). */
struct seqs_match seqs_match(const struct seqs *s, const struct seqs_key *key, uint32_t len_max);
/* How many cells that no request holds now would be held if the match were used. */
uint32_t seqs_match_inactive(const struct seqs *s, struct seqs_match m);
/* True when seqs_start can find a sequence: one is free, or retained. */
static inline bool seqs_startable(const struct seqs *s)
{
	return s->free_count + s->retained_count > 0;
}
/* How many requests used each whole block of seq's request, for eviction: copies, of an active sequence. 0 or -ENOMEM. */
int seqs_set_uses(struct seqs *s, uint32_t seq, const uint8_t *uses, uint32_t count);
/* Make a sequence active that holds exactly the match, with room for len_max tokens. 0 or -ENOMEM. */
int seqs_start(struct seqs *s, struct seqs_match m, uint64_t kv_seed, uint32_t len_max, uint32_t *ret_seq);
/* The engine put count more tokens into seq. 0 or -ENOMEM. */
int seqs_append(struct seqs *s, uint32_t seq, const uint32_t *tokens, uint32_t count);
/* The first len tokens of seq, which is active, were computed in whole pieces, each by itself. */
void seqs_set_exact(struct seqs *s, uint32_t seq, uint32_t len);
/* The request is done with it: it is retained for others, or freed when it holds nothing, the engine cannot share, or (where
 * only ends are used) another retained one holds the same. 0 or -ENOMEM. */
int seqs_release(struct seqs *s, uint32_t seq);
/* SEQS_REUSE_WHOLE: retain a copy of seq, which is active, as it stands now. evict: a retained sequence may go for it. 1: it is
 * there (or was); 0: no sequence is left for it; or -ENOMEM. */
int seqs_checkpoint(struct seqs *s, uint32_t seq, bool evict);
/* Give up blocks, the one the policy picks first, until so many cells are free. 0, -ENOSPC (all retained ones are gone) or -ENOMEM. */
int seqs_make_room(struct seqs *s, uint32_t cells);
/* Free one whole retained sequence. False when there is none (or no memory). */
bool seqs_drop_one(struct seqs *s);

static inline uint32_t seqs_len(const struct seqs *s, uint32_t seq)
{
	return s->v[seq].tokens.len;
}
/* Cells that running requests do not hold: free ones, and those eviction can free. */
static inline uint32_t seqs_available(const struct seqs *s)
{
	return s->cells.cells - s->cells.active_count;
}

#endif
