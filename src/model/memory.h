/* memory.h - predicted memory of one llama worker process on the CPU, term by term.
 *
 * The weights are mapped from the file: processes of one host that map the same file share them, so a host needs
 * weights once + the rest per process. Figures were measured on this tree's own worker (docs/benchmarks.md); the
 * terms are those of llama.cpp: vocabulary and run time, KV (touched when it is made), compute buffers, logits.
 * Pure, any thread. */
#ifndef STATOR_MODEL_MEMORY_H
#define STATOR_MODEL_MEMORY_H

#include "model/facts.h"

struct llama_memory_ask {
	uint64_t context; /* cells in all: n_ctx of the worker; rounded up to 256 */
	enum kv_dtype kv;
	const char *quant; /* weights as model_weight_bytes names them; NULL: as they are */
	uint32_t sequences; /* that hold cells or states, running or kept */
	uint32_t batch; /* tokens of a step at most (n_ubatch); 0: 512 */
};

struct llama_memory {
	uint64_t weights; /* file-backed, shared between the host's processes */
	uint64_t kv;
	uint64_t states; /* recurrent, of all sequences */
	uint64_t vocab; /* tokenizer tables */
	uint64_t compute; /* graph buffers */
	uint64_t overhead; /* program, libraries, run time */
	uint64_t total; /* of one process: PSS when it is alone */
};

/* Buffers of one computation of batch tokens (0: 512) that look at cells tokens, with flash attention: of a layer the
 * feed-forward's three and the attention's four vectors in 32 bits, and the mask in 16. What llama.cpp 0.5.0 reports as
 * "compute buffer", to 0.1 MiB for the shapes it was asked about. cells is rounded up to 256. */
uint64_t llama_compute_bytes(const struct model_facts *m, uint64_t batch, uint64_t cells);
/* Cells of a context as llama.cpp makes them: rounded up to 256. */
uint64_t llama_cells(uint64_t context);
void llama_memory_predict(struct llama_memory *ret, const struct model_facts *m, const struct llama_memory_ask *ask);

#endif
