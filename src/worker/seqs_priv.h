/* seqs_priv.h - what seqs.c (what sequences hold) and victim.c (which of them goes) share. */
#ifndef STATOR_WORKER_SEQS_PRIV_H
#define STATOR_WORKER_SEQS_PRIV_H

#include "worker/seqs.h"

/* What the policy sees of the block i of q, which is retained; behind the last whole one: of the rest, as used once. */
struct kv_evict_entry seqs_block_entry(const struct seqs *s, const struct seq *q, uint32_t i);
/* The same of its end. */
struct kv_evict_entry seqs_end_entry(const struct seqs *s, const struct seq *q);
/* b begins with all of a, by their hashes and the tokens behind the last whole block. */
bool seqs_extends(const struct seqs *s, const struct seq *a, const struct seq *b);
/* The retained sequence to go first, but not except; s->count when there is none. cells: cells are wanted of it, not the
 * sequence. O(sequences), with SEQS_REUSE_WHOLE O(sequences^2). */
uint32_t seqs_victim(const struct seqs *s, uint32_t except, bool cells);

#endif
