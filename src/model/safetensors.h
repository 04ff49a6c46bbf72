/* safetensors.h - the header of a safetensors file: what facts.h adds up, and what fuzzers feed. Pure but for memory. */
#ifndef STATOR_MODEL_SAFETENSORS_H
#define STATOR_MODEL_SAFETENSORS_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_HEADER_BYTES_MAX = 100 * 1024 * 1024 }; /* the format's own limit */

struct safetensors_sums {
	uint64_t tensors, params, bytes;
	uint64_t embed_bytes; /* of the input embedding */
	bool lm_head; /* there is an output layer of its own */
	char dtype[16]; /* that most bytes have: "BF16" */
	uint64_t dtype_bytes; /* so many */
	uint64_t data_end; /* bytes of data the file must have behind its header */
};

/* Add the tensors of a header (the JSON text alone) to sums. -EINVAL with the tensor's name. */
int safetensors_read_header(
	struct safetensors_sums *sums, const char *path, const char *json, size_t len, struct err *err);

#endif
