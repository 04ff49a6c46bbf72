/* cells.h - an exact mirror of KV cells: which cells each sequence holds, and how many sequences hold each cell.
 *
 * The rules are libllama's with one unified cache: a cell lives while some sequence holds it; copying a prefix shares its
 * cells and moves no data. Cells are shared by prefixes only: if two sequences share the cell at position p, they share
 * all before it. So questions about a sequence's own part are binary searches.
 * A sequence is active while a request runs in it, else merely retained; a cell is active while an active sequence holds it.
 * Thread: one owner. Memory: 8 bytes a cell, 4 more for each sequence that holds it. */
#ifndef STATOR_KV_CELLS_H
#define STATOR_KV_CELLS_H

#include "base/vec.h"
#include <stdbool.h>

struct kv_cells_seq {
	VEC(uint32_t) cells; /* of position 0, 1, ... */
	bool active;
};
struct kv_cells {
	uint32_t cells, seqs; /* how many there are */
	uint32_t free_count;
	uint32_t active_count; /* cells held by at least one active sequence */
	uint16_t *refs, *active_refs;
	uint32_t *free; /* a stack of free_count */
	struct kv_cells_seq *seq;
};

/* 0 or -ENOMEM. */
int kv_cells_init(struct kv_cells *c, uint32_t cells, uint32_t seqs);
void kv_cells_done(struct kv_cells *c);
/* Room so that seq can grow to len without asking for memory. 0 or -ENOMEM. */
int kv_cells_reserve(struct kv_cells *c, uint32_t seq, uint32_t len);
/* count more cells at the end of seq. 0, -ENOSPC (fewer are free) or -ENOMEM; then nothing changed. O(count). */
int kv_cells_append(struct kv_cells *c, uint32_t seq, uint32_t count);
/* dst, which is empty, shares the first count cells of src. 0 or -ENOMEM. O(count). */
int kv_cells_copy(struct kv_cells *c, uint32_t src, uint32_t dst, uint32_t count);
/* seq keeps its first count cells. O(cells given up). */
void kv_cells_trim(struct kv_cells *c, uint32_t seq, uint32_t count);
/* O(cells of seq) when it changes. */
void kv_cells_set_active(struct kv_cells *c, uint32_t seq, bool active);
/* How many cells at its end only seq holds: what trimming can free. O(log len). */
uint32_t kv_cells_own(const struct kv_cells *c, uint32_t seq);
/* How many of its first count cells no active sequence holds. O(log count). */
uint32_t kv_cells_inactive(const struct kv_cells *c, uint32_t seq, uint32_t count);
static inline uint32_t kv_cells_len(const struct kv_cells *c, uint32_t seq)
{
	return c->seq[seq].cells.len;
}

#endif
