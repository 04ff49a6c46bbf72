/* refusal.h - GGUF files that cannot generate text: what each is, and what to use instead. One table for all commands.
 *
 * Such a file is often loaded without complaint and fails at the first request, or at the second token: llama.cpp keeps no
 * memory of earlier tokens for encoders, and an adapter is no model. So it is told from the header, before anything starts.
 * Thread: any, pure but for refusal_check, which maps a file's header. Memory: none of its own. */
#ifndef STATOR_MODEL_REFUSAL_H
#define STATOR_MODEL_REFUSAL_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* What the table is asked with; all from the header of the file (the first part's, of a split one). */
struct refusal_marks {
	const char *arch; /* general.architecture; "" none */
	const char *type; /* general.type; "" none, which means "model" */
	bool adapter; /* it has an adapter.type or adapter.lora key: older adapters have no general.type */
	bool bidirectional; /* ARCH.attention.causal is false */
	bool pooled; /* ARCH.pooling_type is not "none" */
	bool ranks; /* it pools for ranking, or has labels of a classifier */
	bool no_weights; /* no tensor in the file, and it is not split */
	bool head_only; /* it has layers for multi-token prediction, and no other */
};
struct refusal {
	bool no_model; /* no engine at all serves it */
	const char *what; /* "is an embedding model" */
	const char *instead; /* what to do: a sentence without its full stop */
};

/* Why it cannot generate text; NULL: nothing speaks against it. Constant. */
const struct refusal *refusal_find(const struct refusal_marks *marks);
/* Say it: "\"PATH\" (bert) is an embedding model and cannot generate text; serve ...". Returns -ENOTSUP. */
int refusal_say(const struct refusal *r, const char *path, const char *arch, struct err *err);
/* Is path a GGUF file that cannot generate text? -ENOTSUP with the sentence. 0: it can, or it cannot be read, which whoever
 * loads it says better. Cost: as reading the header. */
int refusal_check(const char *path, struct err *err);
/* The i-th architecture of the table; NULL past the end. */
const char *refusal_arch_at(uint32_t i);

#endif
