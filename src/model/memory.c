/* memory.c - constants fitted to this tree's worker with the demo model (make bench-memory; docs/benchmarks.md): beside weights
 * and KV 43.5 MiB, nearly the same at every context: 17 MiB of vocabulary, the compute buffers, and the process with the rest. */
#include "model/memory.h"

#include "base/compiler.h"

enum {
	CELLS_ROUND = 256, /* llama.cpp rounds n_ctx up to it */
	VOCAB_BYTES_TOKEN = 350, /* tables of a BPE vocabulary: 17 MiB of 49,152 tokens */
	PROCESS_BYTES = 11 * 1024 * 1024, /* 7 MiB of the program, run time, what a first request touches */
	BATCH = 512,
};

uint64_t llama_cells(uint64_t context)
{
	return (context + CELLS_ROUND - 1) / CELLS_ROUND * CELLS_ROUND;
}

uint64_t llama_compute_bytes(const struct model_facts *m, uint64_t batch, uint64_t cells)
{
	uint64_t width = m->experts ? (uint64_t)m->expert_intermediate * MAX(m->experts_used, 1u) : m->intermediate;
	uint64_t tokens = batch ? batch : BATCH;

	return tokens *
	       (4 * (3 * MAX(width, (uint64_t)m->intermediate) + 4 * (uint64_t)m->hidden) + 2 * llama_cells(cells));
}

void llama_memory_predict(struct llama_memory *ret, const struct model_facts *m, const struct llama_memory_ask *ask)
{
	uint64_t cells = llama_cells(ask->context);
	struct llama_memory p = {.weights = m->file_bytes > m->weight_bytes && m->from == MODEL_FROM_GGUF
						    ? m->file_bytes
						    : m->weight_bytes};

	if (ask->quant)
		p.weights = model_weight_bytes(m, ask->quant);

	p.kv = model_kv_bytes_per_token(m, ask->kv) * cells; /* all cells are touched when the cache is made */
	p.states = m->state_bytes * ask->sequences;
	p.vocab = (uint64_t)m->vocab * VOCAB_BYTES_TOKEN;
	p.compute = llama_compute_bytes(m, ask->batch, cells);
	p.overhead = PROCESS_BYTES;
	p.total = p.weights + p.kv + p.states + p.vocab + p.compute + p.overhead;
	*ret = p;
}
