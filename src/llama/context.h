/* context.h - KV cells and compute of one llama.cpp context.
 *
 * One unified cell pool is shared by all sequences, so that a prefix can be shared cell by cell (copying moves no
 * data). Thread: one at a time; llama.cpp's context has no locks. ll_context_abort may come from any thread. Memory: KV
 * cells and compute buffers, allocated and touched at create. */
#ifndef STATOR_LLAMA_CONTEXT_H
#define STATOR_LLAMA_CONTEXT_H

#include "llama/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LL_SEQS_MAX = 256, LL_SEQS_LEAST = 8, LL_CPUS_MAX = 512 };

enum ll_kv_type { LL_KV_F16, LL_KV_F32, LL_KV_BF16, LL_KV_Q8_0, LL_KV_Q5_1, LL_KV_Q5_0, LL_KV_Q4_1, LL_KV_Q4_0 };
/* "f16", "q8_0"... -EINVAL for another name. */
int ll_kv_type_parse(const char *name, enum ll_kv_type *ret);
const char *ll_kv_type_name(enum ll_kv_type type);

struct ll_context_params {
	/* KV capacity in tokens over all sequences, rounded up to 256; 0: what the model was trained for or, where that does
	 * not fit, as much of it as does (2,048 at least). */
	uint32_t cells;
	uint32_t batch_tokens_max; /* tokens of one decode; 0: 512, never more than cells */
	uint32_t ubatch_tokens_max; /* computed at once; 0: 512 at most; sizes the compute buffers */
	/* Sequences, scratch ones included; at most LL_SEQS_MAX, clipped to half of it with sliding windows. */
	uint32_t seqs_max;
	/* seqs_max is the most: fewer (LL_SEQS_LEAST at least) where their recurrent states would take more than a quarter of what
	 * device or host has room for. */
	bool seqs_fit;
	uint32_t outputs_max; /* rows of logits in one decode; 0: seqs_max. A row has 4 bytes a vocabulary entry */
	enum ll_kv_type type_k, type_v; /* a quantized type_v needs flash attention */
	bool flash_attention; /* forced on or off, never guessed: cells of two contexts fit only when it is equal */
	uint32_t threads; /* compute threads, the calling one included; 0: all CPUs this process may use */
	/* The CPUs the threads may run on (true: may); NULL: any. At least one. */
	const bool *cpus;
	uint32_t cpus_count;
	/* Bytes that must stay free beside the KV (host memory); 0: 256 MiB. */
	uint64_t memory_reserve_bytes;
	/* The part of the memory of host and devices that cells = 0 may count on, because others do the same beside it; 0: all. */
	double memory_share;
};

struct ll_context;

/* Bytes of KV cells (and recurrent state) such a context would take. */
uint64_t ll_kv_bytes(const struct ll_model *m, const struct ll_context_params *params);
/* -ENOMEM with the arithmetic when the KV does not fit into what host and devices have free, before anything is
 * allocated; -EINVAL for parameters this model cannot have. Borrows the model. */
int ll_context_create(
	struct ll_context **ret, struct ll_model *m, const struct ll_context_params *params, struct err *err) MUST_USE;
void ll_context_destroy(struct ll_context *c);
/* The calling thread will decode. Where there are as many compute threads as CPUs they are bound to one each, and this one takes
 * what the others leave; threads that it starts afterwards inherit that. Destroy on this thread undoes it. */
void ll_context_pin(struct ll_context *c);

struct ll_context_facts {
	uint32_t cells, batch_tokens_max, ubatch_tokens_max, seqs_max, threads;
	uint64_t kv_bytes;
	uint32_t cells_wanted; /* more than cells when memory was the limit */
	/* Bytes a token in a state blob; 0 where the state is not cells. */
	uint64_t state_bytes_token;
	bool prefix_copy; /* ll_seq_copy of any range and ll_seq_trim to any length work */
	bool whole_copy; /* ll_seq_copy of all of a sequence works; so it does with prefix_copy */
	uint32_t runs_max; /* of one decode; 0: as many as sequences */
	uint64_t state_bytes_seq; /* of kv_bytes: recurrent state of one sequence; 0: there is none */
	/* A row of logits has the same bits wherever the cells of its sequence lie; and among whatever other rows it is computed. */
	bool cells_alike, rows_alike;
	char layout[96]; /* what must be equal for KV to move: types, flash attention, version */
};
const struct ll_context_facts *ll_context_facts(const struct ll_context *c);

/* count tokens of one sequence at positions pos, pos + 1, ...; want: logits after the last one. */
struct ll_run {
	uint32_t seq, pos, count;
	const uint32_t *tokens;
	bool want;
};
/* Compute. 0: done. -ENOSPC: no room in the cells, nothing changed (free some or try less at once). -EINVAL: too many
 * tokens or outputs, a sequence twice, an id out of range, a position that does not continue its sequence; nothing
 * changed. -ECANCELED after ll_context_abort, -EIO or -ENOMEM when compute failed: the sequences of the batch hold
 * less than asked, ask ll_seq_len and trim. */
int ll_decode(struct ll_context *c, const struct ll_run *runs, uint32_t count, struct err *err) MUST_USE;
/* The logits of runs[i] of the last decode (vocabulary many), the caller's until the next. NULL when i did not want any. */
float *ll_logits(struct ll_context *c, uint32_t i);
/* Make the decode in progress, or the next, return -ECANCELED soon (CPU only). Any thread. */
void ll_context_abort(struct ll_context *c);

/* How many tokens seq holds: last position + 1. O(1). */
uint32_t ll_seq_len(const struct ll_context *c, uint32_t seq);
/* dst also holds src's cells [begin, end). Scans all cells: about 60 us per 2,048. No data moves. -EINVAL for ids out
 * of range or a range src does not hold; -ENOTSUP where ranges cannot be shared (unless the range is all of src and whole_copy
 * is set). A recurrent state is shared too, until one of the two computes on. */
int ll_seq_copy(
	struct ll_context *c, uint32_t src, uint32_t dst, uint32_t begin, uint32_t end, struct err *err) MUST_USE;
/* seq keeps its first len tokens (0: frees it). Cannot fail for 0. -ENOTSUP where the state cannot go back. */
int ll_seq_trim(struct ll_context *c, uint32_t seq, uint32_t len, struct err *err);

/* The cells of one sequence as bytes, for hand-off and spilling: 15 to 18 GB/s. The blob names no model: the caller
 * sends identity, positions and a checksum with it. */
size_t ll_state_size(struct ll_context *c, uint32_t seq);
/* Returns the bytes written, or 0 with err set (cap too small: -ENOBUFS). */
size_t ll_state_get(struct ll_context *c, uint32_t seq, void *ret, size_t cap, struct err *err);
/* Fill seq, which must be empty, from a blob. On failure it is empty: -ENOSPC no room, -EINVAL not a state of this
 * layout. */
int ll_state_set(struct ll_context *c, uint32_t seq, const void *data, size_t len, struct err *err) MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
