/* memory.c - constants measured on this tree's worker (see docs/design/prediction.md). */
#include "model/memory.h"

#include "base/compiler.h"

enum {
	CELLS_ROUND = 256, /* llama.cpp rounds n_ctx up to it */
	VOCAB_BYTES_TOKEN = 350, /* tables of a BPE vocabulary: 17 MiB of 49,152 tokens */
	PROCESS_BYTES = 12 * 1024 * 1024, /* program, libraries, run time, buffers */
	BATCH = 512,
};

void llama_memory_predict(struct llama_memory *ret, const struct model_facts *m, const struct llama_memory_ask *ask)
{
	uint64_t cells = (ask->context + CELLS_ROUND - 1) / CELLS_ROUND * CELLS_ROUND;
	uint64_t batch = ask->batch ? ask->batch : BATCH;
	struct llama_memory p = {.weights = m->weight_bytes};

	p.kv = model_kv_bytes_per_token(m, ask->kv) * cells; /* all cells are touched when the cache is made */
	p.vocab = (uint64_t)m->vocab * VOCAB_BYTES_TOKEN;
	p.compute = batch * m->hidden * 4 * 8;
	p.overhead = PROCESS_BYTES;
	p.total = p.weights + p.kv + p.vocab + p.compute + p.overhead;
	*ret = p;
}
