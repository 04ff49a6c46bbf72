/* Any bytes as the header of a GGUF file: facts that hold together, or a reason. */
#include "model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_facts f = {0};
	struct gguf_sums s = {0};
	struct err err;

	err_clear(&err);
	if (gguf_read_header(&f, &s, "fuzz.gguf", data, size, &err) < 0) {
		ASSERT(err.msg[0]);
		return 0;
	}
	ASSERT(f.layers <= MODEL_LAYERS_MAX && f.kv_layers <= f.layers && s.linear + s.embed <= s.params * 2);
	ASSERT(model_kv_bytes(&f, KV_Q8_0, 1 << 20) <= model_kv_bytes_per_token(&f, KV_Q8_0) << 20);
	return 0;
}
