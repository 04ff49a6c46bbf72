/* gguf.h - the header of a GGUF file as bytes in memory: what facts.h reads through, and what fuzzers feed. Pure. */
#ifndef STATOR_MODEL_GGUF_H
#define STATOR_MODEL_GGUF_H

#include "model/facts.h"
#include "model/refusal.h"

struct gguf_sums {
	uint64_t tensors, params, bytes; /* of the tensor table */
	uint64_t embed, output, linear,
		expert; /* parameters: token_embd, output, matrices of layers, of routed experts */
	uint64_t embed_bytes;
	uint64_t splits; /* split.count; 1 */
	uint64_t data_end; /* bytes the file must have */
	bool qkv_bias;
	bool first_layer; /* it has a tensor of layer 0 */
	bool cut; /* the header goes on behind what was there of it */
	const struct refusal *refusal; /* of the part read last; NULL: none */
};

/* Read the header at the start of data. The shapes go to ret, the tensor table's sums are added to sums. path is the name
 * to say. -EINVAL: not GGUF, cut short in the header, or what cannot be. -ENOTSUP: an adapter, a projector and such: no
 * model at all. */
int gguf_read_header(struct model_facts *ret, struct gguf_sums *sums, const char *path, const uint8_t *data,
	uint64_t len, struct err *err);
/* Why the file at path cannot generate text, and its architecture in facts; NULL: it can, or it cannot be read. */
const struct refusal *gguf_refusal(struct model_facts *facts, const char *path);

#endif
